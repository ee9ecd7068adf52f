"""Tables as events: one mapping for every format, values in any form, and what is refused."""

from __future__ import annotations

import csv as csv_files
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.events import Item, Seen
from support.traces import trace
from wavebreak import engine, explain, io, rules
from wavebreak.errors import FileError, UsageError
from wavebreak.evaluation.scoring_points import open_run
from wavebreak.io import Mapping, Table, open_source
from wavebreak.io.mapping import encode_mapping, guess_mapping, load_mapping, save_mapping
from wavebreak.io.sources import mapping_path, preview
from wavebreak.privacy.phone_numbers import number_of
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage

HEAD = "ts,type,account,peer,group,size\n"
KEY = b"0123456789abcdef"
EDGE = Pseudonymizer(KEY)
MAIL = {"message": "message.sent"}
PLAIN = Mapping(columns={name: name for name in HEAD.strip().split(",")}, types=MAIL, time="s")
SHORT = {"ts": "when", "account": "from", "peer": "to"}


def csv(directory: Path, text: str, name: str = "trace.csv") -> Path:
    path = directory / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def rows(table: Table) -> list[Item]:
    return [
        {name: value for name, value in row.items() if value is not None}
        for batch, _ in table.wire_batches()
        for row in batch.to_pylist()
    ]


def read(path: Path, **changes: Any) -> list[Item]:
    return rows(
        Table(path, Mapping(**{"columns": PLAIN.columns, "types": MAIL, "time": "s"} | changes))
    )


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_row_becomes_an_event_with_a_lasting_id(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, HEAD + "5,message,ann,bob,,30\n", name)
    event = {"id": "trace-000000001", "ts": 5000, "type": "message.sent", "account": "ann"}
    assert read(path) == [{**event, "peer": "bob", "size": 30}] == read(path)


