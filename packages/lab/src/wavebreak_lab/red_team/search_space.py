"""A sender's parameters as a vector of numbers from 0 to 1 for the search, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from wavebreak_lab.red_team.config import Parameter, RedTeamConfig
from wavebreak_lab.simulation.attackers import Sender
from wavebreak_lab.simulation.log import Floats


def search_parameters(sender: Sender, settings: RedTeamConfig) -> dict[str, Parameter]:
    """Return the parameters that a sender may change: of its kind of work and of its tactic."""
    parameters = dict(getattr(settings.parameters, sender.work))
    if sender.enrolment.residential or sender.hijack:
        parameters.pop("enrolment.networks", None)
    if sender.hijack:
        parameters = {name: parameter for name, parameter in parameters.items() if "." not in name}
    extra = {n: d for n, d in settings.parameters.extra.items() if parameter_value(sender, n) > 0}
    parameters |= extra if sender.work == "write" else {}
    unused = _unused_parameters(sender)
    return {name: parameter for name, parameter in parameters.items() if name not in unused}


def _unused_parameters(sender: Sender) -> set[str]:
    """Return the parameters that have no effect for a sender, so that no search changes them."""
    unused = {"gap"} if sender.law in ("typed", "spread") else set()
    unused |= set() if sender.staging else {"lurk_h"}
    unused |= set() if sender.ring_h else {"ring_chats"}
    return unused | (set() if sender.life_h or sender.replace else {"again"})


def _attribute(sender: Sender, name: str) -> Any:
    value: Any = sender
    for part in name.split("."):
        value = getattr(value, part)
    return value


def parameter_value(sender: Sender, name: str) -> float:
    """Return a parameter as one number: the middle where it is a pair of bounds.

    >>> parameter_value(Sender(gap=(20.0, 60.0)), "gap")
    40.0
    """
    value = _attribute(sender, name)
    return float(sum(value) / 2) if isinstance(value, tuple) else float(value)


def _scaled_value(old: Any, value: float) -> Any:
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
    own = {n: _scaled_value(getattr(sender, n), v) for n, v in values.items() if "." not in n}
    inner = {
        n.partition(".")[2]: _scaled_value(_attribute(sender, n), v)
        for n, v in values.items()
        if "." in n
    }
    return replace(sender, **own, enrolment=replace(sender.enrolment, **inner))


def encode_value(parameter: Parameter, value: float) -> float:
    """Encode a value as a number from 0 to 1 on its parameter's scale.

    >>> encode_value(Parameter(1, 100, "factor", ""), 10)
    0.5
    >>> encode_value(Parameter(0, 4, "size", ""), 1)
    0.25
    """
    if parameter.by == "size":
        share = (value - parameter.low) / (parameter.high - parameter.low)
    else:
        share = math.log(max(value, parameter.low) / parameter.low) / math.log(
            parameter.high / parameter.low
        )
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


def encode(sender: Sender, parameters: dict[str, Parameter]) -> Floats:
    """Encode a sender as a vector of numbers from 0 to 1.

    A parameter that is off (0) is encoded as its lower bound, and a first day without a limit of
    its own as the limit of every day.
    """
    encoded = [
        encode_value(parameter, parameter_value(sender, name))
        for name, parameter in parameters.items()
    ]
    names = list(parameters)
    if "first_day" in names and not sender.first_day:
        encoded[names.index("first_day")] = encode_value(parameters["first_day"], sender.per_day)
    return np.array(encoded)


def decode(sender: Sender, parameters: dict[str, Parameter], vector: Floats) -> Sender:
    """Decode a vector of numbers from 0 to 1 as a sender."""
    values = {
        n: decode_value(d, float(p)) for (n, d), p in zip(parameters.items(), vector, strict=True)
    }
    return with_parameters(sender, values)


def describe_changes(
    before: Sender, after: Sender, parameters: dict[str, Parameter], most: int = 4
) -> str:
    """Describe the largest changes between two senders, from old to new value."""
    changed = []
    for name, parameter in parameters.items():
        old, new = (float(encode(s, {name: parameter})[0]) for s in (before, after))
        low, high = parameter_value(before, name), parameter_value(after, name)
        if name == "first_day" and not before.first_day:
            low = min(before.per_day, parameter.high)
        changed.append(
            (abs(new - old), f"{_format_value(low)} → {_format_value(high)} {parameter.unit}")
        )
    changed.sort(key=lambda change: -change[0])
    changes = [words for size, words in changed[:most] if size >= 0.05]
    return "; ".join(changes) or "unchanged"


def _format_value(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"
