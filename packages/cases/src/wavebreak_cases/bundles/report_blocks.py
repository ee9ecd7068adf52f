"""Blocks of a report: plain values that `report.typ` typesets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
