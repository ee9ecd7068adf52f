"""The log of a service as a job reads it: in order, each block again as it was."""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pytest

from support.flink_jobs import KEY, Decided, decided, groups, open_epoch, stretch
from wavebreak.engine.published import merged
from wavebreak.errors import FileError
from wavebreak.io import log_proofs, read
from wavebreak.io.log_proofs import CHAIN_START, prove_rewritten, prove_row
from wavebreak.io.log_rows import body_cell, body_key, decode_row, encode_row, row_digest
from wavebreak.privacy.secret_key import derived_key
from wavebreak_flink import topic_log
from wavebreak_flink.dead_letters import DeadLetter, DeadLetters
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.messages import Message
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.shard_task import ShardTask
from wavebreak_flink.topic_log import LogRow, LogStart, TopicLog

LOG_KEY = derived_key(bytes.fromhex(KEY), log_proofs.PURPOSE)


def job_in(home: Path) -> JobSettings:
    """Settings of a job in a directory, with the key of `ServiceLog`."""
    (home / "key").write_text(KEY, "utf-8")
    (home / "key").chmod(0o600)
    return JobSettings("job", str(home), "", key=str(home / "key"))


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
        self.rows.append(self.row(first, events.num_rows, blob, self.record(first, blob)))

    def row(self, first: int, size: int, blob: bytes, cell: bytes, received_ms: int = 7) -> LogRow:
        """A row as the service writes it behind its last one."""
        chain = self.rows[-1].chain if self.rows else CHAIN_START
        digest = row_digest(blob)
        proof = prove_row(LOG_KEY, chain or b"", (first, size, received_ms, digest))
        return LogRow(first, size, received_ms, digest, cell, proof)

    def record(self, first: int, blob: bytes) -> bytes:
        """Append a record; return what a row has of it."""
        self.records.append((body_key(first, row_digest(blob)), blob))
        return body_cell(len(self.records) - 1)

    def start(self) -> LogStart:
        return LogStart(self.trimmed)

    def after(self, position: int, end: int = 1 << 60, /) -> list[LogRow]:
        return [row for row in self.rows if position <= row.first < end][:3]

    def at(self, first: int, /) -> LogRow | None:
        return next((row for row in self.rows if row.first == first), None)

    def before(self, position: int, /) -> LogRow | None:
        rows = [row for row in self.rows if row.first < position]
        return rows[-1] if rows else None

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
    log = TopicLog(job_in(tmp_path), service, service)
    pieces = [log.read(number) for number in range(len(batches))]
    assert ids(pieces) == ids(batches)
    assert pieces[-1].num_rows == 0


