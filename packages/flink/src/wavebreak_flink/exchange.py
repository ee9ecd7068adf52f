"""Exchange of groups of shards (`wavebreak.engine.exchange`): rows in PostgreSQL, or in files.

A row is written once, and compared where it is there already. Rows of one number of groups are no
rows of another: a rescaled job says its own.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wavebreak.engine.exchange import Exchange, ExchangeConflictError
from wavebreak.engine.shard_group import ROUNDS
from wavebreak.extras import LazyModule
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0005, 0.02
_TABLE = """
CREATE TABLE IF NOT EXISTS wavebreak_flink_rows (
  job text NOT NULL, groups smallint NOT NULL, round bigint NOT NULL, part smallint NOT NULL,
  content bytea NOT NULL, PRIMARY KEY (job, groups, round, part)
)
"""
_INSERT = "INSERT INTO wavebreak_flink_rows VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_SELECT = """
SELECT part, content FROM wavebreak_flink_rows
WHERE job = %s AND groups = %s AND round = %s AND part >= %s AND part <= %s ORDER BY part
"""
_DELETE = "DELETE FROM wavebreak_flink_rows WHERE job = %s AND round >= %s AND round < %s"
_LOCK = int.from_bytes(hashlib.sha256(b"wavebreak_flink_rows").digest()[:4], "big")


def open_exchange(settings: JobSettings, group: int) -> JobExchange:
    """Return the exchange of a job, as one of its groups sees it."""
    if settings.exchange:
        return PostgresExchange(settings, group)
    return FileExchange(settings, group)


class JobExchange(Exchange):
    """An exchange whose rows can be forgotten."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        self._group, self._settings = group, settings

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self._settings.groups

    @property
    def group(self) -> int:
        """Which of them it is."""
        return self._group

    def forget(self, epoch: int) -> None:
        """Delete the rows of rounds before an epoch's."""
        self.forget_between(0, epoch)

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        raise NotImplementedError

    def close(self) -> None:
        """End what it holds open."""

    def _waits(self, number: int) -> Iterator[None]:
        """Wait a little longer each time; fails when patience is at an end."""
        end, pause = time.monotonic() + self._settings.patience_s, _FIRST_PAUSE_S
        while time.monotonic() < end:
            yield
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE_S)
        raise TimeoutError(
            f"another group said nothing in round {number} for {self._settings.patience_s} s"
        )

    def _conflict(self, number: int) -> ExchangeConflictError:
        return ExchangeConflictError(f"round {number} of group {self.group}")


class FileExchange(JobExchange):
    """Rows as files of a directory that all groups see."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        super().__init__(settings, group)
        self._root = Path(settings.home) / "rounds" / str(settings.groups)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def all(self, number: int, row: bytes, /) -> Sequence[bytes]:
        """See `Exchange.all`."""
        said, draft = self._path(number, self.group), self._root / f"draft{self.group}"
        # It may still be the row of the round before, under its second name.
        draft.unlink(missing_ok=True)
        draft.write_bytes(row)
        try:
            os.link(draft, said)
        except FileExistsError:
            if said.read_bytes() != row:
                raise self._conflict(number) from None
        return [self._awaited(number, group) for group in range(self.groups)]

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        for path in self._root.glob("*.*"):
            if first * ROUNDS <= int(path.stem) < end * ROUNDS:
                path.unlink(missing_ok=True)

    def _path(self, number: int, group: int) -> Path:
        return self._root / f"{number}.{group}"

    def _awaited(self, number: int, group: int) -> bytes:
        for _ in self._waits(number):
            with suppress(FileNotFoundError):
                return self._path(number, group).read_bytes()
        raise AssertionError


class PostgresExchange(JobExchange):
    """Rows in a table of PostgreSQL; a lost connection stops the group, and Flink restarts it."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        super().__init__(settings, group)
        self._connection = psycopg.connect(settings.exchange, autocommit=True)
        with self._connection.transaction():
            # Two that create one table at once: one of them would fail.
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            self._connection.execute(_TABLE)

    def all(self, number: int, row: bytes, /) -> Sequence[bytes]:
        """See `Exchange.all`."""
        place = (self._settings.name, self.groups, number)
        if not self._connection.execute(_INSERT, (*place, self.group, row)).rowcount:
            ((_, said),) = self._rows(number, self.group, self.group)
            if said != row:
                raise self._conflict(number)
        for _ in self._waits(number):
            rows = self._rows(number, 0, self.groups - 1)
            if len(rows) == self.groups:
                return [content for _, content in rows]
        raise AssertionError

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        place = (self._settings.name, first * ROUNDS, end * ROUNDS)
        self._connection.execute(_DELETE, place)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, number: int, first: int, last: int) -> list[tuple[int, bytes]]:
        where = (self._settings.name, self.groups, number, first, last)
        return [(part, bytes(row)) for part, row in self._connection.execute(_SELECT, where)]
