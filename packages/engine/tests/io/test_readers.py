from __future__ import annotations

import gzip
import io
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.events import (
    NOON,
    UNKNOWN_PHONE,
    Item,
    Seen,
    edge,
    labelled,
    lines,
    see,
    sent,
    streams,
    valid,
)
from wavebreak import io as formats
from wavebreak.errors import FileError, UsageError
from wavebreak.example import example_path
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LATER_COLUMNS, LOG_SCHEMA, WIRE_SCHEMA

SUFFIXES = [
    kind + codec
    for kind in (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".ipc")
    for codec in ("", ".gz", ".zst")
]
in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def wire(items: list[Item]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(items, WIRE_SCHEMA)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(in_one_directory, max_examples=15)
@given(items=st.lists(valid(), max_size=30))
def test_what_is_written_is_read_back_in_every_format(
    tmp_path: Path, suffix: str, items: list[Item]
) -> None:
    path = tmp_path / f"events{suffix}"
    assert formats.write(path, [wire(items[:10]), wire(items[10:])]) == len(items)
    seen = Seen(path)
    assert seen.refused == []
    assert seen.read == len(items)
    assert seen.rows == edge().apply(wire(items)).to_pylist()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_are_bounded_and_say_how_far_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    formats.write(path, [wire([sent(id=str(i)) for i in range(100)])])
    seen = Seen(path, batch=7)
    assert sum(b.read for b in seen.batches) == 100
    assert max(b.read for b in seen.batches) <= 7
    progress = [b.progress for b in seen.batches]
    assert progress == sorted(progress)
    assert 0 <= progress[0] <= progress[-1] <= 1
    assert seen.rows == Seen(path).rows


def test_a_batch_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        list(formats.read(tmp_path / "events.jsonl", edge(), batch=0))


def test_every_batch_has_the_log_schema(tmp_path: Path) -> None:
    for batch in see(tmp_path, lines([sent(), sent(body="x")])).batches:
        assert batch.log.schema.equals(LOG_SCHEMA, check_metadata=True)


def test_directory_resolves_to_its_events_file(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(lines([sent()]))
    (tmp_path / "events.profile.json").write_text("{}")
    assert Seen(tmp_path).read == 1
    (tmp_path / "events.parquet").write_bytes(b"")
    with pytest.raises(FileError, match="has 2 event files"):
        Seen(tmp_path)


def test_the_word_example_is_the_example_data_where_no_file_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert formats.events_file(Path("example")) == example_path()
    Path("example").touch()
    assert formats.events_file(Path("example")) == Path("example")
    with pytest.raises(FileError, match="example for the example data"):
        formats.events_file(tmp_path / "none")


def test_a_dash_reads_lines_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(lines([sent(), sent(url="x")]))))
    monkeypatch.setattr(sys, "stdin", stdin)
    (batch,) = formats.read("-", edge())
    assert (batch.read, batch.log.num_rows, batch.progress) == (2, 1, 0.0)


