"""Signatures of determinations by a person's key, which anybody can check from the case alone."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256

import msgspec

from wavebreak.errors import CaseError
from wavebreak.ledger import Signer, verifier
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.verifier import Key, VerifierError
from wavebreak_cases.cases.determination import Determination
from wavebreak_cases.cases.parties import Text


class CaseSigner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person who may sign: by name, in which role, with which key (as `keygen` prints it)."""

    name: Text
    role: Text
    key: Text


class KeySignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature (base64) by a key."""

    key: Text
    signature: Text


def signed_message(case: str, name: str, determination: Determination) -> bytes:
    """Return what is signed: the case, the determination's number, and its SHA-256."""
    content = verifier.canonical(msgspec.to_builtins(determination)).encode()
    return f"wavebreak determination/v1\n{case}\n{name}\n{sha256(content).hexdigest()}\n".encode()


def sign_determination(
    signer: Signer, case: str, name: str, determination: Determination
) -> KeySignature:
    """Sign a determination of a case with a person's key."""
    signature = signer.sign(signed_message(case, name, determination))
    return KeySignature(encode_verifier_key(signer.key), base64.b64encode(signature).decode())


def check_signature(
    given: KeySignature, case: str, name: str, determination: Determination
) -> None:
    """Raise `CaseError` where a signature is not that of its key over a determination."""
    message = signed_message(case, name, determination)
    try:
        signature = base64.b64decode(given.signature, validate=True)
    except (ValueError, binascii.Error):
        signature = b""
    if not verifier.signature_holds(read_signer_key(given.key).public, message, signature):
        raise CaseError(
            f"the signature of {name} does not hold", fix="sign again with the signer's own key"
        )


def read_signer_key(text: str) -> Key:
    """Read a verifier key; raises `CaseError` where it is none."""
    try:
        return verifier.read_key(text)
    except VerifierError as error:
        raise CaseError(
            f"`{text[:40]}` is no verifier key: {error}",
            fix="write it as name+id+base64",
            code="no-verifier-key",
        ) from None
