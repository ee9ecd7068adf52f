"""Signed checkpoints of a ledger (C2SP signed-note): keys, signatures, time stamps.

Time stamps follow RFC 3161: an authority signs that a checkpoint existed at a time. The connection
to the authority is an argument, a function that sends a request and returns the response.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wavebreak.durable_files import create_file
from wavebreak.errors import EvidenceError, FileError
from wavebreak.extras import LazyModule
from wavebreak.ledger import key_changes
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.verifier import LOG, WITNESS, Key, key_id, read_key
from wavebreak.ledger.verifier import fingerprint as fingerprint
from wavebreak.privacy.secret_key import read_secret_file

if TYPE_CHECKING:
    import rfc3161_client as rfc3161
    from cryptography import x509
    from cryptography.x509 import Certificate as Certificate
else:  # certificates of time stamps: most commands meet none
    rfc3161 = LazyModule("rfc3161_client")
    x509 = LazyModule("cryptography.x509")

PRIVATE = "PRIVATE+KEY"


class Signer(NamedTuple):
    """A named signing key of a log (`kind` LOG) or of a witness (WITNESS)."""

    name: str
    kind: int
    secret: bytes

    @property
    def key(self) -> Key:
        """The verifier key of this signing key."""
        public = _private_key(self).public_key().public_bytes_raw()
        return Key(self.name, key_id(self.name, self.kind, public), self.kind, public)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of a message.

        A message begins with a purpose, so that a signature over one kind of message is invalid
        for another: a checkpoint begins with an origin.
        """
        return _private_key(self).sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"


@lru_cache(maxsize=8)
def _private_key(signer: Signer) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(signer.secret)


def new_signer(name: str, kind: int = LOG, secret: bytes | None = None) -> Signer:
    """Make a key of this name; `secret` are the 32 bytes (None: random ones).

    The name of a log's key is the log's origin: a host and path without a scheme, as C2SP wants.
    Raises EvidenceError for a name with spaces or a plus sign.
    """
    if not name or "+" in name or not name.isprintable() or any(map(str.isspace, name)):
        raise EvidenceError(
            "a key's name may not have spaces or a plus sign",
            name="key_malformed",
            fix="name it as a host and a path: example.org/wavebreak",
        )
    return Signer(name, kind, secret or secrets.token_bytes(32))


def encode_verifier_key(key: Key) -> str:
    """Encode a verifier key, which is public: for checks of signatures.

    >>> key = encode_verifier_key(new_signer("example.org/log", secret=bytes(32)).key)
    >>> key
    'example.org/log+4e933303+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop'
    >>> read_key(key).name
    'example.org/log'
    """
    return f"{key.name}+{key.id.hex()}+{_encode_base64(bytes([key.kind]) + key.public)}"


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encode_signer(signer: Signer) -> str:
    """Encode a signing key, a secret, as one line of text."""
    encoded = _encode_base64(bytes([signer.kind]) + signer.secret)
    return f"{PRIVATE}+{signer.name}+{signer.key.id.hex()}+{encoded}\n"


def decode_signer(text: str) -> Signer:
    """Decode a signing key that `encode_signer` wrote; raises EvidenceError."""
    private, _, rest = text.strip().partition(f"{PRIVATE}+")
    name, _, tail = rest.partition("+")
    number, _, encoded = tail.partition("+")
    with convert_verifier_errors("give the file that `wavebreak ledger keygen` wrote"):
        raw = base64.b64decode(encoded, validate=True)
        signer = Signer(name, raw[0] if raw else 0, raw[1:])
        if private or len(raw) != 33 or raw[0] not in (LOG, WITNESS):
            raise ValueError
        if signer.key.id.hex() != number:
            raise ValueError
    return signer


def load_signer(path: Path) -> Signer:
    """Read a signing key from a file of mode 0600.

    Raises:
        FileError: The file cannot be read.
        UsageError: Other users can read or change the file, or own the file.
        EvidenceError: The file holds no signing key.
    """
    return decode_signer(read_secret_file(path, "key file"))


def load_or_create_signer(path: Path | None) -> Signer:
    """Read the signing key of a log; the first use creates the key.

    Without `path` the environment's WAVEBREAK_LEDGER_KEY decides (the text of `ledger keygen`, or
    the path of it), else ~/.config/wavebreak/ledger.key.
    """
    if path is None:
        value = os.environ.get("WAVEBREAK_LEDGER_KEY", "").strip()
        if value.startswith(PRIVATE):
            return decode_signer(value)
        path = Path(value) if value else None
    path = path or Path.home() / ".config" / "wavebreak" / "ledger.key"
    if not path.exists():
        save_signer(new_signer(f"wavebreak.local/{secrets.token_hex(4)}"), path)
    return load_signer(path)


