"""Dials: a sender's parameters as numbers from 0 to 1 that a search can turn, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from wavebreak.red_team.config import Dial, Terms
from wavebreak.simulation.attackers import Sender
from wavebreak.simulation.log import Floats


def dials_of(sender: Sender, terms: Terms) -> dict[str, Dial]:
    """Return what a sender may turn: all of its kind of work, and what its tactic sets."""
    found = dict(getattr(terms.dials, sender.work))
    if sender.enrolment.residential or sender.hijack:
        found.pop("enrolment.networks", None)
    if sender.hijack:
        found = {name: dial for name, dial in found.items() if "." not in name}
    extra = {n: d for n, d in terms.dials.extra.items() if read(sender, n) > 0}
    found |= extra if sender.work == "write" else {}
    return {name: dial for name, dial in found.items() if name not in _idle(sender)}


def _idle(sender: Sender) -> set[str]:
    """Return the parameters that do nothing for a sender, so that no search turns them."""
    idle = {"gap"} if sender.law in ("typed", "spread") else set()
    idle |= set() if sender.staging else {"lurk_h"}
    idle |= set() if sender.ring_h else {"ring_chats"}
    return idle | (set() if sender.life_h or sender.replace else {"again"})


def _held(sender: Sender, name: str) -> Any:
    value: Any = sender
    for part in name.split("."):
        value = getattr(value, part)
    return value


def read(sender: Sender, name: str) -> float:
    """Return a parameter as one number: of bounds, the middle.

    >>> read(Sender(gap=(20.0, 60.0)), "gap")
    40.0
    """
    value = _held(sender, name)
    return float(sum(value) / 2) if isinstance(value, tuple) else float(value)


def _written(old: Any, value: float) -> Any:
    if isinstance(old, tuple):
        middle = sum(old) / 2
        ends = [e * value / middle for e in old] if middle > 0 else [0.5 * value, 1.5 * value]
        if isinstance(old[0], int):
            low = max(1, round(ends[0]))
            return low, max(low + 1, round(ends[1]))
        return tuple(ends)
    return max(1, round(value)) if isinstance(old, int) else value


def with_parameters(sender: Sender, values: dict[str, float]) -> Sender:
    """Return the sender with some parameters at other values; bounds keep their proportion.

    >>> with_parameters(Sender(gap=(20.0, 60.0)), {"gap": 80.0, "enrolment.devices": 5}).gap
    (40.0, 120.0)
    """
    own = {n: _written(getattr(sender, n), v) for n, v in values.items() if "." not in n}
    inner = {
        n.partition(".")[2]: _written(_held(sender, n), v) for n, v in values.items() if "." in n
    }
    return replace(sender, **own, enrolment=replace(sender.enrolment, **inner))


def place_of(dial: Dial, value: float) -> float:
    """Return where on its dial a value stands, 0 to 1.

    >>> place_of(Dial(1, 100, "factor", ""), 10), place_of(Dial(0, 4, "size", ""), 1)
    (0.5, 0.25)
    """
    if dial.by == "size":
        share = (value - dial.low) / (dial.high - dial.low)
    else:
        share = math.log(max(value, dial.low) / dial.low) / math.log(dial.high / dial.low)
    return min(1.0, max(0.0, share))


def value_at(dial: Dial, place: float) -> float:
    """Return the value at a place of the dial.

    >>> round(value_at(Dial(1, 100, "factor", ""), 0.5), 6)
    10.0
    """
    place = min(1.0, max(0.0, place))
    if dial.by == "size":
        return dial.low + place * (dial.high - dial.low)
    return float(dial.low * (dial.high / dial.low) ** place)


def places(sender: Sender, dials: dict[str, Dial]) -> Floats:
    """Return where all dials of a sender stand; one that is off (0) stands at its low end.

    A first day that does not exist stands where every day does.
    """
    found = [place_of(dial, read(sender, name)) for name, dial in dials.items()]
    names = list(dials)
    if "first_day" in names and not sender.first_day:
        found[names.index("first_day")] = place_of(dials["first_day"], sender.per_day)
    return np.array(found)


def at(sender: Sender, dials: dict[str, Dial], where: Floats) -> Sender:
    """Return the sender with its dials at these places."""
    values = {n: value_at(d, float(p)) for (n, d), p in zip(dials.items(), where, strict=True)}
    return with_parameters(sender, values)


def moves(before: Sender, after: Sender, dials: dict[str, Dial], most: int = 4) -> str:
    """Say in words which dials moved most, from where to where."""
    far = []
    for name, dial in dials.items():
        old, new = (float(places(s, {name: dial})[0]) for s in (before, after))
        low, high = read(before, name), read(after, name)
        if name == "first_day" and not before.first_day:
            low = min(before.per_day, dial.high)
        far.append((abs(new - old), f"{_number(low)} → {_number(high)} {dial.unit}"))
    far.sort(key=lambda move: -move[0])
    told = [words for size, words in far[:most] if size >= 0.05]
    return "; ".join(told) or "stays as it was"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"
