"""Who waits for an answer: what was sent, and how the answer comes back to the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from wavebreak.errors import ServiceError
from wavebreak.ledger import Draft
from wavebreak.schema.events import Refusal
from wavebreak.service.request_decoder import Body


class BusyError(ServiceError):
    """Nothing was taken: come again after `retry_after_s`."""

    def __init__(self, what: str, *, retry_after_s: float) -> None:
        super().__init__(what, fix=f"send it again after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class RepeatedKeyError(ServiceError):
    """An Idempotency-Key came with another body, or while its first request is under way."""

    def __init__(self, what: str, status: int, *, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.status = status


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was taken of a body, durably: `count` events, of which `refused` were not taken.

    `answer` is what a repeated request was answered with the first time, else empty.
    """

    count: int
    refused: tuple[Refusal, ...] = ()
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request that may come again: SHA-256 of who sends it and its key, and of its body."""

    key: bytes
    body: bytes

    @classmethod
    def of(cls, sender: str, key: str, body: Body) -> Repeat:
        """Digest a key and a body; the key is the sender's own."""
        named = hashlib.sha256(f"{sender}\0{key}".encode()).digest()
        told = f"{body.form}\0{body.encoding}\0".encode()
        return cls(named, hashlib.sha256(told + body.content).digest())


@dataclass(slots=True, eq=False)
class Waiting:
    """A body on its way into the log. `ask` is wanted from the engine once it took the events.

    `drafts` are entries of the ledger, sealed with it.
    """

    body: Body
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    repeat: Repeat | None = None
    ask: Callable[[Any], Any] | None = None
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Logged:
    """Events that are in the log, from position `first` on, and who waits for the engine.

    A batch of LOG_SCHEMA, or of those of its columns in which something is given.
    """

    first: int
    events: pa.RecordBatch
    asked: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What the engine made of the log up to `reached`: rows of the table of decisions."""

    reached: int
    rows: tuple[tuple[Any, ...], ...] = ()


class Asker(Protocol):
    """Who waits for an answer on an event loop."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


PendingAnswer = tuple[Asker, Any]


def error_location(error: BaseException) -> str:
    """Name an error by its type and where it was raised; its message may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def resolve_futures(answers: Iterable[PendingAnswer]) -> None:
    """Give answers (values or exceptions) to who waits, in one step for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[PendingAnswer]] = {}
    for waiting, value in answers:
        by_loop.setdefault(waiting.loop, []).append((waiting, value))
    for loop, some in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, some)


def _settle(answers: list[PendingAnswer]) -> None:
    for waiting, value in answers:
        if waiting.future.done():
            continue
        if isinstance(value, BaseException):
            waiting.future.set_exception(value)
        else:
            waiting.future.set_result(value)
