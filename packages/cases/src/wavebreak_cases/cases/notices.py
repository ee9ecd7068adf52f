"""Notices to a party: templates, proof of delivery, replies, deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wavebreak import config
from wavebreak.errors import CaseError
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, get_language
from wavebreak_cases.cases.parties import Long, Text

Language = Annotated[str, Meta(pattern="^[a-z]{2,3}$")]
"""The code of a language, as records keep it. `wavebreak.languages` says which are offered."""


class NoticeTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template in one language; `$words` are filled in."""

    id: str
    language: Language
    subject: str
    paragraphs: tuple[str, ...]


class NoticeTemplates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All templates, from `cases/notices.toml`, with the days to answer and names of conduct."""

    answer_days: Annotated[int, Meta(ge=1, le=365)]
    template: tuple[NoticeTemplate, ...]
    conduct: dict[Language, dict[str, str]]

    def conduct_in(self, language: Language) -> dict[str, str]:
        """Return the names of conduct in a language: the policy's own, or translated."""
        own, english = self.conduct.get(language), self.conduct[SOURCE_LANGUAGE]
        return own or get_language(language).translate_table("notices.conduct", english)

    def find(self, template: str, language: Language) -> NoticeTemplate | None:
        """Return a template in a language: the policy's own, or translated; None if neither is."""
        of_id = {words.language: words for words in self.template if words.id == template}
        english, speech = of_id.get(SOURCE_LANGUAGE), get_language(language)
        if language in of_id or english is None or speech.code != language:
            return of_id.get(language)
        context = f"notices.template.{template}"
        texts = {"subject": english.subject, "paragraphs": english.paragraphs}
        if not speech.translates(context, texts):
            return None
        return NoticeTemplate(template, language, **speech.translate_table(context, texts))


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A notice as it was sent to a party. Times are milliseconds.

    `exhibit` holds one that was sent before it was recorded; its template is `recorded` then.
    `deadline` equals `sent` where no date to answer was given; `due` says so.
    """

    id: Text
    party: Text
    template: Text
    language: Language
    subject: Long
    paragraphs: Annotated[tuple[Long, ...], Meta(max_length=100)]
    sent: int
    deadline: int
    exhibit: Text | UnsetType = UNSET

    @property
    def due(self) -> int | None:
        """Until when it is to be answered; None where it gave no date."""
        return self.deadline if self.deadline > self.sent else None

    def is_overdue(self, now: int) -> bool:
        """Whether the date that it gave to answer has passed at `now` (ms)."""
        return self.due is not None and self.due < now


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Proof that a notice reached its party: when, how, and the exhibit that shows it.

    `method` and `address` say by what service and where, as far as that is recorded.
    """

    notice: Text
    at: int
    how: Text
    exhibit: Text
    method: Text | UnsetType = UNSET
    address: Text | UnsetType = UNSET


class ServiceAttempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt to serve a notice that failed: when, by what method, where, and why it failed.

    `exhibit` shows it, where something does.
    """

    notice: Text
    at: int
    method: Text
    address: Text
    failure: Text
    exhibit: Text | UnsetType = UNSET


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer to a notice: when, what it says in a line, and the exhibit that holds it."""

    notice: Text
    at: int
    about: Long
    exhibit: Text


def load_templates(directory: Path | None = None) -> NoticeTemplates:
    """Read the templates: the shipped ones, or `cases/notices.toml` of a local policy."""
    return config.load_config(config.resolve_path("cases/notices.toml", directory), NoticeTemplates)


def render_notice(
    letters: NoticeTemplates, template: str, language: Language, facts: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Fill a template in: its subject and paragraphs.

    Raises `CaseError` where there is no such template or a fact that it needs is not given.

    >>> facts = dict.fromkeys(("party", "operator", "case", "notice", "deadline", "contact"), "-")
    >>> render_notice(load_templates(), "reminder", "en", facts | {"notice": "N1"})[0]
    'Reminder: no answer to our notice N1'
    """
    words = letters.find(template, language)
    if words is None:
        ids = dict.fromkeys(each.id for each in letters.template)
        known = ", ".join(
            f"{each} ({code})" for each in ids for code in LANGUAGES if letters.find(each, code)
        )
        raise CaseError(f"there is no notice {template} in {language}", fix=f"one of: {known}")
    try:
        subject, *rest = (
            Template(text).substitute(facts) for text in (words.subject, *words.paragraphs)
        )
    except (KeyError, ValueError) as error:
        raise CaseError(
            f"notice {template}, {language}: {error} is not given",
            fix="give it, or correct the template in cases/notices.toml",
        ) from None
    return subject, tuple(rest)
