"""The job on Flink's mini-cluster decides what `wavebreak run` decides, to the byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.external_servers import postgresql
from support.flink_jobs import Decided, blocks, final_state
from support.shard_comparison import different
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.marks import Marks
from wavebreak_flink.settings import REFUSED, JobSettings
from wavebreak_flink.submission import lines_of, rows_of


def run_job(environment: FlinkEnvironment, job: JobSettings) -> None:
    """Run a job to its end."""
    done = subprocess.run(
        [environment.python, "-m", "wavebreak_flink.job", job.home, "--checkpoint-ms", "2000"],
        env=environment.variables(), capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-6000:]


@pytest.mark.parametrize(("groups", "database"), [(1, False), (2, False), (2, True)])
def test_a_mini_cluster_decides_the_same(
    environment: FlinkEnvironment, day: Decided, tmp_path: Path, groups: int, database: bool
) -> None:
    exchange = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / "job", groups=groups, exchange=exchange)
    run_job(environment, job)
    assert rows_of(Path(job.home), "decision") == day.decisions
    assert rows_of(Path(job.home), "operator") == day.operators
    assert list(lines_of(Path(job.home) / REFUSED)) == day.refused
    assert len(day.refused) == 1
    engine = job.engine()
    whole = Marks(Path(job.home), 1).read(len(blocks(job)), 0, 1, engine)
    state = {name: a for name, a in whole.items() if name.startswith(("core.", "linker."))}
    assert list(different(final_state(job), state)) == []
