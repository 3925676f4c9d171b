"""Addresses: is this one, what goes on the wire, and are two of them the same?

Contract: values in, values out. `parse_address` gives an `Address` or raises `AddressFault` with one plain
sentence that can be shown as it is. Syntax and IDN are email-validator's; nothing here asks the DNS.

Standards:
    RFC 5321 2.4           domains compare without case; a local part keeps its case on the wire
    RFC 5321 4.1.2         Mailbox; 4.5.3.1: 64 octets for the local part, 254 for the address
    RFC 5322 3.4           one mailbox, with or without a display name
    RFC 2047 5             no encoded-word is let in: the header writer alone makes them
    RFC 5890-5893, UTS 46  domains become A-labels
    RFC 6531 3.3, RFC 6532 3.1  a local part beyond ASCII, in NFC, needs SMTPUTF8
    RFC 6761               .test, .invalid and localhost are refused; the example names are ordinary

Limits: quoted local parts (``"a b"@example.org``) and address literals (``a@[192.0.2.1]``) are refused: no
office has one, and both are a classic way to smuggle something past a check. Sameness is broader than RFC
5321 says: local parts are compared without case, for no real mailbox depends on it.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline.problem import visible

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

MAX_ADDRESS = 254  # octets, RFC 5321 4.5.3.1.3 and RFC 3696 erratum 1690
MAX_MAILBOX = 998  # characters, as much as a line of a header may hold (RFC 5322 2.1.1)

# Controls, line and paragraph separators, bidi overrides and isolates, zero-width space and no-break space,
# byte order mark, the replacement character (a sign of text that was decoded wrongly), tags, and what is no
# character at all.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff\ufff9-\ufffd"
    "\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_RESERVED = frozenset({"test", "invalid", "localhost", "local", "onion", "arpa"})
_NAMED = {
    "\x00": "a NUL byte",
    "\t": "a TAB",
    "\n": "a line break",
    "\r": "a line break",
    "\x1b": "an escape character",
    "\x7f": "a delete character",
    "\u2028": "a line separator",
    "\u2029": "a paragraph separator",
    "\u200b": "a zero-width space",
    "\u2060": "a word joiner",
    "\ufeff": "a byte order mark",
    "\ufffd": "a replacement character (the text was decoded wrongly before it came here)",
}
MAX_LOCAL_PART = 64  # octets, RFC 5321 4.5.3.1.1
# What email-validator lets in as it stands: letters, digits and hyphens, nothing that could be Punycode, and
# letters alone at the end.
_PLAIN_DOMAIN = re.compile(r"(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_DOT_ATOM = re.compile(r"(?!.{65})[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
MOST_KNOWN_DOMAINS = 100_000
_KNOWN_DOMAINS: dict[str, tuple[str, str]] = {}  # as written -> A-labels, U-labels; only what was let in


class AddressFault(ValueError):
    """Not an address we can write to; the message is one plain sentence part, safe to show."""


class Address(NamedTuple):
    """One address in the forms we need of it; made by `parse_address` only.

    A tuple, for a list makes a million of them and a frozen dataclass takes four times as long to make.
    """

    written: str  # as in the row, outer spaces stripped: what people are shown
    wire: str  # what RCPT TO and To: carry: local part as written (NFC), domain as A-labels, lower case
    key: str  # for sameness only: local part casefolded, domain as A-labels
    domain: str  # A-labels, lower case
    domain_shown: str  # the domain as people read it: U-labels
    smtputf8: bool  # the local part needs a relay with SMTPUTF8 (RFC 6531)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (empty where there is none) and an address: RFC 5322 3.4 mailbox."""

    name: str
    address: Address


def unsafe_character(text: str, *, newline: bool = False) -> tuple[int, str] | None:
    """Find the first character that may stand in no header and on no terminal.

    Args:
        text: anything.
        newline: let a plain line feed pass.

    Returns:
        its position in ``text``, from 0, and words for it (``"a NUL byte"``); None where all is well.
    """
    for found in _UNSAFE.finditer(text):
        if newline and found[0] == "\n":
            continue
        return found.start(), _NAMED.get(found[0], _kind_of(found[0]))
    return None


