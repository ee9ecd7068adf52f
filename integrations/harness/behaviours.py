"""What a fresh account reaches by each behaviour, and whom it hurts, with a real service.

    PYTHONPATH=tests:. .venv/bin/python -m integrations.harness.behaviours [prosody] [ejabberd]
    PYTHONPATH=tests:. .venv/bin/python -m integrations.harness.behaviours --only wave ejabberd

Each row has a service with `--enforce` and a server of its own, so that no row knows of another.
All people are online: what arrives at a client counts, and so does a request that asks whether the
sender is known, apart. Meanwhile people who get to know each other chat.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import platform
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ejabberd import Ejabberd
from .federation_cases import HERE, THERE
from .prosody import HOST, ROOMS, Prosody
from .tls import certify
from .wavebreak import Wavebreak, wavebreak
from .xmpp import Account, RefusedError, registered

SERVERS: dict[str, Callable[..., Any]] = {"prosody": Prosody, "ejabberd": Ejabberd}
TIMEOUT = {"prosody": "10", "ejabberd": "10000"}
"""So long a wait for an answer that this machine's speed decides nothing."""
STRANGERS, GAP_S = 40, 0.5
WAVE, EACH = 15, 7
PEOPLE = ["club"] + [
    f"{name}{number}"
    for name, count in {"person": 8, "stranger": WAVE * EACH, "contact": 50, "member": 60}.items()
    for number in range(count)
]
MUC = "http://jabber.org/protocol/muc"
HALL, OWN = f"hall@{ROOMS}", f"own@{ROOMS}"

_MESSAGE = "<message to='{bare}' type='chat'>%s</message>"
_RTP = "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"
_EMPTY_OMEMO = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"
BEHAVIOURS = {
    "message": _MESSAGE % "<body>hello {n}</body>",
    "one text for all": _MESSAGE % "<body>one text for all</body>",
    "marked as a room's": _MESSAGE % f"<body>hello {{n}}</body><x xmlns='{MUC}#user'/>",
    "with empty OMEMO": _MESSAGE % f"<body>hello {{n}}</body>{_EMPTY_OMEMO}",
    "empty first body": _MESSAGE % "<body/><body xml:lang='de'>hello {n}</body>",
    "subject alone": "<message to='{bare}'><subject>hello {n}</subject></message>",
    "XHTML alone": _MESSAGE % (
        "<html xmlns='http://jabber.org/protocol/xhtml-im'>"
        "<body xmlns='http://www.w3.org/1999/xhtml'><p>hello {n}</p></body></html>"
    ),
    "unknown element": _MESSAGE % "<note xmlns='urn:example:note'>hello {n}</note>",
    "call for attention": _MESSAGE % "<attention xmlns='urn:xmpp:attention:0'/>",
    "call (propose)": _MESSAGE % (
        f"<propose xmlns='urn:xmpp:jingle-message:0' id='c{{n}}'>{_RTP}</propose>"
    ),
    "call (session)": (
        "<iq to='{full}' type='set' id='q{n}'><jingle xmlns='urn:xmpp:jingle:1' sid='s{n}' "
        "action='session-initiate'><content creator='initiator' name='a'>"
        f"{_RTP}</content></jingle></iq>"
    ),
    "presence with a status": "<presence to='{full}'><status>hello {n}</status></presence>",
    "contact request": (
        "<presence to='{bare}' type='subscribe'><status>hello {n}</status></presence>"
    ),
    "invitation by a room": (
        f"<message to='{OWN}'><x xmlns='{MUC}#user'><invite to='{{bare}}'/></x></message>"
    ),
    "invitation, direct": (
        f"<message to='{{bare}}'><x xmlns='jabber:x:conference' jid='{OWN}'/></message>"
    ),
    "private, in a room": (
        f"<message to='{HALL}/{{user}}' type='chat'><body>hello {{n}}</body>"
        f"<x xmlns='{MUC}#user'/></message>"
    ),
}  # fmt: skip
"""What a fresh account sends to each stranger."""


@dataclass
class Seen:
    """Who sent what to one account, by bare JID and by the address in a room."""

    shown: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


