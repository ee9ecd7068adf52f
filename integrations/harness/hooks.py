"""One conversation that touches every hook of an XMPP server, and the events that it must give.

Each text that people write is a canary.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .xmpp import Account, registered

CANARIES = (
    "CANARYbody", "CANARYsubject", "CANARYnick", "CANARYname", "CANARYgroup", "CANARYreason",
    "CANARYreport", "CANARYres", "CANARYstatus", "CANARYroomname",
)  # fmt: skip

MUC = "http://jabber.org/protocol/muc"


async def quiet() -> None:
    """Let the server come to rest, so that the events have one order."""
    await asyncio.sleep(0.15)


async def converse(port: int, host: str, rooms: str) -> None:
    """Play the conversation of two accounts and a third."""
    ann = await registered(f"ann@{host}", port, resource="CANARYres")
    ben = await registered(f"ben@{host}", port, resource="CANARYres")
    cid = await registered(f"cid@{host}", port, resource="CANARYres")
    await _messages(ann, ben, host)
    await _contacts(ann, ben, cid)
    await _room(ann, ben, f"r@{rooms}")
    await _feedback(ann, ben, cid)
    for one in (ann, ben, cid):
        await one.offline()


async def _messages(ann: Account, ben: Account, host: str) -> None:
    """A first message with typing, its receipts, an answer, a message to nobody."""
    a, b = ann.boundjid.bare, ben.boundjid.bare
    chatstate = "http://jabber.org/protocol/chatstates"
    for _ in range(2):
        ann.send_xml(f"<message to='{b}' type='chat'><composing xmlns='{chatstate}'/></message>")
    await quiet()
    sent = ann.say(b, "CANARYbody")
    await ben.expect(lambda: len([m for m in ben.got if m["body"]]) == 1)
    ben.send_xml(
        f"<message to='{ann.boundjid.full}' type='chat' id='r1'>"
        f"<received xmlns='urn:xmpp:receipts' id='{sent}'/></message>"
    )
    ben.send_xml(
        f"<message to='{ann.boundjid.full}' type='chat' id='r2'>"
        f"<displayed xmlns='urn:xmpp:chat-markers:0' id='{sent}'/></message>"
    )
    await quiet()
    ben.say(a, "CANARYbody")
    await ann.expect(lambda: any(m["body"] for m in ann.got))
    ann.send_xml(f"<message to='{b}' type='chat'><subject>CANARYsubject</subject></message>")
    ann.say(f"nobody@{host}", "CANARYbody")
    await quiet()


async def _contacts(ann: Account, ben: Account, cid: Account) -> None:
    """Roster, requests, acceptance and refusal."""
    a, b, c = (one.boundjid.bare for one in (ann, ben, cid))
    item = f"<item jid='{b}' name='CANARYname'><group>CANARYgroup</group></item>"
    await ann.iq(f"<query xmlns='jabber:iq:roster'>{item}</query>")
    ann.send_xml(f"<presence to='{b}' type='subscribe'><status>CANARYstatus</status></presence>")
    await ben.expect(lambda: len(ben.presences) == 1)
    ben.send_xml(f"<presence to='{a}' type='subscribed'/>")
    await ann.expect(lambda: len(ann.presences) == 1)
    ann.send_xml(f"<presence to='{c}' type='subscribe'/>")
    await cid.expect(lambda: len(cid.presences) == 1)
    cid.send_xml(f"<presence to='{a}' type='unsubscribed'/>")
    await quiet()
    # Contacts of each other now.
    ben.say(a, "CANARYbody")
    await quiet()


async def _room(ann: Account, ben: Account, room: str) -> None:
    """A room: created, invited to, joined, spoken in, left; logging out leaves no room."""
    b = ben.boundjid.bare
    ann.send_xml(f"<presence to='{room}/CANARYnick'><x xmlns='{MUC}'/></presence>")
    await quiet()
    ann.send_xml(
        f"<message to='{room}'><x xmlns='{MUC}#user'><invite to='{b}'>"
        "<reason>CANARYreason</reason></invite></x></message>"
    )
    await quiet()
    ben.send_xml(f"<presence to='{room}/CANARYnick2'><x xmlns='{MUC}'/></presence>")
    await quiet()
    ann.say(room, "CANARYbody", type="groupchat")
    await quiet()
    ann.send_xml(
        f"<message to='{room}' type='groupchat'><subject>CANARYroomname</subject></message>"
    )
    await quiet()
    ben.send_xml(f"<presence to='{room}/CANARYnick2' type='unavailable'/>")
    await quiet()


async def _feedback(ann: Account, ben: Account, cid: Account) -> None:
    """A report with a block, an unblock."""
    b, c = ben.boundjid.bare, cid.boundjid.bare
    await ben.iq(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{c}'><report xmlns='urn:xmpp:reporting:1' "
        "reason='urn:xmpp:reporting:spam'><text>CANARYreport</text></report></item></block>"
    )
    await ben.iq(f"<unblock xmlns='urn:xmpp:blocking'><item jid='{c}'/></unblock>")
    await ann.iq(f"<query xmlns='jabber:iq:roster'><item jid='{b}' subscription='remove'/></query>")
    await quiet()


def expected(host: str, rooms: str) -> list[dict[str, Any]]:
    """Return the events of the conversation, without ids and times."""
    a, b, c, room = f"ann@{host}", f"ben@{host}", f"cid@{host}", f"r@{rooms}"
    here = {"ip": "127.0.0.1"}
    told: list[dict[str, Any]] = [
        *({"type": kind, "account": one} | here for one in (a, b, c)
          for kind in ("account.registered", "session.started")),
        {"type": "typing.started", "account": a, "peer": b},
        {"type": "message.sent", "account": a, "peer": b, "size": 10, "media": "none",
         "in_contacts": False},
        {"type": "message.delivered", "account": b, "peer": a, "message": "#7"},
        {"type": "message.read", "account": b, "peer": a, "message": "#7"},
        {"type": "message.sent", "account": b, "peer": a, "size": 10, "media": "none",
         "in_contacts": False},
        {"type": "message.sent", "account": a, "peer": b, "size": 13, "media": "none",
         "in_contacts": False},
        {"type": "message.sent", "account": a, "peer": f"nobody@{host}", "size": 10,
         "media": "none", "in_contacts": False},
        {"type": "message.undeliverable", "account": a, "peer": f"nobody@{host}",
         "reason": "not_registered"},
        {"type": "contact.added", "account": a, "peer": b},
        {"type": "contact.requested", "account": a, "peer": b},
        {"type": "contact.accepted", "account": b, "peer": a},
        {"type": "contact.requested", "account": a, "peer": c},
        {"type": "contact.refused", "account": c, "peer": a},
        {"type": "message.sent", "account": b, "peer": a, "size": 10, "media": "none",
         "in_contacts": True},
        {"type": "group.created", "account": a, "group": room},
        {"type": "group.member_added", "account": a, "group": room, "peer": b},
        {"type": "group.joined", "account": b, "group": room},
        {"type": "contact.accepted", "account": b, "peer": a},
        {"type": "message.sent", "account": a, "group": room, "size": 10, "media": "none",
         "recipients": 2},
        {"type": "message.sent", "account": a, "group": room, "size": 14, "media": "none",
         "recipients": 2},
        {"type": "group.left", "account": b, "group": room},
        {"type": "user.reported", "account": b, "peer": c, "reason": "spam"},
        {"type": "user.blocked", "account": b, "peer": c},
        {"type": "user.unblocked", "account": b, "peer": c},
        {"type": "contact.removed", "account": a, "peer": b},
    ]  # fmt: skip
    return told


def without_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events with the id of a message as its place (`#n`), and neither ids nor times."""
    places = {event["id"]: f"#{place}" for place, event in enumerate(events)}
    shown = []
    for event in events:
        kept = {name: value for name, value in event.items() if name not in ("id", "ts")}
        if "message" in kept:
            kept["message"] = places.get(kept["message"], kept["message"])
        shown.append(kept)
    return shown
