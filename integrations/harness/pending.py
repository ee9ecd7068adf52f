"""What of an account waits for people to answer it, or to come online."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from . import hooks
from .prosody import HOST, ROOMS
from .stub import Stub
from .xmpp import Account

NAMES = ("ann", "ben", "cid", "dan", "fay", "gil")
KNOWN, STRANGER = "among people who know each other", "to a stranger"


class Pending(NamedTuple):
    """What somebody finds: texts, requests, messages of the archive."""

    texts: list[str]
    requests: int
    archived: int


async def _known(server: Any, name: str) -> Account:
    return await Account(f"{name}@{HOST}", server.port, register=False).online()


async def reach(server: Any, stub: Stub) -> None:
    """Have `ann` reach everybody in a way of its own, and be restricted.

    `ben` gets a request, `cid` one and a message while offline, `dan` has answered and is offline,
    of `fay` a first message waits for an answer, `gil` is invited to a room while offline.
    """
    ann, ben, dan = [await _known(server, name) for name in ("ann", "ben", "dan")]
    stub.decide = lambda events: (
        {"outcome": "request", "deliver_as": "request"}
        if events[0].get("peer") == f"fay@{HOST}"
        else {}
    )
    ann.say(dan.boundjid.bare)
    await dan.expect(lambda: dan.got)
    dan.say(ann.boundjid.bare, "an answer")
    await ann.expect(lambda: ann.got)
    await dan.offline()
    ann.say(dan.boundjid.bare, KNOWN)
    for name in ("cid", "fay"):
        ann.say(f"{name}@{HOST}", STRANGER)
    for name in ("ben", "cid"):
        ann.send_xml(f"<presence to='{name}@{HOST}' type='subscribe'/>")
    ann.send_xml(f"<presence to='r@{ROOMS}/ann'><x xmlns='{hooks.MUC}'/></presence>")
    ann.send_xml(
        f"<message to='r@{ROOMS}'><x xmlns='{hooks.MUC}#user'>"
        f"<invite to='gil@{HOST}'/></x></message>"
    )
    await ben.expect(lambda: ben.presences)
    await ann.settled()
    stub.set_state(f"ann@{HOST}", "restrict")
    await ann.expect(lambda: "restrict" in server.state(f"ann@{HOST}"))
    await asyncio.sleep(0.5)
    for one in (ann, ben):
        await one.offline()


async def found(server: Any) -> dict[str, Pending]:
    """Have everybody else log in, and `fay` accept; return what each finds."""
    there = {}
    for name in NAMES[1:]:
        one = await _known(server, name)
        await one.settled()
        if name == "fay":
            one.send_xml(f"<presence to='ann@{HOST}' type='subscribed'/>")
            await one.settled()
        await asyncio.sleep(0.3)
        texts, requests = [stanza["body"] for stanza in one.got], len(one.presences)
        there[name] = Pending(texts, requests, await one.archived())
        await one.offline()
    return there


async def asks(server: Any) -> int:
    """Return of how many requests of `ann` its own roster still knows."""
    ann = await _known(server, "ann")
    roster = await ann.iq("<query xmlns='jabber:iq:roster'/>", "get")
    await ann.offline()
    return str(roster).count("ask=")
