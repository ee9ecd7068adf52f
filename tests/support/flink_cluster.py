"""A cluster on this machine: a JobManager and TaskManagers, as processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from support.external_servers import answers, free_ports
from wavebreak.errors import UsageError
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.rest_api import Address, RestApi
from wavebreak_flink.submission import Submission

PATIENCE_S = 600


def await_(what: Callable[[], bool], message: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, message
        time.sleep(0.2)


def in_mid_run(made: Submission, checkpoints: int = 2) -> None:
    """Wait until a job that is not at its end has made checkpoints."""
    await_(
        lambda: made.api.overview(made.job).checkpoints >= checkpoints, "no checkpoint was made"
    )  # fmt: skip
    assert made.api.overview(made.job).state == "RUNNING"


def _processes() -> Iterator[tuple[int, int, bytes]]:
    """Return the processes of this machine: number, session, command."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            yield int(path.name), int(fields[3]), (path / "cmdline").read_bytes()


class LocalCluster:
    """A JobManager, and TaskManagers of so many slots each.

    Args:
        environment: With Flink's distribution.
        home: For configuration and logs.
        managers: TaskManagers.
        slots: Of each.
        settings: More of Flink's configuration.

    """

    def __init__(
        self, environment: FlinkEnvironment, home: Path, *, managers: int = 2, slots: int = 2,
        settings: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._environment, self._home, self._managers = environment, home, managers
        self._port, rpc = free_ports(2)
        self._processes = dict[str, subprocess.Popen[bytes]]()
        self._launches = 0
        conf = home / "conf"
        conf.mkdir(parents=True)
        shipped = environment.home / "conf"
        for path in shipped.glob("*.properties"):
            (conf / path.name).write_bytes(path.read_bytes())
        of_flink = yaml.safe_load((shipped / "config.yaml").read_text("utf-8"))
        (conf / "config.yaml").write_text(yaml.safe_dump({
            "env.java.opts.all": of_flink["env"]["java"]["opts"]["all"],
            "env.log.dir": str(home / "log"),
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": rpc,
            "jobmanager.memory.process.size": "1100m",
            "execution.checkpointing.num-retained": 3,
            # How far a job is, is asked for while it is measured.
            "metrics.fetcher.update-interval": "500",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self._port,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": slots,
            "taskmanager.memory.process.size": "1500m",
            "taskmanager.memory.managed.size": "256m",
            "io.tmp.dirs": str(home / "tmp"),
            "heartbeat.interval": "1 s",
            "heartbeat.timeout": "30 s",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 100,
            "restart-strategy.fixed-delay.delay": "1 s",
        } | dict(settings or {})), "utf-8")  # fmt: skip
        (home / "tmp").mkdir()

    @property
    def url(self) -> str:
        """The URL of the REST API."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pids(self) -> list[int]:
        """The processes of JobManager and TaskManagers."""
        return [process.pid for process in self._processes.values()]

    @property
    def api(self) -> RestApi:
        """The REST API."""
        return RestApi(Address.of(self.url))

    def start(self) -> None:
        """Start all, and wait until each TaskManager is known."""
        self._launch("jobmanager")
        await_(lambda: answers(self._port), "the JobManager does not answer")
        for number in range(self._managers):
            self.launch_manager(number)
        await_(lambda: self._known() == self._managers, "a TaskManager did not come")

    def launch_manager(self, number: int) -> None:
        """Start a TaskManager."""
        # Each start has a name of its own, by which the cluster says who runs what.
        self._launches += 1
        name = f"-Dtaskmanager.resource-id=manager{number}.{self._launches}"
        self._launch("taskmanager", number, name)

    def managers_of(self, job: str) -> list[int]:
        """Return the TaskManagers that run a job's tasks."""
        vertices = [vertex["id"] for vertex in self._said(f"/jobs/{job}")["vertices"]]
        tasks = [
            each["taskmanager-id"]
            for vertex in vertices
            for each in self._said(f"/jobs/{job}/vertices/{vertex}/taskmanagers")["taskmanagers"]
        ]
        names = (name.removeprefix("manager").partition(".")[0] for name in tasks)
        return sorted({int(name) for name in names if name.isdigit()})

    def messages_of(self, job: str) -> int:
        """Return how many messages the groups of a job have taken."""
        vertices = self._said(f"/jobs/{job}")["vertices"]
        groups = (each for each in vertices if each["name"].startswith("shards"))
        return sum(each["metrics"]["read-records"] for each in groups)

    def pids_of(self, number: int, command: bytes = b"") -> list[int]:
        """Return the processes of a TaskManager whose command has something, Python's too."""
        session = self._processes[f"taskmanager{number}"].pid
        return [pid for pid, leader, line in _processes() if leader == session and command in line]

    def _said(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def kill_manager(self, number: int) -> None:
        """Kill a TaskManager as it is."""
        self._kill(f"taskmanager{number}")

    def kill_job_manager(self) -> None:
        """Kill the JobManager as it is, and start another one, which knows of no job."""
        self._kill("jobmanager0")
        self._launch("jobmanager")
        await_(lambda: answers(self._port), "the JobManager does not answer")
        await_(lambda: self._known() == self._managers, "a TaskManager did not come back")

    def stop(self) -> None:
        """Kill all."""
        for name in list(self._processes):
            self._kill(name)

    def _launch(self, kind: str, number: int = 0, *options: str) -> None:
        name = f"{kind}{number}"
        variables = self._environment.variables() | {
            "FLINK_CONF_DIR": str(self._home / "conf"), "FLINK_LOG_DIR": str(self._home / "log"),
        }  # fmt: skip
        with (self._home / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [self._environment.home / "bin" / f"{kind}.sh", "start-foreground", *options],
                env=variables, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        # With its Python workers: as where a machine fails.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _known(self) -> int:
        try:
            return self.api.task_managers()
        except UsageError:
            # The JobManager answers before it leads.
            return 0
