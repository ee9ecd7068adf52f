"""Kernel policy: a compiled policy and a model as C functions, packed numbers and bit masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import UNSET

from wavebreak.compiled.numba_runtime import (
    Callback,
    address_as_void_pointer,
    callback,
    carray,
    compiled,
)
from wavebreak.durations import duration_seconds
from wavebreak.engine import decision, enforcement
from wavebreak.errors import PolicyError
from wavebreak.features.allowance import pack_allowances
from wavebreak.features.catalog import NAMES
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.features.shards import KernelPolicy
from wavebreak.features.values import ONE
from wavebreak.model.calibration import Steps, to_fixed_point
from wavebreak.outcomes import ALLOW, CHALLENGE, LIMIT, OBSERVE, RANKS, code_of, mildest
from wavebreak.rules import (
    EnforcementTerms,
    Policy,
    Program,
    Score,
    compile_prefilter,
)
from wavebreak.schema.events import CHANNELS

_decide_compiled: Any = compiled()(decision.decide)
_takeover_compiled: Any = compiled()(decision.takeover_rule)
_score_outcome_compiled: Any = compiled()(decision.score_outcome)
_refuses_compiled: Any = compiled()(enforcement.refuses)
_SIZE = decision.SIZE


def _decide(
    policy: int, hits: int, level: int, fired: int, current: int, until: int, strikes: int,
    now: int, quota: int,
) -> int:  # fmt: skip
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    taken = _takeover_compiled(numbers, hits, fired, current)
    answer: int = _decide_compiled(numbers, hits, level, taken, current, until, strikes, now, quota)
    return answer


def _weigh(policy: int, margin: int, fired: int, silent: int) -> int:
    numbers = carray(address_as_void_pointer(policy), (_SIZE,), np.int64)
    answer: int = _score_outcome_compiled(numbers, margin, fired, silent)
    return answer


def _refuse(outcome: int, kind: int, opens: int, linked: int, taken: int, quota: int) -> int:
    answer: int = _refuses_compiled(outcome, kind, opens, linked, taken, quota)
    return answer


@cache
def _callbacks() -> tuple[Callback, Callback, Callback]:
    return callback(_decide, 9), callback(_weigh, 4), callback(_refuse, 6)


def _signed(bits: int) -> int:
    """Return bits as an int64: bit 63 is the sign."""
    return bits - (1 << 64) if bits >> 63 else bits


class Model(Protocol):
    """What the kernel needs of a trained model: C function, packed numbers, calibration.

    `address` is of `int64 score(int64 model, int64 values)`, which returns a margin (log-odds)
    in 1/65,536; `at_home` says whether the platform has learned it by itself; `thresholds` are the
    margins from which an outcome follows, `silent` the most
    for an account that has started no chat (None: as for others); `newcomers` is the share of
    newcomers among active accounts above which the model abstains (0: none). `keepalive` owns the
    addresses. `reasons` are the largest contributions to the margin of float64[catalog].
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
    def at_home(self) -> bool: ...  # noqa: D102
    @property
    def newcomers(self) -> float: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def keepalive(self) -> Any: ...  # noqa: D102
    def reasons(self, values: Any) -> Mapping[str, float]: ...  # noqa: D102


def build_kernel_policy(
    program: Program,
    model: Model | None = None,
    covered: frozenset[str] = frozenset(NAMES),
    *,
    challenges: bool = True,
) -> KernelPolicy:
    """Return a compiled policy and a model as the kernel reads them.

    Rules that only label, and rules at registration, fire once per account; the others may fire
    again when the enforcement that they led to has ended. `covered` are the stream's features.
    Without `challenges` a rule that asks for one limits new chats instead.
    """
    rules, terms = program.policy.rules, program.policy.enforcement
    decide, weigh, refuse = _callbacks()
    guard = compile_prefilter(program.policy)
    labels = sum(1 << k for k, rule in enumerate(rules) if rule.label is not None)
    kernel = KernelPolicy(
        guard=guard.address,
        rules=program.address,
        decide=decide.address,
        refuse=refuse.address,
        policy=_pack_policy(program, model, covered, challenges),
        wake=program.wake,
        keep=program.of_stage("registration") | _signed(labels),
        registration=program.of_stage("registration"),
        messaging=program.of_stage("messaging"),
        enabled=program.enabled,
        enforced=program.enforced,
        grace_s=duration_seconds(terms.grace),
        benign_grace_s=duration_seconds(terms.benign_grace),
        tests=pack_terms(**msgspec.structs.asdict(program.policy.evidence)),
        keepalive=(program, guard, decide, weigh, refuse, model and model.keepalive),
        person=program.of_basis("person"),
        impossible=program.of_basis("impossible"),
        new_chats_1d=terms.new_chats_1d,
        allowances=pack_allowances(program.policy.allowances.rows()),
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
        newcomers=int(model.newcomers * ONE),
        spared=sum(1 << CHANNELS.index(channel) for channel in spares),
    )


