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


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", GROUPS)
def test_honest_people_invite_many_and_nobody_is_limited(tmp_path: Path, name: str) -> None:
    found = result_of(tmp_path, GROUPS[name], attacked=False)
    print(name, found)
    assert found.limited == 0
    assert found.delivered >= 0.95 * found.wanted
