"""A time-stamping authority of one's own (RFC 3161), for tests: DER written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import HTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.webhook_receiver import Answer, listening

SIGNED = "1.2.840.113549.1.7.2"
STAMP = "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
SHA256 = "2.16.840.1.101.3.4.2.1"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
POLICY = "1.3.6.1.4.1.99999.1"


def der(tag: int, *parts: bytes) -> bytes:
    """One value: tag, length, content."""
    told = b"".join(parts)
    if len(told) < 128:
        return bytes([tag, len(told)]) + told
    size = len(told).to_bytes((len(told).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + told


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def a_set(*parts: bytes) -> bytes:
    return der(0x31, *parts)


def number(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    told = bytes([40 * first + second])
    for each in rest:
        part = [each & 0x7F]
        while each := each >> 7:
            part.append(each & 0x7F | 0x80)
        told += bytes(reversed(part))
    return der(0x06, told)


def octets(told: bytes) -> bytes:
    return der(0x04, told)


class Authority:
    """Answers requests with a SHA-256 imprint and a nonce, as `rfc3161-client` writes them."""

    def __init__(self, now: datetime, *, purpose: bool = True) -> None:
        self.now, self.key = now, ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(7)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        if purpose:
            made = made.add_extension(usage, critical=True)
        self.certificate = made.sign(self.key, hashes.SHA256())

    def answer(self, request: bytes, *, status: int = 0) -> bytes:
        """Stamp what a request asks for."""
        imprint, nonce = request[5:56], request[56:-3]
        when = self.now.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        told = sequence(number(1), oid(POLICY), imprint, number(99), der(0x18, when), nonce)
        return sequence(sequence(number(status)), self._token(told))

    def _token(self, told: bytes) -> bytes:
        certificate = self.certificate.public_bytes(Encoding.DER)
        digest = sequence(oid(SHA256))
        attributes = [
            sequence(oid(CONTENT_TYPE), a_set(oid(STAMP))),
            sequence(oid(MESSAGE_DIGEST), a_set(octets(sha256(told).digest()))),
            sequence(
                oid(SIGNING_CERTIFICATE),
                a_set(sequence(sequence(sequence(octets(sha256(certificate).digest()))))),
            ),
        ]
        signed = b"".join(sorted(attributes))
        signature = self.key.sign(a_set(signed), ec.ECDSA(hashes.SHA256()))
        issuer = sequence(self.certificate.issuer.public_bytes(), number(7))
        signer = sequence(
            number(1), issuer, digest, der(0xA0, signed), sequence(oid(ECDSA_SHA256)),
            octets(signature),
        )  # fmt: skip
        content = sequence(oid(STAMP), der(0xA0, octets(told)))
        kept = sequence(
            number(3), a_set(digest), content, der(0xA0, certificate), a_set(signer)
        )  # fmt: skip
        return sequence(oid(SIGNED), der(0xA0, kept))


@contextmanager
def answering_authority() -> Iterator[tuple[str, Authority]]:
    """Run an authority that answers on this machine; its address and itself."""
    made = Authority(datetime(2026, 5, 1, tzinfo=UTC))

    class Stamping(Answer):
        def answer(self) -> None:
            self.whole(made.answer(self.body()))

    with listening(HTTPServer(("127.0.0.1", 0), Stamping)) as server:
        yield f"http://127.0.0.1:{server.server_port}/", made
