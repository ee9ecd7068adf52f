"""A certificate of this machine, and the authority that signed it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    # Servers compare an address as a name too.
    names: list[x509.GeneralName] = [x509.DNSName(subject)]
    with contextlib.suppress(ValueError):
        names.append(x509.IPAddress(ipaddress.ip_address(subject)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def certify(directories: Mapping[str, Path], home: Path) -> Path:
    """Make an authority, and for each domain a certificate in a directory; return the first's file.

    They are named as Prosody looks for them: `example.org.crt` and `example.org.key`.
    """
    root, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    authority = home / "ca.pem"
    authority.write_bytes(_signed("authority", root, root, ca=True).public_bytes(pem))
    for domain, directory in directories.items():
        key = ec.generate_private_key(ec.SECP256R1())
        directory.mkdir(parents=True, exist_ok=True)
        signed = _signed(domain, key, root, ca=False)
        (directory / f"{domain}.crt").write_bytes(signed.public_bytes(pem))
        (directory / f"{domain}.key").write_bytes(_private(key))
    return authority


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate(home: Path) -> tuple[Path, ssl.SSLContext]:
    """Make both; return the authority's file, and a server's context with the certificate."""
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority, public, private = (home / name for name in ("ca.pem", "server.pem", "server.key"))
    pem = serialization.Encoding.PEM
    authority.write_bytes(_signed("authority", root, root, ca=True).public_bytes(pem))
    public.write_bytes(_signed("127.0.0.1", key, root, ca=False).public_bytes(pem))
    private.write_bytes(_private(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return authority, context
