"""Memory per account and per known pair, from array sizes and from the operating system."""

from __future__ import annotations

import gc

import pyarrow as pa

from benchmarks.engine_stages import engine, warmed
from benchmarks.figures import Figure
from benchmarks.machine import resident_bytes
from wavebreak.engine import Engine
from wavebreak.features.layout import ROW, SHARDS

NAME = "memory"
AN_ACCOUNT, A_PAIR = 640.0, 24.0
PAGE = 2 << 20
"""Rows lie in pages of this size where the system has them: each shard's last one is part empty."""


def _resident() -> int | None:
    gc.collect()
    pa.default_memory_pool().release_unused()
    return resident_bytes()


def bench(quick: bool) -> list[Figure]:
    """Bytes an account and a pair, and how much the process grew."""
    accounts, events = (50_000, 300_000) if quick else (1_000_000, 5_000_000)
    # The first engine loads code and policy, so that they are not counted as state.
    warmed(engine(accounts=1024), 1000, 10_000)
    before = _resident()
    to = engine()
    warmed(to, accounts, events)
    after = _resident()
    return _counted(to, before, after)


def _counted(to: Engine, before: int | None, after: int | None) -> list[Figure]:
    held, n = to.core.nbytes(), len(to.fanout.accounts)
    names = to.fanout.accounts.nbytes()
    state = held["rows"] + held["rares"] + held["people"] + names
    seen = to.fanout.seen.nbytes()
    ids = int(to.fanout.seen.filled.sum())
    grown = None if before is None or after is None else float(after - before)
    sizes = [len(range(s, n, SHARDS)) * ROW.itemsize for s in range(SHARDS)]
    unfilled = sum(-size % PAGE for size in sizes)
    allowed = AN_ACCOUNT * n + A_PAIR * held["pairs_known"] + seen
    parts = ", ".join(f"{k} {held[k] / n:.0f}" for k in ("rows", "rares", "people"))
    return [
        Figure(NAME, "state an account", "bytes", state / n, target=AN_ACCOUNT, better="less",
               note=f"{parts}, names {names / n:.0f}; {n:,} accounts"),
        Figure(NAME, "pair table a known pair", "bytes", held["pairs"] / held["pairs_known"],
               target=A_PAIR, better="less", note=f"{held['pairs_known']:,} pairs"),
        Figure(NAME, "event ids, each", "bytes", seen / ids,
               note=f"{ids:,} ids; bounded, whatever the accounts"),
        Figure(NAME, "the process grew by", "MB", None if grown is None else grown / 1e6,
               target=allowed / 1e6, better="less",
               note=f"counted {(state + held['pairs'] + seen) / 1e6:,.0f} MB; the target is 640 B "
                    "an account, 24 B a pair and the ids; last pages of the shards may add "
                    f"{unfilled / 1e6:.0f} MB (at most 134, whatever the accounts)"),
    ]  # fmt: skip
