"""Domains and addresses that look like others: a slip of the finger, or letters of two scripts.

Contract: suggestions in words, for warnings. Nothing is ever rewritten: a suggestion may be wrong, and the
real near-misses of well-known domains (mail.com, ymail.com, gmx.at) are many.

Standards: UTS 39 5.1 (mixed scripts), in its part on Latin, Greek and Cyrillic.

Limits: about thirty mail domains and one slip each; confusables only between Latin, Greek and Cyrillic.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Where people have their mail. Short ones (gmx.de, web.de, mail.ru, aol.com) are left out: too much is near
# them.
MAIL_DOMAINS = (
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "yahoo.co.uk",
    "yahoo.fr",
    "yahoo.de",
    "yahoo.es",
    "ymail.com",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.fr",
    "hotmail.es",
    "outlook.com",
    "outlook.de",
    "icloud.com",
    "proton.me",
    "protonmail.com",
    "posteo.de",
    "mailbox.org",
    "riseup.net",
    "fastmail.com",
    "tutanota.com",
    "t-online.de",
    "freenet.de",
    "orange.fr",
    "wanadoo.fr",
    "laposte.net",
    "libero.it",
    "telefonica.net",
    "yandex.ru",
    "yandex.com",
    "rambler.ru",
    "ukr.net",
    "otenet.gr",
    "bluewin.ch",
)
# Real domains that happen to be one slip away from one of the above.
REAL_NEAR_MISSES = frozenset(
    {
        "mail.com",
        "email.com",
        "ymail.com",
        "gmx.at",
        "gmx.de",
        "gmx.ch",
        "gmx.net",
        "rocketmail.com",
        "mailbox.com",
    }
    | {"ukr.ne", "libero.at", "proton.ch", "otenet.com", "freenet.com", "rediffmail.com", "tutamail.com"}
)
_SLIPS_OF_COM = frozenset({"co", "cm", "om"})
_LOOK_LATIN = frozenset("асеорхуіјѕһԁԛԝӏοαινκρυχ")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN")


@lru_cache(maxsize=8192)
def meant_domain(domain: str) -> str:
    """Return the well-known mail domain that ``domain`` is one slip away from; '' for none.

    Args:
        domain: A-labels, lower case.
    """
    if domain in MAIL_DOMAINS or domain in REAL_NEAR_MISSES or not 5 <= len(domain) <= 20:
        return ""
    for known in MAIL_DOMAINS:
        if _one_slip(domain, known) and not _another_country(domain, known):
            return known
    return ""


def mixed_scripts(text: str) -> str:
    """Say which letters of ``text`` come from another script than they seem to; '' where all is plain.

    Args:
        text: a local part, or a domain in its Unicode form.

    Returns:
        words such as ``"a Cyrillic "а" among Latin letters"``.
    """
    if text.isascii():
        return ""
    for label in re.split(r"[^\w]+|_", text):
        if words := _mixed(label):
            return words
    return ""


def _mixed(label: str) -> str:
    scripts: dict[str, str] = {}
    for letter in label:
        script = unicodedata.name(letter, "").partition(" ")[0]
        if script in _SCRIPTS:
            scripts.setdefault(script, letter)
    if len(scripts) > 1:
        counts = {
            script: sum(unicodedata.name(c, "").startswith(script) for c in label) for script in scripts
        }
        few, many = min(counts, key=lambda s: counts[s]), max(counts, key=lambda s: counts[s])
        if few == many:
            few, many = sorted(counts)[:2]
        return f'a {few.capitalize()} "{scripts[few]}" among {many.capitalize()} letters'
    if scripts and "LATIN" not in scripts and len(label) > 1 and set(label) <= _LOOK_LATIN:
        return f'{next(iter(scripts)).capitalize()} letters that look like Latin ones: "{label}"'
    return ""


def _another_country(domain: str, known: str) -> bool:
    """Say whether the two differ in a country code only: yahoo.se is no slip for yahoo.es."""
    name, _, top = domain.rpartition(".")
    known_name, _, known_top = known.rpartition(".")
    if name != known_name or len(top) != 2:
        return False
    return not (known_top == "com" and top in _SLIPS_OF_COM)


def _one_slip(one: str, other: str) -> bool:
    """Say whether one letter was added, left out, taken for another, or two neighbours were swapped."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    rest, other_rest = one[start:], other[start:]
    if len(one) == len(other):
        swapped = rest[1:2] + rest[:1] == other_rest[:2]
        return rest[1:] == other_rest[1:] or (swapped and rest[2:] == other_rest[2:])
    return rest == other_rest[1:] if len(one) < len(other) else rest[1:] == other_rest
