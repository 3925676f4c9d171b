"""`campaign check --online`: the recipients' domains in the DNS, and the relay's login."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from pipeline.cli.access import credentials
from pipeline.cli.folder import Checked
from pipeline.cli.place import Place
from pipeline.cli.telling import counted
from pipeline.delivery.connect import Opener, Unreached
from pipeline.delivery.relay import RelayKind
from pipeline.delivery.session import Manner
from pipeline.errors import CampaignError
from pipeline.problem import Problem, Severity
from pipeline.recipients.domains import meant_domain
from pipeline.recipients.mx import Mail, ask_domains
from pipeline.recipients.rows import row_problem

CONFIG = "campaign.toml"


def check_online(place: Place, checked: Checked) -> list[Problem]:
    """Return what DNS and relay have to say."""
    return asyncio.run(_check(place, checked))


async def _check(place: Place, checked: Checked) -> list[Problem]:
    return [*await _domains(checked), *await _login(place)]


async def _domains(checked: Checked) -> list[Problem]:
    lines = defaultdict(list)
    for recipient in checked.intake.recipients:
        lines[recipient.address.domain].append(recipient.line)
    answers = await ask_domains(sorted(lines))
    if answers and set(answers.values()) == {Mail.UNKNOWN}:
        return [_silence(checked.intake.file, len(answers))]
    problems = []
    for domain, mail in answers.items():
        if mail is Mail.YES:
            continue
        sure = mail is not Mail.UNKNOWN
        meant = meant_domain(domain)
        words = {
            Mail.NO_DOMAIN: f"there is no domain {domain}",
            Mail.NO_MAIL: f"{domain} takes no mail (null MX)",
            Mail.NO_HOST: f"{domain} has no mail server",
            Mail.UNKNOWN: f"the DNS gave no answer about {domain}; it may be in order",
        }[mail]
        problems += [
            row_problem(
                checked.intake,
                line,
                "email",
                "domain",
                words,
                hint=f"is {meant} meant?" if meant else "",
                severity=Severity.ERROR if sure else Severity.WARNING,
            )
            for line in lines[domain]
        ]
    return problems


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
