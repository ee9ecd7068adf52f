"""Cells of CSV files that people open in spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection).

    Ids and names are what others chose: such a text begins with an apostrophe. Numbers stay.

    >>> csv_cell("=1+1"), csv_cell("ann"), csv_cell(-1.5), csv_cell(None)
    ("'=1+1", 'ann', -1.5, None)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def csv_row(cells: Iterable[Any]) -> list[Any]:
    """Return the cells of a row; see `csv_cell`."""
    return [csv_cell(cell) for cell in cells]
