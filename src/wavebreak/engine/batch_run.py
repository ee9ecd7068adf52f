"""The table of accounts that a run ends with: what each did, and what was decided.

A run over a file: read, fan out and decide, each in a thread; write what came of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavebreak import __version__
from wavebreak.engine import snapshot
from wavebreak.engine.decision import Decision
from wavebreak.engine.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.features.facts import Segment
from wavebreak.features.layout import MET_CHALLENGE, MET_LIMIT, OUTCOMES, RARE, SHARDS, STAGES
from wavebreak.io import events_file, read
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import CHANNELS, Refusal


def accounts_table(engine: Engine) -> pa.Table:
    """One row an account that had a fact, in order of first appearance in the log."""
    parts = [_shard_accounts(engine, s) for s in range(SHARDS)]
    slots = np.concatenate([slot for slot, _ in parts])
    order = np.argsort(slots, kind="stable")
    columns = {
        name: pa.concat_arrays([part[name] for _, part in parts]).take(pa.array(order))
        for name in parts[0][1]
    }
    names = engine.fanout.accounts.texts(slots[order])
    return pa.table({"account": names} | columns)


def _shard_accounts(engine: Engine, s: int) -> tuple[Any, dict[str, pa.Array]]:
    core = engine.core
    used = len(range(s, core.accounts, SHARDS))
    rows = core.rows[s].records[:used]
    locals_ = np.flatnonzero(rows["first_seen"] > 0)
    rows = rows[locals_]
    rares = np.zeros(rows.size, RARE)
    there = np.flatnonzero(rows["rare"] > 0)
    rares[there] = core.rares[s].records[rows["rare"][there].astype(np.int64) - 1]
    return locals_ * SHARDS + s, _account_columns(rows, rares)


def _account_columns(rows: Any, rares: Any) -> dict[str, pa.Array]:
    acted = rares["action_at"] > 0
    stage = np.array((*STAGES, "review"))[np.minimum(rares["action_stage"], 3)]
    reported = acted & (rares["reported_before"] > 0)
    timed = (rows["until"] > 0) & (rows["standing"] > 0)
    return {
        "channel": _words(CHANNELS, rows["channel"]),
        "first_seen_ms": _times(rows["first_seen"]),
        "registered_ms": _times(rows["registered"], rows["registered"] > 0),
        "last_seen_ms": pa.array(rows["clock"].astype(np.int64) * 1000),
        "sends": _count(rows["sends"]),
        "first_contacts": _count(rows["started"]),
        "replied_contacts": _count(rows["mutual"]),
        "received": _count(rows["received"]),
        "groups_created": _count(rares["created"]),
        "members_added": _count(rares["added"]),
        "reports": _count(rares["reports"]),
        "strangers_before_action": _count(rows["to_strangers"]),
        "unwanted": _count(rows["unwanted"]),
        "refused": _count(rares["refused"]),
        "worst": _words(OUTCOMES, rows["worst"]),
        "outcome": _words(OUTCOMES, rows["standing"]),
        "until_ms": pa.array(rows["until"].astype(np.int64) * 1000, mask=~timed),
        "challenged": pa.array((rares["met"] & MET_CHALLENGE) > 0),
        "limited": pa.array((rares["met"] & MET_LIMIT) > 0),
        "first_action_ms": pa.array(rares["action_at"] - 1, mask=~acted),
        "first_action_stage": pa.array(stage.tolist(), pa.string(), mask=~acted),
        "first_action_position": pa.array(rares["action_position"], mask=~acted),
        "reports_before_action": _count(rares["reports_before"]),
        "last_report_before_action_ms": _times(rares["reported_before"], reported),
    }


def _count(values: Any) -> pa.Array:
    return pa.array(values.astype(np.int64))


def _times(seconds_plus_one: Any, there: Any = None) -> pa.Array:
    """Milliseconds from the kernel's seconds plus one."""
    mask = None if there is None else ~there
    return pa.array((seconds_plus_one.astype(np.int64) - 1) * 1000, mask=mask)


