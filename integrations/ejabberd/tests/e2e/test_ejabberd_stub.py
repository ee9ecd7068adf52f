"""A real ejabberd beside a stub of Wavebreak."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrations.harness.ejabberd import ejabberd
from integrations.harness.prosody import HOST
from integrations.harness.stub import stubbed
from integrations.harness.stub_cases import StubCases
from integrations.harness.xmpp import Account

pytestmark = pytest.mark.filterwarnings("default")


class TestEjabberd(StubCases):
    """The shared cases, on ejabberd."""

    registration_open: ClassVar = {"on_failure": "{registration: open}"}
    nothing_more: ClassVar = dict.fromkeys(("contacts", "receipts", "remote"), "false")
    nothing_back: ClassVar = {"take_back": "[]"}
    patient: ClassVar = {"timeout": "10000"}
    bot_exempt: ClassVar = {"exempt": f'["bot@{HOST}"]'}

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        return ejabberd(home, url, **more)

    def trusting(self, authority: Path) -> str:
        return f'ca_file: "{authority}"'

    def test_message_to_several_addresses_counts_for_each(self, tmp_path: Path) -> None:
        async def drive(port: int) -> None:
            ann, ben, cid = [
                await Account(f"{name}@{HOST}", port, register=False).online()
                for name in ("ann", "ben", "cid")
            ]
            listed = "".join(f"<address type='to' jid='{name}@{HOST}'/>" for name in ("ben", "cid"))
            ann.send_xml(
                f"<message to='multicast.{HOST}'><body>to all</body>"
                f"<addresses xmlns='http://jabber.org/protocol/address'>{listed}</addresses>"
                "</message>"
            )
            for one in (ben, cid):
                await one.expect(lambda one=one: one.got)
            for one in (ann, ben, cid):
                await one.offline()

        with stubbed() as stub, self.serve(tmp_path, stub.url) as server:
            server.add_users(["ann", "ben", "cid"])
            asyncio.run(drive(server.port))
            sent = stub.wait(lambda: [e for e in stub.events if e["type"] == "message.sent"][1:])
            assert {event["peer"] for event in stub.events if event["type"] == "message.sent"} == {
                f"ben@{HOST}", f"cid@{HOST}",
            }  # fmt: skip
            assert len(sent) == 1
