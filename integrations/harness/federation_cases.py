"""Cases of two servers that speak to each other over TLS, one of them beside a stub of Wavebreak.

The other one is a plain Prosody, whatever server has the module.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

import pytest

from . import elements
from .prosody import Prosody
from .stub import Stub, sha256, stubbed
from .tls import certify
from .xmpp import Account

HERE, THERE, ROOMS_THERE = "here.example", "localhost", "127.0.0.1"
"""The other domain and its rooms' are such as the system finds: ejabberd asks it."""
LISTS_THERE, NODE = "127.0.0.2", "muc_bans_sha256"
LISTS = f"""
Component "{LISTS_THERE}" "pubsub"
    modules_enabled = {{ "s2s_to" }}
"""
DESK = f'contact_info = {{ abuse = {{ "xmpp:abuse@{THERE}?message" }} }}'
PUBSUB = "http://jabber.org/protocol/pubsub"
MUC = "http://jabber.org/protocol/muc"
MOST_ROOMS = 500
"""How many rooms of other servers a module keeps of an account."""


async def _two(here: Any, there: Any) -> tuple[Account, Account]:
    ann = await Account(f"ann@{HERE}", here.port).online()
    return ann, await Account(f"stranger@{THERE}", there.port).online()


class Node:
    """The list of the other server: a node of its pubsub service."""

    def __init__(self, server: Prosody) -> None:
        self._server = server

    def _run(self, command: str) -> None:
        answer = self._server.shell(
            f"> local s, n = prosody.hosts['{LISTS_THERE}'].modules.pubsub.service, '{NODE}'; "
            f"local st = require 'util.stanza'; {command}"
        )
        assert "Result: nil" in answer, answer

    def create(self) -> None:
        """Make it, open to everybody, for as many entries as a list has."""
        options = "{ access_model = 'open', persist_items = true, max_items = 256 }"
        self._run(f"assert(s:create(n, true, {options}))")

    def publish(self, *entries: str, delay: bool = False) -> None:
        """Put entries on it."""
        meta = (
            ":tag('meta', { xmlns = 'https://xmppbl.org/meta/v1' }):tag('recommendations')"
            ":tag('block-strangers')"
        )
        listed = ", ".join(f"'{entry}'" for entry in entries)
        self._run(
            f"for _, id in ipairs {{ {listed} }} do assert(s:publish(n, true, id, st.stanza('item',"
            f" {{ xmlns = '{PUBSUB}', id = id }}):tag('report', {{ xmlns = 'urn:xmpp:reporting:1',"
            f" reason = 'urn:xmpp:reporting:spam' }}){meta if delay else ''}:reset())) end"
        )

    def retract(self, entry: str) -> None:
        """Take an entry from it, and say so to who follows."""
        self._run(
            f"assert(s:retract(n, true, '{entry}', st.stanza('retract', {{ id = '{entry}' }})))"
        )

    def purge(self) -> None:
        """Take all entries from it, and say so."""
        self._run("assert(s:purge(n, true, true))")

    def forget_subscriptions(self) -> None:
        """Lose who follows it, as a service that moves does."""
        self._run(
            "for jid in pairs(s.nodes[n].subscribers) do s:remove_subscription(n, true, jid) end"
        )


