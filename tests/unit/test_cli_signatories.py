"""Letters are signatories x recipients: planned, sent once each, shown, cancelled."""

from __future__ import annotations

import email
import email.policy
import os
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.command_line import CONFIG, CommandLine, Terminal

SIGNED = """\
name,email,organisation,city,country,language,words,consent_date,consent_source,publish
Ada Venn,ada@home.example,Harbour Union,Ghent,Kestria,en,"Let *them* go {{ facts.x }}.

<b>Now</b>,
please.",2026-03-02,form,yes
Bo Lund,bo@home.example,,Ghent,Kestria,es,Basta.,2026-03-02,form,yes
"""
TEMPLATE = """\
+++
subject = "To {{ recipient.name }} from {{ signatory.name }}"
+++
Dear {{ recipient.name }},

{{ signatory.words }}

> {{ signatory.words }}

{{ signatory.names }}
"""
ROWS = "email,language,name,country\nmia@office.example,en,Mia,Kestria\ntom@office.example,es,Tom,Lazoria\n"


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign with two signatories and two recipients."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(rows=ROWS, template=TEMPLATE)
    (command.folder / "signatories.csv").write_text(SIGNED, "utf-8")
    return command


def sent(campaign: CommandLine) -> list[EmailMessage]:
    """Return the letters in the outbox."""
    found = []
    for path in sorted((campaign.folder / ".campaign" / "outbox" / "new").glob("*")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def pairs(campaign: CommandLine) -> Counter[tuple[str, str]]:
    """Return who wrote to whom, by the names in From and To."""
    return Counter(
        (one["From"].addresses[0].display_name.split()[0], one["To"].addresses[0].display_name)
        for one in sent(campaign)
    )


def set_rule(campaign: CommandLine, rule: str) -> None:
    """Choose who writes to whom."""
    (campaign.folder / "campaign.toml").write_text(f'{CONFIG}\n[signatories]\nrule = "{rule}"\n', "utf-8")


def states(campaign: CommandLine) -> dict[str, int]:
    """Return the letters by state, those that there are."""
    counts = campaign("status", "--json").json["letters"]
    return {name: number for name, number in counts.items() if number and name != "total"}


def test_each_pair_gets_one_letter_and_no_second(campaign: CommandLine) -> None:
    """Two signatories, two recipients: four letters, in two sends."""
    assert campaign("send").code == 0
    assert campaign("send").code == 0
    assert pairs(campaign) == Counter({(s, r): 1 for s in ("Ada", "Bo") for r in ("Mia", "Tom")})


def test_from_is_the_campaigns_address_with_the_signatorys_name(campaign: CommandLine) -> None:
    """Nobody's own address is forged; answers come to the campaign."""
    campaign("send")
    first = sent(campaign)[0]
    assert {one["From"].addresses[0].addr_spec for one in sent(campaign)} == {"letters@example.org"}
    assert first["From"].addresses[0].display_name in ("Ada Venn via Committee", "Bo Lund via Committee")
    assert first["Reply-To"] is None


def test_answers_may_go_to_the_signatory(campaign: CommandLine) -> None:
    """A setting; and the name in From as it says."""
    signing = '\n[signatories]\nreply_to = "signatory"\nfrom_name = "{name} ({author})"\n'
    (campaign.folder / "campaign.toml").write_text(CONFIG + signing, "utf-8")
    campaign("send", "--only", "ada@home.example")
    for letter in sent(campaign):
        assert str(letter["From"]) == '"Ada Venn (Committee)" <letters@example.org>'
        assert str(letter["Reply-To"]) == "Ada Venn <ada@home.example>"


def test_own_words_are_data_and_keep_their_paragraphs(campaign: CommandLine) -> None:
    """Neither Jinja, Markdown nor HTML of theirs is read; lines and paragraphs stay, in a quotation too."""
    campaign("send", "--only", "ada@home.example")
    letter = sent(campaign)[0]
    text = letter.get_body(("plain",))
    html = letter.get_body(("html",))
    assert text is not None
    assert html is not None
    words = "Let *them* go {{ facts.x }}.\n\n<b>Now</b>,\nplease.\n"
    assert words in text.get_content()
    assert "> Let *them* go {{ facts.x }}.\n>\n> <b>Now</b>,\n> please.\n" in text.get_content()
    assert "<p>Let *them* go {{ facts.x }}.</p>" in html.get_content()
    assert "&lt;b&gt;Now&lt;/b&gt;" in html.get_content()
    assert "Ada Venn, Harbour Union, Ghent, Kestria" in text.get_content()


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("country", {("Ada", "Mia"), ("Bo", "Mia")}),
        ("language", {("Ada", "Mia"), ("Bo", "Tom")}),
        ("round-robin", {("Ada", "Mia"), ("Bo", "Tom")}),
    ],
)
def test_the_rule_says_who_writes_to_whom(
    campaign: CommandLine, rule: str, wanted: set[tuple[str, str]]
) -> None:
    """Each pair once."""
    set_rule(campaign, rule)
    campaign("send")
    campaign("send")
    assert pairs(campaign) == Counter(wanted)


