"""A service that answers from a job on a cluster of Flink, over its own log in Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from support import crash_test
from support.external_servers import Postgres
from support.flink_cluster import LocalCluster, in_mid_run
from support.flink_jobs import OPTIONS, job_over_service
from support.kafka_broker import KafkaBroker
from support.service_process import Server
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.switches import noted

ROOT = Path(__file__).resolve().parents[3]
EVENTS, IN_SHADOW = 3_500, 3_000
WHY = "because a test asks for it"


@pytest.fixture
def environment() -> FlinkEnvironment:
    return FlinkEnvironment(ROOT / ".venv-flink")


@pytest.fixture
def stopping() -> Iterator[ExitStack]:
    """Stops what a test has started."""
    with ExitStack() as stack:
        yield stack


def answers(server: Server, path: str, body: bytes = b"") -> tuple[int, bytes]:
    key = f"Bearer {server.first_key()}"
    method = "POST" if body else "GET"
    answer = server.post(body, path, method=method, authorization=key)
    return answer.status, answer.body


def switched(home: Path) -> tuple[int, int]:
    """How many switches led to what decides in a job, and where the last one was."""
    found = noted(home)
    assert found is not None
    return found.switches, found.position


def test_a_service_answers_from_a_job_whose_manager_is_killed(
    environment: FlinkEnvironment, stopping: ExitStack, tmp_path: Path
) -> None:
    broker, postgres = KafkaBroker(), Postgres()
    cluster = LocalCluster(environment, tmp_path / "cluster")
    for each in (broker, postgres, cluster):
        stopping.callback(each.stop)
        each.start()
    database, home = f"{postgres.url}/postgres", tmp_path / "job"
    topic = f"kafka://{broker.address}/answers"
    job = job_over_service(home, topic, database, crash_test.world())
    job = msgspec.structs.replace(job, publish=True)
    options = ("--log", topic, "--profile", job.profile, "--flink-job", job.name)
    (tmp_path / "service").mkdir()
    with Server(tmp_path / "service", options, database=database).started() as server:
        load = crash_test.Load(server, crash_test.world()[:IN_SHADOW], seed=3)
        load.thread.start()
        made = submission.submit(job, environment, cluster.url, options=OPTIONS)
        in_mid_run(made)
        cluster.kill_manager(0)
        cluster.launch_manager(0)
        server.kill()
        server.start()
        load.thread.join(120)
        server.settled(IN_SHADOW)
        server.stop()
        server.start("--enforce")
        load = crash_test.Load(server, crash_test.world()[:EVENTS], seed=3)
        load.at = IN_SHADOW
        load.thread.start()
        load.thread.join(120)
        server.settled(EVENTS)
        assert switched(home) == (1, IN_SHADOW)
        status, page = answers(server, "/v1/states")
        assert status == 200
        assert msgspec.json.decode(page)["as_of"]["position"] == EVENTS
        ((account,),) = server.rows("SELECT account FROM decision ORDER BY number LIMIT 1")
        act = {"verdict": "undetermined", "outcome": "restrict", "hold_s": 600, "reason": WHY}
        override = f"/v1/accounts/{account}/override"
        done = answers(server, override, msgspec.json.encode(act))
        assert (done[0], b'"outcome":"restrict"' in done[1]) == (200, True), done[1]
        status, page = answers(server, "/v1/operators")
        assert (status, "total" in msgspec.json.decode(page)) == (200, True), page
        made.api.cancel(made.job)
        rows = server.rows("SELECT body FROM decision ORDER BY number")
        assert rows
        assert [bytes(body) for (body,) in rows] == submission.rows_of(home, "decision")
        assert submission.compare(home) == (len(rows), len(rows), None)
