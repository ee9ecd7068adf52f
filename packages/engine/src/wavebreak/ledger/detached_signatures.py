"""Ed25519 signatures over any message, kept apart from it, by the keys that also sign logs.

A message begins with what it is for, so that no signature over one kind holds for another: a
checkpoint begins with its origin.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wavebreak.ledger import verifier
from wavebreak.ledger.checkpoints import Signer
from wavebreak.ledger.verifier import Key


def sign_message(signer: Signer, message: bytes) -> bytes:
    """Return the signature of a message."""
    return Ed25519PrivateKey.from_private_bytes(signer.secret).sign(message)


def signature_holds(key: Key, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that of a key over a message.

    >>> from wavebreak.ledger import new_signer
    >>> signer = new_signer("example.org/levi", secret=bytes(32))
    >>> made = sign_message(signer, b"purpose: a message")
    >>> [signature_holds(signer.key, text, made) for text in (b"purpose: a message", b"another")]
    [True, False]
    """
    return verifier.signature_holds(key.public, message, signature)
