"""From the rules that hit to an outcome and a written decision: pure, live and in replay alike.

`step` is plain Python over integers. The kernel runs it as machine code in the middle of a batch,
since a refusal binds the account at its very next event.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import BY_SCORE, NO_RULE, OUTCOMES
from wavebreak.rules import STAGES, Program, features_read

ALLOW, OBSERVE, CHALLENGE, LIMIT, RESTRICT, SUSPEND, BAN = range(7)
"""Outcomes, least to most severe."""
UNCHANGED: Final = -1
PENDING: Final = 64
"""In place of a rule's index: a takeover whose owner is being asked."""

# Layout of the policy's numbers (int64), shared with `enforcement`.
SUSPEND_AFTER, DOUBLE_AT_MOST, QUOTA, SCORE_DECIDES, FAMILIES, OTHERWISE, SILENT = range(7)
THRESHOLDS, SCORE_HOLDS = 8, 16
RULES, FIELDS = 24, 4
OUTCOME, HOLD_S, FAMILY, RECOVERS = 0, 1, 2, 3
SIZE: Final = RULES + FIELDS * 64
NEVER: Final = 2**62


def weigh(policy: Any, margin: int, fired: int, silent: int) -> int:
    """Give the outcome that a score asks for (0: none), given the rules that have fired.

    `margin` is in 1/65,536 of log-odds, `fired` a bit mask over the rules, `silent` 1 for an
    account that has started no chat. The most severe outcome whose threshold is reached; of a
    silent account no more than policy and model let it; a ban only where the fired rules are of
    enough families of evidence, and a challenge at most where one of them speaks of a takeover.

    >>> policy = numbers([(LIMIT, 60), (LIMIT, 60)], suspend_after=3, double_at_most=4, quota=5,
    ...     score=ScoreNumbers({BAN: 900, CHALLENGE: 100}, {}, families=2, otherwise=SUSPEND),
    ...     families=[1, 2])
    >>> [int(weigh(policy, m, fired, 0)) for m, fired in ((99, 3), (100, 3), (900, 1), (900, 3))]
    [0, 2, 5, 6]
    """
    level = 0
    for outcome in range(1, 7):
        if margin >= policy[THRESHOLDS + outcome]:
            level = outcome
    if silent == 1 and level > policy[SILENT]:
        level = policy[SILENT]
    if level <= CHALLENGE:
        return level
    families = 0
    for k in range(64):
        if (fired >> k) & 1:
            if policy[RULES + FIELDS * k + RECOVERS] == 1:
                return CHALLENGE
            families |= policy[RULES + FIELDS * k + FAMILY]
    if level < BAN:
        return level
    count = 0
    for bit in range(8):
        count += (families >> bit) & 1
    return level if count >= policy[FAMILIES] else policy[OTHERWISE]


def takeover(policy: Any, hits: int, fired: int, standing: int) -> int:
    """Say what is known of a takeover: the rule that newly speaks of one, PENDING, or NO_RULE.

    `hits` are the rules that newly hit, `fired` all that have fired, or 0 for an account without a
    past that another could take over. PENDING is one whose owner is being asked.

    >>> policy = numbers([(CHALLENGE, 60), (RESTRICT, 60)], suspend_after=3, double_at_most=4,
    ...     quota=5, recovers=[True, False])
    >>> takeover(policy, 0b11, 0b11, ALLOW), takeover(policy, 0b10, 0b11, CHALLENGE) == PENDING
    (0, True)
    """
    found = NO_RULE
    for k in range(64):
        if (fired >> k) & 1 and policy[RULES + FIELDS * k + RECOVERS] == 1:
            if (hits >> k) & 1:
                found = k
            elif found == NO_RULE and standing == CHALLENGE:
                found = PENDING
    return found


def step(
    policy: Any, hits: int, level: int, taken: int, standing: int, until: int, strikes: int,
    now: int,
) -> int:  # fmt: skip
    """Decide on an account for which rules newly hit, or a score newly asks for something.

    `policy` is what `numbers` makes, `hits` a mask over its rules, `level` what `weigh` gave where
    new (0: nothing), `taken` what `takeover` gave, `standing` the outcome in force with its end
    `until` (s, 0: none), `strikes` the restrictions or worse so far, `now` the account's clock (s).

    The most severe outcome wins and softens no standing; each restriction is twice as long, from
    `SUSPEND_AFTER` strikes a suspension. A takeover comes first (docs/adr/0014): its challenge is
    decided for less than a ban, and in place of a limit; while it is in force, nothing new.

    Returns `UNCHANGED`, or outcome | rule << 8 | end << 16 (end 0: none; rule BY_SCORE: no rule
    asked for as much as the score).
    """
    best, rule, hold = 0, NO_RULE, 0
    if policy[SCORE_DECIDES] == 1 and level > 0:
        best, rule, hold = level, BY_SCORE, policy[SCORE_HOLDS + level]
    for k in range(64):
        outcome = policy[RULES + FIELDS * k + OUTCOME] if (hits >> k) & 1 else 0
        lasting = policy[RULES + FIELDS * k + HOLD_S]
        if outcome > best or (outcome == best > 0 and (lasting > hold or rule == BY_SCORE)):
            best, rule, hold = outcome, k, max(lasting, hold) if outcome == best else lasting
    if taken < PENDING and CHALLENGE <= best < BAN:
        best, rule, hold = CHALLENGE, taken, policy[RULES + FIELDS * taken + HOLD_S]
        standing = ALLOW if standing == LIMIT else standing
    if best == 0 or best < standing or (taken == PENDING and best < BAN):
        return UNCHANGED
    if best >= RESTRICT:
        hold = hold << min(strikes, policy[DOUBLE_AT_MOST])
        best = SUSPEND if best == RESTRICT and strikes + 1 >= policy[SUSPEND_AFTER] else best
    end = 0 if best == BAN or hold == 0 else min(now + hold, 0xFFFFFFFF)
    unmoved = best == standing and (until == 0 or (end != 0 and end <= until))
    return UNCHANGED if unmoved else best | rule << 8 | end << 16


