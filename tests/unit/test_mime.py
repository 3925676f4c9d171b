"""The bounded MIME reader: what came is a tree, whatever came."""

from __future__ import annotations

import random
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.mail.mime import Limits, Mail, read_mail


def _plain(body: bytes, content_type: str = "text/plain", more: str = "") -> Mail:
    return read_mail(f"From: a@example.org\r\nContent-Type: {content_type}\r\n{more}\r\n".encode() + body)


def test_a_plain_mail_is_one_part_with_its_text() -> None:
    """Header, body, line ends made LF."""
    mail = read_mail(b"From: Anna <anna@example.org>\r\nSubject: Hello\r\n\r\nOne\r\nTwo\r\n")
    assert (mail.author, mail.subject) == (("Anna", "anna@example.org"), "Hello")
    assert (mail.root.type, mail.root.text, mail.unreadable) == ("text/plain", "One\nTwo\n", "")


def test_the_tree_has_every_part_in_its_order() -> None:
    """mixed(alternative(plain, html), text) as the standard library writes it."""
    inner = MIMEMultipart("alternative", _subparts=[MIMEText("plain"), MIMEText("<p>html", "html")])
    mail = read_mail(MIMEMultipart("mixed", _subparts=[inner, MIMEText("last")]).as_bytes())
    assert [part.type for part in mail.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/plain",
    ]  # fmt: skip
    assert [part.text for part in mail.walk() if not part.children] == ["plain", "<p>html", "last"]


def test_a_forwarded_message_has_its_own_header() -> None:
    """message/rfc822 has one child, and its content is the message whole."""
    mail = read_mail(
        b'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: message/rfc822\n\n'
        b"Subject: =?utf-8?q?=D0=9F=D0=B8=D1=81=D1=8C=D0=BC=D0=BE?=\n"
        b"Message-ID: <1@example.org>\n\nbody\n--x--\n"
    )
    message = mail.root.children[0]
    assert message.is_message
    assert message.children[0].headers.get("subject") == "Письмо"
    assert message.content.endswith(b"\nbody")
    assert [part.type for part in mail.walk(into_messages=False)] == ["multipart/mixed", "message/rfc822"]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_line_ends_of_every_kind_are_read(end: bytes) -> None:
    """CRLF, LF and the bare CR of old files give the same tree."""
    lines = [
        b"Content-Type: multipart/mixed; boundary=b",
        b"",
        b"--b",
        b"",
        b"one",
        b"--b",
        b"",
        b"two",
        b"--b--",
    ]
    mail = read_mail(end.join(lines) + end)
    assert [part.text for part in mail.root.children] == ["one", "two"]


def test_empty_lines_in_front_of_the_header_are_stepped_over() -> None:
    """Some programs that save mails put them there; a body that begins so is left alone."""
    assert read_mail(b"   \n\nSubject: hello\n\nbody\n").subject == "hello"
    assert read_mail(b"\n\njust words\n").root.text.strip() == "just words"


