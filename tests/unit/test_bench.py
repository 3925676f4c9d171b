"""The benchmark's arithmetic, the form of its report, and one race that is too small to measure anything."""

from __future__ import annotations

import csv
import os
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import pytest

from bench import compose
from bench.contenders import Turn, assemble
from bench.figures import (
    Figure,
    Run,
    counted_rounds,
    cpu_seconds,
    in_turn,
    letters_per_second,
    paired,
    percentile,
    ratio,
    sending_per_second,
    typical,
)
from bench.goals import GOALS, Goal, Standing, standings
from bench.material import COLUMNS, rows, write_material
from bench.options import QUICK, parse, shown_command
from bench.ours import our_contenders
from bench.postfix import Postfix
from bench.processes import Cost
from bench.race import Course, on_the_wire, run_race, wrong_work
from bench.relays import Way, relay
from bench.report import Part, goals_table, losses, number, quantity, race_lines, spread, table, whole
from bench.scenarios import FAR, POSTFIX, RACE, TLS, decided
from tests.peers import need


def one(value: float) -> Figure:
    """Return a figure of one round."""
    return Figure.of([value])


def run(wall_s: float, *, cpu_s: float = 1.0, letters: int = 1000, counted: int | None = None) -> Run:
    """Return a turn; the sink took all letters unless it is said otherwise."""
    return Run(letters, letters if counted is None else counted, Cost(wall_s, cpu_s, 30.0, 0))


GOAL = Goal("sending", "a peer", "peer", 2.0, "--race")
CEILING = Goal("memory", "80 MiB", "peak", 80.0, "--memory", at_most=True, unit="MiB")
NONE = Goal("storm", "none", "wrong", 0, "--storm", at_most=True, unit="letters")


def test_the_rate_is_of_the_whole_process() -> None:
    """1,000 letters in 2 seconds are 500 a second."""
    assert letters_per_second(run(2.0)) == 500


def test_cpu_is_given_for_ten_thousand_letters() -> None:
    """1.5 CPU seconds for 1,000 letters are 15 for 10,000."""
    assert cpu_seconds(run(2.0, cpu_s=1.5)) == 15


def test_the_sending_phase_alone_is_left_out_where_nobody_tells_it() -> None:
    """A peer that keeps no journal has no figure for it."""
    assert sending_per_second(run(2.0)) is None
    assert sending_per_second(Run(1000, 1000, Cost(2.0, 1.0, 30.0, 0), sending_s=0.5)) == 2000


def test_a_turn_is_void_when_the_sink_counted_another_number() -> None:
    """Both one too few and one too many: there is no rate then, and it is said why."""
    for counted in (999, 1001):
        turn = run(1.0, counted=counted)
        assert turn.void == f"the sink took {counted} of 1000 letters"
        assert letters_per_second(turn) is None


def test_a_failed_turn_says_why_it_is_void() -> None:
    """The failure is told, not the count."""
    assert Run(1000, 3, None, failure="stopped after 60 s").void == "stopped after 60 s"


def test_ratios_are_taken_inside_a_round() -> None:
    """When the machine slows down for both, the ratio stays; the ratio of the medians would not."""
    rounds = [
        {"we": run(1.0), "peer": run(2.0)},
        {"we": run(10.0), "peer": run(30.0)},
        {"we": run(2.0), "peer": run(4.0)},
    ]
    found = ratio(rounds, "we", "peer", letters_per_second)
    assert found is not None
    assert (found.value, found.low, found.high, found.rounds) == (2.0, 2.0, 3.0, 3)


def test_a_round_that_is_void_for_one_gives_no_ratio() -> None:
    """Neither our void turn nor the peer's enters the median; with none left there is no figure."""
    void = run(0.1, counted=5)
    rounds = [{"we": void, "peer": run(2.0)}, {"we": run(1.0), "peer": void}, {"we": run(1.0)}]
    assert ratio(rounds, "we", "peer", letters_per_second) is None
    rounds.append({"we": run(1.0), "peer": run(3.0)})
    assert ratio(rounds, "we", "peer", letters_per_second) == one(3.0)


def test_two_measures_can_be_compared() -> None:
    """Our sending phase alone against the whole of a program that starts at once."""
    ours = Run(1000, 1000, Cost(9.0, 1.0, 30.0, 0), sending_s=1.0)
    rounds = [{"we": ours, "peer": run(2.0)}]
    assert ratio(rounds, "we", "peer", sending_per_second, letters_per_second) == one(2.0)


