"""Snapshots of a running engine: copied between two batches, written by another thread.

A snapshot appears only when every decision up to its position is in the database: the tail that
follows it then gives each decision once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from wavebreak.pipeline import Engine, snapshot
from wavebreak.service.recovery import snapshot_path, snapshots


class Snapshots:
    """When to take one (after `seconds` or `events`), and how many to keep.

    `applied` tells the position up to which decisions are written.
    """

    def __init__(
        self, home: Path, *, seconds: float, events: int, keep: int, applied: Callable[[], int],
        position: int,
    ) -> None:  # fmt: skip
        self.home, self.seconds, self.events, self.keep = home, seconds, events, keep
        self.failed = ""
        self._applied, self.position = applied, position
        self._at = time.monotonic()
        self._thread: threading.Thread | None = None

    def between(self, engine: Engine, decisions: int) -> None:
        """Take a snapshot if it is time; called by the engine's thread between batches."""
        moved = engine.fanout.position - self.position
        late = time.monotonic() - self._at >= self.seconds
        if moved and (late or moved >= self.events) and not self.writing():
            self.take(engine, decisions)

    def writing(self) -> bool:
        """Whether the one before is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def take(self, engine: Engine, decisions: int) -> None:
        """Copy the state now, and have it written."""
        self.position, self._at = engine.fanout.position, time.monotonic()
        state = snapshot.taken(engine)
        path = snapshot_path(self.home, self.position, decisions)
        self._thread = threading.Thread(
            target=self._write, args=(state, path, self.position), name="wavebreak-snapshot"
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the one that is being written is there."""
        if self._thread is not None:
            self._thread.join()

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
            self.failed = f"{path.name} cannot be written: {error.strerror}"
            for left in self.home.glob(f"{path.name}.*.new"):
                left.unlink(missing_ok=True)
            return
        self.failed = ""
        for _, _, old in snapshots(self.home)[self.keep :]:
            old.unlink(missing_ok=True)
