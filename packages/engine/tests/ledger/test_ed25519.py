"""Ed25519 of the verifier itself: by a published vector set, and beside the library."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.ed25519_vectors import VECTORS
from wavebreak.ledger import verifier
from wavebreak.ledger.verifier import ed25519_holds, signature_holds

ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("name", VECTORS)
def test_published_vector_holds_and_its_changes_do_not(name: str) -> None:
    public, message, signature = map(bytes.fromhex, VECTORS[name])
    assert ed25519_holds(public, message, signature)
    assert not ed25519_holds(public, message + b"x", signature)
    for at in (0, 31, 32, 63):
        changed = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        assert not ed25519_holds(public, message, changed)
        assert not signature_holds(public, message, changed)
    other = next(VECTORS[each][0] for each in VECTORS if each != name)
    assert not ed25519_holds(bytes.fromhex(other), message, signature)


def test_second_form_of_a_signature_is_refused() -> None:
    public, message, signature = map(bytes.fromhex, VECTORS["2, one byte"])
    number = int.from_bytes(signature[32:], "little") + ORDER
    again = signature[:32] + number.to_bytes(32, "little")
    assert not ed25519_holds(public, message, again)
    assert not signature_holds(public, message, again)


@pytest.mark.parametrize(
    "public",
    [b"", bytes(31), b"\xff" * 32, (2**255 - 19).to_bytes(32, "little"), b"\2" + bytes(31)],
)
def test_bytes_that_are_no_key_hold_nothing(public: bytes) -> None:
    for signature in (b"", bytes(64), b"\xff" * 64):
        assert not ed25519_holds(public, b"", signature)


def test_formulas_and_library_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(7)
    for _ in range(60):
        key = Ed25519PrivateKey.from_private_bytes(drawn.randbytes(32))
        message = drawn.randbytes(drawn.randrange(80))
        signature = bytearray(key.sign(message))
        public = bytearray(key.public_key().public_bytes_raw())
        for changed in (None, signature, public):
            if changed is not None:
                changed[drawn.randrange(len(changed))] ^= 1 << drawn.randrange(8)
            given = bytes(public), message, bytes(signature)
            assert ed25519_holds(*given) is signature_holds(*given) is (changed is None)
    monkeypatch.setattr(verifier, "LIBRARY", None)
    assert signature_holds(*map(bytes.fromhex, VECTORS["SHA(abc)"]))
