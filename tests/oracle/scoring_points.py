"""Scoring points and scores of an account, by plain formulas."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from oracle.account_history import NAN, AccountHistory
from oracle.shared_state import REPUTATION

WEEK_S = 604_800


@dataclass(frozen=True)
class Scorer:
    """A model as a Python function, from inputs (the catalog's, in order) to a margin in 1/65,536.

    `margins` and `chances` are its calibration: edges, and one probability more than edges.
    """

    margin: Callable[[Sequence[float]], int]
    margins: Sequence[int]
    chances: Sequence[float]

    def chance(self, margin: int) -> float:
        """Return the probability of a margin; margin zero is stored as one."""
        return self.chances[bisect_right(self.margins, margin or 1)]


def _is_step(count: int) -> bool:
    a, b = 1, 2
    while a < count:
        a, b = b, a + b
    return a == count


def _is_point(s: AccountHistory, number: int) -> bool:
    fact = s.facts[number]
    if fact.kind in ("registered", "reported_by", "blocked_by"):
        return True
    if fact.kind == "session":
        was, now = ([{}, *s.places][number + k] for k in (0, 1))
        moved = any(was.get(e) != now.get(e) for e in ("network", "device"))
        return moved or bool(fact.fields.get("linked"))
    if fact.kind == "member_added":
        past = s.until(number)
        return _is_step(past.count(past.of("member_added"), "1d"))
    # Whether a fact opened a chat, or is a send, does not depend on later ones.
    if any(fact is first for first in s.first_sends()):
        past = s.until(number)
        opened = past.count(past.first_sends(), "1d")
        if _is_step(opened) and (opened >= 5 or _is_young(past)):
            return True
    sends = sum(one <= number for one in s.counted)
    return number in s.counted and sends >= 8 and _is_step(sends)


def _is_young(s: AccountHistory) -> bool:
    return any(s.clock - fact.now <= WEEK_S for fact in s.of("registered")[-1:])


def _closes(s: AccountHistory, epochs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Epochs at whose close a young account is re-evaluated: last event, next epoch."""
    last = {fact.epoch: i for i, fact in enumerate(s.facts)}
    for epoch, number in last.items():
        later, past = [e for e in epochs if e > epoch], s.until(number)
        gifts = (g for at in s.places[number].items() for g in s.shared.gifts.get(at, []))
        if (
            later
            and _is_young(past)
            and any(g.epoch == epoch and g.table in REPUTATION for g in gifts)
        ):
            yield number, min(later)


def with_re_evaluations(account: str, s: AccountHistory, epochs: Sequence[int]) -> AccountHistory:
    """Return the history with its re-evaluations beside a restricted account."""
    registered = {at for i, fact in enumerate(s.facts) if fact.kind == "registered"
                  for at in s.places[i].items()}  # fmt: skip
    blamed = {g.epoch: 0 for at in registered for g in s.shared.gifts.get(at, ())
              if g.table == "bad" and g.amount > 0
              and account in s.shared.newcomers(at, g.epoch)}  # fmt: skip
    mine = {fact.epoch for fact in s.facts}
    return AccountHistory(s.facts, s.shared, s.epoch, tuple(
        epoch for epoch in sorted(blamed)
        if epoch < max(epochs) and epoch not in mine and _was_young(s, epoch)
    ))  # fmt: skip


def _was_young(s: AccountHistory, epoch: int) -> bool:
    born = [fact.now for fact in s.of("registered") if fact.epoch < epoch]
    return any(epoch * 60 + 59 - now <= WEEK_S for now in born[-1:])


def _beside(s: AccountHistory, epochs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Re-evaluations that `with_re_evaluations` found: last event, next epoch."""
    for epoch in s.looks:
        before = sum(fact.epoch < epoch for fact in s.facts)
        yield before - 1, min(e for e in epochs if e > epoch)


def looks(s: AccountHistory, epochs: Sequence[int]) -> list[tuple[int, int, bool]]:
    """Scoring points in order: number of the fact, epoch as of which, whether at its close.

    `epochs` are those that the log has opened.
    """
    facts = [(i, s.facts[i].epoch, False) for i in range(len(s.facts)) if _is_point(s, i)]
    closes = [*_closes(s, epochs), *_beside(s, epochs)]
    return sorted([*facts, *((i, epoch, True) for i, epoch in closes)])


def scores(
    s: AccountHistory,
    epochs: Sequence[int],
    scorer: Scorer,
    inputs: Callable[[AccountHistory], Sequence[float]],
) -> tuple[float, float]:
    """Return the probability at the last scoring point and that at the last registration."""
    points = looks(s, epochs)
    registered = [p for p in points if s.facts[p[0]].kind == "registered" and not p[2]]

    def margin(point: tuple[int, int, bool]) -> int:
        return scorer.margin(inputs(s.seen(point[0], point[1])))

    last = scorer.chance(margin(points[-1])) if points else NAN
    if not registered:
        return last, NAN
    coarse = min(max(margin(registered[-1]) >> 6, 1 - 2**15), 2**15 - 1) or 1
    return last, scorer.chance(coarse << 6)
