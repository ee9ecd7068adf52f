from __future__ import annotations

import json
from typing import Any

import pytest

from synapse_support.fakes import Database, settings_of
from wavebreak_synapse import tables
from wavebreak_synapse.feed import Bounds, Feed, Row, Source, merge

ANN, BOB, CAT = "@ann:hs.test", "@bob:hs.test", "@cat:hs.test"
ROOM = "!r:hs.test"
NOW = 100 * 86_400_000


class Reading:
    def __init__(self, **settings: Any) -> None:
        self.database = Database()
        self.settings = settings_of(**settings)
        self.order = 0
        self.feed = self.new_feed()

    def new_feed(self, limit: int = 500) -> Feed:
        return Feed(self.settings, "hs.test", notices_account="@n:hs.test", limit=limit)

    def event(self, kind: str, sender: str, content: Any, **more: Any) -> str:
        self.order += 1
        event_id = f"${self.order}"
        ts = more.pop("ts", NOW + self.order)
        metadata = more.pop("metadata", {})
        values = {"event_id": event_id, "type": kind, "sender": sender, "room_id": ROOM}
        self.database.put(
            "events", stream_ordering=self.order, received_ts=ts, origin_server_ts=ts,
            **values | more,
        )  # fmt: skip
        self.database.put(
            "event_json", event_id=event_id, json=json.dumps({"content": content}),
            internal_metadata=json.dumps(metadata),
        )  # fmt: skip
        if kind == "m.room.member" and "state_key" in more:
            self.database.put(
                "room_memberships", event_id=event_id, user_id=more["state_key"], sender=sender,
                room_id=ROOM, membership=content["membership"],
                event_stream_ordering=self.order,
            )  # fmt: skip
            self._change_state(more["state_key"], content["membership"])
        return event_id

    def _change_state(self, account: str, membership: str) -> None:
        execute = self.database.connection.execute
        execute("DELETE FROM current_state_events WHERE state_key = ?", (account,))
        if membership in ("join", "invite"):
            self.database.put(
                "current_state_events", room_id=ROOM, type="m.room.member", state_key=account,
                membership=membership,
            )  # fmt: skip

    def leaves(self, account: str, by: str | None = None, how: str = "leave") -> None:
        """Have an account leave, or be removed or banned."""
        self.event("m.room.member", by or account, {"membership": how}, state_key=account)

    def text(self, sender: str, text: str = "hi", **more: Any) -> str:
        return self.event("m.room.message", sender, {"msgtype": "m.text", "body": text}, **more)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.order, 100)

    def start(self, **more: Any) -> None:
        self.feed.start(self.database.cursor(), self.bounds, NOW, **more)

    def read(self, now: int = NOW + 60_000) -> list[dict[str, Any]]:
        found = []
        more = True
        while more:
            batch = self.feed.read(self.database.cursor(), self.bounds, now)
            self.feed.delivered(self.database.cursor(), batch)
            self.feed.advance(batch)
            found += batch.events
            more = batch.more
        return found


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_message_is_read_once_and_not_after_a_restart() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    event_id = reading.text(ANN)
    assert [event["id"] for event in reading.read()] == [event_id]
    reading.feed = reading.new_feed()
    reading.start()
    assert reading.read() == []


def test_notices_and_answers_to_them_are_not_reported() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, "@n:hs.test")
    reading.start()
    joined = {"membership": "join"}
    reading.event("m.room.member", "@n:hs.test", {"membership": "invite"}, state_key=ANN)
    reading.event("m.room.member", ANN, joined, state_key=ANN)
    reading.text("@n:hs.test")
    reading.text(ANN)
    assert reading.read() == []


def test_batch_that_was_not_delivered_is_read_again() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    reading.text(ANN)
    reading.feed.read(reading.database.cursor(), reading.bounds, NOW)
    reading.feed = reading.new_feed()
    reading.start()
    assert types(reading.read()) == ["message.sent"]


def test_small_batches_give_the_same_events() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    ids = [reading.text((ANN, BOB)[number % 2]) for number in range(25)]
    reading.feed = reading.new_feed(limit=4)
    reading.start()
    assert [event["id"] for event in reading.read()] == ids


