"""Does a domain take mail? Asked of a small DNS server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from pipeline.recipients import mx
from pipeline.recipients.mx import Mail, ask_domains

ROOT = (".", "NS")
RECORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ROOT: ("ns.example.",),
    ("mail.example.", "MX"): ("10 mx1.mail.example.", "20 mx2.mail.example."),
    ("null.example.", "MX"): ("0 .",),
    ("address.example.", "A"): ("192.0.2.1",),
    ("sixth.example.", "AAAA"): ("2001:db8::1",),
    ("empty.example.", "TXT"): ('"nothing here"',),
    ("xn--e1afmkfd.xn--p1ai.", "MX"): ("10 mx1.mail.example.",),
}
FAILING = {"servfail.example."}
SILENT = {"silent.example."}


class _Server(asyncio.DatagramProtocol):
    """Answers from a table: NXDOMAIN for what is not there, SERVFAIL and silence where told."""

    def __init__(self, records: Mapping[tuple[str, str], tuple[str, ...]]) -> None:
        self._records = records
        self.asked: list[tuple[str, str]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name, kind = str(query.question[0].name), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((name, kind))
        if name in SILENT:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in FAILING:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self._records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *self._records[name, kind]))
        elif not any(known == name for known, _ in self._records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def _dns(
    records: Mapping[tuple[str, str], tuple[str, ...]] = RECORDS,
) -> AsyncIterator[tuple[int, _Server]]:
    """Run the server for as long as the context lasts; give its port."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: _Server(records), local_addr=("127.0.0.1", 0)
    )
    try:
        yield int(transport.get_extra_info("sockname")[1]), server
    finally:
        transport.close()


async def _ask(*domains: str) -> dict[str, Mail]:
    async with _dns() as (port, _):
        return await ask_domains(domains, ["127.0.0.1"], port)


@pytest.mark.parametrize(
    ("domain", "answer"),
    [
        ("mail.example", Mail.YES),
        ("null.example", Mail.NO_MAIL),
        ("address.example", Mail.YES),
        ("sixth.example", Mail.YES),
        ("empty.example", Mail.NO_HOST),
        ("nowhere.example", Mail.NO_DOMAIN),
        ("servfail.example", Mail.UNKNOWN),
        ("xn--e1afmkfd.xn--p1ai", Mail.YES),
    ],
)
async def test_fault_27_only_a_clear_no_is_a_no(domain: str, answer: Mail) -> None:
    """MX, else A, else AAAA (RFC 5321 5.1); `0 .` is a null MX (RFC 7505)."""
    assert await _ask(domain) == {domain: answer}


async def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out says nothing about the domain."""
    monkeypatch.setattr(mx, "LIFETIME_S", 0.3)
    assert await _ask("silent.example", "mail.example") == {
        "silent.example": Mail.UNKNOWN,
        "mail.example": Mail.YES,
    }


async def test_a_resolver_that_denies_everything_is_not_believed() -> None:
    """It would say that nobody on the list has a domain."""
    async with _dns({}) as (port, server):
        answers = await ask_domains(["mail.example"], ["127.0.0.1"], port)
    assert answers == {"mail.example": Mail.UNKNOWN}
    assert server.asked == [ROOT]


async def test_without_a_resolver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at that port."""
    monkeypatch.setattr(mx, "LIFETIME_S", 0.3)
    async with _dns() as (port, _):
        pass
    assert await ask_domains(["mail.example"], ["127.0.0.1"], port) == {"mail.example": Mail.UNKNOWN}


async def test_each_domain_is_asked_about_once() -> None:
    """However many rows it has; without domains nobody is asked."""
    async with _dns() as (port, server):
        await ask_domains(["mail.example"], ["127.0.0.1"], port)
        assert server.asked == [ROOT, ("mail.example.", "MX")]
        server.asked.clear()
        assert await ask_domains([], ["127.0.0.1"], port) == {}
    assert server.asked == []
