from __future__ import annotations

import gzip
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.events import NOON, Item, Seen, labelled, lines, see, sent, streams, table
from support.hostile_lines import PLANTED, hostile
from wavebreak.errors import FileError
from wavebreak.io.field_limits import LIMITS, is_content, validate_event
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.io.readers import columnar_batches, file_format
from wavebreak.schema.events import TYPES, WIRE_SCHEMA, Refusal

in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

REGISTERED: Item = {"type": "account.registered", "ts": NOON, "account": "ann"}

REFUSED: list[tuple[Item, str, str]] = [
    (sent(colour="red"), "unknown_field", "colour"),
    (sent(**{"two words": "red"}), "unknown_field", "(name withheld)"),
    (sent(body="hello"), "content", "body"),
    (sent(colour="red", text="hello"), "content", "text"),
    (sent(message="hello"), "content", "message"),
    (sent(media_url="x"), "content", "media_url"),
    ({**REGISTERED, "message": "hello"}, "content", "message"),
    (sent(verification="sms"), "misplaced_field", "verification"),
    ({**REGISTERED, "peer": "bob"}, "misplaced_field", "peer"),
    (sent(type=None), "missing_field", "type"),
    (sent(account=None), "missing_field", "account"),
    (sent(ts=None), "missing_field", "ts"),
    (
        {"type": "label.assigned", "ts": 1, "account": "a", "label": "benign"},
        "missing_field",
        "source",
    ),
    (labelled("benign", outcome="allow"), "bad_value", "outcome"),
    (labelled("abusive", outcome="ban", hold_s=60), "bad_value", "outcome"),
    (labelled("undetermined", hold_s=60), "bad_value", "hold_s"),
    (labelled("undetermined", outcome="allow", hold_s=60), "bad_value", "hold_s"),
    (labelled("undetermined", outcome="limit", hold_s=0), "bad_value", "hold_s"),
    (labelled("undetermined", outcome="slow"), "bad_value", "outcome"),
    (sent(outcome="ban"), "misplaced_field", "outcome"),
    (sent(type=7), "wrong_type", "type"),
    (sent(size="12"), "wrong_type", "size"),
    (sent(size=12.0), "wrong_type", "size"),
    (sent(size=True), "wrong_type", "size"),
    (sent(in_contacts="yes"), "wrong_type", "in_contacts"),
    (sent(in_contacts=1), "wrong_type", "in_contacts"),
    (sent(account=7), "wrong_type", "account"),
    (sent(account=["ann"]), "wrong_type", "account"),
    (sent(media=3), "wrong_type", "media"),
    (sent(ts="yesterday"), "wrong_type", "ts"),
    (sent(ts="2026-03-01T12:00:00"), "wrong_type", "ts"),
    (sent(ts=1.5), "wrong_type", "ts"),
    (sent(ts=True), "wrong_type", "ts"),
    (sent(ts=-1), "out_of_range_time", "ts"),
    (sent(ts=4_102_444_800_000), "out_of_range_time", "ts"),
    (sent(ts=10**300), "out_of_range_time", "ts"),
    (sent(ts="2100-01-01T00:00:00Z"), "out_of_range_time", "ts"),
    (sent(ts="1969-12-31T23:59:59.9999Z"), "out_of_range_time", "ts"),
    (sent(account="a" * 256), "too_long", "account"),
    (sent(account="é" * 128), "too_long", "account"),
    (sent(id="i" * 256), "too_long", "id"),
    ({**REGISTERED, "client": "c" * 129}, "too_long", "client"),
    ({**REGISTERED, "phone": "+" + "1" * 40}, "too_long", "phone"),
    (sent(account=""), "bad_value", "account"),
    (sent(id=""), "bad_value", "id"),
    (sent(peer=""), "bad_value", "peer"),
    (sent(account="\ud800"), "bad_value", "account"),
    (sent(ts="\ud800"), "wrong_type", "ts"),
    (sent(account="a\0b"), "bad_value", "account"),
    (sent(type="message.eaten"), "bad_value", "type"),
    (sent(media="smell"), "bad_value", "media"),
    (sent(size=-1), "bad_value", "size"),
    (sent(recipients=2**31), "bad_value", "recipients"),
    ({**REGISTERED, "phone": "0541234567"}, "bad_value", "phone"),
    ({**REGISTERED, "phone": "+972541234567\n"}, "bad_value", "phone"),
    ({**REGISTERED, "ip": "localhost"}, "bad_value", "ip"),
    ({**REGISTERED, "ip": "1.2.3.4.5"}, "bad_value", "ip"),
    (sent(peer=None), "missing_counterpart", "peer"),
    (sent(group="g"), "missing_counterpart", "peer"),
    ({"type": "typing.started", "ts": 1, "account": "a"}, "missing_counterpart", "peer"),
]


