"""`campaign check --online`: the recipients' domains in the DNS, and the relay's login.

Each domain is asked about once, many at a time; answers are kept in the store for as long as they hold, so
the next check asks about new domains only.

Limits: `MOST_DOMAINS` domains are looked up; of a domain that takes no mail `ROWS_SHOWN` rows are told, and
the others counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from pipeline.cli.access import credentials
from pipeline.cli.folder import Checked
from pipeline.cli.place import Place
from pipeline.cli.suppressions import opened
from pipeline.cli.telling import counted
from pipeline.clock import to_us
from pipeline.delivery.connect import Opener, Unreached
from pipeline.delivery.relay import RelayKind
from pipeline.delivery.session import Manner
from pipeline.errors import CampaignError
from pipeline.problem import Problem, Severity
from pipeline.recipients.domains import meant_domain
from pipeline.recipients.mx import Answer, Mail, ask_domains
from pipeline.recipients.rows import Recipient
from pipeline.store import mxcache

CONFIG = "campaign.toml"
MOST_DOMAINS = 100_000
ROWS_SHOWN = 10
KEPT_AT_ONCE = 500  # answers in one transaction
_WORDS = {
    Mail.NO_DOMAIN: "there is no domain {}",
    Mail.NO_MAIL: "{} takes no mail (null MX)",
    Mail.NO_HOST: "{} has no mail server",
    Mail.UNKNOWN: "the DNS gave no answer about {}; it may be in order",
}


class Domains:
    """The domains of a list, gathered while it is read."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.too_many = False

    def add(self, recipient: Recipient) -> None:
        """Gather a recipient's domain."""
        domain = recipient.address.domain
        if len(self.names) < MOST_DOMAINS:
            self.names.add(domain)
        elif domain not in self.names:
            self.too_many = True


def check_online(place: Place, checked: Checked, domains: Domains) -> list[Problem]:
    """Return what DNS and relay have to say."""
    return asyncio.run(_check(place, checked, domains))


async def _check(place: Place, checked: Checked, domains: Domains) -> list[Problem]:
    return [*await _domains(place, checked, domains), *await _login(place)]


async def _domains(place: Place, checked: Checked, domains: Domains) -> list[Problem]:
    answers = await _looked_up(place, domains.names)
    if answers and set(answers.values()) == {Mail.UNKNOWN}:
        return [_silence(checked.intake.file, len(answers))]
    problems = _rows_of(checked, {name: mail for name, mail in answers.items() if mail is not Mail.YES})
    if domains.too_many:
        message = f"there are more than {MOST_DOMAINS} domains; only so many were looked up"
        problems.append(
            Problem(checked.intake.file, 0, 0, "dns", message, "divide the list", Severity.WARNING)
        )
    return problems


async def _looked_up(place: Place, names: set[str]) -> dict[str, Mail]:
    """Return what is known of the domains, from the store where that still holds, else from the DNS."""
    kept = _known(place, names)
    fresh: dict[str, Answer] = {}

    def heard(domain: str, answer: Answer) -> None:
        fresh[domain] = answer
        if len(fresh) >= KEPT_AT_ONCE:
            _remember(place, fresh)
            fresh.clear()

    try:
        answers = await ask_domains(sorted(names - kept.keys()), heard=heard)
    finally:
        _remember(place, fresh)
    return kept | {domain: answer.mail for domain, answer in answers.items()}


def _known(place: Place, names: set[str]) -> dict[str, Mail]:
    try:
        with opened(place) as world, world.common.reading() as connection:
            return mxcache.known(connection, names, now_us=to_us(place.clock.now()))
    except CampaignError:  # the check says so of itself, at its end
        return {}


def _remember(place: Place, answers: Mapping[str, Answer]) -> None:
    if not answers:
        return
    try:
        with opened(place) as world, world.common.writing() as connection:
            mxcache.remember(connection, answers, now_us=to_us(place.clock.now()))
    except CampaignError:
        return  # they are asked for again


def _rows_of(checked: Checked, bad: Mapping[str, Mail]) -> list[Problem]:
    """Return a problem for each row of the domains that take no mail, or nobody knows; bounded."""
    problems: list[Problem] = []
    rows: Counter[str] = Counter()
    for _, recipient in checked.listing.recipients() if bad else ():
        domain = recipient.address.domain
        if domain not in bad:
            continue
        rows[domain] += 1
        if rows[domain] <= ROWS_SHOWN:
            meant = meant_domain(domain)
            hint = f"is {meant} meant?" if meant else ""
            words, weight = _WORDS[bad[domain]].format(domain), _weight(bad[domain])
            problems.append(
                checked.listing.problem(recipient.line, "email", "domain", words, hint=hint, severity=weight)
            )
    for domain, number in rows.items():
        if number > ROWS_SHOWN:
            words = f"{_WORDS[bad[domain]].format(domain)}: {counted(number - ROWS_SHOWN, 'further row')}"
            weight = _weight(bad[domain])
            problems.append(Problem(checked.intake.file, 0, 0, "domain", words, "", weight))
    return problems


def _weight(mail: Mail) -> Severity:
    return Severity.WARNING if mail is Mail.UNKNOWN else Severity.ERROR


def _silence(file: str, domains: int) -> Problem:
    """Return that there is no DNS here, once and not for every row."""
    return Problem(
        file,
        0,
        0,
        "dns",
        f"the DNS gives no answers here: {counted(domains, 'domain')} not looked up",
        "the addresses may be in order; check again where there is a network",
        Severity.WARNING,
    )


async def _login(place: Place) -> list[Problem]:
    settings = place.settings
    relay = settings.relay
    if relay.kind is RelayKind.SANDBOX:
        return []
    try:
        opener = Opener(relay, credentials=credentials(settings), clock=place.clock, dice=place.dice, tries=1)
        connection = await opener.connect(Manner.SINGLE)
        await connection.session.quit()
    except Unreached as trouble:
        return [Problem(CONFIG, 0, 0, "relay", str(trouble), "", Severity.WARNING)]
    except CampaignError as refusal:
        return [Problem(CONFIG, 0, 0, "relay", refusal.message, refusal.hint)]
    return []
