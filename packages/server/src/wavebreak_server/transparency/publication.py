"""Files of a report: JSON, CSV and HTML, the accounts list, and the DSA's CSV files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wavebreak.csv_files import encode_csv
from wavebreak.errors import FileError
from wavebreak.reports import report as reports
from wavebreak.reports.html import render_html
from wavebreak.reports.report import Section, Text
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

    Raises:
        FileError: A file cannot be written.
    """
    files = {
        REPORT: encode_report(report),
        TABLE: _csv(report),
        PAGE: render_html(full_report(report)).encode(),
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


def brief_report(report: Report) -> reports.Report:
    """Return the numbers that are not 0 and were measured, for a terminal."""
    sections, empty = [], []
    for section in report.sections:
        rows = [
            _row(number, report)
            for number in section.numbers
            if number.value != 0 and number.withheld != NOT_MEASURED
        ]
        omitted = len(section.numbers) - len(rows)
        note = f"{count_of(omitted, 'more number')}: 0, or not measured" if omitted else ""
        if rows:
            sections.append(Section("", [Table(section.title, ("number", "value"), rows, note)]))
        else:
            empty.append(section.title)
    if empty:
        text = Text([f"All 0 or not measured: {'; '.join(empty)}."])
        sections.append(Section("", [text]))
    return reports.Report(_title(report), lead(report), sections)


def _title(report: Report) -> str:
    return f"Transparency report, {report.period}"


def _row(number: Number, report: Report) -> tuple[str, str]:
    value = shown(number, report.minimum)
    return number.label, f"{value} h" if number.unit == "hours" and number.value else value


def full_report(report: Report) -> reports.Report:
    """Return all numbers, each with its definition."""
    columns = ("number", "value", "unit", "rests on", "definition")
    sections = []
    for section in report.sections:
        rows = [
            (*_row(number, report), number.unit, number.rests_on, number.definition)
            for number in section.numbers
        ]
        caption = f"{section.title}: numbers and their definitions"
        table = Table(caption, columns, rows, words=frozenset({0, 2, 3, 4}))
        sections.append(Section(section.title, [Text([section.note]), table]))
    recount = [
        "Whoever has a copy of the ledger, which names no account, can count these numbers again: "
        "wavebreak transparency recount DIRECTORY LEDGER --key KEY.",
        "What rests on the ledger needs nothing else; the accounts list goes with this report; the "
        "openings and the event log are held by the operator.",
        f"Verifier key: {report.ledger.key}",
        *report.ledger.note.strip().splitlines(),
    ]
    sections.append(Section("How to check it", [Text(recount, "note")]))
    return reports.Report(_title(report), lead(report), sections)
