"""Statements of reasons in the DSA database's columns: every one, by month, streamed."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from support.transparency_ledgers import SIGNER, Sealed, Writer, random_ledger
from wavebreak.errors import FileError
from wavebreak.ledger import OpeningFile
from wavebreak.notices import load_platform, record_problems
from wavebreak.transparency import (
    STATEMENT_COLUMNS,
    Period,
    export_statements,
    last_checkpoint,
    statement_records,
)

RESTRICTING = ("limit", "restrict", "suspend", "ban")


def records_of(sealed: Sealed, key: bytes = b"") -> list[tuple[int, dict[str, Any]]]:
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    try:
        found = statement_records(
            sealed.place, checkpoint, platform=load_platform(), openings=openings, key=key
        )
        return list(found)
    finally:
        openings.close()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def cells_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_enforced_measure_is_a_valid_record(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 5)
    found = records_of(sealed)
    wanted, enforced = [], True
    for each in sealed.records:
        if each["kind"] == "policy":
            enforced = each["mode"] == "enforce"
        if each["kind"] == "decision" and enforced and each["outcome"] in RESTRICTING:
            wanted += [each["ts"]] if each["basis"] != "takeover" else []
    assert [ts for ts, _ in found] == wanted
    assert [record_problems(record) for _, record in found] == [[]] * len(found)
    assert len({record["puid"] for _, record in found}) == len(found) > 30


def test_files_by_month_have_the_same_records(tmp_path: Path) -> None:
    found = records_of(random_ledger(tmp_path / "log", 6))
    counts = export_statements(iter(found), tmp_path / "out")
    by_month = Counter(f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m}" for ts, _ in found)
    assert counts == dict(sorted(by_month.items()))
    assert len(counts) >= 3
    for month, count in counts.items():
        lines = lines_of(tmp_path / "out" / f"statements-{month}.jsonl")
        cells = cells_of(tmp_path / "out" / f"statements-{month}.csv")
        assert len(lines) == len(cells) == count
        assert tuple(cells[0]) == STATEMENT_COLUMNS
        for line, row in zip(lines, cells, strict=True):
            held = {name: value for name, value in row.items() if value}
            assert held == {
                name: json.dumps(value) if isinstance(value, list) else value
                for name, value in line.items()
            }
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(counts)


def test_period_keeps_one_month(tmp_path: Path) -> None:
    found = records_of(random_ledger(tmp_path / "log", 7))
    february = Period(date(2026, 2, 1), date(2026, 3, 1))
    counts = export_statements(iter(found), tmp_path / "out", february)
    assert list(counts) == ["2026-02"]
    assert counts["2026-02"] == sum(february.contains(ts) for ts, _ in found)


def test_origin_follows_labels_and_earlier_decisions(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    writer.mode("enforce", "p1")
    writer.decide("found", "limit", basis="doubt")
    writer.decide("found", "ban", basis="person", rules=(), stage="review")
    writer.decide("named", "ban", basis="person", rules=(), stage="review")
    writer.label("reported", "abusive", "partner")
    writer.decide("reported", "ban")
    found = [record for _, record in records_of(writer.close())]
    assert [record["automated_detection"] for record in found] == ["Yes", "Yes", "No", "Yes"]
    assert found[1]["automated_decision"] == "AUTOMATED_DECISION_NOT_AUTOMATED"
    assert [record["source_type"] for record in found] == [
        *["SOURCE_VOLUNTARY"] * 3, "SOURCE_TYPE_OTHER_NOTIFICATION",
    ]  # fmt: skip


def test_key_and_erasure_change_ids_alone(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 8, size=60)
    plain, keyed = records_of(sealed), records_of(sealed, b"k" * 16)
    assert {r["puid"] for _, r in plain}.isdisjoint(r["puid"] for _, r in keyed)
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    for each in sealed.of("decision"):
        openings.erase("account", each["account"])
    openings.close()
    erased = records_of(sealed)
    assert len({r["puid"] for _, r in erased}) == len(plain)
    facts = [record["decision_facts"] for _, record in plain]
    assert [record["decision_facts"] for _, record in erased] == facts


def test_export_needs_no_memory_for_its_rows(tmp_path: Path) -> None:
    record = records_of(random_ledger(tmp_path / "log", 9, size=30))[0][1]

    def many() -> Iterator[tuple[int, dict[str, Any]]]:
        for k in range(20_000):
            yield 1_767_225_600_000 + k, record

    tracemalloc.start()
    counts = export_statements(many(), tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts == {"2026-01": 20_000}
    assert peak < 2 * 2**20


def test_export_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        export_statements(iter(()), tmp_path / "out")
