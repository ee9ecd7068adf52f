"""Decisions of a job on Flink over this service's log, read from what it publishes.

Each group of shards writes its part of each block of the log (`wavebreak.engine.published`). Where
all parts of the next block are there, its decisions go to the log writer, in the order of the log,
as an engine's would: it numbers, stores and seals them, and answers, webhooks and streams follow
from there. What is stored is deleted from the table.

A job that restarted writes blocks again. What it has decided on them before is compared with what
is stored, and dropped.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from django.db import Error, connection

from wavebreak.engine import Engine, published
from wavebreak.engine.decision import Decision
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.engine.owner_answers import (
    ANSWERS,
    CREATE_ANSWERS,
    CREATE_QUESTIONS,
    MOST_ACCOUNTS,
    QUESTIONS,
    Asking,
    question_mac,
)
from wavebreak.engine.queries import Query
from wavebreak.engine.versions import Terms
from wavebreak.errors import FileError, UsageError
from wavebreak.io.log_rows import encode_row
from wavebreak_server.pipeline.decider import AsOf, NoAnswerError, NoEngineError, StaleError
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.log_clock import LogClock
from wavebreak_server.pipeline.pending_requests import (
    BusyError,
    DecidedBatch,
    LoggedBatch,
    decision_row,
    resolve_futures,
)
from wavebreak_server.pipeline.recovery import SnapshotScheduler
from wavebreak_server.storage import models
from wavebreak_server.storage.row_macs import bound_key

T = TypeVar("T")
_LOOK = (
    "see whether the job runs; one that its cluster lost goes on from the newest checkpoint "
    "(documentation: how to run a cluster)"
)
POLL_S: Final = 0.05
"""Seconds between two looks at the table."""
ANSWER_POLL_S: Final = 0.01
"""Seconds between two looks for an answer, while one is waited for."""
MAX_OPEN: Final = 256
"""Questions that wait at once."""
CATCH_UP_S: Final = 30.0
"""Seconds for which a switch waits until the job has decided to the log's end."""
PARTS_AT_ONCE: Final = 512
"""Parts that are read at once: more than the groups of a job, which are 64 at most."""
_SELECT = (
    f"SELECT job, first, groups, part, reached, content, mac FROM {published.TABLE} WHERE job = %s "  # noqa: S608
    "ORDER BY first, groups, part LIMIT %s"
)
_DELETE = f"DELETE FROM {published.TABLE} WHERE job = %s AND reached <= %s"  # noqa: S608
_ASK = f"INSERT INTO {QUESTIONS} (id, job, content, mac) VALUES (%s, %s, %s, %s)"  # noqa: S608
_ANSWERS = f"SELECT id, part, parts, content, mac FROM {ANSWERS} WHERE job = %s"  # noqa: S608
_FORGET = [f"DELETE FROM {table} WHERE id = %s" for table in (QUESTIONS, ANSWERS)]  # noqa: S608
_FORGET_ALL = [f"DELETE FROM {table} WHERE job = %s" for table in (QUESTIONS, ANSWERS)]  # noqa: S608
_UNREAD = "SELECT received_ms FROM log_batch WHERE first >= %s ORDER BY first LIMIT 1"


class JobTerms(NamedTuple):
    """Which job a service follows, and what it must decide by.

    Attributes:
        job: The job's name, which is that of its directory.
        versions: What decides, as the service is configured.
        max_age_s: How old an answer may be (s).
    """

    job: str
    versions: str
    max_age_s: float
    deciding: Terms


class Reached(NamedTuple):
    """Where a view begins: the position up to which decisions are stored, and how many."""

    position: int
    decisions: int


@dataclass(eq=False)
class JobQuestion:
    """A question to the groups of a job, encoded, and the answers that have come."""

    id: str
    content: bytes
    future: asyncio.Future[list[bytes]]
    loop: asyncio.AbstractEventLoop
    parts: dict[int, bytes] = field(default_factory=dict)


