"""The job on Flink's mini-cluster decides what `wavebreak run` decides, to the byte."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from support.external_servers import postgresql
from support.flink_cluster import await_
from support.flink_jobs import Decided, blocks, final_state
from support.shard_comparison import different
from wavebreak.schema.events import Refusal
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.marks import Marks
from wavebreak_flink.rows import refused_row
from wavebreak_flink.settings import REFUSED, JobSettings
from wavebreak_flink.submission import lines_of, rows_of
from wavebreak_flink.switches import Switches


def command(environment: FlinkEnvironment, job: JobSettings, **more: str) -> list[str]:
    """What runs a job on a mini-cluster."""
    home = Path(job.home)
    options = {
        "execution.checkpointing.interval": "500",
        "execution.checkpointing.dir": (home / "checkpoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    } | more
    flags = [f"--set={name}={value}" for name, value in options.items()]
    return [str(environment.python), "-m", "wavebreak_flink.job", *flags, job.home]


def run_job(environment: FlinkEnvironment, job: JobSettings, **more: str) -> None:
    """Run a job to its end."""
    done = subprocess.run(
        command(environment, job, **more), env=environment.variables(), capture_output=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-6000:]


def newest_checkpoint(home: Path) -> Path | None:
    """The newest whole checkpoint of a job."""
    found = home.glob("checkpoints/*/chk-*/_metadata")
    return max((each.parent for each in found), key=lambda path: int(path.name[4:]), default=None)


def killed_in_mid_run(environment: FlinkEnvironment, job: JobSettings, numbered: int) -> Path:
    """Run a job until it has made so many checkpoints, and kill all; return the newest."""
    home = Path(job.home)
    with (home / "killed.log").open("ab") as log:
        running = subprocess.Popen(
            command(environment, job), env=environment.variables(), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    await_(
        lambda: running.poll() is not None
        or ((found := newest_checkpoint(home)) is not None and int(found.name[4:]) >= numbered),
        "no checkpoint was made",
    )  # fmt: skip
    assert running.poll() is None, (home / "killed.log").read_text("utf-8")[-3000:]
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    found = newest_checkpoint(home)
    assert found is not None
    return found


@pytest.mark.parametrize(("groups", "database"), [(1, False), (2, False), (2, True)])
def test_a_mini_cluster_decides_the_same(
    environment: FlinkEnvironment, day: Decided, tmp_path: Path, groups: int, database: bool
) -> None:
    exchange = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / "job", groups=groups, exchange=exchange)
    run_job(environment, job)
    assert rows_of(Path(job.home), "decision") == day.decisions
    assert rows_of(Path(job.home), "operator") == day.operators
    (refused,) = (msgspec.json.decode(line, type=Refusal) for line in day.refused)
    rows = [line.decode() for line in lines_of(Path(job.home) / REFUSED)]
    assert rows == [refused_row(day.log.name, refused)]
    deciding = Switches(job).deciding(0)
    whole = Marks(job).read(len(blocks(job)), 0, 1, deciding)
    state = {name: a for name, a in whole.items() if name.startswith(("core.", "linker."))}
    assert list(different(final_state(job), state)) == []


def test_a_killed_cluster_goes_on_from_a_checkpoint_rescaled(
    environment: FlinkEnvironment, day: Decided, tmp_path: Path
) -> None:
    job = day.settings(tmp_path / "job", block=10_000, groups=1, mark_every=10)
    checkpoint = killed_in_mid_run(environment, job, numbered=5)
    before = rows_of(tmp_path / "job", "decision")
    assert len(before) < len(day.decisions)
    job = msgspec.structs.replace(job, groups=2)
    job.save()
    run_job(environment, job, **{"execution.state-recovery.path": checkpoint.as_uri()})
    assert rows_of(tmp_path / "job", "decision") == day.decisions
    assert rows_of(tmp_path / "job", "operator") == day.operators
    lines = list(lines_of(tmp_path / "job" / "results"))
    assert len(lines) == len(day.decisions) + len(day.operators), "a row was published twice"
