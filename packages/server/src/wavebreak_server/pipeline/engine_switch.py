"""Switches of the engine: the pipeline stops in order, and starts with another policy or model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from django.db import Error, connection

from wavebreak.engine import Engine
from wavebreak.errors import WavebreakError
from wavebreak_server.pipeline import job_switches
from wavebreak_server.pipeline.decide import DecideResponder
from wavebreak_server.pipeline.decoder_pool import DecoderProcess
from wavebreak_server.pipeline.pipeline import Launcher, Pipeline
from wavebreak_server.pipeline.running import Running


class Observer(NamedTuple):
    """Callbacks for the stages of a service's life.

    Attributes:
        report: Called with messages for the operator.
        progress: Called during recovery with the position reached and the log's end.
        recovered: Called once the database was checked and the log replayed, before any answer.
        settled: Called after each start and each switch of engines: the objects made by then stay.
    """

    report: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int], None] = lambda _at, _end: None
    recovered: Callable[[], None] = lambda: None
    settled: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Replacement:
    """Engine and responder of a running service after a switch.

    Attributes:
        make_engine: Returns an engine without state.
        responder: Answers `decide`.
        carry: Moves the state of the stopped pipeline; returns a function that undoes the move.
        done: Called once the new pipeline runs.
    """

    make_engine: Callable[[], Engine]
    responder: DecideResponder
    carry: Callable[[Pipeline], Callable[[], None]]
    done: Callable[[], None]


class EngineSwitch:
    """Replaces the pipeline of a running service.

    Args:
        running: The running pipeline.
        launcher: Starts the pipeline.
        observer: Told of each switch.

    Attributes:
        count: How often the engine was replaced since the start.
    """

    def __init__(self, running: Running, launcher: Launcher, observer: Observer) -> None:
        self._running, self._launcher, self._observer = running, launcher, observer
        self.count = 0

    async def replace(self, prepare: Callable[[], Replacement], why: str) -> float:
        """Stop the pipeline in order, and start it with other engines; see `policy_switch`.

        Meanwhile new bodies are refused, as during a start. What was accepted is finished, and the
        former engine answers `decide` until the other one does.

        Args:
            prepare: Returns what to go on with; called in a thread while the service goes on.
            why: The reason that refused requests are given.

        Returns:
            How many seconds bodies were refused.

        Raises:
            ServiceError: The other engines could not start; the former ones go on.
        """
        running = self._running
        async with running.lifecycle:
            wanted = await asyncio.to_thread(prepare)
            decoders = await asyncio.to_thread(self._launcher.new_decoders)
            began = time.monotonic()
            running.switching = why
            try:
                await asyncio.to_thread(self._replace, wanted, decoders)
            finally:
                running.switching = ""
                self.count += 1
                self._observer.settled()
                running.wake()
            return time.monotonic() - began

    def _replace(self, wanted: Replacement, decoders: list[DecoderProcess]) -> None:
        """Replace the pipeline, in a thread; no request is put into it meanwhile."""
        running, former = self._running, self._running.pipeline
        assert former is not None  # noqa: S101 - a service that is ready has one
        try:
            former.stop(switching=True)
            started = self._started(wanted, former, decoders)
            if not former.decider.has_engine:
                with suppress(Error):
                    # Before anybody asks the job; without events it would not go over yet.
                    job_switches.settle()
            running.make_engine = wanted.make_engine
            running.pipeline, running.responder = started, wanted.responder
            with suppress(Error, WavebreakError):
                # What is not sealed now is sealed at the next start.
                self._launcher.host.ledger_store.seal_states()
            wanted.done()
        except BaseException as error:
            if running.pipeline is former:
                # It has stopped, and neither it nor another one goes on.
                running.give_up(error)
            raise
        finally:
            connection.close()

    def _started(
        self, wanted: Replacement, former: Pipeline, decoders: list[DecoderProcess]
    ) -> Pipeline:
        """Start the new pipeline; where that fails, the former one anew, and raise."""
        launcher, running = self._launcher, self._running
        undo: Callable[[], None] = _nothing
        try:
            undo = wanted.carry(former)
            return launcher.start(wanted.make_engine, decoders)
        except BaseException as error:
            self._observer.report(f"the switch failed, what decided before decides on: {error}")
            for decoder in decoders:
                decoder.close()
            undo()
            running.pipeline = launcher.start(running.make_engine, launcher.new_decoders())
            raise


def _nothing() -> None:
    """Undo nothing."""
