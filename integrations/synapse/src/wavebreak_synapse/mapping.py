"""Matrix events as Wavebreak events: metadata only, as pure functions.

Nothing here reads a text to keep it. Of a message's content only the length, the kind of medium and
the number of people mentioned leave this module; names, topics, reasons, file names and addresses
are never looked up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wavebreak_synapse.acts import RINGS, is_act

MAX_ID_BYTES = 255
WITHDRAWN = "org.wavebreak.withdrawn"
"""A member of an event by which this server withdraws an invitation: no answer of its invitee."""
MASS_MENTION = 10
"""Of a message that mentions so many people or more, it is told for how long its sender has been in
the room: as Wavebreak counts them."""
NEW_IN_ROOM_S = 86_400
"""For less, it is new there."""
SMALL_ROOM = 10
"""A private room of at most so many members makes its members each other's contacts."""

_MEDIA = {
    "m.text": "none",
    "m.notice": "none",
    "m.emote": "none",
    "m.image": "image",
    "m.video": "video",
    "m.audio": "audio",
    "m.file": "document",
}
# What Wavebreak refuses in an id: control characters, blanks, parts `.` and `..`, and what looks
# like a URL or an e-mail address.
_UNSAFE = re.compile(
    r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff]"
    r"|://|(?:^|/)\.\.?(?:/|$)|[^@]@[^@]*\.|^\+"
)
_CLIENT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}/[A-Za-z0-9][A-Za-z0-9_.+-]{0,40}")

Event = dict[str, Any]

FIELDS: dict[str, tuple[str, ...]] = {
    "account.registered": ("ip", "client"),
    "account.deleted": (),
    "session.started": ("ip", "client", "linked"),
    "message.sent": (
        "peer",
        "group",
        "recipients",
        "in_contacts",
        "size",
        "media",
        "origin",
        "mentions",
        "joined_s",
    ),
    "message.read": ("peer", "message", "origin"),
    "call.started": ("peer", "media", "in_contacts", "origin"),
    "call.ended": ("peer", "seconds", "origin"),
    "contact.looked_up": ("count",),
    "contact.requested": ("peer", "via", "origin", "attempted"),
    "contact.accepted": ("peer", "origin"),
    "contact.refused": ("peer", "origin"),
    "group.created": ("group", "origin"),
    "group.member_added": ("group", "peer", "origin"),
    "group.joined": ("group", "origin"),
    "group.left": ("group", "peer", "origin"),
    "user.reported": ("peer", "reason", "message"),
    "user.blocked": ("peer",),
    "user.unblocked": ("peer",),
}
"""What is sent of each type, beside id, time, type and account. The service is told of exactly
these, and no other leaves this server: a field that is sent and not declared is not judged."""
ALWAYS = ("id", "ts", "type", "account")

_ONLY_WITH = {
    "contacts": ("message.sent.in_contacts", "call.started.in_contacts"),
    "receipts": ("message.read",),
    "reports": ("user.reported",),
    "searches": ("contact.looked_up",),
    "remote": tuple(f"{kind}.origin" for kind, fields in FIELDS.items() if "origin" in fields),
    # An authentication service makes accounts and sessions, and shows nobody's address.
    "own_logins": ("account.registered.ip", "account.registered.client", "session.started"),
}
"""What a setting of this name switches on: types, with their fields, or single fields."""


@dataclass(frozen=True)
class Pdu:
    """A Matrix event, as a table's row or a callback's argument shows it.

    Attributes:
        event_id: Its id.
        type: Its type.
        sender: Who sent it.
        room_id: Its room.
        ts: When this server received it, in milliseconds.
        content: Its content; only lengths and kinds are read.
        state_key: Of a state event, else None.
        out_of_band: Whether it is a membership in a room that this server is not in.
    """

    event_id: str
    type: str
    sender: str
    room_id: str
    ts: int
    content: Mapping[str, Any]
    state_key: str | None = None
    out_of_band: bool = False


