"""Decisions: from the rules that newly fired and the score to an outcome, and its record.

`decide` is plain Python over integers. The kernel runs it as machine code within a batch, since
enforcement applies to the account's next event.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from wavebreak.compiled.numba_runtime import compilable
from wavebreak.engine.decision_record import Decision as Decision
from wavebreak.engine.decision_record import Reason as Reason
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import BY_SCORE, HELD, NO_RULE, RANK
from wavebreak.outcomes import (
    ALLOW,
    BAN,
    CHALLENGE,
    LIMIT,
    OBSERVE,
    OUTCOMES,
    RESTRICT,
    SUSPEND,
)
from wavebreak.rules import STAGES, Program, features_read
from wavebreak.rules.basis import COMPLAINTS
from wavebreak.rules.own_features import own_value
from wavebreak.schema.event_kinds import LABELLED

STRONG: Final = RESTRICT
"""Level of a score that is strong doubt: a limit that leaves fewer new chats. Levels are codes of
outcomes, and have their order; this one has the place of a restriction."""
UNCHANGED: Final = -1
PENDING: Final = 64
"""In place of a rule's index: a takeover whose challenge is pending."""

# Layout of the packed policy (int64), shared with `enforcement`.
(
    SUSPEND_AFTER, DOUBLE_AT_MOST, SCORE_NEW_CHATS, SCORE_FEW_CHATS, SCORE_DECIDES, SILENT,
) = range(6)  # fmt: skip
THRESHOLDS, SCORE_HOLDS = 8, 8 + len(OUTCOMES)
RULES, FIELDS = SCORE_HOLDS + len(OUTCOMES), 5
OUTCOME, HOLD_S, NEW_CHATS, RECOVERS, DOUBTS = range(FIELDS)
SIZE: Final = RULES + FIELDS * 64
NEVER: Final = 2**62


def score_outcome(policy: Any, margin: int, fired: int, silent: int) -> int:
    """Return the outcome that a score asks for (0: none), given the rules that have fired.

    `margin` is in 1/65,536 of log-odds, `fired` a bit mask over the rules, `silent` 1 for an
    account that has started no chat. The most severe outcome whose threshold is reached, at most a
    limit, since a score is doubt (STRONG: a limit that leaves less); of a silent account no more
    than policy and model let it; a challenge at most where one of the fired rules finds a takeover.

    >>> policy = pack_policy([Terms(LIMIT, 60), Terms(LIMIT, 60, recovers=True)], suspend_after=3,
    ...     double_at_most=4, score=ScoreNumbers({STRONG: 900, LIMIT: 100}, {}, silent=STRONG))
    >>> cases = ((99, 1), (100, 1), (900, 1), (900, 3))
    >>> [int(score_outcome(policy, margin, fired, 0)) for margin, fired in cases]
    [0, 3, 4, 2]
    """
    level = 0
    for outcome in (OBSERVE, LIMIT, STRONG):
        if margin >= policy[THRESHOLDS + outcome]:
            level = outcome
    if silent == 1 and RANK[level] > RANK[policy[SILENT]]:
        level = policy[SILENT]
    if RANK[level] <= RANK[CHALLENGE]:
        return level
    for k in range(64):
        if (fired >> k) & 1 and policy[RULES + FIELDS * k + RECOVERS] == 1:
            return CHALLENGE
    return level


def takeover_rule(policy: Any, hits: int, fired: int, current: int) -> int:
    """Return the rule that newly found a takeover, PENDING, or NO_RULE.

    `hits` are the rules that newly fired, `fired` all that have fired, or 0 for an account without
    a history that a takeover could abuse. PENDING: the owner has been challenged.

    >>> policy = pack_policy([Terms(CHALLENGE, 60, recovers=True), Terms(RESTRICT, 60)],
    ...     suspend_after=3, double_at_most=4)
    >>> takeover_rule(policy, 0b11, 0b11, ALLOW)
    0
    >>> takeover_rule(policy, 0b10, 0b11, CHALLENGE) == PENDING
    True
    """
    found = NO_RULE
    for k in range(64):
        if (fired >> k) & 1 and policy[RULES + FIELDS * k + RECOVERS] == 1:
            if (hits >> k) & 1:
                found = k
            elif found == NO_RULE and current == CHALLENGE:
                found = PENDING
    return found


