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
from pipeline.recipients.mx import Answer, Mail, ask_domains

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


def _mails(answers: Mapping[str, Answer]) -> dict[str, Mail]:
    return {domain: answer.mail for domain, answer in answers.items()}


async def _ask(*domains: str) -> dict[str, Mail]:
    async with _dns() as (port, _):
        return _mails(await ask_domains(domains, ["127.0.0.1"], port))


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
    assert answers == {"mail.example": Answer(Mail.UNKNOWN)}
    assert server.asked == [ROOT]


async def test_without_a_resolver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at that port."""
    monkeypatch.setattr(mx, "LIFETIME_S", 0.3)
    async with _dns() as (port, _):
        pass
    answers = await ask_domains(["mail.example"], ["127.0.0.1"], port)
    assert answers == {"mail.example": Answer(Mail.UNKNOWN)}


async def test_each_domain_is_asked_about_once() -> None:
    """However many rows it has; without domains nobody is asked."""
    async with _dns() as (port, server):
        await ask_domains(["mail.example"], ["127.0.0.1"], port)
        assert server.asked == [ROOT, ("mail.example.", "MX")]
        server.asked.clear()
        assert await ask_domains([], ["127.0.0.1"], port) == {}
    assert server.asked == []


async def test_an_answer_holds_as_long_as_its_records_say_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour at least; the records of this server say a minute."""
    async with _dns() as (port, _):
        answers = await ask_domains(["mail.example", "nowhere.example"], ["127.0.0.1"], port)
        assert {answer.holds_s for answer in answers.values()} == {mx.LEAST_S}
        monkeypatch.setattr(mx, "LEAST_S", 1)
        answers = await ask_domains(["mail.example"], ["127.0.0.1"], port)
        assert answers["mail.example"].holds_s == 60


async def test_no_answer_holds_for_nothing() -> None:
    """It would hide the real one."""
    async with _dns() as (port, _):
        answers = await ask_domains(["servfail.example"], ["127.0.0.1"], port)
    assert answers == {"servfail.example": Answer(Mail.UNKNOWN, 0)}


async def test_every_answer_is_heard_as_it_comes() -> None:
    """What is known already is not lost when somebody gives up."""
    heard: dict[str, Answer] = {}
    async with _dns() as (port, _):
        answers = await ask_domains(
            ["mail.example", "null.example"], ["127.0.0.1"], port, heard=heard.__setitem__
        )
    assert heard == answers


async def test_many_domains_are_asked_about_at_once_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two in flight as with fifty."""
    names = [f"d{number}.example" for number in range(40)]
    records = {ROOT: ("ns.example.",), **{(f"{name}.", "MX"): ("10 mx.example.",) for name in names}}
    monkeypatch.setattr(mx, "AT_ONCE", 2)
    async with _dns(records) as (port, server):
        answers = await ask_domains([*names, *names], ["127.0.0.1"], port)
    assert set(_mails(answers).values()) == {Mail.YES}
    assert sorted(server.asked) == sorted([ROOT, *((f"{name}.", "MX") for name in names)])
