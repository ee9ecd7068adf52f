"""The log's time against the service's clock.

The log's time is the date of its newest event, and moves forwards only: an event more than
`lateness_s` behind it changes nothing (docs/adr/0008). Events dated ahead of the service's clock
would make everything after them late, so the service refuses them before they are in the log.
"""

from __future__ import annotations

from typing import NamedTuple

from wavebreak.features.facts import Fanout

MIN_AHEAD_S = 60
"""What every sender's clock may be ahead of the service's, however little lateness is allowed."""
REPAIR = "`wavebreak log repair HOME`"


def allowed_ahead_ms(lateness_s: int) -> int:
    """Return how far events may be dated ahead of the service's clock, in milliseconds.

    >>> allowed_ahead_ms(300), allowed_ahead_ms(5)
    (300000, 60000)
    """
    return 1000 * max(lateness_s, MIN_AHEAD_S)


class LogClock(NamedTuple):
    """The log's time (ms; None: no event yet), and how many of its events were out of time.

    `late` events changed nothing; `ahead` ones were taken at the log's time instead of their own.
    """

    time_ms: int | None
    late: int
    ahead: int

    @classmethod
    def of(cls, fanout: Fanout) -> LogClock:
        """Return the clock of an engine's reader; from any thread, since it reads three numbers."""
        newest = int(fanout.clock[0]["newest"])
        return cls(newest if newest >= 0 else None, fanout.late, fanout.ahead)

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


FAULT_FIX = f"set the clock right; if it is right, stop the service and run {REPAIR}"
