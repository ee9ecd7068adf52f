"""The log of a job: files of JSON Lines, or the log of a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from wavebreak_flink import event_log
from wavebreak_flink.dead_letters import DeadLetter
from wavebreak_flink.event_log import Piece
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.topic_log import Records, Rows, TopicLog


class Log(Protocol):
    """A log of numbered blocks that can be read again."""

    @property
    def last(self) -> int:
        """The number of the last block (-1: the log has no end)."""
        ...

    @property
    def lost(self) -> Sequence[DeadLetter]:
        """Rows over which it reads, in the order of the log: their loss was accepted."""
        ...

    def read(self, number: int, /) -> Piece:
        """Return a block; one without events where the log has no more yet."""
        ...

    def between(self, first: int, end: int, /) -> Iterator[tuple[int, Piece]]:
        """Return the blocks from a number on, up to another, each with its number."""
        ...

    def file_of(self, number: int, /) -> str:
        """Return the name of a block's file ("": it is of none)."""
        ...

    def forget(self, number: int, /) -> None:
        """Delete what only blocks before a number need."""
        ...

    def close(self) -> None:
        """End what it holds open."""
        ...


def open_log(settings: JobSettings) -> Log:
    """Return the log of a job."""
    home = Path(settings.home)
    if not settings.topic:
        return event_log.load(home)
    records = Records(settings.topic, settings.patience_s)
    return TopicLog(settings, Rows(settings.database), records)
