"""The audit of sign-ins: who came in, who failed, who left, and every change of a credential.

No password, no address and no name that nobody has is written: people type a password where the
name belongs. A changed credential ends the person's other sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.signals import password_changed
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.socialaccount import signals as social
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.dispatch import Signal, receiver
from django.http import HttpRequest

from wavebreak_server.console.site import app_of
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.http.rate_limit import TokenBucket
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.service import end_sessions

NOBODY = "sign-in"
"""The key of entries about somebody who has not shown who they are."""
UNKNOWN = "unknown name"
UNNAMED = (1 / 60, 30.0)
"""Entries a second and at once about attempts that concern no known person: anybody causes them."""
FACTORS: dict[str, str] = {
    Authenticator.Type.TOTP: "authenticator app",
    Authenticator.Type.WEBAUTHN: "passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery codes",
}
_FACTOR_ACTIONS: dict[Signal, str] = {
    mfa.authenticator_added: "add_factor",
    mfa.authenticator_removed: "remove_factor",
    mfa.authenticator_reset: "renew_factor",
}


class UnnamedAttempts:
    """Bounds the entries that anybody can cause; those left out are counted in the next one.

    >>> attempts = UnnamedAttempts(lambda: 0.0, (1.0, 1.0))
    >>> attempts.take(), attempts.take()
    (0, None)
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, terms: tuple[float, float] = UNNAMED
    ) -> None:
        self._bucket, self._lock, self._left_out = TokenBucket(*terms, clock), Lock(), 0

    def take(self) -> int | None:
        """Return how many were left out before this one; None if it is left out too."""
        with self._lock:
            if self._bucket.take() > 0:
                self._left_out += 1
                return None
            left_out, self._left_out = self._left_out, 0
            return left_out


def audit(request: HttpRequest, action: str, user: User, reason: str, *, done: bool = True) -> None:
    """Write an entry about a person; `done` False: it was refused, and may be somebody else's."""
    _write(request, action, user.actor if done else NOBODY, user.username, reason, done)


def audit_unnamed(request: HttpRequest, reason: str) -> None:
    """Write an entry about a refused sign-in of nobody who is known here, unless there are many."""
    left_out = app_of(request).state_of(UnnamedAttempts).take()
    if left_out is None:
        return
    more = f"; {left_out} more like it since the entry before" if left_out else ""
    _write(request, "sign_in", NOBODY, UNKNOWN, f"{reason}{more}", False)


def _write(
    request: HttpRequest, action: str, key: str, target: str, reason: str, done: bool
) -> None:
    scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
    now_ms = int(scope["wavebreak"].clock())
    with transaction.atomic():
        write_audit_entry(now_ms, key, action, target, reason, "done" if done else "refused")


def means_of(request: HttpRequest, user: User) -> str:
    """Return by what a person has signed in, in words: `password and authenticator app`."""
    words = {"password": "password", "socialaccount": "OpenID Connect"}
    named = [
        FACTORS.get(str(record.get("type")), "") or words.get(record["method"], record["method"])
        for record in get_authentication_records(request, user)
        if not record.get("reauthenticated")
    ]
    return " and ".join(dict.fromkeys(named)) or "session"


def _changed(request: HttpRequest, action: str, user: User, reason: str) -> None:
    """Audit a change of a credential, and end the person's other sessions."""
    with transaction.atomic():
        ended = end_sessions(user, keep=request.session.session_key or "")
        many = f"; {ended} other session{'s' if ended > 1 else ''} ended" if ended else ""
        audit(request, action, user, f"{reason}{many}")


@receiver(user_logged_out)
def _on_sign_out(sender: Any, request: HttpRequest, user: User | None, **_more: Any) -> None:
    if user is not None:
        why = "the session was too old" if getattr(request, "session_over", False) else "asked for"
        audit(request, "sign_out", user, why)


@receiver(password_changed)
def _on_password(sender: Any, request: HttpRequest, user: User, **_more: Any) -> None:
    _changed(request, "change_password", user, "with the old password")


@receiver([mfa.authenticator_added, mfa.authenticator_removed, mfa.authenticator_reset])
def _on_factor(
    sender: Any, signal: Signal, request: HttpRequest, user: User, authenticator: Authenticator,
    **_more: Any,
) -> None:  # fmt: skip
    _changed(request, _FACTOR_ACTIONS[signal], user, FACTORS[authenticator.type])


@receiver(social.social_account_added)
def _on_provider_added(sender: Any, request: HttpRequest, sociallogin: Any, **_more: Any) -> None:
    if sociallogin.user == request.user:
        _changed(request, "add_provider", sociallogin.user, "OpenID Connect")
    else:
        audit(request, "add_provider", sociallogin.user, "known by the provider's claim")


@receiver(social.social_account_removed)
def _on_provider_removed(
    sender: Any, request: HttpRequest, socialaccount: Any, **_more: Any
) -> None:
    _changed(request, "remove_provider", socialaccount.user, "OpenID Connect")
