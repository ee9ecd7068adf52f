"""Exchange of groups of shards (`wavebreak.engine.exchange`): rows in PostgreSQL, or in files.

A row is written once, and compared where it is there already. Rows of one number of groups are no
rows of another: a rescaled job says its own.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wavebreak.engine.exchange import Exchange, ExchangeConflictError
from wavebreak.engine.shard_group import ROUNDS
from wavebreak.extras import LazyModule
from wavebreak_flink.sealed import Place, Seal
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
WHERE job = %s AND groups = %s AND round = %s
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
        self._group, self._settings, self._seal = group, settings, Seal(settings)
        self._was_new, self._common_epoch = False, 0

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self._settings.groups

    @property
    def group(self) -> int:
        """Which of them it is."""
        return self._group

    def all(self, number: int, row: bytes, /) -> Sequence[bytes]:
        """See `Exchange.all`."""
        is_new = self._insert(number, self._seal.close(self._place(number, self.group), row))
        if not is_new and self._open(number, self.group, self._rows(number)[self.group]) != row:
            raise ExchangeConflictError(f"round {number} of group {self.group}")
        for _ in self._waits(number):
            rows = self._rows(number)
            if len(rows) == self.groups:
                break
        # After a restart rows of earlier rounds are there, and this group may run ahead of others.
        # Nobody's row of the second new round could be written before the first one was complete.
        if is_new and self._was_new:
            self._common_epoch = number // ROUNDS
        self._was_new = is_new
        return [self._open(number, group, rows[group]) for group in range(self.groups)]

    def forget(self, epoch: int) -> None:
        """Delete the rows of rounds before an epoch's that no group needs any more."""
        self.forget_between(0, min(epoch, self._common_epoch))

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        raise NotImplementedError

    def close(self) -> None:
        """End what it holds open."""

    def _insert(self, number: int, sealed: bytes) -> bool:
        """Write this group's row of a round; return whether it was not there."""
        raise NotImplementedError

    def _rows(self, number: int) -> Mapping[int, bytes]:
        """Return the rows of a round that are there, by group."""
        raise NotImplementedError

    def _place(self, number: int, group: int) -> Place:
        return "round", number, "group", group, "of", self.groups

    def _open(self, number: int, group: int, sealed: bytes) -> bytes:
        return self._seal.open(self._place(number, group), sealed)

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


class FileExchange(JobExchange):
    """Rows as files of a directory that all groups see."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        super().__init__(settings, group)
        self._root = Path(settings.home) / "rounds" / str(settings.groups)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        for path in self._root.glob("*.*"):
            if first * ROUNDS <= int(path.stem) < end * ROUNDS:
                path.unlink(missing_ok=True)

    def _insert(self, number: int, sealed: bytes) -> bool:
        draft = self._root / f"draft{self.group}"
        # It may still be the row of the round before, under its second name.
        draft.unlink(missing_ok=True)
        draft.write_bytes(sealed)
        try:
            os.link(draft, self._path(number, self.group))
        except FileExistsError:
            return False
        return True

    def _rows(self, number: int) -> Mapping[int, bytes]:
        rows = dict[int, bytes]()
        for group in range(self.groups):
            with suppress(FileNotFoundError):
                rows[group] = self._path(number, group).read_bytes()
        return rows

    def _path(self, number: int, group: int) -> Path:
        return self._root / f"{number}.{group}"


class PostgresExchange(JobExchange):
    """Rows in a table of PostgreSQL; a lost connection stops the group, and Flink restarts it."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        super().__init__(settings, group)
        self._job = f"{settings.name}/{settings.generation}"
        self._connection = psycopg.connect(settings.exchange, autocommit=True)
        with self._connection.transaction():
            # Two that create one table at once: one of them would fail.
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            self._connection.execute(_TABLE)

    def forget_between(self, first: int, end: int) -> None:
        """Delete the rows of rounds from one epoch's to before another's."""
        self._connection.execute(_DELETE, (self._job, first * ROUNDS, end * ROUNDS))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _insert(self, number: int, sealed: bytes) -> bool:
        row = (self._job, self.groups, number, self.group, sealed)
        return bool(self._connection.execute(_INSERT, row).rowcount)

    def _rows(self, number: int) -> Mapping[int, bytes]:
        rows = self._connection.execute(_SELECT, (self._job, self.groups, number))
        return {part: bytes(content) for part, content in rows}
