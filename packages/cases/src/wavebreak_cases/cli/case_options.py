"""Options that the commands of `case` share, and how they open a case and print a step."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak_cases.cases.parties import Basis, Strength

if TYPE_CHECKING:
    from wavebreak_cases.bundles.reproduction import RunInputs
    from wavebreak_cases.bundles.workspace import CaseWorkspace

Place = Annotated[Path, typer.Argument(help="The case's directory.")]
By = Annotated[str, typer.Option(envvar="WAVEBREAK_BY", help="Who does this: a person's name.")]
Role = Annotated[str, typer.Option(help="In which role; who signs is counsel.")]
Why = Annotated[str, typer.Option(help="Why, in a line.")]
Authority = Annotated[str, typer.Option(help="By what authority.")]
SealKey = Annotated[
    Path | None, typer.Option(help="Key file that seals steps (default: the one of `run`).")
]
Many = list[str] | None

PartyKind = StrEnum("PartyKind", ["company", "person"])
Doing = StrEnum("Doing", ["engaged", "assisted", "neither", "unknown"])
Kind = StrEnum("Kind", ["bulk", "automated", "non_personal"])
Violations = Annotated[
    list[Kind] | None, typer.Option("--violation", help="Which kind it was; again for more.")
]
Began = Annotated[str, typer.Option(help="When it began: about 2019-11, before 2020, unknown.")]
Until = Annotated[str, typer.Option(help="Until when it is shown to have lasted.")]
Zone = Annotated[str | None, typer.Option(help="Time zone of dates: Asia/Jerusalem.")]
DateBasis = Annotated[str, typer.Option(help="On what stated dates rest: 'the invoice'.")]
TieBasis = Annotated[Basis | None, typer.Option(help="What ties it to the party.")]
TieStrength = Annotated[Strength | None, typer.Option(help="How strongly.")]


@contextmanager
def open_case_at(place: Path, key: Path | None, new: str = "") -> Iterator[CaseWorkspace]:
    """Open a case's directory for one command; a new case gets the id `new`."""
    from wavebreak.ledger.checkpoints import load_or_create_signer
    from wavebreak_cases.bundles.workspace import open_workspace

    with open_workspace(
        place,
        load_or_create_signer(key),
        lambda: time.time_ns() // 10**6,
        secrets.token_bytes,
        new=new,
    ) as opened:
        yield opened


def run_inputs(
    policy: Path | None, model_dir: str | None, lateness: int, key: Path | None
) -> RunInputs:
    """With what a run was made, as the options of a command say it."""
    from wavebreak import model
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key
    from wavebreak_cases.bundles.reproduction import RunInputs

    secret = load_key(key)
    return RunInputs(policy, model.load_selected(model_dir), Pseudonymizer(secret), lateness)
