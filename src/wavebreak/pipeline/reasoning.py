"""A model's reasons, beside what the rules of a decision read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wavebreak.decision import OBSERVE, Decision, Reason
from wavebreak.features.catalog import INDEX
from wavebreak.features.state import OUTCOMES


def asks_for_reasons(decision: Decision) -> bool:
    """Whether a model's reasons belong to a decision: it was scored, and is above observe."""
    return decision.score is not None and OUTCOMES.index(decision.outcome) > OBSERVE


def reasoned(decision: Decision, contributions: Mapping[str, float], values: Any) -> Decision:
    """Give a decision a model's reasons; what a rule read and a model weighed is said once.

    `contributions` is in log-odds by feature, largest first; `values` float64[catalog].
    """
    read = {reason.feature: reason for reason in decision.reasons}
    for name, contribution in contributions.items():
        value = float(values[INDEX[name]])
        read[name] = Reason(name, value if value == value else None, contribution)
    return msgspec.structs.replace(decision, reasons=tuple(read.values()))
