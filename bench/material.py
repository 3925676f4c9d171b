"""The campaign that everybody sends: one list of recipients, and the same words in each contender's form.

A folder of `write_material` is a campaign folder for us, and holds for the peers, below peers/, the same
letter as Jinja text, Jinja HTML (the page that our own layout makes of it) and a mailmerge template. All read
the same recipients.csv.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOMAINS = 500
AUTHOR = "letters@example.org"
AUTHOR_NAME = "Solidarity Committee"
COLUMNS = ("email", "name", "salutation", "office", "city", "reference")
SUBJECT = "{{ city }}: release the marchers, {{ salutation }}"

_FIRST = ("Ada", "Bruno", "Chloé", "Dario", "Ewa", "Farid", "Göran", "Hana")
_LAST = ("Osselin", "Talvos", "Dorlan", "Venholt", "Quenby", "Łukowska", "Marsh", "Ibarra", "Nordström")
_CITIES = ("Velmora", "Kestria", "Sankt Orlen", "Port Haldane", "Zürnau")
_OFFICES = ("Ministry of Justice", "Embassy of Verania", "Office of the Prosecutor", "House of Deputies")

PARAGRAPHS = (
    "{{ office }}, {{ city }}",
    "{{ salutation }} {{ name }},",
    "We write to you about the people detained at the May Day march in {{ city }}, and about the trial that "
    "three of them now face. Several thousand people marched to mark International Workers’ Day; the "
    "authorities had been notified, and the march was peaceful throughout.",
    "In all, 47 people were detained; 19 needed medical treatment. Many report that they were beaten in "
    "custody and denied a lawyer and a doctor. We know of no investigation into these reports. Three people "
    "remain in custody, charged with breach of public order. As far as is known, they only took part.",
    "We therefore ask you, {{ name }}, to see that the three are released, that the reports are "
    "investigated, and that the trial, if there is to be one, is fair and public.",
    "Yours faithfully, Solidarity Committee. Our reference is {{ reference }}; please quote it.",
)

_CONFIG = f"""\
[campaign]
key = "bench-campaign"
name = "A benchmark"
languages = ["en"]
author = "{AUTHOR_NAME} <{AUTHOR}>"
timezone = "UTC"

[relay]
url = "smtp://127.0.0.1:25"

[limits]
per_recipient = "off"
"""
_PAGE = """\
<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{subject}</title>
</head>
<body style="margin:0;padding:1.5em 1em;background:#fff;color:#1a1a1a">
<div style="max-width:40em;margin:0 auto;font:1em/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',\
sans-serif">
{body}
</div>
</body>
</html>
"""
_MAILMERGE = """\
TO: {{{{ email }}}}
SUBJECT: {subject}
FROM: {author}
MESSAGE-ID: <{{{{ reference }}}}@example.org>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_letter"

--=_letter
Content-Type: text/plain; charset=utf-8

{text}
--=_letter
Content-Type: text/html; charset=utf-8

{html}
--=_letter--
"""


@dataclass(frozen=True, slots=True)
class Material:
    """A campaign's folder, and what else contenders read."""

    root: Path
    letters: int

    @property
    def recipients(self) -> Path:
        """The list."""
        return self.root / "recipients.csv"

    @property
    def peers(self) -> Path:
        """The folder with the letter in the peers' forms: subject.txt, letter.txt, letter.html,
        mailmerge.txt."""
        return self.root / "peers"

    @property
    def home(self) -> Path:
        """The home folder of whoever sends."""
        return self.root / "home"

    @property
    def store(self) -> Path:
        """Our store for a real relay."""
        return self.root / ".campaign" / "campaign.db"

    def forget(self) -> None:
        """Remove everything that sending leaves behind."""
        for folder in (self.root / ".campaign", self.home):
            shutil.rmtree(folder, ignore_errors=True)
        self.home.mkdir()

    def write_mailmerge_server(self, port: int) -> Path:
        """Tell mailmerge where the relay is; return its configuration file."""
        path = self.peers / "mailmerge.conf"
        path.write_text(f"[smtp_server]\nhost = 127.0.0.1\nport = {port}\n", "utf-8")
        return path


def write_material(root: Path, letters: int) -> Material:
    """Write the folder ``root`` anew, for so many letters."""
    shutil.rmtree(root, ignore_errors=True)
    material = Material(root, letters)
    for folder in (root / "templates", material.peers, material.home):
        folder.mkdir(parents=True)
    (root / "campaign.toml").write_text(_CONFIG, "utf-8")
    with material.recipients.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(letters))
    _write_words(material)
    return material


def rows(letters: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the list, in the order of `COLUMNS`; each address once."""
    for number in range(letters):
        yield (
            f"desk{number}@office{number % DOMAINS:03}.example",
            f"{_FIRST[number % len(_FIRST)]} {_LAST[number // 3 % len(_LAST)]}",
            "Dear Minister" if number % 2 else "Dear Madam Ambassador",
            _OFFICES[number % len(_OFFICES)],
            _CITIES[number % len(_CITIES)],
            f"MD-{number:07}",
        )


def _write_words(material: Material) -> None:
    ours = [paragraph.replace("{{ ", "{{ recipient.") for paragraph in (SUBJECT, *PARAGRAPHS)]
    letter = f'+++\nsubject = "{ours[0]}"\n+++\n' + "\n\n".join(ours[1:]) + "\n"
    (material.root / "templates" / "letter.en.md").write_text(letter, "utf-8")
    text = "\n\n".join(PARAGRAPHS) + "\n"
    html = _PAGE.format(subject=SUBJECT, body="\n".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS))
    mailmerge = _MAILMERGE.format(subject=SUBJECT, author=f"{AUTHOR_NAME} <{AUTHOR}>", text=text, html=html)
    for name, words in (
        ("subject.txt", SUBJECT),
        ("letter.txt", text),
        ("letter.html", html),
        ("mailmerge.txt", mailmerge),
    ):
        (material.peers / name).write_text(words, "utf-8")
