"""From simulated worlds to a model directory: points, labels, leaks, the same bytes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from support import scoring_points
from support.banning_policy import load_banning_policy
from wavebreak import cli, engine, model, rules
from wavebreak.errors import FileError, TrainingError, UsageError
from wavebreak.evaluation.scoring_points import open_run, replay
from wavebreak.outcomes import CONFIRMING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab import simulation, training
from wavebreak_lab.training import pipeline

SMALL, POLICY = scoring_points.small(), rules.load_policy()
SEEN = simulation.simulate(people=120, days=0.2, campaigns=[("blast", 4)] * 3, seed=1_007)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world with three operators of each of two families."""
    made = simulation.simulate(
        people=150,
        days=0.3,
        campaigns=[("blast", 6), ("jitter", 6)] * 4,
        personas=["courier"],
        seed=1_005,
    )
    out = tmp_path_factory.mktemp("world")
    simulation.write(made, out)
    return out


@pytest.fixture(scope="module")
def decided(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `wavebreak run` wrote about it."""
    out = tmp_path_factory.mktemp("run")
    engine.run(world, out, POLICY, Pseudonymizer(b"another key, long enough"))
    return out


def test_replay_records_registrations_without_future_leak(world: Path) -> None:
    run = open_run(world)
    whole = replay(run, POLICY)
    registered = whole.points.kind == KINDS.index("registered")
    assert registered.sum() > 40
    assert (np.diff(whole.points.ordinals()[registered]) == 0).all()

    for stop in np.random.default_rng(7).integers(1, whole.events, 3).tolist():
        cut = replay(run, POLICY, stop=stop).points
        n = len(cut)
        assert (whole.points.values[:n].view(np.int64) == cut.values.view(np.int64)).all()
        assert (whole.points.ts[:n] == cut.ts).all()
        accounts = [whole.points.accounts[a] for a in whole.points.account[:n]]
        assert accounts == [cut.accounts[a] for a in cut.account]


def test_train_accepts_a_backlog_of_registrations(tmp_path: Path) -> None:
    made = simulation.simulate(
        people=150, days=0.3, campaigns=[("blast", 6), ("jitter", 6)] * 4, seed=1_005
    )
    simulation.write(made, tmp_path, form="jsonl")
    (tmp_path / "events.profile.json").unlink()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    known = {e["account"] for e in events if e["type"] == "account.registered"}
    old = [account for account, _, _, _ in made.labels if account not in known]
    first = events[0]["ts"] - 400 * 86_400_000
    backlog = [
        {"id": f"b{n}", "ts": first + 60_000 * n, "type": "account.registered", "account": account}
        for n, account in enumerate(old)
    ]
    lines = [json.dumps(event) for event in [*backlog, *events]]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    learned, tested = training.train([tmp_path], tmp_path / "m", POLICY, SMALL, seed=2)
    assert len(learned.points) > len(backlog) > 100
    assert tested.splits["fit"]["abusive accounts"] >= 12
    assert model.load(tmp_path / "m").version == learned.model.version


def test_train_twice_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        learned, tested = training.train([world], tmp_path / name, POLICY, SMALL, seed=2)
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert len(files) == 4
    assert model.load(tmp_path / "a").version == learned.model.version
    assert tested.splits["test"]["abusive accounts"] >= 12
    assert tested.measured["other operators, any time"].auc > 0.9


def test_train_on_run_output_gives_the_same_model(
    world: Path, decided: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"seed": 2}
    first, _ = training.train([world], tmp_path / "a", POLICY, SMALL, **options)
    second, _ = training.train([decided], tmp_path / "b", POLICY, SMALL, **options)
    assert first.model.version == second.model.version


def test_moved_or_changed_log_raises_with_fix(decided: Path, tmp_path: Path) -> None:
    told = json.loads((decided / "summary.json").read_text())
    assert len(told["source"]["sha256"]) == 64
    for source, words in (
        ({"path": str(tmp_path / "gone.parquet"), "sha256": "0"}, "no longer there"),
        (told["source"] | {"sha256": "0" * 64}, "changed since"),
        ({"path": "-", "sha256": None}, "standard input"),
        ("events.parquet", "does not say"),
    ):
        (tmp_path / "summary.json").write_text(json.dumps(told | {"source": source}))
        with pytest.raises(FileError, match=words) as refused:
            open_run(tmp_path)
        assert "wavebreak run" in refused.value.fix


def test_one_labels_file_for_two_worlds_is_refused(world: Path, tmp_path: Path) -> None:
    again = simulation.simulate(people=20, days=0.05, seed=1_006)
    simulation.write(again, tmp_path)
    with pytest.raises(UsageError, match="share names"):
        training.collect([world, tmp_path], POLICY, SMALL, labels=world / "labels.csv")
    with pytest.raises(UsageError, match="twice"):
        training.collect([world, world], POLICY, SMALL)


def test_train_command_prints_its_evaluation(world: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    text = training.config.SHIPPED.read_text().replace("rounds = 240", "rounds = 16")
    (policy / "training.toml").write_text(text)
    (policy / "actions.toml").write_text(
        (training.config.SHIPPED.parent / "actions.toml").read_text()
    )
    done = CliRunner().invoke(
        cli.app,
        [
            "train",
            str(world),
            "-o",
            str(tmp_path / "m"),
            "--policy",
            str(policy),
            "--name",
            "tiny",
        ],
        env={"COLUMNS": "140"},
    )
    assert done.exit_code == 0, done.output
    for words in ("Thresholds", "AUC", "Splits", "Too few benign", "card.html"):
        assert words in done.output
    assert model.load(tmp_path / "m").version.startswith("tiny-")


def test_train_command_refuses_a_label_leak(world: Path, tmp_path: Path) -> None:
    with (world / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = tmp_path / "labels.csv"
    with labels.open("w") as file:
        writer = csv.DictWriter(file, [*rows[0], "source"])
        writer.writeheader()
        writer.writerows(row | {"source": "rumour"} for row in rows)
    with pytest.raises(TrainingError, match="no rank"):
        training.collect([world], POLICY, SMALL, labels=labels)


def labelled(out: Path, *, first: bool, label: str = "") -> Path:
    """The world's log with a word of an analyst on every account, at its start or its end."""
    simulation.write(SEEN, out, form="jsonl")
    lines = (out / "events.jsonl").read_text().splitlines()
    ts = json.loads(lines[0 if first else -1])["ts"]
    said = [
        json.dumps(
            {
                "id": f"l{n}",
                "ts": ts,
                "type": "label.assigned",
                "account": account,
                "label": label or known,
                "source": "analyst",
            }
        )
        for n, (account, known, _, _) in enumerate(SEEN.labels)
    ]
    (out / "events.jsonl").write_text("\n".join([*said, *lines] if first else [*lines, *said]))
    (out / "events.profile.json").unlink()
    return out


def test_train_learns_nothing_of_accounts_labelled_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="are abusive"):
        training.train([labelled(tmp_path, first=True)], tmp_path / "m", POLICY, SMALL)
    assert not (tmp_path / "m").exists()