def test_events_beyond_the_bound_wait() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    reading.text(ANN)
    reading.text(ANN)
    batch = reading.feed.read(reading.database.cursor(), Bounds(1, 0), NOW)
    assert [event["id"] for event in batch.events] == ["$1"]


def test_rejected_soft_failed_and_outlier_events_are_left_out() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    reading.text(ANN, rejection_reason="auth")
    reading.text(ANN, metadata={"soft_failed": True})
    reading.text(ANN, outlier=True)
    assert reading.read() == []


def test_history_comes_with_accounts_in_order_of_time() -> None:
    reading = Reading(history_days=10)
    reading.database.room(ROOM, ANN, BOB)
    day = 86_400_000
    reading.database.put("users", name=ANN, creation_ts=1)
    reading.database.put("users", name=BOB, creation_ts=(NOW - 5 * day) // 1000)
    reading.database.put("users", name="@irc:hs.test", creation_ts=2, appservice_id="irc")
    reading.text(ANN, ts=NOW - 20 * day)
    reading.text(ANN, ts=NOW - 6 * day)
    reading.text(BOB, ts=NOW - 4 * day)
    reading.start()
    found = [(event["type"], event["account"]) for event in reading.read()]
    assert found == [
        ("account.registered", ANN),
        ("message.sent", ANN),
        ("account.registered", BOB),
        ("message.sent", BOB),
    ]


def test_no_history_begins_with_the_next_event() -> None:
    reading = Reading(history_days=0)
    reading.database.room(ROOM, ANN, BOB)
    reading.database.put("users", name=ANN, creation_ts=1)
    reading.text(ANN)
    reading.start()
    assert reading.read() == []
    reading.text(ANN)
    assert types(reading.read()) == ["message.sent"]


def test_invitation_answer_finds_its_inviter() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    reading.event("m.room.member", ANN, {"membership": "invite"}, state_key=BOB)
    reading.event("m.room.member", BOB, {"membership": "join"}, state_key=BOB)
    reading.event("m.room.member", BOB, {"membership": "join"}, state_key=BOB)
    found = [(event["type"], event["peer"]) for event in reading.read()]
    assert found == [("contact.requested", BOB), ("contact.accepted", ANN)]


def test_room_that_a_third_joined_stays_a_group() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB, CAT)
    reading.start()
    reading.text(ANN)
    assert reading.read()[0]["group"] == ROOM
    reading.leaves(CAT)
    reading.text(ANN)
    assert [event["group"] for event in reading.read()] == [ROOM]


@pytest.mark.parametrize(
    ("by", "how"), [(None, "leave"), (ANN, "leave"), (ANN, "ban"), (CAT, "leave")]
)
def test_message_names_its_peer_who_left_before_the_feed(by: str | None, how: str) -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    message = reading.text(ANN)
    reading.leaves(BOB, by, how)
    reading.text(ANN)  # Reaches nobody.
    found = [event for event in reading.read() if event["type"] == "message.sent"]
    assert [(event["id"], event["peer"]) for event in found] == [(message, BOB)]


def test_message_of_a_room_that_all_have_left_is_read() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    first, second = reading.text(ANN), reading.text(BOB)
    reading.leaves(ANN)
    reading.leaves(BOB)
    reading.database.connection.execute("DELETE FROM rooms")  # Forgotten, and cleared up.
    found = [event for event in reading.read() if event["type"] == "message.sent"]
    expected = [(first, ANN, BOB), (second, BOB, ANN)]
    assert [(event["id"], event["account"], event["peer"]) for event in found] == expected


def test_message_before_a_third_came_is_of_a_direct_chat() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    reading.text(ANN)
    reading.event("m.room.member", ANN, {"membership": "invite"}, state_key=CAT)
    reading.text(ANN)
    reading.leaves(CAT)
    reading.text(ANN)
    found = [event for event in reading.read() if event["type"] == "message.sent"]
    shown = [(event.get("peer"), event.get("recipients")) for event in found]
    assert shown == [(BOB, None), (None, 3), (None, 2)]


def test_message_of_a_sender_deactivated_since_is_read() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.database.put("users", name=ANN, creation_ts=1, deactivated=1)
    reading.start()
    message = reading.text(ANN)
    reading.leaves(ANN)
    found = [event for event in reading.read() if event["type"] == "message.sent"]
    assert [(event["id"], event["peer"]) for event in found] == [(message, BOB)]


