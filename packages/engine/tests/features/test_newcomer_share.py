"""The share of newcomers among active accounts, and the model's silence where it is large."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.fake_model import Synthetic
from support.parity_streams import MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.state_check import check_state
from wavebreak.features.catalog import INDEX
from wavebreak.features.reputation import NewcomerShare
from wavebreak.features.values import MARGIN_MAX, ONE
from wavebreak.schema.events import TYPES

REGISTERED, SENT = (TYPES.index(name) for name in ("account.registered", "message.sent"))


def event(number: int, minute: int, kind: int, who: str, peer: str | None = None) -> Row:
    row: Row = {"id": f"e{number}", "ts": START + minute * MINUTE, "type": kind, "account": who}
    return row | ({"peer": peer, "size": 9} if peer else {})


BULK = 26
LOWEST = -MARGIN_MAX / ONE


def opening(members: int, newcomers: int, bulk_at: int) -> list[Row]:
    """Members act in the first minute and newcomers register in it; one of them sends in bulk."""
    rows = [event(n, 0, SENT, f"m{n}", f"m{n + 1}") for n in range(members)]
    rows += [event(100 + n, 0, REGISTERED, f"n{n}") for n in range(newcomers)]
    return rows + [event(200 + n, bulk_at, SENT, "n0", f"s{n}") for n in range(BULK)]


def engine(newcomers: float, **settings: Any) -> Engine:
    doubt = Synthetic({"challenge": 1}, newcomers)
    return Engine(rules.load_policy(), accounts=512, model=doubt, record=True, **settings)


def speaks(made: Engine, rows: list[Row]) -> bool:
    """Whether the model says anything of the bulk sender."""
    made.take(log(rows[:-BULK]))
    made.points()
    made.take(log(rows[-BULK:]))
    scores = set(made.points()["score"].tolist())
    assert len(scores) == 1 or min(scores) > LOWEST
    return scores != {LOWEST}


@pytest.mark.parametrize(
    ("members", "newcomers", "abstains"), [(10, 30, True), (10, 3, False), (1, 30, True)]
)
def test_model_is_silent_where_most_of_the_active_are_newcomers(
    members: int, newcomers: int, *, abstains: bool
) -> None:
    rows = opening(members, newcomers, 5)
    bounded = engine(0.5)
    assert speaks(bounded, rows) is not abstains
    assert speaks(engine(0.0), rows)
    assert bounded.core.abstains is abstains
    _, _, everybody, new = bounded.core.newcomer_share.dump()
    assert new / everybody == pytest.approx(newcomers / (members + newcomers))


def test_share_counts_in_the_first_thirty_days_only() -> None:
    share = NewcomerShare()
    share.open(100)
    share.add(100, 8, 8)
    assert share.exceeds(ONE // 2, 100 + 30 * 1_440 - 1)
    assert not share.exceeds(ONE // 2, 100 + 30 * 1_440)


def test_minutes_halve_in_a_day() -> None:
    share = NewcomerShare()
    share.open(0)
    share.add(0, 8, 8)
    share.add(1_440, 4, 0)
    assert share.dump().tolist() == [1, 1_441, 8 * ONE, 4 * ONE]
    share.add(2_000, 0, 0)
    assert share.dump()[1] == 1_441


def test_workers_and_a_restart_change_nothing(tmp_path: Path) -> None:
    rows = opening(20, 30, 3)
    whole, shared, begun = engine(0.4), engine(0.4, workers=3), engine(0.4)
    assert whole.core.newcomer_share.dump().tolist() == [0, 0, 0, 0]
    made = whole.take(log(rows))
    assert shared.take(log(rows)) == made
    assert np.array_equal(shared.core.newcomer_share.dump(), whole.core.newcomer_share.dump())
    begun.take(log(rows[:-BULK]))
    snapshot.save(begun, tmp_path / "s")
    resumed = engine(0.4)
    snapshot.restore(resumed, tmp_path / "s")
    assert made
    assert resumed.take(log(rows[-BULK:])) == made
    assert np.array_equal(resumed.core.newcomer_share.dump(), whole.core.newcomer_share.dump())


def test_an_earlier_snapshot_is_of_a_platform_long_open(tmp_path: Path) -> None:
    begun = engine(0.4)
    begun.take(log(opening(0, 30, 3)[:-BULK]))
    arrays = begun.dump()
    check_state(arrays, len(rules.load_policy().rules))
    del arrays["core.newcomer_share"]
    snapshot.write(snapshot.EngineState(snapshot.manifest_of(begun), arrays), tmp_path / "s")
    resumed = engine(0.4)
    snapshot.restore(resumed, tmp_path / "s")
    resumed.take(log(opening(0, 30, 3)[-BULK:]))
    assert min(resumed.points()["score"]) > LOWEST


def test_a_share_out_of_bounds_is_refused() -> None:
    arrays = engine(0.4).dump() | {"core.newcomer_share": np.array([1, 1, 1 << 60, 1])}
    with pytest.raises(ValueError, match="newcomer_share is out of bounds"):
        check_state(arrays, len(rules.load_policy().rules))


def test_what_is_added_to_often_fades_as_well() -> None:
    """An account a network every ten minutes for five days: the sum halves in a day."""
    rows = [event(n, 10 * n, REGISTERED, f"r{n}") | {"network": "n"} for n in range(720)]
    of = Engine(rules.load_policy(), accounts=1024)
    of.take(log(rows))
    arrivals = of.core.values_of(719)[INDEX["network_arrivals"]]
    assert arrivals == pytest.approx(144 / math.log(2) * (1 - 2**-5), rel=0.05)


def test_minutes_of_a_busy_platform_halve_in_a_day_as_well() -> None:
    share = NewcomerShare()
    share.open(0)
    for epoch in range(2_880):
        share.add(epoch, 10, 10 if epoch < 1_440 else 0)
    _, _, everybody, new = share.dump()
    assert new / everybody == pytest.approx(1 / 3, rel=0.02)