def test_under_round_robin_no_edit_makes_a_second_letter(campaign: CommandLine) -> None:
    """Both lists are turned round and grow; the signatory of a letter that has gone is removed."""
    set_rule(campaign, "round-robin")
    campaign("send")
    header, *rows = ROWS.splitlines(keepends=True)
    more = [header, "neu@office.example,en,Neu,Kestria\n", *reversed(rows)]
    (campaign.folder / "recipients.csv").write_text("".join(more), "utf-8")
    head, _, rest = SIGNED.partition("\n")
    lines = rest.strip().rsplit("\n", 1)
    cy = "Cy Orr,cy@home.example,,,,en,Free them,2026-03-02,form,no"
    (campaign.folder / "signatories.csv").write_text("\n".join([head, cy, lines[1], lines[0], ""]), "utf-8")
    campaign("send")
    assert pairs(campaign) == Counter([("Ada", "Mia"), ("Bo", "Tom"), ("Cy", "Neu")])
    (campaign.folder / "signatories.csv").write_text("\n".join([head, cy, ""]), "utf-8")
    campaign("send")
    assert len(sent(campaign)) == 3
    assert states(campaign) == {"sent": 3}


def test_a_signatory_whose_row_is_removed_writes_no_more(campaign: CommandLine) -> None:
    """Consent withdrawn: what waits is cancelled, and may be brought back with the row."""
    campaign("send", "--limit", "1")
    head, _, rest = SIGNED.partition("\n")
    (campaign.folder / "signatories.csv").write_text(f"{head}\n{rest.splitlines()[-1]}\n", "utf-8")
    campaign("send")
    assert sorted(states(campaign).items()) == [("cancelled", 1), ("sent", 3)]
    assert pairs(campaign)[("Ada", "Tom")] == 0
    (campaign.folder / "signatories.csv").write_text(SIGNED, "utf-8")
    campaign("send")
    assert states(campaign) == {"sent": 4}


def test_an_optout_holds_for_every_signatory(campaign: CommandLine) -> None:
    """It is the recipient's word, whoever writes."""
    campaign("suppress", "add", "mia@office.example")
    campaign("send")
    assert states(campaign) == {"sent": 2, "suppressed": 2}


def test_at_most_so_many_letters_to_one_recipient_in_a_day(campaign: CommandLine) -> None:
    """limits.per_recipient counts whoever writes; the others wait."""
    limits = CONFIG.replace('per_recipient = "20/day"', 'per_recipient = "1/day"\nin_sandbox = true')
    (campaign.folder / "campaign.toml").write_text(limits, "utf-8")
    assert campaign("send").code == 3
    assert Counter(to for _, to in pairs(campaign).elements()) == Counter(["Mia", "Tom"])
    assert states(campaign) == {"sent": 2, "queued": 2}


@pytest.mark.parametrize("who", ["ada@home.example", "mia@office.example"])
def test_show_finds_letters_by_either_side(campaign: CommandLine, who: str) -> None:
    """Two letters each, and whose they are."""
    campaign("send")
    letters = campaign("show", who, "--json").json["letters"]
    assert len(letters) == 2
    assert "letter 1 of ada@home.example to mia@office.example" in campaign("show", who).out


