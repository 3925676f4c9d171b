"""Does a domain take mail? Asked of the DNS once per domain, many at a time. The only file that imports
dnspython.

RFC 5321 5.1 (MX, else the address records), RFC 7505 (null MX). Only a clear no is a no: a time-out,
SERVFAIL or a resolver that answers NXDOMAIN to everything (asked about a domain that surely exists) is
`UNKNOWN`.

Limits: answers are not kept; they hold for one check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

AT_ONCE = 50
LIFETIME_S = 10.0
SURELY_THERE = "."  # the root's name servers


class Mail(StrEnum):
    """What the DNS says of a domain."""

    YES = "yes"
    NO_DOMAIN = "no domain"
    NO_MAIL = "no mail"  # null MX
    NO_HOST = "no host"  # neither MX nor address
    UNKNOWN = "unknown"


async def ask_domains(
    domains: Sequence[str], nameservers: Sequence[str] = (), port: int = 53
) -> dict[str, Mail]:
    """Return what the DNS says of each domain (A-labels); ``nameservers`` replace the system's.

    Without a resolver that answers at all, every domain is `Mail.UNKNOWN`.
    """
    import dns.asyncresolver
    import dns.exception

    try:
        resolver = dns.asyncresolver.Resolver(configure=not nameservers)
    except dns.exception.DNSException:
        return dict.fromkeys(domains, Mail.UNKNOWN)
    if nameservers:
        resolver.nameservers = list(nameservers)
        resolver.port = port
    resolver.lifetime = LIFETIME_S
    if domains and not await _answers(resolver):
        return dict.fromkeys(domains, Mail.UNKNOWN)
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(domain: str) -> Mail:
        async with room:
            return await _ask(resolver, domain)

    return dict(zip(domains, await asyncio.gather(*map(ask, domains)), strict=True))


async def _answers(resolver: Any) -> bool:
    """Say whether the resolver knows of something that is surely there."""
    import dns.resolver

    try:
        return bool(await _kind(resolver, SURELY_THERE, "NS"))
    except (dns.resolver.NXDOMAIN, _Silent):
        return False


async def _ask(resolver: Any, domain: str) -> Mail:
    import dns.resolver

    try:
        records = await _kind(resolver, domain, "MX")
        if records:
            hosts = [str(record.exchange) for record in records]
            return Mail.NO_MAIL if hosts == ["."] else Mail.YES
        for kind in ("A", "AAAA"):
            if await _kind(resolver, domain, kind):
                return Mail.YES
    except dns.resolver.NXDOMAIN:
        return Mail.NO_DOMAIN
    except _Silent:
        return Mail.UNKNOWN
    return Mail.NO_HOST


class _Silent(Exception):
    """No answer to rely on."""


async def _kind(resolver: Any, name: str, kind: str) -> list[Any]:
    """Return the records of one type; [] for none. Raises NXDOMAIN, and _Silent for no answer."""
    import dns.exception
    import dns.resolver

    try:
        return list(await resolver.resolve(name, kind, search=False))
    except dns.resolver.NoAnswer:
        return []
    except dns.resolver.NXDOMAIN:
        raise
    except (dns.exception.DNSException, OSError):
        raise _Silent from None
