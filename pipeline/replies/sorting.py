"""What is this mail? One decision, in one place.

`sort_mail` tries the steps below in their order; the first that knows the mail decides.

    unreadable                a bound was broken, or there is no header              unknown
    complaint, report         a feedback report (RFC 5965)                           complaint, optout, report
    receipt                   a disposition notification (RFC 8098), or in words     receipt
    report                    DMARC aggregate, TLS report                            report
    machine-readable report   a delivery status (RFC 3464), from a mail system       bounce, delay, delivered
    opt-out by link           `unsubscribe-<token>` as subject or address            optout
    report in words           from a mail system, known by its words                 bounce, delay, delivered
    automatic answer          by header (RFC 3834), or by words with a sign to agree auto
    second opinion            from a mail system, and flufl.bounce finds recipients  bounce, delay
    nobody                    a mail system's or without a return path, words unknown unknown
    person                    everything else                                        human, optout

Human is the default: whatever a person may have written is human, also when it quotes or forwards a machine's
mail. Nothing here reads the store: whether a bounce is about a letter of ours is asked by the matching, and
nothing acts before it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.mail.arf import read_feedback
from pipeline.mail.auto import auto_signs
from pipeline.mail.dsn import DeliveryReport, RecipientReport, is_delivery_status, read_dsn
from pipeline.mail.mdn import read_receipt
from pipeline.mail.mime import Mail, Part
from pipeline.mail.reports import domain_report
from pipeline.replies.absence import automatic_answer, reads_automatic, said_to_be_read
from pipeline.replies.bounces import named_recipients, read_report
from pipeline.replies.kinds import Kind, Reason, Recipient, Verdict
from pipeline.replies.optouts import OptOut, opt_out, token_opt_out
from pipeline.replies.origin import Origin, origin
from pipeline.replies.reasons import classify
from pipeline.replies.said import own_text
from pipeline.replies.second_opinion import second_opinion
from pipeline.replies.subject import is_answer
from pipeline.replies.text import ReplyText, new_text

_COMPLAINTS = frozenset({"abuse", "fraud", "virus", "other", "miscategorized"})
_ARRIVED = frozenset({"delivered", "relayed", "expanded"})


def sort_mail(mail: Mail, raw: bytes = b"", words: ReplyText | None = None) -> Verdict:
    """Say what ``mail`` is.

    Args:
        mail: as `pipeline.mail.mime.read_mail` gave it.
        raw: its bytes, for the second opinion; without them none is asked for.
        words: what `new_text` found in it, if that is known already: in a long mail it takes longest.
    """
    if why := unreadable(mail):
        return Verdict(Kind.UNKNOWN, (why,))
    verdict = _labelled(mail)
    if verdict is not None:
        return verdict
    whence, text = origin(mail), own_text(mail)
    return (
        _status_report(mail, whence, text)
        or _by_link(mail)
        or _in_words(mail, whence, text, raw)
        or _automatic(mail, whence, new := words or new_text(mail))
        or _second(mail, whence, text, raw)
        or _nobody(mail, whence)
        or _person(mail, new.new)
    )


def unreadable(mail: Mail) -> str:
    """Return why a mail cannot be read: a bound was broken, or it is no mail at all; "" where it can be."""
    return mail.unreadable or ("" if mail.headers.items else "unreadable: it has no header")


def _labelled(mail: Mail) -> Verdict | None:
    """Feedback, receipts and reports on domains: their parts are labelled."""
    feedback = read_feedback(mail)
    if feedback is not None:
        why = (f"a feedback report (RFC 5965) of type {feedback.kind[:40]}",)
        whom = tuple(Recipient(address) for address in feedback.recipients)
        if feedback.kind in _COMPLAINTS:
            return Verdict(Kind.COMPLAINT, why, tuple(replace(one, suppress=True) for one in whom))
        if feedback.kind in {"opt-out", "opt-out-list"}:
            return Verdict(Kind.OPTOUT, why, whom)
        return Verdict(Kind.REPORT, why, whom)
    receipt = read_receipt(mail)
    if receipt is not None:
        said = receipt.disposition[:40] or "not said"
        whom = (Recipient(receipt.recipient),) if receipt.recipient else ()
        return Verdict(Kind.RECEIPT, (f"a disposition notification (RFC 8098): {said}",), whom)
    if said_to_be_read(mail):
        return Verdict(Kind.RECEIPT, ("subject and words are those of a receipt",))
    if report := domain_report(mail):
        return Verdict(Kind.REPORT, (f"a {report}",))
    return None


def _status_report(mail: Mail, whence: Origin, text: str) -> Verdict | None:
    """A delivery status (RFC 3464) in a mail that a mail system wrote."""
    own = list(mail.walk(into_messages=False))
    labelled = any(is_delivery_status(part) for part in own)
    if not whence.machine or (labelled and not whence.certain and is_answer(mail.subject)):
        return None
    report = read_dsn(own, unlabelled=True)
    if report is None and not labelled:
        report = read_dsn(_wrapped(mail, own, whence), unlabelled=False)
    if report is None or not report.recipients:
        return None
    kind = _kind_of(report)
    why = (*whence.signs, f"a delivery status report (RFC 3464): {_actions(report)}")
    one = len({recipient.address.lower() for recipient in report.recipients}) == 1
    whom: dict[str, Recipient] = {}
    for recipient in report.recipients:
        if recipient.address:
            whom.setdefault(recipient.address.lower(), _judged(recipient, text if one else ""))
    return Verdict(kind, why, tuple(whom.values()))


def _wrapped(mail: Mail, own: Sequence[Part], whence: Origin) -> Sequence[Part]:
    """The parts of a report that a gateway put into a message of its own, under the same author."""
    messages = [part for part in own if part.is_message]
    if len(messages) != 1:
        return ()
    inner = next(iter(messages[0].children[0].headers.addresses("From")), ("", ""))[1]
    same = inner.lower() == mail.author[1].lower()
    return list(messages[0].walk()) if whence.certain or same else ()


def _kind_of(report: DeliveryReport) -> Kind:
    """One failed recipient makes a bounce, else one that is late a delay (RFC 3464 2.3.3)."""
    fates = {_fate(recipient) for recipient in report.recipients}
    return next(kind for kind in (Kind.BOUNCE, Kind.DELAY, Kind.DELIVERED) if kind in fates)


def _fate(recipient: RecipientReport) -> Kind:
    if recipient.action == "failed":
        return Kind.BOUNCE
    if recipient.action == "delayed":
        return Kind.DELAY
    if recipient.action in _ARRIVED:
        return Kind.DELIVERED
    return {"2": Kind.DELIVERED, "4": Kind.DELAY}.get(recipient.status[:1], Kind.BOUNCE)


def _judged(recipient: RecipientReport, around: str) -> Recipient:
    fate = _fate(recipient)
    if fate is Kind.DELIVERED:
        return Recipient(recipient.address, recipient.status)
    found = classify(
        recipient.address,
        status=recipient.status,
        diagnostic=recipient.diagnostic,
        around=around,
        permanent=fate is Kind.BOUNCE,
    )
    return found if _same_mailbox(recipient) else replace(found, suppress=False)


def _same_mailbox(recipient: RecipientReport) -> bool:
    """Say whether the one who failed is the one we wrote to, not somebody an alias of theirs leads to."""
    mailbox = recipient.final.partition("@")[0].lower()
    return not recipient.final or recipient.address.partition("@")[0].lower() == mailbox


def _actions(report: DeliveryReport) -> str:
    said = dict.fromkeys(
        f"{recipient.action or 'no action'} {recipient.status}".strip()[:40]
        for recipient in report.recipients
    )
    return ", ".join(list(said)[:5])


def _by_link(mail: Mail) -> Verdict | None:
    found = token_opt_out(mail)
    return Verdict(Kind.OPTOUT, (found.why,)) if found else None


def _in_words(mail: Mail, whence: Origin, text: str, raw: bytes) -> Verdict | None:
    """A report on delivery in plain words."""
    if not whence.machine:
        return None
    report = read_report(mail, text)
    if report is None:
        return None
    if not report.recipients and (found := _second(mail, whence, text, raw)):
        return replace(found, why=(*whence.signs, report.why, found.why[-1]))
    if not whence.certain and not report.recipients:
        return None
    if whence.signs == ("its return path is the null one",) and not report.recipients:
        return None
    return Verdict(report.kind, (*whence.signs, report.why), report.recipients)


def _automatic(mail: Mail, whence: Origin, new: ReplyText) -> Verdict | None:
    """An automatic answer; not what a clerk wrote in a ticket system that calls all its mail generated."""
    signs, words = auto_signs(mail), new.new
    answer = automatic_answer(mail, words, signs, system=whence.certain)
    if answer is None:
        return None
    if signs.generated and signs.desk and not reads_automatic(mail, words):
        why = (f"{signs.desk} calls all its mail generated, and the words are no automatic answer's",)
        return replace(_person(mail, words), why=why, review="auto")
    if answer.long and not answer.sure:
        more = "more is written than a program that confirms receipt would"
        return replace(_person(mail, words), why=(*answer.why, more), review="auto", case=answer.case)
    review = "auto" if signs.generated and answer.long else ""
    return Verdict(
        Kind.AUTO, answer.why, review=review, form=answer.form, case=answer.case, returns=answer.returns
    )


def _second(mail: Mail, whence: Origin, text: str, raw: bytes) -> Verdict | None:
    if not whence.machine or ("In-Reply-To" in mail.headers and not whence.certain):
        return None
    temporary, permanent = second_opinion(raw)
    found = permanent or temporary
    if not found:
        return None
    ours = {address.lower() for _, address in mail.headers.addresses("To", "Delivered-To")}
    named = {address.lower() for address in named_recipients(mail)}
    whom = [
        replace(
            classify(address, diagnostic=text[:2_000] if len(found) == 1 else "", permanent=bool(permanent)),
            suppress=False,
        )
        for address in sorted(found)
        if address.lower() not in ours or address.lower() in named
    ]
    if not whom:
        return None
    kind = Kind.BOUNCE if permanent else Kind.DELAY
    return Verdict(kind, (*whence.signs, "flufl.bounce reads it so"), tuple(whom))


def _nobody(mail: Mail, whence: Origin) -> Verdict | None:
    if whence.certain and not mail.headers.get("In-Reply-To"):
        return Verdict(Kind.UNKNOWN, (*whence.signs, "no rule knows its words"))
    return None


def _person(mail: Mail, words: str) -> Verdict:
    return sort_words(mail.author, mail.subject, words)


def sort_words(author: tuple[str, str], subject: str, words: str) -> Verdict:
    """Say what a person's mail is, of which only this is known.

    Args:
        author: name and address.
        subject: of the mail.
        words: what they wrote themselves.
    """
    why = ("nothing says that a program wrote it",)
    found: OptOut | None = opt_out(author, subject, words)
    if found is None:
        return Verdict(Kind.HUMAN, why)
    if found.certain:
        return Verdict(Kind.OPTOUT, (found.why,))
    return Verdict(Kind.HUMAN, (*why, found.why), review="optout")


__all__ = ["Kind", "Reason", "Verdict", "sort_mail", "sort_words"]
