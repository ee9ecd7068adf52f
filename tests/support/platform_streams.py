"""Random streams of a business platform, aimed at its boundaries, beside the oracle.

`python -m support.platform_streams STREAMS [FIRST_SEED] [ACTS]`, in `tests`, compares so many; the
tests take a few of the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from oracle.business_platform import Platform
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.state import State
from wavebreak_business.settings import Limits, load_limits

DAY = 86_400_000
START = 20_000 * DAY + 5 * 3_600_000
STEPS = (
    0,
    0,
    0,
    1,
    250,
    500,
    999,
    1000,
    5999,
    6000,
    6001,
    60_000,
    1_800_000,
    3_600_000,
    10_800_000,
)
SPANS = (
    DAY,
    DAY,
    DAY,
    3 * DAY,
    500,
    1000,
    6000,
    12_000,
    1_800_000,
    10_800_000,
    21_600_000,
    5 * DAY,
)

Step = Any
"""An array of acts, or the name of a method of State and its arguments."""


class Stream(NamedTuple):
    limits: Limits
    steps: list[Step]


def small_limits(rng: np.random.Generator) -> Limits:
    """Return limits that a few people reach."""
    shipped = load_limits()
    change = msgspec.structs.replace
    low = float(rng.choice([0.05, 0.2, 0.5]))
    return change(
        shipped,
        limit=change(
            shipped.limit, steps=(2, 4, 9), count=str(rng.choice(["delivered", "sent"])),
            raise_days=int(rng.integers(1, 8)),
        ),
        pair=change(shipped.pair, burst=int(rng.integers(1, 4))),
        ladder=change(
            shipped.ladder, steps=shipped.ladder.steps[int(rng.integers(8)) :],
            forget=str(rng.choice(["90d", "1d"])),
        ),
        consent=change(shipped.consent, required=("marketing",) if rng.random() < 0.8 else ()),
        pacing=change(
            shipped.pacing, first=int(rng.integers(2, 30)), least=int(rng.integers(1, 5)),
            portfolio_first=int(rng.integers(2, 6)), portfolio_growth=2, portfolio_until=20,
            bad_share=float(rng.choice([0.05, 0.3])),
        ),
        quality=change(
            shipped.quality, low=low, medium=low / 2, least=int(rng.integers(2, 6)),
            few_reads=float(rng.choice([0, 0.3])),
        ),
    )  # fmt: skip


class _Times:
    """Times that creep on, jump to just before, at or after a boundary, and come late."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.now = rng, START
        self.past: list[tuple[int, Any]] = []

    def next(self, act: Any) -> None:
        """Date an act; one at a boundary is a send to the person whose earlier act made it."""
        rng, kind = self.rng, self.rng.random()
        if kind < 0.7 or not self.past:
            self.now += int(rng.choice(STEPS))
        elif kind < 0.9:
            span, off = int(rng.choice(SPANS)), int(rng.integers(-1, 2))
            begin, earlier = self.past[-1 - int(rng.integers(min(12, len(self.past))))]
            self.now = max(self.now, begin + span + off)
            if act["kind"] == k.SEND:
                act["person"] = earlier["person"]
                if earlier["number"] != k.NONE:
                    act["number"], act["template"] = earlier["number"], earlier["template"]
        else:
            act["ts"] = max(0, self.now - int(rng.choice([1, 1000, 60_000, 3_600_000, DAY])))
            return
        act["ts"] = self.now
        self.past.append((self.now, act))


def random_stream(seed: int, length: int = 400) -> Stream:
    rng = np.random.default_rng(seed)
    limits = small_limits(rng)
    portfolios, people = int(rng.integers(1, 5)), int(rng.integers(2, 14))
    numbers, templates = portfolios + int(rng.integers(0, 5)), 2 * portfolios
    steps: list[Step] = [
        ("add_portfolio", {"limit": int(rng.choice([2, 4, 9, -1])), "paced": rng.random() < 0.4})
        for _ in range(portfolios)
    ]
    for n in range(numbers):
        rate = int(rng.choice([1, 2, 3, 80]))
        steps.append(("add_number", {"portfolio": n % portfolios, "rate": rate}))
    for t in range(templates):
        steps.append(("add_template", {"portfolio": t % portfolios, "category": t % 3}))
        status = k.APPROVED if rng.random() < 0.9 else k.PENDING
        steps.append(("set_template", _template(t, status, t % 3, START)))
    times, done = _Times(rng), 0
    while done < length:
        count = int(rng.integers(1, 60))
        steps.append(_acts(rng, times, count, portfolios, numbers, templates, people))
        done += count
        steps += _changes(rng, times, portfolios, numbers, templates, people)
    return Stream(limits, steps)


def _template(template: int, status: int, category: int, at: int) -> dict[str, int]:
    return {"template": template, "status": status, "category": category, "at": at}


def _changes(
    rng: np.random.Generator, times: _Times, portfolios: int, numbers: int, templates: int,
    people: int,
) -> Iterator[Step]:  # fmt: skip
    kind = rng.random()
    some = {
        "portfolio": int(rng.integers(portfolios)), "number": int(rng.integers(numbers)),
        "template": int(rng.integers(templates)),
    }  # fmt: skip
    if kind < 0.25:
        kept, gone = rng.choice(people, 2).tolist()
        yield "merge_people", {"kept": kept, "gone": gone}
    elif kind < 0.45:
        status = int(rng.choice([k.APPROVED, k.APPROVED, k.PENDING, k.DISABLED]))
        category = some["template"] % 3
        if rng.random() < 0.7:
            status = k.APPROVED
        yield "set_template", _template(some["template"], status, category, times.now)
    elif kind < 0.55:
        yield "set_limit", {"portfolio": some["portfolio"], "limit": int(rng.choice([1, 2, 4, -1]))}
    elif kind < 0.62:
        paced = bool(rng.random() < 0.5)
        yield "set_paced", {"portfolio": some["portfolio"], "paced": paced}
    elif kind < 0.68:
        yield "move_number", {"number": some["number"], "portfolio": some["portfolio"]}


