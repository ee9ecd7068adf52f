"""Measurement of a platform's days in shadow: what recipients did, allowances used, scores reached.

The log is replayed in shadow under the policy in force. To learn how many accounts a daily
allowance of n strangers would meet, the replay carries probes: copies of the rule that only label,
each with another n. They see what the rule sees, at every send.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec.structs import replace
from numpy.typing import NDArray

from wavebreak.calibration.config import Settings
from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import accounts_table, shard_records
from wavebreak.engine.kernel_policy import Model
from wavebreak.features.catalog import INDEX
from wavebreak.features.layout import LABEL_BENIGN, SHARDS
from wavebreak.rules import Policy, Rule
from wavebreak.rules.model import MAX_RULES
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import CHANNELS

RUNGS = 14
"""Allowances tried for each rule."""
_ALLOWANCE = re.compile(r"strangers_contacted_1h >= (\d+)")
_PERSONAL = CHANNELS.index("business_platform")
"""Channels below it are those that the rules on evidence judge."""


@dataclass(frozen=True)
class Measurement:
    """What a replay in shadow showed.

    Attributes:
        events: Events replayed.
        days: Days from the first event to the last.
        accounts: Accounts on channels that the rules judge, without those labelled benign.
        rows: Their rows (dtype ROW): the counts of the sequential tests.
        rares: Their rare rows (dtype RARE).
        reached: By rule of an hourly allowance: allowance to the accounts that it would slow.
        margins: By account the highest score (log-odds); -inf without one.
        outcomes: Accounts by their most severe outcome under the policy in force.
        covered: Features that the stream carries.
    """

    events: int
    days: float
    accounts: int
    rows: Any
    rares: Any
    reached: dict[str, dict[int, int]]
    margins: NDArray[np.float64]
    outcomes: dict[str, int]
    covered: frozenset[str]


def allowance_of(rule: Rule) -> int | None:
    """Return the strangers of an hour from which on a rule slows (None: of another kind)."""
    found = _ALLOWANCE.search(rule.expression)
    return int(found[1]) if found and rule.outcome == "limit" else None


def with_allowance(rule: Rule, allowance: int) -> Rule:
    """Return a rule of an hourly allowance with another one; its examples are not changed."""
    condition = f"strangers_contacted_1h >= {allowance}"
    entries = (rule.when,) if isinstance(rule.when, str) else rule.when
    when = tuple(_ALLOWANCE.sub(condition, e) if isinstance(e, str) else e for e in entries)
    return replace(rule, when=when[0] if isinstance(rule.when, str) else when)


def _probes(policy: Policy, settings: Settings) -> dict[str, dict[int, Rule]]:
    """Return by rule and allowance a copy of the rule that only labels."""
    rules = [r for r in policy.rules if r.id in settings.allowances and allowance_of(r) is not None]
    rungs = min(RUNGS, (MAX_RULES - len(policy.rules)) // max(len(rules), 1)) - 1
    probes: dict[str, dict[int, Rule]] = {}
    for rule in rules if rungs > 1 else []:
        low, high = settings.allowances[rule.id]
        tried = {allowance_of(rule) or low, *np.geomspace(low, high, rungs).round().astype(int)}
        probes[rule.id] = {
            int(n): replace(
                with_allowance(rule, int(n)), id=f"probe_{len(probes)}_{n}", aliases=(),
                outcome=None, label="probe", hold=None, new_chats_1d=None, action=None,
                mode="enforce",
            )
            for n in sorted(tried)
        }  # fmt: skip
    return probes


def measure(
    logs: Iterable[pa.RecordBatch], policy: Policy, profile: Profile | None, model: Model | None,
    settings: Settings, *, workers: int = 1,
) -> Measurement:  # fmt: skip
    """Replay a log in shadow, and measure what a calibration needs.

    Args:
        logs: The events, as batches of LOG_SCHEMA, in order.
        policy: The policy in force.
        profile: Field coverage of the stream (None: everything).
        model: The model in force (None: none).
        settings: Which allowances to try.
        workers: Threads; the result does not depend on it.
    """
    probes = _probes(policy, settings)
    labels = tuple(rule for ladder in probes.values() for rule in ladder.values())
    probed = dataclasses.replace(policy, rules=policy.rules + labels)
    engine = Engine(
        probed, profile, enforce=False, workers=workers, model=model, record=model is not None
    )
    spared = [CHANNELS.index(channel) for channel in policy.score.spares]
    margins = np.full(0, -np.inf)
    events, first, last = 0, None, 0
    for log in logs:
        if not log.num_rows:
            continue
        times = log.column("ts").to_numpy()
        first, last = min(int(times[0]), first or int(times[0])), max(last, int(times[-1]))
        events += log.num_rows
        engine.take(log)
        margins = _highest(margins, engine, spared)
    engine.finish()
    margins = _highest(margins, engine, spared)
    slots, rows, rares = _records(engine)
    bits = {rule_id: k for k, rule_id in enumerate(engine.program.ids)}
    fired = rows["fired"].astype(np.uint64)
    reached = {
        rule_id: {
            n: int(np.count_nonzero(fired >> np.uint64(bits[probe.id]) & np.uint64(1)))
            for n, probe in ladder.items()
        }
        for rule_id, ladder in probes.items()
        if rule_id not in engine.off
    }
    padded = np.concatenate(
        [margins, np.full(max(0, engine.core.accounts - margins.size), -np.inf)]
    )
    return Measurement(
        events,
        (last - (first or last)) / DAY_MS,
        int(slots.size),
        rows,
        rares,
        reached,
        padded[slots],
        _outcomes(engine),
        engine.covered,
    )


def _highest(margins: NDArray[np.float64], engine: Engine, spared: list[int]) -> Any:
    """Raise each account's highest score by the scoring points since the last call."""
    points = engine.points()
    if not points.size:
        return margins
    counted = ~np.isnan(points["score"])
    counted &= ~np.isin(points["values"][:, INDEX["channel"]], spared)
    points = points[counted]
    more = max(0, engine.core.accounts - margins.size)
    margins = np.concatenate([margins, np.full(more, -np.inf)])
    np.maximum.at(margins, points["account"], points["score"])
    return margins


def _records(engine: Engine) -> tuple[Any, Any, Any]:
    """Return slots, rows and rare rows of the accounts that the rules judge."""
    parts = [shard_records(engine, s) for s in range(SHARDS)]
    slots, rows, rares = (np.concatenate([part[j] for part in parts]) for j in range(3))
    judged = (rows["channel"] < _PERSONAL) & (rows["flags"] & LABEL_BENIGN == 0)
    return slots[judged], rows[judged], rares[judged]


def _outcomes(engine: Engine) -> dict[str, int]:
    return dict(Counter(accounts_table(engine)["worst"].to_pylist()))


def count_outcomes(
    logs: Iterable[pa.RecordBatch], policy: Policy, profile: Profile | None, model: Model | None,
    *, workers: int = 1,
) -> dict[str, int]:  # fmt: skip
    """Replay a log in shadow under a policy; return accounts by their most severe outcome.

    The arguments are those of `measure`.
    """
    engine = Engine(policy, profile, enforce=False, workers=workers, model=model)
    for log in logs:
        engine.take(log)
    engine.finish()
    return _outcomes(engine)
