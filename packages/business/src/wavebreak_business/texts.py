"""The words of reports, of codes and of what to do, in each language.

English stands in the tables of `policy`; translations are `policy/locale/<language>`, made and
completed as those of the engine: `update("he")` writes the file with today's texts.

>>> lacking("he")
[]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavebreak.config import read_toml
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, Language, get_language, is_right_to_left
from wavebreak.notices.catalog import catalog_of, texts_of, untranslated, update_translation
from wavebreak_business.settings import SHIPPED, Code

DOMAIN = "wavebreak-business"
CATALOGS = SHIPPED / "locale"
_SPOKEN = ("meaning", "fix")


def read_words() -> dict[str, Any]:
    """Return the table of words in English."""
    return read_toml(SHIPPED / "words.toml")


def table_texts() -> Iterator[tuple[str, str]]:
    """Yield each text to translate with its context; sentences of codes are alike for all codes."""
    yield from ((where, text) for where, text in texts_of("words", read_words()) if text)
    for codes in read_toml(SHIPPED / "codes.toml").values():
        if isinstance(codes, dict):
            for code in codes.values():
                yield from (("code", code[name]) for name in _SPOKEN)


def lacking(language: str) -> list[str]:
    """Return the texts without a translation in a language."""
    return untranslated(language, CATALOGS, catalog_of(table_texts()), DOMAIN)


def update(language: str, directory: Path = CATALOGS) -> Path:
    """Write a language's file with today's texts, and return its path."""
    return update_translation(language, directory, catalog_of(table_texts()), DOMAIN)


def offered_languages() -> tuple[str, ...]:
    """Return the codes of the languages that reports are offered in, English first.

    >>> offered_languages()
    ('en', 'he')
    """
    return tuple(c for c in LANGUAGES if c == SOURCE_LANGUAGE or (CATALOGS / c).is_dir())


class Words:
    """The words in one language.

    Args:
        code: The language's code; English where it is not offered.

    >>> Words("en").say("limit.up"), Words("en").say("period", first="a", last="b")
    ('people', 'Messages from a to b (UTC).')
    """

    def __init__(self, code: str) -> None:
        self.language: Language = get_language(code, CATALOGS, DOMAIN)
        self._english = read_words()

    def say(self, key: str, **values: object) -> str:
        """Return a text by its place in the table, with `{names}` filled in."""
        # `pgettext` would isolate the values a second time, with marks that a page does not keep.
        text = self.language.pgettext(f"words.{key}", self._at(key))
        isolated = {name: self.isolate(str(value)) for name, value in values.items()}
        return text.format_map(isolated) if values else text

    def isolate(self, text: str) -> str:
        """Return a value between marks of direction where the text around it runs the other way.

        Digits have no direction of their own: a date and a time would change places.

        >>> Words("en").isolate("2026-11-30 14:02"), len(Words("he").isolate("2026-11-30 14:02"))
        ('2026-11-30 14:02', 18)
        """
        turns = self.language.direction == "rtl" and text and not is_right_to_left(text)
        return f"\u2066{text}\u2069" if turns else text

    def columns(self, key: str) -> tuple[str, ...]:
        """Return the headings of a table."""
        texts = self._at(f"{key}.columns")
        where = f"words.{key}.columns"
        return tuple(
            self.language.pgettext(f"{where}.{n}", text) if text else ""
            for n, text in enumerate(texts)
        )

    def code(self, code: Code) -> tuple[str, str]:
        """Return what a code means, and what to do."""
        meaning, fix = (
            self.language.pgettext("code", text) for text in (code.meaning, code.fix)
        )  # fmt: skip
        return meaning, fix

    def _at(self, key: str) -> Any:
        found: Any = self._english
        for part in key.split("."):
            found = found[part]
        return found
