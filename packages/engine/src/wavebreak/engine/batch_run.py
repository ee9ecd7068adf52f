"""Batch run: a file of events in, decisions out.

`run` is the main flow from file to decisions, one stage after another. Three threads and the
engine's workers share the work; bounded queues between them keep memory bounded:

    thread wavebreak-read      thread wavebreak-fan-out      main thread
    +--------------------+     +---------------------+     +-----------------------------------+
    | read, validate,    |  q  | fan out into account|  q  | features, rules, model -> decide  |
    | pseudonymize       |====>| events by shard     |====>| record in the ledger -> write     |
    | (io.read)          |     | (features.facts)    |     |    |                              |
    +--------------------+     +---------------------+     |    +-> workers (--shards threads):|
                                                           |        64 shards, one kernel pass |
      q: queue of QUEUE_SIZE batches                       +-----------------------------------+

The kernel releases the GIL, so the stages overlap. The decisions are the same for every number of
workers and every batch size (docs/determinism).
"""

from __future__ import annotations

import hashlib
import json
import platform
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec
import pyarrow.parquet as pq

from wavebreak.engine import snapshot
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import FirstMessages
from wavebreak.engine.engine import Engine
from wavebreak.engine.state_ceiling import StateCeiling
from wavebreak.engine.state_size import check_size
from wavebreak.errors import UsageError
from wavebreak.features.facts import Segment
from wavebreak.io import Batch, Source, Table, events_file, read, sample
from wavebreak.linking import storage as operators_file
from wavebreak.model import Model
from wavebreak.outcomes import BY_RANK, code_of
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Program
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak.version import __version__

Item = TypeVar("Item")

REFUSED_KEPT = 1_000
"""Most refused events that are written to refused.jsonl; all are counted."""
TABLE_LOG = "events.parquet"
"""File of a run's directory with the events of a table, which `summary.json` names as its log."""
QUEUE_SIZE = 4
"""Batches that one stage may be ahead of the next."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run: share of the file read, events read, decisions made, seconds passed."""

    share: float
    events: int
    decisions: int
    seconds: float


class DecisionRecorder(Protocol):
    """Records decisions in a ledger; `wavebreak.ledger.Sealer` implements it."""

    def versions(self, engine: Engine) -> None:
        """Record the policy and the model that decide from here on."""

    def decisions(self, made: Sequence[Decision]) -> Sequence[int]:
        """Record decisions before they take effect; return their positions."""

    def receipts(self, positions: Sequence[int], made: Sequence[Decision]) -> None:
        """Record that decisions took effect."""

    def head(self) -> dict[str, Any]:
        """Return the newest checkpoint: origin, size and root (hexadecimal)."""


class BatchRecorder(Protocol):
    """Collects what an engine records; `wavebreak.evaluation.home_learning.DayRecorder` does."""

    def add(self, engine: Engine, log: Any) -> None:
        """Add a batch of the log that the engine has taken."""

    def finish(self, engine: Engine) -> None:
        """Add what the end of the log brought."""


