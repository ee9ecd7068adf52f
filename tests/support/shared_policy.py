"""Engines whose policy is compiled once in a process: a test may need hundreds of them."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest.mock import patch

from wavebreak.engine import Engine
from wavebreak.engine import engine as engine_module
from wavebreak.engine.kernel_policy import build_kernel_policy
from wavebreak.rules import Policy, compile_rules

_policies: dict[int, Policy] = {}
"""By identity: a policy holds what cannot be hashed."""


@cache
def _program(policy: int, covered: frozenset[str]) -> Any:
    return compile_rules(_policies[policy], covered)


@cache
def _kernel_policy(policy: int, covered: frozenset[str], challenges: bool) -> Any:
    return build_kernel_policy(_program(policy, covered), None, covered, challenges=challenges)


def make_engine(policy: Policy, *, accounts: int = 256) -> Engine:
    """Return an engine without state and without a model.

    No event changes what is shared: the compiled rules, and the tables of the policy.
    """
    number = id(policy)
    _policies[number] = policy
    with (
        patch.object(engine_module, "compile_rules", lambda _, covered: _program(number, covered)),
        patch.object(
            engine_module,
            "build_kernel_policy",
            lambda _, __, covered, challenges: _kernel_policy(number, covered, challenges),
        ),
    ):
        return Engine(policy, accounts=accounts)
