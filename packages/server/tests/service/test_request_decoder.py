"""What comes in a body is read the same in every form, and a broken one costs only its sender."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.errors import EventError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LOG_SCHEMA, WIRE_SCHEMA
from wavebreak_server.pipeline.admission import Admission
from wavebreak_server.pipeline.request_decoder import (
    Body,
    DecodedBatch,
    DecodeResult,
    Postponed,
    RequestDecoder,
    TooLargeError,
    decompress,
)
from wavebreak_server.settings import Limits

EDGE = Pseudonymizer(b"a key for tests only")
NOON = 1_772_366_400_000


def events(many: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": f"e{i}",
            "ts": NOON + i,
            "type": "message.sent",
            "account": f"a{i % 7}",
            "peer": f"p{i % 11}",
            "size": i,
        }
        for i in range(start, start + many)
    ]


def found(read: Any) -> tuple[int, list[tuple[int, str, str]]]:
    """What was read of a body, without what its positions are called."""
    return read.taken, [(one.line, one.cause, one.field) for one in read.refused]


def decode(*bodies: Body, limits: Limits | None = None) -> DecodedBatch:
    return RequestDecoder(EDGE, limits or Limits()).decode(bodies)


def as_json(rows: list[dict[str, Any]], **how: Any) -> Body:
    return Body(json.dumps(rows, **how).encode(), "json")


def as_lines(rows: list[dict[str, Any]]) -> Body:
    return Body("\n".join(map(json.dumps, rows)).encode(), "lines")


def as_arrow(rows: list[dict[str, Any]]) -> Body:
    batch = pa.RecordBatch.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return Body(bytes(sink.getvalue()), "arrow")


FORMS: dict[str, Callable[[list[dict[str, Any]]], Body]] = {
    "json": as_json,
    "json, compact": lambda rows: as_json(rows, separators=(",", ":")),
    "json, indented": lambda rows: as_json(rows, indent=2),
    "lines": as_lines,
    "arrow": as_arrow,
}


@pytest.mark.parametrize("form", FORMS)
def test_log_names_the_source_of_each_body(form: str) -> None:
    refused = [row | {"peer": None} for row in events(1)]
    bodies = [
        replace(FORMS[form](rows), admission=Admission(source=source))
        for rows, source in (
            (events(2), "chat"),
            (events(1, 2), ""),
            (refused, "chat"),
            (events(3, 3), "gateway"),
        )
    ]
    log = decode(*bodies).log
    named = ["chat"] * 2 + [None] + ["gateway"] * 3
    assert log.column("stream_source").to_pylist() == named
    assert log.column("id").to_pylist() == [f"e{n}" for n in range(6)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("many", [1, 3, 50])
def test_all_forms_decode_to_the_same_log(form: str, many: int) -> None:
    expected = decode(as_lines(events(many))).log
    decoded = decode(FORMS[form](events(many)))
    assert decoded.reads == (DecodeResult(many),)
    assert decoded.log.equals(expected)
    assert decoded.log.schema.equals(LOG_SCHEMA)


@pytest.mark.parametrize("form", FORMS)
def test_joint_decoding_equals_single_decoding(form: str) -> None:
    parts = [FORMS[form](events(many, start)) for many, start in ((3, 0), (1, 3), (40, 4))]
    together = decode(*parts)
    assert together.reads == (DecodeResult(3), DecodeResult(1), DecodeResult(40))
    assert together.log.equals(decode(FORMS[form](events(44))).log)


def test_rejected_event_has_its_index_in_its_body() -> None:
    bad = [*events(3), {"ts": NOON, "type": "message.sent", "account": "a", "text": "hello"}]
    decoded = decode(as_json(events(5)), as_json(bad), as_json(events(2, 5)))
    first, second, third = decoded.reads
    assert first == DecodeResult(5)
    assert third == DecodeResult(2)
    assert isinstance(second, DecodeResult)
    assert second.taken == 3
    (refusal,) = second.refused
    assert (refusal.line, refusal.cause, refusal.field) == (4, "content", "text")
    assert refusal.message.startswith("item 4:")
    assert "hello" not in refusal.message
    assert decoded.log.num_rows == 10


@pytest.mark.parametrize(
    "broken", [b"[{]", b"not json", b"[", b"[1, 2]", b'[{"a":"},{"}]', b"\xff"]
)
def test_broken_body_is_rejected_alone(broken: bytes) -> None:
    decoded = decode(as_json(events(5)), Body(broken, "json"), as_json(events(2, 5)))
    assert decoded.reads[0] == DecodeResult(5)
    assert decoded.reads[2] == DecodeResult(2)
    assert decoded.log.num_rows == 7
    bad = decoded.reads[1]
    assert isinstance(bad, DecodeResult)
    assert bad.taken == 0
    assert bad.refused


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6))
def test_strings_do_not_change_item_boundaries(names: list[str]) -> None:
    rows = [
        {
            "id": f"e{i}",
            "ts": NOON,
            "type": "message.sent",
            "account": "a},{b" + name or "a",
            "peer": "p",
        }
        for i, name in enumerate(names)
    ]
    ours = decode(as_json(rows, ensure_ascii=False, separators=(",", ":")))
    lines = decode(Body("\n".join(json.dumps(r) for r in rows).encode(), "lines"))
    assert [found(one) for one in ours.reads] == [found(one) for one in lines.reads]
    assert ours.log.equals(lines.log)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_compressed_body_decompresses_up_to_the_limit(codec: str) -> None:
    plain = json.dumps(events(20)).encode()
    packed = pa.compress(plain, codec="zstd", asbytes=True) if codec == "zstd" else None
    body = Body(packed or gzip.compress(plain), "json", codec)
    assert decode(body).reads == (DecodeResult(20),)
    with pytest.raises(TooLargeError, match="decompresses to more than 100 bytes"):
        decompress(body, 100)
    with pytest.raises(EventError, match=f"not valid {codec}"):
        decompress(Body(body.content[: len(body.content) // 2] + b"junk", "json", codec), 1 << 20)


@pytest.mark.parametrize(
    "array",
    ["[}", "[,%s]", "[%s,]", "[%s,,%s]", "[%s,%s", "[%s,{", "[%s,%s}", "[%s]]", "[%s],[%s]",
     "[%s%s]",
     "[%s]x", "[" * 9000],
)  # fmt: skip
def test_array_that_is_not_json_is_refused_whole(array: str) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        item = json.dumps(events(1)[0], separators=separators)
        content = array.replace("%s", item).encode()
        read, good = decode(Body(content, "json"), as_json(events(2))).reads
        assert isinstance(read, DecodeResult)
        assert (read.taken, [one.cause for one in read.refused]) == (0, ["bad_json"])
        assert good == DecodeResult(2)


def test_small_decoding_postpones_what_is_large_unpacked() -> None:
    bomb = Body(gzip.compress(b" " * (2 << 20)), "lines", "gzip")
    many = Body(gzip.compress(b"{}\n" * 6000), "lines", "gzip")
    items = Body(b"[" + b"1," * 6000 + b"1]", "json")
    columns = pa.record_batch({"n": pa.nulls(6000)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    nulls = Body(bytes(sink.getvalue()), "arrow")
    decoder = RequestDecoder(EDGE, Limits())
    bodies = [as_json(events(2)), bomb, many, items, nulls, as_lines(events(3, 2))]
    decoded = decoder.decode(bodies, small=True)
    assert decoded.reads == (DecodeResult(2), *[Postponed(large=True)] * 4, DecodeResult(3))
    several = [as_json(events(4000, 4000 * n)) for n in range(5)]
    reads = decoder.decode(several, small=True).reads
    assert reads == (*[DecodeResult(4000)] * 3, *[Postponed(large=False)] * 2)
    assert decoder.decode(several).reads == (DecodeResult(4000),) * 5


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"n": pa.nulls(101)}, "more than 100 events"),
        ({"ts": pa.array([0] * 100), "l": pa.array([[None] * 90] * 100)}, "too many values"),
        ({"s": pa.array(["x" * 500] * 100)}, "decompress to more than 40000 bytes"),
    ],
)
def test_columns_are_bounded_before_they_are_read(columns: Any, reason: str) -> None:
    batch, sink = pa.record_batch(columns), pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    limits = Limits(events=100, unpacked=40_000)
    (read,) = decode(Body(bytes(sink.getvalue()), "arrow"), limits=limits).reads
    assert isinstance(read, TooLargeError)
    assert reason in read.what


def test_refusals_beyond_the_limit_are_only_counted() -> None:
    (read,) = decode(Body(b"{}\n" * 250 + b"[]\n" * 5, "lines")).reads
    assert isinstance(read, DecodeResult)
    assert len(read.refused) == 100
    assert sum(count for _, count in read.unlisted) == 155


def test_decompression_bomb_is_rejected() -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    (read,) = decode(Body(bomb.getvalue(), "lines", "gzip"), limits=Limits(unpacked=1 << 20)).reads
    assert isinstance(read, TooLargeError)


@pytest.mark.parametrize("form", FORMS)
def test_body_with_too_many_events_is_rejected(form: str) -> None:
    decoded = decode(FORMS[form](events(11)), as_json(events(1)), limits=Limits(events=10))
    assert isinstance(decoded.reads[0], TooLargeError)
    assert decoded.reads[1] == DecodeResult(1)


def test_log_columns_are_rejected_as_events() -> None:
    log = decode(as_json(events(3))).log
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, log.schema) as writer:
        writer.write_batch(log)
    (read,) = decode(Body(bytes(sink.getvalue()), "arrow")).reads
    assert isinstance(read, EventError)
    assert "those of a Wavebreak log" in read.what


@pytest.mark.parametrize("content", [b"", b"junk", as_arrow(events(3)).content[:-200]])
def test_damaged_columns_are_a_client_error(content: bytes) -> None:
    decoded = decode(Body(content, "arrow"), as_arrow(events(2)))
    assert isinstance(decoded.reads[0], EventError)
    assert decoded.reads[1] == DecodeResult(2)


@pytest.mark.parametrize("form", ["json", "lines"])
@pytest.mark.parametrize("content", [b"", b"[]", b" [ ] ", b"\n\n"])
def test_empty_body_has_no_events(content: bytes, form: str) -> None:
    if b"[" not in content or form == "json":
        assert decode(Body(content, form)).reads == (DecodeResult(0),)
        assert decode(Body(content, form), as_json(events(2))).reads == (
            DecodeResult(0),
            DecodeResult(2),
        )


def test_wide_table_without_rows_has_no_events() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, WIRE_SCHEMA):
        pass
    assert decode(Body(bytes(sink.getvalue()), "arrow")).reads == (DecodeResult(0),)


@pytest.mark.parametrize("form", FORMS)
def test_decompression_is_bounded_and_keeps_order(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [FORMS[form](events(5, start)) for start in range(0, 50, 5)]
    packed = [Body(gzip.compress(part.content), part.form, "gzip") for part in parts]
    packed.insert(4, Body(b"junk", form.split(",")[0], "gzip"))
    size = len(parts[0].content)
    held, most = 0, 0

    def noted(body: Body, at_most: int, **more: bool) -> bytes | None:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return decompress(body, at_most, **more)

    def read(self: RequestDecoder, opened: list[Any]) -> Any:
        nonlocal held
        made = together(self, opened)
        held = 0
        return made

    together = RequestDecoder._together
    expected = decode(*packed)
    monkeypatch.setattr("wavebreak_server.pipeline.request_decoder.MAX_JOINT_BYTES", 2 * size)
    monkeypatch.setattr("wavebreak_server.pipeline.request_decoder.decompress", noted)
    monkeypatch.setattr(RequestDecoder, "_together", read)
    decoded = decode(*packed)
    assert 2 <= most <= 4
    assert list(map(str, decoded.reads)) == list(map(str, expected.reads))
    assert decoded.log.equals(expected.log)
    assert decoded.log.column("id").to_pylist() == [f"e{n}" for n in range(50)]


def test_bodies_of_mixed_forms_keep_their_order() -> None:
    forms = [as_json, as_arrow, as_lines, as_arrow, as_json, as_arrow]
    bad = {"id": "x", "ts": NOON, "type": "message.sent", "account": "a"}
    bodies = [form([*events(3, 3 * n), bad]) for n, form in enumerate(forms)]
    decoded = decode(*bodies)
    assert decoded.log.column("id").to_pylist() == [f"e{n}" for n in range(18)]
    assert [(r.taken, r.refused[0].line) for r in decoded.reads if isinstance(r, DecodeResult)] == [
        (3, 4)
    ] * 6


ARRIVAL = Admission(arrival_ms=NOON)
DATED_FORMS: dict[str, Callable[[list[dict[str, Any]]], Body]] = {
    "array": as_json,
    "spaced array": lambda rows: as_json(rows, indent=1),
    "compact array": lambda rows: as_json(rows, separators=(",", ":")),
    "lines": as_lines,
}


def dated(body: Body) -> Body:
    return replace(body, admission=ARRIVAL)


def without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "ts"}


@pytest.mark.parametrize("form", DATED_FORMS)
@pytest.mark.parametrize("every", [1, 3])
def test_event_without_a_time_gets_that_of_its_arrival(form: str, every: int) -> None:
    rows = [without_time(row) if k % every == 0 else row for k, row in enumerate(events(300))]
    decoded = decode(dated(DATED_FORMS[form](rows)))
    assert decoded.reads == (DecodeResult(300),)
    expected = [NOON if k % every == 0 else NOON + k for k in range(300)]
    assert decoded.log.column("ts").to_pylist() == expected
    assert decoded.log.column("id").to_pylist() == [row["id"] for row in rows]


@pytest.mark.parametrize("form", DATED_FORMS)
def test_event_without_a_time_needs_one_in_a_file(form: str) -> None:
    (read,) = decode(DATED_FORMS[form]([without_time(row) for row in events(3)])).reads
    assert isinstance(read, DecodeResult)
    assert [(one.cause, one.field) for one in read.refused] == [("missing_field", "ts")] * 3


def test_faults_of_events_without_a_time_keep_their_position() -> None:
    rows = events(6)
    rows[2] = without_time(rows[2]) | {"size": -1}
    rows[3] = without_time(rows[3])
    rows[4] = {}
    decoded = decode(dated(as_lines(rows)), dated(as_json(rows)))
    for read, unit in zip(decoded.reads, ("line", "item"), strict=True):
        assert isinstance(read, DecodeResult)
        assert read.taken == 4
        assert [one.field for one in read.refused] == ["size", "type"]
        assert read.refused[0].message.startswith(f"{unit} 3: field `size`: out of range")
    assert decoded.log.column("ts").to_pylist()[2] == NOON


def test_text_that_looks_like_two_events_gets_no_time() -> None:
    rows = [{"type": "message.sent", "account": 'a"},{"b', "peer": "p"}] * 2
    decoded = decode(dated(as_json(rows, separators=(",", ":"))))
    assert decoded.reads == (DecodeResult(2),)
    assert decoded.log.column("account").to_pylist() == ['a"},{"b'] * 2
    assert decoded.log.column("ts").to_pylist() == [NOON] * 2


def test_id_of_an_event_without_one_depends_on_its_arrival() -> None:
    row = without_time(events(1)[0])
    del row["id"]
    ids = {
        decode(replace(as_lines([row]), admission=Admission(arrival_ms=at)))
        .log.column("id")[0]
        .as_py()
        for at in (NOON, NOON, NOON + 1)
    }
    assert len(ids) == 2
