"""What a run's exhibit says of itself, in `rerun.json`: read without the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wavebreak.durations import DAY_S
from wavebreak.engine.decision_record import Decision

DECISIONS, ABOUT = "decisions.jsonl", "rerun.json"
MAX_EVENTS = 2_000_000
"""Events that an exhibit holds at most."""


class RerunManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is run again: accounts relied on and sealed ids by pseudonym, counts, versions.

    `relied` are the ids of the decisions about those accounts; `as_run` how many decisions, from
    the first, are those of the original run. Without `whole` only the accounts' own events are
    here: their conduct can be counted again, decisions cannot be made again.
    """

    version: Literal[1]
    accounts: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1_000)]
    relied: tuple[str, ...]
    events: Annotated[int, Meta(ge=1, le=MAX_EVENTS)]
    decisions: Annotated[int, Meta(ge=0, le=MAX_EVENTS)]
    as_run: int
    enforce: bool
    lateness_s: Annotated[int, Meta(ge=0, le=DAY_S)]
    policy_name: Annotated[str, Meta(pattern=r"^\w[\w.]{0,99}$")]
    policy: str
    model: str | None
    features: str
    wavebreak: str
    whole: bool = True


def read_manifest(place: Path) -> RerunManifest:
    """Read what a run's exhibit says of itself."""
    return msgspec.json.decode((place / ABOUT).read_bytes(), type=RerunManifest)


def run_decisions(place: Path) -> Iterator[Decision]:
    """Read the decisions of a run's exhibit that are of the original run, in order."""
    about = read_manifest(place)
    with (place / DECISIONS).open("rb") as lines:
        for _, line in zip(range(about.as_run), lines, strict=False):
            yield msgspec.json.decode(line, type=Decision)