def run(
    source: Source, out: Path, policy: Policy, edge: Pseudonymizer, *,
    profile_path: Path | None = None,
    enforce: bool = False, workers: int = 1, batch: int = 50_000, lateness_s: int = 60,
    resume: Path | None = None, keep: Path | None = None, model: Model | None = None,
    ceiling: StateCeiling | None = None,
    sealer: DecisionRecorder | None = None, recorder: BatchRecorder | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Decide on a file of events.

    Args:
        source: An events file, a directory with one, "-" for JSON Lines on standard input, or a
            table.
        out: Directory for decisions.jsonl, refused.jsonl, operators.jsonl,
            accounts.parquet and summary.json; of a table also events.parquet, the log it became.
        policy: Rules and enforcement settings.
        edge: Pseudonymizes phone numbers, addresses and devices of raw events.
        profile_path: Field coverage of the stream; by default the file beside the events, else
            learned from samples of the whole file.
        enforce: Drop the events that a decision refuses; without, decisions change nothing.
        workers: Threads that share the shards. The decisions do not depend on it.
        batch: Events per batch. The decisions do not depend on it.
        lateness_s: Seconds that an event may be older than the newest one before it.
        resume: Snapshot with the engine's state to begin with. One made in shadow may be resumed
            with `enforce`: outcomes that nobody felt are cleared, evidence stays.
        keep: Where to write a snapshot at the end; the last epoch then stays open.
        model: Scores accounts at scoring points (None: rules only).
        ceiling: How many bytes the state of accounts may have (None: no ceiling).
        sealer: Records each batch's decisions in a ledger before they are written, and with
            `enforce` a receipt for each (None: no ledger).
        recorder: Collects scoring points (None: the engine records none).
        progress: Called after each batch.

    Returns:
        The summary, as written to summary.json.

    Raises:
        FileError: The source cannot be read.
        UsageError: Standard input without a profile, or a batch size below 1.
        SnapshotError: The snapshot is damaged, or of another policy, model or profile.
        StateSizeError: The state is beyond its ceiling.
    """
    profile, origin = stream_profile(source, profile_path, edge)
    engine = Engine(policy, profile, enforce=enforce, workers=workers, lateness_s=lateness_s,
                    model=model, record=recorder is not None)  # fmt: skip
    engine.first_messages = FirstMessages()
    shadow = ShadowAccounts(engine.program)
    engine.on_hit = shadow.note
    if resume:
        snapshot.restore(engine, resume)
    if sealer:
        sealer.versions(engine)
    start = time.perf_counter()
    with _RunOutput(out) as output:
        # Read, validate, pseudonymize: a thread of its own.
        events = read(source, edge, batch=batch)
        if isinstance(source, Table):
            # Whoever explains or replays the run reads what was decided on, not the table.
            source, events = out / TABLE_LOG, _keep(events, out / TABLE_LOG)
            coverage.save(profile, coverage.sidecar_path(source))
        batches = _in_thread("wavebreak-read", events)
        # Fan out into account events: a thread of its own.
        routed = _in_thread("wavebreak-fan-out", _fan_out(batches, engine))
        with closing(routed):
            for item in routed:
                # Features, rules, model, decide: the engine's workers.
                decisions = _decide(engine, item, recorder)
                check_size(engine, ceiling)
                # Record in the ledger before any decision takes effect.
                positions = sealer.decisions(decisions) if sealer else ()
                # Write.
                output.write_refused(item.batch)
                output.write_decisions(decisions)
                if sealer and enforce:
                    sealer.receipts(positions, decisions)
                progress(output.progress(item.batch.progress, time.perf_counter() - start))
        if keep:
            snapshot.save(engine, keep)
        else:
            _close_last_epoch(engine, output, sealer)
    if recorder:
        recorder.finish(engine)
    seconds = time.perf_counter() - start
    operators_file.save(engine.operators(), out)
    table = accounts_table(engine)
    pq.write_table(table, out / "accounts.parquet", compression="zstd")
    summary = _summary(engine, output.counts, seconds, table.num_rows)
    for rule, count in shadow.counts().items():
        summary["rules"][rule]["accounts"] = count
    summary |= {"source": _source_digest(source), "profile": origin}
    if sealer:
        summary |= {"ledger": sealer.head()}
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    (out / "summary.json").write_text(text, encoding="utf-8")
    return summary


class ShadowAccounts:
    """Accounts that each rule in shadow would have met.

    `note` takes the hits of an engine (`Engine.on_hit`).
    """

    def __init__(self, program: Program) -> None:
        self._met = {k: set[int]() for k in range(len(program.ids)) if program.shadow[k]}
        self._ids = program.ids

    def note(self, hit: Any) -> None:
        """Note the account of a hit (dtype HIT) for each rule in shadow that fired."""
        fired = int(hit["hits"])
        for k, accounts in self._met.items():
            if fired >> k & 1:
                accounts.add(int(hit["account"]))

    def counts(self) -> dict[str, int]:
        """Return the number of accounts by the rule's id."""
        return {self._ids[k]: len(accounts) for k, accounts in self._met.items()}


def _keep(batches: Iterator[Batch], path: Path) -> Iterator[Batch]:
    """Yield batches, and write their events as a log."""
    with pq.ParquetWriter(path, LOG_SCHEMA, compression="zstd") as writer:
        for batch in batches:
            if batch.log.num_rows:
                writer.write_batch(batch.log)
            yield batch


def stream_profile(source: Source, path: Path | None, edge: Pseudonymizer) -> tuple[Profile, str]:
    """Load the field coverage of a stream, or learn it from the file.

    It is learned from the file's beginning and from samples spread over the rest, so that what
    begins later counts as well. It depends on the file alone.

    Args:
        source: As for `run`.
        path: A profile to load; by default the one beside the events, if there is one.
        edge: Pseudonymizes the events from which a profile is learned.

    Returns:
        The profile, and where it comes from.

    Raises:
        UsageError: Standard input without a profile.
    """
    if path:
        return coverage.load(path), str(path)
    if isinstance(source, Table):
        return coverage.measure(sample(source, edge)), "learned from the table"
    if str(source) == "-":
        raise UsageError(
            "standard input has no profile of what it carries",
            fix="give one with --profile; `wavebreak profile` learns it from a file",
        )
    beside = coverage.sidecar_path(events_file(Path(source)))
    if beside.exists():
        return coverage.load(beside), str(beside)
    return coverage.measure(sample(source, edge)), "learned from samples of the file"


@dataclass(frozen=True)
class _RoutedBatch:
    """A batch, and its account events by shard."""

    batch: Batch
    segments: list[Segment]


def _fan_out(batches: Iterator[Batch], engine: Engine) -> Iterator[_RoutedBatch]:
    for batch in batches:
        yield _RoutedBatch(batch, list(engine.fanout.segments(batch.log)))


def _decide(
    engine: Engine, routed: _RoutedBatch, recorder: BatchRecorder | None
) -> list[Decision]:  # fmt: skip
    decisions = [decision for part in routed.segments for decision in engine.advance(part)]
    if recorder:
        recorder.add(engine, routed.batch.log)
    return decisions


def _close_last_epoch(
    engine: Engine, output: _RunOutput, sealer: DecisionRecorder | None
) -> None:  # fmt: skip
    decisions = engine.finish()
    positions = sealer.decisions(decisions) if sealer else ()
    output.write_decisions(decisions)
    if sealer and engine.enforce:
        sealer.receipts(positions, decisions)


@dataclass
class _Counts:
    events: int = 0
    accepted: int = 0
    decisions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    refusal_causes: Counter[str] = field(default_factory=Counter)


class _RunOutput:
    """Writes decisions.jsonl and refused.jsonl, and counts what it writes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.counts = _Counts()
        self._decisions = (directory / "decisions.jsonl").open("wb")
        self._refused = (directory / "refused.jsonl").open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._decisions.close()
        self._refused.close()

    def write_refused(self, batch: Batch) -> None:
        """Count a batch's events and write those that were refused, up to REFUSED_KEPT."""
        self.counts.events += batch.read
        self.counts.accepted += batch.log.num_rows
        room = max(0, REFUSED_KEPT - self.counts.refusal_causes.total())
        for refusal in batch.refused[:room]:
            self._refused.write(msgspec.json.encode(refusal) + b"\n")
        self.counts.refusal_causes.update(batch.causes)

    def write_decisions(self, decisions: Sequence[Decision]) -> None:
        """Write decisions, one JSON object a line."""
        for decision in decisions:
            self._decisions.write(msgspec.json.encode(decision) + b"\n")
            self.counts.outcomes[decision.outcome] += 1
            self.counts.stages[decision.stage] += 1
        self.counts.decisions += len(decisions)

    def progress(self, share: float, seconds: float) -> Progress:
        """Return the run's progress."""
        return Progress(share, self.counts.events, self.counts.decisions, seconds)


_Queue = queue.Queue[tuple[Any, BaseException | None]]
"""Items, then (None, None); or (None, the error) where the producer failed."""


def _put(ready: _Queue, entry: tuple[Any, BaseException | None], stop: threading.Event) -> None:
    """Put an entry into a queue, as soon as there is room, unless the consumer has stopped."""
    while not stop.is_set():
        try:
            return ready.put(entry, timeout=0.1)
        except queue.Full:
            continue


def _in_thread(name: str, items: Iterator[Item]) -> Generator[Item, None, None]:
    """Run an iterator in a thread, at most QUEUE_SIZE items ahead of its consumer."""
    ready: _Queue = queue.Queue(QUEUE_SIZE)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                _put(ready, (item, None), stop)
                if stop.is_set():
                    return
            _put(ready, (None, None), stop)
        except BaseException as error:
            _put(ready, (None, error), stop)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _source_digest(source: Path | str) -> dict[str, str | None]:
    """Path and SHA-256 of the log, so that it can be found and recognized again."""
    if str(source) == "-":
        return {"path": "-", "sha256": None}
    path = events_file(Path(source)).resolve()
    with path.open("rb") as file:
        return {"path": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _summary(engine: Engine, counts: _Counts, seconds: float, accounts: int) -> dict[str, Any]:
    policy, hits = engine.policy, engine.rule_hits()
    return {
        "events": counts.events,
        "accepted": counts.accepted - engine.fanout.duplicates - engine.fanout.late,
        "refused": counts.refusal_causes.total(),
        "late": engine.fanout.late,
        "ahead": engine.fanout.ahead,
        "duplicates": engine.fanout.duplicates,
        "accounts": accounts,
        "decisions": {
            "outcome": dict(sorted(counts.outcomes.items())),
            "stage": dict(sorted(counts.stages.items())),
        },
        "seconds": round(seconds, 3),
        "events_per_s": round(counts.events / seconds) if seconds else 0,
        "versions": {
            "wavebreak": __version__,
            "policy": policy.version,
            "model": engine.model.version if engine.model else None,
            "features": engine.version,
            "python": platform.python_version(),
        },
        "mode": "enforce" if engine.enforce else "shadow",
        "score": _score_requests(engine),
        "refused_by_cause": dict(sorted(counts.refusal_causes.items())),
        "rules_not_covered": list(engine.program.not_covered),
        "features_not_covered": [f for f in policy.features if f not in engine.covered],
        "rules": {
            rule.id: {
                "about": rule.about, "stage": rule.stage, "outcome": rule.outcome or rule.label,
                "source": rule.source, "mode": rule.mode, "hits": hits[rule.id],
            }
            for rule in policy.rules
        },
        **_own_features(policy),
    }  # fmt: skip


def _own_features(policy: Policy) -> dict[str, Any]:
    """Return what explanations say of the user's own features; empty if no rule reads one."""
    declared = {
        name: {"unit": feature.unit, "about": feature.about}
        for name, feature in policy.own_features.items()
    }
    return {"own_features": declared} if declared else {}


def _score_requests(engine: Engine) -> dict[str, Any] | None:
    """Number of times that the score newly asked for each outcome, and whether it may decide."""
    if engine.model is None:
        return None
    counts = engine.asked.tolist()
    asked = [(outcome, counts[code_of(outcome)]) for outcome in BY_RANK]
    return {
        "mode": engine.policy.score.mode,
        "asked": {outcome: count for outcome, count in asked if outcome != "allow" and count},
    }
