"""Linker: facts of each epoch in, edges and operators out, and their mark on the accounts' rows.

Facts come as the kernel's contributions, so that live, replay and shards link alike. Every hour of
the log's time the edges are updated and the operators rebuilt from those that live: what only
unites is cheap to keep, what also expires is cheaper to rebuild.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from wavebreak.compiled.numba_runtime import compiled
from wavebreak.features.facts import EPOCH_MS
from wavebreak.features.keyed_hash import pair_salts, random_secret
from wavebreak.features.layout import (
    ADDRESSED,
    DELTA,
    FOUND,
    JOINED,
    MET,
    MET_CONTACT,
    ON_DEVICE,
    REACHED,
    ROW,
    TAKEN,
    VISITED,
    WITHDRAWN_REVERSAL,
)
from wavebreak.features.memory import GrowableArray
from wavebreak.features.sequential_tests import quarter_power, quarters_of
from wavebreak.features.shared_state import EPOCHS_A_DAY
from wavebreak.linking import senders
from wavebreak.linking.account_rows import MARK, REACHES, AccountRows
from wavebreak.linking.edges import (
    LASTS,
    LEAST_WEIGHT,
    EdgeTable,
    Kind,
    components,
    ends,
    merge_edges,
)
from wavebreak.linking.operators import (
    MOST_EDGES_SHOWN,
    Edge,
    Operator,
    edge_evidence,
    operator_id,
    pool,
)
from wavebreak.linking.sightings import (
    EPOCHS_AN_HOUR,
    REGISTRATION,
    ROOM,
    VISITORS,
    Sightings,
    close_hours,
    meet,
)

TURN: Final = 60
"""Epochs between two updates."""
DEVICES_LAST: Final = 43_200
"""Epochs for which a device's user is remembered: 30 days."""
CHAIN_LASTS: Final = 10_080
MOST_TAKEN: Final = 64
"""Hijacked accounts that a newly hijacked one is compared with."""
HIJACKED = np.dtype([("slot", "u4"), ("epoch", "u4"), ("device", "u4"), ("network", "u4")])
STATE = np.dtype([("found", "u1"), ("reversals", "u1")])
_READ: Final = (JOINED, ON_DEVICE, FOUND, TAKEN, VISITED, ADDRESSED, MET, MET_CONTACT, REACHED)


@compiled()
def _collect(deltas: Any, wanted: Any, kept: Any, n: int) -> int:
    """Append the facts that linking reads; return how many there are."""
    for i in range(deltas.size):
        if wanted[deltas[i].table]:
            kept[n] = deltas[i]
            n += 1
    return n


def _heaviest_first(edge: Edge) -> tuple[int, tuple[str, ...]]:
    return -edge.weight, edge.accounts


class _Pools(NamedTuple):
    """Components with their pooled evidence: see `operators.pool`."""

    members: Any
    begins: Any
    totals: Any
    values: Any

    def spread(self, values: Any) -> Any:
        """Repeat a component's value for each of its members."""
        return np.repeat(values, np.diff(self.begins))


class _Places:
    """Where some accounts are, asked for at once."""

    def __init__(self, rows: AccountRows, slots: Any) -> None:
        self._slots, self._profiles = slots, rows.profiles(slots)

    def of(self, slots: Any) -> Any:
        """Return the profiles of some of them (dtype PROFILE)."""
        return self._profiles[np.searchsorted(self._slots, slots)]


class _Ties(NamedTuple):
    """Edges that could join two accounts (dtype EDGE, by key), and what accounts are, by slot."""

    edges: Any
    roles: Any
    known: Any


