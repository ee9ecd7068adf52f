"""Requests in the pipeline: pending requests, batches between stages, and resolving futures."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pyarrow as pa

from wavebreak.engine.decision import Decision
from wavebreak.errors import ServiceError
from wavebreak.schema.events import Refusal
from wavebreak_server.pipeline.request_decoder import Body, DecodeResult


class BusyError(ServiceError):
    """Nothing was accepted; the sender should retry after `retry_after_s`."""

    status = 503

    def __init__(self, what: str, *, retry_after_s: float) -> None:
        super().__init__(what, fix=f"retry after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class IdempotencyConflictError(ServiceError):
    """An Idempotency-Key was used with another body, or its first request is in progress."""

    def __init__(self, what: str, status: int, *, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.status = status


@dataclass(frozen=True, slots=True)
class Accepted:
    """The durable result of a body: `count` events accepted, and the events rejected.

    `unlisted` counts those beyond the listed ones, by cause; `unpacked` is the size of the
    decompressed body. `answer` is the stored response to a repeated request, else empty. `late` and
    `duplicates` are accepted events that change nothing, `newest_ms` is the latest date of the
    accepted ones (0: none is known).
    """

    count: int
    refused: tuple[Refusal, ...] = ()
    answer: bytes = b""
    unlisted: tuple[tuple[str, int], ...] = ()
    unpacked: int = 0
    late: int = 0
    duplicates: int = 0
    newest_ms: int = 0

    @property
    def refused_total(self) -> int:
        """All events that were rejected."""
        return len(self.refused) + sum(count for _, count in self.unlisted)


def accepted_of(
    read: DecodeResult, *, late: int = 0, duplicates: int = 0, newest_ms: int = 0
) -> Accepted:
    """Return the durable result of a decoded body."""
    return Accepted(
        read.taken,
        read.refused,
        unlisted=read.unlisted,
        unpacked=read.unpacked,
        late=late,
        duplicates=duplicates,
        newest_ms=newest_ms,
    )


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request with an Idempotency-Key: SHA-256 of its owner and the key, and of the body."""

    key: bytes
    body: bytes

    @classmethod
    def of(cls, owner: str, key: str, body: Body) -> IdempotencyKey:
        """Return the digests of a key, which belongs to its owner, and of a body."""
        named = hashlib.sha256(f"{owner}\0{key}".encode()).digest()
        prefix = f"{body.form}\0{body.encoding}\0".encode()
        return cls(named, hashlib.sha256(prefix + body.content).digest())


class Repeat(NamedTuple):
    """How a request is known again: its key, and what is stored under it (empty: the response)."""

    key: IdempotencyKey | None = None
    response: bytes = b""


class Sender(NamedTuple):
    """Who sends a body, and what it may send.

    Attributes:
        name: Its name: the prefix of its key, or what the service itself reads from.
        owner: To whom an Idempotency-Key belongs (empty: the sender).
        labels: Whether events may label accounts; labels are sealed in the ledger.
        identifiers: Whether ids may look like personal data, whatever the settings say.
        source: The source that the sender's key belongs to (empty: to none).
        lists: Whether events may say whom outside lists name.
        others: Whether they may be anything else.
        declares: Whether they may declare an account's lane: an administrator's operation alone.
    """

    name: str = ""
    owner: str = ""
    labels: bool = False
    identifiers: bool = False
    source: str = ""
    lists: bool = False
    others: bool = True
    declares: bool = False


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A body on its way into the log.

    `ask` is asked of the engine once it has taken the events; its result resolves the future.
    Senders take turns. Labels are sealed with `sender` as their author; `audit` is the reason of
    their audit entry (empty: the sender writes its own). `response` is stored under the
    Idempotency-Key (empty: the usual one).
    """

    body: Body
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    repeat: IdempotencyKey | None = None
    ask: Callable[[Any], Any] | None = None
    sender: str = ""
    audit: str = ""
    response: bytes = b""


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Events in the log from position `first` on, and the requests that wait for the engine.

    The batch has LOG_SCHEMA, or only those of its columns that have values. `senders` are those of
    its events, in order, with the number of events of each.
    """

    first: int
    events: pa.RecordBatch
    asked: tuple[PendingRequest, ...] = ()
    senders: tuple[tuple[str, int], ...] = ()


Row = tuple[Any, ...]


def decision_row(number: int, decision: Decision) -> Row:
    """Return a decision as a row of its table, without the position that it is stored with."""
    body = msgspec.json.encode(decision)
    return (
        number,
        decision.id,
        decision.account,
        decision.ts,
        decision.stage,
        decision.outcome,
        decision.until,
        body,
    )


@dataclass(frozen=True, slots=True)
class DecidedBatch:
    """Decisions on the log up to position `reached`, as rows of the decision table."""

    reached: int
    rows: tuple[Row, ...] = ()


class AwaitsAnswer(Protocol):
    """Something that waits for a result on an event loop."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


PendingAnswer = tuple[AwaitsAnswer, Any]


def error_location(error: BaseException) -> str:
    """Return an error's type and where it was raised; its message may repeat input."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def resolve_futures(answers: Iterable[PendingAnswer]) -> None:
    """Resolve futures with results or exceptions, in one callback for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[PendingAnswer]] = {}
    for waiting, value in answers:
        by_loop.setdefault(waiting.loop, []).append((waiting, value))
    for loop, some in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set_results, some)


def _set_results(answers: list[PendingAnswer]) -> None:
    for waiting, value in answers:
        if waiting.future.done():
            continue
        if isinstance(value, BaseException):
            waiting.future.set_exception(value)
        else:
            waiting.future.set_result(value)
