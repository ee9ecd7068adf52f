"""Search over a sender's parameters: CMA-ES on numbers from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
from cmaes._cma import CMA

from wavebreak_lab.red_team.config import Parameter, RedTeamConfig
from wavebreak_lab.simulation.attackers import Sender
from wavebreak_lab.simulation.log import Floats

MIN_CANDIDATES = 4
"""Fewest candidates of a generation; operators may then have fewer than the usual accounts."""

ACCOUNTS_PER_OPERATOR = 5
"""Usual number of accounts of one operator; a family's accounts are split over operators."""

INITIAL_STEP = 0.2
"""First step of the search, as a share of a parameter's scale."""


class FamilySearch:
    """One family's CMA-ES search over its parameters; each operator plays one candidate.

    Args:
        family: Name of the family.
        sender: Preset of the family.
        accounts: Accounts of the family, split over the operators.
        seed: Seed of the search.
        settings: The parameters that senders may change.
    """

    def __init__(
        self, family: str, sender: Sender, accounts: int, seed: int, settings: RedTeamConfig
    ) -> None:
        self.sender = sender
        self.count = min(accounts, max(MIN_CANDIDATES, min(8, accounts // ACCOUNTS_PER_OPERATOR)))
        self.parameters = search_parameters(sender, settings)
        self._cma = CMA(
            encode(sender, self.parameters),
            INITIAL_STEP,
            bounds=np.array([[0.0, 1.0]] * len(self.parameters)),
            seed=seed * 1009 + sum(map(ord, family)),
            population_size=self.count,
        )
        self._candidates: list[Floats] = []

    def presets(self) -> list[Sender]:
        """Return the preset for each operator."""
        return [self.sender] * self.count

    def ask(self) -> list[Sender]:
        """Return the next candidates."""
        self._candidates = [self._cma.ask() for _ in range(self.count)]
        return [decode(self.sender, self.parameters, vector) for vector in self._candidates]

    def tell(self, gains: Sequence[float]) -> None:
        """Update the search with the gain of each candidate."""
        self._cma.tell([(x, -gain) for x, gain in zip(self._candidates, gains, strict=True)])

    def best(self) -> list[Sender]:
        """Return the sender at the mean of the search distribution, for each operator."""
        return [decode(self.sender, self.parameters, np.clip(self._cma.mean, 0, 1))] * self.count


def search_parameters(sender: Sender, settings: RedTeamConfig) -> dict[str, Parameter]:
    """Return the parameters that a sender may change, without those that have no effect."""
    parameters: dict[str, Parameter] = dict(getattr(settings.parameters, sender.work))
    if sender.hijack:
        parameters = {name: spec for name, spec in parameters.items() if "." not in name}
    if sender.work == "write":
        extra = settings.parameters.extra.items()
        parameters |= {name: spec for name, spec in extra if parameter_value(sender, name) > 0}
    unused = {
        "enrolment.networks": sender.enrolment.residential,
        "gap": sender.law in ("typed", "spread"),
        "lurk_h": not sender.staging,
        "ring_chats": not sender.ring_h,
        "again": not (sender.life_h or sender.replace),
    }
    return {name: spec for name, spec in parameters.items() if not unused.get(name)}


def parameter_value(sender: Sender, name: str) -> float:
    """Return a parameter as one number: the middle of bounds.

    >>> parameter_value(Sender(gap=(20.0, 60.0)), "gap")
    40.0
    """
    value = attrgetter(name)(sender)
    return float(sum(value) / 2) if isinstance(value, tuple) else float(value)


def _scale_value(old: Any, value: float) -> Any:
    if isinstance(old, tuple):
        middle = sum(old) / 2
        ends = [e * value / middle for e in old] if middle > 0 else [0.5 * value, 1.5 * value]
        if isinstance(old[0], int):
            low = max(1, round(ends[0]))
            return low, max(low + 1, round(ends[1]))
        return tuple(ends)
    return max(1, round(value)) if isinstance(old, int) else value


def with_parameters(sender: Sender, values: dict[str, float]) -> Sender:
    """Return the sender with some parameters at other values; bounds keep their proportion.

    >>> with_parameters(Sender(gap=(20.0, 60.0)), {"gap": 80.0, "enrolment.devices": 5}).gap
    (40.0, 120.0)
    """
    scaled = {name: _scale_value(attrgetter(name)(sender), v) for name, v in values.items()}
    direct = {name: value for name, value in scaled.items() if "." not in name}
    inner = {n.partition(".")[2]: value for n, value in scaled.items() if "." in n}
    return replace(sender, **direct, enrolment=replace(sender.enrolment, **inner))


def encode_value(parameter: Parameter, value: float) -> float:
    """Encode a value as a number from 0 to 1 on the scale of the parameter.

    >>> encode_value(Parameter(1, 100, "factor", ""), 10)
    0.5
    >>> encode_value(Parameter(0, 4, "size", ""), 1)
    0.25
    """
    low, high = parameter.low, parameter.high
    if parameter.by == "size":
        share = (value - low) / (high - low)
    else:
        share = math.log(max(value, low) / low) / math.log(high / low)
    return min(1.0, max(0.0, share))


def decode_value(parameter: Parameter, share: float) -> float:
    """Decode a number from 0 to 1 as a value of its parameter.

    >>> round(decode_value(Parameter(1, 100, "factor", ""), 0.5), 6)
    10.0
    """
    share = min(1.0, max(0.0, share))
    if parameter.by == "size":
        return parameter.low + share * (parameter.high - parameter.low)
    return float(parameter.low * (parameter.high / parameter.low) ** share)


def _start_value(sender: Sender, name: str) -> float:
    # A first day without a limit has the limit of every day.
    has_no_limit = name == "first_day" and not sender.first_day
    return parameter_value(sender, "per_day" if has_no_limit else name)


def encode(sender: Sender, parameters: dict[str, Parameter]) -> Floats:
    """Encode a sender as a vector of numbers from 0 to 1; a parameter that is off is 0."""
    items = parameters.items()
    return np.array([encode_value(spec, _start_value(sender, name)) for name, spec in items])


def decode(sender: Sender, parameters: dict[str, Parameter], vector: Floats) -> Sender:
    """Decode a vector of numbers from 0 to 1 as a sender."""
    items = zip(parameters.items(), vector, strict=True)
    return with_parameters(
        sender, {name: decode_value(spec, float(share)) for (name, spec), share in items}
    )


def describe_changes(
    old: Sender, new: Sender, parameters: dict[str, Parameter], count: int = 4
) -> str:
    """Describe the largest changes between two senders, from old to new value."""
    changes = []
    for name, spec in parameters.items():
        values = _start_value(old, name), _start_value(new, name)
        size = abs(encode_value(spec, values[1]) - encode_value(spec, values[0]))
        texts = [f"{value:,.0f}" if value >= 20 else f"{value:.2g}" for value in values]
        changes.append((size, f"{' → '.join(texts)} {spec.unit}"))
    changes.sort(key=lambda change: -change[0])
    return "; ".join(text for size, text in changes[:count] if size >= 0.05) or "unchanged"
