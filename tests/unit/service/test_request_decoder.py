"""What comes in a body is read the same in every form, and a broken one costs only its sender."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.errors import EventError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LOG_SCHEMA, WIRE_SCHEMA
from wavebreak.service.request_decoder import Body, Decoded, Decoder, Read, TooLargeError, unpacked
from wavebreak.service.settings import Limits

EDGE = Pseudonymizer(b"a key for tests only")
NOON = 1_772_366_400_000


def events(many: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": f"e{i}", "ts": NOON + i, "type": "message.sent", "account": f"a{i % 7}",
         "peer": f"p{i % 11}", "size": i}
        for i in range(start, start + many)
    ]  # fmt: skip


def decode(*bodies: Body, limits: Limits | None = None) -> Decoded:
    return Decoder(EDGE, limits or Limits()).decode(bodies)


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


def as_cloudevents(rows: list[dict[str, Any]], source: str = "/test") -> Body:
    made = [
        {"specversion": "1.0", "id": row["id"], "source": source, "subject": row["account"],
         "type": f"wavebreak.{row['type']}",
         "data": {k: v for k, v in row.items() if k not in ("id", "account", "type")}}
        for row in rows
    ]  # fmt: skip
    return Body(json.dumps(made).encode(), "cloudevents-batch")


FORMS = {
    "json": as_json,
    "json, compact": lambda rows: as_json(rows, separators=(",", ":")),
    "json, indented": lambda rows: as_json(rows, indent=2),
    "lines": as_lines,
    "arrow": as_arrow,
    "cloudevents": as_cloudevents,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("many", [1, 3, 50])
def test_every_form_gives_the_same_log(form: str, many: int) -> None:
    expected = decode(as_lines(events(many))).log
    decoded = decode(FORMS[form](events(many)))
    assert decoded.reads == (Read(many),)
    assert decoded.log.equals(expected)
    assert decoded.log.schema.equals(LOG_SCHEMA)


@pytest.mark.parametrize("form", FORMS)
def test_bodies_read_together_give_what_they_give_alone(form: str) -> None:
    parts = [FORMS[form](events(many, start)) for many, start in ((3, 0), (1, 3), (40, 4))]
    together = decode(*parts)
    assert together.reads == (Read(3), Read(1), Read(40))
    assert together.log.equals(decode(FORMS[form](events(44))).log)


def test_a_refused_event_is_named_by_its_place_in_its_own_body() -> None:
    bad = [*events(3), {"ts": NOON, "type": "message.sent", "account": "a", "text": "hello"}]
    decoded = decode(as_json(events(5)), as_json(bad), as_json(events(2, 5)))
    first, second, third = decoded.reads
    assert first == Read(5)
    assert third == Read(2)
    assert isinstance(second, Read)
    assert second.taken == 3
    (refusal,) = second.refused
    assert (refusal.line, refusal.cause, refusal.field) == (4, "content", "text")
    assert refusal.message.startswith("line 4:")
    assert "hello" not in refusal.message
    assert decoded.log.num_rows == 10


@pytest.mark.parametrize(
    "broken", [b"[{]", b"not json", b"[", b"[1, 2]", b'[{"a":"},{"}]', b"\xff"]
)
def test_a_broken_body_costs_only_its_sender(broken: bytes) -> None:
    decoded = decode(as_json(events(5)), Body(broken, "json"), as_json(events(2, 5)))
    assert decoded.reads[0] == Read(5)
    assert decoded.reads[2] == Read(2)
    assert decoded.log.num_rows == 7
    bad = decoded.reads[1]
    assert isinstance(bad, Read)
    assert bad.taken == 0
    assert bad.refused


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6))
def test_no_text_moves_the_bounds_between_items(names: list[str]) -> None:
    rows = [{"id": f"e{i}", "ts": NOON, "type": "message.sent", "account": "a},{b" + name or "a",
             "peer": "p"} for i, name in enumerate(names)]  # fmt: skip
    ours = decode(as_json(rows, ensure_ascii=False, separators=(",", ":")))
    lines = decode(Body("\n".join(json.dumps(r) for r in rows).encode(), "lines"))
    assert ours.reads == lines.reads
    assert ours.log.equals(lines.log)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_compressed_bodies_are_unpacked_up_to_a_limit(codec: str) -> None:
    plain = json.dumps(events(20)).encode()
    packed = pa.compress(plain, codec="zstd", asbytes=True) if codec == "zstd" else None
    body = Body(packed or gzip.compress(plain), "json", codec)
    assert decode(body).reads == (Read(20),)
    with pytest.raises(TooLargeError, match="unpacks to more than 100 bytes"):
        unpacked(body, 100)
    with pytest.raises(EventError, match=f"not valid {codec}"):
        unpacked(Body(body.content[: len(body.content) // 2] + b"junk", "json", codec), 1 << 20)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    (read,) = decode(Body(bomb.getvalue(), "lines", "gzip"), limits=Limits(unpacked=1 << 20)).reads
    assert isinstance(read, TooLargeError)


@pytest.mark.parametrize("form", FORMS)
def test_a_body_of_too_many_events_is_refused_whole(form: str) -> None:
    decoded = decode(FORMS[form](events(11)), as_json(events(1)), limits=Limits(events=10))
    assert isinstance(decoded.reads[0], TooLargeError)
    assert decoded.reads[1] == Read(1)


def test_columns_of_a_log_are_not_taken_as_events() -> None:
    log = decode(as_json(events(3))).log
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, log.schema) as writer:
        writer.write_batch(log)
    (read,) = decode(Body(bytes(sink.getvalue()), "arrow")).reads
    assert isinstance(read, EventError)
    assert "those of a log" in read.what


@pytest.mark.parametrize("content", [b"", b"junk", as_arrow(events(3)).content[:-200]])
def test_damaged_columns_are_an_error_of_their_sender(content: bytes) -> None:
    decoded = decode(Body(content, "arrow"), as_arrow(events(2)))
    assert isinstance(decoded.reads[0], EventError)
    assert decoded.reads[1] == Read(2)


@pytest.mark.parametrize("form", ["json", "lines"])
@pytest.mark.parametrize("content", [b"", b"[]", b" [ ] ", b"\n\n"])
def test_a_body_without_events_is_nothing(content: bytes, form: str) -> None:
    if b"[" not in content or form == "json":
        assert decode(Body(content, form)).reads == (Read(0),)
        assert decode(Body(content, form), as_json(events(2))).reads == (Read(0), Read(2))


def test_a_wide_table_without_rows_is_nothing() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, WIRE_SCHEMA):
        pass
    assert decode(Body(bytes(sink.getvalue()), "arrow")).reads == (Read(0),)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"specversion": "0.3"}, "bad_json"),
        ({"type": "other.message.sent"}, "missing_field"),
        ({"data": [1]}, "bad_json"),
        ({"data_base64": "aGk="}, "missing_field"),
        ({"subject": ""}, "missing_field"),
        ({"data": {"ts": NOON, "peer": "p", "account": "b"}}, "duplicate_field"),
        ({"data": {"ts": NOON, "peer": "p", "text": "hi"}}, "content"),
    ],
)
def test_a_cloudevent_that_breaks_the_contract_is_refused(change: Any, cause: str) -> None:
    (made,) = json.loads(as_cloudevents(events(1)).content)
    decoded = decode(Body(json.dumps(made | change).encode(), "cloudevents"))
    (read,) = decoded.reads
    assert isinstance(read, Read)
    assert [r.cause for r in read.refused] == [cause]


def test_a_cloudevents_time_is_the_events_where_its_data_has_none() -> None:
    (made,) = json.loads(as_cloudevents(events(1)).content)
    del made["data"]["ts"]
    body = Body(json.dumps(made | {"time": "2026-03-01T12:00:00Z"}).encode(), "cloudevents")
    assert decode(body).log.column("ts").to_pylist() == [NOON]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_unpacked_at_a_time_is_bounded_and_order_is_kept(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [FORMS[form](events(5, start)) for start in range(0, 50, 5)]
    packed = [Body(gzip.compress(part.content), part.form, "gzip") for part in parts]
    packed.insert(4, Body(b"junk", form.split(",")[0], "gzip"))
    size = len(parts[0].content)
    held, most = 0, 0

    def noted(body: Body, at_most: int) -> bytes:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return unpacked(body, at_most)

    def read(self: Decoder, opened: list[Any]) -> Any:
        nonlocal held
        made = together(self, opened)
        held = 0
        return made

    together = Decoder._together
    expected = decode(*packed)
    monkeypatch.setattr("wavebreak.service.request_decoder.TOGETHER", 2 * size)
    monkeypatch.setattr("wavebreak.service.request_decoder.unpacked", noted)
    monkeypatch.setattr(Decoder, "_together", read)
    decoded = decode(*packed)
    assert 2 <= most <= 4
    assert list(map(str, decoded.reads)) == list(map(str, expected.reads))
    assert decoded.log.equals(expected.log)
    assert decoded.log.column("id").to_pylist() == [f"e{n}" for n in range(50)]


def test_bodies_of_different_forms_keep_their_order() -> None:
    forms = [as_json, as_arrow, as_lines, as_arrow, as_cloudevents, as_json, as_arrow]
    bad = {"id": "x", "ts": NOON, "type": "message.sent", "account": "a"}
    bodies = [form([*events(3, 3 * n), bad]) for n, form in enumerate(forms)]
    decoded = decode(*bodies)
    assert decoded.log.column("id").to_pylist() == [f"e{n}" for n in range(21)]
    assert [(r.taken, r.refused[0].line) for r in decoded.reads if isinstance(r, Read)] == [
        (3, 4)
    ] * 7
