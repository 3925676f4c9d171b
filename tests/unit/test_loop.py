"""Which event loop a run gets."""

from __future__ import annotations

import asyncio
import sys

import pytest

from pipeline.cli import loop


async def loop_in_use() -> str:
    """Return the module of the running loop."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_is_used_where_it_is_installed() -> None:
    """The extra `fast` needs no setting."""
    assert loop.run(loop_in_use()) == "uvloop"


def test_without_uvloop_the_standard_loop_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: nothing asks for it."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(loop_in_use()) == "asyncio"
