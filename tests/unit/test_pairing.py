"""Who writes to whom: the rules, and turns that hold whatever is reordered or edited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipients.pairing import Pairing, Turns
from pipeline.recipients.rows import Recipient, read_recipients
from pipeline.recipients.signatories import Rule, Signatory
from tests.unit.test_signatories import HEADER, read, row


def recipients(*names: str, country: str = "", language: str = "en") -> list[Recipient]:
    """Return recipients of those names."""
    rows = "".join(f"{name}@office.example,{country},{language}\n" for name in names)
    found = read_recipients(
        f"email,country,language\n{rows}".encode(), file="recipients.csv", languages=["en", "el"]
    )
    assert not found.problems
    return list(found.recipients)


def signatories(*names: str) -> Sequence[Signatory]:
    """Return signatories of those names, in Kestria, who write English."""
    return read(HEADER + "".join(map(row, names))).accepted


def pairs(
    rule: Rule, signed: Sequence[Signatory] | None, to: Sequence[Recipient], turns: Turns | None = None
) -> list[tuple[str, str]]:
    """Return the pairs as (signatory, recipient), by the first parts of their addresses."""
    found = Pairing(signed, rule).pairs(to, turns)
    return [
        (one.signatory.key.split("@")[0] if one.signatory else "", one.recipient.address.key.split("@")[0])
        for one in found
    ]


def taken(*letters: tuple[str, str, int]) -> Turns:
    """Return turns: (recipient, signatory, rank), by the first parts of their addresses."""
    return Turns((f"{to}@office.example", f"{by}@home.example", rank) for to, by, rank in letters)


def test_without_signatories_the_campaign_writes_in_its_own_name() -> None:
    """One letter to each recipient."""
    assert pairs(Rule.ALL, None, recipients("mia", "tom")) == [("", "mia"), ("", "tom")]


def test_all_write_to_all() -> None:
    """Every pair once, those to one recipient together."""
    found = pairs(Rule.ALL, signatories("Ada", "Ben"), recipients("mia", "tom"))
    assert found == [("ada", "mia"), ("ben", "mia"), ("ada", "tom"), ("ben", "tom")]


def test_by_country_whatever_its_case() -> None:
    """Others get no letter."""
    to = recipients("mia", country="KESTRIA ") + recipients("tom", country="Lazoria")
    assert pairs(Rule.COUNTRY, signatories("Ada", "Ben"), to) == [("ada", "mia"), ("ben", "mia")]


def test_by_language() -> None:
    """Who writes English writes to those who read it."""
    to = recipients("mia") + recipients("tom", language="el")
    assert pairs(Rule.LANGUAGE, signatories("Ada"), to) == [("ada", "mia")]


def test_round_robin_gives_one_letter_to_each_in_turn() -> None:
    """As even as can be."""
    found = pairs(Rule.ROUND_ROBIN, signatories("Ada", "Ben"), recipients("mia", "tom", "ulf"))
    assert found == [("ada", "mia"), ("ben", "tom"), ("ada", "ulf")]


def test_a_new_recipient_is_the_turn_of_who_has_had_the_fewest() -> None:
    """Whatever stands before it in the list."""
    turns = taken(("mia", "ada", 0), ("tom", "ada", 0), ("ulf", "ben", 1))
    found = pairs(Rule.ROUND_ROBIN, signatories("Ada", "Ben"), recipients("neu", "tom", "ulf", "mia"), turns)
    assert found == [("ben", "neu"), ("ada", "tom"), ("ben", "ulf"), ("ada", "mia")]


def test_a_letter_that_has_gone_is_not_written_again_by_another() -> None:
    """Its signatory's row was removed since; a letter that waited is another's now."""
    turns = taken(("mia", "eva", 0), ("tom", "eva", 1))
    assert pairs(Rule.ROUND_ROBIN, signatories("Ada"), recipients("mia", "tom"), turns) == [("ada", "tom")]


def test_of_several_letters_the_one_that_has_gone_counts() -> None:
    """Whoever was planned before or after."""
    turns = taken(("mia", "ada", 2), ("mia", "ben", 0), ("mia", "eva", 1))
    assert pairs(Rule.ROUND_ROBIN, signatories("Ada", "Ben"), recipients("mia"), turns) == [("ben", "mia")]


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True),
    st.lists(st.sampled_from("mnopqrst"), min_size=1, max_size=8, unique=True),
    st.permutations("abcdefgh"),
    st.permutations("mnopqrst"),
    st.sets(st.sampled_from("mnopqrst")),
)
def test_no_edit_of_either_list_makes_a_second_letter(
    signed: list[str], to: list[str], others: list[str], more: list[str], gone: set[str]
) -> None:
    """Both lists are reordered and grow: who was written to is paired with the same signatory as before."""
    before = {r: s for s, r in pairs(Rule.ROUND_ROBIN, signatories(*signed), recipients(*to))}
    turns = taken(*((r, s, 0 if r in gone else 1) for r, s in before.items()))
    after = pairs(Rule.ROUND_ROBIN, signatories(*others), recipients(*more), turns)
    assert Counter(r for _, r in after) == Counter(more)
    assert {r: s for s, r in after if r in before} == before
