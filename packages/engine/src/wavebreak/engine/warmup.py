"""Compilation ahead of time: a few events through every path of the engine.

Most of a first start is compilation, and that is Python's work on one core. `precompile` spreads it
over processes: the kernel in two parts, the shipped rules, the event reader and the code of each
other distribution (entry points of the group `wavebreak.precompile`) are compiled apart, into one
cache.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import entry_points

import numpy as np
import pyarrow as pa

from wavebreak.compiled.numba_runtime import compile_for
from wavebreak.engine.engine import Engine
from wavebreak.features import catalog, kernel
from wavebreak.features.facts import Segment
from wavebreak.features.layout import EVENT, FACT, ROW, SHARD, SHARDS, WORKER
from wavebreak.io import jsonl
from wavebreak.model import smallest_model
from wavebreak.rules import EnforcementTerms, Policy, compile_prefilter, load_policy
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import LOG_SCHEMA, TYPES


def warm() -> None:
    """Run a few events through the engine and the reader, so that all is compiled and cached."""
    _run_engine(load_policy())
    jsonl.warm()


def precompile(
    report: Callable[[str, float], None] = lambda part, seconds: None, processes: int = 0
) -> None:
    """Compile in parallel processes all that `warm` and other distributions need; then run these.

    Args:
        report: Called as each part is ready, with its name and the seconds it took.
        processes: Number of processes (0: one per core that this process may use).
    """
    # Not every system tells which cores a process may use.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = processes or allowed or 1
    spawn = multiprocessing.get_context("spawn")
    plugins = [point.name for point in entry_points(group=PLUGINS)]
    parts = [*PARTS, *plugins]
    with ProcessPoolExecutor(min(cores, len(parts)), mp_context=spawn) as pool:
        # The longest first.
        for done in as_completed([pool.submit(_timed, part) for part in parts]):
            report(*done.result())
    begin = time.perf_counter()
    warm()
    for plugin in plugins:
        _compile(plugin)
    report("all of it, once through", time.perf_counter() - begin)


@contextmanager
def compiling_kernel() -> Iterator[Callable[[], float]]:
    """Compile the kernel in two processes, and behind it the event reader, beside this one.

    At its end it waits for the reader, which a later command needs.

    Yields:
        A function that waits for the kernel, which is then in the cache of machine code, and
        returns how many seconds its compilation took.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(KERNEL), mp_context=spawn) as pool:
        compiled = [pool.submit(_timed, part) for part in KERNEL]
        pool.submit(_timed, READER)
        yield lambda: max(part.result()[1] for part in compiled)


def _timed(part: str) -> tuple[str, float]:
    begin = time.perf_counter()
    _compile(part)
    return part, time.perf_counter() - begin


def _compile(part: str) -> None:
    """Compile one of `PARTS`, or the code of another distribution."""
    if part in PARTS:
        PARTS[part]()
    for point in entry_points(group=PLUGINS, name=part):
        point.load()()


def _log() -> pa.RecordBatch:
    rows = [
        {"id": f"w{i}", "ts": i * 61_000, "type": TYPES.index("message.sent"), "account": "a",
         "peer": f"p{i}", "network": "10.0.0.0/24", "size": 40}
        for i in range(200)
    ]  # fmt: skip
    columns = {f.name: pa.array([r.get(f.name) for r in rows], f.type) for f in LOG_SCHEMA}
    return pa.RecordBatch.from_pydict(columns, schema=LOG_SCHEMA)


def _engine(policy: Policy) -> Engine:
    return Engine(policy, enforce=True, accounts=1024, model=smallest_model())


def _run_engine(policy: Policy) -> None:
    engine, log = _engine(policy), _log()
    engine.take(log)
    engine.trial(log.slice(0, 1))
    engine.finish()
    smallest_model().reasons(engine.core.values_of(0))


def _no_rules() -> Policy:
    """Return a policy without rules: the kernel's code does not depend on them."""
    terms = EnforcementTerms(
        new_chats_1d=0, suspend_after=1, double_at_most=0, observe="1d", grace="1d",
        benign_grace="1d",
    )  # fmt: skip
    return Policy("none", (), {}, terms, catalog.NAMES, KINDS)


def _run_events() -> None:
    """Compile what applies events, then whatever the other part has not compiled meanwhile.

    In this order, since processing events needs first what evaluates accounts: both parts would
    compile it at the same time.
    """
    records = [np.zeros(1, kind)[0] for kind in (WORKER, SHARD, ROW, EVENT)]
    compile_for(kernel.apply_event, *records, 0, 0, 0, False)
    nothing = Segment(
        epoch=0, base=0, last=0, events=np.zeros(0, EVENT), facts=np.zeros(0, FACT),
        offsets=np.zeros(SHARDS + 1, np.int64), results=np.zeros(0, np.uint8),
        ids=pa.array([], pa.string()), accounts=0, entities=0,
    )  # fmt: skip
    _engine(_no_rules()).core.advance(nothing)
    _run_engine(_no_rules())


def _run_epochs() -> None:
    """Compile what evaluates accounts, which events need too, and what lays events out."""
    engine = _engine(_no_rules())
    engine.core.open(1, [engine.core.close()], np.zeros(1, np.int64))
    for _ in engine.fanout.segments(_log()):
        pass


def _run_rules() -> None:
    compile_prefilter(load_policy())


PLUGINS = "wavebreak.precompile"
"""The group of entry points by which other distributions name what compiles their code."""
KERNEL = ("events", "epochs")
READER = "reading JSON Lines"
PARTS: dict[str, Callable[[], None]] = {
    "events": _run_events,
    "epochs": _run_epochs,
    READER: jsonl.warm,
    "the shipped rules": _run_rules,
}
"""The parts that are compiled apart, the longest first; `KERNEL` names those of the kernel.

Both of these compile what they share; whichever comes second reads it from the cache.
"""
