"""Writing of CSV files (RFC 4180), for people who open them in spreadsheets and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, TextIO

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection).

    Ids and names are what others chose: such a text begins with an apostrophe. Numbers stay.

    >>> csv_cell("=1+1"), csv_cell("ann"), csv_cell(-1.5), csv_cell(None)
    ("'=1+1", 'ann', -1.5, None)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class CsvWriter:
    r"""Writes rows of CSV to a file that was opened with `newline=""`.

    Args:
        exact: Whether cells are written as they are, for a program that reads them again; else a
            spreadsheet takes none for a formula.
        line_end: What ends a line; programs of this package write `\n`.
    """

    def __init__(self, file: TextIO, *, exact: bool = False, line_end: str = "\r\n") -> None:
        self._writer, self._exact = csv.writer(file, lineterminator=line_end), exact

    def write(self, cells: Iterable[Any]) -> None:
        """Write a row."""
        self._writer.writerow(cells if self._exact else map(csv_cell, cells))

    def write_all(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows."""
        for row in rows:
            self.write(row)


def encode_csv(rows: Iterable[Iterable[Any]]) -> str:
    r"""Return rows as CSV for spreadsheets.

    >>> encode_csv([("account", "n"), ("=1+1", 2)])
    "account,n\r\n'=1+1,2\r\n"
    """
    text = io.StringIO(newline="")
    CsvWriter(text).write_all(rows)
    return text.getvalue()