class ScoreNumbers(NamedTuple):
    """What a score may do: thresholds (margins) and holds (seconds) by code of outcome.

    Without `decides` a score is noted and decides nothing. A ban needs rules of `families`
    families, else it is `otherwise`. `silent` is the most it asks of an account that has started
    no chat.
    """

    thresholds: Mapping[int, int]
    holds: Mapping[int, int]
    families: int
    otherwise: int
    decides: bool = True
    silent: int = BAN


NO_SCORE: Final = ScoreNumbers({}, {}, 0, 0, decides=False)


def numbers(
    rules: list[tuple[int, int]], *, suspend_after: int, double_at_most: int, quota: int,
    score: ScoreNumbers = NO_SCORE, families: Sequence[int] = (), recovers: Sequence[bool] = (),
) -> Any:  # fmt: skip
    """The policy as `step`, `weigh` and `enforcement.refuses` read it: int64, shape `(SIZE,)`.

    `rules` are (outcome, hold in seconds) in order; a shadow rule or a label has outcome 0.
    `families` are a bit each for the rule's family of evidence (0: none); `recovers` says which
    rules speak of a takeover.
    """
    policy = np.zeros(SIZE, np.int64)
    policy[SUSPEND_AFTER], policy[DOUBLE_AT_MOST], policy[QUOTA] = (
        suspend_after, double_at_most, quota,
    )  # fmt: skip
    for k, (outcome, hold_s) in enumerate(rules):
        at = RULES + FIELDS * k
        policy[at + OUTCOME], policy[at + HOLD_S] = outcome, hold_s
    for k, (family, recovering) in enumerate(zip_longest(families, recovers, fillvalue=0)):
        at = RULES + FIELDS * k
        policy[at + FAMILY], policy[at + RECOVERS] = family, recovering
    policy[SCORE_DECIDES], policy[FAMILIES], policy[OTHERWISE], policy[SILENT] = (
        score.decides, score.families, score.otherwise, score.silent,
    )  # fmt: skip
    for outcome in range(len(OUTCOMES)):
        policy[THRESHOLDS + outcome] = score.thresholds.get(outcome, NEVER)
        policy[SCORE_HOLDS + outcome] = score.holds.get(outcome, 0)
    return policy


class Reason(msgspec.Struct, frozen=True):
    """A feature value that a rule of the decision read, or by which a model came to its score.

    `contribution` is the model's (log-odds), null where only a rule read it.
    """

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


def written(
    hit: Any, program: Program, account: str, trigger: str, features: str,
    model: str | None = None,
) -> Decision:  # fmt: skip
    """Write down what the kernel decided at one fact.

    `hit` is a record of dtype HIT with an outcome; `features` is the version of the catalog,
    `model` that of the model (None: no model). The deciding rule stands first. A decision by the
    score alone has no rules; one without either ends a standing (stage review).
    """
    ids = [
        k for k in range(len(program.ids)) if int(hit["hits"]) >> k & 1 and not program.shadow[k]
    ]
    lead = int(hit["rule"])
    ids.sort(key=lambda k: (k != lead, k))
    read = dict.fromkeys(name for k in ids for name in features_read(program.policy.rules[k]))
    values = {name: float(hit["values"][NAMES.index(name)]) for name in read}
    outcome = OUTCOMES[int(hit["outcome"])]
    until = int(hit["until"]) * 1000
    told = f"{int(hit['position'])}\0{int(hit['role'])}\0{int(hit['kind'])}\0{account}\0{outcome}"
    by = program.policy.version + (f"\0{model}" if lead == BY_SCORE else "")
    # Where a standing is ended no features were read.
    score = math.nan if lead == NO_RULE else float(hit["values"][NAMES.index("score")])
    return Decision(
        id=hashlib.sha256(f"{told}\0{by}".encode()).hexdigest()[:32],
        ts=int(hit["ts"]),
        account=account,
        stage=STAGES[int(hit["stage"] if lead >= BY_SCORE else program.stage[lead])],
        outcome=outcome,
        action=outcome if lead >= BY_SCORE else _action(program, lead, outcome),
        until=until if until and outcome != "allow" else None,
        score=None if math.isnan(score) else score,
        rules=tuple(program.ids[k] for k in ids),
        reasons=tuple(Reason(n, None if math.isnan(v) else v) for n, v in values.items()),
        trigger=trigger,
        policy=program.policy.version,
        model=model,
        features=features,
    )


def _action(program: Program, lead: int, outcome: str) -> str:
    """The rule's own action, unless the ladder raised its outcome."""
    rule = program.policy.rules[lead]
    return program.actions[lead] if rule.outcome == outcome else outcome
