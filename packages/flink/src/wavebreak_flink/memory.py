"""Memory of a job's processes: the fan-out has the names, each group its shards and a replica.

Nothing is refused here: what is in the log is decided on, or decisions would not follow from it. A
process whose state outgrows its ceiling stops the job with an error, before the machine does.
"""

from __future__ import annotations

from wavebreak.engine.state_ceiling import StateCeiling
from wavebreak.errors import StateSizeError

NAME_BYTES = 100
"""Bytes of the name of an account that a group holds, as a text of Python's."""


class ProcessMemory:
    """The state of one process of a job, and what it may have.

    Args:
        what: The process, as in "group 1 of 4".
        relief: What gives it more room, beside more memory ("": nothing does).

    Attributes:
        held: Bytes of the state when it was last measured.
    """

    def __init__(self, ceiling: StateCeiling, what: str, relief: str = "") -> None:
        self.ceiling, self.held = ceiling, 0
        self._what, self._relief = what, relief

    def measure(self, held: int, number: int) -> None:
        """Note the size of the state after a block of the log.

        Raises:
            StateSizeError: It is beyond its ceiling.
        """
        self.held = held
        if held > self.ceiling.overshoot:
            raise StateSizeError(
                f"the state of {self._what} needs {held >> 20:,} MiB at block {number:,}; the "
                f"ceiling leaves it {self.ceiling.bytes >> 20:,} MiB",
                fix="let the job go on from its newest checkpoint: wavebreak flink rescale --lost "
                f"with a larger --max-memory{self._relief}",
            )
