"""The log of a service whose bodies are in a topic of Kafka (ADR 56), cut into blocks as it grows.

Rows of the service's database say what is in the log, in which order, and where each body is; a
record of the topic that no row names is of no transaction. Both are only read. Bodies are
pseudonymized already, and were validated when the service took them. Each row is proven where it
is read: it has the service's MAC, and follows the row before it in the service's chain.

A block that has events is noted in the job's directory before anybody sees them: from one position
of the log to another. Flink keeps the number of the last block. A number without a note had nothing
new to read: such blocks let checkpoints pass while the log is idle.
"""

from __future__ import annotations

import hmac
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pyarrow as pa

from wavebreak import extras
from wavebreak.durable_files import replace_file, sync_directory
from wavebreak.errors import FileError
from wavebreak.extras import LazyModule
from wavebreak.io import log_proofs
from wavebreak.io.log_proofs import CHAIN_START, LogRowProof
from wavebreak.io.log_rows import body_key, body_offset, decode_row, parse_topic_url, row_digest
from wavebreak.privacy.secret_key import derived_key
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak_flink.dead_letters import Cause, DeadLetter, DeadLetters
from wavebreak_flink.sealed import Seal
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

PASSWORD = "WAVEBREAK_LOG_PASSWORD"  # noqa: S105 (the name of a variable)
"""The environment variable of TaskManagers with the password of the topic's user."""
BLOCK_EVENTS = 50_000
"""A block ends with the row in which it has so many events."""
HEARTBEAT_S = 0.5
"""Where nothing new is there for so long, a block without events comes."""
NOTES = 10_000
"""Notes that are kept in any case: a checkpoint may be older than the oldest mark."""
_PAUSE_S = 0.05
_ROWS_AT_ONCE, _READ_AGAIN = 512, 20
_POLL_S = 1.0
_COLUMNS = (
    "SELECT b.first, b.count, b.received_ms, b.sha256, b.blob, p.salt, p.leaf, p.chain, p.mac "
    "FROM log_batch b LEFT JOIN log_proof p ON p.first = b.first "
)
_ROWS = _COLUMNS + "WHERE b.first >= %s AND b.first < %s ORDER BY b.first LIMIT %s"
_ROW = _COLUMNS + "WHERE b.first = %s"
_BEFORE = _COLUMNS + "WHERE b.first < %s ORDER BY b.first DESC LIMIT 1"
_START = "SELECT position, chain, mac FROM log_start"
_EVER = (1 << 63) - 1
_FOLDER = "blocks"


class LogRow(NamedTuple):
    """A row of the service's log: positions, time of receipt (ms), place of the body, proof."""

    first: int
    size: int
    received_ms: int
    sha256: bytes
    cell: bytes
    proof: LogRowProof | None

    @property
    def end(self) -> int:
        """The position after its last event."""
        return self.first + self.size

    def follows(self, chain: bytes | None, key: bytes) -> bool:
        """Whether the service wrote the row under a key, after a chain (None: not known)."""
        if self.proof is None:
            return False
        if chain is not None and self.chain != log_proofs.next_chain(chain, self.proof.leaf):
            return False
        content = (self.first, self.size, self.received_ms, self.sha256)
        return log_proofs.is_proven(key, self.proof, content)

    @property
    def chain(self) -> bytes | None:
        """The chain after the row."""
        return None if self.proof is None else self.proof.chain


class LogStart(NamedTuple):
    """The position before which the log was trimmed, and the chain there."""

    position: int = 0
    chain: bytes = CHAIN_START
    mac: bytes = b""


class RowSource(Protocol):
    """The rows of the service's log."""

    def start(self) -> LogStart:
        """Return the beginning of the log."""
        ...

    def after(self, position: int, end: int = _EVER, /) -> list[LogRow]:
        """Return the next rows from a position on, up to another."""
        ...

    def at(self, first: int, /) -> LogRow | None:
        """Return a row."""
        ...

    def before(self, position: int, /) -> LogRow | None:
        """Return the newest row that begins before a position."""
        ...

    def close(self) -> None:
        """End what it holds open."""
        ...


