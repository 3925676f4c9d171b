"""Letters in one language held against the same row's in the language that they were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from pipeline.delivery.compose import Composer, Draft
from pipeline.letters.printed import compare_said, has_lists
from pipeline.letters.templates import TemplateFault, Templates
from pipeline.letters.thread import SAMPLE, Thread
from pipeline.problem import Problem


def lost_entries(
    composer: Composer, firsts: Mapping[str, Draft], languages: Sequence[str]
) -> Iterator[Problem]:
    """Yield the demands of facts.toml that letters in one language say and those in another do not.

    ``firsts`` are the first letters that were written, by language; ``languages`` are the campaign's.
    """
    templates = composer.templates
    if not has_lists(templates.facts):
        return
    for language, draft in firsts.items():
        yield from _lost(composer, templates, draft, firsts, languages[0], None)
        if templates.followups is not None and language in templates.followups.letters:
            yield from _lost(composer, templates.followups, draft, firsts, languages[0], SAMPLE)


def _lost(
    composer: Composer,
    templates: Templates,
    draft: Draft,
    firsts: Mapping[str, Draft],
    default: str,
    thread: Thread | None,
) -> Iterator[Problem]:
    version = templates.letters.get(draft.language)
    origin = (version.matter.source or default) if version else draft.language
    source = templates.letters.get(origin)
    if version is None or source is None or origin == draft.language:
        return
    here = draft._replace(thread=thread)
    own = firsts.get(origin, draft)._replace(language=origin, thread=thread)
    for there in (here._replace(language=origin), own):
        with suppress(TemplateFault):  # a row need not have what another language's letter prints
            texts = composer.render(there).text, composer.render(here).text
            yield from compare_said(
                (source, texts[0]), origin, (version, texts[1]), draft.language, templates.facts
            )
            return
