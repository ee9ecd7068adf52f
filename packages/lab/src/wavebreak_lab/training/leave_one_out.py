"""Leave one out: how a model treats people and attackers whom its training never saw.

For every persona and every family trees are fitted, and thresholds found, without it; then it is
scored. A persona that is slowed only when it was left out tells what the model would do to people
whom nobody simulated; the features that moved it tell why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import Bools, Points
from wavebreak.model import to_fixed_point
from wavebreak.model.support import Support
from wavebreak.reports.tables import Table, number, percent
from wavebreak_lab.training import abstention, sample_weights, thresholds
from wavebreak_lab.training.config import Settings
from wavebreak_lab.training.default_model import GatheredPlatforms, default_settings
from wavebreak_lab.training.splits import Splits, assign_splits
from wavebreak_lab.training.trainer import (
    AccountLabels,
    Progress,
    account_labels,
    make_fit,
    predict_margins,
)

TABLE = "leave-one-out.json"
"""File of a directory that holds the results so far."""

LIMIT, STRONG = "challenge", "restrict"
"""Thresholds from which a score is doubt, and strong doubt: see `engine.kernel_policy`."""

_CARRIES = "cold_share_32"
_ORDINARY = "person"
_REASONS = 4
Group = tuple[bool, str]
"""Whether it is abusive, and its name: a family or a persona."""


class LeftOut(msgspec.Struct, frozen=True):
    """One persona or family: how many of its accounts are slowed by trees that never saw it.

    `slowed` and `strongly` of `accounts`; `known_slowed` of `known` are the same on platforms kept
    from the fit, by trees that saw others of its kind. `reasons` are the features that contributed
    most to the doubt, in log-odds, as the mean over the accounts slowed.
    """

    abusive: bool
    name: str
    accounts: int
    slowed: int
    strongly: int
    known: int
    known_slowed: int
    reasons: dict[str, float]

    @property
    def group(self) -> Group:
        """Its label and name."""
        return self.abusive, self.name


class _Stored(msgspec.Struct, frozen=True):
    """Results of one set of platforms and settings."""

    digest: str
    results: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Fitted:
    """Trees, thresholds and support of one fit."""

    booster: Any
    limit: int
    strong: int
    support: Support | None


class LeaveOneOut:
    """Fits that each leave one group out of the same points."""

    def __init__(self, gathered: GatheredPlatforms, settings: Settings, seed: int) -> None:
        own = default_settings(settings)
        rounds = settings.leave_one_out.rounds
        self.settings = msgspec.structs.replace(
            own, fit=msgspec.structs.replace(own.fit, rounds=rounds)
        )
        self.seed = seed
        whole = gathered.points.without(settings.default.without)
        points = whole.select(~whole.after_action())
        labelled = account_labels(points, gathered.labels.resolved)
        ordinary = np.array(labelled.family_names(False)) == _ORDINARY
        rng = np.random.default_rng([seed, 4])
        taken = ~ordinary | (rng.random(len(ordinary)) < settings.leave_one_out.persons)
        # Calibration keeps everybody: with fewer ordinary people among the others thresholds rise,
        # and whoever is left out looks safer than the model would leave them.
        held = np.isin(points.run, sorted(gathered.calibrates))
        self.points = points.select(taken[points.account] | held)
        self.labelled: AccountLabels = labelled
        self.splits: Splits = assign_splits(
            self.points, gathered.labels.resolved, seed, own.split, gathered.calibrates
        )
        self._acts = _acting_rows(self.points)
        self._names = {
            label: np.array(self.labelled.family_names(label)) for label in (False, True)
        }

    def groups(self) -> list[Group]:
        """Every persona and family that the score may act on, personas first.

        None where a label has only one: nothing would be left to learn it from.
        """
        seen = np.unique(self.points.account[self._acts])
        found = {
            label: sorted(set(names[seen].tolist()) - {""}) for label, names in self._names.items()
        }
        return [(label, n) for label, names in found.items() for n in names if len(names) > 1]

    def fit(self, left_out: Group | None, progress: Progress = lambda *_: None) -> _Fitted:
        """Fit trees and find thresholds without a group (None: with all)."""
        points, labelled, settings = self.points, self.labelled, self.settings
        kept = ~self._rows(left_out) if left_out else np.ones(len(points), bool)
        fit = self.splits.fit(points) & kept
        held = self.splits.calibrate(points) & kept
        booster = make_fit(points, labelled, settings, self.seed, 1, progress)(fit, 0)
        own = points.select(held)
        support = None
        if settings.abstention:
            support = abstention.fit_support(points.select(fit), own, settings.abstention)
        benign = own.select(~labelled.abusive[own.account])
        every = msgspec.structs.replace(settings.coverage, share=1.0)
        found = thresholds.find_thresholds(
            predict_margins(booster, benign.values),
            benign.account,
            settings.tolerance,
            predict_margins(booster, sample_weights.mask_values(benign, every, self.seed)),
        )
        return _Fitted(booster, found[LIMIT].at, found[STRONG].at, support)

    def measure(self, group: Group, without: _Fitted, known: _Fitted) -> LeftOut:
        """Score a group by trees that never saw it, and on held platforms by trees that did."""
        rows = self._rows(group) & self._acts
        mine = self.points.select(rows)
        margins = _margins(without, mine)
        slowed = np.unique(mine.account[margins >= without.limit])
        there = self.points.select(rows & self.splits.calibrate(self.points))
        again = _margins(known, there)
        return LeftOut(
            *group,
            len(np.unique(mine.account)),
            len(slowed),
            len(np.unique(mine.account[margins >= without.strong])),
            len(np.unique(there.account)),
            len(np.unique(there.account[again >= known.limit])),
            _reasons(without, mine, margins) if len(slowed) else {},
        )

    def _rows(self, group: Group) -> Bools:
        abusive, name = group
        return np.asarray((self._names[abusive] == name)[self.points.account], np.bool_)


def _acting_rows(points: Points) -> Bools:
    """Points of platforms that carry contacts: elsewhere a score asks for nothing."""
    given = ~np.isnan(points.values[:, points.names.index(_CARRIES)])
    return np.isin(points.run, np.unique(points.run[given]))


def _margins(fitted: _Fitted, points: Points) -> Any:
    """Margins in fixed point, int64 (n,); the lowest where the score abstains."""
    if not len(points):
        return np.zeros(0, np.int64)
    found = to_fixed_point(predict_margins(fitted.booster, points.values))
    if fitted.support is None:
        return found
    return np.where(abstention.is_far(points, fitted.support), np.iinfo(np.int64).min, found)


def _reasons(fitted: _Fitted, points: Points, margins: Any) -> dict[str, float]:
    """The features that contributed most to doubt, mean over the points above the limit."""
    rows = np.flatnonzero(margins >= fitted.limit)[:2_000]
    made = fitted.booster.predict(points.values[rows], pred_contrib=True, num_threads=1)
    mean = np.asarray(made)[:, :-1].mean(axis=0)
    order = np.argsort(-mean, kind="stable")[:_REASONS]
    return {points.names[f]: round(float(mean[f]), 3) for f in order if mean[f] > 0}


def leave_one_out(
    gathered: GatheredPlatforms,
    settings: Settings,
    out: Path,
    *,
    seed: int = 0,
    only: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> list[LeftOut]:
    """Leave every persona and family out in turn, and write each result as it is found.

    What `out` holds of the same platforms and settings is not fitted again. `only` names some
    personas and families. Raises `KeyError` with the first name that is none.
    """
    made = LeaveOneOut(gathered, settings, seed)
    groups = made.groups()
    if unknown := set(only) - {name for _, name in groups}:
        raise KeyError(min(unknown))
    digest = _digest(made)
    results = {one.group: one for one in _load(out / TABLE, digest)}
    wanted = [g for g in groups if (not only or g[1] in only) and g not in results]
    known = made.fit(None) if wanted else None
    for place, group in enumerate(wanted):
        progress((place + 0.5) / len(wanted), f"without {group[1]}")
        if known is not None:
            results[group] = made.measure(group, made.fit(group), known)
        _save(out / TABLE, _Stored(digest, tuple(results[g] for g in groups if g in results)))
    progress(1.0, "")
    return [results[g] for g in groups if g in results]


def _digest(made: LeaveOneOut) -> str:
    seen = hashlib.sha256(repr((made.points.names, made.seed)).encode())
    for array in (made.points.values, made.points.account, made.points.ts, made.splits.account):
        seen.update(np.ascontiguousarray(array).tobytes())
    seen.update(made.settings.digested())
    return seen.hexdigest()


def _load(path: Path, digest: str) -> tuple[LeftOut, ...]:
    """Results of the same platforms and settings; none where there are others, or none."""
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (OSError, msgspec.DecodeError):
        return ()
    return stored.results if stored.digest == digest else ()


def _save(path: Path, stored: _Stored) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(stored, order="sorted"), indent=1)
    path.write_bytes(text + b"\n")


def load_results(directory: Path) -> tuple[LeftOut, ...]:
    """Results that a directory holds, of whatever platforms; none where it holds none."""
    try:
        return msgspec.json.decode((directory / TABLE).read_bytes(), type=_Stored).results
    except FileNotFoundError:
        return ()


def result_tables(results: Sequence[LeftOut]) -> list[Table]:
    """Personas, families, and the features that moved doubt about personas left out."""
    made = []
    for abusive, title in ((False, "Personas left out"), (True, "Families left out")):
        rows = [_row(one) for one in results if one.abusive == abusive]
        if rows:
            made.append(
                Table(
                    title,
                    ("left out", "accounts", "slowed", "95 %", "strong\ndoubt", "seen:\nslowed"),
                    rows,
                    "Accounts of platforms that carry contacts (elsewhere a score slows nobody) "
                    "whose score reaches a limit, by trees that saw none of their kind; beside "
                    "it, on platforms kept from the fit, by trees that saw others of it.",
                )
            )
    if wrong := list(wrong_reasons(results)):
        made.append(
            Table(
                "Features behind wrong doubt",
                ("feature", "log-odds a\nperson slowed", "personas"),
                [(name, number(mean, 2), number(count)) for name, mean, count in wrong],
                "Contributions to the doubt about personas left out, over the accounts slowed.",
                frozenset({0}),
            )
        )
    return made


def _row(one: LeftOut) -> tuple[str, ...]:
    low, high = exact_interval(one.slowed, one.accounts)
    share = one.slowed / max(one.accounts, 1)
    return (
        one.name,
        number(one.accounts),
        f"{number(one.slowed)} ({percent(share)})",
        f"{percent(low)}-{percent(high)}",
        number(one.strongly),
        f"{number(one.known_slowed)}/{number(one.known)}",
    )


def wrong_reasons(results: Sequence[LeftOut]) -> Iterator[tuple[str, float, int]]:
    """Features behind doubt about personas left out: mean log-odds a person slowed, personas."""
    slowed = [one for one in results if not one.abusive and one.slowed]
    total = sum(one.slowed for one in slowed)
    names = sorted({name for one in slowed for name in one.reasons})
    made = [
        (
            name,
            sum(one.reasons.get(name, 0.0) * one.slowed for one in slowed) / total,
            sum(name in one.reasons for one in slowed),
        )
        for name in names
    ]
    yield from sorted(made, key=lambda row: (-row[1], row[0]))
