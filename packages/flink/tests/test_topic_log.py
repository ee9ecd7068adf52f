"""The log of a service as a job reads it: in order, each block again as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pytest

from support.flink_jobs import Decided, decided, groups, open_epoch, stretch
from wavebreak.engine.published import merged
from wavebreak.errors import FileError
from wavebreak.io import read
from wavebreak.io.log_rows import body_cell, body_key, decode_row, encode_row, row_digest
from wavebreak_flink import topic_log
from wavebreak_flink.dead_letters import DeadLetter, DeadLetters
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.messages import Message
from wavebreak_flink.shard_task import ShardTask
from wavebreak_flink.topic_log import LogRow, TopicLog


class ServiceLog:
    """Rows and records of a service's log, in memory."""

    def __init__(self) -> None:
        self.rows = list[LogRow]()
        self.records = list[tuple[bytes, bytes]]()
        self.trimmed = 0

    def append(self, events: pa.RecordBatch) -> None:
        """Append a batch."""
        blob = bytes(encode_row(events))
        first = self.rows[-1].end if self.rows else 0
        cell = self.record(first, blob)
        self.rows.append(LogRow(first, events.num_rows, row_digest(blob), cell))

    def record(self, first: int, blob: bytes) -> bytes:
        """Append a record; return what a row has of it."""
        self.records.append((body_key(first, row_digest(blob)), blob))
        return body_cell(len(self.records) - 1)

    def start(self) -> int:
        return self.trimmed

    def after(self, position: int, end: int = 1 << 60, /) -> list[LogRow]:
        return [row for row in self.rows if position <= row.first < end][:3]

    def at(self, first: int, /) -> LogRow | None:
        return next((row for row in self.rows if row.first == first), None)

    def close(self) -> None:
        """Do nothing."""

    def body(self, offset: int, key: bytes, /) -> bytes:
        known, blob = self.records[offset]
        return blob if known == key else b""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_log, "HEARTBEAT_S", 0)
    monkeypatch.setattr(topic_log, "_PAUSE_S", 0)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    return decided(tmp_path_factory.mktemp("day"), people=20, days=0.1, model="none")


@pytest.fixture(scope="module")
def batches(day: Decided) -> list[pa.RecordBatch]:
    """The day's events as a service would write them, in rows."""
    edge = day.settings(day.home / "any").edge()
    events = pa.Table.from_batches([batch.log for batch in read(day.log, edge)]).combine_chunks()
    return list(events.to_batches(max_chunksize=400))


def written(batches: list[pa.RecordBatch]) -> ServiceLog:
    """A log with these rows, and records that no row names."""
    service = ServiceLog()
    for events in batches:
        service.record(service.rows[-1].end if service.rows else 0, b"of a failed transaction")
        service.append(events)
    return service


def ids(batches: list[pa.RecordBatch]) -> list[str]:
    return [str(name) for events in batches for name in events.column("id").to_pylist()]


def test_blocks_hold_what_rows_name(batches: list[pa.RecordBatch], tmp_path: Path) -> None:
    service = written(batches)
    log = TopicLog(tmp_path, service, service)
    pieces = [log.read(number) for number in range(len(batches))]
    assert ids(pieces) == ids(batches)
    assert pieces[-1].num_rows == 0


