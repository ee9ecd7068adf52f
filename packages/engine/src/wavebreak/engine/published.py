"""What a job on Flink publishes for a service: rows, each with its place in the log.

Rows are functions of the log. One may come again after a restart: its place says that it is the
same, and two rows of one place with other bytes are an error. In the order of their places they are
the lines that `wavebreak run` writes.

For a service, each group of shards writes what it has decided on a block of the log into a table of
the service's database, also where that is nothing: a block that every group has written is decided.
A MAC under a key of the deployment shows that the job has written it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.errors import FileError
from wavebreak.privacy.secret_key import derived_key

Kind = Literal["decision", "operator"]
Place = tuple[int, ...]

TABLE = "wavebreak_published"
CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
  job text NOT NULL, first bigint NOT NULL, groups smallint NOT NULL, part smallint NOT NULL,
  reached bigint NOT NULL, content bytea NOT NULL, mac bytea NOT NULL,
  PRIMARY KEY (job, first, groups, part)
)
"""
"""The service makes the table; the job's user has to be able to insert and to select."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A row: what it is, its place in the order of the log, and its JSON.

    Of a decision the place is: epoch, whether its close made it, position, role, account, pass of
    the close (`shards.merge_hits`). Of an operator it is its place among them.
    """

    kind: Kind
    place: Place
    body: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Row)


def encode_row(kind: Kind, place: Place, body: msgspec.Struct) -> str:
    """Encode a row."""
    return _ENCODER.encode(Row(kind, place, msgspec.Raw(_ENCODER.encode(body)))).decode()


def merged(lines: Iterable[bytes], kind: Kind) -> list[bytes]:
    """Return the JSON of the rows of a kind in the order of the log, each once.

    Raises:
        ExchangeConflictError: Two rows of one place differ.
        FileError: A line is no row.
    """
    found: dict[Place, bytes] = {}
    for line in lines:
        try:
            row = _DECODER.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise FileError(f"a line is no row of a job: {error}", fix="name its sink") from None
        if row.kind == kind and found.setdefault(row.place, bytes(row.body)) != bytes(row.body):
            raise ExchangeConflictError(f"rows of one place differ: {row.place}")
    return [found[place] for place in sorted(found)]


class LogTime(msgspec.Struct, frozen=True, array_like=True):
    """The log's time after a block (ms; -1: no event yet), and its events out of time so far."""

    newest_ms: int = -1
    late: int = 0
    ahead: int = 0
    duplicates: int = 0


class BlockName(msgspec.Struct, frozen=True, array_like=True):
    """Which part of what is published: of a job, a block by its first position, and a group."""

    job: str
    first: int
    groups: int
    part: int
    reached: int


FirstNamed = tuple[int, int]
"""An event of a block by its place, and how many names it has that the log had not."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """What a group has decided on a block of the log: by which versions, the time, and its rows.

    `named` is in the first group's part alone: events with names that are new, in their order.
    """

    versions: str
    time: LogTime
    rows: list[str]
    named: list[FirstNamed] = []


def publishing_key(secret: bytes) -> bytes:
    """Return the key of what is published, from the deployment's."""
    return derived_key(secret, TABLE)


def encode_block(key: bytes, name: BlockName, block: Block) -> tuple[Any, ...]:
    """Return a part as a row of the table, under the key of what is published."""
    content = msgspec.msgpack.encode(block)
    return (*msgspec.structs.astuple(name), content, block_mac(key, name, content))


def block_mac(key: bytes, name: BlockName, content: bytes) -> bytes:
    """Return the MAC of a part.

    >>> name = BlockName("job", 0, 1, 0, 7)
    >>> block_mac(bytes(32), name, b"") == block_mac(bytes(32), name, b"more")
    False
    """
    values = msgspec.msgpack.encode([msgspec.structs.astuple(name), content])
    return hmac.digest(key, values, "sha256")
