"""Replay of a service's log under two policies or two models: which accounts would fare otherwise.

Both engines begin without state and see the same events, so that what differs comes from the
policies or the models alone. An account counts at its worst outcome, and at its highest score.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.durable_files import replace_file
from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.kernel_policy import Model as Scoring
from wavebreak.evaluation import exact_interval
from wavebreak.features.layout import SHARDS
from wavebreak.model import Model, to_fixed_point
from wavebreak.outcomes import LIMIT, OUTCOMES, RANKS, SILENCING, code_of, rank_of
from wavebreak.schema.events import LABELS, TYPES
from wavebreak_server.storage import event_log
from wavebreak_server.storage.models import LogBatch

MOST_EVENTS = 2_000_000
"""Events of a replay, from the end of the log."""
PROGRESS_S = 0.5
RESULT, CHANGES, PROGRESS = "replay.json", "changes.jsonl", "progress.json"
EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
"""Bounds of the bins of scores, as chances of abuse."""
_LABELLED = TYPES.index("label.assigned")


class Worst(NamedTuple):
    """The worst decision on an account: outcome (index), rules, and when (ms)."""

    outcome: int = 0
    rules: tuple[str, ...] = ()
    ts: int | None = None


class Change(msgspec.Struct, frozen=True):
    """An account that fares otherwise under the draft.

    `kind` is "stopped" or "freed" where the account is restricted or worse under one of the two
    alone, else "harsher" or "milder". `label` is the newest that a person gave.
    """

    account: str
    kind: str
    before: str
    after: str
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    ts: int | None
    label: str


class Reached(msgspec.Struct, frozen=True):
    """Accounts that a threshold, or an outcome, reaches; of these labelled abusive and benign.

    `low` and `high` are Clopper and Pearson's 95 % interval of the precision (0 and 1 where
    nobody is labelled).
    """

    accounts: int
    abusive: int
    benign: int
    low: float
    high: float


class ModelSide(msgspec.Struct, frozen=True):
    """One of the two models over the events.

    Attributes:
        version: The model's version; "" without a model.
        scored: Accounts with a score.
        bins: Accounts by their highest chance of abuse, between `EDGES`.
        thresholds: What each threshold of the model reaches, by outcome.
        acted: Accounts that were limited or worse, by rules or score.
        missed: Accounts labelled abusive, and how many of them no limit or more met.
    """

    version: str
    scored: int
    bins: list[int]
    thresholds: dict[str, Reached]
    acted: Reached
    missed: tuple[int, int]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What two engines decided over a log, the one that decides now and another.

    Attributes:
        live: Version of the live policy.
        draft: Version of the other one; the same, where two models are compared.
        digest: Of the other policy's files (empty: those of the live one).
        days: Days of the log, from its end (0: as many events as allowed).
        first: Position of the first event.
        end: Position behind the last one.
        accounts: Accounts in these events.
        decisions: Decisions of the one, and of the other.
        refused: Events that were refused, alike (both 0 in shadow).
        changed: Accounts that fare otherwise.
        moves: From, to, accounts, of these labelled benign, and abusive.
        hits: By rule how often it newly fired under the one, and under the other.
        seconds: How long it took.
        sides: The policy and model that decide, and the other ones.
        both: Accounts that both limit or worse.
    """

    live: str
    draft: str
    digest: str
    days: int
    first: int
    end: int
    accounts: int
    decisions: tuple[int, int]
    refused: tuple[int, int]
    changed: int
    moves: list[tuple[str, str, int, int, int]]
    hits: dict[str, tuple[int, int]]
    seconds: float
    sides: tuple[ModelSide, ...]
    both: int


@dataclass
class Side:
    """One of the two engines, and what it decided."""

    engine: Engine
    decisions: int = 0
    worst: dict[str, Worst] = field(default_factory=dict)
    acted: set[str] = field(default_factory=set)

    def take(self, events: pa.RecordBatch) -> None:
        """Decide a batch of the log."""
        self.note(self.engine.take(events))

    def note(self, decisions: list[Decision]) -> None:
        """Keep the worst decision of each account, and whom something was done to by itself."""
        self.decisions += len(decisions)
        for decision in decisions:
            outcome = code_of(decision.outcome)
            if RANKS[outcome] > RANKS[self.worst.get(decision.account, Worst()).outcome]:
                self.worst[decision.account] = Worst(outcome, decision.rules, decision.ts)
            if RANKS[outcome] >= RANKS[LIMIT] and decision.stage != "review":
                self.acted.add(decision.account)

    def refused(self) -> int:
        """Return how many events were refused."""
        core = self.engine.core
        used = ((core.rares[s].records, int(core.shards[s]["rare_n"])) for s in range(SHARDS))
        return sum(int(records["refused"][:n].sum(dtype=np.int64)) for records, n in used)


