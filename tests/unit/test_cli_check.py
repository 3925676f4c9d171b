"""`campaign check`: what it counts, what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli import online, reading
from pipeline.recipients import rows
from pipeline.recipients.mx import Answer, Mail
from tests.command_line import LIST, CommandLine, Terminal


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


def _dns(monkeypatch: pytest.MonkeyPatch, **answers: Mail) -> None:
    """Let the DNS say this of the domains office.example and oficina.example."""

    async def ask(domains: list[str], *, heard: Callable[[str, Answer], None]) -> dict[str, Answer]:
        return {domain: Answer(answers[domain.partition(".")[0]]) for domain in domains}

    monkeypatch.setattr(online, "ask_domains", ask)


def test_a_good_campaign_is_in_order(campaign: CommandLine) -> None:
    """Rows, letters, languages."""
    said = campaign("check")
    assert said.code == 0
    assert said.out == (
        "recipients.csv: 3 rows, 3 letters can be written (2 en, 1 es)\neverything is in order\n"
    )


def test_one_row_is_a_row(campaign: CommandLine) -> None:
    """In grammar."""
    campaign.write(rows="email,language,name\nada@office.example,en,Ada\n")
    assert campaign("check").out.startswith("recipients.csv: 1 row, 1 letter can be written (1 en)\n")


def test_every_kind_of_row_is_counted(campaign: CommandLine) -> None:
    """Accepted, rejected, merged, suppressed."""
    campaign("suppress", "add", "eva@oficina.example")
    campaign.write(rows=LIST + "ADA@office.example,en,Ada\nnonsense,en,Nobody\n")
    document = campaign("check", "--json").json
    assert document["recipients"] == {
        "rows": 5,
        "accepted": 3,
        "rejected": 1,
        "duplicates": 1,
        "suppressed": 1,
    }
    assert (document["ok"], document["letters"]) == (False, 3)


def test_errors_are_exit_2_with_file_line_and_caret(campaign: CommandLine) -> None:
    """On stdout, for they are what was asked for."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign("check")
    assert said.code == 2
    assert said.out.startswith("recipients.csv:5:1: error: ")
    assert "\n    5 | nonsense,en,Nobody\n      | ^\n" in said.out
    assert "1 error, 0 warnings" in said.out


def test_warnings_are_exit_1_only_when_strict(campaign: CommandLine) -> None:
    """A slip in a domain is likely, not sure."""
    campaign.write(rows="email,language,name\nada@gmial.com,en,Ada\n")
    assert campaign("check").code == 0
    assert campaign("check", "--strict").code == 1


def test_a_fault_of_a_template_is_not_told_for_every_row(campaign: CommandLine) -> None:
    """Ten times, and then how many more."""
    rows = "email,language,name\n" + "".join(f"a{number}@office.example,en,\n" for number in range(15))
    campaign.write(rows=rows)
    said = campaign("check", "--json")
    assert said.code == 2
    assert len(said.json["problems"]) == 11
    assert said.json["problems"][-1]["message"] == "the same for 5 further rows"


def test_nothing_of_a_check_is_planned(campaign: CommandLine) -> None:
    """It looks."""
    campaign("check")
    assert campaign("status", "--json").json["letters"]["total"] == 0


def test_a_list_outside_the_folder_is_refused(campaign: CommandLine) -> None:
    """A campaign is one folder."""
    (campaign.folder.parent / "others.csv").write_text(LIST, "utf-8")
    said = campaign("--set", "recipients.file=../others.csv", "check")
    assert (said.code, "lies outside the campaign's folder" in said.err) == (2, True)


def test_without_online_nobody_is_asked(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check works on a train."""
    monkeypatch.delattr(online, "ask_domains")
    assert campaign("check").code == 0


def test_fault_27_online_says_which_rows_no_mail_can_reach(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error for each row of a domain that is not there; a doubt is a warning."""
    _dns(monkeypatch, office=Mail.NO_DOMAIN, oficina=Mail.UNKNOWN)
    said = campaign("check", "--online", "--json")
    assert said.code == 2
    assert [(one["line"], one["severity"], one["message"]) for one in said.json["problems"]] == [
        (2, "error", "there is no domain office.example"),
        (3, "error", "there is no domain office.example"),
        (4, "warning", "the DNS gave no answer about oficina.example; it may be in order"),
    ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Mail.NO_MAIL, "office.example takes no mail (null MX)"),
        (Mail.NO_HOST, "office.example has no mail server"),
    ],
)
def test_online_says_why(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch, answer: Mail, words: str
) -> None:
    """In plain words."""
    _dns(monkeypatch, office=answer, oficina=Mail.YES)
    assert campaign("check", "--online", "--json").json["problems"][0]["message"] == words