def replacing(event_id: str) -> dict[str, Any]:
    relation = {"rel_type": "m.replace", "event_id": event_id}
    return {"msgtype": "m.text", "body": "* hi", "m.relates_to": relation}


def test_edit_is_an_act_unless_those_who_read_it_have_the_message() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    own = reading.text(ANN)
    reading.event("m.room.message", ANN, replacing(own))
    of_another = reading.event("m.room.message", BOB, replacing(own))
    joined = {"membership": "join", "displayname": "Ann"}
    reading.event("m.room.member", ANN, joined, state_key=ANN)
    reading.event("m.room.message", ANN, replacing(own))
    reading.event("m.room.member", CAT, {"membership": "join"}, state_key=CAT)
    to_somebody_new = reading.event("m.room.message", ANN, replacing(own))
    found = [event["id"] for event in reading.read() if event["type"] == "message.sent"]
    assert found == [own, of_another, to_somebody_new]


def test_what_carries_nothing_is_not_reported_and_all_else_is() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    emoji = {"rel_type": "m.annotation", "event_id": "$0", "key": "👍"}
    reading.event("m.room.power_levels", ANN, {"users": {}}, state_key="")
    reading.event("m.reaction", ANN, {"m.relates_to": emoji})
    reading.event("m.call.candidates", ANN, {"call_id": "c", "candidates": []})
    acts = [
        reading.event("m.reaction", ANN, {"m.relates_to": emoji | {"key": "buy coins"}}),
        reading.event("m.room.topic", ANN, {"topic": "buy coins"}, state_key=""),
        reading.event("m.room.member", ANN, {"body": "no state, so no membership"}),
        reading.event("org.example.unheard_of", ANN, {}),
        reading.event("m.call.hangup", ANN, {"call_id": "c", "body": "buy coins"}),
    ]
    found = reading.read()
    assert [event["id"] for event in found] == acts
    assert {event["peer"] for event in found} == {BOB}


def test_noted_creation_makes_a_group_of_the_room() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN)
    reading.start()
    reading.database.put("wavebreak_creations", creator=ANN, ts=NOW)
    reading.event("m.room.create", ANN, {}, state_key="")
    reading.event("m.room.member", ANN, {"membership": "invite"}, state_key=BOB)
    found = reading.read()
    assert types(found) == ["group.created", "contact.requested", "group.member_added"]
    assert found[1]["peer"] == found[2]["peer"] == BOB


@pytest.mark.parametrize("known", [False, True])
def test_group_invitation_of_a_stranger_is_a_request_and_its_acceptance(known: bool) -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, CAT, "@dan:hs.test")
    if known:
        reading.database.put(
            "account_data",
            user_id=BOB,
            account_data_type="m.direct",
            content=json.dumps({ANN: [1]}),
        )
    reading.start()
    reading.event("m.room.member", ANN, {"membership": "invite"}, state_key=BOB)
    reading.event("m.room.member", BOB, {"membership": "join"}, state_key=BOB)
    found = [(event["type"], event["account"], event.get("peer")) for event in reading.read()]
    beside = [("contact.requested", ANN, BOB), ("contact.accepted", BOB, ANN)]
    listed = [("group.member_added", ANN, BOB), ("group.joined", BOB, None)]
    pairs = [each for pair in zip(beside, listed, strict=True) for each in pair]
    assert found == (listed if known else pairs)


def test_contacts_are_direct_chats_and_small_private_rooms() -> None:
    for known, expected in ((None, False), ("direct", True), ("small", True), ("large", False)):
        reading = Reading()
        reading.database.room(ROOM, ANN, BOB)
        if known == "direct":
            content = json.dumps({ANN: [ROOM]})
            reading.database.put(
                "account_data", user_id=BOB, account_data_type="m.direct", content=content
            )
        elif known:
            members = 4 if known == "small" else 400
            reading.database.put(
                "room_stats_current", room_id="!o", joined_members=members, invited_members=0
            )
            reading.database.put(
                "users_who_share_private_rooms", user_id=BOB, other_user_id=ANN, room_id="!o"
            )
        reading.start()
        reading.text(ANN)
        assert [event["in_contacts"] for event in reading.read()] == [expected], known