def decide(
    policy: Any, hits: int, level: int, taken: int, current: int, until: int, strikes: int,
    now: int, quota: int,
) -> int:  # fmt: skip
    """Return the decision on an account for which rules newly fired or a score newly asks.

    `policy` is the packed policy, `hits` a mask over its rules, `level` the new `score_outcome` (0:
    nothing), `taken` the `takeover_rule`, `current` the outcome in force with its end `until` (s,
    0: none), `strikes` the restrictions or worse so far, `now` the account's clock (s), `quota` the
    new chats a day that a limit in force leaves.

    The most severe outcome wins, of limits the one that leaves fewer new chats; a decision never
    lowers the outcome in force. A narrower limit replaces a wider one with its own end, even an
    earlier one: what leaves less must not last longer than its own grounds. Each restriction is
    twice as long as the one before, from `SUSPEND_AFTER` strikes a suspension. A takeover has
    precedence (docs/adr/0019): its challenge is decided for less than a ban, and in place of a
    limit; while it is in force, nothing new.

    Returns `UNCHANGED`, or outcome | rule << 8 | end << 16 | quota << 48 | doubt << 56 (end 0:
    none; rule BY_SCORE: no rule asked for as much as the score; doubt 1: a passed challenge
    raises what it leaves).
    """
    best, rule, hold, left, doubt = _severest_asked(policy, hits, level)
    if taken < PENDING and RANK[CHALLENGE] <= RANK[best] < RANK[BAN]:
        best, rule, hold, left = CHALLENGE, taken, policy[RULES + FIELDS * taken + HOLD_S], HELD
        current = ALLOW if current == LIMIT else current
    pending = taken == PENDING and RANK[best] < RANK[BAN]
    if best == ALLOW or RANK[best] < RANK[current] or pending:
        return UNCHANGED
    if best == current == LIMIT and left > quota:
        return UNCHANGED
    if RANK[best] >= RANK[RESTRICT]:
        hold = hold << min(strikes, policy[DOUBLE_AT_MOST])
        best = SUSPEND if best == RESTRICT and strikes + 1 >= policy[SUSPEND_AFTER] else best
    end = 0 if best == BAN or hold == 0 else min(now + hold, 0xFFFFFFFF)
    if best == current and not (best == LIMIT and left < quota) and not _outlasts(end, until):
        return UNCHANGED
    return best | rule << 8 | end << 16 | left << 48 | doubt << 56


@compilable
def _severest_asked(policy: Any, hits: int, level: int) -> tuple[int, int, int, int, int]:
    """Return what score and rules ask for: outcome, rule, hold, new chats left, and doubt.

    Of rules that ask for the same the first decides, unless another one lasts longer.
    """
    best, rule, hold, left, doubt = 0, NO_RULE, 0, 0, 0
    if policy[SCORE_DECIDES] == 1 and level > 0:
        best, rule, doubt = level if RANK[level] < RANK[LIMIT] else LIMIT, BY_SCORE, 1
        hold = policy[SCORE_HOLDS + best]
        if best == LIMIT:
            left = policy[SCORE_NEW_CHATS if level == LIMIT else SCORE_FEW_CHATS]
    for k in range(64):
        terms = RULES + FIELDS * k
        outcome = policy[terms + OUTCOME] if (hits >> k) & 1 else 0
        if outcome == ALLOW or RANK[outcome] < RANK[best]:
            continue
        lasting, chats = policy[terms + HOLD_S], policy[terms + NEW_CHATS]
        longer = chats == left and (lasting > hold or rule == BY_SCORE)
        if RANK[outcome] > RANK[best] or chats < left or longer:
            if outcome == best and chats == left:
                lasting = max(lasting, hold)
            best, rule, hold, left = outcome, k, lasting, chats
            doubt = policy[terms + DOUBTS]
    return best, rule, hold, left, doubt


@compilable
def _outlasts(end: int, until: int) -> bool:
    """Whether an end is later than another; 0 is never."""
    return until != 0 and (end == 0 or end > until)


class Terms(NamedTuple):
    """What one rule decides: outcome, its hold in seconds, new chats a day that a limit leaves.

    `recovers`: the rule is evidence of a takeover; `doubts`: a passed challenge raises what
    its limit leaves.
    """

    outcome: int
    hold_s: int
    new_chats_1d: int = 0
    recovers: bool = False
    doubts: bool = False


class ScoreNumbers(NamedTuple):
    """Effects of a score: thresholds (margins) and holds (seconds) by code of outcome.

    Without `decides` a score is recorded and decides nothing. `silent` is the most it asks of an
    account that has started no chat, `new_chats_1d` what its limit leaves, `few_chats_1d` what it
    leaves on strong doubt (threshold and level STRONG).
    """

    thresholds: Mapping[int, int]
    holds: Mapping[int, int]
    decides: bool = True
    silent: int = STRONG
    new_chats_1d: int = 0
    few_chats_1d: int = 0


NO_SCORE: Final = ScoreNumbers({}, {}, decides=False)


