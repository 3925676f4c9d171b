"""smtp-sink refuses, hangs up or says 421 at each phase; then a healthy relay. What goes again, and what not.

The senders of all cases run side by side, each with its own campaign and relay, because a run that loses its
relay waits some seconds between tries. `CASES` is the table of what must follow.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.campaign_folder import Finished, everybody, finish, make_campaign
from tests.peers import free_port, smtp_sink

LETTERS = 2
GOES_AGAIN, NEVER_AGAIN, ALL_SENT = "goes again", "never again", "all sent"

pytestmark = pytest.mark.peer


@dataclass(frozen=True, slots=True)
class Case:
    """One way to misbehave: smtp-sink's options, the exit code, the states left, what follows."""

    options: tuple[str, ...]
    exit_code: int
    states: dict[str, int]
    then: str

    @property
    def name(self) -> str:
        """How pytest calls it."""
        return " ".join(self.options[:2]).removeprefix("-").replace(".", "dot")


QUEUED, SENT, FAILED = {"queued": LETTERS}, {"sent": LETTERS}, {"failed": LETTERS}
IN_DOUBT = {"in_doubt": LETTERS}
UNKNOWN = ("-B", "550 5.1.1 user unknown")
CASES = (
    Case(("-r", "CONNECT"), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "CONNECT"), 4, QUEUED, GOES_AGAIN),
    Case(("-q", "CONNECT"), 3, QUEUED, GOES_AGAIN),
    Case(("-Q", "CONNECT"), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "EHLO"), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "EHLO"), 0, SENT, ALL_SENT),  # HELO does, where no login is needed
    Case(("-q", "EHLO"), 3, QUEUED, GOES_AGAIN),
    Case(("-Q", "EHLO"), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "MAIL"), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "MAIL"), 4, QUEUED, GOES_AGAIN),
    Case(("-q", "MAIL"), 3, QUEUED, GOES_AGAIN),
    Case(("-Q", "MAIL"), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "RCPT"), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "RCPT", *UNKNOWN), 1, FAILED, NEVER_AGAIN),
    Case(("-q", "RCPT"), 3, QUEUED, GOES_AGAIN),
    Case(("-Q", "RCPT"), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "DATA"), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "DATA"), 1, FAILED, NEVER_AGAIN),
    Case(("-q", "DATA"), 3, QUEUED, GOES_AGAIN),
    Case(("-Q", "DATA"), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "."), 3, QUEUED, GOES_AGAIN),
    Case(("-f", "."), 1, FAILED, NEVER_AGAIN),
    Case(("-q", "."), 1, IN_DOUBT, NEVER_AGAIN),
    Case(("-Q", "."), 3, QUEUED, GOES_AGAIN),
    Case(("-r", "QUIT"), 0, SENT, ALL_SENT),
    Case(("-f", "QUIT"), 0, SENT, ALL_SENT),
    Case(("-q", "QUIT"), 0, SENT, ALL_SENT),
    Case(("-Q", "QUIT"), 0, SENT, ALL_SENT),
)


@dataclass(frozen=True, slots=True)
class Story:
    """What happened in one case: the run at the bad relay, then one at a healthy relay."""

    first: Finished
    states: dict[str, int]
    taken: Counter[str]
    second: Finished
    taken_later: Counter[str]
    states_later: dict[str, int]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """Every case, both its runs done."""
    with ExitStack() as stack:
        bad = []
        for number, case in enumerate(CASES):
            sink = stack.enter_context(smtp_sink(*case.options))
            folder = make_campaign(tmp_path_factory.mktemp(f"case{number}"), LETTERS, connections=1)
            bad.append((case, folder, sink, folder.at(sink.url).start("send", "--yes")))
        healthy = []
        for case, folder, sink, process in bad:
            first, before = finish(process), folder.counts()
            later = stack.enter_context(smtp_sink())
            again = folder.at(later.url).start("send", "--yes", "--now")
            healthy.append((case, folder, first, before, sink, later, again))
        return {
            case.name: Story(first, before, sink.letters(), finish(again), later.letters(), folder.counts())
            for case, folder, first, before, sink, later, again in healthy
        }


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """One row of the table."""
    assert isinstance(request.param, Case)
    return request.param


