"""Proof bundles: entries of a ledger with proofs and openings that the verifier alone checks."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.entries import Openings
from wavebreak.ledger.errors import convert_verifier_errors
from wavebreak.ledger.ledger import Ledger
from wavebreak.ledger.verifier import LEAF, canonical, hash_node, read_json


def proof_bundle(
    ledger: Ledger,
    positions: Iterable[int],
    openings: Mapping[int, Openings] | None = None,
    *,
    since: int | None = None,
) -> dict[str, bytes]:
    """Return the files of a proof bundle by name, under the ledger's last checkpoint.

    Args:
        ledger: The ledger.
        positions: Positions of the entries.
        openings: The openings that the reader may see, by position.
        since: The size of a checkpoint that the reader has: adds the consistency proof from it.
    """
    lines = [
        encode_proof(ledger, position, (openings or {}).get(position, {}))
        for position in sorted(set(positions))
    ]
    files = {
        "checkpoints.jsonl": _line(ledger.note.decode()),
        "key.pub": f"{encode_verifier_key(ledger.signer.key)}\n".encode(),
        "proofs.jsonl": b"".join(map(_line, lines)),
    }
    if since is not None:
        files["consistency.json"] = canonical(encode_hashes(ledger.consistency(since))).encode()
    return files


def encode_proof(ledger: Ledger, position: int, openings: Openings) -> dict[str, Any]:
    """Return one entry with its proof, as a value: a line of `proofs.jsonl`."""
    line = ledger.storage.line(position)
    with convert_verifier_errors():
        return {
            "entry": read_json(line, "entry"),
            "leaf": encode_hashes([hash_node(LEAF, line)])[0],
            "openings": {field: [salt.hex(), value] for field, (salt, value) in openings.items()},
            "path": encode_hashes(ledger.prove(position)),
            "position": position,
        }


def encode_hashes(hashes: Iterable[bytes]) -> list[str]:
    """Encode hashes in base64, as in `proofs.jsonl`."""
    return [base64.b64encode(digest).decode() for digest in hashes]


def _line(value: Any) -> bytes:
    return canonical(value).encode() + b"\n"
