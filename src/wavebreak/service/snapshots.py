"""Snapshots of a running engine: copied between two batches, written by another thread.

That thread has found memory for the copy before: the engine stands still for as long as copying
takes, 45 to 75 ms for a million accounts, the first time up to 320.

A snapshot appears only when every decision up to its position is in the database: the tail that
follows it then gives each decision once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavebreak.pipeline import Engine, snapshot
from wavebreak.service.recovery import snapshot_path, snapshots

AGAIN_S = 60.0
"""After how long memory that was not there is asked for again."""


class Snapshots:
    """When to take one (after `seconds` or `events`), and how many to keep.

    `applied` tells the position up to which decisions are written, `said` is told what fails.
    """

    def __init__(
        self, home: Path, *, seconds: float, events: int, keep: int, applied: Callable[[], int],
        position: int, said: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.home, self.seconds, self.events, self.keep = home, seconds, events, keep
        self._said = said
        self._applied, self.position = applied, position
        self._at, self._again = time.monotonic(), 0.0
        self._thread: threading.Thread | None = None
        self._room: snapshot.Room | None = None

    def between(self, engine: Engine, decisions: int) -> None:
        """Take a snapshot if it is time; called by the engine's thread between batches."""
        if self._thread is not None and self._thread.is_alive():
            return
        moved = engine.fanout.position - self.position
        late = time.monotonic() - self._at >= self.seconds
        if self._room is not None:
            self.take(engine, decisions)
        elif moved and (late or moved >= self.events) and time.monotonic() >= self._again:
            self._begin(self._prepare, snapshot.room_for(engine))

    def take(self, engine: Engine, decisions: int) -> None:
        """Copy the state now, and have it written; waits for the one before."""
        self.wait()
        room = self._room or snapshot.Room(snapshot.room_for(engine))
        self.position, self._at, self._room = engine.fanout.position, time.monotonic(), None
        path = snapshot_path(self.home, self.position, decisions)
        self._begin(self._write, snapshot.taken(engine, room), path, self.position)

    def wait(self) -> None:
        """Wait until the one that is being written is there."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, work: Callable[..., None], *given: Any) -> None:
        self._thread = threading.Thread(target=work, args=given, name="wavebreak-snapshot")
        self._thread.start()

    def _prepare(self, size: int) -> None:
        try:
            self._room = snapshot.Room(size)
        except (OSError, MemoryError):
            self._said("there is no memory for a snapshot: a start will read more of the log")
            self._again = time.monotonic() + AGAIN_S

    def _write(self, state: snapshot.Taken, path: Path, position: int) -> None:
        waited = 0.0
        while self._applied() < position:
            time.sleep(0.05)
            waited += 0.05
            if waited > 60:
                return
        try:
            snapshot.write(state, path)
        except OSError as error:
            self._said(f"{path.name} cannot be written: {error.strerror}")
            for left in self.home.glob(f"{path.name}.*.new"):
                left.unlink(missing_ok=True)
            return
        for _, _, old in snapshots(self.home)[self.keep :]:
            old.unlink(missing_ok=True)
