"""Parts that hang, and are not dead: what waits for them goes on, and decides the same."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from support import crash_test
from support.deployment import Deployment, Parts, deployed, hung
from support.external_servers import Postgres, running
from support.flink_cluster import LocalCluster, await_, in_mid_run
from support.kafka_broker import KafkaBroker
from wavebreak_flink.environment import FlinkEnvironment

ROOT = Path(__file__).resolve().parents[3]
HANGS = int(os.environ.get("HANGS", "3"))
"""How many parts hang, one after the other: `make scale HANGS=4` for all of them."""
WORKER = b"pyflink.fn_execution"
"""What the command of a process with a job's Python has."""
FLINK = {"heartbeat.timeout": "10 s", "task.cancellation.timeout": "5000"}
"""After how long a TaskManager is lost, and after how long it ends where a task does not."""
PATIENCE_S, MAX_AGE_S, HUNG_S = 30, 3, 6
ATTEMPT = b'{"type": "message.sent", "account": "stranger", "peer": "other"}'


def answer(deployment: Deployment) -> dict[str, Any]:
    """What the service says about an act."""
    said = deployment.server.post(ATTEMPT, "/v1/decide")
    assert said.status == 200, said
    found: dict[str, Any] = said.json()
    return found


def goes_on(deployment: Deployment) -> None:
    """Wait until all that is in the log now is decided on."""
    ((end,),) = deployment.server.rows("SELECT max(first + count) FROM log_batch")

    def decided() -> bool:
        ((position,),) = deployment.server.rows("SELECT position FROM log_applied")
        return bool(position >= end)

    await_(decided, "what is in the log is not decided on")


def hang(deployment: Deployment, part: str) -> None:
    """Let a part hang until the job goes on without it; where it cannot, for a while."""
    parts = deployment.parts
    if part in ("broker", "PostgreSQL"):
        with hung((parts.broker if part == "broker" else parts.postgres).pids):
            time.sleep(HUNG_S)
        goes_on(deployment)
        return
    busy = parts.cluster.managers_of(deployment.made.job)[0]
    with hung(parts.cluster.pids_of(busy, WORKER if part == "worker" else b"")):
        await_(lambda: answer(deployment)["mode"] == "on_failure", "the answers are not old")
        goes_on(deployment)


@pytest.mark.timeout(900)
def test_parts_that_hang_stall_nobody_for_good(broker: KafkaBroker, tmp_path: Path) -> None:
    environment = FlinkEnvironment(ROOT / ".venv-flink")
    cluster = LocalCluster(environment, tmp_path / "cluster", settings=FLINK)
    events = crash_test.world(80)
    with (
        running(cluster), running(Postgres()) as postgres,
        deployed(
            tmp_path, "hangs", Parts(broker, postgres, cluster, environment), events,
            "--max-age", str(MAX_AGE_S), publish=True, groups=2, patience_s=PATIENCE_S,
        ) as deployment,
    ):  # fmt: skip
        load = deployment.send(events, pause_s=0.05)
        for part in ("TaskManager", "broker", "PostgreSQL", "worker")[:HANGS]:
            in_mid_run(deployment.made)
            began = time.monotonic()
            hang(deployment, part)
            print(f"{part}: {time.monotonic() - began:.0f} s; {load.at:,} events acknowledged")
        await_(lambda: answer(deployment)["mode"] == "ask", "the answers stay old")
        load.stopped.set()
        load.thread.join(120)
        deployment.same_in_the_end(load.acknowledged, load.at)
    assert deployment.restarts >= 1
