"""Hostile values in any file of a bundle: `verify` gives a finding, and never a traceback."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.case_workflow import PARTY, Bench
from wavebreak.cli import app
from wavebreak.ledger.verifier import VerifierError
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.archive_reader import Bounds, unpack
from wavebreak_cases.bundles.verify import Finding, verify_bundle
from wavebreak_cases.cases.case import CaseOpened, PartyNamed
from wavebreak_cases.cases.parties import Basis, Strength

HOSTILE = {
    "30 digits": b"123456789012345678901234567890",
    "a float": b"1e400",
    "nan": b"NaN",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "surrogate": b'"\\ud800"',
    "bytes": b'"\xff\xfe"',
}


BOUNDS = Bounds(files=3, octets=1_000, ratio=1, spare=1_000, depth=3)
ZIPS: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "bundle_files": ({f"b/{n}": 1 for n in range(3)}, {f"b/{n}": 1 for n in range(4)}),
    "bundle_depth": ({"b/c/d": 1}, {"b/c/d/e": 1}),
    "bundle_bomb": ({"b/a": 500, "b/b": 500}, {"b/a": 500, "b/b": 501}),
}
"""Members with their sizes, at each bound and past it, by the error's name."""


def zipped(place: Path, members: dict[str, int]) -> Path:
    """Write a zip file of zeros."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in members.items():
            archive.writestr(name, bytes(size))
    return place


@pytest.mark.parametrize("name", ZIPS)
def test_zip_at_its_bound_is_unpacked_and_past_it_refused(tmp_path: Path, name: str) -> None:
    at, past = ZIPS[name]
    assert unpack(zipped(tmp_path / "at.zip", at), tmp_path / "at", BOUNDS).name == "b"
    with pytest.raises(VerifierError) as refused:
        unpack(zipped(tmp_path / "past.zip", past), tmp_path / "past", BOUNDS)
    assert name in str(refused.value)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a page and a determination."""
    bench = Bench(tmp_path_factory.mktemp("bundle"))
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **bench.me)
        at.take(PartyNamed(PARTY), **bench.me)
        evidence_intake.add_claim_exhibit(at, bench.claim(), bench.actor, "investigator")
        bench.found(at, "E1", "off_platform", Basis.STATEMENT, Strength.STRONG)
        evidence_intake.prepare_determination(at, "P1", None, None, **bench.me)
    return bench.pack()


def numbers_replaced(raw: bytes, value: bytes) -> bytes:
    """A JSON text, or lines of it, with every number replaced."""
    lines = []
    for line in raw.splitlines(keepends=True):
        out, inside, at = bytearray(), False, 0
        while at < len(line):
            char = line[at : at + 1]
            if char == b'"' and line[at - 1 : at] != b"\\":
                inside = not inside
            if not inside and char.isdigit():
                while at < len(line) and line[at : at + 1] in b"0123456789.eE+-":
                    at += 1
                out += value
                continue
            out += char
            at += 1
        lines.append(bytes(out))
    return b"".join(lines)


def verified(packed: Path, place: Path, name: str, content: bytes) -> list[Finding]:
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(place, "w") as target:
        for entry in source.infolist():
            held = content if entry.filename == name else source.read(entry)
            target.writestr(entry, held)
    return verify_bundle(place, [])


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_value_in_any_file_is_a_finding(packed: Path, tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(packed) as source:
        names = [n for n in source.namelist() if n.endswith((".json", ".jsonl"))]
        files = {name: source.read(name) for name in names}
    assert len(files) >= 6
    for name, raw in files.items():
        changed = numbers_replaced(raw, HOSTILE[kind])
        findings = verified(
            packed, tmp_path / "C-7.zip", name, changed if changed != raw else HOSTILE[kind]
        )
        assert any(f.holds is False for f in findings), name


def test_command_prints_a_finding_for_thirty_digits(packed: Path, tmp_path: Path) -> None:
    name = "C-7/data/case.json"
    with zipfile.ZipFile(packed) as source:
        case = json.loads(source.read(name))
    case["steps"][0]["at"] = 123456789012345678901234567890
    content = json.dumps(case, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    verified(packed, tmp_path / "C-7.zip", name, content + b"\n")
    shown = CliRunner().invoke(app, ["verify", str(tmp_path / "C-7.zip")])
    assert shown.exit_code == 1
    assert not isinstance(shown.exception, (OverflowError, ValueError, TypeError, RecursionError))
    assert "does not hold" in shown.output
