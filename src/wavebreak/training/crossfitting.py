"""Where people are few all of them calibrate: each part by trees that never saw it.

A fifth of a small platform's people is a hundred accounts or two, and what stands just above them
stands wherever the one happens to lie who is most like a sender. Trees that left an account out say
of it what they would say of a stranger, so that every account but the test's may count.

Stone, Cross-Validatory Choice and Assessment of Statistical Predictions (JRSS B 36, 1974); Vovk,
Cross-Conformal Predictors (Annals of Mathematics and Artificial Intelligence 74, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavebreak.model import from_booster
from wavebreak.training import fitting, tolerating
from wavebreak.training.points import Bools, Floats, Ints, Points
from wavebreak.training.settings import Settings

STARTED = "started_chats"
"""The feature that counts whom an account has written to first."""


@dataclass(frozen=True)
class Held:
    """Points that calibrate, as trees that never saw their accounts see them.

    `rows` (n,) of all points are meant; of those, in order: `margins`; `poorer`, the margins of the
    same as poorer streams show them; `partials` (abusive ones, blocks), sums after each block.
    """

    rows: Bools
    margins: Floats
    poorer: Floats
    partials: Floats


def silent(points: Points) -> Bools:
    """Points at which the account has started no chat; (n,). None where that is no input."""
    if STARTED not in points.names:
        return np.zeros(len(points), np.bool_)
    return ~(points.values[:, points.names.index(STARTED)] >= 1)


def few(points: Points, benign: Bools, settings: Settings) -> bool:
    """Whether too few people calibrate: of `benign` points (n,), those with no chat started."""
    if settings.few is None:
        return False
    people = len(np.unique(points.account[benign & silent(points)]))
    return people < tolerating.needed(settings.few.silent, settings.tolerance.confidence)


def apart(
    booster: Any, points: Points, shown: Floats, rows: Bools, bad: Bools, wide: Callable[..., Any]
) -> Held:  # fmt: skip
    """Hold the points `rows` against the trees of a fit that saw none of their accounts.

    `shown` are the values of `rows` as poorer streams show them, `bad` (n,) says which points are
    of abusive accounts, `wide` puts values into the catalog's columns.
    """
    partials = from_booster(booster, name="plain").partials(wide(points.where(rows & bad)))
    return Held(
        rows, fitting.margins(booster, points.values[rows]),
        fitting.margins(booster, shown), partials,
    )  # fmt: skip


def crossed(
    fit: Callable[[Bools, int], Any], points: Points, shown: Floats, part: Ints, late: Bools,
    bad: Bools, blocks: int, wide: Callable[..., Any],
) -> Held:  # fmt: skip
    """Hold every account that is in a part (accounts,) against trees of all other parts.

    `fit` makes trees of the points of a mask, told which part is left out; no fit sees `late`
    points. `blocks` are the columns of the partial sums; `shown` are of all points in a part, and
    the rest is as in `apart`.
    """
    of, n = part[points.account], len(points)
    rows = np.asarray(of >= 0)
    margins, poorer = np.full(n, np.nan), np.full(n, np.nan)
    partials = np.full((n, blocks), np.nan)
    for number in np.unique(of[rows]).tolist():
        out = of == number
        booster = fit(rows & ~out & ~late, number)
        mine = apart(booster, points, shown[out[rows]], out, bad, wide)
        margins[out], poorer[out] = mine.margins, mine.poorer
        partials[out & bad] = _columns(mine.partials, blocks)
    return Held(rows, margins[rows], poorer[rows], partials[rows & bad])


def _columns(partials: Floats, blocks: int) -> Floats:
    """The same sums in `blocks` columns: a fit that ended early stays at its last sum.

    >>> _columns(np.array([[1.0, 2.0]]), 3).tolist()
    [[1.0, 2.0, 2.0]]
    """
    at = np.minimum(np.arange(blocks), partials.shape[1] - 1)
    at[-1] = partials.shape[1] - 1
    return partials[:, at]