def _pack_policy(
    program: Program, model: Model | None, covered: frozenset[str], challenges: bool
) -> Any:
    terms, score = program.policy.enforcement, program.policy.score
    rules = [_rule(program, k) for k in range(len(program.policy.rules))]
    return decision.pack_policy(
        rules if challenges else [_without_challenge(rule, program) for rule in rules],
        suspend_after=terms.suspend_after,
        double_at_most=terms.double_at_most,
        score=_score_settings(score, terms, model, covered) if model else decision.NO_SCORE,
    )


def _score_settings(
    score: Score, terms: EnforcementTerms, model: Model, covered: frozenset[str]
) -> decision.ScoreNumbers:
    holds = {"observe": terms.observe} | score.hold
    most = most_of_score(score, covered)
    # Where a model asked for a challenge is doubt, where it asked for a restriction strong doubt.
    levels = {"observe": OBSERVE, "challenge": LIMIT,
              "restrict": decision.STRONG}  # fmt: skip
    thresholds = {**model.thresholds, **_own_thresholds(score, model)}
    margins = {levels[o]: margin for o, margin in thresholds.items() if o in levels}
    if RANKS[most] < RANKS[LIMIT]:
        margins = {level: at for level, at in margins.items() if RANKS[level] <= RANKS[most]}
    return decision.ScoreNumbers(
        thresholds=margins,
        holds={code_of(o): duration_seconds(hold) for o, hold in holds.items()},
        decides=score_decides(score, model),
        silent=mildest(code_of(_most_of_silent(score, covered)), code_of(model.silent or "limit")),
        new_chats_1d=score.new_chats_1d,
        few_chats_1d=score.few_chats_1d,
    )


def _most_of_silent(score: Score, covered: frozenset[str]) -> str:
    """Return the most severe outcome that a score may ask for of who has started no chat."""
    known = score.silent_carries is UNSET or score.silent_carries in covered
    return score.silent if known else "observe"


def most_of_score(score: Score, covered: frozenset[str]) -> int:
    """Return the most severe outcome (code) that a score may ask for on a stream."""
    bounds = [within.outcome for within in score.most if within.carries in covered]
    return code_of([*bounds, score.without][0])


def score_decides(score: Score, model: Model) -> bool:
    """Return whether a model's score decides: any under `enforce`, under `home` one of home."""
    return score.mode == "enforce" or (score.mode == "home" and model.at_home)


def rules_read_score(policy: Policy, model: Model | None) -> bool:
    """Return whether rules may read a model's score: not one of elsewhere, where only home acts."""
    return model is not None and (policy.score.mode != "home" or model.at_home)


def _own_thresholds(score: Score, model: Model) -> dict[str, int]:
    """Return the policy's thresholds by outcome, as margins in fixed point; raises PolicyError."""
    own = score.thresholds
    if own is UNSET:
        return {}
    if own.model != model.version:
        raise PolicyError(
            f"actions.toml, score, thresholds: they are of the model {own.model}, and "
            f"{model.version} scores",
            fix="set thresholds of this model, or remove [score.thresholds]",
        )
    given = {"challenge": own.challenge, "restrict": own.restrict}
    known = {outcome: margin for outcome, margin in given.items() if margin is not None}
    margins = to_fixed_point(list(known.values())).tolist()
    return dict(zip(known, margins, strict=True))


def _rule(program: Program, k: int) -> decision.Terms:
    """Return what one rule decides; shadow rules and labels decide nothing."""
    rule = program.policy.rules[k]
    recovers = rule.basis == "takeover"
    if not program.enforced >> k & 1:
        return decision.Terms(ALLOW, 0, recovers=recovers)
    terms = program.policy.enforcement
    outcome, hold_s = int(program.outcome[k]), int(program.hold_s[k])
    if outcome == OBSERVE:
        hold_s = duration_seconds(terms.observe)
    chats = terms.new_chats_1d if rule.new_chats_1d is None else rule.new_chats_1d
    left = chats if outcome == LIMIT else 0
    return decision.Terms(outcome, hold_s, left, recovers, rule.basis == "doubt")


def effective_outcome(outcome: int, *, challenges: bool) -> int:
    """Return an outcome as it is in force: a challenge that nobody can ask for is a limit.

    Where `challenges` is False rules decide none. One from before goes on: it refuses what it
    refused, and cannot be passed.

    >>> from wavebreak.outcomes import BAN
    >>> effective_outcome(CHALLENGE, challenges=False) == LIMIT
    True
    >>> effective_outcome(BAN, challenges=False) == BAN
    True
    """
    return LIMIT if outcome == CHALLENGE and not challenges else outcome


def _without_challenge(rule: decision.Terms, program: Program) -> decision.Terms:
    """Return what a rule decides where nobody can be asked to pass a challenge."""
    rule = rule._replace(recovers=False, doubts=False)
    outcome = effective_outcome(rule.outcome, challenges=False)
    if outcome == rule.outcome:
        return rule
    return rule._replace(outcome=outcome, new_chats_1d=program.policy.enforcement.new_chats_1d)
