"""The ledger over memory and over a directory: sealing, proofs, crashes, erasure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.ledger_fixtures import SIGNER, a_decision, some
from support.witness import add_cosignature
from wavebreak.errors import EvidenceError, FileError
from wavebreak.ledger import (
    DirectoryStorage,
    Ledger,
    LedgerRecorder,
    MemoryStorage,
    OpeningFile,
    Storage,
    new_signer,
    proof_bundle,
)
from wavebreak.ledger import verifier as alone
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.verifier import WITNESS, VerifierError, check_inclusion, hash_node, verify


@pytest.fixture(params=["memory", "directory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return (
        MemoryStorage()
        if request.param == "memory"
        else DirectoryStorage(tmp_path / "log", write=True)
    )


def test_entries_are_sealed_and_each_is_proved(storage: Storage) -> None:
    ledger = Ledger(storage, SIGNER)
    for size in (1, 2, 5, 0, 30):
        ledger.seal(some(ledger.size, size))
    assert ledger.size == ledger.sealed.size == 38
    for at in range(38):
        leaf = hash_node(b"\0", storage.line(at))
        check_inclusion(leaf, at, ledger.prove(at), 38, ledger.sealed.root)
    assert storage.line(37) == some(37, 1)[0]
    for old in range(39):
        assert ledger.consistency(old) is not None
    with pytest.raises(EvidenceError, match="proof_position"):
        ledger.prove(38)


def test_reopened_ledger_continues(storage: Storage) -> None:
    whole = Ledger(MemoryStorage(), SIGNER)
    whole.seal(some(0, 23))
    for first in range(0, 23, 4):
        Ledger(storage, SIGNER).seal(some(first, min(4, 23 - first)))
    assert Ledger(storage, SIGNER).sealed == whole.sealed


def test_appended_entries_are_sealed_by_next_checkpoint(storage: Storage) -> None:
    ledger = Ledger(storage, SIGNER)
    with pytest.raises(EvidenceError, match="checkpoint_missing"):
        _ = ledger.sealed
    ledger.append(some(0, 3))
    assert ledger.checkpoint() == ledger.checkpoint()
    ledger.append(some(3, 1))
    assert (ledger.sealed.size, ledger.size) == (3, 4)
    with pytest.raises(EvidenceError, match="entry_not_canonical"):
        ledger.append([b'{"v":1 ,"kind":"step","commits":{},"body":{},"at":1}'])


def test_ledger_with_other_signer_is_refused(storage: Storage) -> None:
    Ledger(storage, SIGNER).seal(some(0, 3))
    with pytest.raises(EvidenceError, match="signature_missing"):
        Ledger(storage, new_signer("example.org/log"))
    with pytest.raises(EvidenceError, match="origin_wrong"):
        Ledger(storage, new_signer("example.org/other"))


def test_witness_signature_is_stored_with_checkpoint(storage: Storage) -> None:
    ledger = Ledger(storage, SIGNER)
    ledger.seal(some(0, 3))
    witness = new_signer("witness.example", WITNESS)
    older = add_cosignature(ledger.note, witness, 7)
    ledger.witnessed(older)
    assert alone.check_signature(Ledger(storage, SIGNER).sealed, witness.key) == 7
    ledger.seal(some(3, 3))
    with pytest.raises(EvidenceError, match="checkpoint_other"):
        ledger.witnessed(older)


def test_erasure_removes_openings_and_log_still_verifies(tmp_path: Path) -> None:
    files = DirectoryStorage(tmp_path / "log", write=True)
    store = OpeningFile(tmp_path / "private" / "openings.sqlite3")
    ledger = Ledger(files, SIGNER)
    made = [a_decision("+972501234567"), a_decision("other")]
    recorder = LedgerRecorder(ledger, store, clock=lambda: 1, salts=os.urandom)
    positions = recorder.decisions(made)
    recorder.receipts(positions, made)
    openings = {at: store.of(at) for at in positions}
    assert openings[0]["account"][1] == "+972501234567"
    assert store.erase("account", "+972501234567") == 1
    assert store.of(0) == {}
    assert store.of(1) == openings[1]
    store.close()
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"972501234567" in told for told in kept)
    assert verify(tmp_path / "log", [SIGNER.key], [])[-1].size == 4
    assert [ledger.entry(at).kind for at in range(4)] == ["decision"] * 2 + ["receipt"] * 2


def test_second_writer_is_refused(tmp_path: Path) -> None:
    Ledger(DirectoryStorage(tmp_path, write=True), SIGNER).seal(some(0, 1))
    with pytest.raises(FileError, match="another process"):
        DirectoryStorage(tmp_path, write=True)
    assert DirectoryStorage(tmp_path).size() == 1
    with pytest.raises(FileError, match="cannot be opened"):
        DirectoryStorage(tmp_path / "absent")


def filled(place: Path) -> bytes:
    """A ledger of 20 sealed entries; its last checkpoint."""
    files = DirectoryStorage(place, write=True)
    ledger = Ledger(files, SIGNER)
    ledger.seal(some(0, 7))
    ledger.seal(some(7, 13))
    files.close()
    return ledger.note


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl"])
def test_incomplete_tail_is_reported_and_cut_off(tmp_path: Path, name: str) -> None:
    note = filled(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for torn in (b"x", b'{"at":20,"body"', b'"example.org/log\\n2'):
        (tmp_path / name).write_bytes(whole + torn)
        files = DirectoryStorage(tmp_path, write=True)
        assert [name in said for said in files.repaired] == [True]
        assert Ledger(files, SIGNER).note == note
        files.close()
        assert (tmp_path / name).read_bytes() == whole


def test_entries_after_last_checkpoint_are_kept_and_sealed(tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / "entries.jsonl").open("ab") as file:
        file.write(b"\n".join(some(20, 3)) + b'\n{"at":')
    files = DirectoryStorage(tmp_path, write=True)
    assert files.size() == 23
    Ledger(files, SIGNER).checkpoint()
    assert verify(tmp_path, [SIGNER.key], [])[-1].size == 23


@pytest.mark.parametrize("kept", [0, 5, 31, 40, 333])
@pytest.mark.parametrize("name", ["nodes", "ends"])
def test_tree_and_index_are_rebuilt_from_entries(tmp_path: Path, name: str, kept: int) -> None:
    note = filled(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:kept])
    files = DirectoryStorage(tmp_path, write=True)
    assert Ledger(files, SIGNER).note == note
    assert (tmp_path / name).read_bytes() == whole


@pytest.mark.parametrize("lost", [1, 60, 500])
def test_sealed_entries_are_never_cut_off(tmp_path: Path, lost: int) -> None:
    filled(tmp_path)
    whole = (tmp_path / "entries.jsonl").read_bytes()
    (tmp_path / "entries.jsonl").write_bytes(whole[:-lost])
    with pytest.raises(EvidenceError, match="log_cut"):
        DirectoryStorage(tmp_path, write=True)
    assert (tmp_path / "entries.jsonl").read_bytes() == whole[:-lost]


def test_changed_stored_tree_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    nodes = bytearray((tmp_path / "nodes").read_bytes())
    nodes[32 * 30] ^= 1
    (tmp_path / "nodes").write_bytes(nodes)
    with pytest.raises(EvidenceError, match="root_wrong"):
        Ledger(DirectoryStorage(tmp_path, write=True), SIGNER)


def test_verifier_imports_nothing_of_the_package(tmp_path: Path) -> None:
    filled(tmp_path / "log")
    source = Path(alone.__file__)
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 440
    copy = tmp_path / "verifier.py"
    copy.write_bytes(source.read_bytes())
    files = DirectoryStorage(tmp_path / "log")
    ledger = Ledger(files, SIGNER)
    (tmp_path / "parcel").mkdir()
    for name, told in proof_bundle(ledger, [3, 11, 3], since=7).items():
        (tmp_path / "parcel" / name).write_bytes(told)
    (tmp_path / "held.txt").write_bytes(notes_of(tmp_path / "log")[0])
    key = encode_verifier_key(SIGNER.key)
    for place, status in (("log", 0), ("parcel", 0), ("absent", 1)):
        command = [sys.executable, "-I", str(copy), place, "--key", key]
        done = subprocess.run(
            [*command, "--remembered", "held.txt"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        said = {"log": "holds: 20 entries", "parcel": "holds: 2 of 20 entries"}
        assert done.stdout.startswith(said.get(place, "does not hold"))
    command = [sys.executable, "-I", str(copy), "parcel", "--key", key, "--whole"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "does not hold: entries_cut: 2 of 20 entries\n")
    # A module beside the file is not taken for Python's own.
    (tmp_path / "argparse.py").write_text("raise SystemExit(0)")
    command = [sys.executable, str(copy), "absent", "--key", key]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def notes_of(place: Path) -> list[bytes]:
    lines = alone.read_lines(place / "checkpoints.jsonl")
    return [str(alone.read_json(line, "it")).encode() for line in lines]


def test_log_behind_or_forked_from_kept_checkpoint_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    other = Ledger(MemoryStorage(), SIGNER)
    other.seal(some(1, 7))
    with pytest.raises(VerifierError, match="log_forked"):
        verify(tmp_path, [SIGNER.key], [other.sealed])
    other.seal(some(7, 90))
    with pytest.raises(VerifierError, match="log_behind"):
        verify(tmp_path, [SIGNER.key], [other.sealed])
