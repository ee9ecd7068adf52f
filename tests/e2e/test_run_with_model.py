"""A trained model in the engine: its word at every point, in decisions, in files, in snapshots."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from wavebreak import model, rules
from wavebreak.cli import app
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.snapshot import restore, save
from wavebreak.errors import ModelError, SnapshotError
from wavebreak.features.catalog import INDEX, MODEL_INPUTS
from wavebreak.features.descriptions import feature_title
from wavebreak.io import read
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak_lab import simulation

KEY = Pseudonymizer(b"a key for tests only")
CLI = CliRunner()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day on disk, with its labels."""
    made = simulation.simulate(
        people=60, days=1, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher", "courier"], seed=101,
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("world")
    simulation.write(made, directory)
    return directory


@pytest.fixture(scope="module")
def log(world: Path) -> pa.RecordBatch:
    """The day's events, over the edge."""
    table = pa.Table.from_batches([b.log for b in read(world, KEY)], LOG_SCHEMA)
    return table.combine_chunks().to_batches()[0]


@pytest.fixture(scope="module")
def trees(world: Path, log: pa.RecordBatch) -> model.Model:
    """A model of that very day, quick to ask for something; half of the points are let go early."""
    engine = Engine(rules.load_policy(), record=True)
    engine.take(log)
    engine.finish()
    points = engine.points()
    with (world / "labels.csv").open(encoding="utf-8") as file:
        bad = {r["account"] for r in csv.DictReader(file) if r["label"] == "abusive"}
    names = engine.fanout.accounts.texts(points["account"]).to_pylist()
    labels = np.array([name in bad for name in names])
    assert 20 < labels.sum() < len(labels) - 20
    values = np.ascontiguousarray(points["values"])
    told = lightgbm.Dataset(values[:, : len(MODEL_INPUTS)], labels, feature_name=list(MODEL_INPUTS))
    settings = {"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, told, 24)
    never = model.from_booster(booster, name="test")
    cascade = np.full(never.forest.blocks, -np.inf)
    cascade[0] = np.median(never.partials(values)[:, 0])
    thresholds = {"challenge": 0, "restrict": model.ONE, "ban": 3 * model.ONE // 2}
    made = model.from_booster(booster, name="test", thresholds=thresholds, cascade=cascade)
    # As one that the platform has learned by itself: the shipped policy lets no other act.
    return dataclasses.replace(made, training=dict(made.training) | {"learned": "home"})


def decided(log: pa.RecordBatch, **more: Any) -> tuple[list[Decision], Any, list[str]]:
    """Decisions and scoring points of a log, and the accounts of the points."""
    engine = Engine(rules.load_policy(), record=True, **more)
    made = [*engine.take(log), *engine.finish()]
    points = engine.points()
    return made, points, engine.fanout.accounts.texts(points["account"]).to_pylist()


def test_engine_scores_equal_model_at_every_point(log: pa.RecordBatch, trees: model.Model) -> None:
    _, points, _ = decided(log, model=trees)
    said = trees.scores(points["values"])
    assert 0.3 < (said == model.REJECTED).mean() < 0.7
    kept = np.where(said == 0, 1, np.maximum(said, -(2**31) + 1))
    assert points["score"].tolist() == (kept / model.ONE).tolist()


def test_decision_above_observe_has_score_and_reasons(
    log: pa.RecordBatch, trees: model.Model
) -> None:
    decisions, points, accounts = decided(log, model=trees)
    where = {(a, ts): k for k, (a, ts) in enumerate(zip(accounts, points["ts"], strict=True))}
    by_score = [d for d in decisions if d.score is not None and not d.rules]
    assert len(by_score) > 10
    for decision in by_score:
        values = points["values"][where[decision.account, decision.ts]]
        (score,) = trees.calibration.probability(trees.scores(values[None]))
        assert decision.score == score
        reasons = {reason.feature: reason.contribution for reason in decision.reasons}
        assert reasons == trees.reasons(values)
    for decision in decisions:
        assert decision.model == trees.version
        weighed = [r for r in decision.reasons if r.contribution is not None]
        scored = decision.score is not None and decision.outcome not in ("allow", "observe")
        assert bool(weighed) == scored
    assert any(d.rules and any(r.contribution for r in d.reasons) for d in decisions)


def test_reasons_do_not_depend_on_workers(log: pa.RecordBatch, trees: model.Model) -> None:
    assert decided(log, model=trees)[0] == decided(log, model=trees, workers=3)[0]


def test_decision_without_model_has_no_score(log: pa.RecordBatch) -> None:
    decisions, points, _ = decided(log)
    assert {(d.score, d.model) for d in decisions} == {(None, None)}
    assert np.isnan(points["score"]).all()


def test_model_inputs_not_covered_are_missing(log: pa.RecordBatch, trees: model.Model) -> None:
    seen = coverage.measure([log])
    gone = {"typing.started", "message.delivered", "message.read"}
    carried = {name: share for name, share in seen.types.items() if name not in gone}
    stream = dataclasses.replace(seen, types=carried)
    engine = Engine(rules.load_policy(), stream, model=trees, record=True)
    engine.take(log)
    silent = [INDEX[name] for name in MODEL_INPUTS if name not in engine.covered]
    points = engine.points()
    assert len(silent) > 3
    assert np.isnan(points["values"][:, silent]).all()
    said = np.maximum(trees.scores(points["values"]), -(2**31) + 1)
    assert (points["score"] * model.ONE).tolist() == np.where(said == 0, 1, said).tolist()


def test_snapshot_of_another_model_is_refused(
    log: pa.RecordBatch, trees: model.Model, tmp_path: Path
) -> None:
    engine = Engine(rules.load_policy(), model=trees)
    engine.take(log.slice(0, 2_000))
    save(engine, tmp_path / "state")
    restore(Engine(rules.load_policy(), model=trees), tmp_path / "state")
    other = dataclasses.replace(trees, seed=99)
    for wrong in (other, None):
        with pytest.raises(SnapshotError, match="another model"):
            restore(Engine(rules.load_policy(), model=wrong), tmp_path / "state")


def told(*words: str) -> str:
    """What the command said; it must have gone well."""
    done = CLI.invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_run_with_model_is_explained_by_its_reasons(
    world: Path, trees: model.Model, tmp_path: Path
) -> None:
    model.save(trees, tmp_path / "model")
    told("run", str(world), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "model"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["versions"]["model"] == trees.version
    assert sum(summary["score"]["asked"].values()) > 10
    lines = (tmp_path / "out" / "decisions.jsonl").read_bytes().splitlines()
    decisions = [msgspec.json.decode(line, type=Decision) for line in lines]
    decision = next(d for d in decisions if d.score is not None and not d.rules)
    reason = decision.reasons[0]
    said = told("explain", str(tmp_path / "out"), decision.account)
    words = " ".join(said.split())
    assert "by the model (score 0." in words
    assert f"{feature_title(reason.feature)}: " in words
    assert "speaks for abuse" in words
    assert reason.feature in said

    told("run", str(world), "-o", str(tmp_path / "plain"), "--model", "none")
    summary = json.loads((tmp_path / "plain" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["versions"]["model"], summary["score"]) == (None, None)


def test_run_with_missing_model_fails_in_one_line(world: Path, tmp_path: Path) -> None:
    done = CLI.invoke(app, ["run", str(world), "-o", str(tmp_path), "--model", str(tmp_path)])
    assert isinstance(done.exception, ModelError)
    assert "booster.txt" in str(done.exception)


def test_model_show_describes_the_model(trees: model.Model, tmp_path: Path) -> None:
    model.save(trees, tmp_path)
    said = told("model", "show", str(tmp_path), "--features", "3")
    assert trees.version in said
    assert "24 trees" in said
    assert "restrict" in said
    assert next(iter(trees.forest.gains())) in said
