"""What glibc is told about memory, so that a send of many letters needs no more than one of few.

Where nothing is said, each thread has a heap of its own, large pieces are cut from the heaps, and what is let
go is kept. Other systems are left alone.
"""

from __future__ import annotations

from contextlib import suppress

LARGE = 128 * 1024  # octets
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # glibc's malloc.h


def share_one() -> None:
    """Let the threads that begin from now on use the heap that is there."""
    _tell({_ARENA_MAX: 1})


def give_back() -> None:
    """Give the system what was let go until now, and from now on each large piece by itself."""
    _tell({_MMAP_THRESHOLD: LARGE}, trim=True)


def _tell(options: dict[int, int], *, trim: bool = False) -> None:
    with suppress(ImportError, OSError, AttributeError):  # some Pythons are built without it
        import ctypes  # by nobody else

        library = ctypes.CDLL(None)
        for option, value in options.items():
            library.mallopt(option, value)
        if trim:
            library.malloc_trim(0)
