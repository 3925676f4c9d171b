"""The usual Python ways, each with `EmailMessage` and Jinja: ``python -m bench.python_peers WAY PORT FOLDER
POOL``.

WAY is ``smtplib`` (one connection, whatever POOL says) or ``aiosmtplib`` (POOL connections). Both read
FOLDER/recipients.csv as they go and fill the letter in FOLDER/peers.
"""

from __future__ import annotations

import asyncio
import csv
import email.utils
import smtplib
import sys
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import aiosmtplib
import jinja2

from bench.material import AUTHOR, AUTHOR_NAME

Row = dict[str, str]


def rows(folder: Path) -> Iterator[Row]:
    """Yield the rows of the list."""
    with (folder / "recipients.csv").open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def builder(folder: Path) -> Callable[[Row], EmailMessage]:
    """Return what makes a row's letter; the templates are compiled once."""
    plain = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)
    escaping = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    peers = folder / "peers"
    subject = plain.from_string((peers / "subject.txt").read_text("utf-8"))
    text = plain.from_string((peers / "letter.txt").read_text("utf-8"))
    html = escaping.from_string((peers / "letter.html").read_text("utf-8"))

    def build(row: Row) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = f"{AUTHOR_NAME} <{AUTHOR}>"
        message["To"] = row["email"]
        message["Subject"] = subject.render(row)
        message["Date"] = email.utils.formatdate()
        message["Message-ID"] = f"<{row['reference']}@example.org>"
        message.set_content(text.render(row), cte="quoted-printable")
        message.add_alternative(html.render(row), subtype="html", cte="quoted-printable")
        return message

    return build


def send_with_smtplib(port: int, folder: Path) -> None:
    """Send all letters over one connection."""
    build = builder(folder)
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example") as client:
        for row in rows(folder):
            client.send_message(build(row), AUTHOR, [row["email"]])


async def send_with_aiosmtplib(port: int, folder: Path, pool: int) -> None:
    """Send all letters over ``pool`` connections."""
    build, waiting = builder(folder), rows(folder)

    async def work() -> None:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=port, start_tls=False, use_tls=False, local_hostname="client.example"
        )
        async with client:
            for row in waiting:
                await client.send_message(build(row), sender=AUTHOR, recipients=[row["email"]])

    await asyncio.gather(*(work() for _ in range(pool)))


def main() -> None:
    """Send one way or the other."""
    way, port, folder, pool = sys.argv[1:]
    if way == "smtplib":
        send_with_smtplib(int(port), Path(folder))
    else:
        asyncio.run(send_with_aiosmtplib(int(port), Path(folder), int(pool)))


if __name__ == "__main__":
    main()
