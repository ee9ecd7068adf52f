"""Decisions that were confirmed: what an earlier run decided, and nobody took back."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from wavebreak.rules.declared import seconds
from wavebreak.training.gathering import Run
from wavebreak.training.labelling import UNDATED, Claim
from wavebreak.training.settings import Decisions

STOOD = ("suspend", "ban")
_COLUMNS = ["account", "outcome", "first_action_ms"]


def confirmed(run: Run, end: int, settings: Decisions) -> Iterator[Claim]:
    """Claims of the decisions of a run that still stood at its end (ms), long after they were made.

    None for a log that no run of ours decided on.
    """
    if run.decided is None or not (run.decided / "accounts.parquet").is_file():
        return
    least = 1000 * seconds(settings.confirmed_after)
    for row in pq.read_table(run.decided / "accounts.parquet", columns=_COLUMNS).to_pylist():
        at = row["first_action_ms"]
        if row["outcome"] in STOOD and at is not None and end - at >= least:
            yield Claim(run.world, row["account"], "abusive", "", "", "decision", UNDATED)