def test_read_receipts_are_of_direct_chats_alone() -> None:
    for people, expected in (((ANN, BOB), ["message.sent", "message.read"]),
                             ((ANN, BOB, CAT), ["message.sent"])):  # fmt: skip
        reading = Reading()
        reading.feed.start(reading.database.cursor(), Bounds(0, 0), NOW)
        reading.database.room(ROOM, *people)
        message = reading.text(ANN)
        reading.database.put(
            "receipts_linearized", stream_id=5, room_id=ROOM, receipt_type="m.read", user_id=BOB,
            event_id=message, data=json.dumps({"ts": NOW + 9}),
        )  # fmt: skip
        assert types(reading.read()) == expected


def test_reports_come_without_their_reason() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    message = reading.text(ANN)
    reading.database.put(
        "event_reports", id=3, received_ts=NOW + 5, room_id=ROOM, event_id=message,
        user_id=BOB, reason="CANARY",
    )  # fmt: skip
    reading.database.put(
        "user_reports", id=4, received_ts=NOW + 6, target_user_id=ANN, user_id=CAT, reason="CANARY"
    )
    found = reading.read()
    assert types(found) == ["message.sent", "user.reported", "user.reported"]
    assert [event.get("message") for event in found[1:]] == [message, None]
    assert "CANARY" not in json.dumps(found)


def test_report_of_a_room_is_one_of_who_answers_for_it() -> None:
    reading = Reading()
    reading.database.room("!chat:hs.test", ANN, BOB)
    reading.database.room("!group:hs.test", ANN, BOB, CAT)
    reading.database.room("!invited:hs.test", ANN, BOB, CAT)
    reading.start()
    reading.database.put(
        "room_memberships", event_id="$i", user_id=BOB, sender=CAT, room_id="!invited:hs.test",
        membership="invite", event_stream_ordering=0,
    )  # fmt: skip
    for id, room in enumerate(("!chat:hs.test", "!group:hs.test", "!invited:hs.test"), 1):
        reading.database.put(
            "room_reports", id=id, received_ts=NOW + id, room_id=room, user_id=BOB, reason="CANARY"
        )
    found = reading.read()
    assert [(e["id"], e["account"], e["peer"]) for e in found] == [
        ("room_reports:1:hs.test", BOB, ANN), ("room_reports:3:hs.test", BOB, CAT),
    ]  # fmt: skip
    assert "CANARY" not in json.dumps(found)


def test_later_version_begins_to_read_reports_of_rooms() -> None:
    reading = Reading()
    reading.start()
    cursor = reading.database.cursor()
    cursor.execute("DELETE FROM wavebreak_positions WHERE name = 'room_reports'")
    for id, ts in ((1, 1), (2, NOW - 1_000)):
        reading.database.put("room_reports", id=id, received_ts=ts, room_id=ROOM, user_id=BOB)
    again = Feed(settings_of(history_days=1), "hs.test")
    again.start(cursor, Bounds(0, 0), NOW)
    assert tables.read_positions(cursor)["room_reports"] == "1"


def test_exempt_senders_are_not_reported() -> None:
    reading = Reading()
    reading.database.room(ROOM, ANN, BOB)
    reading.database.put("users", name=ANN, creation_ts=1, admin=1)
    reading.start()
    reading.text(ANN)
    reading.text("@n:hs.test")
    reading.text(BOB)
    assert [event["account"] for event in reading.read()] == [BOB]


def test_lists_changed_while_away_are_reported_at_the_start() -> None:
    reading = Reading()
    reading.database.put("ignored_users", ignorer_user_id=ANN, ignored_user_id=BOB)
    reading.start()
    assert reading.read() == []
    reading.database.connection.execute("DELETE FROM ignored_users")
    reading.database.put("ignored_users", ignorer_user_id=ANN, ignored_user_id=CAT)
    reading.feed = reading.new_feed()
    reading.start()
    found = sorted((event["type"], event["peer"]) for event in reading.read())
    assert found == [("user.blocked", CAT), ("user.unblocked", BOB)]


