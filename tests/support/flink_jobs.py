"""Jobs of `wavebreak_flink` without Flink, and what the embedded engine makes of the same log."""

from __future__ import annotations

import ast
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pyarrow.parquet as pq

from support.service_process import KEY as SERVICE_KEY
from support.traces import write_trace
from wavebreak import model as models
from wavebreak import rules
from wavebreak.engine.batch_run import run
from wavebreak.io import read, write
from wavebreak.schema import coverage
from wavebreak_flink import event_log
from wavebreak_flink.event_log import EventLog
from wavebreak_flink.exchange import JobExchange
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.messages import Message
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.shard_task import ShardTask
from wavebreak_flink.topic_log import Rows, TopicLog
from wavebreak_lab import simulation

KEY = "0123456789abcdef" * 4
BLOCK = 200_000
OPTIONS = {"execution.checkpointing.interval": "1000"}
"""Flink's settings of a job that something happens to in mid-run."""


OFTEN = """
[[rule]]
id = "often"
abuse = "bulk"
about = "Six messages of an hour, to two people of a day."
source = "A test: a calm trace decides too."
stage = "messaging"
on = ["sent", "received"]
when = ["sends_1h >= 6", "peers_1d >= 2"]
basis = "doubt"
outcome = "limit"
new_chats_1d = 5
for = "1h"
mode = "enforce"
fires_on = [{ sends_1h = 6, peers_1d = 2 }]
stays_quiet_on = [{ sends_1h = 5, peers_1d = 2 }]
"""


@dataclass(frozen=True)
class Decided:
    """A log, a profile and a key, and what `wavebreak run` made of it; `policy`: a local one's."""

    home: Path
    decisions: list[bytes]
    operators: list[bytes]
    refused: list[bytes]
    policy: str = ""

    @property
    def log(self) -> Path:
        return self.home / "events.jsonl"

    def settings(
        self, home: Path, *, block: int = BLOCK, log: Path | None = None, **changed: Any
    ) -> JobSettings:  # fmt: skip
        """Settings of a job of this log in a directory, where its blocks are cut."""
        given: dict[str, Any] = {
            "name": home.name, "home": str(home), "profile": str(self.home / "profile.json"),
            "policy": self.policy, "key": str(self.home / "key"), "enforce": True, "mark_every": 3,
            "patience_s": 60,
        }  # fmt: skip
        job = JobSettings(**(given | changed))
        job.save()
        event_log.cut(log or self.log, block).save(home)
        return job


def decided(home: Path, *, people: int = 60, days: float = 0.2, model: str = "") -> Decided:
    """Simulate a stretch in which much is decided, and let the embedded engine decide on it."""
    world = simulation.simulate(
        people=people, days=days, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher", "courier", "hijack-owner"], seed=5,
    )  # fmt: skip
    simulation.write(world, home / "world")
    write(home / "events.jsonl", pq.read_table(home / "world" / "events.parquet").to_batches())
    with (home / "events.jsonl").open("ab") as log:
        log.write(b'{"type": "message.sent"}\n')
    return decide(home, model=model)


def decided_trace(home: Path, name: str, rows: int) -> Decided:
    """Let the embedded engine decide on the first events of a real trace, with one strict rule."""
    (home / "policy" / "rules").mkdir(parents=True)
    (home / "policy" / "rules" / "often.toml").write_text(OFTEN, "utf-8")
    write_trace(name, rows, home / "events.jsonl")
    return decide(home, policy=str(home / "policy"))


def decide(home: Path, *, model: str = "", policy: str = "") -> Decided:
    """Let the embedded engine decide on the log `events.jsonl` of a directory."""
    made = Decided(home, [], [], [], policy)
    (home / "key").write_text(KEY, "utf-8")
    (home / "key").chmod(0o600)
    edge = JobSettings("", "", "", key=str(home / "key")).edge()
    coverage.save(
        coverage.measure(batch.log for batch in read(made.log, edge)), home / "profile.json"
    )
    run(made.log, home / "out", rules.load_policy(Path(policy) if policy else None), edge,
        profile_path=home / "profile.json", enforce=True,
        model=models.load_selected(model or None))  # fmt: skip
    made.decisions.extend((home / "out" / "decisions.jsonl").read_bytes().splitlines())
    made.operators.extend((home / "out" / "operators.jsonl").read_bytes().splitlines())
    made.refused.extend((home / "out" / "refused.jsonl").read_bytes().splitlines())
    return made


def job_over_service(home: Path, topic: str, database: str, events: list[bytes]) -> JobSettings:
    """Settings of a job over a service's log, with a profile of the events."""
    home.mkdir()
    (home / "key").write_text(SERVICE_KEY, "utf-8")
    (home / "key").chmod(0o600)
    (home / "events.jsonl").write_bytes(b"\n".join(events) + b"\n")
    job = JobSettings(
        "job", str(home), str(home / "profile.json"), model="none", key=str(home / "key"),
        topic=topic, database=database, exchange=database, mark_every=5,
    )  # fmt: skip
    batches = read(home / "events.jsonl", job.edge())
    coverage.save(coverage.measure(batch.log for batch in batches), home / "profile.json")
    return job