def test_a_multipart_without_its_last_boundary_ends_with_the_mail() -> None:
    """A mail cut off in the middle still has the part that came."""
    mail = read_mail(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhalf a")
    assert mail.root.children[0].text == "half a"


def test_a_multipart_without_parts_is_text() -> None:
    """The boundary that was promised does not come: the body is read as text, and the defect named."""
    mail = read_mail(b"Content-Type: multipart/mixed; boundary=b\n\nwords\n")
    assert (mail.root.type, mail.root.text) == ("text/plain", "words\n")
    assert mail.root.defects == ("a multipart without parts",)


def test_what_stands_outside_the_parts_is_kept() -> None:
    """Preamble and epilogue: some bounces say there what happened."""
    mail = read_mail(b"Content-Type: multipart/mixed; boundary=b\n\nbefore\n--b\n\nin\n--b--\nafter\n")
    assert mail.root.content == b"beforeafter\n"


def test_a_boundary_that_begins_like_another_is_not_taken_for_it() -> None:
    """--bb does not end --b."""
    mail = read_mail(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bb\nstill\n--b--\n")
    assert [part.text for part in mail.root.children] == ["one\n--bb\nstill"]


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("Привет, мир".encode("koi8-r"), "koi8-r", "Привет, мир"),
        ("Привет, мир".encode("cp1251"), "windows-1251", "Привет, мир"),
        ("Привет, мир".encode(), "iso-8859-1", "Привет, мир"),
        ("Уважаемые господа, спасибо за письмо".encode("cp1251"), "", "Уважаемые господа, спасибо за письмо"),
        (
            "Уважаемые господа, спасибо за письмо".encode("koi8-r"),
            "x-none",
            "Уважаемые господа, спасибо за письмо",
        ),
        ("Grüße aus Köln".encode("latin-1"), "", "Grüße aus Köln"),
        ("“quoted”".encode("cp1252"), "iso-8859-1", "“quoted”"),
        ("受信しました".encode("iso2022_jp"), "", "受信しました"),
        ("您好".encode("gbk"), "gb2312", "您好"),
        (b"\xff\xfeh\x00i\x00", "", "hi"),
        (b"\xff\x81\x8d", "utf-8", "ÿ\x81\x8d"),
    ],
)
def test_text_is_read_in_declared_undeclared_unknown_and_wrong_charsets(
    data: bytes, charset: str, text: str
) -> None:
    """The order stands in pipeline.mail.charset."""
    assert _plain(data, f"text/plain; charset={charset}" if charset else "text/plain").root.text == text


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "utf-8", "iso-8859-1", "nonsense", "utf-7", "base64", "idna"]),
)
def test_no_byte_of_a_text_is_lost(data: bytes, charset: str) -> None:
    """What came out can be turned back into what came in."""
    decoded = _plain(data, f'text/plain; charset="{charset}"').root.decoded
    if decoded.charset == "windows-1252":
        assert len(decoded.text) == len(data)
    elif not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00\x00\xfe\xff")):
        assert decoded.text.encode(decoded.charset, "replace") == data or decoded.charset != "utf-8"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?utf-8?B?0J/RgA==?= =?utf-8?B?0LjQstC10YI=?=", "Привет"),
        (b"=?utf-8?B?0A==?= =?utf-8?B?nw==?=", "П"),
        (b"=?koi8-r?Q?=F0?= and =?iso-8859-1?Q?=E9?=", "П and é"),
        (b"=?nonsense?Q?abc?=", "abc"),
        (b"=?utf-8?B?!!!?= x", "x"),
        ("Ответ".encode(), "Ответ"),
        ("Ответ на письмо".encode("cp1251"), "Ответ на письмо"),
        (b"=?utf-8*ru?Q?a_b?=", "a b"),
        (b"a =?=?= b", "a =?=?= b"),
    ],
)
def test_a_header_is_read_as_it_was_meant(raw: bytes, text: str) -> None:
    """Encoded-words, also in pieces of one character, and raw bytes."""
    assert read_mail(b"Subject: " + raw + b"\n\n").subject == text


def test_a_filename_in_pieces_and_charsets_is_put_together_and_made_harmless() -> None:
    """RFC 2231 continuations; no path, no control characters."""
    mail = _plain(
        b"x", "application/pdf",
        "Content-Disposition: attachment; filename*0*=utf-8''..%2F%D0%9E%D1%82;\r\n"
        " filename*1*=%D0%B2%D0%B5;\r\n"
        ' filename*2="t.pdf"\r\n',
    )  # fmt: skip
    assert (mail.root.filename, mail.root.is_attachment) == ("Отвеt.pdf", True)


def test_addresses_are_found_in_lists_groups_and_comments() -> None:
    """Names with commas, groups, comments, encoded names."""
    mail = read_mail(
        b'To: "Doe, Jane" <jane@example.org>, press: a@example.org, =?utf-8?q?B=C3=A9?= <b@example.org>;,\n'
        b" (not <c@example.org>) d@example.org\n\n"
    )
    assert [name for name, _ in mail.headers.addresses("to")] == ["Doe, Jane", "", "Bé", ""]
    assert [address[0] for _, address in mail.headers.addresses("to")] == ["j", "a", "b", "d"]


def test_a_null_return_path_is_not_a_missing_one() -> None:
    """ "<>" says that nothing is to be answered."""
    assert read_mail(b"Return-Path: <>\n\n").return_path == ""
    assert read_mail(b"Subject: x\n\n").return_path is None
    assert read_mail(b"Return-Path: <a@example.org>\n\n").return_path == "a@example.org"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode", "7bit", "nonsense"])
def test_a_broken_transfer_encoding_is_read_as_well_as_it_can_be(encoding: str) -> None:
    """Whatever it was, there is a part and no exception."""
    mail = _plain(b"=ZZ\xff begin %%\n=", more=f"Content-Transfer-Encoding: {encoding}\r\n")
    assert mail.root.content


def test_a_footer_behind_base64_is_kept() -> None:
    """Mailing lists append plain text to an encoded part."""
    mail = _plain(b"aGVsbG8=\r\n-- \r\nA list\r\n", more="Content-Transfer-Encoding: base64\r\n")
    assert mail.root.content.startswith(b"hello")
    assert b"A list" in mail.root.content


