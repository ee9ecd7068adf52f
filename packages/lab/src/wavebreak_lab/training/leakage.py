"""Leakage checks: information from the future, or the label itself, in the scoring points.

Three ways in which a model looks better than it is (Kaufman et al., Leakage in Data Mining, KDD
2011): a row that uses later events; a feature that is the label under another name; a label that
is in the log before the account did anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from wavebreak.errors import TrainingError
from wavebreak.evaluation.label_votes import Key, ResolvedLabel
from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points, ReplayResult
from wavebreak_lab.training.config import Leaks

BINS = 32
Prefix = Callable[[int], Points]
"""The points of a replay that stops after so many events."""


def check_future_leak(replays: ReplayResult, prefix: Prefix, cuts: int, seed: int) -> list[int]:
    """Cut a log at random and make its rows again without what came after.

    Every row up to the cut must come out alike bit for bit. Returns the cuts (events). Raises
    `TrainingError` that names the features of rows that differ.
    """
    rng = np.random.default_rng([seed, 3])
    at = sorted(int(cut) for cut in rng.integers(1, max(2, replays.events), cuts))
    for cut in at:
        _compare(replays.points, prefix(cut), cut)
    return at


def _compare(whole: Points, known: Points, cut: int) -> None:
    n = len(known)
    fix = "record points by a replay of the log (`wavebreak train RUN`), and nothing else"
    names = [whole.accounts[a] for a in whole.account[:n]]
    if len(whole) < n or names != [known.accounts[a] for a in known.account]:
        raise TrainingError(
            f"leak of the future: cut after {cut:,} events, the log gives other scoring points",
            fix=fix,
        )
    differs = whole.values[:n].view(np.int64) != known.values.view(np.int64)
    if differs.any() or (whole.ts[:n] != known.ts).any():
        columns = [name for name, bad in zip(whole.names, differs.any(axis=0), strict=True) if bad]
        raise TrainingError(
            f"leak of the future: {int(differs.any(axis=1).sum()):,} of {n:,} rows differ once the "
            f"log is cut after {cut:,} events, in {', '.join(columns[:6]) or 'their times'}"
            + (f" and {len(columns) - 6} more" if len(columns) > 6 else ""),
            fix=fix,
        )


def target_encode(train: Floats, bad: Bools, weight: Floats, held: Floats) -> Floats:
    """One feature alone as a score: the abusive share of its bin, learned apart, float64 (held,).

    32 bins by quantiles of `train` and one for missing; shares are drawn to the whole's as if one
    more account had been seen.
    """
    there = ~np.isnan(train)
    edges = (
        np.unique(np.quantile(train[there], np.linspace(0, 1, BINS + 1)[1:-1]))
        if there.any()
        else np.zeros(0)
    )
    own = _bin(train, edges)
    scale = len(np.unique(weight)) / weight.sum() if weight.sum() else 1.0
    total = np.bincount(own, weight * scale, len(edges) + 2)
    caught = np.bincount(own, weight * scale * bad, len(edges) + 2)
    base = float((weight * bad).sum() / weight.sum())
    return np.asarray(((caught + base) / (total + 1.0))[_bin(held, edges)])


def _bin(values: Floats, edges: Floats) -> Ints:
    found = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, found)


WeightedRows = tuple[Ints, Bools, Floats]
"""Rows of points, whether each is abusive, and what it counts."""


def single_feature_aucs(points: Points, fit: WeightedRows, held: WeightedRows) -> dict[str, float]:
    """AUC of each feature alone on held-out operators, weighed; best first."""
    (rows, bad, weight), (others, other_bad, other_weight) = fit, held
    found = {}
    for column, name in enumerate(points.names):
        values = points.values[:, column]
        score = target_encode(values[rows], bad, weight, values[others])
        found[name] = float(roc_auc_score(other_bad, score, sample_weight=other_weight))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def check_single_features(
    aucs: dict[str, float], accounts: tuple[int, int], settings: Leaks, allowed: Sequence[str]
) -> list[str]:
    """Refuse a feature that alone tells the labels apart almost without fault.

    `accounts` are those held out, benign and abusive: below `support` of either nothing is said.
    Returns the features that were let pass because they are `allowed`.
    """
    if min(accounts) < settings.support:
        return []
    found = [name for name, auc in aucs.items() if auc > settings.alone]
    if stray := [name for name in found if name not in allowed]:
        worst = ", ".join(f"{name} (AUC {aucs[name]:.4f})" for name in stray)
        raise TrainingError(
            f"leak of the label: {worst} alone tells {accounts[1]:,} abusive and {accounts[0]:,} "
            "benign accounts apart",
            fix="find out why; if it is right, say --allow " + " --allow ".join(stray),
        )
    return found


def after_label(points: Points, logged: dict[tuple[Key, str], int]) -> Bools:
    """Points at or after the first label of their own account in the log, bool (n,).

    `logged` gives by (account, source) when the log first says it (ms).
    """
    first = np.full(len(points.accounts), np.iinfo(np.int64).max)
    index = {key: number for number, key in enumerate(points.accounts)}
    for (key, _), ts in logged.items():
        if key in index:
            first[index[key]] = min(first[index[key]], ts)
    return np.asarray(points.ts >= first[points.account])


def check_early_labels(
    points: Points,
    resolved: dict[Key, ResolvedLabel],
    logged: dict[tuple[Key, str], int],
    settings: Leaks,
) -> int:
    """Refuse a log in which labels stand before what they are about.

    Counts the accounts whose label is from a source that said so in the log before the account's
    first point; raises `TrainingError` where they are more than a share of all labelled.
    """
    start = np.full(len(points.accounts), np.iinfo(np.int64).max)
    np.minimum.at(start, points.account, points.ts)
    known = [(n, key) for n, key in enumerate(points.accounts) if key in resolved]
    early = 0
    for number, key in known:
        ts = logged.get((key, resolved[key].source))
        early += ts is not None and ts <= start[number]
    if early > settings.labelled_before * max(1, len(known)):
        raise TrainingError(
            f"leak of the label: {early:,} of {len(known):,} labelled accounts were labelled in "
            "the log, by the same source, before they did anything",
            fix="take the label.assigned events out of the log, and give them with --labels and ts",
        )
    return early


def first_label_times(replays: Sequence[ReplayResult]) -> dict[tuple[Key, str], int]:
    """When the logs first give an account's label, by (account, source), in ms."""
    logged: dict[tuple[Key, str], int] = {}
    for one in replays:
        for vote in one.votes:
            key = ((vote.world, vote.account), vote.source)
            logged[key] = min(vote.ts, logged.get(key, vote.ts))
    return logged
