"""A load generator for the service, in a process of its own: `python -m benchmarks.load …`.

Bodies are generated before the clock starts; when all have been sent they are sent again with later
times and new ids, written in place into a copy. Event time passes about as fast as wall time
(`--pace`). With a rate, latency counts from the time at which a request is due; without one, each
connection sends as soon as it has a response. Prints one line of JSON per run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.load_streams import START_MS, stretches, wire_batch
from wavebreak.schema.events import WIRE_SCHEMA, json_rows

CYCLE_MS = 1_000_000
_HEAD = START_MS // CYCLE_MS
_TYPES = {
    "json": "application/json",
    "arrow": "application/vnd.apache.arrow.stream",
    "decide": "application/json",
}


@dataclass(frozen=True)
class Sent:
    """What came of a load: events a second that were accepted, latencies in milliseconds.

    `share` is the generator's own share of a processor.
    """

    events: int
    seconds: float
    rate: float
    refused: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    share: float


class Body:
    """A body of events. Each has an id that begins with a mark of its cycle, and a time."""

    def __init__(self, form: str, wire: pa.RecordBatch) -> None:
        self.content = _content(form, wire)
        self._json = form == "json"
        if self._json:
            self._ids = np.array(_behind(b'"id":"', self.content))
            stamps = np.array(_behind(b'"ts":', self.content))
            self._heads = [
                _digits(stamps[[self.content.startswith(b"%d" % head, at) for at in stamps]], head)
                for head in (_HEAD, _HEAD + 1)
            ]
        else:
            self._rows, self._at, self._ids = _lying(self.content)

    def again(self, cycle: int) -> bytes | bytearray:
        """The same body, `cycle` thousand seconds later, under other ids."""
        if not cycle:
            return self.content
        body = bytearray(self.content)
        letters = np.frombuffer(body, np.uint8)
        letters[self._ids] = ord("A") + cycle % 26
        if self._json:
            for more, where in enumerate(self._heads):
                letters[where] = np.frombuffer(b"%d" % (_HEAD + more + cycle), np.uint8)
        else:
            np.frombuffer(body, np.int64, self._rows, self._at)[:] += cycle * CYCLE_MS
        return body


def _behind(what: bytes, content: bytes) -> list[int]:
    return [found.end() for found in re.finditer(what, content)]


def _digits(stamps: Any, head: int) -> Any:
    return stamps[:, None] + np.arange(len(str(head)))


def _lying(body: bytes) -> tuple[int, int, Any]:
    """Rows of a body of columns, and where in it the times lie, and the first letters of ids."""
    held = pa.py_buffer(body)
    read = pa.ipc.open_stream(held).read_next_batch()
    times, (_, where, text) = read.column("ts").buffers()[1], read.column("id").buffers()
    first = np.frombuffer(where, np.int32)[: read.num_rows] + (text.address - held.address)
    return read.num_rows, times.address - held.address, first


def bodies(form: str, events: int, each: int, accounts: int, pace: int) -> list[Body]:
    """Bodies of `each` events; ids begin with `e`, times with the day's first digits."""
    made = []
    for traffic in stretches(events, accounts, rate=pace):
        wire = wire_batch(traffic)
        for start in range(0, wire.num_rows - each + 1, each):
            made.append(Body(form, wire.slice(start, each)))
    return made


def questions(many: int, accounts: int) -> list[bytes]:
    """Bodies of `decide`: a message to a stranger, each of one event."""
    rng, made = np.random.default_rng(9), []
    for n, (one, other) in enumerate(rng.integers(0, accounts, (many, 2)).tolist()):
        event = {"id": f"q{n}", "ts": START_MS + n, "type": "message.sent", "size": 100,
                 "account": f"u{one:012d}", "peer": f"u{other:012d}"}  # fmt: skip
        made.append(json.dumps(event | {"in_contacts": False}).encode())
    return made


def _content(form: str, wire: pa.RecordBatch) -> bytes:
    if form == "json":
        return ("[" + ",".join(json_rows(wire).to_pylist()) + "]").encode()
    names = [n for n in WIRE_SCHEMA.names if wire.column(n).null_count < wire.num_rows]
    narrow = pa.RecordBatch.from_arrays(
        [pa.concat_arrays([wire.column(n)]) for n in names], names=names
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, narrow.schema) as writer:
        writer.write_batch(narrow)
    return bytes(sink.getvalue())


