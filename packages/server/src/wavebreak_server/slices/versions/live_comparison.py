"""A challenger on the live stream: two models decide the log as it grows, and nobody is acted on.

A process of its own reads what the service has logged. Both engines decide by the live policy in
the service's mode, begin without state some days before, and see the same events: what differs
comes from the models alone, as in `model_replay`. Figures count from the position of the log at
which the following began, which a restart keeps. The service's own engine is neither read nor
slowed, but for the processor and the memory that two more engines need.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.policy_change import model_version
from wavebreak_server.slices.versions import policy_replay
from wavebreak_server.slices.versions.model_replay import Judged, Reached, Scores, first_position
from wavebreak_server.storage import event_log

LIVE, BEGUN = "live.json", "begun.json"
"""What was found so far, and where the figures begin."""
WRITE_S, LOOK_S = 1.0, 0.5
"""Seconds between two writings of what was found, and between two looks for new events."""
MOST_LISTED = 10_000
"""Accounts that are listed at most."""


class Begun(msgspec.Struct, frozen=True):
    """Where the figures begin: a position of the log, and under which versions they hold."""

    position: int
    at_ms: int
    versions: tuple[str, str, str, bool]


class LiveFound(msgspec.Struct, frozen=True):
    """What a following found since it began.

    Attributes:
        versions: Of the model that scores, the challenger and the policy, and whether outcomes are
            enforced.
        begun: Position of the log from which everything counts.
        position: Position of the log that was reached.
        behind: Events that are logged and not decided yet.
        warming: Events before `begun` that are still to be read for the state.
        scored: Scoring points of each model.
        accounts: Accounts that either model scored.
        agree: Of these, accounts whose worst outcome is the same under both models.
        acted: Accounts that each model's side limited or worse, by rules or a score.
        only: Accounts that this side alone limited or worse.
        both: Accounts that both limited or worse.
        changed: Accounts that fare otherwise.
    """

    versions: tuple[str, str, str, bool]
    begun: int
    begun_ms: int
    position: int
    behind: int
    warming: int
    scored: tuple[int, int]
    accounts: int
    agree: int
    acted: tuple[Reached, Reached]
    only: tuple[Reached, Reached]
    both: int
    changed: int


@dataclass
class _Scored:
    """One of the two engines: what it decided, and whom it scored."""

    engine: Engine
    side: policy_replay.Side = field(init=False)
    scores: Scores = field(init=False)
    points: int = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was found; the engine keeps its state."""
        self.engine.points()
        self.side, self.scores, self.points = policy_replay.Side(self.engine), Scores(), 0

    def take(self, events: pa.RecordBatch) -> None:
        """Decide a batch of the log."""
        self.side.take(events)
        self.points += self.scores.take(self.engine)

    def accounts(self) -> set[str]:
        """Return the names of the accounts that were scored."""
        return set(self.scores.by_account(self.engine))


