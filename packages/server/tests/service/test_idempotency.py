"""Stored responses: by sender, by body, for as long as they are kept; attempts by owner."""

from __future__ import annotations

import asyncio
from pathlib import Path

from django.db import connection

from support import service_harness
from support.service_harness import abuser
from wavebreak.schema.events import MessageSent
from wavebreak_server.pipeline.idempotency import attempt_key, find_response, store_responses
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    IdempotencyConflictError,
    IdempotencyKey,
)
from wavebreak_server.pipeline.request_decoder import Body

ONE, OTHER = Body(b"{}", "lines"), Body(b"{} ", "lines")


def test_same_key_with_another_body_is_refused(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path), connection.cursor() as cursor:
        key = IdempotencyKey.of("ann", "k", ONE)
        store_responses(cursor, [(key, Accepted(1))], 0)
        again = find_response(key)
        assert isinstance(again, Accepted)
        assert again.count == 1
        other = find_response(IdempotencyKey.of("ann", "k", OTHER))
        assert isinstance(other, IdempotencyConflictError)
        assert other.status == 422


def test_key_belongs_to_its_sender() -> None:
    assert IdempotencyKey.of("ann", "k", ONE).key != IdempotencyKey.of("bob", "k", ONE).key
    events = [MessageSent(ts=1, id="e", account="a", peer="b")]
    assert attempt_key("ann", events) != attempt_key("bob", events)


def test_retry_is_known_for_as_long_as_responses_are_kept(tmp_path: Path) -> None:
    now = [service_harness.now_ms()]

    async def live() -> None:
        async with service_harness.running(tmp_path, clock=lambda: now[0]) as made:

            async def send(key: str, account: str) -> int:
                headers = {"Idempotency-Key": key}
                answer = await made.ask(
                    "POST", "/v1/events", json=abuser(1, account), headers=headers
                )
                return int(answer.status_code)

            assert await send("one", "ann") == 202
            # Later commits delete what has expired: the first answer has not.
            for minutes, account in ((2, "bob"), (4, "cyd")):
                now[0] += minutes * 60_000
                assert await send(account, account) == 202
            held = made.service.progress().logged
            assert await send("one", "ann") == 202
            assert made.service.progress().logged == held

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(live())
