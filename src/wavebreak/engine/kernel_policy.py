"""From a policy to what the kernel is told: compiled callbacks, numbers and bit masks."""

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
from wavebreak.features.shards import Judgement
from wavebreak.model.calibration import Steps
from wavebreak.rules import (
    EnforcementTerms,
    Program,
    Score,
    compile_prefilter,
    duration_seconds,
    features_read,
)
from wavebreak.schema.events import CHANNELS

_step: Any = compiled()(decision.step)
_takeover: Any = compiled()(decision.takeover)
_weighs: Any = compiled()(decision.weigh)
_refuses: Any = compiled()(enforcement.refuses)
_SCORES = {"score", "registration_score"}
_SIZE = decision.SIZE


def _decide(
    policy: int, hits: int, level: int, fired: int, standing: int, until: int, strikes: int,
    now: int,
) -> int:  # fmt: skip
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    taken = _takeover(numbers, hits, fired, standing)
    answer: int = _step(numbers, hits, level, taken, standing, until, strikes, now)
    return answer


def _weigh(policy: int, margin: int, fired: int, silent: int) -> int:
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    answer: int = _weighs(numbers, margin, fired, silent)
    return answer


def _refuse(policy: int, standing: int, kind: int, opens: int, linked: int, opened: int) -> int:
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    answer: int = _refuses(numbers, standing, kind, opens, linked, opened)
    return answer


@cache
def _callbacks() -> tuple[Callback, Callback, Callback]:
    return callback(_decide, 8), callback(_weigh, 4), callback(_refuse, 6)


def _signed(bits: int) -> int:
    """Bits as an int64: bit 63 is the sign."""
    return bits - (1 << 64) if bits >> 63 else bits


class Model(Protocol):
    """What a trained model gives: the address of its C function, its numbers, how it is read.

    `address` is of `int64 score(int64 model, int64 values)`, which gives a margin (log-odds) in
    1/65,536; `thresholds` are the margins at or above which an outcome follows, `silent` the most
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


def judgement(
    program: Program, model: Model | None = None, covered: frozenset[str] = frozenset(NAMES)
) -> Judgement:
    """Tell the kernel of a compiled policy, and of a model, for a stream that covers `covered`.

    Rules that only label, and suspicions raised at registration, stay with the account for good;
    the others may fire again when the standing that they led to has ended.
    """
    rules, standing = program.policy.rules, program.policy.enforcement
    decide, weigh, refuse = _callbacks()
    guard = compile_prefilter(program.policy)
    labels = sum(1 << k for k, rule in enumerate(rules) if rule.label is not None)
    told = Judgement(
        guard=guard.address,
        rules=program.address,
        decide=decide.address,
        refuse=refuse.address,
        policy=_numbers(program, model, covered),
        wake=program.wake,
        keep=program.of_stage("registration") | _signed(labels),
        registration=program.of_stage("registration"),
        messaging=program.of_stage("messaging"),
        enabled=program.enabled,
        enforced=program.enforced,
        grace_s=duration_seconds(standing.grace),
        benign_grace_s=duration_seconds(standing.benign_grace),
        keepalive=(program, guard, decide, weigh, refuse, model and model.keepalive),
    )
    return told if model is None else _scored(told, model, program.policy.score.spares)


def _scored(told: Judgement, model: Model, spares: tuple[str, ...]) -> Judgement:
    """Add a model to what the kernel is told."""
    return replace(
        told,
        score=model.address,
        model=model.numbers_address,
        weigh=_callbacks()[1].address,
        margins=np.ascontiguousarray(model.calibration.edges, np.int64),
        chances=np.ascontiguousarray(model.calibration.levels, np.float64),
        spared=sum(1 << CHANNELS.index(channel) for channel in spares),
    )


def _numbers(program: Program, model: Model | None, covered: frozenset[str]) -> Any:
    rules, standing = program.policy.rules, program.policy.enforcement
    score = program.policy.score
    return decision.numbers(
        [_rule(program, k) for k in range(len(rules))],
        suspend_after=standing.suspend_after,
        double_at_most=standing.double_at_most,
        quota=standing.new_chats_1d,
        score=_score(score, standing, model, covered) if model else decision.NO_SCORE,
        families=[_family(program, k) for k in range(len(rules))],
        recovers=[rule.abuse in score.recover for rule in rules],
    )


def _score(
    score: Score, standing: EnforcementTerms, model: Model, covered: frozenset[str]
) -> decision.ScoreNumbers:
    holds = {"observe": standing.observe} | score.hold
    bounds = [within.outcome for within in score.most if within.carries in covered]
    most = OUTCOMES.index([*bounds, score.without][0])
    margins = {OUTCOMES.index(o): margin for o, margin in model.thresholds.items()}
    return decision.ScoreNumbers(
        thresholds={outcome: at for outcome, at in margins.items() if outcome <= most},
        holds={OUTCOMES.index(o): duration_seconds(hold) for o, hold in holds.items()},
        families=score.families,
        otherwise=OUTCOMES.index(score.otherwise),
        decides=score.mode == "enforce",
        silent=min(OUTCOMES.index(o) for o in (score.silent, model.silent or "ban")),
    )


def _family(program: Program, k: int) -> int:
    """Bit of a rule's family of evidence; 0 for one that is in none, or decides nothing.

    A rule that reads the score is no evidence beside it: it would bear itself out.
    """
    if not program.enforced >> k & 1 or _SCORES & set(features_read(program.policy.rules[k])):
        return 0
    families = program.policy.score.evidence.values()
    abuse = program.policy.rules[k].abuse
    return sum(1 << n for n, abuses in enumerate(families) if abuse in abuses)


def _rule(program: Program, k: int) -> tuple[int, int]:
    """Outcome and hold in seconds of one rule; a shadow rule and a label decide nothing."""
    if not program.enforced >> k & 1:
        return decision.ALLOW, 0
    observes = int(program.outcome[k]) == decision.OBSERVE
    hold = (
        duration_seconds(program.policy.enforcement.observe) if observes else int(program.hold_s[k])
    )
    return int(program.outcome[k]), hold
