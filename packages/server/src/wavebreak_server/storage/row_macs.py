"""MACs of database rows under the deployment's key.

Who can write the database, and does not hold the key, cannot make a row that the service takes for
its own. The key is bound with the database: Django's settings of the connection hold it. Without
one (a command that only reads, a program that uses the package) rows are written without a MAC,
and none is checked.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db import connections

from wavebreak.io import log_proofs
from wavebreak.io.log_proofs import LogRowContent, LogRowProof
from wavebreak.privacy.secret_key import derived_key

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


def prove_row(chain: bytes, content: LogRowContent) -> LogRowProof:
    """Return the proof of a new row of the log, which follows `chain`."""
    return log_proofs.prove_row(bound_key(log_proofs.PURPOSE), chain, content)


def prove_rewritten(proof: LogRowProof, content: LogRowContent) -> LogRowProof:
    """Return the proof of a row of the log that an erasure rewrote."""
    return log_proofs.prove_rewritten(bound_key(log_proofs.PURPOSE), proof, content)


def is_proven(proof: LogRowProof, content: LogRowContent) -> bool:
    """Whether a row of the log has the MAC of the bound key; True while none is bound."""
    key = bound_key(log_proofs.PURPOSE)
    return key is None or log_proofs.is_proven(key, proof, content)
