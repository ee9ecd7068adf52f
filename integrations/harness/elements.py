"""Stanzas of every element that the XMPP modules know, of unknown ones and of combinations.

Each goes from one account to another that has nothing to do with it. What reaches the other's
client and is not harmless has to be an act of its sender.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .xmpp import Account

ELEMENTS = Path(__file__).parents[1] / "xmpp" / "elements.jsonl"
BODY = "<body>TEXT</body>"
STATUS = "<status>TEXT</status>"
MESSAGE_TYPES = ("chat", "normal", "headline", "groupchat", "error")
SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe")
ACTS = {"message.sent", "call.started", "group.member_added", "contact.requested"}
SIDE = 18
"""So many accounts send to so many: each pair has one stanza."""


@dataclass(frozen=True)
class Stanza:
    """One stanza; `TO` stands for its address."""

    xml: str
    harmless: bool
    bare: bool = False

    def to(self, address: str) -> str:
        """Return it with an address."""
        return self.xml.replace("TO", f"to='{address}'", 1)


def rows(stanza: str) -> list[tuple[str, bool]]:
    """Return the elements of a kind of stanza: XML, and whether no client shows it."""
    listed = [json.loads(line) for line in ELEMENTS.read_text("utf-8").splitlines()]
    return [(row["xml"], row["harmless"]) for row in listed if row["stanza"] == stanza]


def _unknown(draw: random.Random) -> str:
    name = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=8))
    return f"<{name} xmlns='urn:example:{draw.randrange(10**6)}'>TEXT</{name}>"


def _message(inner: str, harmless: bool = False, kind: str = "chat", **more: bool) -> Stanza:
    return Stanza(f"<message TO type='{kind}'>{inner}</message>", harmless, **more)


def stanzas(seed: int = 33) -> list[Stanza]:
    """Return what is tried: each element alone, with a body, and some drawn combinations."""
    draw = random.Random(seed)
    found = [_message("", harmless=True), *(_message(_unknown(draw)) for _ in range(5))]
    messages = rows("message")
    for xml, harmless in messages:
        found += [_message(xml, harmless), _message(BODY + xml)]
    for kind in MESSAGE_TYPES:
        found += [_message(BODY, kind=kind), _message(BODY, kind=kind, bare=True)]
    for _ in range(25):
        drawn = draw.sample(messages, 3)
        found.append(_message("".join(x for x, _ in drawn), all(is_so for _, is_so in drawn)))
    for xml, harmless in [*rows("presence"), (_unknown(draw), False)]:
        for kind in ("", " type='unavailable'"):
            found.append(Stanza(f"<presence TO{kind}>{xml}</presence>", harmless))
    found += [Stanza(f"<presence TO type='{kind}'>{STATUS}</presence>", False, bare=True)
              for kind in SUBSCRIPTIONS]  # fmt: skip
    for xml, harmless in [*rows("iq"), (_unknown(draw), False)]:
        for kind in ("get", "set"):
            found.append(Stanza(f"<iq TO id='q' type='{kind}'>{xml}</iq>", harmless))
    return found


def private_stanzas() -> list[Stanza]:
    """Return what is tried between two occupants of a room."""
    mark = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
    empty = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"
    drawn = [(xml, harmless) for xml, harmless in rows("message") if "invite" not in xml][::4]
    return [
        *(_message(BODY + more) for more in ("", mark, empty)),
        *(_message(xml, harmless) for xml, harmless in drawn),
    ]


def watch(account: Account) -> set[str]:
    """Return who sends to an account, as it comes: bare JIDs, and nicknames of rooms."""
    arrived: set[str] = set()

    def keep(stanza: Any) -> Any:
        xml = stanza.xml
        sender = xml.get("from", "")
        is_answer = xml.tag.endswith("}iq") and xml.get("type") in ("result", "error")
        if not is_answer:
            arrived.update({sender, sender.partition("/")[0]})
        return stanza

    account.add_filter("in", keep)
    return arrived


async def known(names: Iterable[str], host: str, port: int) -> list[Account]:
    """Return accounts that are online, each at a resource that strangers do not learn."""
    return [
        await Account(f"{name}@{host}", port, register=False, resource="r").online()
        for name in names
    ]


def pairs(tried: list[Stanza]) -> list[tuple[Stanza, int, int]]:
    """Return each stanza with its sender and recipient, no two of the same pair."""
    assert len(tried) <= SIDE * SIDE
    return [(one, at % SIDE, at // SIDE) for at, one in enumerate(tried)]


async def send(
    tried: list[Stanza], senders: list[Account], recipients: list[Account], room: str = ""
) -> list[tuple[Stanza, str, str, bool]]:
    """Send each stanza, or by a room; return it, sender, recipient and whether it reached."""
    arrived = [watch(one) for one in recipients]
    for stanza, sender, recipient in pairs(tried):
        to = recipients[recipient].boundjid
        address = f"{room}/{to.user}" if room else to.bare if stanza.bare else to.full
        senders[sender].send_xml(stanza.to(address))
    for one in (*senders, *recipients):
        await one.settled()
    # A server takes another one's stanzas one by one.
    count = -1
    while count != (count := sum(map(len, arrived))):
        await asyncio.sleep(1)
    found = []
    for stanza, sender, recipient in pairs(tried):
        by, to = senders[sender].boundjid, recipients[recipient].boundjid
        shown = f"{room}/{by.user}" if room else by.bare
        found.append((stanza, by.bare, to.bare, shown in arrived[recipient]))
    return found


async def join(room: str, occupants: list[Account]) -> None:
    """Let accounts join a room, each by its name."""
    for one in occupants:
        nick = f"{room}/{one.boundjid.user}"
        one.send_xml(
            f"<presence to='{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
        await one.settled()


def uncounted(
    sent: list[tuple[Stanza, str, str, bool]], events: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return what reached a client as no act, and what is an act though it is harmless."""
    acts = {(e["account"], e.get("peer")) for e in events if e["type"] in ACTS}
    missed = [
        one.xml for one, by, to, reached in sent
        if reached and not one.harmless and (by, to) not in acts
    ]  # fmt: skip
    wrong = [one.xml for one, by, to, _ in sent if one.harmless and (by, to) in acts]
    return missed, wrong
