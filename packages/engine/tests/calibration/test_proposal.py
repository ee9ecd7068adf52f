"""What is proposed from counts: never beyond the limits, and nothing where the accounts are few."""

from __future__ import annotations

from dataclasses import replace as replace_policy
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from support.fake_model import Synthetic
from wavebreak.calibration.config import Settings, load_settings
from wavebreak.calibration.measurement import Measurement
from wavebreak.calibration.proposal import Proposal, Setting, evidence_values, propose
from wavebreak.errors import PolicyError
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import RARE, ROW
from wavebreak.rules import load_policy

POLICY = load_policy()
POLICY = replace_policy(POLICY, score=replace(POLICY.score, mode="enforce"))
SHIPPED = load_settings()
SETTINGS = replace(SHIPPED, proposes=(*SHIPPED.floors, *SHIPPED.ceilings, "allowances", "score"))
ACCOUNTS = 1_000
LADDER = {"hourly_allowance": {30: 40, 60: 12, 90: 5, 120: 1, 200: 0}}


def measured(
    replies: float = 0.6, complaints: float = 0.001, *, accounts: int = ACCOUNTS, bad: int = 0,
    trials: int = 40, reached: dict[str, dict[int, int]] | None = None, margins: Any = None,
    covered: frozenset[str] = frozenset(NAMES),
) -> Measurement:  # fmt: skip
    """Accounts with so many strangers, `bad` of whom nobody answers."""
    random = np.random.default_rng(1)
    rows, rares = np.zeros(accounts, ROW), np.zeros(accounts, RARE)
    rates = random.beta(12 * replies, 12 * (1 - replies), accounts)
    rates[:bad] = 0.005
    rows["trials"], rows["contacted"], rows["matured"] = trials, trials, trials
    rows["answered"][:, 1] = random.binomial(trials, rates)
    rows["answered"][:, 0] = rows["answered"][:, 1] // 2
    rows["trials_answered"] = rows["answered"][:, 1]
    rows["complaints"] = random.binomial(trials, complaints, accounts)
    found = np.full(accounts, -np.inf) if margins is None else margins
    ladder = LADDER if reached is None else reached
    outcomes = {"allow": accounts}
    return Measurement(10**6, 7.0, accounts, rows, rares, ladder, found, outcomes, covered)


def proposed(of: Measurement, settings: Settings = SETTINGS, model: Any = None) -> Proposal:
    return propose(of, POLICY, model, settings)


def setting(made: Proposal, name: str) -> Setting:
    (found,) = (each for each in made.settings if each.name == name)
    return found


def test_floor_rises_where_strangers_answer() -> None:
    made = proposed(measured(0.7))
    reply = setting(made, "reply")
    assert POLICY.evidence.reply < reply.proposed == made.evidence.reply
    assert reply.interval is not None
    assert reply.proposed <= reply.interval[0]


def test_floor_falls_where_strangers_rarely_answer() -> None:
    assert setting(proposed(measured(0.2)), "reply").proposed < POLICY.evidence.reply


def test_nobody_abusive_looser_than_the_limit() -> None:
    assert proposed(measured(0.02)).evidence.reply == SETTINGS.floors["reply"][0]
    complaints = proposed(measured(0.6, complaints=0.3)).evidence.complaint
    assert complaints == SETTINGS.ceilings["complaint"][1]


def test_early_floor_is_at_most_that_of_a_day() -> None:
    made = proposed(measured(0.1))
    assert made.evidence.early_reply <= made.evidence.reply


def test_few_accounts_keep_every_number() -> None:
    made = proposed(measured(accounts=SETTINGS.accounts - 1), model=Synthetic({"challenge": 0}))
    assert not any(each.changed for each in made.settings)
    assert made.evidence == POLICY.evidence
    assert made.thresholds is None
    assert all(each.why.startswith("kept: ") for each in made.settings)


def test_what_the_stream_does_not_carry_is_kept() -> None:
    without = frozenset(NAMES) - {"complaint_evidence", "later_complaint_evidence"}
    made = proposed(measured(complaints=0.0, covered=without))
    assert made.evidence.complaint == POLICY.evidence.complaint
    assert "does not carry" in setting(made, "complaint_after_answer").why