def holds_encoded_word(text: str) -> bool:
    """Say whether ``text`` holds the beginning of an encoded-word (RFC 2047 2), finished or not."""
    return "=?" in text and _ENCODED_WORD.search(text) is not None


def parse_address(text: str) -> Address:
    """Read one bare address.

    Args:
        text: the address alone, without a name or angle brackets; spaces round it do not count.

    Raises:
        AddressFault: with what is wrong, in words that repeat no control character.
    """
    written = unicodedata.normalize("NFC", text.strip(" \t\u00a0"))
    if quick := quick_address(written):
        return quick
    _refuse_what_hides(written)
    if fault := _plain_fault(written):
        raise AddressFault(fault)
    found = _validated(written)
    assert found.ascii_domain is not None
    assert found.domain is not None
    local, domain = written.rpartition("@")[0], sys.intern(found.ascii_domain.lower())
    wire = _one_of(f"{local}@{domain}", written)
    if len(wire.encode()) > MAX_ADDRESS:
        raise AddressFault(f"the address is longer than {MAX_ADDRESS} octets")
    key = _one_of(f"{_folded(local)}@{domain}", wire)
    shown = _one_of(found.domain, domain)
    if len(_KNOWN_DOMAINS) < MOST_KNOWN_DOMAINS:
        _KNOWN_DOMAINS[written.rpartition("@")[2]] = (domain, shown)
    return Address(written, wire, key, domain, shown, not local.isascii())


def quick_address(written: str) -> Address | None:
    """Return what `parse_address` would for a plain address on a plain domain, or one that it has let in.

    Plain is a dot-atom in ASCII, or letters and digits of any script with single dots between, of at most 64
    characters (RFC 5321 4.1.2, 4.5.3.1.1; RFC 6531 3.3); a domain of letters, digits and hyphens, in lower
    case (RFC 1123 2.1). None says that the whole way has to be gone, for everything else and for every fault.
    It costs a tenth.

    Args:
        written: the address in NFC, without spaces round it.
    """
    local, _, domain = written.rpartition("@")
    known = _KNOWN_DOMAINS.get(domain)
    if len(written) > MAX_ADDRESS:
        return None
    return _quick(written, local, domain, known) if known else _quick_on_new_domain(written, local, domain)


def _quick(written: str, local: str, domain: str, known: tuple[str, str]) -> Address | None:
    """Do the same on a domain with these A-labels and U-labels."""
    if not local.isascii():
        return _quick_beyond_ascii(written, local, domain, *known)
    if not (local.isalnum() and len(local) <= MAX_LOCAL_PART) and (
        not _DOT_ATOM.fullmatch(local) or "=?" in written
    ):
        return None
    wire = written
    if known[0] != domain:
        wire = f"{local}@{known[0]}"
        if len(wire) > MAX_ADDRESS:
            return None
    folded = local.lower()
    key = wire if folded == local else f"{folded}@{known[0]}"
    return tuple.__new__(Address, (written, wire, key, *known, False))


def _quick_on_new_domain(written: str, local: str, domain: str) -> Address | None:
    if not _PLAIN_DOMAIN.fullmatch(domain) or domain.rpartition(".")[2] in _RESERVED:
        return None
    domain = sys.intern(domain)
    found = _quick(written, local, domain, (domain, domain))
    if found is not None and len(_KNOWN_DOMAINS) < MOST_KNOWN_DOMAINS:
        _KNOWN_DOMAINS[domain] = (domain, domain)
    return found


def _quick_beyond_ascii(written: str, local: str, domain: str, wired: str, shown: str) -> Address | None:
    """The same for a local part that needs SMTPUTF8; all three forms have a length (RFC 6531 3.3)."""
    if len(local) > MAX_LOCAL_PART or not all(part.isalnum() for part in local.split(".")):
        return None
    if len(local.encode()) + 1 + max(len(wired), len(domain.encode()), len(shown.encode())) > MAX_ADDRESS:
        return None
    wire = written if wired == domain else f"{local}@{wired}"
    return Address(written, wire, _one_of(f"{_folded(local)}@{wired}", wire), wired, shown, smtputf8=True)


