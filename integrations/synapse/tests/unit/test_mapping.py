from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wavebreak.schema import events as schema
from wavebreak.schema.identifiers import fault
from wavebreak_client import build_event

from wavebreak_synapse.mapping import (
    ALWAYS,
    FIELDS,
    MASS_MENTION,
    NEW_IN_ROOM_S,
    Call,
    Membership,
    Pdu,
    Room,
    attempted_event,
    carried,
    client_of,
    group_created_event,
    invitation_event,
    membership_event,
    message_event,
    opaque_id,
    read_event,
    report_event,
    sent,
)

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "vectors/pdus.jsonl").read_text("utf-8").splitlines()
]


def mapped(vector: dict[str, Any]) -> dict[str, Any] | None:
    pdu = Pdu(**vector["pdu"])
    room = Room(pdu.room_id, **vector["room"] | {"people": tuple(vector["room"]["people"])})
    if pdu.type == "m.room.member":
        former = Membership(**vector["former"]) if vector["former"] else None
        return membership_event(pdu, room, former, "hs.test")
    return message_event(pdu, room, "hs.test", vector["in_contacts"], vector.get("joined_s"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_pdu_is_mapped_to_the_listed_event(vector: dict[str, Any]) -> None:
    assert mapped(vector) == vector["event"]


def test_mapped_events_fit_the_schema() -> None:
    events = [event for vector in VECTORS if (event := mapped(vector)) is not None]
    assert len(events) > 20
    assert [build_event(event).to_json()["id"] for event in events] == ["$1"] * len(events)


GOLDEN = Path(__file__).parents[1] / "e2e/golden_events.jsonl"
FROM_AFAR = "@far:away.test"


def every_event() -> list[dict[str, Any]]:
    """Return events of every type with every field: of the vectors, the golden story, and afar."""
    pdu = Pdu("$c", "m.room.create", FROM_AFAR, "!r:hs.test", 5, {})
    room = Room("!r:hs.test", (FROM_AFAR, "@b:hs.test"))
    group = Room("!r:hs.test", (FROM_AFAR, "@b:hs.test", "@c:hs.test"), 3)

    def moved(membership: str, room: Room, former: Membership | None) -> Any:
        content = {"membership": membership}
        change = Pdu("$m", "m.room.member", FROM_AFAR, "!r:hs.test", 5, content, FROM_AFAR)
        return membership_event(change, room, former, "hs.test")

    invited = Membership("invite", "@b:hs.test")
    made = [
        *(mapped(vector) for vector in VECTORS),
        *(json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()),
        group_created_event(pdu, "hs.test"),
        read_event(1, 5, FROM_AFAR, "@b:hs.test", "$e", "hs.test"),
        *(
            moved(membership, where, invited)
            for membership in ("join", "leave")
            for where in (room, group)
        ),
        moved("join", group, None),
        invitation_event("$i", 5, FROM_AFAR, "@b:hs.test", group, "hs.test"),
        attempted_event("$t", 5, FROM_AFAR, "@b:hs.test", "hs.test"),
        Call(
            {"id": "$k", "account": FROM_AFAR, "origin": "away.test", "peer": "@b:hs.test"},
            FROM_AFAR,
        ).ended(5),
    ]
    return [event for event in made if event is not None]


def test_declared_fields_are_what_mapped_events_have() -> None:
    found: dict[str, set[str]] = {}
    for event in every_event():
        assert sent(event) == event
        found.setdefault(event["type"], set()).update(set(event) - set(ALWAYS))
    assert found == {kind: set(fields) for kind, fields in FIELDS.items()}
    names = [f"{kind}.{field}" for kind, fields in found.items() for field in fields]
    assert sorted(carried({})) == sorted([*found, *names])


def test_mapped_events_hold_nothing_that_was_written() -> None:
    assert any("CANARY" in json.dumps(vector["pdu"]) for vector in VECTORS)
    assert "CANARY" not in json.dumps([mapped(vector) for vector in VECTORS])


def test_group_creation_names_creator_and_group() -> None:
    pdu = Pdu("$c", "m.room.create", "@a:hs.test", "!r:hs.test", 5, {})
    expected = {"id": "$c", "type": "group.created", "ts": 5, "account": "@a:hs.test"}
    assert group_created_event(pdu, "hs.test") == expected | {"group": "!r:hs.test"}


def test_report_has_no_reason_of_its_own() -> None:
    event = report_event("event_reports:1", 5, "@a:hs.test", "@b:x.test", "$e", "hs.test")
    assert event["reason"] == "other"
    assert event["message"] == "$e"


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("Element/1.11.2 (Linux)", "Element/1.11.2"),
        ("Mozilla/5.0 (X11)", "Mozilla/5.0"),
        ("somebody's own words", None),
        (None, None),
    ],
)
def test_client_is_read_from_its_agent(agent: str | None, client: str | None) -> None:
    assert client_of(agent) == client


@given(st.text(min_size=1, max_size=300))
def test_opaque_id_is_accepted_by_the_service(name: str) -> None:
    for text in (f"@{name}:hs.test", f"!{name}", f"${name}"):
        made = opaque_id(text)
        assert len(made.encode()) <= 255
        assert [fault(field, made) for field in ("account", "peer", "group", "id")] == [None] * 4


def test_ordinary_matrix_ids_stay_as_they_are() -> None:
    names = ["@ann.b-c=d_e/f:hs.example.org:8448", "!abc:hs.example.org", "$V4_x-y", "$a/b+c"]
    assert [opaque_id(name) for name in names] == names


def test_many_mentions_are_as_many_as_the_service_counts() -> None:
    assert (MASS_MENTION, NEW_IN_ROOM_S) == (schema.MASS_MENTION, schema.NEW_IN_GROUP_S)
