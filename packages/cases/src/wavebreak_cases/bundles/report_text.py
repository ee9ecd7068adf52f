"""Words of a report in one language, of `cases/report.toml` and its catalogue, and blocks of them.

A block is a plain value that `report.typ` typesets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from string import Template
from typing import Any

from msgspec import UnsetType

from wavebreak import config
from wavebreak.errors import CaseError
from wavebreak.languages import get_language, isolate, text_direction
from wavebreak_cases.cases.counterfactuals import Counterfactual
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.cases.parties import Bar, HeldTie
from wavebreak_cases.cases.reasons import Context, Phrases, Writer, supposition

_LEFT_TO_RIGHT = "\u200e"


class ReportText:
    """Writes the words of one report.

    >>> words = ReportText("en")
    >>> words("header", case="C-7", title="Bulk Co"), words.instant(0)
    ('Case C-7: Bulk Co', '1 January 1970, 00:00:00')
    """

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        speech = get_language(language)
        self.direction = speech.direction
        english = config.read_toml(config.resolve_path("cases/report.toml"))
        self._words: dict[str, Any] = speech.translate_table("report", english)
        self._writer = Writer(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a phrase, filled in, in the direction of its language."""
        phrase = Template(self._words[key]).substitute(values)
        turned = self.direction == "ltr" and text_direction(phrase) == "rtl"
        return f"{_LEFT_TO_RIGHT}{phrase}" if turned else phrase

    def of(self, table: str, code: str) -> str:
        """Return the words of a code; a code that has none, as it is.

        >>> ReportText("en").of("outcomes", "ban"), ReportText("en").of("roles", "data_owner")
        ('banned', 'data owner')
        """
        found = self._words[table].get(code)
        return code.replace("_", " ") if found is None else str(found)

    def tongue(self, code: str) -> str:
        """Return the name of a language by its code; one that has none here, as its code.

        >>> ReportText("he").tongue("heb"), ReportText("en").tongue("xx")
        ('עברית', 'xx')
        """
        return str(self._words["language_names"].get(f"in_{code}", code))

    def count(self, noun: str, n: int) -> str:
        """Return a count with its noun, in the singular where it is one.

        >>> ReportText("en").count("exhibit", 1), ReportText("he").count("time", 1_200)
        ('1 exhibit', '1,200 פעמים')
        """
        form = self._words["nouns"][f"{noun}_{'one' if n == 1 else 'many'}"]
        return Template(form).substitute(n=f"{n:,}")

    def supposing(self, change: Counterfactual) -> str:
        """Return what a determination supposes otherwise.

        Of one that was sealed before there were codes, its English is put into the language.
        """
        if not isinstance(change.code, UnsetType):
            return self._writer.supposition(change.code)
        item, _, words = change.supposing.rpartition("): ")
        matched = find_code("reasons.supposed", words)
        if matched is None:
            return change.supposing
        code, values = matched
        head = f"{item}): " if item else ""
        try:
            return head + self._writer.supposition(supposition(code, **values))
        except (KeyError, CaseError):
            return change.supposing

    def custody(self, sentence: str) -> str:
        """Return what a line of custody says, which is kept in English; a person's words as is.

        >>> ReportText("he").custody("of the original: taken in: upload")
        'של המקור: נקלט: קובץ שהועלה'
        """
        matched = find_code("report.custody_lines", sentence)
        if matched is None:
            return self.isolated(sentence)
        code, values = matched
        if "line" in values:
            values = {**values, "line": self.custody(values["line"])}
        return Template(self._words["custody_lines"][code]).substitute(values)

    def basis(self, basis: str) -> str:
        """Return what a date rests on; what a person wrote stays as it is.

        >>> ReportText("he").basis("the page itself"), ReportText("he").basis("the invoice")
        ('העמוד עצמו', 'the invoice')
        """
        return self._writer.basis(basis)

    def held(self, tie: HeldTie) -> str:
        """Return since when and until when a tie held, with what that rests on."""
        return self._writer.render(Phrases(Context(), "").held(tie))

    def bar(self, bar: Bar, party: str) -> str:
        """Return what stands in the way of action against a party, by its name."""
        return self._writer.render(Phrases(Context({"": party}), "").bar(bar))

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
        return f"\u202b{words}\u202c" if self.direction == "rtl" else words

    def isolated(self, words: str) -> str:
        """Return words of a person, whose own direction is that of their first letter."""
        return isolate(words) if self.direction == "rtl" else words

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
        return self._writer.instant(ms)


Block = dict[str, Any]


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    widths: Sequence[float],
    *,
    none: str = "None.",
    right: Sequence[bool] = (),
) -> Block:
    """A table; a width of 0 is as wide as its words, others share the rest."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    return {
        "kind": "table",
        "head": list(head),
        "rows": cells,
        "widths": list(widths),
        "none": none,
        "right": list(right),
    }


def _cell(cell: Any) -> str | Block:
    return cell if isinstance(cell, dict) else "" if cell is None else str(cell)


def cited(exhibits: Iterable[str]) -> Block:
    """An invisible mark that exhibits are cited here, for those that have no heading."""
    return {"kind": "cited", "exhibits": list(dict.fromkeys(exhibits))}


def page_of(label: str) -> Block:
    """A cell with the page of the heading with that label, or of where it is first cited."""
    return {"page": label}


def text(words: str) -> Block:
    """A paragraph."""
    return {"kind": "text", "text": words}


def note(words: str) -> Block:
    """A paragraph in small print."""
    return {"kind": "note", "text": words}


def heading(words: str, label: str = "") -> Block:
    """A heading within a section; by a label, other blocks may give its page."""
    return {"kind": "heading", "text": words, "label": label}


def figure(file: str, alt: str, caption: str, kind: str = "figure") -> Block:
    """A numbered figure with a caption: of `kind` figure, or picture for a screenshot."""
    return {"kind": kind, "file": file, "alt": alt, "caption": caption}


def bullets(items: Iterable[str], none: str = "None.") -> Block:
    """A list."""
    listed = list(items)
    return {"kind": "list", "items": listed} if listed else note(none)


def code(words: str) -> Block:
    """A command."""
    return {"kind": "code", "text": words}


def section(title: str, blocks: Iterable[Block]) -> Block:
    """A section."""
    return {"title": title, "blocks": list(blocks)}


# Reasons that earlier versions stored as text


@cache
def _patterns(table: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return the sentences of a table, `report.custody_lines`, with their values as groups."""
    file, _, key = table.partition(".")
    every = config.read_toml(config.resolve_path(f"cases/{file}.toml"))[key]
    return [
        (code, re.compile(re.sub(r"\\\$(\w+)", r"(?P<\1>.+)", re.escape(words)), re.DOTALL))
        for code, words in every.items()
    ]


def find_code(table: str, sentence: str) -> tuple[str, Mapping[str, str]] | None:
    """Return the code and the values of an English sentence; None where the table has it not.

    >>> find_code("reasons.supposed", "the conduct is shown until 2019-12-08T00:00:00Z")
    ('until', {'at': '2019-12-08T00:00:00Z'})
    """
    for code, pattern in _patterns(table):
        if matched := pattern.fullmatch(sentence):
            return code, matched.groupdict()
    return None
