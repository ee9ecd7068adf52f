"""Kernel policy: a compiled policy and a model as C functions, packed numbers and bit masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import numpy as np

from wavebreak.compiled.numba_runtime import (
    Callback,
    address_as_void_pointer,
    callback,
    carray,
    compiled,
)
from wavebreak.engine import decision, enforcement
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import OUTCOMES
from wavebreak.features.shards import KernelPolicy
from wavebreak.model.calibration import Steps
from wavebreak.rules import EnforcementTerms, Program, Score, features_of, guard_of, seconds
from wavebreak.schema.events import CHANNELS

_decide_compiled: Any = compiled()(decision.decide)
_takeover_compiled: Any = compiled()(decision.takeover_rule)
_score_outcome_compiled: Any = compiled()(decision.score_outcome)
_refuses_compiled: Any = compiled()(enforcement.refuses)
_SCORES = {"score", "registration_score"}
_SIZE = decision.SIZE


def _decide(
    policy: int, hits: int, level: int, fired: int, current: int, until: int, strikes: int,
    now: int,
) -> int:  # fmt: skip
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    taken = _takeover_compiled(numbers, hits, fired, current)
    answer: int = _decide_compiled(numbers, hits, level, taken, current, until, strikes, now)
    return answer


def _weigh(policy: int, margin: int, fired: int, silent: int) -> int:
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    answer: int = _score_outcome_compiled(numbers, margin, fired, silent)
    return answer


def _refuse(policy: int, outcome: int, kind: int, opens: int, linked: int, opened: int) -> int:
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    answer: int = _refuses_compiled(numbers, outcome, kind, opens, linked, opened)
    return answer


@cache
def _callbacks() -> tuple[Callback, Callback, Callback]:
    return callback(_decide, 8), callback(_weigh, 4), callback(_refuse, 6)


def _signed(bits: int) -> int:
    """Return bits as an int64: bit 63 is the sign."""
    return bits - (1 << 64) if bits >> 63 else bits


class Model(Protocol):
    """What the kernel needs of a trained model: C function, packed numbers, calibration.

    `address` is of `int64 score(int64 model, int64 values)`, which returns a margin (log-odds)
    in 1/65,536; `thresholds` are the margins from which an outcome follows, `silent` the most
    for an account that has started no chat (None: as for others). `keepalive` owns the addresses.
    `reasons` are the largest contributions to the margin of float64[catalog].
    """

    @property
    def address(self) -> int: ...  # noqa: D102
    @property
    def numbers_address(self) -> int: ...  # noqa: D102
    @property
    def calibration(self) -> Steps: ...  # noqa: D102
    @property
    def thresholds(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def silent(self) -> str | None: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def keepalive(self) -> Any: ...  # noqa: D102
    def reasons(self, values: Any) -> Mapping[str, float]: ...  # noqa: D102


def build_kernel_policy(
    program: Program, model: Model | None = None, covered: frozenset[str] = frozenset(NAMES)
) -> KernelPolicy:
    """Return a compiled policy and a model as the kernel reads them.

    Rules that only label, and rules at registration, fire once per account; the others may fire
    again when the enforcement that they led to has ended. `covered` are the stream's features.
    """
    rules, terms = program.policy.rules, program.policy.enforcement
    decide, weigh, refuse = _callbacks()
    guard = guard_of(program.policy)
    labels = sum(1 << k for k, rule in enumerate(rules) if rule.label is not None)
    kernel = KernelPolicy(
        guard=guard.address,
        rules=program.address,
        decide=decide.address,
        refuse=refuse.address,
        policy=_pack_policy(program, model, covered),
        wake=program.wake,
        keep=program.of_stage("registration") | _signed(labels),
        registration=program.of_stage("registration"),
        messaging=program.of_stage("messaging"),
        enabled=program.enabled,
        enforced=program.enforced,
        grace_s=seconds(terms.grace),
        benign_grace_s=seconds(terms.benign_grace),
        keepalive=(program, guard, decide, weigh, refuse, model and model.keepalive),
    )
    return kernel if model is None else _with_model(kernel, model, program.policy.score.spares)


def _with_model(kernel: KernelPolicy, model: Model, spares: tuple[str, ...]) -> KernelPolicy:
    """Add a model to the kernel's policy."""
    return replace(
        kernel,
        score=model.address,
        model=model.numbers_address,
        weigh=_callbacks()[1].address,
        margins=np.ascontiguousarray(model.calibration.edges, np.int64),
        chances=np.ascontiguousarray(model.calibration.levels, np.float64),
        spared=sum(1 << CHANNELS.index(channel) for channel in spares),
    )


def _pack_policy(program: Program, model: Model | None, covered: frozenset[str]) -> Any:
    rules, terms = program.policy.rules, program.policy.enforcement
    score = program.policy.score
    return decision.pack_policy(
        [_rule(program, k) for k in range(len(rules))],
        suspend_after=terms.suspend_after,
        double_at_most=terms.double_at_most,
        quota=terms.new_chats_1d,
        score=_score_settings(score, terms, model, covered) if model else decision.NO_SCORE,
        families=[_family(program, k) for k in range(len(rules))],
        recovers=[rule.abuse in score.recover for rule in rules],
    )


def _score_settings(
    score: Score, terms: EnforcementTerms, model: Model, covered: frozenset[str]
) -> decision.ScoreNumbers:
    holds = {"observe": terms.observe} | score.hold
    bounds = [within.outcome for within in score.most if within.carries in covered]
    most = OUTCOMES.index([*bounds, score.without][0])
    margins = {OUTCOMES.index(o): margin for o, margin in model.thresholds.items()}
    return decision.ScoreNumbers(
        thresholds={outcome: at for outcome, at in margins.items() if outcome <= most},
        holds={OUTCOMES.index(o): seconds(hold) for o, hold in holds.items()},
        families=score.families,
        otherwise=OUTCOMES.index(score.otherwise),
        decides=score.mode == "enforce",
        silent=min(OUTCOMES.index(o) for o in (score.silent, model.silent or "ban")),
    )


def _family(program: Program, k: int) -> int:
    """Return the bit of a rule's family of evidence; 0 if it is in none, or decides nothing.

    A rule that reads the score is no independent evidence for it.
    """
    if not program.enforced >> k & 1 or _SCORES & set(features_of(program.policy.rules[k])):
        return 0
    families = program.policy.score.evidence.values()
    abuse = program.policy.rules[k].abuse
    return sum(1 << n for n, abuses in enumerate(families) if abuse in abuses)


def _rule(program: Program, k: int) -> tuple[int, int]:
    """Return outcome and hold (s) of one rule; shadow rules and labels decide nothing."""
    if not program.enforced >> k & 1:
        return decision.ALLOW, 0
    observes = int(program.outcome[k]) == decision.OBSERVE
    hold = seconds(program.policy.enforcement.observe) if observes else int(program.hold_s[k])
    return int(program.outcome[k]), hold
