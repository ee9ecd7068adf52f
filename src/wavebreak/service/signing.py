"""Signatures of webhooks, after the Standard Webhooks convention (HMAC-SHA-256).

Secrets are not stored: each is derived from the deployment's key, the webhook's id and a generation
number, so that a copy of the database signs nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"


def secret(key: bytes, webhook: str, generation: int) -> str:
    """Derive a webhook's secret of a generation: `whsec_` and 32 bytes in base64.

    >>> secret(b"0" * 16, "hook", 1).startswith("whsec_")
    True
    >>> secret(b"0" * 16, "hook", 1) == secret(b"0" * 16, "hook", 2)
    False
    """
    told = f"wavebreak webhook\0{webhook}\0{generation}".encode()
    return PREFIX + base64.b64encode(hmac.digest(key, told, hashlib.sha256)).decode()


def headers(secrets: Sequence[str], message: str, at_s: int, body: bytes) -> dict[str, str]:
    """Headers that sign `body` as `message` at `at_s` (seconds), once with each secret.

    While a secret is rotated both sign, and a receiver that knows either is content.

    >>> sorted(headers(["whsec_MDAwMA=="], "msg_1", 0, b"{}"))
    ['webhook-id', 'webhook-signature', 'webhook-timestamp']
    """
    told = f"{message}.{at_s}.".encode() + body
    keys = [base64.b64decode(s.removeprefix(PREFIX)) for s in secrets]
    signed = (base64.b64encode(hmac.digest(k, told, hashlib.sha256)).decode() for k in keys)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signed),
    }
