"""What a callback of synapse-http-antispam says, as events of ours.

The callbacks show less than our module for Synapse does: no answer but the acceptance of an
invitation, no reports, no blocks and no registrations. Of an event only its metadata is read; its
content is dropped with the request. Who invited whom is remembered for a while, so that a room of
two people is a chat and the acceptance of its invitation an answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from wavebreak.schema import identifiers

MAX_ROOMS: Final = 100_000
"""Rooms whose two people are remembered; the oldest are forgotten."""
REPEATED_MS: Final = 600_000
"""A callback without an id that is repeated within this time is the same act."""
Callback = Literal[
    "user_may_join_room", "accept_make_join", "user_may_invite", "user_may_send_3pid_invite",
    "user_may_create_room", "user_may_create_room_alias", "user_may_publish_room",
    "check_username_for_spam", "check_login_for_spam", "check_event_for_spam",
    "federated_user_may_invite", "ping",
]  # fmt: skip
"""Callbacks that the module has (v0.5.0)."""


class RoomEvent(Struct, frozen=True):
    """Metadata of an event of a room; its content is not read."""

    type: str = ""
    sender: str = ""
    room_id: str = ""
    event_id: str = ""
    state_key: str | None = None


class Call(Struct, frozen=True, kw_only=True):
    """What the module sends with a callback; what is not named here is dropped."""

    id: str = ""
    user: str = ""
    user_id: str = ""
    inviter: str = ""
    invitee: str = ""
    room: str = ""
    room_id: str = ""
    is_invited: bool = False
    request_info: list[list[str | None]] = []
    event: RoomEvent | None = None


class Asked(NamedTuple):
    """An event to ask about.

    `refusable`: whether an answer is waited for; else it is recorded and passes. `happens`: whether
    it is recorded when it may proceed.
    """

    event: dict[str, Any]
    refusable: bool = True
    happens: bool = True


class Rooms:
    """Rooms of which two people are known: who invited, and whom; "" for a room with more."""

    def __init__(self) -> None:
        self._people: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def invite(self, room: str, inviter: str, invitee: str) -> bool:
        """Note an invitation; whether it is the only one, so that the room is a chat."""
        known = self._people.get(room, (inviter, invitee))
        alone = known in ((inviter, invitee), (invitee, inviter))
        self._people[room] = known if alone else ("", "")
        self._people.move_to_end(room)
        if len(self._people) > MAX_ROOMS:
            self._people.popitem(last=False)
        return alone

    def other(self, room: str, person: str) -> str:
        """Return the other person of a chat; "" where it is none, or not known."""
        one, other = self._people.get(room, ("", ""))
        return {one: other, other: one}.get(person, "")


def opaque_id(value: str) -> str:
    """Return an id as the log takes it: as it is, or its hash.

    >>> opaque_id("@ann:example.org"), opaque_id("@a@b.example:c.org")[:15]
    ('@ann:example.org', 'sha256:edace1ce')
    """
    if len(value.encode()) <= 255 and identifiers.fault("account", value, allow=False) is None:
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()


def event_of(
    callback: Callback, call: Call, server: str, rooms: Rooms, now_ms: int
) -> Asked | None:
    """Return what a callback asks about; None where nothing is to ask or record.

    Args:
        callback: The callback.
        call: What it says.
        server: The homeserver's name.
        rooms: Rooms whose people are known.
        now_ms: The service's clock.
    """
    made = _Maker(server, now_ms)
    seen = call.event or RoomEvent()
    match callback:
        case "user_may_invite":
            return _invitation(made, rooms, call.room_id, call.inviter, call.invitee)
        case "federated_user_may_invite":
            return _invitation(made, rooms, seen.room_id, seen.sender, seen.state_key or "")
        case "user_may_send_3pid_invite":
            # An address is personal, and its hash too: each counts as a stranger of its own.
            peer = f"3pid:{secrets.token_hex(16)}"
            return made.asked("contact.requested", call.inviter, {"peer": peer, "via": "invite"})
        case "check_event_for_spam":
            return _sent(made, rooms, seen)
        case "user_may_join_room":
            return _joined(made, rooms, call)
        case "accept_make_join":
            joined = made.asked("group.joined", call.user, {"group": opaque_id(call.room)})
            return joined and joined._replace(refusable=False)
        case "user_may_create_room" | "user_may_create_room_alias" | "user_may_publish_room":
            # The room has no id yet, or is there already: it is asked about alone.
            asked = made.asked("group.created", call.user_id, {"group": "asked"})
            return asked and asked._replace(happens=False)
        case "check_login_for_spam":
            return _login(made, call)
    return None


class _Maker:
    """Makes events of a homeserver at a time."""

    def __init__(self, server: str, now_ms: int) -> None:
        self._server, self._now_ms = server.lower(), now_ms

    def asked(self, kind: str, account: str, fields: dict[str, str], id: str = "") -> Asked | None:
        """Return an event by an account; None where the callback names nobody."""
        if not account or not all(fields.values()):
            return None
        event = {"type": kind, "ts": self._now_ms, "account": opaque_id(account)} | fields
        domain = account.partition(":")[2].lower()
        if domain and domain != self._server:
            event["origin"] = domain
        named = "\n".join([kind, account, *fields.values(), str(self._now_ms // REPEATED_MS)])
        digest = hashlib.sha256(named.encode()).hexdigest()[:40]
        return Asked(event | {"id": opaque_id(id) if id else f"antispam:{digest}"})


def _invitation(made: _Maker, rooms: Rooms, room: str, inviter: str, invitee: str) -> Asked | None:
    if not (room and inviter and invitee):
        return None
    alone, peer = rooms.invite(room, inviter, invitee), opaque_id(invitee)
    if alone:
        return made.asked("contact.requested", inviter, {"peer": peer, "via": "invite"})
    return made.asked("group.member_added", inviter, {"group": opaque_id(room), "peer": peer})


def _sent(made: _Maker, rooms: Rooms, seen: RoomEvent) -> Asked | None:
    if seen.state_key is not None or seen.type == "m.room.redaction" or not seen.room_id:
        return None
    other = rooms.other(seen.room_id, seen.sender)
    to = {"peer": opaque_id(other)} if other else {"group": opaque_id(seen.room_id)}
    return made.asked("message.sent", seen.sender, to, seen.event_id)


def _joined(made: _Maker, rooms: Rooms, call: Call) -> Asked | None:
    other = rooms.other(call.room, call.user)
    if call.is_invited and other:
        answer = made.asked("contact.accepted", call.user, {"peer": opaque_id(other)})
    else:
        answer = made.asked("group.joined", call.user, {"group": opaque_id(call.room)})
    return answer and answer._replace(refusable=False)


def _login(made: _Maker, call: Call) -> Asked | None:
    login = made.asked("session.started", call.user_id, {})
    addresses = [info[1] for info in call.request_info if len(info) > 1 and info[1]]
    if login is not None and addresses:
        login.event["ip"] = addresses[-1]
    return login and login._replace(refusable=False)