class _Load:
    """Connections, a thread each: it has an answer sooner than a loop of events tells of it."""

    def __init__(self, given: argparse.Namespace, bodies: Iterator[bytes | bytearray]) -> None:
        self.given, self.bodies = given, bodies
        self.latencies: list[float] = []
        self.accepted = self.refused = 0
        self._turn = threading.Lock()
        self._due = self.began = time.perf_counter()
        self._end = self.began + given.seconds

    def connection(self) -> None:
        """Send what comes next, and wait for its answer, until the time is over."""
        given = self.given
        path = "/v1/decide" if given.form == "decide" else "/v1/events"
        head = (f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {_TYPES[given.form]}\r\n"
                + (f"authorization: Bearer {given.key}\r\n" if given.key else ""))  # fmt: skip
        with socket.create_connection((given.host, given.port)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while following := self._next():
                began, body = following
                time.sleep(max(0.0, began - time.perf_counter()))
                server.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                taken = _answered(server)
                self._count(time.perf_counter() - began, taken)
                if not taken:
                    time.sleep(0.05)

    def _next(self) -> tuple[float, bytes | bytearray] | None:
        """When the next request is due, and its body."""
        with self._turn:
            at = self._due if self.given.rate else time.perf_counter()
            if at >= self._end or self.accepted >= self.given.at_most:
                return None
            self._due += self.given.each / self.given.rate if self.given.rate else 0.0
            return at, next(self.bodies)

    def _count(self, latency: float, taken: bool) -> None:
        with self._turn:
            self.latencies.append(latency)
            self.accepted += self.given.each if taken else 0
            self.refused += not taken


def _answered(server: socket.socket) -> bool:
    """Read an answer; whether it says that the events were taken, or an act judged."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(server)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _more(server)
    return head.startswith(b"HTTP/1.1 20") and b'"on_failure"' not in body


def _more(server: socket.socket) -> bytes:
    part = server.recv(1 << 16)
    if not part:
        raise ConnectionError("the service closed a connection")
    return part


def _endless(given: argparse.Namespace, made: list[Body]) -> Iterator[bytes | bytearray]:
    cycle = given.cycle
    while True:
        for body in made:
            yield body.again(cycle)
        cycle += 1


def _run(given: argparse.Namespace, bodies: Iterator[bytes | bytearray]) -> Sent:
    load, worked = _Load(given, bodies), time.process_time()
    with ThreadPoolExecutor(given.connections) as threads:
        for one in [threads.submit(load.connection) for _ in range(given.connections)]:
            one.result()
    seconds = time.perf_counter() - load.began
    spread = np.array(load.latencies or [float("nan")]) * 1000
    return Sent(
        load.accepted, seconds, load.accepted / seconds, load.refused,
        float(np.percentile(spread, 50)), float(np.percentile(spread, 99)), float(spread.max()),
        (time.process_time() - worked) / seconds,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Send, and print what came of each run as JSON; with `--wait` one run for each line read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8480)
    parser.add_argument("--form", choices=sorted(_TYPES), default="json")
    parser.add_argument("--each", type=int, default=500, help="events a body")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0, help="events a second; 0: all it takes")
    parser.add_argument("--events", type=int, default=2_000_000, help="made before the clock runs")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--at-most", type=int, default=1 << 62, help="stop after so many events")
    parser.add_argument("--cycle", type=int, default=0, help="where to begin")
    parser.add_argument("--pace", type=int, default=300_000, help="events a second of log time")
    parser.add_argument("--key", default="")
    parser.add_argument(
        "--wait", action="store_true", help="a run for each line on standard input: its rate"
    )
    given = parser.parse_args(arguments)
    endless: Iterator[bytes | bytearray]
    if given.form == "decide":
        given.each = 1
        endless = itertools.cycle(questions(given.events, given.accounts))
    else:
        made = bodies(given.form, given.events, given.each, given.accounts, given.pace)
        endless = _endless(given, made)
    if given.wait:
        print(json.dumps({"made": True}), flush=True)
    for rate in sys.stdin if given.wait else [str(given.rate)]:
        given.rate = float(rate)
        print(json.dumps(asdict(_run(given, endless))), flush=True)


if __name__ == "__main__":
    main()