def _words(words: tuple[str, ...], codes: Any) -> pa.Array:
    at = pa.array(np.minimum(codes, len(words) - 1).astype(np.int32))
    return pa.DictionaryArray.from_arrays(at, pa.array(words)).cast(pa.string())


Item = TypeVar("Item")

REFUSED_KEPT = 1_000
AHEAD = 4
"""Batches that one stage may be ahead of the next: memory stays bounded."""
LEARN_BATCHES = 4


@dataclass(frozen=True)
class Progress:
    """How far a run is: share of the file, events seen, decisions made, seconds."""

    share: float
    events: int
    decisions: int
    seconds: float


class DecisionRecorder(Protocol):
    """What a run asks of a ledger; `wavebreak.ledger.Sealer` is one."""

    def versions(self, engine: Engine) -> None:
        """Record which policy and model decide from here on."""

    def decisions(self, made: Sequence[Decision]) -> Sequence[int]:
        """Record decisions before they take effect; return their positions."""

    def receipts(self, positions: Sequence[int], made: Sequence[Decision]) -> None:
        """Record that decisions took effect."""

    def head(self) -> dict[str, Any]:
        """Return the newest checkpoint: origin, size and root (hexadecimal)."""


@dataclass
class _Tally:
    events: int = 0
    accepted: int = 0
    decisions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Piece:
    segments: list[Segment]
    refused: list[Refusal]
    read: int
    accepted: int
    share: float


def profile_of(source: Path | str, given: Path | None, edge: Pseudonymizer) -> tuple[Profile, str]:
    """Find the stream's profile: given, beside the events, or learned from the file's beginning.

    Returns it and where it is from. Raises UsageError for standard input without a profile.
    """
    if given:
        return coverage.load(given), str(given)
    if str(source) == "-":
        raise UsageError(
            "standard input has no profile of what it carries",
            fix="give one with --profile; `wavebreak profile` learns it from a file",
        )
    beside = coverage.sidecar_path(events_file(Path(source)))
    if beside.exists():
        return coverage.load(beside), str(beside)
    learned = coverage.measure(b.log for b in islice(read(source, edge), LEARN_BATCHES))
    return learned, "learned from the file's beginning"


