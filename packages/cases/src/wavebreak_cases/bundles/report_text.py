"""Words of a report in one language: `cases/report.toml`, with names of months and ties."""

from __future__ import annotations

import re
from functools import cache
from string import Template
from typing import Any

from wavebreak import config
from wavebreak.errors import CaseError
from wavebreak.text_direction import isolate, text_direction
from wavebreak_cases.cases.date_ranges import format_instant, parse_instant
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.cases.reasons import Context, Writer

_LEFT_TO_RIGHT = "\u200e"


@cache
def _patterns(table: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return the sentences of a table that are kept in English, with their values as groups."""
    every = config.read_toml(config.resolve_path("cases/report.toml"))["en"][table]
    return [
        (code, re.compile(re.sub(r"\\\$(\w+)", r"(?P<\1>.+)", re.escape(words)), re.DOTALL))
        for code, words in every.items()
    ]


class ReportText:
    """Writes the words of one report.

    >>> words = ReportText("en")
    >>> words("header", case="C-7", title="Bulk Co"), words.instant(0)
    ('Case C-7: Bulk Co', '1 January 1970, 00:00:00')
    """

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        every = config.read_toml(config.resolve_path("cases/report.toml"))
        self._words: dict[str, Any] = every[language]
        self._writer = Writer(language, Context(), "")

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a phrase, filled in, in the direction of its language."""
        phrase = Template(self._words[key]).substitute(values)
        turned = self.language == "en" and text_direction(phrase) == "rtl"
        return f"{_LEFT_TO_RIGHT}{phrase}" if turned else phrase

    def of(self, table: str, code: str) -> str:
        """Return the words of a code; a code that has none, as it is.

        >>> ReportText("en").of("outcomes", "ban"), ReportText("en").of("roles", "data_owner")
        ('banned', 'data owner')
        """
        found = self._words[table].get(code)
        return code.replace("_", " ") if found is None else str(found)

    def supposing(self, said: str) -> str:
        """Return what a determination supposes otherwise, which is kept in English.

        >>> ReportText("he").supposing("E1 (V1): a person rejects it")
        'E1 (V1): אדם דוחה זאת'
        """
        item, _, words = said.rpartition("): ")
        head = f"{item}): " if item else ""
        for code, pattern in _patterns("supposed"):
            if found := pattern.fullmatch(words):
                values = {name: self._value(value) for name, value in found.groupdict().items()}
                return head + Template(self._words["supposed"][code]).substitute(values)
        return said

    def custody(self, said: str) -> str:
        """Return what a line of custody says, which is kept in English; a person's words as is.

        >>> ReportText("he").custody("of the original: taken in: upload")
        'של המקור: נקלט: קובץ שהועלה'
        """
        for code, pattern in _patterns("custody_lines"):
            if found := pattern.fullmatch(said):
                values = found.groupdict()
                if "line" in values:
                    values["line"] = self.custody(values["line"])
                return Template(self._words["custody_lines"][code]).substitute(values)
        return self.isolated(said)

    def _value(self, value: str) -> str:
        """Return a strength or an instant in the language, other values as they are."""
        try:
            return self.instant(parse_instant(value))
        except CaseError:
            return self._writer.wording.words.get(value, value)

    def basis(self, basis: str) -> str:
        """Return what a date rests on; what a person wrote stays as it is.

        >>> ReportText("he").basis("the page itself"), ReportText("he").basis("the invoice")
        ('העמוד עצמו', 'the invoice')
        """
        return self._writer.basis(basis)

    def codes(self, table: str) -> list[str]:
        """Return the codes that a table has words for, in their order."""
        return list(self._words[table])

    def lines(self, key: str) -> list[str]:
        """Return a list of sentences."""
        return list(self._words[key])

    def pages(self) -> str:
        """Return the number of a page, with places that a template fills in."""
        return self("page_number", n="{n}", pages="{pages}")

    def tie(self, code: str) -> str:
        """Return the words of a determination's sentences for a code: a strength, a relation."""
        return self._writer.wording.words[code]

    def embedded(self, words: str) -> str:
        """Return words in the direction of the language, for text that has none of its own."""
        return f"\u202b{words}\u202c" if self.language == "he" else words

    def isolated(self, words: str) -> str:
        """Return words of a person, whose own direction is that of their first letter."""
        return isolate(words) if self.language == "he" else words

    def joined(self, parts: list[str]) -> str:
        """Return parts in a row."""
        return self("list_separator").join(parts)

    def day(self, ms: int | None) -> str:
        """Return a day, in UTC."""
        return self("unknown") if ms is None else self._writer.day(ms)

    def instant(self, ms: int | None) -> str:
        """Return an instant to the second, in UTC."""
        if ms is None:
            return self("unknown")
        return f"{self._writer.day(ms)}, {format_instant(ms - ms % 1000)[11:19]}"
