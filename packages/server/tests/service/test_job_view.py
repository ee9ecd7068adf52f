"""What a job publishes becomes decisions: whole blocks, in the order of the log, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from django.db import connection

from support.published_blocks import KEY, NOW, VERSIONS, made, publish
from support.service_harness import migrated
from wavebreak.engine.account_queries import ChatCounts, Holders, holders
from wavebreak.engine.owner_answers import (
    ANSWERS,
    MOST_ACCOUNTS,
    QUESTIONS,
    OwnerAnswer,
    question_mac,
    trials,
)
from wavebreak.engine.published import TABLE
from wavebreak.errors import UsageError
from wavebreak_server.pipeline.decider import NoEngineError, StaleError
from wavebreak_server.pipeline.job_view import MAX_OPEN, JobTerms, JobView, Reached
from wavebreak_server.pipeline.pending_requests import BusyError, DecidedBatch
from wavebreak_server.storage import models

DECIDING: Any = None
"""What decides, which is not asked here."""


class Stored:
    """What a log writer would store of a view's blocks, and a clock that stands."""

    def __init__(self, position: int = 0, decisions: int = 0) -> None:
        self.batches = list[DecidedBatch]()
        self.reports = list[str]()
        self.applied = position
        self.now = NOW
        self.view = JobView(
            JobTerms("job", VERSIONS, 60.0, DECIDING),
            Reached(position, decisions),
            self.take,
            lambda: self.applied,
            lambda: self.now,
            self.reports.append,
        )

    def take(self, batch: DecidedBatch) -> None:
        self.batches.append(batch)
        self.applied = batch.reached

    @property
    def accounts(self) -> list[tuple[int, str]]:
        return [(row[0], row[2]) for batch in self.batches for row in batch.rows]


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path) -> Iterator[None]:
    with migrated("sqlite", tmp_path):
        view = Stored().view
        view.start()
        view.stop()
        yield


def log_row(first: int, count: int, received_ms: int) -> None:
    models.LogBatch.objects.create(
        first=first, count=count, received_ms=received_ms, sha256=b"", blob=b""
    )


def test_blocks_are_taken_in_order_where_all_groups_wrote() -> None:
    stored = Stored()
    publish(5, 9, made("late"), part=0, groups=2)
    publish(0, 5, made("b"), made("a"), part=1, groups=2)
    assert stored.view.turn() == 0
    publish(0, 5, part=0, groups=2)
    assert stored.view.turn() == 1
    publish(5, 9, part=1, groups=2)
    assert stored.view.turn() == 1
    assert stored.accounts == [(1, "a"), (2, "b"), (3, "late")]
    assert [batch.reached for batch in stored.batches] == [5, 9]
    assert stored.view.clock.time_ms == NOW + 9


def test_nothing_is_taken_while_the_writer_has_not_stored() -> None:
    stored = Stored()
    publish(0, 5)
    publish(5, 9)
    stored.view.turn()
    stored.applied = 5
    publish(9, 12)
    assert stored.view.turn() == 0
    stored.applied = 9
    assert stored.view.turn() == 1


def test_blocks_that_are_stored_are_deleted() -> None:
    stored = Stored()
    publish(0, 5)
    stored.view.turn()
    stored.view.turn()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        assert cursor.fetchone()[0] == 0


def test_a_rescaled_job_may_publish_a_block_again() -> None:
    stored = Stored()
    publish(0, 5, made("a"), groups=1)
    publish(0, 5, made("a"), part=0, groups=2)
    publish(0, 5, part=1, groups=2)
    assert stored.view.turn() == 1
    assert stored.accounts == [(1, "a")]


def test_a_block_that_is_stored_in_part_is_taken_in_part() -> None:
    known = made("known")
    models.Decision.objects.create(
        number=1, id=known.id, account="known", ts=NOW, stage="messaging", outcome="restrict",
        until=None, body=msgspec.json.encode(known), reached=3,
    )  # fmt: skip
    stored = Stored(3, 1)
    publish(0, 5, made("new"), known)
    assert stored.view.turn() == 1
    assert stored.accounts == [(2, "new")]


