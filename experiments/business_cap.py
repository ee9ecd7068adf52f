"""By how much the cap per person over all businesses is overshot, since it is read by the minute.

    python -m experiments.business_cap [--businesses 20] [--people 5000] [--seed 0]

Each business writes to the same people once, at 80 messages a second, in an order of its own, and
begins within the same hour. People are over the cap where more was accepted within 24 hours than it
allows.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from wavebreak_business.platform.events import AnyPlatformEvent
from wavebreak_business.platform.platform import Platform
from wavebreak_business.settings import Settings, load_settings

NOON = 1_772_366_400_000
HOUR = 3_600_000


def _event(kind: str, ts: int, **fields: Any) -> Any:
    return msgspec.convert({"type": kind, "ts": ts, **fields}, AnyPlatformEvent)


def campaigns(businesses: int, people: int, seed: int) -> tuple[Counter[str], Counter[int]]:
    """Return sends by outcome, and people by how much more they were sent than the cap allows."""
    shipped, change = load_settings(), msgspec.structs.replace
    limits = change(
        shipped.limits,
        pacing=change(shipped.limits.pacing, categories=()),
        consent=change(shipped.limits.consent, required=()),
    )
    platform = Platform(Settings(limits, shipped.codes, shipped.codes_as_of))
    rng, sends = np.random.default_rng(seed), []
    for n in range(businesses):
        number = {"number": f"n{n}", "display_name": "B"}
        named = {"business": f"b{n}", "limit": -1, "paced": False, "numbers": [number]}
        template = {"business": f"b{n}", "template": "sale", "category": "marketing"}
        platform.apply(
            [
                _event("portfolio.updated", NOON - HOUR, **named),
                _event(
                    "template.updated", NOON - HOUR, **template, language="he", status="approved"
                ),
            ]
        )
        begin = NOON + int(rng.integers(HOUR))
        order = rng.permutation(people).tolist()
        sends += [(begin + i * 13, f"n{n}", f"p{who}") for i, who in enumerate(order)]
    sends.sort()
    events = [
        _event("message.sent", at, account=number, peer=peer, template="sale", id=f"{number}{peer}")
        for at, number, peer in sends
    ]
    answers = platform.apply(events).answers
    got = Counter(e.peer for e, a in zip(events, answers, strict=True) if a.accepted)
    over = Counter(max(0, got[f"p{n}"] - limits.cap.most) for n in range(people))
    return Counter(answer.outcome for answer in answers), over


def main() -> None:
    """Run the command."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--businesses", type=int, default=20)
    asked.add_argument("--people", type=int, default=5_000)
    asked.add_argument("--seed", type=int, default=0)
    chosen = asked.parse_args()
    outcomes, over = campaigns(chosen.businesses, chosen.people, chosen.seed)
    print(dict(outcomes))
    print("people by messages over the cap:", dict(sorted(over.items())))


if __name__ == "__main__":
    main()