def test_without_a_dns_there_is_one_warning_and_not_one_for_each_row(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trouble is here, not in the list."""
    _dns(monkeypatch, office=Mail.UNKNOWN, oficina=Mail.UNKNOWN)
    said = campaign("check", "--online", "--json")
    assert said.code == 0
    (problem,) = said.json["problems"]
    assert problem["message"] == "the DNS gives no answers here: 2 domains not looked up"


def test_online_tries_the_relay(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is away is a warning: it may be back when letters go."""
    _dns(monkeypatch, office=Mail.YES, oficina=Mail.YES)
    said = campaign("--set", "relay.url=smtp://127.0.0.1:1", "check", "--online", "--json")
    assert (said.code, said.json["problems"][0]["code"]) == (0, "relay")


def test_online_asks_about_new_domains_only(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept in the store while they hold."""
    asked: list[list[str]] = []

    async def ask(domains: list[str], *, heard: Callable[[str, Answer], None]) -> dict[str, Answer]:
        asked.append(list(domains))
        answers = {domain: Answer(Mail.YES, 3_600) for domain in domains}
        for domain, answer in answers.items():
            heard(domain, answer)
        return answers

    monkeypatch.setattr(online, "ask_domains", ask)
    campaign("check", "--online")
    campaign.write(rows=LIST + "uma@another.example,en,Uma\n")
    assert campaign("check", "--online").code == 0
    assert asked == [["office.example", "oficina.example"], ["another.example"]]


def test_a_domain_of_many_rows_is_told_some_times_and_counted(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of a million rows on one dead domain is one trouble."""
    _dns(monkeypatch, office=Mail.NO_DOMAIN)
    rows = "email,language,name\n" + "".join(f"a{number}@office.example,en,Ada\n" for number in range(13))
    campaign.write(rows=rows)
    problems = campaign("check", "--online", "--json").json["problems"]
    assert len(problems) == 11
    assert problems[-1]["message"] == "there is no domain office.example: 3 further rows"


def test_more_domains_than_are_looked_up_are_told(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words, as a warning."""
    monkeypatch.setattr(online, "MOST_DOMAINS", 1)
    _dns(monkeypatch, office=Mail.YES)
    (problem,) = campaign("check", "--online", "--json").json["problems"]
    assert problem["message"] == "there are more than 1 domains; only so many were looked up"


def test_a_list_that_changes_while_it_is_read_is_refused(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passes over it must see the same rows."""
    passes = rows.Listing.clear

    def changing(listing: rows.Listing) -> Iterator[tuple[int, object]]:
        yield from passes(listing)
        campaign.write(rows=LIST + "uma@office.example,en,Uma\n")

    monkeypatch.setattr(rows.Listing, "clear", changing)
    said = campaign("check")
    assert said.code == 2
    assert "recipients.csv was changed while it was read" in said.err
    assert "run it again" in said.err


def test_letters_of_rows_that_are_rejected_after_all_are_not_counted(campaign: CommandLine) -> None:
    """Two rows with one address and other words: neither is a letter, in no language."""
    campaign.write(rows=LIST + "EVA@oficina.example,es,Ewa\n")
    document = campaign("check", "--json").json
    assert (document["letters"], document["recipients"]["accepted"]) == (2, 2)
    assert "(2 en)" in campaign("check").out


def test_faults_of_letters_of_rejected_rows_are_not_told(campaign: CommandLine) -> None:
    """The row without a name has another trouble; the one that is left has its own."""
    text = "email,language,name\nada@office.example,en,\nADA@office.example,en,Ada\nben@office.example,en,\n"
    campaign.write(rows=text)
    dispute, fault = campaign("check", "--json").json["problems"]
    assert (dispute["code"], dispute["line"]) == ("same-address", 3)
    assert fault["file"].endswith("letter.en.md")


def test_on_a_terminal_a_long_list_shows_how_far_it_is(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows so far; nothing is left of it at the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(reading, "LONG", 100)
    rows = "email,language,name\n" + "".join(f"a{number}@office.example,en,Ada\n" for number in range(1_200))
    campaign.write(rows=rows)
    Terminal(monkeypatch).looks()
    assert "rows" in campaign("check").err
