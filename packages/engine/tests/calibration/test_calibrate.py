"""The policy of a proposal: the copy loads, and holds the proposed numbers and no other change."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from wavebreak import config
from wavebreak.calibration.measurement import allowance_of, with_allowance
from wavebreak.calibration.platform_run import write_policy
from wavebreak.calibration.proposal import Proposal
from wavebreak.errors import UsageError
from wavebreak.rules import load_policy
from wavebreak.rules.model import ScoreThresholds

SHIPPED = load_policy()
SETTLED = "hourly_allowance"
THRESHOLDS = ScoreThresholds(model="default-1", challenge=1.5, restrict=3.25)


def proposal(**changes: float) -> Proposal:
    evidence = replace(SHIPPED.evidence, **changes)
    return Proposal((), evidence, {SETTLED: 140}, THRESHOLDS)


def test_proposed_policy_loads_with_the_numbers(tmp_path: Path) -> None:
    written = write_policy(proposal(reply=0.31), SHIPPED, None, tmp_path / "p")
    assert written.evidence.reply == 0.31
    assert written.evidence.complaint == SHIPPED.evidence.complaint
    assert written.score.thresholds == THRESHOLDS
    rule = written.rule(SETTLED)
    assert rule is not None
    assert allowance_of(rule) == 140


def test_other_rules_of_the_proposed_policy_are_the_same(tmp_path: Path) -> None:
    written = write_policy(proposal(), SHIPPED, None, tmp_path / "p")
    assert [r for r in written.rules if r.id != SETTLED] == [
        r for r in SHIPPED.rules if r.id != SETTLED
    ]


def test_local_rule_is_edited_where_it_is(tmp_path: Path) -> None:
    local = tmp_path / "local"
    (local / "rules").mkdir(parents=True)
    text = (config.SHIPPED / "rules" / "doubt.toml").read_text("utf-8")
    (local / "rules" / "mine.toml").write_text("# our own\n" + text, "utf-8")
    policy = load_policy(local)
    written = write_policy(proposal(), policy, local, tmp_path / "p")
    assert not (tmp_path / "p" / "rules" / "calibrated.toml").exists()
    assert (tmp_path / "p" / "rules" / "mine.toml").read_text("utf-8").startswith("# our own")
    rule = written.rule(SETTLED)
    assert rule is not None
    assert allowance_of(rule) == 140


def test_calibrated_policy_can_be_calibrated_again(tmp_path: Path) -> None:
    first = write_policy(proposal(), SHIPPED, None, tmp_path / "a")
    again = write_policy(proposal(leave=0.1), first, tmp_path / "a", tmp_path / "b")
    assert again.evidence.leave == 0.1
    assert again.score.thresholds == THRESHOLDS


def test_directory_with_a_policy_is_not_written_over(tmp_path: Path) -> None:
    write_policy(proposal(), SHIPPED, None, tmp_path / "p")
    with pytest.raises(UsageError, match="fix:"):
        write_policy(proposal(), SHIPPED, None, tmp_path / "p")


def test_allowance_is_read_and_replaced() -> None:
    rule = SHIPPED.rule(SETTLED)
    assert rule is not None
    assert allowance_of(rule) == 60
    other = with_allowance(rule, 7)
    assert allowance_of(other) == 7
    assert "strangers_contacted_1h >= 7 + answers" in other.expression
    lookups = SHIPPED.rule("number_enumeration")
    assert lookups is not None
    assert allowance_of(lookups) is None
