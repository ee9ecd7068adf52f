"""The log's time against the service's clock.

The log's time is the date of its newest event, and moves forwards only: an event more than
`lateness_s` behind it changes nothing (docs/adr/0008). Events dated ahead of the service's clock
would make everything after them late, so the service refuses them before they are in the log.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.features.facts import Fanout
from wavebreak.features.interner import name_spans
from wavebreak_server.pipeline.admission import Mask

MIN_AHEAD_S = 60
"""What every sender's clock may be ahead of the service's, however little lateness is allowed."""


def allowed_ahead_ms(lateness_s: int) -> int:
    """Return how far events may be dated ahead of the service's clock, in milliseconds.

    >>> allowed_ahead_ms(300), allowed_ahead_ms(5)
    (300000, 60000)
    """
    return 1000 * max(lateness_s, MIN_AHEAD_S)


class LogClock(NamedTuple):
    """The log's time (ms; None: no event yet), and how many of its events were out of time.

    `late` events changed nothing; `ahead` ones were taken at the log's time instead of their own;
    `duplicates` had an id that the log had, and changed nothing. Of all that was read, exactly.
    """

    time_ms: int | None
    late: int
    ahead: int
    duplicates: int = 0

    @classmethod
    def of(cls, fanout: Fanout) -> LogClock:
        """Return the clock of an engine's reader; from any thread, since it reads three numbers."""
        newest = int(fanout.clock[0]["newest"])
        time_ms = newest if newest >= 0 else None
        return cls(time_ms, fanout.late, fanout.ahead, fanout.duplicates)

    def earliest_ms(self, lateness_s: int) -> int:
        """Return the earliest date (ms) that is not late now."""
        return max(0, (self.time_ms or 0) - 1000 * lateness_s)

    def fault(self, now_ms: int, allowed_ms: int) -> str:
        """Return what is wrong where the log's time is too far ahead; empty where it is not.

        >>> LogClock(4_000, 0, 0).fault(3_000, allowed_ms=1_000)
        ''
        >>> LogClock(65_000, 0, 0).fault(3_000, allowed_ms=60_000)[:54]
        "the log's time is 62 s ahead of this machine's clock: "
        """
        if self.time_ms is None or self.time_ms <= now_ms + allowed_ms:
            return ""
        ahead_s = (self.time_ms - now_ms) // 1000
        return (
            f"the log's time is {ahead_s} s ahead of this machine's clock: events dated now count "
            "as late and change nothing"
        )


def in_time(log: pa.RecordBatch) -> tuple[Mask, Mask]:
    """Return that no event of a batch is late, and none a duplicate."""
    none = np.zeros(log.num_rows, np.bool_)
    return none, none


def out_of_time(fanout: Fanout, log: pa.RecordBatch) -> tuple[Mask, Mask]:
    """Return which events of a batch are late, and which have an id that the log has.

    As far as the engine has read the log: what it reads next may make more of them late, or
    duplicates. The engine must not be at work.
    """
    repeated: Mask = fanout.seen.known(name_spans(log.column("id")))
    return late_events(fanout, log), repeated


def late_events(fanout: Fanout, log: pa.RecordBatch) -> Mask:
    """Return which events of a batch are late for an engine; it may be at work."""
    newest = int(fanout.clock[0]["newest"])
    late: Mask = log.column("ts").to_numpy() < newest - fanout.lateness_ms
    return late


class ClockSkews:
    """How far each API key's clock is from the service's, by its newest event.

    Bounded: of more keys than `MAX_KEYS`, the others count as one.

    >>> skews = ClockSkews(60_000)
    >>> skews.note("ann", 100_000, 30_000), skews.note("ann", 101_000, 31_000)
    (True, False)
    >>> skews.seconds, skews.faults()
    ({'ann': 70.0}, ['the newest event of key ann is 70 s behind the service'])
    """

    MAX_KEYS = 100
    OTHERS = "other"

    def __init__(self, lateness_ms: int) -> None:
        self.lateness_ms = lateness_ms
        self.seconds: dict[str, float] = {}
        self.seen_ms: dict[str, int] = {}

    def note(self, key: str, now_ms: int, newest_ms: int) -> bool:
        """Note a key's newest event; return whether it is the first one in a row behind."""
        if key not in self.seconds and len(self.seconds) >= self.MAX_KEYS:
            key = self.OTHERS
        self.seen_ms[key] = now_ms
        was_behind = self._is_behind(self.seconds.get(key, 0.0))
        self.seconds[key] = (now_ms - newest_ms) / 1000
        return self._is_behind(self.seconds[key]) and not was_behind

    def _is_behind(self, seconds: float) -> bool:
        return seconds * 1000 > self.lateness_ms

    def faults(self) -> list[str]:
        """Return a sentence for each key that is behind by more than the allowed lateness."""
        return [
            f"the newest event of key {key} is {seconds:.0f} s behind the service"
            for key, seconds in sorted(self.seconds.items())
            if self._is_behind(seconds)
        ]