class BodySource(Protocol):
    """The records of the log's topic."""

    def body(self, offset: int, key: bytes, /) -> bytes:
        """Return the value of a record; empty where there is no such record any more."""
        ...

    def close(self) -> None:
        """End what it holds open."""
        ...


class Rows:
    """The rows of the service's log in PostgreSQL.

    Args:
        database: Its URL.
    """

    def __init__(self, database: str) -> None:
        self._connection = psycopg.connect(database, autocommit=True)

    def start(self) -> LogStart:
        """Return the beginning of the log."""
        row = self._connection.execute(_START).fetchone()
        return LogStart(row[0], bytes(row[1]), bytes(row[2])) if row else LogStart()

    def after(self, position: int, end: int = _EVER) -> list[LogRow]:
        """Return the next rows from a position on, up to another."""
        rows = self._connection.execute(_ROWS, (position, end, _ROWS_AT_ONCE)).fetchall()
        return [_row(*row) for row in rows]

    def at(self, first: int) -> LogRow | None:
        """Return a row."""
        row = self._connection.execute(_ROW, (first,)).fetchone()
        return _row(*row) if row else None

    def before(self, position: int) -> LogRow | None:
        """Return the newest row that begins before a position."""
        row = self._connection.execute(_BEFORE, (position,)).fetchone()
        return _row(*row) if row else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _row(first: int, size: int, received_ms: int, sha256: Any, cell: Any, *proof: Any) -> LogRow:
    proven = None if proof[0] is None else LogRowProof(*map(bytes, proof))
    return LogRow(first, size, received_ms, bytes(sha256), bytes(cell), proven)


