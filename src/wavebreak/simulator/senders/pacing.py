"""When an operator's account writes: the plan of one day, from gaps, caps and the day curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulator.log import Floats, Ints
from wavebreak.simulator.manners import PITCH
from wavebreak.simulator.operators import paced
from wavebreak.simulator.places import DAY, HOUR, MINUTE, SECOND
from wavebreak.simulator.senders.parameters import Sender
from wavebreak.simulator.strangers import text_sizes

CHARACTERS_A_WORD = 5.0
PEAK_HOUR = 15
"""Local hour at which a played day curve is highest."""

_GRID = np.arange(25.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The messages of one day: when, how many characters, how long typing is shown (-1: not)."""

    ts: Ints
    characters: Floats
    lead: Ints

    def __len__(self) -> int:
        return len(self.ts)


NO_PLAN = Plan(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))


def allowance(sender: Sender, day: int) -> float:
    """Return how many messages an account sends on its n-th day (0 is the first).

    >>> [round(allowance(Sender(first_day=20, growth=1.8, per_day=680), d)) for d in (0, 1, 6, 9)]
    [20, 36, 680, 680]
    """
    if not sender.first_day:
        return sender.per_day
    return float(min(sender.per_day, sender.first_day * sender.growth ** min(day, 60)))


def slowest(sender: Sender, sharing: float) -> float:
    """Return the least mean gap in seconds that the caps allow, with `sharing` accounts a network.

    >>> slowest(Sender(per_minute=5, per_10min=3, pooled=20), sharing=4)
    200.0
    """
    caps = (
        60 / sender.per_minute if sender.per_minute else 0.0,
        600 / sender.per_10min if sender.per_10min else 0.0,
        60 * sharing / sender.pooled if sender.pooled else 0.0,
    )
    return max(caps)


def _gaps(rng: np.random.Generator, sender: Sender, count: int, lead: Ints, pick: int) -> Floats:
    """Draw gaps in milliseconds."""
    low, high = sender.gap
    if sender.law == "fixed":
        return np.full(count, sender.gap[pick % 2] * SECOND)
    if sender.quick[1] and pick % 2 == 0:
        low, high = sender.quick
        drawn = rng.normal((low + high) / 2, (high - low) / 5, count)
        return np.clip(drawn, low, high) * SECOND
    if sender.law == "typed":
        return np.maximum(lead, 0) + rng.uniform(*sender.pause, count) * SECOND
    return rng.uniform(low, high, count) * SECOND


def _warp(ts: Ints, start: int, amplitude: float, zone: int) -> Ints:
    """Move times so that they are as dense as a cosine day, from `start` on."""
    hours = 2 * np.pi * (_GRID - PEAK_HOUR) / 24
    shape = np.sin(hours) - np.sin(hours[0])
    steps = _GRID + amplitude * 24 / (2 * np.pi) * shape
    local = start + zone * HOUR
    day, rest = divmod(local, DAY)
    begun = np.interp(rest / HOUR, _GRID, steps) * HOUR
    days, rests = np.divmod(begun + (ts - start), DAY)
    moved = (day + days) * DAY + np.interp(rests / HOUR, steps, _GRID) * HOUR - zone * HOUR
    return np.asarray(np.maximum(moved.astype(np.int64), start))


def plan_day(
    rng: np.random.Generator, sender: Sender, start: int, day: int, *, pace: float, sharing: float,
    zone: int, pick: int,
) -> Plan:  # fmt: skip
    """Plan the messages of an account's day that begins at `start` (milliseconds).

    `pace` is the share of its usual pace, `sharing` how many accounts share a network, `zone` the
    hour that the day curve is set to, `pick` the account's place among its operator's.
    """
    count = allowance(sender, day) * pace
    burst = sender.burst if day == 0 else 0
    count = int(count) + burst + int(rng.random() < count % 1)
    text = text_sizes(rng, count, sender.pitch or PITCH)[0]
    speed = np.clip(rng.normal(*sender.words, count), 20, 80)
    typed = text / CHARACTERS_A_WORD / speed * MINUTE
    lead = np.where(rng.random(count) < sender.typing, typed, -1).astype(np.int64)
    gaps = _gaps(rng, sender, count, lead, pick)
    floor = slowest(sender, sharing) * SECOND
    if count > burst:
        gaps *= max(1.0, floor / max(float(gaps.mean()), 1.0)) / max(pace, 0.01)
    gaps += np.where(rng.random(count) < sender.idle, rng.uniform(5, 20, count) * MINUTE, 0.0)
    if burst:
        gaps[:burst] = rng.exponential(sender.burst_s / (burst + 1), burst) * SECOND
        gaps[:burst] *= min(1.0, sender.burst_s * 0.9 * SECOND / gaps[:burst].sum())
    if sender.law == "spread":
        hours = np.sort(rng.random(count)) * rng.uniform(*sender.waking)
        ts = start + (hours * HOUR).astype(np.int64)
    else:
        ts = paced(start, gaps, max(1, int(sender.per_hour) + burst))
    if sender.curve:
        ts = _warp(ts, start, sender.curve, zone)
    ts = ts[ts < start + DAY]
    before = np.diff(ts, prepend=start - MINUTE)
    shown = np.minimum(lead[: len(ts)], (0.9 * before).astype(np.int64))
    return Plan(ts, text[: len(ts)], np.where(lead[: len(ts)] < 0, -1, shown))
