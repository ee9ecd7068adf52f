"""Leave one out, abstention and recalibration, from made-up points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support import scoring_points
from wavebreak.errors import TrainingError
from wavebreak.evaluation.label_votes import Labels
from wavebreak.evaluation.scoring_points import concat_points
from wavebreak_lab import training
from wavebreak_lab.training import abstention, leave_one_out, recalibration
from wavebreak_lab.training.config import Abstention, Settings
from wavebreak_lab.training.default_model import GatheredPlatforms
from wavebreak_lab.training.pipeline import TrainingSet
from wavebreak_lab.training.platform_store import load_platforms, save_platforms

COURIERS = {f"good{n}" for n in range(100)}


def small() -> Settings:
    settings = scoring_points.small()
    default = scoring_points.replace_struct(settings.default, leaves=8)
    few = scoring_points.replace_struct(settings.leave_one_out, rounds=24)
    made: Settings = scoring_points.replace_struct(settings, default=default, leave_one_out=few)
    return made


def gathered() -> GatheredPlatforms:
    """The points twice, as two platforms: the second only calibrates."""
    points, labels = scoring_points.points(), scoring_points.labels()
    both = [replace(points, accounts=tuple((w, a) for _, a in points.accounts)) for w in "ab"]
    resolved = {
        (w, a): replace(truth, family="courier") if a in COURIERS else truth
        for (_, a), truth in labels.resolved.items()
        for w in "ab"
    }
    return GatheredPlatforms(concat_points(both), Labels(resolved), frozenset({1}), 10)


def test_each_group_is_left_out_once_and_results_are_kept(tmp_path: Path) -> None:
    results = leave_one_out.leave_one_out(gathered(), small(), tmp_path)
    assert [one.group for one in results] == [
        (False, "courier"), (False, "person"), (True, "blast"), (True, "jitter"),
    ]  # fmt: skip
    assert [one.accounts for one in results][2:] == [120, 120]
    assert all(one.slowed <= one.accounts and one.known <= one.accounts for one in results)
    assert results[2].slowed > 30, "a family of the same signal is found without having been seen"
    said: list[str] = []
    again = leave_one_out.leave_one_out(
        gathered(), small(), tmp_path, progress=lambda _, words: said.append(words)
    )
    assert (again, said) == (results, [""])
    assert leave_one_out.load_results(tmp_path) == tuple(results)
    titles = [table.title for table in leave_one_out.result_tables(results)]
    assert titles[:2] == ["Personas left out", "Families left out"]


def test_only_named_groups_are_left_out(tmp_path: Path) -> None:
    results = leave_one_out.leave_one_out(gathered(), small(), tmp_path, only=["jitter"])
    assert [one.name for one in results] == ["jitter"]
    with pytest.raises(KeyError, match="nobody"):
        leave_one_out.leave_one_out(gathered(), small(), tmp_path, only=["nobody"])


def test_gathered_platforms_are_stored_under_their_key(tmp_path: Path) -> None:
    before = gathered()
    save_platforms(before, tmp_path / "p.npz", "key")
    after = load_platforms(tmp_path / "p.npz", "key")
    assert after is not None
    assert np.array_equal(after.points.values, before.points.values, equal_nan=True)
    assert (after.points.names, after.points.accounts) == (
        before.points.names, before.points.accounts,
    )  # fmt: skip
    assert after.labels.resolved == before.labels.resolved
    assert (after.calibrates, after.events) == (before.calibrates, before.events)
    assert load_platforms(tmp_path / "p.npz", "another") is None


def test_support_has_surroundings_only_and_abstains_beyond_them() -> None:
    points = scoring_points.points()
    support = abstention.fit_support(points, points, Abstention(tail=0.0, share=0.0))
    assert {"network_young", "block_arrivals"} <= set(support.ranges)
    assert not {"sends_1h", "first_contacts_1d", "network_answered"} & set(support.ranges)
    assert not abstention.is_far(points, support).any()
    columns = ("network_young", "network_arrivals", "network_cold")
    far = points
    for name in columns[: support.most + 1]:
        far = scoring_points.with_column(far, name, 1e6)
    assert abstention.is_far(far, support).all()


def test_recalibration_keeps_trees_and_moves_thresholds() -> None:
    settings = scoring_points.small()
    base = training.fit_model(
        scoring_points.points(), scoring_points.labels(), settings, name="m", seed=3
    ).model
    points, labels = scoring_points.points(seed=9), scoring_points.labels()
    busy = scoring_points.with_column(points, "first_contacts_1d", 3.0)
    given = TrainingSet(busy, labels, (), frozenset(), {"logs": []}, (), None, False)
    made = recalibration.recalibrate(base, given, settings)
    assert made.model.text == base.text
    assert made.model.thresholds["challenge"] >= base.thresholds["challenge"]
    assert made.after["challenge"] <= made.before["challenge"]
    assert made.calibrated
    assert (made.benign, made.abusive) == (400, 120)


def test_recalibration_needs_a_benign_account() -> None:
    settings, labels = scoring_points.small(), scoring_points.labels()
    base = training.fit_model(scoring_points.points(), labels, settings, name="m", seed=3).model
    abusive = {key: truth for key, truth in labels.resolved.items() if truth.abusive}
    given = TrainingSet(
        scoring_points.points(), Labels(abusive), (), frozenset(), {}, (), None, False
    )
    with pytest.raises(TrainingError, match="no benign"):
        recalibration.recalibrate(base, given, settings)
