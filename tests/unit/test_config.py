"""campaign.toml: what is read, what defaults hold, and that no text makes the reader fail."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CampaignKind, InDoubt, Settings, load_config, read_config, sample_config
from pipeline.config.model import TABLES
from pipeline.delivery.limits import Pace, Quota, show_limit
from pipeline.delivery.relay import Auth, BodyEncoding, Pipelining, Provider, Relay, RelayKind
from pipeline.delivery.retry import DEFAULT_SCHEDULE
from pipeline.errors import BadInput, Unusable
from pipeline.problem import Problem, Severity, shown
from pipeline.replies.account import Account, After, Afterwards, MailboxKind

ROOT = Path("/campaign")
SMALLEST = """\
[campaign]
key = "river-2027"
name = "Free the river"
languages = ["en", "ru"]
author = "Committee <letters@example.org>"
"""


def read(text: str, *overrides: str) -> tuple[Settings | None, list[Problem]]:
    """Return what is read from a text."""
    return read_config(text, file="campaign.toml", root=ROOT, overrides=overrides)


def good(text: str, *overrides: str) -> Settings:
    """Return the settings of a text without an error."""
    found, problems = read(text, *overrides)
    assert found is not None, "\n".join(shown(problem) for problem in problems)
    return found


def codes(text: str, *overrides: str) -> list[tuple[str, str, int, int]]:
    """Return file, code, line and column of every problem."""
    return [(one.file, one.code, one.line, one.column) for one in read(text, *overrides)[1]]


# --- what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"campaign"}))
def test_a_table_that_is_not_there_is_an_empty_one(name: str) -> None:
    """It is not read at all; nothing else may come of that."""
    assert good(SMALLEST) == good(f"{SMALLEST}[{name}]\n")


def test_the_smallest_file_goes_to_the_sandbox() -> None:
    """Four keys are enough; everything else has its default."""
    found = good(SMALLEST)
    assert found.relay == Relay(RelayKind.SANDBOX)
    assert (found.kind, found.languages) == (CampaignKind.LETTERS, ("en", "ru"))
    assert (found.return_path, found.reply_to, found.timezone) == (
        "letters@example.org",
        None,
        ZoneInfo("UTC"),
    )
    assert (found.recipients_file, found.encoding, found.delimiter) == ("recipients.csv", "utf-8", "auto")
    assert (found.schedule, found.in_doubt) == (DEFAULT_SCHEDULE, InDoubt.HOLD)
    assert (found.limits.relay, found.limits.day, found.limits.per_domain) == (None, None, None)
    assert (found.limits.hours, found.limits.per_recipient) == (None, Quota(20, 86400))
    assert (found.attachment_bytes, found.keep_bytes) == (10_000_000, True)
    assert (found.store_file, found.shared, found.expires) == (None, None, None)
    assert (found.auto_release, found.attachments, found.warnings) == (False, (), ())
    assert (found.mailbox, found.forward_to, found.mailbox_password_command) == (None, (), ())


def test_every_key_is_read() -> None:
    """All tables, all keys."""
    text = """
        kind = "mailing"
        timezone = "Europe/Madrid"
        auto_release = true
        reply_to = "replies@example.org"
        return_path = "letters+{token}@bücher.example"
        attachments = ["attachments/a.pdf"]
        expires = 2027-05-01
        [recipients]
        file = "people.csv"
        encoding = "Windows-1251"
        delimiter = "TAB"
        [relay]
        url = "smtps://letters%40example.org@smtp.example.org"
        password_file = "relay.password"
        auth = "xoauth2"
        connections = 2
        encoding = "8bit"
        ehlo = "[192.0.2.1]"
        ca_file = "/etc/ca.pem"
        pipelining = "off"
        letters_per_connection = 10
        [limits]
        relay = "50/5m"
        day = "400/day"
        per_domain = "10/m"
        per_recipient = "2/day"
        hours = "Mon-Fri 09:00-17:00 recipient"
        attachments = "2MiB"
        in_sandbox = true
        [limits.domain]
        "GMail.com" = "20/h"
        "пример.example" = "1/m"
        [retry]
        schedule = "5m 1h"
        in_doubt = "resend"
        [replies]
        mailbox = "imap://me%40example.org@imap.example.org:1143/Campaigns/R%C3%A9ponses"
        password_command = "pass show imap"
        auth = "xoauth2"
        ca_file = "imap-ca.pem"
        forward_to = ["Organisers <organisers@example.org>", "second@example.org"]
        after = "move:Campaigns/Done"
        fetch_limit = "5MB"
        since = 2027-03-01
        [store]
        url = "sqlite:///data/store.db"
        shared = "/var/lib/campaign"
        bytes = false
    """
    found = good(SMALLEST + text)
    assert found.kind is CampaignKind.MAILING
    assert found.expires == datetime(2027, 5, 1, 22, tzinfo=UTC)
    assert found.reply_to is not None
    assert found.reply_to.address.wire == "replies@example.org"
    assert found.return_path == "letters+{token}@xn--bcher-kva.example"
    assert found.attachments == ("attachments/a.pdf",)
    assert (found.recipients_file, found.encoding, found.delimiter) == ("people.csv", "cp1251", "\t")
    assert found.relay == Relay(
        RelayKind.SMTPS,
        "smtp.example.org",
        465,
        "letters@example.org",
        "[192.0.2.1]",
        Path("/etc/ca.pem"),
        2,
        BodyEncoding.EIGHT_BIT,
        Pipelining.OFF,
        10,
        Auth.XOAUTH2,
    )
    assert found.password_file == ROOT / "relay.password"
    assert found.mailbox == Account(
        MailboxKind.IMAP,
        "imap.example.org",
        1143,
        "me@example.org",
        "Campaigns/Réponses",
        None,
        Auth.XOAUTH2,
        ROOT / "imap-ca.pem",
        After(Afterwards.MOVE, "Campaigns/Done"),
        5_000_000,
        datetime(2027, 2, 28, 23, tzinfo=UTC),
    )
    assert found.mailbox_password_command == ("pass", "show", "imap")
    assert [one.address.wire for one in found.forward_to] == ["organisers@example.org", "second@example.org"]
    assert found.limits.relay == Pace(50, 300)
    assert found.limits.day == Quota(400, 86400)
    assert dict(found.limits.domains) == {"gmail.com": Quota(20, 3600), "xn--e1afmkfd.example": Pace(1, 60)}
    assert (found.limits.per_recipient, found.limits.in_sandbox) == (Quota(2, 86400), True)
    assert (found.attachment_bytes, found.schedule.delays) == (2 * 1024**2, (300, 3600))
    assert (found.in_doubt, found.keep_bytes) == (InDoubt.RESEND, False)
    assert (found.store_file, found.shared) == (Path("/campaign/data/store.db"), Path("/var/lib/campaign"))
    assert found.auto_release is True


def test_a_provider_gives_the_limits_the_file_does_not() -> None:
    """The operator's own figure wins; "off" is a figure too."""
    relay = '[relay]\nurl = "smtps://me@smtp.example.org"\nprovider = "gmail"\n'
    found = good(SMALLEST + relay)
    assert found.relay.provider is Provider.GMAIL
    assert found.limits.day is not None
    assert show_limit(found.limits.day) == "500/day"
    assert found.limits.relay is not None
    own = good(SMALLEST + relay + '[limits]\nday = "100/day"\nrelay = "off"\n').limits
    assert (own.day, own.relay) == (Quota(100, 86400), None)