class _WrongError(Exception):
    """What is published cannot be used."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class _Taken(NamedTuple):
    """A block that every group has written."""

    first: int
    reached: int
    time: published.LogTime
    decisions: list[Decision]
    named: list[published.FirstNamed]


class JobView:
    """Reads what a job publishes; see `decider.Decider`.

    Args:
        on_decided: Called with the decisions of each block.
        applied: Returns the position up to which decisions are stored.
        clock: Returns milliseconds.
        report: Called with messages for the operator.
        on_named: Called with what each block named first: positions, how many names, and its end.
    """

    has_engine: ClassVar[bool] = False
    broken = ""
    abstains = False

    def __init__(
        self,
        terms: JobTerms,
        stored: Reached,
        on_decided: Callable[[DecidedBatch], None],
        applied: Callable[[], int],
        clock: Callable[[], int],
        report: Callable[[str], None] = lambda _: None,
        on_named: Callable[[Any, Any, int], None] = lambda *_: None,
    ) -> None:
        self.terms, self._on_decided, self._applied = terms, on_decided, applied
        self.position, self.decisions = stored
        self.unsealed: dict[str, int] = {}
        self.sealed = stored.decisions
        self._now, self._report, self._on_named = clock, report, on_named
        self._time = published.LogTime()
        self._wrong: _WrongError | None = None
        self._deleted = stored.position
        # When the first event came that is not decided on.
        self._unread_ms: int | None = None
        self._asked: SimpleQueue[JobQuestion] = SimpleQueue()
        self._open = dict[str, JobQuestion]()
        self._wake, self._stopping = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="wavebreak-job", daemon=True)

    def start(self) -> None:
        """Make the table, and start to read."""
        with connection.cursor() as cursor:
            cursor.execute(published.CREATE)
            cursor.execute(CREATE_QUESTIONS)
            cursor.execute(CREATE_ANSWERS)
            # Of a service that ended: nobody waits for them.
            for forget in _FORGET_ALL:
                cursor.execute(forget, (self.terms.job,))
        self._note_unread()
        self._thread.start()

    def stop(self) -> None:
        """End: what is not taken stays in the table."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def catch_up(self, end: int) -> None:
        """Wait until the job has decided to the log's end, for `CATCH_UP_S` at most."""
        limit = time.monotonic() + CATCH_UP_S
        while self.position < end and self._wrong is None and time.monotonic() < limit:
            time.sleep(POLL_S)

    def put(self, item: LoggedBatch) -> None:
        """Note that there is something to decide on."""
        if self._unread_ms is None and item.first + item.events.num_rows > self.position:
            self._unread_ms = self._now()

    @property
    def as_of(self) -> AsOf:
        """How far the job has decided; raises StaleError where that may not be answered from."""
        unread, job, wrong = self._unread_ms, self.terms.job, self._wrong
        age_s = 0.0 if unread is None else max(0, self._now() - unread) / 1000
        found = AsOf(self.position, self.clock.time_ms, age_s)
        if wrong is not None:
            raise StaleError(wrong.what, wrong.fix, found)
        if unread is not None and not self.position:
            raise StaleError(
                f"the job {job} on Flink has published nothing yet",
                f"submit it with --publish and a --home that is called {job}; {_LOOK}",
                found,
            )
        if age_s > self.terms.max_age_s:
            raise StaleError(
                f"the job {job} on Flink is {age_s:.0f} s behind the log, and "
                f"{self.terms.max_age_s:g} s are allowed",
                _LOOK,
                found,
            )
        return found

    @property
    def clock(self) -> LogClock:
        """The log's time, and how many of its events were out of time, since the start."""
        newest, late, ahead, duplicates = msgspec.structs.astuple(self._time)
        return LogClock(newest if newest >= 0 else None, late, ahead, duplicates)

    @property
    def deciding(self) -> Terms:
        """What the job decides by, as this service is configured."""
        return self.terms.deciding

    def waiting(self, end: int) -> int:
        """Return 0: what is to be decided on waits in the log, and not in this process."""
        return 0

    def fill(self, states: EnforcementCache) -> None:
        """Read the stored states."""
        states.load()

    def keep(self, snapshots: SnapshotScheduler) -> None:
        """Do nothing: there is no state here."""

    def try_ask_now(self, ask: Callable[[Engine], Any]) -> Any:
        """Raise NoEngineError."""
        raise NoEngineError(self.terms.job)

    async def ask(self, ask: Callable[[Engine], Any]) -> Any:
        """Raise NoEngineError."""
        raise NoEngineError(self.terms.job)

    def turn(self) -> int:
        """Take the blocks that are complete; return how many."""
        if self._applied() < self.position:
            # What the log writer holds is bounded so.
            return 0
        if self.position > self._deleted:
            self._delete()
        with connection.cursor() as cursor:
            cursor.execute(_SELECT, (self.terms.job, PARTS_AT_ONCE))
            parts = cursor.fetchall()
        taken = 0
        try:
            for block in self._complete(parts):
                taken += self._take(block)
            self._wrong = None
        except _WrongError as error:
            if self._wrong is None:
                self._report(f"{error.what} — fix: {error.fix}")
            self._wrong = error
        if any(part[4] <= self._deleted for part in parts):
            self._delete()
        self._note_unread()
        return taken

    def _work(self) -> None:
        due = 0.0
        while not self._stopping:
            self._wake.wait(ANSWER_POLL_S if self._open else POLL_S)
            self._wake.clear()
            try:
                self.exchange_questions()
                if time.monotonic() >= due:
                    self.turn()
                    due = time.monotonic() + POLL_S
            except Error:
                # The log writer says so: it writes to the same database.
                connection.close()
        connection.close()

    async def query(
        self,
        query: Query[T],
        accounts: Sequence[str],
        events: pa.RecordBatch | None,
        arguments: Mapping[str, Any],
        timeout_s: float | None = None,
    ) -> T:
        """Return what the groups answer to a question that concerns them.

        Raises:
            BusyError: Too many questions wait, or a group could not answer, or not in time.
            UsageError: It is about more accounts than one question may be.
        """
        if len(self._open) + self._asked.qsize() >= MAX_OPEN:
            raise BusyError("too many questions to the job wait", retry_after_s=1.0)
        if len(accounts) > MOST_ACCOUNTS:
            raise UsageError(
                f"{len(accounts):,} accounts are asked about, and {MOST_ACCOUNTS:,} are the most",
                fix="ask for fewer at a time",
            )
        loop = asyncio.get_running_loop()
        row = b"" if events is None else bytes(encode_row(events))
        asking = Asking(query.name, list(accounts), msgspec.msgpack.encode(dict(arguments)), row)
        content = msgspec.msgpack.encode(asking)
        question = JobQuestion(secrets.token_hex(16), content, loop.create_future(), loop)
        self._asked.put(question)
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                answers = await question.future
        except TimeoutError:
            raise NoAnswerError(self.terms.job) from None
        try:
            return query.merged(answers)
        except msgspec.DecodeError:
            raise BusyError(
                f"the job {self.terms.job} on Flink cannot answer this: see the logs of its "
                "TaskManagers, and whether it runs this service's version",
                retry_after_s=60.0,
            ) from None

    def exchange_questions(self) -> None:
        """Write new questions, take answers, and delete those that nobody waits for."""
        key, job = bound_key(published.TABLE) or b"", self.terms.job
        with suppress(Empty):
            while True:
                asked = self._asked.get_nowait()
                self._open[asked.id] = asked
                mac = question_mac(key, "asked", asked.id, job, asked.content)
                with connection.cursor() as cursor:
                    cursor.execute(_ASK, (asked.id, job, asked.content, mac))
        if not self._open:
            return
        with connection.cursor() as cursor:
            cursor.execute(_ANSWERS, (job,))
            for id_, part, parts, content, mac in cursor.fetchall():
                if id_ not in self._open:
                    # It came after its time.
                    cursor.execute(_FORGET[1], (id_,))
                    continue
                made = question_mac(key, "found", id_, job, part, parts, bytes(content))
                if hmac.compare_digest(made, bytes(mac)):
                    self._take_answer(self._open[id_], part, parts, bytes(content))
            for id_ in [id_ for id_, one in self._open.items() if one.future.done()]:
                del self._open[id_]
                for forget in _FORGET:
                    cursor.execute(forget, (id_,))

    def _take_answer(self, question: JobQuestion, part: int, parts: int, content: bytes) -> None:
        """Note a group's answer; give all of them to who asked once they are there."""
        question.parts[part] = content
        if len(question.parts) == parts and not question.future.done():
            resolve_futures([(question, [question.parts[each] for each in range(parts)])])

    def _delete(self) -> None:
        """Delete what is stored as decisions."""
        self._deleted = self._applied()
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, (self.terms.job, self._deleted))

    def _note_unread(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_UNREAD, (self.position,))
            row = cursor.fetchone()
        self._unread_ms = int(row[0]) if row else None

    def _complete(self, parts: Sequence[tuple[Any, ...]]) -> Iterator[_Taken]:
        """Return the blocks of which every group's part is there, in the order of the log."""
        for _, same in groupby(parts, lambda part: part[1:3]):
            rows = list(same)
            if len(rows) == rows[0][2]:
                yield self._read(rows)

    def _read(self, rows: list[tuple[Any, ...]]) -> _Taken:
        blocks = []
        for *named, content, mac in rows:
            name = published.BlockName(*named)
            key = bound_key(published.TABLE)
            if key and not hmac.compare_digest(
                published.block_mac(key, name, bytes(content)), bytes(mac)
            ):
                raise _WrongError(
                    f"the job {name.job} publishes under another key than this service's",
                    "give both the same key of pseudonyms; if they have it, somebody else wrote "
                    f"into the table {published.TABLE}: delete its rows",
                )
            blocks.append(msgspec.msgpack.decode(bytes(content), type=published.Block))
        other = next((b.versions for b in blocks if b.versions != self.terms.versions), "")
        # What is stored is compared, whatever decided then.
        if other and name.reached > self.position:
            raise _WrongError(
                f"the job {name.job} decides by other versions than this service: {other}, and not "
                f"{self.terms.versions}",
                "give both the same policy, model, profile, mode, lateness and version",
            )
        try:
            bodies = published.merged(
                (line.encode() for b in blocks for line in b.rows), "decision"
            )
            decisions = [msgspec.json.decode(body, type=Decision) for body in bodies]
        except (ExchangeConflictError, FileError, msgspec.DecodeError) as error:
            raise _WrongError(
                f"what the job {name.job} publishes cannot be read: {error}",
                "run the same version of Wavebreak in the job and in the service",
            ) from None
        named = [one for block in blocks for one in block.named]
        return _Taken(name.first, name.reached, blocks[0].time, decisions, named)

    def _take(self, block: _Taken) -> bool:
        """Take a block that is new, or compare one that is not; return whether it was new."""
        if block.first > self.position:
            return False
        new = block.decisions
        if block.first < self.position:
            new = self._unstored(block.decisions)
        if block.reached <= self.position:
            return False
        rows = []
        for decision in new:
            self.decisions += 1
            rows.append(decision_row(self.decisions, decision))
        named = np.array(block.named, np.int64).reshape(-1, 2)
        self._on_named(block.first + named[:, 0], named[:, 1], block.reached)
        self.position, self._time = block.reached, block.time
        self._on_decided(DecidedBatch(block.reached, tuple(rows)))
        return True

    def _unstored(self, decisions: list[Decision]) -> list[Decision]:
        """Return the decisions that are not stored; those that are must be the same."""
        ids = [decision.id for decision in decisions]
        found = models.Decision.objects.filter(id__in=ids).values_list("id", "body")
        stored = {id_: bytes(body) for id_, body in found}
        for decision in decisions:
            if stored.get(decision.id, body := msgspec.json.encode(decision)) != body:
                raise _WrongError(
                    f"the job {self.terms.job} has decided {decision.id} otherwise than is stored",
                    "compare versions, policy, model and key of both; a replay compares the job "
                    "with the engine (documentation: how to scale out)",
                )
        return [decision for decision in decisions if decision.id not in stored]
