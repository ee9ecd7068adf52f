"""What both clients share: the queue's sender, the follower of states, and attempts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx

from wavebreak_client.breaker import Breaker
from wavebreak_client.business import Send, SendAnswer, read_answers, sends_body
from wavebreak_client.delivery import Outcome, backoff_s, read_answer, retry_after_s
from wavebreak_client.errors import EventError, ServiceError, SettingsError
from wavebreak_client.event_base import Event, encode
from wavebreak_client.event_queue import Batch, EventQueue
from wavebreak_client.events import build_event
from wavebreak_client.health import COUNTS, Health
from wavebreak_client.server_clock import REPORTED_MS, ServerClock
from wavebreak_client.spool import Spool
from wavebreak_client.sse import EventStreamReader
from wavebreak_client.states import State, StateCache, read_state
from wavebreak_client.verdicts import Verdict, failed_verdict, judge, read_on_failure

log = logging.getLogger("wavebreak_client")

AnyEvent = Event | Mapping[str, Any]
Mode = Literal["enforce", "shadow"]

BATCH_TIMEOUT_S = 30.0
SILENCE_S = 60.0
MOST_EVENTS = 50
MOST_ACCOUNTS = 1000
_LOUD_S = 60.0
_PRUNE_S = 60.0


class ClientCore:
    """Settings and state of a client. Make a Client or an AsyncClient, not this.

    Args:
        url: Where the service is, for example `https://wavebreak.example.org`.
        key: Its API key, with the scopes `ingest` and `decide`.
        mode: `enforce` asks by attempts. `shadow` asks without effect, and allows every act.
        on_failure: What happens to an act without an answer, `open` or `closed`, by kind:
            `registration` (default closed) and `messaging` (always open).
        timeout_s: How long an attempt waits in all.
        follow_states: Keep the cache of enforcement states. Without, every act needs asking.
        max_events: How many events wait at most; one more is dropped and counted.
        max_bytes: How many bytes of JSON wait at most.
        batch_events: Events of a request, at most.
        batch_bytes: Bytes of a request, at most.
        batch_s: How long an event waits for others.
        spool: A file that keeps events over a restart; one for each process.
        spool_bytes: What the file may grow to.
        spool_identifiers: Also keep `phone`, `ip` and `device` in it.
        verify: How certificates are verified; see httpx.
        transport: An httpx transport, for tests and for unusual networks.

    Raises:
        SettingsError: Where a setting is missing or invalid.
        SpoolError: Where the spool cannot be opened.

    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        mode: Mode = "enforce",
        on_failure: Mapping[str, str] | None = None,
        timeout_s: float = 0.25,
        follow_states: bool = True,
        max_events: int = 100_000,
        max_bytes: int = 64 << 20,
        batch_events: int = 500,
        batch_bytes: int = 1_000_000,
        batch_s: float = 0.2,
        spool: str | Path | None = None,
        spool_bytes: int = 256 << 20,
        spool_identifiers: bool = False,
        verify: bool | ssl.SSLContext = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        _check_settings(url, key, mode, timeout_s)
        self._shadow = mode == "shadow"
        self._on_failure = read_on_failure(on_failure)
        self._timeout_s, self._follows = timeout_s, follow_states
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._flushing = 0
        self._closed = False
        self._counts = dict.fromkeys(COUNTS, 0)
        self._lock = threading.Lock()
        self._refused_paths: dict[str, int] = {}
        self._loud_at: dict[str, float] = {}
        self._pruned_at = 0.0
        self._trouble: dict[str, str] = {}
        self._is_stranger = False
        """Whether what answered last is no Wavebreak."""
        self._clock = ServerClock()
        self._breaker = Breaker(time.monotonic)
        self._states = StateCache(_monotonic_ms)
        self._url, self._verify, self._own_transport = url.rstrip("/"), verify, transport is None
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": "wavebreak-client/0.1"}
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            timeout=BATCH_TIMEOUT_S,
            limits=httpx.Limits(max_connections=66, max_keepalive_connections=34),
            verify=verify,
            transport=transport,
            trust_env=False,
        )
        for name in ("httpx", "httpcore"):
            # They log each request, so each account in a path, at INFO.
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        self._queue = EventQueue(
            max_events=max_events,
            max_bytes=max_bytes,
            batch_events=batch_events,
            batch_bytes=batch_bytes,
            batch_ms=batch_s * 1000,
            spool=None
            if spool is None
            else Spool(Path(spool), max_bytes=spool_bytes, identifiers=spool_identifiers),
            monotonic_ms=_monotonic_ms,
            ready=self._wake_up,
        )

    # What answers at once.

    def tell(self, *events: AnyEvent) -> bool:
        """Hand over events that happened; returns at once.

        Args:
            events: Each an event, or a JSON object that describes one.

        Returns:
            Whether there was room for all; what there was none for is counted and dropped.

        Raises:
            EventError: Where an event does not fit the schema; none of them is taken.

        """
        self._begin()
        lines = [as_event(event).to_json() for event in events]
        room = True
        for members in lines:
            members.setdefault("id", secrets.token_hex(16))
            members.setdefault("ts", self._clock.event_ms(wall_ms()))
            taken = not self._closed and self._queue.put(members)
            self._count("taken" if taken else "dropped_full")
            room = room and taken
        return room

    def state(self, account: str) -> State:
        """Return an account's enforcement state as the cache has it; see its `fresh`."""
        self._begin()
        return self._states.state(account, self._clock.server_ms(wall_ms()))

    def states(self) -> list[State]:
        """Return the states that are not allow, as the cache has them; see their `fresh`."""
        self._begin()
        return self._states.held(self._clock.server_ms(wall_ms()))

    def needs_asking(self, account: str, opens_chat: bool) -> bool:
        """Return whether an act has to be asked about by `attempt` before it happens.

        Args:
            account: Who acts.
            opens_chat: Whether the act opens a chat: the first message to a person or group, an
                invitation, a new group.

        """
        self._begin()
        server_ms = self._clock.server_ms(wall_ms())
        return self._states.needs_asking(account, opens_chat=opens_chat, server_ms=server_ms)

    def health(self) -> Health:
        """Return how the client does, without asking anybody."""
        counts = {**self._counts, "spool_failures": self._queue.spool_failures}
        problems = [*self._trouble.values(), *self._problems(counts)]
        return Health(
            not problems,
            tuple(problems),
            self._states.fresh,
            self._states.number,
            len(self._states),
            len(self._queue),
            self._queue.bytes,
            self._breaker.state,
            bool(self._refused_paths),
            self._clock.offset_ms,
            counts,
        )

    def _problems(self, counts: Mapping[str, int]) -> list[str]:
        found = []
        for path, status in self._refused_paths.items():
            found.append(
                f"the service refuses the key for {path} ({status}); "
                "fix: give a key with the scopes ingest and decide"
            )
        offset = self._clock.offset_ms
        if abs(offset) > REPORTED_MS:
            found.append(
                f"this machine's clock is {abs(offset) // 1000} s "
                f"{'behind' if offset > 0 else 'ahead of'} the service's; fix: synchronise it"
            )
        if self._follows and self._loop is not None and not self._states.fresh:
            found.append("enforcement states are not current; fix: see that the service answers")
        if self._breaker.state != "closed":
            found.append("the service does not answer attempts; fix: see that it runs")
        if counts["dropped_full"]:
            found.append("events were dropped; fix: raise max_events, or see why the service lags")
        if counts["spool_failures"]:
            found.append("the spool could not be written; fix: see that its disk has room")
        return found

    # The loop's part.

    def _begin(self) -> None:
        """Start what runs in the background, once; overridden by Client."""

    def _start(self) -> None:
        """Start the background tasks in the running loop."""
        if self._loop is not None or self._closed:
            return
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._wake.set()
        self._tasks.append(self._loop.create_task(self._send_events()))
        if self._follows:
            self._tasks.append(self._loop.create_task(self._follow_states()))

    def _wake_up(self) -> None:
        if self._loop is None or self._loop_thread == threading.get_ident():
            self._wake.set()
        else:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _attempt(self, event: AnyEvent | Sequence[AnyEvent]) -> Verdict:
        events = as_act(event)
        if not self._may_ask():
            return failed_verdict(events, self._on_failure, shadow=self._shadow)
        content = content_of(events, array=isinstance(event, Sequence))
        try:
            answer = await asyncio.wait_for(
                self._request("POST", self._attempt_path, content), self._timeout_s
            )
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except (httpx.HTTPError, asyncio.TimeoutError, OSError):
            return self._unanswered(events)
        return self._judge(answer, events)

    @property
    def _attempt_path(self) -> str:
        return f"/v1/decide?mode={'ask' if self._shadow else 'attempt'}"

    def _may_ask(self) -> bool:
        """Whether to ask; whoever asks then judges the answer, or says that there was none."""
        allowed = self._breaker.allows()
        self._count("asked" if allowed else "skipped")
        return allowed

    def _unanswered(self, events: tuple[Event, ...]) -> Verdict:
        self._breaker.failed()
        self._count("no_answer")
        return failed_verdict(events, self._on_failure, shadow=self._shadow)

    def _judge(self, answer: httpx.Response, events: tuple[Event, ...]) -> Verdict:
        status = answer.status_code
        self._watch_key("/v1/decide", status)
        verdict, answered = judge(
            status, answer.content, events, self._on_failure, shadow=self._shadow
        )
        if not answered:
            self._breaker.failed()
            self._count("no_answer")
            return verdict
        self._breaker.succeeded()
        if verdict.answered:
            self._count("answered")
        elif status not in (401, 403):
            self._count("rejected")
            self._say(
                f"attempt {status}", f"the service does not take an attempt: {_problem(answer)}"
            )
        return verdict

    async def _fetch_states(self, accounts: Sequence[str]) -> list[State]:
        if not 1 <= len(accounts) <= MOST_ACCOUNTS:
            raise SettingsError(f"give 1 to {MOST_ACCOUNTS} accounts", fix="ask several times")
        content = encode({"accounts": list(accounts)})
        try:
            answer = await self._request("POST", "/v1/states/query", content)
        except (httpx.HTTPError, OSError) as error:
            raise ServiceError(f"the service did not answer: {type(error).__name__}") from None
        self._watch_key("/v1/states", answer.status_code)
        if answer.status_code != 200:
            raise ServiceError(_problem(answer), status=answer.status_code)
        try:
            states = [read_state(each) for each in answer.json()["states"]]
        except (ValueError, KeyError, TypeError):
            raise ServiceError("the service's answer is not readable", status=200) from None
        now = self._clock.server_ms(wall_ms())
        return [
            State(s.account, number=s.number) if s.until_ms is not None and s.until_ms <= now else s
            for s in states
        ]

    async def _decide_sends(self, portfolio: str, sends: Sequence[Send]) -> list[SendAnswer]:
        content = encode(sends_body(portfolio, sends))
        try:
            answer = await self._request("POST", "/v1/business/decide", content)
        except (httpx.HTTPError, OSError) as error:
            raise ServiceError(f"the service did not answer: {type(error).__name__}") from None
        self._watch_key("/v1/business/decide", answer.status_code)
        if answer.status_code != 200:
            raise ServiceError(_problem(answer), status=answer.status_code)
        try:
            return read_answers(answer.json(), sends)
        except (ValueError, KeyError, TypeError):
            raise ServiceError("the service's answer is not readable", status=200) from None

    async def _declare(self, carries: Sequence[str], can: Sequence[str]) -> bool:
        content = encode({"carries": list(carries), "can": list(can)})
        self._trouble.pop("declaration", None)
        try:
            answer = await self._request("PUT", "/v1/sources/self", content)
        except (httpx.HTTPError, OSError):
            return False
        status = answer.status_code
        self._watch_key("/v1/sources/self", status)
        if self._is_stranger or status < 300:
            return not self._is_stranger
        text = f"the service does not take this source's declaration: {_problem(answer)}"
        if 400 <= status < 500 and status not in (401, 403, 408, 429):
            self._trouble["declaration"] = f"{text}{_advice(answer)}"
        self._say(f"declare {status}", text)
        return False

    async def _flush(self, timeout_s: float) -> bool:
        self._flushing += 1
        try:
            end = time.monotonic() + timeout_s
            while len(self._queue) and time.monotonic() < end and self._sending():
                self._wake.set()
                await asyncio.sleep(min(0.01, max(0.0, end - time.monotonic())))
            return not len(self._queue)
        finally:
            self._flushing -= 1

    def _sending(self) -> bool:
        return bool(self._tasks) and not self._tasks[0].done()

    async def _close(self, timeout_s: float) -> bool:
        if self._closed:
            return not len(self._queue)
        self._start()
        self._closed = True
        done = await self._flush(timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._counts["dropped_at_close"] += self._queue.close()
        await self._http.aclose()
        return done

    async def _send_events(self) -> None:
        """Send batches, one at a time, until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            due_ms = self._queue.due_ms(flush=self._flushing > 0)
            if due_ms is None or due_ms > 0:
                wait = None if due_ms is None else due_ms / 1000
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
                continue
            batch = self._queue.take()
            if batch is None:
                continue
            await self._sync()
            outcome, after_s = await self._send_batch(batch)
            if outcome.action in ("retry", "hold"):
                failures += 1
                self._count("retries")
                await asyncio.sleep(backoff_s(failures, after_s))
                continue
            failures = 0
            self._settle(batch, outcome)

    async def _sync(self) -> None:
        if not self._queue.spooled:
            return
        try:
            await asyncio.to_thread(self._queue.sync)
        except RuntimeError:  # The interpreter ends, and has no threads left.
            self._queue.sync()

    async def _send_batch(self, batch: Batch) -> tuple[Outcome, float | None]:
        headers = {"Idempotency-Key": batch.key}
        try:
            answer = await asyncio.wait_for(
                self._request("POST", "/v1/events", batch.body, headers), BATCH_TIMEOUT_S
            )
        except (httpx.HTTPError, asyncio.TimeoutError, OSError):
            self._trouble["events"] = (
                "events cannot be delivered; fix: see that the service runs and can be reached"
            )
            return Outcome("retry"), None
        self._watch_key("/v1/events", answer.status_code)
        if self._is_stranger:
            return Outcome("retry"), None  # No word of it says that the events are wrong.
        outcome = read_answer(answer.status_code, answer.content)
        if outcome.action == "retry":
            self._trouble["events"] = (
                f"events cannot be delivered (status {answer.status_code}); "
                "fix: see the service's health"
            )
        else:
            self._trouble.pop("events", None)
        if outcome.action in ("split", "drop"):
            self._say(
                f"events {answer.status_code}",
                f"the service does not take a batch of events: {_problem(answer)}",
            )
        return outcome, retry_after_s(answer.headers.get("Retry-After"), time.time())

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        if outcome.action == "split" and self._queue.split(batch):
            return
        self._queue.settle(batch)
        if outcome.action != "done":
            self._count("dropped_rejected", len(batch.lines))
            return
        for name in ("accepted", "late", "duplicates", "refused"):
            self._count(name, getattr(outcome, name))
        if outcome.refused:
            self._say(
                "refused " + ",".join(outcome.causes),
                f"the service refused {outcome.refused} events: {', '.join(outcome.causes)}",
            )

    async def _follow_states(self) -> None:
        """Keep the cache of enforcement states current, until cancelled."""
        failures = 0
        reader = EventStreamReader()
        while True:
            number = self._states.number
            try:
                if not self._states.fresh:
                    await self._load_snapshot()
                reader = EventStreamReader()
                await self._read_stream(reader)
                failures = 0
            except ServiceError as error:
                failures += 1
                self._say(f"states {error.status}", f"enforcement states: {error.what}")
                if error.status not in (401, 403, 429):
                    self._states.forget()
            except (httpx.HTTPError, ValueError, asyncio.TimeoutError, OSError):
                failures = 1 if self._states.number > number else failures + 1
            if failures > 1:
                wait = backoff_s(failures)
            else:
                wait = random.uniform(0.2, max(0.3, (reader.retry_ms or 2000) / 1000))
            await asyncio.sleep(wait)

    async def _load_snapshot(self) -> None:
        since: int | None = 0
        first = True
        while since is not None:
            answer = await self._request("GET", f"/v1/states?since={since}")
            self._check_states(answer)
            page = answer.json()
            if not isinstance(page, dict) or not isinstance(page.get("number"), int):
                raise ValueError("a page of states is not readable")
            if first:
                self._states.start_snapshot(page["number"])
                first = False
            self._states.add_page(page)
            following = page.get("next")
            if following is not None and (not isinstance(following, int) or following <= since):
                raise ValueError("the next page of states is not readable")
            since = following
        self._states.finish_snapshot()

    async def _read_stream(self, reader: EventStreamReader) -> None:
        number = str(self._states.number)
        sent_ms = wall_ms()
        timeout = httpx.Timeout(BATCH_TIMEOUT_S, read=SILENCE_S)
        async with self._http.stream(
            "GET",
            "/v1/states/stream",
            params={"since": number},
            headers={"Accept": "text/event-stream", "Last-Event-ID": number},
            timeout=timeout,
        ) as answer:
            self._observe(answer, sent_ms)
            self._check_states(answer)
            self._states.heard()
            async for received in answer.aiter_bytes():
                self._states.heard()
                self._prune()
                for message in reader.feed(received):
                    self._states.apply(message)

    def _prune(self) -> None:
        """Forget, once a minute, states whose end has passed."""
        now = time.monotonic()
        if now - self._pruned_at >= _PRUNE_S:
            self._pruned_at = now
            self._states.prune(self._clock.server_ms(wall_ms()))

    def _check_states(self, answer: httpx.Response) -> None:
        self._watch_key("/v1/states", answer.status_code)
        if answer.status_code != 200:
            status = answer.status_code
            fix = "upgrade the service" if status == 404 else "see the service's log"
            raise ServiceError(f"the service answered {status}", status=status, fix=fix)

    async def _request(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent_ms = wall_ms()
        media = {"Content-Type": "application/json"} if content else {}
        try:
            answer = await self._http.request(
                method, path, content=content or None, headers={**media, **(headers or {})}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._not_reached(error)
            raise
        self._observe(answer, sent_ms)
        return answer

    def _observe(self, answer: httpx.Response, sent_ms: int) -> None:
        date = answer.headers.get("Date")
        self._clock.observe(date, sent_ms=sent_ms, received_ms=wall_ms())
        self._is_stranger = is_stranger(answer)
        if self._is_stranger:
            self._trouble["service"] = (
                f"what answers at {self._url} is no Wavebreak (status {answer.status_code}); "
                "fix: set the service's own address, and let a proxy pass its requests on"
            )
            self._say("service", self._trouble["service"], logging.ERROR)
        else:
            self._trouble.pop("service", None)

    def _not_reached(self, error: Exception) -> None:
        causes: list[BaseException | None] = [error]
        while causes[-1] is not None:
            causes.append(causes[-1].__cause__ or causes[-1].__context__)
        refused = any(isinstance(each, ConnectionRefusedError) for each in causes)
        why = "the connection is refused" if refused else type(error).__name__
        self._trouble["service"] = (
            f"nothing can be reached at {self._url} ({why}); "
            "fix: start the service, or set the address at which it listens"
        )
        self._say("service", self._trouble["service"])

    # Counting and logging.

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def _watch_key(self, path: str, status: int) -> None:
        if status not in (401, 403) or self._is_stranger:
            self._refused_paths.pop(path, None)
            return
        self._refused_paths[path] = status
        self._say(
            "key",
            f"the service refuses the key for {path} ({status}); acts are allowed meanwhile — "
            "fix: give a key with the scopes ingest and decide",
            logging.ERROR,
        )

    def _say(self, subject: str, text: str, level: int = logging.WARNING) -> None:
        """Log at most once a minute for each subject."""
        now = time.monotonic()
        if now - self._loud_at.get(subject, -_LOUD_S) >= _LOUD_S:
            if len(self._loud_at) > 100:
                self._loud_at.clear()
            self._loud_at[subject] = now
            log.log(level, "%s", text)


def as_event(event: AnyEvent) -> Event:
    """Return an event, from itself or from a JSON object."""
    if isinstance(event, Event):
        return event
    if not isinstance(event, Mapping):
        raise EventError("an event is no object", fix="give one of wavebreak_client.events")
    return build_event(event)


def as_act(event: AnyEvent | Sequence[AnyEvent]) -> tuple[Event, ...]:
    """Return the events of one act of one account, each with an id.

    Raises:
        EventError: Where there are none or too many, or they are of several accounts.

    """
    given = event if isinstance(event, Sequence) else [event]
    events = []
    for each in map(as_event, given):
        members = each.to_json()
        if "id" not in members:
            each = build_event({**members, "id": secrets.token_hex(16)})
        events.append(each)
    if not 1 <= len(events) <= MOST_EVENTS:
        raise EventError(f"an attempt has 1 to {MOST_EVENTS} events", fix="split it")
    if len({each.to_json()["account"] for each in events}) > 1:
        raise EventError("an attempt is of one account", field="account", fix="split it")
    return tuple(events)


def content_of(events: tuple[Event, ...], *, array: bool) -> bytes:
    """Return the events of an act as the body of a request."""
    bodies = [encode(each.to_json()) for each in events]
    return b"[" + b",".join(bodies) + b"]" if array else bodies[0]


def _check_settings(url: str, key: str, mode: str, timeout_s: float) -> None:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query:
        raise SettingsError("url is no address", fix="give one such as https://host:port")
    if parsed.scheme == "http" and parsed.host not in ("localhost", "127.0.0.1", "::1"):
        log.warning("the key goes over the network unencrypted — fix: use https")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("key is no API key", fix="give the key as `key create` printed it")
    if mode not in ("enforce", "shadow"):
        raise SettingsError("mode is unknown", fix="use enforce or shadow")
    if not 0 < timeout_s <= 60:
        raise SettingsError("timeout_s is out of range", fix="give seconds, for example 0.25")


def is_stranger(answer: httpx.Response) -> bool:
    """Return whether an answer is of another service than Wavebreak, whose errors are JSON.

    A status of 500 or more may be a proxy's while the service behind it is away.

    >>> html = {"Content-Type": "text/html; charset=utf-8"}
    >>> [is_stranger(httpx.Response(status, headers=html)) for status in (200, 404, 502)]
    [True, True, False]
    >>> [is_stranger(httpx.Response(401, json=each)) for each in ({"title": "x"}, {"detail": "x"})]
    [False, True]
    """
    status = answer.status_code
    if status >= 500 or status < 200:
        return False
    media = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media not in ("", "application/json", "application/problem+json", "text/event-stream"):
        return True
    if status < 400 or not media:
        return False
    try:
        members = answer.json()
    except httpx.ResponseNotRead:
        return False  # Of a stream; the request after it tells.
    except ValueError:
        return True
    return not (isinstance(members, dict) and "title" in members)


def _advice(answer: httpx.Response) -> str:
    """Return what an answer says is wrong and how it is mended; only where no request is quoted."""
    try:
        members = answer.json()
        found = {name: str(members[name])[:200] for name in ("detail", "fix") if members.get(name)}
    except (ValueError, AttributeError, TypeError):
        return ""
    said = f", {found['detail']}" if "detail" in found else ""
    return said + (f"; fix: {found['fix']}" if "fix" in found else "")


def _problem(answer: httpx.Response) -> str:
    """Return what an error's answer says: title and cause, never what quotes a request."""
    try:
        members = answer.json()
        shown = [
            str(members[name])[:80] for name in ("title", "cause", "field") if members.get(name)
        ]
    except (ValueError, AttributeError, TypeError, httpx.ResponseNotRead):
        shown = []
    return ", ".join([f"status {answer.status_code}", *shown])


def wall_ms() -> int:
    """Return this machine's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
