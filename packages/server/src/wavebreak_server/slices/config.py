"""Settings of queue, acts and appeals, from `console.toml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from wavebreak import config
from wavebreak.durations import Duration
from wavebreak.outcomes import ABOVE_ALLOW, LATER, Outcome
from wavebreak_server.http.app_context import AppContext

Share = Annotated[float, Meta(ge=0, le=1)]


class Chance(Struct, frozen=True, forbid_unknown_fields=True):
    """Chance that an account is abusive, by the basis of the decision."""

    impossible: Share
    evidence: Share
    tie: Share
    takeover: Share
    doubt: Share


class Queue(Struct, frozen=True, forbid_unknown_fields=True):
    """How cases are ordered and claimed.

    `harm` is that to the holder if an outcome is wrong, 0 to 1, for each above allow.
    `age_targets` are by kind of abuse, in place of `age_floor`.
    """

    least_priority: Share
    age_floor: Duration
    lease: Duration
    skip: Duration
    harm: dict[Outcome, Share]
    chance: Chance
    age_targets: dict[str, Duration] = {}

    def __post_init__(self) -> None:
        if missing := [n for n in ABOVE_ALLOW if n not in self.harm and n not in LATER]:
            raise ValueError(f"harm lacks {', '.join(missing)}")
        later = dict.fromkeys(LATER, self.harm["observe"])
        msgspec.structs.force_setattr(self, "harm", later | self.harm)


class Bulk(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of acts on many accounts."""

    most: Annotated[int, Meta(ge=1, le=100_000)]
    typed_from: Annotated[int, Meta(ge=1)]
    sample: Annotated[int, Meta(ge=1, le=50)]


class Appeals(Struct, frozen=True, forbid_unknown_fields=True):
    """How long appeals may take, and when they are grouped."""

    review_days: Annotated[int, Meta(ge=1, le=90)]
    open_per_operator: Annotated[int, Meta(ge=1, le=10_000)]
    statement_days: Annotated[int, Meta(ge=1, le=365)]


class ConsoleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `console.toml`."""

    queue: Queue
    bulk: Bulk
    appeals: Appeals


@cache
def load_config(directory: Path | None = None) -> ConsoleConfig:
    """Load the settings: the shipped file, or the one of a policy directory.

    >>> load_config().bulk.most
    2000
    """
    return config.load_config(config.resolve_path("console.toml", directory), ConsoleConfig)


def use_settings(app: AppContext, directory: Path | None) -> ConsoleConfig:
    """Let a service have the settings of a policy's directory; return them."""
    used = app.states[ConsoleConfig] = load_config(directory)
    return used


def settings_of(app: AppContext) -> ConsoleConfig:
    """Return the settings of a service; the shipped ones where none were given to it."""
    used: ConsoleConfig | None = app.states.get(ConsoleConfig)
    return used or load_config()
