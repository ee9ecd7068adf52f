"""Sessions in the database that nobody makes, or takes over, with the database alone.

A row is found by a digest of the session's key, which only the browser's cookie has, and its data
is signed together with that digest. A row that was copied under another key signs nobody in.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

_COLUMN = 40
"""Hex digits of the digest that a row is found by: 160 bits."""


def stored_key(session_key: str) -> str:
    """Return what a session is stored under."""
    return str(salted_hmac("session key", session_key, algorithm="sha256").hexdigest())[:_COLUMN]


def read_session(row: Session) -> dict[str, Any]:
    """Return the data of a stored session; nothing where the service did not sign it."""
    try:
        content: dict[str, Any] = signing.loads(
            row.session_data,
            salt=session_salt(row.session_key),
            serializer=import_string(settings.SESSION_SERIALIZER),
        )
    except signing.BadSignature:
        return {}
    return content


def session_salt(key: str) -> str:
    """Return what the data of a stored session is signed with, by its row's key."""
    return f"session {key}"


class SessionStore(DatabaseStore):
    """Sessions by the digest of their keys."""

    @property
    def key_salt(self) -> str:
        """What the signature is made with: the row that the data belongs to."""
        return session_salt(stored_key(self.session_key or ""))

    def _get_session_from_db(self) -> Session | None:
        key = stored_key(self.session_key or "")
        rows = Session.objects.filter(session_key=key, expire_date__gt=timezone.now())
        row: Session | None = rows.first()
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        """Whether there is a session with a key."""
        return bool(Session.objects.filter(session_key=stored_key(session_key)).exists())

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """Return the row of the session as it is."""
        key = stored_key(self._get_or_create_session_key())
        content = self.encode(data)
        return Session(session_key=key, session_data=content, expire_date=self.get_expiry_date())

    def delete(self, session_key: str | None = None) -> None:
        """Delete the session with a key (None: this one)."""
        key = session_key or self.session_key
        if key is not None:
            Session.objects.filter(session_key=stored_key(key)).delete()
