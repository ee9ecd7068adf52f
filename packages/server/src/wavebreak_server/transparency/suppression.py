"""Suppression of small cells: counts that would say something of few people are withheld.

A count from 1 to below the minimum is small. It is withheld, and so is every further count without
which a reader could work it out from totals (complementary suppression). The reader is taken to
know each published count, that small ones lie between 1 and the minimum, and which counts add up
to which. Differences count too: 98 of a total of 100 gives away the 2.

The bounds that a reader can derive are computed by propagation through the sums, one at a time,
until nothing changes. That is exact where sums share at most one cell with each other. Tables with
rows and columns are only protected against what single rows and columns give away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SMALL, BESIDE = "small", "beside_small"
_ROUNDS = 100


class Sum(NamedTuple):
    """Cells that add up to a total; with `rest`, together with a cell that is not published."""

    total: str
    parts: tuple[str, ...]
    rest: bool = False


def withheld_cells(
    cells: Mapping[str, int], sums: Iterable[Sum], minimum: int, *, unpublished: Iterable[str] = ()
) -> dict[str, str]:
    """Choose the counts to withhold.

    Args:
        cells: The counts by name.
        sums: Which of them add up to which. Names without a count are left out of a sum, which then
            has a rest.
        minimum: The smallest count above 0 that is published.
        unpublished: Counts that are in a sum and are not published in any case.

    Returns:
        Why each withheld count is: SMALL, or BESIDE a small one (of which a reader learns only that
        it is not 0).

    >>> outcomes = {"all": 40, "limit": 30, "restrict": 7, "ban": 3}
    >>> withheld_cells(outcomes, [Sum("all", ("limit", "restrict", "ban"))], 5)
    {'ban': 'small', 'restrict': 'beside_small'}
    >>> withheld_cells({"all": 100, "first": 98}, [Sum("all", ("first",), rest=True)], 5)
    {'first': 'beside_small'}
    """
    values = dict(cells)
    hidden = set(unpublished)
    rules = list[Sum]()
    for k, one in enumerate(sums):
        if one.total not in cells:
            continue
        parts = tuple(part for part in one.parts if part in cells)
        if one.rest or len(parts) < len(one.parts):
            rest = f"rest of {one.total} {k}"
            values[rest] = cells[one.total] - sum(cells[part] for part in parts)
            hidden.add(rest)
            parts += (rest,)
        rules.append(Sum(one.total, parts))
    withheld = {
        name: SMALL for name, v in values.items() if 1 <= v < minimum and name not in hidden
    }
    while exposed := _exposed(values, rules, minimum, hidden, withheld):
        chosen = _beside(exposed, values, rules, hidden, withheld)
        if chosen is None:
            break
        withheld[chosen] = BESIDE
    return withheld


def _exposed(
    values: Mapping[str, int],
    rules: list[Sum],
    minimum: int,
    hidden: set[str],
    withheld: Mapping[str, str],
) -> list[str]:
    """Return the small cells whose count a reader can derive."""
    low, high = dict[str, float](), dict[str, float]()
    for name, value in values.items():
        if name in hidden:
            low[name], high[name] = 0, math.inf
        elif name in withheld:
            least = 1 if value < minimum else minimum
            low[name], high[name] = least, minimum - 1 if withheld[name] == SMALL else math.inf
        else:
            low[name] = high[name] = value
    for _ in range(_ROUNDS):
        before = sum(low.values()), sum(v for v in high.values() if v < math.inf), _finite(high)
        for one in rules:
            _narrow(one, low, high)
        if before == (
            sum(low.values()),
            sum(v for v in high.values() if v < math.inf),
            _finite(high),
        ):
            break
    return [
        name
        for name in (*withheld, *sorted(hidden))
        if 1 <= values[name] < minimum and low[name] == high[name] and minimum > 2
    ]


def _finite(high: Mapping[str, float]) -> int:
    return sum(v < math.inf for v in high.values())


def _narrow(one: Sum, low: dict[str, float], high: dict[str, float]) -> None:
    """Narrow the bounds of a sum's cells by the bounds of the others."""
    lows, highs = sum(low[p] for p in one.parts), sum(high[p] for p in one.parts)
    low[one.total], high[one.total] = max(low[one.total], lows), min(high[one.total], highs)
    unbounded = sum(high[p] == math.inf for p in one.parts)
    finite = sum(high[p] for p in one.parts if high[p] < math.inf)
    for part in one.parts:
        others = unbounded - (high[part] == math.inf)
        of_others = math.inf if others else finite - (high[part] if high[part] < math.inf else 0)
        least = max(low[part], low[one.total] - of_others)
        most = min(high[part], high[one.total] - (lows - low[part]))
        lows += least - low[part]
        if high[part] == math.inf and most < math.inf:
            unbounded -= 1
            finite += most
        elif high[part] < math.inf:
            finite += most - high[part]
        low[part], high[part] = least, most


def _beside(
    exposed: list[str],
    values: Mapping[str, int],
    rules: list[Sum],
    hidden: set[str],
    withheld: Mapping[str, str],
) -> str | None:
    """Choose the next cell to withhold: the smallest of a sum with an exposed cell, parts first.

    Where all of these are withheld, one of a sum with one of these, and so on. Where that leaves
    none, a small cell, of which no longer is said that it is small: a total first.
    """
    near, before = set(exposed), set[str]()
    while near != before:
        around = [one for one in rules if near & {one.total, *one.parts}]
        choices = [
            (cell == one.total, values[cell], cell)
            for one in around
            for cell in (*one.parts, one.total)
            if cell not in hidden and cell not in withheld and values[cell]
        ]
        if choices:
            return min(choices)[2]
        before = set(near)
        near |= {cell for one in around for cell in (*one.parts, one.total)}
    small = [cell for cell in withheld if cell in near and withheld[cell] == SMALL]
    return max(small, key=lambda cell: (values[cell], cell), default=None)
