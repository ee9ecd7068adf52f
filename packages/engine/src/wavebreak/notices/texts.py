"""Texts to account holders, by subject (`texts.toml`); those of rules are in `reasons`.

No text names a threshold or another person.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wavebreak import config
from wavebreak.languages import Language

TEXTS: Mapping[str, Mapping[str, str]] = config.load_config(
    Path(__file__).resolve().with_name("texts.toml"), dict[str, dict[str, str]]
)
"""Texts in English by subject and name."""

PUBLIC_REASONS = ("unclear", "my_case", "disagree", "person")
"""Reasons that a reader whom a help page did not help may choose."""


def public_text(language: Language, name: str, **values: object) -> str:
    """Return a text of the public pages.

    >>> from wavebreak.languages import get_language
    >>> public_text(get_language("en"), "received")
    'Your appeal was received'
    """
    return language.gettext(TEXTS["public"][name], **values)


def public_texts(language: Language) -> dict[str, str]:
    """Return the texts that need no value, by name.

    >>> from wavebreak.languages import get_language
    >>> public_texts(get_language("en"))["yes"]
    'Yes'
    """
    texts = TEXTS["public"].items()
    return {name: language.gettext(text) for name, text in texts if "{" not in text}
