"""Checks of policies in processes of their own, with limits of time and memory.

A draft is somebody's text, and what it costs to check is known afterwards. So no page of the
console checks one in its own thread: the fork server of the service starts a process, which says
what is wrong and ends.
"""

from __future__ import annotations

import multiprocessing
import resource
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak.rules import load_policy
from wavebreak_server.errors import ApiError
from wavebreak_server.texts import translate

SECONDS, MEMORY, AT_ONCE = 10, 1 << 30, 2
"""Of a check: seconds of a processor, and bytes; checks at once."""
START_S = 120.0
_FORKS = multiprocessing.get_context("forkserver")
_places = threading.BoundedSemaphore(AT_ONCE)


class Checked(NamedTuple):
    """What a check found: the version of a policy that loads, else what is wrong and its fix."""

    version: str
    what: str = ""
    fix: str = ""


def check_rules(directory: Path, seconds: int = SECONDS) -> Checked:
    """Check the rules of a policy as `wavebreak rules check` does, in a process.

    Args:
        directory: The policy; nothing else writes to it.
        seconds: Seconds of a processor that the process may use.

    Raises:
        ApiError: Too many policies are being checked (503).
    """
    if not _places.acquire(timeout=2 * seconds):
        raise ApiError(
            503,
            translate("too many policies are checked at once"),
            fix=translate("try again soon"),
            retry_after_s=seconds,
        )
    try:
        return _ask(directory, seconds)
    finally:
        _places.release()


def _ask(directory: Path, seconds: int) -> Checked:
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_run, args=(there, str(directory), seconds), daemon=True)
    with there:
        process.start()
    try:
        with here, suppress(EOFError, OSError):
            if here.poll(START_S) and here.recv() and here.poll(3 * seconds):
                return Checked(*here.recv())
    finally:
        process.kill()
        process.join()
    return Checked(
        "",
        f"the policy takes more than {seconds} s, or more memory than a check may",
        "make it smaller: fewer rules, conditions or examples",
    )


def _held_bytes() -> int:
    """Bytes of data that this process has mapped; 0 where the system does not say.

    A process that was forked has what the fork server had mapped, used or not: libraries reserve a
    gibibyte at once. A limit below that would refuse the next page, however small the policy.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()


def limit_process(seconds: int, memory: int = MEMORY) -> None:
    """Let this process take so many more seconds of a processor and bytes of memory."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    for what, most in (
        (resource.RLIMIT_DATA, _held_bytes() + memory),
        (resource.RLIMIT_CPU, int(used) + seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # the system allows less already
            resource.setrlimit(what, (most, most))


def _run(pipe: Connection, directory: str, seconds: int) -> None:
    """Check a policy, in a process that the fork server has made."""
    limit_process(seconds)
    with suppress(OSError):
        pipe.send(True)
        pipe.send(tuple(_checked(Path(directory))))


def _checked(directory: Path) -> Checked:
    try:
        for path in sorted(directory.rglob("*.toml")):
            config.read_toml(path)
        return Checked(load_policy(directory, compiled=False).version)
    except PolicyError as error:
        return Checked("", error.what, error.fix or "")
    except (MemoryError, RecursionError):
        return Checked("", "the policy is too deep or too large to read", "make it simpler")