class Records:
    """The records of the log's topic, read by their offsets.

    Args:
        url: Of the topic; a password that it lacks is in the environment (`PASSWORD`).
        patience_s: How long a broker may be away.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        parts = parse_topic_url(url)
        if parts.user and not parts.password:
            parts = parts._replace(password=os.environ.get(PASSWORD, ""))
        self._client, self._topic, self._patience_s = (
            extras.load("confluent_kafka"), parts.topic, patience_s
        )  # fmt: skip
        self._consumer = self._client.Consumer(
            parts.client_options()
            | {
                "group.id": "wavebreak-job",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        self._position = -1

    def body(self, offset: int, key: bytes) -> bytes:
        """Return the value of a record; empty where there is no such record any more.

        Raises:
            FileError: No broker answers for longer than may be, or the topic is another one.
        """
        if offset != self._position:
            partition = self._client.TopicPartition(self._topic, 0, offset)
            self._consumer.assign([partition])
        codes, end = self._client.KafkaError, time.monotonic() + self._patience_s
        while time.monotonic() < end:
            message = self._consumer.poll(_POLL_S)
            error = message.error() if message is not None else None
            if message is None or (error is not None and error.retriable()):
                continue
            if error is None:
                self._position = message.offset() + 1
                if message.offset() < offset:
                    continue
                is_it = message.offset() == offset and message.key() == key
                return (message.value() or b"") if is_it else b""
            if error.code() in (codes._PARTITION_EOF, codes._AUTO_OFFSET_RESET):
                self._position = -1
                return b""
            if error.code() not in (codes._ALL_BROKERS_DOWN, codes._TRANSPORT):
                raise FileError(f"the log's topic: {error.str()}", fix="check the Kafka cluster")
        raise FileError(
            f"no broker of the log's topic answered for {self._patience_s} s",
            fix="check the Kafka cluster; the job goes on from its last checkpoint",
        )

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """What a block holds: positions `begin` to `end - 1` of the log."""

    begin: int
    end: int


class Notes:
    """Which stretch of the log each block has, written once."""

    def __init__(self, settings: JobSettings) -> None:
        self._root, self._seal = Path(settings.home) / _FOLDER, Seal(settings)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._numbers = sorted(int(path.name) for path in self._root.glob("[0-9]*[0-9]"))

    @property
    def numbers(self) -> list[int]:
        """The blocks that have events, in order."""
        return self._numbers

    @property
    def end(self) -> int:
        """The position after the last block."""
        return self.read(self._numbers[-1]).end if self._numbers else 0

    def read(self, number: int) -> Stretch:
        """Return the stretch of a block that has events."""
        content = self._seal.open((_FOLDER, number), self._path(number).read_bytes())
        return msgspec.json.decode(content, type=Stretch)

    def write(self, number: int, stretch: Stretch) -> Stretch:
        """Note a block's stretch; return the one that was noted first.

        A TaskManager that was given up may still write: both then have the same blocks.
        """
        draft = self._root / f"draft-{os.getpid()}"
        content = self._seal.close((_FOLDER, number), msgspec.json.encode(stretch))
        replace_file(draft, content, mode=0o600)
        with suppress(FileExistsError):
            os.link(draft, self._path(number))
        draft.unlink()
        sync_directory(self._root)
        self._numbers.append(number)
        return self.read(number)

    def forget(self, number: int) -> None:
        """Delete the notes of blocks before a number, but the last `NOTES`."""
        surplus = [each for each in self._numbers[:-NOTES] if each < number]
        for each in surplus:
            self._path(each).unlink(missing_ok=True)
        del self._numbers[: len(surplus)]

    def _path(self, number: int) -> Path:
        return self._root / f"{number:020d}"


class TopicLog:
    """The log of a service in blocks (`logs.Log`).

    Args:
        home: The job's directory.

    Attributes:
        hurry: Whether something else waits for the reader, so that it waits for no event.
    """

    last = -1
    """It has no end."""

    def __init__(self, settings: JobSettings, rows: RowSource, bodies: BodySource) -> None:
        self._rows, self._bodies, self._notes = rows, bodies, Notes(settings)
        self._dead = DeadLetters(settings)
        secret = settings.secret()
        self._key = derived_key(secret, log_proofs.PURPOSE)
        self._start_key = derived_key(secret, log_proofs.START_PURPOSE)
        self.hurry: Callable[[], bool] = lambda: False

    @property
    def lost(self) -> list[DeadLetter]:
        """Rows over which it reads."""
        return self._dead.lost()

    def read(self, number: int) -> pa.RecordBatch:
        """Return the events of a block; none where nothing new comes within `HEARTBEAT_S`."""
        numbers = self._notes.numbers
        at = bisect_left(numbers, number)
        if at < len(numbers) and numbers[at] == number:
            return self._events(self._notes.read(number))
        if at < len(numbers):
            if at == 0 and self._notes.read(numbers[0]).begin:
                raise FileError(
                    f"what block {number:,} had is not noted any more",
                    fix="go on from a newer savepoint, or submit the job anew",
                )
            return _EMPTY
        begin, end = self._notes.end, time.monotonic() + HEARTBEAT_S
        while not (rows := self._new_rows(begin)):
            if time.monotonic() >= end or self.hurry():
                return _EMPTY
            time.sleep(_PAUSE_S)
        many = 0
        for row in rows:
            many += row.size
            if many >= BLOCK_EVENTS:
                break
        return self._events(self._notes.write(number, Stretch(begin, begin + many)))

    def file_of(self, number: int) -> str:
        """Return "": what is malformed the service has refused."""
        return ""

    def _new_rows(self, begin: int) -> list[LogRow]:
        if not begin:
            self._check_start(self._rows.start().position)
        return self._proven(begin)

    def _proven(self, begin: int, end: int = _EVER) -> list[LogRow]:
        """Return the next rows from a position on, up to another.

        Raises:
            FileError: A row is missing, or the service did not write it there.
        """
        rows = self._rows.after(begin, end)
        position, chain = begin, self._chain(begin) if rows else None
        for row in rows:
            if row.first != position:
                raise _missing(position)
            if row.follows(chain, self._key):
                chain = row.chain
            elif self._dead.is_lost(row.first):
                chain = None
            else:
                raise self._stopped(row, "unproven")
            position = row.end
        return rows

    def _chain(self, position: int) -> bytes | None:
        """Return the chain before a position; None after a row whose loss was accepted."""
        row = self._rows.before(position)
        if row is not None and row.end == position:
            if row.follows(None, self._key):
                return row.chain
            if self._dead.is_lost(row.first):
                return None
            raise self._stopped(row, "unproven")
        start = self._rows.start()
        if row is None and start.position == position and self._is_own(start):
            return start.chain
        raise _missing(position)

    def _is_own(self, start: LogStart) -> bool:
        if start.position == 0:
            return start.chain == CHAIN_START
        content = msgspec.msgpack.encode((start.position, start.chain))
        return hmac.compare_digest(hmac.digest(self._start_key, content, "sha256"), start.mac)

    def _check_start(self, start: int) -> None:
        if start:
            raise FileError(
                f"the log begins with position {start:,}: what came before was trimmed",
                fix="let the job begin before the log is trimmed; it goes on from its own marks",
            )

    def between(self, first: int, end: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Return the blocks with events from a number on, up to another, each with its number."""
        numbers = [number for number in self._notes.numbers if first <= number < end]
        if first == 0 and self._notes.numbers:
            # Of the blocks before those that are noted only the positions are known.
            self._check_start(self._rows.start().position)
            begin = self._notes.read(self._notes.numbers[0]).begin
            yield from ((0, events) for events in self._pieces(Stretch(0, begin)))
        yield from ((number, self._events(self._notes.read(number))) for number in numbers)

    def forget(self, number: int) -> None:
        """Delete what only blocks before a number need."""
        self._notes.forget(number)

    def close(self) -> None:
        """End what it holds open."""
        self._rows.close()
        self._bodies.close()

    def _events(self, stretch: Stretch) -> pa.RecordBatch:
        pieces = [*self._pieces(stretch)]
        if not pieces:
            return _EMPTY
        return pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]

    def _pieces(self, stretch: Stretch) -> Iterator[pa.RecordBatch]:
        at = stretch.begin
        while at < stretch.end:
            rows = self._proven(at, stretch.end)
            if not rows:
                raise _missing(at)
            for row in rows:
                if not self._dead.is_lost(row.first):
                    yield self._body(row)
                at = row.end

    def _body(self, row: LogRow) -> pa.RecordBatch:
        """Return the events of a row, which an erasure may have rewritten since it was read."""
        for _ in range(_READ_AGAIN):
            offset = body_offset(row.cell)
            blob = (
                row.cell if offset is None
                else self._bodies.body(offset, body_key(row.first, row.sha256))
            )  # fmt: skip
            if row_digest(blob) == row.sha256:
                return self._decoded(row, blob)
            time.sleep(_PAUSE_S)
            known, row = row, self._rows.at(row.first) or row
            # An erasure leaves the chain.
            if row.chain != known.chain or not row.follows(None, self._key):
                raise self._stopped(row, "unproven")
        raise self._stopped(row, "damaged" if blob else "missing")

    def _decoded(self, row: LogRow, blob: bytes) -> pa.RecordBatch:
        try:
            events = decode_row(blob)
        except FileError:
            raise self._stopped(row, "unreadable") from None
        if events.num_rows != row.size:
            raise self._stopped(row, "unreadable")
        self._dead.repaired(row.first)
        return events

    def _stopped(self, row: LogRow, cause: Cause) -> FileError:
        """Write a dead letter; return the error that stops the job."""
        self._dead.add(DeadLetter(row.first, row.size, cause))
        return FileError(
            f"the log's row at position {row.first:,} was not written there by the service"
            if cause == "unproven"
            else f"the body of the log's row at position {row.first:,} is {cause}",
            fix="repair the service's log or topic; or give up its events: "
            f"`wavebreak flink dead-letters HOME --accept {row.first}`",
        )


def _missing(position: int) -> FileError:
    return FileError(
        f"position {position:,} of the log is not in the service's database",
        fix="give the database of the service whose log this is",
    )


_EMPTY = pa.RecordBatch.from_pylist([], LOG_SCHEMA)
