"""Words of a report in one language: `cases/report.toml`, with names of months and ties."""

from __future__ import annotations

from string import Template
from typing import Any

from wavebreak import config
from wavebreak.cases.date_ranges import format_instant
from wavebreak.cases.notices import Language
from wavebreak.cases.reasons import Context, Writer


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
        """Return a phrase, filled in."""
        return Template(self._words[key]).substitute(values)

    def of(self, table: str, code: str) -> str:
        """Return the words of a code; a code that has none, as it is.

        >>> ReportText("en").of("outcomes", "ban"), ReportText("en").of("roles", "data_owner")
        ('banned', 'data owner')
        """
        found = self._words[table].get(code)
        return code.replace("_", " ") if found is None else str(found)

    def codes(self, table: str) -> list[str]:
        """Return the codes that a table has words for, in their order."""
        return list(self._words[table])

    def lines(self, key: str) -> list[str]:
        """Return a list of sentences."""
        return list(self._words[key])

    def tie(self, code: str) -> str:
        """Return the words of a determination's sentences for a code: a strength, a relation."""
        return self._writer.wording.words[code]

    def embedded(self, words: str) -> str:
        """Return words in the direction of the language, for text that has none of its own."""
        return f"\u202b{words}\u202c" if self.language == "he" else words

    def isolated(self, words: str) -> str:
        """Return words of a person, whose own direction is that of their first letter."""
        return f"\u2068{words}\u2069" if self.language == "he" else words

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
