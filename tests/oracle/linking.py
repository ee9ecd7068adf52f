"""Edges between accounts from the plain list of facts, turn by turn, with dictionaries alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wavebreak.features.layout import WITHDRAWN_REVERSAL

TARGETS_LAST, DEVICES_LAST, EDGE_LASTS = 14 * 1440, 30 * 1440, 14 * 1440
VISITORS, ON_BLOCK, ON_NETWORK = 6, 24, 8


class Places(NamedTuple):
    """Number block, network and device of an account (0: none), and when it registered (s)."""

    block: int
    network: int
    device: int
    registered: int


class Facts(NamedTuple):
    """Facts of one turn that ends at `epoch`."""

    epoch: int
    first_contacts: list[tuple[int, int]]
    moved: list[int]
    registered: list[int]
    judged: list[tuple[int, int]]


class EdgeCounts:
    """Support of an edge by kind, and the epochs of the first and last."""

    def __init__(self, epoch: int) -> None:
        self.kinds: Counter[str] = Counter()
        self.first = self.last = epoch


class LinkingOracle:
    """Edges after all turns."""

    def __init__(self, places: Callable[[int], Places]) -> None:
        self.places = places
        self.edges: dict[tuple[int, int], EdgeCounts] = {}
        self.found: set[int] = set()
        self.visits: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
        self.waiting: dict[tuple[int, ...], set[int]] = defaultdict(set)

    def turn(self, facts: Facts) -> None:
        self.edges = {
            pair: e for pair, e in self.edges.items() if e.last > facts.epoch - EDGE_LASTS
        }
        for account, judgement in facts.judged:
            if judgement != WITHDRAWN_REVERSAL:
                (self.found.add if judgement == 1 else self.found.discard)(account)
        for peer, account in sorted({(p, a) for a, p in facts.first_contacts}):
            for other in self._visit(("target", peer), account, facts.epoch, TARGETS_LAST):
                kind = "after" if (account in self.found) != (other in self.found) else "targets"
                self._support(account, other, kind, facts.epoch)
        there = {(self.places(a).device, a) for a in facts.moved if self.places(a).device}
        for device, account in sorted(there):
            for other in self._visit(("device", device), account, facts.epoch, DEVICES_LAST):
                self._support(account, other, "device", facts.epoch)
        self._register(facts)

    def _register(self, facts: Facts) -> None:
        for account in set(facts.registered):
            block, network, _, registered = self.places(account)
            hour = registered // 3600
            if block and network:
                self.waiting[(hour, block, network)].add(account)
            if network:
                self.waiting[(hour, network)].add(account)
        for key in [key for key in self.waiting if key[0] < facts.epoch // 60]:
            kind, most = ("block", ON_BLOCK) if len(key) == 3 else ("network", ON_NETWORK)
            together = sorted(self.waiting.pop(key))
            if len(together) <= most:
                for step in (1, 2):
                    for a, b in zip(together, together[step:], strict=False):
                        self._support(a, b, kind, facts.epoch)

    def _visit(self, place: tuple[str, int], account: int, epoch: int, lasts: int) -> Iterable[int]:
        """Those whom the account meets there; nobody where it is a hub, or was there before."""
        visits = self.visits[place]
        known = account in visits
        alive = [a for a, then in visits.items() if then > epoch - lasts]
        if not known and len(visits) == VISITORS:
            del visits[min(visits, key=lambda a: (visits[a], a))]
        visits[account] = epoch
        return [] if known or len(alive) == VISITORS else alive

    def _support(self, a: int, b: int, kind: str, epoch: int) -> None:
        edge = self.edges.setdefault((min(a, b), max(a, b)), EdgeCounts(epoch))
        edge.kinds[kind] += 1
        edge.last = epoch
