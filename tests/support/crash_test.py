"""Kills a real server under real load, again and again: `python -m support.crash_test --kills 100`.

After each start every acknowledged event must be in the log once; at the end the decisions must be
those of an uninterrupted run over the same log, byte for byte, each numbered once, each sealed once
before its one receipt, in a ledger that verifies; and a webhook must have heard of each of them
that asks for something, at least once and always with the same id.
"""

from __future__ import annotations

import argparse
import http.client
import random
import tempfile
import threading
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from support.service_process import SIGNER, Server
from support.webhook_receiver import Receiver, listening
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.io import log_rows
from wavebreak.ledger import read_entry
from wavebreak.ledger.audit import audit_directory as check_ledger
from wavebreak.ledger.entries import DecisionEntry, ReceiptEntry
from wavebreak.ledger.verifier import read_lines
from wavebreak.schema.events import json_rows
from wavebreak_lab import simulation
from wavebreak_server.storage import database
from wavebreak_server.storage.ledger_store import OpeningRows, export_ledger

POLICY = rules.load_policy()


@cache
def world(people: int = 40) -> list[bytes]:
    """Events, an object each, in which much is decided."""
    made = simulation.simulate(
        people=people,
        days=1,
        campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher"],
        seed=5,
    )
    wire = pa.Table.from_batches(made.batches()).combine_chunks().to_batches()[0]
    return [row.encode() for row in json_rows(wire).to_pylist()]


class Load:
    """Sends events in order, a few to a body, each body again until it is acknowledged.

    It waits `pause_s` after each, so that a load lasts as long as what happens under it; and from
    `slow_from` on it sends one event in `SLOW_S`.
    """

    SLOW_S = 0.5

    def __init__(
        self, server: Server, events: list[bytes], seed: int, most: int = 200, pause_s: float = 0
    ) -> None:
        self.server, self.events, self.pause_s = server, events, pause_s
        self.sizes = (1, 7, 40, most) if most > 40 else (1, 2, 7, most)
        self.random = random.Random(seed)
        self.acknowledged: list[bytes] = []
        self.at, self.repeated, self.slow_from = 0, 0, len(events)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        while self.at < len(self.events) and not self.stopped.is_set():
            slow = self.at >= self.slow_from
            part = self.events[self.at : self.at + (1 if slow else self.random.choice(self.sizes))]
            body = b"[" + b",".join(part) + b"]"
            tries = 0
            while not self.stopped.is_set():
                try:
                    answer = self.server.post(body, idempotency_key=f"k{self.at}")
                except (OSError, http.client.HTTPException):
                    tries += 1
                    time.sleep(0.01)
                    continue
                if answer.status == 202:
                    assert (answer.json()["accepted"], answer.json()["refused"]) == (len(part), [])
                    self.acknowledged += part
                    self.at += len(part)
                    self.repeated += tries > 0
                    self.stopped.wait(self.SLOW_S if slow else self.pause_s)
                    break
                assert answer.status in (409, 503), answer
                time.sleep(0.02)


def events_in_log(server: Server) -> list[str]:
    """Ids of the log's events, in order; fails where a row is damaged or positions have a gap."""
    found: list[str] = []
    for first, count, sha256, blob in server.rows(
        "SELECT first, count, sha256, blob FROM log_batch ORDER BY first"
    ):
        assert first == len(found)
        events = log_rows.decode_row(blob)
        assert events.num_rows == count
        assert log_rows.row_digest(blob) == bytes(sha256)
        found += events.column("id").to_pylist()
    return found


def uninterrupted(server: Server) -> list[bytes]:
    """What one engine decides on the log, in one go."""
    engine, made = Engine(POLICY, accounts=4096), []
    for (blob,) in server.rows("SELECT blob FROM log_batch ORDER BY first"):
        made += engine.take(log_rows.decode_row(blob))
    return [msgspec.json.encode(one) for one in made]


def check(server: Server, acknowledged: list[bytes]) -> None:
    """Every acknowledged event is in the log once."""
    check_ids(events_in_log(server), acknowledged)


def check_ids(ids: list[str], acknowledged: list[bytes]) -> None:
    """Every acknowledged event is once among the ids of a log, in order."""
    wanted = [msgspec.json.decode(event)["id"] for event in acknowledged]
    assert len(set(ids)) == len(ids), "an event is in the log twice"
    known = set(wanted)
    lost = known - set(ids)
    assert not lost, f"{len(lost)} acknowledged events are lost"
    assert [i for i in ids if i in known] == wanted


