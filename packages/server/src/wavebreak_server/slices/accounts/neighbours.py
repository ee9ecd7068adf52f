"""Neighbours of an account: who shares its device, number block or network, and its operator.

A search over all accounts takes tens of milliseconds at a million of them. The engine only lends
its arrays for it; it goes on deciding meanwhile, so that a count may be of a moment in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.features.layout import SHARDS
from wavebreak.linking import Operator
from wavebreak.outcomes import OUTCOMES, rank_of
from wavebreak_server.slices.users.acting_user import ActingUser

SHOWN = 12
KINDS = {"device": "device", "block": "number block", "network": "network"}
"""Fields of a row that name something shared, and what a page calls it."""
_ACTED = np.array([rank_of(name) > rank_of("observe") for name in OUTCOMES])
"""Whether an outcome, by its code, is more than being observed."""
OPERATORS_FOR_S = 60.0
"""How long a list of operators is kept: ties are closed once an hour of the log's time."""


class Shared(NamedTuple):
    """Accounts that share something with one: how many others, how many of them were acted on.

    `name` is the field of a row, `kind` what a page calls it; `shown` are some with their outcome.
    """

    name: str
    kind: str
    others: int
    acted: int
    shown: list[tuple[str, str]]


class _Lent(NamedTuple):
    slot: int
    entities: dict[str, int]
    rows: list[Any]


def shared_by(acting: ActingUser, account: str) -> list[Shared]:
    """Return who shares a device, a number block or a network with an account."""
    lent: _Lent | None = acting.ask(lambda engine: _lend(engine, account))
    if lent is None:
        return []
    found = {
        name: _holders(lent.rows, name, entity) if entity else []
        for name, entity in lent.entities.items()
    }
    others = {name: [s for s in slots if s != lent.slot] for name, slots in found.items()}
    wanted = sorted({slot for slots in others.values() for slot in slots[:SHOWN]})
    named: dict[int, tuple[str, str]] = acting.ask(lambda engine: _named(engine, wanted))
    return [
        Shared(
            name,
            KINDS[name],
            len(slots),
            _acted_on(lent.rows, slots),
            [named[slot] for slot in slots[:SHOWN]],
        )
        for name, slots in others.items()
    ]


def sharing(acting: ActingUser, account: str, name: str, most: int) -> list[tuple[str, str]]:
    """Return the accounts that share what a field names with one, itself first, with outcomes."""
    lent: _Lent | None = acting.ask(lambda engine: _lend(engine, account))
    if lent is None or name not in KINDS or not lent.entities[name]:
        return []
    slots = _holders(lent.rows, name, lent.entities[name])
    chosen = [lent.slot, *(slot for slot in slots if slot != lent.slot)][:most]
    named: dict[int, tuple[str, str]] = acting.ask(lambda engine: _named(engine, chosen))
    return [named[slot] for slot in chosen]


def _acted_on(rows: list[Any], slots: list[int]) -> int:
    """Return how many accounts have more in force than being observed."""
    found = np.array(slots, np.int64)
    shards, places = found % SHARDS, found // SHARDS
    return sum(
        int(np.count_nonzero(_ACTED[rows[s]["enforcement"][places[shards == s]]]))
        for s in np.unique(shards).tolist()
    )


def _lend(engine: Engine, account: str) -> _Lent | None:
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    if not 0 <= slot < engine.core.accounts:
        return None
    row = engine.core.row_of(slot)
    rows = list(engine.core.used_rows())
    return _Lent(slot, {name: int(row[name]) for name in KINDS}, rows)


def _holders(rows: list[Any], name: str, entity: int) -> list[int]:
    """Return the slots of the accounts whose last `name` is an entity."""
    return [
        int(local) * SHARDS + s
        for s, records in enumerate(rows)
        for local in np.flatnonzero(records[name] == entity)
    ]


def _named(engine: Engine, slots: list[int]) -> dict[int, tuple[str, str]]:
    if not slots:
        return {}
    names = engine.fanout.accounts.texts(slots).to_pylist()
    outcomes = (OUTCOMES[int(engine.core.row_of(slot)["enforcement"])] for slot in slots)
    return dict(zip(slots, zip(names, outcomes, strict=True), strict=True))


class _Kept:
    """The operators as they were last described, of one service."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at, self.service, self.operators = -1e9, 0, list[Operator]()
        self.by_account: dict[str, Operator] = {}


_kept = _Kept()


def operators(acting: ActingUser) -> list[Operator]:
    """Return the operators, those with most accounts first, at most a minute old."""
    with _kept.lock:
        fresh = time.monotonic() - _kept.at < OPERATORS_FOR_S
        if not fresh or _kept.service != id(acting.service):
            _kept.operators = acting.ask(lambda engine: engine.operators())
            _kept.by_account = {a: each for each in _kept.operators for a in each.accounts}
            _kept.at, _kept.service = time.monotonic(), id(acting.service)
        return _kept.operators


class Membership(NamedTuple):
    """The operator that an account seems to be of, and the account's own ties within it."""

    operator: Operator
    others: int
    ties: list[tuple[str, tuple[str, ...], int]]


def operators_of(acting: ActingUser, accounts: Sequence[str]) -> dict[str, Operator]:
    """Return the operator that each of some accounts seems to be of; those of none are left out."""
    operators(acting)
    by_account = _kept.by_account
    return {a: by_account[a] for a in accounts if a in by_account}


def membership(acting: ActingUser, account: str) -> Membership | None:
    """Return the operator that an account seems to be of, with its ties: who, why, weight."""
    operator = operators_of(acting, [account]).get(account)
    if operator is None:
        return None
    own = [e for e in operator.edges if account in e.accounts][:SHOWN]
    ties = [
        (next((a for a in e.accounts if a != account), account), e.evidence, e.weight) for e in own
    ]
    return Membership(operator, len(operator.accounts) - 1, ties)