@pytest.mark.parametrize(("item", "cause", "field"), REFUSED)
def test_a_refusal_names_line_cause_field_and_fix(
    tmp_path: Path, item: Item, cause: str, field: str
) -> None:
    seen = see(tmp_path, lines([sent(), item, sent()]))
    assert seen.causes == [(2, cause, field)]
    assert (seen.read, len(seen.rows)) == (3, 2)
    (only,) = seen.refused
    assert only.message.startswith(f"line 2: field `{field}`: ")
    assert " — fix: " in only.message
    if cause == "content":
        assert "message content is never accepted" in only.message


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}{}",
        b'{"account": NaN}',
        b'{"account": "\xff"}',
        b'{"\xff": 1}',
        b'{"a": ' + b"[" * 60_000,
        b"[" * 60_000,
        b'{"a":1}'.replace(b"1", b'{"a":1}' * 1000),
        "{}".encode("utf-16"),
        b"\x00",
        b'{"a" 1}',
    ],
)
def test_a_line_that_is_no_json_object_is_refused(tmp_path: Path, line: bytes) -> None:
    seen = see(tmp_path, line + b"\n" + lines([sent()]))
    assert seen.causes == [(1, "bad_json", "")]
    assert len(seen.rows) == 1


def test_a_number_of_thousands_of_digits_is_out_of_range(tmp_path: Path) -> None:
    line = json.dumps(sent(size=0)).replace('"size": 0', '"size": ' + "9" * 5000)
    assert see(tmp_path, line.encode()).causes == [(1, "bad_value", "size")]


@pytest.mark.parametrize(
    "second", ['"peer":"eve"', '"peer" : "eve"', '"pe\\u0065r":"eve"', '"type":"message.sent"']
)
def test_a_field_given_twice_is_refused(tmp_path: Path, second: str) -> None:
    line = json.dumps(sent(), separators=(",", ":"))[:-1] + "," + second + "}"
    ((_, cause, field),) = see(tmp_path, line.encode()).causes
    assert cause == "duplicate_field"
    assert field in second.replace("\\u0065", "e")


def test_a_null_for_a_field_of_the_type_is_as_if_absent(tmp_path: Path) -> None:
    line = json.dumps({**sent(), "group": None, "size": None}).encode()
    seen = see(tmp_path, line)
    assert seen.refused == []
    assert seen.rows == see(tmp_path, lines([sent()])).rows


def test_line_over_64_kib_is_refused_even_if_blank(tmp_path: Path) -> None:
    event = lines([sent()])
    fits = b" " * (MAX_LINE - len(event) + 1) + event
    seen = see(tmp_path, b" " + fits + fits + b" " * (MAX_LINE + 1) + b"\n" + event)
    assert seen.causes == [(1, "too_long", ""), (3, "too_long", "")]
    assert len(seen.rows) == 2


def test_two_events_on_a_line_or_one_on_two_are_refused(tmp_path: Path) -> None:
    one = lines([sent()])[:-1]
    seen = see(tmp_path, one + one + b"\n" + one[:-1] + b"\n}\n" + one + b"\n")
    assert [line for line, _, _ in seen.causes] == [1, 2, 3]
    assert len(seen.rows) == 1


def test_line_ends_may_be_crlf_or_missing_at_the_end(tmp_path: Path) -> None:
    one = lines([sent()])[:-1]
    assert len(see(tmp_path, b"\xef\xbb\xbf" + one + b"\r\n\r\n" + one).rows) == 2


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("array", "taken", "refused"),
    [
        ("[E]", [1], []),
        (" [ E , E ] ", [1, 2], []),
        ("[E", [1], [2]),
        ("[E] E", [1], [2]),
        ("[E]]", [1], [2]),
        ('["],[{", E]', [2], [1]),
        ('["\\\\", E, "\\"", E]', [2, 4], [1, 3]),
        ('["a\nb", E]', [2], [1]),
        ("[[E], E]", [2], [1]),
        ("[[[[[[", [], [1, 2]),
    ],
)
def test_an_array_is_read_item_by_item_however_it_arrives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    array: str,
    taken: list[int],
    refused: list[int],
    block: int,
) -> None:
    monkeypatch.setattr("wavebreak.io.readers.BLOCK", block)
    event = json.dumps(sent(), indent=1)
    seen = see(tmp_path, array.replace("E", event).encode(), "events.json")
    assert [line for line, _, _ in seen.causes] == refused
    assert len(seen.rows) == len(taken)


