"""Erasure of a person from the platform: nothing of them is left, and others keep what they had."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    tell,
    word,
)
from support.service_harness import Live, Running
from wavebreak_business.service.live_platform import LivePlatform
from wavebreak_business.service.models import PlatformRow
from wavebreak_server.slices.erasure.service import ListedErasure, apply_again
from wavebreak_server.storage.models import Erasure

PROOF = "ab" * 32


async def _populate(made: Running) -> str:
    """Let two people agree, be written to and react; return the pseudonym of the first."""
    made.context.states[LivePlatform] = LivePlatform(made.service, snapshot_events=5)
    await register(made, limit=2)
    granted = [word(f"w-{who}", who, category="marketing", proof=PROOF) for who in ("ann", "ben")]
    await say(made, *granted)
    answers = await decide(made, sends("ann", "ben", template="marketing"))
    assert outcomes(answers) == ["accepted", "accepted"]
    await tell(made, {"id": "a1", "type": "message.sent", "account": "ann", "peer": "n1"})
    return live(made).person("ann")


async def _erase(made: Running, account: str) -> None:
    path = f"/v1/accounts/{account}/personal"
    answer = await made.ask("DELETE", path, params={"reason": BECAUSE})
    assert answer.status_code == 200, answer.text


async def _basis(made: Running, account: str) -> str:
    asked = {"account": account, "category": "marketing"}
    return str((await ok(made, "POST", "/v1/business/shop/consents/query", **asked))["state"])


def _kept(home: Path) -> bytes:
    """All that is kept of the platform: tables, and snapshots."""
    files = b"".join(path.read_bytes() for path in home.glob("business-*.snapshot"))
    return service_harness.held() + files


def test_erased_person_is_nowhere_and_others_keep_all(served_by_each: Live, tmp_path: Path) -> None:
    async def erasing(made: Running) -> None:
        person = await _populate(made)
        assert person.encode() in await in_thread(lambda: _kept(tmp_path))
        assert list(tmp_path.glob("business-*.snapshot"))
        await _erase(made, "ann")
        assert [await _basis(made, who) for who in ("ann", "ben")] == ["none", "granted"]
        assert person.encode() not in await in_thread(lambda: _kept(tmp_path))
        view = await ok(made, "GET", "/v1/business/shop")
        assert view["limit"]["used"] == 2
        assert outcomes(await decide(made, sends("cyd"))) == ["limit"]
        # A window that the person opened has closed with them.
        free = [{**sends("ann", template=None)[0], "id": "s-free"}]
        assert outcomes(await decide(made, free)) == ["window_closed"]

    async def later(made: Running) -> None:
        assert [await _basis(made, who) for who in ("ann", "ben")] == ["none", "granted"]
        assert (await ok(made, "GET", "/v1/business/shop"))["limit"]["used"] == 2

    served_by_each(erasing, later)


def test_erased_person_who_comes_again_is_somebody_new(served: Live) -> None:
    async def test(made: Running) -> None:
        await _populate(made)
        await _erase(made, "ann")
        await say(made, word("again", "ann", category="marketing"))
        assert await _basis(made, "ann") == "granted"
        await _erase(made, "ann")
        assert await _basis(made, "ann") == "none"

    served(test)


@pytest.mark.parametrize("name", ["nobody", "n1", "shop"])
def test_erasure_of_a_stranger_changes_nothing(served: Live, name: str) -> None:
    async def test(made: Running) -> None:
        await _populate(made)
        before = await in_thread(_log)
        await _erase(made, name)
        assert await in_thread(_log) == before
        assert [await _basis(made, who) for who in ("ann", "ben")] == ["granted", "granted"]

    served(test)


def _log() -> list[bytes]:
    return [bytes(body) for body in PlatformRow.objects.values_list("body", flat=True)]


def test_erased_stays_erased_where_an_older_log_is_put_back(served: Live, tmp_path: Path) -> None:
    """As a restore does: the list of erasures is applied to what the older database has."""

    async def test(made: Running) -> None:
        person = await _populate(made)

        def again() -> None:
            apply_again(tmp_path, [ListedErasure("ann", 1, 0)], service_harness.now_ms())

        await in_thread(again)
        assert await in_thread(lambda: Erasure.objects.filter(erased=True).count()) == 1
        assert await _basis(made, "ann") == "none"
        assert person.encode() not in await in_thread(lambda: _kept(tmp_path))

    served(test)
