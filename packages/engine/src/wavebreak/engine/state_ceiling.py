"""How much memory a process may use, and how much of it the state of accounts may have."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from wavebreak.engine.control_groups import memory_limits
from wavebreak.errors import StateSizeError, UsageError

COPY: Final = 1.2
"""Room for a snapshot's copy, as a multiple of the state."""
FIXED_BYTES: Final = 640 << 20
"""Libraries, compiled code, and what arrays reserve: large pages are touched whole."""
LEAST_BYTES: Final = 64 << 20
"""The smallest state that is of use: about fifty thousand accounts."""
DEFAULT_SHARE: Final = 0.75
"""The part of the machine's memory that a process may use unless another limit is given."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class StateCeiling:
    """How many bytes the state of accounts may have.

    Attributes:
        bytes: Beyond, a service refuses all events but those that end an epoch.
    """

    bytes: int

    @property
    def accounts(self) -> int:
        """Bytes from which on a service takes no events of new accounts."""
        return self.bytes * 17 // 20

    @property
    def entities(self) -> int:
        """Bytes from which on it takes no events with new networks, devices or clients either."""
        return self.bytes * 37 // 40

    @property
    def overshoot(self) -> int:
        """Bytes beyond which an engine stops with an error."""
        return self.bytes * 21 // 20

    @classmethod
    def of_process(cls, memory: int | None, *, copies: bool, besides: int = 0) -> StateCeiling:
        """Return the ceiling for a process that may use so many bytes.

        Args:
            memory: Bytes that the process may use (None: three quarters of the machine's).
            copies: Whether it copies its state while it goes on, for snapshots.
            besides: Bytes of queues and other processes.

        Raises:
            StateSizeError: So little memory leaves no room for a state.
        """
        whole = int(available_memory() * DEFAULT_SHARE) if memory is None else memory
        times = 1 + COPY if copies else 1
        left = int((whole - FIXED_BYTES - besides) / times)
        if left < LEAST_BYTES and memory is not None:
            least = FIXED_BYTES + besides + int(LEAST_BYTES * times)
            raise StateSizeError(
                f"--max-memory {memory >> 20:,} MiB leaves no room for the state of accounts",
                fix=f"give at least {(least >> 20) + 1:,}MiB",
            )
        return cls(max(left, LEAST_BYTES))


def available_memory() -> int:
    """Return the bytes that this process may use: the machine's, or its control groups' limit."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *memory_limits()])


def parse_ceiling(max_memory: str, *, copies: bool, besides: int = 0) -> StateCeiling:
    """Return the ceiling for a process that may use so much memory.

    Args:
        max_memory: A size, as 4GiB ("": what `of_process` takes by itself).
        copies: As of `of_process`.
        besides: As of `of_process`.

    Raises:
        UsageError: It is no size.
        StateSizeError: So little memory leaves no room for a state.
    """
    memory = parse_size(max_memory) if max_memory else None
    return StateCeiling.of_process(memory, copies=copies, besides=besides)


def parse_size(text: str) -> int:
    """Return a size in bytes.

    Raises UsageError for what is no size.

    >>> parse_size("4GiB"), parse_size("512M"), parse_size("1.5 G"), parse_size("65536")
    (4294967296, 536870912, 1610612736, 65536)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size of memory", fix="write 4GiB, 1500MiB or a number")
    return int(float(match[1]) * (1 << _UNITS[match[2].upper()]))
