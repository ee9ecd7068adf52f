"""Small cells: what is withheld, and that a reader cannot work it out."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.errors import UsageError
from wavebreak_server.transparency.report import check_minimum
from wavebreak_server.transparency.suppression import SMALL, Sum, withheld_cells

counts = st.integers(0, 12)


def possible(
    cells: dict[str, int], sums: list[Sum], minimum: int, withheld: dict[str, str]
) -> list[dict[str, int]]:
    """Every assignment of the withheld cells that a reader cannot exclude."""
    names = list(withheld)
    ranges = [range(1, minimum) if withheld[name] == SMALL else range(1, 60) for name in names]
    found = []
    for values in product(*ranges):
        tried = cells | dict(zip(names, values, strict=True))
        if all(_holds(tried, one) for one in sums):
            found.append(tried)
    return found


def _holds(cells: dict[str, int], one: Sum) -> bool:
    parts = sum(cells[part] for part in one.parts)
    return parts <= cells[one.total] if one.rest else parts == cells[one.total]


@given(st.lists(counts, min_size=2, max_size=5), st.integers(3, 6))
def test_small_part_of_a_total_cannot_be_derived(parts: list[int], minimum: int) -> None:
    cells = {f"part{k}": count for k, count in enumerate(parts)} | {"total": sum(parts)}
    sums = [Sum("total", tuple(f"part{k}" for k in range(len(parts))))]
    withheld = withheld_cells(cells, sums, minimum)
    small = {name for name, count in cells.items() if 1 <= count < minimum}
    assert {name for name, why in withheld.items() if why == SMALL} <= small <= set(withheld)
    if len(withheld) <= 3:
        worlds = possible(cells, sums, minimum, withheld)
        for name in small:
            assert len({world[name] for world in worlds}) > 1


@given(counts, counts, counts, st.integers(3, 6))
def test_small_cell_in_nested_totals_cannot_be_derived(
    a: int, b: int, c: int, minimum: int
) -> None:
    cells = {"a": a, "b": b, "c": c, "inner": a + b, "outer": a + b + c}
    sums = [Sum("inner", ("a", "b")), Sum("outer", ("inner", "c"))]
    withheld = withheld_cells(cells, sums, minimum)
    if len(withheld) <= 3:
        worlds = possible(cells, sums, minimum, withheld)
        for name in (n for n, count in cells.items() if 1 <= count < minimum):
            assert len({world[name] for world in worlds}) > 1


@given(st.integers(0, 40), st.integers(0, 12), st.integers(3, 6))
def test_small_difference_from_a_total_cannot_be_derived(
    part: int, rest: int, minimum: int
) -> None:
    cells = {"total": part + rest, "part": part}
    withheld = withheld_cells(cells, [Sum("total", ("part",), rest=True)], minimum)
    if 1 <= rest < minimum:
        assert withheld
    elif min(part, part + rest) >= minimum or not part:
        assert set(withheld) <= {"total"}


def test_large_counts_and_zeros_are_all_published() -> None:
    cells = {"total": 20, "a": 20, "b": 0}
    assert withheld_cells(cells, [Sum("total", ("a", "b"))], 5) == {}


def test_minimum_of_zero_withholds_nothing() -> None:
    assert withheld_cells({"total": 3, "a": 1, "b": 2}, [Sum("total", ("a", "b"))], 0) == {}


@pytest.mark.parametrize("minimum", [-1, 2])
def test_minimum_that_protects_nobody_is_refused(minimum: int) -> None:
    with pytest.raises(UsageError, match="protects nobody"):
        check_minimum(minimum)
