"""What is asked about accounts: what is in force, what they did, who shares something with them.

Each function reads what one place holds (`queries.Held`), and changes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak.engine.accounts_table import account_row
from wavebreak.engine.declared_lanes import lanes_by_slot
from wavebreak.engine.engine import Engine
from wavebreak.engine.kernel_policy import effective_outcome
from wavebreak.engine.outside_lists import ListedEntry
from wavebreak.engine.queries import Held, joined, only, query
from wavebreak.features.catalog import FEATURES, INDEX
from wavebreak.features.layout import (
    BUCKETS,
    DELETED,
    LABEL_ABUSIVE,
    LABEL_BENIGN,
    REPLIED,
    SHARDS,
    STRANGER,
)
from wavebreak.features.pair_table import pairs_of_owner
from wavebreak.features.shards import ShardedKernel
from wavebreak.features.window_counters import bucket_seconds
from wavebreak.linking import Operator
from wavebreak.outcomes import LIMIT, OUTCOMES, rank_of
from wavebreak.schema.events import LANES, Lane

BUCKET_S = 5_760
CYCLE_S = BUCKETS * BUCKET_S
SAMPLE, SAMPLE_EVERY_S = 2_000, 300.0
"""Accounts of a sample of all, and how long it is kept (s)."""
SCORES = 20_000
"""Accounts whose last scores are sampled."""
SCORE_ONE = 65_536.0
"""A score of 1 log-odds, as rows hold it."""
SHARED = ("device", "block", "network")
"""Fields of a row that name something that accounts may share."""
_BUCKET_S = bucket_seconds("1d")
_ACTED = np.array([rank_of(name) > rank_of("observe") for name in OUTCOMES])


class AccountState(NamedTuple):
    """What is in force for an account: outcome (index), its end, the log's time (both ms), chats.

    `new_chats_1d` is what a limit in force leaves a day, `lane` what the account is declared to be.
    """

    outcome: int
    until_ms: int | None
    now_ms: int
    chats: ChatCounts | None
    new_chats_1d: int = 0
    lane: Lane = "none"


@query(joined)
def account_states(held: Held) -> dict[str, AccountState]:
    """Return what is in force for accounts; those that the log does not contain are left out."""
    return {name: state_in(held, slot) for name, slot, _ in held.rows()}


def state_in(held: Held, slot: int) -> AccountState:
    """Return what is in force for the account of a slot that has a row."""
    engine, row = held.engine, held.engine.core.row_of(slot)
    now_s = max(held.time_s, int(row["clock"]))
    decided, until = int(row["enforcement"]), int(row["until"])
    lane = cast("Lane", LANES[engine.core.lane_of(slot)])
    if decided == 0 or 0 < until <= now_s:
        return AccountState(0, None, now_s * 1000, None, lane=lane)
    outcome = effective_outcome(
        decided, challenges=engine.challenges_by(engine.core.source_of(slot))
    )
    chats = count_chats(engine.core, slot, now_s) if outcome == LIMIT else None
    end_ms = until * 1000 if until else None
    # A challenge that nobody can ask for refuses every new chat.
    left = int(row["quota"]) if outcome == decided else 0
    return AccountState(outcome, end_ms, now_s * 1000, chats, left, lane)


@query(joined)
def known_accounts(held: Held) -> dict[str, bool]:
    """Return whether the log contains accounts, by any event."""
    return {name: slot >= 0 for name, slot in held.slots.items()}


@query(joined)
def challenged_accounts(held: Held) -> dict[str, bool]:
    """Return whether accounts can be asked for a challenge, by what reports them."""
    sources = dict.fromkeys(held.slots, 0)
    sources |= {name: held.engine.core.source_of(slot) for name, slot, _ in held.rows()}
    return {name: held.engine.challenges_by(source) for name, source in sources.items()}


class LiveAccount(NamedTuple):
    """An account as it is now.

    Attributes:
        outcome: What is in force.
        delivered: Messages that were let through.
        refused: Events that were refused; none in shadow.
        strangers: People whom it did not know and wrote to first.
        complained: Those who blocked or reported it, or did not know it.
        hourly: Messages in the hour before its last act.
        new_chats_1d: First contacts in the day before the log's time.
        recent: Messages by bucket of 96 minutes, up to its last act, oldest first.
        gone: Whether it was deleted.
        lists: Outside lists that name it; they decide nothing.
    """

    outcome: str
    delivered: int
    refused: int
    strangers: int
    answered: int
    complained: int
    hourly: int
    new_chats_1d: int
    recent: tuple[int, ...]
    gone: bool
    lists: tuple[ListedEntry, ...] = ()


@query(joined)
def live_accounts(held: Held) -> dict[str, LiveAccount]:
    """Return accounts as they are now; those that the log does not contain are left out."""
    return {name: _live_account(held, name, slot, row) for name, slot, row in held.rows()}


def _live_account(held: Held, name: str, slot: int, row: Any) -> LiveAccount:
    engine, state = held.engine, state_in(held, slot)
    values = engine.core.values_of(slot)

    def count(name: str) -> int:
        value = float(values[INDEX[name]])
        return 0 if math.isnan(value) else int(value)

    clock = int(row["clock"])
    # The windows end with its own last act, however long ago that is.
    silent = state.now_ms - clock * 1000 >= DAY_MS
    newest, ring = clock // _BUCKET_S, row["sends_1d"]
    return LiveAccount(
        OUTCOMES[state.outcome],
        int(row["sends"]),
        engine.core.refused_of(slot) if engine.enforce else 0,
        count("stranger_contacts"),
        count("stranger_answers"),
        count("stranger_complaints"),
        count("sends_1h"),
        0 if silent else count("first_contacts_1d"),
        tuple(int(ring[(newest - k) % BUCKETS]) for k in reversed(range(BUCKETS))),
        bool(int(row["flags"]) & DELETED),
        tuple(engine.lists_of(name, slot, state.now_ms)),
    )


class SendingTraits(NamedTuple):
    """Where an account sends from, and to whom: what accounts of one campaign share.

    Attributes:
        network: Number of its network's entity (0: unknown).
        targets: Slots of the people whom it last wrote to first.
    """

    network: int
    targets: tuple[int, ...]


@query(joined)
def sending_traits(held: Held) -> dict[str, SendingTraits]:
    """Return the traits of accounts; those that the log does not contain are left out."""
    return {
        name: SendingTraits(
            int(row["network"]), tuple(slot - 1 for slot in row["targets"].tolist() if slot)
        )
        for name, _, row in held.rows()
    }


class AccountFacts(NamedTuple):
    """Counts and features of an account.

    `values` are the catalog's features (NaN: missing), `percentiles` their place among a sample of
    accounts (None: missing, or nobody has one).
    """

    registered_ms: int | None
    first_seen_ms: int
    last_seen_ms: int
    sends: int
    received: int
    values: tuple[float, ...]
    percentiles: tuple[int | None, ...]


@query(joined)
def account_facts(held: Held) -> dict[str, AccountFacts]:
    """Return facts of accounts; those that the log does not contain are left out."""
    return {name: _facts(held.engine, slot, row) for name, slot, row in held.rows()}


def _facts(engine: Engine, slot: int, row: Any) -> AccountFacts:
    registered = int(row["registered"])
    values = np.array(engine.core.values_of(slot), np.float64)
    return AccountFacts(
        (registered - 1) * 1000 if registered else None,
        (int(row["first_seen"]) - 1) * 1000,
        int(row["clock"]) * 1000,
        int(row["sends"]),
        int(row["received"]),
        tuple(values.tolist()),
        tuple(map(_percentile, _sample(engine).T, values.tolist())),
    )


def _percentile(column: Any, value: float) -> int | None:
    """Return the percentile of a value among others; of equal ones, the middle.

    >>> _percentile(np.array([0.0] * 9 + [5.0]), 0.0), _percentile(np.array([1.0, 2.0]), 9.0)
    (45, 100)
    """
    known = np.sort(column[column == column])
    if value != value or not known.size:
        return None
    below, upto = (int(np.searchsorted(known, value, side)) for side in ("left", "right"))
    return round(50 * (below + upto) / int(known.size))


_samples: WeakKeyDictionary[Engine, tuple[float, Any]] = WeakKeyDictionary()


def _sample(engine: Engine) -> Any:
    """Return the feature values of up to `SAMPLE` accounts, float64[accounts, features].

    Of those that are held here, sampled again every five minutes.
    """
    at, values = _samples.get(engine, (-SAMPLE_EVERY_S, None))
    if values is None or time.monotonic() - at > SAMPLE_EVERY_S:
        core = engine.core
        held = np.flatnonzero(core.own)
        # Accounts lie in the shards in turn; a group has some of the shards.
        many = core.accounts // SHARDS * held.size + held.size
        places = np.unique(np.linspace(0, many - 1, min(SAMPLE, many)).astype(np.int64))
        slots = (places // held.size * SHARDS + held[places % held.size]).tolist()
        used = [s for s in slots if s < core.accounts and int(core.row_of(s)["first_seen"]) > 0]
        rows = [np.array(core.values_of(s), np.float64) for s in used]
        values = np.array(rows or [np.full(len(FEATURES), np.nan)])
        _samples[engine] = time.monotonic(), values
    return values


@query(joined)
def account_rows(held: Held) -> dict[str, dict[str, Any]]:
    """Return the rows of `accounts_table` of accounts that had an event."""
    return {
        name: account_row(held.engine, slot) for name, slot, row in held.rows() if row["first_seen"]
    }


@query(joined)
def measures(held: Held, indexes: list[int]) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Return the outcome of accounts and some of their features, by index in the catalog."""
    found: dict[str, tuple[str, tuple[float, ...]]] = {}
    for name, slot, row in held.rows():
        values = held.engine.core.values_of(slot) if indexes else ()
        outcome = OUTCOMES[int(row["enforcement"])]
        found[name] = outcome, tuple(float(values[k]) for k in indexes)
    return found


