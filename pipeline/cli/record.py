"""`campaign record FILE.eml --to WHO --from SIGNATORY`: a letter that a supporter sent from the own mailbox.

The file is a stranger's: it is bounded and only read (`mail.mime`), and it has to be what it is said to be:
from the signatory, to the recipient. `--anyway` takes the operator's word for that.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from pipeline.mail.mime import Mail
    from pipeline.recipients.pairing import Pair
    from pipeline.store.recording import Evidence, Recorded

LARGEST_FILE = 30_000_000  # octets
CLOCKS_DIFFER = timedelta(days=1)


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("record")(record)


def record(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The letter as it was sent, saved as .eml.")],
    to: Annotated[str, typer.Option("--to", metavar="WHO", help="The recipient's address.")],
    from_: Annotated[str, typer.Option("--from", metavar="SIGNATORY", help="The signatory's address.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="It is that letter, though its From or To say otherwise.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Count a letter that a supporter sent from the own mailbox. It is never sent by us."""
    from pipeline.cli.telling import SCHEMA, err, moment, next_step, out, out_json
    from pipeline.clock import from_us
    from pipeline.problem import visible

    place: Place = context.obj
    pair = _pair(place, to, from_)
    evidence, notes = _evidence(place, file, pair, anyway=anyway)
    done = _write_down(place, pair, evidence)
    recipient, signed = pair.recipient.address.wire, pair.signatory
    assert signed is not None
    if json:
        document = {
            "schema": SCHEMA,
            "world": str(place.world_name),
            "letter": done.letter,
            "to": recipient,
            "signatory": signed.key,
            "message_id": evidence.message_id,
            "sent_at": moment(from_us(evidence.sent_us)),
            "was": str(done.was) if done.was is not None else None,
            "again": done.again,
            "notes": notes,
        }
        out_json(document)
        return
    for note in notes:
        err(f"note: {visible(note)}")
    if quiet:
        return
    if done.again:
        out(f"recorded already: it is letter {done.letter}")
    else:
        waited = f", which was {done.was}," if done.was is not None else ""
        out(f"letter {done.letter} of {visible(signed.name)} to {recipient}{waited} counts as sent")
    next_step(f"`campaign show {done.letter}`")


def _pair(place: Place, to: str, from_: str) -> Pair:
    """Return recipient and signatory as the lists have them. Raises Unusable."""
    from itertools import chain

    from pipeline.cli.folder import lists_of
    from pipeline.recipients.pairing import Pair

    listing, signatories = lists_of(place.settings, place.clock)
    signing = place.settings.signing.file
    if signatories is None:
        raise Unusable(f"there is no {signing}: nobody signs letters but the campaign")
    wanted, signed_by = _key(to, "--to"), _key(from_, "--from")
    signatory = next((one for one in signatories.accepted if one.key == signed_by), None)
    if signatory is None:
        hint = f"write the row, with the date of consent; `campaign check` says what is wrong in {signing}"
        raise Unusable(f"--from: nobody in {signing} has the address {signed_by}, or may sign", hint)
    found = {
        number: one for number, one in chain(listing.clear(), listing.settled()) if one.address.key == wanted
    }
    for number, _ in listing.withdrawn:
        found.pop(number, None)
    if not found:
        hint = f"write the row into {listing.file}, then record the letter"
        raise Unusable(f"--to: nobody in {listing.file} has the address {wanted}", hint)
    return Pair(next(iter(found.values())), signatory)


def _key(text: str, option: str) -> str:
    from pipeline.mail.address import AddressFault, address_key

    try:
        return address_key(text)
    except AddressFault as fault:
        raise Unusable(f"{option}: {fault}", "give the address as it stands in the list") from None