@pytest.mark.parametrize("name", ["none.jsonl", "events.txt", "events.jsonl.bz2"])
def test_a_file_that_is_absent_or_of_no_known_format_is_a_file_error(
    tmp_path: Path, name: str
) -> None:
    if name.startswith("events"):
        (tmp_path / name).touch()
    with pytest.raises(FileError, match="fix:"):
        Seen(tmp_path / name)


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in (".jsonl", ".ndjson", ".json")])
def test_a_file_that_breaks_off_is_a_file_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    formats.write(path, [wire([sent(id=f"{i * 7919 % 5003}") for i in range(5000)])])
    whole = path.read_bytes()
    for share in (2, 10):
        path.write_bytes(whole[: len(whole) * (share - 1) // share])
        with pytest.raises(FileError, match="fix:"):
            Seen(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(in_one_directory, max_examples=30)
@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_no_damage_to_a_file_crashes_the_reader(
    tmp_path: Path, suffix: str, junk: bytes, at: int
) -> None:
    path = tmp_path / f"events{suffix}"
    formats.write(path, [wire([sent(id=str(i), device=None) for i in range(50)])])
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    try:
        seen = Seen(path)
    except FileError:
        return
    assert seen.read == len(seen.rows) + len(seen.refused)


def test_no_damage_to_a_parquet_footer_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    formats.write(path, [wire([sent(id=str(i)) for i in range(40)])])
    # In a process of its own: where Arrow aborts, it takes the process with it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        refused = alone.submit(_refused_of_damaged, path, 1500).result()
    assert refused > 1000


def _refused_of_damaged(path: Path, times: int) -> int:
    """Spoil one byte of the footer at a time; give how many such files were refused."""
    whole, chance, refused = path.read_bytes(), random.Random(7), 0
    footer = int.from_bytes(whole[-8:-4], "little")
    for _ in range(times):
        at = len(whole) - 8 - chance.randrange(1, footer)
        path.write_bytes(whole[:at] + chance.randbytes(1) + whole[at + 1 :])
        try:
            Seen(path)
        except FileError:
            refused += 1
    return refused


def test_an_empty_file_of_lines_holds_no_events(tmp_path: Path) -> None:
    for content in (b"", b"\n\n  \n", b"\xef\xbb\xbf"):
        assert see(tmp_path, content).read == 0
    assert see(tmp_path, b" [ ] ", "events.json").read == 0


def test_failed_write_is_a_file_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="fix:"):
        formats.write(tmp_path / "absent" / "events.jsonl", [wire([sent()])])

    def broken() -> object:
        yield wire([sent()])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        formats.write(tmp_path / "events.jsonl", broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".arrow"])
def test_outcome_of_a_person_reads_alike_in_every_format(tmp_path: Path, suffix: str) -> None:
    items = [sent(), labelled("undetermined", outcome="limit", hold_s=259_200), sent(peer="eve"),
             labelled("undetermined", outcome="allow"), labelled("benign")]  # fmt: skip
    path = tmp_path / f"events{suffix}"
    formats.write(path, [wire(items)])
    read = Seen(path)
    assert read.refused == []
    found = [(row["label"], row["outcome"], row["hold_s"]) for row in read.rows]
    nothing = (None, None, None)
    assert found == [nothing, (2, 3, 259_200), nothing, (2, 0, None), (1, None, None)]


def test_a_log_of_ours_is_taken_as_it_is(tmp_path: Path) -> None:
    registered: Item = {"type": "account.registered", "ts": 1, "account": "a", "device": "d"}
    log = edge().apply(wire([sent(), registered]))
    path = tmp_path / "events.arrow"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_file(f, LOG_SCHEMA) as writer:
        writer.write_batch(log)
    other = list(formats.read(path, Pseudonymizer(b"another key in truth"), batch=1))
    assert [b.log.to_pylist() for b in other] == [[row] for row in log.to_pylist()]


@pytest.mark.parametrize("lacking", [LATER_COLUMNS, LATER_COLUMNS[2:]])
@pytest.mark.parametrize("suffix", [".arrow", ".ipc"])
def test_log_of_an_earlier_version_reads_as_null(
    tmp_path: Path, suffix: str, lacking: tuple[str, ...]
) -> None:
    log = edge().apply(wire([sent()]))
    earlier = log.drop_columns(list(lacking))
    path = tmp_path / f"events{suffix}"
    create = pa.ipc.new_file if suffix == ".arrow" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as f, create(f, earlier.schema) as writer:
        writer.write_batch(earlier)
    (read,) = formats.read(path, edge())
    assert read.log.equals(log)
    assert read.log.schema.equals(LOG_SCHEMA)


@pytest.mark.parametrize("change", ["version", "columns", "codes"])
def test_a_log_that_is_not_ours_is_a_file_error(tmp_path: Path, change: str) -> None:
    log = edge().apply(wire([sent()]))
    schema = LOG_SCHEMA
    if change == "version":
        schema = LOG_SCHEMA.with_metadata({b"wavebreak.schema": b"2"})
    elif change == "columns":
        log, schema = log.select(["id", "ts"]), None
    else:
        log = log.set_column(2, LOG_SCHEMA.field("type"), pa.array([200], pa.uint8()))
    schema = schema or pa.schema(log.schema, LOG_SCHEMA.metadata)
    path = tmp_path / "events.ipc"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_stream(f, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(log.columns, schema=schema))
    with pytest.raises(FileError, match="fix:"):
        Seen(path)


@in_one_directory
@given(streams(), st.integers(1, 5))
def test_refusals_and_rows_do_not_depend_on_the_batch_size(
    tmp_path: Path, items: list[Item], batch: int
) -> None:
    whole, cut = see(tmp_path, lines(items)), see(tmp_path, lines(items), batch=batch)
    assert (whole.rows, whole.refused) == (cut.rows, cut.refused)


def test_ids_that_are_derived_are_the_same_in_every_format(tmp_path: Path) -> None:
    items = [sent(size=1), {**sent(peer=None), "group": "g"}]
    ids = set()
    for suffix in (".jsonl", ".json", ".parquet", ".arrow"):
        path = tmp_path / f"events{suffix}"
        formats.write(path, [wire(items)])
        ids.add(tuple(row["id"] for row in Seen(path).rows))
    assert len(ids) == 1


def test_an_unparsable_number_is_refused_in_its_place(tmp_path: Path) -> None:
    phone: Item = {"type": "account.registered", "ts": 1, "account": "a", "phone": UNKNOWN_PHONE}
    seen = see(tmp_path, lines([sent(body="x"), phone, sent(), sent(ts=-1)]))
    assert [(line, field) for line, _, field in seen.causes] == [
        (1, "body"),
        (2, "phone"),
        (4, "ts"),
    ]
    assert UNKNOWN_PHONE[1:] not in str(seen.refused)


def test_a_bomb_of_one_endless_line_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + lines([sent()]))
    before = pa.total_allocated_bytes()
    seen = Seen(path)
    assert seen.causes == [(1, "too_long", "")]
    assert len(seen.rows) == 1
    assert pa.total_allocated_bytes() - before < 32 << 20


def test_times_may_be_rfc_3339_with_an_offset(tmp_path: Path) -> None:
    texts = ("2026-03-01T12:00:00Z", "2026-03-01T14:00:00.0009+02:00", "2026-03-01T11:59:59.999Z")
    seen = see(tmp_path, lines([sent(ts=t) for t in texts] + [sent()]))
    assert [row["ts"] for row in seen.rows] == [NOON, NOON, NOON - 1, NOON]


def test_the_writer_quotes_what_json_must_quote(tmp_path: Path) -> None:
    odd = 'quote " backslash \\ tab \t \u2028 newline \n bell \x07'
    path = tmp_path / "events.jsonl"
    formats.write(path, [wire([sent(account=odd), sent()])])
    first, second = map(json.loads, path.read_bytes().splitlines())
    assert (first["account"], second) == (odd, sent())
