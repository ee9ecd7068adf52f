"""How a number is drawn from its prior, and a recipe from the priors of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np

from wavebreak.simulator.drawn_priors import PRIORS, Prior

SHAKEN = 0.45
"""Sigma of the logarithm by which numbers without a prior are shaken (a share: its odds)."""

Recipe = TypeVar("Recipe")


@cache
def priors_of(owner: str) -> Mapping[str, Prior]:
    """Return the priors of one class by field."""
    dotted = ((p.name.partition("."), p) for p in PRIORS)
    return {field: prior for (name, _, field), prior in dotted if name == owner}


def number(rng: np.random.Generator, prior: Prior) -> float:
    """Draw one number.

    >>> rng = np.random.default_rng(1)
    >>> 10 <= number(rng, Prior("World.people", "log", 10, 20, "why")) <= 20
    True
    """
    if prior.law == "even":
        return float(rng.uniform(prior.low, prior.high))
    drawn = float(np.exp(rng.uniform(np.log(prior.low), np.log(prior.high))))
    return 1.0 - drawn if prior.law == "all-but" else drawn


def value(rng: np.random.Generator, prior: Prior, like: Any) -> Any:
    """Draw a value of the kind that a default has: a number, a whole one, or a pair of them."""
    drawn = number(rng, prior)
    if prior.law == "bounds":
        width = rng.uniform(1.2, 2.5)
        low, high = drawn / width, drawn * width
        whole = isinstance(like[0], int)
        return (int(low), max(int(high), int(low) + 2)) if whole else (low, high)
    return max(1, round(drawn)) if isinstance(like, int) else drawn


def draw_of(rng: np.random.Generator, default: Recipe, owner: str = "") -> Recipe:
    """Draw every number of a recipe that has a prior under its class's name (or `owner`'s)."""
    table = priors_of(owner or type(default).__name__)
    drawn = {
        f.name: value(rng, table[f.name], getattr(default, f.name))
        for f in fields(default)  # type: ignore[arg-type]
        if f.name in table
    }
    return replace(default, **drawn)  # type: ignore[type-var]


def shaken(rng: np.random.Generator, default: Recipe, but: frozenset[str]) -> Recipe:
    """Shake every number of a recipe, log-normally round its default, except fields named."""
    changed = {}
    for f in fields(default):  # type: ignore[arg-type]
        old = getattr(default, f.name)
        if f.name not in but and (new := _shaken(rng, old)) is not None:
            changed[f.name] = new
    return replace(default, **changed)  # type: ignore[type-var]


def _shaken(rng: np.random.Generator, old: Any) -> Any:
    factor = float(np.exp(rng.normal(0.0, SHAKEN)))
    if isinstance(old, bool) or not isinstance(old, int | float | tuple):
        return None
    if isinstance(old, tuple):
        if not all(isinstance(x, int | float) for x in old):
            return None
        if all(0 <= x <= 1 for x in old):
            return tuple(_odds(x, factor) for x in old)
        return tuple(_scaled(x, factor) for x in old)
    return _odds(old, factor) if isinstance(old, float) and 0 <= old <= 1 else _scaled(old, factor)


def _odds(share: float, factor: float) -> float:
    return share * factor / (1 - share + share * factor)


def _scaled(old: float, factor: float) -> float:
    return max(1, round(old * factor)) if isinstance(old, int) else old * factor
