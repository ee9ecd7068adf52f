"""Proofs of the rows of a service's log: a salted commitment, a chain of commitments, and a MAC.

The MAC shows that a holder of the deployment's key wrote the row at this position. The chain ties
each row to all rows before it, so that a row of another log does not fit.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

import msgspec

PURPOSE, START_PURPOSE = "log_batch", "log_start"
"""Purposes of the derived keys (`secret_key.derived_key`) of rows, and of the log's beginning."""
CHAIN_START = bytes(32)
"""The chain before the log's first row."""
SALT_BYTES = 32
_LEAF, _CHAIN = b"wavebreak log row v1\0", b"wavebreak log chain v1\0"


class LogRowProof(NamedTuple):
    """The proof of a row.

    Attributes:
        salt: Random bytes, so that nobody can guess a row from its commitment.
        leaf: The commitment to the row as it was first written; an erasure leaves it.
        chain: Hash of the chain before the row, and of `leaf`.
        mac: MAC of the row and of all this; empty without a key.
    """

    salt: bytes
    leaf: bytes
    chain: bytes
    mac: bytes


LogRowContent = tuple[int, int, int, bytes]
"""First position, count, time of receipt (ms) and SHA-256 of a row."""


def commit_row(salt: bytes, content: LogRowContent) -> bytes:
    """Return the commitment to a row."""
    return hashlib.sha256(_LEAF + salt + msgspec.msgpack.encode(content)).digest()


def next_chain(chain: bytes, leaf: bytes) -> bytes:
    """Return the chain after a row, from the chain before it."""
    return hashlib.sha256(_CHAIN + chain + leaf).digest()


def prove_row(key: bytes | None, chain: bytes, content: LogRowContent) -> LogRowProof:
    """Return the proof of a new row, which follows `chain`."""
    salt = secrets.token_bytes(SALT_BYTES)
    leaf = commit_row(salt, content)
    chain = next_chain(chain, leaf)
    return LogRowProof(salt, leaf, chain, _mac(key, content, salt, leaf, chain))


def prove_rewritten(key: bytes | None, proof: LogRowProof, content: LogRowContent) -> LogRowProof:
    """Return the proof of a row that an erasure rewrote: another salt, in the same place.

    The former salt is lost with the former content, which then nobody can try out.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    mac = _mac(key, content, salt, proof.leaf, proof.chain)
    return proof._replace(salt=salt, mac=mac)


def is_proven(key: bytes, proof: LogRowProof, content: LogRowContent) -> bool:
    """Whether a row has the MAC of the key.

    >>> content = (0, 2, 1_700_000_000_000, bytes(32))
    >>> proof = prove_row(bytes(32), CHAIN_START, content)
    >>> is_proven(bytes(32), proof, content), is_proven(bytes(32), proof, (1, *content[1:]))
    (True, False)
    """
    return hmac.compare_digest(_mac(key, content, proof.salt, proof.leaf, proof.chain), proof.mac)


def _mac(
    key: bytes | None, content: LogRowContent, salt: bytes, leaf: bytes, chain: bytes
) -> bytes:
    if key is None:
        return b""
    return hmac.digest(key, msgspec.msgpack.encode((*content, salt, leaf, chain)), "sha256")