def test_a_json_file_that_holds_lines_is_read_as_lines(tmp_path: Path) -> None:
    assert len(see(tmp_path, b"\n " + lines([sent(), sent()]), "events.json").rows) == 2


def columns(directory: Path, items: list[Item], **types: pa.DataType) -> Seen:
    path = directory / "columns.parquet"
    pq.write_table(table(items, **types), path)
    return Seen(path)


@settings(in_one_directory, max_examples=300)
@given(items=streams())
def test_json_and_parquet_take_and_refuse_the_same(tmp_path: Path, items: list[Item]) -> None:
    as_lines, as_columns = see(tmp_path, lines(items)), columns(tmp_path, items)
    assert as_columns.rows == as_lines.rows
    assert as_columns.refused == as_lines.refused


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("size", pa.string(), "12"),
        ("size", pa.float64(), 12.0),
        ("size", pa.bool_(), True),
        ("account", pa.int64(), 7),
        ("in_contacts", pa.int8(), 1),
        ("media", pa.int32(), 3),
        ("ts", pa.float64(), 1.5),
        ("ts", pa.string(), "yesterday"),
        ("ts", pa.string(), "2026-03-01T12:00:00"),
        ("ts", pa.string(), "2026-03-01T12:00:00.5+01:00"),
        ("account", pa.list_(pa.string()), ["ann"]),
        ("type", pa.int8(), 7),
        ("colour", pa.list_(pa.int8()), [1]),
        ("body", pa.binary(), None),
    ],
)
def test_a_column_of_another_type_is_judged_as_the_same_json(
    tmp_path: Path, name: str, kind: pa.DataType, value: Any
) -> None:
    items = [{**sent(), name: value}, sent(**{name: value})]
    as_columns = columns(tmp_path, items, **{name: kind})
    as_lines = see(tmp_path, lines([{k: v for k, v in i.items() if v is not None} for i in items]))
    assert as_columns.rows == as_lines.rows
    assert as_columns.refused == as_lines.refused


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("account", pa.large_string()),
        ("account", pa.string_view()),
        ("account", pa.dictionary(pa.int8(), pa.string())),
        ("type", pa.dictionary(pa.int32(), pa.string())),
        ("size", pa.uint8()),
        ("ts", pa.timestamp("ms", "UTC")),
        ("ts", pa.timestamp("ns", "Asia/Jerusalem")),
        ("ts", pa.timestamp("s", "UTC")),
        ("group", pa.null()),
    ],
)
def test_columns_of_kindred_types_are_taken(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    values = {"ts": NOON, "group": None, "size": 5}
    items = [sent(size=5), sent(size=6)]
    made = table(items)
    column = pa.array([values.get(name, i.get(name)) for i in items])
    column = column.cast(pa.timestamp("ms", "UTC")) if name == "ts" else column
    at = made.schema.get_field_index(name)
    made = (
        made.append_column(name, column.cast(kind))
        if at < 0
        else made.set_column(at, name, column.cast(kind))
    )
    path = tmp_path / "columns.arrow"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_file(f, made.schema) as writer:
        writer.write_table(made)
    assert Seen(path).refused == []
    assert Seen(path).rows[0] == see(tmp_path, lines([sent(size=5)])).rows[0]


def test_a_time_without_a_zone_is_refused_in_columns_as_in_json(tmp_path: Path) -> None:
    seen = columns(tmp_path, [sent(), sent(ts=NOON + 1)], ts=pa.timestamp("ms"))
    assert [(c, f) for _, c, f in seen.causes] == [("wrong_type", "ts")] * 2


def test_only_rows_with_a_value_in_an_unknown_column_are_refused(tmp_path: Path) -> None:
    seen = columns(tmp_path, [sent(), sent(colour="red"), sent(), sent(body="hello")])
    assert seen.causes == [(2, "unknown_field", "colour"), (4, "content", "body")]


def test_text_that_is_not_utf_8_is_refused_by_row(tmp_path: Path) -> None:
    bad = pa.array([b"ann", b"\xff\xfe", b"eve"]).view(pa.string())
    made = table([sent(), sent(), sent()])
    made = made.set_column(made.schema.get_field_index("account"), "account", bad)
    pq.write_table(made, tmp_path / "columns.parquet")
    seen = Seen(tmp_path / "columns.parquet")
    assert seen.causes == [(2, "wrong_type", "account")]
    assert [r["account"] for r in seen.rows] == ["ann", "eve"]


def test_two_columns_of_one_name_are_a_file_error(tmp_path: Path) -> None:
    made = table([sent()])
    made = made.append_column("peer", made.column("peer"))
    path = tmp_path / "columns.ipc"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_stream(f, made.schema) as writer:
        writer.write_table(made)
    with pytest.raises(FileError, match="fix:"):
        Seen(path)


def test_repeated_long_word_is_refused_unexpanded(tmp_path: Path) -> None:
    n = 20_000
    word = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["x" * 10**6]))
    made = pa.table(
        {"type": ["message.sent"] * n, "ts": [1] * n, "account": word, "peer": ["b"] * n}
    )
    path, columnar = tmp_path / "columns.ipc", tmp_path / "columns.parquet"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_stream(f, made.schema) as writer:
        writer.write_table(made)
    good = table([sent()] * 10).select(made.column_names)
    with pq.ParquetWriter(columnar, made.schema) as writer:
        for part in (good, made, good):
            writer.write_table(part.cast(made.schema))
    # In a process of its own: a pool's peak is of its whole life, other tests' files included.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        assert alone.submit(_peak, path, columnar, n).result() < 2 * 10**9


