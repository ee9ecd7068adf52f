"""Labels by rank, splits by operator and time, weights by account and family."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support import scoring_points
from wavebreak.errors import FileError, PolicyError, TrainingError
from wavebreak.evaluation.labels import LabelVote, read_votes, resolve_votes
from wavebreak.evaluation.scoring_points import NOT_INPUTS, SIGNS, concat_points, model_inputs
from wavebreak.outcomes import RESTRICT
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab.training import config, splits, trainer
from wavebreak_lab.training.trainer import account_labels

SHIPPED = config.load_settings()


def said(label: str, source: str, ts: int = -1, family: str = "") -> LabelVote:
    return LabelVote("", "a", label, family, "", source, ts)


def test_vote_of_higher_rank_wins_and_other_is_counted() -> None:
    made = resolve_votes([said("abusive", "honeypot"), said("benign", "appeal")], SHIPPED.sources)
    assert not made.resolved["", "a"].abusive
    assert made.contradictions == Counter({("appeal", "benign", "honeypot"): 1})


def test_later_vote_of_one_rank_wins() -> None:
    votes = [said("benign", "analyst", 10), said("abusive", "analyst", 20)]
    assert resolve_votes(votes, SHIPPED.sources).resolved["", "a"].abusive
    assert not resolve_votes(votes, SHIPPED.sources, until=15).resolved["", "a"].abusive


def test_tied_votes_leave_the_account_undecided() -> None:
    made = resolve_votes([said("benign", "analyst"), said("abusive", "analyst")], SHIPPED.sources)
    assert made.undecided == 1
    assert made.resolved == {}


def test_undetermined_withdraws_earlier_votes_of_all() -> None:
    votes = [said("abusive", "appeal", 10), said("undetermined", "analyst", 20)]
    assert resolve_votes(votes, SHIPPED.sources).resolved == {}
    assert resolve_votes(votes, SHIPPED.sources, until=15).resolved["", "a"].abusive
    again = [*votes, said("benign", "honeypot", 30)]
    assert not resolve_votes(again, SHIPPED.sources).resolved["", "a"].abusive


def test_undetermined_of_honeypot_leaves_votes_of_persons() -> None:
    votes = [said("abusive", "analyst", 10), said("undetermined", "honeypot", 20)]
    assert resolve_votes(votes, SHIPPED.sources).resolved["", "a"].abusive
    votes = [said("abusive", "honeypot", 10), said("undetermined", "honeypot", 20)]
    assert resolve_votes(votes, SHIPPED.sources).resolved == {}


def test_vote_of_partner_teaches_nothing() -> None:
    made = resolve_votes([said("abusive", "partner")], SHIPPED.sources)
    assert (made.resolved, made.votes) == ({}, Counter())


def test_undetermined_dated_leaves_undated_votes() -> None:
    votes = [said("abusive", "file"), said("undetermined", "analyst", 20)]
    assert resolve_votes(votes, SHIPPED.sources).resolved["", "a"].abusive
    votes.append(said("undetermined", "file"))
    assert resolve_votes(votes, SHIPPED.sources).resolved == {}


def test_vote_of_unranked_source_is_refused() -> None:
    with pytest.raises(TrainingError, match="no rank"):
        resolve_votes([said("benign", "rumour")], SHIPPED.sources)


def test_family_comes_from_an_agreeing_vote() -> None:
    votes = [said("abusive", "analyst"), said("abusive", "file", family="blast")]
    assert resolve_votes(votes, SHIPPED.sources).resolved["", "a"].family == "blast"


def test_labels_file_accepts_source_and_time(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "account,label,family,operator,source,ts\na,abusive,blast,op,honeypot,5\nb,benign,,,,\n"
    )
    assert read_votes(path) == [
        LabelVote("", "a", "abusive", "blast", "op", "honeypot", 5),
        LabelVote("", "b", "benign", "unnamed", "", "file", -1),
    ]
    path.write_text("account,label\na,perhaps\n")
    with pytest.raises(FileError, match="line 2"):
        read_votes(path)


def test_splits_keep_operators_together_with_all_families() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    made = splits.assign_splits(points, labels.resolved, 3, SHIPPED.split)
    of_operator: dict[str, set[int]] = {}
    of_family: dict[str, set[int]] = {}
    for index, key in enumerate(points.accounts):
        truth, side = labels.resolved[key], int(made.account[index])
        if truth.operator:
            of_operator.setdefault(truth.operator, set()).add(side)
        of_family.setdefault(truth.family, set()).add(side)
    assert len(of_operator) == scoring_points.OPERATORS
    assert all(len(found) == 1 for found in of_operator.values())
    assert all(found == {0, 1, 2} for found in of_family.values())


def test_backlog_of_registrations_leaves_messages_to_the_fit() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    registered = points.kind == KINDS.index("registered")
    years = 3 * 365 * 86_400_000
    later = replace(points, ts=np.where(registered, points.ts, points.ts + years))
    made = splits.assign_splits(later, labels.resolved, 3, SHIPPED.split)
    messages = ~registered
    assert not made.late[registered].any()
    assert 0.1 < made.late[messages].mean() < 0.2


def test_fit_excludes_later_time_and_test_uses_only_it() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    made = splits.assign_splits(points, labels.resolved, 3, SHIPPED.split)
    fit, test = made.fit(points), made.test(points)
    assert fit.any()
    assert points.ts[fit].max() < points.ts[test].min()


def test_calibration_run_is_in_no_other_split() -> None:
    one, other = scoring_points.points(), scoring_points.points(seed=2)
    other = replace(other, accounts=tuple(("w", name) for _, name in other.accounts))
    both = concat_points([one, other])
    resolved = scoring_points.labels().resolved
    resolved = resolved | {("w", name): truth for (_, name), truth in resolved.items()}
    made = splits.assign_splits(both, resolved, 3, SHIPPED.split, frozenset({1}))
    assert set(made.account[len(one.accounts) :].tolist()) == {splits.CALIBRATE}


def test_point_weights_balance_accounts_and_families() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    thinned = points.select(np.flatnonzero((points.account % 3 > 0) | (points.ordinals() < 2)))
    who = account_labels(thinned, labels.resolved)
    counted = trainer.point_weights(
        thinned, who.abusive, who.family, who.label_weight, SHIPPED.weights
    )
    bad = who.abusive[thinned.account]
    assert counted[bad].sum() == pytest.approx(0.5)
    of_account = np.bincount(thinned.account, counted)
    assert np.allclose(of_account[~who.abusive], of_account[~who.abusive][0])
    of_family = np.bincount(who.family[thinned.account][bad], counted[bad])
    assert np.allclose(of_family[of_family > 0], 0.25)


def test_first_points_of_an_account_weigh_most() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    who = account_labels(points, labels.resolved)
    counted = trainer.point_weights(
        points, who.abusive, who.family, who.label_weight, SHIPPED.weights
    )
    assert (np.diff(counted[points.account == 5]) < 0).all()


def test_points_after_a_restriction_are_marked() -> None:
    points = scoring_points.points(each=4)
    standing = points.enforcement.copy()
    standing[(points.account == 7) & (points.ordinals() == 1)] = RESTRICT
    acted = replace(points, enforcement=standing).after_action()
    assert acted.sum() == 3
    assert set(points.account[acted].tolist()) == {7}


def test_inputs_exclude_own_decisions_and_cover_all_signs() -> None:
    assert not set(model_inputs()) & set(NOT_INPUTS)
    assert set(SIGNS) <= set(model_inputs())
    assert len(SIGNS) > 10


def test_tolerance_rising_with_severity_is_refused(tmp_path: Path) -> None:
    text = config.SHIPPED.read_text("utf-8")
    (tmp_path / "training.toml").write_text(text.replace("ban = 0.00001", "ban = 0.5"))
    with pytest.raises(PolicyError, match="more often"):
        config.load_settings(tmp_path)
    (tmp_path / "training.toml").write_text("[sources]\n")
    with pytest.raises(PolicyError, match=r"training\.toml"):
        config.load_settings(tmp_path)


def test_removed_table_is_refused_with_a_way_to_upgrade(tmp_path: Path) -> None:
    text = config.SHIPPED.read_text("utf-8")
    (tmp_path / "training.toml").write_text(text + "[few]\nparts = 5\n[cascade]\nlost = 0.1\n")
    with pytest.raises(PolicyError, match=r"\[cascade\] was removed") as refused:
        config.load_settings(tmp_path)
    assert "[cascade], [few]" in refused.value.fix
    assert "docs/upgrade.md" in refused.value.fix