def test_few_trials_keep_the_tests() -> None:
    made = proposed(measured(trials=SETTINGS.trials - 1))
    assert made.evidence == POLICY.evidence


def test_abusive_accounts_are_left_out_of_the_floor() -> None:
    trusting = replace(SETTINGS, contamination=0.0)
    clean = proposed(measured(0.6), trusting).evidence.reply
    assert proposed(measured(0.6, bad=50), trusting).evidence.reply < clean - 0.1
    mixed = proposed(measured(0.6, bad=50)).evidence.reply
    assert mixed == pytest.approx(clean, abs=0.05)


def test_ceilings_of_complaints_alone_are_proposed_by_default() -> None:
    made = propose(measured(0.7, complaints=0.06), POLICY, Synthetic({"challenge": 0}), SHIPPED)
    changed = {each.name for each in made.settings if each.changed}
    assert "complaint" in changed <= set(SHIPPED.proposes)
    assert made.evidence.complaint > POLICY.evidence.complaint
    assert made.evidence.reply == POLICY.evidence.reply
    assert "`proposes` does not name it" in setting(made, "reply").why
    assert (made.allowances, made.thresholds) == ({}, None)


def test_ceilings_of_complaints_rest_on_accounts_with_answers() -> None:
    unanswered = measured(0.6, complaints=0.06)
    unanswered.rows["trials_answered"] = 1
    assert proposed(unanswered).evidence.complaint == POLICY.evidence.complaint


def test_ceilings_of_complaints_move_each_by_its_own_counts() -> None:
    made = proposed(measured(0.6, complaints=0.045))
    assert made.evidence.complaint > POLICY.evidence.complaint
    assert made.evidence.complaint_after_answer == POLICY.evidence.complaint_after_answer


def test_allowance_is_the_fewest_that_slow_few_accounts() -> None:
    made = proposed(measured())
    # The upper end of the interval of 5 in 1,000 is 1.2 %, of 1 in 1,000 0.6 %.
    assert made.allowances == {"hourly_allowance": 120}
    found = setting(made, "hourly_allowance")
    assert (found.touched_now.limited, found.touched_proposed.limited) == (12, 1)


def test_allowance_that_no_rung_keeps_is_the_limit() -> None:
    reached = {"hourly_allowance": {30: 400, 60: 390, 200: 300}}
    assert proposed(measured(reached=reached)).allowances == {"hourly_allowance": 200}


def test_score_threshold_slows_at_most_what_is_tolerated() -> None:
    margins = np.linspace(-5, 5, ACCOUNTS)
    made = proposed(measured(margins=margins), model=Synthetic({"challenge": 0, "restrict": 0}))
    doubt, strong = setting(made, "score.challenge"), setting(made, "score.restrict")
    assert (doubt.touched_now.limited, doubt.touched_proposed.limited) == (500, 10)
    assert strong.touched_proposed.limited == 1
    assert made.thresholds is not None
    assert made.thresholds.challenge == doubt.proposed < strong.proposed


def test_score_threshold_is_never_lowered() -> None:
    margins = np.full(ACCOUNTS, -5.0)
    made = proposed(measured(margins=margins), model=Synthetic({"challenge": 65_536}))
    assert setting(made, "score.challenge").proposed == 1.0
    assert made.thresholds is None


def test_evidence_values_are_those_of_the_tests() -> None:
    values = evidence_values("unanswered_evidence", measured(0.6, bad=10), POLICY.evidence)
    assert (values[:10] > 20).all()
    assert np.median(values[10:]) < 1


def test_settings_out_of_range_are_refused(tmp_path: Any) -> None:
    (tmp_path / "calibration.toml").write_text("[calibration]\nslowed = 2\n", "utf-8")
    with pytest.raises(PolicyError, match=r"calibration\.toml.*fix:"):
        load_settings(tmp_path)


def test_settings_are_overridden_by_options() -> None:
    changed = load_settings(contamination=0.2)
    assert changed == replace(SHIPPED, contamination=0.2)