class LiveComparison:
    """Follows the log of the bound database with two engines, and writes what they decide.

    Args:
        champion: An engine of the model that scores, without state, that records its points.
        challenger: One of the other model.
        out: Directory for `live.json`, `changes.jsonl` and `begun.json`.
        days: Days of the log before its end that give both engines their state.
        clock: Returns the time in milliseconds.
        most: Events that are read for the state at most.
    """

    def __init__(
        self,
        champion: Engine,
        challenger: Engine,
        out: Path,
        *,
        days: int,
        clock: Callable[[], int],
        most: int = policy_replay.MOST_EVENTS,
    ) -> None:
        self._out = out
        self._sides = (_Scored(champion), _Scored(challenger))
        self._labels = dict[str, str]()
        names = model_version(champion), model_version(challenger)
        self._versions = (*names, champion.policy.version, champion.enforce)
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._begun = self._beginning(clock())
        begun = self._begun
        first = min(first_position(days, begun.position, most, begun.at_ms), begun.position)
        self._position = max(first, event_log.log_start().position)

    def _beginning(self, now_ms: int) -> Begun:
        """Return where the figures begin: as before, where the same versions were followed."""
        path, end = self._out / BEGUN, event_log.log_end()
        try:
            before = msgspec.json.decode(path.read_bytes(), type=Begun)
        except (OSError, msgspec.DecodeError):
            before = None
        if (
            before
            and before.versions == self._versions
            and end - before.position <= policy_replay.MOST_EVENTS
        ):
            return before
        begun = Begun(end, now_ms, self._versions)
        policy_replay.write_file(path, msgspec.json.encode(begun))
        return begun

    def run(self, wanted: Callable[[], bool], pause: Callable[[float], None] = time.sleep) -> None:
        """Decide what is logged, and then what comes, as long as it is wanted."""
        written = -WRITE_S
        self._write()
        while wanted():
            grown = False
            for batch in self._new_events():
                grown = True
                self._take(batch)
                if time.monotonic() - written >= WRITE_S:
                    self._write()
                    written = time.monotonic()
                if not wanted():
                    break
            if grown:
                self._write()
            else:
                pause(LOOK_S)

    def _new_events(self) -> Iterator[pa.RecordBatch]:
        end = event_log.log_end()
        return policy_replay.service_log(self._position, end) if end > self._position else iter(())

    def _take(self, batch: pa.RecordBatch) -> None:
        """Decide a batch; what lies before the beginning gives the engines their state alone."""
        before = self._begun.position - self._position
        for part in (batch.slice(0, max(0, before)), batch.slice(max(0, before))):
            if not part.num_rows:
                continue
            for scored in self._sides:
                scored.take(part)
            self._labels |= policy_replay.labels_of(part)
            self._position += part.num_rows
            if self._position == self._begun.position:
                for scored in self._sides:
                    scored.begin()

    def found(self) -> LiveFound:
        """Return what was found so far."""
        return self._found(self._changes())

    @property
    def _warming(self) -> int:
        """Events that are still to be read for the state alone."""
        return max(0, self._begun.position - self._position)

    def _changes(self) -> list[policy_replay.Change]:
        """Return the accounts that fare otherwise."""
        one, other = self._sides
        pair = (one.side, other.side)
        return [] if self._warming else list(policy_replay.changes_between(pair, self._labels))

    def _found(self, changes: list[policy_replay.Change]) -> LiveFound:
        warming = self._warming
        one, other = self._sides
        acted: tuple[set[str], set[str]] = (set(), set())
        scored, changed = set[str](), {change.account for change in changes}
        if not warming:
            acted = (one.side.acted, other.side.acted)
            scored = one.accounts() | other.accounts()
        judged = Judged(*(
            frozenset(a for a, label in self._labels.items() if label == wanted)
            for wanted in ("abusive", "benign")
        ))  # fmt: skip
        return LiveFound(
            self._versions,
            self._begun.position,
            self._begun.at_ms,
            self._position,
            event_log.log_end() - self._position,
            warming,
            (0, 0) if warming else (one.points, other.points),
            len(scored),
            len(scored - changed),
            (judged.reached(acted[0]), judged.reached(acted[1])),
            (judged.reached(acted[0] - acted[1]), judged.reached(acted[1] - acted[0])),
            len(acted[0] & acted[1]),
            len(changed),
        )

    def _write(self) -> None:
        """Write the accounts that fare otherwise, then the figures."""
        changes = sorted(self._changes(), key=lambda c: -(c.ts or 0))
        lines = b"".join(msgspec.json.encode(change) + b"\n" for change in changes[:MOST_LISTED])
        policy_replay.write_file(self._out / policy_replay.CHANGES, lines)
        policy_replay.write_file(self._out / LIVE, msgspec.json.encode(self._found(changes)))


def read_live(out: Path) -> LiveFound | None:
    """Return what a following found so far; None before its first figures."""
    try:
        return msgspec.json.decode((out / LIVE).read_bytes(), type=LiveFound)
    except (OSError, msgspec.DecodeError):
        return None
