"""Tables of a report, their form on a terminal, and numbers, times and shares as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console as Console
from rich.table import Table as RichTable
from rich.text import Text

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.languages import ENGLISH, Language, msgids

_CONTROL_CHARACTERS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSAFE, _UNSAFE_LINE = (
    re.compile(f"[{_CONTROL_CHARACTERS}]"),
    re.compile(f"[{_CONTROL_CHARACTERS}\t\n]"),
)
_UNITS_MS = (
    (msgids("{n} d", "{n} d"), DAY_MS),
    (msgids("{n} h", "{n} h"), HOUR_MS),
    (msgids("{n} min", "{n} min"), MINUTE_MS),
    (msgids("{n} s", "{n} s"), SECOND_MS),
)


def visible(text: str, *, line: bool = False) -> str:
    r"""Escape control characters and marks of direction for a terminal, as JSON does.

    Args:
        text: The text.
        line: Whether the text is part of one line, in which tabs and line ends are escaped too.

    >>> print(visible("a\x1b[2Jb"), visible("a\nb", line=True))
    a\u001b[2Jb a\u000ab
    """
    unsafe = _UNSAFE_LINE if line else _UNSAFE
    return unsafe.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


Cell = str | float | None
"""A cell of a table: text of one or several lines, a number, or None for an unknown number."""


@dataclass(frozen=True)
class Table:
    """A table: a title, column headings, rows of equal length, and a note below.

    Attributes:
        title: The title or caption.
        columns: The headings. The first column names the row.
        note: An explanation below the table.
        words: Indexes of the columns that hold words and are aligned left. All others hold
            numbers and are aligned right.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""
    words: frozenset[int] = frozenset({0})


def number(value: float | None, digits: int = 1) -> str:
    """Format a number: thousands separated, whole numbers without a fraction.

    >>> number(1234567), number(0.25, 2), number(2.0), number(None)
    ('1,234,567', '0.25', '2', '–')
    """
    if value is None or value != value:
        return "–"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.{digits}f}"


def cell_text(cell: Cell) -> str:
    """Return a cell as text."""
    return cell if isinstance(cell, str) else number(cell)


def percent(share: float) -> str:
    """Format a share from 0 to 1 as a percentage, with more digits where it is small.

    >>> percent(1.0), percent(0.954), percent(0.0042), percent(0.0)
    ('100 %', '95.4 %', '0.42 %', '0 %')
    """
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 1 else f"{min(value, 99.9):.1f} %"


def interval(low: float, high: float) -> str:
    """Format an interval of shares as percentages.

    >>> interval(0.0, 0.018), interval(0.003, 0.0432)
    ('0–1.8 %', '0.30–4.3 %')
    """
    return f"{percent(low).removesuffix(' %')}–{percent(high)}"


def span(ms: float | None, language: Language = ENGLISH) -> str:
    """Format a duration in milliseconds by its two largest units.

    >>> span(194_000), span(90_000_000), span(14_000), span(850), span(60_000), span(None)
    ('3 min 14 s', '1 d 1 h', '14 s', '0.85 s', '1 min', '–')
    """
    if ms is None or ms != ms:
        return "–"
    if ms < 10_000:
        seconds = f"{ms / 1000:.2f}".rstrip("0").rstrip(".")
        # A fraction has the form of many.
        n = int(seconds) if seconds.isdigit() else 3
        return language.ngettext(*_UNITS_MS[-1][0], n, n=seconds)
    rest = round(ms / 1000) * 1000
    parts: list[str] = []
    for unit, size in _UNITS_MS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(language.ngettext(*unit, count, n=count))
        if len(parts) == 2 or (parts and not count):
            break
    if len(parts) == 2:
        return language.gettext("{larger} {smaller}", larger=parts[0], smaller=parts[1])
    return "".join(parts)


def brief(ms: float | None) -> str:
    """Format a duration in milliseconds in one unit, for a narrow column.

    >>> brief(194_000), brief(10_440_000), brief(14_000), brief(172_800_000), brief(None)
    ('3.2 min', '2.9 h', '14 s', '2 d', '–')
    """
    if ms is None or ms != ms:
        return "–"
    unit, size = next((u for u in _UNITS_MS if ms >= u[1]), _UNITS_MS[-1])
    return unit[0].format(n=number(round(ms / size, 1)))


