"""Two real Prosodies that speak to each other over TLS, one of them beside a stub of Wavebreak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from integrations.harness.prosody import Prosody
from integrations.harness.stub import Stub, stubbed
from integrations.harness.tls import certify
from integrations.harness.xmpp import Account

pytestmark = pytest.mark.filterwarnings("default")

HERE, THERE = "here.example", "there.example"


@contextmanager
def federated(home: Path, url: str) -> Iterator[tuple[Prosody, Prosody]]:
    """Run the two: the one with the module, and a plain one, each with a certificate."""
    homes = {HERE: home / "here", THERE: home / "there"}
    authority = certify({host: place / "certs" for host, place in homes.items()}, home)
    here = Prosody(homes[HERE], url, host=HERE, authority=authority)
    there = Prosody(homes[THERE], url, host=THERE, authority=authority, module=False)
    here.others, there.others = {THERE: there.s2s_port}, {HERE: here.s2s_port}
    with ExitStack() as stack:
        for server in (here, there):
            server.start()
            stack.callback(server.stop)
        yield here, there


async def _two(here: Prosody, there: Prosody) -> tuple[Account, Account]:
    ann = await Account(f"ann@{HERE}", here.port).online()
    return ann, await Account(f"stranger@{THERE}", there.port).online()


def test_stranger_of_another_server_has_an_origin(tmp_path: Path) -> None:
    async def drive(here: Prosody, there: Prosody) -> None:
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

    with stubbed() as stub, federated(tmp_path, stub.url) as (here, there):
        asyncio.run(drive(here, there))
        remote = stub.wait(
            lambda: [e for e in stub.events if e["account"] == f"stranger@{THERE}"][1:]
        )
        own = [event for event in stub.events if event["account"] == f"ann@{HERE}"]
        assert [event["type"] for event in remote] == ["contact.requested"]
        assert {event["origin"] for event in remote} == {THERE}
        assert all("origin" not in event for event in own)
        assert "account.registered" in {event["type"] for event in own}
        # The first message of the stranger was asked about; of the other server nothing else is.
        asked = [(e["type"], e.get("origin")) for _, events in stub.asked for e in events]
        assert ("message.sent", THERE) in asked
        assert ("account.registered", THERE) not in asked
        assert "Certificate" not in here.log() or "invalid" not in here.log()


def test_remote_account_is_refused_and_its_lift_passes(tmp_path: Path) -> None:
    jid = f"stranger@{THERE}"

    async def drive(here: Prosody, there: Prosody, stub: Stub) -> None:
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

    with stubbed() as stub, federated(tmp_path, stub.url) as (here, there):
        asyncio.run(drive(here, there, stub))
        refused = [event for event in stub.events if event.get("attempted")]
        assert [(e["account"], e["origin"]) for e in refused] == [(jid, THERE)]


def test_server_without_a_known_certificate_is_not_heard(tmp_path: Path) -> None:
    async def drive(here: Prosody, there: Prosody) -> None:
        ann, stranger = await _two(here, there)
        stranger.say(ann.boundjid.bare)
        await stranger.expect(lambda: stranger.errors, 60)
        assert ann.got == []
        for one in (ann, stranger):
            await one.offline()

    with stubbed() as stub, federated(tmp_path, stub.url) as (here, there):
        # Another authority's, at its next connection.
        certify({THERE: there.home / "certs"}, tmp_path / "there")
        there.stop()
        there.start()
        asyncio.run(drive(here, there))
        assert [e for e in stub.events if e["account"] == f"stranger@{THERE}"] == []