def pack_policy(
    rules: Sequence[Terms], *, suspend_after: int, double_at_most: int,
    score: ScoreNumbers = NO_SCORE,
) -> Any:  # fmt: skip
    """The policy as `decide`, `score_outcome` and `enforcement` read it: int64, shape `(SIZE,)`.

    `rules` are in order; a shadow rule or a label has outcome 0.
    """
    policy = np.zeros(SIZE, np.int64)
    policy[SUSPEND_AFTER], policy[DOUBLE_AT_MOST] = suspend_after, double_at_most
    for k, terms in enumerate(rules):
        policy[RULES + FIELDS * k : RULES + FIELDS * (k + 1)] = terms
    policy[SCORE_DECIDES], policy[SILENT] = score.decides, score.silent
    policy[SCORE_NEW_CHATS], policy[SCORE_FEW_CHATS] = score.new_chats_1d, score.few_chats_1d
    for outcome in range(len(OUTCOMES)):
        policy[THRESHOLDS + outcome] = score.thresholds.get(outcome, NEVER)
        policy[SCORE_HOLDS + outcome] = score.holds.get(outcome, 0)
    return policy


EVIDENCE_COUNTS: Final = ("stranger_contacts", "stranger_answers", "stranger_complaints")
"""What a decision on evidence always names: strangers, and how many answered or complained."""
_TESTS = frozenset({"unanswered_evidence", *COMPLAINTS})


MOST_STATED: Final = float(2**53 - 1)
"""Largest number of a reason: above it JSON has no one form, and the ledger takes none."""


def stated_value(value: float) -> float | None:
    """Return a feature's value as a decision states it; None where it is missing.

    Evidence grows up to 2^60; what is beyond all thresholds is stated as `MOST_STATED`.

    >>> stated_value(2.0**60), stated_value(0.5)
    (9007199254740991.0, 0.5)
    """
    return None if math.isnan(value) else min(value, MOST_STATED)


def _basis(program: Program, lead: int, kind: int) -> str:
    """What a decision rests on: its rule's basis, doubt for a score, else who ended or set one."""
    if lead == BY_SCORE:
        return "doubt"
    if lead == NO_RULE:
        return "person" if kind == LABELLED else "challenge"
    return program.policy.rules[lead].basis


def build_decision(
    hit: Any, program: Program, account: str, trigger: str, features: str,
    model: str | None = None,
) -> Decision:  # fmt: skip
    """Return the decision that the kernel made at one account event.

    `hit` is a record of dtype HIT with an outcome; `features` is the version of the catalog,
    `model` that of the model (None: no model). The deciding rule comes first. A decision by
    the score alone has no rules; one without either ends enforcement, or is a person's (stage
    review).
    """
    ids = [
        k for k in range(len(program.ids)) if int(hit["hits"]) >> k & 1 and not program.shadow[k]
    ]
    lead = int(hit["rule"])
    ids.sort(key=lambda k: (k != lead, k))
    read = dict.fromkeys(name for k in ids for name in features_read(program.policy.rules[k]))
    if _TESTS & read.keys():
        read |= dict.fromkeys(EVIDENCE_COUNTS)
    own_features = program.policy.own_features
    values = {
        name: own_value(own_features[name], hit["values"])
        if name in own_features
        else float(hit["values"][NAMES.index(name)])
        for name in read
    }
    outcome = OUTCOMES[int(hit["outcome"])]
    until = int(hit["until"]) * 1000
    key = f"{int(hit['position'])}\0{int(hit['role'])}\0{int(hit['kind'])}\0{account}\0{outcome}"
    by = program.policy.version + (f"\0{model}" if lead == BY_SCORE else "")
    # The end of enforcement reads no features.
    score = math.nan if lead == NO_RULE else float(hit["values"][NAMES.index("score")])
    return Decision(
        id=hashlib.sha256(f"{key}\0{by}".encode()).hexdigest()[:32],
        ts=int(hit["ts"]),
        account=account,
        stage=STAGES[int(hit["stage"] if lead >= BY_SCORE else program.stage[lead])],
        outcome=outcome,
        action=outcome if lead >= BY_SCORE else _action(program, lead, outcome),
        until=until if until and outcome != "allow" else None,
        score=None if math.isnan(score) else score,
        rules=tuple(program.ids[k] for k in ids),
        reasons=tuple(Reason(name, stated_value(value)) for name, value in values.items()),
        trigger=trigger,
        policy=program.policy.version,
        model=model,
        features=features,
        basis=_basis(program, lead, int(hit["kind"])),
        new_chats_1d=int(hit["quota"]) if outcome == "limit" else None,
    )


def _action(program: Program, lead: int, outcome: str) -> str:
    """Return the rule's own action, unless repetition raised its outcome."""
    rule = program.policy.rules[lead]
    return program.actions[lead] if rule.outcome == outcome else outcome
