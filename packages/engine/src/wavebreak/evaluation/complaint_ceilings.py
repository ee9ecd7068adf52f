"""Ceilings of complaints: a platform's own, from its accounts that strangers answered.

Of an account that wrote to eight strangers, of whom none complained, the rate is not zero: it is
unknown. So the rates of all accounts are modelled as a beta distribution, whose mean and variance
follow from the accounts' counts (the beta-binomial model; Kleinman 1973, "Proportions with
extraneous variance", for accounts of equal weight). A ceiling is a quantile of that distribution,
and its interval is a bootstrap over accounts.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import asdict, replace
from numpy.typing import NDArray

from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import shard_records
from wavebreak.features import sequential_tests
from wavebreak.features.layout import LABEL_BENIGN, SHARDS
from wavebreak.outcomes import SILENCING
from wavebreak.rules import EvidenceTerms, Policy, features_read
from wavebreak.schema.events import CHANNELS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Range = tuple[float, float]
Count = Annotated[int, Meta(ge=1)]

FEATURES = {
    "complaint": "complaint_evidence",
    "complaint_of_reactions": "reaction_evidence",
    "complaint_after_answer": "later_complaint_evidence",
}
"""The feature of the test by ceiling."""
MIN_ANSWERS, MAX_TRIALS_AN_ANSWER = 2, 3
"""A ceiling rests on accounts that so many strangers answered, and one of so many or more: the
other accounts have a larger share of abusive ones than `contamination` removes."""
MIN_CONTACTS = 2
"""Below so many strangers no test can speak against an account."""
OUTLYING = 3.0
"""An account may be abusive that is so many standard errors above the pooled rate."""
_CONDITION_FEATURES = ("channel", "stranger_contacts", "stranger_complaints", "unwanted_evidence")
"""Features that a rule may read beside a test and still limit by that test alone."""
_BUSINESS = CHANNELS.index("business_platform")
"""The rules on reactions judge the channels below it."""
_GRID = (np.arange(20_000) + 0.5) / 20_000
_SEED = 7
"""Of the bootstrap: the same accounts give the same interval."""


class CeilingTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms of the ceilings: `[learning.ceilings]` of a policy's `learning.toml`."""

    contamination: Annotated[float, Meta(ge=0, lt=0.5)]
    beyond: Annotated[float, Meta(gt=0, lt=0.5)]
    trials: Count
    accounts: Count
    headroom: Annotated[float, Meta(ge=1, le=10)]
    resamples: Annotated[int, Meta(ge=20, le=10_000)]
    change: Annotated[float, Meta(ge=0, lt=1)]
    complaint: Range
    complaint_of_reactions: Range
    complaint_after_answer: Range


class Ceiling(Struct, frozen=True, kw_only=True):
    """A ceiling of complaints: in force, proposed, and the accounts that each would affect.

    Attributes:
        name: The key in `evidence.toml`.
        now: The number in force.
        proposed: The proposed number; `now` where the accounts support no other one.
        accounts: Accounts that the proposal rests on.
        removed: Accounts that were left out as possibly abusive.
        interval: 95 % interval of the quantile (None: too few accounts, or not covered).
        limited: Accounts that rules limit by this test alone: now, and under the proposal.
        silenced: Accounts with the evidence that a silencing rule asks for: now, and then.
    """

    name: str
    now: float
    proposed: float
    accounts: int
    removed: int = 0
    interval: tuple[float, float] | None = None
    limited: tuple[int, int] = (0, 0)
    silenced: tuple[int, int] = (0, 0)

    @property
    def changed(self) -> bool:
        """Whether another number is proposed."""
        return self.now != self.proposed


class Estimate(NamedTuple):
    """A quantile of accounts' rates, its 95 % interval, their mean, and the removed accounts."""

    quantile: float
    low: float
    high: float
    mean: float
    removed: int