def address_key(text: str) -> str:
    """Return the key under which an address is the same, whatever its case, outer spaces and IDN form.

    Raises:
        AddressFault: ``text`` is not an address.
    """
    return parse_address(text).key


def parse_mailbox(text: str) -> Mailbox:
    """Read ``Solidarity Committee <letters@example.org>`` or a bare address; one, never a list.

    The name may be quoted (RFC 5322 3.2.4); without quotes it is taken as it stands, commas included.

    Raises:
        AddressFault: with what is wrong.
    """
    text = unicodedata.normalize("NFC", text.strip(" \t\u00a0"))
    _refuse_what_hides(text)
    if len(text) > MAX_MAILBOX:
        raise AddressFault(f"it is longer than {MAX_MAILBOX} characters")
    if not text.endswith(">"):
        if "<" in text:
            raise AddressFault('the address is not closed with ">"')
        return Mailbox("", parse_address(text))
    before, opened, address = text[:-1].rpartition("<")
    if not opened:
        raise AddressFault('there is a ">" and no "<" before the address')
    return Mailbox(_display_name(before.strip()), parse_address(address))


def _display_name(phrase: str) -> str:
    """Return the name that stands before the angle brackets, its quotes taken off."""
    if phrase.startswith('"'):
        inner = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', phrase)
        if inner is None:
            raise AddressFault("the quotes round the name do not match")
        return re.sub(r"\\(.)", r"\1", inner[1]).strip()
    if any(mark in phrase for mark in "<>@"):
        raise AddressFault("only one address may stand here; put quotes round a name that holds < > or @")
    return phrase


def _refuse_what_hides(text: str) -> None:
    if found := unsafe_character(text):
        raise AddressFault(f"it holds {found[1]}")
    if holds_encoded_word(text):
        raise AddressFault("it holds an encoded-word (=?...?=); write the characters themselves")


def _plain_fault(written: str) -> str:
    """Name, in plainer words than the library has, the mistakes that lists are full of."""
    if not written:
        return "there is no address"
    if "<" in written or ">" in written:
        return "only the bare address may stand here, without a name or angle brackets"
    if written[:7].lower() == "mailto:":
        return 'write the address without "mailto:"'
    if written.count("@") > 1 and re.search(r"[,;/\s]", written):
        return "there is more than one address; one row is one recipient"
    if "@" not in written:
        return "there is no @ in the address"
    if re.search(r"\s", written):
        return "there is a space in the address"
    domain = written.rpartition("@")[2].lower()
    if domain and not re.search("[.\u3002\uff0e\uff61\\[]", domain):
        return "there is no dot after the @: a domain such as example.org belongs there"
    top = domain.rpartition(".")[2]
    if top in _RESERVED:
        return f"no mail can go to a domain in .{top} (RFC 6761)"
    return ""


def _validated(written: str) -> ValidatedEmail:
    from email_validator import EmailNotValidError, validate_email  # slow to load, and few addresses need it

    try:
        return validate_email(written, check_deliverability=False, strict=True, allow_smtputf8=True)
    except EmailNotValidError as fault:
        words = visible(str(fault), limit=200).rstrip(".").replace(". It", "; it")
        raise AddressFault(words[:1].lower() + words[1:]) from None
    except (ValueError, IndexError):
        # The idna package underneath has raised plain ValueErrors before; a hostile domain is never a
        # traceback.
        raise AddressFault("the part after the @ is not a domain name") from None


def _folded(local: str) -> str:
    """Fold case; NFC again, because folding can take a character apart."""
    return unicodedata.normalize("NFC", local.casefold())


def _one_of(text: str, same: str) -> str:
    """Return ``same`` where it equals ``text``: a million addresses then hold one string each, not four."""
    return same if same == text else text


def _kind_of(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return f"a character that turns the writing direction ({code})"
    return f"a control or invisible character ({code})"
