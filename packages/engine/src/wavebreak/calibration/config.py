"""Settings of a calibration: `calibration.toml` of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from wavebreak import config

Share = Annotated[float, Meta(gt=0, lt=0.5)]
Count = Annotated[int, Meta(ge=1)]
Range = tuple[float, float]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a calibration assumes, and how far it may go.

    Attributes:
        contamination: At most this share of the accounts is abusive.
        slowed: At most this share of accounts may be slowed by one setting.
        strongly: At most this share of those may be slowed strongly.
        beyond: Share of honest accounts that may be below a floor or above a ceiling.
        trials: An account counts from so many trials.
        accounts: With fewer such accounts a number stays as it is.
        headroom: Least factor between the mean of the accounts and a floor or ceiling.
        resamples: Resamples of the accounts for an interval.
        floors: Lowest and highest value of each floor.
        ceilings: The same of each ceiling.
        allowances: The same of strangers an hour, by the id of the rule.
        proposes: What is proposed: names of floors and ceilings, "allowances", "score". What the
            days say of the others is shown, and their numbers stay.
    """

    contamination: Annotated[float, Meta(ge=0, lt=0.5)]
    slowed: Share
    strongly: Annotated[float, Meta(gt=0, le=1)]
    beyond: Share
    trials: Count
    accounts: Count
    headroom: Annotated[float, Meta(ge=1, le=10)]
    resamples: Annotated[int, Meta(ge=20, le=10_000)]
    floors: dict[str, Range]
    ceilings: dict[str, Range]
    allowances: dict[str, tuple[int, int]]
    proposes: tuple[str, ...]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    calibration: Settings


def load_settings(
    directory: Path | None = None, *, contamination: float | None = None,
    slowed: float | None = None,
) -> Settings:  # fmt: skip
    """Read the settings: the shipped ones, or `calibration.toml` of a policy directory.

    Args:
        directory: A local policy.
        contamination: In place of what the file says.
        slowed: The same.

    Raises:
        PolicyError: A field is missing, unknown, or out of range.

    >>> load_settings(slowed=0.02).slowed
    0.02
    """
    read = config.load_config(config.resolve_path("calibration.toml", directory), _File).calibration
    given = {"contamination": contamination, "slowed": slowed}
    return replace(read, **{name: value for name, value in given.items() if value is not None})