def test_a_job_that_decides_otherwise_than_is_stored_is_not_followed() -> None:
    models.Decision.objects.create(
        number=1, id=made("ann").id, account="ann", ts=NOW, stage="messaging", outcome="ban",
        until=None, body=b"{}", reached=5,
    )  # fmt: skip
    stored = Stored(5, 1)
    publish(0, 5, made("ann"))
    publish(5, 9, made("bob"))
    assert stored.view.turn() == 0
    with pytest.raises(StaleError, match="has decided d-ann-1767222000000 otherwise"):
        _ = stored.view.as_of


def test_a_block_from_before_a_switch_may_come_again() -> None:
    stored = Stored(5, 0)
    publish(0, 5, versions="of before")
    publish(5, 9, made("ann"))
    assert stored.view.turn() == 1
    assert stored.accounts == [(1, "ann")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"versions": "another"}, "decides by other versions than this service: another"),
        ({"key": bytes(32)}, "publishes under another key than this service's"),
    ],
)
def test_what_is_not_of_this_deployment_is_not_taken(wrong: dict[str, str], said: str) -> None:
    stored = Stored()
    publish(0, 5, made("ann"), **wrong)  # type: ignore[arg-type]
    assert stored.view.turn() == 0
    stored.view.turn()
    with pytest.raises(StaleError, match=said) as raised:
        _ = stored.view.as_of
    assert raised.value.fix
    assert len(stored.reports) == 1
    assert said in stored.reports[0]


def test_a_part_that_was_changed_is_not_taken() -> None:
    publish(0, 5, made("ann"))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET reached = 9")
    stored = Stored()
    assert stored.view.turn() == 0


def test_another_job_is_not_followed() -> None:
    stored = Stored()
    publish(0, 5, made("ann"), job="other")
    assert stored.view.turn() == 0


def test_an_answer_is_as_old_as_the_first_event_undecided() -> None:
    stored = Stored()
    for first in (0, 5, 9):
        log_row(first, 4, NOW - 30_000 + first)
    publish(0, 5)
    stored.view.turn()
    as_of = stored.view.as_of
    assert (as_of.position, as_of.time_ms, as_of.age_s) == (5, NOW + 5, 29.995)
    publish(5, 9)
    publish(9, 13)
    stored.view.turn()
    assert stored.view.as_of.age_s == 0


def test_a_job_that_has_published_nothing_is_named() -> None:
    stored = Stored()
    assert stored.view.as_of.position == 0
    log_row(0, 4, NOW)
    stored.view.turn()
    with pytest.raises(StaleError, match="the job job on Flink has published nothing yet"):
        _ = stored.view.as_of


def test_a_job_that_is_too_far_behind_is_named() -> None:
    stored = Stored()
    publish(0, 5)
    log_row(5, 4, NOW)
    stored.view.turn()
    stored.now += 60_000
    assert stored.view.as_of.age_s == 60
    stored.now += 1_000
    with pytest.raises(StaleError, match="is 61 s behind the log, and 60 s are allowed") as raised:
        _ = stored.view.as_of
    assert "see whether the job runs" in str(raised.value.fix)
    assert raised.value.as_of.position == 5


def test_a_clock_that_was_set_back_makes_no_answer_younger_than_now() -> None:
    stored = Stored()
    publish(0, 5)
    log_row(5, 4, NOW + 10_000)
    stored.view.turn()
    assert stored.view.as_of.age_s == 0


def test_there_is_no_engine_to_ask() -> None:
    view = Stored().view
    with pytest.raises(NoEngineError, match="holds no engine: the job job on Flink decides"):
        view.try_ask_now(lambda engine: engine)
    with pytest.raises(NoEngineError):
        asyncio.run(view.ask(lambda engine: engine))


FOUND = OwnerAnswer([], [], ChatCounts(0, 0, None), 7)
EVENTS = pa.RecordBatch.from_pydict({"id": ["a"], "account": ["ann"]})


