"""Tags and filters of legal cases: states, results, and words."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from wavebreak.languages import SOURCE_LANGUAGE, get_language, msgid
from wavebreak_cases.pages.files import report_words
from wavebreak_server.console.templatetags.console import moment
from wavebreak_server.texts import page_language, translate

register = template.Library()

_STATES = {
    "opened": "info",
    "investigating": "info",
    "noticed": "warning",
    "determined": "accent",
    "referred": "accent",
    "reopened": "warning",
}
_RESULTS = {"eligible": "accent", "undetermined": "warning", "barred": "warning"}
_CHECKS = {True: ("success", msgid("holds")), False: ("danger", msgid("does not hold"))}
_NOT_CHECKED = ("warning", msgid("not checked"))


def _badge(kind: str, words: str) -> SafeString:
    return format_html('<span class="badge{}">{}</span>', f" badge-{kind}" if kind else "", words)


@register.filter
def direction_of(language: str) -> str:
    """Return the direction of a language by its code."""
    return get_language(language).direction


@register.filter
def case_state(name: str) -> SafeString:
    """Return the state of a case as a badge."""
    return _badge(_STATES.get(name, ""), translate(name))


@register.filter
def case_result(name: str) -> SafeString:
    """Return the result of a determination as a badge; its colour says nothing about guilt."""
    return _badge(_RESULTS.get(name.replace("_", " "), ""), in_words(name))


@register.filter
def finding(holds: bool | None) -> SafeString:
    """Return what a check found as a badge."""
    kind, words = _NOT_CHECKED if holds is None else _CHECKS[holds]
    return _badge(kind, translate(words))


@register.filter
def in_words(name: str) -> str:
    """Return a word of the code as people write it.

    >>> in_words("test_purchase")
    'test purchase'
    """
    return translate(str(name).replace("_", " "))


@register.filter
def custody(sentence: str) -> str:
    """Return what a line of custody says, which is recorded in English.

    >>> custody("taken in: upload")
    'taken in: upload'
    """
    language = page_language().code
    return sentence if language == SOURCE_LANGUAGE else report_words(language).custody(sentence)


@register.filter
def actor(name: str) -> str:
    """Return who acted as people write it.

    >>> actor("user:noa"), actor("Noa Bar")
    ('noa', 'Noa Bar')
    """
    return str(name).removeprefix("user:")


@register.filter
def instant(text: str) -> SafeString | str:
    """Return an instant that is written in RFC 3339 as other instants are shown."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    shown: SafeString | str = moment(round(at.timestamp() * 1000))
    return shown