def test_the_cap_per_recipient_is_refused_only_in_words() -> None:
    """Absent means twenty a day; none takes an "off"."""
    assert good(SMALLEST + '[limits]\nper_recipient = "off"\n').limits.per_recipient is None


@pytest.mark.parametrize("value", ['"pass show smtp/relay"', '["pass", "show", "smtp/relay"]'])
def test_a_password_command_is_an_argument_list(value: str) -> None:
    """Split as a shell would, and never given to one."""
    assert good(f"{SMALLEST}[relay]\npassword_command = {value}\n").password_command == (
        "pass",
        "show",
        "smtp/relay",
    )


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake() -> None:
    """As editors on Windows write them."""
    assert good("\ufeff" + SMALLEST.replace("\n", "\r\n")) == good(SMALLEST)


def test_places_are_right_with_windows_line_ends_and_wide_letters() -> None:
    """Lines and columns count characters."""
    text = SMALLEST.replace("Free the river", "Свобода реке").replace("\n", "\r\n")
    assert codes(text + 'reply_to = ["ю", 1]\r\ncolour = 1\r\n') == [
        ("campaign.toml", "wrong-type", 6, 12),
        ("campaign.toml", "unknown-key", 7, 1),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("relay.connections = 0\n" + SMALLEST, (1, 21)),
        ("relay = { url = 'sandbox:', connections = 0 }\n" + SMALLEST, (1, 43)),
        (SMALLEST + "[ relay ]\nconnections=0", (7, 13)),
        (SMALLEST + '["relay"]\n"connections"\t= 0', (7, 17)),
        (SMALLEST + 'attachments = [\n  "a.pdf", # one\n  "../b.pdf",\n]\n', (8, 3)),
        (SMALLEST + "attachments = ['''a''', \"\"\"\n../b\"\"\"]", (6, 25)),
    ],
)
def test_values_are_found_however_they_are_written(text: str, place: tuple[int, int]) -> None:
    """Dotted keys, inline tables, quoted keys, lists over several lines."""
    assert [one[2:] for one in codes(text)] == [place]