def _nested(depth: int) -> bytes:
    out = b"Subject: bomb\n"
    for level in range(depth):
        out += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level)
    return out + b"\nend\n"


def test_a_thousand_nested_parts_are_unreadable_and_their_header_is_not() -> None:
    """The bound on depth is named; work stops there."""
    mail = read_mail(_nested(1_000))
    assert mail.unreadable == "unreadable: more than 50 levels of parts"
    assert mail.subject == "bomb"


def test_nested_messages_are_bounded_too() -> None:
    """Each level of message/rfc822 would otherwise hold the rest once more."""
    mail = read_mail(b"Subject: bomb\n" + b"Content-Type: message/rfc822\n\n" * 1_000 + b"\nend")
    assert mail.unreadable.startswith("unreadable: more than 50 levels")


def test_many_parts_are_unreadable() -> None:
    """A million little parts are not built first and counted afterwards."""
    raw = b"Subject: bomb\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1_000
    assert read_mail(raw).unreadable == "unreadable: more than 500 parts"


def test_twenty_thousand_addresses_are_a_header_too_long() -> None:
    """The fields before it can be read."""
    to = ", ".join(f"person{number}@example.org" for number in range(20_000))
    mail = read_mail(f"Subject: many\nTo: {to}\n\nhello".encode())
    assert mail.unreadable == "unreadable: a header field of more than 128 KiB"
    assert mail.subject == "many"


def test_a_mail_over_the_size_is_unreadable_and_its_header_is_read() -> None:
    """Only the header of it is looked at."""
    mail = read_mail(b"Subject: big\n\n" + b"x" * 2_000_000, Limits(size=1024 * 1024))
    assert (mail.subject, mail.unreadable, mail.size) == ("big", "unreadable: larger than 1 MiB", 2_000_014)


def test_nesting_a_mail_in_itself_is_bounded_by_work_and_memory() -> None:
    """What is held never exceeds three times the limit on size."""
    raw = b"".join(b"Content-Type: message/rfc822\n\n" for _ in range(40)) + b"\n" + b"x" * 100_000
    assert read_mail(raw, Limits(size=200_000)).unreadable == "unreadable: too much nested in itself"


@pytest.mark.parametrize(
    "raw", [b"", b"\0" * 5_000, b"\n" * 5_000, b"\r" * 5_000, b":" * 5_000, b"<a " * 20_000]
)
def test_rubbish_is_a_mail_without_a_header(raw: bytes) -> None:
    """No exception, no unreadable: there was nothing to break."""
    assert read_mail(raw).unreadable == ""


_PIECES = [
    b"From: a@b.example\n",
    b"Content-Type: multipart/mixed; boundary=b\n",
    b"\n",
    b"--b\n",
    b"--b--\n",
    b"\r\n",
    b"Content-Type: message/rfc822\n",
    b"Content-Transfer-Encoding: base64\n",
    b"=?utf-8?B?",
    b"?=",
    b"\xd0\x9f",
    b'Content-Type: text/plain; charset="\0\n',
    b"Content-Disposition: attachment; filename*=",
    b"''%",
    b"(((",
    b'"',
    b"To: <",
    b",;:",
    b"\x1b$B",
    b"\xff\xfe",
    b" folded\n",
    b'Content-Type: multipart/digest; boundary="b"\n',
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=20)), max_size=60))
def test_no_structure_of_any_kind_is_an_exception(pieces: list[bytes]) -> None:
    """Every field and every text of whatever came can be asked for."""
    mail = read_mail(b"".join(pieces), Limits(depth=8, parts=20))
    for part in mail.walk():
        assert isinstance(part.text, str)
        for field in part.headers:
            assert isinstance(field.value, str)
    mail.headers.addresses("to", "from")
    mail.headers.message_ids("message-id")


def test_boundaries_within_a_line_cost_no_more_than_the_line() -> None:
    """A million of them once cost the line a million times."""
    raw = b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a" * 100_000 + b"\n" + b"--ax\n" * 50_000
    assert read_mail(raw, Limits(work=3 * len(raw))).unreadable == ""


def test_a_subject_is_read_to_a_thousand_characters() -> None:
    """It is looked at many times."""
    assert len(read_mail(b"Subject: " + b"=?" * 30_000 + b"\n\nx").subject) == 1_000


def test_the_octets_looked_at_are_linear_in_the_size() -> None:
    """A mail twice as long costs twice the work, at any nesting within the bounds."""
    chance = random.Random(5)
    sizes = []
    for octets in (50_000, 100_000):
        raw = _nested(40) + bytes(chance.randrange(256) for _ in range(octets))
        sizes.append(read_mail(raw, Limits(work=len(raw) * 42)).unreadable)
    assert sizes == ["", ""]
