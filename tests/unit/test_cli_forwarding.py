"""Replies passed on to the organisers: each once, to nobody who has it, and never round and round."""

from __future__ import annotations

import sqlite3
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.forwarding import MOST_TOGETHER, parts_of
from pipeline.delivery.sandbox import Outbox
from pipeline.store.notices import Forwardable
from tests.command_line import CommandLine
from tests.replies_campaign import answer, bounce, mail
from tests.unit.test_cli_replies import Replies

ORGANISERS = ("anna@home.example", "boris@home.example")


class Forwarding(Replies):
    """A campaign whose replies are passed on."""

    def __init__(self, campaign: CommandLine, *keys: str) -> None:
        super().__init__(campaign)
        self("resolve", "--sent", "all")
        path = campaign.folder / "campaign.toml"
        text = path.read_text() + f"forward_to = {list(ORGANISERS)}\n" + "".join(f"{key}\n" for key in keys)
        path.write_text(text)

    def notices(self) -> list[EmailMessage]:
        """Return the notices that were sent."""
        outbox = self.campaign.folder / ".campaign/outbox"
        found = [
            message_from_bytes(path.read_bytes(), policy=policy.default) for path in outbox.glob("new/*")
        ]
        return sorted(
            (one for one in found if one["To"] in ORGANISERS), key=lambda one: (one["To"], one["Subject"])
        )

    def run(self, *mails: str | bytes) -> Any:
        """Put mails into the box and do what cron does."""
        for one in mails:
            self.box.put(one)
        return self("run")


@pytest.fixture
def forwarding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Forwarding:
    """A notice for each reply."""
    return Forwarding(CommandLine(tmp_path / "mayday", capsys, monkeypatch))


def text_of(notice: EmailMessage) -> str:
    """Return the words of a notice."""
    part = notice.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def test_each_reply_of_a_person_is_passed_on_once(forwarding: Forwarding) -> None:
    """To each organiser; the next run adds nothing, nor does sorting again."""
    forwarding.run(answer(forwarding.letters["ada"], "We will look into it."))
    assert [notice["To"] for notice in forwarding.notices()] == list(ORGANISERS)
    forwarding("run")
    forwarding("replies", "fetch", "--again")
    forwarding("send")
    assert len(forwarding.notices()) == 2


def test_a_notice_says_what_was_answered_and_holds_the_mail(forwarding: Forwarding) -> None:
    """The new words first, the letter they answer, and the mail as it came."""
    forwarding.run(
        answer(forwarding.letters["ada"], "We will look into it.\n\n> Dear ada,", Cc="x@y.example")
    )
    notice = forwarding.notices()[0]
    assert "answers letter 1 to ada@office.example" in text_of(notice)
    assert "We will look into it." in text_of(notice)
    assert "> Dear ada" not in text_of(notice)
    (inner,) = [part for part in notice.walk() if part.get_content_type() == "message/rfc822"]
    assert inner.get_payload(0)["Cc"] == "x@y.example"  # type: ignore[index]


def test_a_notice_calls_an_opt_out_only_what_may_be_one(forwarding: Forwarding) -> None:
    """There are other reasons for a person to look at a reply."""
    folder = Path(__file__).parents[1] / "replies/human"
    forwarding.run((folder / "answers-from-an-address-that-takes-none.eml").read_bytes())
    assert "an opt-out" not in text_of(forwarding.notices()[0])
    forwarding.run(answer(forwarding.letters["ada"], "I have read it. Please remove me from your list."))
    assert sum("may be an opt-out" in text_of(notice) for notice in forwarding.notices()) == len(ORGANISERS)


def test_nothing_answers_a_notice(forwarding: Forwarding) -> None:
    """It says that a program wrote it, and its return path is null."""
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    notice = forwarding.notices()[0]
    assert notice["Auto-Submitted"] == "auto-generated"
    assert notice["Return-Path"] == "<>"


def test_a_mail_of_other_octets_goes_along_unchanged(forwarding: Forwarding) -> None:
    """As a file, for message/rfc822 must not be encoded."""
    raw = answer(forwarding.letters["ada"], "Мы получили ваше письмо.").encode("koi8-r")
    forwarding.run(raw)
    (file,) = [part for part in forwarding.notices()[0].walk() if part.get_filename() == "reply.eml"]
    assert file.get_payload(decode=True) == raw


def test_machines_mail_is_not_passed_on(forwarding: Forwarding) -> None:
    """Bounces and opt-outs act; they are told by `status`."""
    forwarding.run(
        bounce(forwarding.letters["ada"], "ada@office.example", "550 5.1.1 no such user"),
        answer(forwarding.letters["ben"], "stop"),
        answer(forwarding.letters["eva"], "I am away.", Auto_Submitted="auto-replied"),
    )
    assert forwarding.notices() == []


def test_the_writer_gets_no_notice_of_it(forwarding: Forwarding) -> None:
    """Nor does anybody for a reply of one of us: that is how loops begin."""
    forwarding.run(answer(forwarding.letters["ada"], "I answer for her.", whose=f"Anna <{ORGANISERS[0]}>"))
    assert forwarding.notices() == []


def test_who_passed_it_on_has_it_already(forwarding: Forwarding) -> None:
    """The other organiser gets it."""
    inner = answer(forwarding.letters["ada"], "We will see.")
    header = {
        "From": ORGANISERS[0],
        "To": "letters@example.org",
        "Subject": "Fwd: her answer",
        "Message-ID": "<f@home.example>",
        "MIME-Version": "1.0",
        "Content-Type": "message/rfc822",
    }
    forwarding.run(mail(header, inner))
    (notice,) = forwarding.notices()
    assert notice["To"] == ORGANISERS[1]
    assert f"Passed on by {ORGANISERS[0]}" in text_of(notice)


