"""`--json`: one valid document for each command, with the keys that other programs rely on.

`tests/golden/json-keys.json` holds the keys: an object for an object, a list of one for a list, a word for
the type of a value. A key more or less is a change of the contract: raise `schema` with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine

KEYS = json.loads((Path(__file__).parent.parent / "golden/json-keys.json").read_text("utf-8"))
BAD_LIST = "email,name\nada@office.example,Ada\nnonsense,Nobody\n"


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign with a letter sent, one in doubt, one deferred, one failed; an address is suppressed."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    names = ("ada", "sandbox-drops", "sandbox-defers", "sandbox-refuses")
    command.write(rows="email,name\n" + "".join(f"{name}@office.example,{name}\n" for name in names))
    command("suppress", "add", "eva@office.example")
    command("send")
    return command


def _shape(value: Any) -> Any:
    """Return the keys of a document, and the types of its values; null fits every type."""
    match value:
        case dict():
            return {name: _shape(inner) for name, inner in value.items()}
        case list():
            return [_shape(value[0])] if value else []
        case bool():
            return "true or false"
        case int():
            return "number"
        case None:
            return "null"
        case _:
            return "text"


def _fits(shape: Any, wanted: Any) -> bool:
    """Say whether a document has exactly the wanted keys; empty lists and nulls tell nothing."""
    match wanted:
        case {"*": inner}:
            return isinstance(shape, dict) and all(_fits(value, inner) for value in shape.values())
        case dict():
            same = isinstance(shape, dict) and shape.keys() == wanted.keys()
            return same and all(_fits(shape[name], wanted[name]) for name in wanted)
        case [inner]:
            return isinstance(shape, list) and all(_fits(value, inner) for value in shape)
        case str():
            return shape == wanted or shape in wanted.split(" or ")
    return False


DOCUMENTS = {
    "check": ("check",),
    "preview": ("preview",),
    "preview-out": ("preview", "--out", "letters"),
    "approve-translation": ("approve", "--translation", "es", "--by", "M. Diez"),
    "preview-versions": ("preview", "--side-by-side"),
    "dry-run": ("send", "--dry-run"),
    "test": ("send", "--to", "me@example.org"),
    "status": ("status",),
    "show": ("show", "ada@office.example"),
    "resolve-list": ("resolve",),
    "decision": ("resolve", "--sent", "sandbox-drops@office.example"),
    "pause": ("pause",),
    "resume": ("resume",),
    "suppress-list": ("suppress", "list"),
    "suppress-add": ("suppress", "add", "ben@office.example"),
    "suppress-remove": ("suppress", "remove", "eva@office.example"),
    "run-print-cron": ("run", "--print-cron"),
    "init": ("init", "another"),
    "export": ("export", "--evidence", "all"),
    "verify": ("verify", "campaign.toml"),
    "plan": ("plan",),
    "render": ("render",),
    "diff": ("diff",),
    "followup": ("followup", "--after", "14d"),
    "approve-withdraw": ("approve", "--by", "R. B.", "--withdraw"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_command_gives_one_document_with_its_keys(campaign: CommandLine, name: str) -> None:
    """Nothing else on stdout, nothing on stderr."""
    said = campaign(*DOCUMENTS[name], "--json")
    assert said.err == ""
    assert said.json["schema"] == 1
    assert _fits(_shape(said.json), KEYS[name]), json.dumps(_shape(said.json), indent=2)


@pytest.mark.parametrize(
    ("command", "decided"), [("resend", "sandbox-refuses"), ("cancel", "sandbox-defers")]
)
def test_decisions_count_letters(campaign: CommandLine, command: str, decided: str) -> None:
    """How many it was."""
    said = campaign(command, f"{decided}@office.example", "--json")
    assert said.json == {"schema": 1, "letters": 1}


def test_a_letter_of_send_has_its_keys(campaign: CommandLine) -> None:
    """A line for each, and the summary last."""
    campaign.write(rows="email,name\nzoe@office.example,Zoe\n")
    lines = campaign("send", "--json").lines
    assert _fits(_shape(lines[0]), KEYS["send-letter"]), _shape(lines[0])
    assert _fits(_shape(lines[-1]), KEYS["summary"])


def test_an_approval_has_its_keys(campaign: CommandLine) -> None:
    """After a rendering."""
    campaign.write(rows="email,name\nzoe@office.example,Zoe\n")
    campaign("render")
    assert _fits(_shape(campaign("approve", "--by", "R. B.", "--json").json), KEYS["approve"])


def test_run_ends_with_the_summary_too(campaign: CommandLine) -> None:
    """The same keys."""
    assert _fits(_shape(campaign("run", "--json").lines[-1]), KEYS["summary"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("preview", "nobody@office.example"),
        ("send",),
        ("send", "--dry-run"),
        ("status",),
        ("show", "nobody@office.example"),
        ("resolve", "nobody@office.example", "--sent"),
        ("run",),
        ("suppress", "add", "nonsense"),
        ("init", "."),
        ("export", "--evidence", "nobody@office.example"),
        ("verify", "nowhere.zip"),
    ],
)
def test_errors_are_json_too(campaign: CommandLine, arguments: tuple[str, ...]) -> None:
    """Each line on stdout is JSON, and the exit code stands in the last one that is no check."""
    campaign.write(rows=BAD_LIST)
    if arguments == ("status",):
        (campaign.folder / "campaign.toml").write_text("nonsense", "utf-8")
    said = campaign(*arguments, "--json")
    assert (said.code, said.err) == (2, "")
    last = said.lines[-1]
    assert last.get("exit") == 2 or (last["ok"], arguments) == (False, ("check",))


def test_a_check_of_nothing_still_has_its_keys(campaign: CommandLine) -> None:
    """Who reads `ok` finds it, whatever is missing."""
    (campaign.folder / "recipients.csv").unlink()
    said = campaign("check", "--json")
    assert (said.code, said.json["ok"]) == (2, False)
    assert _fits(_shape(said.json), KEYS["check"])


def test_the_states_add_up_to_the_total(campaign: CommandLine) -> None:
    """The eight states are all there are."""
    letters = campaign("status", "--json").json["letters"]
    total = letters.pop("total")
    assert len(letters) == 8
    assert total == sum(letters.values()) == 4