def _evidence(place: Place, file: Path, pair: Pair, *, anyway: bool) -> tuple[Evidence, list[str]]:
    """Read the file; return what it shows, and what is odd about it. Raises Unusable where it is no such
    letter.
    """
    from pipeline.clock import to_us
    from pipeline.letters.message import MESSAGE_ID
    from pipeline.mail.mime import read_mail
    from pipeline.problem import visible
    from pipeline.store.recording import Evidence
    from pipeline.store.world import WorldName

    raw, name = _read(file), visible(file.name, limit=80)
    mail = read_mail(raw)
    if mail.unreadable or not mail.author[1]:
        why = mail.unreadable or "it has no From: is it a mail saved as .eml?"
        raise Unusable(f"{name} cannot be read as a letter: {why}")
    if not anyway:
        _refuse_another(mail, pair, name)
    notes = []
    if place.world_name is WorldName.SANDBOX:
        notes.append("this is the sandbox: record it again once relay.url names a real relay")
    if pair.signatory is not None and pair.signatory.joint:
        notes.append(
            "this counts as a letter of its own; "
            f'the joint letter "{pair.signatory.joint}" goes with that name all the same'
        )
    sent, now = _date_of(mail), place.clock.now()
    if sent is None or sent > now + CLOCKS_DIFFER:
        notes.append("it has no date that can be; it is recorded as of now")
        sent = now
    found = f"<{mail.message_id}>"
    usable = MESSAGE_ID.fullmatch(found) is not None and len(found) <= 400
    if not usable:
        notes.append("it has no Message-ID: answers are found by who they are from and what they say")
    return Evidence(raw, found if usable else "", to_us(min(sent, now)), name), notes


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except OSError as trouble:
        raise Unusable(f"{file} cannot be read: {trouble.strerror}") from None
    if len(raw) > LARGEST_FILE:
        raise Unusable(f"{file.name} is larger than {LARGEST_FILE // 1_000_000} MB")
    return raw


def _refuse_another(mail: Mail, pair: Pair, name: str) -> None:
    """Raise Unusable where the file is not from the signatory, or not to the recipient."""
    from pipeline.problem import visible

    signed, recipient = pair.signatory, pair.recipient.address
    assert signed is not None
    hint = "is it the right file? `--anyway` records it all the same"
    author = mail.author[1]
    if _plain_key(author) != signed.key:
        raise Unusable(f"{name} is from {visible(author, limit=80)}, not from {signed.address.wire}", hint)
    went_to = [address for field in ("To", "Cc", "Bcc") for _, address in mail.headers.addresses(field)]
    if recipient.key not in map(_plain_key, went_to):
        raise Unusable(f"{name} did not go to {recipient.wire}", hint)


def _plain_key(address: str) -> str:
    from pipeline.mail.address import AddressFault, address_key

    try:
        return address_key(address)
    except AddressFault:
        return ""


def _date_of(mail: Mail) -> datetime | None:
    from pipeline.replies.dates import header_date

    raw = mail.headers.raw("Date")
    return header_date(raw.decode("ascii", "replace")) if raw is not None else None


def _write_down(place: Place, pair: Pair, evidence: Evidence) -> Recorded:
    """Record it while no run is at work. Raises Unusable where that letter was sent, or may have been."""
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import moment
    from pipeline.clock import to_us
    from pipeline.delivery.letter import State
    from pipeline.delivery.plan import plan_letters
    from pipeline.store import queue, recording
    from pipeline.store.lock import RunLock

    settings, now = place.settings, place.clock.now()
    with opened(place) as world:
        domain = settings.author.address.domain
        (planned,) = plan_letters([pair], campaign=settings.key, author_domain=domain, secret=world.secret)
        with RunLock(world.lock_path, since=moment(now)), world.campaign.writing() as connection:
            queue.recover(connection, now_us=to_us(now))
            try:
                return recording.record(
                    connection,
                    planned,
                    evidence,
                    campaign=settings.key,
                    keep_bytes=settings.keep_bytes,
                    now_us=to_us(now),
                )
            except recording.Taken as taken:
                hint = (
                    "if the relay did not take it: `campaign resolve`, then record it again"
                    if taken.state is State.IN_DOUBT
                    else f"`campaign show {taken.letter}` tells its story"
                )
                raise Unusable(f"nothing was recorded: {taken}", hint) from None
            except recording.NotOurs as other:
                raise Unusable(
                    f"nothing was recorded: this mail was recorded before as letter {other.letter}",
                    f"`campaign show {other.letter}` tells whose it is",
                ) from None
