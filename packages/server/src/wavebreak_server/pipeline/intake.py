"""Acceptance of bodies: their way into the log, within what the service can hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from wavebreak.engine import Engine
from wavebreak.engine.queries import Held, Query
from wavebreak_server.pipeline.admission import Admission
from wavebreak_server.pipeline.backpressure import Backpressure, should_pause_decoding
from wavebreak_server.pipeline.decider import NoAnswerError
from wavebreak_server.pipeline.log_clock import ClockSkews, allowed_ahead_ms
from wavebreak_server.pipeline.new_names import NoRoomError
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    IdempotencyKey,
    PendingRequest,
    Repeat,
    Sender,
)
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.pipeline.running import POLL_S, Running
from wavebreak_server.settings import Settings

logger = structlog.stdlib.get_logger("wavebreak.service")
T = TypeVar("T")


class Intake:
    """Takes bodies into the log.

    Args:
        running: The running pipeline.
        settings: The service's settings.
        clock: Returns milliseconds.
        lateness_s: Allowed lateness of events.

    Attributes:
        waiting: The bodies that arrive or wait for the log.
        ahead_ms: How far events may be dated ahead of the clock.
        skews: How far the clocks of senders are from the service's.
    """

    def __init__(
        self, running: Running, settings: Settings, clock: Callable[[], int], lateness_s: int
    ) -> None:
        self._running, self._settings, self._clock = running, settings, clock
        self.waiting = Backpressure(settings.limits)
        self.ahead_ms = allowed_ahead_ms(lateness_s)
        self.skews = ClockSkews(lateness_s * 1000)

    def check_capacity(self, size: int, sender: str = "") -> None:
        """Raise BusyError if a sender's body of this many bytes cannot be held now."""
        running = self._running
        running.check_owned()
        pipeline = None if running.is_stopped else running.pipeline
        running.refuse(running.switching or self.waiting.reason_to_refuse(pipeline, size, sender))

    @contextmanager
    def receiving(self, sender: str) -> Iterator[Callable[[int], None]]:
        """Give a counter of the bytes of a body as they arrive, until the block ends.

        The counter raises BusyError if the bytes cannot be held.
        """
        with self.waiting.receiving(sender) as count:

            def arrived(size: int) -> None:
                self.check_capacity(size, sender)
                count(size)

            yield arrived

    def should_pause_decoding(self) -> bool:
        """Whether decoding should wait until the engine has caught up."""
        pipeline = self._running.pipeline
        return pipeline is not None and should_pause_decoding(pipeline, self._settings.limits)

    def admission(self, sender: Sender, *, arriving: bool) -> Admission:
        """Return the admission terms of a sender now."""
        now_ms = self._clock()
        return Admission(
            sender.labels,
            now_ms + self.ahead_ms + 1,
            sender.identifiers or self._settings.allow_identifiers,
            now_ms if arriving else 0,
            sender.source,
            sender.lists,
            sender.others,
            sender.declares,
        )

    async def accept(
        self,
        body: Body,
        sender: Sender,
        *,
        key: str = "",
        ask: Callable[[Engine], Any] | None = None,
        audit: str = "",
        arriving: bool = False,
        repeat: Repeat | None = None,
    ) -> Any:
        """Add a body's events to the log; returns when they are durable.

        Args:
            body: The request body.
            sender: Who sends it.
            key: The Idempotency-Key (empty: none).
            ask: Asked of the engine once it has taken the events; a job is asked nothing.
            audit: The reason of the labels' audit entry (empty: the caller writes one).
            arriving: Whether events without a time are taken at the service's clock.
            repeat: What makes the request idempotent in place of an Idempotency-Key.

        Returns:
            `Accepted`, or the result of `ask`.

        Raises:
            BusyError: The body cannot be held now.
            NoRoomError: None of its events was accepted, since their new names have no room.
            IdempotencyConflictError: The key is in progress, or was used with another body.
            EventError: The body cannot be read.
        """
        size, name, counts = len(body.content), sender.name, self._running.counts
        self.check_capacity(size, name)
        pipeline = self._running.pipeline
        assert pipeline is not None  # noqa: S101 - check_capacity has seen it
        repeat = repeat or Repeat(
            IdempotencyKey.of(sender.owner or name, key, body) if key else None
        )
        admitted = replace(body, admission=self.admission(sender, arriving=arriving))
        loop = asyncio.get_running_loop()
        request = PendingRequest(
            admitted,
            loop.create_future(),
            loop,
            repeat.key,
            ask if pipeline.decider.has_engine else None,
            name,
            audit,
            repeat.response,
        )
        with self.waiting.hold(size, repeat.key, name):
            try:
                pipeline.decoder_pool.put(request)
                result = await request.future
            except NoRoomError as error:
                counts[f"refused.{error.cause}"] += error.events
                raise
        if isinstance(result, Accepted):
            self._count(result)
            if arriving and name and result.newest_ms:
                self._note_skew(name, result.newest_ms)
        return result

    def _note_skew(self, sender: str, newest_ms: int) -> None:
        """Note how far a sender's clock is behind, and report it once if that makes events late."""
        if self.skews.note(sender, self._clock(), newest_ms):
            logger.warning(
                "a key's newest event is further behind than lateness allows", key=sender
            )

    def _count(self, accepted: Accepted) -> None:
        counts = self._running.counts
        counts["bodies"] += 1
        counts["events"] += accepted.count
        for refusal in accepted.refused:
            counts[f"refused.{refusal.cause}"] += 1
        for cause, count in accepted.unlisted:
            counts[f"refused.{cause}"] += count

    async def accept_then(
        self, body: Body, sender: Sender, query: Query[T], accounts: Sequence[str]
    ) -> T | Accepted:
        """Accept a body as `accept` does, and ask about accounts once it is decided and sealed.

        What was accepted is returned where none of it entered the log, or nobody is asked about.

        Raises:
            BusyError: As `accept`; or the job that decides does not come to it in time: it is in
                the log, and takes effect then.
        """
        ask = (lambda engine: query.read(Held.by(engine, accounts))) if accounts else None
        result: T | Accepted = await self.accept(body, sender, ask=ask)
        pipeline = self._running.pipeline
        if not (accounts and isinstance(result, Accepted) and result.count and pipeline):
            return result
        if pipeline.decider.has_engine:
            return result
        end = pipeline.log_writer.end
        try:
            async with asyncio.timeout(self._settings.limits.job_s):
                while pipeline.log_writer.applied < end:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise NoAnswerError(self._settings.flink_job, logged=True) from None
        return await self._running.query(query, accounts)