@query(joined)
def credibilities(held: Held) -> dict[str, float]:
    """Return the credibility of accounts that the log contains, by their record of reactions."""
    return {name: float(held.engine.core.credibility_of(slot)) for name, slot, _ in held.rows()}


@query(joined)
def channels(held: Held) -> dict[str, int]:
    """Return the channels (codes of CHANNELS) of accounts that the log contains."""
    return {name: int(row["channel"]) for name, _, row in held.rows()}


class Neighbourhood(NamedTuple):
    """What an account may share with others: its slot, and what it last had.

    `entities` are numbers of entities (0: none) by field of SHARED.
    """

    slot: int
    entities: dict[str, int]


@query(joined)
def neighbourhoods(held: Held) -> dict[str, Neighbourhood]:
    """Return what accounts may share with others; those without a row are left out."""
    return {
        name: Neighbourhood(slot, {field: int(row[field]) for field in SHARED})
        for name, slot, row in held.rows()
    }


class Holders(NamedTuple):
    """Accounts whose last of something is one entity: how many, those acted on, some slots."""

    total: int
    acted: int
    slots: list[int]


def _added(parts: Sequence[Holders]) -> Holders:
    slots = [slot for part in parts for slot in part.slots]
    return Holders(sum(p.total for p in parts), sum(p.acted for p in parts), sorted(slots))