def test_the_median_is_of_the_rounds_that_count() -> None:
    """A void round neither helps nor hurts, and the number of rounds that count is told."""
    rounds = [{"we": run(1.0)}, {"we": run(0.001, counted=0)}, {"we": run(2.0)}, {"we": run(4.0)}]
    assert typical(rounds, "we", letters_per_second) == 500
    assert counted_rounds(rounds, "we") == 3
    assert typical(rounds, "nobody", letters_per_second) is None


def test_nobody_is_always_first() -> None:
    """The order moves on by one with each round."""
    assert [in_turn(["a", "b", "c"], number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(in_turn(["a", "b", "c"], 2)) == ["a", "b", "c"]
    assert in_turn([], 3) == []


def test_what_was_not_measured_has_no_median() -> None:
    """It is an error, not a zero that looks fast."""
    with pytest.raises(ValueError, match="nothing was measured"):
        Figure.of([])
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.95)


def test_pairs_are_compared_one_by_one() -> None:
    """The large campaign's seconds over the small one's of the same round."""
    assert paired([2.0, 9.0, 5.0], [1.0, 3.0, 5.0]) == Figure(2.0, 1.0, 3.0, 3)


def test_the_percentile_is_a_value_that_was_measured() -> None:
    """The nearest rank: 95 of 100 values lie at or below it."""
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.95) == 95
    assert percentile([3.0], 0.95) == 3


@pytest.mark.parametrize(
    ("goal", "figure", "verdict"),
    [
        (GOAL, 2.0, "reached"),
        (GOAL, 1.5, "NOT reached, short by 25%"),
        (CEILING, 80.0, "reached"),
        (CEILING, 100.0, "NOT reached, over by 25%"),
        (NONE, 0.0, "reached"),
        (NONE, 1.0, "NOT reached"),
    ],
)
def test_a_verdict_says_by_how_much_a_goal_is_missed(goal: Goal, figure: float, verdict: str) -> None:
    """Reaching it exactly is reaching it, from below or from above."""
    assert Standing(goal, one(figure)).verdict == verdict


def test_what_was_not_measured_is_no_success() -> None:
    """Every goal is in the table; one without a figure says how to get it, or why there is none."""
    found = standings({"nodemailer": one(3.5)}, {"tls nodemailer": "no stunnel"})
    assert len(found) == len(GOALS)
    verdicts = {standing.goal.figure: standing.verdict for standing in found}
    assert verdicts["nodemailer"] == "reached"
    assert verdicts["tls nodemailer"] == "not measured: no stunnel"
    assert verdicts["intake"] == "not measured: python -m bench --intake"
    assert verdicts["postfix"] == "not measured: python -m bench --postfix"


def test_losses_are_told_plainly() -> None:
    """Each goal that is missed, with its figure, and how many were not measured."""
    standing = [Standing(GOAL, one(1.5)), Standing(CEILING, one(70.0)), Standing(CEILING, None, "later")]
    assert losses(standing) == [
        "Where we lose (1 of 2 measured):",
        "- sending, against a peer: 1.50 x, the goal is 2.00 x",
        "- 1 of 3 goals were not measured.",
    ]


def test_the_goals_are_a_table() -> None:
    """One row each: work, peer, goal, figure, verdict."""
    assert goals_table([Standing(GOAL, one(2.5)), Standing(CEILING, None, "later")])[2:] == [
        "| sending | a peer | at least 2.00 x | 2.50 x | reached |",
        "| memory | 80 MiB | at most 80 MiB | - | not measured: later |",
    ]


def test_the_page_has_machine_scenarios_and_goals_in_this_order() -> None:
    """What a reader needs first comes first."""
    page = whole(
        command="python -m bench",
        machine=[("cores", "2")],
        parts=[Part("Over loopback", ["a line"])],
        standing=[Standing(GOAL, one(2.5))],
    )
    heads = ["# Results", "| cores | 2 |", "## Over loopback", "a line", "## What must be reached"]
    places = [page.index(head) for head in heads]
    assert places == sorted(places)
    assert page.endswith("Every goal that was measured is reached.\n")


def test_a_bar_in_a_cell_does_not_divide_it() -> None:
    """A processor's name may hold anything."""
    assert table(("a",), [("x|y\nz",)])[2] == "| x&#124;y z |"


def test_numbers_are_written_for_readers() -> None:
    """Thousands are divided, and no number is a dash."""
    assert (number(12345.6), number(1.005, digits=1), number(None)) == ("12,346", "1.0", "-")
    assert (quantity(0.5, "x"), quantity(34.4, "MiB")) == ("0.50 x", "34 MiB")


