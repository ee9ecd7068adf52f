"""Bulk export of statements of reasons in the DSA Transparency Database's columns, by month.

Each enforced decision that restricts an account, read from the sealed ledger, becomes a record
(`notices.build_record`), checked against its schema. JSON lines and CSV hold the same records.
Streamed: no limit of rows, and memory for the accounts' names alone. Records hold no personal data.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from wavebreak.errors import FileError
from wavebreak.ledger import OpeningStore
from wavebreak.ledger.entries import DecisionEntry, Entry, LabelEntry, VersionEntry
from wavebreak.notices import Circumstances, Platform, build_record
from wavebreak.transparency.history import Checkpoint, Progress, sealed_entries
from wavebreak.transparency.periods import Period

STATEMENT_COLUMNS = (
    "decision_visibility", "decision_visibility_other", "end_date_visibility_restriction",
    "decision_monetary", "decision_monetary_other", "end_date_monetary_restriction",
    "decision_provision", "end_date_service_restriction", "decision_account",
    "end_date_account_restriction", "account_type", "decision_ground",
    "decision_ground_reference_url", "illegal_content_legal_ground", "illegal_content_explanation",
    "incompatible_content_ground", "incompatible_content_explanation",
    "incompatible_content_illegal", "category", "category_addition", "category_specification",
    "category_specification_other", "content_type", "content_type_other", "content_language",
    "content_date", "territorial_scope", "application_date", "decision_facts", "source_type",
    "source_identity", "automated_detection", "automated_decision", "puid",
)  # fmt: skip
"""Columns of the database's own files, in their order, without what it adds itself (uuid, platform,
time of receipt). Those that no decision of a private messenger has stay empty."""
FORMATS = ("jsonl", "csv")
_KINDS = frozenset(("decision", "policy", "label"))


class _Opened(NamedTuple):
    """What the operator holds of an entry: the decision's id, and the account (empty: erased)."""

    id: str
    account: str


class _Reader:
    """Turns sealed entries into records, in their order."""

    def __init__(self, openings: OpeningStore | None, platform: Platform, key: bytes) -> None:
        self._openings, self._platform, self._key = openings, platform, key
        self._enforced = True
        self._found: set[str] = set()
        self._reported: set[str] = set()

    def record(self, position: int, entry: Entry) -> tuple[int, dict[str, Any]] | None:
        """Return the time and the record of an entry; None if it has none."""
        body = entry.body
        if isinstance(body, VersionEntry):
            self._enforced = body.mode != "shadow"
        elif isinstance(body, LabelEntry):
            account = self._opened(position).account
            (self._reported.add if body.source == "partner" else self._reported.discard)(account)
        elif isinstance(body, DecisionEntry) and self._enforced:
            return self._decided(self._opened(position), position, body)
        return None

    def _decided(
        self, opened: _Opened, position: int, body: DecisionEntry
    ) -> tuple[int, dict[str, Any]] | None:
        known = bool(opened.account)
        about = Circumstances(
            label_source="partner" if known and opened.account in self._reported else None,
            automated_detection=opened.account in self._found
            if known and body.basis == "person"
            else None,
        )
        if known and body.basis != "person":
            self._found.add(opened.account)
        decision = {
            **msgspec.structs.asdict(body),
            "reasons": [msgspec.structs.asdict(reason) for reason in body.reasons],
            # Of an erased decision the position stays: its record has another id from then on.
            "id": opened.id or f"erased-{position}",
            "account": opened.account,
            "trigger": "",
        }
        record = build_record(decision, platform=self._platform, circumstances=about, key=self._key)
        return None if record is None else (body.ts, record)

    def _opened(self, position: int) -> _Opened:
        found = self._openings.of(position) if self._openings else {}
        values = (str(found[name][1]) if name in found else "" for name in ("id", "account"))
        return _Opened(*values)


def statement_records(
    place: Path,
    checkpoint: Checkpoint,
    *,
    platform: Platform,
    openings: OpeningStore | None = None,
    key: bytes = b"",
    progress: Progress | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return the record of each enforced decision under a checkpoint that has one, with its time.

    Args:
        place: The ledger's directory.
        checkpoint: The checkpoint.
        platform: The operator's terms.
        openings: Give decisions' ids; without, a record's id is made of its place in the ledger.
        key: Key of the records' ids (see `notices.build_record`).
        progress: Takes how far it is.

    Raises:
        EvidenceError: The entries are not those that were sealed.
        UsageError: A record would break the schema.

    """
    reader = _Reader(openings, platform, key)
    for position, entry in sealed_entries(place, checkpoint, progress=progress, kinds=_KINDS):
        made = reader.record(position, entry)
        if made is not None:
            yield made


def export_statements(
    records: Iterator[tuple[int, Mapping[str, Any]]], out: Path, period: Period | None = None
) -> dict[str, int]:
    """Write records by month as `statements-2026-01.jsonl` and `.csv` (RFC 4180, UTF-8).

    The files take their names once all are complete. A list is written as JSON in a CSV cell, as
    the database's own files do.

    Args:
        records: Times (ms) and records.
        out: The directory.
        period: Only records of this period (None: all).

    Returns:
        How many records each month has, in order.

    Raises:
        FileError: A file cannot be written.

    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".statements-", dir=out) as place:
            counts = _write_months(records, Path(place), period)
            for partial in sorted(Path(place).iterdir()):
                partial.replace(out / partial.name)
    except OSError as e:
        raise FileError(
            f"{out} cannot be written: {e.strerror}", fix="give a writable directory"
        ) from None
    return dict(sorted(counts.items()))


class _Month:
    """The two files of a month, while they are written."""

    def __init__(self, place: Path, month: str, open_files: ExitStack) -> None:
        self._lines, cells = (
            open_files.enter_context(_created(place / f"statements-{month}.{kind}"))
            for kind in FORMATS
        )
        self._cells = csv.writer(cells)
        self._cells.writerow(STATEMENT_COLUMNS)
        self.count = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record."""
        self._lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._cells.writerow([_cell(record.get(name, "")) for name in STATEMENT_COLUMNS])
        self.count += 1


def _write_months(
    records: Iterator[tuple[int, Mapping[str, Any]]], place: Path, period: Period | None
) -> dict[str, int]:
    months: dict[str, _Month] = {}
    with ExitStack() as open_files:
        for ts, record in records:
            if period is not None and not period.contains(ts):
                continue
            name = f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m}"
            if name not in months:
                months[name] = _Month(place, name, open_files)
            months[name].add(record)
    return {name: month.count for name, month in months.items()}


def _created(path: Path) -> IO[str]:
    return os.fdopen(
        os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), "w", encoding="utf-8",
        newline="",
    )  # fmt: skip


def _cell(value: Any) -> str:
    """Return a cell: a list as JSON.

    >>> _cell(["CONTENT_TYPE_OTHER"]), _cell("Yes")
    ('["CONTENT_TYPE_OTHER"]', 'Yes')
    """
    return json.dumps(value) if isinstance(value, list) else str(value)
