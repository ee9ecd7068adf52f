"""Features of one's own in the service: decisions on arrival, and a check of an edited policy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pyarrow as pa

from support import service_harness
from support.events import edge
from support.installed_features import RULE, guide_policy, installed_guide
from support.service_harness import abuser, decided
from wavebreak.engine import Engine
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.versions.policy_checks import Checked, check_rules


def test_service_decides_as_the_engine_does(tmp_path: Path) -> None:
    async def serve() -> list[bytes]:
        async with service_harness.running(tmp_path / "home", policy=policy) as running:
            await running.send(abuser(30))
            return await asyncio.to_thread(decided)

    with installed_guide(tmp_path), service_harness.migrated("sqlite", tmp_path / "home"):
        policy = guide_policy(tmp_path)
        bodies = asyncio.run(serve())
        log = edge().apply(pa.RecordBatch.from_pylist(abuser(30), WIRE_SCHEMA))
        expected = Engine(policy, enforce=True, accounts=1024).take(log)
    found = [msgspec.json.decode(body) for body in bodies]
    (decision,) = (row for row in found if row["rules"] == [RULE])
    reasons = [(row["feature"], row["value"]) for row in decision["reasons"]]
    assert reasons[0] == ("unanswered_per_contact", 20.0)
    (same,) = (row for row in expected if row.rules == (RULE,))
    assert [(reason.feature, reason.value) for reason in same.reasons] == reasons
    assert decision["policy"] == policy.version


def test_check_of_an_edited_policy_knows_installed_features(tmp_path: Path) -> None:
    with installed_guide(tmp_path) as directory:
        assert check_rules(directory) == Checked(guide_policy(tmp_path).version)
    assert "there is no feature `unanswered_per_contact`" in check_rules(directory).what
