"""Adapters of django-allauth: no sign-up, roles by OpenID Connect, encrypted secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.http import HttpRequest

from wavebreak.console.models import User


def encryption(purpose: str) -> Fernet:
    """Return the encryption of a purpose, whose key is derived from the deployment's."""
    key = hmac.digest(settings.SECRET_KEY.encode(), f"encrypt {purpose}".encode(), hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(key))


class AccountAdapter(DefaultAccountAdapter):
    """Accounts of the console are created by an administrator, not by signing up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up."""
        return False

    def send_notification_mail(self, *_args: Any, **_more: Any) -> None:
        """Send nothing: the console has no mail server; the audit log has the change."""


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """OpenID Connect: who has an account here may sign in; others need `auto_create`."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether an unknown person of the provider gets an account: only if configured."""
        return bool(_oidc(sociallogin).get("auto_create", False))

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """Return the user with the role that the provider's claim names, else an auditor."""
        user: User = super().populate_user(request, sociallogin, data)
        oidc = _oidc(sociallogin)
        claim = sociallogin.account.extra_data.get(oidc.get("role_claim", ""), "")
        claimed = claim if isinstance(claim, list) else [claim]
        roles = oidc.get("roles", {})
        user.role = next((roles[c] for c in claimed if c in roles), "auditor")
        return user


def _oidc(sociallogin: Any) -> dict[str, Any]:
    app = sociallogin.provider.app
    return dict(app.settings) if app else {}


class MfaAdapter(DefaultMFAAdapter):
    """Second factors: secrets are encrypted at rest, under a key that is not in the database."""

    def encrypt(self, text: str) -> str:
        """Encrypt a secret."""
        return encryption("second factor").encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt a secret."""
        return encryption("second factor").decrypt(encrypted_text.encode()).decode()
