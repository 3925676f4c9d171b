"""The words that a letter asks for of who wants no more of them are understood, or `check` says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.replies.promised import unknown_words
from tests.command_line import TEMPLATE, CommandLine

BODY = "Dear Ada,\n\nplease release “the eleven”.\n\nYours,\nthe Committee\n\n"


@pytest.mark.parametrize(
    "footer",
    [
        "If you want no further letters, please reply with the words “no further letters”.",
        "Если Вы не желаете получать письма, ответьте словами «больше не писать».",
        'Answer "stop" and we shall write no more.',
        "Εάν δεν επιθυμείτε άλλες επιστολές, απαντήστε με τις λέξεις «όχι άλλες επιστολές».",
        "We write for the campaign “Freedom for the May Day marchers in the town of Velmora and elsewhere”.",
        "We write to you for the campaign “May Day”.",
        "",
    ],
)
def test_words_that_are_understood_and_words_that_are_none_are_no_trouble(footer: str) -> None:
    """Nor is whatever stands in quotation marks above."""
    assert unknown_words(BODY + footer) == []


@pytest.mark.parametrize(
    ("footer", "words"),
    [
        ("If you want no more of this, reply “banana”.", "banana"),
        ('Bitte antworten Sie mit "Ruhe jetzt", wenn Sie keine Briefe mehr wünschen.', "Ruhe jetzt"),
        ("Чтобы не получать писем, ответьте «тишина и покой».", "тишина и покой"),
        ("Please answer with the\nwords “leave us\nalone then”.", "leave us alone then"),
    ],
)
def test_words_that_nobody_would_understand_are_found(footer: str, words: str) -> None:
    """Wherever the lines break."""
    assert unknown_words(BODY + footer) == [words]


def test_check_warns_of_them_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, line, column; an error with --strict."""
    campaign = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    campaign.write(template=TEMPLATE + "\nIf you want no more letters, reply “banana”.\n")
    said = campaign("check")
    assert said.code == 0
    assert (
        "templates/letter.en.md:8:37: warning: an answer “banana” would not be taken for a wish" in said.out
    )
    assert campaign("check", "--strict").code == 1
    (first, _) = campaign("check", "--json").json["problems"]
    assert (first["code"], first["file"]) == ("optout-words", "templates/letter.en.md")
    campaign.write(template=TEMPLATE + "\nIf you want no more letters, reply “no further letters”.\n")
    assert "warning" not in campaign("check").out
