"""`plan`, `render`, `approve`, `diff`, and the gate before a send: approved bytes go, others stay."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import SystemClock
from tests.command_line import CONFIG, LIST, TEMPLATE, CommandLine, Terminal, accepted, relay_here

REQUIRED = CONFIG.replace("[relay]", 'approval = "required"\n\n[relay]', 1)
BY = ("approve", "--by", "R. B.")


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox, in two languages."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


@pytest.fixture
def approved(campaign: CommandLine) -> CommandLine:
    """The same, rendered and approved."""
    assert campaign("render").code == 0
    assert campaign(*BY).code == 0
    return campaign


def _drafts(campaign: CommandLine, world: str = "sandbox") -> list[dict[str, Any]]:
    manifest = campaign.folder / ".campaign/drafts" / world / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    return [line for line in lines if line["type"] == "letter"]


def _draft(campaign: CommandLine, name: str) -> Path:
    (line,) = [line for line in _drafts(campaign) if line["to"].startswith(f"{name}@")]
    return campaign.folder / ".campaign/drafts/sandbox" / str(line["file"])


def _outbox(campaign: CommandLine) -> list[bytes]:
    new = campaign.folder / ".campaign/outbox/new"
    return sorted(path.read_bytes() for path in new.iterdir()) if new.exists() else []


def _is_among(draft: bytes, outbox: list[bytes]) -> bool:
    """Say whether a filed message ends with the draft's octets: only trace fields stand before them."""
    return any(message.replace(b"\r\n", b"\n").endswith(draft.replace(b"\r\n", b"\n")) for message in outbox)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


# -- plan


def test_plan_says_what_is_new_changed_and_cancelled_and_sends_nothing(campaign: CommandLine) -> None:
    """A row added, a cell changed, a row gone."""
    assert campaign("plan", "--json").json["new"] == 3
    rows = LIST.replace("Ben", "Benno").replace("eva@oficina.example,es,Eva\n", "zoe@office.example,en,Zoe\n")
    campaign.write(rows=rows)
    said = campaign("plan", "--json").json
    assert (said["new"], said["changed"], said["cancelled"]) == (1, 1, 1)
    assert said["changed_letters"] == [{"to": "ben@office.example", "line": 3}]
    assert campaign("status", "--json").json["letters"]["sent"] == 0


def test_plan_refuses_a_bad_list_and_plans_nothing(campaign: CommandLine) -> None:
    """Exit 2, with file and line."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign("plan")
    assert (said.code, "recipients.csv:5:" in said.err) == (2, True)
    assert campaign("status", "--json").json["letters"]["total"] == 0


# -- render


def test_render_writes_every_letter_and_a_manifest_of_hashes(campaign: CommandLine) -> None:
    """Each hash is the file's, each Message-ID the letter's; row, files and settings are named."""
    said = campaign("render", "--json").json
    assert (said["letters"], said["written"]) == (3, 3)
    manifest = campaign.folder / ".campaign/drafts/sandbox/manifest.jsonl"
    assert said["manifest"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    for line in _drafts(campaign):
        content = (manifest.parent / line["file"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (line["sha256"], line["size"])
        assert line["message_id"].encode() in content
        letter = f"templates/letter.{line['language']}.md"
        source = (campaign.folder / letter).read_bytes()
        assert line["made_from"]["files"] == {letter: hashlib.sha256(source).hexdigest()}
        assert {"email", "name", "language"} == set(line["made_from"]["row"])


def test_rendered_again_a_letter_that_is_the_same_keeps_its_bytes(campaign: CommandLine) -> None:
    """Only the changed one is written; its old draft, approved by nobody, is taken away."""
    campaign("render")
    before = {line["to"]: line["file"] for line in _drafts(campaign)}
    _edit(campaign.folder / "recipients.csv", "Ada", "Adah")
    assert campaign("render", "--json").json["written"] == 1
    after = {line["to"]: line["file"] for line in _drafts(campaign)}
    assert {to for to in after if after[to] != before[to]} == {"ada@office.example"}
    files = {path.name for path in (campaign.folder / ".campaign/drafts/sandbox/0000").iterdir()}
    assert files == {Path(file).name for file in after.values()}


def test_a_file_that_changes_no_word_of_a_letter_leaves_its_draft(campaign: CommandLine) -> None:
    """An empty line at the template's end."""
    campaign("render")
    path = campaign.folder / "templates/letter.en.md"
    path.write_text(path.read_text("utf-8") + "\n\n", "utf-8")
    assert campaign("render", "--json").json["written"] == 0