def watch(account: Account) -> Seen:
    """Return what arrives at an account, as it comes."""
    seen = Seen()

    def keep(stanza: Any) -> Any:
        xml = stanza.xml
        sender, kind = xml.get("from", ""), xml.get("type")
        name = xml.tag.rpartition("}")[2]
        if name == "presence" and kind == "subscribe":
            seen.asked.add(sender.partition("/")[0])
        elif name in ("message", "presence", "iq") and kind not in ("result", "error"):
            seen.shown.update({sender, sender.partition("/")[0]})
        return stanza

    account.add_filter("in", keep)
    return seen


@dataclass
class Row:
    """One row: how many were reached at once, how many got a request, of how many; and honest."""

    server: str
    behaviour: str
    tried: int = 0
    reached: int = 0
    asked: int = 0
    state: str = ""
    honest: int = 0
    refused: int = 0
    limited: int = 0
    more: str = ""

    def line(self) -> str:
        """Return it as a line of the table."""
        of = f"{self.reached} of {self.tried}" if self.tried else "–"
        hurt = f"{self.refused} acts refused, {self.limited} of {self.honest} people limited"
        cells = (self.server, self.behaviour, of, self.asked or "–", self.state or "–", hurt)
        return "| " + " | ".join(map(str, (*cells, self.more))) + " |"


HEADER = (
    "| server | behaviour | reached | asked as a request | then | honest people | more |\n"
    "|---|---|---|---|---|---|---|"
)


def settle(server: Any) -> None:
    """Let people have registered before the module came: Wavebreak knows nothing of when."""
    server.home.mkdir(parents=True, exist_ok=True)
    server.module = False
    server.start()
    server.add_users(PEOPLE)
    server.stop()
    server.module = True


