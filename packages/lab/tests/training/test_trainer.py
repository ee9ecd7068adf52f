"""Learning as a whole, from made-up points: a model that acts, a card that says so."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from support import scoring_points
from wavebreak import model
from wavebreak.errors import TrainingError
from wavebreak.evaluation.labels import Labels
from wavebreak.evaluation.scoring_points import to_catalog_columns
from wavebreak_lab import training
from wavebreak_lab.training import model_card, trainer
from wavebreak_lab.training.trainer import TrainingResult, with_unlabelled


@cache
def learned() -> TrainingResult:
    return training.fit_model(
        scoring_points.points(), scoring_points.labels(), scoring_points.small(), name="m", seed=3
    )


def test_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = training.fit_model(
            scoring_points.points(),
            scoring_points.labels(),
            scoring_points.small(),
            name="m",
            seed=3,
        )
        training.write_model_directory(made, training.evaluate_model(made), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["booster.txt", "card.html", "model.json", "training.json"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert model.load(tmp_path / "a").version == made.model.version


def test_label_or_seed_changes_digest_or_version() -> None:
    labels = scoring_points.labels()
    resolved = dict(list(labels.resolved.items())[:-1])
    fewer = Labels(resolved, labels.votes)
    small, points = scoring_points.small(), scoring_points.points()
    other = training.fit_model(points, fewer, small, name="m", seed=3)
    seeded = training.fit_model(points, labels, small, name="m", seed=4)
    assert other.model.training_digest != learned().model.training_digest
    assert seeded.model.version != learned().model.version


def test_model_separates_held_out_operators() -> None:
    tested = training.evaluate_model(learned())
    best = tested.measured["other operators, any time"]
    assert best.auc > 0.95
    assert [g.name for g in tested.families] == ["blast", "jitter"]
    assert sum(g.accounts for g in tested.personas) == tested.splits["test"]["benign accounts"]


def test_card_names_unmet_tolerances() -> None:
    said = model_card.unmet_tolerances(learned())
    assert len(said) == 1
    assert "299,572" in said[0]
    assert any(
        "Too few" in line
        for line in training.summary(learned(), training.evaluate_model(learned()))
    )


def test_card_contains_curves_tables_and_digests(tmp_path: Path) -> None:
    training.write_model_directory(learned(), training.evaluate_model(learned()), tmp_path)
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    wanted = [
        "Precision against recall",
        "Thresholds",
        "Splits",
        "Features by gain",
        "may only",
        "it is recorded",
        "Benign personas",
        "Labels",
        learned().model.training_digest,
        learned().model.version,
    ]
    assert [words for words in wanted if words not in page] == []
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_own_decisions_are_no_model_input() -> None:
    names = {name for name, _ in learned().model.features}
    assert not names & {
        "enforcement_level",
        "strikes",
        "label_abusive",
        "score",
        "registration_score",
    }


def test_split_without_abusive_accounts_raises_with_fix() -> None:
    points = scoring_points.points()
    resolved = {
        key: truth
        for key, truth in scoring_points.labels().resolved.items()
        if not truth.abusive or truth.operator == "op0"
    }
    with pytest.raises(TrainingError, match="calibrate") as refused:
        training.fit_model(points, Labels(resolved), scoring_points.small(), name="m", seed=1)
    assert "three operators" in refused.value.fix


def test_unlabelled_accounts_are_excluded_or_benign() -> None:
    points, labels = scoring_points.points(), scoring_points.labels()
    known = {key: truth for key, truth in labels.resolved.items() if not key[1].startswith("good1")}
    some = Labels(known)
    out = training.fit_model(points, some, scoring_points.small(), name="m", seed=3)
    assert out.left_out["of accounts without a label"] == 6 * 111
    taken = with_unlabelled(some, points)
    assert sum(t.family == trainer.UNLABELLED for t in taken.resolved.values()) == 111


def test_card_shows_the_model_thresholds() -> None:
    made = learned()
    assert made.model.thresholds == {o: t.margin for o, t in made.thresholds.items()}
    scores = made.model.scores(to_catalog_columns(made.points))
    assert (scores == model.to_fixed_point(made.margins)).all()


def test_points_after_the_label_are_excluded_and_counted() -> None:
    points = scoring_points.points()
    half = int(np.median(points.ts))
    made = training.fit_model(
        points,
        scoring_points.labels(),
        scoring_points.small(),
        name="m",
        seed=1,
        first_labels=dict.fromkeys(points.accounts[:30], half),
    )
    assert made.left_out["after the account's own label stood in the log"] == 90
    assert made.points.ts[made.points.account < 30].max() < half
