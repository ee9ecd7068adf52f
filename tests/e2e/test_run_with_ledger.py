"""A run that seals: the same decisions, sealed before they are told, and a log that holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wavebreak import engine, rules
from wavebreak.ledger import (
    DirectoryRecorder,
    DirectoryStorage,
    OpeningFile,
    new_signer,
    read_entry,
)
from wavebreak.ledger.audit import audit_directory
from wavebreak.ledger.verifier import read_lines
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_lab import simulation

SIGNER = new_signer("example.org/run", secret=bytes(range(32)))
EDGE = Pseudonymizer(b"a key that is long enough")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("world")
    made = simulation.simulate(people=150, days=0.2, campaigns=[("blast", 4)], seed=3)
    simulation.write(made, place, form="jsonl")
    return place


def run(world: Path, out: Path, *, enforce: bool, sealed: bool) -> DirectoryRecorder | None:
    sealer = (
        DirectoryRecorder(out / "log", SIGNER, clock=lambda: 1_800_000_000_000, salts=os.urandom)
        if sealed
        else None
    )
    engine.run(world, out, rules.load_policy(), EDGE, enforce=enforce, batch=2_000, sealer=sealer)
    return sealer


@pytest.mark.parametrize("enforce", [True, False])
def test_decisions_are_sealed_and_effects_have_receipts(
    world: Path, tmp_path: Path, enforce: bool
) -> None:
    sealer = run(world, tmp_path / "sealed", enforce=enforce, sealed=True)
    assert sealer is not None
    run(world, tmp_path / "plain", enforce=enforce, sealed=False)
    decided = (tmp_path / "sealed" / "decisions.jsonl").read_bytes()
    assert decided == (tmp_path / "plain" / "decisions.jsonl").read_bytes()
    told = [json.loads(line) for line in decided.splitlines()]
    entries = [read_entry(line) for line in read_lines(tmp_path / "sealed/log/entries.jsonl")]
    kinds = [entry.kind for entry in entries]
    assert len(told) > 5
    assert kinds.count("decision") == len(told)
    assert kinds.count("receipt") == (len(told) if enforce else 0)
    assert kinds[0] == "policy"
    at = [k for k, kind in enumerate(kinds) if kind == "decision"]
    opened = [sealer.openings.of(k) for k in at]
    assert [o["account"][1] for o in opened] == [d["account"] for d in told]
    assert [o["id"][1] for o in opened] == [d["id"] for d in told]
    answered = [e.body.decision for e in entries if e.kind == "receipt"]  # type: ignore[attr-defined]
    assert answered == (at if enforce else [])
    assert all(k > first for first, k in zip(answered, _of(kinds, "receipt"), strict=True))


def _of(kinds: list[str], wanted: str) -> list[int]:
    return [k for k, kind in enumerate(kinds) if kind == wanted]


def test_second_run_continues_the_ledger(world: Path, tmp_path: Path) -> None:
    for size in (1, 2):
        sealer = run(world, tmp_path, enforce=True, sealed=True)
        assert sealer is not None
        sealer.close()
        summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
        found = audit_directory(tmp_path / "log", [SIGNER.key], [])
        assert summary["ledger"]["root"] == found.last.root.hex()
        assert summary["ledger"]["size"] == found.last.size
        assert DirectoryStorage(tmp_path / "log").size() == found.last.size
        assert found.last.size % size == 0


def test_ledger_contains_no_account(world: Path, tmp_path: Path) -> None:
    sealer = run(world, tmp_path, enforce=True, sealed=True)
    assert sealer is not None
    sealer.close()
    lines = (tmp_path / "decisions.jsonl").read_bytes().splitlines()
    accounts = {json.loads(line)["account"] for line in lines}
    told = (tmp_path / "log" / "entries.jsonl").read_text("utf-8")
    assert [account for account in accounts if f'"{account}"' in told] == []
    store = OpeningFile(tmp_path / "log" / "private" / "openings.sqlite3")
    assert sum(store.erase("account", account) for account in accounts) > 5
    assert audit_directory(tmp_path / "log", [SIGNER.key], []).checked
