"""Reading a server's answers from the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail.response import (
    LINE_LIMIT,
    RESPONSE_LIMIT,
    TEXT_LIMIT,
    Response,
    ResponseFault,
    ResponseReader,
    response,
)


def read(*pieces: bytes) -> list[Response]:
    """Return what a reader makes of ``pieces``, fed one after the other."""
    reader = ResponseReader()
    return [answer for piece in pieces for answer in reader.feed(piece)]


def test_one_line() -> None:
    """Code, enhanced code and text are taken apart."""
    assert read(b"550 5.1.1 user unknown\r\n") == [Response(550, "5.1.1", "user unknown")]


def test_several_lines_make_one_answer() -> None:
    """The lines are joined, the enhanced code repeated on each is taken out of each."""
    (answer,) = read(b"550-5.1.1 The account\r\n550-5.1.1 does not exist.\r\n550 5.1.1 Sorry\r\n")
    assert answer == Response(550, "5.1.1", "The account does not exist. Sorry")


def test_last_line_decides_the_code() -> None:
    """Where lines disagree, the last one is the answer (RFC 5321 4.2.1)."""
    assert read(b"250-well\r\n550 no\r\n")[0].code == 550


def test_code_alone() -> None:
    """Three digits and nothing else are an answer (RFC 5321 4.2)."""
    assert read(b"250\r\n250 \r\n") == [Response(250, "", ""), Response(250, "", "")]


def test_bare_line_feeds_end_lines_too() -> None:
    """Some servers forget the CR."""
    assert [answer.code for answer in read(b"250 a\n354 b\n")] == [250, 354]


def test_several_answers_in_one_packet() -> None:
    """Each comes out, in order; what is not complete waits."""
    reader = ResponseReader()
    assert [answer.code for answer in reader.feed(b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n25")] == [
        250,
        250,
        354,
    ]
    assert [answer.code for answer in reader.feed(b"0 e\r\n")] == [250]


def test_bad_utf_8_is_replaced() -> None:
    """Octets that are no text become replacement characters."""
    assert read(b"250 \xd0\xbf\xd0\r\n")[0].text == "п\ufffd"


def test_terminal_escapes_are_shown_and_not_sent_on() -> None:
    """A server cannot write to the operator's terminal, nor turn the direction of its text."""
    text = read("550 \x1b]0;x\x07 \u202eevil\r\n".encode())[0].text
    assert text.isprintable()
    assert text == "\\u001b]0;x\\u0007 \\u202eevil"


def test_text_is_cut() -> None:
    """No more than a thousand characters are kept."""
    assert len(read(b"250 " + b"x" * 5_000 + b"\r\n")[0].text) == TEXT_LIMIT


@pytest.mark.parametrize(
    "line",
    [b"", b"25", b"2500 x", b"abc", b"250x", b"150 x", b"650 x", b"050 x", b" 250 x", b"HTTP/1.1 200 OK",
     b"-250 x", "٢٥٠ x".encode(), b"25\xb2 x", b"\x16\x03\x01"],
)  # fmt: skip
def test_what_is_no_answer_is_a_fault(line: bytes) -> None:
    """Three digits, the first from 2 to 5, then a space, a hyphen or the end; everything else is a fault."""
    with pytest.raises(ResponseFault):
        read(line + b"\r\n")


def test_good_answers_before_a_fault_are_heard() -> None:
    """An answer that came whole counts, whatever came behind it in the same packet."""
    with pytest.raises(ResponseFault) as caught:
        read(b"250 ok\r\n354 go\r\nwhat\r\n")
    assert [answer.code for answer in caught.value.before] == [250, 354]


def test_line_without_an_end_is_a_fault() -> None:
    """The reader does not gather a megabyte."""
    with pytest.raises(ResponseFault, match="without an end"):
        read(b"250 " + b"x" * LINE_LIMIT)


def test_line_too_long_is_a_fault() -> None:
    """Even when it has an end."""
    with pytest.raises(ResponseFault, match="8,192"):
        read(b"250 " + b"x" * LINE_LIMIT + b"\r\n")