def run(
    source: Path | str, out: Path, policy: Policy, edge: Pseudonymizer, *,
    profile_path: Path | None = None,
    enforce: bool = False, workers: int = 1, batch: int = 50_000, lateness_s: int = 60,
    resume: Path | None = None, keep: Path | None = None, model: Model | None = None,
    sealer: DecisionRecorder | None = None, progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Decide on a file of events; writes decisions, accounts, refusals and a summary into `out`.

    `resume` begins with the state of a snapshot; `keep` writes one at the end and leaves the last
    epoch open for what follows. `model` is asked at scoring points. `sealer` seals each batch's
    decisions before they are written, and with `enforce` a receipt for each. Returns the summary.
    """
    out.mkdir(parents=True, exist_ok=True)
    stream, origin = profile_of(source, profile_path, edge)
    engine = Engine(policy, stream, enforce=enforce, workers=workers, lateness_s=lateness_s,
                    model=model)  # fmt: skip
    if resume:
        snapshot.restore(engine, resume)
    tally, start = _Tally(), time.perf_counter()
    with (
        (out / "decisions.jsonl").open("wb") as decisions,
        (out / "refused.jsonl").open("wb") as refused,
    ):
        if sealer:
            sealer.versions(engine)
        for piece in _ahead(_pieces(source, edge, batch, engine)):
            _refuse(piece, tally, refused)
            made = chain.from_iterable(map(engine.advance, piece.segments))
            _write(made, tally, decisions, engine, sealer)
            seconds = time.perf_counter() - start
            progress(Progress(piece.share, tally.events, tally.decisions, seconds))
        if keep:
            snapshot.save(engine, keep)
        else:
            _write(engine.finish(), tally, decisions, engine, sealer)
    seconds = time.perf_counter() - start
    told = {"source": _source(source), "profile": origin} | (
        {"ledger": sealer.head()} if sealer else {}
    )
    return _tell(engine, tally, seconds, out, told)


def _tell(
    engine: Engine, tally: _Tally, seconds: float, out: Path, more: dict[str, Any]
) -> dict[str, Any]:
    """Write accounts and summary."""
    table = accounts_table(engine)
    pq.write_table(table, out / "accounts.parquet", compression="zstd")
    summary = _summary(engine, tally, seconds, table.num_rows) | more
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    (out / "summary.json").write_text(text, encoding="utf-8")
    return summary


def _source(source: Path | str) -> dict[str, str | None]:
    """Which log this was: its path and SHA-256, so that it can be found and known again."""
    if str(source) == "-":
        return {"path": "-", "sha256": None}
    path = events_file(Path(source)).resolve()
    with path.open("rb") as file:
        return {"path": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _refuse(piece: _Piece, tally: _Tally, refused: IO[bytes]) -> None:
    tally.events += piece.read
    tally.accepted += piece.accepted
    for refusal in piece.refused:
        if tally.causes.total() < REFUSED_KEPT:
            refused.write(msgspec.json.encode(refusal) + b"\n")
        tally.causes[refusal.cause] += 1


def _write(
    made: Iterable[Decision],
    tally: _Tally,
    file: IO[bytes],
    engine: Engine,
    sealer: DecisionRecorder | None,
) -> None:
    if sealer:
        made = list(made)
        positions = sealer.decisions(made)
    for decision in made:
        file.write(msgspec.json.encode(decision) + b"\n")
        tally.decisions += 1
        tally.outcomes[decision.outcome] += 1
        tally.stages[decision.stage] += 1
    if sealer and engine.enforce:
        sealer.receipts(positions, list(made))


def _pieces(
    source: Path | str, edge: Pseudonymizer, batch: int, engine: Engine
) -> Iterator[_Piece]:
    """Batches of the file, fanned out."""
    for b in _ahead(read(source, edge, batch=batch)):
        segments = list(engine.fanout.segments(b.log))
        yield _Piece(segments, b.refused, b.read, b.log.num_rows, b.progress)


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Run an iterator in a thread of its own, at most AHEAD items ahead of who takes them."""
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not stop.is_set():
            try:
                return made.put((item, error), timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if stop.is_set():
                    return
            put(None, None)
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=work, name="wavebreak-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _summary(engine: Engine, tally: _Tally, seconds: float, count: int) -> dict[str, Any]:
    policy, hits = engine.policy, engine.rule_hits()
    return {
        "events": tally.events,
        "accepted": tally.accepted - engine.fanout.duplicates - engine.fanout.late,
        "refused": tally.causes.total(),
        "late": engine.fanout.late,
        "ahead": engine.fanout.ahead,
        "duplicates": engine.fanout.duplicates,
        "accounts": count,
        "decisions": {
            "outcome": dict(sorted(tally.outcomes.items())),
            "stage": dict(sorted(tally.stages.items())),
        },
        "seconds": round(seconds, 3),
        "events_per_s": round(tally.events / seconds) if seconds else 0,
        "versions": {
            "wavebreak": __version__,
            "policy": policy.version,
            "model": engine.model.version if engine.model else None,
            "features": engine.version,
            "python": platform.python_version(),
        },
        "mode": "enforce" if engine.enforce else "shadow",
        "score": _asked(engine),
        "refused_by_cause": dict(sorted(tally.causes.items())),
        "rules_not_covered": list(engine.program.not_covered),
        "features_not_covered": [f for f in policy.features if f not in engine.covered],
        "rules": {
            rule.id: {
                "about": rule.about, "stage": rule.stage, "outcome": rule.outcome or rule.label,
                "source": rule.source, "mode": rule.mode, "hits": hits[rule.id],
            }
            for rule in policy.rules
        },
    }  # fmt: skip


def _asked(engine: Engine) -> dict[str, Any] | None:
    """How often the score newly asked for each outcome, and whether it may decide."""
    if engine.model is None:
        return None
    asked = zip(OUTCOMES, engine.asked.tolist(), strict=True)
    return {
        "mode": engine.policy.score.mode,
        "asked": {outcome: count for outcome, count in asked if outcome != "allow" and count},
    }
