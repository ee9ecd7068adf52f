"""A request of one homeserver to another, made by hand with the first one's signing key."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from synapse_support.homeserver import Homeserver


def canonical(value: Any) -> bytes:
    """Return JSON as Matrix signs it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def hashed(pdu: dict[str, Any]) -> dict[str, Any]:
    """Return an event with the hash that its content has."""
    covered = {name: pdu[name] for name in pdu if name not in ("unsigned", "signatures", "hashes")}
    digest = base64.b64encode(hashlib.sha256(canonical(covered)).digest()).decode()
    return pdu | {"hashes": {"sha256": digest.rstrip("=")}}


def signing_key(home: Path) -> tuple[str, Ed25519PrivateKey]:
    """Return id and key of the homeserver in a directory."""
    algorithm, version, seed = (home / "signing.key").read_text().split()
    raw = base64.b64decode(seed + "=" * (-len(seed) % 4))
    return f"{algorithm}:{version}", Ed25519PrivateKey.from_private_bytes(raw)


def federate(origin: Homeserver, to: Homeserver, path: str, body: Any) -> httpx.Response:
    """Post a body to a homeserver, signed by another one."""
    key_id, key = signing_key(origin.home)
    signed = {"method": "POST", "uri": path, "origin": origin.name, "destination": to.name}
    signature = base64.b64encode(key.sign(canonical(signed | {"content": body}))).decode()
    header = (
        f'X-Matrix origin="{origin.name}",destination="{to.name}",key="{key_id}",'
        f'sig="{signature.rstrip("=")}"'
    )
    return httpx.post(to.url + path, json=body, headers={"Authorization": header}, timeout=60)
