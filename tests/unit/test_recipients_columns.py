"""The header: names that templates can say, and names that are nearly ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipients.columns import KNOWN, header_faults, intended, readable


def test_the_known_columns_and_plain_names_are_fine() -> None:
    """Other scripts too: templates can say them."""
    assert header_faults([*KNOWN, "case_number", "номер", "Anrede", "role", "address"]) == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("E-mail", "email"),
        ("Email ", "email"),
        ("EMAIL", "email"),
        ("e mail address", "email"),
        ("mail", "email"),
        ("lang", "language"),
        ("langauge", "language"),
        ("exlude", "exclude"),
        ("role ok", "role_ok"),
        ("Time Zone", "timezone"),
        ("Name", "name"),
    ],
)
def test_a_name_that_is_nearly_ours_gets_the_hint(name: str, known: str) -> None:
    """It is an error: a misspelt `exclude` would write to somebody who was to be left out."""
    others = [column for column in KNOWN if column != known]
    assert header_faults([name, *others]) == [
        (0, "unknown-column", f'no such column "{name}"', f"rename to {known}")
    ]
    assert readable([name, *others]) == (known, *others)


@pytest.mark.parametrize("name", ["opening line", "2nd", "a-b", "a.b", "_private", "items", "get", "x" * 65])
def test_a_name_that_templates_cannot_say_is_refused(name: str) -> None:
    """`recipient.name` must mean the cell."""
    assert [fault[1] for fault in header_faults(["email", name])] == ["bad-column"]


def test_duplicate_and_empty_names_are_told_at_their_cells() -> None:
    """Each at its own place."""
    faults = header_faults(["email", "office", "", "office"])
    assert [(index, code) for index, code, _, _ in faults] == [(2, "empty-column"), (3, "duplicate-column")]


def test_a_list_without_email_is_told() -> None:
    """There is nobody to write to."""
    assert header_faults(["name", "office"])[0][1] == "no-email-column"


@pytest.mark.parametrize("name", ["office", "country", "ministry", "demand", "region", "gender"])
def test_ordinary_names_are_not_taken_for_ours(name: str) -> None:
    """A hint that is wrong is worse than none."""
    assert intended(name) in ("", name)


@given(st.lists(st.text(max_size=20), max_size=8))
def test_any_header_is_checked_without_raising(names: list[str]) -> None:
    """Faults name cells of the header."""
    assert all(0 <= index <= len(names) for index, *_ in header_faults(names))
    assert len(readable(names)) == len(names)
