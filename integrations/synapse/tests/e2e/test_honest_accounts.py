"""Honest accounts on a real Synapse with a real Wavebreak: hundreds, and those who invite many."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_support.honest_groups import GROUPS, result_of
from synapse_support.honest_people import HONEST, outcomes_of_honest_people


@pytest.mark.timeout(2400)
def test_rules_limit_no_honest_account(tmp_path: Path) -> None:
    outcomes = outcomes_of_honest_people(tmp_path)
    assert outcomes.keys() <= {"allow", "observe"}, outcomes
    assert sum(outcomes.values()) == HONEST


# Missed goals, by how many arrive at once at least: a newcomer has 25 unanswered strangers an hour.
SLOWED = {"a new teacher's 25 pupils": 4, "50 contacts of somebody who moved": 32}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted(GROUPS.keys() - SLOWED.keys()))
def test_honest_people_invite_many_and_nobody_is_limited(tmp_path: Path, name: str) -> None:
    found = result_of(tmp_path, GROUPS[name], attacked=False)
    print(name, found)
    assert found.limited == 0
    assert found.delivered >= 0.95 * found.wanted


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted(SLOWED))
def test_a_newcomer_who_invites_many_is_slowed_alone(tmp_path: Path, name: str) -> None:
    found = result_of(tmp_path, GROUPS[name], attacked=False)
    print(name, found)
    assert found.limited <= 1
    assert found.delivered >= SLOWED[name]
