"""Who is known to be banned stays banned while the engine does not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import DATABASES, Running, abuser, migrated, running
from wavebreak.engine import Engine
from wavebreak_server.pipeline.engine_switch import Replacement
from wavebreak_server.pipeline.recovery import list_snapshots

BECAUSE = "because a test asks for it"
HOUR_S = 3_600
SET: dict[str, dict[str, Any]] = {
    "restricted": {"outcome": "restrict", "hold_s": HOUR_S},
    "limited": {"outcome": "limit", "hold_s": HOUR_S},
    "lapsed": {"outcome": "suspend", "hold_s": 60},
    "lifted": {"outcome": "ban"},
    "watched": {"outcome": "observe", "hold_s": HOUR_S},
}
"""Accounts whose outcome a person has set; `ann` is banned by the rules."""


class Hours:
    """The service's clock, which a test moves."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return service_harness.now_ms() + self.ahead_ms


@pytest.fixture(params=DATABASES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with migrated(request.param, tmp_path):
        yield tmp_path


def message(account: str, **more: Any) -> dict[str, Any]:
    told = {"id": "m", "ts": service_harness.now_ms(), "type": "message.sent", "account": account}
    return told | {"peer": "somebody", "in_contacts": False} | more


async def decide(made: Running, event: dict[str, Any], mode: str = "ask") -> Any:
    answer = await made.ask("POST", f"/v1/decide?mode={mode}", json=event)
    return answer.json() | {"status": answer.status_code}


async def enforce(made: Running) -> None:
    """Have `ann` banned by the rules, and the others by a person."""
    await made.send(abuser(ts=service_harness.now_ms() - 60_000))
    for account, change in SET.items():
        body = {"verdict": "undetermined", "reason": BECAUSE, **change}
        answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=body)
        assert answer.json()["outcome"] == change["outcome"], answer.text
    body = {"verdict": "benign", "reason": BECAUSE}
    await made.ask("POST", "/v1/accounts/lifted/override", json=body)
    await made.wait_until_applied()


@asynccontextmanager
async def recovering(home: Path, clock: Hours) -> AsyncIterator[tuple[Running, threading.Event]]:
    """A service that replays its log until the event is set, which leaving the block does."""
    begun, let = threading.Event(), threading.Event()

    def progress(_at: int, _end: int) -> None:
        begun.set()
        let.wait(30)

    for _, _, path in list_snapshots(home):
        path.unlink()
    async with running(home, clock=clock, progress=progress, wait=False) as made:
        try:
            assert await asyncio.to_thread(begun.wait, 30)
            yield made, let
        finally:
            let.set()


def test_known_outcome_holds_while_the_log_is_replayed(home: Path) -> None:
    async def run() -> None:
        clock = Hours()
        async with running(home) as made:
            await enforce(made)
        clock.ahead_ms = 120_000
        async with recovering(home, clock) as (made, let):
            assert (await made.ask("GET", "/readyz")).status_code == 503
            for account, outcome, allowed in (
                ("ann", "ban", False),
                ("restricted", "restrict", False),
                ("limited", "limit", False),
                ("lapsed", "allow", True),
                ("lifted", "allow", True),
                ("watched", "observe", True),
                ("nobody", "allow", True),
            ):
                told = await decide(made, message(account))
                assert (told["mode"], told["outcome"]) == ("on_failure", outcome), account
                assert told["allowed"] is allowed, account
            # What the outcome does not refuse passes: a friend, a group of a restricted account.
            assert (await decide(made, message("restricted", in_contacts=True)))["allowed"]
            assert not (await decide(made, message("ann", in_contacts=True)))["allowed"]
            assert (await decide(made, {**message("ann"), "type": "message.read"}))["status"] == 422
            answer = await decide(made, message("ann"), "record")
            assert answer["status"] == 503
            told = (await made.ask("GET", "/v1/accounts/ann")).json()
            assert (told["outcome"], told["last_known"]) == ("ban", True)
            assert told["restrictions"][0]["outcome"] == "ban"
            assert told["decisions"]
            let.set()
            await made.wait_until_applied()
            told = (await made.ask("GET", "/v1/accounts/ann")).json()
            assert (told["outcome"], told["last_known"]) == ("ban", False)
            assert (await decide(made, message("ann")))["mode"] == "ask"

    asyncio.run(run())


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def test_known_outcome_holds_under_overload(sqlite: Path) -> None:
    async def run() -> None:
        begun, let = threading.Event(), threading.Event()

        def hold(_: Engine) -> bool:
            begun.set()
            return let.wait(30)

        async with running(sqlite) as made:
            await enforce(made)
            busy = asyncio.ensure_future(made.service.ask(hold))
            try:
                assert await asyncio.to_thread(begun.wait, 30)
                told = await decide(made, message("ann"))
                assert (told["mode"], told["outcome"], told["allowed"]) == (
                    "on_failure", "ban", False,
                )  # fmt: skip
                assert (await decide(made, message("nobody")))["allowed"]
                account = (await made.ask("GET", "/v1/accounts/ann")).json()
                assert (account["outcome"], account["last_known"]) == ("ban", True)
                recorded = asyncio.ensure_future(decide(made, message("ann"), "record"))
                await asyncio.sleep(0.5)
            finally:
                let.set()
            assert await busy
            assert (await recorded)["outcome"] == "ban"

    asyncio.run(run())


def test_known_outcome_holds_after_the_engine_stopped(
    sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(sqlite) as made:
            await enforce(made)
            with monkeypatch.context() as changed:
                changed.setattr(Engine, "take", _fails)
                await made.ask("POST", "/v1/events", json=[message("nobody")])
                async with asyncio.timeout(20):
                    while made.service.progress().ready:
                        await asyncio.sleep(0.01)
            told = await decide(made, message("ann"))
            assert (told["mode"], told["outcome"], told["allowed"]) == ("on_failure", "ban", False)

    asyncio.run(run())


def _fails(*_: Any) -> Any:
    raise ArithmeticError


def test_known_outcome_holds_while_the_policy_is_switched(sqlite: Path) -> None:
    async def run() -> None:
        begun, let = threading.Event(), threading.Event()
        async with running(sqlite) as made:
            await enforce(made)
            policy = await made.service.ask(lambda engine: engine.policy)

            def carry(_: Any) -> Any:
                begun.set()
                let.wait(30)
                return lambda: None

            wanted = Replacement(
                lambda: Engine(policy, accounts=1024), made.service.responder, carry, lambda: None
            )
            switching = asyncio.ensure_future(made.service.replace_engine(lambda: wanted, "why"))
            try:
                assert await asyncio.to_thread(begun.wait, 30)
                # The former engine answers until the other one does.
                told = await decide(made, message("ann"))
                assert (told["mode"], told["outcome"], told["allowed"]) == ("ask", "ban", False)
            finally:
                let.set()
            await switching
            told = await decide(made, message("ann"))
            assert (told["mode"], told["outcome"]) == ("ask", "ban")

    asyncio.run(run())
