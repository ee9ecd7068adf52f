"""Time stamps: a local authority stamps a checkpoint, and what is not its stamp is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from support.ledger_fixtures import SIGNER
from support.rfc3161_authority import Authority
from wavebreak.errors import EvidenceError
from wavebreak.ledger.checkpoints import (
    check_time_stamp,
    load_certificates,
    request_time_stamp,
    sign_checkpoint,
)

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
NOTE = sign_checkpoint(SIGNER, 9, bytes(32))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(NOW)


def test_time_stamp_returns_its_time(authority: Authority) -> None:
    roots = load_certificates(authority.certificate.public_bytes(Encoding.PEM))
    answer = request_time_stamp(NOTE, authority.answer, roots)
    assert check_time_stamp(NOTE, answer, roots) == NOW


def refused(note: bytes, answer: bytes, authority: Authority) -> str:
    with pytest.raises(EvidenceError) as wrong:
        check_time_stamp(note, answer, [authority.certificate])
    return wrong.value.name


def test_invalid_time_stamp_is_refused_with_error_name(authority: Authority) -> None:
    answer = request_time_stamp(NOTE, authority.answer, [authority.certificate])
    assert refused(NOTE + b"x", answer, authority) == "stamp_other_digest"
    assert refused(NOTE, answer[:-1], authority) == "stamp_malformed"
    assert refused(NOTE, answer + b"\0", authority) == "stamp_malformed"
    assert refused(NOTE, b"", authority) == "stamp_malformed"
    assert refused(NOTE, answer, Authority(NOW)) == "stamp_untrusted"
    edited = answer[:-1] + bytes([answer[-1] ^ 1])
    assert refused(NOTE, edited, authority) == "stamp_untrusted"


def test_response_to_other_request_is_refused(authority: Authority) -> None:
    roots = [authority.certificate]
    older = request_time_stamp(NOTE, authority.answer, roots)
    with pytest.raises(EvidenceError, match="stamp_nonce"):
        request_time_stamp(NOTE, lambda _: older, roots)
    with pytest.raises(EvidenceError, match="stamp_refused"):
        request_time_stamp(NOTE, lambda asked: authority.answer(asked, status=2), roots)


def test_certificate_for_other_purpose_is_refused() -> None:
    other = Authority(NOW, purpose=False)
    with pytest.raises(EvidenceError, match="stamp_untrusted"):
        request_time_stamp(NOTE, other.answer, [other.certificate])
    with pytest.raises(EvidenceError, match="stamp_roots"):
        load_certificates(b"none")
