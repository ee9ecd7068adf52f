"""Witnesses: what continues the log is signed, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ledger_fixtures import SIGNER, some
from wavebreak.cli.ledger import witness_ledger
from wavebreak.errors import EvidenceError
from wavebreak.ledger import Ledger, MemoryStorage, new_signer
from wavebreak.ledger.checkpoints import Signer
from wavebreak.ledger.verifier import WITNESS, check_signature, read_checkpoint
from wavebreak.ledger.witnesses import Ask, Witness, ask_witness, witness_server

OWN = new_signer("witness.example", WITNESS, secret=bytes(range(1, 33)))


def sealed(*parts: int, signer: Signer = SIGNER) -> Ledger:
    """A ledger of some entries, sealed after each part."""
    ledger = Ledger(MemoryStorage(), signer)
    for count in parts:
        ledger.seal(some(ledger.size, count))
    return ledger


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path, OWN, [SIGNER.key], lambda: 1_700_000_000)


@pytest.fixture
def ask(witness: Witness) -> Ask:
    return lambda request: witness.answer("C-7", request)


def refused(ledger: Ledger, ask: Ask) -> str:
    with pytest.raises(EvidenceError) as wrong:
        ask_witness(ledger, OWN.key, ask)
    return f"{wrong.value}"


def test_witness_signs_what_continues_the_log(ask: Ask) -> None:
    ledger = sealed(3)
    for more in (0, 1, 5):
        if more:
            ledger.seal(some(ledger.size, more))
        ask_witness(ledger, OWN.key, ask)
        assert check_signature(read_checkpoint(ledger.note), OWN.key) == 1_700_000_000


def test_checkpoint_that_is_signed_is_not_sent_again(ask: Ask) -> None:
    ledger = sealed(3)
    ask_witness(ledger, OWN.key, ask)
    before = ledger.note
    ask_witness(ledger, OWN.key, lambda _: (500, b""))
    assert ledger.note == before


@pytest.mark.parametrize("other", [(4,), (2, 3)])
def test_witness_refuses_another_log_of_the_name(ask: Ask, other: tuple[int, ...]) -> None:
    ask_witness(sealed(3), OWN.key, ask)
    rewritten = Ledger(MemoryStorage(), SIGNER)
    for count in other:
        rewritten.seal(some(rewritten.size + 100, count))
    assert "did not sign (status 422)" in refused(rewritten, ask)


def test_witness_refuses_a_log_that_was_cut(ask: Ask) -> None:
    ask_witness(sealed(5), OWN.key, ask)
    assert "signed 5 entries of this log before" in refused(sealed(3), ask)


def test_witness_refuses_keys_that_it_does_not_know(ask: Ask) -> None:
    assert "status 404" in refused(sealed(3, signer=new_signer("other.example/log")), ask)
    assert "status 403" in refused(sealed(3, signer=new_signer(SIGNER.name)), ask)


@pytest.mark.parametrize(
    "request_",
    [b"", b"old 0\n", b"old x\n\nnote", b"old 0\n%%\n\nnote", b"old 0\n\n" + bytes(70_000)],
)
def test_request_that_is_none_is_refused(witness: Witness, request_: bytes) -> None:
    assert witness.answer("C-7", request_) == (400, b"")


@pytest.mark.parametrize("log", ["", "../C-7", "a/b", ".hidden", "x" * 65])
def test_name_of_a_log_is_no_path(witness: Witness, log: str) -> None:
    assert witness.answer(log, b"old 0\n\nnote") == (404, b"")


@pytest.mark.parametrize("answer", [b"", b"no signature\n", bytes(100)])
def test_answer_that_is_no_signature_is_refused(answer: bytes) -> None:
    ledger = sealed(2)
    before = ledger.note
    assert "is not its signature" in refused(ledger, lambda _: (200, answer))
    assert ledger.note == before


def test_key_of_a_log_is_none_of_a_witness() -> None:
    with pytest.raises(EvidenceError, match="not of a witness"):
        ask_witness(sealed(2), SIGNER.key, lambda _: (200, b""))


@pytest.fixture
def address(witness: Witness) -> Iterator[str]:
    server = witness_server(witness, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_witness_answers_over_http(address: str) -> None:
    ledger = sealed(2)
    witness_ledger(ledger, f"{address}/C-7", OWN.key)
    ledger.seal(some(2, 4))
    witness_ledger(ledger, f"{address}/C-7/", OWN.key)
    assert check_signature(read_checkpoint(ledger.note), OWN.key)
    with pytest.raises(EvidenceError, match="status 404"):
        witness_ledger(sealed(1), f"{address}/nothing/here", OWN.key)
