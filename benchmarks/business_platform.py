"""The rules of the platform for businesses: sends a second, beside the oracle; bytes a person."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.figures import Figure, figure
from oracle.business_platform import Platform
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.state import State
from wavebreak_business.settings import load_limits

NAME = "business"
DAY = 86_400_000
START = 20_600 * DAY


def bench(quick: bool) -> list[Figure]:
    """Sends a second of the compiled rules and of plain Python in turns; bytes a person known."""
    full, small = (1_000, 1_000_000, 2_000_000, 5), (100, 20_000, 200_000, 3)
    portfolios, people, each, runs = small if quick else full
    rng = np.random.default_rng(7)
    state, oracle = _world(State(load_limits()), portfolios), _world(Platform(load_limits()), 20)
    known = _known(rng, people, portfolios)
    for part in np.array_split(known, 16):
        state.advance(part)
    few = _known(rng, 2_000, 20)
    for act in few:
        oracle.take(act)
    rates, slow, accepted = [], [], 0
    for run in range(runs):
        sends = _sends(rng, known, each, START + run * DAY)
        begin = time.thread_time()
        told = [state.advance(part) for part in np.array_split(sends, max(each // 100_000, 1))]
        # The people's messages among them take time and are no sends.
        rates.append(int((sends["kind"] == k.SEND).sum()) / (time.thread_time() - begin))
        accepted += sum(int((part["outcome"] <= k.HELD).sum()) for part in told)
        some = _sends(rng, few, 2_000, START + run * DAY)
        begin = time.thread_time()
        for act in some:
            oracle.take(act)
        slow.append(2_000 / (time.thread_time() - begin))
    held = int(state.used["nodes"].sum())
    nbytes = state.nbytes()
    return [
        figure(NAME, "compiled rules, 1 core", "sends/s", rates, target=1e6,
               note=f"{held:,} people known to {portfolios:,} portfolios, "
               f"{accepted / each / runs:.0%} of acts are accepted sends"),
        figure(NAME, "the oracle: plain Python, 2,000 people", "sends/s", slow,
               note="the same kinds of send; it looks at everybody for each"),
        figure(NAME, "a person known to a portfolio", "bytes", [sum(nbytes.values()) / held],
               note=f"{k.NODE.itemsize} of the person, {k.PLACE.itemsize} a place taken in 24 h, "
               "the rest tables"),
    ]  # fmt: skip


def _world(to: Any, portfolios: int) -> Any:
    for slot in range(portfolios):
        to.add_portfolio(-1)
        to.add_number(slot, 1_000)
        template = to.add_template(slot, k.UTILITY)
        to.set_template(template, k.APPROVED, k.UTILITY, START - DAY)
    return to


def _acts(kind: int, count: int) -> Any:
    acts = np.zeros(count, k.ACT)
    acts["kind"], acts["category"], acts["weight"] = kind, k.ANY, 100
    acts["portfolio"] = acts["number"] = k.NONE
    acts["template"] = k.NONE
    return acts


def _known(rng: np.random.Generator, people: int, portfolios: int) -> Any:
    """Grants of people to portfolios, a few of them each."""
    acts = _acts(k.GRANT, 3 * people)
    acts["ts"], acts["person"] = START - DAY, rng.integers(people, size=acts.size)
    acts["portfolio"] = rng.integers(portfolios, size=acts.size)
    return acts


def _sends(rng: np.random.Generator, known: Any, count: int, start: int) -> Any:
    """Templates to random people who are known; every eighth act is a message of a person."""
    acts = _acts(k.SEND, count)
    chosen = known[rng.integers(known.size, size=count)]
    acts["ts"] = start + np.sort(rng.integers(DAY, size=count))
    acts["person"], acts["number"] = chosen["person"], chosen["portfolio"]
    acts["template"], acts["flags"] = chosen["portfolio"], k.WITH_TEMPLATE
    acts["kind"] = np.where(rng.random(count) < 1 / 8, k.INBOUND, k.SEND)
    return acts
