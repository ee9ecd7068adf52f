"""Keys and notes: the known example of C2SP signed notes, and what is read is what was written."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from support.witness import add_cosignature
from wavebreak.errors import EvidenceError, FileError, UsageError
from wavebreak.ledger import checkpoints, new_signer
from wavebreak.ledger.verifier import (
    EMPTY,
    WITNESS,
    VerifierError,
    check_signature,
    read_checkpoint,
    read_key,
)

# The example that the specification of signed notes and its first implementation give.
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNED = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def test_known_key_has_known_id_and_signature() -> None:
    key = read_key(VERIFIER)
    signature = base64.b64decode(SIGNED)
    assert signature[:4] == key.id
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature[4:], TEXT.encode())
    signer = checkpoints.decode_signer(SECRET)
    assert signer.key == key
    assert checkpoints.encode_verifier_key(key) == VERIFIER
    assert checkpoints.encode_signer(signer) == f"{SECRET}\n"
    assert checkpoints.sign_note([signer], TEXT) == f"{TEXT}\n— PeterNeumann {SIGNED}\n".encode()


def test_a_checkpoint_says_origin_size_and_root() -> None:
    signer = new_signer("example.org/log", secret=bytes(32))
    note = checkpoints.sign_checkpoint(signer, 0, EMPTY)
    lines = note.decode().split("\n")
    assert lines[:4] == [
        "example.org/log",
        "0",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "",
    ]
    read = read_checkpoint(note)
    assert (read.origin, read.size, read.root) == ("example.org/log", 0, EMPTY)
    assert check_signature(read, signer.key) == 0


def test_witness_cosignature_has_its_time() -> None:
    signer = new_signer("example.org/log")
    witness = new_signer("witness.example", WITNESS)
    note = add_cosignature(
        checkpoints.sign_checkpoint(signer, 5, bytes(32)), witness, 1_700_000_000
    )
    read = read_checkpoint(note)
    assert len(read.by) == 2
    assert check_signature(read, signer.key) == 0
    assert check_signature(read, witness.key) == 1_700_000_000
    with pytest.raises(VerifierError, match="signature_missing"):
        check_signature(read, new_signer("witness.example", WITNESS).key)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "tab\there", "line\n"])
def test_signer_with_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(EvidenceError, match="spaces or a plus sign"):
        new_signer(name)


def test_signer_repr_hides_secret_and_bad_key_is_refused() -> None:
    signer = new_signer("example.org/log")
    assert signer.secret.hex() not in repr(signer)
    assert checkpoints.decode_signer(checkpoints.encode_signer(signer)) == signer
    for wrong in ("", "PRIVATE+KEY+a+00000000+AAAA", SECRET.replace("c74f20a3", "c74f20a4")):
        with pytest.raises(EvidenceError):
            checkpoints.decode_signer(wrong)


def test_keys_are_read_from_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("keys")
    (place / "log.key").write_text(f"{SECRET}\n", encoding="utf-8")
    (place / "log.key").chmod(0o600)
    (place / "key.pub").write_text(f"{VERIFIER}\n", encoding="utf-8")
    signer = checkpoints.load_signer(place / "log.key")
    assert (
        checkpoints.load_verifier_key(str(place / "key.pub"))
        == checkpoints.load_verifier_key(VERIFIER)
        == signer.key
    )
    with pytest.raises(FileError, match="cannot be read"):
        checkpoints.load_signer(place / "absent")
    with pytest.raises(FileError, match="cannot be read"):
        checkpoints.load_verifier_key(str(place / "absent.pub"))


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o640])
def test_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    checkpoints.save_signer(new_signer("example.org/log"), path)
    assert checkpoints.load_or_create_signer(path).name == "example.org/log"
    path.chmod(mode)
    with pytest.raises(UsageError, match="can be read or changed by others") as caught:
        checkpoints.load_or_create_signer(path)
    assert "chmod 600" in caught.value.fix


def test_signer_is_read_from_environment_or_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_LEDGER_KEY", SECRET)
    assert checkpoints.load_or_create_signer(None) == checkpoints.decode_signer(SECRET)
    monkeypatch.setenv("WAVEBREAK_LEDGER_KEY", str(tmp_path / "made.key"))
    made = checkpoints.load_or_create_signer(None)
    assert (
        made
        == checkpoints.load_or_create_signer(None)
        == checkpoints.load_signer(tmp_path / "made.key")
    )
    assert checkpoints.load_or_create_signer(tmp_path / "other.key") != made
