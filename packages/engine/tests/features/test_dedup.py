"""Duplicate filter: ids are remembered while their events are not late, in bounded memory."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.parity_streams import START, Row, log
from wavebreak.features.dedup import DuplicateFilter
from wavebreak.features.facts import Fanout
from wavebreak.features.interner import name_spans
from wavebreak.schema.events import TYPES

LATENESS_MS = 60_000
LEAST = 256


def stream(events: int, every_ms: int, seed: int = 1) -> list[Row]:
    """Messages in order, one in ten of them a copy of one of the last half minute."""
    rng, made = random.Random(seed), list[Row]()
    kind = TYPES.index("message.sent")
    for n in range(events):
        fresh = {"id": f"e{n}", "ts": START + n * every_ms, "type": kind, "account": "a",
                 "peer": "b"}  # fmt: skip
        recent = made[-max(1, LATENESS_MS // 2 // every_ms) :]
        made.append(rng.choice(recent) if recent and n % 10 == 9 else fresh)
    return made


def small(fanout: Fanout) -> Fanout:
    fanout.seen.least = LEAST
    return fanout


def dropped(fanout: Fanout, events: list[Row], batch: int = 10_000) -> list[int]:
    """What became of each event: 0 taken, 1 seen before, 2 late."""
    told: list[int] = []
    for begin in range(0, len(events), batch):
        for segment in fanout.segments(log(events[begin : begin + batch])):
            told += segment.events["drop"].tolist()
    return told


def held(fanout: Fanout) -> int:
    return fanout.seen.nbytes()


@pytest.mark.parametrize("every_ms", [10, 100, 2_000])
def test_duplicate_not_late_is_recognized_after_many_ids(
    every_ms: int,
) -> None:
    events, known, copies = stream(12_000, every_ms), set[str](), list[int]()
    for event in events:
        copies.append(int(event["id"] in known))
        known.add(event["id"])
    fanout = small(Fanout())
    assert dropped(fanout, events) == copies
    assert sum(copies) > 1_000
    assert fanout.seen.generation > 0, "no generation has ended: the test shows nothing"


@pytest.mark.parametrize("batch", [1, 7, 333, 4_096])
def test_duplicate_filter_does_not_depend_on_batches(batch: int) -> None:
    # A copy of any age under the newest date is not late: whether it is taken shows what is known.
    events, rng = stream(12_000, 200), random.Random(4)
    for at in range(500, 12_000, 3):
        events[at] = events[rng.randrange(at)] | {"ts": events[at]["ts"]}
    whole = dropped(small(Fanout()), events)
    assert dropped(small(Fanout()), events, batch) == whole
    taken = [event["id"] for event, drop in zip(events, whole, strict=True) if not drop]
    assert len(taken) > len(set(taken)), "nothing was forgotten: the test shows nothing"


def test_duplicate_filter_restored_forgets_the_same_ids() -> None:
    events = stream(12_000, 200)
    late_copies = [event | {"ts": events[-1]["ts"]} for event in events[::5]]
    went_on = small(Fanout())
    dropped(went_on, events[:8_000])
    loaded = small(Fanout())
    loaded.load({name: array.copy() for name, array in went_on.dump().items()})
    rest = events[8_000:] + late_copies
    assert dropped(loaded, rest) == dropped(went_on, rest)


def test_duplicate_filter_memory_depends_on_rate_not_length() -> None:
    fanout, sizes = small(Fanout()), list[int]()
    events = stream(40_000, 100)
    for begin in range(0, len(events), 4_000):
        dropped(fanout, events[begin : begin + 4_000])
        sizes.append(held(fanout))
    assert max(sizes[2:]) <= 2 * min(sizes[2:])


def test_duplicate_filter_burst_of_ids_is_bounded() -> None:
    fanout = small(Fanout())
    fanout.seen.most = 2_000
    flood = [event | {"ts": START} for event in stream(20_000, 1)]
    dropped(fanout, flood)
    ids: Any = fanout.seen.filled.sum()
    assert ids < 3 * fanout.seen.most
    # By its random key one table in some twenty runs grows once more than the others.
    assert held(fanout) < 16 * 10 * fanout.seen.most


def test_duplicate_filter_knows_what_two_sets_of_ids_would() -> None:
    seen, rng, ids = DuplicateFilter(span_ms=50, least=64, most=200), random.Random(7), list[str]()
    newer, older, born, next_look = set[str](), set[str](), -1, 0
    for now in range(0, 9_000, 3):
        old = [ids[-1 - int(rng.expovariate(1 / 150)) % len(ids)] for _ in ids[:2]]
        batch = [*old, *(f"{now} {k}" for k in range(rng.randrange(8)))]
        ids += batch
        spans, out, done = name_spans(pa.array(batch, pa.string())), np.zeros(len(batch), bool), 0
        while done < len(batch):
            done = seen.note(spans, out, done)
            if done < len(batch):
                seen.grow(now)
        for one, repeated in zip(batch, out.tolist(), strict=True):
            if len(newer) >= next_look:
                born = now if born < 0 else born
                if len(newer) >= 200 or (len(newer) >= 64 and now > born + 50):
                    newer, older, born = set(), newer, now
                next_look = len(newer) + 4
            assert repeated == (one in newer or one in older)
            newer |= set() if repeated else {one}
    recent = ids[-900:]
    known = seen.known(name_spans(pa.array(recent))).tolist()
    assert known == [one in newer or one in older for one in recent]
    assert seen.generation > 65, "the number of a generation does not come again"
