"""Proof of second factors and of providers' accounts, whose tables belong to a library.

A person's row holds a digest of them, and the row's MAC is over it. Nobody whose credentials differ
from it signs in, or stays signed in: a factor that was added, exchanged or removed in the database
serves nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from wavebreak_server.errors import DomainError
from wavebreak_server.slices.users.models import User, credentials_digest


class ProvenCredentialsBackend(AuthenticationBackend):
    """Signs in people whose credentials are proven; checked at each request too."""

    def user_can_authenticate(self, user: User) -> bool:
        """Whether somebody may sign in."""
        return super().user_can_authenticate(user) and user.has_proven_credentials()


def _check_before(instance: Any, **_more: Any) -> None:
    """Refuse to change the credentials of somebody whose stored ones are not proven."""
    user = User.objects.filter(pk=instance.user_id).first()
    if user is None or not user.has_proven_credentials():
        raise DomainError("row-changed", row=f"credentials of person {instance.user_id}")


def _prove_after(instance: Any, **_more: Any) -> None:
    digest = credentials_digest(instance.user_id)
    for user in User.objects.filter(pk=instance.user_id):
        if bytes(user.credentials) != digest:
            User.objects.filter(pk=user.pk).update(credentials=digest)


def connect_signals() -> None:
    """Keep each person's digest true while the library changes its rows."""
    for model in (Authenticator, SocialAccount):
        for signal, act in (
            (pre_save, _check_before),
            (pre_delete, _check_before),
            (post_save, _prove_after),
            (post_delete, _prove_after),
        ):
            signal.connect(act, sender=model, dispatch_uid=f"{model.__name__} {act.__name__}")


def adopt_users(rows: Iterable[Any]) -> int:
    """Prove people as they are, once, when the tables of an earlier version are migrated.

    Args:
        rows: Rows with the columns of that time.

    Returns:
        How many there are.
    """
    count = 0
    for row in rows:
        names = [name for name in User.AUTHENTICATED if name != "credentials"]
        user = User(**{name: getattr(row, name) for name in names})
        user.credentials = credentials_digest(user.pk)
        user.authenticate()
        table = type(row)._base_manager.filter(pk=user.pk)
        table.update(credentials=user.credentials, mac=user.mac)
        count += 1
    return count
