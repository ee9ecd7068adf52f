"""Neighbours of an account: who shares its device, number block or network, and its operator.

A search over all accounts takes tens of milliseconds at a million of them. An engine only lends
its arrays for it (`Query.lent`); a count may be of a moment in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wavebreak.engine import account_queries
from wavebreak.linking import Operator
from wavebreak_server.slices.users.acting_user import ActingUser

SHOWN = 12
KINDS = dict(zip(account_queries.SHARED, ("device", "number block", "network"), strict=True))
"""Fields of a row that name something shared, and what a page calls it."""
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


def shared_by(acting: ActingUser, account: str) -> list[Shared]:
    """Return who shares a device, a number block or a network with an account."""
    own = acting.query(account_queries.neighbourhoods, [account]).get(account)
    if own is None:
        return []
    found = {name: _others(acting, own, name, SHOWN) for name in KINDS}
    named = _named(acting, {slot for each in found.values() for slot in each.slots})
    return [
        Shared(name, KINDS[name], each.total, each.acted, [named[slot] for slot in each.slots])
        for name, each in found.items()
    ]


def sharing(acting: ActingUser, account: str, name: str, most: int) -> list[tuple[str, str]]:
    """Return the accounts that share what a field names with one, itself first, with outcomes."""
    own = acting.query(account_queries.neighbourhoods, [account]).get(account)
    if own is None or name not in KINDS or not own.entities[name]:
        return []
    chosen = [own.slot, *_others(acting, own, name, most).slots][:most]
    named = _named(acting, chosen)
    return [named[slot] for slot in chosen]


def _others(
    acting: ActingUser, own: account_queries.Neighbourhood, name: str, most: int
) -> account_queries.Holders:
    """Return the other accounts whose last `name` is that of one; their first slots."""
    if not own.entities[name]:
        return account_queries.Holders(0, 0, [])
    found = acting.query(
        account_queries.holders, field=name, entity=own.entities[name], but=own.slot, most=most
    )
    return found._replace(slots=found.slots[:most])


def _named(acting: ActingUser, slots: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return name and outcome of slots."""
    found = acting.query(account_queries.named_slots, slots=sorted(slots))
    return {slot: (name, outcome) for name, (slot, outcome) in found.items()}


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
            _kept.operators = acting.query(account_queries.operators)
            _kept.by_account = {a: each for each in _kept.operators for a in each.accounts}
            _kept.at, _kept.service = time.monotonic(), id(acting.service)
        return _kept.operators


class Membership(NamedTuple):
    """The operator that an account seems to be of, without the account, and the account's ties."""

    operator: Operator
    others: int
    abusive: int
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
    abusive = len(set(operator.abusive) - {account})
    return Membership(operator, len(operator.accounts) - 1, abusive, ties)
