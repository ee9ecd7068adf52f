"""Damaged state: a dump in which a number leads out of an array is refused, and crashes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.parity_streams import START, crowded, log
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.snapshot import EngineState, manifest_of
from wavebreak.errors import SnapshotError
from wavebreak.features.layout import DELTA, FRIEND, MET, ROW, SHARDS, VISITED
from wavebreak.linking.edges import EDGE, KINDS
from wavebreak.rules import load_policy
from wavebreak.schema.events import TYPES

Arrays = dict[str, Any]
REGISTERED = TYPES.index("account.registered")
FAR = 0xFFFFFFF0


def _engine() -> Engine:
    return Engine(load_policy(), accounts=1024)


@pytest.fixture(scope="module")
def whole() -> Arrays:
    engine = _engine()
    engine.take(log(crowded(random.Random(7))))
    placed = [
        {"id": f"r{k}", "ts": START + 10**9 + k, "type": REGISTERED, "account": f"new{k}",
         "network": "n", "block": "b", "device": f"d{k}"}
        for k in range(5)
    ]  # fmt: skip
    engine.take(log(placed))
    return {name: array.copy() for name, array in engine.dump().items()}


@pytest.fixture
def arrays(whole: Arrays) -> Arrays:
    return {name: array.copy() for name, array in whole.items()}


def _in_rows(field: str, value: int) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        for s in range(SHARDS):
            arrays[f"core.rows{s}"][field] = value

    return change


def _in(name: str, value: Any, field: str = "") -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        at = arrays[name][field] if field else arrays[name]
        at[...] = value
        assert at.size, f"{name} is empty: the test shows nothing"

    return change


def _add(name: str, *entries: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        kind = arrays[name].dtype
        arrays[name] = np.concatenate([arrays[name], np.array(list(entries), kind)])

    return change


def _cut(name: str) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = arrays[name][:-1]

    return change


CHANGES: dict[str, Callable[[Arrays], None]] = {
    "network of a row": _in_rows("network", FAR),
    "device of a row": _in_rows("device", FAR),
    "rare row": _in_rows("rare", FAR),
    "target": _in_rows("targets", FAR),
    "outcome of a row": _in_rows("enforcement", 200),
    "channel": _in_rows("channel", 77),
    "gaps": _in_rows("gap_n", 16),
    "rows of another size": _cut("core.rows0"),
    "rows of another type": lambda a: a.update({"core.rows0": a["core.rows0"].view(np.uint8)}),
    "people of another size": _cut("core.people"),
    "outcome of people": _in("core.people", 9, "enforcement"),
    "newcomers": _in("core.newcomers", FAR, "slots"),
    "touched": _add("core.touched3", FAR),
    "contribution to an entity": _add("core.deltas3", (FAR, 1, 0, 3, (0, 0))),
    "contribution to an account": _add("core.deltas3", (1, 1 << 30, FRIEND, 3, (0, 0))),
    "contribution to another table": _add("core.deltas3", (0, 1, 99, 3, (0, 0))),
    "contribution of another shard": _add("core.deltas3", (1, 1, 0, 4, (0, 0))),
    "touched in another shard": _add("core.touched3", 4),
    "count of accounts": _in("core.numbers", 1 << 40),
    "negative count of accounts": _in("core.numbers", -5),
    "edge": _add("linker.edges", (FAR, 1, 1, (0,) * KINDS)),
    "edge twice": _add("linker.edges", (5, 1, 1, (0,) * KINDS), (5, 1, 1, (0,) * KINDS)),
    "marked account": _add("linker.marked", 1 << 40),
    "sender": _add("linker.reached", 1 << 40),
    "sighting's network": _add("linker.networks", (FAR << 32, 1, 0)),
    "sighting's account": _add("linker.networks", (FAR, 1, 0)),
    "chat's other": _add("linker.chats", (FAR, 1, 0)),
    "chats out of order": _add("linker.chats", (5, 1, 0), (5, 1, 0)),
    "fact's network": _add("linker.facts", (1, 1 << 30, VISITED, 0, (0, 0))),
    "fact's other account": _add("linker.facts", (1, 1 << 30, MET, 0, (0, 0))),
    "friend": _in("core.people", FAR, "friends"),
    "address out of bounds": _add("linker.addresses", (1 << 63, 1, 0)),
    "device's place": _in("linker.devices.at", 1 << 40),
    "device's visitors": _in("linker.devices", FAR, "slot"),
    "place of a name": _in("fanout.accounts.where", 1 << 47),
    "negative place of a name": _in("fanout.accounts.where", -1),
    "length of names": _in("fanout.entities.lengths", 1 << 40),
    "text of names": _in("fanout.accounts.arenas", 0xFF),
    "name twice": _in("fanout.accounts.arenas", 0x61),
    "names lost": _cut("fanout.accounts.where"),
    "sizes of tables of ids": _in("fanout.seen.sizes", 1 << 40),
    "empty tables of ids": _in("fanout.seen.older_sizes", 0),
    "number of ids": _in("fanout.seen.counts", 5),
    "pair": _in("core.pairs0", (1 << 64) - 1, "key"),
    "lengths of ids": _in("ids.lengths", 1 << 40),
    "sizes of ids": _in("ids.sizes", -1),
    "text of ids": _in("ids.text", 0xFF),
    "rules that fired": _cut("fired"),
    "array lost": lambda a: a.pop("linker.marked"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_dump_that_leads_out_of_bounds_is_refused(
    what: str, arrays: Arrays, tmp_path: Path
) -> None:
    CHANGES[what](arrays)
    engine = _engine()
    snapshot.write(EngineState(manifest_of(engine), arrays), tmp_path / "state")
    with pytest.raises(SnapshotError, match="cannot be read as a snapshot"):
        snapshot.restore(engine, tmp_path / "state")


def test_dump_that_is_whole_is_restored(arrays: Arrays, tmp_path: Path) -> None:
    engine = _engine()
    snapshot.write(EngineState(manifest_of(engine), arrays), tmp_path / "state")
    assert snapshot.restore(engine, tmp_path / "state") is False
    assert len(engine.fanout.accounts) == engine.core.accounts > 5


def test_dump_has_records_of_every_kind(arrays: Arrays) -> None:
    assert {a.dtype for a in arrays.values()} >= {ROW, DELTA, EDGE}
    assert arrays["core.entities"].size > arrays["fanout.entities.where"].size > 2
