"""Encryption at rest, under keys that are derived from the deployment's."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet
from django.conf import settings


def encryption(purpose: str) -> Fernet:
    """Return the encryption of a purpose, whose key is derived from the deployment's."""
    key = hmac.digest(settings.SECRET_KEY.encode(), f"encrypt {purpose}".encode(), hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(key))
