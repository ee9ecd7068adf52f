"""Runs over one log, by one engine and by shards in several processes, and their comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support.former_model import load_former_model
from support.shard_processes import ShardProcesses, same_content
from support.strict_policy import strict_policy
from wavebreak import rules
from wavebreak.engine import snapshot
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.engine.batch_run import run, stream_profile
from wavebreak.engine.enforcement import FirstMessages
from wavebreak.io import read
from wavebreak.linking import storage as operators_file
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage

EDGE = Pseudonymizer(b"a key for tests only")
BATCH = 3_000


@dataclass(frozen=True)
class Reference:
    """A log, and what one engine made of it; its last epoch is still open."""

    log: Path
    profile: Path
    model: bool
    strict: bool
    decisions: list[bytes]
    out: Path

    @property
    def state(self) -> Path:
        return self.out / "state"


def reference(source: Path, home: Path, *, model: bool, strict: bool = False) -> Reference:
    """Run one engine over events; its last epoch stays open."""
    home.mkdir(parents=True, exist_ok=True)
    profile, out = home / "profile.json", home / "out"
    coverage.save(stream_profile(source, None, EDGE)[0], profile)
    scored = load_former_model() if model else None
    policy = strict_policy() if strict else rules.load_policy()
    run(source, out, policy, EDGE, profile_path=profile, enforce=True, model=scored, batch=BATCH,
        keep=out / "state")  # fmt: skip
    decisions = (out / "decisions.jsonl").read_bytes().splitlines()
    return Reference(source, profile, model, strict, decisions, out)


def compared(
    of: Reference, home: Path, workers: Sequence[int], *, kills: float = 0, every: int = 0,
    seed: int = 1, stale: bool = False,
) -> ShardProcesses:  # fmt: skip
    """Divide the same run among workers, and compare; several numbers: rescaled in mid-run."""
    home.mkdir(parents=True, exist_ok=True)
    shards = ShardProcesses(
        home, workers[0], of.profile, model=of.model, strict=of.strict, every=every, kills=kills,
        seed=seed, stale=stale,
    )  # fmt: skip
    try:
        _compare(of, home, shards, workers)
    finally:
        shards.stop()
    return shards


def _compare(of: Reference, home: Path, shards: ShardProcesses, workers: Sequence[int]) -> None:
    engine = shards.engine()
    engine.first_messages = FirstMessages()
    made = list[bytes]()
    batches = list(_batches(of))
    for number, log in enumerate(batches):
        made += [msgspec.json.encode(one) for one in engine.take(log)]
        stage = (number + 1) * len(workers) // len(batches)
        if stage < len(workers) and workers[stage] != shards.groups:
            shards.rescale(workers[stage])
    assert made == of.decisions, "decisions differ"
    said = shards.ask("operators")
    snapshot.save(engine, home / "state")
    one, other = snapshot.read(of.state), snapshot.read(home / "state")
    assert one.about == other.about
    assert list(different(one.arrays, other.arrays)) == []
    # One engine can go on from what several have left.
    alone = shards.engine_alone()
    snapshot.restore(alone, home / "state")
    alone.first_messages = engine.first_messages
    operators_file.save(alone.operators(), home)
    assert (home / "operators.jsonl").read_bytes() == (of.out / "operators.jsonl").read_bytes()
    wanted = alone.shards.operators(lambda slots: [str(slot) for slot in slots.tolist()])
    assert all(each == wanted for each in said)
    assert accounts_table(alone).equals(pq.read_table(of.out / "accounts.parquet"))
    assert engine.finish() == alone.finish()
    shards.end()


def _batches(of: Reference) -> Iterator[pa.RecordBatch]:
    return (batch.log for batch in read(of.log, EDGE, batch=BATCH))


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Names of the arrays of a dump that are not the same in another."""
    yield from one.keys() ^ other.keys()
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if "pairs" in name:
            # Where a pair lies in its table depends on the secret of the hash.
            a, b = (np.sort(table[table["key"] > 0], order="key") for table in (a, b))
        elif name == "linker.facts":
            # They wait for the end of their hour in any order.
            a, b = (np.sort(facts, order=facts.dtype.names) for facts in (a, b))
        elif name.startswith("fanout."):
            # One ordered reader, whoever holds the shards; its tables depend on a secret too.
            continue
        if not same_content(a, b):
            yield name
