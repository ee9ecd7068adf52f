"""Lines that are read at once are taken and refused as they are one by one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import Item, lines, sent, streams
from support.hostile_lines import hostile
from wavebreak.io import jsonl_scanner
from wavebreak.io.jsonl import _decode_one_by_one, decode_lines, decode_scanned
from wavebreak.io.jsonl_scanner import scan
from wavebreak.io.line_splitter import MAX_LINE, LineBlock, split_bodies
from wavebreak.io.validation import ValidatedBatch


def piece(text: bytes) -> LineBlock:
    return LineBlock.of(text, 7)


def result(taken: ValidatedBatch) -> tuple[Any, ...]:
    rows = [
        {name: value for name, value in row.items() if value is not None}
        for row in taken.wire.to_pylist()
    ]
    return rows, taken.lines.tolist(), taken.refused


def scanned_as_one_by_one(text: bytes) -> int:
    """How many lines a scan takes as plain; the same comes of all of them as one by one."""
    whole = piece(text)
    taken = decode_scanned(whole)
    if taken is None:
        return 0
    expected, read = _decode_one_by_one(whole)
    assert result(taken[0]) == result(expected)
    assert taken[1] == read
    return len(whole.ends) - int(scan(whole.text, whole.ends, MAX_LINE).odd.sum())


@given(streams())
def test_streams_of_valid_and_spoilt_events_are_taken_alike(items: list[Item]) -> None:
    text = lines(items)
    assert 0 <= scanned_as_one_by_one(text) <= text.count(b"\n")


def test_hostile_lines_are_taken_alike_each_alone_and_in_company() -> None:
    draw, company = random.Random(3), list[bytes]()
    alone = together = 0
    for line, _ in hostile(7_000, seed=11):
        if scanned_as_one_by_one(line + b"\n"):
            alone += 1
            company.append(line)
    for _ in range(100):
        text = b"\n".join(draw.choices(company, k=9)) + b"\n"
        together += scanned_as_one_by_one(text) == 9
    assert alone > 400
    assert together == 100


NUMBERS = (
    "1.0", "1e3", "-0", "-1", "+1", "01", "1.", ".5", "0x1f", "1_0", "NaN", "Infinity", "-", "true",
    "null", '"1"', "[1]", "{}", "99999999999999999999", "9223372036854775807", "1 ", " 1", "",
    "12345678", "1234567", "01234567", "1234567.8", "1234567/8", "123,4567", "1234567:", "1234+678",
    "123456789012345678", "1234567890123456789", "12345678 ", "12345678e1", "1234567\u0661",
)  # fmt: skip
WORDS = (
    r'"\u0000"', r'"\ud800"', r'"\udc00"', r'"\ud83d\ude00"', r'"\x"', r'"\/"', '"\\"', "'a'", "1",
    '"a\x01"', '"a\tb"', '"\x7f"', '"a"b"', '"a":"b"', '""', '"é"', '"2026-03-01T12:00:00Z"',
    r'"\":"', r'"ann\": \""', '"null"', "null", '"a",', '"a",,', '"a"/**/', '"a"}', "nul",
    '"' + "é" * 65 + '"',
)  # fmt: skip


@pytest.mark.parametrize("field", ["ts", "size", "account", "peer", "in_contacts", "type", "phone"])
def test_odd_values_are_taken_alike(field: str) -> None:
    good = json.dumps(sent()) + "\n"
    for value in (*NUMBERS, *WORDS):
        item = {name: json.dumps(v) for name, v in sent().items()} | {field: value}
        line = "{" + ",".join(f'"{name}":{v}' for name, v in item.items()) + "}\n"
        for text in (line, good + line, line + good):
            scanned_as_one_by_one(text.encode())
    assert scanned_as_one_by_one(good.encode()) == 1


@pytest.mark.parametrize(
    "tail",
    [b"\0", b"\0garbage", b" x", b"}", b",", b"{}", b"\xff", b"\xed\xa0\x80", b"\x0b",
     b"\xef\xbb\xbf", b" {}", b"//", b"\r", b"\t ", b'"'],
)  # fmt: skip
def test_what_follows_an_object_is_not_overlooked(tail: bytes) -> None:
    good = json.dumps(sent(), separators=(",", ":")).encode()
    for text in (good + tail, good + b"\n" + good + tail, good + tail + b"\n" + good):
        others = text.count(b"\n")
        assert scanned_as_one_by_one(text + b"\n") in (others, others + tail.isspace(), 0)


def test_repeated_and_escaped_names_are_taken_alike() -> None:
    for line in (
        rb'{"type":"account.deleted","ts":1,"account":"a","account":"b"}',
        rb'{"type":"account.deleted","ts":1,"account":"a","\u0061ccount":"b"}',
        rb'{"type":"account.deleted","ts":1,"\u0061ccount":"b"}',
        rb'{"type":"account.deleted","ts":1,"account":"b","id":null}',
        rb'{"type":"account.deleted","ts":1,"account":"b","peer":null}',
        rb'{"type":"account.deleted","ts":1,"account":"b","text":null}',
        rb'{"type":"account.deleted","ts":1,"account":"b","text":{"a":"b"}}',
        rb"{}", rb'{"ts":1', rb'{"":1}', b"", b"   ", rb'{"ts":1,}', rb'{,"ts":1}', rb'{"ts" 1}',
        rb'{"type":"account.deleted","ts":1,"account":"b" "id":"x"}', b'{"' + b"a" * 99 + b'":1}',
    ):  # fmt: skip
        assert scanned_as_one_by_one(line + b"\n") == 0
        assert scanned_as_one_by_one(line + b"\n" + line + b"\n") == 0


def test_fields_in_any_order_are_taken_alike() -> None:
    draw, text = random.Random(5), b""
    for _ in range(200):
        names = draw.sample(list(sent()), len(sent()))
        text += json.dumps({name: sent()[name] for name in names}).encode() + b"\n"
    assert scanned_as_one_by_one(text) == 200


def test_blanks_between_tokens_are_passed_over() -> None:
    spaced = json.dumps(sent(), separators=(" ,\t", " : "))
    assert scanned_as_one_by_one(f" {spaced}\r\n{spaced} \n".encode()) == 2


def test_a_long_line_and_a_text_of_many_bytes_are_odd_or_refused() -> None:
    long = {**sent(), "account": "a" * MAX_LINE}
    wide = {**sent(), "account": "é" * 65}
    text = json.dumps(long) + "\n" + json.dumps(wide, ensure_ascii=False) + "\n"
    assert scanned_as_one_by_one(text.encode()) == 1


def test_text_beyond_the_scan_limit_is_read_by_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = lines([sent()] * 3)
    monkeypatch.setattr(jsonl_scanner, "MOST", len(text) - 1)
    assert decode_scanned(piece(text)) is None
    assert decode_lines(piece(text))[0].wire.num_rows == 3
    monkeypatch.setattr(jsonl_scanner, "MOST", len(text))
    assert decode_scanned(piece(text)) is not None


def test_where_many_lines_are_odd_a_json_library_reads_all() -> None:
    escaped = {**sent(), "account": 'a"b'}
    assert decode_scanned(piece(lines([escaped] * 9))) is None
    taken, read = decode_lines(piece(lines([escaped] * 9)))
    assert read == taken.wire.num_rows == 9


_PARTS = st.lists(
    st.sampled_from(["},{", "}, {", "}", "{", ",", " ", '"', "é", "aaaaaaa"]), max_size=40
)


@given(st.lists(st.tuples(_PARTS, st.booleans()), min_size=1, max_size=4))
def test_texts_are_cut_where_an_item_seems_to_end(given: list[tuple[list[str], bool]]) -> None:
    texts, expected = [], []
    for parts, array in given:
        inner = "".join(parts).encode()
        texts.append(b"[{" + inner + b"}]" if array else inner.replace(b",", b"\n") + b"\n")
        lines = (texts[-1][1:-1] if array else texts[-1][:-1]).replace(b"}, {", b"}\n {")
        expected.append(lines.replace(b"},{", b"}\n{").split(b"\n"))
        if not array:
            expected[-1] = texts[-1][:-1].split(b"\n")
    piece, counts = split_bodies(texts, [array for _, array in given])
    assert counts == list(map(len, expected))
    assert [line.strip() for line in bytes(piece.text).split(b"\n")[:-1]] == [
        line.strip() for lines in expected for line in lines
    ]
    assert piece.ends.tolist() == LineBlock.of(piece.text).ends.tolist()
