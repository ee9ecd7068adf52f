"""Numbers in words, tables for a terminal and a page, and the one HTML page that carries them.

A table is declared once and shown twice (rich, HTML), so both always say the same. A page is
one file: styles and pictures are inside it, it loads nothing, and the same input gives the
same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from rich import box
from rich.cells import cell_len
from rich.console import Console as Console
from rich.table import Table as RichTable
from rich.text import Text

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))

_STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:#1b1f24;font:1rem/1.55 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.4rem 0 .5rem;padding-top:.6rem;border-top:1px solid #d8dee4}
h3{font-size:1rem;margin:1.5rem 0 .3rem}
p,li{max-width:46rem;overflow-wrap:anywhere}
.lead{font-size:1.1rem}
.note{color:#57606a;font-size:.92rem}
.wide{overflow-x:auto;margin:.8rem 0}
.wide:focus-visible{outline:2px solid #0a66c2}
.wide svg{display:block;width:100%;min-width:34rem;height:auto}
figure{margin:0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
caption{text-align:left;font-weight:600;padding:.2rem 0 .4rem}
th,td{padding:.32rem .7rem;border-bottom:1px solid #e4e8ec;text-align:right;
vertical-align:top;white-space:pre}
thead th{border-bottom:2px solid #8c959f;vertical-align:bottom}
th.word,td.word,tbody th{text-align:left;white-space:pre-line;min-width:7rem}
tbody th{font-weight:500}
td.long{min-width:18rem}
.status{border-left:.4rem solid #57606a;background:#f6f8fa;padding:.7rem 1rem;margin:1rem 0}
.status.act{border-color:#b3261e}
.status.mild{border-color:#b06d00}
""".strip()


@dataclass(frozen=True)
class Table:
    """A table of finished words: a caption, column heads, rows of equal length, a note below.

    `words` are the columns that hold words and stand left; all others hold numbers and stand
    right. The first column names the row. A cell may hold several lines.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    words: frozenset[int] = frozenset({0})


def number(value: float | None, digits: int = 1) -> str:
    """Write a number for people: thousands parted, whole numbers without a fraction.

    >>> number(1234567), number(0.25, 2), number(2.0), number(None)
    ('1,234,567', '0.25', '2', '–')
    """
    if value is None or value != value:
        return "–"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """Write a share from 0 to 1 as a percentage, finer where it is small.

    >>> percent(1.0), percent(0.954), percent(0.0042), percent(0.0)
    ('100 %', '95.4 %', '0.42 %', '0 %')
    """
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 1 else f"{min(value, 99.9):.1f} %"


def interval(low: float, high: float) -> str:
    """Write an interval of shares as percentages.

    >>> interval(0.0, 0.018), interval(0.003, 0.0432)
    ('0–1.8 %', '0.30–4.3 %')
    """
    return f"{percent(low).removesuffix(' %')}–{percent(high)}"


def span(ms: float | None) -> str:
    """Write a length of time given in milliseconds by its two largest units.

    >>> span(194_000), span(90_000_000), span(14_000), span(850), span(60_000), span(None)
    ('3 min 14 s', '1 d 1 h', '14 s', '0.85 s', '1 min', '–')
    """
    if ms is None or ms != ms:
        return "–"
    if ms < 10_000:
        return f"{ms / 1000:.2f}".rstrip("0").rstrip(".") + " s"
    rest = round(ms / 1000) * 1000
    parts: list[str] = []
    for unit, size in _UNITS_MS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts)


def brief(ms: float | None) -> str:
    """Write a length of time given in milliseconds in one unit, for a narrow column.

    >>> brief(194_000), brief(10_440_000), brief(14_000), brief(172_800_000), brief(None)
    ('3.2 min', '2.9 h', '14 s', '2 d', '–')
    """
    if ms is None or ms != ms:
        return "–"
    unit, size = next((u for u in _UNITS_MS if ms >= u[1]), _UNITS_MS[-1])
    return f"{number(round(ms / size, 1))} {unit}"


def moment(ms: int, *, since: int | None = None) -> str:
    """Write an instant in UTC; only the clock where it falls on the day of `since`.

    >>> moment(1_772_373_730_000)
    '1 March 2026, 14:02:10 UTC'
    >>> moment(1_772_373_924_000, since=1_772_373_730_000)
    '14:05:24'
    """
    at = datetime.fromtimestamp(ms / 1000, UTC)
    if since is not None and datetime.fromtimestamp(since / 1000, UTC).date() == at.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def stamp(ms: int | None) -> str:
    """Write an instant in UTC for a column of a table.

    >>> stamp(1_772_373_730_000), stamp(None)
    ('2026-03-01 14:02:10', '–')
    """
    return "–" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def count_of(value: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> count_of(1, "message"), count_of(1200, "message"), count_of(0, "person", "people")
    ('1 message', '1,200 messages', 'no people')
    """
    noun = one if value == 1 else many or one + "s"
    return f"{value:,} {noun}" if value else f"no {noun}"