def test_templates_that_name_signatories_need_some(campaign: CommandLine) -> None:
    """The place, and what to do."""
    (campaign.folder / "signatories.csv").unlink()
    said = campaign("check")
    assert said.code == 2
    assert "templates/letter.en.md:2:" in said.out
    assert "there is no signatories.csv" in said.out


def test_a_column_that_signatories_do_not_have_is_told(campaign: CommandLine) -> None:
    """With the one that was meant."""
    path = campaign.folder / "templates" / "letter.en.md"
    path.write_text(TEMPLATE.replace("signatory.words", "signatory.wrods", 1), "utf-8")
    said = campaign("check")
    assert 'templates/letter.en.md:6:4: error: signatories.csv has no column "wrods"' in said.out
    assert "did you mean signatory.words?" in said.out


def test_an_empty_value_of_a_signatory_is_told_with_the_row(campaign: CommandLine) -> None:
    """Whose it is stands in signatories.csv."""
    path = campaign.folder / "templates" / "letter.en.md"
    path.write_text(TEMPLATE.replace("{{ signatory.names }}", "{{ signatory.organisation }}"), "utf-8")
    said = campaign("check")
    assert said.code == 2
    assert "signatory.organisation is empty" in said.out
    assert "(line 6: Bo Lund)" in said.out


def test_bad_signatories_stop_a_send_unless_they_are_left_out(campaign: CommandLine) -> None:
    """As with recipients: --skip-bad sends the letters of the others."""
    (campaign.folder / "signatories.csv").write_text(SIGNED + "Cy,cy@home.example,,,,,,,,\n", "utf-8")
    said = campaign("send")
    assert said.code == 2
    assert "signatories.csv:7:25: error: no date of consent" in said.err
    assert not sent(campaign)
    assert campaign("send", "--skip-bad").code == 0
    assert len(sent(campaign)) == 4


def test_a_signatories_file_that_was_asked_for_must_be_there(campaign: CommandLine) -> None:
    """Without it the campaign would write in its own name, which nobody meant."""
    said = campaign("--set", "signatories.file=supporters.csv", "check")
    assert said.code == 2
    assert "there is no supporters.csv" in said.err


def test_an_edit_of_signatories_is_noticed(campaign: CommandLine) -> None:
    """A send does not take yesterday's list for today's."""
    campaign("send")
    more = SIGNED + "Cy Orr,cy@home.example,,,,en,Free them,2026-03-02,form,no\n"
    (campaign.folder / "signatories.csv").write_text(more, "utf-8")
    campaign("send")
    assert states(campaign) == {"sent": 6}


def test_preview_shows_the_letters_of_a_signatory(campaign: CommandLine) -> None:
    """With the From that the reader will see."""
    shown = campaign("preview", "bo@home.example").out
    assert shown.count("From:     Bo Lund via Committee <letters@example.org>") == 2
    assert campaign("preview", "--out", "letters", "--json").json["written"][0] == (
        "000002-en-mia@office.example-ada@home.example.eml"
    )


