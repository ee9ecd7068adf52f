"""Signatures of webhooks, after the Standard Webhooks convention (HMAC-SHA-256).

Secrets are not stored: each is derived from the deployment's key, the webhook's id and a generation
number, so that a copy of the database signs nothing.

Decisions on their way to webhooks: at least once, signed, tried again ever later.

A decision's letter is written in the transaction that moves the webhook's cursor, and goes when the
receiver has taken it; its message id is the decision's, so that who gets it twice can tell.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

import httpx
from django.db import transaction

from wavebreak.errors import WavebreakError
from wavebreak.service.api.accounts import OUTCOMES
from wavebreak.service.app_context import Desk, closing
from wavebreak.service.ledger_store import Seals
from wavebreak.service.models import Decision, Hook, Letter
from wavebreak.service.service import Service
from wavebreak.ssrf_guard import PinnedTransport

PREFIX = "whsec_"


def webhook_secret(key: bytes, webhook: str, generation: int) -> str:
    """Derive a webhook's secret of a generation: `whsec_` and 32 bytes in base64.

    >>> secret(b"0" * 16, "hook", 1).startswith("whsec_")
    True
    >>> secret(b"0" * 16, "hook", 1) == secret(b"0" * 16, "hook", 2)
    False
    """
    told = f"wavebreak webhook\0{webhook}\0{generation}".encode()
    return PREFIX + base64.b64encode(hmac.digest(key, told, hashlib.sha256)).decode()


def signature_headers(
    secrets: Sequence[str], message: str, at_s: int, body: bytes
) -> dict[str, str]:
    """Headers that sign `body` as `message` at `at_s` (seconds), once with each secret.

    While a secret is rotated both sign, and a receiver that knows either is content.

    >>> sorted(headers(["whsec_MDAwMA=="], "msg_1", 0, b"{}"))
    ['webhook-id', 'webhook-signature', 'webhook-timestamp']
    """
    told = f"{message}.{at_s}.".encode() + body
    keys = [base64.b64decode(s.removeprefix(PREFIX)) for s in secrets]
    signed = (base64.b64encode(hmac.digest(k, told, hashlib.sha256)).decode() for k in keys)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signed),
    }


logger = logging.getLogger("wavebreak.webhooks")

AT_ONCE = 500
IN_FLIGHT, IN_FLIGHT_EACH = 16, 4
PACE_S = 0.1
"""From one look for new decisions to the next at least; who comes after a pause does not wait."""
GONE = 410


@dataclass(frozen=True)
class Patience:
    """How often and how long a letter is tried. Times in seconds.

    The wait after the n-th attempt is `first_s · factor^(n-1)`, at most `longest_s`, times a draw
    between 0.5 and 1.5; after `attempts` it is dead. `answer_s` bounds each step of an exchange,
    `whole_s` all of it.
    """

    attempts: int = 12
    first_s: float = 2.0
    factor: float = 3.0
    longest_s: float = 21_600.0
    answer_s: float = 10.0
    whole_s: float = 30.0

    def wait_s(self, attempts: int, draw: float) -> float:
        """Seconds to wait after so many attempts; `draw` is from 0 to 1.

        >>> [round(Patience().wait_s(n, 0.5)) for n in (1, 2, 3, 10)]
        [2, 6, 18, 21600]
        """
        wait = min(self.longest_s, self.first_s * self.factor ** (attempts - 1))
        return wait * (0.5 + draw)


class Due(NamedTuple):
    """A letter that is due, with all that sending it needs."""

    letter: int
    hook: str
    number: int
    attempts: int
    url: str
    secrets: tuple[str, ...]
    message: str
    body: bytes


class Sent(NamedTuple):
    """What came of an attempt: the status (None: no answer), a word, and a wait asked for."""

    status: int | None
    error: str = ""
    wait_s: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300


def spread(now_ms: int) -> int:
    """Write letters for decisions that webhooks have not seen; gives how many decisions were read.

    Each webhook's cursor moves with its letters.
    """
    read = 0
    with transaction.atomic():
        for hook in Hook.objects.select_for_update():
            found = Decision.objects.filter(number__gt=hook.cursor).order_by("number")
            numbers = list(found.values_list("number", "outcome")[:AT_ONCE])
            if not numbers:
                continue
            least = OUTCOMES.index(hook.least)
            letters = [
                Letter(hook=hook, number=n, next_ms=now_ms)
                for n, outcome in numbers
                if OUTCOMES.index(outcome) >= least
            ]
            Letter.objects.bulk_create(letters, ignore_conflicts=True)
            Hook.objects.filter(id=hook.id).update(cursor=numbers[-1][0])
            read += len(numbers)
    return read


def body_of(number: int, ts: int, decision: bytes) -> bytes:
    """The body of a message: its type, time, and the decision as it was written.

    >>> body_of(7, 0, b"{}")
    b'{"type":"decision.made","timestamp":"1970-01-01T00:00:00.000Z","number":7,"data":{}}'
    """
    at = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
    head = f'{{"type":"decision.made","timestamp":"{at[:-6]}Z","number":{number},"data":'
    return head.encode() + decision + b"}"


def due(now_ms: int, secret: bytes, flying: Counter[str], letters: set[int]) -> list[Due]:
    """Letters to be sent now, beside those that are under way."""
    found = Letter.objects.filter(dead=False, next_ms__lte=now_ms).select_related("hook")
    made: list[Due] = []
    each = Counter(flying)
    for letter in found.exclude(id__in=letters).order_by("next_ms", "number")[:AT_ONCE]:
        hook = letter.hook
        if len(made) + len(letters) >= IN_FLIGHT or each[hook.id] >= IN_FLIGHT_EACH:
            continue
        row = Decision.objects.filter(number=letter.number).values_list("id", "ts", "body").first()
        if row is None:
            continue
        each[hook.id] += 1
        generations = [hook.generation]
        if now_ms < hook.former_ends_ms:
            generations.append(hook.generation - 1)
        made.append(
            Due(letter.id, hook.id, letter.number, letter.attempts, hook.url,
                tuple(webhook_secret(secret, hook.id, g) for g in generations),
                f"dec_{row[0]}", body_of(letter.number, row[1], bytes(row[2])))
        )  # fmt: skip
    return made


def send(letter: Due, now_s: int, patience: Patience, transport: PinnedTransport) -> Sent:
    """Make one attempt; raises nothing. Redirects are not followed, the answer is not read."""
    headers = signature_headers(letter.secrets, letter.message, now_s, letter.body)
    headers |= {"content-type": "application/json", "user-agent": "wavebreak"}
    with httpx.Client(transport=transport, timeout=patience.answer_s, trust_env=False) as client:
        # A receiver that answers a byte at a time is cut off as well.
        watch = threading.Timer(patience.whole_s, client.close)
        watch.start()
        try:
            with client.stream("POST", letter.url, content=letter.body, headers=headers) as got:
                asked = got.headers.get("retry-after", "")
                wait = min(float(asked), 3600.0) if asked.isdecimal() and len(asked) < 9 else 0.0
                return Sent(got.status_code, "", wait)
        except WavebreakError:
            return Sent(None, "not a public address")
        except Exception as error:
            return Sent(None, type(error).__name__)
        finally:
            watch.cancel()


def settle(
    letter: Due, sent: Sent, now_ms: int, patience: Patience, draw: float, seals: Seals
) -> str:
    """Write down what came of an attempt, and seal the letter's end; gives it in a word."""
    attempts = letter.attempts + 1
    dead = not sent.good and (attempts >= patience.attempts or sent.status == GONE)
    with transaction.atomic():
        if sent.good or dead:
            effect = "delivered" if sent.good else "failed"
            seals.delivered(letter.message.removeprefix("dec_"), letter.hook, effect)
        return _settled(letter, sent, now_ms, patience, draw, dead=dead)


