"""The cost of the service's components, each alone on a warm thread: decoding, engine, decision.

Processor time, not wall time: other programs take some of that. Together, and over a million
accounts, the same components cost up to twice as much.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from benchmarks import load
from benchmarks.engine_stages import advance, engine
from benchmarks.figures import Figure, figure
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.io import jsonl
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_server.pipeline import decide
from wavebreak_server.pipeline.decoder_pool import decode_and_pack
from wavebreak_server.pipeline.request_decoder import Body, RequestDecoder, concat_batches
from wavebreak_server.settings import Limits

NAME = "parts"
EACH = 500
ACCOUNTS = 1_000_000
TOGETHER = (1, 2, 16)
"""Bodies that are read together: what comes alone, at 200,000 events/s, and at the full rate."""
BATCHES = (1, 8)


def bench(quick: bool) -> list[Figure]:
    """Reading bodies of both forms, the engine on small batches and on large ones, `decide`."""
    events, rounds = (100_000, 40) if quick else (2_000_000, 300)
    figures = [one for form in ("json", "arrow") for one in _reading(form, rounds)]
    made = _bodies("arrow", events)
    to = engine()
    for many in BATCHES:
        figures += _engine(to, made, many)
    return [*figures, *_deciding(to, rounds), _snapshot(to)]


def _bodies(form: str, events: int) -> list[Body]:
    made = load.bodies(form, events, EACH, ACCOUNTS, 300_000)
    return [Body(one.content, form) for one in made]


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _reading(form: str, rounds: int) -> list[Figure]:
    made, figures = _bodies(form, 100_000), []
    decoder = RequestDecoder(Pseudonymizer(b"parts, no secret"), Limits())
    jsonl.warm()
    for many in TOGETHER:
        parts = [made[at : at + many] for at in range(0, len(made) - many + 1, many)]
        some = [parts[k % len(parts)] for k in range(rounds)]
        spent = [_timed(partial(decode_and_pack, decoder, part)) for part in [*some[:20], *some]]
        costs = [s / many / EACH * 1e6 for s in spent[20:]]
        what = f"reading {form}, {many} bod{'ies' if many > 1 else 'y'} together"
        figures.append(_middle(what, "µs/event", costs, "cut, checked, over the edge, packed"))
    return figures


def _middle(what: str, unit: str, costs: Sequence[float], note: str) -> Figure:
    """The middle half of many: single rounds are disturbed by whatever else is there."""
    low, middle, high = statistics.quantiles(costs, n=4)
    return Figure(
        NAME,
        what,
        unit,
        middle,
        low,
        high,
        len(costs),
        better="less",
        note=f"{note}; range: the middle half",
    )


def _engine(to: Engine, made: list[Body], many: int) -> list[Figure]:
    decoder, fanout, kernel = RequestDecoder(Pseudonymizer(b"parts, no secret"), Limits()), [], []
    logs = [decoder.decode([body], narrow=True).log for body in made]
    first = to.fanout.position
    for at in range(0, len(logs) - many + 1, many):
        log = _named(concat_batches(logs[at : at + many]), first)
        began = time.thread_time()
        segments = list(to.fanout.segments(log))
        read = time.thread_time()
        for segment in segments:
            advance(to.core, segment)
        fanout.append(read - began)
        kernel.append(time.thread_time() - read)
    later = len(fanout) // 2
    return [
        _middle(f"{what}, batches of {many * EACH:,}", "ms",
                [s * 1000 for s in spent[later:]], "second half, a million accounts")
        for what, spent in (("fan-out", fanout), ("kernel", kernel))
    ]  # fmt: skip


def _named(log: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """The same events under other ids: none was seen before."""
    ids = pa.array([f"{first:x}-{one}" for one in log.column("id").to_pylist()])
    return log.set_column(log.schema.get_field_index("id"), "id", ids)


def _deciding(of: Engine, rounds: int) -> list[Figure]:
    edge = Pseudonymizer(b"parts, no secret")
    asks = decide.DecideResponder(rules.load_policy(), decide.load_decide_policy(None), edge)
    spent: dict[str, list[float]] = {"read": [], "over the edge": [], "tried": []}
    for content in load.questions(4 * rounds, ACCOUNTS):
        began = time.perf_counter()
        event = decide.parse_events(content, arrival_ms=0).events[0]
        read = time.perf_counter()
        log = decide.pseudonymize_event(event, edge)
        over = time.perf_counter()
        asks.respond(of, event, log, "ask")
        for name, seconds in zip(
            spent, (read - began, over - read, time.perf_counter() - over), strict=True
        ):
            spent[name].append(seconds * 1e6)
    return [_middle(f"decide, {name}", "µs", costs, "one event") for name, costs in spent.items()]


def _snapshot(of: Engine) -> Figure:
    """How long the engine pauses; another thread allocates the memory for the copy beforehand."""
    spent = []
    for _ in range(5):
        room = snapshot.CopyBuffer(snapshot.copy_size(of))
        began = time.perf_counter()
        snapshot.copy_state(of, room)
        spent.append((time.perf_counter() - began) * 1000)
    note = f"{len(of.fanout.accounts):,} accounts; the first {spent[0]:.0f}"
    return figure(NAME, "copying for a snapshot", "ms", spent, better="less", note=note)
