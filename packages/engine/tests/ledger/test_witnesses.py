"""Cosignatures of witnesses: what the client sends, stores and refuses."""

from __future__ import annotations

import pytest

from support.ledger_fixtures import SIGNER, some
from support.witness import FakeWitness, listening_witness
from wavebreak.cli.ledger import request_cosignature
from wavebreak.errors import EvidenceError
from wavebreak.ledger import Ledger, MemoryStorage, new_signer
from wavebreak.ledger.checkpoints import Signer
from wavebreak.ledger.ledger import SendCheckpoint, cosign
from wavebreak.ledger.verifier import check_signature, read_checkpoint


def sealed(*parts: int, signer: Signer = SIGNER) -> Ledger:
    """A ledger of some entries, sealed after each part."""
    ledger = Ledger(MemoryStorage(), signer)
    for count in parts:
        ledger.seal(some(ledger.size, count))
    return ledger


@pytest.fixture
def witness() -> FakeWitness:
    return FakeWitness(SIGNER.key)


def refusal(ledger: Ledger, witness: FakeWitness, send: SendCheckpoint | None = None) -> str:
    with pytest.raises(EvidenceError) as error:
        cosign(ledger, witness.signer.key, send or witness.respond)
    return f"{error.value}"


def test_witness_signs_what_continues_the_log(witness: FakeWitness) -> None:
    ledger = sealed(3)
    for more in (0, 1, 5):
        if more:
            ledger.seal(some(ledger.size, more))
        ledger.witnessed(cosign(ledger, witness.signer.key, witness.respond))
        assert check_signature(read_checkpoint(ledger.note), witness.signer.key) == 1_700_000_000


def test_request_is_as_the_protocol_has_it(witness: FakeWitness) -> None:
    requests = list[bytes]()

    def send(request: bytes) -> tuple[int, bytes]:
        requests.append(request)
        return witness.respond(request)

    ledger = sealed(3)
    ledger.witnessed(cosign(ledger, witness.signer.key, send))
    ledger.seal(some(3, 1))
    cosign(ledger, witness.signer.key, send)
    first, unknown_size, later = requests
    assert first.startswith(b"old 0\n\nexample.org/log\n3\n")
    assert unknown_size == b"old 0\n\n" + ledger.note
    head, _, note = later.partition(b"\n\n")
    assert head.startswith(b"old 3\n")
    assert [len(line) for line in head.splitlines()[1:]] == [44, 44, 44]
    assert note == ledger.note


def test_checkpoint_that_is_signed_is_neither_sent_nor_stored_again(witness: FakeWitness) -> None:
    storage = MemoryStorage()
    ledger = Ledger(storage, SIGNER)
    ledger.seal(some(0, 3))
    ledger.witnessed(cosign(ledger, witness.signer.key, witness.respond))
    ledger.witnessed(cosign(ledger, witness.signer.key, lambda _: (500, b"")))
    assert len(storage.notes) == 2


@pytest.mark.parametrize("other", [(4,), (2, 3)])
def test_another_log_of_the_name_is_not_signed(
    witness: FakeWitness, other: tuple[int, ...]
) -> None:
    cosign(sealed(3), witness.signer.key, witness.respond)
    rewritten = Ledger(MemoryStorage(), SIGNER)
    for count in other:
        rewritten.seal(some(rewritten.size + 100, count))
    assert "did not sign (status 422)" in refusal(rewritten, witness)


def test_log_that_was_cut_is_not_signed(witness: FakeWitness) -> None:
    cosign(sealed(5), witness.signer.key, witness.respond)
    assert "signed 5 entries of this log before" in refusal(sealed(3), witness)


def test_refusal_names_the_status(witness: FakeWitness) -> None:
    assert "status 404" in refusal(sealed(3, signer=new_signer("other.example/log")), witness)
    assert "status 403" in refusal(sealed(3, signer=new_signer(SIGNER.name)), witness)


@pytest.mark.parametrize("answer", [b"", b"no signature\n", bytes(100)])
def test_answer_that_is_no_signature_is_refused(witness: FakeWitness, answer: bytes) -> None:
    assert "is not its signature" in refusal(sealed(2), witness, lambda _: (200, answer))


def test_key_of_a_log_is_none_of_a_witness() -> None:
    with pytest.raises(EvidenceError, match="not of a witness"):
        cosign(sealed(2), SIGNER.key, lambda _: (200, b""))


def test_witness_is_asked_over_http(witness: FakeWitness) -> None:
    ledger, key = sealed(2), witness.signer.key
    with listening_witness(witness) as url:
        ledger.witnessed(request_cosignature(ledger, url, key))
        ledger.seal(some(2, 4))
        ledger.witnessed(request_cosignature(ledger, f"{url}/C-7/", key))
        assert check_signature(read_checkpoint(ledger.note), key)
        with pytest.raises(EvidenceError, match="status 404"):
            request_cosignature(sealed(1, signer=new_signer("other.example/log")), url, key)
