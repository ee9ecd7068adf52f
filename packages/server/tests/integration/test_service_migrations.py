"""A database of the first version, with a log and decisions, is brought to this one and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from support import service_harness
from support.banning_policy import load_banning_policy
from support.service_harness import Running, abuser
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.versions import engine_versions
from wavebreak.io import log_rows
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.pipeline.pending_requests import decision_row
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.storage import database

FIRST = [("service", "0003_version_0_1")]
LATER = {"owner", "platform_message", "log_proof", "source", "state_change", "console_user"}
LOG_ROW = "INSERT INTO log_batch (first, count, received_ms, sha256, blob) VALUES (%s,%s,%s,%s,%s)"
DECISION = (
    "INSERT INTO decision (number, id, account, ts, stage, outcome, until, body, reached) "
    "VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)"
)


@pytest.fixture(params=service_harness.DATABASES)
def first(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Decision]]:
    """A database as the first version left it; gives the decisions in it."""
    with service_harness.fresh(request.param) as url:
        database.connect(url, tmp_path)
        executor = MigrationExecutor(connection)
        executor.migrate(FIRST)
        try:
            yield _filled()
        finally:
            connection.close()
            database.connect("", tmp_path)


def _filled() -> list[Decision]:
    engine = Engine(load_banning_policy(), accounts=1024)
    events = Pseudonymizer(service_harness.SECRET).apply(
        service_harness.wire(abuser(), WIRE_SCHEMA)
    )
    made = engine.take(events)
    with connection.cursor() as cursor:
        blob = bytes(log_rows.encode_row(events))
        cursor.execute(LOG_ROW, (0, events.num_rows, 1, log_rows.row_digest(blob), blob))
        reached = events.num_rows
        cursor.executemany(
            DECISION, [(*decision_row(n, one), reached) for n, one in enumerate(made, 1)]
        )
        cursor.execute(
            "INSERT INTO log_applied (id, position, decisions, made_by) VALUES (1, %s, %s, %s)",
            (reached, len(made), engine_versions(engine, 60)),
        )
    return made


def tables() -> set[str]:
    """Names of the tables that are there."""
    with connection.cursor() as cursor:
        return set(connection.introspection.table_names(cursor))


def test_first_version_continues_after_migration(tmp_path: Path, first: list[Decision]) -> None:
    assert {"log_batch", "decision", "hook", "ledger_entry"} <= tables()
    assert not tables() & LATER
    database.migrate()
    assert tables() >= LATER

    async def test(made: Running) -> None:
        told = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
        assert [one["decision"]["id"] for one in told] == [one.id for one in first]
        assert (await made.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "ban"
        # What was decided and not sealed is in no ledger.
        path = "/v1/ledger/decisions/"
        assert (await made.ask("GET", path + first[0].id)).status_code == 404
        await made.send(abuser(account="ben", ts=1_767_222_100_000))
        told = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
        assert len(told) > len(first) >= 2
        newest = told[-1]["decision"]["id"]
        assert (await made.ask("GET", path + newest)).status_code == 200

    async def whole() -> None:
        async with service_harness.running(tmp_path) as made:
            await test(made)

    asyncio.run(whole())
    assert [msgspec.json.decode(b, type=Decision) for b in service_harness.decided()][
        : len(first)
    ] == (first)


def test_models_match_the_migrations(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        # Ends with an error where a model has changed without a migration.
        call_command("makemigrations", "service", "console", check=True, dry_run=True, verbosity=0)
        assert len(tables()) >= 14


ROWS_OF_0_2 = (
    "INSERT INTO console_user (id, password, is_superuser, username, first_name, last_name, email, "
    "is_staff, is_active, date_joined, role, display_name, key_map, keys_off) VALUES "
    "(1, '', false, 'noa', '', '', '', false, true, '2026-01-01', 'analyst', '', '{}', false)",
    *(
        "INSERT INTO console_review_case (id, account, decision, outcome, rule, basis, decisions, "
        "opened_ms, changed_ms, harm, uncertainty, priority, why, state, golden, blind, "
        "lease_until_ms, claimed_ms, note, note_by, verdict, version, golden_reason) VALUES "
        f"({number}, 'ann', 1, 'limit', '', '', 1, 1, 1, 0, 0, 0, '[]', 'open', '', {blind}, "
        "0, 0, '', '', '', 0, '')"
        for number, blind in ((1, "false"), (2, "true"))
    ),
    *(
        "INSERT INTO console_review (id, kind, verdict, outcome, reason, at_ms, seconds, batch, "
        f"reviewer_id, case_id) VALUES ({n}, '{kind}', 'benign', '', 'x', 1, 1, '', 1, {n})"
        for n, kind in ((1, "first"), (2, "blind"))
    ),
    "INSERT INTO console_second_opinion (id, question, asked_ms, answer, asked_by_id, case_id) "
    "VALUES (1, 'really?', 1, '', 1, 1)",
)


@pytest.mark.parametrize("kind", service_harness.DATABASES)
def test_second_looks_of_0_2_are_deleted_and_first_ones_stay(kind: str, tmp_path: Path) -> None:
    with service_harness.fresh(kind) as url:
        database.connect(url, tmp_path)
        try:
            MigrationExecutor(connection).migrate([("console", "0007_version_0_2")])
            with connection.cursor() as cursor:
                for row in ROWS_OF_0_2:
                    cursor.execute(row)
            database.migrate()
            assert list(ReviewCase.objects.values_list("id", "state")) == [(1, "open")]
            assert list(Review.objects.values_list("id", flat=True)) == [1]
            assert "console_second_opinion" not in tables()
        finally:
            connection.close()
            database.connect("", tmp_path)
