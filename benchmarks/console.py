"""Console: how fast its pages are on a large platform.

A million accounts write; 100,000 decisions and 5,000 open cases are written beside them as the
service would have. Every page is opened many times, in one process and without a network, beside
the service that it asks; processor time is what a loaded machine leaves comparable.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from django.db import connection, transaction

from benchmarks.figures import Figure, figure
from support.console_harness import running_console
from support.service_harness import migrated
from wavebreak.schema.events import TYPES
from wavebreak_server.pipeline.pending_requests import Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.slices.queue.models import DailyCount, IndexerState, ReviewCase
from wavebreak_server.storage.models import Decision, EnforcementState

NAME = "console"
TARGET_MS = 200.0
BATCH = 50_000
START_MS = 1_780_000_000_000
OUTCOMES = ("limit", "limit", "limit", "challenge", "restrict", "ban")
PAGES = (
    "", "queue", "queue?page=40", "queue?outcome=limit", "queue/17", "queue/batches", "accounts",
    "accounts?outcome=ban", "accounts/a13", "accounts/a77", "account-neighbours/a77",
    "account-timelines/a77",
    "query", "query?outcome=limit",
    "query?rule=first_contact_allowance&days=366",
    "query?outcome=limit&measure=sends_1d&op=>%3D&value=1", "query?outcome=ban&format=csv",
    "operators", "settings/audit", "profile", "appeals", "policy",
    "policy/rules/first_contact_allowance",
    "reports",
)  # fmt: skip


def bench(quick: bool) -> list[Figure]:
    """Open every page of a console with a million accounts (quick: 50,000)."""
    accounts, decisions, cases = (50_000, 10_000, 1_000) if quick else (1_000_000, 100_000, 5_000)
    times = 20 if quick else 60
    with tempfile.TemporaryDirectory() as home, migrated("sqlite", Path(home)):
        return asyncio.run(_measure(Path(home), accounts, decisions, cases, times))


async def _measure(
    home: Path, accounts: int, decisions: int, cases: int, times: int
) -> list[Figure]:
    figures = []
    async with running_console(home, accounts=accounts + 1) as console:
        for first in range(0, accounts, BATCH):
            body = Body(_messages(first, min(BATCH, accounts - first), accounts), "arrow")
            await console.service.accept(body, Sender("bench"), key=f"b{first}")
        await console.running.wait_until_applied(600)
        await asyncio.to_thread(_fill, decisions, cases, accounts)
        person = await console.person("lead")
        admin = await console.person("admin")
        for path in PAGES:
            visitor = admin if path.startswith("settings") else person
            first_answer = await visitor.get(f"/console/{path}")
            if first_answer.status_code == 404:
                continue
            assert first_answer.status_code == 200, (path, first_answer.status_code)
            took, worked = [], []
            for _ in range(times):
                began, before = time.perf_counter(), time.process_time()
                answer = await visitor.get(f"/console/{path}")
                took.append(1000 * (time.perf_counter() - began))
                worked.append(1000 * (time.process_time() - before))
                assert answer.status_code == 200
            (p50, p95), cpu = np.percentile(took, (50, 95)), np.percentile(worked, 95)
            figures.append(
                figure(
                    NAME, f"/console/{path}: p95 of {times}", "ms", [float(p95)],
                    target=TARGET_MS, better="less",
                    note=f"median {p50:.0f}; processor time of the process, p95: {cpu:.0f}",
                )
            )  # fmt: skip
    return figures


def _messages(first: int, count: int, accounts: int) -> bytes:
    """Return messages of `count` accounts to others, as an Arrow stream of the wire schema."""
    k = np.arange(first, first + count)
    wire = pa.record_batch(
        {
            "type": pa.DictionaryArray.from_arrays(
                pa.array(np.full(count, TYPES.index("message.sent")), pa.int32()), pa.array(TYPES)
            ).cast(pa.string()),
            "ts": pa.array(START_MS + k),
            "account": pa.array([f"a{i}" for i in k]),
            "peer": pa.array([f"a{(7 * i + 1) % accounts}" for i in k]),
            "id": pa.array([f"e{i}" for i in k]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, wire.schema) as writer:
        writer.write_batch(wire)
    return bytes(sink.getvalue())


def _fill(decisions: int, cases: int, accounts: int) -> None:
    """Write decisions, enforcement states and open cases, as the service and its indexer would."""
    try:
        with transaction.atomic():
            _write_decisions(decisions, accounts)
            ReviewCase.objects.bulk_create([_case(k) for k in range(cases)], batch_size=1_000)
            IndexerState.objects.update_or_create(id=1, defaults={"cursor": decisions})
            days = START_MS // 86_400_000
            DailyCount.objects.bulk_create(
                DailyCount(day=days - d, outcome=o, stage="messaging", automated=True, count=500)
                for d in range(14)
                for o in sorted(set(OUTCOMES))
            )
    finally:
        connection.close()


def _write_decisions(decisions: int, accounts: int) -> None:
    last = Decision.objects.count()
    rows, states = [], {}
    for k in range(last + 1, last + decisions + 1):
        account, outcome = f"a{(13 * k) % accounts}", OUTCOMES[k % len(OUTCOMES)]
        ts = START_MS + 1000 * k
        body = {
            "id": f"{k:032x}", "ts": ts, "account": account, "stage": "messaging",
            "outcome": outcome, "action": outcome, "until": None, "score": 0.6,
            "rules": ["first_contact_allowance"], "trigger": f"e{k}", "policy": "bench",
            "model": None,
            "reasons": [{"feature": "unanswered_strangers_1d", "value": 61.0,
                         "contribution": None}],
            "features": "bench", "basis": "doubt", "new_chats_1d": 60,
        }  # fmt: skip
        rows.append(
            Decision(
                number=k, id=body["id"], account=account, ts=ts, stage="messaging",
                outcome=outcome, until=None, reached=0, body=msgspec.json.encode(body),
            )
        )  # fmt: skip
        states[account] = EnforcementState(
            account=account, outcome=outcome, until=None, ts=ts, decision=k
        )
    for row in rows:
        row.authenticate()
    Decision.objects.bulk_create(rows, batch_size=2_000)
    EnforcementState.objects.bulk_create(states.values(), batch_size=2_000, ignore_conflicts=True)


def _case(k: int) -> ReviewCase:
    harm, uncertainty = (k % 97) / 97, (k % 89) / 89
    return ReviewCase(
        account=f"a{k}", decision=k + 1, outcome=OUTCOMES[k % len(OUTCOMES)], basis="doubt",
        rule="first_contact_allowance", score=0.6, opened_ms=START_MS + k, changed_ms=START_MS + k,
        harm=harm, uncertainty=uncertainty, priority=harm * uncertainty,
        why=["The chance of abuse is put at 60 %: both answers are possible."],
    )  # fmt: skip