def test_outbox_keeps_what_was_not_delivered() -> None:
    reading = Reading()
    reading.start()
    event = {"id": "x", "ts": NOW, "type": "account.deleted", "account": ANN}
    reading.database.put("wavebreak_outbox", id="x", ts=NOW, ready=1, body=json.dumps(event))
    batch = reading.feed.read(reading.database.cursor(), reading.bounds, NOW)
    assert batch.outbox == ["x"]
    assert reading.read() == [event]
    assert reading.read() == []


def test_merge_holds_later_sources_back_while_one_has_more() -> None:
    early = Source("events", [Row(1, "1", {"id": "a"}), Row(3, "2", {"id": "b"})], more=True)
    late = Source("users", [Row(9, "9", {"id": "c"})], end="done")
    batch = merge([early, late])
    assert [event["id"] for event in batch.events] == ["a", "b"]
    assert batch.positions == {"events": "2"}
    assert batch.more


def call(reading: Reading, kind: str, sender: str, ts: int, call_id: str = "c1") -> None:
    offer = {"offer": {"sdp": "m=audio 9"}} if kind == "invite" else {}
    reading.event(f"m.call.{kind}", sender, {"call_id": call_id} | offer, ts=NOW + ts)


def ends(events: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Return who called whom, and how long they spoke."""
    return [(event["account"], event["peer"], event["seconds"]) for event in events
            if event["type"] == "call.ended"]  # fmt: skip


def calling(*steps: tuple[str, str, int], **settings: Any) -> list[dict[str, Any]]:
    reading = Reading(**settings)
    reading.database.room(ROOM, ANN, BOB)
    reading.start()
    for step in steps:
        call(reading, *step)
    return reading.read()


@pytest.mark.parametrize("by", [ANN, BOB])
def test_end_of_a_call_is_its_callers_whoever_hangs_up(by: str) -> None:
    found = calling(("invite", ANN, 0), ("answer", BOB, 5_000), ("hangup", by, 67_999))
    assert types(found) == ["call.started", "call.ended"]
    assert ends(found) == [(ANN, BOB, 62)]


@pytest.mark.parametrize(("how", "by"), [("reject", BOB), ("hangup", ANN), ("hangup", BOB)])
def test_call_that_nobody_took_has_no_seconds(how: str, by: str) -> None:
    assert ends(calling(("invite", ANN, 0), (how, by, 30_000))) == [(ANN, BOB, 0)]
    own = calling(("invite", ANN, 0), ("answer", ANN, 1_000), (how, by, 30_000))
    assert ends(own) == [(ANN, BOB, 0)]


def test_second_end_of_a_call_has_the_id_of_the_first() -> None:
    found = calling(("invite", ANN, 0), ("hangup", ANN, 9), ("hangup", BOB, 10))
    assert len({event["id"] for event in found if event["type"] == "call.ended"}) == 1


def test_call_whose_beginning_nobody_saw_has_no_end() -> None:
    assert calling(("answer", BOB, 0), ("hangup", ANN, 10)) == []


def test_calls_of_an_exempt_account_are_not_reported_but_its_answers_count() -> None:
    exempt = {"exempt": {"users": [BOB]}}
    answered = (("invite", ANN, 0), ("answer", BOB, 0), ("hangup", BOB, 90_000))
    assert ends(calling(*answered, **exempt)) == [(ANN, BOB, 90)]
    assert calling(("invite", BOB, 0), ("answer", ANN, 0), ("hangup", ANN, 9), **exempt) == []


MEMBER = {"application": "m.call", "call_id": "", "device_id": "D"}


def by_rtc(*steps: tuple[str, str, Any, int], people: tuple[str, ...] = (ANN, BOB)) -> Any:
    """Read calls by MatrixRTC: who rings, joins (`in`), leaves (`out`) or declines, and when."""
    reading = Reading()
    reading.database.room(ROOM, *people)
    reading.start()
    for kind, sender, content, ts in steps:
        state = sender if kind == "org.matrix.msc3401.call.member" else None
        reading.event(kind, sender, content, ts=NOW + ts, state_key=state)
    return reading.read()


RING, JOIN = "m.rtc.notification", "org.matrix.msc3401.call.member"


def test_call_by_rtc_ends_for_its_caller_once_somebody_leaves() -> None:
    found = by_rtc(
        (JOIN, ANN, MEMBER, 0), (RING, ANN, {"notification_type": "ring"}, 100),
        (JOIN, BOB, MEMBER, 5_000), (JOIN, ANN, {}, 67_000),
    )  # fmt: skip
    assert types(found) == ["call.started", "call.ended"]
    assert ends(found) == [(ANN, BOB, 62)]


@pytest.mark.parametrize(
    ("kind", "by", "content"),
    [
        (JOIN, ANN, {}),
        (JOIN, ANN, {"memberships": []}),
        ("m.rtc.decline", BOB, {"m.relates_to": {"rel_type": "m.reference", "event_id": "$1"}}),
    ],
)
def test_call_by_rtc_that_nobody_took_has_no_seconds(kind: str, by: str, content: Any) -> None:
    ring = (RING, ANN, {"notification_type": "ring"}, 0)
    assert ends(by_rtc(ring, (kind, by, content, 30_000))) == [(ANN, BOB, 0)]


def test_ring_in_a_group_is_a_message_to_it() -> None:
    found = by_rtc((RING, ANN, {"notification_type": "ring"}, 0), people=(ANN, BOB, CAT))
    assert [(event["type"], event["group"]) for event in found] == [("message.sent", ROOM)]


def everyone(**more: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": "hi", "m.mentions": {"room": True}} | more


def public_room(reading: Reading, members: int = 20) -> None:
    reading.database.room(ROOM, *(f"@m{n}:hs.test" for n in range(members)), public=True)
    reading.start()


def joined_s(reading: Reading, content: Any, **more: Any) -> list[Any]:
    reading.event("m.room.message", ANN, content, **more)
    sent = [event for event in reading.read() if event["type"] == "message.sent"]
    return [event.get("joined_s") for event in sent]


def test_mass_mention_tells_for_how_long_its_sender_is_there() -> None:
    reading = Reading()
    public_room(reading)
    reading.event("m.room.member", ANN, {"membership": "join"}, state_key=ANN, ts=NOW)
    assert joined_s(reading, everyone(), ts=NOW + 60_000) == [60]
    assert joined_s(reading, {"msgtype": "m.text", "body": "hi"}, ts=NOW + 61_000) == [None]
    # A new name is no new arrival; who comes back after leaving has just come.
    renamed = {"membership": "join", "displayname": "x"}
    reading.event("m.room.member", ANN, renamed, state_key=ANN, ts=NOW + 62_000)
    assert joined_s(reading, everyone(), ts=NOW + 65_000) == [65]
    reading.leaves(ANN)
    reading.event("m.room.member", ANN, {"membership": "join"}, state_key=ANN, ts=NOW + 80_000)
    assert joined_s(reading, everyone(), ts=NOW + 90_000) == [10]


def test_own_edit_that_mentions_many_is_a_message() -> None:
    reading = Reading()
    public_room(reading)
    reading.event("m.room.member", ANN, {"membership": "join"}, state_key=ANN, ts=NOW)
    own = reading.text(ANN, ts=NOW + 1)
    relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": own}}
    assert joined_s(reading, {"msgtype": "m.text", "body": "* hi"} | relation) == [None]
    assert joined_s(reading, everyone(**relation), ts=NOW + 9_000) == [9]


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ({"users": {ANN: 50}}, None),
        ({"users": {ANN: 50}, "users_default": 50}, 9),
        ({"users": {BOB: 50}}, 9),
        ({"users": "odd", "users_default": "odd"}, 9),
    ],
)
def test_who_has_a_say_in_the_room_is_not_new_there(levels: Any, told: int | None) -> None:
    reading = Reading()
    public_room(reading)
    reading.event("m.room.member", ANN, {"membership": "join"}, state_key=ANN, ts=NOW)
    event_id = reading.event("m.room.power_levels", BOB, levels, state_key="")
    reading.database.put(
        "current_state_events", room_id=ROOM, type="m.room.power_levels", state_key="",
        event_id=event_id,
    )  # fmt: skip
    assert joined_s(reading, everyone(), ts=NOW + 9_000) == [told]


def test_who_made_the_room_is_not_new_there() -> None:
    reading = Reading()
    public_room(reading)
    reading.database.connection.execute("UPDATE rooms SET creator = ?", (ANN,))
    reading.event("m.room.member", ANN, {"membership": "join"}, state_key=ANN, ts=NOW)
    assert joined_s(reading, everyone(), ts=NOW + 9_000) == [None]
