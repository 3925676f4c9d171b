"""Do several hosts on one PostgreSQL wait for the relay, or for each other? ``python -m bench.hosts``

One host, then three, send the same campaign to a relay whose answers take 20 ms (smtp-sink behind
`delay_proxy.py`), without limits. Each is a process of `campaign send --follow`, with its own folder. All
share a PostgreSQL that is made for this, in memory, with fsync on. The sink's own count has to be the number
of letters. Letters/s are from the first permission to the last answer, by the server's clock.

Three hosts should send 2.2 times what one does, and more: what they share is the database and this machine.

Limits: all of it runs on this machine; a database on a slow disk is slower (`bench/README.md`). Needs the
test extra, PostgreSQL and smtp-sink.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.sink import proxy, smtp_sink
from tests.hosts import Hosts, made
from tests.postgres import Cluster, a_cluster

GOAL = 2.2
LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Told:
    """What some hosts did."""

    hosts: int
    rate: float  # letters a second, all hosts together
    by_host: tuple[int, ...]  # letters
    cpu_ms: float  # of all hosts, start included, a letter
    taken: int  # by the sink

    def line(self) -> str:
        """Return it for people."""
        each = ", ".join(f"{number}" for number in self.by_host)
        return (
            f"{self.hosts} host{'s' if self.hosts > 1 else ' '}  {self.rate:7.0f} letters/s  "
            f"{self.rate / self.hosts:6.0f} a host  {self.cpu_ms:5.2f} ms CPU a letter  by host: {each}"
        )


def measure(cluster: Cluster, number: int, *, letters: int, connections: int, delay_ms: float) -> Told:
    """Let ``number`` hosts send ``letters`` letters over ``connections`` connections each."""
    with tempfile.TemporaryDirectory(prefix="campaign-hosts-") as name:
        folder = Path(name)
        cluster.drop("mailing")
        with smtp_sink(folder) as sink, proxy(folder, "delay_proxy", sink.port, [str(delay_ms / 2)]) as port:
            domains = tuple(f"office{index}.example" for index in range(50))
            with made(
                cluster,
                folder,
                relay=port,
                letters=letters,
                number=number,
                domains=domains,
                connections=connections,
            ) as hosts:
                return _told(hosts, number, sink.settled)


def _told(hosts: Hosts, number: int, settled: object) -> Told:
    """Start the hosts, wait for their end, and ask the store."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for host in hosts.hosts:
        host.start()
    for host in hosts.hosts:
        if code := host.end(LONGEST_S):
            raise SystemExit(
                f"{host.name} ended with {code}: {(host.folder / 'stderr').read_text()[-2_000:]}"
            )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ((seconds,),) = hosts.store("SELECT (max(ended_at) - min(began_at)) / 1000000.0 FROM attempts")
    rows = hosts.store(
        "SELECT r.name, count(*) FROM attempts a JOIN runs r ON r.id = a.run GROUP BY r.name ORDER BY r.name"
    )
    assert callable(settled)
    taken = settled(hosts.letters)
    if taken != hosts.letters:
        raise SystemExit(f"the relay took {taken} letters of {hosts.letters}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    by_host = tuple(int(count) for _, count in rows)
    rate = hosts.letters / float(seconds)
    return Told(number, rate, by_host, 1_000 * cpu_s / hosts.letters, taken)


def main() -> None:
    """Measure, and print."""
    reading = argparse.ArgumentParser(
        prog="python -m bench.hosts", description=(__doc__ or "").split("\n")[0]
    )
    reading.add_argument("--letters", type=int, default=4_000)
    reading.add_argument("--connections", type=int, default=2, help="of each host")
    reading.add_argument("--delay", type=float, default=20.0, metavar="MS", help="of the relay's answers")
    reading.add_argument("--hosts", type=int, default=3)
    reading.add_argument("--rounds", type=int, default=1)
    said = reading.parse_args()
    ratios = []
    print(f"{said.letters} letters, {said.connections} connections a host, {said.delay:g} ms to the relay")
    print(f"load of this machine before: {os.getloadavg()[0]:.1f}")
    with a_cluster() as cluster:
        for _ in range(said.rounds):
            told = [
                measure(
                    cluster,
                    number,
                    letters=said.letters,
                    connections=said.connections,
                    delay_ms=said.delay,
                )
                for number in (1, said.hosts)
            ]
            for one in told:
                print(one.line(), flush=True)
            ratios.append(told[1].rate / told[0].rate)
            print(f"ratio {ratios[-1]:.2f}", flush=True)
    middle = sorted(ratios)[len(ratios) // 2]
    verdict = "reached" if middle >= GOAL else "MISSED"
    print(f"{said.hosts} hosts send {middle:.2f} times what one does; the goal is {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