def test_a_block_is_the_same_when_it_is_read_again(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = ServiceLog()
    service.append(batches[0])
    before = TopicLog(tmp_path, service, service)
    sizes = [before.read(number).num_rows for number in range(2)]
    service.append(batches[1])
    sizes.append(before.read(2).num_rows)
    for events in batches[2:]:
        service.append(events)
    after = TopicLog(tmp_path, service, service)
    again = [after.read(number).num_rows for number in range(3)]
    assert sizes == again == [400, 0, 400]
    assert [number for number, _ in after.between(0, 3)] == [0, 2]


def test_an_idle_log_gives_blocks_without_events(tmp_path: Path, day: Decided) -> None:
    service = ServiceLog()
    fan_out = FanOut(day.settings(tmp_path), TopicLog(tmp_path, service, service))
    steps = [len(list(fan_out.take(number))) for number in range(3)]
    # The first one says where to begin.
    assert steps == [1, 0, 0]


def test_a_row_that_an_erasure_rewrote_is_read(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = written(batches[:1])
    former = service.rows[0]
    rewritten = bytes(encode_row(batches[1].slice(0, former.size)))
    service.rows = [
        LogRow(0, former.size, row_digest(rewritten), service.record(0, rewritten))
    ]  # fmt: skip
    stale = ServiceLog()
    stale.rows, stale.records = [former], [(b"", b"")] * 2

    class Erased(ServiceLog):
        def after(self, position: int, end: int = 1 << 60, /) -> list[LogRow]:
            return stale.after(position, end)

    rows = Erased()
    rows.rows = service.rows
    service.records[1] = (b"", b"")
    events = TopicLog(tmp_path, rows, service).read(0)
    assert events.column("id").to_pylist() == decode_row(rewritten).column("id").to_pylist()


def read_all(log: TopicLog) -> None:
    """Read a log to its end."""
    number = 0
    while log.read(number).num_rows or number == 0:
        number += 1


@pytest.mark.parametrize("cause", ["damaged", "missing"])
def test_a_body_that_cannot_be_read_stops_the_job(
    batches: list[pa.RecordBatch], tmp_path: Path, cause: Literal["damaged", "missing"]
) -> None:
    service = written(batches[:1])
    service.records[1] = (service.records[1][0], b"" if cause == "missing" else b"damaged")
    with pytest.raises(FileError, match=f"position 0 is {cause}"):
        TopicLog(tmp_path, service, service).read(0)
    assert DeadLetters(tmp_path).all() == [DeadLetter(0, batches[0].num_rows, cause)]


def test_a_body_that_is_no_events_stops_the_job(tmp_path: Path) -> None:
    service, blob = ServiceLog(), b"of a later version"
    service.rows.append(LogRow(0, 7, row_digest(blob), service.record(0, blob)))
    with pytest.raises(FileError, match="position 0 is unreadable"):
        TopicLog(tmp_path, service, service).read(0)


def test_a_row_that_is_repaired_is_no_dead_letter_any_more(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = written(batches[:1])
    sound, service.records[1] = service.records[1], (service.records[1][0], b"damaged")
    with pytest.raises(FileError):
        TopicLog(tmp_path, service, service).read(0)
    service.records[1] = sound
    assert TopicLog(tmp_path, service, service).read(0).num_rows == batches[0].num_rows
    assert DeadLetters(tmp_path).all() == []


def test_rows_whose_loss_is_accepted_are_read_over(
    day: Decided, batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    home, service, lost = tmp_path / "job", written(batches), (0, 3, 4, 8)
    job = day.settings(home, groups=2, model="none", mark_every=2)
    for number in lost:
        row = service.rows[number]
        service.records[2 * number + 1] = (body_key(row.first, row.sha256), b"damaged")
        with pytest.raises(FileError, match="--accept"):
            read_all(TopicLog(home, service, service))
        DeadLetters(home).accept(row.first)
    rows = list[bytes]()
    # A second fan-out goes on from a mark, and reads over them alike.
    for begin, end in ((0, 3), (3, 60)):
        fan_out = FanOut(job, TopicLog(home, service, service))
        rows += groups(job, (step.messages for n in range(begin, end) for step in fan_out.take(n)))
    engine, expected = job.engine(), list[bytes]()
    for number, events in enumerate(batches):
        if number in lost:
            engine.fanout.position += events.num_rows
        else:
            expected += map(msgspec.json.encode, engine.take(events))
    assert expected
    assert merged(rows, "decision") == expected


def test_a_block_whose_note_is_gone_stops_the_job(
    batches: list[pa.RecordBatch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_log, "NOTES", 1)
    service = written(batches[:9])
    log = TopicLog(tmp_path, service, service)
    assert [log.read(number).num_rows > 0 for number in range(3)] == [True] * 3
    log.forget(2)
    # A savepoint may be older than every mark: without its blocks, decisions would be lost.
    with pytest.raises(FileError, match="what block 1 had is not noted any more"):
        log.read(1)
    assert log.read(2).num_rows > 0


def test_a_log_whose_beginning_is_gone_is_refused(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = written(batches[:1])
    service.trimmed = 7
    with pytest.raises(FileError, match="the log begins with position 7"):
        TopicLog(tmp_path, service, service).read(0)


def test_a_failed_group_ends_the_others(
    day: Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = ShardTask.take

    def take_or_fail(task: ShardTask, message: Message) -> Iterator[str]:
        if task.group == 1:
            raise ValueError("a fault of the second group")
        return take(task, message)

    monkeypatch.setattr(ShardTask, "take", take_or_fail)
    job = day.settings(tmp_path / "job", groups=2, model="none")
    with pytest.raises(ValueError, match="a fault of the second group") as error:
        stretch(job, 0, 1 << 30)
    assert error.value.__notes__ == ["InterruptedError('another group has failed')"]


def test_a_job_over_the_log_decides_the_same(
    day: Decided,
    batches: list[pa.RecordBatch],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_log, "NOTES", 1)
    job = day.settings(tmp_path / "job", groups=2, model="none", mark_every=2, marks_kept=2)
    expected, service, rows, number = open_epoch(job), ServiceLog(), list[bytes](), 0
    rest = iter(batches)
    while part := list(islice(rest, 5)):
        # Each stretch by a new fan-out, which goes on from a mark; once there is none any more.
        if number == 8:
            shutil.rmtree(tmp_path / "job/marks")
        fan_out = FanOut(job, TopicLog(tmp_path / "job", service, service))
        for events in part:
            service.append(events)
        numbers = range(number, number + 4)
        rows += groups(job, (step.messages for n in numbers for step in fan_out.take(n)))
        number = numbers.stop
    assert expected
    assert merged(rows, "decision") == expected
    assert len(rows) == len(expected)