class Capsule:
    """A table as pandas, polars and DuckDB give theirs: by Arrow's PyCapsule interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def messages() -> list[dict[str, Any]]:
    return [
        {"msg_uuid": "u1", "sent": {"at": "2024-03-01T12:00:00+02:00"}, "from": 7, "to": "bob",
         "known": True, "ip": "192.0.2.1", "body": "never read"},
        {"msg_uuid": "u2", "sent": {"at": "2024-03-01T11:00:00Z"}, "from": 8, "to": "ann",
         "known": False, "ip": None, "body": "never read"},
    ]  # fmt: skip


FOREIGN = Mapping(
    columns={"id": "msg_uuid", "ts": "sent.at", "account": "from", "peer": "to",
             "in_contacts": "known"},
    time="iso",
)  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet", "arrow", "rows", "capsule"])
def test_every_format_is_read_by_one_mapping(tmp_path: Path, form: str) -> None:
    items, path = messages(), tmp_path / f"log.{form}"
    data: Any = path
    match form:
        case "csv":
            flat = [{**item, "sent.at": item["sent"]["at"]} for item in items]
            with path.open("w", newline="") as file:
                writer = csv_files.DictWriter(file, [name for name in flat[0] if name != "sent"],
                                              extrasaction="ignore")  # fmt: skip
                writer.writeheader()
                writer.writerows(flat)
        case "jsonl":
            path.write_text("".join(json.dumps(item) + "\n" for item in items))
        case "json":
            path.write_text(json.dumps(items))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(items), path)
        case "arrow":
            table = pa.Table.from_pylist(items)
            with pa.ipc.new_file(path, table.schema) as arrow:
                arrow.write_table(table)
        case "rows":
            data = items
        case "capsule":
            data = Capsule(pa.Table.from_pylist(items))
    first = int(datetime(2024, 3, 1, 10, tzinfo=UTC).timestamp() * 1000)
    assert rows(Table(data, FOREIGN)) == [
        {"id": "u1", "ts": first, "type": "message.sent", "account": "7", "peer": "bob",
         "in_contacts": True},
        {"id": "u2", "ts": first + 3_600_000, "type": "message.sent", "account": "8",
         "peer": "ann", "in_contacts": False},
    ]  # fmt: skip


def test_personal_fields_of_a_table_become_pseudonyms(tmp_path: Path) -> None:
    path = csv(tmp_path, "ts,type,account,phone,ip,device\n5,account.registered,a,054-123-4567,"
               "192.0.2.7,pixel\n")  # fmt: skip
    names = ("ts", "type", "account", "phone", "ip", "device")
    mapping = Mapping(columns={name: name for name in names}, time="s", country="IL")
    (batch,) = list(io.read(Table(path, mapping), EDGE))
    (event,) = batch.log.to_pylist()
    assert event["number_country"] == "IL"
    assert event["number"] != "+972541234567"
    assert event["address"]
    assert event["device"] != "pixel"
    out = tmp_path / "events.parquet"
    assert io.write_table(Table(path, mapping), out, KEY) == 1
    (stored,) = list(io.read(out, EDGE))
    assert stored.log.to_pylist() == batch.log.to_pylist()
    assert not any(value in out.read_bytes() for value in (b"541234567", b"192.0.2.7", b"pixel"))
    with pytest.raises(UsageError, match=r"events\.parquet"):
        io.write_table(Table(path, mapping), tmp_path / "events.jsonl", KEY)


@pytest.mark.parametrize(
    ("text", "form", "zone", "ms"),
    [
        ("1709287200", "s", "", 1_709_287_200_000),
        ("1082040961.2345", "s", "", 1_082_040_961_234),
        ("1709287200123", "ms", "", 1_709_287_200_123),
        ("1709287200123456", "us", "", 1_709_287_200_123),
        ("1709287200123456789", "ns", "", 1_709_287_200_123),
        ("2024-03-01T12:00:00+02:00", "iso", "", 1_709_287_200_000),
        ("2024-03-01 10:00:00.5Z", "iso", "", 1_709_287_200_500),
        ("2024-03-01 12:00:00", "iso", "Asia/Jerusalem", 1_709_287_200_000),
        ("2024-07-01 13:00:00", "iso", "Asia/Jerusalem", 1_719_828_000_000),
        ("2024-03-01 12:00", "iso", "+02:00", 1_709_287_200_000),
        ("Fri, 01 Mar 2024 12:00:00 +0200", "mail", "", 1_709_287_200_000),
        ("01/03/2024 10:00", "%d/%m/%Y %H:%M", "UTC", 1_709_287_200_000),
        ("01.03.2024 12:00:00", "%d.%m.%Y %H:%M:%S", "Asia/Jerusalem", 1_709_287_200_000),
    ],
)
def test_time_in_any_declared_form(
    tmp_path: Path, text: str, form: str, zone: str, ms: int
) -> None:
    path = csv(tmp_path, f'{HEAD}"{text}",message,a,b,,\n')
    assert [row["ts"] for row in read(path, time=form, zone=zone)] == [ms]


def test_faulty_time_names_its_row_and_the_option(tmp_path: Path) -> None:
    path = csv(tmp_path, "when,from,to\n2024-03-01T10:00:00Z,a,b\nyesterday,c,d\n")
    table = Table(path, Mapping(columns=SHORT, time="iso"))
    assert len(rows(table)) == 1
    (refused,) = table.load().refused
    assert (refused.line, refused.cause, refused.field) == (2, "wrong_type", "ts")
    assert "--time" in refused.message
    assert "yesterday" not in refused.message


def test_times_without_a_zone_are_refused_until_it_is_said(tmp_path: Path) -> None:
    local = pa.array([0], pa.timestamp("us"))
    table = Table({"when": local, "from": ["a"], "to": ["b"]}, Mapping(columns=SHORT))
    with pytest.raises(UsageError, match="zone"):
        table.load()
    path = csv(tmp_path, "when,from,to\n2024-03-01 10:00:00,a,b\n")
    with pytest.raises(UsageError, match="--zone"):
        open_source(path)
    assert isinstance(open_source(path, declared={"zone": "UTC"}), Table)


def test_spellings_of_a_number_are_one_account_and_are_reported(tmp_path: Path) -> None:
    numbers = ["+972 54-123-4567", "0541234567", "00972541234567", "972-54-1234567"]
    path = csv(
        tmp_path, "when,from,to\n" + "".join(f"1709287200,{n},+14155550100\n" for n in numbers)
    )
    table = open_source(path, declared={"country": "IL"})
    assert isinstance(table, Table)
    assert {row["account"] for row in rows(table)} == {"+972541234567"}
    assert any("several spellings" in note for note in table.load().notes)
    with pytest.raises(UsageError, match="--country"):
        open_source(path)
    assert number_of("+44 (0)20 7946 0958", "GB") == "+442079460958"


def test_events_are_sorted_by_time_and_then_by_row(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "".join(f"{t},message,a,b{i},,\n" for i, t in enumerate("3121")))
    assert [row["peer"] for row in read(path)] == ["b1", "b3", "b2", "b0"]


def test_message_with_group_and_peer_goes_to_the_group(tmp_path: Path) -> None:
    (row,) = read(csv(tmp_path, HEAD + "1,message,a,b,g,\n"))
    assert row["group"] == "g"
    assert "peer" not in row


def test_message_to_nobody_goes_to_the_default_group(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "1,message,a,,,9\n")
    assert [row["group"] for row in read(path, default_group="public")] == ["public"]
    table = Table(path, PLAIN)
    assert rows(table) == []
    assert table.load().causes == {"missing_counterpart: peer": 1}


def test_what_a_type_has_no_field_for_is_left_out_and_said(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "1,join,a,b,g,7\n2,leave,a,b,g,7\n")
    types = {"join": "group.joined", "leave": "group.left"}
    table = Table(path, Mapping(columns=PLAIN.columns, types=types, time="s"))
    joined, left = rows(table)
    assert set(joined) == {"id", "ts", "type", "account", "group"}
    assert left["peer"] == "b"
    assert any("size" in note for note in table.load().notes)


def test_how_from_where_and_refused_acts_are_taken(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "ts,type,account,peer,via,origin,attempted\n"
        "1,message.sent,ann,ben,invite,Example.ORG,\n"
        "2,message.sent,ann,cid,,,True\n"
        "3,session.started,ann,,invite,,0\n"
        "4,message.sent,ann,dan,pigeon,,\n"
        "5,message.sent,ann,dan,,,perhaps\n"
        "6,message.sent,ann,dan,,no domain,\n",
    )
    names = ("ts", "type", "account", "peer", "via", "origin", "attempted")
    table = Table(path, Mapping(columns={name: name for name in names}, time="s"))
    assert [[row.get(name) for name in ("peer", "via", "origin", "attempted")]
            for row in rows(table)] == [
        ["ben", "invite", "example.org", None],
        ["cid", None, None, True],
        [None, None, None, None],
    ]  # fmt: skip
    assert table.load().causes == {
        "bad_value: via": 1, "wrong_type: attempted": 1, "bad_value: origin": 1,
    }  # fmt: skip


def test_bad_rows_are_counted_by_cause_and_the_others_taken(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    bad = [
        b"x,message,a,b,,",
        b"1,message,a,b,,many",
        b"1,call,a,b,,",
        b"1,message,,b,,",
        b",message,a,b,,",
        b"1,message,\xff,b,,",
        b"-5,message,a,b,,",
        b"1,message,a,b,,-3",
        b"1,message," + b"a" * 300 + b",b,,",
        b"too,few",
    ]
    path.write_bytes(HEAD.encode() + b"\n".join([*bad, b"1,message,a,b,,"]) + b"\n")
    table = Table(path, PLAIN)
    assert [row["id"] for row in rows(table)] == ["trace-000000011"]
    conversion = table.load()
    assert conversion.rows == 11
    assert conversion.causes == {
        "bad_csv": 1,
        "bad_text": 1,
        "wrong_type: ts": 1,
        "wrong_type: size": 1,
        "type_not_taken": 1,
        "missing_field: account": 1,
        "missing_field: ts": 1,
        "out_of_range_time: ts": 1,
        "bad_value: size": 1,
        "too_long: account": 1,
    }
    assert sorted(one.line for one in conversion.refused) == list(range(1, 11))


def test_simultaneous_sends_become_one_to_several(tmp_path: Path) -> None:
    text = "1,message,a,b,,\n1,message,a,c,,\n1,message,a,b,,\n1,message,x,b,,\n2,message,a,b,,\n"
    path = csv(tmp_path, HEAD + text)
    table = Table(path, Mapping(columns=PLAIN.columns, types=MAIL, time="s", merge_recipients=True))
    names = ("account", "peer", "recipients", "broadcast")
    assert [tuple(row.get(name) for name in names) for row in rows(table)] == [
        ("a", "b", 2, True),
        ("a", "c", 2, True),
        ("x", "b", None, None),
        ("a", "b", None, None),
    ]  # fmt: skip
    assert table.load().causes == {"repeated": 1}
    assert all("broadcast" not in row for row in read(path))


ADDRESSES = """Date,From,Recipients
"Mon, 02 Mar 2026 09:00:00 +0200",Ann <ann@x.org>,"bob@x.org, ""C, Doe"" <carl@x.org>; dan@x.org"
"Mon, 02 Mar 2026 09:01:00 +0200",ann@x.org,bob@x.org
"""


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_row_with_several_recipients_is_an_event_for_each(tmp_path: Path, form: str) -> None:
    path = csv(tmp_path, ADDRESSES, "mail.csv")
    if form == "jsonl":
        path = tmp_path / "mail.jsonl"
        lists = [["bob@x.org", "carl@x.org", "dan@x.org"], "bob@x.org"]
        items = [{"date": f"2026-03-02T07:0{k}:00Z", "from": "ann@x.org", "recipients": to}
                 for k, to in enumerate(lists)]  # fmt: skip
        path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    table = open_source(path)
    assert isinstance(table, Table)
    sent = rows(table)
    names = ("id", "account", "peer", "recipients", "broadcast")
    assert [tuple(row.get(name) for name in names) for row in sent] == [
        ("mail-000000001", "ann@x.org", "bob@x.org", 3, True),
        ("mail-000000001-2", "ann@x.org", "carl@x.org", 3, True),
        ("mail-000000001-3", "ann@x.org", "dan@x.org", 3, True),
        ("mail-000000002", "ann@x.org", "bob@x.org", None, None),
    ]  # fmt: skip
    assert {row["ts"] for row in sent} == {1772434800000, 1772434860000}
    conversion = table.load()
    assert (conversion.rows, conversion.causes.total()) == (2, 0)
    assert conversion.notes == ["further recipients of rows, an event for each: 2"]


def test_list_of_objects_as_recipients_is_an_error_with_the_fix() -> None:
    table = Table([{"ts": 1, "account": "a", "peer": [{"mail": "b"}]}])
    with pytest.raises(UsageError, match=r"column peer holds lists of objects.*list of texts"):
        table.load()


def test_column_with_the_number_of_recipients_is_no_peer() -> None:
    rows_of_file = [[1767225600000, "a", 3], [1767225600001, "b", 1]]
    proposal = guess_mapping(["ts", "sender", "recipients"], rows_of_file)
    assert proposal.mapping is not None
    assert "peer" not in proposal.mapping.columns
    assert proposal.mapping.columns["recipients"] == "recipients"


@pytest.mark.parametrize("indent", [None, 1])
def test_json_object_around_the_rows_is_an_error_with_the_fix(
    tmp_path: Path, indent: int | None
) -> None:
    path = tmp_path / "chat.json"
    messages = [{"id": k, "type": "message", "date": "2026-03-02T09:00:00Z", "from": "ann"}
                for k in range(3)]  # fmt: skip
    path.write_text(json.dumps({"name": "Family", "messages": messages}, indent=indent))
    with pytest.raises(FileError, match=r"rows in the list `messages`.*jq \.messages chat\.json"):
        open_source(path)


def test_one_event_type_can_be_declared_for_all_rows(tmp_path: Path) -> None:
    path = csv(tmp_path, "start,caller,callee,type\n1767225600,a,b,voice\n", "calls.csv")
    table = open_source(path, declared={"type": "call.started"})
    assert isinstance(table, Table)
    assert "type" not in table.mapping.columns
    assert [(row["type"], row["peer"]) for row in rows(table)] == [("call.started", "b")]


@pytest.mark.parametrize(
    "declared",
    [
        {"columns": {"ts": "ts", "account": "account", "body": "body"}},
        {"columns": {"ts": "ts"}},
        {"time": "h"},
        {"zone": "Nowhere/Town"},
        {"country": "Atlantis"},
        {"types": {"message": "message.eaten"}},
    ],
)
def test_mapping_that_fits_no_table_is_a_usage_error(declared: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="fix:"):
        Mapping(**{"columns": {"ts": "ts", "account": "account"}} | declared)


def test_missing_column_is_named_with_what_to_say(tmp_path: Path) -> None:
    path = csv(tmp_path, "Sender Name,Receiver,Sent At\na,b,1\n")
    with pytest.raises(UsageError) as error:
        rows(Table(path, PLAIN))
    assert "ts=Sent At,account=Sender Name,peer=Receiver" in error.value.fix
    path = csv(tmp_path, "+14155550100,1767222000\n+14155550101,1767222001\n", "people.csv")
    with pytest.raises(UsageError) as error:
        open_source(path)
    assert "4155550100" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"\x1f\x8bno"])
def test_file_that_is_no_csv_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "trace.csv").write_bytes(content)
    with pytest.raises((FileError, UsageError), match="fix:"):
        open_source(tmp_path / "trace.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_content_of_a_csv_crashes_the_import(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(HEAD.encode() + content)
    table = Table(path, PLAIN)
    try:
        events = rows(table)
    except FileError:
        return
    conversion = table.load()
    count = conversion.rows + conversion.extra_recipients
    assert count == len(events) + conversion.causes.total()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(["when", "from", "to", "x"]), st.none()
                | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
                | st.lists(st.integers(), max_size=2)), max_size=6))  # fmt: skip
def test_no_value_of_json_crashes_the_import(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    table = Table(path, Mapping(columns=SHORT, time="ms"))
    events = rows(table)
    conversion = table.load()
    count = conversion.rows + conversion.extra_recipients
    assert count == len(events) + conversion.causes.total()


def test_mapping_is_kept_beside_the_table_and_used(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b,c\n2024-03-01 10:00:00,x,y\n", "odd.csv")
    mapping = Mapping(columns={"ts": "a", "account": "b", "peer": "c"}, time="iso", zone="UTC")
    save_mapping(mapping, mapping_path(path))
    assert load_mapping(tmp_path / "odd.mapping.toml") == mapping
    table = open_source(path)
    assert isinstance(table, Table)
    assert rows(table)[0]["account"] == "x"
    (tmp_path / "odd.mapping.toml").write_text("columns = 3")
    with pytest.raises(FileError, match="no mapping"):
        open_source(path)


def test_mapping_survives_toml() -> None:
    mapping = Mapping(
        columns={"ts": 'sent "at"', "account": "from.id"}, types={"m.room": "message.sent"},
        time="%d/%m/%Y", zone="Asia/Jerusalem", country="IL", numbers=True, merge_recipients=True,
    )  # fmt: skip
    assert msgspec.toml.decode(encode_mapping(mapping), type=Mapping) == mapping


def test_events_as_they_are_need_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"ts": 5, "type": "message.sent", "account": "a", "peer": "b"}\n')
    assert open_source(path) == path
    path.write_text(
        '{"ts": 5, "type": "message.sent", "account": "a", "peer": "b", "msg_uuid": "u"}\n'
    )
    assert open_source(path) == path
    assert [one.cause for one in Seen(path).refused] == ["unknown_field"]


def test_uncertain_date_is_not_guessed_silently() -> None:
    proposal = guess_mapping(["date", "from", "to"], [["01/02/2024 10:00", "a", "b"]])
    assert proposal.mapping is not None
    assert any("%d/%m/%Y" in doubt and "%m/%d/%Y" in doubt for doubt in proposal.unsure)
    certain = guess_mapping(
        ["date", "from", "to"], [["21/02/2024 10:00", "a", "b"]], {"zone": "UTC"}
    )
    assert certain.unsure == ()


def test_preview_shows_rows_as_read_and_rows_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "when,from,to\n1709287200,a,b\nnever,c,d\n")
    events, conversion = preview(Table(path), Mapping(columns=SHORT, time="s"))
    assert events.column("account").to_pylist() == ["a"]
    assert conversion.causes == {"wrong_type: ts": 1}


def test_written_table_has_its_profile_beside_it(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD + "60,message,a,b,,5\n180,message,b,a,,\n1,call,a,b,,\n")
    assert io.write_table(Table(path, PLAIN), tmp_path / "out", KEY) == 2
    seen = Seen(tmp_path / "out")
    assert (len(seen.rows), seen.refused) == (2, [])
    profile = coverage.load(tmp_path / "out" / "events.profile.json")
    assert profile.resolution_ms == 60_000
    assert profile.covers("message.sent.size")
    assert not profile.covers("typing.started")


def test_run_over_a_table_keeps_the_log_that_it_decided_on(tmp_path: Path) -> None:
    lines = [f"{1_709_287_200 + k},spammer,p{k}\n" for k in range(300)]
    path = csv(tmp_path, "when,from,to\n" + "".join([*lines, "never,a,b\n"]))
    out, policy = tmp_path / "out", rules.load_policy()
    summary = engine.run(Table(path, Mapping(columns=SHORT, time="s")), out, policy, EDGE)
    assert (summary["events"], summary["accepted"], summary["refused"]) == (301, 300, 1)
    timeline = explain.explain(out, "spammer").timeline
    assert timeline is not None
    assert len(timeline["sends"]) == 300
    path.unlink()
    again = engine.run(open_run(out).events, tmp_path / "again", policy, EDGE)
    assert again["source"]["sha256"] == summary["source"]["sha256"]
    decisions = [directory / "decisions.jsonl" for directory in (out, tmp_path / "again")]
    assert decisions[0].read_bytes() == decisions[1].read_bytes() != b""


@pytest.mark.parametrize(
    ("file", "events", "dropped"),
    [
        ("collegemsg", 59_835, {}),
        ("copenhagen", 24_333, {"type_not_taken": 3_600}),
        ("email_eu_150d", 83_024, {"repeated": 59}),
        ("fb_forum", 33_720, {}),
        ("irc_ubuntu", 241_769, {}),
        ("botornot_30", 6_688, {}),
        ("botornot_31", 4_643, {}),
    ],
)
def test_every_message_of_a_trace_is_taken(file: str, events: int, dropped: dict[str, int]) -> None:
    table = trace(file)
    read = rows(table)
    assert (len(read), table.load().causes) == (events, dropped)
    order = [(row["ts"], row["id"]) for row in read]
    assert order == sorted(order)
    assert len({row["id"] for row in read}) == events


def test_a_gateways_log_is_guessed_and_says_which_types_it_drops() -> None:
    rows = [
        {"date_sent": f"Mon, 02 Mar 2026 09:00:{k:02} +0200", "from": f"a-{k % 3}", "to": f"b-{k}",
         "type": "sms" if k % 5 else "fax"}
        for k in range(40)
    ]  # fmt: skip
    proposal = Table(rows).guess()
    assert proposal.mapping is not None
    assert proposal.mapping.time == "mail"
    assert proposal.unsure == (
        "rows of the types fax are dropped: name them with --types WORD=EVENT",
    )
    table = Table(rows, proposal.mapping)
    assert table.load().causes.total() == 8
    assert next(table.wire_batches())[0].column("ts")[0].as_py() == 1_772_434_801_000
