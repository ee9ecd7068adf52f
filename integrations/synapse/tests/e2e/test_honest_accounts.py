"""Three hundred honest accounts without numbers, on a real Synapse with a real Wavebreak."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_support.honest_people import HONEST, outcomes_of_honest_people


@pytest.mark.timeout(2400)
def test_rules_limit_no_honest_account(tmp_path: Path) -> None:
    outcomes = outcomes_of_honest_people(tmp_path)
    assert outcomes.keys() <= {"allow", "observe"}, outcomes
    assert sum(outcomes.values()) == HONEST
