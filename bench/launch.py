"""Run one command and write down what it cost: ``launch.py RESULT COMMAND [ARGUMENT]...``

A process of its own, because Linux counts a parent's resident pages towards the child's peak: what starts a
small program has to be small itself. RESULT becomes one line: wall seconds, user and system seconds of the
command and all children it waited for, peak KiB, exit code. The peak is that of the largest process.

Limits: a peak below this launcher's own (about 9 MiB) cannot be seen.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Run, wait, write."""
    result, *command = sys.argv[1:]
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    cpu = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w", encoding="ascii") as stream:  # noqa: PTH123 - pathlib makes a process larger
        stream.write(f"{wall:.6f} {cpu:.6f} {usage.ru_maxrss} {code}\n")


if __name__ == "__main__":
    main()
