"""A real server, killed while it takes events and sends webhooks, loses and doubles nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from support.service_harness import abuser
from support.service_process import Server
from support.webhook_receiver import Receiver, listening
from wavebreak.io import log_rows

KILLS = 3


def _send(server: Server, bodies: list[bytes]) -> None:
    """Send bodies as a forwarder does: each under its key, until the service has taken it."""
    for number, body in enumerate(bodies):
        taken = False
        while not taken:
            time.sleep(0.002)
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = server.post(body, idempotency_key=f"events:{number}")
                taken = answer.status == 202


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
    # All within the minute that the log waits for: a body that a client repeats after a kill comes
    # out of order, and is counted none the less.
    events = [e for n in range(12) for e in abuser(60, f"a{n}", 1_767_222_000_000 + n * 4_000)]
    bodies = [json.dumps(e).encode() for e in events]
    (tmp_path / "home").mkdir()
    server = Server(tmp_path / "home", ("--private-webhooks",))
    random = Random(1)
    with listening(Receiver()) as receiver:
        try:
            server.start()
            receiver.known_to(server)
            client = threading.Thread(target=_send, args=(server, bodies), daemon=True)
            client.start()
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
    assert sorted(_logged(server)) == sorted(e["id"] for e in events)
    assert receiver.heard == {number: {f"dec_{made}"} for number, made, _ in wanted}
    assert {account for _, _, account in wanted} == {f"a{n}" for n in range(12)}
