"""What each rule adds: replays without one rule at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from rich.progress import Progress

from experiments.worlds.ablation import Contribution, ablate, show, without
from experiments.worlds.headline import World
from wavebreak.rules import load_policy
from wavebreak.schema.events import LOG_SCHEMA, TYPES

START = 1_772_366_400_000
REGISTERED, SENT = TYPES.index("account.registered"), TYPES.index("message.sent")


@pytest.fixture(scope="module")
def burst() -> list[Contribution]:
    """What rules add where a newcomer writes to forty strangers within forty minutes."""
    rows: list[dict[str, Any]] = [{"id": "r", "ts": START, "account": "a", "type": REGISTERED}]
    rows += [
        {"id": f"m{n}", "ts": START + 60_000 * (n + 1), "account": "a", "peer": f"p{n}",
         "type": SENT}
        for n in range(40)
    ]  # fmt: skip
    labels = {"a": ("abusive", "burst", "")} | {
        f"p{n}": ("benign", "people", "") for n in range(40)
    }
    rows.append({"id": "h", "ts": START + 1_000, "account": "p0", "peer": "p1", "type": SENT})
    log = pa.Table.from_pylist(sorted(rows, key=lambda row: row["ts"]), schema=LOG_SCHEMA)
    with Progress(disable=True) as progress:
        return ablate(World("burst", log, labels), load_policy(), "none", progress)


def test_only_rules_that_decided_are_left_out_in_turn(burst: list[Contribution]) -> None:
    assert [made.rule for made in burst] == ["", "first_contact_allowance"]


def test_a_rule_adds_what_is_not_stopped_without_it(burst: list[Contribution]) -> None:
    whole, less = (made.headline for made in burst)
    assert (whole.unwanted, less.unwanted) == (40, 40)
    assert whole.stopped > 0
    assert less.stopped == 0


def test_a_policy_without_a_rule_differs_by_its_mode_alone() -> None:
    policy = load_policy()
    less = without(policy, "first_contact_allowance")
    modes = {r.id: (r.mode, s.mode) for r, s in zip(policy.rules, less.rules, strict=True)}
    assert {rule for rule, (a, b) in modes.items() if a != b} == {"first_contact_allowance"}
    assert less.version != policy.version


def test_the_table_shows_differences(
    burst: list[Contribution], capsys: pytest.CaptureFixture[str]
) -> None:
    show(burst, Console(width=110))
    row = next(
        line for line in capsys.readouterr().out.splitlines() if "first_contact_allowance" in line
    )
    assert "+37.50" in row