def test_a_figure_is_shown_with_its_lowest_and_highest_round() -> None:
    """One round has neither."""
    assert spread(Figure(2.5, 2.0, 3.25, 5), "x") == "2.50 x (2.00 to 3.25, 5 rounds)"
    assert spread(one(71.4), "MiB") == "71 MiB"


def test_the_report_names_no_folder_of_the_machine() -> None:
    """The command line is shown without --cache and --work, however they are written."""
    given = ["--rounds", "3", "--cache", "/somewhere", "--work=/else", "--tls"]
    assert shown_command(given) == "python -m bench --rounds 3 --tls"


def test_the_sinks_own_lines_are_not_counted_as_the_letter() -> None:
    """What is left is as long as it was on the wire, with CRLF."""
    filed = (
        b"X-Client-Addr: 127.0.0.1\nX-Rcpt-Args: <a@b.example>\nReceived: from a\n\tby b\n\nFrom: c\n\nd\n"
    )
    assert on_the_wire(filed.replace(b"by b\n\n", b"by b\n")) == len(b"From: c\r\n\r\nd\r\n")


def filed(number: int, *, message_id: str = "", text: str = "", to: str = "") -> bytes:
    """Return a letter as smtp-sink files it, to the recipient of that row."""
    email, name, _, _, city, reference = list(rows(number + 1))[number]
    words = text or f"{name} of {city}, {reference}"
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", email, city
    message["Date"], message["Message-ID"] = formatdate(), message_id or f"<{number}@example.org>"
    message.set_content(words, cte="quoted-printable")
    message.add_alternative(f"<p>{words}</p>", subtype="html", cte="quoted-printable")
    head = f"X-Client-Addr: 127.0.0.1\nX-Rcpt-Args: <{to or email}>\nReceived: from a\n\tby b\n"
    return head.encode() + message.as_bytes()


def test_the_trial_accepts_the_work_that_is_compared() -> None:
    """One personal letter each, in text and HTML, with Date and a Message-ID of its own."""
    assert wrong_work([filed(0), filed(1), filed(2)]) == ""


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (filed(1, to="desk0@office000.example"), "it did not write to each recipient once"),
        (filed(1, message_id="<0@example.org>"), "its letters share a Message-ID"),
        (filed(1, text="Dear all"), "its letters are not personal"),
        (filed(1).replace(b"Date: ", b"X-Date: "), "its letters have no Date"),
        (filed(1).replace(b"text/html", b"text/enriched"), "its letters are not text and HTML"),
    ],
)
def test_the_trial_refuses_less_work(letter: bytes, why: str) -> None:
    """Whoever does less than is compared would make every ratio worthless."""
    assert wrong_work([filed(0), letter]) == f"{why} in the trial"


def test_postfix_is_counted_by_its_log_as_it_grows(tmp_path: Path) -> None:
    """Each line once, also one that was not whole at the first look."""
    log = tmp_path / "log"
    relay = Postfix(25, log)
    assert relay.count() == 0
    log.write_bytes(b"qmgr: active\ndiscard: A: status=sent (a)\ndiscard: B: stat")
    assert relay.count() == 1
    with log.open("ab") as stream:
        stream.write(b"us=sent (b)\ndiscard: C: status=bounced (c)\n")
    assert relay.count() == 2


def test_every_goal_of_a_race_has_somebody_who_decides_it() -> None:
    """No figure is decided by nobody, and none by a contender that does not exist."""
    deciding = {figure for table in (RACE, FAR, TLS, POSTFIX) for figure, *_ in table}
    options = {"--race", "--delay 50", "--tls", "--postfix"}
    assert {goal.figure for goal in GOALS if goal.how in options} <= deciding


def test_of_two_that_decide_one_figure_the_fast_one_counts() -> None:
    """Two processes are compared with uvloop where it is there, else without."""
    slow = {"campaign-processes": run(1.0), "campaign-limits": run(1.2)}
    fast = {"campaign-processes+uvloop": run(1.0), "campaign-limits+uvloop": run(1.6)}
    assert decided([slow], RACE)["processes"] == one(1.2)
    assert decided([{**slow, **fast}], RACE)["processes"] == one(1.6)


def test_a_quick_look_is_small_unless_it_is_told_otherwise() -> None:
    """What is given on the command line stays."""
    _, given = parse(["--quick", "--letters", "77"])
    assert (given.letters, given.rounds, given.rows) == (77, QUICK["rounds"], QUICK["rows"])


