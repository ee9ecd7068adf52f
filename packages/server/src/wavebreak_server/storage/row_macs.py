"""MACs of database rows under the deployment's key.

Who can write the database, and does not hold the key, cannot make a row that the service takes for
its own. The key is bound with the database: Django's settings of the connection hold it. Without
one (a command that only reads, a program that uses the package) rows are written without a MAC,
and none is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from django.db import connections

from wavebreak.privacy.secret_key import derived_key

_LEAF, _CHAIN = b"wavebreak log row v1\0", b"wavebreak log chain v1\0"
CHAIN_START = bytes(32)
"""The chain before the log's first row."""
SALT_BYTES = 32
ROW_KEYS = "ROW_KEYS"
"""Where the settings of the database's connection hold the keys; see `database.connect`."""


class RowKeys:
    """Keys that are derived from the deployment's, one a purpose."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._keys: dict[str, bytes] = {}

    def of(self, purpose: str) -> bytes:
        """Return the key for a purpose."""
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = derived_key(self._secret, purpose)
        return key


def bind(secret: bytes | None) -> None:
    """Bind the deployment's key; None: rows are neither authenticated nor checked."""
    connections.settings["default"][ROW_KEYS] = None if secret is None else RowKeys(secret)


def bound_key(purpose: str) -> bytes | None:
    """Return the bound key for a purpose; None while none is bound."""
    keys: RowKeys | None = connections.settings["default"].get(ROW_KEYS)
    return None if keys is None else keys.of(purpose)


def key_id() -> str:
    """Return eight hex digits that tell deployment keys apart; empty while none is bound."""
    key = bound_key("key id")
    return "" if key is None else key[:4].hex()


def row_mac(table: str, values: Sequence[Any]) -> bytes:
    """Return the MAC of a row of a table; empty while no key is bound.

    >>> bind(bytes(32))
    >>> made = row_mac("api_key", ["1a2b3c4d", 1.0, None])
    >>> len(made), is_authentic("api_key", ["1a2b3c4d", 2.0, None], made)
    (32, False)
    >>> bind(None)
    """
    key = bound_key(table)
    return b"" if key is None else hmac.digest(key, msgspec.msgpack.encode(values), "sha256")


def is_authentic(table: str, values: Sequence[Any], mac: bytes) -> bool:
    """Whether a row has the MAC that the bound key gives it; True while no key is bound."""
    return bound_key(table) is None or hmac.compare_digest(row_mac(table, values), mac)


class LogRowProof(NamedTuple):
    """What a row of the log is authenticated by.

    Attributes:
        salt: Random bytes, so that nobody can guess a row from its commitment.
        leaf: The commitment to the row as it was first written; an erasure leaves it.
        chain: Hash of the chain before the row, and of `leaf`.
        mac: MAC of the row and of all this; empty while no key is bound.
    """

    salt: bytes
    leaf: bytes
    chain: bytes
    mac: bytes


LogRowContent = tuple[int, int, int, bytes]
"""First position, count, time of receipt (ms) and SHA-256 of a row of the log."""


def commit_row(salt: bytes, content: LogRowContent) -> bytes:
    """Return the commitment to a row of the log."""
    return hashlib.sha256(_LEAF + salt + msgspec.msgpack.encode(content)).digest()


def next_chain(chain: bytes, leaf: bytes) -> bytes:
    """Return the chain after a row, from that before it."""
    return hashlib.sha256(_CHAIN + chain + leaf).digest()


def prove_row(chain: bytes, content: LogRowContent) -> LogRowProof:
    """Return the proof of a new row, which follows `chain`."""
    salt = secrets.token_bytes(SALT_BYTES)
    leaf = commit_row(salt, content)
    chain = next_chain(chain, leaf)
    return LogRowProof(salt, leaf, chain, _log_mac(content, salt, leaf, chain))


def prove_rewritten(proof: LogRowProof, content: LogRowContent) -> LogRowProof:
    """Return the proof of a row that an erasure rewrote: another salt, in the same place.

    The former salt is lost with the former content, which then nobody can try out.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    return LogRowProof(
        salt, proof.leaf, proof.chain, _log_mac(content, salt, proof.leaf, proof.chain)
    )


def _log_mac(content: LogRowContent, salt: bytes, leaf: bytes, chain: bytes) -> bytes:
    return row_mac("log_batch", (*content, salt, leaf, chain))


def is_proven(proof: LogRowProof, content: LogRowContent) -> bool:
    """Whether a row of the log has the MAC of the bound key; True while none is bound."""
    values = (*content, proof.salt, proof.leaf, proof.chain)
    return is_authentic("log_batch", values, proof.mac)
