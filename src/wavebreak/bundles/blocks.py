"""Blocks of a typeset page: plain values that `report.typ` shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wavebreak.cases.dates import Span, shown

Block = dict[str, Any]


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], widths: Sequence[float],
    *, none: str = "None.", right: Sequence[bool] = (),
) -> Block:  # fmt: skip
    """A table; a width of 0 is as wide as its words, others share the rest."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return {
        "kind": "table", "head": list(head), "rows": cells, "widths": list(widths), "none": none,
        "right": list(right),
    }  # fmt: skip


def text(words: str) -> Block:
    """A paragraph."""
    return {"kind": "text", "text": words}


def note(words: str) -> Block:
    """A paragraph in small print."""
    return {"kind": "note", "text": words}


def heading(words: str) -> Block:
    """A heading within a section."""
    return {"kind": "heading", "text": words}


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


def when(ms: int | None) -> str:
    """An instant to the second, in UTC.

    >>> when(0), when(None)
    ('1970-01-01 00:00:00', '—')
    """
    return "—" if ms is None else shown(ms - ms % 1000)[:-1].replace("T", " ")


def span(dates: Span) -> str:
    """A date as it was told, and the instants that it may mean.

    >>> span(Span(0, None, "since 1970"))
    'since 1970 [1970-01-01 00:00:00 to open]'
    """
    ends = [("open" if end is None else when(end)) for end in (dates.earliest, dates.latest)]
    if dates.earliest == dates.latest and dates.earliest is not None:
        return ends[0]
    return f"{dates.said} [{ends[0]} to {ends[1]}]"


def plain(word: str) -> str:
    """A word of the code as people write it.

    >>> plain("not_eligible")
    'not eligible'
    """
    return word.replace("_", " ")
