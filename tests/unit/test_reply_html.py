"""HTML mails as lines of text: what is shown, what is quoted, what never comes through."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.replies.html import HTML_LIMIT, MARKUP_LIMIT, cleaned, html_lines
from pipeline.replies.layout import Mark
from pipeline.replies.text import reply_of


def rendered(html: str) -> str:
    """Return the text of all lines."""
    return "\n".join(line.text for line in html_lines(html)[0])


def marks(html: str) -> list[tuple[str, int, Mark]]:
    """Return the lines that are not empty with what the markup says about them."""
    return [(line.text, line.depth, line.mark) for line in html_lines(html)[0] if line.text]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div>two</div>", "one\ntwo"),
        ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
        ("one<br>two<br><br>three", "one\ntwo\n\nthree"),
        (
            '<p class="MsoNormal">one</p><p class="MsoNormal">&nbsp;</p><p class="MsoNormal">two</p>',
            "one\n\ntwo",
        ),
        ("<h1>head</h1>words", "head\n\nwords"),
        ("<b>b</b><i>old</i> <u>x</u>", "bold x"),
        ("a  b\n\t c", "a b c"),
        ("<pre>a  b\n c</pre>", "a  b\n c"),
        ('<div style="white-space: pre-wrap">a\nb</div>', "a\nb"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n- c"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("&lt;p&gt; &amp; &#8212; &eacute; &nbsp;x", "<p> & — é  x"),
        ("fish & chips < steak", "fish & chips < steak"),
        ('<a href="https://a.example/x">https://a.example/x</a>', "https://a.example/x"),
        ('<a href="https://a.example/x">a.example/x</a>', "a.example/x"),
        ('see <a href="https://a.example/x">there</a>.', "see there <https://a.example/x>."),
        ('<a href="mailto:a@example.org">write</a>', "write"),
        ("<p>unclosed <b>bold<p>next", "unclosed bold\n\nnext"),
        ("</div></p>stray", "stray"),
        ("", ""),
    ],
)
def test_html_as_text(html: str, text: str) -> None:
    """As a browser would show it, nearly."""
    assert rendered(html).strip("\n") == text


@pytest.mark.parametrize(
    "html",
    [
        "<script>secret</script>",
        "<style>secret{}</style>",
        "<title>secret</title>",
        "<!-- secret -->",
        '<div style="display:none">secret</div>',
        '<div style="display : none">a<p>secret</p></div>',
        '<span style="font-size:0px">secret</span>',
        '<img alt="secret" src="https://secret.example/">',
        '<a href="javascript:secret"></a>',
        '<input value="secret">',
        "<svg><text>secret</text></svg>",
        "<noscript>secret</noscript>",
        "<select><option>secret</option></select>",
        '<p onclick="secret()"></p>',
        "<!--[if mso]><p>secret</p><![endif]-->",
    ],
)
def test_what_a_reader_would_not_see_is_not_there(html: str) -> None:
    """Neither scripts nor what is hidden."""
    assert "secret" not in rendered(f"<p>words</p>{html}<p>more</p>")


@pytest.mark.parametrize(
    "opening",
    [
        '<blockquote type="cite">',
        '<blockquote TYPE="CITE" cite="mid:x">',
        '<blockquote class="gmail_quote">',
        '<blockquote class="protonmail_quote" type="cite">',
        '<blockquote class="tutanota_quote">',
        '<blockquote style="BORDER-LEFT: #ccc 1px solid">',
        '<blockquote id="isReplyContent" style="border-left: 1px">',
        '<div class="yahoo_quoted">',
        '<div class="ydp12ab34yahoo_quoted" id="ydp12ab34yahoo_quoted_1">',
        '<div name="quote">',
        '<div id="mail-editor-reference-message-container">',
        '<div class="zmail_extra">',
        '<div class="x_yahoo_quoted">',
    ],
)
def test_quotations_of_mail_programs(opening: str) -> None:
    """Known by their markup, which no language changes."""
    close = opening[1:].partition(" ")[0]
    assert marks(f"new{opening}<div>old</div></{close}>after") == [
        ("new", 0, Mark.NONE),
        ("old", 1, Mark.NONE),
        ("after", 0, Mark.NONE),
    ]


def test_quotations_within_quotations_count() -> None:
    """Up to fifty."""
    quote = '<blockquote type="cite">'
    assert marks(f"a{quote}b{quote}c</blockquote></blockquote>")[2] == ("c", 2, Mark.NONE)
    assert marks(f"a{quote * 80}b")[1][1] == 50


@pytest.mark.parametrize(
    ("html", "mark"),
    [
        ('<div class="moz-cite-prefix">x</div>', Mark.ATTRIBUTION),
        ('<div dir="ltr" class="gmail_attr">x</div>', Mark.ATTRIBUTION),
        ('<div id="divRplyFwdMsg">x</div>', Mark.CUT),
        ('<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in">x</div>', Mark.CUT),
        ('<div class="gmail_signature" data-smartmail="gmail_signature">x</div>', Mark.SIGNATURE),
        ('<pre class="moz-signature">x</pre>', Mark.SIGNATURE),
        ('<div id="AppleMailSignature">x</div>', Mark.SIGNATURE),
        ('<div id="ms-outlook-mobile-signature">x</div>', Mark.SIGNATURE),
        ("<blockquote>x</blockquote>", Mark.PERHAPS),
    ],
)
def test_what_the_markup_says_about_a_line(html: str, mark: Mark) -> None:
    """Each program in its way."""
    assert marks(html) == [("x", 0, mark)]


def test_a_rule_is_a_line() -> None:
    """It stands above quotations, and between a writer's own thoughts."""
    assert [line.mark for line in html_lines("a<hr>b")[0] if line.text] == [Mark.NONE, Mark.RULE, Mark.NONE]
    assert "_" * 32 in reply_of(html_lines("a<hr>b")[0]).new