def test_a_warning_stops_nothing() -> None:
    """It comes with the settings."""
    found = good(SMALLEST + '[relay]\nurl = "smtps://smtp.example.org"\npassword_file = "x"\n')
    assert [one.severity for one in found.warnings] == [Severity.WARNING]


# --- --set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("campaign.name=Other words = these", "name", "Other words = these"),
        ('campaign.name="quoted"', "name", "quoted"),
        ("campaign.auto_release=true", "auto_release", True),
        ('campaign.languages=["el"]', "languages", ("el",)),
        ("campaign.expires=2027-05-01", "expires", datetime(2027, 5, 2, tzinfo=UTC)),
    ],
)
def test_set_overrides_any_key(override: str, key: str, value: object) -> None:
    """Numbers, truths, lists and quoted text are TOML, the rest is text."""
    assert getattr(good(SMALLEST, override), key) == value


def test_set_points_at_another_relay() -> None:
    """The last one wins; what the file had does not matter, not even where it was wrong."""
    text = SMALLEST + '[relay]\nurl = "nonsense"\n'
    found = good(text, "relay.url=sandbox:", "relay.url=smtp://127.0.0.1:2525", "relay.connections=1")
    assert (found.relay.name, found.relay.connections, found.relay.plaintext) == ("127.0.0.1:2525", 1, True)


@pytest.mark.parametrize("name", ["limits.domain.gmail.com", 'limits.domain."gmail.com"'])
def test_set_takes_a_domain_with_and_without_quotes(name: str) -> None:
    """A shell eats quotes."""
    assert dict(good(SMALLEST, f"{name}=20/h").limits.domains) == {"gmail.com": Quota(20, 3600)}


@pytest.mark.parametrize(
    ("override", "file", "code"),
    [
        ("relay.url", "--set", "bad-override"),
        ("=x", "--set ", "bad-override"),
        ("url=sandbox:", "--set url", "bad-override"),
        ("relay.url\nx=sandbox:", "--set relay.url\\u000ax", "bad-override"),
        ("relay.urll=sandbox:", "--set relay.urll", "unknown-key"),
        ("relais.url=sandbox:", "--set relais.url", "unknown-table"),
        ("relay.url=smtp://a:CANARY@b", "--set relay.url", "bad-value"),
        ("relay.password=CANARY", "--set relay.password", "secret-in-file"),
        ("relay.connections=many", "--set relay.connections", "wrong-type"),
        ("relay.connections=1\nrelay.password=CANARY", "--set relay.connections", "wrong-type"),
        ('campaign.languages=["en", "gr"]', "--set campaign.languages", "bad-value"),
        ("limits.domain.*.ru=20/h", "--set limits.domain.*.ru", "bad-domain"),
    ],
)
def test_a_mistake_in_set_is_told_as_one(override: str, file: str, code: str) -> None:
    """With the option in the place of the file, and no value repeated."""
    _, problems = read(SMALLEST, override)
    assert [(one.file, one.code, one.line) for one in problems] == [(file, code, 0)]
    assert "CANARY" not in "".join(shown(one) for one in problems)


def test_set_gives_what_the_file_lacks() -> None:
    """A missing table is no mistake where every required key is given."""
    given_keys = ["key=river", "name=River", "author=a@example.org", 'languages=["en"]']
    assert good("", *(f"campaign.{one}" for one in given_keys)).key == "river"


# --- the file -----------------------------------------------------------------------------------------


