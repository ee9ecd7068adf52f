"""Linker: facts of each epoch in, edges and operators out, and their mark on the accounts' rows.

Facts come as the kernel's contributions, so that live, replay and shards link alike. Every hour of
the log's time the edges are updated and the operators rebuilt from those that live: what only
unites is cheap to keep, what also expires is cheaper to rebuild.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.facts import EPOCH_MS
from wavebreak.features.keyed_hash import pair_salts, random_secret
from wavebreak.features.layout import (
    DELTA,
    FOUND,
    JOINED,
    MET,
    MET_CONTACT,
    ON_DEVICE,
    REACHED,
    REPLIED,
    ROW,
    SHARD_BITS,
    TAKEN,
    TRIED,
    VISITED,
    WITHDRAWN_REVERSAL,
    WROTE,
)
from wavebreak.features.memory import GrowableArray, account_row
from wavebreak.features.message_updates import pair_flags
from wavebreak.features.sequential_tests import quarter_power, quarters_of
from wavebreak.features.shared_state import EPOCHS_A_DAY
from wavebreak.linking.edges import (
    LASTS,
    LEAST_WEIGHT,
    EdgeTable,
    Kind,
    components,
    ends,
    merge_edges,
)
from wavebreak.linking.meetings import ROOM, VISITORS, meet
from wavebreak.linking.operators import (
    MOST_EDGES_SHOWN,
    Edge,
    Operator,
    edge_evidence,
    operator_id,
    pool,
)
from wavebreak.linking.registrations import EPOCHS_AN_HOUR, REGISTRATION, close_hours
from wavebreak.linking.senders import (
    CONTACT,
    KNOWN,
    MOST_AT_NETWORK,
    MOST_CHATS,
    roles_by,
    sender_ties,
    still_reach,
    weigh,
)
from wavebreak.linking.sightings import Sightings

TURN: Final = 60
"""Epochs between two updates."""
TARGETS_LAST: Final = 20_160
DEVICES_LAST: Final = 43_200
"""Epochs for which a first contact and a device's user are remembered: 14 and 30 days."""
CHAIN_LASTS: Final = 10_080
MOST_TAKEN: Final = 64
"""Hijacked accounts that a newly hijacked one is compared with."""
HIJACKED = np.dtype([("slot", "u4"), ("epoch", "u4"), ("device", "u4"), ("network", "u4")])
STATE = np.dtype([("found", "u1"), ("reversals", "u1")])
_MARK = np.dtype(
    [("slot", "i8"), ("tied", "u1"), ("found", "u1"), ("unanswered", "u1"), ("complaints", "u1")]
)  # fmt: skip
_READ: Final = (JOINED, ON_DEVICE, TRIED, FOUND, TAKEN, VISITED, MET, MET_CONTACT, REACHED)


@compiled()
def _collect(deltas: Any, wanted: Any, kept: Any, n: int) -> int:
    """Append the facts that linking reads; return how many there are."""
    for i in range(deltas.size):
        if wanted[deltas[i].table]:
            kept[n] = deltas[i]
            n += 1
    return n


@compiled()
def _places(shards: Any, slots: Any, out: Any) -> None:
    """Number block, network, device and registration (s, plus one) of accounts."""
    for i in range(slots.size):
        account = int64(slots[i])
        row = account_row(shards, account)
        out[i, 0], out[i, 1] = row.block, row.network
        out[i, 2], out[i, 3] = row.device, row.registered


