"""What glibc is told about memory is a favour, and never needed."""

from __future__ import annotations

import sys

import pytest

from pipeline.cli import heap


def test_a_python_without_ctypes_sends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are built without it."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    heap.share_one()
    heap.give_back()


def test_a_system_with_another_heap_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none of these calls."""
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap.share_one()
    heap.give_back()
