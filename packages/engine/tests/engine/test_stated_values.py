"""Values of reasons: the ledger takes each of them, however large the evidence is."""

from __future__ import annotations

import math

import pytest

from wavebreak.engine.decision import stated_value
from wavebreak.ledger.verifier import VerifierError, canonical


@pytest.mark.parametrize("value", [0.0, 0.37, 2.0**53 - 1, 2.0**53, 6.9e17, 2.0**60])
def test_stated_value_has_a_canonical_form(value: float) -> None:
    stated = stated_value(value)
    assert stated == min(value, 2**53 - 1)
    assert canonical({"value": stated})


def test_larger_number_has_no_canonical_form_and_missing_is_none() -> None:
    assert stated_value(math.nan) is None
    with pytest.raises((VerifierError, ValueError)):
        canonical({"value": 2.0**60})