@compiled()
def _mark(shards: Any, marks: Any) -> int:
    """Write marks into the accounts' rows; those that change are moved to the front."""
    changed = int64(0)
    for i in range(marks.size):
        m = marks[i]
        row = account_row(shards, m.slot)
        if (
            row.tied == m.tied
            and row.tied_found == m.found
            and row.tied_unanswered == m.unanswered
            and row.tied_complaints == m.complaints
        ):
            continue
        row.tied = m.tied
        row.tied_found = m.found
        row.tied_unanswered = m.unanswered
        row.tied_complaints = m.complaints
        marks[changed].slot = m.slot
        changed += 1
    return changed


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
        self._targets = GrowableArray(VISITORS, accounts)
        self._devices = GrowableArray(VISITORS, 1024)
        self._states = GrowableArray(STATE, accounts)
        self.networks = Sightings(MOST_AT_NETWORK + 1, LASTS)
        self.chats = Sightings(MOST_CHATS, LASTS)
        self._hijacked = np.zeros(0, HIJACKED)
        self._waiting = np.zeros(0, REGISTRATION)
        self._used = {"targets": 0, "devices": 0, "states": 0}
        self._facts, self._n = np.zeros(4096, DELTA), 0
        self._marked, self._reached = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._wanted = np.isin(np.arange(256), _READ)

    def close(self, partials: Sequence[Any], core: Any, following: int) -> Any:
        """Take the facts of the epoch that `core` closes; return the accounts to evaluate anew.

        To be called before the contributions are merged. `core` is the sharded kernel, `following`
        the epoch that it opens next. Returns slots (int64), most often none.
        """
        for partial in partials:
            if not partial.size:
                continue
            if self._n + partial.size > self._facts.size:
                more = np.zeros(2 * (self._n + partial.size), DELTA)
                more[: self._n] = self._facts[: self._n]
                self._facts = more
            self._n = _collect(partial, self._wanted, self._facts, self._n)
        if following // TURN == core.epoch // TURN:
            return np.zeros(0, np.int64)
        return self._update(core, core.epoch)

    def _update(self, core: Any, epoch: int) -> Any:
        facts, self._n = self._facts[: self._n], 0
        if epoch // EPOCHS_A_DAY != self.epoch // EPOCHS_A_DAY:
            for held in (self.edges, self.networks, self.chats):
                held.compact(epoch)
            stay = np.zeros(self._reached.size, np.bool_)
            still_reach(core.shards, self._reached, stay)
            self._reached = self._reached[stay]
        self.epoch = epoch
        self._targets.fit(core.accounts)
        self._states.fit(core.accounts)
        self._devices.fit(len(core.entities))
        self._used = {"targets": core.accounts, "states": core.accounts,
                      "devices": len(core.entities)}  # fmt: skip
        by_table = {table: facts[facts["table"] == table] for table in _READ}
        self._judge(by_table[FOUND])
        self._meet_targets(by_table[TRIED], epoch)
        self._meet_devices(core.shards, by_table[ON_DEVICE]["key"], epoch)
        self._register(core.shards, by_table[JOINED]["amount"] - 1, epoch)
        self._chain(core.shards, by_table[TAKEN]["key"], epoch)
        self._see(by_table, epoch)
        return self._write_marks(core)

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

    def _meet_targets(self, facts: Any, epoch: int) -> None:
        pairs = np.unique(facts["amount"].astype(np.int64) << 32 | facts["key"].astype(np.int64))
        one, other = self._met(self._targets, pairs, epoch, TARGETS_LAST)
        found = self._states.records["found"]
        after = found[one] != found[other]
        self.edges.support(one, other, np.where(after, Kind.SUCCESSION, Kind.TARGETS), epoch)

    def _met(self, places: GrowableArray, pairs: Any, epoch: int, lasts: int) -> tuple[Any, Any]:
        """Note visits (place << 32 | slot, rising) and return who met whom (int64)."""
        room = ROOM * pairs.size
        one, other = np.zeros(room, np.int64), np.zeros(room, np.int64)
        at, who = pairs >> 32, pairs & 0xFFFFFFFF
        n = meet(places.records, at, who, epoch, lasts, one, other)
        return one[:n], other[:n]

    def _meet_devices(self, shards: Any, keys: Any, epoch: int) -> None:
        slots = np.unique(keys.astype(np.int64))
        places = np.zeros((slots.size, 4), np.int64)
        _places(shards, slots, places)
        known = places[:, 2] > 0
        pairs = np.sort((places[known, 2] - 1) << 32 | slots[known])
        one, other = self._met(self._devices, pairs, epoch, DEVICES_LAST)
        self.edges.support(one, other, np.full(one.size, Kind.DEVICE), epoch)

    def _register(self, shards: Any, slots: Any, epoch: int) -> None:
        """Let registrations wait for the end of their hour, and tie those whose hour is over."""
        slots = np.unique(slots.astype(np.int64))
        places = np.zeros((slots.size, 4), np.int64)
        _places(shards, slots, places)
        new = np.zeros(slots.size, REGISTRATION)
        new["hour"] = np.maximum(places[:, 3] - 1, 0) // (60 * EPOCHS_AN_HOUR)
        new["block"], new["network"], new["slot"] = places[:, 0], places[:, 1], slots
        waiting = np.concatenate([self._waiting, new])
        self._waiting, (one, other, kinds) = close_hours(waiting, epoch)
        self.edges.support(one, other, kinds, epoch)

    def _chain(self, shards: Any, keys: Any, epoch: int) -> None:
        """Tie a hijacked account to those hijacked before that led to it."""
        recent = self._hijacked[self._hijacked["epoch"].astype(np.int64) > epoch - CHAIN_LASTS]
        one: list[int] = []
        other: list[int] = []
        for slot in np.unique(keys.astype(np.int64)).tolist():
            places = np.zeros((1, 4), np.int64)
            _places(shards, np.array([slot]), places)
            network, device = int(places[0, 1]), int(places[0, 2])
            for earlier in recent:
                led = int(earlier["slot"])
                same = (0 < device == earlier["device"]) or (0 < network == earlier["network"])
                if led != slot and (same or self._wrote(shards, slot, led, epoch)):
                    one.append(led)
                    other.append(slot)
            own = np.array([(slot, epoch, device, network)], HIJACKED)
            recent = np.concatenate([recent[recent["slot"] != slot], own])[-MOST_TAKEN:]
        self._hijacked = recent
        kinds = np.full(len(one), Kind.CHAIN)
        self.edges.support(np.array(one, np.int64), np.array(other, np.int64), kinds, epoch)

    def _see(self, facts: dict[int, Any], epoch: int) -> None:
        """Note who was on which network, and who chats with whom: a chat from both its ends."""
        self._reached = np.union1d(self._reached, facts[REACHED]["key"].astype(np.int64))
        visits = facts[VISITED]
        nothing = np.zeros(visits.size, np.int64)
        self.networks.note(visits["amount"], visits["key"], nothing, epoch)
        opened = np.concatenate([facts[MET], facts[MET_CONTACT]])
        contacts = (opened["table"] == MET_CONTACT) * (KNOWN | CONTACT)
        self.chats.note(
            np.concatenate([opened["key"], opened["amount"]]),
            np.concatenate([opened["amount"], opened["key"]]),
            np.concatenate([contacts, contacts | KNOWN]),
            epoch,
        )

    def _joining(self, core: Any) -> tuple[Any, Any]:
        """Return the edges that could join two accounts (dtype EDGE, by key), and all roles."""
        self._states.fit(core.accounts)
        states = self._states.records[: core.accounts]
        roles = roles_by(self._reached, states["found"], states["reversals"])
        networks, chats = self.networks.records, self.chats.records
        ties = sender_ties(core.shards, roles, networks, chats, self.epoch)
        return merge_edges(self.edges.joining(self.epoch), ties), roles

    def _wrote(self, shards: Any, slot: int, other: int, epoch: int) -> bool:
        """Whether one of two accounts has written to the other."""
        sh = shards[slot & (shards.size - 1)]
        flags = pair_flags(sh, slot >> SHARD_BITS, other, epoch * 60)
        return bool(flags & (WROTE | REPLIED))

    def _weighed(self, shards: Any, edges: Any, roles: Any) -> tuple[Any, Any, Any]:
        """Ends and weights of edges (int64)."""
        weight = np.zeros(edges.size, np.int64)
        weigh(shards, edges, roles, self._states.records["reversals"], self.epoch, weight)
        return *ends(edges), weight

    def _write_marks(self, core: Any) -> Any:
        """Rebuild the operators; return the accounts whose marks changed (slots, rising)."""
        shards = core.shards
        pools = self._pools(shards, components(*self._weighed(shards, *self._joining(core))))
        marks = np.zeros(pools.members.size, _MARK)
        marks["slot"] = pools.members
        marks["tied"] = np.minimum(pools.spread(np.diff(pools.begins)) - 1, 255)
        bad = self._states.records["found"][pools.members].astype(np.int64)
        sums = np.add.reduceat(bad, pools.begins[:-1]) if bad.size else bad
        marks["found"] = np.minimum(pools.spread(sums) - bad, 255)
        marks["unanswered"] = pools.spread(quarters_of(pools.values[:, 0]))
        marks["complaints"] = pools.spread(quarters_of(pools.values[:, 1]))
        gone = np.setdiff1d(self._marked, pools.members)
        freed = np.zeros(gone.size, _MARK)
        freed["slot"] = gone
        self._marked = np.sort(pools.members)
        marks = np.concatenate([marks, freed])
        return np.sort(marks["slot"][: _mark(shards, marks)])

    def _pools(self, shards: Any, found: list[Any]) -> _Pools:
        members = np.concatenate([np.zeros(0, np.int64), *found])
        begins = np.cumsum([0, *(len(some) for some in found)])
        totals, values = np.zeros(len(found), ROW), np.zeros((len(found), 2))
        pool(shards, members, begins, self.terms, totals, values)
        return _Pools(members, begins, totals, values)

    def operators(self, core: Any, names: Callable[[Any], list[str]]) -> list[Operator]:
        """Return the operators and the chains of hijacked accounts, those with most accounts first.

        `names` returns the accounts' names by slots.
        """
        joined, roles = self._joining(core)
        live = np.sort(self.edges.live(self.epoch), order="key")
        chained = live[live["counts"][:, Kind.CHAIN] > 0]
        tied = self._weighed(core.shards, joined, roles)
        described = self._describe(core, joined, *tied, names, victims=False)
        one, other = ends(chained)
        # A hijacked account's chain is reported whatever its weight.
        weight = np.full(one.size, LEAST_WEIGHT)
        described += self._describe(core, chained, one, other, weight, names, victims=True)
        return sorted(described, key=lambda operator: (-len(operator.accounts), operator.id))

    def _describe(
        self, core: Any, edges: Any, one: Any, other: Any, weight: Any,
        names: Callable[[Any], list[str]], *, victims: bool,
    ) -> list[Operator]:  # fmt: skip
        found = components(one, other, weight)
        pools = self._pools(core.shards, found)
        component = np.full(core.accounts + 1, -1)
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
            "chats": self.chats.records.copy(),
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
        held += self.networks.records.nbytes + self.chats.records.nbytes
        return held + self.edges.nbytes() + self._facts.nbytes

    def _held(self) -> tuple[tuple[str, GrowableArray], ...]:
        return (("targets", self._targets), ("devices", self._devices), ("states", self._states))
