"""A service's calibration: proposed once it is due, enforced once a person has approved it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.service_harness import migrated
from wavebreak_server.errors import DomainError
from wavebreak_server.slices.calibration import service as schedule
from wavebreak_server.storage.models import AuditEntry, LogBatch

NOW = 1_767_222_000_000
WEEK = 7 * 86_400


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def propose(home: Path, reply: float = 0.3) -> Path:
    directory = schedule.proposal_directory(home)
    directory.mkdir(exist_ok=True)
    (directory / "evidence.toml").write_text(f"[evidence]\nreply = {reply}\n", "utf-8")
    (directory / "calibration.html").write_text("<html>", "utf-8")
    return directory


def test_nothing_is_approved_at_first(home: Path) -> None:
    assert schedule.approved_policy(home) is None
    propose(home)
    assert schedule.approved_policy(home) is None


def test_approval_is_audited_and_found(home: Path) -> None:
    directory = propose(home)
    version = schedule.approve(home, NOW, "Noa", "read it")
    found = schedule.approved_policy(home)
    assert found is not None
    assert (found[0].version, found[1]) == (version, directory)
    (entry,) = AuditEntry.objects.all()
    assert (entry.action, entry.object, entry.reason) == (
        "approve_calibration", version, "Noa: read it",
    )  # fmt: skip


def test_policy_changed_after_its_approval_is_refused(home: Path) -> None:
    propose(home)
    schedule.approve(home, NOW, "Noa", "read it")
    propose(home, reply=0.1)
    with pytest.raises(DomainError, match="changed after its approval"):
        schedule.approved_policy(home)


def test_sheet_changed_after_the_approval_is_refused(home: Path) -> None:
    directory = propose(home)
    schedule.approve(home, NOW, "Noa", "read it")
    # It decides nothing in a log: the policy's version is the same.
    (directory / "service.toml").write_text("", "utf-8")
    with pytest.raises(DomainError, match="changed after its approval"):
        schedule.store_approved(home)


def test_nothing_proposed_cannot_be_approved(home: Path) -> None:
    with pytest.raises(DomainError, match="no calibration proposal"):
        schedule.approve(home, NOW, "Noa", "read it")


def due(home: Path, now: int, program: str) -> list[str]:
    """What a schedule reports within a moment, with a program for a command."""
    said: list[str] = []
    service: Any = SimpleNamespace(clock=lambda: now, report=said.append)
    task = schedule.CalibrationSchedule(home, WEEK, [sys.executable, "-c", program])

    async def run() -> None:
        running = asyncio.create_task(task(service))
        async with asyncio.timeout(20):
            while not said and not running.done():
                await asyncio.sleep(0.05)
                if now < NOW + WEEK * 1000:
                    break
        running.cancel()

    asyncio.run(run())
    return said


@pytest.fixture
def logged(home: Path) -> Path:
    LogBatch.objects.create(first=0, count=1, received_ms=NOW, sha256=b"", blob=b"")
    return home


def test_proposal_is_made_once_it_is_due(logged: Path) -> None:
    page = schedule.proposal_directory(logged) / "calibration.html"
    program = f"import pathlib as p; f = p.Path({str(page)!r}); f.parent.mkdir(); f.write_text('')"
    (said,) = due(logged, NOW + WEEK * 1000, program)
    assert "wavebreak approve" in said
    assert schedule.is_proposed(logged)


def test_proposal_is_not_made_before(logged: Path) -> None:
    assert due(logged, NOW + WEEK * 1000 - 1, "raise SystemExit(1)") == []
    assert not schedule.is_proposed(logged)


def test_failure_is_reported_with_its_reason(logged: Path) -> None:
    (said,) = due(logged, NOW + WEEK * 1000, "import sys; sys.exit('no disk')")
    assert "no disk" in said
