"""The benchmark's arithmetic and the form of its report; nothing is measured here."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench import compose
from bench.__main__ import shown_command
from bench.figures import (
    Run,
    counted_rounds,
    cpu_seconds,
    in_turn,
    letters_per_second,
    ratio,
    sending_per_second,
    summary_of_seconds,
    typical,
)
from bench.goals import GOALS, Goal, Standing, standings
from bench.material import COLUMNS, rows, write_material
from bench.processes import Cost
from bench.race import on_the_wire
from bench.report import Part, goals_table, losses, number, quantity, table, whole


def run(wall_s: float, *, cpu_s: float = 1.0, letters: int = 1000, counted: int | None = None) -> Run:
    """Return a turn; the sink took all letters unless it is said otherwise."""
    return Run(letters, letters if counted is None else counted, Cost(wall_s, cpu_s, 30.0, 0))


GOAL = Goal("sending", "a peer", "peer", 2.0, "--race")
CEILING = Goal("memory", "80 MiB", "peak", 80.0, "--memory", at_most=True, unit="MiB")


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
    assert ratio(rounds, "we", "peer", letters_per_second) == pytest.approx(2.0)


def test_a_round_that_is_void_for_one_gives_no_ratio() -> None:
    """Neither our void turn nor the peer's enters the median; with none left there is no figure."""
    void = run(0.1, counted=5)
    rounds = [{"we": void, "peer": run(2.0)}, {"we": run(1.0), "peer": void}, {"we": run(1.0)}]
    assert ratio(rounds, "we", "peer", letters_per_second) is None
    rounds.append({"we": run(1.0), "peer": run(3.0)})
    assert ratio(rounds, "we", "peer", letters_per_second) == pytest.approx(3.0)


def test_two_measures_can_be_compared() -> None:
    """Our sending phase alone against the whole of a program that starts at once."""
    ours = Run(1000, 1000, Cost(9.0, 1.0, 30.0, 0), sending_s=1.0)
    rounds = [{"we": ours, "peer": run(2.0)}]
    assert ratio(rounds, "we", "peer", sending_per_second, letters_per_second) == pytest.approx(2.0)


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


def test_no_times_have_no_median() -> None:
    """It is an error, not a zero that looks fast."""
    with pytest.raises(ValueError, match="nothing was measured"):
        summary_of_seconds([])


@pytest.mark.parametrize(
    ("goal", "figure", "verdict"),
    [
        (GOAL, 2.0, "reached"),
        (GOAL, 1.5, "NOT reached, short by 25%"),
        (CEILING, 80.0, "reached"),
        (CEILING, 100.0, "NOT reached, over by 25%"),
    ],
)
def test_a_verdict_says_by_how_much_a_goal_is_missed(goal: Goal, figure: float, verdict: str) -> None:
    """Reaching it exactly is reaching it, from below or from above."""
    assert Standing(goal, figure).verdict == verdict


def test_what_was_not_measured_is_no_success() -> None:
    """Every goal is in the table; one without a figure says how to get it, or why there is none."""
    found = standings({"nodemailer": 3.5}, {"tls nodemailer": "no openssl"})
    assert len(found) == len(GOALS)
    verdicts = {one.goal.figure: one.verdict for one in found}
    assert verdicts["nodemailer"] == "reached"
    assert verdicts["tls nodemailer"] == "not measured: no openssl"
    assert verdicts["intake"] == "not measured: python -m bench --intake"
    assert verdicts["postfix"].startswith("not measured: ")


def test_losses_are_told_plainly() -> None:
    """Each goal that is missed, with its figure, and how many were not measured."""
    standing = [Standing(GOAL, 1.5), Standing(CEILING, 70.0), Standing(CEILING, None, "later")]
    assert losses(standing) == [
        "Where we lose (1 of 2 measured):",
        "- sending, against a peer: 1.50 x, the goal is 2.00 x",
        "- 1 of 3 goals were not measured.",
    ]


def test_the_goals_are_a_table() -> None:
    """One row each: work, peer, goal, figure, verdict."""
    assert goals_table([Standing(GOAL, 2.5), Standing(CEILING, None, "later")])[2:] == [
        "| sending | a peer | at least 2.00 x | 2.50 x | reached |",
        "| memory | 80 MiB | at most 80 MiB | - | not measured: later |",
    ]


def test_the_page_has_machine_scenarios_and_goals_in_this_order() -> None:
    """What a reader needs first comes first."""
    page = whole(
        command="python -m bench",
        day="2026-11-23",
        machine=[("cores", "2")],
        parts=[Part("Over loopback", ["a line"])],
        standing=[Standing(GOAL, 2.5)],
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
