"""Texts that people read on a page of the console, in the language of the page.

The English text is the key of its translation. Where no page is rendered (the API, commands,
tasks) the language is English, so that a text may be marked where it arises. What is stored or
sealed, such as an audit entry, stays English: it must not depend on who looked on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from django.utils.translation import get_language as active_language
from django.utils.translation import gettext, ngettext

from wavebreak import languages
from wavebreak.languages import Language, is_right_to_left

K = TypeVar("K")


def page_language() -> Language:
    """Return the language of the page that is rendered; English where none is.

    >>> page_language().code
    'en'
    """
    return languages.get_language(active_language() or languages.SOURCE_LANGUAGE)


def isolated(text: object) -> str:
    """Return a value between marks of direction where the page runs the other way.

    Digits have no direction of their own: a date and a time would change places.

    >>> isolated("2026-11-30 14:02")
    '2026-11-30 14:02'
    """
    shown = str(text)
    if page_language().direction == "ltr":
        return languages.isolate(shown) if is_right_to_left(shown) else shown
    return languages.isolate(shown) if shown and not shown.isdigit() else shown


def translate(text: str, **values: object) -> str:
    """Return a text in the language of the page, with `{names}` filled in.

    >>> translate("The key {prefix} is revoked.", prefix="wb_1a")
    'The key wb_1a is revoked.'
    """
    # The empty text is the key of a catalogue's header.
    return _fill(gettext(text), values) if text else ""


def translate_count(one: str, many: str, n: int, **values: object) -> str:
    """Return the form of a text that a count needs; `{n}` is the count, with separators.

    >>> translate_count("{n} account", "{n} accounts", 1200)
    '1,200 accounts'
    """
    return _fill(ngettext(one, many, n), {"n": f"{n:,}"} | values)


def translate_values(table: Mapping[K, str]) -> dict[K, str]:
    """Return a table with its texts, which are marked by `msgid`, in the language of the page."""
    return {key: translate(text) for key, text in table.items()}


def _fill(text: str, values: dict[str, object]) -> str:
    if not values:
        return text
    return text.format_map({name: isolated(value) for name, value in values.items()})
