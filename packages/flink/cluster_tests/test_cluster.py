"""The job on a cluster of a JobManager and two TaskManagers: equal, killed and rescaled."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.flink_cluster import LocalCluster, in_mid_run
from support.flink_jobs import OPTIONS, Decided
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.submission import Submission, rows_of

SMALL = 10_000
"""Bytes of a block where something happens in mid-run."""


def submitted(
    cluster: LocalCluster, environment: FlinkEnvironment, job: JobSettings
) -> Submission:  # fmt: skip
    return submission.submit(job, environment, cluster.url, options=OPTIONS)


def same_at_the_end(made: Submission, day: Decided, home: Path) -> None:
    """Hold what a job has published at its end to what the engine decided."""
    state, said = made.api.wait_for(made.job), made.api.overview(made.job)
    assert state == "FINISHED", said.failure
    assert rows_of(home, "decision") == day.decisions
    assert rows_of(home, "operator") == day.operators


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_cluster_decides_the_same(
    cluster: LocalCluster, environment: FlinkEnvironment, stretch: Decided, tmp_path: Path,
    groups: int,
) -> None:  # fmt: skip
    job = stretch.settings(tmp_path / "job", groups=groups)
    same_at_the_end(submitted(cluster, environment, job), stretch, tmp_path / "job")


def test_a_killed_task_manager_changes_nothing(
    cluster: LocalCluster, environment: FlinkEnvironment, day: Decided, tmp_path: Path
) -> None:
    job = day.settings(tmp_path / "job", block=SMALL, groups=2, mark_every=10)
    made = submitted(cluster, environment, job)
    in_mid_run(made)
    busy = cluster.managers_of(made.job)[0]
    cluster.kill_manager(busy)
    cluster.launch_manager(busy)
    same_at_the_end(made, day, tmp_path / "job")
    assert made.api.overview(made.job).restarts >= 1


def test_a_damaged_checkpoint_is_passed_over(
    cluster: LocalCluster, environment: FlinkEnvironment, day: Decided, tmp_path: Path
) -> None:
    job = day.settings(tmp_path / "job", block=SMALL, groups=2, mark_every=10)
    made = submitted(cluster, environment, job)
    in_mid_run(made, checkpoints=4)
    cluster.kill_job_manager()
    complete = (tmp_path / "job" / "checkpoints" / made.job).glob("chk-*/_metadata")
    *_, sound, newest = sorted(complete, key=lambda at: int(at.parent.name[4:]))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    made = submission.rescale(tmp_path / "job", 1, environment, lost=True)
    assert made.savepoint == sound.parent.as_uri()
    same_at_the_end(made, day, tmp_path / "job")