class NoRecords:
    """The topic of a log whose rows hold their bodies."""

    def body(self, offset: int, key: bytes, /) -> bytes:
        return b""

    def close(self) -> None:
        """Do nothing."""


def over_rows(job: JobSettings, numbers: Iterable[int]) -> list[bytes]:
    """Take blocks of a service's log whose rows hold the bodies; return the rows of all groups.

    Fan-out and groups are new ones: they go on from the newest mark before the first block.
    """
    with (
        closing(TopicLog(job, Rows(job.database), NoRecords())) as log,
        closing(FanOut(job, log)) as fan_out,
    ):
        return groups(job, (step.messages for n in numbers for step in fan_out.take(n)))


def final_state(job: JobSettings) -> dict[str, Any]:
    """The state of the embedded engine after a job's log, as its groups would hold it."""
    engine, edge, log = job.engine(), job.edge(), event_log.load(Path(job.home))
    for number in range(len(log)):
        engine.take(event_log.decode(log.read(number), edge).log)
    engine.finish()
    return engine.shards.dump()


def open_epoch(job: JobSettings) -> list[bytes]:
    """The decisions of the embedded engine on a job's log whose last epoch stays open."""
    engine, edge, log = job.engine(), job.edge(), event_log.load(Path(job.home))
    return [
        msgspec.json.encode(made)
        for number in range(len(log))
        for made in engine.take(event_log.decode(log.read(number), edge).log)
    ]


def stretch(job: JobSettings, begin: int, end: int) -> list[bytes]:
    """Take the blocks of a stretch by a fan-out and groups that begin there; return the rows."""
    log = event_log.load(Path(job.home))
    fan_out = FanOut(job, log)
    numbers = range(begin, min(end, len(log)))
    return groups(job, (step.messages for n in numbers for step in fan_out.take(n)))


def groups(job: JobSettings, messages: Iterable[list[Message]]) -> list[bytes]:
    """Let each group take its messages in a thread of its own; return the rows of all.

    In a job each has a process. CPython 3.11 raises SystemError where two threads make trees of
    syntax at once (its issue 106905), as policies and arrays that are read do: they take turns.
    """
    turn, parse = threading.Lock(), ast.parse

    def parse_in_turn(*arguments: Any, **options: Any) -> Any:
        with turn:
            return parse(*arguments, **options)

    with patch.object(ast, "parse", parse_in_turn):
        return _rows_of(job, messages)


def _rows_of(job: JobSettings, messages: Iterable[list[Message]]) -> list[bytes]:
    inboxes: list[queue.Queue[Message | None]] = [queue.Queue() for _ in range(job.groups)]
    rows: list[list[str]] = [[] for _ in inboxes]
    failures = list[BaseException]()

    def work(group: int) -> None:
        try:
            with closing(ShardTask(job, group)) as task:
                while (message := inboxes[group].get()) is not None:
                    rows[group] += task.take(message)
        except BaseException as error:
            failures.append(error)

    waits = JobExchange._waits

    def wait_unless_failed(exchange: JobExchange, number: int) -> Iterator[None]:
        for _ in waits(exchange, number):
            if failures:
                raise InterruptedError("another group has failed")
            yield

    threads = [threading.Thread(target=work, args=(group,)) for group in range(job.groups)]
    with patch.object(JobExchange, "_waits", wait_unless_failed):
        _feed(threads, inboxes, messages, failures)
    if failures:
        for later in failures[1:]:
            failures[0].add_note(repr(later))
        raise failures[0]
    return [row.encode() for each in rows for row in each]


def _feed(
    threads: list[threading.Thread],
    inboxes: list[queue.Queue[Message | None]],
    messages: Iterable[list[Message]],
    failures: list[BaseException],
) -> None:
    """Let the threads take the messages until one of them fails, and end."""
    for thread in threads:
        thread.start()
    try:
        for each in messages:
            if failures:
                break
            for inbox, message in zip(inboxes, each, strict=True):
                inbox.put(message)
    finally:
        for inbox in inboxes:
            inbox.put(None)
        for thread in threads:
            thread.join()


def in_lines(log: Path, head: Path | None = None, share: int = 1) -> tuple[Path, int]:
    """Count a log's lines; with `head` write that share of them there, and count these."""
    lines = log.read_bytes().splitlines(keepends=True)
    if head is None:
        return log, len(lines)
    lines = lines[: len(lines) // share]
    head.write_bytes(b"".join(lines))
    return head, len(lines)


def blocks(job: JobSettings) -> EventLog:
    """The blocks of a job's log."""
    return event_log.load(Path(job.home))
