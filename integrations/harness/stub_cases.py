"""What both XMPP servers do beside a stub of Wavebreak: what is sent, what answers do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest

from support.external_servers import free_port

from . import elements, hooks, pending
from .prosody import HOST, ROOMS
from .stub import Stub, stubbed
from .tls import certificate
from .xmpp import Account, RefusedError

STRANGERS = [f"stranger{n}" for n in range(20)]
MASS_MENTION = 10


class Server(Protocol):
    """A server, as the cases use it."""

    port: int

    @property
    def spool(self) -> Path: ...
    def start(self) -> Any: ...
    def kill(self) -> None: ...
    def add_users(self, names: list[str]) -> None: ...
    def log(self) -> str: ...
    def status(self) -> str: ...
    def state(self, jid: str) -> str: ...


GOLDEN = Path(__file__).parents[1] / "xmpp" / "golden.jsonl"
REFUSABLE = (
    "account.registered", "message.sent", "contact.requested", "group.created",
    "group.member_added", "call.started",
)  # fmt: skip


def carried() -> set[str]:
    """Return the types and fields that a module sends: of the golden events, and of refusals."""
    names = {f"{kind}.attempted" for kind in REFUSABLE}
    for line in GOLDEN.read_text("utf-8").splitlines():
        for event in (event for step in json.loads(line)["steps"] for event in step["events"]):
            fields = event.keys() - {"id", "ts", "type", "account"}
            names |= {event["type"], *(f"{event['type']}.{field}" for field in fields)}
    return names


def _sent(stub: Stub) -> list[dict[str, Any]]:
    return [event for event in stub.events if event["type"] == "message.sent"]


async def _chat(server: Server, count: int, during: Any = None) -> tuple[int, int]:
    ann = await Account(f"ann@{HOST}", server.port, register=during is None).online()
    ben = await Account(f"ben@{HOST}", server.port, register=during is None).online()
    for number in range(count):
        ann.say(ben.boundjid.bare, f"n{number}")
        await asyncio.sleep(0.02)
    await ben.expect(lambda: len(ben.got) == count, 20)
    await ann.offline()
    await ben.offline()
    return len(ben.got), len(ann.errors)


def _always(answer: dict[str, Any], _events: Any) -> dict[str, Any]:
    return answer


class StubCases:
    """The cases; a server's tests subclass it."""

    registration_open: ClassVar[dict[str, str]]

    def trusting(self, authority: Path) -> str:
        """Return the configuration that trusts an authority."""
        raise NotImplementedError

    bot_exempt: ClassVar[dict[str, str]]
    nothing_more: ClassVar[dict[str, str]]
    nothing_back: ClassVar[dict[str, str]]
    patient: ClassVar[dict[str, str]]

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        """Run a server for as long as the block lasts."""
        raise NotImplementedError

    def test_conversation_gives_the_listed_events_once(self, tmp_path: Path) -> None:
        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            asyncio.run(hooks.converse(server.port, HOST, ROOMS))
            stub.wait(lambda: server.status().count(" 0 held"))
            assert hooks.without_ids(stub.events) == hooks.expected(HOST, ROOMS)
            assert len({event["id"] for event in stub.events}) == len(stub.events)
            wire = b"\n".join(stub.raw).decode()
            assert "message.sent" in wire
            assert [canary for canary in hooks.CANARIES if canary in wire] == []
            # The questions were about what opens a chat, a request or a group.
            asked = [(mode, event["type"]) for mode, events in stub.asked for event in events]
            assert {mode for mode, _ in asked} == {"attempt"}
            assert [kind for _, kind in asked] == [
                "account.registered", "account.registered", "account.registered", "message.sent",
                "message.sent", "contact.requested", "group.created", "group.member_added",
            ]  # fmt: skip

    @pytest.mark.parametrize("known", [True, False])
    def test_certificate_of_wavebreak_is_verified(self, tmp_path: Path, known: bool) -> None:
        authority, context = certificate(tmp_path)
        trusted = self.trusting(authority) if known else ""
        with (
            stubbed(tls=context) as stub,
            self.serve(tmp_path, stub.url, raw=trusted, more=self.registration_open) as server,
        ):
            assert asyncio.run(_chat(server, 2)) == (2, 0)
            if known:
                stub.wait(lambda: len(_sent(stub)) == 2)
            else:
                time.sleep(1)
                assert stub.raw == []
                assert "0 sent" in server.status()

    def test_source_is_declared_at_start(self, tmp_path: Path) -> None:
        with stubbed() as stub, self.serve(tmp_path, stub.url):
            stub.wait(lambda: stub.sources)
            assert "challenge" not in stub.sources[0]["can"]
            assert stub.sources[0]["carries"] == sorted(carried())

    def test_what_options_switch_off_is_not_declared(self, tmp_path: Path) -> None:
        with stubbed() as stub, self.serve(tmp_path, stub.url, more=self.nothing_more):
            stub.wait(lambda: stub.sources)
            off = ("contact.added", "contact.removed", "message.delivered", "message.read")
            kept = [
                name
                for name in carried()
                if not name.startswith(off) and not name.endswith(".origin")
            ]
            assert stub.sources[0]["carries"] == sorted(kept)

    def test_refused_message_bounces_in_the_stanzas_language(self, tmp_path: Path) -> None:
        async def drive(server: Server, stub: Stub) -> tuple[list[Any], list[Any]]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            stub.decide = lambda events: {
                "allowed": False, "outcome": "restrict", "notify_at_ms": None,
                "notice": {"en": "New chats are off until noon.", "he": "אין שיחות חדשות."},
            }  # fmt: skip
            ann.say(ben.boundjid.bare, lang="en")
            await ann.expect(lambda: len(ann.errors) == 1)
            ann.say(ben.boundjid.bare, lang="he")
            await ann.expect(lambda: len(ann.errors) == 2)
            stub.decide = lambda events: {
                "allowed": False, "outcome": "restrict", "notify_at_ms": 4102444800000,
                "statement_url": "https://abuse.example.org/notice/1",
                "notice": {"en": "New chats are off until noon.", "he": ""},
            }  # fmt: skip
            ann.say(ben.boundjid.bare)
            await ann.expect(lambda: len(ann.errors) == 3)
            await ann.offline()
            await ben.offline()
            return ann.refusals(), ben.got

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            refusals, got = asyncio.run(drive(server, stub))
            refused = ("wait", "policy-violation")
            assert refusals[0] == (*refused, "New chats are off until noon.", "en")
            assert refusals[1] == (*refused, "אין שיחות חדשות.", "he")
            # Before its notice is due, too, but for the link: who is refused has learned of it.
            assert refusals[2] == (*refused, "New chats are off until noon.", "en")
            assert got == []
            # Wavebreak has logged the attempts itself.
            sent = [event for event in stub.events if event["type"] == "message.sent"]
            assert sent == []
            assert len(stub.attempted) == 3

    def test_refusal_without_a_language_is_in_the_streams(self, tmp_path: Path) -> None:
        places = {"en": "You can start 1 more chat.", "he": "אפשר לפתוח עוד צ'אט אחד."}
        kinds = (
            "<message to='{}' type='chat'><body>hello</body></message>",
            "<presence to='{}'><status>hello</status></presence>",
            "<message to='{}'><x xmlns='jabber:x:conference' jid='r@rooms.example.org'/></message>",
            "<presence to='{}' type='subscribe'/>",
        )

        async def drive(server: Server, stub: Stub) -> list[Any]:
            ann = await Account(f"ann@{HOST}", server.port, register=False, lang="he").online()
            stub.decide = lambda events: {"allowed": False, "outcome": "limit", "notice": places}
            for kind in kinds:
                ann.send_xml(kind.format(f"ben@{HOST}"))
            await ann.settled()
            await ann.offline()
            return ann.refusals()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            server.add_users(["ann", "ben"])
            refusals = asyncio.run(drive(server, stub))
            expected = ("wait", "policy-violation", places["he"], "he")
            assert refusals == [expected] * len(kinds)

    @pytest.mark.parametrize("answer", ["accepted", "written to", "declined"])
    def test_first_message_as_a_request_waits_for_the_answer(
        self, tmp_path: Path, answer: str
    ) -> None:
        async def drive(server: Server, stub: Stub) -> tuple[list[str], int]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            stub.decide = lambda events: (
                {"outcome": "request", "deliver_as": "request"}
                if events[0]["account"] == f"ann@{HOST}"
                else {}
            )
            ann.say(ben.boundjid.bare, "first")
            ann.say(ben.boundjid.bare, "second")
            await ann.settled()
            await ben.expect(lambda: ben.presences)
            assert "Do you know this person?" in ben.presences[0]["status"]
            assert (ben.got, ann.errors) == ([], [])
            stub.decide = lambda events: {}
            if answer == "written to":
                ben.say(ann.boundjid.bare, "who is it?")
            else:
                kind = "subscribed" if answer == "accepted" else "unsubscribed"
                ben.send_presence(pto=ann.boundjid.bare, ptype=kind)
            await ben.settled()
            if answer != "declined":
                await ben.expect(lambda: len(ben.got) == 2)
            ann.say(ben.boundjid.bare, "third")
            await ann.settled()
            await ben.expect(lambda: ben.got and ben.got[-1]["body"] == "third")
            await ann.offline()
            await ben.offline()
            return [stanza["body"] for stanza in ben.got], len(ben.presences)

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            bodies, asked = asyncio.run(drive(server, stub))
            assert bodies == (["third"] if answer == "declined" else ["first", "second", "third"])
            assert asked == 1, "the question comes once"
            stub.wait(lambda: len(_sent(stub)) >= 3)
            answers = {event["type"] for event in stub.events} & {
                "contact.accepted", "contact.refused",
            }  # fmt: skip
            expected = {"accepted": {"contact.accepted"}, "declined": {"contact.refused"}}
            assert answers == expected.get(answer, set())

    def test_sender_near_a_limit_is_told_the_places_once(self, tmp_path: Path) -> None:
        async def drive(server: Server, stub: Stub) -> list[str]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            near = {"outcome": "limit", "until": 4_102_444_800_000, "near_limit": True}
            stub.decide = lambda events: (
                near | {"notice": {"en": "You can start 2 more chats.", "he": ""}}
            )
            for name in ("ben", "cat"):
                ann.say(f"{name}@{HOST}")
            await ann.expect(lambda: ann.got)
            await ann.settled()
            await ann.offline()
            await ben.offline()
            return [stanza["body"] for stanza in ann.got]

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            assert asyncio.run(drive(server, stub)) == ["You can start 2 more chats."]

    def test_shadow_mode_refuses_nothing_and_asks(self, tmp_path: Path) -> None:
        async def drive(server: Server) -> list[Any]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            ann.say(ben.boundjid.bare)
            await ben.expect(lambda: ben.got)
            await ann.offline()
            await ben.offline()
            return ben.got

        with stubbed() as stub, self.serve(tmp_path, stub.url, mode="shadow") as server:
            stub.decide = lambda events: {"allowed": False, "outcome": "ban"}
            stub.set_state(f"ann@{HOST}", "ban")
            assert len(asyncio.run(drive(server))) == 1
            stub.wait(lambda: any(event["type"] == "message.sent" for event in stub.events))
            assert {mode for mode, _ in stub.asked} == {"ask"}

    def test_ban_disables_and_lift_enables_at_once(self, tmp_path: Path) -> None:
        async def drive(server: Server, stub: Stub) -> None:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            stub.wait(lambda: stub.streams)
            stub.set_state(f"ann@{HOST}", "ban")
            await ann.expect(lambda: not ann.is_connected())
            with pytest.raises(RefusedError):
                await Account(f"ann@{HOST}", server.port, register=False).online()
            stub.set_state(f"ann@{HOST}", "allow")
            await asyncio.sleep(0.5)
            ann = await Account(f"ann@{HOST}", server.port, register=False).online()
            ann.say(ben.boundjid.bare)
            await ben.expect(lambda: ben.got)
            await ann.offline()
            await ben.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            asyncio.run(drive(server, stub))
            assert "decision" not in server.state(f"ann@{HOST}")

    @pytest.mark.parametrize("taken", [True, False], ids=["taken", "left"])
    def test_verdict_takes_back_what_waits(self, tmp_path: Path, taken: bool) -> None:
        more = {} if taken else self.nothing_back
        with stubbed() as stub, self.serve(tmp_path, stub.url, more=more) as server:
            server.add_users(list(pending.NAMES))
            stub.wait(lambda: stub.streams)
            asyncio.run(pending.reach(server, stub))
            there = asyncio.run(pending.found(server))
            asked = asyncio.run(pending.asks(server))
            assert there["dan"].texts == [pending.KNOWN], "a chat that exists loses nothing"
            left = {name: there[name] for name in ("ben", "cid", "fay", "gil")}
            if taken:
                assert left == dict.fromkeys(left, pending.Pending([], 0, 0))
                assert asked == 0
            else:
                assert [one.requests for one in left.values()][:2] == [1, 1]
                assert left["cid"].texts == left["fay"].texts == [pending.STRANGER]
                assert (len(left["gil"].texts), left["cid"].archived, asked) == (1, 1, 2)

    @pytest.mark.parametrize("by", ["server", "person"])
    def test_who_takes_only_contacts_gets_no_strangers_words(self, tmp_path: Path, by: str) -> None:
        a, b = f"ann@{HOST}", f"ben@{HOST}"
        command = (
            "<command xmlns='http://jabber.org/protocol/commands' node='wavebreak:only-contacts'"
            " action='execute'/>"
        )
        call = "<propose xmlns='urn:xmpp:jingle-message:0' id='c'><description "
        call += "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"

        async def drive(server: Server) -> list[Any]:
            ann = await Account(a, server.port, register=False).online()
            ben = await Account(b, server.port, register=False).online()
            if by == "person":
                answer = await ben.iq(command, to=HOST)
                assert "only your contacts" in str(answer)
            ann.send_xml(f"<presence to='r@{ROOMS}/ann'><x xmlns='{hooks.MUC}'/></presence>")
            ann.say(b)
            ann.send_xml(f"<message to='{b}' type='chat' xml:lang='he'>{call}</message>")
            ann.send_xml(
                f"<message to='r@{ROOMS}'><x xmlns='{hooks.MUC}#user'><invite to='{b}'/></x>"
                "</message>"
            )
            await ann.expect(lambda: len(ann.errors) == 3)
            assert ben.messages == []
            # To ask is the way in.
            ann.send_xml(f"<presence to='{b}' type='subscribe'/>")
            await ben.expect(lambda: ben.presences)
            ben.send_xml(f"<presence to='{a}' type='subscribed'/>")
            await ann.expect(lambda: ann.presences)
            ann.say(b, "as a contact")
            await ben.expect(lambda: ben.got)
            if by == "person":
                assert "everybody can" in str(await ben.iq(command, to=HOST))
            for one in (ann, ben):
                await one.offline()
            return ann.refusals()

        more = {"only_contacts": "true"} if by == "server" else {}
        with stubbed() as stub, self.serve(tmp_path, stub.url, more=more) as server:
            server.add_users(["ann", "ben"])
            refusals = asyncio.run(drive(server))
            assert {refusal[:2] for refusal in refusals} == {("auth", "forbidden")}
            assert [refusal[3] for refusal in refusals].count("he") == 1
            stub.wait(lambda: _sent(stub))
            told = [event for event in stub.events if event.get("peer") == b]
            kinds = [(event["type"], event.get("attempted", False)) for event in told]
            in_vain = ("contact.requested", True)
            assert kinds == [*[in_vain] * 3, ("contact.requested", False), ("message.sent", False)]
            asked = [event["type"] for _, events in stub.asked for event in events]
            assert asked == ["group.created", "contact.requested"]

    def test_lift_while_the_server_was_down_enables(self, tmp_path: Path) -> None:
        async def register(server: Server, register: bool) -> None:
            await (await Account(f"ann@{HOST}", server.port, register=register).online()).offline()

        with stubbed() as stub:
            with self.serve(tmp_path, stub.url) as server:
                asyncio.run(register(server, True))
                stub.wait(lambda: stub.streams)
                stub.set_state(f"ann@{HOST}", "ban")
                stub.wait(lambda: "ban" in server.state(f"ann@{HOST}"))
            stub.set_state(f"ann@{HOST}", "allow")
            with self.serve(tmp_path, stub.url) as server:
                stub.wait(lambda: stub.streams > 1)
                asyncio.run(register(server, False))

    def test_suspended_account_is_refused_without_a_question(self, tmp_path: Path) -> None:
        async def drive(server: Server, stub: Stub) -> list[Any]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            ben.say(ann.boundjid.bare)
            await ann.expect(lambda: ann.got)
            stub.wait(lambda: stub.streams)
            stub.set_state(f"ann@{HOST}", "suspend", until_ms=4_102_444_800_000)
            await asyncio.sleep(0.3)
            stub.asked.clear()
            ann.say(ben.boundjid.bare, lang="he")
            await ann.expect(lambda: ann.errors)
            await ann.offline()
            await ben.offline()
            return ann.refusals()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            refusals = asyncio.run(drive(server, stub))
            assert refusals == [
                ("wait", "policy-violation", "החשבון שלך מושעה עד 2100-01-01 00:00 (UTC)."
                 " אפשר לקרוא, אך לא לשלוח.", "he"),
            ]  # fmt: skip
            assert stub.asked == []
            refused = stub.wait(lambda: [e for e in stub.events if e.get("attempted")])
            assert [event["type"] for event in refused] == ["message.sent"]

    def test_what_reaches_a_stranger_is_an_act(self, tmp_path: Path) -> None:
        senders = [f"sender{n}" for n in range(elements.SIDE)]
        people = [f"person{n}" for n in range(elements.SIDE)]

        async def drive(server: Server, stub: Stub) -> None:
            by = await elements.known(senders, HOST, server.port)
            to = await elements.known(people, HOST, server.port)
            tried = elements.stanzas()
            sent = await elements.send(tried, by, to)
            stub.wait(lambda: " 0 held" in server.status())
            assert elements.uncounted(sent, stub.events) == ([], [])
            reached = [one for one, _, _, is_there in sent if is_there]
            assert len(reached) > 0.8 * len(tried), "most of them reach the client"
            # An account that may do nothing shows nothing, to those either that it has written to.
            for name in senders:
                stub.set_state(f"{name}@{HOST}", "suspend")
            last = f"{senders[-1]}@{HOST}"
            stub.wait(lambda: "suspend" in server.state(last))
            # That requests are taken back comes from the sender's address, too.
            await asyncio.sleep(1)
            for one in to:
                await one.settled()
            again = await elements.send(tried, by, to)
            assert [one.xml for one, _, _, got in again if got and not one.harmless] == []
            assert [one.xml for one, _, _, got in again if got]
            for one in (*by, *to):
                await one.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            server.add_users([*senders, *people])
            stub.wait(lambda: stub.streams)
            asyncio.run(drive(server, stub))

    def test_what_an_occupant_sends_another_is_an_act(self, tmp_path: Path) -> None:
        names = [f"occupant{n}" for n in range(2 * elements.SIDE)]

        async def drive(server: Server, stub: Stub) -> None:
            everybody = await elements.known(names, HOST, server.port)
            await elements.join(f"r@{ROOMS}", everybody)
            by, to = everybody[: elements.SIDE], everybody[elements.SIDE :]
            tried = elements.private_stanzas()
            sent = await elements.send(tried, by, to, f"r@{ROOMS}")
            stub.wait(lambda: " 0 held" in server.status())
            assert elements.uncounted(sent, stub.events) == ([], [])
            assert [one.xml for one, _, _, is_there in sent if not is_there] == []
            for one in everybody:
                await one.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            server.add_users(names)
            asyncio.run(drive(server, stub))

    def test_mass_mention_of_a_newcomer_is_asked_and_refused(self, tmp_path: Path) -> None:
        room, members = f"r@{ROOMS}", [f"member{n}" for n in range(MASS_MENTION)]
        everybody = ", ".join(members)

        async def drive(server: Server, stub: Stub) -> None:
            names = ["host", "ann", *members]
            host, ann, *others = await elements.known(names, HOST, server.port)
            await elements.join(room, [host, *others, ann])
            stub.decide = partial(_always, {"allowed": False, "outcome": "limit", "notice": {}})
            for one in (ann, host):
                one.say(room, f"@{everybody}: buy cheap coins", type="groupchat", lang="he")
                one.say(room, "sorry", type="groupchat")
                await one.settled()
            await others[0].expect(lambda: len(others[0].got) == 3)
            assert (len(ann.errors), host.errors) == (1, [])
            kind, condition, text, lang = ann.refusals()[0]
            assert (kind, condition, lang) == ("wait", "policy-violation", "he")
            assert text.startswith("בחדרים שהצטרפת אליהם זה עתה")
            for one in (host, ann, *others):
                await one.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url, more=self.patient) as server:
            server.add_users(["host", "ann", *members])
            stub.wait(lambda: stub.streams)
            asyncio.run(drive(server, stub))
            [asked] = [e for _, events in stub.asked for e in events if "mentions" in e]
            assert (asked["account"], asked["mentions"]) == (f"ann@{HOST}", MASS_MENTION)
            assert 0 <= asked["joined_s"] < 600
            assert not any(name in json.dumps(asked) for name in members)

    def test_moderators_are_told_once_of_mass_mentions(self, tmp_path: Path) -> None:
        room, members = f"r@{ROOMS}", [f"member{n}" for n in range(MASS_MENTION)]
        muc_admin = "http://jabber.org/protocol/muc#admin"

        async def drive(server: Server, stub: Stub) -> None:
            names = ["host", "helper", "ann", "eve", *members]
            host, helper, ann, eve, *others = await elements.known(names, HOST, server.port)
            await elements.join(room, [host, helper, *others, ann, eve])
            # An admin who has come to the room, and an owner who never did.
            for kind, name in (("admin", "helper"), ("owner", "absent")):
                item = f"<item affiliation='{kind}' jid='{name}@{HOST}'/>"
                await host.iq(f"<query xmlns='{muc_admin}'>{item}</query>", to=room)
            stub.decide = partial(_always, {"allowed": False, "outcome": "limit", "notice": {}})
            for one in (ann, eve, ann):
                one.say(room, f"@{', '.join(members)}: buy cheap coins", type="groupchat")
                await one.settled()
            assert [len(one.errors) for one in (ann, eve)] == [2, 1]
            for one in (host, helper):
                await one.expect(one.from_server)
            absent = await Account(f"absent@{HOST}", server.port, register=False).online()
            everybody = (host, helper, absent, ann, eve, *others)
            for one in everybody:
                await one.settled()
            assert [len(one.from_server()) for one in everybody] == [1, 1] + [0] * (len(others) + 3)
            [told] = host.from_server()
            assert told["en"].startswith(f"ann@{HOST} is new in the room {room}, ")
            assert told["he"].startswith(f"החשבון ann@{HOST} חדש בחדר {room}, ")
            for one in everybody:
                await one.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url, more=self.patient) as server:
            server.add_users(["host", "helper", "absent", "ann", "eve", *members])
            stub.wait(lambda: stub.streams)
            asyncio.run(drive(server, stub))

    def test_states_are_polled_where_there_is_no_stream(self, tmp_path: Path) -> None:
        with stubbed() as stub:
            stub.has_stream = False
            stub.set_state(f"ann@{HOST}", "restrict")
            with self.serve(tmp_path, stub.url) as server:
                asked = f"ann@{HOST}"
                stub.wait(lambda: "restrict" in server.state(asked))
                stub.set_state(f"ann@{HOST}", "allow")
                stub.wait(lambda: "restrict" not in server.state(asked))
                assert "polled" in server.status()

    def test_exempt_account_is_neither_sent_nor_refused(self, tmp_path: Path) -> None:
        async def drive(server: Server) -> list[Any]:
            bot = await Account(f"bot@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            bot.say(ben.boundjid.bare)
            await ben.expect(lambda: ben.got)
            await bot.offline()
            await ben.offline()
            return ben.got

        with stubbed() as stub, self.serve(tmp_path, stub.url, more=self.bot_exempt) as server:
            stub.decide = lambda events: {"allowed": f"ben@{HOST}" == events[0]["account"]}
            stub.set_state(f"bot@{HOST}", "ban")
            assert len(asyncio.run(drive(server))) == 1
            stub.wait(lambda: stub.events)
            assert {event["account"] for event in stub.events} == {f"ben@{HOST}"}

    @pytest.mark.parametrize("fault", ["wrong key", "another service", "503", "slow", "down"])
    def test_fault_of_wavebreak_loses_nothing(self, tmp_path: Path, fault: str) -> None:
        port = free_port()
        stub = Stub(port)
        try:
            with self.serve(tmp_path, stub.url, more=self.registration_open) as server:
                stub.wait(lambda: stub.streams)
                if fault == "wrong key":
                    stub.key = "another"
                elif fault == "another service":
                    stub.is_another = True
                elif fault == "503":
                    stub.status = 503
                elif fault == "slow":
                    stub.delay_s = 2
                else:
                    stub.stop()
                assert asyncio.run(_chat(server, 30)) == (30, 0)
                if fault == "down":
                    stub = Stub(port)
                stub.key, stub.status, stub.delay_s, stub.is_another = "k", 0, 0, False
                if fault == "another service":
                    assert "is no Wavebreak (401)" in server.log()
                    assert "refuses the key" not in server.log()
                if fault == "wrong key":
                    assert "error" in server.log()
                    assert "refuses the key" in server.log()
                sent = stub.wait(lambda: _sent(stub)[29:], 60)
                assert len(sent) == 1
                assert len({event["id"] for event in stub.events}) == len(stub.events)
        finally:
            stub.stop()

    def test_message_keeps_its_peer_who_left_at_once(self, tmp_path: Path) -> None:
        async def drive(server: Server, stub: Stub) -> None:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            stub.status = 503  # Nothing is delivered yet.
            ann.say(ben.boundjid.bare)
            await ben.expect(lambda: ben.got)
            with contextlib.suppress(Exception):  # The server may end the session first.
                await ben.iq("<query xmlns='jabber:iq:register'><remove/></query>")
            await asyncio.sleep(1)
            await ann.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url, more=self.registration_open) as at:
            asyncio.run(drive(at, stub))
            stub.status = 0
            deleted = "account.deleted"
            stub.wait(lambda: [event for event in stub.events if event["type"] == deleted], 60)
            [message] = _sent(stub)
            assert (message["account"], message["peer"]) == (f"ann@{HOST}", f"ben@{HOST}")

    def test_slow_answers_hold_each_sender_for_a_moment(self, tmp_path: Path) -> None:
        async def drive(server: Any) -> tuple[float, int]:
            ann = await Account(f"ann@{HOST}", server.port, register=False).online()
            began = time.monotonic()
            for name in STRANGERS:
                ann.say(f"{name}@{HOST}")
            await ann.settled()
            took_s = time.monotonic() - began
            await ann.offline()
            return took_s, len(ann.errors)

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            server.add_users(["ann", *STRANGERS])
            stub.wait(lambda: stub.streams)
            stub.delay_s = 2
            took_s, errors = asyncio.run(drive(server))
            # Three wait for 250 ms; then nobody is asked for two seconds, and one is again.
            assert errors == 0
            assert took_s < 0.25 * len(STRANGERS)
            assert int(re.findall(r"(\d+) asked", server.status())[0]) < len(STRANGERS) // 2
            stub.delay_s = 0
            assert len(stub.wait(lambda: _sent(stub)[len(STRANGERS) - 1 :], 60)) == 1

    def test_full_disk_loses_nothing(self, tmp_path: Path) -> None:
        port = free_port()
        stub = Stub(port)
        try:
            with self.serve(tmp_path, stub.url, more=self.registration_open) as server:
                stub.wait(lambda: stub.streams)
                [first] = [path.name for path in server.spool.glob("*.jsonl")]
                prefix, number = first.removesuffix(".jsonl").rsplit("-", 1)
                full = [
                    server.spool / f"{prefix}-{int(number) + n:08d}.jsonl" for n in range(1, 200)
                ]
                for path in full:
                    path.symlink_to("/dev/full")
                assert asyncio.run(_chat(server, 10)) == (10, 0)
                stub.wait(lambda: len(_sent(stub)) == 10)
                # Nor while Wavebreak is away as well.
                stub.stop()
                assert asyncio.run(_chat(server, 10, during=True)) == (10, 0)
                assert "No space left" in server.log() or "enospc" in server.log()
                for path in full:
                    path.unlink(missing_ok=True)
                stub = Stub(port)
                stub.wait(lambda: len(_sent(stub)) == 10, 60)
                assert " 0 held" in server.status()
                assert " 0 dropped" in server.status()
        finally:
            stub.stop()

    @pytest.mark.parametrize("silent", [True, False])
    def test_silence_drops_until_the_sender_may_know(self, tmp_path: Path, silent: bool) -> None:
        later = int(time.time() * 1000) + 3_600_000

        async def drive(server: Any, stub: Stub) -> list[int]:
            ann = await Account(f"ann@{HOST}", server.port).online()
            ben = await Account(f"ben@{HOST}", server.port).online()
            counts = []
            for at in (later, None, 0):
                refused = {"allowed": False, "outcome": "restrict", "notify_at_ms": at}
                stub.decide = partial(_always, refused)
                ann.say(ben.boundjid.bare)
                ann.send_xml(f"<presence to='{ben.boundjid.bare}' type='subscribe'/>")
                await ann.settled()
                counts.append(len(ann.errors))
            await ben.settled()
            assert (ben.got, ben.presences) == ([], [])
            await ann.offline()
            await ben.offline()
            return counts

        more = {"silence": "true"} if silent else {}
        with stubbed() as stub, self.serve(tmp_path, stub.url, more=more) as server:
            counts = asyncio.run(drive(server, stub))
            assert counts == ([0, 2, 4] if silent else [2, 4, 6])
            assert len(stub.attempted) == 6

    def test_refused_registration_is_in_the_persons_language(self, tmp_path: Path) -> None:
        notice = {"en": "Not now.", "he": "לא כרגע."}

        async def drive(server: Server, lang: str) -> RefusedError:
            with pytest.raises(RefusedError) as refused:
                await Account(f"ann@{HOST}", server.port, lang=lang).online()
            return refused.value

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            stub.wait(lambda: stub.streams)
            stub.decide = partial(_always, {"allowed": False, "notice": notice})
            for lang, text in notice.items():
                assert asyncio.run(drive(server, lang)).args[1] == text

    def test_wrong_key_does_not_close_registration(self, tmp_path: Path) -> None:
        with stubbed() as stub:
            stub.key = "another"
            with self.serve(tmp_path, stub.url) as server:
                assert asyncio.run(_chat(server, 1)) == (1, 0)

    def test_registration_closes_where_nobody_answers(self, tmp_path: Path) -> None:
        async def drive(server: Server) -> RefusedError:
            with pytest.raises(RefusedError) as refused:
                await Account(f"ann@{HOST}", server.port).online()
            return refused.value

        with stubbed() as stub:
            stub.status = 503
            with self.serve(tmp_path, stub.url) as server:
                error = asyncio.run(drive(server))
                assert error.args[0] == "resource-constraint"
                assert "later" in error.args[1]

    @pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
    def test_registration_follows_on_failure(self, tmp_path: Path, opened: bool) -> None:
        """Wavebreak answers, and says that its engine does not."""

        async def drive(server: Server) -> str:
            try:
                await (await Account(f"ann@{HOST}", server.port).online()).offline()
            except RefusedError as error:
                return str(error.args[0])
            return "registered"

        more = self.registration_open if opened else {}
        with stubbed() as stub, self.serve(tmp_path, stub.url, more=more) as server:
            stub.decide = lambda _events: {"allowed": False, "mode": "on_failure"}
            expected = "registered" if opened else "resource-constraint"
            assert asyncio.run(drive(server)) == expected

    def test_killed_server_sends_its_spool_at_its_start(self, tmp_path: Path) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with self.serve(tmp_path, url, more=self.registration_open) as server:
            assert asyncio.run(_chat(server, 30)) == (30, 0)
            # What was told in the last milliseconds before a crash is not written yet.
            time.sleep(0.1)
            server.kill()
            lines = [x for f in server.spool.glob("*.jsonl") for x in f.read_text().splitlines()]
            held = [json.loads(line) for line in lines]
            assert len([event for event in held if event["type"] == "message.sent"]) == 30
            stub = Stub(port)
            try:
                server.start()
                stub.wait(lambda: len(_sent(stub)) == 30)
                assert len({event["id"] for event in stub.events}) == len(stub.events)
                stub.wait(lambda: sum(f.stat().st_size for f in server.spool.glob("*.jsonl")) == 0)
            finally:
                stub.stop()
