"""Items joined: the most that any of them says to each rule, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wavebreak.cases.grounds import Grounds
from wavebreak.cases.weighing import RANK, Weighed, in_force, names

Says = tuple[int, ...]
"""Ranks (0 no, 1 unknown, 2 yes): R1, then for each notice outside, continued, linked."""


def says(weighed: Weighed, grounds: Grounds, as_of: int) -> Says:
    """What one item says to each rule."""
    rules = ["R1", *(name for n in in_force(grounds, as_of) for name in names(n))]
    return tuple(RANK[weighed.answer(rule)] for rule in rules)


def most(many: Iterable[Says], width: int) -> Says:
    """The most that any says, rule by rule; no where nobody speaks."""
    return tuple(max(column) for column in zip((0,) * width, *many, strict=True))


def joined(weighed: Sequence[Weighed], grounds: Grounds, as_of: int) -> Says:
    """What all items together say."""
    width = 1 + 3 * len(in_force(grounds, as_of))
    return most((says(w, grounds, as_of) for w in weighed), width)


def outcome(said: Says) -> int:
    """Follow from what is said: 0 not eligible, 1 undetermined, 2 eligible.

    >>> outcome((0, 2, 0, 2)), outcome((0, 2, 1, 0)), outcome((0, 0, 0, 2))
    (2, 1, 0)
    """
    notices = [said[at : at + 3] for at in range(1, len(said), 3)]
    return max([said[0], *(max(on, min(out, linked)) for out, on, linked in notices)])
