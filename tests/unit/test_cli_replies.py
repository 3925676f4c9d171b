"""`campaign replies`: from a Maildir to letters, suppressions and figures, by the command line."""

from __future__ import annotations

import json
import mailbox
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.mails import StoredMail
from tests.command_line import CONFIG, CommandLine
from tests.replies_campaign import REPLIES, Box, answer, bounce, complaint, mail, sent_letters
from tests.unit.test_cli_documents import KEYS, _fits, _shape

NAMES = ("ada", "ben", "eva", "kai", "sandbox-drops")
ROWS = "email,name\n" + "".join(f"{name}@office.example,{name}\n" for name in NAMES)
TEMPLATE = """\
+++
subject = "The eleven of Velmor, {{ recipient.name }}"
+++
Dear {{ recipient.name }},

please release all eleven of them before the first of June, and let their lawyers see the files of the trial.
"""


class Replies:
    """A campaign with letters sent, and the box that answers come to."""

    def __init__(self, campaign: CommandLine) -> None:
        config = CONFIG.replace(
            'timezone = "UTC"', 'timezone = "UTC"\nreturn_path = "letters+{token}@example.org"'
        )
        campaign.write(rows=ROWS, config=config + REPLIES, template=TEMPLATE)
        campaign("send")
        self.campaign = campaign
        self.box = Box(campaign.folder / "box")
        found = sent_letters(campaign.folder / ".campaign/outbox")
        self.letters = {address.partition("@")[0]: letter for address, letter in found.items()}

    def __call__(self, *arguments: str) -> Any:
        """Run a command; return its JSON."""
        said = self.campaign(*arguments, "--json")
        assert "error" not in said.err, said.err
        return json.loads(said.out.splitlines()[-1])

    def fetch(self, *mails: str | bytes) -> Any:
        """Put mails into the box and fetch; return the summary."""
        for one in mails:
            self.box.put(one)
        return self("replies", "fetch")

    def only(self) -> Any:
        """Return the one reply there is."""
        (found,) = self("replies", "list")["replies"]
        return found

    def suppressed(self) -> dict[str, str]:
        """Return who is suppressed, and why."""
        entries = self("suppress", "list")["suppressions"]
        return {entry["address"].partition("@")[0]: entry["reason"] for entry in entries}


