"""One portfolio of a business platform with a number and a template of each category."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.state import State
from wavebreak_business.settings import Limits, load_limits

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
NOON = 20_600 * DAY + 12 * HOUR


def limits(**tables: dict[str, Any]) -> Limits:
    """Return the shipped limits with other values in some tables."""
    shipped = load_limits()
    changed = {
        name: msgspec.structs.replace(getattr(shipped, name), **values)
        for name, values in tables.items()
    }
    return msgspec.structs.replace(shipped, **changed)


def unpaced(**tables: dict[str, Any]) -> Limits:
    """Return limits without pacing of templates."""
    return limits(**{"pacing": {"categories": ()}, **tables})


class Scene:
    """A portfolio, slot 0, with its number 0 and approved templates 0 to 2 by category."""

    def __init__(
        self, rules: Limits | None = None, limit: int = 250, *, workers: int = 1,
        paced: bool = False, rate: int = 80,
    ) -> None:  # fmt: skip
        self.state = State(rules or unpaced(), workers=workers)
        self.state.add_portfolio(limit, paced=paced)
        self.state.add_number(0, rate)
        for category in range(3):
            self.state.add_template(0, category)
            self.state.set_template(category, k.APPROVED, category, 0)

    def act(self, kind: int, person: int, at: int, **fields: int) -> tuple[int, int, int]:
        """Take one act; return its outcome, when it opens, what it changed."""
        acts = np.zeros(1, k.ACT)
        acts["kind"], acts["person"], acts["ts"] = kind, person, at
        acts["weight"], acts["category"], acts["portfolio"] = 100, k.ANY, k.NONE
        acts["template"] = k.NONE
        for name, value in fields.items():
            acts[name] = value
        (answer,) = self.state.advance(acts)
        return int(answer["outcome"]), int(answer["opens"]), int(answer["changes"])

    def send(
        self, person: int, at: int, template: int | None = k.UTILITY, number: int = 0
    ) -> tuple[int, int]:
        """Send a template (None: free text); return outcome and when it opens."""
        named = {} if template is None else {"template": template, "flags": k.WITH_TEMPLATE}
        return self.act(k.SEND, person, at, number=number, **named)[:2]

    def grant(self, person: int, at: int, category: int = k.ANY, number: int = k.NONE) -> None:
        self.act(k.GRANT, person, at, portfolio=0, number=number, category=category)

    def revoke(self, person: int, at: int, category: int = k.ANY, number: int = k.NONE) -> None:
        self.act(k.REVOKE, person, at, portfolio=0, number=number, category=category)

    def write(self, person: int, at: int, *, by_entry: bool = False) -> None:
        """Let a person write to the number."""
        self.act(k.INBOUND, person, at, flags=k.BY_ENTRY * by_entry)

    def react(self, kind: int, person: int, at: int) -> int:
        """Let a person react; return what it changed."""
        return self.act(kind, person, at)[2]