class Replayed(NamedTuple):
    """What two engines decided over the same log.

    Attributes:
        changes: The accounts that differ, those that are stopped or freed first.
        counts: Fields of `Result`.
        labels: The newest label of each labelled account.
        acted: By engine the accounts that were limited or worse by rules or a score, not by a
            person's label.
    """

    changes: list[Change]
    counts: dict[str, Any]
    labels: dict[str, str]
    acted: tuple[set[str], set[str]]


def replay(
    log: Iterator[pa.RecordBatch],
    live: Engine,
    draft: Engine,
    progress: Callable[[int], None] = lambda _events: None,
) -> Replayed:
    """Let two engines decide a log; return the accounts that differ, and counts.

    Args:
        log: The events, in order.
        live: An engine of the live policy, without state.
        draft: One of the draft.
        progress: Called with the number of events so far.
    """
    sides, labels, events = (Side(live), Side(draft)), dict[str, str](), 0
    for batch in log:
        for side in sides:
            side.take(batch)
        labels |= labels_of(batch)
        events += batch.num_rows
        progress(events)
    for side in sides:
        side.note(side.engine.finish())
    changes = list(changes_between(sides, labels))
    hits = [side.engine.rule_hits() for side in sides]
    counts = {
        "accounts": live.core.accounts,
        "decisions": (sides[0].decisions, sides[1].decisions),
        "refused": (sides[0].refused(), sides[1].refused()),
        "changed": len(changes),
        "moves": _moves(changes),
        "hits": {name: (hits[0].get(name, 0), hits[1].get(name, 0)) for name in hits[0] | hits[1]},
    }
    order = ("stopped", "freed", "harsher", "milder")
    changes.sort(key=lambda c: (order.index(c.kind), c.account))
    return Replayed(changes, counts, labels, (sides[0].acted, sides[1].acted))


def labels_of(batch: pa.RecordBatch) -> dict[str, str]:
    """Return the newest label of each account that a batch labels ("" for one withdrawn)."""
    if "label" not in batch.schema.names:
        return {}
    codes = batch.column("type").to_numpy(zero_copy_only=False)
    at = pa.array(np.flatnonzero(codes == _LABELLED))
    accounts = batch.column("account").take(at).to_pylist()
    given = [LABELS[code] for code in batch.column("label").take(at).to_pylist()]
    return {a: "" if g == "undetermined" else g for a, g in zip(accounts, given, strict=True)}


def changes_between(sides: tuple[Side, Side], labels: dict[str, str]) -> Iterator[Change]:
    """Return the accounts whose worst outcomes differ between two sides."""
    for account in sides[0].worst | sides[1].worst:
        before, after = (side.worst.get(account, Worst()) for side in sides)
        if before.outcome != after.outcome:
            yield Change(
                account,
                change_kind(before.outcome, after.outcome),
                OUTCOMES[before.outcome],
                OUTCOMES[after.outcome],
                before.rules,
                after.rules,
                after.ts or before.ts,
                labels.get(account, ""),
            )


def change_kind(before: int, after: int) -> str:
    """Return what becomes of an account, by its worst outcomes.

    >>> from wavebreak.outcomes import ALLOW, BAN
    >>> [change_kind(*each) for each in ((ALLOW, BAN), (BAN, LIMIT), (ALLOW, LIMIT))]
    ['stopped', 'freed', 'harsher']
    """
    worse = RANKS[after] > RANKS[before]
    if (OUTCOMES[before] in SILENCING) != (OUTCOMES[after] in SILENCING):
        return "stopped" if worse else "freed"
    return "harsher" if worse else "milder"


def _moves(changes: list[Change]) -> list[tuple[str, str, int, int, int]]:
    counts = Counter((c.before, c.after, c.label) for c in changes)
    pairs = sorted(
        {(before, after) for before, after, _ in counts},
        key=lambda pair: (-rank_of(pair[1]), rank_of(pair[0])),
    )
    return [
        (b, a, sum(n for (x, y, _), n in counts.items() if (x, y) == (b, a)),
         counts[b, a, "benign"], counts[b, a, "abusive"])
        for b, a in pairs
    ]  # fmt: skip


def service_log(first: int, end: int) -> Iterator[pa.RecordBatch]:
    """Return the events of a service's log from one position to another.

    Raises:
        ServiceError: They are damaged.
    """
    for segment in event_log.read_log(first):
        if segment.events is None:
            raise event_log.damage_error(segment)
        if segment.first >= end:
            return
        yield segment.events.slice(0, end - segment.first)


class Scores:
    """The highest margin of each account at its scoring points (NaN: never scored)."""

    def __init__(self) -> None:
        self.highest = np.zeros(0)

    def take(self, engine: Engine) -> int:
        """Note the scoring points of an engine since the last call; return how many."""
        points = engine.points()
        if engine.core.accounts > len(self.highest):
            more = engine.core.accounts - len(self.highest)
            self.highest = np.concatenate([self.highest, np.full(more, np.nan)])
        scored = points[~np.isnan(points["score"])]
        np.fmax.at(self.highest, scored["account"], scored["score"])
        return len(scored)

    def by_account(self, engine: Engine) -> dict[str, float]:
        """Return the margins of accounts that were scored."""
        slots = np.flatnonzero(~np.isnan(self.highest))
        names = engine.fanout.accounts.texts(slots).to_pylist()
        return dict(zip(names, self.highest[slots].tolist(), strict=True))


