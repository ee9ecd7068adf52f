"""Runner of the console's long work: `wavebreak` commands, in processes of their own.

What takes minutes (a report, a bundle, a replay) does not slow the service's own process. A command
ends with the service, and after its time limit.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

LIMIT_S = 3600.0
"""Seconds that a command may take."""
SAID_LINES, SAID_LENGTH = 3, 500

_processes: set[subprocess.Popen[str]] = set()


class Ended(NamedTuple):
    """How a command ended: its exit code, its output, and the last lines of its errors.

    A command that was stopped at its time limit has the code -9.
    """

    code: int
    output: str
    problem: str


@atexit.register
def _end_all() -> None:
    for process in list(_processes):
        process.terminate()


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, limit_s: float = LIMIT_S
) -> Ended:
    """Run a `wavebreak` command and wait for its end.

    Args:
        arguments: The command's name and arguments: values of ours, or checked ones.
        environment: Variables beside those of this process. What is secret belongs here, since
            the list of processes shows arguments.
        limit_s: Seconds after which it is stopped.

    """
    return _wait(_start(arguments, environment), limit_s)


class RunningCommand:
    """A `wavebreak` command that runs in the background.

    Args:
        arguments: As of `run_command`.
        done: Called with how it ended, in a thread of its own, before `running` becomes False.
        environment: As of `run_command`.
        limit_s: As of `run_command`.

    """

    def __init__(
        self,
        arguments: Sequence[str],
        done: Callable[[Ended], None],
        environment: Mapping[str, str] | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._done, self._limit_s, self._process = done, limit_s, _start(arguments, environment)
        self._thread = threading.Thread(target=self._follow, name=arguments[0], daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it runs, or what it ended with is being stored."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end, at most `timeout_s`; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self.running

    def _follow(self) -> None:
        self._done(_wait(self._process, self._limit_s))


def _start(
    arguments: Sequence[str], environment: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603 - this program itself, with checked arguments
        [sys.executable, "-m", "wavebreak", *arguments],
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    _processes.add(process)
    return process


def _wait(process: subprocess.Popen[str], limit_s: float) -> Ended:
    try:
        output, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Ended(-9, "", f"it took over {limit_s / 60:.0f} minutes")
    finally:
        _processes.discard(process)
    lines = (errors or output).strip().splitlines()[-SAID_LINES:]
    said = " ".join(line.strip() for line in lines)
    return Ended(
        process.returncode, output, said[-SAID_LENGTH:] or f"it ended with {process.returncode}"
    )