def write_answer(found: Any, kind: str = "found", part: int = 0, parts: int = 1) -> None:
    """Answer the open question, as a group."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {QUESTIONS}")
        (id_,) = cursor.fetchone()
        content = found if isinstance(found, bytes) else msgspec.msgpack.encode(found)
        mac = question_mac(KEY, kind, id_, "job", part, parts, content)
        row = (id_, "job", part, parts, content, mac)
        cursor.execute(f"INSERT INTO {ANSWERS} VALUES (%s, %s, %s, %s, %s, %s)", row)


def rows_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


async def asked(view: JobView) -> asyncio.Future[Any]:
    """Ask about events, so that the question is in its table."""
    future = asyncio.ensure_future(view.query(trials, [], EVENTS, {}))
    await asyncio.sleep(0)
    await asyncio.to_thread(view.exchange_questions)
    return future


def test_an_answer_of_the_owner_is_given_once_and_deleted() -> None:
    async def ask() -> None:
        view = Stored().view
        future = await asked(view)
        await asyncio.to_thread(write_answer, FOUND)
        await asyncio.to_thread(view.exchange_questions)
        assert await future == FOUND
        await asyncio.to_thread(view.exchange_questions)
        assert await asyncio.to_thread(rows_of, QUESTIONS) == 0
        assert await asyncio.to_thread(rows_of, ANSWERS) == 0

    asyncio.run(ask())


def test_answers_of_all_groups_are_waited_for_and_merged() -> None:
    async def ask() -> None:
        view = Stored().view
        given = {"field": "device", "entity": 3, "but": 9, "most": 2}
        future = asyncio.ensure_future(view.query(holders, [], None, given))
        await asyncio.sleep(0)
        await asyncio.to_thread(view.exchange_questions)
        await asyncio.to_thread(write_answer, Holders(2, 1, [4]), part=1, parts=2)
        await asyncio.to_thread(view.exchange_questions)
        await asyncio.sleep(0)
        assert not future.done()
        await asyncio.to_thread(write_answer, Holders(5, 0, [7, 8]), part=0, parts=2)
        await asyncio.to_thread(view.exchange_questions)
        assert await future == Holders(7, 1, [4, 7, 8])

    asyncio.run(ask())


def test_an_answer_without_the_key_is_none() -> None:
    async def ask() -> None:
        view = Stored().view
        future = await asked(view)
        # A question's MAC is no answer's.
        await asyncio.to_thread(write_answer, FOUND, "asked")
        await asyncio.to_thread(view.exchange_questions)
        await asyncio.sleep(0)
        assert not future.done()
        future.cancel()

    asyncio.run(ask())


def test_a_group_that_could_not_answer_is_named() -> None:
    async def ask() -> None:
        view = Stored().view
        future = await asked(view)
        await asyncio.to_thread(write_answer, b"")
        await asyncio.to_thread(view.exchange_questions)
        with pytest.raises(BusyError, match="cannot answer this: see the logs"):
            await future

    asyncio.run(ask())


def test_a_question_that_nobody_waits_for_is_deleted() -> None:
    async def ask() -> None:
        view = Stored().view
        future = await asked(view)
        assert await asyncio.to_thread(rows_of, QUESTIONS) == 1
        await asyncio.to_thread(write_answer, FOUND)
        future.cancel()
        await asyncio.sleep(0)
        await asyncio.to_thread(view.exchange_questions)
        assert await asyncio.to_thread(rows_of, QUESTIONS) == 0
        assert await asyncio.to_thread(rows_of, ANSWERS) == 0

    asyncio.run(ask())


def test_questions_that_wait_are_bounded() -> None:
    async def ask() -> None:
        view = Stored().view
        waiting = [
            asyncio.ensure_future(view.query(trials, [], EVENTS, {})) for _ in range(MAX_OPEN)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="too many questions"):
            await view.query(trials, [], EVENTS, {})
        for each in waiting:
            each.cancel()

    asyncio.run(ask())


def test_accounts_of_a_question_are_bounded() -> None:
    async def ask() -> None:
        names = [f"a{n}" for n in range(MOST_ACCOUNTS + 1)]
        with pytest.raises(UsageError, match="10,001 accounts are asked about, and 10,000"):
            await Stored().view.query(trials, names, None, {})

    asyncio.run(ask())
