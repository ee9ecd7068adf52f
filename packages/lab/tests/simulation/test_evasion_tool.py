"""The evasion tool: warm-up by own accounts, few strangers a day, the next account at a limit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS
from wavebreak_lab.simulation import simulate
from wavebreak_lab.simulation.attackers import EVASION_PRESETS, Operator, OperatorFeedback

SENDER = EVASION_PRESETS["evasion-tool"].sender
WARM_UP_MS = 72 * HOUR_MS


def test_accounts_warm_up_for_days_then_write_to_a_few_strangers_a_day() -> None:
    world = simulate(people=300, days=9, campaigns=[("evasion-tool", 16)], seed=3)
    events = pa.Table.from_batches(world.batches())
    own = {account for account, label, *_ in world.labels if label == "abusive"}
    events = events.filter(pc.is_in(events["account"], pa.array(sorted(own))))
    registered = events.filter(pc.equal(events["type"], "account.registered"))
    assert len(registered) == len(registered["device"].unique()) == len(registered["ip"].unique())
    born = dict(zip(registered["account"].to_pylist(), registered["ts"].to_pylist(), strict=True))
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    rows = zip(*(sent[name].to_pylist() for name in ("account", "peer", "ts")), strict=True)
    strangers: dict[str, list[int]] = {}
    warm_up = 0
    for account, peer, ts in rows:
        if peer in own:
            warm_up += 1
        else:
            assert ts - born[account] > WARM_UP_MS
            strangers.setdefault(account, []).append(ts)
    assert warm_up > 10
    assert len(strangers) >= 3
    for account, times in strangers.items():
        days = np.bincount((np.array(times) - min(times)) // DAY_MS)
        assert days[0] <= 12
        assert days.max() <= 62
        assert np.median(np.diff(times)) > 2 * MINUTE_MS, account
    hours = np.concatenate([*strangers.values()]) // HOUR_MS % 24
    busiest = np.sort(np.bincount(hours, minlength=24))
    assert busiest[:8].sum() < 0.15 * busiest.sum(), "nights are quiet"


def test_limited_account_is_given_up_and_the_next_takes_its_place() -> None:
    sim = simulate(people=300, days=14, seed=5).timeline.sim  # type: ignore[union-attr]
    operator = Operator(sim, "op", "evasion-tool", SENDER, 8, listens=True)
    day = 4 * DAY_MS
    operator.step(sim, sim.start, sim.start + day)
    first = list(operator.lines)
    assert len(first) == 2
    told = sim.start + day
    notice = OperatorFeedback(first[0].account, "limit", told, told + 3 * DAY_MS)
    operator.step(sim, told, told + DAY_MS, [notice])
    assert first[0].ended == told
    assert first[1].ended > told
    assert len(operator.lines) == 3
