"""From what is on disk to an engine at the end of the log: the newest good snapshot, then the tail.

Decisions are a function of the log: those beyond the applied position are written once, those
already there are compared, and differ never.

Snapshots of a running engine: copied between two batches, written by another thread.

That thread has found memory for the copy before: the engine stands still for as long as copying
takes, 45 to 75 ms for a million accounts, the first time up to 320.

A snapshot appears only when every decision up to its position is in the database: the tail that
follows it then gives each decision once.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wavebreak.engine import Engine, snapshot
from wavebreak.engine.decision import Decision as Made
from wavebreak.errors import ServiceError, SnapshotError
from wavebreak.service import event_log
from wavebreak.service.engine_thread import row
from wavebreak.service.models import Applied, Decision
from wavebreak.service.pending_requests import Decided

_NAME = re.compile(r"state-(\d+)-(\d+)\.snapshot")


@dataclass
class Recovered:
    """Where a start found things: the log's end, decisions so far, and what had to be left out.

    `made_by` names the versions of what decides from now on. Of `earlier` decisions that others
    had made, which stand, it would not make `differ` again as they are.
    """

    made_by: str
    end: int = 0
    decisions: int = 0
    earlier: int = 0
    differ: int = 0
    snapshot: str = ""
    said: list[str] = field(default_factory=list)


def made_by(engine: Engine, lateness_s: int) -> str:
    """Versions of what decides: another one decides the log anew."""
    told = json.dumps([sorted(engine.covered), engine.enforce, lateness_s])
    model = engine.model.version if engine.model else "none"
    stream = hashlib.sha256(told.encode()).hexdigest()[:12]
    return f"{engine.policy.version} {model} {engine.version} stream-{stream}"


def snapshot_path(home: Path, position: int, decisions: int) -> Path:
    """Name of a snapshot that holds the state at a position, with so many decisions made."""
    return home / f"state-{position}-{decisions}.snapshot"


def snapshots(home: Path) -> list[tuple[int, int, Path]]:
    """Snapshots as (position, decisions, path), newest first."""
    found = [(m, p) for p in home.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted(((int(m[1]), int(m[2]), p) for m, p in found), reverse=True)


def recover(
    make: Callable[[], Engine], home: Path, lateness_s: int, *, accept_loss: bool,
    write: Callable[[Decided], None], progress: Callable[[int, int], None],
) -> tuple[Engine, Recovered]:  # fmt: skip
    """Bring an engine to the end of the log; `write` is given the decisions that are not there yet.

    `progress` is called with the position reached and the log's end. Raises ServiceError where the
    log is damaged (unless `accept_loss`), or a decision differs from the one that was written.
    """
    applied, _ = Applied.objects.get_or_create(id=1)
    fresh = make()
    found = Recovered(made_by(fresh, lateness_s), end=event_log.end())
    same = applied.made_by in ("", found.made_by)
    if not same:
        found.said.append(f"decided anew from the start: was {applied.made_by}, is {found.made_by}")
    engine, found.decisions = _restored(fresh, make, home, applied, found)
    replay = _Replay(engine, applied.position, applied.decisions, found.decisions, same=same)
    for stretch in event_log.stretches(engine.fanout.position):
        if stretch.events is None:
            if not accept_loss:
                raise event_log.lost(stretch)
            engine.fanout.position = stretch.end
            found.said.append(f"positions {stretch.first} to {stretch.end - 1} are lost")
        else:
            for made in replay.take(stretch.events, stretch.end):
                write(made)
        progress(stretch.end, found.end)
    found.decisions = replay.decisions
    if not same and not found.snapshot:
        found.earlier, found.differ = applied.decisions, replay.differing()
        found.said.append(
            f"{found.differ:,} of {found.earlier:,} earlier decisions, which stand, would come out "
            "otherwise now"
        )
    return engine, found


def _restored(
    engine: Engine, make: Callable[[], Engine], home: Path, applied: Any, found: Recovered
) -> tuple[Engine, int]:
    """The engine, or another where a snapshot left its marks and was not used."""
    for position, decisions, path in snapshots(home):
        if position > applied.position or position > found.end:
            continue
        try:
            snapshot.restore(engine, path)
        except SnapshotError as error:
            found.said.append(f"{path.name} is not used: {error.what}")
            engine = make()
            continue
        if engine.fanout.position == position:
            found.snapshot = path.name
            return engine, decisions
        found.said.append(f"{path.name} is not used: it is of another position")
        engine = make()
    return engine, 0


class _Replay:
    """Decides the tail: compares what was written, gives what was not.

    Where another policy had decided (not `same`), what it wrote up to `position` stands.
    """

    def __init__(
        self, engine: Engine, position: int, written: int, decisions: int, *, same: bool
    ) -> None:
        self.engine, self.position, self.written = engine, position, written
        self.decisions = decisions if same else written
        self._same, self._anew = same, set[int]()

    def take(self, events: Any, end: int) -> Iterator[Decided]:
        """Take a stretch that ends at a position; give what is to be written of it."""
        first = end - events.num_rows
        behind = min(max(self.position - first, 0), events.num_rows)
        if behind:
            self._known(self.engine.take(events.slice(0, behind)))
        if behind < events.num_rows:
            rows = []
            for made in self.engine.take(events.slice(behind)):
                self.decisions += 1
                rows.append(row(self.decisions, made))
            yield Decided(end, tuple(rows))

    def differing(self) -> int:
        """How many of the decisions written before are not among those made anew."""
        kept = Decision.objects.filter(number__lte=self.written).values_list("body", flat=True)
        read = (msgspec.json.decode(bytes(body), type=Made) for body in kept.iterator())
        return sum(_same_in(one) not in self._anew for one in read)

    def _known(self, made: list[Made]) -> None:
        if not self._same:
            self._anew.update(map(_same_in, made))
        if not self._same or not made:
            return
        first = self.decisions + 1
        self.decisions += len(made)
        kept = Decision.objects.filter(number__gte=first, number__lte=self.decisions)
        bodies = dict(kept.values_list("number", "body"))
        for number, one in enumerate(made, first):
            if bytes(bodies.get(number, b"")) != msgspec.json.encode(one):
                raise ServiceError(
                    f"decision {number} ({one.id}) is not what the log says it must be",
                    fix="the database was changed, or the machine computes otherwise: restore a "
                    "backup",
                )


def _same_in(made: Made) -> int:
    """What two decisions must have alike to be the same answer, by whatever rule it was given."""
    return hash((made.account, made.trigger, made.ts, made.outcome, made.until))


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
        self._room: snapshot.CopyBuffer | None = None

    def between(self, engine: Engine, decisions: int) -> None:
        """Take a snapshot if it is time; called by the engine's thread between batches."""
        if self._thread is not None and self._thread.is_alive():
            return
        moved = engine.fanout.position - self.position
        late = time.monotonic() - self._at >= self.seconds
        if self._room is not None:
            self.take(engine, decisions)
        elif moved and (late or moved >= self.events) and time.monotonic() >= self._again:
            self._begin(self._prepare, snapshot.copy_size(engine))

    def take(self, engine: Engine, decisions: int) -> None:
        """Copy the state now, and have it written; waits for the one before."""
        self.wait()
        room = self._room or snapshot.CopyBuffer(snapshot.copy_size(engine))
        self.position, self._at, self._room = engine.fanout.position, time.monotonic(), None
        path = snapshot_path(self.home, self.position, decisions)
        self._begin(self._write, snapshot.copy_state(engine, room), path, self.position)

    def wait(self) -> None:
        """Wait until the one that is being written is there."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, work: Callable[..., None], *given: Any) -> None:
        self._thread = threading.Thread(target=work, args=given, name="wavebreak-snapshot")
        self._thread.start()

    def _prepare(self, size: int) -> None:
        try:
            self._room = snapshot.CopyBuffer(size)
        except (OSError, MemoryError):
            self._said("there is no memory for a snapshot: a start will read more of the log")
            self._again = time.monotonic() + AGAIN_S

    def _write(self, state: snapshot.EngineState, path: Path, position: int) -> None:
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