@query(_added, "every", lent=True)
def holders(held: Held, field: str, entity: int, but: int, most: int) -> Holders:
    """Return who has an entity, but for one slot, the oldest first; acted on: more than observed.

    Args:
        held: What is held here.
        field: One of SHARED.
        entity: The entity.
        but: A slot that does not count.
        most: Slots to return, of each place.
    """
    core, total, acted, slots = held.engine.core, 0, 0, [np.zeros(0, np.int64)]
    for shard, rows in zip(core.held, core.used_rows(), strict=True):
        found = np.flatnonzero(rows[field] == entity)
        found = found[found * SHARDS + shard != but]
        total += int(found.size)
        acted += int(np.count_nonzero(_ACTED[rows["enforcement"][found]]))
        slots.append(found[:most] * SHARDS + shard)
    return Holders(total, acted, np.sort(np.concatenate(slots))[:most].tolist())


@query(joined, "every")
def named_slots(held: Held, slots: list[int]) -> dict[str, tuple[int, str]]:
    """Return slot and outcome of accounts by their names, of those slots that are held here."""
    core = held.engine.core
    own = [slot for slot in slots if 0 <= slot < core.accounts and core.own[slot % SHARDS]]
    if not own:
        return {}
    outcomes = (OUTCOMES[int(core.row_of(slot)["enforcement"])] for slot in own)
    return dict(zip(held.names(own), zip(own, outcomes, strict=True), strict=True))