class Judged(NamedTuple):
    """Accounts that a person has labelled."""

    abusive: frozenset[str]
    benign: frozenset[str]

    def reached(self, accounts: set[str]) -> Reached:
        """Return how many of some accounts are labelled, and how."""
        bad, good = len(accounts & self.abusive), len(accounts & self.benign)
        low, high = exact_interval(bad, bad + good) if bad + good else (0.0, 1.0)
        return Reached(len(accounts), bad, good, round(low, 4), round(high, 4))


def _model_side(
    model: Scoring | None, scores: dict[str, float], acted: set[str], judged: Judged
) -> ModelSide:
    """Return what one model did."""
    missed = len(judged.abusive), len(judged.abusive - acted)
    if model is None:
        return ModelSide("", 0, [0] * (len(EDGES) - 1), {}, judged.reached(acted), missed)
    margins = to_fixed_point(list(scores.values()))
    bins = np.histogram(model.calibration.probability(margins), EDGES)[0]
    names = np.array(list(scores), object)
    thresholds = {
        outcome: judged.reached(set(names[margins >= at].tolist()))
        for outcome, at in model.thresholds.items()
    }
    return ModelSide(
        model.version, len(scores), bins.tolist(), thresholds, judged.reached(acted), missed
    )


def first_position(days: int, end: int, most: int, now_ms: int) -> int:
    """Return from which position on events were received in the last days, or `most` of them."""
    since = now_ms - days * DAY_MS
    batches = LogBatch.objects.filter(received_ms__gte=since).order_by("first")
    found = batches.values_list("first", flat=True).first() if days else 0
    return max(event_log.log_start().position, end - most, end if found is None else int(found))


def run(
    live: Engine,
    draft: Engine,
    out: Path,
    *,
    digest: str = "",
    days: int = 0,
    now_ms: int = 0,
    most: int = MOST_EVENTS,
) -> Result:
    """Replay the newest events of the bound database's log, and write what was found.

    Only engines that record their scoring points have scores.

    Args:
        live: An engine of the live policy and model, without state.
        draft: One of the other policy or model.
        out: Directory for `replay.json`, `changes.jsonl` and, meanwhile, `progress.json`.
        digest: Of the other policy's files.
        days: Days of the log, from its end (0: as many events as allowed).
        now_ms: The time, for `days`.
        most: How many events at most.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = event_log.log_end()
    first, began = first_position(days, end, most, now_ms), time.monotonic()
    progress = ProgressFile(out, end - first)
    pairs = ((live, Scores()), (draft, Scores()))

    def note(events: int) -> None:
        for engine, scores in pairs:
            scores.take(engine)
        progress(events)

    progress(0)
    replayed = replay(service_log(first, end), live, draft, note)
    note(end - first)
    judged = Judged(*(
        frozenset(a for a, label in replayed.labels.items() if label == wanted)
        for wanted in ("abusive", "benign")
    ))  # fmt: skip
    result = Result(
        live=live.policy.version, draft=draft.policy.version, digest=digest, days=days,
        first=first, end=end, **replayed.counts,
        sides=tuple(
            _model_side(engine.model, scores.by_account(engine), met, judged)
            for (engine, scores), met in zip(pairs, replayed.acted, strict=True)
        ),
        both=len(replayed.acted[0] & replayed.acted[1]),
        seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    write_found(out, replayed.changes, result)
    return result


class ProgressFile:
    """Writes how many events a replay has read, at most twice a second."""

    def __init__(self, out: Path, of: int) -> None:
        self._path, self._of, self._noted = out / PROGRESS, of, 0.0

    def __call__(self, events: int) -> None:
        """Note the number of events so far."""
        if time.monotonic() - self._noted >= PROGRESS_S:
            self._noted = time.monotonic()
            write_file(self._path, msgspec.json.encode({"events": events, "of": self._of}))


def write_found(out: Path, changes: list[Change], result: msgspec.Struct) -> None:
    """Write the accounts that differ, then the result, which says that the replay has ended."""
    write_file(out / CHANGES, b"".join(msgspec.json.encode(change) + b"\n" for change in changes))
    write_file(out / RESULT, msgspec.json.encode(result))


def write_file(path: Path, content: bytes) -> None:
    """Write a file for its owner alone; a reader sees the former one or all of the new one."""
    replace_file(path, content, mode=0o600, synced=False)


def inputs(model: Model, most: int = 10) -> list[tuple[str, float]]:
    """Return the features that a model reads most, with their share of the gain of its trees."""
    gains = model.forest.gains()
    whole = sum(gains.values()) or 1.0
    return [(name, gain / whole) for name, gain in list(gains.items())[:most]]