def save_signer(signer: Signer, path: Path) -> None:
    """Write a signing key to a new file with mode 0600; raises FileError where the file exists."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_file(path, encode_signer(signer).encode(), mode=0o600)
    except OSError as e:
        raise FileError(
            f"the key file {path} cannot be made: {e.strerror}",
            fix="name a file that does not exist yet",
        ) from None


def load_verifier_key(text: str) -> Key:
    """Read a verifier key from a text or a file.

    Raises FileError for an unreadable file, EvidenceError for a text without a key.
    """
    fix = "give name+id+base64, or a file with it: `wavebreak ledger keygen` writes one"
    try:
        key = text if "+" in text else Path(text).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise FileError(f"the key file {text} cannot be read", fix=fix) from None
    with convert_verifier_errors(fix):
        return read_key(key)


def sign_checkpoint(signer: Signer, size: int, root: bytes) -> bytes:
    """Write and sign a checkpoint; the origin is the signer's name."""
    text = f"{signer.name}\n{size}\n{_encode_base64(root)}\n"
    return sign_note([signer], text)


def sign_note(signers: Sequence[Signer], text: str) -> bytes:
    """Sign a text that ends in a newline, by each of the signers (C2SP signed-note)."""
    signatures = (
        f"— {signer.name} {_encode_base64(signer.key.id + signer.sign(text.encode()))}\n"
        for signer in signers
    )
    return f"{text}\n{''.join(signatures)}".encode()


def encode_key_change(change: key_changes.KeyChange, signers: Sequence[Signer]) -> bytes:
    """Write and sign a statement; the signers are the later key, and of a retired one the earlier.

    Raises EvidenceError for keys of different logs, or where a signature is missing.
    """
    keys = (encode_verifier_key(change.before), encode_verifier_key(change.after))
    text = "\n".join((key_changes.HEADING, *keys, change.why, str(change.at), ""))
    note = sign_note(signers, text)
    with convert_verifier_errors("give two keys of one log, and their signers"):
        if key_changes.read_change(note) != change:
            raise ledger_error("key_change", "a statement is of other keys than were given")
    return note


SendRequest = Callable[[bytes], bytes]
"""Sends a request (application/timestamp-query) to an authority; returns its response (DER)."""
MAX_RESPONSE = 1 << 16
SHA256_OID = "2.16.840.1.101.3.4.2.1"


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Read the certificates of authorities that are trusted; raises EvidenceError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ledger_error(
            "stamp_roots", "the file has no certificates in PEM", "give the authority's PEM file"
        ) from None


def request_time_stamp(note: bytes, ask: SendRequest, roots: Sequence[x509.Certificate]) -> bytes:
    """Request a time stamp of a checkpoint; return the checked response. Raises EvidenceError."""
    request = (
        rfc3161.TimestampRequestBuilder()
        .data(note)
        .hash_algorithm(rfc3161.HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    response = ask(request.as_bytes())
    check_time_stamp(note, response, roots, nonce=request.nonce)
    return response


def check_time_stamp(
    note: bytes, response: bytes, roots: Sequence[x509.Certificate], *, nonce: int | None = None
) -> datetime:
    """Check an authority's response for a checkpoint; return the time of the stamp (UTC).

    Raises EvidenceError: `stamp_malformed`, `stamp_refused`, `stamp_other_digest`, `stamp_nonce`,
    or `stamp_untrusted` for a signature or certificate that does not lead to `roots`.
    """
    stamp = _read_response(note, response)
    if nonce is not None and stamp.tst_info.nonce != nonce:
        raise _stamp_error("nonce", "the response is for another request")
    builder = rfc3161.VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify(stamp, sha256(note).digest())
    except (rfc3161.VerificationError, ValueError):
        raise _stamp_error(
            "untrusted", "it is not signed by an authority that is trusted"
        ) from None
    return stamp.tst_info.gen_time.astimezone(UTC)


def stamp_said(note: bytes, response: bytes) -> datetime:
    """Return the time (UTC) in a stamp of a checkpoint, without a check of the signature.

    Raises EvidenceError as `check_time_stamp` does, except for the signature.
    """
    return _read_response(note, response).tst_info.gen_time.astimezone(UTC)


def _read_response(note: bytes, response: bytes) -> rfc3161.TimeStampResponse:
    """Read a granted response for this checkpoint, without a check of the signature."""
    try:
        stamp = rfc3161.decode_timestamp_response(response[: MAX_RESPONSE + 1])
    except ValueError:
        stamp = None
    if len(response) > MAX_RESPONSE or stamp is None or stamp.as_bytes() != response:
        raise _stamp_error("malformed", "the authority's response is not a time stamp")
    if rfc3161.PKIStatus(stamp.status) != rfc3161.PKIStatus.GRANTED:
        raise _stamp_error("refused", "the authority did not grant it")
    imprint = stamp.tst_info.message_imprint
    digest = (imprint.hash_algorithm.dotted_string, imprint.message)
    if digest != (SHA256_OID, sha256(note).digest()):
        raise _stamp_error("other_digest", "the time stamp is of other bytes")
    return stamp


def _stamp_error(name: str, problem: str) -> EvidenceError:
    return ledger_error(
        f"stamp_{name}",
        problem,
        "stamp the checkpoint again with `wavebreak ledger stamp`, or give the certificate of "
        "the authority that signed it",
    )
