"""Settings of training: `policy/training.toml`, or that of a policy directory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from wavebreak import config
from wavebreak.durations import Duration
from wavebreak.errors import PolicyError
from wavebreak.evaluation.label_votes import LabelSource
from wavebreak.features.catalog import MODEL_INPUTS
from wavebreak.outcomes import ABOVE_ALLOW, outcomes_below

SHIPPED = config.resolve_path("training.toml")

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Part = Annotated[float, Meta(gt=0.0, lt=1.0)]
Number = Annotated[int, Meta(ge=1, le=10_000)]
Positive = Annotated[float, Meta(gt=0.0)]


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of which every key must be given."""


class Decisions(_Table, frozen=True):
    """When our own decision is taken for confirmed."""

    confirmed_after: Duration


class Split(_Table, frozen=True):
    """Shares of operators for each side, and of a run's time that is kept from the fit."""

    fit: Part
    calibrate: Part
    test: Part
    later: Share


class Weights(_Table, frozen=True):
    """What points, accounts and families count in the fit."""

    early: Share
    even_abusive: Share
    even_benign: Share
    dense: Number
    step: Annotated[float, Meta(gt=1.0)]


class Coverage(_Table, frozen=True):
    """How much of the streams is hidden from the fit."""

    share: Share
    drop: Share
    bare: Share
    patterns: Number


class Fit(_Table, frozen=True):
    """Settings of the trees; see `fitting.fit`."""

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
    """Most false actions a benign scoring point, by outcome; at an upper confidence.

    Without one of `request` that of observe holds: files of earlier versions have none.
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
        """The tolerance of one outcome above allow."""
        given = getattr(self, outcome)
        return float(self.observe if given is None else given)


class SmallPopulation(_Table, frozen=True):
    """What is done where few people calibrate; see `crossfitting`.

    They are few where those of them who have started no chat do not show, at the tolerance's
    confidence, that at most the share `silent` of such accounts is reached. `parts` is how many
    parts all accounts but the test's are dealt out to, `most` the most that a score then asks of
    an account that has started no chat.
    """

    silent: Part
    most: str
    parts: Annotated[int, Meta(ge=2, le=20)]


class Abstention(_Table, frozen=True):
    """When a score abstains; see `abstention`.

    `tail` is the share of training points beyond either end of a feature's range, `share` the most
    of the points of calibration on which the score may then abstain. Above the share `newcomers` of
    newcomers among a platform's active accounts the score always abstains (0: never).
    """

    tail: Share
    share: Share
    newcomers: Share = 0.0


class LeaveOneOut(_Table, frozen=True):
    """Trees of each fit that leaves one out, and the share of ordinary people it takes."""

    rounds: Number
    persons: Share


class Cascade(_Table, frozen=True):
    """Share of abusive accounts that stopping early may lose."""

    lost: Share


class Leaks(_Table, frozen=True):
    """When a leak is suspected; see `leaks`."""

    cuts: Number
    alone: Part
    support: Number
    labelled_before: Share


class Baseline(_Table, frozen=True):
    """Bins a feature for drift."""

    bins: Number


class Default(_Table, frozen=True):
    """How the default model is made; see `default_model`. It does not read the inputs `without`.

    `requests`: the share of random platforms where chats open by a request for contact.
    `newcomers`: as in `Abstention`.
    """

    held_from: Annotated[int, Meta(ge=1)]
    persons: Share
    times: Number
    rounds: Number
    leaves: Annotated[int, Meta(ge=2, le=255)]
    without: tuple[str, ...]
    requests: Share
    newcomers: Share
    split: Split
    tolerance: dict[str, Part]


class Settings(_Table, frozen=True, omit_defaults=True):
    """Everything that `training.toml` says.

    Without `few` thresholds stand on counts alone; without `abstention` every point is scored.
    """

    sources: dict[str, LabelSource]
    decisions: Decisions
    split: Split
    weights: Weights
    coverage: Coverage
    fit: Fit
    calibration: Calibration
    tolerance: Tolerance
    cascade: Cascade
    leaks: Leaks
    baseline: Baseline
    default: Default
    leave_one_out: LeaveOneOut
    few: SmallPopulation | None = None
    abstention: Abstention | None = None

    def digested(self) -> bytes:
        """Canonical bytes, for a digest."""
        return msgspec.json.encode(self, order="deterministic")


def load_settings(directory: Path | None = None, **tolerance: float | None) -> Settings:
    """Read the settings: the shipped ones, or `training.toml` of a policy directory.

    `tolerance` by outcome takes the place of what is written; what is milder than a restriction
    may then err as often. Raises `PolicyError` with the field
    and the fix.

    >>> load_settings().tolerance.ban
    1e-05
    >>> load_settings(ban=0.001, restrict=0.001, suspend=0.001).tolerance.ban
    0.001
    """
    written = config.read_toml(config.resolve_path("training.toml", directory))
    try:
        given = {name: value for name, value in tolerance.items() if value is not None}
        written["tolerance"] = _raise_mild_tolerances(written.get("tolerance", {}) | given, given)
        settings = msgspec.convert(written, Settings)
    except msgspec.ValidationError as error:
        raise PolicyError(
            f"training.toml: {error}", fix="compare with the shipped policy/training.toml"
        ) from None
    _check(settings)
    return settings


def _raise_mild_tolerances(written: dict[str, Any], given: dict[str, float]) -> dict[str, Any]:
    """Let observe, challenge and limit err at least as often as what was given."""
    mild = [name for name in outcomes_below("restrict") if name != "allow"]
    most = max(given.values(), default=0.0)
    return written | {name: max(written[name], most) for name in mild if name in written}


def _check(settings: Settings) -> None:
    for where, split in (("split", settings.split), ("default.split", settings.default.split)):
        if abs(split.fit + split.calibrate + split.test - 1.0) > 1e-9:
            raise PolicyError(
                f"training.toml, {where}: fit, calibrate and test do not sum to one",
                fix="write for example 0.55, 0.25 and 0.20",
            )
    if settings.few and settings.few.most not in ABOVE_ALLOW:
        raise PolicyError(
            f"training.toml, few.most: there is no outcome `{settings.few.most[:40]}`",
            fix=f"choose from {', '.join(ABOVE_ALLOW)}",
        )
    if unknown := settings.default.tolerance.keys() - set(ABOVE_ALLOW):
        raise PolicyError(
            f"training.toml, default.tolerance: there is no outcome `{min(unknown)}`",
            fix=f"choose from {', '.join(ABOVE_ALLOW)}",
        )
    if unknown := set(settings.default.without) - set(MODEL_INPUTS):
        raise PolicyError(
            f"training.toml, default.without: no model reads a feature `{min(unknown)[:64]}`",
            fix="name features of `wavebreak features list`",
        )
    if "file" not in settings.sources or "decision" not in settings.sources:
        raise PolicyError(
            "training.toml, sources: file or decision is absent", fix="give both a rank and weight"
        )
    of = settings.tolerance.of
    for milder, harder in pairwise(ABOVE_ALLOW):
        if of(harder) > of(milder):
            raise PolicyError(
                f"training.toml, tolerance: {harder} may err more often than {milder}",
                fix=f"give {harder} at most {of(milder):g}",
            )
