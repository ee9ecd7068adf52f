"""A real server, killed while it reads a broker and sends webhooks, loses and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import nats

from support import external_servers
from support.service_harness import abuser
from support.service_process import Server
from support.webhook_receiver import Receiver, listening
from wavebreak.io import log_rows

KILLS = 3


async def _publish(url: str, bodies: list[bytes]) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="events", subjects=["events.>"])
    for body in bodies:
        await client.jetstream().publish("events.live", body)
    await client.close()


def _logged(server: Server) -> list[str]:
    found: list[str] = []
    for (blob,) in server.rows("SELECT blob FROM log_batch ORDER BY first"):
        found += log_rows.decode_row(bytes(blob)).column("id").to_pylist()
    return found


def _until(done: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_server_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    broker = external_servers.broker_of_subjects(tmp_path / "broker")
    broker.start()
    # All within the minute that the log waits for: what a kill makes the broker deliver again comes
    # out of order, and is counted none the less.
    events = [e for n in range(12) for e in abuser(60, f"a{n}", 1_767_222_000_000 + n * 4_000)]
    bodies = [json.dumps(e).encode() for e in events]
    url = f"nats://127.0.0.1:{broker.port}"
    (tmp_path / "home").mkdir()
    server = Server(tmp_path / "home", ("--private-webhooks", "--nats", url))
    random = Random(1)
    with listening(Receiver()) as receiver:
        try:
            server.start()
            receiver.known_to(server)
            asyncio.run(_publish(url, bodies))
            for _ in range(KILLS):
                time.sleep(0.2 + random.random())
                server.kill()
                server.start()
            _until(lambda: len(_logged(server)) >= len(events))
            server.settled(len(events))
            wanted = server.rows(
                "SELECT number, id, account FROM decision WHERE outcome NOT IN ('allow', 'observe')"
            )
            _until(lambda: len(receiver.heard) == len(wanted))
        finally:
            server.kill()
            broker.kill()
    assert sorted(_logged(server)) == sorted(e["id"] for e in events)
    assert receiver.heard == {number: {f"dec_{made}"} for number, made, _ in wanted}
    assert {account for _, _, account in wanted} == {f"a{n}" for n in range(12)}