def propose_ceilings(engine: Engine, terms: CeilingTerms) -> tuple[Ceiling, ...]:
    """Propose ceilings of complaints from the accounts that an engine holds.

    Accounts on the business platform, and accounts that a person labelled benign, do not count.

    Args:
        engine: An engine after its log; its policy is the one in force.
        terms: Assumptions and limits.
    """
    shards = [shard_records(engine, shard) for shard in range(SHARDS)]
    rows = np.concatenate([rows for _, rows, _ in shards])
    rows = rows[(rows["channel"] < _BUSINESS) & (rows["flags"] & LABEL_BENIGN == 0)]
    return ceilings_of(rows, engine.policy, engine.covered, terms)


def ceilings_of(
    rows: Any, policy: Policy, covered: frozenset[str], terms: CeilingTerms
) -> tuple[Ceiling, ...]:
    """Propose ceilings from rows of accounts (dtype ROW); see `propose_ceilings`.

    Args:
        rows: The rows.
        policy: The policy in force.
        covered: Features that the stream carries.
        terms: Assumptions and limits.
    """
    ceilings = []
    for name, (trials, complaints) in _complaints(rows, terms).items():
        now = getattr(policy.evidence, name)
        is_covered = FEATURES[name] in covered
        ceiling = Ceiling(
            name=name, now=now, proposed=now, accounts=trials.size if is_covered else 0
        )
        if ceiling.accounts >= terms.accounts:
            estimate = estimate_ceiling(trials, complaints, terms)
            ceiling = replace(
                ceiling,
                proposed=_within_limits(now, estimate, getattr(terms, name), terms),
                removed=estimate.removed,
                interval=(estimate.low, estimate.high),
            )
        before = affected(FEATURES[name], rows, policy, policy.evidence)
        after = before
        if ceiling.changed:
            proposed = replace(policy.evidence, **{name: ceiling.proposed})
            after = affected(FEATURES[name], rows, policy, proposed)
        ceilings.append(
            replace(ceiling, limited=(before[0], after[0]), silenced=(before[1], after[1]))
        )
    return tuple(ceilings)


def _complaints(rows: Any, terms: CeilingTerms) -> dict[str, tuple[Ints, Ints]]:
    """Return trials and complaints of the accounts that a ceiling rests on, by its name."""
    trials, complaints, reactions, talks, answers = (
        rows[name].astype(np.int64)
        for name in ("trials", "complaints", "reactions", "talks", "trials_answered")
    )
    first = np.maximum(reactions - talks, 0)
    counts = {
        "complaint": (trials, complaints),
        "complaint_of_reactions": (reactions, first),
        "complaint_after_answer": (talks, np.maximum(complaints - first, 0)),
    }
    is_answered = answers >= np.maximum(MIN_ANSWERS, trials / MAX_TRIALS_AN_ANSWER)
    is_chosen = {name: (n >= terms.trials) & is_answered for name, (n, _) in counts.items()}
    return {
        name: (n[is_chosen[name]], np.minimum(k, n)[is_chosen[name]])
        for name, (n, k) in counts.items()
    }


def _within_limits(now: float, estimate: Estimate, limits: Range, terms: CeilingTerms) -> float:
    value = max(estimate.high, estimate.mean * terms.headroom)
    value = min(max(math.ceil(value * 10_000) / 10_000, limits[0]), limits[1])
    return value if abs(value - now) > terms.change * now else now


def estimate_ceiling(n: Ints, k: Ints, terms: CeilingTerms) -> Estimate:
    """Estimate the quantile of honest accounts' rates that a ceiling is taken from.

    At most the share `contamination` of the accounts is removed, the worst first, and only accounts
    that chance does not explain (`OUTLYING`): where hardly anybody complains, one complaint in
    twenty makes no account abusive.

    Args:
        n: Trials of each account, at least one.
        k: The trials that ended in a complaint.
        terms: Assumptions and limits.
    """
    distance = _distance(n, k)
    order = np.argsort(-distance, kind="stable")
    n, k, outlying = n[order], k[order], distance[order] >= OUTLYING
    level = 1 - terms.beyond
    max_removed = int(terms.contamination * n.size)
    removed_count = min(max_removed, int(outlying.sum()))
    mean, variance = _moments(
        n[removed_count:], k[removed_count:], np.ones(n.size - removed_count, np.int64)
    )
    generator = np.random.default_rng(_SEED)
    quantiles = []
    for _ in range(terms.resamples):
        counts = np.bincount(generator.integers(0, n.size, n.size), minlength=n.size)
        # The worst are removed of every resample, as of the accounts themselves.
        remaining = max_removed - (np.cumsum(counts) - counts)
        removed_counts = np.minimum(np.maximum(remaining, 0), counts) * outlying
        quantiles.append(beta_quantile(*_moments(n, k, counts - removed_counts), level))
    low, high = np.quantile(quantiles, (0.025, 0.975)).tolist()
    return Estimate(beta_quantile(mean, variance, level), low, high, mean, removed_count)