@query(only, "together")
def operators(held: Held) -> list[Operator]:
    """Return the operators that the accounts seem to have, those with most accounts first."""
    return held.operators()


@query(joined, "every")
def lanes(held: Held) -> dict[str, Lane]:
    """Return the lane of each account that holds one."""
    found = lanes_by_slot(held.engine)
    return dict(zip(held.names(list(found)), found.values(), strict=True)) if found else {}


class ShadowCount(NamedTuple):
    """Accounts for which a rule in shadow has fired, and the labels that they have."""

    accounts: int
    benign: int
    abusive: int


class RuleCounts(NamedTuple):
    """How often each rule newly fired, and whom those in shadow met, by the rule's id."""

    hits: dict[str, int]
    shadow: dict[str, ShadowCount]


def _summed(parts: Sequence[RuleCounts]) -> RuleCounts:
    shadow = {
        rule: ShadowCount(
            *(sum(each) for each in zip(*(p.shadow[rule] for p in parts), strict=True))
        )
        for rule in parts[0].shadow
    }
    return RuleCounts(
        {rule: sum(part.hits[rule] for part in parts) for rule in parts[0].hits}, shadow
    )


@query(_summed, "every")
def rule_counts(held: Held) -> RuleCounts:
    """Return what the rules have met."""
    engine = held.engine
    return RuleCounts(
        {rule: int(many) for rule, many in engine.rule_hits().items()},
        {
            rule.id: _shadow(engine, k)
            for k, rule in enumerate(engine.policy.rules)
            if rule.mode == "shadow"
        },
    )


def _shadow(engine: Engine, k: int) -> ShadowCount:
    """Count accounts for which a rule has fired; those in a benign label's grace do not count."""
    core, counts = engine.core, np.zeros(3, np.int64)
    all_fired = ~np.int64(core.policy.registration)
    for rows in core.used_rows():
        fired, flags = rows["fired"], rows["flags"]
        met = (fired >> np.int64(k)) & 1 > 0
        met &= (fired & all_fired) != all_fired
        counts += [met.sum(), (met & (flags & LABEL_BENIGN > 0)).sum(),
                   (met & (flags & LABEL_ABUSIVE > 0)).sum()]  # fmt: skip
    return ShadowCount(*map(int, counts))


class ChatCounts(NamedTuple):
    """Strangers written to first in a cycle: all, those who answered, the oldest who did not."""

    opened: int
    answered: int
    oldest_s: int | None


def count_chats(core: ShardedKernel, slot: int, now_s: int) -> ChatCounts:
    """Count strangers whom account `slot` wrote to in the cycle that ends at `now_s` (log time).

    There are none of an account that has no row yet.
    """
    if not 0 <= slot < core.accounts:
        return ChatCounts(0, 0, None)
    flags, first = pairs_of_owner(core.pairs[slot % SHARDS], slot // SHARDS)
    opened = ((flags & STRANGER) > 0) & (first > now_s // BUCKET_S - BUCKETS)
    waits = opened & ((flags & REPLIED) == 0)
    oldest = int(first[waits].min()) * BUCKET_S if waits.any() else None
    return ChatCounts(int(opened.sum()), int((opened & ~waits).sum()), oldest)
