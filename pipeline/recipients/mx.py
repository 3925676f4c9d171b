"""Does a domain take mail? Asked of the DNS once per domain, many at a time. The only file that imports
dnspython.

RFC 5321 5.1 (MX, else the address records), RFC 7505 (null MX). Only a clear no is a no: a time-out,
SERVFAIL or a resolver that answers NXDOMAIN to everything (asked about a domain that surely exists) is
`UNKNOWN`.

An answer holds as long as its records say, within bounds (RFC 2181 8; RFC 2308 5 for what is not there);
`UNKNOWN` holds for nothing.

Limits: nothing is kept here; who asks may keep the answers (`pipeline.store.mxcache`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AT_ONCE = 50
LIFETIME_S = 10.0
LEAST_S, MOST_S = 3_600, 7 * 86_400  # an answer holds an hour at least, a week at most
SURELY_THERE = "."  # the root's name servers


class Mail(StrEnum):
    """What the DNS says of a domain."""

    YES = "yes"
    NO_DOMAIN = "no domain"
    NO_MAIL = "no mail"  # null MX
    NO_HOST = "no host"  # neither MX nor address
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS says, and for how many seconds it may be relied on."""

    mail: Mail
    holds_s: int = 0


async def ask_domains(
    domains: Iterable[str],
    nameservers: Sequence[str] = (),
    port: int = 53,
    *,
    heard: Callable[[str, Answer], None] | None = None,
) -> dict[str, Answer]:
    """Return what the DNS says of each domain (A-labels); ``nameservers`` replace the system's.

    ``heard`` is called with each answer as it comes, so that none is lost when the rest is given up. Without
    a resolver that answers at all, every domain is `Mail.UNKNOWN`.
    """
    import dns.asyncresolver
    import dns.exception

    asked = list(dict.fromkeys(domains))
    try:
        resolver = dns.asyncresolver.Resolver(configure=not nameservers)
    except dns.exception.DNSException:
        return dict.fromkeys(asked, Answer(Mail.UNKNOWN))
    if nameservers:
        resolver.nameservers = list(nameservers)
        resolver.port = port
    resolver.lifetime = LIFETIME_S
    if asked and not await _answers(resolver):
        return dict.fromkeys(asked, Answer(Mail.UNKNOWN))
    found: dict[str, Answer] = dict.fromkeys(asked, Answer(Mail.UNKNOWN))
    rest = iter(asked)

    async def ask_on() -> None:
        for domain in rest:
            found[domain] = answer = await _ask(resolver, domain)
            if heard is not None:
                heard(domain, answer)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(asked))):
            group.create_task(ask_on())
    return found


async def _answers(resolver: Any) -> bool:
    """Say whether the resolver knows of something that is surely there."""
    import dns.resolver

    try:
        return bool((await _records(resolver, SURELY_THERE, "NS"))[0])
    except (dns.resolver.NXDOMAIN, _Silent):
        return False


async def _ask(resolver: Any, domain: str) -> Answer:
    import dns.resolver

    try:
        records, holds_s = await _records(resolver, domain, "MX")
        if records:
            hosts = [str(record.exchange) for record in records]
            return Answer(Mail.NO_MAIL if hosts == ["."] else Mail.YES, holds_s)
        for kind in ("A", "AAAA"):
            records, held_s = await _records(resolver, domain, kind)
            holds_s = min(holds_s, held_s)
            if records:
                return Answer(Mail.YES, holds_s)
    except dns.resolver.NXDOMAIN as gone:
        told: Any = gone
        return Answer(Mail.NO_DOMAIN, _negative_s(told.responses().values()))
    except _Silent:
        return Answer(Mail.UNKNOWN)
    return Answer(Mail.NO_HOST, holds_s)


class _Silent(Exception):
    """No answer to rely on."""


async def _records(resolver: Any, name: str, kind: str) -> tuple[list[Any], int]:
    """Return the records of one type, [] for none, and for how many seconds that holds.

    Raises NXDOMAIN, and _Silent for no answer.
    """
    import dns.exception
    import dns.resolver

    try:
        answer = await resolver.resolve(name, kind, search=False)
    except dns.resolver.NoAnswer as none:
        told: Any = none
        return [], _negative_s([told.response()])
    except dns.resolver.NXDOMAIN:
        raise
    except (dns.exception.DNSException, OSError):
        raise _Silent from None
    return list(answer), _within(answer.rrset.ttl)


def _negative_s(responses: Iterable[Any]) -> int:
    """Return for how long "there is none" holds: by the SOA record beside it, else the least."""
    import dns.rdatatype

    for response in responses:
        for rrset in response.authority:
            if rrset.rdtype == dns.rdatatype.SOA:
                return _within(min(rrset.ttl, rrset[0].minimum))
    return LEAST_S


def _within(seconds: int) -> int:
    return min(max(seconds, LEAST_S), MOST_S)