def run(
    home: Path,
    kills: int,
    seed: int,
    *options: str,
    events: list[bytes] | None = None,
    said: Any = lambda _: None,
) -> dict[str, int]:
    """Kill so many times, and check; gives what was counted."""
    chosen, events = random.Random(seed), events or world()
    home.mkdir(parents=True, exist_ok=True)
    with listening(Receiver()) as receiver:
        return _killed(home, kills, chosen, events, receiver, said, options)


def _killed(
    home: Path,
    kills: int,
    chosen: random.Random,
    events: list[bytes],
    receiver: Receiver,
    said: Any,
    options: tuple[str, ...],
) -> dict[str, int]:
    started = ("--snapshot-seconds", "1", "--private-webhooks", *options)
    server = Server(home, started).start()
    receiver.known_to(server)
    # The more kills, the smaller the bodies: the load is to last as long as the killing.
    load = Load(server, events, chosen.randrange(2**30), 200 if kills < 20 else 20)
    load.thread.start()
    for kill in range(kills):
        time.sleep(chosen.uniform(0.0, 0.6))
        server.kill()
        # The log as it was left, before the next start has looked at it.
        check(server, list(load.acknowledged))
        server.start(wait=False)
        if chosen.random() < 0.3:
            # Killed again while it is still reading its log.
            time.sleep(chosen.uniform(0.2, 3.0))
            server.kill()
            server.start(wait=False)
        server.wait()
        said(f"kill {kill + 1} of {kills}: {load.at} of {len(events)} events acknowledged")
    while load.thread.is_alive():
        said(f"{load.at} of {len(events)} events acknowledged")
        load.thread.join(5)
    total = len(events_in_log(server))
    server.settled(total)
    check(server, load.acknowledged)
    rows = server.rows("SELECT number, body FROM decision ORDER BY number")
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    assert [bytes(body) for _, body in rows] == uninterrupted(server), "decisions differ"
    told = heard(server, receiver)
    server.stop()
    counted = {"kills": kills, "events": total, "decisions": len(rows), "repeated": load.repeated}
    return counted | {"sealed": sealed(server), "webhooks": told, **_again(receiver)}


def _again(receiver: Receiver) -> dict[str, int]:
    times = Counter(headers["webhook-id"] for headers, _ in receiver.requests)
    return {"told_again": sum(count > 1 for count in times.values())}


def heard(server: Server, receiver: Receiver, seconds: float = 120) -> int:
    """Wait until each decision above observe was heard of, under its one id; how many they are."""
    rows = server.rows("SELECT number, id FROM decision WHERE outcome NOT IN ('allow', 'observe')")
    wanted = {number: {f"dec_{made}"} for number, made in rows}
    end = time.monotonic() + seconds
    while len(receiver.heard) < len(wanted) and time.monotonic() < end:
        time.sleep(0.05)
    assert receiver.heard == wanted, "a webhook was not told, or under another id"
    return len(wanted)


def sealed(server: Server) -> int:
    """Check a stopped server's ledger: each decision sealed once, in order, then its receipt."""
    with tempfile.TemporaryDirectory() as directory:
        database.connect(server.database, server.home, reading=True)
        export_ledger(Path(directory))
        assert check_ledger(Path(directory), [SIGNER.key], []).checked
        lines = list(read_lines(Path(directory) / "entries.jsonl"))
    entries = [read_entry(line) for line in lines]
    at = [k for k, each in enumerate(entries) if each.kind == "decision"]
    rows = [
        msgspec.json.decode(b) for (b,) in server.rows("SELECT body FROM decision ORDER BY number")
    ]
    bodies = [each.body for each in entries if isinstance(each.body, DecisionEntry)]
    assert [OpeningRows().of(k)["id"][1] for k in at] == [each["id"] for each in rows]
    assert [(b.ts, b.outcome, b.until, list(b.rules)) for b in bodies] == [
        (each["ts"], each["outcome"], each["until"], each["rules"]) for each in rows
    ]
    answers = [
        (k, each.body.decision)
        for k, each in enumerate(entries)
        if isinstance(each.body, ReceiptEntry) and each.body.effect == "applied"
    ]
    assert [decision for _, decision in answers] == at, "a receipt is missing, or there twice"
    assert all(decision < k for k, decision in answers)
    return len(at)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m support.crash_test", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(run(Path(directory) / "home", given.kills, given.seed, said=print))


if __name__ == "__main__":
    main()
