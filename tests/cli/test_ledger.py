"""Ledger commands, on a small ledger in a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from support.ledger_fixtures import a_decision
from support.rfc3161_authority import Authority, answering_authority
from support.witness import FakeWitness, listening_witness
from wavebreak.cli.app import app
from wavebreak.errors import EvidenceError, FileError, UsageError
from wavebreak.ledger import DirectoryRecorder
from wavebreak.ledger.checkpoints import encode_verifier_key, load_signer


def say(*words: str | Path, status: int = 0) -> str:
    """Run a command in this process; an expected error comes out as itself."""
    done = CliRunner().invoke(app, ["ledger", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.stdout


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A ledger of four decisions and their receipts."""
    say("keygen", "example.org/log", "-o", tmp_path / "log.key")
    signer = load_signer(tmp_path / "log.key")
    sealer = DirectoryRecorder(tmp_path / "log", signer, clock=lambda: 7, salts=os.urandom)
    made = [a_decision(f"account-{k}") for k in range(4)]
    sealer.receipts(sealer.decisions(made), made)
    sealer.close()
    return tmp_path / "log"


def test_keygen_writes_a_private_file_once(tmp_path: Path) -> None:
    result = say("keygen", "example.org/log", "-o", tmp_path / "k" / "log.key")
    assert result.startswith("example.org/log+")
    assert (tmp_path / "k" / "log.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileError, match="cannot be made"):
        say("keygen", "example.org/log", "-o", tmp_path / "k" / "log.key")


def test_verify_reports_checks_and_the_source_of_the_key(log: Path) -> None:
    key = (log / "key.pub").read_text(encoding="utf-8").strip()
    result = say("verify", log, "--key", key)
    assert "8 entries" in result
    assert "no witness" in result
    assert "whose key it is" in say("verify", log, status=4)
    (log / "checkpoints.jsonl").write_bytes(b"")
    with pytest.raises(EvidenceError, match="checkpoint_missing"):
        say("verify", log)


def test_verify_as_json_lists_checks_and_source_of_the_key(log: Path) -> None:
    report = json.loads(say("verify", log, "--json", status=4))
    assert report["entries"] == 8
    assert any("8 entries" in line for line in report["holds"])
    assert report["not_checked"][0].startswith("whose key it is")
    report = json.loads(say("verify", log, "--key", log / "key.pub", "--json"))
    assert not any("whose key" in line for line in report["not_checked"])


def test_proof_bundle_verifies_and_opens_only_what_was_chosen(log: Path, tmp_path: Path) -> None:
    held = tmp_path / "held.txt"
    held.write_text(say("checkpoint", log), encoding="utf-8")
    out = tmp_path / "parcel"
    own: list[str | Path] = ["--key", tmp_path / "log.key"]
    say(
        "prove",
        log,
        "--account",
        "account-2",
        "--show",
        "account",
        "--since",
        held,
        "-o",
        out,
        *own,
    )
    result = (out / "proofs.jsonl").read_text(encoding="utf-8")
    assert '"account-2"' in result
    assert "event-9" not in result
    assert "1 entries" in say("verify", out, "--key", log / "key.pub", "--remembered", held)
    with pytest.raises(UsageError, match="no entry was chosen"):
        say("prove", log, "-o", out, *own)


def test_erased_account_leaves_a_log_that_verifies(log: Path) -> None:
    assert '"account-1"' in say("show", log, "1")
    assert "1 entries can no longer" in say("erase", log, "--account", "account-1")
    assert '"account-1"' not in say("show", log, "1")
    assert "8 entries" in say("verify", log, "--key", log / "key.pub")
    with pytest.raises(UsageError, match="no entry 8"):
        say("show", log, "8")


def test_signature_of_a_witness_is_printed_and_stored(log: Path, tmp_path: Path) -> None:
    witness = FakeWitness(load_signer(tmp_path / "log.key").key)
    key = encode_verifier_key(witness.signer.key)
    with listening_witness(witness) as url:
        asked = ("witness", log, "--url", url, "--witness-key", key, "--key", tmp_path / "log.key")
        signed = say(*asked)
        assert say(*asked) == signed == say("checkpoint", log)
    result = say("verify", log, "--key", log / "key.pub", "--key", key)
    assert "signed by witness.example, at 1700000000" in result


@pytest.fixture
def authority() -> Iterator[tuple[str, Authority]]:
    """An authority that answers on this machine."""
    with answering_authority() as made:
        yield made


def test_checkpoint_is_stamped_by_an_authority(
    log: Path, tmp_path: Path, authority: tuple[str, Authority]
) -> None:
    url, made = authority
    roots = tmp_path / "roots.pem"
    roots.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    say("stamp", log, "--url", url, "--authority", roots)
    key = log / "key.pub"
    assert "2026-05-01 00:00:00 UTC" in say("verify", log, "--key", key, "--authority", roots)
    assert "give the authority's certificates" in say("verify", log, "--key", key)
    with pytest.raises(FileError, match="did not answer"):
        say("stamp", log, "--url", "http://127.0.0.1:1/", "--authority", roots)


def test_answer_of_an_authority_is_read_up_to_its_bound(
    log: Path, tmp_path: Path, authority: tuple[str, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, made = authority
    roots = tmp_path / "roots.pem"
    roots.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setattr(made, "answer", lambda _: bytes(2 << 20))
    with pytest.raises(FileError, match="has no end"):
        say("stamp", log, "--url", url, "--authority", roots)
