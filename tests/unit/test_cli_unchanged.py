"""A campaign that has not changed is not read again; whatever has changed is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import folder, unchanged
from pipeline.delivery.compose import Composer
from pipeline.store.lock import RunLock
from tests.command_line import CONFIG, LIST, TEMPLATE, CommandLine, accepted

ATTACHED = TEMPLATE.replace('name }}"\n', 'name }}"\nattachments = ["statement.txt"]\n', 1)
Change = Callable[[Path], object]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for every time the whole campaign is checked."""
    seen: list[str] = []
    check = folder.check_folder

    def counted(*arguments: object, **options: object) -> object:
        seen.append("checked")
        return check(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "check_folder", counted)
    return seen


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters with an attachment; its files count as written long ago."""
    monkeypatch.setattr(unchanged, "FINE_US", 0)
    monkeypatch.setattr(unchanged, "COARSE_US", 0)
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(template=ATTACHED)
    (command.folder / "statement.txt").write_text("They marched.\n")
    return command


def test_a_send_that_goes_on_reads_the_list_no_more(campaign: CommandLine, checks: list[str]) -> None:
    """The first run checks and plans all of it; the next ones take up where it stopped."""
    assert campaign("send", "--limit", "1").code == 3
    for _ in range(2):
        assert campaign("send", "--limit", "1").code in (0, 3)
    assert checks == ["checked"]
    assert accepted(campaign.folder / ".campaign/outbox") == 3


@pytest.mark.parametrize("before", [False, True], ids=["checked", "in line"])
def test_what_changed_before_the_lock_was_had_is_looked_at_again(
    campaign: CommandLine, checks: list[str], monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Another process may have planned with it meanwhile: no letter is written from older templates."""
    campaign("send", "--limit", "1") if before else campaign("status")
    checks.clear()
    enter = RunLock.__enter__

    def late(lock: RunLock) -> RunLock:
        for name in ("en", "es"):
            path = campaign.folder / f"templates/letter.{name}.md"
            path.write_text(ATTACHED.replace("please release", "we ask you to release"), "utf-8")
        return enter(lock)

    monkeypatch.setattr(RunLock, "__enter__", late)
    assert campaign("send").code == 0
    assert len(checks) == (1 if before else 2)
    filed = [path.read_text("utf-8") for path in (campaign.folder / ".campaign/outbox/new").iterdir()]
    assert sum("we ask you to release" in text for text in filed) == (2 if before else 3)


def test_a_scheduled_run_reads_the_list_no_more(campaign: CommandLine, checks: list[str]) -> None:
    """Cron runs every ten minutes, and a list changes once a week."""
    campaign("send", "--limit", "1")
    assert campaign("run").code == 0
    assert checks == ["checked"]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "recipients.csv").write_text(LIST + "zoe@office.example,en,Zoe\n"),
        lambda root: (root / "campaign.toml").write_text(CONFIG.replace("May Day", "The First of May")),
        lambda root: (root / "templates/letter.es.md").write_text(ATTACHED.replace("please", "por favor")),
        lambda root: (root / "templates/layout.html").write_text("<p>{{ body }}</p>"),
        lambda root: (root / "templates/letter.es.md").unlink(),
        lambda root: (root / "statement.txt").write_text("They marched, and were beaten.\n"),
        lambda root: (root / "statement.txt").unlink(),
        lambda root: (
            (root / "statement.txt").replace(root / "statement.txt.old")
            and (root / "statement.txt").write_text("They marched.\n")
        ),
    ],
    ids=["row", "config", "template", "new-layout", "no-template", "attachment", "no-attachment", "replaced"],
)
def test_whatever_changes_is_looked_at(campaign: CommandLine, checks: list[str], change: Change) -> None:
    """A row, the settings, a text, a file that letters carry."""
    campaign("send", "--limit", "1")
    change(campaign.folder)
    campaign("send", "--limit", "1")
    assert checks == ["checked", "checked"]


def test_a_changed_row_reaches_its_letter(campaign: CommandLine) -> None:
    """A letter that has not been tried is written from today's row."""
    campaign("send", "--limit", "1")
    (campaign.folder / "recipients.csv").write_text(LIST.replace("en,Ben", "en,Benjamin"))
    assert campaign("send").code == 0
    letters = [path.read_text() for path in (campaign.folder / ".campaign/outbox/new").iterdir()]
    assert sum("Dear Benjamin," in letter for letter in letters) == 1


def test_settings_of_the_command_line_count_as_well(campaign: CommandLine, checks: list[str]) -> None:
    """An overridden author makes other letters; another pace does not."""
    campaign("send", "--limit", "1")
    campaign("--set", "limits.relay=500/s", "send", "--limit", "1")
    assert checks == ["checked"]
    campaign("--set", "campaign.author=Others <others@example.org>", "send", "--limit", "1")
    assert checks == ["checked", "checked"]
    campaign("--set", "limits.attachments=10MB", "send", "--limit", "1")
    assert checks == ["checked"] * 3


def test_a_list_with_errors_is_looked_at_every_time(campaign: CommandLine, checks: list[str]) -> None:
    """Rows left out by --skip-bad are told in every run."""
    (campaign.folder / "recipients.csv").write_text(LIST + "nobody,en,Nobody\n")
    for _ in range(2):
        assert "nobody" in campaign("send", "--skip-bad", "--limit", "1").err
    assert checks == ["checked", "checked"]
    assert campaign("send").code == 2


def test_a_file_changed_just_now_is_not_relied_on(
    campaign: CommandLine, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further change in the same moment would leave no trace."""
    monkeypatch.setattr(unchanged, "FINE_US", 10**15)
    for _ in range(2):
        campaign("send", "--limit", "1")
    assert checks == ["checked", "checked"]


def test_the_order_of_settings_counts_for_the_last_one_wins(campaign: CommandLine, checks: list[str]) -> None:
    """The same words in another order are another campaign."""
    first, second = ("--set", "campaign.name=One"), ("--set", "campaign.name=Two")
    campaign(*first, *second, "send", "--limit", "1")
    campaign(*second, *first, "send", "--limit", "1")
    assert checks == ["checked", "checked"]


def test_letters_that_cannot_be_written_quickly_are_checked_each_time(
    campaign: CommandLine, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check finds out that the quick way differs; a send without it would send what differs."""
    quickly = Composer._write_quickly

    def wrong(composer: Composer, *arguments: object) -> bytes | None:
        written = quickly(composer, *arguments)  # type: ignore[arg-type]
        return written.replace(b"Dear", b"Deer") if written is not None else None

    monkeypatch.setattr(Composer, "_write_quickly", wrong)
    for _ in range(2):
        campaign("send", "--limit", "1")
    assert checks == ["checked", "checked"]
    letters = [path.read_text() for path in (campaign.folder / ".campaign/outbox/new").iterdir()]
    assert [letter.count("Dear") for letter in letters] == [2, 2]
