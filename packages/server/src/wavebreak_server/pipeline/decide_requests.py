"""Requests to decide events of an account: asked, recorded, or attempted.

The responses are made by `decide.DecideResponder`; waiting, recording and fallbacks are here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.owner_answers import trials
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import Event
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.admission import FORBIDDEN, Admission, event_fault
from wavebreak_server.pipeline.decide import (
    DecideResponse,
    OwnerJudge,
    ParsedEvents,
    enforcement_state,
    known_refusal,
    parse_events,
    pseudonymize_event,
    strictest,
)
from wavebreak_server.pipeline.decider import StaleError
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.idempotency import (
    AnsweredAttempts,
    attempt_key,
    attempted,
    encode_lines,
)
from wavebreak_server.pipeline.intake import Intake
from wavebreak_server.pipeline.pending_requests import Accepted, BusyError, Repeat, Sender
from wavebreak_server.pipeline.request_decoder import Body, concat_batches
from wavebreak_server.pipeline.running import Running
from wavebreak_server.settings import Settings

DECIDE = "POST /v1/decide"


class DecideRequests:
    """Answers `decide`.

    Args:
        running: The running pipeline.
        intake: Takes events into the log.
        settings: The service's settings.
        pseudonymizer: Pseudonymizes the events.
        states: The enforcement states that are known while the engine does not answer.
        clock: Returns milliseconds.
    """

    def __init__(
        self,
        running: Running,
        intake: Intake,
        settings: Settings,
        pseudonymizer: Pseudonymizer,
        states: EnforcementCache,
        clock: Callable[[], int],
    ) -> None:
        self._running, self._intake, self._limits = running, intake, settings.limits
        self._has_engine = not settings.flink_job
        self._pseudonymizer, self._states, self._clock = pseudonymizer, states, clock
        self._answered = AnsweredAttempts(clock, int(settings.limits.idempotency_s * 1000))

    async def decide(
        self, content: bytes, mode: str, sender: Sender, *, key: str = ""
    ) -> DecideResponse:
        """Decide events of one account in JSON, by a dry run.

        In mode `record` the events are added to the log; in mode `attempt` those that are refused,
        as acts that did not happen. An attempt is answered once: the same ids get the same answer.

        If the engine does not answer in time, the outcome that is known to be in force holds, and
        for everybody else the policy's `on_failure`; an event to record is still added to the log,
        once for each Idempotency-Key, and an attempt is not.

        Args:
            content: The event, or an array of events.
            mode: `ask`, `record` or `attempt`.
            sender: Who sends it.
            key: The Idempotency-Key (empty: none).

        Raises:
            ApiError: An event is invalid, is dated ahead of the clock, has an id that looks like
                personal data, or is an attempt without an id (422); or it is a label, or
                what an outside list says, and the sender may not tell it (403).
            BusyError: The event is to be recorded and cannot be held now, no outcome is known yet,
                or another server has taken over the log.
        """
        self._running.check_owned()
        asking = sender._replace(labels=sender.labels or mode == "ask", source="")
        admission = self._intake.admission(asking, arriving=True)
        asked = parse_events(content, admission.arrival_ms)
        self._check_admission(asked, admission)
        self._running.counts["decide"] += 1
        if mode == "attempt":
            return await self._attempt(asked, sender)
        tried = await self._dry_run(asked.events, mode, sender.source)
        response = strictest(tried, array=asked.array)
        if mode != "record":
            return response
        account = response.account
        state = await self._intake.accept(
            Body(content, "json"),
            sender,
            key=key,
            ask=lambda engine: enforcement_state(engine, account),
            audit=DECIDE,
            arriving=True,
        )
        if isinstance(state, Accepted) or response.mode == "on_failure":
            return response
        if not await self._is_sealed(account):
            return self._last_known(asked.events, array=asked.array)
        return msgspec.structs.replace(response, outcome=state[0], until=state[1])

    def _check_admission(self, asked: ParsedEvents, admission: Admission) -> None:
        """Raise ApiError (403 or 422) for an event that may not enter the log."""
        for n, event in enumerate(asked.events, 1):
            if fault := event_fault(event, admission):
                self._running.counts[f"refused.{fault.cause}"] += 1
                where = f"item {n}: " if asked.array else ""
                raise ApiError(
                    403 if fault in FORBIDDEN else 422,
                    f"{where}field `{fault.field}`: {fault.what}",
                    fix=fault.fix,
                    cause=fault.cause,
                    field=fault.field,
                )

    async def _dry_run(
        self, events: Sequence[Event], mode: str, source: str
    ) -> list[DecideResponse]:
        """Respond to events of one account by dry runs, or by its last known outcome.

        Where a job on Flink decides, by what it has published, and attempts by a dry run there.
        """
        logs = [pseudonymize_event(event, self._pseudonymizer, source) for event in events]
        if not self._has_engine:
            return await self._asked_of_job(events, logs, mode)

        def respond(engine: Engine) -> list[DecideResponse]:
            return self._running.responder.respond_to_all(engine, events, logs, mode)

        try:
            async with asyncio.timeout(self._limits.answer_s):
                responses: list[DecideResponse] = await self._running.ask(respond, brief=True)
                await self._running.wait_until_sealed(events[0].account)
        except (BusyError, TimeoutError):
            return [self._known(event) for event in events]
        return responses

    async def _asked_of_job(
        self, events: Sequence[Event], logs: Sequence[pa.RecordBatch], mode: str
    ) -> list[DecideResponse]:
        """Respond to attempts by the group that holds the account, else by what is published."""
        published = self._published(events, mode)
        if mode != "attempt" or published[0].mode == "on_failure":
            return published
        try:
            answer = await self._running.query(
                trials, events=concat_batches(logs), timeout_s=self._limits.owner_s
            )
        except BusyError:
            self._running.counts["owner_away"] += 1
            return [msgspec.structs.replace(response, owner_away=True) for response in published]
        judge = OwnerJudge(self._running.deciding(), answer)
        responder, as_of = self._running.responder, published[0].as_of
        responses = responder.respond_by(judge, answer.results(), events, logs, mode)
        return [msgspec.structs.replace(response, as_of=as_of) for response in responses]

    def _published(self, events: Sequence[Event], mode: str) -> list[DecideResponse]:
        """Respond by what a job has published; where that is too old, as the engine's last word."""
        try:
            as_of = self._running.as_of()
        except StaleError as error:
            if not error.as_of.position:
                raise
            as_of, mode = error.as_of, "on_failure"
        return [
            msgspec.structs.replace(self._known(event, mode), as_of=as_of or msgspec.UNSET)
            for event in events
        ]

    async def _attempt(self, asked: ParsedEvents, sender: Sender) -> DecideResponse:
        """Decide events that have not happened; the log takes those that are refused."""
        key = attempt_key(sender.owner or sender.name, asked.events)
        if answered := self._answered.allowed(key):
            return msgspec.json.decode(answered, type=DecideResponse)
        events = list(map(attempted, asked.events))
        # Both wait for others: the engine, and the database. An answer that is stored in between is
        # found where it would be stored a second time.
        responses, answered = await asyncio.gather(
            self._dry_run(events, "attempt", sender.source), self._answered.refused(key)
        )
        response = strictest(responses, array=asked.array)
        if response.mode == "on_failure":
            return response
        if answered:
            return msgspec.json.decode(answered, type=DecideResponse)
        refused = self._evidence(events, responses)
        account, answer = response.account, msgspec.json.encode(response)
        if not refused:
            if not (response.listed_by or response.owner_away):
                self._answered.remember(key, answer)
            return response
        try:
            state = await self._intake.accept(
                Body(encode_lines(refused), "lines"),
                sender,
                ask=lambda engine: enforcement_state(engine, account),
                audit=DECIDE,
                repeat=Repeat(key, answer),
            )
        except BusyError:
            if not self._running.switching:
                raise
            # Nobody is refused by what would leave no trace, but by what is in force.
            return self._last_known(events, array=asked.array)
        if isinstance(state, Accepted):
            # Answered meanwhile, or none of it could enter the log.
            return (
                msgspec.json.decode(state.answer, type=DecideResponse) if state.answer else response
            )
        if not await self._is_sealed(account):
            return self._last_known(events, array=asked.array)
        return response

    def _evidence(
        self, events: Sequence[Event], responses: Sequence[DecideResponse]
    ) -> list[Event]:
        """Return the refused events that the log takes; others leave no trace, to be decided anew.

        That is what waits since its chats are not known here.
        """
        return [
            event
            for event, response in zip(events, responses, strict=True)
            if not response.allowed
            and (
                not response.owner_away
                or known_refusal(event, self._states.state(event.account))[0]
            )
        ]

    async def _is_sealed(self, account: str) -> bool:
        """Whether the newest decision on an account is sealed in time."""
        try:
            async with asyncio.timeout(self._limits.answer_s):
                await self._running.wait_until_sealed(account)
        except TimeoutError:
            return False
        return True

    def _last_known(self, events: Sequence[Event], *, array: bool) -> DecideResponse:
        return strictest([self._known(event) for event in events], array=array)

    def _known(self, event: Event, mode: str = "on_failure") -> DecideResponse:
        """Respond without the engine, by the last known outcome of the account."""
        if not self._states.loaded:
            raise self._running.busy("the enforcement states are being loaded")
        self._running.counts["on_failure"] += mode == "on_failure"
        known = self._states.state(event.account)
        return self._running.responder.fallback(event, known, self._clock(), mode)