def test_the_question_before_a_real_send_says_in_whose_names(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them, and how many more."""
    Terminal(monkeypatch).types("no\n")
    said = campaign("--set", "relay.url=smtp://127.0.0.1:9", "send")
    assert said.code == 2
    assert "Ada Venn via Committee, and 1 more <letters@example.org>" in said.err


def test_an_answer_that_a_signatory_passes_on_lies_beside_that_signatorys_letter(
    campaign: CommandLine,
) -> None:
    """The office wrote to Bo, who had the second letter to it; both letters have one subject."""
    path = campaign.folder / "templates" / "letter.en.md"
    path.write_text(TEMPLATE.replace(" from {{ signatory.name }}", ""), "utf-8")
    campaign("send", "--only", "mia@office.example")
    box = campaign.folder / "box"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    (box / "new" / "1").write_text(
        "From: Bo Lund <bo@home.example>\nTo: letters@example.org\nSubject: Fwd: To Mia\n"
        "Message-ID: <fwd.1@home.example>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n"
        "--x\nContent-Type: text/plain\n\nThis came to me.\n"
        "--x\nContent-Type: message/rfc822\n\n"
        "From: Mia <mia@office.example>\nTo: Bo Lund <bo@home.example>\nSubject: Re: To Mia\n"
        "Message-ID: <re.1@office.example>\n\nThank you for your words. The minister will look into it.\n"
        "--x--\n",
        "utf-8",
    )
    campaign("--set", "replies.mailbox=maildir:box", "replies", "fetch")
    letters = campaign("show", "mia@office.example", "--json").json["letters"]
    assert {one["signatory"]: len(one["replies"]) for one in letters} == {
        "ada@home.example": 0,
        "bo@home.example": 1,
    }


def test_cancel_takes_a_signatorys_address(campaign: CommandLine) -> None:
    """Whoever withdraws consent is out at once, without an edit of the list."""
    campaign("send", "--limit", "1")
    campaign("send", "--dry-run")
    assert campaign("cancel", "bo@home.example").code == 0
    campaign("send")
    assert not [pair for pair in pairs(campaign) if pair[0] == "Bo"]
    assert states(campaign) == {"sent": 2, "cancelled": 2}


def sign_together(campaign: CommandLine, *leaving: str) -> None:
    """Let both sign one letter, but for who is ``leaving``."""
    text = SIGNED.replace("publish\n", "publish,joint,exclude\n").replace("form,yes\n", "form,yes,us,\n")
    for name in leaving:
        before, _, after = text.partition(f"\n{name}")
        text = f"{before}\n{name}{after.replace('us,', 'us,yes', 1)}"
    (campaign.folder / "signatories.csv").write_text(text, "utf-8")


def test_a_joint_letter_that_was_put_off_does_not_go_with_the_name_of_who_left(campaign: CommandLine) -> None:
    """Its bytes are frozen, with a name whose consent was withdrawn."""
    campaign.write(rows=ROWS.replace("mia@", "sandbox-defers@"), template=TEMPLATE)
    sign_together(campaign)
    assert campaign("send").code == 3
    assert states(campaign) == {"queued": 1, "sent": 1}
    sign_together(campaign, "Bo Lund")
    assert campaign("send", "--now").code == 0
    assert states(campaign) == {"cancelled": 1, "sent": 1}
    why = campaign("show", "sandbox-defers@office.example", "--json").json["letters"][0]["why"]
    assert why == "bo@home.example signs it no longer, and it was written with that name"
    campaign("resend", "sandbox-defers@office.example")
    assert states(campaign) == {"cancelled": 1, "sent": 1}


def test_a_joint_letter_that_never_left_goes_without_who_left(campaign: CommandLine) -> None:
    """It is written anew; one that somebody joined goes as it was."""
    sign_together(campaign)
    campaign("plan")
    sign_together(campaign, "Bo Lund")
    assert campaign("send").code == 0
    assert {one["From"].addresses[0].display_name for one in sent(campaign)} == {"Ada Venn via Committee"}


def test_a_joint_letter_that_was_put_off_still_goes_where_nobody_left(campaign: CommandLine) -> None:
    """Who joins is not in it."""
    campaign.write(rows=ROWS.replace("mia@", "sandbox-defers@"), template=TEMPLATE)
    sign_together(campaign, "Bo Lund")
    assert campaign("send").code == 3
    sign_together(campaign)
    assert campaign("send", "--now").code == 0
    assert states(campaign) == {"sent": 2}


def test_joint_letters_are_found_by_each_who_signs_and_named_by_their_word(campaign: CommandLine) -> None:
    """They belong to all of them, so that one address neither withdraws nor chooses them."""
    sign_together(campaign)
    campaign("plan")
    assert [one["email"] for one in campaign("show", "bo@home.example", "--json").json["letters"]] == [
        "mia@office.example",
        "tom@office.example",
    ]
    for command in (("cancel", "bo@home.example"), ("send", "--only", "bo@home.example")):
        said = campaign(*command)
        assert (said.code, "signs a joint letter with others, named us" in said.err) == (2, True)
    assert campaign("send", "--only", "US").code == 0
    assert states(campaign) == {"sent": 2}


@pytest.mark.parametrize("name", ["recipients.csv", "signatories.csv"])
def test_a_pipe_in_place_of_a_list_is_not_waited_for(campaign: CommandLine, name: str) -> None:
    """Nobody may ever write to it."""
    (campaign.folder / name).unlink()
    os.mkfifo(campaign.folder / name)
    done = campaign("check")
    assert done.code == 2
    assert f"{name} is no file" in done.err