def test_render_all_writes_everything_again(campaign: CommandLine) -> None:
    """For a new Date."""
    campaign("render")
    assert campaign("render", "--all", "--json").json["written"] == 3


# -- approve


def test_approve_says_who_what_and_what_happens_to_the_date(campaign: CommandLine) -> None:
    """The count, the languages, the manifest's hash; it is kept in the store."""
    manifest = campaign("render", "--json").json["manifest"]
    said = campaign(*BY)
    assert "3 letters approved by R. B. (en 2, es 1)" in said.out
    assert manifest in said.out
    assert "more than 3 days" in said.out
    shown = campaign("show", "ada@office.example", "--json").json["letters"][0]
    assert shown["approved_by"] == "R. B."
    assert shown["approved_sha256"] == hashlib.sha256(_draft(campaign, "ada").read_bytes()).hexdigest()


def test_approve_without_drafts_says_what_to_run(campaign: CommandLine) -> None:
    """Nothing was rendered in this world."""
    said = campaign(*BY)
    assert (said.code, "campaign render" in said.err) == (2, True)


def test_approve_refuses_an_altered_draft_by_name_and_approves_nothing(campaign: CommandLine) -> None:
    """One octet."""
    campaign("render")
    path = _draft(campaign, "ben")
    path.write_bytes(path.read_bytes().replace(b"release", b"Release"))
    said = campaign(*BY)
    assert (said.code, "ben@office.example" in said.err, "altered" in said.err) == (2, True, True)
    assert campaign("show", "ada@office.example", "--json").json["letters"][0]["approved_by"] is None


def test_approve_takes_only_the_manifest_that_was_meant(campaign: CommandLine) -> None:
    """The hash of what somebody read elsewhere."""
    manifest = campaign("render", "--json").json["manifest"]
    assert campaign(*BY, "--manifest", "0" * 64).code == 2
    assert campaign(*BY, "--manifest", manifest).code == 0


