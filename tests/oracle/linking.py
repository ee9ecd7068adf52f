"""Edges between accounts from the plain list of facts, turn by turn, with dictionaries alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

DEVICES_LAST, EDGE_LASTS = 30 * 1440, 14 * 1440
VISITORS, ON_BLOCK, ON_NETWORK = 6, 24, 8
SIGHTINGS_LAST, AT_NETWORK, CHATS = 14 * 1440, 40, 16


class Places(NamedTuple):
    """Number block, network and device of an account (0: none), and when it registered (s)."""

    block: int
    network: int
    device: int
    registered: int


class Facts(NamedTuple):
    """Facts of one turn that ends at `epoch`."""

    epoch: int
    moved: list[int]
    registered: list[int]


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
        self.visits: dict[int, dict[int, int]] = defaultdict(dict)
        self.waiting: dict[tuple[int, ...], set[int]] = defaultdict(set)

    def turn(self, facts: Facts) -> None:
        self.edges = {
            pair: e for pair, e in self.edges.items() if e.last > facts.epoch - EDGE_LASTS
        }
        there = {(self.places(a).device, a) for a in facts.moved if self.places(a).device}
        for device, account in sorted(there):
            for other in self._visit(device, account, facts.epoch):
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

    def _visit(self, device: int, account: int, epoch: int) -> Iterable[int]:
        """Those whom the account meets there; nobody where it is a hub, or was there before."""
        visits = self.visits[device]
        known = account in visits
        alive = [a for a, then in visits.items() if then > epoch - DEVICES_LAST]
        if not known and len(visits) == VISITORS:
            del visits[min(visits, key=lambda a: (visits[a], a))]
        visits[account] = epoch
        return [] if known or len(alive) == VISITORS else alive

    def _support(self, a: int, b: int, kind: str, epoch: int) -> None:
        edge = self.edges.setdefault((min(a, b), max(a, b)), EdgeCounts(epoch))
        edge.kinds[kind] += 1
        edge.last = epoch


class Sender(NamedTuple):
    """What a tie reads of an account: trials, answers and complaints; when it registered (s)."""

    trials: int
    answered: int
    complaints: int
    registered: int | None
    mutual: int


class Seen(NamedTuple):
    """What one turn that ends at `epoch` shows of who is where, and who answers whom."""

    epoch: int
    visits: list[tuple[int, int]]
    """Account and network."""
    addressed: list[tuple[int, int]]
    """Account and exact address."""
    answered: list[tuple[int, int, bool]]
    """Who opened a chat, who answered, and whether they were contacts."""
    reversals: list[tuple[int, bool]]
    """An account that a person found benign, or whose label was withdrawn (True)."""


class SendersOracle:
    """Ties between senders, from plain lists of who was where and who chats with whom."""

    def __init__(self, rows: Callable[[int], Sender]) -> None:
        self.rows = rows
        self.at: dict[int, dict[int, int]] = defaultdict(dict)
        self.addresses: dict[int, dict[int, int]] = defaultdict(dict)
        self.chats: dict[int, dict[int, int]] = defaultdict(dict)
        self.known: set[tuple[int, int]] = set()
        self.contacts: set[tuple[int, int]] = set()
        self.cleared: Counter[int] = Counter()
        self.day = 0

    def turn(self, seen: Seen) -> set[tuple[str, int, int]]:
        """Return the ties at the end of a turn: kind, lower and higher account."""
        if seen.epoch // 1440 != self.day:
            self.day = seen.epoch // 1440
            for there in (*self.at.values(), *self.addresses.values(), *self.chats.values()):
                for account in [a for a, e in there.items() if e <= seen.epoch - SIGHTINGS_LAST]:
                    del there[account]
            self._forget_marks()
        for account, withdrawn in seen.reversals:
            self.cleared[account] = max(self.cleared[account] + (-1 if withdrawn else 1), 0)
        self._note(seen)
        return self._networks(seen.epoch) | self._addresses(seen.epoch) | self._rings()

    def _note(self, seen: Seen) -> None:
        for account, network in seen.visits:
            self.at[network][account] = seen.epoch
        for account, address in seen.addressed:
            self.addresses[address][account] = seen.epoch
        for opener, answerer, contact in seen.answered:
            self.chats[opener][answerer] = self.chats[answerer][opener] = seen.epoch
            self.known.add((answerer, opener))
            if contact:
                self.known.add((opener, answerer))
                self.contacts |= {(opener, answerer), (answerer, opener)}
        self._forget(self.at, AT_NETWORK + 1)
        self._forget(self.addresses, AT_NETWORK + 1)
        self._forget(self.chats, CHATS)
        self._forget_marks()

    def _forget(self, places: dict[int, dict[int, int]], most: int) -> None:
        for there in places.values():
            for account in sorted(there, key=lambda a: (there[a], a))[: max(len(there) - most, 0)]:
                del there[account]

    def _forget_marks(self) -> None:
        for marks in (self.known, self.contacts):
            marks -= {pair for pair in marks if pair[1] not in self.chats[pair[0]]}

    def _sends(self, account: int) -> bool:
        row = self.rows(account)
        if self.cleared[account] or row.trials < 5 or row.answered >= 0.4 * row.trials:
            return False
        return row.complaints > 0 or (row.trials >= 8 and row.answered <= 0.15 * row.trials)

    def _just_came(self, account: int, epoch: int) -> bool:
        row = self.rows(account)
        born = row.registered is not None and epoch * 60 - row.registered < 3 * 86_400
        return born and row.mutual == 0 and not self.cleared[account]

    def _networks(self, epoch: int) -> set[tuple[str, int, int]]:
        ties = set()
        for there in self.at.values():
            senders = [a for a in there if self._sends(a)]
            if len(senders) == 2 and any(self.rows(a).registered is None for a in senders):
                continue
            ties |= {("senders", a, b) for a, b in self._together(there, epoch)}
        return ties

    def _addresses(self, epoch: int) -> set[tuple[str, int, int]]:
        together = [self._together(there, epoch) for there in self.addresses.values()]
        return {("address", a, b) for pairs in together for a, b in pairs}

    def _together(self, there: dict[int, int], epoch: int) -> set[tuple[int, int]]:
        """Accounts at a place that hardly anybody but senders uses, each with the two after it."""
        senders = [a for a in there if self._sends(a)]
        if len(senders) < 2 or len(there) > AT_NETWORK or len(senders) < 0.4 * len(there):
            return set()
        if len(senders) == 2 and any(self.rows(a).complaints == 0 for a in senders):
            return set()
        tied = sorted(a for a in there if a in senders or self._just_came(a, epoch))
        if len(tied) < 0.6 * len(there):
            return set()
        return {pair for step in (1, 2) for pair in zip(tied, tied[step:], strict=False)}

    def _rings(self) -> set[tuple[str, int, int]]:
        share: dict[int, float] = {}
        for account in [a for a in self.chats if self._sends(a)]:
            known = [b for b in self.chats[account] if (account, b) in self.known]
            if known:
                share[account] = sum(map(self._sends, known)) / len(known)
        circle = {a for a, part in share.items() if part >= 0.6 - 1e-9}
        ties = set()
        for one in circle:
            for two in circle & set(self.chats[one]):
                contacts = (one, two) in self.contacts and min(share[one], share[two]) > 0.66
                if one < two and (contacts or set(self.chats[one]) & set(self.chats[two]) & circle):
                    ties.add(("ring", one, two))
        return ties
