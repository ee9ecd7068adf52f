"""`/_synapse/client/wavebreak/health`: whether the module does its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wavebreak_synapse.config import Settings
from wavebreak_synapse.service import Service

PATH = "/_synapse/client/wavebreak/health"

UNDECLARED = "the service was not told yet what a Synapse carries; it is told within ten seconds"


def report(
    service: Service, settings: Settings, *, full: bool, problems_of_lists: Sequence[str] = ()
) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the answer.

    Args:
        service: The connection to Wavebreak.
        settings: The module's settings.
        full: Whether problems and figures are shown: to administrators.
        problems_of_lists: What is wrong with the policy rooms that are watched.
    """
    if not service.started:
        return 503, {"status": "starting"}
    health: Any = service.client.health()
    # Its own words: nothing answers, another service does, the key is refused or is no source's.
    problems = [*health.problems, *problems_of_lists]
    if service.declared is False and not problems:
        problems.append(UNDECLARED)
    ok = health.ok and not problems
    body: dict[str, Any] = {"status": "ok" if ok else "degraded"}
    if full:
        body |= {
            "mode": settings.mode,
            "problems": problems,
            "states_fresh": health.states_fresh,
            "states": health.states,
            "queued": health.queued,
            "breaker": health.breaker,
            "unauthorized": health.unauthorized,
            "clock_offset_ms": health.clock_offset_ms,
            "undeliverable": service.undeliverable,
            "counts": dict(health.counts),
        }
    return (200 if ok else 503), body