@pytest.fixture
def replies(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Replies:
    """Five letters in the sandbox, one of them in doubt."""
    return Replies(CommandLine(tmp_path / "mayday", capsys, monkeypatch))


# -- fetching


def test_a_reply_lands_beside_its_letter(replies: Replies) -> None:
    """With its kind, its words, and the reasons for both."""
    replies.fetch(answer(replies.letters["ada"], "We will look into it.\n\n> Dear ada,"))
    found = replies.only()
    assert (found["kind"], found["to"], found["text"]) == (
        "human",
        "ada@office.example",
        "We will look into it.",
    )
    assert "In-Reply-To names the letter" in found["matched"]


def test_fetching_again_adds_nothing(replies: Replies) -> None:
    """The mail is known, and so is its reply."""
    first = replies.fetch(answer(replies.letters["ada"], "Thank you."))
    again = replies.fetch()
    assert (first["fetched"], first["sorted"]) == (1, 1)
    assert (again["fetched"], again["sorted"], again["exit"]) == (0, 0, 0)
    assert len(replies("replies", "list")["replies"]) == 1


def test_the_mailbox_is_only_read(replies: Replies) -> None:
    """No file is moved, renamed or changed."""
    replies.box.put(answer(replies.letters["ada"], "Thank you."))
    before = {path: path.read_bytes() for path in replies.box.path.rglob("*") if path.is_file()}
    replies.fetch()
    assert {path: path.read_bytes() for path in replies.box.path.rglob("*") if path.is_file()} == before


def test_no_more_large_mails_lie_in_memory_together_than_need_be(
    replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch ends with so many octets, however few mails they are."""
    from pipeline.cli import collecting

    batches: list[int] = []
    sort = collecting._Sorter._sort

    def noted(self: collecting._Sorter, batch: list[StoredMail]) -> None:
        batches.append(len(batch))
        sort(self, batch)

    monkeypatch.setattr(collecting._Sorter, "_sort", noted)
    large = "word " * (collecting.BATCH_BYTES // 10)
    said = replies.fetch(*(answer(replies.letters["ada"], large + name) for name in NAMES))
    assert (said["sorted"], batches) == (5, [2, 2, 1])


def test_the_sandbox_takes_no_mail_from_the_real_world(replies: Replies) -> None:
    """It stays in the mailbox, whatever `after` says: what is stored in the sandbox counts for nobody."""
    replies.box.put(answer(replies.letters["ada"], "Yes."))
    assert replies("--set", "replies.after=delete", "replies", "fetch")["fetched"] == 1
    assert len(list((replies.campaign.folder / "box").glob("*/*"))) == 1


def test_an_mbox_does_as_well(replies: Replies) -> None:
    """The same mails out of one file."""
    box = mailbox.mbox(replies.campaign.folder / "box.mbox")
    box.add(answer(replies.letters["ada"], "Thank you."))
    box.add(bounce(replies.letters["ben"], "ben@office.example", "550 5.1.1 no such user here"))
    box.close()
    said = replies("--set", "replies.mailbox=mbox:box.mbox", "replies", "fetch")
    assert said["replies"] == {"bounce": 1, "human": 1}
    assert said["unmatched"] == 0


def test_each_line_and_the_summary_have_their_keys(replies: Replies) -> None:
    """JSON that others rely on."""
    replies.box.put(bounce(replies.letters["ben"], "ben@office.example", "550 5.1.1 no such user here"))
    first, last = replies.campaign("replies", "fetch", "--json").lines
    assert _fits(_shape(first), KEYS["replies-fetch-line"]), _shape(first)
    assert _fits(_shape(last), KEYS["replies-fetch"]), _shape(last)
    for name, command in {
        "replies-list": ("list",),
        "replies-show": ("show", "1"),
        "replies-assign": ("assign", "1", "none"),
        "replies-review": ("review", "1", "--keep"),
    }.items():
        document = replies("replies", *command)
        assert _fits(_shape(document), KEYS[name]), (name, _shape(document))
    assert _fits(_shape(replies("show", "ben@office.example"))["letters"], KEYS["show"]["letters"])


def test_without_a_mailbox_it_says_where_to_name_one(replies: Replies) -> None:
    """Exit 2, and the key."""
    said = replies.campaign("--set", 'replies.mailbox=""', "replies", "fetch")
    assert said.code == 2
    replies.campaign.write(rows=ROWS)
    said = replies.campaign("replies", "fetch")
    assert said.code == 2
    assert "[replies] mailbox" in said.err


def test_a_mailbox_that_is_not_there_is_told_and_what_is_stored_is_sorted(replies: Replies) -> None:
    """The words say what is missing."""
    said = replies.campaign("--set", "replies.mailbox=maildir:nowhere", "replies", "fetch")
    assert said.code == 2
    assert "nowhere" in said.err


def test_what_cannot_be_read_is_kept_as_unknown_and_the_next_mail_goes_on(replies: Replies) -> None:
    """A thousand nested parts, and a reply behind them."""
    parts = "".join(
        f'Content-Type: multipart/mixed; boundary="b{depth}"\n\n--b{depth}\n' for depth in range(1_000)
    )
    said = replies.fetch(
        "From: x@y.example\nMIME-Version: 1.0\n" + parts, answer(replies.letters["ada"], "Yes.")
    )
    assert said["replies"] == {"human": 1, "unknown": 1}
    (unknown,) = replies("replies", "list", "--kind", "unknown")["replies"]
    assert unknown["why"][0].startswith("unreadable: ")
    assert unknown["review"] == "unreadable"


def test_our_own_letter_that_comes_back_is_no_reply(replies: Replies) -> None:
    """A copy in Bcc, a Sent folder: it is counted nowhere, and it settles a doubt."""
    said = replies.fetch(replies.letters["sandbox-drops"].as_bytes())
    assert (said["sorted"], said["replies"], said["settled"]) == (1, {}, 1)
    assert replies("status")["letters"]["in_doubt"] == 0
    assert replies("replies", "list")["replies"] == []


# -- acting


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda letter, to: answer(letter, "stop"), "optout"),
        (lambda letter, to: complaint(letter), "complaint"),
        (lambda letter, to: bounce(letter, to, "550 5.1.1 no such user here"), "bounced"),
    ],
    ids=["stop", "complaint", "dead"],
)
def test_it_stops_letters_at_once(replies: Replies, made: Any, why: str) -> None:
    """To this address, and no other."""
    assert replies.fetch(made(replies.letters["ada"], "ada@office.example"))["suppressed"] == 1
    assert replies.suppressed() == {"ada": why}


LIVING = {
    "full": ("552 5.2.2 mailbox full", "5.2.2"),
    "full under a dead address's code": ("550 5.1.1 mailbox full", "5.1.1"),
    "rate under a dead address's code": ("550 5.1.1 rate limit exceeded, try later", "5.1.1"),
    "spam": ("554 5.7.1 message rejected as spam", "5.7.1"),
    "policy": ("550 5.7.1 not authorized", "5.7.1"),
    "too large": ("552 5.3.4 message too big", "5.3.4"),
    "expired": ("450 4.4.1 connection timed out", "4.4.7"),
    "relaying": ("550 5.7.1 relaying denied", "5.7.1"),
    "a status alone": ("550 5.1.1", "5.5.0"),
    "disabled once": ("550 5.2.1 mailbox disabled", "5.2.1"),
    "loop": ("554 5.4.6 too many hops", "5.4.6"),
    "system": ("451 4.3.0 disk error", "5.3.0"),
}


@pytest.mark.parametrize("name", LIVING)
def test_a_bounce_that_a_living_address_may_get_suppresses_nobody(replies: Replies, name: str) -> None:
    """The letter has bounced; that is a fact about the letter."""
    said, status = LIVING[name]
    replies.fetch(bounce(replies.letters["ada"], "ada@office.example", said, status=status))
    assert replies.suppressed() == {}
    assert replies("status")["answers"]["bounced"] == 1


def test_a_complaint_that_names_nobody_is_the_letters_recipients(replies: Replies) -> None:
    """Providers leave the address out; the letter that they return tells it, to `classify` as well."""
    raw = complaint(replies.letters["ada"])
    replies.fetch(raw)
    whom = {"address": "ada@office.example", "status": "", "reason": None, "suppress": True}
    assert replies.only()["recipients"] == [whom]
    (replies.campaign.folder / "arf.eml").write_text(raw, "utf-8")
    assert replies("replies", "classify", "arf.eml")["recipients"] == [whom | {"reason": ""}]


def test_a_bounce_of_no_letter_of_ours_is_counted_and_does_nothing(replies: Replies) -> None:
    """Anybody can write one."""
    said = replies.fetch(bounce(None, "ada@office.example", "550 5.1.1 no such user here"))
    assert (said["replies"], said["suppressed"]) == ({"bounce": 1}, 0)
    assert replies.only()["letter"] is None
    assert replies.suppressed() == {}


def test_a_bounce_that_names_another_recipient_does_not_suppress_ours(replies: Replies) -> None:
    """An alias of theirs leads to an address that is gone."""
    replies.fetch(bounce(replies.letters["ada"], "clerk@office.example", "550 5.1.1 no such user here"))
    assert replies.suppressed() == {}


def test_the_token_in_the_return_path_ties_a_bounce_that_returns_nothing(replies: Replies) -> None:
    """And one with a wrong HMAC ties nothing."""
    path = str(replies.letters["ada"]["Return-Path"]).strip("<>")
    words = "<ada@office.example>: 550 5.1.1 no such user here"
    header = {
        "Return-Path": "<>",
        "From": "MAILER-DAEMON@mx.office.example",
        "Subject": "Undelivered Mail Returned to Sender",
    }
    forged = path.replace("@", "a@") if not path.split("@")[0].endswith("a") else path.replace("a@", "b@")
    replies.fetch(
        mail(header | {"To": path, "Message-ID": "<1@mx.example>"}, words),
        mail(header | {"To": forged, "Message-ID": "<2@mx.example>"}, words),
    )
    assert [found["to"] for found in replies("replies", "list")["replies"]] == ["ada@office.example", ""]


def test_the_link_of_a_mailing_is_an_opt_out(replies: Replies) -> None:
    """Its subject holds half of the Message-ID, which nobody can guess; from whatever address."""
    token = str(replies.letters["ada"]["Message-ID"]).strip("<>").partition("@")[0]
    header = {
        "From": "ada.private@elsewhere.example",
        "To": "letters@example.org",
        "Subject": f"unsubscribe-{token}",
        "Message-ID": "<7@elsewhere.example>",
    }
    replies.fetch(mail(header, ""))
    assert replies.suppressed() == {"ada": "optout", "ada.private": "optout"}


def test_an_opt_out_is_honoured_by_the_next_send(replies: Replies) -> None:
    """By the run that fetches it."""
    replies.campaign.write(
        rows=ROWS + "zoe@office.example,Zoe\n",
        config=(replies.campaign.folder / "campaign.toml").read_text(),
        template=TEMPLATE,
    )
    header = {"From": "zoe@office.example", "To": "letters@example.org", "Message-ID": "<z@office.example>"}
    replies.box.put(mail(header | {"Subject": "unsubscribe"}, "Unsubscribe"))
    said = replies("--set", "campaign.auto_release=true", "run")
    assert (said["sent"], said["suppressed"]) == (0, 1)


def test_a_doubtful_opt_out_waits_for_a_person(replies: Replies) -> None:
    """--optout stops letters, --keep does not; both are asked once, and survive sorting again."""
    words = "Dear all, I have read this with interest. Please remove me from your list, and give my regards."
    said = replies.fetch(answer(replies.letters["ada"], words), answer(replies.letters["ben"], words))
    assert (said["review"], replies.suppressed()) == (2, {})
    first, second = (found["id"] for found in replies("replies", "list", "--review")["replies"])
    replies("replies", "review", str(first), "--optout", "--why", "she means it")
    replies("replies", "review", str(second), "--keep")
    assert list(replies.suppressed().values()) == ["optout"]
    replies("replies", "fetch", "--again")
    assert replies("replies", "list", "--review")["replies"] == []
    assert replies("status")["replies"] == {"human": 1, "optout": 1}


def test_what_comes_back_settles_a_doubt(replies: Replies) -> None:
    """The letter was sent: somebody answers it. It is logged with the reason."""
    assert replies("status")["letters"]["in_doubt"] == 1
    said = replies.fetch(answer(replies.letters["sandbox-drops"], "We have received your letter, thank you."))
    assert said["settled"] == 1
    assert replies("status")["letters"] | {"in_doubt": 0} == replies("status")["letters"]
    (letter,) = replies("show", "sandbox-drops@office.example")["letters"]
    assert letter["state"] == "sent"
    assert "In-Reply-To names the letter" in letter["events"][-1]["why"]


@pytest.mark.parametrize(
    ("said", "status", "action"),
    [
        ("550 5.1.1 no such user here", "5.1.1", "failed"),
        ("450 4.2.2 mailbox full", "4.2.2", "delayed"),
        ("250 2.0.0 ok", "2.0.0", "delivered"),
    ],
)
def test_notices_of_mail_systems_settle_a_doubt_too(
    replies: Replies, said: str, status: str, action: str
) -> None:
    """A bounce, a delay, a delivery notice: the relay had taken the letter."""
    letter = replies.letters["sandbox-drops"]
    told = replies.fetch(bounce(letter, "sandbox-drops@office.example", said, status=status, action=action))
    assert told["settled"] == 1
    assert replies("status")["letters"]["in_doubt"] == 0


def test_likeness_alone_settles_no_doubt(replies: Replies) -> None:
    """Subject and address are what anybody knows."""
    letter = replies.letters["sandbox-drops"]
    said = replies.fetch(answer(letter, "Thank you.", In_Reply_To=""))
    assert said["settled"] == 0


def test_an_address_that_was_taken_back_is_not_suppressed_by_sorting_again(replies: Replies) -> None:
    """A person's word stands."""
    replies.fetch(bounce(replies.letters["ada"], "ada@office.example", "550 5.1.1 no such user here"))
    replies("suppress", "remove", "ada@office.example")
    assert replies("replies", "fetch", "--again")["sorted"] == 1
    assert replies.suppressed() == {}


def test_nor_is_one_whose_opt_out_was_laid_beside_another_letter(replies: Replies) -> None:
    """Which letter it answers is a person's word, too, and no reason to act once more."""
    replies.fetch(answer(replies.letters["ada"], "stop"), answer(replies.letters["ben"], "stop"))
    first, second = (found["id"] for found in replies("replies", "list")["replies"])
    replies("replies", "assign", str(first), "none")
    replies("replies", "assign", str(second), "kai@office.example")
    for name in ("ada", "ben", "kai"):
        replies("suppress", "remove", f"{name}@office.example", "--why", "they ask for letters")
    assert replies.suppressed() == {}
    assert replies("replies", "fetch", "--again")["sorted"] == 2
    assert replies.suppressed() == {}


# -- a person's word


def test_a_reply_without_a_letter_is_assigned_by_a_person(replies: Replies) -> None:
    """With the reason, logged, and kept when it is sorted again."""
    header = {"From": "press@ministry.example", "Subject": "Your letter", "Message-ID": "<9@m.example>"}
    assert replies.fetch(mail(header, "We have it."))["unmatched"] == 1
    number = str(replies("replies", "list", "--unmatched")["replies"][0]["id"])
    replies("replies", "assign", number, "kai@office.example", "--why", "she rang")
    replies("replies", "fetch", "--again")
    (letter,) = replies("show", "kai@office.example")["letters"]
    assert [reply["text"] for reply in letter["replies"]] == ["We have it."]
    assert letter["events"][-1]["why"] == "she rang"
    assert replies("replies", "list", "--unmatched")["replies"] == []


def test_an_opt_out_that_is_assigned_holds_for_the_letters_recipient(replies: Replies) -> None:
    """Whoever wrote it from another address: a person says whose letters it is about."""
    replies.fetch(
        mail({"From": "joe@home.example", "Subject": "Please", "Message-ID": "<1@h.example>"}, "stop")
    )
    number = str(replies.only()["id"])
    assert list(replies.suppressed()) == ["joe"]
    assert replies("replies", "assign", number, "none")["suppressed"] == []
    assert replies("replies", "assign", number, "kai@office.example")["suppressed"] == ["kai@office.example"]
    assert sorted(replies.suppressed()) == ["joe", "kai"]


def test_a_reply_that_one_of_us_forwards_counts_as_its_authors(replies: Replies) -> None:
    """Unverified: an opt-out in it waits for a person."""
    inner = answer(replies.letters["ada"], "Please take me off your list.")
    header = {
        "From": "Committee <letters@example.org>",
        "To": "letters@example.org",
        "Subject": "Fwd: her answer",
        "Message-ID": "<f@example.org>",
        "MIME-Version": "1.0",
        "Content-Type": "message/rfc822",
    }
    replies.fetch(mail(header, inner))
    found = replies.only()
    assert (found["to"], found["from"]["address"]) == ("ada@office.example", "ada@office.example")
    assert found["forwarded_by"] == "letters@example.org"
    assert (found["kind"], found["review"], replies.suppressed()) == ("human", "optout", {})


def test_a_stop_of_one_of_us_in_copy_is_not_the_recipients(replies: Replies) -> None:
    """An organiser who answers into the thread speaks for no official; a person looks at it."""
    replies.fetch(
        answer(
            replies.letters["ada"], "stop", whose="Committee <letters@example.org>", Cc="ada@office.example"
        )
    )
    found = replies.only()
    assert (found["to"], found["kind"], found["review"]) == ("ada@office.example", "human", "optout")
    assert replies.suppressed() == {}
    assert "one of us wrote it, to whom no letter was sent" in found["why"]


def test_a_mail_of_one_of_us_is_no_sign_of_life_of_an_official(replies: Replies) -> None:
    """Bounces go on being counted."""
    ours = replies.letters["ada"]
    replies.fetch(bounce(ours, "ada@office.example", "552 5.2.2 mailbox full", status="5.2.2"))
    replies.fetch(answer(ours, "Any news?", whose="Committee <letters@example.org>"))
    with closing(sqlite3.connect(replies.campaign.folder / ".campaign/sandbox.db")) as store:
        assert store.execute("SELECT count(*) FROM strikes").fetchone() == (1,)


def test_an_organiser_who_is_on_the_list_may_opt_out(replies: Replies) -> None:
    """Of letters to the own address, and of no other."""
    replies.box.put(answer(replies.letters["ada"], "stop"))
    replies("--set", "campaign.reply_to=ada@office.example", "replies", "fetch")
    assert replies.suppressed() == {"ada": "optout"}


def test_an_opt_out_in_a_forwarded_block_waits_for_a_person_too(replies: Replies) -> None:
    """Whether it hangs on the mail or stands in it is the mail program's choice."""
    block = (
        "For you.\n\n---------- Forwarded message ---------\nFrom: Ada <ada@office.example>\n"
        "Subject: Re: The eleven of Velmor, ada\nTo: letters@example.org\n\nPlease stop.\n"
    )
    header = {
        "From": "Committee <letters@example.org>",
        "To": "letters@example.org",
        "Subject": "Fwd: her answer",
    }
    replies.fetch(mail(header, block))
    found = replies.only()
    assert (found["to"], found["kind"], found["review"]) == ("ada@office.example", "human", "optout")
    assert replies.suppressed() == {}


# -- seeing


def test_show_tells_the_thread(replies: Replies) -> None:
    """Attempts, replies, and their words."""
    replies.fetch(answer(replies.letters["ada"], "We will look into it."))
    said = replies.campaign("show", "ada@office.example").out
    assert "human from ada <ada@office.example>" in said
    assert "    We will look into it." in said


def test_status_does_not_call_unanswered_what_may_still_be_answered(replies: Replies) -> None:
    """Letters of today are waited for; too little is called too little."""
    replies.fetch(answer(replies.letters["ada"], "Yes."))
    answers = replies("status")["answers"]
    assert (answers["answered"], answers["waiting"], answers["silent"]) == (1, 3, 0)
    assert (answers["share"], answers["median_days"]) == (None, None)
    assert any(note.startswith("Too few") for note in answers["notes"])
    assert "3 still waiting" in replies.campaign("status").out


def test_classify_says_which_letter_in_the_folder_of_a_campaign(replies: Replies) -> None:
    """And records nothing."""
    path = replies.campaign.folder / "one.eml"
    path.write_text(answer(replies.letters["ada"], "Yes."), "utf-8")
    assert replies("replies", "classify", str(path))["letter"] is not None
    assert replies("replies", "list")["replies"] == []


def test_classify_needs_no_sound_campaign(replies: Replies) -> None:
    """A broken campaign.toml keeps no mail from being sorted."""
    path = replies.campaign.folder / "one.eml"
    path.write_text(answer(replies.letters["ada"], "Yes."), "utf-8")
    (replies.campaign.folder / "campaign.toml").write_text("[campaign\n")
    found = replies("replies", "classify", str(path))
    assert (found["kind"], found["letter"]) == ("human", None)


def test_what_came_from_outside_is_made_visible(replies: Replies) -> None:
    """No control character of a stranger reaches the terminal."""
    replies.fetch(answer(replies.letters["ada"], "a\x1b[31mred\x07", Subject="\x1b]0;title\x07Re: x"))
    for command in (("replies", "list"), ("replies", "show", "1"), ("show", "ada@office.example")):
        said = replies.campaign(*command).out
        assert "\x1b" not in said
        assert "\x07" not in said


# -- run


def test_run_sends_though_the_mailbox_cannot_be_read_and_tells_it_once(replies: Replies) -> None:
    """And once more when it is another trouble."""
    config = (replies.campaign.folder / "campaign.toml").read_text().replace("maildir:box", "maildir:nowhere")
    replies.campaign.write(rows=ROWS + "zoe@office.example,Zoe\n", config=config, template=TEMPLATE)
    run = ("--set", "campaign.auto_release=true", "run")
    replies("resolve", "--sent", "all")
    first, second = replies.campaign(*run), replies.campaign(*run)
    assert "nowhere" in first.err
    assert second.err == ""
    status = replies("status")
    assert status["letters"]["sent"] == 6
    assert [problem["code"] for problem in status["problems"]] == ["mailbox"]


def test_run_tells_of_answers_once(replies: Replies) -> None:
    """Then silence."""
    replies("resolve", "--sent", "all")
    replies.box.put(answer(replies.letters["ada"], "Yes."))
    first, second = replies.campaign("run"), replies.campaign("run")
    assert (first.code, first.err) == (0, "1 answer came: `campaign replies list --kind human`\n")
    assert (second.code, second.err) == (0, "")


def test_a_letter_that_waits_to_be_sent_again_is_not_when_an_answer_shows_it_arrived(
    replies: Replies,
) -> None:
    """The operator had said "send again"; the answer came first."""
    replies("resolve", "--resend", "sandbox-drops@office.example")
    said = replies.fetch(answer(replies.letters["sandbox-drops"], "We have received it."))
    assert said["settled"] == 1
    assert replies("send")["sent"] == 0
    assert replies("status")["letters"]["sent"] == 5


def test_two_fetches_at_once_do_not_happen(replies: Replies) -> None:
    """The second says so, exit 5; a run goes on without."""
    from pipeline.store.lock import RunLock

    replies("resolve", "--sent", "all")
    with RunLock(replies.campaign.folder / ".campaign/sandbox.replies.lock", since="now"):
        assert replies.campaign("replies", "fetch").code == 5
        assert replies.campaign("run").code == 0


def test_run_collects_before_it_looks_at_the_list(replies: Replies) -> None:
    """Bad data ends it with 2; the opt-out holds all the same."""
    replies.box.put(answer(replies.letters["ada"], "stop"))
    replies.campaign.write(
        rows="email,name\nnonsense,Nobody\n",
        config=(replies.campaign.folder / "campaign.toml").read_text(),
        template=TEMPLATE,
    )
    assert replies.campaign("run").code == 2
    assert replies.suppressed() == {"ada": "optout"}