def test_a_folder_is_loaded(tmp_path: Path) -> None:
    """campaign.toml in the folder, overrides applied."""
    (tmp_path / "campaign.toml").write_text(SMALLEST, encoding="utf-8")
    assert load_config(tmp_path, ["campaign.name=Other"]).name == "Other"


def test_a_folder_without_a_campaign_is_told_how_to_get_one(tmp_path: Path) -> None:
    """`campaign init`."""
    with pytest.raises(Unusable) as caught:
        load_config(tmp_path / "nowhere")
    assert "campaign init" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "code", "line", "column"),
    [
        (SMALLEST.replace("the river", "the река").encode("cp1251"), "not-utf8", 3, 18),
        (b"\xef\xbb\xbf" + SMALLEST.encode() + "# ю".encode() + b"\xff", "not-utf8", 6, 4),
        (SMALLEST.encode("utf-16"), "not-utf8", 1, 1),
        (b"#" * (256 * 1024 + 1), "too-large", 0, 0),
        (SMALLEST.encode() + b"\0", "syntax", 6, 1),
        (SMALLEST.encode() + b'[relay]\nca_file = "none.pem"\n', "no-such-file", 0, 0),
    ],
)
def test_a_file_that_cannot_be_read_is_told_where(
    tmp_path: Path, raw: bytes, code: str, line: int, column: int
) -> None:
    """Encoding, size, and files it names."""
    (tmp_path / "campaign.toml").write_bytes(raw)
    with pytest.raises(BadInput) as caught:
        load_config(tmp_path)
    assert [(one.code, one.line, one.column) for one in caught.value.problems] == [(code, line, column)]


def test_load_config_raises_with_all_problems(tmp_path: Path) -> None:
    """Not only with the first."""
    (tmp_path / "campaign.toml").write_text("[campaign]\nkey = 1\nname = 2\n", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_config(tmp_path)
    assert [one.code for one in caught.value.problems] == [
        "missing-key",
        "missing-key",
        "wrong-type",
        "wrong-type",
    ]


# --- the sample ---------------------------------------------------------------------------------------


def test_the_sample_reads_back_without_a_problem() -> None:
    """What `campaign init` writes is what `campaign check` accepts."""
    text = sample_config(
        key="river-2027", name='Free "the" \\ river', languages=["en", "el"], timezone="Asia/Tokyo"
    )
    found, problems = read(text)
    assert problems == []
    assert found is not None
    assert (found.name, found.languages, found.timezone.key) == (
        'Free "the" \\ river',
        ("en", "el"),
        "Asia/Tokyo",
    )
    assert (found.limits.relay, found.limits.hours is not None) == (Pace(50, 300), True)


def test_the_sample_holds_every_key_with_its_help() -> None:
    """Uncommented it is a valid file too, apart from keys that exclude each other."""
    text = sample_config(key="river-2027")
    lines = text[text.index("# What this campaign is") :].splitlines()
    settings_lines = (line.removeprefix("# ") for line in lines)
    whole = "\n".join(line if "=" in line or line.startswith("[") else f"# {line}" for line in settings_lines)
    data = tomllib.loads(whole.replace("\n# where", "\n# where"))
    for name, model in TABLES.items():
        assert set(data[name]) == set(model.model_fields)
        assert all(field.description for field in model.model_fields.values())
    _, problems = read(whole)
    assert [one.code for one in problems if one.severity is Severity.ERROR] == [
        "contradiction",  # [relay]: two places for a password
        "contradiction",  # [replies]: the same
        "contradiction",  # [store]: the same
    ]


def test_the_samples_lines_fit_a_terminal() -> None:
    """At most 110 columns."""
    assert max(len(line) for line in sample_config(key="river-2027").splitlines()) <= 110


# --- any text -----------------------------------------------------------------------------------------

PIECES = [
    "[campaign]", "[relay]", "[[relay]]", "[limits.domain]", "key", "url", "password", '"', "'", '"""', "'''",
    "=", ".", ",", "[", "]", "{", "}", "#", "\\", "\n", "\r\n", " ", "1", "true", "2027-05-01", "sandbox:",
    "\x00", "gmail.com", "languages", '"en"', "inf", "\ud7ff", "ю", "🚩", "://a:b@",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    """Whatever stands in the file: settings, or problems that can be shown."""
    found, problems = read(text)
    assert (found is None) == any(one.severity is Severity.ERROR for one in problems)
    assert all(shown(one) for one in problems)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.text(max_size=10))
def test_no_change_of_a_good_file_makes_the_reader_fail(start: int, length: int, new: str) -> None:
    """A sample with a piece of it replaced."""
    text = sample_config(key="river-2027")
    at = start % len(text)
    found, problems = read(text[:at] + new + text[at + length :])
    assert (found is None) == any(one.severity is Severity.ERROR for one in problems)


@settings(deadline=None)
@given(
    st.lists(
        st.text(max_size=40) | st.sampled_from(["relay", "relay.url", "=", "limits.domain."]), max_size=3
    )
)
def test_no_override_makes_the_reader_fail(overrides: list[str]) -> None:
    """Whatever is given as --set."""
    found, problems = read(SMALLEST, *overrides)
    assert (found is None) == any(one.severity is Severity.ERROR for one in problems)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a = " + "[" * 3_000,
        "a = " + "[\n" * 100_000,
        "a = " + "{b = " * 700,
        "\n".join(f"a{number}" + ".a" * 1_900 + " = 1" for number in range(9)),
        "x = " + "9" * 3_900,
        "x = 1979-99-" + "9" * 3_000,
    ],
    ids=["long", "lists", "lines", "tables", "dots", "digits", "dates"],
)
def test_depth_and_length_do_no_harm(text: str) -> None:
    """Brackets, dots and digits without end are told, not followed."""
    found, problems = read(text)
    assert found is None
    assert problems


