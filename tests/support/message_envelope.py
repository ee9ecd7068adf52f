"""How people write: figures of a log of messages, to hold drawn worlds against real traces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak_lab.simulation.log import Floats, Ints

DAY, HOUR = 86_400_000, 3_600_000
TOP = 99
"""Percentile that stands for the busiest."""


def envelope(
    batches: Iterable[pa.RecordBatch], accounts: set[str] | None = None
) -> dict[str, float]:
    """Figures of the messages from one account to another (of `accounts` only, where given).

    `day`, `hour`: messages of an account on an active day or hour, 99th percentile; `new_peers`
    and `new_peers_most`: peers first written to on an active day, 99th percentile and most;
    `peers`: peers of an account, 99th percentile; `reciprocity`: share of pairs that wrote both
    ways, of those among senders; `burstiness`: (sigma - mean) / (sigma + mean) of gaps, median over
    accounts with 20 messages (Goh and Barabasi, EPL 81, 2008). NaN where there is nothing.
    """
    ts, sender, peer = _messages(batches, accounts)
    if not len(ts):
        return dict.fromkeys(NAMES, np.nan)
    many = int(max(sender.max(), peer.max())) + 1
    pairs, first = np.unique(sender * many + peer, return_index=True)
    new = _each(sender[first], ts[first] // DAY)
    back = np.isin(pairs % many * many + pairs // many, pairs)[np.isin(pairs % many, sender)]
    peers = np.unique(pairs // many, return_counts=True)[1]
    return dict(zip(NAMES, (
        _top(_each(sender, ts // DAY)), _top(_each(sender, ts // HOUR)), _top(new),
        float(new.max()), _top(peers), float(back.mean()), _burstiness(ts, sender),
    ), strict=True))  # fmt: skip


NAMES = ("day", "hour", "new_peers", "new_peers_most", "peers", "reciprocity", "burstiness")


def _messages(
    batches: Iterable[pa.RecordBatch], accounts: set[str] | None
) -> tuple[Ints, Ints, Ints]:
    """Times, senders and peers as numbers, in order of time."""
    kept = []
    for batch in batches:
        rows = pc.and_(pc.equal(batch["type"], "message.sent"), pc.is_valid(batch["peer"]))
        kept.append(batch.filter(rows).select(["ts", "account", "peer"]))
    table = pa.Table.from_batches(kept)
    if accounts is not None:
        table = table.filter(pc.is_in(table["account"], pa.array(sorted(accounts))))
    both = pa.concat_arrays([*table["account"].chunks, *table["peer"].chunks])
    codes = both.dictionary_encode().indices.to_numpy().astype(np.int64)
    return table["ts"].to_numpy(), codes[: len(table)], codes[len(table) :]


def _each(account: Ints, slot: Ints) -> Ints:
    """How often each pair of account and slot of time occurs."""
    pairs = np.stack([account, slot], 1)
    return np.asarray(np.unique(pairs, axis=0, return_counts=True)[1])


def _top(counts: Ints | Floats) -> float:
    return float(np.percentile(counts, TOP))


def _burstiness(ts: Ints, sender: Ints) -> float:
    order = np.lexsort((ts, sender))
    ts, sender = ts[order], sender[order]
    found = []
    starts = np.flatnonzero(np.diff(sender, prepend=-1))
    for low, high in zip(starts, np.append(starts[1:], len(sender)), strict=True):
        if high - low >= 20:
            gaps = np.diff(ts[low:high]).astype(np.float64)
            found.append((gaps.std() - gaps.mean()) / max(gaps.std() + gaps.mean(), 1e-9))
    return float(np.median(found)) if found else float("nan")
