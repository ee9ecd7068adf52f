"""A home and a ledger that version 0.1 left behind are read, told and continued by today's service.

How they were made: `tests/fixtures/service-0.1/README.md`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Service, chatting, rows, sending, wavebreak

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "service-0.1"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
OPTIONS = ("--enforce", "--private-webhooks")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the `home` and the `log` that 0.1 left."""
    place = tmp_path_factory.mktemp("left")
    with tarfile.open(FIXTURE / "service.tar.xz") as archive:
        # Python 3.11.2, which Debian has, knows no filter; the archive is our own.
        known = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(place, **known)  # type: ignore[arg-type]
    return place


@pytest.fixture(scope="module")
def service(left: Path) -> Iterator[Service]:
    """Today's service on that home."""
    with Service(left / "home", EXPECTED["key"]).started(*OPTIONS) as started:
        yield started


def verified(place: Path, remembered: Path) -> str:
    """What `ledger verify` says, under the key and a checkpoint that 0.1 told."""
    remembered.write_text(EXPECTED["checkpoint"], encoding="utf-8")
    known = ("--remembered", remembered) if place.name == "home" else ()
    return wavebreak("ledger", "verify", place, "--key", EXPECTED["verifier"], *known)


SEVERITY = ("allow", "observe", "challenge", "limit", "restrict", "suspend", "ban")


def test_accounts_of_0_1_keep_their_decisions_and_are_met_no_harder(service: Service) -> None:
    """Today's policy decides the log of 0.1 anew, and restricts nobody on doubt."""
    told = {name: service.get(f"/v1/accounts/{name}") for name in EXPECTED["accounts"]}
    for name, then in EXPECTED["accounts"].items():
        assert told[name]["decisions"] == then["decisions"], name
        assert SEVERITY.index(told[name]["outcome"]) <= SEVERITY.index(then["outcome"]), name
    assert {one["outcome"] for one in told.values()} >= {"allow", "limit"}


def test_decisions_of_0_1_are_told_as_they_were(service: Service) -> None:
    first = EXPECTED["decisions"]
    told = service.get(f"/v1/decisions?limit={len(first)}")["decisions"]
    assert told == first
    assert len(first) > 8
    asked = [service.get(f"/v1/ledger/decisions/{d['decision']['id']}") for d in first]
    assert [one["proof"]["position"] for one in asked] == EXPECTED["sealed"]


def test_webhook_and_audit_of_0_1_are_there(service: Service) -> None:
    for held in EXPECTED["webhooks"]:
        (told,) = service.get("/v1/webhooks")["webhooks"]
        assert {k: told[k] for k in ("id", "url", "min_outcome")} == {
            "id": held["id"],
            "url": held["url"],
            "min_outcome": held["least"],
        }
    assert service.get("/v1/audit") == EXPECTED["audit"]


def test_the_ledger_of_0_1_goes_on(service: Service) -> None:
    size, root = EXPECTED["checkpoint"].splitlines()[1:3]
    now = service.get("/v1/ledger/checkpoint").splitlines()
    assert int(now[1]) >= int(size)
    assert now[2] == root or int(now[1]) > int(size)
    assert service.ask("GET", f"/v1/ledger/consistency?old={size}")[0] == 200


def test_new_events_after_0_1_are_decided(service: Service, tmp_path: Path) -> None:
    before = rows(service.home, "SELECT position FROM log_applied")[0][0]
    assert before >= EXPECTED["events"]
    start = EXPECTED["last_ms"] + 1_000
    # The people who chat later let the log's clock go past what is sent first.
    events = sending("after-0-1", start, 100, 4) + chatting(start + 125_000, 30)
    assert service.ask("POST", "/v1/events", events)[0] == 202
    service.settled(before + len(events))
    told = service.get("/v1/accounts/after-0-1")
    assert told["outcome"] in ("limit", "restrict", "suspend", "ban")
    assert told["decisions"][-1]["number"] > EXPECTED["decisions"][-1]["number"]
    sealed = told["decisions"][0]["decision"]["id"]
    assert service.get(f"/v1/ledger/decisions/{sealed}")["proof"]["openings"]
    assert "holds" in verified(service.home, tmp_path / "remembered.txt")


def test_a_sealed_run_of_0_1_verifies(left: Path, tmp_path: Path) -> None:
    assert "holds" in verified(left / "log", tmp_path / "remembered.txt")
    told = wavebreak("ledger", "checkpoint", left / "log").splitlines()
    assert told[:2] == [EXPECTED["run"]["origin"], str(EXPECTED["run"]["size"])]
