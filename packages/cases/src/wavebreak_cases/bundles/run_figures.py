"""What accounts of a case's runs did, counted, as the reasons of a determination state it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wavebreak.extras import LazyModule
from wavebreak_cases.bundles.rerun_manifest import read_manifest
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.reasons import AccountFigures

if TYPE_CHECKING:
    from wavebreak_cases.bundles import reproduction
else:  # it imports the engine, and a case without a run needs none
    reproduction = LazyModule("wavebreak_cases.bundles.reproduction")


def figures_of_runs(directory: Path, case: Case) -> dict[str, tuple[AccountFigures, ...]]:
    """Return by exhibit what became of the messages of its accounts.

    They are counted from the log of the exhibit, as those of the report are.

    Args:
        directory: The case's directory, or a bundle's payload.
        case: The case.
    """
    runs = [exhibit for exhibit in case.exhibits.values() if exhibit.kind == "platform_run"]
    return {exhibit.id: tuple(_counted(directory / exhibit.path)) for exhibit in runs}


def _counted(place: Path) -> Iterator[AccountFigures]:
    for account, own in reproduction.conduct_of_accounts(place, read_manifest(place)).items():
        sends = own.counts("sends")
        yield AccountFigures(
            account,
            sends.attempted,
            sends.platform,
            sends.enforcement,
            sends.carried,
            len(own.attempted["reports"]),
        )
