"""Settings of training: `policy/training.toml`, or that of a policy directory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from wavebreak import config
from wavebreak.durations import Duration
from wavebreak.errors import PolicyError
from wavebreak.evaluation.labels import LabelSource
from wavebreak.outcomes import ABOVE_ALLOW

SHIPPED = config.resolve_path("training.toml")

REMOVED_TABLES = (
    "abstention", "baseline", "cascade", "coverage", "default", "few", "leaks", "leave_one_out",
)  # fmt: skip
"""Tables of 0.2: they were for the model that was trained in simulation."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Part = Annotated[float, Meta(gt=0.0, lt=1.0)]
Number = Annotated[int, Meta(ge=1, le=10_000)]
Positive = Annotated[float, Meta(gt=0.0)]


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of which every key must be given."""


class Decisions(_Table, frozen=True):
    """Age from which on our own decision counts as confirmed."""

    confirmed_after: Duration


class Split(_Table, frozen=True):
    """Shares of operators for each side, and of a run's time that is kept from the fit."""

    fit: Part
    calibrate: Part
    test: Part
    later: Share


class Weights(_Table, frozen=True):
    """Weights of points, accounts and families in the fit."""

    early: Share
    even_abusive: Share
    even_benign: Share
    dense: Number
    step: Annotated[float, Meta(gt=1.0)]


class Fit(_Table, frozen=True):
    """Settings of the trees; see `trainer.fit_booster`."""

    rounds: Number
    leaves: Annotated[int, Meta(ge=2, le=255)]
    rate: Positive
    least: Number
    ridge: float
    columns: Annotated[float, Meta(gt=0.0, le=1.0)]
    rows: Annotated[float, Meta(gt=0.0, le=1.0)]


class Calibration(_Table, frozen=True):
    """The share of abusive accounts for which probabilities are stated."""

    prevalence: Part


class Tolerance(_Table, frozen=True):
    """Maximum false actions per benign scoring point, by outcome, as an upper confidence bound.

    Without `request`, which files of earlier versions lack, that of observe holds.
    """

    confidence: Part
    observe: Part
    challenge: Part
    limit: Part
    restrict: Part
    suspend: Part
    ban: Part
    request: Part | None = None

    def of(self, outcome: str) -> float:
        """Return the tolerance of one outcome above allow."""
        value = getattr(self, outcome)
        return float(self.observe if value is None else value)


class Settings(_Table, frozen=True, omit_defaults=True):
    """The content of `training.toml`."""

    sources: dict[str, LabelSource]
    decisions: Decisions
    split: Split
    weights: Weights
    fit: Fit
    calibration: Calibration
    tolerance: Tolerance

    def digested(self) -> bytes:
        """Return canonical bytes, for a digest."""
        return msgspec.json.encode(self, order="deterministic")


def load_settings(directory: Path | None = None) -> Settings:
    """Read the shipped settings, or `training.toml` of a policy directory.

    Raises:
        PolicyError: A field is missing, unknown or out of range; names the field and the fix.

    >>> load_settings().tolerance.ban
    1e-05
    """
    tables = config.read_toml(config.resolve_path("training.toml", directory))
    if old_tables := sorted(tables.keys() & set(REMOVED_TABLES)):
        raise PolicyError(
            f"training.toml: [{old_tables[0]}] was removed with the model trained in simulation",
            fix=f"delete {', '.join(f'[{name}]' for name in old_tables)}; see docs/upgrade.md",
        )
    try:
        settings = msgspec.convert(tables, Settings)
    except msgspec.ValidationError as error:
        raise PolicyError(
            f"training.toml: {error}", fix="compare with the shipped policy/training.toml"
        ) from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    split = settings.split
    if abs(split.fit + split.calibrate + split.test - 1.0) > 1e-9:
        raise PolicyError(
            "training.toml, split: fit, calibrate and test do not sum to one",
            fix="write for example 0.55, 0.25 and 0.20",
        )
    if "file" not in settings.sources or "decision" not in settings.sources:
        raise PolicyError(
            "training.toml, sources: file or decision is absent", fix="give both a rank and weight"
        )
    tolerance_of = settings.tolerance.of
    for milder, harder in pairwise(ABOVE_ALLOW):
        if tolerance_of(harder) > tolerance_of(milder):
            raise PolicyError(
                f"training.toml, tolerance: {harder} may err more often than {milder}",
                fix=f"give {harder} at most {tolerance_of(milder):g}",
            )
