"""The page round a letter's HTML, made once with gaps for what differs from letter to letter.

A layout that only prints `body`, `subject` and `preheader`, or asks whether they are there, and uses no value
of a row, comes out alike for all letters of a language: it is rendered once, with marks in the places of the
three. Any other layout is rendered for each letter.

Contract: `Frame.fill` equals rendering the page, byte for byte (`tests/unit/test_letters_splice.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jinja2 import nodes
from markupsafe import escape

BODY_MARK, SUBJECT_MARK, PREHEADER_MARK = "\0b\0", "\0s\0", "\0p\0"
_OWN = frozenset({"body", "subject", "preheader"})
_OF_ALL_LETTERS = frozenset({"language", "direction", "campaign", "facts"})
_MARK = re.compile("(\0[bsp]\0)")


@dataclass(frozen=True, slots=True)
class Frame:
    """A page in pieces: text, mark, text, mark ...; empty for a page that has no frame."""

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, page: str) -> Frame:
        """Return the frame of a page rendered with marks; of "" the one that fills nothing."""
        return cls(tuple(_MARK.split(page)) if page else ())

    def fill(self, body: str, subject: str, preheader: str) -> str | None:
        """Return the page for one letter; None where the layout has no frame. ``body`` is HTML, the others
        text.
        """
        if not self.pieces:
            return None
        values = {BODY_MARK: body, SUBJECT_MARK: str(escape(subject)), PREHEADER_MARK: str(escape(preheader))}
        return "".join([values[piece] if number % 2 else piece for number, piece in enumerate(self.pieces)])


def is_frame(tree: nodes.Template) -> bool:
    """Say whether a layout comes out alike for all letters of a language, but for the three."""
    return all(_fits(node) for node in tree.body)


def _fits(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Output):
        return all(
            (isinstance(child, nodes.Name) and child.name in _OWN) or _is_common(child)
            for child in node.nodes
        )
    if isinstance(node, nodes.If):
        asks = isinstance(node.test, nodes.Name) and node.test.name == "preheader"
        rest = [*node.body, *node.elif_, *node.else_]
        return (asks or _is_common(node.test)) and all(_fits(child) for child in rest)
    return False


def _is_common(node: nodes.Node) -> bool:
    """Say whether a piece of a layout is the same for all letters of a language."""
    names = [node] if isinstance(node, nodes.Name) else list(node.find_all(nodes.Name))
    calls = any(True for _ in node.find_all(nodes.Call))
    return not calls and all(name.name in _OF_ALL_LETTERS for name in names)
