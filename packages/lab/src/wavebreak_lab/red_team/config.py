"""Assumptions of a red-team run: prices, how people answer challenges, what senders may change."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from wavebreak import config

FILE = "red_team.toml"
"""The file of a policy directory."""


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices that an operator pays, in dollars."""

    number: float
    virtual_number: float
    attested: float
    device: float
    address: float
    network: float
    challenge: float
    taken_over: float
    hour: float
    aged: float = 2.0
    answer: float = 0.05
    lure: float = 0.05


class ChallengeBehaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people answer challenges: the share who pass, and the median seconds until they do."""

    pass_share: float
    pass_median_s: float
    recover_median_s: float


class RequestBehaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people respond to requests: shares, and the median seconds until they decline or report.

    `looked_at` is of all; `declines` and `reports` are of those looked at.
    """

    looked_at: float = 0.5
    declines: float = 0.3
    reports: float = 0.05
    median_s: float = 3_600


class MissingReceipts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a sender takes missing receipts for a refusal: acts without one, and seconds."""

    acts: int
    seconds: float


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One parameter that senders may change: bounds, linear or geometric scale, unit in words."""

    low: float
    high: float
    by: Literal["size", "factor"]
    unit: str


class SearchSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters by a sender's work; `extra` are those that only senders of some tactics have."""

    write: dict[str, Parameter]
    groups: dict[str, Parameter]
    reports: dict[str, Parameter]
    flood: dict[str, Parameter]
    extra: dict[str, Parameter]
    accuse: dict[str, Parameter] = {}


class RedTeamConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `red_team.toml`."""

    prices: Prices
    challenges: ChallengeBehaviour
    missing_receipts: MissingReceipts
    parameters: SearchSpace
    requests: RequestBehaviour = RequestBehaviour()


def load_config(local: Path | None = None) -> RedTeamConfig:
    """Load the shipped configuration, or that of a policy directory.

    Args:
        local: A policy directory, or None.

    Raises:
        PolicyError: The file cannot be read, or lacks a field.

    >>> load_config().prices.number
    0.5
    """
    return config.load_config(config.resolve_path(FILE, local), RedTeamConfig)