def test_log_votes_outrank_file_votes_and_are_counted(
    tmp_path: Path,
) -> None:
    run = labelled(tmp_path, first=False, label="benign")
    found = training.collect([run], POLICY, SMALL).labels
    abusive = sum(label == "abusive" for _, label, _, _ in SEEN.labels)
    assert found.contradictions == {("analyst", "benign", "file"): abusive}
    assert not any(truth.abusive for truth in found.resolved.values())


def test_only_confirmed_decisions_become_labels(world: Path, tmp_path: Path) -> None:
    # Shipped rules ban nobody in so short a world; what is tested is what follows a ban.
    decided, policy = tmp_path / "run", load_banning_policy()
    engine.run(world, decided, policy, Pseudonymizer(b"another key, long enough"))
    run = open_run(decided)
    end = replay(run, POLICY).end
    soon = type(SMALL.decisions)(confirmed_after="1s")
    accounts = pq.read_table(decided / "accounts.parquet").to_pylist()
    stood = {row["account"] for row in accounts if row["outcome"] in CONFIRMING}
    found = list(pipeline.confirmed_decisions(run, end, soon))
    assert 0 < len(found) <= len(stood)
    assert {vote.account for vote in found} <= stood
    assert {(vote.label, vote.source) for vote in found} == {("abusive", "decision")}
    assert list(pipeline.confirmed_decisions(run, end, SMALL.decisions)) == []
