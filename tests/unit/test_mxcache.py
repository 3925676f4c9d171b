"""Answers of the DNS in the store: given back while they hold, and never after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.clock import SECOND_US
from pipeline.recipients.mx import Answer, Mail
from pipeline.store import mxcache
from pipeline.store.world import World
from tests.postgres import BOTH
from tests.unit.store_support import a_world

pytestmark = BOTH


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An open world."""
    world = a_world(tmp_path)
    yield world
    world.close()


def known(world: World, *domains: str, now_s: int) -> dict[str, Mail]:
    """Return what is known at a moment."""
    with world.common.reading() as connection:
        return mxcache.known(connection, domains, now_us=now_s * SECOND_US)


def remember(world: World, /, *, now_s: int = 0, **answers: Answer) -> None:
    """Keep answers about NAME.example."""
    with world.common.writing() as connection:
        named = {f"{name}.example": answer for name, answer in answers.items()}
        mxcache.remember(connection, named, now_us=now_s * SECOND_US)


def test_an_answer_holds_until_its_time_is_over(world: World) -> None:
    """To the second."""
    remember(world, there=Answer(Mail.YES, 100), gone=Answer(Mail.NO_DOMAIN, 50))
    assert known(world, "there.example", "gone.example", "new.example", now_s=49) == {
        "there.example": Mail.YES,
        "gone.example": Mail.NO_DOMAIN,
    }
    assert known(world, "there.example", "gone.example", now_s=50) == {"there.example": Mail.YES}
    assert known(world, "there.example", now_s=100) == {}


def test_a_new_answer_takes_the_place_of_the_old_one(world: World) -> None:
    """With its own time."""
    remember(world, there=Answer(Mail.NO_HOST, 100))
    remember(world, now_s=10, there=Answer(Mail.YES, 200))
    assert known(world, "there.example", now_s=150) == {"there.example": Mail.YES}


def test_what_nobody_could_tell_is_not_kept(world: World) -> None:
    """It is asked for again."""
    remember(world, silent=Answer(Mail.UNKNOWN, 100))
    assert known(world, "silent.example", now_s=1) == {}


def test_many_domains_are_asked_for_in_turn(world: World) -> None:
    """More than the database takes in one question."""
    answers = {f"d{number}.example": Answer(Mail.YES, 100) for number in range(1_200)}
    with world.common.writing() as connection:
        mxcache.remember(connection, answers, now_us=0)
    assert len(known(world, *(f"d{number}.example" for number in range(1_300)), now_s=1)) == 1_200
