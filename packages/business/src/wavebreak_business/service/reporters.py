"""What reactions weigh: the engine's record of who reacts, as of its last closed epoch.

The weight stands in the platform's log, before the reaction that it is of, wherever it is another
than the log has said: so a replay weighs as it was weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wavebreak.engine.account_queries import credibilities
from wavebreak_business.platform.events import PersonWeighed
from wavebreak_business.platform.platform import FULL_WEIGHT, Platform
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.service import Service

REACTIONS = ("user.muted", "user.blocked", "user.reported")
"""Acts that weigh."""


async def weights_of(service: Service, accounts: Sequence[str]) -> dict[str, int]:
    """Return the weights of known accounts in hundredths; of none while nothing answers."""
    if not accounts:
        return {}
    try:
        known = await service.query(credibilities, accounts)
    except BusyError:
        return {}
    # Who was right before weighs as much as who has no record: each person counts once at most.
    return {name: min(round(FULL_WEIGHT * each), FULL_WEIGHT) for name, each in known.items()}


def weighed(
    platform: Platform, weights: Mapping[str, int], at_ms: int
) -> list[PersonWeighed]:  # fmt: skip
    """Return the events that say of people, by their pseudonyms, what the log does not say yet."""
    return [
        PersonWeighed(ts=at_ms, account=person, weight=weight)
        for person, weight in sorted(weights.items())
        if platform.weight_of(person) != weight
    ]