def test_a_block_is_the_same_when_it_is_read_again(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = ServiceLog()
    service.append(batches[0])
    before = TopicLog(job_in(tmp_path), service, service)
    sizes = [before.read(number).num_rows for number in range(2)]
    service.append(batches[1])
    sizes.append(before.read(2).num_rows)
    for events in batches[2:]:
        service.append(events)
    after = TopicLog(job_in(tmp_path), service, service)
    again = [after.read(number).num_rows for number in range(3)]
    assert sizes == again == [400, 0, 400]
    assert [number for number, _ in after.between(0, 3)] == [0, 2]


def test_an_idle_log_gives_blocks_without_events(tmp_path: Path, day: Decided) -> None:
    service = ServiceLog()
    job = day.settings(tmp_path)
    fan_out = FanOut(job, TopicLog(job, service, service))
    steps = [len(list(fan_out.take(number))) for number in range(3)]
    # The first one says where to begin.
    assert steps == [1, 0, 0]


def test_a_row_that_an_erasure_rewrote_is_read(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = written(batches[:1])
    former = service.rows[0]
    rewritten = bytes(encode_row(batches[1].slice(0, former.size)))
    digest = row_digest(rewritten)
    content = (0, former.size, former.received_ms, digest)
    assert former.proof is not None
    service.rows = [
        former._replace(
            sha256=digest,
            cell=service.record(0, rewritten),
            proof=prove_rewritten(LOG_KEY, former.proof, content),
        )
    ]
    stale = ServiceLog()
    stale.rows, stale.records = [former], [(b"", b"")] * 2

    class Erased(ServiceLog):
        def after(self, position: int, end: int = 1 << 60, /) -> list[LogRow]:
            return stale.after(position, end)

    rows = Erased()
    rows.rows = service.rows
    service.records[1] = (b"", b"")
    events = TopicLog(job_in(tmp_path), rows, service).read(0)
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
        TopicLog(job_in(tmp_path), service, service).read(0)
    assert DeadLetters(job_in(tmp_path)).all() == [DeadLetter(0, batches[0].num_rows, cause)]


def test_a_body_that_is_no_events_stops_the_job(tmp_path: Path) -> None:
    service, blob = ServiceLog(), b"of a later version"
    service.rows.append(service.row(0, 7, blob, service.record(0, blob)))
    with pytest.raises(FileError, match="position 0 is unreadable"):
        TopicLog(job_in(tmp_path), service, service).read(0)


def exchange_names(service: ServiceLog) -> None:
    """Change the content of a row, its digest and its record."""
    row = service.rows[1]
    events = decode_row(service.records[3][1])
    accounts = events.column("account").to_pylist()
    names = {accounts[0]: accounts[1], accounts[1]: accounts[0]}
    column = events.schema.get_field_index("account")
    swapped = pa.array(
        [names.get(name, name) for name in accounts], events.schema.field(column).type
    )
    blob = bytes(encode_row(events.set_column(column, "account", swapped)))
    cell = service.record(row.first, blob)
    service.rows[1] = row._replace(sha256=row_digest(blob), cell=cell)


def drop_proof(service: ServiceLog) -> None:
    """Change the content of a row and remove its proof."""
    exchange_names(service)
    service.rows[1] = service.rows[1]._replace(proof=None)


def take_from_another_log(service: ServiceLog) -> None:
    """Put the row of another log of the same key at the same position."""
    other = ServiceLog()
    for row, (_, blob) in zip(service.rows[:2], service.records[1:4:2], strict=True):
        other.rows.append(other.row(row.first, row.size, blob, row.cell))
    service.rows[1] = other.rows[1]


def remove_rows(service: ServiceLog) -> None:
    """Remove a row, and move the rest to its place."""
    size = service.rows.pop(1).size
    service.rows[1:] = [row._replace(first=row.first - size) for row in service.rows[1:]]


def split_off(service: ServiceLog) -> None:
    """Say that a row has fewer events."""
    service.rows[1] = service.rows[1]._replace(size=service.rows[1].size - 1)


@pytest.mark.parametrize(
    "change", [exchange_names, drop_proof, take_from_another_log, remove_rows, split_off]
)
@pytest.mark.parametrize("before", [True, False])
def test_a_row_that_the_service_did_not_write_there_stops_the_job(
    batches: list[pa.RecordBatch],
    tmp_path: Path,
    change: Callable[[ServiceLog], None],
    before: bool,
) -> None:
    service, job = written(batches[:5]), job_in(tmp_path)
    if before:
        # The job has read the rows, and reads them again after a restart.
        read_all(TopicLog(job, service, service))
    change(service)
    position = service.rows[1].first
    with pytest.raises(FileError, match=f"position {position} was not written there"):
        read_all(TopicLog(job, service, service))
    assert DeadLetters(job).all()[0].cause == "unproven"


def test_a_change_between_the_row_and_its_body_stops_the_job(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service, changed = written(batches[:3]), written(batches[:3])
    exchange_names(changed)
    service.at = changed.at  # type: ignore[method-assign]
    service.records[3] = (service.records[3][0], b"")
    with pytest.raises(FileError, match="position 400 was not written there"):
        read_all(TopicLog(job_in(tmp_path), service, service))


def test_a_beginning_of_the_log_that_is_forged_stops_the_job(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service, job = written(batches[:5]), job_in(tmp_path)
    position = TopicLog(job, service, service).read(0).num_rows
    kept = next(k for k, row in enumerate(service.rows) if row.first == position)
    start = LogStart(position, service.rows[kept - 1].chain or b"")
    content = msgspec.msgpack.encode((start.position, start.chain))
    key = derived_key(bytes.fromhex(KEY), log_proofs.START_PURPOSE)
    del service.rows[:kept]
    service.start = lambda: start  # type: ignore[method-assign]
    with pytest.raises(FileError, match=f"position {position:,} of the log is not in the"):
        TopicLog(job, service, service).read(1)
    sealed = start._replace(mac=hmac.digest(key, content, "sha256"))
    service.start = lambda: sealed  # type: ignore[method-assign]
    assert TopicLog(job, service, service).read(1).num_rows


@pytest.mark.parametrize("folder", ["blocks", "dead-letters"])
def test_a_file_that_the_job_did_not_write_stops_it(
    batches: list[pa.RecordBatch], tmp_path: Path, folder: str
) -> None:
    service, job = written(batches[:5]), job_in(tmp_path)
    read_all(TopicLog(job, service, service))
    (tmp_path / folder).mkdir(exist_ok=True)
    forged = {"blocks": b"[400,800]", "dead-letters": b'{"first":0,"events":400,"cause":"missing"}'}
    (tmp_path / folder / f"{0:020d}").write_bytes(forged[folder])
    with pytest.raises(FileError, match=f"{folder} 0 of the job was not written under its key"):
        TopicLog(job, service, service).read(0)


def test_a_row_that_is_repaired_is_no_dead_letter_any_more(
    batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    service = written(batches[:1])
    sound, service.records[1] = service.records[1], (service.records[1][0], b"damaged")
    with pytest.raises(FileError):
        TopicLog(job_in(tmp_path), service, service).read(0)
    service.records[1] = sound
    assert TopicLog(job_in(tmp_path), service, service).read(0).num_rows == batches[0].num_rows
    assert DeadLetters(job_in(tmp_path)).all() == []


def test_rows_whose_loss_is_accepted_are_read_over(
    day: Decided, batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    home, service, lost = tmp_path / "job", written(batches), (0, 3, 4, 8)
    job = day.settings(home, groups=2, model="none", mark_every=2)
    for number in lost:
        row = service.rows[number]
        service.records[2 * number + 1] = (body_key(row.first, row.sha256), b"damaged")
        with pytest.raises(FileError, match="--accept"):
            read_all(TopicLog(job, service, service))
        DeadLetters(job).accept(row.first)
    rows = list[bytes]()
    # A second fan-out goes on from a mark, and reads over them alike.
    for begin, end in ((0, 3), (3, 60)):
        fan_out = FanOut(job, TopicLog(job, service, service))
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
    log = TopicLog(job_in(tmp_path), service, service)
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
        TopicLog(job_in(tmp_path), service, service).read(0)


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
        fan_out = FanOut(job, TopicLog(job, service, service))
        for events in part:
            service.append(events)
        numbers = range(number, number + 4)
        rows += groups(job, (step.messages for n in numbers for step in fan_out.take(n)))
        number = numbers.stop
    assert expected
    assert merged(rows, "decision") == expected
    assert len(rows) == len(expected)