def _peak(path: Path, columnar: Path, n: int) -> int:
    """Most bytes that Arrow held while it read two files whose long rows are refused."""
    before = pa.total_allocated_bytes()
    for seen, few in ((Seen(path), 0), (Seen(columnar), 20)):
        assert {c for _, c, _ in seen.causes} == {"too_long"}
        assert (len(seen.refused), len(seen.rows)) == (n, few)
    peak: int = pa.default_memory_pool().max_memory() - before
    return peak


def test_a_column_of_far_too_long_words_is_a_file_error(tmp_path: Path) -> None:
    items = [sent(id=str(n) + "x" * 10**6) for n in range(100)]
    path = tmp_path / "columns.parquet"
    pq.write_table(table(items), path, use_dictionary=False, compression="zstd")
    with pytest.raises(FileError, match="more than a thousand bytes"):
        Seen(path)


def test_a_parquet_file_compressed_once_more_unpacks_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "columns.parquet.gz"
    plain = pa.BufferOutputStream()
    pq.write_table(table([sent(id=str(n)) for n in range(1000)]), plain)
    path.write_bytes(gzip.compress(plain.getvalue()))
    assert sum(b.num_rows for b, _ in columnar_batches(path, file_format(path), 100)) == 1000
    with pytest.raises(FileError, match="unpacks to more than"):
        list(columnar_batches(path, file_format(path), 100, unpacked=1000))


def test_columns_without_a_type_are_refused(tmp_path: Path) -> None:
    seen = columns(tmp_path, [{"ts": 1, "account": "a"}])
    assert seen.causes == [(1, "missing_field", "type")]


def test_every_field_of_every_type_has_limits() -> None:
    assert set(LIMITS) == set(TYPES)
    assert {name for fields in LIMITS.values() for name in fields} == set(WIRE_SCHEMA.names) - {
        "type"
    }


@pytest.mark.parametrize("name", ["body", "Body-Text", "messageText", "media_url", "FILENAME"])
def test_a_name_that_says_content_is_known_in_any_spelling(name: str) -> None:
    assert is_content(name)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ),
    st.sampled_from(TYPES),
)
def test_judging_any_value_gives_an_event_or_a_refusal(value: Any, kind: str) -> None:
    assert isinstance(validate_event(1, value), Refusal)
    item = {"type": kind, **dict.fromkeys(LIMITS[kind], value)}
    assert validate_event(1, item) is not None


def test_hostile_lines_leak_nothing_and_hide_no_valid_event(tmp_path: Path) -> None:
    made = list(hostile(50_000, seed=7))
    seen = see(tmp_path, b"".join(line + b"\n" for line, _ in made))
    assert seen.read == len(seen.rows) + len(seen.refused)
    refused = {r.line for r in seen.refused}
    assert not [n for n, (_, good) in enumerate(made, 1) if good and n in refused]
    everything = str(seen.refused) + str(seen.rows)
    assert not [planted for planted in PLANTED if planted in everything]
