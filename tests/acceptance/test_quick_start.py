"""The quick start: the sample campaign to the sandbox, then to a relay, each letter once."""

from __future__ import annotations

import csv
import email
import email.policy
import mailbox
import subprocess
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, copy_sample
from tests.peers import need, smtp_sink

OFFICES, SIGNATORIES, LETTERS = 12, 8, 24
UNPACED = ("limits.relay=off", "limits.per_domain=off")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> CampaignFolder:
    """The sample campaign after the first `campaign send`."""
    folder = copy_sample(tmp_path_factory.mktemp("quick-start"))
    finished = folder.run("send")
    assert finished.code == 0, finished.said
    return folder


def outbox(folder: CampaignFolder) -> Path:
    """The sandbox's Maildir."""
    return folder.root / ".campaign" / "outbox"


def rows_of(folder: CampaignFolder, name: str) -> list[dict[str, str]]:
    """Return the rows of one of the lists."""
    with (folder.root / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_sample_letter_lands_in_the_outbox_once(sent: CampaignFolder) -> None:
    """A fresh copy, `campaign send`: a letter for every pair in the Maildir, none twice.

    The sample's rule pairs those who write a language with those who read it.
    """
    offices, signatories = rows_of(sent, "recipients.csv"), rows_of(sent, "signatories.csv")
    assert (len(offices), len(signatories)) == (OFFICES, SIGNATORIES)
    assert len({one["language"] for one in signatories}) == 4
    wanted = sorted(
        (f"{one['name']} via Solidarity Committee", office["email"])
        for one in signatories
        for office in offices
        if one["language"] == office["language"]
    )
    assert len(wanted) == LETTERS
    found = []
    for path in (outbox(sent) / "new").iterdir():
        letter = email.message_from_bytes(path.read_bytes())
        name, address = parseaddr(str(make_header(decode_header(letter["From"]))))
        assert address == "letters@example.org"
        found.append((name, letter["Delivered-To"]))
    assert sorted(found) == wanted


def test_status_adds_up(sent: CampaignFolder) -> None:
    """All letters are counted as sent, in the sandbox's world."""
    status = sent.run("status", "--json").document
    assert status["world"] == "sandbox"
    assert status["letters"]["total"] == status["letters"]["sent"] == LETTERS
    assert sent.states() == {"sent": LETTERS}


def test_a_second_send_sends_nothing(sent: CampaignFolder) -> None:
    """Every send is a resume: nothing is left, exit 0, and off a terminal not a word."""
    again = sent.run("send")
    assert (again.code, again.said) == (0, "")
    assert len(mailbox.Maildir(outbox(sent))) == LETTERS


def test_a_real_relay_gets_every_letter_once_although_the_sandbox_had_them(tmp_path: Path) -> None:
    """Sandbox first, then a relay, then the relay again: it sees each letter once."""
    folder = copy_sample(tmp_path)
    assert folder.run("send").code == 0
    with smtp_sink() as sink:
        real = folder.at(sink.url, *UNPACED)
        assert real.send().code == 0
        first = sink.letters()
        assert real.send().code == 0
        assert (first.total(), set(first.values())) == (LETTERS, {SIGNATORIES // 4})
        assert sink.letters() == first
        assert real.states() == {"sent": LETTERS}


def test_cyrillic_and_greek_arrive_as_written(sent: CampaignFolder) -> None:
    """Python's own parser reads subject and text back, letter for letter."""
    found = {}
    for path in sorted((outbox(sent) / "new").iterdir()):
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        body = letter.get_body(("plain",))
        assert body is not None
        found[str(letter["Delivered-To"])] = (str(letter["Subject"]), body.get_content())
    russian = found["embassy@lazoria.embassy-of-verania.example"]
    assert (
        russian[0] == "Первомайское шествие в Вельморе: освободить заключённых, расследовать насилие полиции"
    )
    assert "Уважаемая госпожа посол!" in russian[1]
    assert "Поэтому мы призываем власти Верании:" in russian[1]
    greek = found["presveia@pelagia.embassy-of-verania.example"]
    assert "Βελμόρ" in greek[0]
    assert "Αξιότιμη κυρία Πρέσβη," in greek[1]


@pytest.mark.peer
def test_mutt_shows_the_letters_as_written(sent: CampaignFolder, tmp_path: Path) -> None:
    """mutt opens the outbox and decodes Cyrillic and Greek, subject and text."""
    shown = tmp_path / "shown"
    shown.mkdir()
    script = tmp_path / "muttrc"
    script.write_text(
        f"""\
set folder="{tmp_path}"
set header_cache=""
set charset="utf-8"
set pipe_decode=yes
set pipe_split=yes
set wait_key=no
set quit=yes
set sort=subject
set sleep_time=0
set timeout=0
unset mark_old
push "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat > {shown}/$$<enter><exit>"
""",
        "utf-8",
    )
    mutt = need("mutt", "mutt")
    need("script", "bsdutils")
    done = subprocess.run(
        ["script", "-qec", f"{mutt} -n -R -F {script} -f {outbox(sent)}", "/dev/null"],
        env=sent.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    texts = [path.read_text("utf-8") for path in shown.iterdir()]
    assert len(texts) == LETTERS, done.stdout + done.stderr
    russian = next(text for text in texts if "Уважаемая госпожа посол!" in text)
    assert "Subject: Первомайское шествие в Вельморе" in russian
    greek = next(text for text in texts if "Αξιότιμη κυρία Πρέσβη," in text)
    assert "Βελμόρ" in greek.split("\n\n")[0]
