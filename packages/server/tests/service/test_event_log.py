"""Erasure of pseudonyms from the log, and recovery beside a snapshot that is ahead."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from django.db import connection, transaction

from support import service_harness, shared_policy
from support.banning_policy import load_banning_policy
from support.events import edge
from support.service_harness import abuser
from wavebreak.engine import Engine, snapshot
from wavebreak.errors import ServiceError
from wavebreak.io import log_rows
from wavebreak.ledger.entries import read_entry
from wavebreak.schema.events import LOG_SCHEMA, TYPES, WIRE_SCHEMA
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.pending_requests import DecidedBatch
from wavebreak_server.pipeline.recovery import RecoveryReport, recover, snapshot_path
from wavebreak_server.settings import Settings
from wavebreak_server.storage import event_log
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AppliedPosition, LedgerEntry, LogBatch, LogProof
from wavebreak_server.storage.row_macs import bound_key

NOON = 1_772_366_400_000
ROWS = 1_003
"""More than are sealed in one transaction."""


def row(*accounts: str) -> pa.RecordBatch:
    events = [
        {"id": f"{account}-{n}", "ts": NOON, "type": TYPES.index("account.registered"),
         "account": account, "number": "n" * 32}
        for n, account in enumerate(accounts)
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(events, LOG_SCHEMA)


def append(first: int, events: pa.RecordBatch) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        blob = log_rows.encode_row(events)
        event_log.append(cursor, first, events.num_rows, NOON, blob)


def test_erasures_of_one_pass_end_each_at_its_own_position(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(0, row("ann", "bob"))
        append(2, row("ann", "bob"))
        done = event_log.erase_pseudonyms({"ann": 2, "bob": 4})
        assert (done["ann"].events, done["bob"].events) == (1, 2)
        left = [e.events.column("number").to_pylist() for e in event_log.read_log(0) if e.events]
        assert left == [[None, None], ["n" * 32, None]]


def test_all_rows_of_a_large_erasure_are_sealed(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        with transaction.atomic(), connection.cursor() as cursor:
            blob = log_rows.encode_row(row("ann"))
            rows = [event_log.NewRow(at, 1, NOON, blob) for at in range(ROWS)]
            event_log.append_rows(cursor, rows, event_log.log_chain())
        assert event_log.erase_pseudonyms({"ann": ROWS}) == {"ann": event_log.Erasure(ROWS, ROWS)}
        assert LogProof.objects.filter(sealed=False).count() == ROWS
        LedgerStore(service_harness.SIGNER, service_harness.now_ms).seal_changes()
        kinds = [
            read_entry(bytes(line)).kind
            for line in LedgerEntry.objects.values_list("line", flat=True)
        ]
        assert (kinds.count("rewrite"), LogProof.objects.filter(sealed=False).count()) == (ROWS, 0)


def test_row_of_another_history_is_changed(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(0, row("ann"))
        append(1, row("ben"))
        other = (LogBatch.objects.get(first=1), LogProof.objects.get(first=1))
        LogBatch.objects.all().delete()
        LogProof.objects.all().delete()
        append(0, row("cat"))
        append(1, row("ben"))
        # Authentic in itself: the same deployment wrote it at this position, before a restore.
        for stored in other:
            stored.save()
        assert [segment.fault for segment in event_log.read_log(0)] == ["", event_log.CHANGED]


def test_row_that_cannot_be_decoded_stops_no_erasure(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(0, row("ann"))
        with transaction.atomic(), connection.cursor() as cursor:
            event_log.append(cursor, 1, 1, NOON, b"no row of a log")
        append(2, row("ann"))
        assert event_log.erase_pseudonyms({"ann": 3})["ann"].batches == 2


def test_row_with_the_body_of_another_is_damaged(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(0, row("ann"))
        LogBatch.objects.filter(first=0).update(blob=log_rows.encode_row(row("bob")))
        assert [segment.fault for segment in event_log.read_log(0)] == [event_log.DAMAGED]


def log_of_an_abuser() -> pa.RecordBatch:
    """Append the log of an account that is banned, and return it."""
    log = edge().apply(service_harness.wire(abuser(), WIRE_SCHEMA))
    append(0, log)
    return log


def made_engine() -> Engine:
    return shared_policy.make_engine(load_banning_policy())


def recovered(home: Path) -> tuple[RecoveryReport, list[DecidedBatch]]:
    """Recover an engine; return the report, and what is to be stored."""
    stored = list[DecidedBatch]()
    _, report = recover(
        made_engine,
        Settings(home),
        60,
        write=stored.append,
        progress=lambda _at, _end: None,
        states=EnforcementCache(lambda: NOON),
    )
    return report, stored


def test_snapshot_ahead_of_the_stored_decisions_is_not_used(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        log = log_of_an_abuser()
        ahead = made_engine()
        made = ahead.take(log)
        assert made
        path = snapshot_path(tmp_path, log.num_rows, len(made))
        snapshot.save(ahead, path, bound_key("snapshot"))
        report, stored = recovered(tmp_path)
        # Nothing was decided by what the database knows: it is decided anew, and stored.
        assert report.snapshot == ""
        assert sum(len(batch.rows) for batch in stored) == len(made)


def test_decision_that_is_stored_no_more_is_named(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        log = log_of_an_abuser()
        report, stored = recovered(tmp_path)
        decisions = sum(len(batch.rows) for batch in stored)
        AppliedPosition.objects.update(
            position=log.num_rows, decisions=decisions, made_by=report.made_by
        )
        with pytest.raises(ServiceError, match="stored decision 1 "):
            recovered(tmp_path)
