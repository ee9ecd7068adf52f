from __future__ import annotations

import json
from importlib import resources

import jsonschema
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given

from support.events import Item, labelled, sent, valid
from wavebreak.schema.events import (
    CODES,
    EVENTS,
    LOG_SCHEMA,
    TYPES,
    WIRE_SCHEMA,
    AnyEvent,
    json_rows,
    json_schema,
    safe_field_name,
)

SCHEMA = json.loads(resources.files("wavebreak").joinpath("policy/event.schema.json").read_text())


def test_types_have_the_codes_that_logs_have_stored() -> None:
    assert TYPES[:5] == (
        "account.registered",
        "session.started",
        "typing.started",
        "message.sent",
        "message.delivered",
    )
    assert TYPES[22:26] == (
        "label.assigned",
        "contact.requested",
        "contact.accepted",
        "contact.refused",
    )


def test_every_field_of_every_type_has_a_wire_column() -> None:
    fields = {name for kind in EVENTS for name in kind.__struct_fields__}
    assert fields | {"type"} == set(WIRE_SCHEMA.names)


def test_the_log_has_no_column_for_a_raw_phone_number_or_address() -> None:
    assert not {"phone", "ip"} & set(LOG_SCHEMA.names)
    assert LOG_SCHEMA.metadata == {b"wavebreak.schema": b"1"}
    assert [f.name for f in LOG_SCHEMA if not f.nullable] == ["id", "ts", "type", "account"]


def test_every_enumeration_is_a_column_of_codes_in_the_log() -> None:
    assert all(LOG_SCHEMA.field(name).type == pa.uint8() for name in [*CODES, "reason", "type"])


def test_the_shipped_json_schema_is_the_one_made_from_the_types() -> None:
    assert json_schema() == SCHEMA


@given(valid())
def test_a_valid_event_fits_the_json_schema_and_the_types(item: Item) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(item)
    assert msgspec.convert(item, AnyEvent)


@pytest.mark.parametrize(
    "item",
    [
        sent(body="hello"),
        sent(group="g"),
        sent(peer=None),
        sent(account=""),
        sent(ts=-1),
        sent(media="smell"),
        sent(type="message.eaten"),
        sent(verification="sms"),
        labelled("benign", outcome="allow"),
        labelled("undetermined", outcome="allow", hold_s=60),
        labelled("undetermined", hold_s=60),
        labelled("undetermined", outcome="limit", hold_s=0),
    ],
)
def test_the_json_schema_refuses_what_the_reader_refuses(item: Item) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(item)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "+972541234567",
        "n972541234567",
        "a.203.0.113.9",
        "two words",
        "é",
        "x" * 65,
        "see-you-at-the-mill",
    ],
)
def test_a_field_name_that_may_carry_a_value_is_not_shown(name: str) -> None:
    assert safe_field_name(name) == "(name withheld)"


@given(valid())
def test_json_rows_say_exactly_what_the_event_says(item: Item) -> None:
    batch = pa.RecordBatch.from_pylist([item], WIRE_SCHEMA)
    assert json.loads(json_rows(batch)[0].as_py()) == item
