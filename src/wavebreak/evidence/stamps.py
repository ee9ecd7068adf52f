"""Time stamps of checkpoints (RFC 3161): an authority says that a checkpoint was there by then.

How the authority is reached is an argument: a function that sends a request and gives its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from wavebreak.errors import EvidenceError
from wavebreak.evidence.doubts import error

Ask = Callable[[bytes], bytes]
"""Sends a request to an authority (application/timestamp-query), gives its answer; both DER."""
MAX_ANSWER = 1 << 16
SHA256_OID = "2.16.840.1.101.3.4.2.1"


def roots_of(pem: bytes) -> list[Certificate]:
    """Read the certificates of authorities that are trusted; raises EvidenceError."""
    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise error("stamp_roots", "these are no certificates in PEM", "give a PEM file") from None


def stamped(note: bytes, ask: Ask, roots: Sequence[Certificate]) -> bytes:
    """Have a checkpoint stamped; the answer, once it is checked. Raises EvidenceError."""
    request = (
        TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True).cert_request(cert_request=True).build()
    )  # fmt: skip
    answer = ask(request.as_bytes())
    check_stamp(note, answer, roots, nonce=request.nonce)
    return answer


def check_stamp(
    note: bytes, answer: bytes, roots: Sequence[Certificate], *, nonce: int | None = None
) -> datetime:
    """Check an authority's answer over a checkpoint; when it was stamped (UTC).

    Raises EvidenceError: `stamp_malformed`, `stamp_refused`, `stamp_other_digest`, `stamp_nonce`,
    or `stamp_untrusted` for a signature or certificate that does not lead to `roots`.
    """
    read = _read(answer)
    if PKIStatus(read.status) != PKIStatus.GRANTED:
        raise _wrong("refused", "the authority did not grant it")
    imprint = read.tst_info.message_imprint
    digest = (imprint.hash_algorithm.dotted_string, imprint.message)
    if digest != (SHA256_OID, sha256(note).digest()):
        raise _wrong("other_digest", "the time stamp is of other bytes")
    if nonce is not None and read.tst_info.nonce != nonce:
        raise _wrong("nonce", "the answer is to another request")
    builder = VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify(read, digest[1])
    except (VerificationError, ValueError):
        raise _wrong("untrusted", "it is not signed by an authority that is trusted") from None
    return read.tst_info.gen_time.astimezone(UTC)


def _read(answer: bytes) -> TimeStampResponse:
    if len(answer) <= MAX_ANSWER:
        try:
            read = decode_timestamp_response(answer)
            if read.as_bytes() == answer:
                return read
        except ValueError:
            pass
    raise _wrong("malformed", "the authority's answer is not a time stamp")


def _wrong(name: str, what: str) -> EvidenceError:
    return error(f"stamp_{name}", what, "have the checkpoint stamped anew, or give its authority")