def test_a_blockquote_of_the_writers_own_is_kept() -> None:
    """A law cited in an answer belongs to it."""
    found = reply_of(html_lines("<p>The law:</p><blockquote>Nobody shall.</blockquote><p>So.</p>")[0])
    assert "Nobody shall." in found.new


def test_a_bare_blockquote_below_a_line_that_says_who_wrote_is_quoted() -> None:
    """Yandex marks it in no other way."""
    html = (
        "<p>No.</p><p>03.05.2026, 20:04, Ann &lt;a@example.org&gt;:</p><blockquote>old</blockquote><p>End</p>"
    )
    assert reply_of(html_lines(html)[0]).new == "No.\n\nEnd"


def test_pictures_written_into_the_html_do_not_count() -> None:
    """A scanned seal may have a megabyte."""
    picture = f'<img src="data:image/png;base64,{"A" * 1_000_000}">'
    lines, cut = html_lines(f"<p>one</p>{picture}<p>two</p>")
    assert [line.text for line in lines if line.text] == ["one", "two"]
    assert not cut


@pytest.mark.parametrize(
    "html", ["x " * HTML_LIMIT, "<p>x" * (MARKUP_LIMIT + 1), "&amp;" * (MARKUP_LIMIT + 1)]
)
def test_html_beyond_the_limits_is_cut_and_that_is_told(html: str) -> None:
    """The words of an answer stand at its beginning."""
    lines, cut = html_lines(html)
    assert cut
    assert lines


HOSTILE = {
    "open tags": "<a " * 200_000,
    "divisions": "<div>" * 200_000,
    "bold paragraphs": "<b><p>" * 100_000,
    "links": "<a><p>" * 100_000,
    "tables": "<table><a>" * 50_000,
    "ampersands": "&" * 1_000_000,
    "less than": "<" * 1_000_000,
    "quotations": "<blockquote type=cite>" * 45_000,
    "bold": "<b>" * 300_000,
    "attributes": "<p " + " ".join(f"a{number}=1" for number in range(150_000)) + ">",
    "quoted attributes": "<p " + 'a=">" ' * 100_000 + ">",
    "many attributes": ("<p " + " ".join(f"a{number}=1" for number in range(1000)) + ">") * 100,
    "fonts": "<p><font>x" * 80_000,
    "nested fonts": "<font color=red>" * 90 + "<p>x" * 150_000,
    "items": "<li><div>" * 100_000,
    "classes": '<p class="' + "x " * 200_000 + '">',
    "comments": "<!--" * 200_000,
    "lines": "<pre>" + "\n" * 1_000_000,
    "formatting": "<a><b><i><u><p>" * 60_000,
    "foreign": "<svg>" * 200_000,
    "data": "data:image/png;base64," * 40_000,
}


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_takes_no_more_time_than_it_has_characters(html: str) -> None:
    """A megabyte within seconds of the processor, wherever; a browser's parser alone would take minutes."""
    start = time.process_time()
    html_lines(html)
    assert time.process_time() - start < 5


MARKUP = st.text(st.sampled_from("<>/&;\"'= abp\n"), max_size=200)
TAGS = st.lists(
    st.sampled_from(
        [
            "<div>",
            "</div>",
            "<p>",
            "</p>",
            "<blockquote type=cite>",
            "</blockquote>",
            "<br>",
            "<b",
            "x",
            "&",
            "\n",
        ]
    ),
    max_size=60,
).map("".join)


@given(MARKUP | TAGS)
def test_nothing_raises(html: str) -> None:
    """The markup is a stranger's."""
    html_lines(html)


@given(MARKUP | TAGS)
def test_cleaned_html_has_no_script_in_it(html: str) -> None:
    """Of elements only the short list, of attributes only what is looked at."""
    clean = cleaned(f"{html}<script>x</script><p onload=x style='color:red'>y</p>")
    assert "<script" not in clean
    assert "onload" not in clean.partition("<p")[2]
