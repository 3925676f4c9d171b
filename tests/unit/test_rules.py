"""The rules are data: every one carries a sample, and here they all run."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pipeline.mail.mime import Mail, read_mail
from pipeline.replies.kinds import Kind
from pipeline.replies.phrase import MOST_STARS, compiled, find, pattern
from pipeline.replies.rulebook import (
    BounceRule,
    Language,
    bounce_rules,
    bounce_words,
    languages,
    reason_rules,
)
from pipeline.replies.sorting import sort_mail

OPTOUT_LANGUAGES = {"en", "ru", "es", "de", "fr", "it", "pt", "pl", "uk", "tr", "ar", "fa", "zh"}


def _mail(text: str, *headers: str) -> Mail:
    head = [
        "To: Solidarity Committee <letters@example.org>",
        "Date: Mon, 3 Aug 2026 09:00:00 +0200",
        *headers,
    ]
    return read_mail("\r\n".join([*head, "Content-Type: text/plain; charset=utf-8", "", text]).encode())


def _samples(owner: BounceRule | Language) -> tuple[dict[str, Any], ...]:
    return owner.samples


BOUNCES = [(rule, sample) for rule in bounce_rules() for sample in _samples(rule)]
ANSWERS = [(language, sample) for language in languages() for sample in _samples(language)]


@pytest.mark.parametrize(("rule", "sample"), BOUNCES, ids=[rule.name for rule, _ in BOUNCES])
def test_a_bounce_rule_reads_its_sample(rule: BounceRule, sample: dict[str, Any]) -> None:
    """The right rule fits, and finds each recipient and the reason."""
    verdict = sort_mail(_mail(sample["text"], "From: MAILER-DAEMON@mx.example", "Return-Path: <>"))
    said = [f"{one.address} = {one.reason.value if one.reason else ''}" for one in verdict.recipients]
    if rule.kind is Kind.DELIVERED:
        said = [f"{one.address} = " for one in verdict.recipients]
    assert (verdict.kind, said) == (rule.kind, sample["recipients"])
    assert verdict.why[-1].endswith(f"by {rule.name}")


@pytest.mark.parametrize("rule", bounce_rules(), ids=lambda rule: rule.name)
def test_every_bounce_rule_carries_a_sample(rule: BounceRule) -> None:
    """Without one nobody can tell later what a rule was for."""
    assert rule.samples


@pytest.mark.parametrize(
    ("language", "sample"), ANSWERS, ids=[f"{language.tag}-{at}" for at, (language, _) in enumerate(ANSWERS)]
)
def test_a_language_reads_its_samples(language: Language, sample: dict[str, Any]) -> None:
    """With the one header that says so, form, case and day of return are those of the sample."""
    verdict = sort_mail(
        _mail(
            sample["text"],
            "From: Office <office@office.example>",
            f"Subject: {sample['subject']}",
            "Auto-Submitted: auto-replied",
        )
    )
    assert verdict.kind is Kind.AUTO
    assert verdict.form == sample["form"]
    assert verdict.case == sample.get("case", "")
    assert verdict.returns == (date.fromisoformat(sample["returns"]) if "returns" in sample else None)


@pytest.mark.parametrize(
    ("language", "sample"), ANSWERS, ids=[f"{language.tag}-{at}" for at, (language, _) in enumerate(ANSWERS)]
)
def test_the_same_words_without_a_sign_are_a_persons(language: Language, sample: dict[str, Any]) -> None:
    """A person may write every word of it, but that the mail is automatic."""
    if find(language.declares, sample["text"]):
        return
    mail = _mail(sample["text"], "From: Office <office@office.example>", f"Subject: Re: {sample['subject']}")
    assert sort_mail(mail).kind is Kind.HUMAN


@pytest.mark.parametrize(
    ("tag", "words"), [(language.tag, words) for language in languages() for words in language.declares]
)
def test_a_short_mail_that_calls_itself_automatic_is_believed(tag: str, words: str) -> None:
    """A person quotes such a sentence or forwards it; then it is theirs."""
    head = ("From: Office <office@office.example>", "Subject: Re: Open letter")
    assert sort_mail(_mail(f"Hello.\n{words}.", *head)).kind is Kind.AUTO
    assert sort_mail(_mail(f'Hello, I got this: "{words}." What now?', *head)).kind is Kind.HUMAN
    assert sort_mail(_mail(f"Hello, see below.\n\n> {words}.", *head)).kind is Kind.HUMAN


@pytest.mark.parametrize("language", languages(), ids=lambda language: language.tag)
def test_every_language_has_both_forms_and_their_samples(language: Language) -> None:
    """Out of office and acknowledgement, and a sample of each."""
    assert language.certain_subjects
    assert language.away
    assert language.received
    assert {sample["form"] for sample in language.samples} == {"out of office", "acknowledgement"}


def test_at_least_sixteen_languages_are_there_and_opt_outs_in_those_of_the_campaigns() -> None:
    """The list of languages is part of what is promised."""
    tags = {language.tag for language in languages()}
    assert len(tags) >= 16
    assert tags >= OPTOUT_LANGUAGES
    assert all(language.stop and language.stop_within for language in languages())


@pytest.mark.parametrize(
    ("tag", "word"), [(language.tag, word) for language in languages() for word in language.stop[:6]]
)
def test_an_opt_out_that_is_all_there_is_is_certain(tag: str, word: str) -> None:
    """With capitals, full stop and a quotation below."""
    text = f"{word.capitalize()}.\n\n> Dear Minister,\n> we write to you\n"
    verdict = sort_mail(_mail(text, "From: A <a@office.example>", "Subject: Re: Open letter"))
    assert verdict.kind is Kind.OPTOUT


@pytest.mark.parametrize(
    ("tag", "word"), [(language.tag, word) for language in languages() for word in language.stop_within[:6]]
)
def test_an_opt_out_within_a_longer_mail_is_looked_at_by_a_person(tag: str, word: str) -> None:
    """It stays human, with a review."""
    plain = word.replace("~", "").replace("*", "this")
    text = f"Dear Sirs, we have read your letter with care, and {plain} all the same. We wish you well."
    verdict = sort_mail(_mail(text, "From: A <a@office.example>", "Subject: Re: Open letter"))
    assert (verdict.kind, verdict.review) == (Kind.HUMAN, "optout")


def test_every_phrase_of_the_rules_is_one_and_holds_few_stars() -> None:
    """So that matching stays linear in the text."""
    phrases = [phrase for rule in reason_rules() for phrase in rule.phrases]
    phrases += [phrase for words in bounce_words().values() for phrase in words]
    phrases += [phrase for rule in bounce_rules() for phrase in rule.begin + rule.end]
    assert len(phrases) > 800
    for phrase in phrases:
        assert phrase.count("*") <= MOST_STARS
        assert compiled((phrase,)) is not None


@pytest.mark.parametrize("phrase", ["", "*", "~ *", "a * b * c * d * e"])
def test_what_is_no_phrase_is_refused(phrase: str) -> None:
    """A contributor is told at once."""
    with pytest.raises(ValueError, match="not a phrase"):
        pattern(phrase)