@contextlib.contextmanager
def scene(name: str) -> Iterator[tuple[Wavebreak, Any]]:
    """Run a service and a server beside it for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as home, wavebreak(Path(home) / "wavebreak") as service:
        more = {"timeout": TIMEOUT[name]}
        key = service.adapter_key("xmpp")
        server = SERVERS[name](Path(home) / name, service.url, key=key, more=more)
        settle(server)
        try:
            yield service, server.start()
        finally:
            server.stop()


async def _online(server: Any, names: list[str], host: str = HOST) -> list[Account]:
    return [
        await Account(f"{name}@{host}", server.port, register=False, resource="r").online()
        for name in names
    ]


async def _leave(*accounts: Account) -> None:
    for one in accounts:
        await one.offline()


async def _join(room: str, one: Account) -> None:
    one.send_xml(f"<presence to='{room}/{one.boundjid.user}'><x xmlns='{MUC}'/></presence>")
    await one.settled()


async def _acquaintance(one: Account, other: Account, rounds: int) -> None:
    """Two people who get to know each other."""
    for number in range(rounds):
        got = len(other.got)
        one.say(other.boundjid.bare, "x" * (9 + 7 * number))
        with contextlib.suppress(AssertionError):
            await other.expect(lambda got=got, other=other: len(other.got) > got, 30)
        await asyncio.sleep(0.4 + 0.3 * (number % 3))
        one, other = other, one


def _count(row: Row, service: Wavebreak, honest: list[Account]) -> None:
    names = [one.boundjid.bare for one in honest]
    row.honest, row.refused = len(honest), sum(len(one.errors) for one in honest)
    row.limited = len(service.above_observe(names))


async def alone(row: Row, service: Wavebreak, server: Any) -> None:
    """Have one fresh account reach strangers, none of whom reacts, while honest people chat."""
    template = BEHAVIOURS[row.behaviour]
    people = [f"person{n}" for n in range(8)]
    names = [f"stranger{n}" for n in range(STRANGERS)]
    honest, strangers = await _online(server, people), await _online(server, names)
    if HALL in template:
        for one in (*honest[:1], *strangers):
            await _join(HALL, one)
    fresh = await registered(f"fresh@{HOST}", server.port)
    for room in (HALL, OWN):
        if room in template:
            await _join(room, fresh)
    seen = [watch(one) for one in strangers]
    talk = [asyncio.create_task(_acquaintance(honest[n], honest[n + 1], 8)) for n in range(0, 8, 2)]
    for number, one in enumerate(strangers):
        jid = one.boundjid
        fresh.send_xml(template.format(n=number, bare=jid.bare, full=jid.full, user=jid.user))
        await asyncio.sleep(GAP_S)
    await asyncio.gather(*talk)
    for one in (fresh, *strangers):
        await one.settled()
    me = fresh.boundjid.bare
    by = (
        f"{HALL}/fresh"
        if HALL in template
        else OWN
        if template.startswith(f"<message to='{OWN}")
        else me
    )
    row.tried = STRANGERS
    row.reached = sum(by in one.shown for one in seen)
    row.asked = sum(me in one.asked and by not in one.shown for one in seen)
    row.state = service.outcome(me)
    _count(row, service, honest)
    await _leave(fresh, *strangers, *honest)


async def _complains(one: Account, about: str) -> None:
    await one.iq(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{about}'><report "
        "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>"
    )


async def _wave(server: Any, *, complain: bool) -> tuple[int, int, list[str]]:
    """Have fresh accounts reach seven strangers each; return whom they reached and asked."""
    names = [f"stranger{n}" for n in range(WAVE * EACH)]
    strangers = await _online(server, names)
    seen = [watch(one) for one in strangers]
    fresh = []
    for number in range(WAVE):
        with contextlib.suppress(RefusedError, TimeoutError):
            fresh.append(await Account(f"wave{number}@{HOST}", server.port).online())
    for turn in range(EACH):
        for number, one in enumerate(fresh):
            at = number * EACH + turn
            one.say(strangers[at].boundjid.bare, f"hello {at}")
            await _heard(one, seen[at])
            me = one.boundjid.bare
            if complain and at % 2 and me in seen[at].shown | seen[at].asked:
                await _complains(strangers[at], me)
            await asyncio.sleep(GAP_S / 2)
    for one in strangers:
        await one.settled()
    mine = {one.boundjid.bare for one in fresh}
    reached = sum(bool(mine & one.shown) for one in seen)
    asked = sum(bool(mine & one.asked) and not mine & one.shown for one in seen)
    await _leave(*fresh, *strangers)
    return reached, asked, sorted(mine)


async def wave(row: Row, service: Wavebreak, server: Any) -> None:
    """Fifteen fresh accounts, seven strangers each; then newcomers who know each other come."""
    complain = "complain" in row.behaviour
    row.tried = WAVE * EACH
    row.reached, row.asked, mine = await _wave(server, complain=complain)
    row.more = f"{len(mine)} of {WAVE} accounts registered"
    row.state = f"{len(service.above_observe(mine))} accounts limited" if mine else ""
    await newcomers(row, service, server)


async def newcomers(row: Row, service: Wavebreak, server: Any) -> None:
    """Twelve pairs who register together and write to each other at once."""
    people = []
    for number in range(24):
        people.append(await registered(f"new{number}@{HOST}", server.port))
    await asyncio.gather(
        *(_acquaintance(people[n], people[n + 1], 4) for n in range(0, len(people), 2))
    )
    _count(row, service, people)
    await _leave(*people)


async def admin(row: Row, service: Wavebreak, server: Any) -> None:
    """Fourteen newcomers write to a new admin, who answers."""
    people = [await registered(f"admin@{HOST}", server.port)]
    for number in range(14):
        people.append(await registered(f"new{number}@{HOST}", server.port))
    for one in people[1:]:
        await _acquaintance(one, people[0], 3)
    _count(row, service, people)
    await _leave(*people)


async def moved(row: Row, service: Wavebreak, server: Any) -> None:
    """Somebody who moved here writes to fifty contacts, who answer."""
    names = [f"contact{n}" for n in range(50)]
    contacts = await _online(server, names)
    mover = await registered(f"mover@{HOST}", server.port)
    for one in contacts:
        await _acquaintance(mover, one, 2)
    _count(row, service, [mover, *contacts])
    await _leave(mover, *contacts)


async def _group(row: Row, service: Wavebreak, server: Any, by: Account, size: int) -> None:
    names = [f"member{n}" for n in range(size)]
    members = await _online(server, names)
    await _join(OWN, by)
    for one in members:
        by.send_xml(
            f"<message to='{OWN}'><x xmlns='{MUC}#user'><invite to='{one.boundjid.bare}'/></x>"
            "</message>"
        )
        await by.settled()
        await _join(OWN, one)
        await asyncio.sleep(GAP_S)
    _count(row, service, [by, *members])
    await _leave(by, *members)


async def teacher(row: Row, service: Wavebreak, server: Any) -> None:
    """A new account invites a class of twenty-five to its room; all come."""
    await _group(row, service, server, await registered(f"teacher@{HOST}", server.port), 25)


async def club(row: Row, service: Wavebreak, server: Any) -> None:
    """An account that has long been here invites sixty to its room; all come."""
    [by] = await _online(server, ["club"])
    await _group(row, service, server, by, 60)


async def _heard(by: Account, seen: Seen) -> None:
    """Wait until what somebody has sent has come, or is refused; a while where it is neither."""
    refused, me = len(by.errors), by.boundjid.bare
    with contextlib.suppress(AssertionError):
        await by.expect(lambda: me in seen.shown | seen.asked or len(by.errors) > refused, 10)


async def _from_afar(row: Row, here: Any, there: Prosody) -> list[str]:
    names = [f"stranger{n}" for n in range(STRANGERS)]
    strangers = await _online(here, names, HERE)
    seen = [watch(one) for one in strangers]
    fresh = await Account(f"fresh@{THERE}", there.port).online()
    me, after, complaints = fresh.boundjid.bare, 0, 0
    for number, one in enumerate(strangers):
        fresh.say(one.boundjid.bare, f"hello {number}")
        await _heard(fresh, seen[number])
        came = me in seen[number].shown | seen[number].asked
        after += came and complaints >= 2
        if came and number % 2:
            await _complains(one, me)
            complaints += 1
        await asyncio.sleep(GAP_S)
    row.tried = STRANGERS
    row.reached = sum(me in one.shown for one in seen)
    row.asked = sum(me in one.asked and me not in one.shown for one in seen)
    row.more = f"{after} after the second of {complaints} complaints"
    honest = [one.boundjid.bare for one in strangers]
    await _leave(fresh, *strangers)
    return honest


def from_afar(row: Row) -> None:
    """An account of another server, of whom every second one that it reaches complains."""
    with tempfile.TemporaryDirectory() as at, wavebreak(Path(at) / "wavebreak") as service:
        home = Path(at)
        places = {HERE: home / "here", THERE: home / "there"}
        authority = certify({host: place / "certs" for host, place in places.items()}, home)
        there = Prosody(places[THERE], "", host=THERE, authority=authority, module=False)
        more: dict[str, Any] = {
            "host": HERE,
            "authority": authority,
            "key": service.adapter_key("xmpp"),
            "more": {"timeout": TIMEOUT[row.server]},
        }
        here: Any
        if row.server == "prosody":
            here = Prosody(places[HERE], service.url, others={THERE: there.s2s_port}, **more)
        else:
            here = Ejabberd(places[HERE], service.url, other_port=there.s2s_port, **more)
        there.others = {HERE: here.s2s_port}
        settle(here)
        with contextlib.ExitStack() as stack:
            for server in (here, there):
                server.start()
                stack.callback(server.stop)
            honest = asyncio.run(_from_afar(row, here, there))
            row.state = service.outcome(f"fresh@{THERE}")
            row.honest, row.limited = len(honest), len(service.above_observe(honest))


Run = Callable[[Row, Wavebreak, Any], Awaitable[None]]
SCENES: dict[str, Run] = {
    **dict.fromkeys(BEHAVIOURS, alone),
    "wave": wave,
    "wave, every second one complains": wave,
    "honest: 12 pairs who register together": newcomers,
    "honest: 14 newcomers write to a new admin": admin,
    "honest: 50 contacts of somebody who moved": moved,
    "honest: a new teacher's class of 25": teacher,
    "honest: an old account's group of 60": club,
}
AFAR = "from another server, complaints"


def measured(server: str, behaviour: str) -> Row:
    """Return one row of the table."""
    row = Row(server, behaviour)
    if behaviour == AFAR:
        from_afar(row)
        return row
    with scene(server) as (service, at):
        asyncio.run(_bounded(SCENES[behaviour](row, service, at)))
    return row


async def _bounded(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, 900)


def main() -> None:
    """Print the table of what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("servers", nargs="*", default=["prosody", "ejabberd"])
    parser.add_argument("--only", action="append", help="rows whose name has this in it")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{platform.machine()}, Python {platform.python_version()}, a gap of {GAP_S:g} s")
    print(HEADER, flush=True)
    for server in asked.servers:
        for behaviour in (*SCENES, AFAR):
            if not asked.only or any(part in behaviour for part in asked.only):
                print(measured(server, behaviour).line(), flush=True)


if __name__ == "__main__":
    main()
