"""From the rules that hit to an outcome and a written decision: pure, live and in replay alike.

`step` is plain Python over integers. The kernel runs it as machine code in the middle of a batch,
since a refusal binds the account at its very next event.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import msgspec
import numpy as np

from wavebreak.features.catalog import NAMES
from wavebreak.features.state import OUTCOMES
from wavebreak.rules import STAGES, Program, features_of

ALLOW, OBSERVE, CHALLENGE, LIMIT, RESTRICT, SUSPEND, BAN = range(7)
"""Outcomes, least to most severe."""
NO_RULE: Final = 255
UNCHANGED: Final = -1

# Layout of the policy's numbers (int64), shared with `enforcement`.
SUSPEND_AFTER, DOUBLE_AT_MOST, QUOTA = 0, 1, 2
RULES, FIELDS = 8, 2
OUTCOME, HOLD_S = 0, 1
SIZE: Final = RULES + FIELDS * 64


def step(policy: Any, hits: int, standing: int, until: int, strikes: int, now: int) -> int:
    """Decide on an account for which rules newly hit.

    `policy` is the array that `numbers` makes, `hits` a bit mask over its rules, `standing` the
    outcome in force with its end `until` (seconds, 0: none), `strikes` the restrictions or worse
    so far, `now` the account's clock in seconds.

    The most severe outcome wins; a decision never softens a standing (that is for expiry, a passed
    challenge, a label or an override). A repeated offender is held longer, each time twice, and
    from `SUSPEND_AFTER` strikes a restriction becomes a suspension.

    Returns `UNCHANGED`, or outcome | rule << 8 | end << 16, where end 0 means "does not end".

    >>> policy = numbers([(RESTRICT, 3600), (BAN, 0)], suspend_after=3, double_at_most=4, quota=5)
    >>> int(step(policy, 0b01, ALLOW, 0, 0, 1000)) == RESTRICT | 0 << 8 | 4600 << 16
    True
    >>> int(step(policy, 0b11, ALLOW, 0, 0, 1000)) == BAN | 1 << 8
    True
    >>> step(policy, 0b01, BAN, 0, 1, 1000)
    -1
    """
    best, rule, hold = 0, NO_RULE, 0
    for k in range(64):
        if (hits >> k) & 1:
            outcome = policy[RULES + FIELDS * k + OUTCOME]
            lasting = policy[RULES + FIELDS * k + HOLD_S]
            if outcome > best or (outcome == best and lasting > hold):
                best, rule, hold = outcome, k, lasting
    if best == 0 or best < standing:
        return UNCHANGED
    if best >= RESTRICT:
        hold = hold << min(strikes, policy[DOUBLE_AT_MOST])
        if best == RESTRICT and strikes + 1 >= policy[SUSPEND_AFTER]:
            best = SUSPEND
    end = 0 if best == BAN or hold == 0 else min(now + hold, 0xFFFFFFFF)
    if best == standing and (until == 0 or (end != 0 and end <= until)):
        return UNCHANGED
    return best | rule << 8 | end << 16


def numbers(
    rules: list[tuple[int, int]], *, suspend_after: int, double_at_most: int, quota: int
) -> Any:
    """The policy as `step` and `enforcement.refuses` read it: int64, shape `(SIZE,)`.

    `rules` are (outcome, hold in seconds) in order; a shadow rule or a label has outcome 0.
    """
    policy = np.zeros(SIZE, np.int64)
    policy[SUSPEND_AFTER], policy[DOUBLE_AT_MOST], policy[QUOTA] = (
        suspend_after, double_at_most, quota,
    )  # fmt: skip
    for k, (outcome, hold_s) in enumerate(rules):
        at = RULES + FIELDS * k
        policy[at + OUTCOME], policy[at + HOLD_S] = outcome, hold_s
    return policy


class Reason(msgspec.Struct, frozen=True):
    """A feature value that a rule of the decision read; `contribution` is a model's, else null."""

    feature: str
    value: float | None
    contribution: float | None = None


class Decision(msgspec.Struct, frozen=True):
    """The one output: see "Decisions" in the event contract. Times are milliseconds."""

    id: str
    ts: int
    account: str
    stage: str
    outcome: str
    action: str
    until: int | None
    score: float | None
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    trigger: str
    policy: str
    model: str | None
    features: str


def written(hit: Any, program: Program, account: str, trigger: str, features: str) -> Decision:
    """Write down what the kernel decided at one fact.

    `hit` is a record of dtype HIT with an outcome; `features` is the version of the catalog. The
    deciding rule stands first; a decision without a rule ends a standing (stage review).
    """
    ids = [
        k for k in range(len(program.ids)) if int(hit["hits"]) >> k & 1 and not program.shadow[k]
    ]
    lead = int(hit["rule"])
    ids.sort(key=lambda k: (k != lead, k))
    read = dict.fromkeys(name for k in ids for name in features_of(program.policy.rules[k]))
    values = {name: float(hit["values"][NAMES.index(name)]) for name in read}
    outcome = OUTCOMES[int(hit["outcome"])]
    until = int(hit["until"]) * 1000
    told = f"{int(hit['position'])}\0{int(hit['role'])}\0{int(hit['kind'])}\0{account}\0{outcome}"
    return Decision(
        id=hashlib.sha256(f"{told}\0{program.policy.version}".encode()).hexdigest()[:32],
        ts=int(hit["ts"]),
        account=account,
        stage="review" if lead == NO_RULE else STAGES[int(program.stage[lead])],
        outcome=outcome,
        action="allow" if lead == NO_RULE else _action(program, lead, outcome),
        until=until if until and outcome != "allow" else None,
        score=None,
        rules=tuple(program.ids[k] for k in ids),
        reasons=tuple(Reason(n, None if math.isnan(v) else v) for n, v in values.items()),
        trigger=trigger,
        policy=program.policy.version,
        model=None,
        features=features,
    )


def _action(program: Program, lead: int, outcome: str) -> str:
    """The rule's own action, unless the ladder raised its outcome."""
    rule = program.policy.rules[lead]
    return program.actions[lead] if rule.outcome == outcome else outcome
