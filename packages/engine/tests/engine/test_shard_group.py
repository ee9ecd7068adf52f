"""The seam between shards and what they share: exchange, parts of a segment, order, dumps."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from support.exchange_board import Board, Seat
from support.parity_streams import crowded, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.exchange import shards_of
from wavebreak.features.catalog import INDEX
from wavebreak.features.facts import Fanout
from wavebreak.features.layout import HIT, SHARDS
from wavebreak.features.shards import merge_hits

LOG = log(
    [
        row | ({"trap": True} if row.get("peer") in ("p", "q") else {})
        for row in crowded(random.Random(3), sends=600)
    ]
)


def engine(seat: Seat | None = None) -> Engine:
    return Engine(rules.load_policy(), enforce=True, accounts=256, exchange=seat)


def test_a_segment_is_left_as_it_is_by_who_processes_it() -> None:
    of, refused = engine(), 0
    for segment in of.fanout.segments(LOG):
        before = segment.events.tobytes()
        list(of.advance(segment))
        assert segment.events.tobytes() == before
        refused += int(np.count_nonzero(segment.results))
    assert refused > 0


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_parts_of_a_segment_hold_each_account_event_once(groups: int) -> None:
    for segment in Fanout().segments(LOG):
        whole = {(int(f["place"]), int(f["code"]) & 1) for f in segment.facts}
        found = []
        for group in range(groups):
            part = segment.of_shards(shards_of(group, groups))
            found += [(int(f["place"]), int(f["code"]) & 1) for f in part.facts]
            for fact in part.facts:
                event = part.events[fact["code"] >> 1]
                assert event == segment.events[fact["place"]]
                slot = event["peer"] if fact["code"] & 1 else event["account"]
                assert slot % SHARDS % groups == group
        assert len(found) == len(whole)
        assert set(found) == whole


def test_hits_have_one_order_whoever_found_them() -> None:
    hits, rng = np.zeros(60, HIT), np.random.default_rng(1)
    hits["step"], hits["position"] = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    hits["account"], hits["hits"] = rng.integers(0, 5, 60), np.arange(60)
    _, first = np.unique(hits[["position", "role", "account", "step"]], return_index=True)
    hits = hits[first]
    expected = merge_hits([hits]).tobytes()
    for seed in range(5):
        mixed = np.random.default_rng(seed).permutation(hits)
        assert merge_hits([mixed[:7], mixed[7:]]).tobytes() == expected


def test_groups_of_shards_in_threads_find_what_one_engine_does() -> None:
    alone, board = engine(), Board(3)
    groups = [engine(Seat(board, number)) for number in range(3)]
    found = dict[int, list[bytes]]()

    def work(number: int) -> None:
        shards, own = groups[number].shards, shards_of(number, 3)
        found[number] = []
        for segment in alone_segments:
            for hits in (shards.turn(segment.epoch), shards.advance(segment.of_shards(own))):
                found[number] += [] if hits is None else [hit.tobytes() for hit in hits]
        found[number] += [hit.tobytes() for hit in shards.close(shards.epoch + 1)]

    alone_segments = list(alone.fanout.segments(LOG))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    wanted = list[bytes]()
    for segment in alone_segments:
        for hits in (alone.shards.turn(segment.epoch), alone.shards.advance(segment)):
            wanted += [] if hits is None else [hit.tobytes() for hit in hits]
    wanted += [hit.tobytes() for hit in alone.shards.close(alone.shards.epoch + 1)]
    for thread in threads:
        thread.join()
    assert len(wanted) >= 3
    written = [alone.core.values_of(n)[INDEX["trap_contacts_28d"]] for n in range(30)]
    assert written.count(2) >= 3
    assert sorted(hit for hits in found.values() for hit in hits) == sorted(wanted)


def test_dumps_of_groups_are_together_that_of_one_engine() -> None:
    alone = engine()
    for segment in alone.fanout.segments(LOG):
        list(alone.advance(segment))
    whole, parts = alone.core.dump(), list[str]()
    for number in range(3):
        board = Board(3)
        part = engine(Seat(board, number))
        part.core.load(whole)
        dumped = part.core.dump()
        for name, array in dumped.items():
            if "pairs" not in name:
                same = whole[name][: array.size]
                assert array[: same.size].tobytes() == same.tobytes(), name
        parts += dumped
    assert set(parts) == set(whole)
    assert sum(name.startswith("rows") for name in parts) == SHARDS