def test_answer_of_many_lines_is_a_fault() -> None:
    """An answer has a size too, however short its lines."""
    with pytest.raises(ResponseFault, match="65,536"):
        read(b"250-and more\r\n" * (RESPONSE_LIMIT // 12))


def test_long_answers_one_after_the_other_are_no_fault() -> None:
    """The limit is of one answer, not of a connection."""
    long_one = b"250-" + b"x" * 6_000 + b"\r\n"
    assert len(read(*([long_one * 9 + b"250 done\r\n"] * 5))) == 5


@pytest.mark.parametrize(
    ("code", "text", "enhanced", "status", "rest"),
    [
        (550, "5.1.1 no", "5.1.1", "5.1.1", "no"),
        (550, "4.1.1 no", "4.1.1", "5.1.1", "no"),  # the basic code wins
        (451, "5.7.1 no", "5.7.1", "4.7.1", "no"),
        (250, "2.0.0", "2.0.0", "2.0.0", ""),
        (550, "no 5.1.1", "", "", "no 5.1.1"),  # not in front
        (550, "3.1.1 no", "", "", "3.1.1 no"),  # there is no class 3
        (550, "5.1.1no", "", "", "5.1.1no"),
        (550, "5.1234.1 no", "", "", "5.1234.1 no"),
        (550, "127.0.0.1 no", "", "", "127.0.0.1 no"),
    ],
)
def test_enhanced_code(code: int, text: str, enhanced: str, status: str, rest: str) -> None:
    """It stands in front of the text; its class is the basic code's (RFC 2034)."""
    answer = response(code, text)
    assert (answer.enhanced, answer.status, answer.text) == (enhanced, status, rest)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(200, "accepted"), (299, "accepted"), (354, "go_ahead"), (399, "go_ahead"), (421, "temporary"),
    (459, "temporary"), (500, "permanent"), (599, "permanent")],
)  # fmt: skip
def test_first_digit_decides(code: int, kind: str) -> None:
    """Codes nobody has heard of count by their first digit (RFC 5321 4.2.1)."""
    answer = response(code, "")
    told = {name for name in ("accepted", "go_ahead", "temporary", "permanent") if getattr(answer, name)}
    assert told == {kind}


def test_shown_as_it_was_said() -> None:
    """An answer reads as on the wire."""
    assert str(response(550, "5.1.1 no")) == "550 5.1.1 no"
    assert str(response(250, "")) == "250"


LINES = st.builds(
    lambda code, more, end: (
        b"".join(b"%d-%b\r\n" % (code, line) for line in more) + b"%d %b\r\n" % (code, end)
    ),
    st.integers(200, 599),
    st.lists(st.binary(max_size=20).map(lambda octets: octets.replace(b"\n", b"")), max_size=3),
    st.binary(max_size=20).map(lambda octets: octets.replace(b"\n", b"")),
)


@given(st.lists(LINES, max_size=5).map(b"".join), st.data())
def test_cut_anywhere_it_reads_the_same(octets: bytes, data: st.DataObject) -> None:
    """However the network cuts the octets, the answers are the same."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert read(*pieces) == read(octets) == read(*(octets[i : i + 1] for i in range(len(octets))))


def told(*pieces: bytes) -> tuple[list[Response], bool]:
    """Return the answers up to the first fault, and whether there was one."""
    reader = ResponseReader()
    out: list[Response] = []
    try:
        for piece in pieces:
            out += reader.feed(piece)
    except ResponseFault as fault:
        return out + list(fault.before), True
    return out, False


@given(st.binary(max_size=200) | st.lists(LINES | st.binary(max_size=10), max_size=6).map(b"".join))
def test_any_octets_give_answers_or_a_fault(octets: bytes) -> None:
    """Never another exception; and the same, whether they come at once or one by one."""
    assert told(octets) == told(*(octets[i : i + 1] for i in range(len(octets))))
