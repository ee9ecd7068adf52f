"""Reversals of the platform's actions, as a log holds them: labels that people assigned later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from wavebreak.io import read
from wavebreak.outcomes import NOT_REFUSING, OUTCOMES
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LABELS, PERSONS, SOURCES, TYPES
from wavebreak_cases.bundles.pseudonyms import Renamer
from wavebreak_cases.cases.case import Reversal

_LABELED = TYPES.index("label.assigned")


def is_reversal(label: str, outcome: str | None) -> bool:
    """Whether a person's label takes an action back.

    >>> is_reversal("benign", None), is_reversal("undetermined", "allow")
    (True, True)
    >>> is_reversal("undetermined", None), is_reversal("abusive", None)
    (False, False)
    """
    lifted = label == "undetermined" and outcome in NOT_REFUSING
    return label == "benign" or lifted


def log_reversals(
    source: Path, accounts: Sequence[str], pseudonymizer: Pseudonymizer, rename: Renamer
) -> list[Reversal]:
    """Find the accounts whose action was taken back, by their last label in a log.

    Args:
        source: The log.
        accounts: Accounts as the log names them.
        pseudonymizer: Reads the log as the run did.
        rename: Gives the case's pseudonyms.

    Returns:
        A reversal for each account of which the last label by an appeal or an analyst is one.
    """
    last: dict[str, Reversal | None] = {}
    wanted = set(accounts)
    for batch in read(source, pseudonymizer):
        rows = batch.log.filter(pc.equal(batch.log.column("type"), _LABELED))
        for row in rows.select(["account", "ts", "label", "source", "outcome"]).to_pylist():
            by = SOURCES[row["source"]]
            if row["account"] not in wanted or by not in PERSONS:
                continue
            outcome = None if row["outcome"] is None else OUTCOMES[row["outcome"]]
            label = LABELS[row["label"]]
            basis = f"label {label} by {by} in the log"
            found = Reversal(rename("a", row["account"]), row["ts"], basis)
            last[row["account"]] = found if is_reversal(label, outcome) else None
    return [found for found in last.values() if found is not None]
