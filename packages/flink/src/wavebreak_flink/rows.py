"""Rows that a job emits: functions of the log, each with its place in it.

A row may come again after a restart where a sink is not exactly-once: its place says that it is the
same, and two rows of one place with other bytes are an error. In the order of their places they are
the lines that `wavebreak run` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from wavebreak.engine.decision_record import Decision
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.errors import FileError
from wavebreak.linking import Operator

Kind = Literal["decision", "operator"]
Place = tuple[int, ...]


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


def decision_row(epoch: int, hit: Any, made: Decision) -> str:
    """Encode the decision of a hit in an epoch."""
    step = int(hit["step"])
    position, role, account = (int(hit[name]) for name in ("position", "role", "account"))
    return _encoded("decision", (epoch, int(step > 0), position, role, account, step), made)


def operator_row(place: int, operator: Operator) -> str:
    """Encode an operator."""
    return _encoded("operator", (place,), operator)


def _encoded(kind: Kind, place: Place, body: Decision | Operator) -> str:
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