@pytest.mark.parametrize(
    "secret", ["CANARY", "CAN ARY", "CAN@ARY", "CAN/ARY", "CAN:ARY", "CAN#ARY", "CAN'ARY"]
)
@pytest.mark.parametrize(
    "line",
    [
        'password = "{}"',
        "password = '''{}'''",
        'password = """\n{}\n"""',
        'url = "smtps://me:{}@smtp.example.org"',
        'url = "smtps://me@example.org:{}@smtp.example.org" nonsense',
        'password_file = "{}" nonsense',
        "password = {}",
        'Password: "{}"',
        'x = {{ smtp_token = "{}" }}',
    ],
)
def test_whatever_the_secret_it_is_not_shown(line: str, secret: str) -> None:
    """In good TOML and in broken TOML."""
    _, problems = read(SMALLEST + "[relay]\n" + line.format(secret) + "\n")
    assert problems
    assert not any(part in shown(one) for one in problems for part in ("CAN", "ARY"))


# --- replies ------------------------------------------------------------------------------------------


def test_one_address_to_forward_to_needs_no_list() -> None:
    """Most campaigns have one."""
    found = good(SMALLEST + '[replies]\nmailbox = "maildir:in"\nforward_to = "me@example.org"\n')
    assert [one.address.wire for one in found.forward_to] == ["me@example.org"]


def test_the_path_of_a_mailbox_is_relative_to_the_campaign() -> None:
    """As every path of the file is."""
    found = good(SMALLEST + '[replies]\nmailbox = "maildir:in"\n')
    assert found.mailbox is not None
    assert (found.mailbox.kind, found.mailbox.path) == (MailboxKind.MAILDIR, ROOT / "in")
    assert found.mailbox.name == "maildir:/campaign/in"


def test_a_mailbox_has_one_name_wherever_the_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of it is found again: by hand, from cron, with and without -C."""
    monkeypatch.chdir(tmp_path)
    text = SMALLEST + '[replies]\nmailbox = "maildir:in"\n'
    roots = (Path(), tmp_path)
    found = [read_config(text, file="campaign.toml", root=root)[0] for root in roots]
    names = {one.mailbox.name for one in found if one is not None and one.mailbox is not None}
    assert names == {f"maildir:{tmp_path}/in"}


def test_what_is_of_no_use_without_a_mailbox_is_a_warning() -> None:
    """The campaign can be sent all the same."""
    found = good(SMALLEST + '[replies]\nforward_to = "me@example.org"\n')
    assert [one.code for one in found.warnings] == ["contradiction"]


def test_a_ca_file_of_the_mailbox_must_be_there(tmp_path: Path) -> None:
    """It is said before anything is fetched."""
    table = '[replies]\nmailbox = "imaps://me@imap.example.org"\nca_file = "ca.pem"\n'
    (tmp_path / "campaign.toml").write_text(SMALLEST + table, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_config(tmp_path)
    assert [one.message for one in caught.value.problems] == ["replies.ca_file: there is no such file"]
