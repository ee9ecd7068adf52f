"""Labels by rank, splits by operator and time, weights by account and family."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support import scoring_points
from wavebreak.errors import FileError, PolicyError, TrainingError
from wavebreak.features.layout import RESTRICT
from wavebreak.training import config, sample_weights, splits
from wavebreak.training.dataset import NOT_INPUTS, SIGNS, inputs, joined
from wavebreak.training.labels import Claim, read_claims, resolve
from wavebreak.training.trainer import subjects

SHIPPED = config.load()


def said(label: str, source: str, ts: int = -1, family: str = "") -> Claim:
    return Claim("", "a", label, family, "", source, ts)


def test_of_two_words_the_higher_rank_is_taken_and_the_other_counted() -> None:
    made = resolve([said("abusive", "honeypot"), said("benign", "appeal")], SHIPPED.sources)
    assert not made.truths["", "a"].abusive
    assert made.contradictions == Counter({("appeal", "benign", "honeypot"): 1})


def test_of_one_rank_the_later_word_is_taken() -> None:
    claims = [said("benign", "analyst", 10), said("abusive", "analyst", 20)]
    assert resolve(claims, SHIPPED.sources).truths["", "a"].abusive
    assert not resolve(claims, SHIPPED.sources, until=15).truths["", "a"].abusive


def test_two_words_of_one_rank_and_time_leave_the_account_out() -> None:
    made = resolve([said("benign", "analyst"), said("abusive", "analyst")], SHIPPED.sources)
    assert made.undecided == 1
    assert made.truths == {}


def test_a_source_without_a_rank_is_refused() -> None:
    with pytest.raises(TrainingError, match="no rank"):
        resolve([said("benign", "rumour")], SHIPPED.sources)


def test_a_family_is_taken_from_a_word_that_agrees() -> None:
    claims = [said("abusive", "analyst"), said("abusive", "file", family="blast")]
    assert resolve(claims, SHIPPED.sources).truths["", "a"].family == "blast"


def test_a_labels_file_may_name_source_and_time(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "account,label,family,operator,source,ts\na,abusive,blast,op,honeypot,5\nb,benign,,,,\n"
    )
    assert read_claims(path) == [
        Claim("", "a", "abusive", "blast", "op", "honeypot", 5),
        Claim("", "b", "benign", "unnamed", "", "file", -1),
    ]
    path.write_text("account,label\na,perhaps\n")
    with pytest.raises(FileError, match="line 2"):
        read_claims(path)


def test_no_operator_is_on_two_sides_and_every_side_has_each_family() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    made = splits.sides(points, labels.truths, 3, SHIPPED.split)
    of_operator: dict[str, set[int]] = {}
    of_family: dict[str, set[int]] = {}
    for index, key in enumerate(points.accounts):
        truth, side = labels.truths[key], int(made.account[index])
        if truth.operator:
            of_operator.setdefault(truth.operator, set()).add(side)
        of_family.setdefault(truth.family, set()).add(side)
    assert len(of_operator) == scoring_points.OPERATORS
    assert all(len(found) == 1 for found in of_operator.values())
    assert all(found == {0, 1, 2} for found in of_family.values())


def test_the_fit_sees_nothing_of_the_later_time_and_the_test_nothing_else() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    made = splits.sides(points, labels.truths, 3, SHIPPED.split)
    fit, test = made.fit(points), made.test(points)
    assert fit.any()
    assert points.ts[fit].max() < points.ts[test].min()


def test_a_run_that_calibrates_is_in_no_fit_and_no_test() -> None:
    one, other = scoring_points.points(), scoring_points.points(seed=2)
    other = replace(other, accounts=tuple(("w", name) for _, name in other.accounts))
    both = joined([one, other])
    truths = scoring_points.labels().truths
    truths = truths | {("w", name): truth for (_, name), truth in truths.items()}
    made = splits.sides(both, truths, 3, SHIPPED.split, frozenset({1}))
    assert set(made.account[len(one.accounts) :].tolist()) == {splits.CALIBRATE}


def test_an_account_weighs_alike_whatever_its_points_and_a_family_whatever_its_accounts() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    thinned = points.where(np.flatnonzero((points.account % 3 > 0) | (points.place() < 2)))
    who = subjects(thinned, labels.truths)
    counted = sample_weights.weights(thinned, who.abusive, who.family, who.word, SHIPPED.weights)
    bad = who.abusive[thinned.account]
    assert counted[bad].sum() == pytest.approx(0.5)
    of_account = np.bincount(thinned.account, counted)
    assert np.allclose(of_account[~who.abusive], of_account[~who.abusive][0])
    of_family = np.bincount(who.family[thinned.account][bad], counted[bad])
    assert np.allclose(of_family[of_family > 0], 0.25)


def test_an_accounts_first_points_weigh_most() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    who = subjects(points, labels.truths)
    counted = sample_weights.weights(points, who.abusive, who.family, who.word, SHIPPED.weights)
    assert (np.diff(counted[points.account == 5]) < 0).all()


def test_a_poorer_stream_lacks_whole_sources_and_never_messages() -> None:
    lost = sample_weights.poorer(inputs(), SHIPPED.coverage, 1)
    names = inputs()
    assert not lost[:, names.index("sends_1d")].any()
    assert 0 < lost[:, names.index("typed_share_32")].mean() < 1
    assert (lost[:, names.index("attempts")] >= lost[:, names.index("age_s")]).all()


def test_the_fit_is_shown_a_share_of_accounts_as_poorer_streams_show_them() -> None:
    points = scoring_points.points()
    seen = sample_weights.shown(points, SHIPPED.coverage, 1)
    hidden = np.isnan(seen) & ~np.isnan(points.values)
    touched = np.unique(points.account[hidden.any(axis=1)])
    assert 0.2 < len(touched) / len(points.accounts) < 0.5
    assert (seen[~np.isnan(seen)] == points.values[~np.isnan(seen)]).all()


def test_points_after_a_restriction_are_known() -> None:
    points = scoring_points.points(each=4)
    standing = points.standing.copy()
    standing[(points.account == 7) & (points.place() == 1)] = RESTRICT
    acted = replace(points, standing=standing).acted()
    assert acted.sum() == 3
    assert set(points.account[acted].tolist()) == {7}


def test_no_input_is_an_answer_of_ours_and_every_sign_is_of_an_input() -> None:
    assert not set(inputs()) & set(NOT_INPUTS)
    assert set(SIGNS) <= set(inputs())
    assert len(SIGNS) > 10


def test_a_tolerance_that_rises_with_severity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="more often"):
        config.load(ban=0.5)
    (tmp_path / "training.toml").write_text("[sources]\n")
    with pytest.raises(PolicyError, match=r"training\.toml"):
        config.load(tmp_path)
