"""Filters: standings, quality, states of templates and of consent, as badges with words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from wavebreak_business.pages import shown

register = template.Library()

_TONES = {
    "all": "danger", "outside_windows": "danger", "low": "danger", "medium": "warning",
    "disabled": "danger", "rejected": "danger", "paused": "warning", "pending": "warning",
    "paused_by_pacing": "warning", "revoked": "danger", "none": "warning", "granted": "success",
    "high": "success", "approved": "success",
}  # fmt: skip


def _badge(code: str) -> SafeString:
    tone = _TONES.get(code)
    names = f"badge badge-{tone}" if tone else "badge"
    return format_html('<span class="{}">{}</span>', names, gettext(shown.words(code)))


@register.filter
def in_words(code: str) -> str:
    """Return the words of a code in the reader's language."""
    return gettext(shown.words(code)) if code else ""


@register.filter
def standing(view: Any) -> SafeString:
    """Return what a portfolio may not do now."""
    return _badge(view.bars)


@register.filter
def quality(rating: str) -> SafeString:
    """Return a rating."""
    return _badge(rating)


@register.filter
def status(name: str) -> SafeString:
    """Return the status of a template."""
    return _badge(name)


@register.filter
def consent_state(name: str) -> SafeString:
    """Return whether consent was granted, revoked, or neither."""
    return _badge(name)


@register.filter
def history_tone(row: Any) -> str:
    """Return the colour of a change of standing."""
    return "ban" if row.bars == "all" else "suspend" if row.bars != "nothing" else "allow"


@register.filter
def accounts(numbers: Iterable[Any]) -> list[str]:
    """Return the accounts of numbers."""
    return [number.number for number in numbers]