def test_exit_code_and_states_say_what_the_relay_did(case: Case, stories: dict[str, Story]) -> None:
    """The run at the bad relay ends with the code of the table, and the letters are where it says."""
    story = stories[case.name]
    assert (story.first.code, story.states) == (case.exit_code, case.states), story.first.said
    assert "Traceback" not in story.first.said


def test_a_healthy_relay_gets_what_was_not_accepted_and_nothing_else(
    case: Case, stories: dict[str, Story]
) -> None:
    """Once where nothing was accepted; never after a 5yz, a 2yz to the dot, or a doubt."""
    story = stories[case.name]
    if case.then == GOES_AGAIN:
        assert (story.second.code, story.taken_later) == (0, everybody(LETTERS)), story.second.said
        assert story.states_later == SENT
    else:
        assert story.taken_later == Counter()
        assert story.states_later == case.states
        assert story.second.code == (1 if case.states == IN_DOUBT else 0), story.second.said
    if case.then == ALL_SENT:
        assert story.taken == everybody(LETTERS)


def test_fault_04_an_unknown_user_is_suppressed(stories: dict[str, Story], tmp_path: Path) -> None:
    """550 5.1.1 at RCPT: the letter failed, and the address is on the suppression list with the answer."""
    with smtp_sink("-f", "RCPT", *UNKNOWN) as sink:
        folder = make_campaign(tmp_path, 1).at(sink.url)
        assert folder.send().code == 1
        listed = folder.run("suppress", "list")
    assert "r0000@office0.example" in listed.out
    assert "5.1.1" in listed.out


def test_fault_09_a_used_up_quota_stops_the_run_and_harms_nobody(tmp_path: Path) -> None:
    """550 5.4.5 at MAIL: all stays queued, nobody is suppressed, the next run says until when it waits."""
    with smtp_sink("-f", "MAIL", "-B", "550 5.4.5 Daily user sending limit exceeded") as sink:
        folder = make_campaign(tmp_path, 3, connections=1).at(sink.url)
        stopped = folder.send()
        assert stopped.code == 3
        assert "quota is used up" in stopped.err
        assert folder.states() == {"queued": 3}
        waiting = folder.send()
        assert waiting.code == 3
        assert "left alone until" in waiting.err
        assert "office" not in folder.run("suppress", "list").out


def test_fault_10_a_relay_that_closes_after_every_letter_gets_each_once(tmp_path: Path) -> None:
    """letters_per_connection and a new connection for the rest: nobody starts from row 1 again."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 12, settings=("relay.letters_per_connection=2",)).at(sink.url)
        assert folder.send().code == 0
        assert sink.letters() == everybody(12)


def test_fault_14_three_policy_refusals_leave_the_domain_alone_and_its_addresses_alive(
    tmp_path: Path,
) -> None:
    """554 5.7.1 as spam: the letters stay in the queue, the advice names SPF, nobody is suppressed."""
    with smtp_sink("-f", ".", "-B", "554 5.7.1 message blocked as spam") as sink:
        addresses = [f"office{number}@ministry.example" for number in range(9)]
        folder = make_campaign(tmp_path, addresses, connections=1).at(sink.url)
        finished = folder.send("-v")
        assert finished.code == 3
        assert "ministry.example is left alone" in finished.out
        assert folder.states() == {"queued": 9}
        assert "ministry" not in folder.run("suppress", "list").out
        ((asked,),) = folder.ask_store("SELECT count(*) FROM attempts")
        assert 3 <= asked <= 5  # two letters may be at hand when the third refusal comes


def test_fault_23_a_relay_that_cannot_be_found_leaves_all_letters_queued(tmp_path: Path) -> None:
    """A name that does not resolve and a port nobody listens on: exit 3, nothing is marked bad."""
    for number, url in enumerate((f"smtp://127.0.0.1:{free_port()}", "smtps://relay.invalid")):
        parent = tmp_path / str(number)
        parent.mkdir()
        folder = make_campaign(parent, 2, relay=url)
        finished = folder.send()
        assert finished.code == 3
        assert "cannot be reached" in finished.err
        assert folder.states() == {"queued": 2}