def _settled(
    letter: Due, sent: Sent, now_ms: int, patience: Patience, draw: float, *, dead: bool
) -> str:
    mine, attempts = Letter.objects.filter(id=letter.letter), letter.attempts + 1
    if sent.good:
        mine.delete()
        return "delivered"
    wait_s = max(patience.wait_s(attempts, draw), sent.wait_s)
    mine.update(
        attempts=attempts, dead=dead, next_ms=now_ms + int(wait_s * 1000),
        last_status=sent.status, last_error=sent.error,
    )  # fmt: skip
    return "dead" if dead else "failed"


class Courier:
    """Sends letters while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(self, desk: Desk, random: Random, patience: Patience | None = None) -> None:
        self.desk, self.random = desk, random
        self.patience = patience or Patience()
        self._flying: dict[asyncio.Task[None], Due] = {}
        self._counted = -1

    async def __call__(self, service: Service) -> None:
        """Work until cancelled."""
        self._counted = service.progress().decisions
        while True:
            began = asyncio.get_running_loop().time()
            try:
                read = await asyncio.to_thread(closing(lambda: self._turn(service.clock())))
                for letter in read:
                    self._fly(service, letter)
            except Exception as error:
                told = {"cause": type(error).__name__}
                logger.exception("webhooks pause", extra={"told": told})
                await asyncio.sleep(1.0)
            await self._wait(service, began + PACE_S)

    def _fly(self, service: Service, letter: Due) -> None:
        task = asyncio.ensure_future(self._deliver(service, letter))
        self._flying[task] = letter
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.pop(task, None)
        self.desk.due.set()
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a letter was not settled")

    def _turn(self, now_ms: int) -> list[Due]:
        """Count new decisions, write letters, and find those that are due."""
        self._count()
        while spread(now_ms) >= AT_ONCE:
            pass
        flying = Counter(letter.hook for letter in self._flying.values())
        letters = {letter.letter for letter in self._flying.values()}
        self.desk.metrics.waiting.set(Letter.objects.filter(dead=False).count())
        self.desk.metrics.dead.set(Letter.objects.filter(dead=True).count())
        return due(now_ms, self.desk.secret, flying, letters)

    def _count(self) -> None:
        found = Decision.objects.filter(number__gt=self._counted).order_by("number")
        for number, outcome, stage in found.values_list("number", "outcome", "stage").iterator():
            self.desk.metrics.decisions.labels(outcome, stage).inc()
            self._counted = number

    async def _deliver(self, service: Service, letter: Due) -> None:
        desk, now_s = self.desk, service.clock() // 1000
        pinned = PinnedTransport(resolver=desk.resolver, allow_private=desk.private)
        sent = await asyncio.to_thread(send, letter, now_s, self.patience, pinned)
        draw = self.random.random()
        settled = await asyncio.to_thread(
            closing(
                lambda: settle(letter, sent, service.clock(), self.patience, draw, service.seals)
            )
        )
        self.desk.metrics.deliveries.labels(settled).inc()
        told = {"webhook": letter.hook, "status": sent.status, "attempt": letter.attempts + 1}
        logger.info("a letter was sent", extra={"told": told | {"cause": settled}})

    async def _news(self, service: Service, earliest: float) -> None:
        await asyncio.sleep(earliest - asyncio.get_running_loop().time())
        await service.news(self._counted)

    async def _wait(self, service: Service, earliest: float) -> None:
        """Until a decision is made, a letter has landed or was revived, or a second is over.

        Decisions are waited for from `earliest` on (the event loop's time), letters at once: the
        next of a webhook goes when one has landed.
        """
        news = asyncio.ensure_future(self._news(service, earliest))
        landed = asyncio.ensure_future(self.desk.due.wait())
        try:
            await asyncio.wait({news, landed}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            landed.cancel()
            self.desk.due.clear()
