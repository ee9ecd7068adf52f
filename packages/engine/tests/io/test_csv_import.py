from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.events import Item, Seen
from wavebreak.errors import FileError, UsageError
from wavebreak.io.csv_import import PRESETS, Counts, convert, read_csv
from wavebreak.schema import coverage

TRACES = Path(__file__).resolve().parents[5] / "shared" / "data" / "traces"
HEAD = "ts,type,account,peer,group,size,duration_s\n"
MAIL = {"message": "message.sent"}


def csv(directory: Path, text: str, name: str = "trace.csv") -> Path:
    path = directory / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def rows(path: Path, counts: Counts | None = None, **options: Any) -> list[Item]:
    batches = read_csv(path, counts=counts, **{"types": MAIL, **options})
    return [
        {name: value for name, value in row.items() if value is not None}
        for batch in batches
        for row in batch.to_pylist()
    ]


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_a_row_becomes_an_event_with_a_lasting_id(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, HEAD + "5,message,ann,bob,,30,\n", name)
    event = {"id": "trace-000000001", "ts": 5000, "type": "message.sent", "account": "ann"}
    assert rows(path) == [{**event, "peer": "bob", "size": 30}] == rows(path)


def test_headings_and_time_unit_are_configurable(tmp_path: Path) -> None:
    path = csv(tmp_path, "when;x,from,to\n7,a,b\n".replace(";x", ""))
    found = rows(path, columns={"ts": "when", "account": "from", "peer": "to"}, unit="ms")
    assert [(r["ts"], r["type"], r["account"], r["peer"]) for r in found] == [
        (7, "message.sent", "a", "b")
    ]


def test_fractions_of_seconds_become_milliseconds(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "1082040961.2345,message,a,b,,,\n")
    assert rows(path)[0]["ts"] == 1_082_040_961_234


def test_events_are_sorted_by_time_and_then_by_row(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "".join(f"{t},message,a,b{i},,,\n" for i, t in enumerate("3121")))
    assert [r["peer"] for r in rows(path)] == ["b1", "b3", "b2", "b0"]


def test_message_with_group_and_peer_goes_to_the_group(tmp_path: Path) -> None:
    (row,) = rows(csv(tmp_path, HEAD + "1,message,a,b,g,,\n"))
    assert row["group"] == "g"
    assert "peer" not in row


def test_post_goes_to_the_public_group(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "1,post,a,,,9,\n2,message,a,,,,\n")
    counts = Counts()
    types = {**MAIL, "post": "message.sent"}
    (row,) = rows(path, counts, types=types)
    assert row["group"] == "public"
    assert counts == Counts(2, 1, {"missing_counterpart: peer": 1})


def test_what_a_type_has_no_field_for_is_left_out(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "1,group_join,a,b,g,7,\n2,group_leave,a,b,g,7,\n")
    joined, left = rows(path, types=PRESETS["irc_ubuntu"].types)
    assert set(joined) == {"id", "ts", "type", "account", "group"}
    assert left["peer"] == "b"


def test_how_from_where_and_refused_acts_are_taken(tmp_path: Path) -> None:
    text = (
        "ts,type,account,peer,via,origin,attempted\n"
        "1,message.sent,ann,ben,invite,Example.ORG,\n"
        "2,message.sent,ann,cid,,,True\n"
        "3,session.started,ann,,invite,,0\n"
        "4,message.sent,ann,dan,pigeon,,\n"
        "5,message.sent,ann,dan,,,perhaps\n"
        "6,message.sent,ann,dan,,no domain,\n"
    )
    counts = Counts()
    types = {name: name for name in ("message.sent", "session.started")}
    found = rows(csv(tmp_path, text), counts, types=types)
    names = ("peer", "via", "origin", "attempted")
    assert [[row.get(name) for name in names] for row in found] == [
        ["ben", "invite", "example.org", None],
        ["cid", None, None, True],
        [None, None, None, None],
    ]
    assert counts.dropped == {"bad_value: via": 1, "wrong_type": 1, "bad_value: origin": 1}


def test_calls_are_taken_with_the_seconds_of_their_end(tmp_path: Path) -> None:
    text = (
        "ts,type,account,peer,seconds\n"
        "1,call,ann,ben,9\n"
        "2,end,ann,ben,62\n"
        "3,end,ann,ben,\n"
        "4,end,ann,ben,long\n"
    )
    counts = Counts()
    types = {"call": "call.started", "end": "call.ended"}
    found = rows(csv(tmp_path, text), counts, types=types)
    assert [(row["type"], row.get("seconds")) for row in found] == [
        ("call.started", None),
        ("call.ended", 62),
    ]
    assert counts.dropped == {"missing_field: seconds": 1, "wrong_type": 1}