class Linker:
    """Links accounts over one log.

    Args:
        terms: Increments of the sequential tests (`sequential_tests.pack_terms`).
        accounts: Accounts for which address space is reserved; more is reserved in steps.
        secret: Secret of the hash of edges (None: a random one); no result depends on it.
    """

    def __init__(
        self, terms: Any, *, accounts: int = 1 << 24, secret: bytes | None = None
    ) -> None:  # fmt: skip
        self.terms = terms
        self.edges = EdgeTable(pair_salts(secret or random_secret(), "edges"))
        self.epoch = 0
        self._devices = GrowableArray(VISITORS, 1024)
        self._states = GrowableArray(STATE, accounts)
        self.networks = Sightings(senders.MAX_ON_NETWORK + 1, LASTS)
        self.addresses = Sightings(senders.MAX_ON_NETWORK + 1, LASTS)
        self.chats = Sightings(senders.MOST_CHATS, LASTS)
        self._hijacked = np.zeros(0, HIJACKED)
        self._waiting = np.zeros(0, REGISTRATION)
        self._used = {"devices": 0, "states": 0}
        self._facts, self._n = np.zeros(4096, DELTA), 0
        self._marked, self._reached = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._wanted = np.isin(np.arange(256), _READ)

    def close(
        self, partials: Sequence[Any], rows: AccountRows, closed: int, following: int
    ) -> Any:  # fmt: skip
        """Take the facts of a closed epoch; return the accounts to evaluate anew.

        To be called before the contributions are merged. Returns slots (int64), most often none.

        Args:
            partials: What all shards contributed in it (arrays of dtype DELTA).
            rows: The rows of all accounts.
            closed: The epoch.
            following: The epoch that opens next.
        """
        for partial in partials:
            if not partial.size:
                continue
            if self._n + partial.size > self._facts.size:
                more = np.zeros(2 * (self._n + partial.size), DELTA)
                more[: self._n] = self._facts[: self._n]
                self._facts = more
            self._n = _collect(partial, self._wanted, self._facts, self._n)
        if following // TURN == closed // TURN:
            return np.zeros(0, np.int64)
        return self._update(rows, closed)

    def _update(self, rows: AccountRows, epoch: int) -> Any:
        facts, self._n = self._facts[: self._n], 0
        new_day = epoch // EPOCHS_A_DAY != self.epoch // EPOCHS_A_DAY
        if new_day:
            for held in (self.edges, self.networks, self.addresses, self.chats):
                held.compact(epoch)
        self.epoch = epoch
        self._states.fit(rows.accounts)
        self._devices.fit(rows.entities)
        self._used = {"states": rows.accounts, "devices": rows.entities}
        by_table = {table: facts[facts["table"] == table] for table in _READ}
        self._judge(by_table[FOUND])
        on_device = np.unique(by_table[ON_DEVICE]["key"].astype(np.int64))
        joined = np.unique(by_table[JOINED]["amount"].astype(np.int64) - 1)
        taken = np.unique(by_table[TAKEN]["key"].astype(np.int64))
        places = _Places(rows, np.unique(np.concatenate([on_device, joined, taken])))
        devices = places.of(on_device)["device"].astype(np.int64)
        known = devices > 0
        pairs = np.sort((devices[known] - 1) << 32 | on_device[known])
        one, other = np.zeros(ROOM * pairs.size, np.int64), np.zeros(ROOM * pairs.size, np.int64)
        at, accounts = pairs >> 32, pairs & 0xFFFFFFFF
        n = meet(self._devices.records, at, accounts, epoch, DEVICES_LAST, one, other)
        self.edges.support(one[:n], other[:n], np.full(n, Kind.DEVICE), epoch)
        self._register(places, joined, epoch)
        self._chain(rows, places, taken, epoch)
        self._see(by_table, epoch)
        reached = by_table[REACHED]["key"].astype(np.int64)
        return self._write_marks(rows, self._standings(rows, reached, forget=new_day))

    def _standings(self, rows: AccountRows, new: Any, *, forget: bool) -> Any:
        """Add accounts to those that may be senders; return what all of them are.

        With `forget`, those before that have too few trials by now are left out.
        """
        slots = np.union1d(self._reached, new)
        standings = rows.standings(slots)
        stay = np.ones(slots.size, np.bool_)
        if forget:
            stay = (standings & REACHES > 0) | np.isin(slots, new)
        self._reached = slots[stay]
        return standings[stay]

    def _judge(self, facts: Any) -> None:
        """Note who was found abusive by outside evidence, whom a person found benign, and whom not.

        A withdrawn label `benign` takes its reversal back; what it had made forgotten stays so.
        """
        for fact in facts:
            state, amount = self._states.records[fact["key"]], int(fact["amount"])
            if amount == WITHDRAWN_REVERSAL:
                state["reversals"] = max(int(state["reversals"]) - 1, 0)
            else:
                state["found"] = amount > 0
                state["reversals"] = min(int(state["reversals"]) + (amount < 0), 255)

    def _register(self, places: _Places, slots: Any, epoch: int) -> None:
        """Let registrations wait for the end of their hour, and tie those whose hour is over."""
        at = places.of(slots)
        new = np.zeros(slots.size, REGISTRATION)
        registered = at["registered"].astype(np.int64)
        new["hour"] = np.maximum(registered - 1, 0) // (60 * EPOCHS_AN_HOUR)
        new["block"], new["network"], new["slot"] = at["block"], at["network"], slots
        waiting = np.concatenate([self._waiting, new])
        self._waiting, (one, other, kinds) = close_hours(waiting, epoch)
        self.edges.support(one, other, kinds, epoch)

    def _chain(self, rows: AccountRows, places: _Places, slots: Any, epoch: int) -> None:
        """Tie a hijacked account to those hijacked before that led to it."""
        recent = self._hijacked[self._hijacked["epoch"].astype(np.int64) > epoch - CHAIN_LASTS]
        at = places.of(slots)
        leads: list[tuple[int, int, bool]] = []
        for slot, where in zip(slots.tolist(), at, strict=True):
            network, device = int(where["network"]), int(where["device"])
            for earlier in recent[recent["slot"] != slot]:
                same = (0 < device == earlier["device"]) or (0 < network == earlier["network"])
                leads.append((int(earlier["slot"]), slot, same))
            own = np.array([(slot, epoch, device, network)], HIJACKED)
            recent = np.concatenate([recent[recent["slot"] != slot], own])[-MOST_TAKEN:]
        self._hijacked = recent
        one, other, together = (np.array([lead[k] for lead in leads], np.int64) for k in range(3))
        if one.size:
            led = (together > 0) | rows.wrote(other, one, epoch * 60)
            one, other = one[led], other[led]
        self.edges.support(one, other, np.full(one.size, Kind.CHAIN), epoch)

    def _see(self, facts: dict[int, Any], epoch: int) -> None:
        """Note the networks and addresses of accounts, and their chats from both ends."""
        for table, sightings in ((VISITED, self.networks), (ADDRESSED, self.addresses)):
            visits = facts[table]
            no_marks = np.zeros(visits.size, np.int64)
            sightings.note(visits["amount"], visits["key"], no_marks, epoch)
        opened = np.concatenate([facts[MET], facts[MET_CONTACT]])
        contacts = (opened["table"] == MET_CONTACT) * (senders.KNOWN | senders.CONTACT)
        self.chats.note(
            np.concatenate([opened["key"], opened["amount"]]),
            np.concatenate([opened["amount"], opened["key"]]),
            np.concatenate([contacts, contacts | senders.KNOWN]),
            epoch,
        )

    def _ties(self, rows: AccountRows, standings: Any) -> _Ties:
        """Return what could join accounts now; `standings` are those of `_reached`."""
        self._states.fit(rows.accounts)
        states = self._states.records[: rows.accounts]
        roles = senders.roles_by(self._reached, standings, states["found"], states["reversals"])
        lasting = self.edges.joining(self.epoch)
        networks, addresses = self.networks.records, self.addresses.records
        beside = [senders.beside_senders(places, roles) for places in (networks, addresses)]
        slots = np.unique(np.concatenate([*beside, *ends(lasting)]))
        known = np.zeros(roles.size, np.uint8)
        known[slots] = senders.traits(rows.profiles(slots), self.epoch)
        ties = senders.sender_ties(roles, known, networks, addresses, self.chats.records)
        return _Ties(merge_edges(lasting, ties), roles, known)

    def _weighed(self, edges: Any, ties: _Ties) -> tuple[Any, Any, Any]:
        """Ends and weights of edges (int64)."""
        reversals = self._states.records["reversals"]
        weight = senders.weigh(edges, ties.roles, reversals, ties.known)
        return *ends(edges), weight

    def _write_marks(self, rows: AccountRows, standings: Any) -> Any:
        """Rebuild the operators; return the accounts whose marks changed (slots, rising)."""
        ties = self._ties(rows, standings)
        pools = self._pools(rows, components(*self._weighed(ties.edges, ties)))
        marks = np.zeros(pools.members.size, MARK)
        marks["slot"] = pools.members
        marks["tied"] = np.minimum(pools.spread(np.diff(pools.begins)) - 1, 255)
        bad = self._states.records["found"][pools.members].astype(np.int64)
        sums = np.add.reduceat(bad, pools.begins[:-1]) if bad.size else bad
        marks["found"] = np.minimum(pools.spread(sums) - bad, 255)
        marks["unanswered"] = pools.spread(quarters_of(pools.values[:, 0]))
        marks["complaints"] = pools.spread(quarters_of(pools.values[:, 1]))
        gone = np.setdiff1d(self._marked, pools.members)
        freed = np.zeros(gone.size, MARK)
        freed["slot"] = gone
        self._marked = np.sort(pools.members)
        marks = np.concatenate([marks, freed])
        return np.sort(rows.mark(marks))

    def _pools(self, rows: AccountRows, found: list[Any]) -> _Pools:
        members = np.concatenate([np.zeros(0, np.int64), *found])
        begins = np.cumsum([0, *(len(some) for some in found)])
        totals, values = np.zeros(len(found), ROW), np.zeros((len(found), 2))
        pool(rows.profiles(members), begins, self.terms, totals, values)
        return _Pools(members, begins, totals, values)

    def operators(self, rows: AccountRows, names: Callable[[Any], list[str]]) -> list[Operator]:
        """Return the operators and the chains of hijacked accounts, those with most accounts first.

        `names` returns the accounts' names by slots.
        """
        ties = self._ties(rows, rows.standings(self._reached))
        live = np.sort(self.edges.live(self.epoch), order="key")
        chained = live[live["counts"][:, Kind.CHAIN] > 0]
        described = self._describe(rows, ties.edges, *self._weighed(ties.edges, ties), names)
        one, other = ends(chained)
        # A hijacked account's chain is reported whatever its weight.
        weight = np.full(one.size, LEAST_WEIGHT)
        described += self._describe(rows, chained, one, other, weight, names, victims=True)
        return sorted(described, key=lambda operator: (-len(operator.accounts), operator.id))

    def _describe(
        self, rows: AccountRows, edges: Any, one: Any, other: Any, weight: Any,
        names: Callable[[Any], list[str]], *, victims: bool = False,
    ) -> list[Operator]:  # fmt: skip
        found = components(one, other, weight)
        pools = self._pools(rows, found)
        component = np.full(rows.accounts + 1, -1)
        component[pools.members] = pools.spread(np.arange(len(found)))
        name = dict(zip(pools.members.tolist(), names(pools.members), strict=True))
        tied: list[list[Edge]] = [[] for _ in found]
        inside = (component[one] >= 0) & (component[one] == component[other]) & (weight > 0)
        for a, b, n, edge in zip(
            one[inside], other[inside], weight[inside], edges[inside], strict=True
        ):
            tied[component[a]].append(
                Edge((name[int(a)], name[int(b)]), int(n), edge_evidence(edge["counts"].tolist()),
                     int(edge["first"]) * EPOCH_MS, int(edge["last"]) * EPOCH_MS)
            )  # fmt: skip
        states, quarters = self._states.records["found"], quarters_of(pools.values)
        return [
            Operator(
                id=operator_id(name[int(members[0])]),
                accounts=tuple(name[slot] for slot in members.tolist()),
                abusive=tuple(name[slot] for slot in members.tolist() if states[slot]),
                victims=victims,
                strangers=int(total["contacted"]),
                answers=int(total["trials_answered"]),
                complaints=int(total["complaints"]),
                unanswered_evidence=quarter_power(int(quarter[0])),
                complaint_evidence=quarter_power(int(quarter[1])),
                edges=tuple(sorted(between, key=_heaviest_first)[:MOST_EDGES_SHOWN]),
                edges_total=len(between),
            )
            for members, total, quarter, between in zip(
                found, pools.totals, quarters, tied, strict=True
            )
        ]

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        arrays = {
            "edges": self.edges.dump(), "hijacked": self._hijacked.copy(),
            "waiting": self._waiting.copy(), "facts": self._facts[: self._n].copy(),
            "marked": self._marked.copy(), "epoch": np.array([self.epoch]),
            "reached": self._reached.copy(), "networks": self.networks.records.copy(),
            "addresses": self.addresses.records.copy(), "chats": self.chats.records.copy(),
        }  # fmt: skip
        for name, held in self._held():
            records = held.records[: self._used[name]]
            bytes_of = records.view(np.uint8).reshape(records.size, held.dtype.itemsize)
            at = np.flatnonzero(bytes_of.any(axis=1))
            arrays[f"{name}.at"], arrays[name] = at, records[at]
        return arrays

    def load(self, arrays: dict[str, Any]) -> None:
        """Restore the state from a dump."""
        self.edges.load(arrays["edges"])
        self.networks.load(arrays["networks"])
        self.addresses.load(arrays["addresses"])
        self.chats.load(arrays["chats"])
        self.epoch, self._hijacked = int(arrays["epoch"][0]), arrays["hijacked"].copy()
        self._waiting, self._marked = arrays["waiting"].copy(), arrays["marked"].copy()
        self._reached = arrays["reached"].copy()
        self._n = arrays["facts"].size
        self._facts = np.concatenate([arrays["facts"], np.zeros(4096, DELTA)])
        for name, held in self._held():
            at = arrays[f"{name}.at"]
            self._used[name] = int(at[-1]) + 1 if at.size else 0
            held.fit(self._used[name])
            held.records[at] = arrays[name]

    def nbytes(self) -> int:
        """Return the bytes in use, without reserve but for edges and facts."""
        held = sum(self._used[name] * held.dtype.itemsize for name, held in self._held())
        sightings = (self.networks, self.addresses, self.chats)
        held += sum(part.records.nbytes for part in sightings)
        return held + self.edges.nbytes() + self._facts.nbytes

    def _held(self) -> tuple[tuple[str, GrowableArray], ...]:
        return (("devices", self._devices), ("states", self._states))