def moment(ms: int, *, since: int | None = None, language: Language = ENGLISH) -> str:
    """Format an instant in UTC; only the time where it is on the day of `since`.

    >>> moment(1_772_373_730_000)
    '1 March 2026, 14:02:10 UTC'
    >>> moment(1_772_373_924_000, since=1_772_373_730_000)
    '14:05:24'
    """
    time = datetime.fromtimestamp(ms / 1000, UTC)
    if since is not None and datetime.fromtimestamp(since / 1000, UTC).date() == time.date():
        return f"{time:%H:%M:%S}"
    # The day in English needs no Babel, which an installation may lack.
    day = f"{time.day} {time:%B %Y}" if language is ENGLISH else language.format_day(ms)
    return f"{day}, {time:%H:%M:%S} UTC"


def stamp(ms: int | None) -> str:
    """Format an instant in UTC for a column of a table.

    >>> stamp(1_772_373_730_000), stamp(None)
    ('2026-03-01 14:02:10', '–')
    """
    return "–" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def count_of(value: int, one: str, many: str = "") -> str:
    """Format a count with its noun.

    >>> count_of(1, "message"), count_of(1200, "message"), count_of(0, "person", "people")
    ('1 message', '1,200 messages', 'no people')
    """
    noun = one if value == 1 else many or one + "s"
    return f"{value:,} {noun}" if value else f"no {noun}"


def print_lines(lines: Iterable[str], console: Console, style: str = "") -> None:
    """Print lines of text as they are, with an empty line before and after."""
    console.print()
    for line in lines:
        console.print(Text(line, style=style))
    console.print()


_NARROW = 12
"""Columns of words up to this width wrap only where nothing else helps."""


def print_table(table: Table, console: Console) -> None:
    """Print a table on a terminal; values are printed as they are, never read as markup.

    Where the terminal is too narrow, the widest columns wrap first, and only between words. A
    word breaks only where not even the longest word of each column fits.
    """
    headings = [visible(column) for column in table.columns]
    rows = [[visible(cell_text(cell)) for cell in row] for row in table.rows]
    widths = _fit_columns(table.words, list(zip(headings, *rows, strict=True)), console.width)
    roomy = sum(widths) + 2 * (len(widths) - 1) <= console.width
    printed = RichTable(
        title=visible(table.title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, int(roomy)),
        pad_edge=False,
        show_edge=False,
    )
    for index, heading in enumerate(headings):
        justify: Literal["left", "right"] = "left" if index in table.words else "right"
        printed.add_column(heading, justify=justify, width=widths[index], overflow="fold")
    for row in rows:
        printed.add_row(*map(_styled_cell, row))
    console.print(printed)
    if table.note:
        console.print(Text(visible(table.note), style="dim"))
    console.print()


def _fit_columns(words: frozenset[int], columns: list[tuple[str, ...]], width: int) -> list[int]:
    """Return the width of each column, so that the table fits in `width` where possible.

    The columns keep their natural widths where these fit. Otherwise columns are narrowed one step
    at a time, each time the column that lengthens the table least. Numbers and narrow columns
    keep their width in a first attempt, words in a second; only then words break.
    """
    lines = [[cell.split("\n") for cell in cells] for cells in columns]
    natural = [max(cell_len(line) for cell in cells for line in cell) for cells in lines]
    longest_words = [
        max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        for cells in columns
    ]
    keep_narrow = [
        max(word, min(width_natural, _NARROW)) if index in words else width_natural
        for index, (word, width_natural) in enumerate(zip(longest_words, natural, strict=True))
    ]
    available = width - (len(columns) - 1)
    for minima in (keep_narrow, longest_words, [1] * len(columns)):
        if sum(minima) <= available:
            return _narrow(list(zip(*lines, strict=True)), natural, minima, available)
    return longest_words


def _narrow(
    rows: list[tuple[list[str], ...]], natural: list[int], minima: list[int], available: int
) -> list[int]:
    """Narrow columns step by step from their natural widths until the table fits."""
    widths = [
        max(minimum, min(natural_width, available))
        for natural_width, minimum in zip(natural, minima, strict=True)
    ]
    while sum(widths) > available:

        def cost(column: int) -> tuple[int, int]:
            narrowed = [width - (k == column) for k, width in enumerate(widths)]
            return sum(_row_height(row, narrowed) for row in rows), -widths[column]

        column = min((k for k, width in enumerate(widths) if width > minima[k]), key=cost)
        widths[column] -= 1
    return widths


def _row_height(row: tuple[list[str], ...], widths: list[int]) -> int:
    """Return about how many lines a row of cells takes at these widths."""
    return max(
        sum(max(1, -(-len(line) // width)) for line in cell)
        for cell, width in zip(row, widths, strict=True)
    )


def _styled_cell(text: str) -> Text:
    """Style the lines of a cell: the first plain, the others dim."""
    first, newline, rest = text.partition("\n")
    return Text(first).append(newline + rest, style="dim")
