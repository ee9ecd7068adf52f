from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import Item, edge, sent, valid
from wavebreak.errors import FileError
from wavebreak.schema.coverage import SELDOM, Profile, load, measure, save, sidecar_path
from wavebreak.schema.events import EVENTS, TYPES, WIRE_SCHEMA


def log(items: list[Item]) -> pa.RecordBatch:
    return edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA))


def typing(ts: int) -> Item:
    return {"type": "typing.started", "ts": ts, "account": "ann", "peer": "bob"}


def test_a_profile_holds_shares_of_types_and_of_their_fields() -> None:
    profile = measure([log([sent(size=1), sent()]), log([sent(), typing(5000)]), log([])])
    assert profile.events == 4
    assert profile.types == {"typing.started": 0.25, "message.sent": 0.75}
    assert profile.fields["message.sent.size"] == pytest.approx(1 / 3)
    assert "message.sent.media" not in profile.fields


def test_phone_and_address_count_under_schema_names() -> None:
    item: Item = {"type": "account.registered", "ts": 1, "account": "a"}
    profile = measure([log([{**item, "phone": "+972541234567", "ip": "203.0.113.7"}])])
    assert profile.covers("account.registered.phone")
    assert profile.covers("account.registered.ip")
    assert not profile.covers("account.registered.device")


@pytest.mark.parametrize(
    ("times", "step"),
    [
        ([0, 60_000, 180_000], 60_000),
        ([1000, 3000], 1000),
        ([1000, 3001], 1),
        ([0, 0], 1),
        ([864_000_000, 1_728_000_000], 86_400_000),
    ],
)
def test_the_resolution_is_the_step_of_all_times_up_to_a_day(times: list[int], step: int) -> None:
    halves = [log([sent(ts=t) for t in times[:1]]), log([sent(ts=t) for t in times[1:]])]
    assert measure(halves).resolution_ms == step


def test_a_field_is_covered_from_one_in_a_hundred_of_its_type() -> None:
    profile = Profile({"message.sent": 1.0}, {"message.sent.size": 0.01}, 1, 100)
    assert profile.covers("message.sent.size")
    assert not Profile({"message.sent": 1.0}, {"message.sent.size": 0.009}, 1, 1).covers(
        "message.sent.size"
    )


def seldom(count: int, of: int = 2_000, field: str = "session.started.linked") -> Profile:
    """A profile in which a field occurs so often, in half of all events."""
    return Profile({"session.started": 0.5}, {field: count / of}, 1, 2 * of)


def test_flag_that_is_rare_by_nature_is_covered_from_three() -> None:
    assert seldom(3).covers("session.started.linked")
    assert not seldom(2).covers("session.started.linked")
    assert not seldom(0).covers("session.started.linked")


def test_flag_below_one_in_ten_thousand_is_not_covered() -> None:
    assert seldom(10, 100_000).covers("session.started.linked")
    assert not seldom(9, 100_000).covers("session.started.linked")


def test_rare_field_that_may_be_unknown_is_not_covered() -> None:
    assert not seldom(15, field="session.started.ip").covers("session.started.ip")


def test_fields_rare_by_nature_are_in_the_event_schema() -> None:
    for source in SELDOM:
        kind, _, field = source.rpartition(".")
        assert field in EVENTS[TYPES.index(kind)].__struct_fields__


def test_few_typing_events_do_not_cover_typing() -> None:
    profile = Profile(
        {"message.sent": 0.99, "user.reported": 0.0001, "typing.started": 0.005}, {}, 1, 10_000
    )
    assert profile.covers("user.reported")
    assert not profile.covers("typing.started")
    assert not profile.covers("typing.started.peer")
    assert not profile.covers("message.read")


def test_nothing_that_the_contract_does_not_have_is_covered() -> None:
    profile = measure([log([sent()])])
    assert not profile.covers("message.eaten")
    assert not profile.covers("")
    assert not profile.covers("message.sent.body")


def test_no_events_give_a_profile_of_what_others_say() -> None:
    profile = measure([])
    assert profile == Profile({}, {}, 1, 0)
    beside = ["label.assigned", "account.listed", "account.unlisted", "account.declared"]
    assert list(filter(profile.covers, TYPES)) == beside
    assert profile.covers("label.assigned.source")


@given(st.lists(valid(), max_size=20), st.integers(0, 20))
def test_a_profile_does_not_depend_on_the_batches(items: list[Item], cut: int) -> None:
    assert measure([log(items)]) == measure([log(items[:cut]), log(items[cut:])])


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = sidecar_path(tmp_path / "events.parquet")
    assert path == tmp_path / "events.profile.json"
    profile = measure([log([sent(size=3), typing(7)])])
    save(profile, path)
    assert load(path) == profile


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"types": {"message.eaten": 1}, "fields": {}, "resolution_ms": 1, "events": 1}',
        '{"types": {}, "fields": {}, "resolution_ms": 0, "events": 1}',
        '{"types": {"message.sent": "x"}, "fields": {}, "resolution_ms": 1, "events": 1}',
        "[" * 100_000,
    ],
)
def test_a_profile_that_is_not_well_formed_is_a_file_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.profile.json"
    path.write_text(text)
    with pytest.raises(FileError, match="fix:"):
        load(path)


def test_an_absent_profile_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="fix:"):
        load(tmp_path / "events.profile.json")
