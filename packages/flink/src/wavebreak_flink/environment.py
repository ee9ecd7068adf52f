"""The environment in which Flink's Python runs, and its programs.

It is not the one of this command: Flink pins older libraries. In a checkout `make scale` sets it
up; an image of the cluster has its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from wavebreak.errors import UsageError
from wavebreak_flink.rest_api import Address

VARIABLE = "WAVEBREAK_FLINK"
_DEFAULT = ".venv-flink"
_FIX = (
    f"in a checkout `make scale` sets it up; else name its directory: --environment, or {VARIABLE}"
)
_SUBMITTED = re.compile(r"JobID ([0-9a-f]{32})")


class FlinkEnvironment:
    """A Python environment with Flink, Wavebreak and its job.

    Args:
        root: Its directory.

    Raises:
        UsageError: It is not there, or not complete; or there is no Java.
    """

    def __init__(self, root: Path) -> None:
        self.python = root.absolute() / "bin" / "python"
        homes = sorted(root.glob("lib/python3*/site-packages/pyflink"))
        if not self.python.exists() or not homes:
            raise UsageError(f"{root} holds no Python environment with Flink", fix=_FIX)
        self.home = homes[0].absolute()
        if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
            raise UsageError(
                "there is no Java, which Flink needs",
                fix="install one (Debian: openjdk-17-jre-headless), or set JAVA_HOME",
            )

    def variables(self) -> dict[str, str]:
        """Return the environment variables of Flink's programs."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        path = f"{self.python.parent}{os.pathsep}{kept.get('PATH', '')}"
        return kept | {"FLINK_HOME": str(self.home), "PATH": path}

    def submit(
        self, address: Address, home: Path, settings: Mapping[str, str], savepoint: str = ""
    ) -> str:
        """Give a job to a cluster; return its id.

        Args:
            address: Of the cluster's REST API.
            home: The job's directory.
            settings: Flink's settings of the job.
            savepoint: From which it goes on ("": from the log's beginning).

        Raises:
            UsageError: Flink did not accept it.
        """
        options = dict(settings) | {"rest.address": address.host, "rest.port": str(address.port)}
        command = [
            str(self.home / "bin" / "flink"), "run", "--detached", "--target", "remote",
            *(["--fromSavepoint", savepoint] if savepoint else []),
            *(f"-D{name}={value}" for name, value in options.items()),
            "--pyClientExecutable", str(self.python), "--pyExecutable", str(self.python),
            "--python", str(Path(__file__).parent / "job.py"), str(home),
        ]  # fmt: skip
        said = self._run(command)
        found = _SUBMITTED.search(said)
        if found is None:
            raise UsageError(
                f"Flink did not accept the job: {_reason(said)}",
                fix="see the log of the JobManager, and whether the cluster is of this version",
            )
        return found[1]

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(  # noqa: S603 (its own program, no shell)
            command, env=self.variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return done.stdout.decode("utf-8", "replace")


def find_environment(given: Path | None) -> FlinkEnvironment:
    """Return the environment that was given, that of the variable, or that of the checkout."""
    return FlinkEnvironment(given or Path(os.environ.get(VARIABLE, _DEFAULT)))


def _reason(said: str) -> str:
    """Return the last cause that Java named, or the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    return (causes or lines or ["it said nothing"])[-1][:500]
