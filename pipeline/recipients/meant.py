"""What a row probably meant by a language or a time zone that does not exist.

Contract: suggestions for hints; nothing is ever put in place of what was written.

Standards: ISO 639-1 and BCP 47 (languages), the IANA time zone database as `zoneinfo` finds it.

Limits: the first use of `timezones` reads the list of zones from the system or from the package tzdata.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Mapping
from functools import cache

# What people write for a language, and the code they mean (ISO 639-1).
_MEANT_LANGUAGE = {
    "gr": "el",
    "ua": "uk",
    "cz": "cs",
    "se": "sv",
    "dk": "da",
    "jp": "ja",
    "cn": "zh",
    "by": "be",
    "si": "sl",
    "ee": "et",
    "kz": "kk",
    "ge": "ka",
    "al": "sq",
    "gb": "en",
    "us": "en",
    "at": "de",
    "mx": "es",
    "br": "pt",
}


def meant_language(text: str, languages: Mapping[str, str]) -> str:
    """Return the language that was probably meant: by its country, region or spelling; '' for none.

    Args:
        text: what the row says.
        languages: the languages there are, by their casefolded spelling.
    """
    text = text.casefold()
    for guess in (_MEANT_LANGUAGE.get(text, ""), re.split(r"[-_]", text)[0]):
        if guess in languages:
            return languages[guess]
    if re.fullmatch("[a-z]{2}", text):
        return ""  # any two codes are a letter apart: it is another language
    close = difflib.get_close_matches(text[:40], languages, n=1, cutoff=0.5)
    return languages[close[0]] if close else ""


@cache
def timezones() -> frozenset[str]:
    """Return the IANA names there are; without those that mean another zone on another machine."""
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "posixrules", "Factory"}


def meant_timezone(text: str) -> str:
    """Return the time zone that was probably meant: by its city, or by its spelling."""
    plain = re.sub(r"[\s_]+", "_", text[:60]).casefold()
    names = sorted(timezones())
    for name in names:
        if plain in (name.casefold(), name.rpartition("/")[2].casefold()):
            return name
    close = difflib.get_close_matches(text[:60], names, n=1, cutoff=0.7)
    return close[0] if close else ""