def test_approve_does_not_take_half_a_manifest(campaign: CommandLine) -> None:
    """Its last line is missing."""
    campaign("render")
    manifest = campaign.folder / ".campaign/drafts/sandbox/manifest.jsonl"
    manifest.write_text("".join(manifest.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")
    said = campaign(*BY)
    assert (said.code, "breaks off" in said.err) == (2, True)


# -- the gate


def test_without_an_approval_a_small_campaign_just_sends(campaign: CommandLine) -> None:
    """Rendered or not."""
    campaign("render")
    assert campaign("send").code == 0
    assert len(_outbox(campaign)) == 3


def test_the_approved_bytes_are_what_goes(approved: CommandLine) -> None:
    """Octet for octet; `show` says so."""
    drafts = [_draft(approved, name).read_bytes() for name in ("ada", "ben", "eva")]
    assert approved("send").code == 0
    outbox = _outbox(approved)
    assert all(_is_among(draft, outbox) for draft in drafts)
    assert "these bytes went" in approved("show", "ada@office.example").out


def test_one_changed_cell_refuses_exactly_the_letter_it_touches(approved: CommandLine) -> None:
    """It is named, with row and column; the others go; exit 2."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    said = approved("send")
    assert said.code == 2
    assert "recipients.csv:2: not sent to ada@office.example" in said.err
    assert "recipients.csv:2 (name)" in said.err
    assert "ben@" not in said.err
    assert len(_outbox(approved)) == 2
    letters = approved("status", "--json").json["letters"]
    assert (letters["sent"], letters["planned"]) == (2, 1)
    assert "changed since it was approved" in approved("show", "ada@office.example").out


def test_rendered_and_approved_again_it_goes_once(approved: CommandLine) -> None:
    """And nobody gets a second letter."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    approved("send")
    assert approved("render", "--json").json["letters"] == 1
    approved(*BY)
    assert approved("send").code == 0
    outbox = _outbox(approved)
    assert len(outbox) == 3
    assert sum(b"Adah" in message for message in outbox) == 1


def test_a_cell_that_no_letter_tells_stops_nothing(approved: CommandLine) -> None:
    """The bytes are the same, whatever changed."""
    approved.write(
        rows="email,language,name,note\n" + "".join(f"{line},new\n" for line in LIST.splitlines()[1:])
    )
    assert approved("send").code == 0
    assert len(_outbox(approved)) == 3


def _template(campaign: CommandLine) -> None:
    _edit(campaign.folder / "templates/letter.es.md", "release", "free")


def _config(campaign: CommandLine) -> None:
    _edit(campaign.folder / "campaign.toml", "Committee <", "The Committee <")


@pytest.mark.parametrize(
    ("change", "named", "left"),
    [(_template, "templates/letter.es.md", 2), (_config, "campaign.toml (author)", 0)],
    ids=["template", "config"],
)
def test_what_changed_since_is_named(
    approved: CommandLine, change: Callable[[CommandLine], None], named: str, left: int
) -> None:
    """The file, or the key; letters that it does not touch go."""
    change(approved)
    said = approved("send")
    assert (said.code, named in said.err) == (2, True)
    assert len(_outbox(approved)) == left


def test_a_changed_attachment_is_named(campaign: CommandLine) -> None:
    """The letter that carries it stays."""
    files = campaign.folder / "attachments"
    files.mkdir()
    (files / "report.txt").write_text("twelve marchers\n", "utf-8")
    rows = LIST.replace("name\n", "name,attachments\n").replace("Ben\n", "Ben,attachments/report.txt\n")
    campaign.write(rows=rows.replace("Ada\n", "Ada,\n").replace("Eva\n", "Eva,\n"))
    campaign("render")
    campaign(*BY)
    (files / "report.txt").write_text("thirteen marchers\n", "utf-8")
    said = campaign("send")
    assert (said.code, "ben@office.example" in said.err, "attachments/report.txt" in said.err) == (
        2,
        True,
        True,
    )
    assert len(_outbox(campaign)) == 2


def test_a_changed_fact_is_named(campaign: CommandLine) -> None:
    """In the letters that tell it: a fact that none tells stops nothing."""
    facts = campaign.folder / "templates/facts.toml"
    facts.write_text('march = "1 May"\nother = "x"\n', "utf-8")
    for language in ("en", "es"):
        _edit(
            campaign.folder / f"templates/letter.{language}.md", "please", "since {{ facts.march }}, please"
        )
    campaign("render")
    campaign(*BY)
    _edit(facts, "1 May", "2 May")
    said = campaign("send")
    assert (said.code, said.err.count("not sent to"), "templates/facts.toml" in said.err) == (2, 3, True)
    assert _outbox(campaign) == []
    facts.write_text('march = "1 May"\nother = "y"\n', "utf-8")
    assert campaign("send").code == 0
    assert len(_outbox(campaign)) == 3


def test_an_altered_draft_is_refused_by_name(approved: CommandLine) -> None:
    """One octet on the disk, after the approval."""
    path = _draft(approved, "eva")
    path.write_bytes(path.read_bytes()[:-3] + b"x\r\n")
    said = approved("send")
    assert (said.code, "eva@oficina.example" in said.err, "altered" in said.err) == (2, True, True)
    assert len(_outbox(approved)) == 2


def test_a_run_refuses_an_altered_draft_when_its_turn_has_come(approved: CommandLine) -> None:
    """It is planned again, not failed; told once."""
    assert approved("send", "--limit", "1").code == 3
    path = _draft(approved, "eva")
    path.write_bytes(b"")
    release = ("--set", "campaign.auto_release=true", "run")
    said = approved(*release)
    assert (said.code, "altered" in said.err) == (2, True)
    letters = approved("status", "--json").json["letters"]
    assert (letters["sent"], letters["planned"], letters["failed"]) == (2, 1, 0)
    assert len(_outbox(approved)) == 2


def test_new_rows_wait_and_are_counted(approved: CommandLine) -> None:
    """They are not approved; exit 3, for they only wait."""
    approved.write(rows=LIST + "zoe@office.example,en,Zoe\n")
    said = approved("send")
    assert said.code == 3
    assert "1 letter is not approved: `campaign render`" in said.err
    assert len(_outbox(approved)) == 3
    assert any("not approved" in note["message"] for note in approved("status", "--json").json["problems"])


def test_required_without_an_approval_sends_nothing_and_says_what_to_run(campaign: CommandLine) -> None:
    """Exit 2."""
    campaign.write(config=REQUIRED)
    said = campaign("send")
    assert (said.code, "3 letters are not approved" in said.err, "campaign render" in said.err) == (
        2,
        True,
        True,
    )
    assert _outbox(campaign) == []
    for command in (("render",), BY, ("send",)):
        assert campaign(*command).code == 0
    assert len(_outbox(campaign)) == 3


def test_letters_released_before_it_was_required_are_planned_again(campaign: CommandLine) -> None:
    """What is queued and was never permitted waits like the others."""
    campaign("send", "--limit", "1")
    campaign.write(config=REQUIRED)
    assert campaign("--set", "campaign.auto_release=true", "run").code == 0
    letters = campaign("status", "--json").json["letters"]
    assert (letters["sent"], letters["planned"], letters["queued"]) == (1, 2, 0)


def test_a_withdrawn_approval_is_honoured_no_longer(approved: CommandLine) -> None:
    """Where none is required, letters just go again, as they are today."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    assert approved("approve", "--by", "R. B.", "--withdraw", "--json").json["withdrawn"] == 3
    assert approved("send").code == 0
    assert any(b"Adah" in message for message in _outbox(approved))


def test_a_dry_run_says_what_would_stay_and_keeps_nothing_back(approved: CommandLine) -> None:
    """The reason stands with the letter."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    said = approved("send", "--dry-run", "--json").json
    assert [one["to"] for one in said["would_send"]] == ["ben@office.example", "eva@oficina.example"]
    assert "recipients.csv:2 (name)" in said["would_not_send"][0]["why"]


def test_an_approval_holds_in_its_own_world(approved: CommandLine, tmp_path: Path) -> None:
    """What was approved in the sandbox is not approved for a real relay: the Message-IDs differ."""
    with relay_here(tmp_path / "relay") as url:
        real = ("--set", f"relay.url={url}", "--set", "campaign.approval=required")
        assert approved(*real, "send", "--yes").code == 2
        approved(*real, "render")
        approved(*real, *BY)
        drafts = {
            (approved.folder / ".campaign/drafts/real" / line["file"]).read_bytes()
            for line in _drafts(approved, "real")
        }
        assert approved(*real, "send", "--yes").code == 0
    assert accepted(tmp_path / "relay") == 3
    outbox = [path.read_bytes() for path in (tmp_path / "relay/new").iterdir()]
    assert all(_is_among(draft, outbox) for draft in drafts)


def test_the_number_typed_counts_only_what_may_go(
    approved: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question before a real send leaves the withheld letters out."""
    terminal = Terminal(monkeypatch)
    with relay_here(tmp_path / "relay") as url:
        real = ("--set", f"relay.url={url}")
        approved(*real, "render")
        approved(*real, *BY)
        _edit(approved.folder / "recipients.csv", "Ada", "Adah")
        terminal.types("2\n")
        assert approved(*real, "send").code == 2
    assert accepted(tmp_path / "relay") == 2


# -- the Date


def _later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    then = datetime.now(UTC) + timedelta(days=days)
    monkeypatch.setattr(SystemClock, "now", lambda self: then)


def test_after_more_than_three_days_the_date_and_nothing_else_is_new(
    approved: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Date weeks in the past is what spam has; `show` says that it was set."""
    draft = _draft(approved, "ada").read_bytes()
    _later(monkeypatch, 20)
    assert approved("send").code == 0
    (sent,) = [message for message in _outbox(approved) if b"To: Ada" in message]
    sent = sent.replace(b"\r\n", b"\n")
    assert not _is_among(draft, [sent])
    lines = [line for line in draft.replace(b"\r\n", b"\n").splitlines() if line not in sent.splitlines()]
    assert [line.split(b":")[0] for line in lines] == [b"Date"]
    assert "its Date was set anew" in approved("show", "ada@office.example").out


def test_within_three_days_the_date_stays(approved: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are those that were approved."""
    draft = _draft(approved, "ada").read_bytes()
    _later(monkeypatch, 2.9)
    assert approved("send").code == 0
    assert _is_among(draft, _outbox(approved))


# -- diff


def test_diff_shows_both_versions_of_what_changed(approved: CommandLine) -> None:
    """Side by side, with the reason; the others are counted."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    said = approved("diff")
    assert said.code == 0
    assert "recipients.csv:2 (name)" in said.out
    assert any("Dear Ada," in line and "| Dear Adah," in line for line in said.out.splitlines())
    assert "1 changed, 2 as they were approved, 0 not rendered yet" in said.out


def test_diff_as_json_and_of_one_letter(approved: CommandLine) -> None:
    """Whole texts, before and after."""
    _edit(approved.folder / "templates/letter.en.md", "release them", "let them go")
    said = approved("diff", "--json").json
    assert [change["to"] for change in said["changed"]] == ["ada@office.example", "ben@office.example"]
    assert "release them" in said["changed"][0]["before"]
    assert "let them go" in said["changed"][0]["after"]
    one = approved("diff", "ben@office.example", "--json").json
    assert [change["to"] for change in one["changed"]] == ["ben@office.example"]
    assert approved("diff", "nobody@office.example").code == 2


def test_diff_after_rendering_shows_what_was_approved(approved: CommandLine) -> None:
    """The approved draft stays until the new one is approved."""
    _edit(approved.folder / "recipients.csv", "Ada", "Adah")
    approved("render")
    (change,) = approved("diff", "--json").json["changed"]
    assert "Dear Ada," in change["before"]
    approved(*BY)
    assert approved("diff", "--json").json["changed"] == []


def test_diff_knows_letters_that_were_rendered_and_not_approved(campaign: CommandLine) -> None:
    """Between rendering and approving."""
    campaign("render")
    campaign.write(template=TEMPLATE.replace("release", "free"))
    assert len(campaign("diff", "--json").json["changed"]) == 3


# -- whose draft it is


def test_drafts_of_another_world_are_not_approved(campaign: CommandLine) -> None:
    """A letter has another Message-ID there; so have those of another folder."""
    campaign("render")
    drafts = campaign.folder / ".campaign/drafts"
    campaign.write(config=CONFIG.replace("sandbox:", "smtp://127.0.0.1:9"))
    campaign("plan")
    shutil.copytree(drafts / "sandbox", drafts / "real")
    said = campaign(*BY)
    assert (said.code, "the drafts are not of these letters: there is no letter 1" in said.err) == (2, True)


def test_a_manifest_that_gives_a_letter_anothers_draft_is_not_approved(campaign: CommandLine) -> None:
    """The files are as they were, and Ada would get Ben's letter."""
    campaign("render")
    manifest = campaign.folder / ".campaign/drafts/sandbox/manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    for name in ("file", "size", "sha256"):
        lines[1][name], lines[2][name] = lines[2][name], lines[1][name]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    said = campaign(*BY)
    assert (said.code, "is another's" in said.err) == (2, True)
    campaign.write(config=REQUIRED)
    assert campaign("send").code == 2
    assert _outbox(campaign) == []


def test_approved_again_a_letter_that_went_keeps_who_approved_it(approved: CommandLine) -> None:
    """Who says yes later did not say it of these bytes."""
    _edit(approved.folder / "recipients.csv", "Ben", "Benno")
    assert approved("send").code == 2
    said = approved("approve", "--by", "Late", "--json").json
    assert (said["letters"], said["by"]) == (1, "Late")
    for name, by in (("ada", "R. B."), ("ben", "Late")):
        (letter,) = approved("show", f"{name}@office.example", "--json").json["letters"]
        assert letter["approved_by"] == by


def test_of_two_letters_to_one_office_it_is_told_whose_has_changed(campaign: CommandLine) -> None:
    """By `send`, and side by side."""
    header = "name,email,words,consent_date,consent_source\n"
    signed = (
        header + "Mia,mia@home.example,Please.,2026-03-02,form\nTom,tom@home.example,Now.,2026-03-02,form\n"
    )
    (campaign.folder / "signatories.csv").write_text(signed)
    template = TEMPLATE + "\n{{ signatory.words }}\n"
    campaign.write(rows="email,language,name\nada@office.example,en,Ada\n", template=template)
    assert campaign("render").code == campaign(*BY).code == 0
    (campaign.folder / "signatories.csv").write_text(signed.replace("Now.", "At once."))
    said = campaign("send")
    assert "not sent to ada@office.example of tom@home.example: changed since" in said.err
    assert "mia@home.example" not in said.err
    assert " of Tom to ada@office.example: " in campaign("diff").out


def test_render_takes_away_nothing_that_is_no_draft(campaign: CommandLine) -> None:
    """Neither a file that somebody laid there, nor one behind a link; and it writes through no link."""
    drafts, elsewhere = campaign.folder / ".campaign/drafts/sandbox", campaign.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "passwd").write_text("mine")
    (elsewhere / "000009-en-old@office.example-0123abcd.eml").write_text("mine too")
    campaign("render")
    (drafts / "0000/notes.txt").write_text("read on Monday")
    (drafts / "0007").symlink_to(elsewhere)
    assert campaign("render").code == 0
    assert (drafts / "0000/notes.txt").exists()
    assert len(list(elsewhere.iterdir())) == 2
    shutil.rmtree(drafts / "0000")
    (drafts / "0000").symlink_to(elsewhere)
    said = campaign("render", "--all")
    assert (said.code, "is a link" in said.err) == (2, True)
    assert len(list(elsewhere.iterdir())) == 2
