"""The event loop of a run: uvloop's where it is installed (the extra `fast`), else the standard one.

uvloop spares a third of the processor time of a letter in the clear, less under TLS; nothing else differs.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from pipeline.cli import heap

T = TypeVar("T")
GARBAGE_AFTER = 20_000  # objects beyond those


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in a loop of its own; return what it returns, raise what it raises.

    What was loaded until then stays to the end: nobody needs to look through it for garbage.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    heap.give_back()
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