def test_a_number_out_of_bounds_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is bounded; so are our connections, at 50."""
    with pytest.raises(SystemExit):
        parse(["--connections", "51"])
    assert "51 is not between 1 and 50" in capsys.readouterr().err


def test_a_warm_contender_sends_one_letter_before_it_is_measured(tmp_path: Path) -> None:
    """Its command is the cold one's; only what ran before differs."""
    ours = {contender.name: contender for contender in our_contenders()[0]}
    warm, cold = ours["campaign-limits-warm"], ours["campaign-limits"]
    turn = Turn(write_material(tmp_path / "campaign", 3), 25, 50, 10, tmp_path / "notes")
    assert warm.prepare is not None
    assert warm.command(turn) == cold.command(turn)
    assert list(warm.prepare(turn).words)[-2:] == ["--limit", "1"]
    assert (warm.prepared, cold.prepared, cold.prepare) == (1, 0, None)


@pytest.mark.peer
def test_a_small_race_is_run_from_the_trial_to_the_table(tmp_path: Path) -> None:
    """Ours cold and warm beside smtp-source: every turn counts, and each has a row."""
    for name in ("smtp-sink", "smtp-source"):
        need(name, "postfix")
    names = {"campaign-limits", "campaign-limits-warm", "smtp-source"}
    ours, left_out = our_contenders()
    field = assemble(tmp_path, (ours, left_out), only=names)
    course = Course(
        letters=20,
        rounds=1,
        connections=4,
        pool=2,
        way=Way.DIRECT,
        delay_ms=0.0,
        patience_s=120,
        scratch=tmp_path,
        tell=lambda _line: None,
    )
    results = run_race(course, field.chosen(names))
    assert (results.left_out, results.voids) == ({}, [])
    assert {name: turn.letters for name, turn in results.rounds[0].items()} == {
        "campaign-limits": 20,
        "campaign-limits-warm": 19,
        "smtp-source": 20,
    }
    assert len(race_lines(results)) == 2 + len(names)
    figures = decided(results.rounds, RACE)
    assert {"smtp-source"} <= set(figures)


@pytest.mark.peer
def test_a_relay_behind_stunnel_counts_what_comes_over_tls(tmp_path: Path) -> None:
    """Its certificate is the one that contenders are given."""
    need("smtp-sink", "postfix")
    need("stunnel4", "stunnel4")
    need("openssl", "openssl")
    with relay(Way.TLS, tmp_path) as target:
        context = ssl.create_default_context(cafile=str(target.ca_file))
        with smtplib.SMTP_SSL("127.0.0.1", target.port, "client.example", context=context) as client:
            client.sendmail("a@example.org", ["b@office.example"], b"Subject: one\r\n\r\nOne.\r\n")
        assert target.counter.settled(1) == 1


@pytest.mark.peer
@pytest.mark.skipif(os.getuid() != 0, reason="a Postfix of our own is started as root only")
def test_a_real_postfix_counts_what_it_has_taken(tmp_path: Path) -> None:
    """It takes letters to anybody and hands them on to nobody."""
    need("postfix", "postfix")
    with relay(Way.POSTFIX, tmp_path) as target:
        with smtplib.SMTP("127.0.0.1", target.port, "client.example") as client:
            for to in ("b@office.example", "c@elsewhere.example"):
                client.sendmail("a@example.org", [to], b"Subject: one\r\n\r\nOne.\r\n")
        assert target.counter.settled(2) == 2


def test_everybody_gets_the_same_words(tmp_path: Path) -> None:
    """The list has N rows and no address twice; our template and the peers' ask for the same columns."""
    material = write_material(tmp_path / "campaign", 30)
    with material.recipients.open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [tuple(row.values()) for row in read] == list(rows(30))
    assert len({row["email"] for row in read}) == 30
    ours = (material.root / "templates" / "letter.en.md").read_text("utf-8")
    theirs = (material.peers / "letter.html").read_text("utf-8")
    for column in set(COLUMNS) - {"email"}:
        assert ("{{ recipient." + column + " }}" in ours) == ("{{ " + column + " }}" in theirs)


def test_what_sending_left_behind_is_forgotten(tmp_path: Path) -> None:
    """The next turn finds a campaign that was never sent."""
    material = write_material(tmp_path / "campaign", 1)
    material.store.parent.mkdir()
    material.store.touch()
    (material.home / "data").mkdir()
    material.forget()
    assert not material.store.exists()
    assert list(material.home.iterdir()) == []


def test_the_letters_of_the_material_are_made_alike_by_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    """`bench.compose` checks that before it measures, and sets everybody beside EmailMessage."""
    assert compose.main(["--letters", "20", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        *("pack, quoted-printable", "pack, 8bit", "check", "written plainly", "EmailMessage")
    ]