def test_a_notice_that_comes_back_is_known_and_goes_no_further(forwarding: Forwarding) -> None:
    """Forwarded into the campaign's own mailbox, say."""
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    sent = forwarding.notices()
    forwarding.run(*[notice.as_bytes() for notice in sent])
    assert len(forwarding.notices()) == len(sent)
    assert forwarding("status")["replies"] == {"human": 1}


def test_a_digest_is_one_notice_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that came; the next run has the next ones."""
    digest = Forwarding(CommandLine(tmp_path / "mayday", capsys, monkeypatch), 'forward = "digest"')
    digest.run(*(answer(digest.letters[name], f"Yes, says {name}.") for name in ("ada", "ben", "eva")))
    assert [notice["Subject"] for notice in digest.notices()] == ["[May Day] 3 replies"] * 2
    assert all(f"Yes, says {name}." in text_of(digest.notices()[0]) for name in ("ada", "ben", "eva"))
    digest("run")
    assert len(digest.notices()) == 2
    digest.run(answer(digest.letters["kai"], "Me too."))
    assert len(digest.notices()) == 4


def test_a_backlog_goes_out_in_digests_that_fit_into_memory() -> None:
    """At most so many replies and so many octets together; a large one goes alone, and none is left out."""
    sizes = [1_000] * 250 + [6_000_000, 6_000_000, 30_000_000, 1_000]
    found = [Forwardable(f"{number}", size, "a@b.example", "") for number, size in enumerate(sizes)]
    parts = list(parts_of(found, most=MOST_TOGETHER))
    assert [one for part in parts for one in part] == found
    assert [len(part) for part in parts] == [100, 100, 51, 1, 1, 1]
    assert list(parts_of([], most=MOST_TOGETHER)) == []


def test_a_long_backlog_is_told_in_several_digests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reply in one of them, and in no second one."""
    monkeypatch.setattr("pipeline.cli.forwarding.MOST_TOGETHER", 2)
    digest = Forwarding(CommandLine(tmp_path / "mayday", capsys, monkeypatch), 'forward = "digest"')
    digest.run(*(answer(digest.letters[name], f"Yes, says {name}.") for name in ("ada", "ben", "eva")))
    assert len(digest.notices()) == 4
    told = "".join(text_of(notice) for notice in digest.notices())
    assert [told.count(f"Yes, says {name}.") for name in ("ada", "ben", "eva")] == [2, 2, 2]
    digest("run")
    assert len(digest.notices()) == 4


def test_what_is_passed_on_is_told_to_who_listens(forwarding: Forwarding) -> None:
    """And not that there was nothing to send."""
    forwarding.box.put(answer(forwarding.letters["ada"], "Yes."))
    said = forwarding.campaign("run", "-v")
    assert "2 notices of replies passed on" in said.out
    assert "no letters to send" in said.out
    assert "nothing" not in said.out
    assert "passed on" not in forwarding.campaign("run").out


def test_notices_are_not_counted_among_the_letters(forwarding: Forwarding) -> None:
    """The eight states add up to the letters of the campaign."""
    before = forwarding("status")["letters"]
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    assert forwarding("status")["letters"] == before
    assert forwarding("status")["problems"] == []


def test_caps_and_the_end_of_the_campaign_do_not_hold_notices_back(forwarding: Forwarding) -> None:
    """They go to ourselves; the relay's own limits hold all the same."""
    settings = ("limits.in_sandbox=true", "limits.per_recipient=1/day", 'campaign.expires="2020-01-01"')
    for name in ("ada", "ben", "eva"):
        forwarding.box.put(answer(forwarding.letters[name], "Yes."))
    forwarding(*(word for setting in settings for word in ("--set", setting)), "run")
    assert len(forwarding.notices()) == 6


def test_where_the_null_return_path_is_refused_the_authors_address_does(
    forwarding: Forwarding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is remembered for the next run; each notice goes once."""
    refused = []

    async def only_the_named(
        self: Outbox, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in ("", "<>"):
            refused.append(address)
            return "550 5.7.1 null sender not accepted"
        envelope.mail_from = address
        return "250 2.1.0 OK"

    monkeypatch.setattr(Outbox, "handle_MAIL", only_the_named, raising=False)
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    assert [notice["Return-Path"] for notice in forwarding.notices()] == ["<letters@example.org>"] * 2
    times = len(refused)
    assert times
    forwarding.run(answer(forwarding.letters["ben"], "Yes."))
    assert (len(forwarding.notices()), len(refused)) == (4, times)


def test_a_notice_in_doubt_is_not_sent_again_and_is_told(forwarding: Forwarding) -> None:
    """At most once: the reply itself is in the store."""
    path = forwarding.campaign.folder / "campaign.toml"
    path.write_text(path.read_text().replace(ORGANISERS[0], "sandbox-drops@home.example"))
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    (problem,) = forwarding("status")["problems"]
    assert problem["code"] == "notice"
    assert "sandbox-drops@home.example" in problem["message"]
    forwarding("run")
    store = forwarding.campaign.folder / ".campaign/sandbox-notices.db"
    with sqlite3.connect(store) as connection:
        tries = connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
    connection.close()
    assert tries == 2


def test_a_notice_is_unique_for_a_reply_and_an_address(forwarding: Forwarding) -> None:
    """In the store itself, whatever the program thinks."""
    forwarding.run(answer(forwarding.letters["ada"], "Yes."))
    store = forwarding.campaign.folder / ".campaign/sandbox-notices.db"
    with sqlite3.connect(store) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(letters)") if row[1] != "id"]
        names = ", ".join(columns)
        again = names.replace("message_id", "message_id || 'x'")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(f"INSERT INTO letters ({names}) SELECT {again} FROM letters LIMIT 1")
    connection.close()
