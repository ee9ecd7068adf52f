"""What goes live is what was approved, whatever else is asked for at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.console_harness import RunningConsole, console_test, switch_of
from support.policy_pages import FILE, approved, go_live, uploaded
from support.service_harness import abuser
from wavebreak.rules import load_policy
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import (
    LivePolicy,
    live_policy,
    set_live_policy,
    version_directory,
)
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import policy_switch
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.models import ModelVersion, PolicyVersion
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.slices.versions.service import settle_interrupted
from wavebreak_server.storage.models import AuditEntry

EDITED = "[evidence]\nreply = 0.2\n"


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send(abuser())


visits = console_test(_prepared)


def with_interruption(act: Any) -> pytest.MonkeyPatch:
    """Have something done right after a switch has loaded a policy."""
    loop, patched = asyncio.get_running_loop(), pytest.MonkeyPatch()

    def loads(directory: Path | None) -> Any:
        policy = load_policy(directory)
        asyncio.run_coroutine_threadsafe(act(), loop).result(60)
        return policy

    patched.setattr(policy_switch, "load_policy", loads)
    return patched


@visits
async def test_files_changed_after_approval_do_not_go_live(
    console: RunningConsole, tmp_path: Path
) -> None:
    _, version = await uploaded(console)
    lead = await approved(console, version)
    before = console.service.responder.policy.version
    path = version_directory(tmp_path, version.name, version.digest) / FILE

    async def change() -> None:
        path.write_text(EDITED, "utf-8")

    patched = with_interruption(change)
    try:
        assert await go_live(lead, version.id) == [503]
    finally:
        patched.undo()
    assert console.service.responder.policy.version == before
    assert live_policy(tmp_path) is None
    assert (await stored(lambda: PolicyVersion.objects.get())).state == "approved"
    assert await go_live(lead, version.id) == [409]


@visits
async def test_version_goes_live_once(console: RunningConsole) -> None:
    _, version = await uploaded(console)
    lead = await approved(console, version)
    assert await go_live(lead, version.id, version.id, version.id) == [302, 409, 409]
    acts = await stored(lambda: AuditEntry.objects.filter(action="policy_live").count())
    assert acts == 1


@visits
async def test_of_two_versions_at_once_one_goes_live(
    console: RunningConsole, tmp_path: Path
) -> None:
    _, first = await uploaded(console)
    _, second = await uploaded(console)
    await approved(console, first)
    lead = await approved(console, second)
    statuses = await go_live(lead, first.id, second.id)
    assert statuses[0] == 302
    assert statuses[1] in (409, 503)
    states = await stored(
        lambda: dict(PolicyVersion.objects.unverified().values_list("id", "state"))
    )
    assert sorted(states.values()) == ["approved", "live"]
    live = live_policy(tmp_path)
    assert live is not None
    assert states[int(live.version[1:])] == "live"


@visits
async def test_interrupted_going_live_is_settled(console: RunningConsole, tmp_path: Path) -> None:
    _, first = await uploaded(console)
    _, second = await uploaded(console)

    def settled() -> dict[int, str]:
        PolicyVersion.objects.update(state=PolicyVersion.GOING_LIVE, live_ms=5)
        author = User.objects.get(username="policy-owner")
        ModelVersion.objects.create(
            author=author, reason="x", created_ms=1, model="m", state=ModelVersion.GOING_LIVE
        )
        live = LivePolicy(first.name, first.policy, first.digest, 0, 0, 5)
        set_live_policy(tmp_path, live)
        settle_interrupted((POLICY, MODEL), tmp_path)
        return dict(PolicyVersion.objects.unverified().values_list("id", "state"))

    assert await stored(settled) == {first.id: "live", second.id: "approved"}
    assert await stored(lambda: ModelVersion.objects.get().state) == "approved"
