"""`campaign send --to ME`: marked test copies to yourself, one per language. Nothing counts as sent.

A copy is what the first recipient of each language would get, with [TEST] before the subject, To and
envelope yours, and a Message-ID of its own. It goes through the same connection, login and session; there
is no letter behind it, so there is nothing to fence.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from pipeline.cli import loop
from pipeline.cli.access import credentials, manner
from pipeline.cli.folder import Checked, draft_of
from pipeline.cli.place import Place, Voice
from pipeline.cli.suppressions import opened
from pipeline.cli.telling import SCHEMA, err, next_step, out, out_json
from pipeline.delivery.connect import Connection, Opener, Unreached
from pipeline.delivery.letter import Letter, Parcel, Phase
from pipeline.delivery.parcel import Composed, Packing, Unfit
from pipeline.delivery.relay import RelayKind
from pipeline.delivery.sandbox import sandbox_relay
from pipeline.errors import ExitCode, Unusable
from pipeline.mail.address import Address, AddressFault, parse_address
from pipeline.mail.identity import message_id
from pipeline.mail.response import Response
from pipeline.problem import visible
from pipeline.store.world import FOLDER

MARK = "[TEST]"


def send_test_copies(place: Place, checked: Checked, to: str, voice: Voice) -> int:
    """Send the copies; return the exit code."""
    try:
        me = parse_address(to)
    except AddressFault as fault:
        raise Unusable(f"--to: {fault}", "give your own address: --to me@example.org") from None
    copies = _copies(place, checked, me)
    if not copies:
        raise Unusable("there is no letter to make a test copy of", "write at least one row into the list")
    trouble = ""
    try:
        outcomes = loop.run(_send(place, copies))
    except Unreached as unreached:
        outcomes, trouble = [], str(unreached)
    sent = sum(accepted for accepted, _ in outcomes)
    refused = [text for accepted, text in outcomes if not accepted] + ([trouble] if trouble else [])
    if voice.json:
        out_json({"type": "test", "schema": SCHEMA, "to": me.wire, "sent": sent, "refused": refused})
    else:
        for text in refused:
            err(f"not sent: {visible(text)}")
        if voice.chatty:
            copies_sent = f"{sent} test cop{'y' if sent == 1 else 'ies'} to {me.wire}"
            where = f", filed in {place.root / FOLDER / 'outbox'}" if _in_sandbox(place) else ""
            out(f"{copies_sent}{where}; nothing counts as sent")
            next_step("read them as their readers will, then `campaign send`")
    if trouble:
        return int(ExitCode.WAITING)
    return int(ExitCode.FAILED if refused else ExitCode.DONE)


def _in_sandbox(place: Place) -> bool:
    return place.settings.relay.kind is RelayKind.SANDBOX


def _copies(place: Place, checked: Checked, me: Address) -> list[tuple[Letter, bytes]]:
    """Write one copy per language."""
    firsts = checked.first_of_each_language()
    now = place.clock.now()
    out_ = []
    for number, language in enumerate(sorted(firsts), 1):
        recipient, signatory = firsts[language]
        own_id = message_id(f"test.{place.dice.token(12).hex()}", checked.settings.author.address.domain)
        draft = draft_of(recipient, own_id, signatory=signatory)._replace(email=me.wire)
        content = checked.composer.write(draft, now=now, mark=MARK)
        letter = Letter(
            number, own_id, me.key, me.wire, me.domain, language, "", 0, 0, recipient.line, draft.values
        )
        out_.append((letter, content))
    return out_


class _Copies:
    """Supply and desk of the copies: each goes once, whatever the answer."""

    def __init__(self, copies: list[tuple[Letter, bytes]], packing: Packing, connection: Connection) -> None:
        self._letters = [letter for letter, _ in copies]
        self._packing = packing
        self._offer = connection.offer
        self.outcomes: list[tuple[bool, str]] = []

    async def next(self) -> Parcel | None:
        return self.next_now()

    def next_now(self) -> Parcel | None:
        while self._letters:
            letter = self._letters.pop(0)
            try:
                return self._packing.pack(letter, self._offer)
            except Unfit as unfit:
                self.outcomes.append((False, str(unfit)))
        return None

    def at_end(self) -> bool:
        return not self._letters

    def give_back(self, parcel: Parcel) -> None:
        self.outcomes.append((False, "the relay closed the connection"))

    def permit(self, parcel: Parcel) -> asyncio.Future[bool]:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer.set_result(True)
        return answer

    def answered(self, parcel: Parcel, phase: Phase, response: Response) -> bool:
        self.outcomes.append(
            (phase is Phase.DOT and response.accepted, f"{parcel.letter.language}: {response}")
        )
        return True

    def lost(self, parcel: Parcel, phase: Phase, why: str) -> None:
        self.outcomes.append((False, f"{parcel.letter.language}: connection lost ({phase}): {why}"))

    def not_begun(self, parcel: Parcel, phase: Phase, why: str) -> None:
        self.outcomes.append((False, f"{parcel.letter.language}: given up ({phase}): {why}"))


async def _send(place: Place, copies: list[tuple[Letter, bytes]]) -> list[tuple[bool, str]]:
    settings = place.settings
    contents = {letter.id: content for letter, content in copies}
    packing = Packing(
        compose=lambda letter, _eightbit: Composed(contents[letter.id], place.clock.now()),
        return_path=lambda _letter: settings.author.address.wire,
        envelope_id=lambda letter: f"test{letter.id}",
    )
    async with AsyncExitStack() as stack:
        relay = settings.relay
        if _in_sandbox(place):
            with opened(place) as world:
                port = await stack.enter_async_context(sandbox_relay(world.outbox))
            relay = replace(relay, kind=RelayKind.SMTP, host="127.0.0.1", port=port)
        opener = Opener(relay, credentials=credentials(settings), clock=place.clock, dice=place.dice)
        connection = await opener.connect(manner(settings))
        desk = _Copies(copies, packing, connection)
        await connection.session.converse(desk, desk)
        return desk.outcomes
