"""Replays of the service's log that a page has started, each in a process of its own."""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wavebreak_server.slices.versions.replay import CHANGES, PROGRESS, RESULT, Change

_ERRORS = "errors.txt"


class Ended(NamedTuple):
    """How a replay ended: its result, or why there is none."""

    result: dict[str, Any] | None
    problem: str = ""


class ReplayProcesses:
    """The replays of a service that run; they end with it."""

    def __init__(self) -> None:
        self._running: dict[Path, subprocess.Popen[bytes]] = {}
        atexit.register(self._end)

    def _end(self) -> None:
        for process in self._running.values():
            process.terminate()

    def start(self, out: Path, command: Sequence[str]) -> None:
        """Start a command of `wavebreak` that writes a replay to `out`, which is new."""
        out.mkdir(mode=0o700, parents=True)
        with (out / _ERRORS).open("wb") as errors:
            self._running[out] = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", "wavebreak", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def ended(self, out: Path) -> Ended | None:
        """Return how a replay has ended; None while it runs."""
        process = self._running.get(out)
        is_over = process is None or process.poll() is not None
        if is_over:
            self._running.pop(out, None)
        if (out / RESULT).is_file():
            return Ended(msgspec.json.decode((out / RESULT).read_bytes()))
        return Ended(None, _last_error(out)) if is_over else None


def _last_error(out: Path) -> str:
    path = out / _ERRORS
    lines = path.read_text("utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][:500] if lines else "it was ended: start it again"


def progress(out: Path) -> dict[str, int]:
    """Return how many events of how many a running replay has read."""
    try:
        found = msgspec.json.decode((out / PROGRESS).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {"events": 0, "of": 0, "share": 0}
    return found | {"share": 100 * found["events"] // max(1, found["of"])}


def changes(out: Path, kind: str = "") -> Iterator[Change]:
    """Return the accounts that fare otherwise, all or of a kind."""
    path = out / CHANGES
    if path.is_file():
        with path.open("rb") as lines:
            for line in lines:
                change = msgspec.json.decode(line, type=Change)
                if not kind or change.kind == kind:
                    yield change
