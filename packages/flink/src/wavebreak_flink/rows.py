"""Rows that a job emits, each with its place in the log: see `wavebreak.engine.published`."""

from __future__ import annotations

from typing import Any

import msgspec

from wavebreak.engine.decision_record import Decision
from wavebreak.engine.published import encode_row
from wavebreak.linking import Operator
from wavebreak.schema.events import Refusal


def decision_row(epoch: int, hit: Any, made: Decision) -> str:
    """Encode the decision of a hit in an epoch."""
    step = int(hit["step"])
    position, role, account = (int(hit[name]) for name in ("position", "role", "account"))
    return encode_row("decision", (epoch, int(step > 0), position, role, account, step), made)


class RefusedEvent(Refusal, frozen=True):
    """An event of a log in files that was refused; `file` has the line."""

    file: str = ""


def refused_row(file: str, refusal: Refusal) -> str:
    """Encode an event of a file that was refused."""
    return msgspec.json.encode(RefusedEvent(**msgspec.structs.asdict(refusal), file=file)).decode()


def operator_row(place: int, operator: Operator) -> str:
    """Encode an operator."""
    return encode_row("operator", (place,), operator)