def print_lines(lines: Iterable[str], console: Console, style: str = "") -> None:
    """Print lines of words as they are, with an empty line before and after."""
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
    columns = list(zip(table.columns, *table.rows, strict=True))
    widths = _fit_columns(table, columns, console.width)
    roomy = sum(widths) + 2 * (len(widths) - 1) <= console.width
    printed = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, int(roomy)),
        pad_edge=False,
        show_edge=False,
    )
    for index, column in enumerate(table.columns):
        printed.add_column(
            column,
            justify="left" if index in table.words else "right",
            width=widths[index],
            overflow="fold",
        )
    for row in table.rows:
        printed.add_row(*(_cell(value) for value in row))
    console.print(printed)
    if table.note:
        console.print(Text(table.note, style="dim"))
    console.print()


def _fit_columns(table: Table, columns: list[tuple[str, ...]], width: int) -> list[int]:
    """Return the width of each column, so that the table fits in `width` where it can.

    The columns keep their natural widths where these fit. Otherwise columns are narrowed one step
    at a time, each time the one that makes the table the least longer. Numbers and narrow columns
    keep their width in a first attempt, words in a second; only then words break.
    """
    lines = [[cell.split("\n") for cell in cells] for cells in columns]
    flat = [[line for cell in cells for line in cell] for cells in lines]
    natural = [max(map(cell_len, each)) for each in flat]
    words = [max(map(cell_len, " ".join(each).split()), default=0) for each in flat]
    least = [
        max(word, min(whole, _NARROW)) if index in table.words else whole
        for index, (word, whole) in enumerate(zip(words, natural, strict=True))
    ]
    available = width - (len(columns) - 1)
    rows = list(zip(*lines, strict=True))
    for floor in (least, words, [1] * len(columns)):
        if sum(floor) <= available:
            return _narrow(rows, natural, floor, available)
    return words


def _narrow(
    rows: list[tuple[list[str], ...]], natural: list[int], floor: list[int], available: int
) -> list[int]:
    """Narrow columns step by step from their natural widths until they fit."""
    widths = [
        max(least, min(whole, available)) for whole, least in zip(natural, floor, strict=True)
    ]
    while sum(widths) > available:

        def cost(column: int) -> tuple[int, int]:
            tried = [w - (k == column) for k, w in enumerate(widths)]
            return sum(_row_height(row, tried) for row in rows), -widths[column]

        column = min((k for k, w in enumerate(widths) if w > floor[k]), key=cost)
        widths[column] -= 1
    return widths


def _row_height(row: tuple[list[str], ...], widths: list[int]) -> int:
    """Return about how many lines a row of cells takes at these widths."""
    return max(
        sum(max(1, -(-len(line) // width)) for line in cell)
        for cell, width in zip(row, widths, strict=True)
    )


def _cell(value: str) -> Text:
    """Set the first line of a cell plainly and those below it dim."""
    first, *rest = value.split("\n")
    text = Text(first)
    for line in rest:
        text.append("\n" + line, style="dim")
    return text


_LONG = 48
"""Letters from which on a line of words keeps some width in a narrow window."""


def html_table(table: Table) -> str:
    """Write a table as HTML that a screen reader can walk; it scrolls in a narrow window."""

    def head(index: int, column: str) -> str:
        kind = ' class="word"' if index in table.words else ""
        return f'<th scope="col"{kind}>{escape(column)}</th>'

    def cell(index: int, value: str) -> str:
        if index == 0:
            return f'<th scope="row">{escape(value)}</th>'
        long = " long" * (max(map(len, value.split("\n"))) > _LONG)
        kind = f' class="word{long}"' if index in table.words else ""
        return f"<td{kind}>{escape(value)}</td>"

    heads = "".join(head(i, c) for i, c in enumerate(table.columns))
    rows = "\n".join(
        "<tr>" + "".join(cell(i, v) for i, v in enumerate(row)) + "</tr>" for row in table.rows
    )
    note = f'\n<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f"<table><caption>{escape(table.title)}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{note}"
    )


def html_figure(svg: str, caption: str) -> str:
    """Set a picture with its caption; it scrolls in a narrow window to stay legible."""
    return (
        f'<figure><div class="wide" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f'{svg}</div><figcaption class="note">{escape(caption)}</figcaption></figure>'
    )


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """Write lines as paragraphs."""
    mark = f' class="{kind}"' if kind else ""
    return "\n".join(f"<p{mark}>{escape(line)}</p>" for line in lines)


def page(title: str, lead: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """Make one self-contained HTML page.

    `lead` are its first lines in plain words; `sections` are (heading, HTML).
    """
    body = "\n".join(
        f"<section><h2>{escape(heading)}</h2>\n{html}</section>" for heading, html in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{paragraphs(lead, 'lead')}\n{body}\n</main>\n</body>\n</html>\n"
    )
