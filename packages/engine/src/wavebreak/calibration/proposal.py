"""Proposal: which numbers a platform's own days in shadow support, and whom each would meet."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import UNSET
from msgspec.structs import asdict, replace
from numpy.typing import NDArray

from wavebreak.calibration.config import Range, Settings
from wavebreak.calibration.estimates import Estimate, estimate
from wavebreak.calibration.measurement import Measurement, allowance_of
from wavebreak.engine.kernel_policy import Model, most_of_score, score_decides
from wavebreak.evaluation import exact_interval
from wavebreak.features import sequential_tests
from wavebreak.model.calibration import ONE
from wavebreak.outcomes import OUTCOMES, SILENCING, reaches
from wavebreak.rules import EvidenceTerms, Policy, features_read
from wavebreak.rules.basis import COMPLAINTS
from wavebreak.rules.model import ScoreThresholds

Ints = NDArray[np.int64]
NEVER = math.inf
LEAST_CONTACTS = 2
"""Below so many strangers no test can speak against an account."""

_FEATURES = {
    "early_reply": "unanswered_evidence",
    "reply": "unanswered_evidence",
    "complaint": "complaint_evidence",
    "complaint_of_reactions": "reaction_evidence",
    "complaint_after_answer": "later_complaint_evidence",
    "leave": "leave_evidence",
    "undeliverable": "undeliverable_evidence",
}
"""By setting the feature of its test."""
_COMPLAINTS = tuple(name for name, feature in _FEATURES.items() if feature in COMPLAINTS)
LEAST_ANSWERS, MOST_TRIALS = 2, 3
"""Ceilings of complaints rest on accounts that so many strangers have answered, one of so many or
more: among the others there are more abusive ones than a share left out would take away."""
_BESIDE = (
    "channel", "stranger_contacts", "stranger_complaints", "undeliverable_7d", "left_after_add_7d",
    "unwanted_evidence",
)  # fmt: skip
"""Features that a rule may read beside a test and still slow by that test alone."""


@dataclass(frozen=True)
class Touched:
    """How many accounts a number meets: those that it slows, and those that it may silence.

    Of a test's floor or ceiling, `restricted` are the accounts whose evidence reaches what a
    restriction needs; it takes a second test besides.
    """

    limited: int
    restricted: int


@dataclass(frozen=True)
class Setting:
    """One number of a policy: as it is, as proposed, and whom either would meet.

    Attributes:
        name: As the policy names it.
        now: The number in force.
        proposed: The number proposed; `now` where the data support no other.
        accounts: Accounts that it rests on.
        interval: The 95 % interval of what it was taken from, where there is one.
        why: How it came about, in a sentence.
        touched_now: Accounts that the number in force meets.
        touched_proposed: Accounts that the proposed one meets.
    """

    name: str
    now: float
    proposed: float
    accounts: int
    interval: tuple[float, float] | None
    why: str
    touched_now: Touched
    touched_proposed: Touched

    @property
    def changed(self) -> bool:
        """Whether another number is proposed."""
        return self.now != self.proposed


@dataclass(frozen=True)
class Proposal:
    """All settings, and the tables of a policy that they make.

    `allowances` are the changed ones by the id of their rule; `thresholds` is None where the
    model's own stay.
    """

    settings: tuple[Setting, ...]
    evidence: EvidenceTerms
    allowances: dict[str, int]
    thresholds: ScoreThresholds | None


def propose(
    measured: Measurement, policy: Policy, model: Model | None, settings: Settings
) -> Proposal:
    """Derive a policy's numbers from what was measured.

    Args:
        measured: What the days in shadow showed.
        policy: The policy in force.
        model: The model in force (None: none).
        settings: Assumptions and limits.
    """
    tests = [
        _as_proposed(each, each.name in settings.proposes)
        for each in _test_settings(measured, policy, settings)
    ]
    allowances = [
        _as_proposed(
            _allowance_setting(rule_id, reached, measured, policy, settings),
            "allowances" in settings.proposes,
        )
        for rule_id, reached in measured.reached.items()
    ]
    scores, thresholds = _score_settings(measured, policy, model, settings)
    moves = "score" in settings.proposes
    return Proposal(
        (*tests, *allowances, *(_as_proposed(each, moves) for each in scores)),
        replace(policy.evidence, **{each.name: each.proposed for each in tests}),
        {each.name: int(each.proposed) for each in allowances if each.changed},
        thresholds if moves else None,
    )


def _as_proposed(made: Setting, moves: bool) -> Setting:
    """Return a setting as it is proposed: its number in force, where it is not to move."""
    if moves or not made.changed:
        return made
    why = f"kept, since `proposes` does not name it ({made.proposed:g} otherwise): {made.why}"
    return dataclasses.replace(made, proposed=made.now, touched_proposed=made.touched_now, why=why)


# Floors and ceilings of the sequential tests


def _trials(measured: Measurement) -> dict[str, tuple[Ints, Ints]]:
    """Return trials and what came of them, of each account, by the setting that bets on it."""
    rows, rares = measured.rows, measured.rares
    complaints, reactions, talks = (
        rows[name].astype(np.int64) for name in ("complaints", "reactions", "talks")
    )
    first = np.maximum(reactions - talks, 0)
    counts = {
        "early_reply": (rows["matured"][:, 0], rows["answered"][:, 0]),
        "reply": (rows["matured"][:, 1], rows["answered"][:, 1]),
        "complaint": (rows["trials"], complaints),
        "complaint_of_reactions": (reactions, first),
        "complaint_after_answer": (talks, np.maximum(complaints - first, 0)),
        "leave": (rares["add_trials"], rares["add_leaves"]),
        "undeliverable": (rows["contacted"], rares["failures"]),
    }
    return {name: (n.astype(np.int64), k.astype(np.int64)) for name, (n, k) in counts.items()}


def _test_settings(measured: Measurement, policy: Policy, settings: Settings) -> list[Setting]:
    terms = policy.evidence
    proposed: dict[str, float] = {}
    found: dict[str, Estimate | int] = {}
    for name, (n, k) in _trials(measured).items():
        enough = n >= settings.trials
        if name in _COMPLAINTS:
            answers = measured.rows["trials_answered"].astype(np.int64)
            enough &= answers >= np.maximum(LEAST_ANSWERS, measured.rows["trials"] / MOST_TRIALS)
        n, k = n[enough], np.minimum(k[enough], n[enough])
        if _FEATURES[name] not in measured.covered:
            found[name] = 0
            continue
        if n.size < settings.accounts:
            found[name] = int(n.size)
            continue
        floor = name in settings.floors
        guess = estimate(
            n, k, contamination=settings.contamination, beyond=settings.beyond, floor=floor,
            resamples=settings.resamples,
        )  # fmt: skip
        found[name] = guess
        if floor:
            proposed[name] = _floor(guess, settings.floors[name], settings.headroom)
        else:
            proposed[name] = _ceiling(guess.high, guess.mean, settings.ceilings[name], settings)
    if {"early_reply", "reply"} <= proposed.keys():
        # Who answers within two hours has answered within a day.
        proposed["early_reply"] = min(proposed["early_reply"], proposed["reply"])
    after = replace(terms, **proposed)
    return [
        _test_setting(name, found[name], measured, policy, after, settings)
        for name in asdict(terms)
    ]


def _floor(guess: Estimate, within: Range, headroom: float) -> float:
    value = min(guess.low, guess.quantile, guess.mean / headroom)
    return min(max(math.floor(value * 1000) / 1000, within[0]), within[1])


def _ceiling(high: float, mean: float, within: Range, settings: Settings) -> float:
    value = max(high, mean * settings.headroom)
    return min(max(math.ceil(value * 10_000) / 10_000, within[0]), within[1])


def _test_setting(
    name: str, found: Estimate | int, measured: Measurement, policy: Policy, after: EvidenceTerms,
    settings: Settings,
) -> Setting:  # fmt: skip
    before, proposed = getattr(policy.evidence, name), getattr(after, name)
    accounts = found if isinstance(found, int) else found.accounts
    touched = _touched_by_test(name, measured, policy, policy.evidence)
    if isinstance(found, int):
        why = f"kept: {accounts:,} of {settings.accounts:,} accounts with {settings.trials} trials"
        if _FEATURES[name] not in measured.covered:
            why = "kept: the stream does not carry what it counts"
        return Setting(name, before, before, accounts, None, why, touched, touched)
    side = "lower" if name in settings.floors else "upper"
    why = (
        f"the {side} {settings.beyond:.0%} of {accounts:,} accounts begins at {found.quantile:.3g} "
        f"(mean {found.mean:.3g}); {found.removed:,} were left out as possibly abusive"
    )
    changed = replace(policy.evidence, **{name: proposed})
    moved = _touched_by_test(name, measured, policy, changed) if proposed != before else touched
    return Setting(name, before, proposed, accounts, (found.low, found.high), why, touched, moved)


def _touched_by_test(
    name: str, measured: Measurement, policy: Policy, terms: EvidenceTerms
) -> Touched:
    """Count accounts whose evidence reaches what rules ask for, at the end of the days."""
    feature = _FEATURES[name]
    values = evidence_values(feature, measured, terms)
    slows, silences = _asked(policy, feature)
    return Touched(int((values >= slows).sum()), int((values >= silences).sum()))


def evidence_values(
    feature: str, measured: Measurement, terms: EvidenceTerms
) -> NDArray[np.float64]:
    """Return the value of one test for each account that it could speak against."""
    packed = sequential_tests.pack_terms(**asdict(terms))
    rows, rares = measured.rows, measured.rares
    tried = np.flatnonzero(np.maximum(rows["trials"], rows["contacted"]) >= LEAST_CONTACTS)
    return np.array([_value(feature, packed, rows[i], rares[i]) for i in tried], np.float64)


def _value(feature: str, packed: Any, row: Any, rare: Any) -> float:
    match feature:
        case "unanswered_evidence":
            return sequential_tests.reply_value(packed, row)
        case "complaint_evidence":
            return sequential_tests.complaint_value(packed, row)
        case "reaction_evidence":
            return sequential_tests.reaction_value(packed, row)
        case "later_complaint_evidence":
            return sequential_tests.later_value(packed, row)
        case "leave_evidence":
            return sequential_tests.leave_value(
                packed, row, int(rare["add_trials"]), int(rare["add_leaves"])
            )
    return sequential_tests.failure_value(packed, row, int(rare["failures"]))


def _asked(policy: Policy, feature: str) -> tuple[float, float]:
    """Return the least evidence at which a rule slows, and at which one silences."""
    slows, silences = NEVER, NEVER
    names = f"{feature}|unwanted_evidence" if feature in COMPLAINTS else feature
    for rule in policy.rules:
        asked = [float(x) for x in re.findall(rf"\b(?:{names}) >= ([\d.]+)", rule.expression)]
        if rule.mode == "shadow" or rule.outcome is None or not asked:
            continue
        if rule.outcome in SILENCING:
            silences = min(silences, *asked)
        elif set(features_read(rule, policy.features)) <= {feature, *_BESIDE}:
            slows = min(slows, *asked)
    return slows, silences


# Allowances


def _allowance_setting(
    rule_id: str, reached: dict[int, int], measured: Measurement, policy: Policy,
    settings: Settings,
) -> Setting:  # fmt: skip
    rule = policy.rule(rule_id)
    now = (allowance_of(rule) if rule else None) or max(reached)
    low, high = settings.allowances[rule_id]
    accounts = measured.accounts
    if accounts < settings.accounts:
        proposed, why = now, f"kept: {accounts:,} of {settings.accounts:,} accounts"
    else:
        bounds = {n: exact_interval(met, accounts)[1] for n, met in reached.items()}
        tolerated = [n for n, b in bounds.items() if low <= n <= high and b <= settings.slowed]
        proposed = min(tolerated, default=high)
        why = (
            f"the fewest strangers an hour that slow at most {settings.slowed:.1%} of the "
            f"accounts, by the upper end of the interval; from {low} to {high}"
        )
    return Setting(
        rule_id, now, proposed, accounts, None, why, Touched(reached[now], 0),
        Touched(reached.get(proposed, 0), 0),
    )  # fmt: skip


# Score


def _score_settings(
    measured: Measurement, policy: Policy, model: Model | None, settings: Settings
) -> tuple[list[Setting], ScoreThresholds | None]:
    """Raise the thresholds of the score until it slows no more accounts than are tolerated."""
    if model is None:
        return [], None
    own = policy.score.thresholds
    highest = np.sort(measured.margins)[::-1]
    made, values = list[Setting](), dict[str, float]()
    for outcome, share in (
        ("challenge", settings.slowed),
        ("restrict", settings.slowed * settings.strongly),
    ):
        if outcome not in model.thresholds:
            continue
        given = None if own is UNSET else getattr(own, outcome)
        now = model.thresholds[outcome] / ONE if given is None else given
        tolerated = int(share * measured.accounts)
        proposed = now
        if measured.accounts < settings.accounts:
            why = f"kept: {measured.accounts:,} of {settings.accounts:,} accounts"
        elif not score_decides(policy.score, model) or not reaches(
            OUTCOMES[most_of_score(policy.score, measured.covered)], "limit"
        ):
            why, highest = "kept: on this stream a score slows nobody", highest[:0]
        elif np.count_nonzero(highest >= now) <= tolerated:
            why = f"kept: it slows at most {share:.2%} of the accounts"
        else:
            # Above the first account that is one too many.
            proposed = math.floor(highest[tolerated] * 10_000 + 1) / 10_000
            why = f"the least score (log-odds) that slows at most {share:.2%} of the accounts"
        proposed = max(proposed, *values.values(), now)
        values[outcome] = proposed
        made.append(
            Setting(
                f"score.{outcome}",
                now,
                proposed,
                measured.accounts,
                None,
                why,
                Touched(int((highest >= now).sum()), 0),
                Touched(int((highest >= proposed).sum()), 0),
            )
        )
    if own is UNSET and not any(setting.changed for setting in made):
        return made, None
    return made, ScoreThresholds(model=model.version, **values)
