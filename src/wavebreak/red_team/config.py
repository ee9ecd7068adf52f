"""The terms of an arena, from `arena.toml`: prices, how people answer, what senders may turn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from wavebreak import config


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator pays, in dollars."""

    number: float
    virtual_number: float
    attested: float
    device: float
    address: float
    network: float
    challenge: float
    taken_over: float
    hour: float


class Manners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people answer challenges: the share who pass, median seconds until they do."""

    pass_share: float
    pass_median_s: float
    recover_median_s: float


class Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When missing receipts are taken for a refusal: acts without one, and seconds."""

    acts: int
    seconds: float


class Dial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One parameter that senders may turn: bounds, steps by size or by factor, unit in words."""

    low: float
    high: float
    by: Literal["size", "factor"]
    unit: str


class Dials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dials by a sender's work, and those that only senders of a tactic have."""

    write: dict[str, Dial]
    groups: dict[str, Dial]
    reports: dict[str, Dial]
    flood: dict[str, Dial]
    extra: dict[str, Dial]


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `arena.toml`."""

    price: Price
    people: Manners
    silence: Silence
    dials: Dials


def load_terms(local: Path | None = None) -> Terms:
    """Load the shipped terms, or those of a local policy that has its own `arena.toml`.

    Raises PolicyError for a file that cannot be read or does not hold what it must.

    >>> load_terms().price.number
    0.5
    """
    return config.read(config.chosen("arena.toml", local), Terms)
