"""Files of a report: JSON, CSV and HTML, the accounts list, and the DSA's CSV files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wavebreak.csv_files import encode_csv
from wavebreak.errors import FileError
from wavebreak.reports.html import html_table, join_html, page, paragraphs
from wavebreak.reports.tables import Table, count_of
from wavebreak_server.transparency import accounts_list
from wavebreak_server.transparency.accounts_list import AccountsList
from wavebreak_server.transparency.dsa import annex_files
from wavebreak_server.transparency.report import NOT_MEASURED, VERSION, Number, Report, shown

REPORT, TABLE, PAGE, DSA = "report.json", "report.csv", "report.html", "dsa"


def encode_report(report: Report) -> bytes:
    """Return a report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def read_report(path: Path) -> Report:
    """Read a report.

    Args:
        path: A `report.json`, or a directory with one.

    Returns:
        The report.

    Raises:
        FileError: The file cannot be read, or is not a report of this version.

    """
    file = path / REPORT if path.is_dir() else path
    fix = f"give the directory that `wavebreak transparency report` wrote, or its {REPORT}"
    try:
        report = msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as e:
        raise FileError(f"{file} cannot be read: {e.strerror}", fix=fix) from None
    except msgspec.MsgspecError as e:
        raise FileError(f"{file} is not a transparency report: {e}", fix=fix) from None
    if report.version != VERSION:
        raise FileError(
            f"{file} is of version {report.version}, not {VERSION}",
            fix="recount it with the release of Wavebreak that wrote it",
        )
    return report


def write_report(report: Report, listed: AccountsList | None, place: Path) -> list[Path]:
    """Write all files of a report into a directory, which is made where absent.

    Args:
        report: The report.
        listed: The accounts list that belongs to it; None: there is none.
        place: The directory.

    Returns:
        The files.

    Raises:
        FileError: A file cannot be written.

    """
    files = {
        REPORT: encode_report(report),
        TABLE: _csv(report),
        PAGE: html_page(report).encode(),
        **{f"{DSA}/{name}": content for name, content in annex_files(report).items()},
    }
    if listed is not None:
        files[accounts_list.NAME] = listed.encode()
    try:
        (place / DSA).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
    except OSError as e:
        raise FileError(
            f"{place} cannot be written: {e.strerror}", fix="give a directory that is writable"
        ) from None
    return [place / name for name in files]


def _csv(report: Report) -> bytes:
    rows: list[tuple[object, ...]] = [
        ("id", "section", "label", "value", "shown", "unit", "rests on", "definition")
    ]
    for section in report.sections:
        for each in section.numbers:
            value = "" if each.value is None else each.value
            visible = shown(each, report.minimum)
            words = each.unit, each.rests_on, each.definition
            rows.append((each.id, section.title, each.label, value, visible, *words))
    return encode_csv(rows).encode()


def lead(report: Report) -> list[str]:
    """Return the sentences before a report's numbers: what it is about and rests on."""
    lines = [
        f"{report.provider}, {report.service}: {report.period} (UTC), published "
        f"{report.published}.",
        f"Counted from {count_of(report.ledger.size, 'sealed entry', 'sealed entries')} of "
        f"{report.ledger.origin}, root {report.ledger.root[:16]}…",
    ]
    if report.published < report.period.end:
        lines.append("The period had not ended when this was counted.")
    if report.internal:
        lines.append("Internal: all numbers, none withheld. Not for publication.")
    elif report.minimum:
        lines.append(
            f"Counts from 1 to {report.minimum - 1} are printed as <{report.minimum}. Where a "
            "total would give one away, another count is withheld too."
        )
    return lines


def full_tables(report: Report) -> list[tuple[Table, str]]:
    """Return each section as a table of numbers with their definitions, and its note."""
    columns = ("number", "value", "unit", "rests on", "definition")
    made = []
    for section in report.sections:
        rows = [
            (*_row(each, report), each.unit, each.rests_on, each.definition)
            for each in section.numbers
        ]
        caption = f"{section.title}: numbers and their definitions"
        made.append((Table(caption, columns, rows, words=frozenset({0, 2, 3, 4})), section.note))
    return made


def brief_tables(report: Report) -> list[Table]:
    """Return the sections as tables of numbers that are not 0 and were measured, for a terminal.

    A section that has none is left out.
    """
    made = []
    for section in report.sections:
        rows = [
            _row(each, report)
            for each in section.numbers
            if each.value != 0 and each.withheld != NOT_MEASURED
        ]
        left = len(section.numbers) - len(rows)
        note = f"{count_of(left, 'more number')}: 0, or not measured" if left else ""
        if rows:
            made.append(Table(section.title, ("number", "value"), rows, note))
    return made


def _row(number: Number, report: Report) -> tuple[str, str]:
    value = shown(number, report.minimum)
    return number.label, f"{value} h" if number.unit == "hours" and number.value else value


def html_page(report: Report) -> str:
    """Return a report as one HTML page, with each number's definition beside it."""
    sections = [
        (section.title, join_html([paragraphs([note]), html_table(table)]))
        for section, (table, note) in zip(report.sections, full_tables(report), strict=True)
    ]
    recount = [
        "Whoever has a copy of the ledger, which names no account, can count these numbers again: "
        "wavebreak transparency recount DIRECTORY LEDGER --key KEY.",
        "What rests on the ledger needs nothing else; the accounts list goes with this report; the "
        "openings and the event log are held by the operator.",
        f"Verifier key: {report.ledger.key}",
    ]
    checkpoint = join_html(
        [paragraphs([*recount, *report.ledger.note.strip().splitlines()], "note")]
    )
    sections.append(("How to check it", checkpoint))
    return page(f"Transparency report, {report.period}", lead(report), sections)