def beta_quantile(mean: float, variance: float, level: float) -> float:
    """Return a quantile of the beta distribution with a mean and a variance.

    >>> round(beta_quantile(0.5, 1 / 12, 0.1), 3)
    0.1
    >>> beta_quantile(0.3, 0.0, 0.1)
    0.3
    """
    max_variance = mean * (1 - mean)
    if not 0 < variance < max_variance:
        return mean if variance <= 0 else float(level >= 1 - mean)
    size = max_variance / variance - 1
    a, b = mean * size, (1 - mean) * size
    logs = (a - 1) * np.log(_GRID) + (b - 1) * np.log1p(-_GRID)
    mass = np.cumsum(np.exp(logs - logs.max()))
    return float(_GRID[min(np.searchsorted(mass, level * mass[-1]), _GRID.size - 1)])


def _distance(n: Ints, k: Ints) -> Floats:
    """Return the distance of each account from the pooled rate: a signed root likelihood ratio.

    It is a standard error of a normal distribution, also where rates are small and counts few.
    """
    pooled = min(max(float(k.sum() / n.sum()), 1e-9), 1 - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = np.where(k > 0, k * np.log(k / (n * pooled)), 0.0)
        rest = np.where(k < n, (n - k) * np.log((n - k) / (n * (1 - pooled))), 0.0)
    root = np.sqrt(np.maximum(2 * (hits + rest), 0.0))
    return np.asarray(np.where(k > n * pooled, root, -root), np.float64)


def _moments(n: Ints, k: Ints, weights: Ints) -> tuple[float, float]:
    """Return mean and between-account variance of rates, each account weighted."""
    total = weights.sum()
    rates = k / n
    mean = float(weights @ rates / total)
    total_variance = float(weights @ (rates - mean) ** 2 / total)
    noise = float(weights @ (1 / n) / total)
    return mean, max(0.0, (total_variance - mean * (1 - mean) * noise) / max(1 - noise, 1e-9))


def affected(feature: str, rows: Any, policy: Policy, evidence: EvidenceTerms) -> tuple[int, int]:
    """Count the accounts whose evidence reaches a limit, and those that reach a silencing rule.

    Args:
        feature: The feature of a test of complaints.
        rows: Rows of accounts (dtype ROW).
        policy: The policy, whose rules say how much evidence they ask for.
        evidence: The ceilings to count under.
    """
    names = f"{feature}|unwanted_evidence"
    limiting, silencing = math.inf, math.inf
    for rule in policy.rules:
        thresholds = [float(x) for x in re.findall(rf"\b(?:{names}) >= ([\d.]+)", rule.expression)]
        if rule.mode == "shadow" or rule.outcome is None or not thresholds:
            continue
        if rule.outcome in SILENCING:
            silencing = min(silencing, *thresholds)
        elif set(features_read(rule, policy.features)) <= {feature, *_CONDITION_FEATURES}:
            limiting = min(limiting, *thresholds)
    values = evidence_values(feature, rows, evidence)
    return int((values >= limiting).sum()), int((values >= silencing).sum())


def evidence_values(feature: str, rows: Any, evidence: EvidenceTerms) -> Floats:
    """Return the value of one test for each account that it could speak against."""
    packed = sequential_tests.pack_terms(**asdict(evidence))
    value = {
        "complaint_evidence": sequential_tests.complaint_value,
        "reaction_evidence": sequential_tests.reaction_value,
        "later_complaint_evidence": sequential_tests.later_value,
    }[feature]
    tested_rows = rows[np.maximum(rows["trials"], rows["contacted"]) >= MIN_CONTACTS]
    return np.array([value(packed, row) for row in tested_rows], np.float64)
