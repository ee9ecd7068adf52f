"""A backup has the platform's log, history and ids; what was erased since stays erased."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from support.business_service import BECAUSE, decide, in_thread, ok, outcomes, register, say, sends
from support.business_service import word as said
from support.service_harness import SECRET, Running, migrated, now_ms, running
from wavebreak_business.service.live_platform import live_platform
from wavebreak_business.service.models import StandingRow
from wavebreak_business.service.standing import Act, set_standing
from wavebreak_business.service.standing_history import Author
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.erasure.service import LIST_FILE


async def _populate(made: Running, file: Path) -> None:
    """Register, decide, act on the ladder and back up; then erase a person."""
    await register(made, limit=2)
    words = [said(f"w-{who}", who, category="marketing") for who in ("ann", "ben")]
    await say(made, *words)
    assert outcomes(await decide(made, sends("ann", "ben"))) == ["accepted", "accepted"]
    live, author = live_platform(made.context, made.service), Author("user:dana", BECAUSE)
    act = Act("restricted_3d", "law")
    await live.turn(lambda turn: set_standing(turn, "shop", act, author, 0))
    home = made.service.settings.home
    await in_thread(lambda: backup.save(home, file, SECRET))
    path = "/v1/accounts/ann/personal"
    answer = await made.ask("DELETE", path, params={"reason": BECAUSE})
    assert answer.status_code == 200, answer.text


async def _compare(made: Running) -> None:
    """Check that all is there, but whom was erased."""
    view = await ok(made, "GET", "/v1/business/shop")
    assert (view["limit"]["used"], view["standing"]["name"]) == (2, "restricted_3d")
    for who, state in (("ann", "none"), ("ben", "granted")):
        asked = {"account": who, "category": "marketing"}
        basis = await ok(made, "POST", "/v1/business/shop/consents/query", **asked)
        assert basis["state"] == state, who
    # Ids that were taken are taken: a repeated one counts once.
    assert outcomes(await decide(made, sends("ben"))) == ["accepted"]
    again = Act(None)
    live, author = live_platform(made.context, made.service), Author("user:noa", BECAUSE)
    (seen,) = await in_thread(lambda: list(StandingRow.objects.values_list("id", flat=True)))
    await live.turn(lambda turn: set_standing(turn, "shop", again, author, seen))
    rows = StandingRow.objects.order_by("id").values_list("what", "actor")
    assert await in_thread(lambda: list(rows)) == [("set", "user:dana"), ("lifted", "user:noa")]


def test_restored_platform_goes_on_and_erased_stays_erased(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    second.mkdir()

    async def run(home: Path, visit: Any, *arguments: Any) -> None:
        async with running(home) as made:
            await visit(made, *arguments)

    with migrated("sqlite", first):
        asyncio.run(run(first, _populate, file))
    (second / LIST_FILE).write_bytes((first / LIST_FILE).read_bytes())
    with migrated("sqlite", second):
        restored = backup.restore(file, second, SECRET, now_ms())
        assert (restored.listed, restored.erasures) == (1, 1)
        asyncio.run(run(second, _compare))
