"""What both XMPP servers do with a real Wavebreak: spam is slowed, lifts pass, nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from . import hooks
from .prosody import HOST, ROOMS
from .wavebreak import Wavebreak, wavebreak
from .xmpp import Account

STRANGERS = [f"stranger{n}" for n in range(40)]
HONEST = [f"honest{n}" for n in range(8)]
MUC = "http://jabber.org/protocol/muc"
GAP_S = 0.35
REPORTERS = ("stranger1", "stranger3", "stranger5", "stranger6")

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
    """Send to a stranger; return whether it passed (half a second without an error)."""
    before = len(sender.errors)
    sender.say(to, "one text for all")
    for _ in range(25):
        if len(sender.errors) > before:
            return False
        await asyncio.sleep(0.02)
    return True


async def _chats(one: Account, other: Account, rounds: int) -> None:
    """Two people who answer each other, unhurried by nobody."""
    for number in range(rounds):
        got = len(other.got)
        one.say(other.boundjid.bare, "x" * (11 + 7 * number))
        await other.expect(lambda got=got, other=other: len(other.got) > got)
        await asyncio.sleep(0.2 + 0.1 * (number % 3))
        one, other = other, one


async def _room_refused(sender: Account, room: str) -> bool:
    before = len(sender.errors)
    sender.send_xml(f"<presence to='{room}@{ROOMS}/n'><x xmlns='{MUC}'/></presence>")
    for _ in range(50):
        if len(sender.errors) > before:
            return sender.refusals()[-1][:2] == ("wait", "policy-violation")
        await asyncio.sleep(0.02)
    return False


async def _reports(victim: Account, sender: str) -> None:
    """Wait for a message, and report and block who sent it."""
    await victim.expect(lambda: victim.got, 60)
    await victim.iq(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{sender}'><report "
        "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>"
    )


async def _after(spammer: Account, friend: Account, *, rooms: bool) -> None:
    """What holds of an account that is slowed: no new chat; the existing chat goes on."""
    assert not await _greets(spammer, f"later@{HOST}")
    assert spammer.refusals()[-1][:2] == ("wait", "policy-violation")
    if rooms:
        assert await _room_refused(spammer, f"room{len(spammer.errors)}")
    got = len(friend.got)
    spammer.say(friend.boundjid.bare, "still here?")
    await friend.expect(lambda: len(friend.got) > got)


async def _spam(server: Any, service: Wavebreak, *, rooms: bool) -> int:
    """Play the spammer among honest people; return how many strangers it reached."""
    people = [await _known(server, name) for name in HONEST]
    friend = await _known(server, "friend")
    spammer = await Account(f"spammer@{HOST}", server.port).online()
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
    await asyncio.sleep(1)
    reached = len(STRANGERS) - (len(spammer.errors) - before)
    state = service.outcome(f"spammer@{HOST}")
    print(f"reached {reached} of {len(STRANGERS)}, then {state}; {server.status()}")
    for one in talk:
        await one
    for one in complaints:
        one.cancel()
    assert [person.errors for person in people] == [[]] * len(people)
    await _after(spammer, friend, rooms=rooms)
    for one in (*people, *victims, friend, spammer):
        await one.offline()
    return reached


class ServiceCases:
    """The cases; a server's tests subclass it."""

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        """Run a server for as long as the block lasts."""
        raise NotImplementedError

    def test_spammer_who_is_reported_reaches_at_most_ten(self, tmp_path: Path) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.serve(tmp_path, service.url, key=service.key) as server,
        ):
            server.add_users([*STRANGERS, *HONEST, "friend", "later"])
            assert asyncio.run(_spam(server, service, rooms=False)) <= 10
            for name in HONEST:
                assert service.outcome(f"{name}@{HOST}") in ("allow", "observe")

    def test_restriction_outlives_restarts_and_a_lift_passes(self, tmp_path: Path) -> None:
        (tmp_path / "policy" / "rules").mkdir(parents=True)
        (tmp_path / "policy" / "rules" / "own.toml").write_text(RULE)
        with wavebreak(tmp_path / "wavebreak", "--policy", str(tmp_path / "policy")) as service:
            with self.serve(tmp_path, service.url, key=service.key) as server:
                server.add_users([*STRANGERS, *HONEST, "friend", "later"])
                assert asyncio.run(_spam(server, service, rooms=True)) <= 10
            service.stop()
            service.start()
            # Both are new; the spammer is still known, and an analyst's word lifts it.
            with self.serve(tmp_path, service.url, key=service.key) as server:
                asyncio.run(self._again_and_lift(server, service))

    async def _again_and_lift(self, server: Any, service: Wavebreak) -> None:
        friend, spammer = await _known(server, "friend"), await _known(server, "spammer")
        await _after(spammer, friend, rooms=True)
        service.lift(f"spammer@{HOST}")
        await asyncio.sleep(2)
        assert await _greets(spammer, f"later@{HOST}")
        await friend.offline()
        await spammer.offline()

    def test_canaries_are_nowhere_in_the_services_files(self, tmp_path: Path) -> None:
        with wavebreak(tmp_path / "wavebreak") as service:
            with self.serve(tmp_path, service.url, key=service.key) as server:
                asyncio.run(hooks.converse(server.port, HOST, ROOMS))
                expected = len(hooks.expected(HOST, ROOMS))
                service.wait(lambda: service.logged() >= expected)
            assert service.logged() == expected
            service.stop()
        files = [path for path in tmp_path.rglob("wavebreak*") if path.is_file()]
        files += [path for path in (tmp_path / "wavebreak").rglob("*") if path.is_file()]
        found = [
            (path.name, canary)
            for path in files
            for canary in hooks.CANARIES
            if canary.encode() in path.read_bytes()
        ]
        assert any(b"message.sent" in path.read_bytes() for path in files) or files
        assert found == []

    @pytest.mark.parametrize("fault", ["SIGSTOP", "SIGTERM"])
    def test_outage_of_the_service_loses_nothing(self, tmp_path: Path, fault: str) -> None:
        with (
            wavebreak(tmp_path / "wavebreak") as service,
            self.serve(tmp_path, service.url, key=service.key) as server,
        ):
            server.add_users(["ann", "ben"])
            asyncio.run(self._chat_through(server, service, fault))
            service.wait(lambda: server.status().count(" 0 held"), 60)
            seen = int(server.status().split("Events")[1].split(" seen")[0].split()[-1])
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