class FederationCases(ABC):
    """The cases; a server's tests say how it is made."""

    lists: ClassVar[dict[str, str]]
    """The options that follow the other server's list, and publish one of its own."""
    forwarding: ClassVar[str]
    """The option by which reports go to the origin's desk and to another address."""

    @abstractmethod
    def made(self, home: Path, url: str, authority: Path, there: Prosody) -> Any:
        """Make the server with the module, of the domain `HERE`; its certificate is in `certs`."""

    @contextmanager
    def federated(
        self, home: Path, url: str, more: dict[str, str] | None = None
    ) -> Iterator[tuple[Any, Prosody]]:
        """Run the two: the one with the module and its options, and a plain one; certified."""
        homes = {HERE: home / "here", THERE: home / "there"}
        places = homes | {ROOMS_THERE: homes[THERE], LISTS_THERE: homes[THERE]}
        authority = certify({host: place / "certs" for host, place in places.items()}, home)
        there = Prosody(
            homes[THERE], url, host=THERE, rooms_host=ROOMS_THERE, authority=authority,
            module=False, modules=("server_contact_info",), raw=DESK, components=LISTS,
        )  # fmt: skip
        here = self.made(homes[HERE], url, authority, there)
        there.others = {HERE: here.s2s_port}
        here.more = more or {}
        with ExitStack() as stack:
            for server in (there, here):
                server.start()
                stack.callback(server.stop)
            yield here, there

    def test_stranger_of_another_server_has_an_origin(self, tmp_path: Path) -> None:
        async def drive(here: Any, there: Any) -> None:
            ann, stranger = await _two(here, there)
            stranger.say(ann.boundjid.bare)
            await ann.expect(lambda: ann.got)
            stranger.send_xml(f"<presence to='{ann.boundjid.bare}' type='subscribe'/>")
            await ann.expect(lambda: ann.presences)
            ann.say(stranger.boundjid.bare)
            await stranger.expect(lambda: stranger.got)
            for one in (ann, stranger):
                assert one.errors == []
                await one.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url) as (here, there):
            asyncio.run(drive(here, there))
            remote = stub.wait(
                lambda: [e for e in stub.events if e["account"] == f"stranger@{THERE}"][1:]
            )
            own = [event for event in stub.events if event["account"] == f"ann@{HERE}"]
            assert [event["type"] for event in remote] == ["contact.requested"]
            assert {event["origin"] for event in remote} == {THERE}
            assert all("origin" not in event for event in own)
            assert "account.registered" in {event["type"] for event in own}
            # The stranger's first message was asked about; of the other server nothing else is.
            asked = [(e["type"], e.get("origin")) for _, events in stub.asked for e in events]
            assert ("message.sent", THERE) in asked
            assert ("account.registered", THERE) not in asked
            assert "Certificate" not in here.log() or "invalid" not in here.log()

    def test_what_reaches_a_stranger_from_afar_is_an_act(self, tmp_path: Path) -> None:
        senders = [f"sender{n}" for n in range(elements.SIDE)]
        people = [f"person{n}" for n in range(elements.SIDE)]

        async def drive(here: Any, there: Any, stub: Stub) -> None:
            by = await elements.known(senders, THERE, there.port)
            to = await elements.known(people, HERE, here.port)
            by[0].say(to[0].boundjid.bare)
            await to[0].expect(lambda: to[0].got)
            # The servers have found each other; the first pair has its stanza.
            tried = [elements.Stanza("<message TO/>", True), *elements.stanzas()]
            sent = (await elements.send(tried, by, to))[1:]
            stub.wait(lambda: " 0 held" in here.status())
            assert elements.uncounted(sent, stub.events) == ([], [])
            reached = [one for one, _, _, is_there in sent if is_there]
            assert len(reached) > 0.8 * len(tried), "most of them reach the client"
            for one in (*by, *to):
                await one.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url) as (here, there):
            here.add_users(people)
            there.add_users(senders)
            asyncio.run(drive(here, there, stub))

    def test_remote_account_is_refused_and_its_lift_passes(self, tmp_path: Path) -> None:
        jid = f"stranger@{THERE}"

        async def drive(here: Any, there: Any, stub: Stub) -> None:
            ann, stranger = await _two(here, there)
            stub.wait(lambda: stub.streams)
            stub.set_state(jid, "ban")
            stub.wait(lambda: "ban" in here.state(jid))
            stranger.say(ann.boundjid.bare)
            await stranger.expect(lambda: stranger.errors)
            assert stranger.refusals()[0][:2] == ("wait", "policy-violation")
            assert ann.got == []
            stub.set_state(jid, "allow")
            stub.wait(lambda: "ban" not in here.state(jid))
            stranger.say(ann.boundjid.bare)
            await ann.expect(lambda: ann.got)
            assert len(stranger.errors) == 1
            for one in (ann, stranger):
                await one.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url) as (here, there):
            asyncio.run(drive(here, there, stub))
            refused = stub.wait(lambda: [e for e in stub.events if e.get("attempted")])
            assert [(e["account"], e["origin"]) for e in refused] == [(jid, THERE)]

    @pytest.mark.parametrize("consents", ["", "origin", "third", "origin third"])
    def test_report_goes_on_where_its_reporter_lets(self, tmp_path: Path, consents: str) -> None:
        given = "<report-origin/>" * ("origin" in consents)
        given += "<third-party/>" * ("third" in consents)

        async def drive(here: Any, there: Any) -> tuple[list[Any], list[Any]]:
            ann = await Account(f"ann@{HERE}", here.port, register=False).online()
            desk, others = [
                await Account(f"{name}@{THERE}", there.port, register=False).online()
                for name in ("abuse", "reports")
            ]
            await ann.iq(
                f"<block xmlns='urn:xmpp:blocking'><item jid='spam@{THERE}'><report reason="
                f"'urn:xmpp:reporting:spam' xmlns='urn:xmpp:reporting:1'>{given}"
                "<text>CANARYreport</text></report></item></block>"
            )
            if "origin" in consents:
                await desk.expect(lambda: desk.messages)
            if "third" in consents:
                await others.expect(lambda: others.messages)
            await ann.settled()
            await asyncio.sleep(1)
            for one in (ann, desk, others):
                await one.offline()
            return desk.messages, others.messages

        more = {"forward_reports": self.forwarding}
        with stubbed() as stub, self.federated(tmp_path, stub.url, more) as (here, there):
            here.add_users(["ann"])
            there.add_users(["abuse", "reports"])
            desk, others = asyncio.run(drive(here, there))
            assert (len(desk), len(others)) == ("origin" in consents, "third" in consents)
            for message in (*desk, *others):
                assert message.get("from") == HERE
                report = message.find("{urn:xmpp:reporting:1}report")
                assert report.get("reason") == "urn:xmpp:reporting:spam"
                carried = [child.tag.split("}")[1] for child in report]
                assert carried == re.findall(r"<([a-z-]+)/>", given)
                assert message.findtext("{urn:xmpp:jid:0}jid") == f"spam@{THERE}"
                written = ET.tostring(message, "unicode")
                assert "ann" not in written
                assert "CANARY" not in written
            [reported] = stub.wait(lambda: [e for e in stub.events if e["type"] == "user.reported"])
            assert (reported["peer"], reported["reason"]) == (f"spam@{THERE}", "spam")

    def test_list_elsewhere_is_told_and_withdrawn(self, tmp_path: Path) -> None:
        spam, other = f"spam@{THERE}", f"other@{THERE}"

        async def greets(there: Prosody, here: Any, name: str) -> None:
            one = await Account(f"{name}@{THERE}", there.port, register=False).online()
            ann = await Account(f"ann@{HERE}", here.port, register=False).online()
            one.say(ann.boundjid.bare, f"hello by {name}")
            await ann.expect(lambda: ann.got, 60)
            for each in (one, ann):
                await each.offline()

        def told(stub: Stub, kind: str) -> list[dict[str, Any]]:
            return [event for event in stub.listed if event["type"] == f"account.{kind}"]

        with stubbed() as stub, self.federated(tmp_path, stub.url, self.lists) as (here, there):
            here.add_users(["ann"])
            there.add_users(["spam", "other", "third"])
            node = Node(there)
            node.create()
            node.publish(sha256(spam), delay=True)
            stub.wait(lambda: "xmppbl: 1 entries" in here.status(), 90)
            # A hit is told before the first act is asked about, and never a second time that day.
            for _ in range(2):
                asyncio.run(greets(there, here, "spam"))
            [hit] = told(stub, "listed")
            assert (hit["account"], hit["list"], hit["advice"]) == (spam, "xmppbl", "delay")
            assert (hit["entry"], "origin" in hit) == (sha256(spam), False)
            assert re.fullmatch(r"list:[0-9a-f]{40}", hit["id"])
            order = [b"account.listed" in raw for raw in stub.raw
                     if b"account.listed" in raw or b"/v1/decide" in raw]  # fmt: skip
            assert order[0]
            # Retracted: gone within a minute, here at once.
            node.retract(sha256(spam))
            [gone] = stub.wait(lambda: told(stub, "unlisted"), 60)
            assert (gone["account"], gone["entry"]) == (spam, sha256(spam))
            # A domain; then the whole list is purged.
            node.publish(sha256(THERE))
            stub.wait(lambda: "xmppbl: 1 entries" in here.status())
            asyncio.run(greets(there, here, "other"))
            hit = stub.wait(lambda: told(stub, "listed")[1:])[0]
            assert (hit["origin"], hit["advice"], "account" in hit) == (THERE, "refuse", False)
            node.purge()
            assert stub.wait(lambda: told(stub, "unlisted")[1:], 60)[0]["origin"] == THERE
            # It is down while an entry is withdrawn; an entry that names it is wrong.
            node.publish(sha256(other), sha256(HERE))
            stub.wait(lambda: "xmppbl: 1 entries" in here.status())
            asyncio.run(greets(there, here, "other"))
            stub.wait(lambda: len(told(stub, "listed")) == 3)
            here.stop()
            node.retract(sha256(other))
            here.start()
            assert stub.wait(lambda: told(stub, "unlisted")[2:], 90)[0]["account"] == other
            assert "hello" not in str(stub.listed)

    def test_list_that_is_lost_for_a_while_is_read_again(self, tmp_path: Path) -> None:
        spam = f"spam@{THERE}"

        async def greets(there: Prosody, here: Any) -> None:
            one = await Account(spam, there.port, register=False).online()
            ann = await Account(f"ann@{HERE}", here.port, register=False).online()
            one.say(ann.boundjid.bare)
            await ann.expect(lambda: ann.got, 60)
            for each in (one, ann):
                await each.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url, self.lists) as (here, there):
            here.add_users(["ann"])
            there.add_users(["spam"])
            node = Node(there)
            node.create()
            node.publish(sha256(spam), *(sha256(str(n)) for n in range(9)))
            stub.wait(lambda: "xmppbl: 10 entries" in here.status(), 90)
            asyncio.run(greets(there, here))
            stub.wait(lambda: stub.listed)
            # Nobody hears of this retraction; that the connection was lost is seen.
            node.forget_subscriptions()
            node.retract(sha256(spam))
            there.stop()
            there.start()
            assert stub.wait(lambda: stub.listed[1:], 120)[0]["type"] == "account.unlisted"

    def test_convictions_are_published_and_withdrawn(self, tmp_path: Path) -> None:
        async def items(here: Any) -> list[str]:
            ann = await Account(f"ann@{HERE}", here.port, register=False).online()
            query = f"<pubsub xmlns='{PUBSUB}'><items node='{NODE}'/></pubsub>"
            answer = await ann.iq(query, "get", f"pubsub.{HERE}")
            await ann.offline()
            found = answer.xml.iter(f"{{{PUBSUB}}}item")
            assert all(b"block-strangers" in ET.tostring(item) for item in found)
            return [item.get("id") for item in answer.xml.iter(f"{{{PUBSUB}}}item")]

        with stubbed() as stub, self.federated(tmp_path, stub.url, self.lists) as (here, _):
            here.add_users(["ann"])
            stub.convicted = [f"spam@{HERE}", f"other@{HERE}"]
            stub.wait(lambda: b"/v1/lists/convicted" in b"".join(stub.raw))
            published = sorted(map(sha256, stub.convicted))
            stub.wait(lambda: sorted(asyncio.run(items(here))) == published, 60)
            stub.convicted = [f"other@{HERE}"]
            stub.wait(lambda: asyncio.run(items(here)) == [sha256(f"other@{HERE}")], 60)

    def test_flood_of_rooms_elsewhere_pushes_out_no_joined_one(self, tmp_path: Path) -> None:
        room = f"r@{ROOMS_THERE}"

        async def joins(one: Account, address: str) -> None:
            one.send_xml(
                f"<presence to='{address}/n{one.boundjid.user}'><x xmlns='{MUC}'/></presence>"
            )
            await asyncio.sleep(0)

        async def drive(here: Any, there: Any, stub: Stub) -> None:
            ann = await Account(f"ann@{HERE}", here.port, register=False).online()
            mallory = await Account(f"mallory@{HERE}", here.port, register=False).online()
            nobody = await Account(f"nobody@{THERE}", there.port, register=False).online()
            for one in (ann, mallory):
                came = one.wait_for_presence(room)
                await joins(one, room)
                await came
            # This one is an account: it never answers as a room does.
            await joins(mallory, f"nobody@{THERE}")
            await mallory.settled()
            nobody.say(mallory.boundjid.bare, "passed on as by a room")
            await mallory.expect(lambda: mallory.got)
            for number in range(MOST_ROOMS + 100):
                await joins(mallory, f"r{number}@{THERE}")
            await mallory.settled()
            nobody.say(mallory.boundjid.bare, "by itself")
            await mallory.expect(lambda: mallory.got[-1]["body"] == "by itself")
            for one in (ann, mallory):
                one.say(room, "hello", type="groupchat")
            await mallory.expect(lambda: [m for m in mallory.got if m["type"] == "groupchat"][1:])
            for one in (ann, mallory, nobody):
                await one.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url) as (here, there):
            here.add_users(["ann", "mallory"])
            there.add_users(["nobody"])
            asyncio.run(drive(here, there, stub))
            stub.wait(lambda: " 0 held" in here.status())
            sent = [event for event in stub.events if event["type"] == "message.sent"]
            told = [(event["account"], event.get("group"), event.get("size")) for event in sent]
            assert sorted(told, key=str) == [
                (f"ann@{HERE}", room, 5),
                (f"mallory@{HERE}", room, 5),
                (f"nobody@{THERE}", None, len("by itself")),
            ]

    def test_server_without_a_known_certificate_is_not_heard(self, tmp_path: Path) -> None:
        async def drive(here: Any, there: Any) -> None:
            ann, stranger = await _two(here, there)
            stranger.say(ann.boundjid.bare)
            await stranger.expect(lambda: stranger.errors, 60)
            assert ann.got == []
            for one in (ann, stranger):
                await one.offline()

        with stubbed() as stub, self.federated(tmp_path, stub.url) as (here, there):
            # Another authority's, at its next connection.
            certify({THERE: there.home / "certs"}, tmp_path / "there")
            there.stop()
            there.start()
            asyncio.run(drive(here, there))
            assert [e for e in stub.events if e["account"] == f"stranger@{THERE}"] == []