def _acts(
    rng: np.random.Generator, times: _Times, count: int, portfolios: int, numbers: int,
    templates: int, people: int,
) -> Any:  # fmt: skip
    acts = np.zeros(count, k.ACT)
    acts["kind"] = rng.choice(
        9, count, p=[0.56, 0.05, 0.19, 0.02, 0.04, 0.04, 0.03, 0.04, 0.03]
    )  # fmt: skip
    acts["person"] = rng.integers(people, size=count)
    acts["number"] = rng.integers(numbers + (rng.random() < 0.1), size=count)
    # Mostly one of the number's own portfolio, and more often the first than the others.
    acts["template"] = acts["number"] % portfolios + portfolios * rng.integers(2, size=count)
    other = rng.random(count) < 0.04
    acts["template"] = np.where(other, rng.integers(templates, size=count), acts["template"])
    acts["weight"] = rng.choice([0, 30, 100, 255], count, p=[0.05, 0.15, 0.75, 0.05])
    acts["category"] = rng.choice([0, 0, 0, 1, 2, k.ANY, k.ANY], count)
    acts["portfolio"] = k.NONE
    sends = acts["kind"] == k.SEND
    named = rng.random(count) < 0.85
    acts["flags"] = np.where(sends & named, k.WITH_TEMPLATE, 0)
    acts["flags"] |= ((acts["kind"] == k.INBOUND) & (rng.random(count) < 0.2)).astype(np.uint8)
    acts["flags"] |= np.where(sends & (rng.random(count) < 0.03), k.AT_CAP, 0).astype(np.uint8)
    acts["template"] = np.where(named & (rng.random(count) < 0.97), acts["template"], k.NONE)
    general = np.isin(acts["kind"], (k.GRANT, k.REVOKE)) & (rng.random(count) < 0.6)
    acts["number"] = np.where(general, k.NONE, acts["number"])
    acts["portfolio"] = np.where(general, rng.integers(portfolios, size=count), k.NONE)
    for act in acts:
        times.next(act)
    return acts


def expected(stream: Stream) -> list[tuple[int, int, int]]:
    """Return what the oracle says of every act."""
    platform, answers = Platform(stream.limits), []
    for step in stream.steps:
        if isinstance(step, tuple):
            getattr(platform, step[0])(**step[1])
        else:
            answers += [platform.take(act) for act in step]
    return answers


def actual(
    stream: Stream, workers: int, cuts: np.random.Generator | None = None
) -> tuple[Any, Any]:
    """Return what the compiled rules say, and the state; cut and restored at random places."""
    state, answers = State(stream.limits, workers=workers), []
    for step in stream.steps:
        if isinstance(step, tuple):
            getattr(state, step[0])(**step[1])
            continue
        places = [] if cuts is None else np.unique(cuts.integers(step.size + 1, size=2)).tolist()
        for part in np.split(step.copy(), places):
            if cuts is not None and cuts.random() < 0.1:
                arrays = {name: array.copy() for name, array in state.dump().items()}
                state = State(stream.limits, workers=workers)
                state.load(arrays)
            answers.append(state.advance(part))
    told = np.concatenate(answers)
    rows = zip(
        told["outcome"].tolist(), told["opens"].tolist(), told["changes"].tolist(), strict=True
    )
    return list(rows), state


def same_state(one: State, other: State) -> bool:
    """Whether two states hold the same bytes."""
    ours, theirs = one.dump(), other.dump()
    return all(array.tobytes() == theirs[name].tobytes() for name, array in ours.items())


class Comparison(NamedTuple):
    differ: list[str]
    outcomes: set[int]
    changes: set[int]


def compare(seed: int, length: int = 400) -> Comparison:
    """Return what differs on one stream (from the oracle, by workers and cuts), and what came."""
    stream = random_stream(seed, length)
    told = expected(stream)
    alone, one = actual(stream, 1)
    differ = []
    if alone != told:
        place = next(n for n, (a, b) in enumerate(zip(alone, told, strict=True)) if a != b)
        differ.append(f"seed {seed}: act {place}: {alone[place]}, oracle {told[place]}")
    shared, seven = actual(stream, 7, np.random.default_rng(seed))
    if shared != alone or not same_state(one, seven):
        differ.append(f"seed {seed}: 7 workers, cut and restored, differ from 1")
    return Comparison(differ, {a[0] for a in told}, {a[2] for a in told})


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    streams, first, length = (*given, *(100, 0, 400)[len(given) :])
    outcomes, changes, bad = Counter[int](), Counter[int](), list[str]()
    for seed in range(first, first + streams):
        found = compare(seed, length)
        bad += found.differ
        outcomes.update(found.outcomes)
        changes.update(found.changes)
    print(f"{streams:,} streams of {length} acts from seed {first}: {len(bad)} differ")
    print(*bad[:5], sep="\n")
    print("streams with an outcome:", dict(sorted(outcomes.items())))
    print("streams with a change:", dict(sorted(changes.items())))


if __name__ == "__main__":
    main()
