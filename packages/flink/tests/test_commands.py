"""`wavebreak flink`: what it refuses, and what it says of a job's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from support.flink_jobs import Decided, decided, stretch
from wavebreak.cli.app import app
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.schema.events import Refusal
from wavebreak_flink.dead_letters import DeadLetter, DeadLetters
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.rest_api import Address
from wavebreak_flink.rows import refused_row
from wavebreak_flink.settings import JobSettings, load
from wavebreak_flink.submission import Submission, compare, rescale, submit


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    return decided(tmp_path_factory.mktemp("day"), people=12, days=0.05, model="none")


def refusal(*words: str | Path) -> str:
    """What a command refuses."""
    done = CliRunner().invoke(app, ["flink", *map(str, words)])
    assert isinstance(done.exception, WavebreakError), (done.output, done.exception)
    return str(done.exception)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """What looks like an environment with Flink."""
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").touch()
    (tmp_path / "env/lib/python3.11/site-packages/pyflink/bin").mkdir(parents=True)
    return tmp_path / "env"


def submitted(day: Decided, environment: Path, home: Path, *more: str) -> str:
    return refusal(
        "submit", day.log, "--home", home, "--profile", day.home / "profile.json", "--key",
        day.home / "key", "--environment", environment, *more,
    )  # fmt: skip


def test_an_absent_environment_is_said_with_its_fix(day: Decided, tmp_path: Path) -> None:
    said = submitted(day, tmp_path / "none", tmp_path / "job")
    assert "holds no Python environment with Flink" in said
    assert "`make scale` sets it up" in said


def test_a_missing_java_is_said(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WavebreakError, match="there is no Java"):
        FlinkEnvironment(environment)


@pytest.mark.parametrize(
    ("url", "what"),
    [("mysql://db/x", "no URL of PostgreSQL"), ("postgresql://me:secret@db/x", "holds a password")],
)
def test_an_exchange_that_will_not_do_is_refused(
    day: Decided, environment: Path, tmp_path: Path, url: str, what: str
) -> None:
    said = submitted(day, environment, tmp_path / "job", "--exchange", url)
    assert what in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["kafka://a:9092/log"], "the service's database says"),
        (["kafka://a:9093/log?tls=true", "--database", "mysql://db/x"], "no URL of PostgreSQL"),
        (["kafka://me:secret@a:9093/log?tls=true"], "the URL of the topic holds a password"),
        (["kafka:///log"], "the URL of the log's topic is malformed"),
        (["events.jsonl", "--database", "postgresql://db/x"], "is of the log of a service"),
    ],
)
def test_a_log_that_will_not_do_is_refused(
    day: Decided, environment: Path, tmp_path: Path, words: list[str], what: str
) -> None:
    said = refusal(
        "submit", *words, "--home", tmp_path / "job", "--profile", day.home / "profile.json",
        "--key", day.home / "key", "--environment", environment,
    )  # fmt: skip
    assert what in said
    assert "secret" not in said


def test_a_directory_that_holds_a_job_is_left_alone(
    day: Decided, environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "submission.json").write_text("{}", "utf-8")
    assert "holds a job already" in submitted(day, environment, tmp_path)


def test_a_job_that_was_never_submitted_is_named(tmp_path: Path) -> None:
    assert "no directory of a job that was submitted" in refusal("status", tmp_path)


def test_settings_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"name":"x"}', "utf-8")
    with pytest.raises(WavebreakError, match="required field `home`"):
        load(tmp_path / "job.json")


def publish(job: JobSettings, rows: list[bytes]) -> None:
    results = Path(job.home) / "results" / "2026-11-30--14"
    results.mkdir(parents=True)
    (results / "part-0").write_bytes(b"\n".join(rows) + b"\n")


def test_a_replay_compares_all_that_was_published(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none")
    publish(job, stretch(job, 0, 100_000))
    assert compare(tmp_path) == (len(day.decisions), len(day.decisions), None)
    done = CliRunner().invoke(app, ["flink", "replay", str(tmp_path)])
    assert "the same to the byte" in done.output


def test_a_replay_finds_a_decision_that_differs(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none")
    rows = stretch(job, 0, 100_000)
    publish(job, [row.replace(b'"outcome":"', b'"outcome":"un', 1) for row in rows])
    assert "a decision that the engine does not make" in refusal("replay", tmp_path)


def test_dead_letters_are_listed_and_given_up(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none")
    letters = DeadLetters(job)
    assert "There are none." in CliRunner().invoke(app, dead_letters(job)).output
    letters.add(DeadLetter(400, 20, "missing"))
    (tmp_path / "refused").mkdir()
    refused = msgspec.json.decode(day.refused[0], type=Refusal)
    row = refused_row("2.jsonl", refused)
    (tmp_path / "refused/part-0").write_text(f"{row}\n", "utf-8")
    said = CliRunner().invoke(app, dead_letters(job)).output
    assert "positions 400 to 419: missing; the job stops there" in said
    assert f"2.jsonl, {refused.message}" in " ".join(said.split())
    assert "no dead letter is at position 401" in refusal(*dead_letters(job, "--accept", "401")[1:])
    said = CliRunner().invoke(app, dead_letters(job, "--accept", "400")).output
    assert "reads over the 20 events at position 400" in said
    assert DeadLetters(job).is_lost(400)


def dead_letters(job: JobSettings, *more: str) -> list[str]:
    return ["flink", "dead-letters", job.home, *more]


class FakeEnvironment(FlinkEnvironment):
    """Flink's programs, which refuse checkpoints that are damaged; `given`: a job's settings."""

    def __init__(self, *damaged: str) -> None:
        self.damaged, self.given = damaged, dict[str, str]()

    def submit(
        self, address: Address, home: Path, settings: Mapping[str, str], savepoint: str = ""
    ) -> str:
        if savepoint.endswith(self.damaged):
            raise UsageError("Flink did not accept the job")
        self.given = dict(settings)
        return "f" * 32


def test_a_checkpoint_has_the_patience_of_groups(day: Decided, tmp_path: Path) -> None:
    environment = FakeEnvironment()
    submit(day.settings(tmp_path, model="none", patience_s=7), environment, "http://127.0.0.1:1")
    assert environment.given["execution.checkpointing.timeout"] == "7 s"


@pytest.mark.parametrize(
    ("damaged", "goes_on"),
    [((), "chk-10"), (("chk-10",), "chk-9"), (("chk-10", "chk-9"), "savepoint-1")],
)
def test_a_lost_job_goes_on_from_what_flink_can_read(
    day: Decided, tmp_path: Path, damaged: tuple[str, ...], goes_on: str
) -> None:
    day.settings(tmp_path, model="none").save()
    for name in ("chk-9", "chk-10", "chk-11"):
        (tmp_path / "checkpoints" / "a" / name).mkdir(parents=True)
    for name in ("chk-9", "chk-10"):
        (tmp_path / "checkpoints" / "a" / name / "_metadata").touch()
    Submission("http://127.0.0.1:1", "a", "file:///savepoint-1").save(tmp_path)
    made = rescale(tmp_path, 2, FakeEnvironment(*damaged), "http://127.0.0.1:2", lost=True)
    assert made.savepoint.endswith(goes_on)
