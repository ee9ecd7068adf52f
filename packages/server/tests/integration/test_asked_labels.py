"""`wavebreak learn --ask` and `--labels`: what reviewers are asked, and what answers teach."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connections
from typer.testing import CliRunner, Result

from support import home_stream, service_harness
from support.service_harness import SECRET, running
from wavebreak.cli.app import app
from wavebreak.errors import FileError, UsageError
from wavebreak.evaluation.home_learning import HomeDays, HomeLabels
from wavebreak.model import Model, smallest_model
from wavebreak_server.cli import learning as command
from wavebreak_server.cli.service_home import Home
from wavebreak_server.slices.learning import service as learning
from wavebreak_server.storage import ownership

BEGIN_MS = 1_767_222_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(command, "load_home_fit", lambda: fit)
    monkeypatch.setattr("os.nice", lambda _: 0)
    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(_quiet_weeks(tmp_path))
        yield tmp_path


async def _quiet_weeks(home: Path) -> None:
    """Let a service take two weeks on which nobody complains."""
    events = home_stream.events(30, 90, start=BEGIN_MS)
    quiet = [event for event in events if event["type"] != "user.blocked"]
    async with running(home) as service:
        for first in range(0, len(quiet), 400):
            await service.send(quiet[first : first + 400])
        await service.wait_until_applied()


def fit(days: HomeDays, labels: HomeLabels, name: str, seed: int) -> tuple[Model, Any]:
    """Fit without trees: accounts labelled abusive score high, with some noise."""
    noise = np.random.default_rng(seed).normal(size=len(days.points))
    return smallest_model(), np.where(labels.positive[days.points.account], 2.0, -2.0) + noise


def learn(home: Path, *options: object) -> Result:
    key = home.parent / "key"
    key.write_text(SECRET.hex())
    key.chmod(0o600)
    words = ["learn", str(home), "--key", str(key), *map(str, options)]
    return CliRunner().invoke(app, words)


def ask(home: Path, number: int, path: Path) -> list[dict[str, str]]:
    """Ask, and return the rows that reviewers see."""
    done = learn(home, "--ask", number, "--questions", path, "--json")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert len(json.loads(done.output)["questions"]) == len(rows)
    return rows


def answer(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("account", "label", "by"), extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            label = "abusive" if row["account"].startswith("bad") else "benign"
            writer.writerow(row | {"label": label, "by": "ada"})


def test_answers_teach_and_the_card_says_the_interval(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    rows = ask(home, 60, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(rows[0]) == {"account", "label", "by", "chance", "stratum"}
    assert all(0 < float(row["chance"]) <= 1 for row in rows)
    before = learn(home)
    assert before.exit_code == 0, before.output
    assert "Too few answers of reviewers" in " ".join(before.output.split())
    answer(path, rows)
    done = learn(home, "--labels", path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["labels"] == len(rows)
    card = " ".join(learn(home).output.split())
    answers = learning.read_state(home).scores[-1].lesson.answers
    assert answers is not None
    assert answers.too_few == ""
    assert answers.senders.low <= 0.25 <= answers.senders.high
    assert f"Of active senders {answers.senders} are abusive." in card
    assert f"strangers answer, {answers.answered} are abusive." in card
    assert "the score limits by itself" in card
    # Nobody is asked about twice but the most contradicted, and these once.
    later = ask(home, 60, path)
    again = {row["account"] for row in later if row["stratum"] == "again"}
    assert 0 < len(again) <= 8
    assert {row["account"] for row in rows} & {row["account"] for row in later} == again


def test_questions_that_are_put_while_a_week_is_learned_stay(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = tmp_path / "asked.csv", list[dict[str, str]]()

    def ceilings(*_: object) -> None:
        rows.extend(ask(home, 10, path))

    monkeypatch.setattr(learning, "_ceilings", ceilings)
    assert learn(home).exit_code == 0
    assert {q.account for q in learning.read_questions(home)} == {row["account"] for row in rows}
    answer(path, rows)
    assert learn(home, "--labels", path).exit_code == 0


def test_next_start_takes_the_answers(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    rows = ask(home, 60, path)
    answer(path, rows)
    assert learn(home, "--labels", path).exit_code == 0
    account = next(row["account"] for row in rows if row["account"].startswith("bad"))
    connections.close_all()

    async def restarted() -> dict[str, Any]:
        async with running(home) as service:
            await service.wait_until_applied()
            return dict((await service.ask("GET", f"/v1/accounts/{account}")).json())

    # One reviewer may be wrong: the answer opens a case, and a person decides it.
    state = asyncio.run(restarted())
    assert state["outcome"] == "observe", state


def test_answers_that_are_none_are_refused(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    ask(home, 10, path)
    unfilled = learn(home, "--labels", path)
    assert isinstance(unfilled.exception, FileError)
    assert "line 2, field label" in unfilled.exception.what
    answer(path, [{"account": "stranger"}])
    unknown = learn(home, "--labels", path)
    assert isinstance(unknown.exception, FileError)
    assert "line 2: nobody was asked about" in unknown.exception.what
    for number in (0, 1001):
        refused = learn(home, "--ask", number)
        assert isinstance(refused.exception, UsageError)
        assert "out of range" in refused.exception.what


def test_running_service_takes_answers_by_its_address(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    rows = ask(home, 10, path)
    answer(path, rows)

    with ownership.owned(home):
        assert "--url" in str(learn(home, "--labels", path).exception)
    bodies: list[Any] = []

    def call(_: object, name: str, **values: Any) -> None:
        bodies.append((name, values["body"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Home, "call", call)
        done = learn(home, "--labels", path, "--url", "https://wb.example")
    assert done.exit_code == 0, done.output
    ((name, body),) = bodies
    assert name == "label"
    assert {row["account"] for row in body["labels"]} == {row["account"] for row in rows}
    assert {row["source"] for row in body["labels"]} == {"sample"}
    assert body["reason"] == "answers of reviewers, ada"
