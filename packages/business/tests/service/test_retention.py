"""Retention of the platform's log: rows go, the state stays right, and an erasure reaches it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.db import connection

from support import service_harness
from support.business_service import (
    BECAUSE,
    decide,
    in_thread,
    live,
    ok,
    outcomes,
    register,
    say,
    sends,
    word,
)
from support.service_harness import Live, Running
from wavebreak_business.service import retention
from wavebreak_business.service.live_platform import LivePlatform, position_at
from wavebreak_business.service.models import PlatformRow, StatePart
from wavebreak_business.settings import SHIPPED
from wavebreak_server.storage.models import AuditEntry

DAY = 86_400_000


def policy(directory: Path) -> Path:
    text = (SHIPPED / "limits.toml").read_text("utf-8")
    (directory / "limits.toml").write_text(text.replace('# keep = "400d"', 'keep = "10d"'), "utf-8")
    return directory


def use(made: Running, directory: Path) -> None:
    """Let the platform of a service have a policy that lets rows go."""
    made.context.states[LivePlatform] = LivePlatform(made.service, policy(directory))


async def look_after(made: Running) -> None:
    await live(made).turn(lambda turn: turn.platform.position)
    # What is done after a turn is done before the next reading.
    await live(made).read(lambda platform: platform.position)


async def rows() -> list[int]:
    numbers = PlatformRow.objects.order_by("number").values_list("number", flat=True)
    return list(await in_thread(lambda: list(numbers)))


async def populate(made: Running, clock: Any) -> None:
    """Let there be rows of before a stored state and after it; those before go."""
    await register(made, limit=3)
    await say(made, word("w1", "ann", category="marketing"))
    assert outcomes(await decide(made, sends("ann", "ben"))) == ["accepted"] * 2
    await look_after(made)
    clock.ahead_ms = 11 * DAY
    assert outcomes(await decide(made, sends("cyd"))) == ["accepted"]
    await look_after(made)


async def check(made: Running) -> None:
    asked = {"account": "ann", "category": "marketing"}
    basis = await ok(made, "POST", "/v1/business/shop/consents/query", **asked)
    assert (basis["state"], len(basis["words"])) == ("granted", 1)
    view = await ok(made, "GET", "/v1/business/shop")
    assert (view["legal_name"], view["limit"]["used"], view["templates"]) == ("Shop Ltd", 1, 2)


def test_old_rows_go_and_the_state_stays(served_by_each: Live, tmp_path: Path, clock: Any) -> None:
    async def before(made: Running) -> None:
        use(made, tmp_path)
        await populate(made, clock)
        kept = await rows()
        assert kept[0] > 1
        actions = AuditEntry.objects.filter(action=retention.ACTION)
        assert await in_thread(lambda: list(actions.values_list("object", flat=True))) == [
            f"until {kept[0] - 1}"
        ]
        await check(made)

    async def after(made: Running) -> None:
        use(made, tmp_path)
        await check(made)
        more = await decide(made, sends("dan", "eve", "fay"))
        assert outcomes(more) == ["accepted", "accepted", "limit"]
        assert await in_thread(lambda: position_at(service_harness.now_ms() - DAY)) is None
        assert await in_thread(lambda: position_at(service_harness.now_ms() + 12 * DAY)) > 4

    served_by_each(before, after)


def test_log_without_what_stands_for_its_begin_is_an_error(
    served: Live, tmp_path: Path, clock: Any
) -> None:
    async def before(made: Running) -> None:
        use(made, tmp_path)
        await populate(made, clock)

    async def drop(_: Running) -> None:
        oldest = (await in_thread(retention.stored_states))[0]
        await in_thread(StatePart.objects.filter(number=oldest.number).delete)

    async def after(made: Running) -> None:
        use(made, tmp_path)
        assert (await made.ask("GET", "/v1/business/shop")).status_code == 500

    async def change(_: Running) -> None:
        def spoil() -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE business_state SET body = %s", [b"x"])

        await in_thread(spoil)

    served(before, change, after)
    served(drop, after)


def test_erased_person_is_in_no_stored_state(served: Live, tmp_path: Path, clock: Any) -> None:
    async def before(made: Running) -> None:
        use(made, tmp_path)
        await populate(made, clock)
        person = live(made).person("ann").encode()
        assert await in_thread(lambda: retention.holds([person]))
        path = "/v1/accounts/ann/personal"
        answer = await made.ask("DELETE", path, params={"reason": BECAUSE})
        assert answer.status_code == 200, answer.text
        assert not await in_thread(lambda: retention.holds([person]))
        assert person not in await in_thread(service_harness.held)

    async def after(made: Running) -> None:
        use(made, tmp_path)
        asked = {"account": "ann", "category": "marketing"}
        basis = await ok(made, "POST", "/v1/business/shop/consents/query", **asked)
        assert basis["state"] == "none"
        # Others keep what they had: whom was written to holds the place.
        assert (await ok(made, "GET", "/v1/business/shop"))["limit"]["used"] == 1
        again = await decide(made, sends("dan", "eve", "fay"))
        assert outcomes(again) == ["accepted", "accepted", "limit"]

    served(before, after)


def test_shipped_policy_keeps_every_row(served: Live, clock: Any) -> None:
    async def test(made: Running) -> None:
        await populate(made, clock)
        assert (await rows())[0] == 1
        assert await in_thread(StatePart.objects.count) == 0
        assert json.loads(bytes(await in_thread(lambda: PlatformRow.objects.get(number=1).body)))

    served(test)
