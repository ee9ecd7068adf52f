"""Cosignatures of witnesses (C2SP tlog-witness), the client's side.

A witness stores the last checkpoint of each log that it signed, and signs a later one only with a
proof that it continues that one. Witnesses are run by others, with existing software.

A request is `POST URL/add-checkpoint`: the size that the witness signed last, the consistency
proof from that size, an empty line, the checkpoint. A witness that signed another size answers
409 with that size, so the client stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from wavebreak.ledger import verifier
from wavebreak.ledger.checkpoints import MAX_RESPONSE
from wavebreak.ledger.errors import ledger_error
from wavebreak.ledger.ledger import Ledger
from wavebreak.ledger.proofs import encode_hashes

ENDPOINT = "add-checkpoint"
"""Last part of a witness's URL."""
SendCheckpoint = Callable[[bytes], tuple[int, bytes]]
"""Sends a request to a witness; returns the status and the body of the response."""


def cosign(ledger: Ledger, witness: verifier.Key, send: SendCheckpoint) -> bytes:
    """Return the last checkpoint of a ledger with the signature of a witness.

    A checkpoint that this witness signed already is returned unchanged.

    Raises EvidenceError: `witness_key` if the key is not a witness's, `witness_refused` if the
    witness did not sign, `witness_wrong` if the response is not its signature.
    """
    if witness.kind != verifier.WITNESS:
        raise ledger_error("witness_key", f"{witness.name} is the key of a log, not of a witness")
    checkpoint = ledger.note
    if _is_signed_by(checkpoint, witness):
        return checkpoint
    status, response = send(_encode_request(ledger, 0))
    if status == 409 and response.strip().isdigit() and len(response) < 20:
        signed_size = int(response)
        if signed_size > ledger.sealed.size:
            raise ledger_error(
                "witness_refused",
                f"{witness.name} signed {signed_size:,} entries of this log before",
            )
        status, response = send(_encode_request(ledger, signed_size))
    if status != 200:
        raise ledger_error("witness_refused", f"{witness.name} did not sign (status {status})")
    note = checkpoint + response
    if len(response) > MAX_RESPONSE or not _is_signed_by(note, witness):
        raise ledger_error("witness_wrong", f"what {witness.name} answered is not its signature")
    return note


def _is_signed_by(note: bytes, witness: verifier.Key) -> bool:
    try:
        verifier.check_signature(verifier.read_checkpoint(note), witness)
    except verifier.VerifierError:
        return False
    return True


def _encode_request(ledger: Ledger, signed_size: int) -> bytes:
    hashes = encode_hashes(ledger.consistency(signed_size)) if signed_size else []
    return "\n".join([f"old {signed_size}", *hashes, "", ""]).encode() + ledger.note