def test_bad_rows_are_counted_by_cause_and_the_others_taken(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    bad = [
        b"x,message,a,b,,,",
        b"1,message,a,b,,many,",
        b"1,call,a,b,,,5",
        b"1,message,,b,,,",
        b",message,a,b,,,",
        b"1,message,\xff,b,,,",
        b"-5,message,a,b,,,",
        b"1,message,a,b,,-3,",
        b"1,message," + b"a" * 300 + b",b,,,",
        b"too,few",
    ]
    path.write_bytes(HEAD.encode() + b"\n".join([*bad, b"1,message,a,b,,,"]) + b"\n")
    counts = Counts()
    assert len(rows(path, counts)) == 1
    assert (counts.rows, counts.events) == (11, 1)
    assert counts.dropped == {
        "bad_csv": 1,
        "bad_text": 1,
        "wrong_type": 2,
        "type_not_taken": 1,
        "missing_field: account": 1,
        "missing_field: ts": 1,
        "out_of_range_time: ts": 1,
        "bad_value: size": 1,
        "too_long: account": 1,
    }


def test_simultaneous_sends_become_one_to_several(tmp_path: Path) -> None:
    text = (
        "1,message,a,b,,,\n1,message,a,c,,,\n1,message,a,b,,,\n1,message,x,b,,,\n2,message,a,b,,,\n"
    )
    counts = Counts()
    found = rows(csv(tmp_path, HEAD + text), counts, several=True)
    assert [(r["account"], r["peer"], r.get("recipients"), r.get("broadcast")) for r in found] == [
        ("a", "b", 2, True),
        ("a", "c", 2, True),
        ("x", "b", None, None),
        ("a", "b", None, None),
    ]
    assert counts.dropped == {"repeated": 1}
    assert all("broadcast" not in row for row in rows(tmp_path / "trace.csv"))


@pytest.mark.parametrize(
    "options",
    [
        {"columns": {"ts": "ts", "account": "account", "body": "body"}},
        {"columns": {"ts": "ts"}},
        {"columns": {"ts": "ts", "account": "account", "peer": "nowhere"}},
        {"unit": "h"},
        {"types": {"message": "message.eaten"}},
    ],
)
def test_options_that_do_not_fit_are_a_usage_error(tmp_path: Path, options: Any) -> None:
    with pytest.raises(UsageError, match="fix:"):
        rows(csv(tmp_path, HEAD + "1,message,a,b,,,\n"), **options)


@pytest.mark.parametrize("content", [None, b"", b"\x1f\x8bno"])
def test_a_file_that_is_no_csv_is_a_file_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "trace.csv").write_bytes(content)
    with pytest.raises((FileError, UsageError), match="fix:"):
        rows(tmp_path / "trace.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_content_of_a_csv_crashes_the_import(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(HEAD.encode() + content)
    counts = Counts()
    try:
        found = rows(path, counts)
    except FileError:
        return
    assert counts.events == len(found)
    assert counts.rows == counts.events + sum(counts.dropped.values())


def test_convert_writes_events_and_their_profile_beside_them(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "60,message,a,b,,5,\n180,message,b,a,,,\n1,call,a,b,,,9\n")
    counts = convert(path, tmp_path / "out", types=MAIL)
    assert counts == Counts(3, 2, {"type_not_taken": 1})
    seen = Seen(tmp_path / "out")
    assert (len(seen.rows), seen.refused) == (2, [])
    learned = coverage.load(tmp_path / "out" / "events.profile.json")
    assert learned.resolution_ms == 60_000
    assert learned.covers("message.sent.size")
    assert not learned.covers("typing.started")
    convert(path, tmp_path / "events.jsonl.gz", types=MAIL)
    assert Seen(tmp_path / "events.jsonl.gz").rows == seen.rows


def test_a_trace_without_a_single_event_makes_an_empty_file(tmp_path: Path) -> None:
    assert convert(csv(tmp_path, HEAD), tmp_path / "out", types=MAIL) == Counts()
    assert Seen(tmp_path / "out").rows == []


@pytest.mark.skipif(not TRACES.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("preset", "file", "events", "dropped"),
    [
        ("collegemsg", "collegemsg", 59_835, {}),
        ("copenhagen", "copenhagen", 24_333, {"type_not_taken": 3_600}),
        ("email_eu", "email_eu_150d", 83_024, {"repeated": 59}),
        ("fb_forum", "fb_forum", 33_720, {}),
        ("irc_ubuntu", "irc_ubuntu", 241_769, {}),
        ("botornot", "botornot_30", 6_688, {}),
        ("botornot", "botornot_31", 4_643, {}),
    ],
)
def test_every_preset_takes_every_message_of_its_trace(
    tmp_path: Path, preset: str, file: str, events: int, dropped: dict[str, int]
) -> None:
    known = PRESETS[preset]
    counts = convert(
        TRACES / f"{file}.csv.gz",
        tmp_path,
        types=known.types,
        unit=known.unit,
        several=known.several,
    )
    assert (counts.events, counts.dropped) == (events, dropped)
    seen = Seen(tmp_path)
    assert (len(seen.rows), seen.refused) == (events, [])
    order = [(row["ts"], row["id"]) for row in seen.rows]
    assert order == sorted(order)
    assert len({row["id"] for row in seen.rows}) == events