@dataclass(frozen=True)
class Room:
    """What is known of a room.

    Attributes:
        room_id: Its id.
        people: Up to four accounts that have joined or are invited.
        members: How many have joined or are invited, where more than `people` is known.
        group: Whether it is public, was made for several, or ever had a third member.
        creator: Who made it, where known.
    """

    room_id: str
    people: tuple[str, ...] = ()
    members: int = 0
    group: bool = False
    creator: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether it counts as a group."""
        return self.group or len(self.people) > 2

    def counterpart(self, account: str) -> str | None:
        """Return the other one of a direct chat; None where nobody else is there."""
        return next((each for each in self.people if each != account), None)


@dataclass(frozen=True)
class Membership:
    """A former membership of an account in a room: which, and who sent it."""

    membership: str
    sender: str
    out_of_band: bool = False


def opaque_id(value: str) -> str:
    """Return an id as Wavebreak accepts it: as it is, or its hash.

    >>> opaque_id("@ann:example.org")
    '@ann:example.org'
    >>> opaque_id("@ann@mail.example:example.org")[:15]
    'sha256:d32f3b7c'
    """
    if len(value.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES and not _UNSAFE.search(value):
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def domain_of(account: str) -> str:
    """Return the domain of an account's server, in lower case and without a port.

    >>> domain_of("@ann:Example.org:8448")
    'example.org'
    """
    server = account.partition(":")[2].lower()
    return re.sub(r":\d+$", "", server)


def client_of(user_agent: str | None) -> str | None:
    """Return name and version of a client from its user agent.

    >>> client_of("Element/1.11.2 (Linux; Android 14)")
    'Element/1.11.2'
    """
    found = _CLIENT.match(user_agent or "")
    return found[0] if found else None


def carried(switched_on: Mapping[str, bool]) -> list[str]:
    """Return the types and fields that are sent, as the service is told of them.

    Args:
        switched_on: For names of `_ONLY_WITH`, whether they are on; one that is not there is on.

    >>> [name for name in carried({"receipts": False}) if name.startswith("message.")][:2]
    ['message.sent', 'message.sent.peer']
    """
    off = {
        name
        for setting, names in _ONLY_WITH.items()
        if not switched_on.get(setting, True)
        for name in names
    }
    found = []
    for kind, fields in FIELDS.items():
        if kind not in off:
            found += [kind, *(f"{kind}.{field}" for field in fields)]
    return [name for name in found if name not in off]


def sent(event: Event) -> Event:
    """Return an event as it leaves this server: with the fields that are declared, and no other.

    >>> sent({"id": "$1", "type": "user.blocked", "account": "@a:b", "peer": "@c:d", "body": "x"})
    {'id': '$1', 'type': 'user.blocked', 'account': '@a:b', 'peer': '@c:d'}
    """
    declared = (*ALWAYS, *FIELDS.get(event["type"], ()))
    return {name: value for name, value in event.items() if name in declared}


def acting(account: str, server_name: str) -> Event:
    """Return the fields that name who acts: the account, and its server where that is another."""
    fields: Event = {"account": opaque_id(account)}
    if account.partition(":")[2] != server_name:
        fields["origin"] = domain_of(account)
    return fields


def size_of(content: Any) -> int:
    """Return the bytes of a message: of its ciphertext, else of its text, else of its content."""
    for field in ("ciphertext", "body"):
        text = content.get(field)
        if isinstance(text, str):
            break
    else:
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, default=dict)
    return len(text.encode("utf-8", "surrogatepass"))


def media_of(event_type: str, content: Any) -> str | None:
    """Return the kind of medium; None where encryption hides it."""
    if event_type == "m.room.encrypted":
        return None
    if event_type == "m.sticker":
        return "sticker"
    kind = content.get("msgtype")
    return _MEDIA.get(kind, "other") if isinstance(kind, str) else "other"


def mentions_of(content: Any, members: int) -> int:
    """Return how many people a message mentions; everyone: the others of its room.

    >>> mentions_of({"m.mentions": {"user_ids": ["@a:b", "@c:b"]}}, 5)
    2
    >>> mentions_of({"m.mentions": {"room": True}}, 5), mentions_of({"body": "hello @room"}, 5)
    (4, 4)
    """
    others = max(members - 1, 0)
    named = content.get("m.mentions")
    if not isinstance(named, Mapping):
        # Clients of before that field look for the word.
        body = content.get("body")
        return others if isinstance(body, str) and "@room" in body else 0
    if named.get("room") is True:
        return others
    people = named.get("user_ids")
    if not isinstance(people, list | tuple):
        return 0
    return min(len({each for each in people if isinstance(each, str)}), others)


def names_many(pdu: Pdu) -> bool:
    """Return whether a message mentions so many people, were they all in its room: an edit too."""
    return mentions_of(pdu.content, SMALL_ROOM + MASS_MENTION) >= MASS_MENTION


def mentions_many(pdu: Pdu, room: Room) -> bool:
    """Return whether a message mentions so many people of a group that it is told of."""
    return room.is_group and _mentions(pdu, room) >= MASS_MENTION


def _members(room: Room) -> int:
    return max(room.members, len(room.people))


def _mentions(pdu: Pdu, room: Room) -> int:
    return 0 if pdu.type == "m.room.encrypted" else mentions_of(pdu.content, _members(room))


def message_event(
    pdu: Pdu,
    room: Room,
    server_name: str,
    in_contacts: bool | None = None,
    joined_s: int | None = None,
) -> Event | None:
    """Return an act in a room: as `call.started` what rings in a direct chat, else `message.sent`.

    None for what is no act, or reaches nobody.

    Args:
        pdu: The Matrix event; no edit of its sender's own message.
        room: Its room.
        server_name: This server.
        in_contacts: Whether the counterpart has the sender among its contacts, where known.
        joined_s: For how long the sender has been in a group, where it has no say there.
    """
    if not is_act(pdu.type, pdu.content, pdu.state_key):
        return None
    peer = None if room.is_group else room.counterpart(pdu.sender)
    if room.is_group:
        if room.people and set(room.people) <= {pdu.sender}:
            return None
    elif peer is None:
        return None
    if peer is not None and pdu.type in RINGS:
        event = _event(pdu, "call.started", server_name) | {"peer": opaque_id(peer)}
        media = _picture_of(pdu.content)
    else:
        event = _event(pdu, "message.sent", server_name)
        if peer is None:
            event |= _group_fields(pdu, room, joined_s)
        else:
            event["peer"] = opaque_id(peer)
        event["size"] = size_of(pdu.content)
        media = media_of(pdu.type, pdu.content)
    if peer is not None and in_contacts is not None:
        event["in_contacts"] = in_contacts
    if media is not None:
        event["media"] = media
    return event


def _group_fields(pdu: Pdu, room: Room, joined_s: int | None) -> Event:
    """Return the fields of a message to a group: which, how many it reaches and mentions."""
    fields: Event = {"group": opaque_id(room.room_id), "recipients": _members(room)}
    if mentions := _mentions(pdu, room):
        fields["mentions"] = mentions
    return fields if joined_s is None else fields | {"joined_s": joined_s}


def _picture_of(content: Mapping[str, Any]) -> str | None:
    """Return whether a call is one by sound alone or with a picture, where it says so."""
    intent = content.get("m.call.intent")
    if intent in ("audio", "video"):
        return str(intent)
    offer = content.get("offer")
    description = offer.get("sdp") if isinstance(offer, Mapping) else None
    if not isinstance(description, str):
        return None
    return "video" if re.search(r"^m=video ", description, re.MULTILINE) else "audio"


@dataclass(frozen=True)
class Call:
    """A call that has begun.

    Attributes:
        started: Its `call.started`.
        caller: Who called.
        answered_ts: When it was taken; None: not yet.
    """

    started: Event
    caller: str
    answered_ts: int | None = None

    def ended(self, ts: int) -> Event:
        """Return its end. The id is that of the call: one that both end counts once."""
        names = ("account", "origin", "peer")
        event: Event = {name: self.started[name] for name in names if name in self.started}
        spoken = 0 if self.answered_ts is None else max(ts - self.answered_ts, 0) // 1000
        name = hashlib.sha256(self.started["id"].encode("utf-8", "surrogatepass")).hexdigest()
        event |= {"id": f"call-ended:{name[:40]}", "ts": ts, "type": "call.ended"}
        return event | {"seconds": spoken}


def invitation_event(
    event_id: str, ts: int | None, inviter: str, invitee: str, room: Room, server_name: str
) -> Event:
    """Return an invitation: into a direct chat a request, else the addition to a group."""
    event: Event = {"id": opaque_id(event_id), "type": "contact.requested"}
    if ts is not None:
        event["ts"] = ts
    event |= acting(inviter, server_name)
    event["peer"] = opaque_id(invitee)
    if room.is_group or not set(room.people) <= {inviter, invitee}:
        event["type"] = "group.member_added"
        event["group"] = opaque_id(room.room_id)
    else:
        event["via"] = "invite"
    return event


def attempted_event(id: str, ts: int, inviter: str, invitee: str, server_name: str) -> Event:
    """Return an invitation that its invitee takes from nobody, or that is dropped: it was tried."""
    asked = invitation_event(id, ts, inviter, invitee, Room(""), server_name)
    return asked | {"attempted": True}


def membership_event(
    pdu: Pdu, room: Room, former: Membership | None, server_name: str
) -> Event | None:
    """Return a change of membership; None for a renamed member, a removal or a ban.

    An invitation or a knock that is repeated shows its recipients another reason, and counts too.

    Args:
        pdu: The event of type `m.room.member`.
        room: Its room, as it is after the event.
        former: The account's membership before, where it had one.
        server_name: This server.
    """
    person = pdu.state_key
    membership = pdu.content.get("membership")
    before = former.membership if former else "leave"
    if person is None or (membership == "leave" and WITHDRAWN in pdu.content):
        return None
    if membership == "knock":
        return knock_event(pdu.event_id, pdu.ts, pdu.sender, room, server_name)
    if before == "knock" and person != pdu.sender:
        return _knock_answered(pdu, person, accepted=membership == "invite", server=server_name)
    if membership == "invite":
        seen = Room(room.room_id) if pdu.out_of_band else room
        return invitation_event(pdu.event_id, pdu.ts, pdu.sender, person, seen, server_name)
    if membership == before or person != pdu.sender or membership not in ("join", "leave"):
        return None
    inviter = former.sender if former and before == "invite" else None
    # A remote invitation was a request, whatever the room turns out to be: its answer is one too.
    direct = not room.is_group or (former is not None and former.out_of_band)
    if membership == "join":
        if former is None and person == room.creator:
            return None
        return _joined(pdu, room, inviter if direct else None, server_name)
    if before == "knock":
        return None
    return _left(pdu, room, inviter, direct, server_name)


def first_contact(event: Event, kind: str = "contact.requested") -> Event:
    """Return what an invitation into a group is to a stranger, beside it: a request, as in a chat.

    Args:
        event: Its `group.member_added`; or, of its answer, what has the same id, account and peer.
        kind: `contact.requested`, or `contact.accepted` for the answer.
    """
    names = ("ts", "account", "origin", "peer")
    digest = hashlib.sha256(event["id"].encode("utf-8", "surrogatepass")).hexdigest()[:40]
    request: Event = {"id": f"{kind.partition('.')[2]}:{digest}", "type": kind}
    request |= {name: event[name] for name in names if name in event}
    return request | ({"via": "invite"} if kind == "contact.requested" else {})


def knock_event(id: str, ts: int | None, account: str, room: Room, server_name: str) -> Event:
    """Return a knock: a request to somebody of the room; of one unknown here, to the room."""
    others = [each for each in room.people if each != account]
    asked = room.creator if room.creator in others else next(iter(others), room.room_id)
    event: Event = {"id": opaque_id(id), "type": "contact.requested"}
    if ts:
        event["ts"] = ts
    return event | acting(account, server_name) | {"peer": opaque_id(asked)}


def _knock_answered(pdu: Pdu, person: str, *, accepted: bool, server: str) -> Event:
    kind = "contact.accepted" if accepted else "contact.refused"
    return _event(pdu, kind, server) | {"peer": opaque_id(person)}


def _joined(pdu: Pdu, room: Room, requester: str | None, server_name: str) -> Event | None:
    if requester is not None:
        return _event(pdu, "contact.accepted", server_name) | {"peer": opaque_id(requester)}
    if not room.is_group:
        return None  # Somebody who comes back to a direct chat.
    return _event(pdu, "group.joined", server_name) | {"group": opaque_id(room.room_id)}


def _left(
    pdu: Pdu, room: Room, inviter: str | None, direct: bool, server_name: str
) -> Event | None:
    if direct:
        if inviter is None:
            return None
        return _event(pdu, "contact.refused", server_name) | {"peer": opaque_id(inviter)}
    event = _event(pdu, "group.left", server_name) | {"group": opaque_id(room.room_id)}
    if inviter is not None:
        event["peer"] = opaque_id(inviter)
    return event


def group_created_event(pdu: Pdu, server_name: str) -> Event:
    """Return the creation of a group."""
    return _event(pdu, "group.created", server_name) | {"group": opaque_id(pdu.room_id)}


def read_event(
    stream_id: int, ts: int, reader: str, sender: str, event_id: str, server_name: str
) -> Event:
    """Return a read receipt."""
    name = opaque_id(f"receipts:{server_name}:{stream_id}")
    event: Event = {"id": name, "ts": ts, "type": "message.read"}
    event |= acting(reader, server_name)
    return event | {"peer": opaque_id(sender), "message": opaque_id(event_id)}


def report_event(
    row: str, ts: int, reporter: str, reported: str, event_id: str | None, server_name: str
) -> Event:
    """Return a report; `row` names its table and its number there.

    Its reason is a free text, and stays here.
    """
    event: Event = {"id": opaque_id(f"{row}:{server_name}"), "ts": ts, "type": "user.reported"}
    event |= acting(reporter, server_name)
    event |= {"peer": opaque_id(reported), "reason": "other"}
    if event_id is not None:
        event["message"] = opaque_id(event_id)
    return event


def block_event(id: str, ts: int, owner: str, ignored: str, blocked: bool) -> Event:
    """Return that an account ignores another one, or does so no more."""
    kind = "user.blocked" if blocked else "user.unblocked"
    return {
        "id": id,
        "ts": ts,
        "type": kind,
        "account": opaque_id(owner),
        "peer": opaque_id(ignored),
    }


def _event(pdu: Pdu, kind: str, server_name: str) -> Event:
    event: Event = {"id": opaque_id(pdu.event_id), "type": kind}
    if pdu.ts:
        event["ts"] = pdu.ts
    return event | acting(pdu.sender, server_name)
