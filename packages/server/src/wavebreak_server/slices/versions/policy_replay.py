"""Replay of a service's log under two policies: which accounts would fare otherwise.

Both engines begin without state and see the same events, so that what differs comes from the
policies alone. An account counts at its worst outcome.
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
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import SHARDS
from wavebreak.outcomes import LIMIT, OUTCOMES, RANKS, SILENCING, code_of, rank_of
from wavebreak.schema.events import LABELS, TYPES
from wavebreak_server.storage import event_log

MOST_EVENTS = 2_000_000
"""Events of a replay, from the end of the log."""
PROGRESS_S = 0.5
RESULT, CHANGES, PROGRESS = "replay.json", "changes.jsonl", "progress.json"
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


class LogReplay(msgspec.Struct, frozen=True, kw_only=True):
    """What two engines decided over a log, the one that decides now and another.

    Attributes:
        live: Version of the live policy.
        first: Position of the first event.
        end: Position behind the last one.
        accounts: Accounts in these events.
        decisions: Decisions of the one, and of the other.
        refused: Events that were refused, alike (both 0 in shadow).
        changed: Accounts that fare otherwise.
        moves: From, to, accounts, of these labelled benign, and abusive.
        hits: By rule how often it newly fired under the one, and under the other.
        seconds: How long it took.
    """

    live: str
    first: int
    end: int
    accounts: int
    decisions: tuple[int, int]
    refused: tuple[int, int]
    changed: int
    moves: list[tuple[str, str, int, int, int]]
    hits: dict[str, tuple[int, int]]
    seconds: float


class Result(LogReplay, frozen=True, kw_only=True):
    """What a replay of two policies found.

    Attributes:
        draft: Version of the draft.
        digest: Of the draft's files.
    """

    draft: str
    digest: str


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
        counts: Fields of `LogReplay`.
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


def run(live: Engine, draft: Engine, digest: str, out: Path, *, most: int = MOST_EVENTS) -> Result:
    """Replay the newest events of the bound database's log, and write what was found.

    Args:
        live: An engine of the live policy, without state.
        draft: One of the draft.
        digest: Of the draft's files.
        out: Directory for `replay.json`, `changes.jsonl` and, meanwhile, `progress.json`.
        most: How many events at most.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = event_log.log_end()
    first, began = max(event_log.log_start().position, end - most), time.monotonic()
    progress = ProgressFile(out, end - first)
    progress(0)
    found = replay(service_log(first, end), live, draft, progress)
    result = Result(
        live=live.policy.version, draft=draft.policy.version, digest=digest,
        first=first, end=end, **found.counts, seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    write_found(out, found.changes, result)
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
