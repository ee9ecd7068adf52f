"""What the commands ask of Flink, and what they say when it does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import StateSizeError, UsageError
from wavebreak_flink import settings, submission
from wavebreak_flink.rest_api import Address, Overview, RestApi
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.submission import Submission
from wavebreak_flink.switches import FILE, Noted

JOB = "0123456789abcdef0123456789abcdef"
STOPPED = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/savepoint"}}
FAILED = {
    "status": {"id": "COMPLETED"},
    "operation": {"failure-cause": {"stack-trace": "first\nCaused by: no room\n"}},
}


@dataclass
class Flink:
    """What it answers to a path, and what was asked; `api` asks it."""

    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    asked: list[tuple[str, str, object]] = field(default_factory=list)
    api: RestApi = field(init=False)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    flink: Flink

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.flink.asked.append((self.command, self.path, json.loads(body) if body else None))
        status, answer = self.flink.answers.get(self.path, (404, {"errors": ["none"]}))
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def flink() -> Iterator[Flink]:
    made = Flink()
    handler = type("Answers", (Handler,), {"flink": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.api = RestApi(Address.of(made.url))
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says_how_it_is(flink: Flink) -> None:
    flink.answers |= {
        f"/jobs/{JOB}": (200, {"state": "RUNNING", "vertices": [{"parallelism": 1},
                                                              {"parallelism": 4}]}),
        f"/jobs/{JOB}/checkpoints": (200, {
            "counts": {"restored": 2, "completed": 7},
            "latest": {"completed": {"latest_ack_timestamp": 1000}}}),
        f"/jobs/{JOB}/exceptions": (200, {"exceptionHistory": {"entries": []}}),
    }  # fmt: skip


def test_an_overview_says_how_a_job_is(flink: Flink) -> None:
    says_how_it_is(flink)
    assert flink.api.overview(JOB) == ("RUNNING", 4, 2, 7, 1000, "")


def test_a_job_is_stopped_with_a_savepoint(flink: Flink) -> None:
    flink.answers |= {
        f"/jobs/{JOB}/stop": (202, {"request-id": "r"}),
        f"/jobs/{JOB}/savepoints/r": (200, STOPPED),
    }
    assert flink.api.savepoint(JOB, "file:/to", stop=True) == "file:/savepoint"
    stop = ("POST", f"/jobs/{JOB}/stop", {"targetDirectory": "file:/to", "drain": False})
    assert flink.asked[0] == stop


def test_a_savepoint_that_fails_says_why(flink: Flink) -> None:
    flink.answers |= {
        f"/jobs/{JOB}/savepoints": (202, {"request-id": "r"}),
        f"/jobs/{JOB}/savepoints/r": (200, FAILED),
    }
    with pytest.raises(UsageError, match="the savepoint failed: Caused by: no room"):
        flink.api.savepoint(JOB, "file:/to", stop=False)


def submitted(flink: Flink, home: Path, state: str) -> Path:
    """A job's directory whose cluster says that its job is in a state."""
    flink.answers["/jobs"] = (200, {"jobs": [{"id": JOB, "status": state}]})
    Submission(flink.url, JOB, "file:/begun", options={"state.backend": "x"}).save(home)
    JobSettings("job", str(home), "profile.json").save()
    return home


def test_status_says_what_decides(flink: Flink, tmp_path: Path) -> None:
    says_how_it_is(flink)
    noted = Noted("strict-1 none catalog-1 stream-1", 2, 4096)
    (submitted(flink, tmp_path, "RUNNING") / FILE).write_bytes(msgspec.json.encode(noted))
    said = CliRunner().invoke(app, ["flink", "status", str(tmp_path)]).output
    assert "decides by policy strict-1, model none, since position 4,096" in said


class Environment:
    """What would submit a job to a cluster; keeps what it was given."""

    def submit(self, *given: object) -> str:
        self.given = given
        return JOB


def test_a_job_that_has_ended_has_no_savepoint(flink: Flink, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not run the job any more"):
        submission.savepoint(submitted(flink, tmp_path, "FINISHED"))


def test_a_job_that_is_restarted_in_vain_is_cancelled(flink: Flink, tmp_path: Path) -> None:
    flink.answers |= {
        f"/jobs/{JOB}?mode=cancel": (202, {}), f"/jobs/{JOB}": (200, {"state": "CANCELED"})
    }  # fmt: skip
    home = submitted(flink, tmp_path, "RESTARTING")
    submission.rescale(home, 2, cast("Any", Environment()), lost=True, max_memory="9GiB")
    assert ("PATCH", f"/jobs/{JOB}?mode=cancel", None) in flink.asked
    assert settings.load(home / settings.FILE).max_memory == "9GiB"


def test_memory_that_leaves_no_room_changes_nothing(flink: Flink, tmp_path: Path) -> None:
    home = submitted(flink, tmp_path, "RUNNING")
    with pytest.raises(StateSizeError, match="leaves no room"):
        submission.rescale(home, 2, cast("Any", Environment()), lost=True, max_memory="9MiB")
    assert flink.asked == []
    assert settings.load(home / settings.FILE).groups == 1


def test_a_failure_says_the_error_that_caused_it() -> None:
    trace = (
        "java.lang.Exception: it failed\n\tat java\nCaused by: Traceback:\n  File\n"
        "wavebreak.errors.StateSizeError: the state of group 0 of 2 needs 9 MiB — fix: give more\n"
    )
    said = Overview("RESTARTING", 2, 1, 1, 0, trace)
    assert said.reason == "the state of group 0 of 2 needs 9 MiB — fix: give more"
    assert said._replace(failure="\nfirst\nsecond").reason == "first"
    assert said._replace(failure="").reason == ""


@pytest.mark.parametrize(("numbers", "begins"), [([9, 10], "chk-10"), ([], "file:/begun")])
def test_a_lost_job_goes_on_from_its_newest_checkpoint(
    flink: Flink, tmp_path: Path, numbers: list[int], begins: str
) -> None:
    home, environment = submitted(flink, tmp_path, "FAILED"), Environment()
    for number in numbers:
        (tmp_path / "checkpoints" / JOB / f"chk-{number}").mkdir(parents=True)
        (tmp_path / "checkpoints" / JOB / f"chk-{number}" / "_metadata").touch()
    # One that was killed half written is none.
    (tmp_path / "checkpoints" / JOB / "chk-11").mkdir(parents=True)
    submission.rescale(home, 2, cast("Any", environment), lost=True)
    _, _, options, savepoint = environment.given
    assert str(savepoint).endswith(begins)
    assert cast("dict[str, str]", options)["state.backend"] == "x"
    assert settings.load(home / settings.FILE).groups == 2


def test_a_job_that_flink_does_not_know_is_named(flink: Flink) -> None:
    with pytest.raises(UsageError, match="knows no such job"):
        flink.api.overview(JOB)


def test_an_error_of_flink_is_its_first_line(flink: Flink) -> None:
    flink.answers["/overview"] = (503, {"errors": ["leader election\n  at java"]})
    with pytest.raises(UsageError, match="says: leader election —"):
        flink.api.task_managers()


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"no Flink answers at http://127\.0\.0\.1:9 .*--flink"):
        RestApi(Address("127.0.0.1", 9)).task_managers()


@pytest.mark.parametrize("url", ["flink:8081", "ftp://flink", "http://", "http://flink:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of Flink"):
        Address.of(url)


def test_an_address_has_the_port_of_its_scheme() -> None:
    assert Address.of("https://flink.example") == ("flink.example", 443, True)
    assert Address.of("http://flink:8081/") == ("flink", 8081, False)
