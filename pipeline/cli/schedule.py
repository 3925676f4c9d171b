"""`campaign run --print-cron`: a crontab line and a systemd timer that work as they are printed.

Cron gives its line to sh, where a % means a new line unless it is escaped, and starts it with hardly any
environment; systemd has its own quoting, where % and $ are doubled. Both get absolute paths, the overrides
this command was given, and the data folder, if it is not the usual one: opt-outs are kept there.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.place import Place, Voice
from pipeline.cli.telling import SCHEMA, next_step, out, out_json
from pipeline.errors import Unusable

DATA_FOLDER = "XDG_DATA_HOME"

CRON = """\
# crontab -e, then this line: every ten minutes; cron mails you what needs a person, and only that
*/10 * * * * {line}
"""
SERVICE = """\
[Unit]
Description=Send what is due of the campaign {name}

[Service]
Type=oneshot
{environment}ExecStart={line}
# the relay's password, if it needs one, kept out of files that others read:
# LoadCredential=smtp_password:%h/.config/campaign/smtp_password
"""
TIMER = """\
[Unit]
Description=Every ten minutes: the campaign {name}

[Timer]
OnCalendar=*:0/10
RandomizedDelaySec=60
Persistent=true

[Install]
WantedBy=timers.target
"""


def print_schedule(place: Place, voice: Voice) -> None:
    """Print both. Raises Unusable for a folder that fits into neither."""
    name = place.settings.key
    command = _command(place)
    data = os.environ.get(DATA_FOLDER, "")
    if any(not character.isprintable() for word in (*command, data) for character in word):
        raise Unusable(
            "the folder's path has characters that a crontab cannot hold", "give the folder a plainer name"
        )
    cron = cron_line(command, data)
    environment = f"Environment={_unit_word(f'{DATA_FOLDER}={data}')}\n" if data else ""
    line = " ".join(map(_unit_word, command)).replace("$", "$$")  # variables, in a command only
    service = SERVICE.format(name=_unit_text(name), environment=environment, line=line)
    timer = TIMER.format(name=_unit_text(name))
    if voice.json:
        out_json({"schema": SCHEMA, "crontab": f"*/10 * * * * {cron}", "service": service, "timer": timer})
        return
    out(CRON.format(line=cron))
    out(f"# or with systemd, two files: ~/.config/systemd/user/campaign-{name}.service")
    out(service)
    out(f"# ~/.config/systemd/user/campaign-{name}.timer")
    out(timer)
    out(f"# then: systemctl --user enable --now campaign-{name}.timer")
    out("# on a server, so that it runs while you are logged out: loginctl enable-linger")
    next_step("`crontab -e`, and put the line there")


def cron_line(command: Sequence[str], data: str) -> str:
    """Return the command of a crontab line; ``data`` is the data folder, "" for the usual one."""
    words = [shlex.quote(word) for word in command]
    if data:
        words.insert(0, f"{DATA_FOLDER}={shlex.quote(data)}")
    return " ".join(words).replace("%", r"\%")


def _command(place: Place) -> list[str]:
    """Return this program, as it was started, with the folder and the overrides."""
    program = Path(sys.argv[0]).absolute()
    start = [str(program)] if program.name == "campaign" else [sys.executable, "-m", "pipeline"]
    overrides = [word for override in place.overrides for word in ("--set", override)]
    return [*start, "-C", str(place.root.resolve()), *overrides, "run"]


def _unit_word(word: str) -> str:
    """Return a word as systemd reads it back (systemd.syntax(7))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    plain = all(character.isalnum() or character in "/._-+:=@," for character in word)
    return _unit_text(word if plain else f'"{escaped}"')


def _unit_text(text: str) -> str:
    return text.replace("%", "%%")
