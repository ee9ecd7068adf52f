"""What both XMPP servers do with a real Wavebreak: spam is slowed, lifts pass, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from support.written_files import files_with

from . import elements, hooks
from .prosody import HOST, ROOMS
from .wavebreak import Wavebreak, wavebreak
from .xmpp import Account, registered

STRANGERS = [f"stranger{n}" for n in range(40)]
HONEST = [f"honest{n}" for n in range(8)]
PEOPLE = [f"person{n}" for n in range(300)]
ROUNDS = 6
MUC = "http://jabber.org/protocol/muc"
GAP_S = 0.35
MEMBERS = [f"member{n}" for n in range(13)]
MENTIONS, MOST_MENTIONS = 24, 4
REPORTERS = ("stranger0", "stranger1", "stranger3", "stranger5")

RULE = """
[[rule]]
id = "strangers_complain"
abuse = "feedback"
about = "Two strangers blocked or reported it: a server that wants it silent at once."
source = "A rule of this test's own: in place of the shipped one of that name, which slows."
stage = "feedback"
on = ["reported_by", "blocked_by"]
when = ["stranger_complaints >= 2", "complaint_evidence >= 20", "channel < 2"]
basis = "evidence"
outcome = "restrict"
for = "24h"
false_actions = "Whoever two strangers dislike."
review_by = "2027-05-31"
mode = "enforce"
fires_on = [{ stranger_complaints = 2, complaint_evidence = 40, channel = 0 }]
stays_quiet_on = [{ stranger_complaints = 1, complaint_evidence = 40, channel = 0 }]
"""


async def _known(server: Any, name: str) -> Account:
    return await Account(f"{name}@{HOST}", server.port, register=False).online()


async def _greets(sender: Account, to: str) -> bool:
    """Send to a stranger; return whether it passed."""
    before = len(sender.errors)
    sender.say(to, "one text for all")
    await sender.settled()
    return len(sender.errors) == before


async def _chats(one: Account, other: Account, rounds: int) -> None:
    """Two people who answer each other, unhurried by nobody."""
    for number in range(rounds):
        got = len(other.got)
        one.say(other.boundjid.bare, "x" * (11 + 7 * number))
        await other.expect(lambda got=got, other=other: len(other.got) > got)
        await asyncio.sleep(0.2 + 0.1 * (number % 3))
        one, other = other, one


async def honest_evening(server: Any, people: list[str], rounds: int) -> tuple[int, int]:
    """Have people chat by twos, as friends and with a stranger who answers; all log in first.

    Driven quickly: everybody writes every few seconds, of different lengths, after typing.

    Returns:
        How many messages were sent, and how many refused.
    """
    draw = random.Random(7)
    online = []
    for name in people:
        online.append(await _known(server, name))
    sent = 0

    async def pair(one: Account, other: Account) -> int:
        await asyncio.sleep(draw.uniform(0, 20))
        for _ in range(draw.randint(1, rounds)):
            got, to = len(other.got), other.boundjid.bare
            state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
            one.send_xml(f"<message to='{to}' type='chat'>{state}</message>")
            await asyncio.sleep(draw.lognormvariate(0.7, 0.8))
            one.say(to, "x" * max(1, int(draw.lognormvariate(3.3, 0.9))))
            await other.expect(lambda: len(other.got) > got, 120)  # noqa: B023 - awaited at once
            one, other = other, one
        return 0

    order = list(online)
    for _ in range(2):
        draw.shuffle(order)
        before = sum(len(one.got) for one in online)
        twos = zip(order[::2], order[1::2], strict=True)
        await asyncio.gather(*(pair(one, other) for one, other in twos))
        sent += sum(len(one.got) for one in online) - before
    refused = sum(len(one.errors) for one in online)
    for one in online:
        await one.offline()
    return sent, refused


async def _room_refused(sender: Account, room: str) -> bool:
    before = len(sender.errors)
    sender.send_xml(f"<presence to='{room}@{ROOMS}/n'><x xmlns='{MUC}'/></presence>")
    await sender.settled()
    refused = len(sender.errors) > before
    return refused and sender.refusals()[-1][:2] == ("wait", "policy-violation")


async def _reports(victim: Account, sender: str) -> None:
    """Wait for a message, or for the request as which it arrives; report and block its sender."""
    await victim.expect(lambda: victim.got or victim.presences, 60)
    await victim.iq(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{sender}'><report "
        "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>"
    )


async def _after(spammer: Account, friend: Account, *, rooms: bool) -> None:
    """What holds of an account that is slowed: no new chat; the existing chat goes on."""
    assert not await _greets(spammer, f"later@{HOST}")
    kind, condition, text, lang = spammer.refusals()[-1]
    assert (kind, condition, lang) == ("wait", "policy-violation", "en")
    assert "ends by itself on" in text, "the service's own notice"
    if rooms:
        assert await _room_refused(spammer, f"room{len(spammer.errors)}")
    got = len(friend.got)
    spammer.say(friend.boundjid.bare, "still here?")
    await friend.expect(lambda: len(friend.got) > got)


async def patient_spam(server: Any, gap_s: float, most: int) -> tuple[int, int]:
    """Play a spammer who waits between strangers, reported by every second one that it reaches.

    It gives up after three refusals in a row.

    Returns:
        How many strangers it reached, and how many it wrote to.
    """
    spammer = await registered(f"spammer@{HOST}", server.port)
    reached, number, in_a_row = 0, 0, 0
    while number < most and in_a_row < 3:
        victim = await _known(server, STRANGERS[number])
        passed = await _greets(spammer, victim.boundjid.bare)
        reached, number = reached + passed, number + 1
        in_a_row = 0 if passed else in_a_row + 1
        if passed and number % 2:
            await _reports(victim, spammer.boundjid.bare)
        await victim.offline()
        await asyncio.sleep(gap_s)
    await spammer.offline()
    return reached, number


async def _spam(server: Any, service: Wavebreak, *, rooms: bool) -> int:
    """Play the spammer among honest people; return how many strangers it reached.

    One who registers has two unanswered strangers at a time in its first minute, too few for the
    evidence of `RULE`: with `rooms` it has long been there.
    """
    people = [await _known(server, name) for name in HONEST]
    friend = await _known(server, "friend")
    spammer = await (
        _known(server, "spammer") if rooms else registered(f"spammer@{HOST}", server.port)
    )
    await _chats(friend, spammer, 4)
    victims = [await _known(server, name) for name in REPORTERS]
    complaints = [asyncio.create_task(_reports(one, f"spammer@{HOST}")) for one in victims]
    talk = [
        asyncio.create_task(_chats(people[n], people[n + 1], 12)) for n in range(0, len(people), 2)
    ]
    before = len(spammer.errors)
    for name in STRANGERS:
        spammer.say(f"{name}@{HOST}", "one text for all")
        await asyncio.sleep(GAP_S)
    await spammer.settled()
    reached = len(STRANGERS) - (len(spammer.errors) - before)
    state = service.outcome(f"spammer@{HOST}")
    print(f"reached {reached} of {len(STRANGERS)}, then {state}; {server.status()}")
    if state == "limit":
        assert "An answer frees a place at once" in spammer.refusals()[-1][2]
    for one in talk:
        await one
    for one in complaints:
        one.cancel()
    assert [person.errors for person in people] == [[]] * len(people)
    await _after(spammer, friend, rooms=rooms)
    for one in (*people, *victims, friend, spammer):
        await one.offline()
    return reached


async def _mentions(server: Any) -> int:
    """Have a fresh account mention all of a public room; return how many messages arrived."""
    room = f"club@{ROOMS}"
    host, *others = [await _known(server, name) for name in MEMBERS]
    await elements.join(room, [host, *others])
    loud = await registered(f"loud@{HOST}", server.port)
    await elements.join(room, [loud])
    everybody = " ".join(MEMBERS)
    for _ in range(MENTIONS):
        loud.say(room, f"buy cheap coins {everybody}", type="groupchat")
        await loud.settled()
        await asyncio.sleep(GAP_S)
    sent = MENTIONS - len(loud.errors)
    # What mentions nobody goes on, and so does the host who made the room.
    loud.say(room, "sorry", type="groupchat")
    for _ in range(4):
        host.say(room, everybody, type="groupchat")
    await others[0].expect(lambda: len(others[0].got) >= sent + 5)
    assert (len(loud.errors), host.errors) == (MENTIONS - sent, [])
    # Who made the room is told once.
    await host.expect(host.from_server)
    assert [len(one.from_server()) for one in (host, *others)] == [1] + [0] * len(others)
    for one in (loud, host, *others):
        await one.offline()
    return sent


def _settle(server: Any, names: list[str]) -> None:
    """Let people have registered before the module came: Wavebreak knows nothing of when."""
    for module in (False, True):
        server.stop()
        server.module = module
        server.start()
        if not module:
            server.add_users(names)


def _seen(server: Any) -> int:
    """Return how many events the module says that it has seen."""
    return int(server.status().split("Events")[1].split(" seen")[0].split()[-1])


class ServiceCases:
    """The cases; a server's tests subclass it.

    `patient` waits so long for an answer that the speed of this machine decides nothing: without
    one, messages pass.
    """

    patient: ClassVar[dict[str, str]]

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        """Run a server for as long as the block lasts."""
        raise NotImplementedError

    def patiently(self, home: Path, service: Wavebreak) -> AbstractContextManager[Any]:
        """Run a server whose module waits for a service, for as long as the block lasts."""
        return self.serve(home, service.url, key=service.adapter_key("xmpp"), more=self.patient)

    def test_spammer_who_is_reported_reaches_at_most_ten(self, tmp_path: Path) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.patiently(tmp_path, service) as server,
        ):
            server.add_users([*STRANGERS, *HONEST, "friend", "later"])
            assert asyncio.run(_spam(server, service, rooms=False)) <= 10
            for name in HONEST:
                assert service.outcome(f"{name}@{HOST}") in ("allow", "observe")

    def test_fresh_account_mentions_everyone_a_few_times(self, tmp_path: Path) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.patiently(tmp_path, service) as server,
        ):
            server.add_users(MEMBERS)
            sent = asyncio.run(_mentions(server))
            print(f"{sent} of {MENTIONS} mass mentions arrived")
            assert sent <= MOST_MENTIONS

    def test_key_that_may_not_send_jids_is_an_error_in_the_log(self, tmp_path: Path) -> None:
        async def say_hello(server: Any) -> None:
            ann, ben = await _known(server, "ann"), await _known(server, "ben")
            assert await _greets(ann, ben.boundjid.bare)
            for one in (ann, ben):
                await one.offline()

        with wavebreak(tmp_path / "wavebreak") as service:
            key = service.adapter_key("xmpp", identifiers=False)
            with self.serve(tmp_path, service.url, key=key) as server:
                server.add_users(["ann", "ben"])
                asyncio.run(say_hello(server))
                service.wait(lambda: "looks like an e-mail address" in server.log())
            assert service.logged() == 0

    def test_honest_people_are_not_slowed(self, tmp_path: Path) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.patiently(tmp_path, service) as server,
        ):
            _settle(server, PEOPLE)
            sent, refused = asyncio.run(honest_evening(server, PEOPLE, ROUNDS))
            accounts = [f"{name}@{HOST}" for name in PEOPLE]
            service.wait(lambda: server.status().count(" 0 held"), 60)
            slowed = service.above_observe(accounts)
            print(f"{len(PEOPLE)} people, {sent} messages: {refused} refused, {len(slowed)} slowed")
            assert (refused, slowed) == (0, [])

    def test_restriction_outlives_restarts_and_a_lift_passes(self, tmp_path: Path) -> None:
        (tmp_path / "policy" / "rules").mkdir(parents=True)
        (tmp_path / "policy" / "rules" / "own.toml").write_text(RULE)
        with wavebreak(tmp_path / "wavebreak", "--policy", str(tmp_path / "policy")) as service:
            with self.patiently(tmp_path, service) as server:
                _settle(server, [*STRANGERS, *HONEST, "friend", "later", "spammer"])
                assert asyncio.run(_spam(server, service, rooms=True)) <= 10
            service.stop()
            service.start()
            # Both are new; the spammer is still known, and an analyst's word lifts it.
            with self.patiently(tmp_path, service) as server:
                asyncio.run(self._again_and_lift(server, service))

    async def _again_and_lift(self, server: Any, service: Wavebreak) -> None:
        friend, spammer = await _known(server, "friend"), await _known(server, "spammer")
        await _after(spammer, friend, rooms=True)
        service.lift(f"spammer@{HOST}")
        began = time.monotonic()
        while "allow" not in server.state(f"spammer@{HOST}"):
            assert time.monotonic() - began < 60
            await asyncio.sleep(0.1)
        print(f"the lift was known after {time.monotonic() - began:.1f} s")
        assert await _greets(spammer, f"later@{HOST}")
        await friend.offline()
        await spammer.offline()

    def test_canaries_are_nowhere_in_the_services_files(self, tmp_path: Path) -> None:
        with wavebreak(tmp_path / "wavebreak") as service:
            with self.patiently(tmp_path, service) as server:
                asyncio.run(hooks.converse(server.port, HOST, ROOMS))
                service.wait(lambda: server.status().count(" 0 held"), 60)
                seen = _seen(server)
                assert seen > len(hooks.CANARIES)
                # What is refused the service has logged by itself.
                service.wait(lambda: service.logged() >= seen)
            service.stop()
        # Who wrote to whom is in the log, and nothing of what.
        assert files_with(service.home, f"ann@{HOST}")
        assert files_with(service.home, *hooks.CANARIES) == []

    @pytest.mark.parametrize("fault", ["SIGSTOP", "SIGTERM"])
    def test_outage_of_the_service_loses_nothing(self, tmp_path: Path, fault: str) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.serve(tmp_path, service.url, key=service.adapter_key("xmpp")) as server,
        ):
            server.add_users(["ann", "ben"])
            asyncio.run(self._chat_through(server, service, fault))
            service.wait(lambda: server.status().count(" 0 held"), 60)
            seen = _seen(server)
            service.wait(lambda: service.logged() >= seen)
            assert service.logged() == seen

    async def _chat_through(self, server: Any, service: Wavebreak, fault: str) -> None:
        ann, ben = await _known(server, "ann"), await _known(server, "ben")
        await _chats(ann, ben, 4)
        got = len(ben.got)
        if fault == "SIGSTOP":
            service.signal(signal.SIGSTOP)
        else:
            service.stop()
        for number in range(20):
            ann.say(ben.boundjid.bare, f"{number}" * 9)
            await asyncio.sleep(0.05)
        await ben.expect(lambda: len(ben.got) == got + 20, 20)
        assert ann.errors == []
        if fault == "SIGSTOP":
            service.signal(signal.SIGCONT)
        else:
            await asyncio.to_thread(service.start)
        await ann.offline()
        await ben.offline()
