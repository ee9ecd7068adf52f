"""A service at the ceiling of its memory: new names wait, known accounts go on, restarts work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import Running, running
from wavebreak.engine import Engine
from wavebreak.engine.state_ceiling import StateCeiling
from wavebreak.engine.state_size import ACCOUNT_BYTES, state_bytes
from wavebreak.rules import load_policy
from wavebreak_server.pipeline.new_names import NO_MEMORY, TOO_MANY_NAMES

START = 1_767_222_000_000
ROOM = 60
"""Accounts for which a test leaves room."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with service_harness.migrated("sqlite", tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def ceiling() -> StateCeiling:
    empty = state_bytes(Engine(load_policy(), accounts=1024))
    return StateCeiling((empty + ROOM * ACCOUNT_BYTES) * 20 // 17)


def _sends(first: int, count: int, account: str = "ann", **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"{account}{first + k}", "ts": START + first + k, "type": "message.sent",
         "account": account, "peer": f"peer{first + k}", **more}
        for k in range(count)
    ]  # fmt: skip


async def _fill(made: Running) -> list[Any]:
    """Send new names until a whole body is refused; return the answers."""
    answers = list[Any]()
    while not answers or answers[-1].status_code == 202:
        assert len(answers) < 40, "the service takes ever more accounts"
        answers.append(
            await made.ask("POST", "/v1/events", json=_sends(20 * len(answers), 20, "ann"))
        )
        await made.wait_until_applied()
    return answers


def test_service_at_its_ceiling_refuses_new_names_alone(home: Path, ceiling: StateCeiling) -> None:
    async def test() -> None:
        async with running(home, ceiling=ceiling) as made:
            answers = await _fill(made)
            full = answers[-1]
            assert full.status_code == 429
            assert int(full.headers["Retry-After"]) > 1
            assert "memory for new accounts" in full.json()["detail"]
            assert "--max-memory" in full.json()["fix"]
            accepted = sum(answer.json()["accepted"] for answer in answers[:-1])
            assert ROOM // 2 < accepted < 3 * ROOM
            # The batch of a known and a new account loses the new one alone.
            both = [
                *_sends(0, 3, account="ann", **{"type": "message.read"}),
                *_sends(5_000, 1, account="stranger"),
                *_sends(1, 2, account="ann", **{"type": "message.delivered"}),
            ]
            for k, event in enumerate(both):
                event["id"] = f"both{k}"
            mixed = (await made.ask("POST", "/v1/events", json=both)).json()
            assert mixed["accepted"] == 5
            assert [(r["index"], r["cause"]) for r in mixed["refused"]] == [(3, NO_MEMORY)]
            # A decision of a person on an account that is not known yet is sealed all the same.
            told = await made.ask(
                "POST", "/v1/accounts/unknown/override",
                json={"verdict": "abusive", "reason": "because a test asks"},
            )  # fmt: skip
            assert told.status_code == 200
        async with running(home, ceiling=ceiling) as again:
            assert again.service.progress().logged == accepted + 5 + 1
            assert (await again.ask("GET", "/v1/accounts/ann")).status_code == 200

    asyncio.run(test())


def test_log_beyond_the_ceiling_is_an_error_at_the_start(home: Path, ceiling: StateCeiling) -> None:
    async def test() -> None:
        async with running(home) as made:
            await made.send(_sends(0, 20 * ROOM))
        with pytest.raises(AssertionError, match="--max-memory"):
            async with running(home, ceiling=ceiling):
                pass

    asyncio.run(test())


def test_key_that_used_up_its_names_waits_for_the_next_hour(home: Path) -> None:
    async def test() -> None:
        async with running(home, new_names_per_hour=30) as made:
            await made.send(_sends(0, 40))
            spent = await made.ask("POST", "/v1/events", json=_sends(100, 5))
            assert spent.status_code == 429
            assert "its new names of the hour" in spent.json()["detail"]
            assert 1 <= int(spent.headers["Retry-After"]) <= 3_600
            known = [event | {"id": f"k{event['id']}"} for event in _sends(0, 5)]
            mixed = (await made.ask("POST", "/v1/events", json=[*known, *_sends(200, 1)])).json()
            assert (mixed["accepted"], mixed["refused"][0]["cause"]) == (5, TOO_MANY_NAMES)
            # Another key has a share of its own.
            other = await made.ask(
                "POST", "/v1/events", key=made.keys["ingest"], json=_sends(300, 5)
            )
            assert other.json()["accepted"] == 5

    asyncio.run(test())
