"""Recovery of an engine from the newest valid snapshot and the rest of the log, and snapshots.

Decisions are a function of the log: those after the applied position are stored once; those already
stored are compared with the recomputed ones and must be equal.

Where the service now enforces and did not before (or the other way round), the log up to the
applied position is replayed in the mode that decided it. The engine switches there: outcomes found
in shadow are cleared, and nobody is silenced without a new decision.

Where the policy or the model was switched while the service ran (see `policy_switch`), a snapshot
holds the state from which they go on. Older ones are not used, and what was decided before is not
compared.

Snapshots are copied between two batches and written by another thread, which allocates the memory
beforehand: the engine pauses only for the copy, 45 to 75 ms for a million accounts (up to 320 ms
the first time). A snapshot file appears only when every decision up to its position is stored, so
that replaying from it yields each later decision once.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import msgspec
from django.db import transaction

from wavebreak.engine import Engine, snapshot
from wavebreak.engine.decision import Decision as Made
from wavebreak.engine.mode_switch import switch_mode
from wavebreak.engine.state_size import check_size
from wavebreak.engine.versions import engine_versions, stream_version
from wavebreak.errors import ServiceError, SnapshotError
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.live_policy import live_policy
from wavebreak_server.pipeline.pending_requests import DecidedBatch, decision_row
from wavebreak_server.settings import Settings
from wavebreak_server.storage import event_log, state_changes
from wavebreak_server.storage.models import AppliedPosition, Decision, LogRepair
from wavebreak_server.storage.row_macs import bound_key

_NAME = re.compile(r"state-(\d+)-(\d+)\.snapshot")


@dataclass
class RecoveryReport:
    """The result of a recovery: the log's end, decisions so far, and messages for the operator.

    `made_by` holds the versions that decide from now on. `earlier` decisions by other versions
    remain in force; `differ` of them would not be reproduced.
    """

    made_by: str
    end: int = 0
    decisions: int = 0
    earlier: int = 0
    differ: int = 0
    snapshot: str = ""
    messages: list[str] = field(default_factory=list)


def _maker_before(
    make: Callable[[], Engine], fresh: Engine, lateness_s: int, applied: Any, report: RecoveryReport
) -> Callable[[], Engine]:
    """Return what makes engines in the mode that decided up to the applied position.

    That is known where nothing else of the stream has changed; otherwise it is today's mode.
    """
    other = stream_version(fresh, lateness_s, enforce=not fresh.enforce)
    if applied.made_by.rpartition(" ")[2] != other:
        return make
    report.messages.append(_switch_message(applied.position, enforce=fresh.enforce))

    def make_before() -> Engine:
        engine = make()
        engine.set_mode(enforce=not engine.enforce)
        return engine

    return make_before


def snapshot_path(home: Path, position: int, decisions: int) -> Path:
    """Return the path of the snapshot at a position, after this many decisions."""
    return home / f"state-{position}-{decisions}.snapshot"


def new_snapshot_path(home: Path, position: int, decisions: int) -> Path:
    """Return a path at which there is no snapshot: zeros before a number change nothing.

    A trimmed log rests on the snapshot of what decides. One of another policy at the same position
    must not replace it before that policy decides: the process may die between.
    """
    path, zeros = snapshot_path(home, position, decisions), ""
    while path.exists():
        zeros += "0"
        path = home / f"state-{position}-{zeros}{decisions}.snapshot"
    return path


def list_snapshots(home: Path) -> list[tuple[int, int, Path]]:
    """Return snapshots as (position, decisions, path), newest first."""
    matches = [(m, p) for p in home.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted(((int(m[1]), int(m[2]), p) for m, p in matches), reverse=True)


def usable_snapshots(home: Path) -> Iterator[tuple[int, Path]]:
    """Yield the snapshots that are whole and of the versions that decide, newest first.

    Each is read whole before it is yielded.
    """
    applied = AppliedPosition.objects.filter(id=1).first()
    if applied is None or not applied.made_by:
        return
    policy, model, features, _ = applied.made_by.rsplit(" ", 3)
    wanted = {"policy": policy, "model": None if model == "none" else model, "features": features}
    for position, _, path in list_snapshots(home):
        try:
            about = snapshot.check(path, bound_key("snapshot"))
        except SnapshotError:
            continue
        if position <= applied.position and wanted.items() <= about.items():
            yield position, path


def recover(
    make: Callable[[], Engine],
    settings: Settings,
    lateness_s: int,
    *,
    write: Callable[[DecidedBatch], None],
    progress: Callable[[int, int], None],
    states: EnforcementCache,
) -> tuple[Engine, RecoveryReport]:
    """Bring an engine to the end of the log.

    Args:
        make: Returns an engine without state.
        settings: Where the snapshots are, whether damaged rows are skipped, and the ceiling.
        lateness_s: Allowed lateness of events.
        write: Called with decisions that are not stored.
        progress: Called with the position reached and the log's end.
        states: Filled with the stored enforcement states, before the log is replayed.

    Raises:
        ServiceError: The log is damaged, or a stored decision is not reproduced.
        StateSizeError: The state that the log makes is beyond its ceiling.
    """
    home, ceiling = settings.home, settings.ceiling
    applied = _begin_repairs()
    fresh = make()
    enforce = fresh.enforce
    report = RecoveryReport(engine_versions(fresh, lateness_s), end=event_log.log_end())
    make_before = _maker_before(make, fresh, lateness_s, applied, report)
    _fill(states, begins_to_enforce=enforce and make_before is not make)
    fresh = fresh if make_before is make else make_before()
    same = applied.made_by in ("", engine_versions(fresh, lateness_s))
    live = live_policy(home)
    since = live.position if live else 0
    engine, report.decisions = _restored(fresh, make_before, home, applied, report, since)
    if not report.snapshot and since:
        # The state in which the policy was switched is lost: what was decided before it stays.
        same = False
    if not same and not report.snapshot:
        report.messages.append(
            f"replaying the whole log: versions were {applied.made_by}, are {report.made_by}"
        )

    _check_begin(engine, report)
    check_size(engine, ceiling)

    def at_applied(decisions: int) -> None:
        if engine.enforce != enforce:
            switch_mode(engine, enforce=enforce)
            _store_switch(engine, home, decisions, report.made_by)

    replay = _Replay(
        engine, applied.position, applied.decisions, report.decisions, same=same, reached=at_applied
    )
    for stretch in event_log.read_log(engine.fanout.position):
        if stretch.events is None:
            if not settings.accept_loss:
                raise event_log.damage_error(stretch)
            engine.fanout.position = stretch.end
            report.messages.append(f"positions {stretch.first} to {stretch.end - 1} are lost")
        else:
            for batch in replay.take(stretch.events, stretch.end):
                write(batch)
        check_size(engine, ceiling)
        progress(stretch.end, report.end)
    replay.reach_applied()
    report.decisions = replay.decisions
    if not same and not report.snapshot:
        report.earlier, report.differ = applied.decisions, replay.differing()
        report.messages.append(
            f"{report.differ:,} of {report.earlier:,} earlier decisions would not be reproduced; "
            f"they remain {'in force' if make_before is make else 'on record'}"
        )
    return engine, report


def _check_begin(engine: Engine, report: RecoveryReport) -> None:
    """Raise ServiceError where the log was trimmed beyond an engine's position.

    An engine that began there would not know of a ban that the removed events led to.
    """
    begin = event_log.log_start().position
    if engine.fanout.position >= begin:
        return
    reasons = "; ".join(m for m in report.messages if "is not used" in m) or "none is there"
    raise ServiceError(
        f"the log was trimmed and begins at position {begin:,}, and no snapshot leads there: "
        f"{reasons}",
        fix="start with the policy, model and version of a snapshot and switch policies while the "
        "service runs, or restore a backup, which holds a snapshot",
    )


def _fill(states: EnforcementCache, *, begins_to_enforce: bool) -> None:
    """Fill the cache once; outcomes found in shadow, which are cleared, refuse nobody meanwhile."""
    if begins_to_enforce:
        states.clear()
    elif not states.loaded:
        states.load()


def _begin_repairs() -> Any:
    """Return the applied position, moved back to the first position of a repair that is new."""
    with transaction.atomic():
        applied, _ = AppliedPosition.objects.get_or_create(id=1)
        begun = LogRepair.objects.filter(done=False)
        positions = list(begun.values_list("position", flat=True))
        if positions:
            applied.position = min(applied.position, *positions)
            applied.save(update_fields=["position"])
            begun.update(done=True)
    return applied


def _switch_message(position: int, *, enforce: bool) -> str:
    if enforce:
        return (
            f"enforcement begins at position {position:,}: outcomes found in shadow are cleared, "
            "evidence stays"
        )
    return f"shadow begins at position {position:,}: outcomes run on and refuse nothing"


def _store_switch(engine: Engine, home: Path, decisions: int, made_by: str) -> None:
    """Store where the mode switched: a snapshot from there, versions, and no outcome in force.

    A restart goes on from that snapshot, so that the switch stays where it was.
    """
    path = snapshot_path(home, engine.fanout.position, decisions)
    snapshot.save(engine, path, bound_key("snapshot"))
    with transaction.atomic():
        AppliedPosition.objects.filter(id=1).update(made_by=made_by)
        if engine.enforce:
            state_changes.lift_all()


def _restored(
    engine: Engine,
    make: Callable[[], Engine],
    home: Path,
    applied: Any,
    report: RecoveryReport,
    since: int,
) -> tuple[Engine, int]:
    """Restore the newest valid snapshot from a position on, or return an engine without state."""
    for position, decisions, path in list_snapshots(home):
        if not since <= position <= min(applied.position, report.end):
            continue
        try:
            if snapshot.restore(engine, path, bound_key("snapshot")) != engine.enforce:
                why = "it was made in the other mode"
            elif engine.fanout.position != position:
                why = "its position is not that of its name"
            else:
                report.snapshot = path.name
                return engine, decisions
        except SnapshotError as error:
            why = error.what
        report.messages.append(f"{path.name} is not used: {why}")
        engine = make()
    return engine, 0


class _Replay:
    """Replays the rest of the log: compares stored decisions, yields missing ones.

    If other versions decided (not `same`), their decisions up to `position` remain in force.
    `reached` is called once, with the number of decisions, when the replay is at `position`.
    """

    def __init__(
        self,
        engine: Engine,
        position: int,
        written: int,
        decisions: int,
        *,
        same: bool,
        reached: Callable[[int], None],
    ) -> None:
        self._repairs = list(
            LogRepair.objects.order_by("position").values_list("position", "end", "decisions")
        )
        self.engine, self.position, self.written = engine, position, written
        self.decisions = decisions if same else written
        self._same, self._anew = same, set[int]()
        self._reached, self._at_applied = reached, False

    def reach_applied(self) -> None:
        """Note that everything up to the applied position has been replayed."""
        if not self._at_applied:
            self._at_applied = True
            self._reached(self.decisions)

    def take(self, events: Any, end: int) -> Iterator[DecidedBatch]:
        """Replay a segment that ends at a position; yield the decisions to store."""
        first = end - events.num_rows
        cuts = {at for repair in self._repairs for at in repair[:2]} | {self.position}
        steps = [first, *sorted(at for at in cuts if first < at < end), end]
        for begin, stop in pairwise(steps):
            yield from self._step(events.slice(begin - first, stop - begin), begin, stop)

    def _step(self, events: Any, begin: int, end: int) -> Iterator[DecidedBatch]:
        """Replay events that lie on one side of the applied position and of each repair."""
        if end <= self.position:
            self._known(self._unstored(self.engine.take(events), begin))
            return
        # Before the first event behind that position: the mode switches there.
        self.reach_applied()
        rows = []
        for decision in self._unstored(self.engine.take(events), begin):
            self.decisions += 1
            rows.append(decision_row(self.decisions, decision))
        yield DecidedBatch(end, tuple(rows))

    def _unstored(self, decisions: list[Made], begin: int) -> list[Made]:
        """Leave out what was on record when the log was repaired from or before this position.

        What a repaired part decides anew is numbered after those decisions.
        """
        repairs = [repair for repair in self._repairs if repair[0] <= begin]
        if not repairs or not (self._same or begin >= self.position):
            return decisions
        self.decisions = max(self.decisions, *(before for _, _, before in repairs))
        before = max((before for _, end, before in repairs if begin < end), default=0)
        if not before or not decisions:
            return decisions
        ids = [decision.id for decision in decisions]
        stored = Decision.objects.filter(id__in=ids, number__lte=before)
        known = set(stored.values_list("id", flat=True))
        return [decision for decision in decisions if decision.id not in known]

    def differing(self) -> int:
        """Return how many stored decisions the replay has not reproduced."""
        kept = Decision.objects.filter(number__lte=self.written).values_list("body", flat=True)
        read = (msgspec.json.decode(bytes(body), type=Made) for body in kept.iterator())
        return sum(_outcome_hash(one) not in self._anew for one in read)

    def _known(self, decisions: list[Made]) -> None:
        if not self._same:
            self._anew.update(map(_outcome_hash, decisions))
        if not self._same or not decisions:
            return
        first = self.decisions + 1
        self.decisions += len(decisions)
        kept = Decision.objects.filter(number__gte=first, number__lte=self.decisions)
        bodies = dict(kept.values_list("number", "body"))
        for number, one in enumerate(decisions, first):
            if bytes(bodies.get(number, b"")) != msgspec.json.encode(one):
                raise ServiceError(
                    f"stored decision {number} ({one.id}) differs from the one that the log yields",
                    fix="the database was changed, or the machine computes otherwise: restore a "
                    "backup",
                )


def _outcome_hash(decision: Made) -> int:
    """Hash what two decisions must share to count as the same, whichever rule made them."""
    return hash((decision.account, decision.trigger, decision.ts, decision.outcome, decision.until))


RETRY_MEMORY_S = 60.0
"""Seconds until memory for a snapshot is requested again after a failure."""


class BackgroundWork(Protocol):
    """Work that runs beside its caller: a thread, or the like."""

    def is_alive(self) -> bool:
        """Whether it is not finished."""
        ...

    def join(self) -> None:
        """Wait until it is finished."""
        ...


def start_thread(work: Callable[[], None]) -> BackgroundWork:
    """Run the work of snapshots in a thread."""
    thread = threading.Thread(target=work, name="wavebreak-snapshot")
    thread.start()
    return thread


class SnapshotScheduler:
    """Takes a snapshot after so many seconds or events, and keeps the newest ones.

    `applied` returns the position up to which decisions are stored; `report` is called with
    messages for the operator. `start` runs work beside the engine, and `monotonic` returns
    seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        applied: Callable[[], int],
        position: int,
        report: Callable[[str], None] = lambda _: None,
        start: Callable[[Callable[[], None]], BackgroundWork] = start_thread,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start, self._monotonic = start, monotonic
        self.home, self.keep = settings.home, settings.snapshots
        self.seconds, self.events = settings.snapshot_s, settings.snapshot_events
        self._report = report
        self._applied, self.position = applied, position
        self._at, self._retry_at = self._monotonic(), 0.0
        self._thread: BackgroundWork | None = None
        self._room: snapshot.CopyBuffer | None = None
        self._abandoned = False

    def between_batches(self, engine: Engine, decisions: int) -> None:
        """Take a snapshot if one is due; called by the engine thread between batches."""
        if self._thread is not None and self._thread.is_alive():
            return
        moved = engine.fanout.position - self.position
        late = self._monotonic() - self._at >= self.seconds
        if self._room is not None:
            self.take(engine, decisions)
        elif moved and (late or moved >= self.events) and self._monotonic() >= self._retry_at:
            self._begin(self._prepare, snapshot.copy_size(engine))

    def take(self, engine: Engine, decisions: int) -> None:
        """Copy the state now and write it in a thread; waits for the previous one."""
        self.wait()
        room = self._room or snapshot.CopyBuffer(snapshot.copy_size(engine))
        self.position, self._at, self._room = engine.fanout.position, self._monotonic(), None
        path = snapshot_path(self.home, self.position, decisions)
        self._begin(self._write, snapshot.copy_state(engine, room), path, self.position)

    def abandon(self) -> None:
        """Give up a snapshot that waits for decisions to be stored: they will not be."""
        self._abandoned = True

    def wait(self) -> None:
        """Wait until a snapshot in progress is written."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, work: Callable[..., None], *arguments: Any) -> None:
        self._thread = self._start(partial(work, *arguments))

    def _prepare(self, size: int) -> None:
        try:
            self._room = snapshot.CopyBuffer(size)
        except (OSError, MemoryError):
            self._report(
                "not enough memory for a snapshot: the next start will replay more of the log"
            )
            self._retry_at = self._monotonic() + RETRY_MEMORY_S

    def _write(self, state: snapshot.EngineState, path: Path, position: int) -> None:
        waited = 0.0
        while self._applied() < position:
            time.sleep(0.05)
            waited += 0.05
            if waited > 60 or self._abandoned:
                return
        try:
            snapshot.write(state, path, bound_key("snapshot"))
        except OSError as error:
            self._report(f"{path.name} cannot be written: {error.strerror}")
            for left in self.home.glob(f"{path.name}.*.new"):
                left.unlink(missing_ok=True)
            return
        for _, _, old in list_snapshots(self.home)[self.keep :]:
            old.unlink(missing_ok=True)
