"""Tables of the people who sign in."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from wavebreak_server.slices.users.permissions import ROLE_NAMES, may
from wavebreak_server.storage.models import VerifiedModel, VerifiedQuerySet

USERNAME = RegexValidator(r"^[a-z][a-z0-9._-]{1,23}$", "2 to 24 of a-z, 0-9, dot, dash")


def credentials_digest(user_id: int) -> bytes:
    """Return the digest of a person's factors and providers' accounts; empty where there are none.

    The time of the last use, and what a provider says of the person, are no part of it.
    """
    factors = Authenticator.objects.filter(user_id=user_id).order_by("pk")
    accounts = SocialAccount.objects.filter(user_id=user_id).order_by("pk")
    rows: list[tuple[Any, ...]] = [
        *factors.values_list("pk", "type", "data"),
        *accounts.values_list("pk", "provider", "uid"),
    ]
    if not rows:
        return b""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).digest()


class PeopleManager(UserManager.from_queryset(VerifiedQuerySet)):  # type: ignore[misc]
    """People whose rows are proven."""

    use_in_migrations = False


class User(VerifiedModel, AbstractUser):
    """A person who signs in. `role` decides what they may see and do.

    `credentials` is a digest of their second factors and of the accounts of providers by which they
    sign in, whose tables have no MAC of their own (see `credentials`).

    `key_map` remaps the keyboard shortcuts, `keys_off` switches single keys off. `language` is the
    code of the language of their pages ("": that of the browser).
    """

    AUTHENTICATED = (
        "id", "username", "password", "role", "is_active", "is_staff", "is_superuser",
        "display_name", "credentials",
    )  # fmt: skip

    username = models.CharField(max_length=24, unique=True, validators=[USERNAME])
    role = models.CharField(max_length=16, choices=tuple(ROLE_NAMES.items()), default="auditor")
    display_name = models.CharField(max_length=80, blank=True)
    key_map = models.JSONField(default=dict, blank=True)
    keys_off = models.BooleanField(default=False)
    language = models.CharField(max_length=8, blank=True, default="")
    credentials = models.BinaryField(max_length=32, default=b"")

    objects = PeopleManager()

    class Meta:
        app_label = "console"
        db_table = "console_user"

    @property
    def actor(self) -> str:
        """The name under which acts are audited and sealed."""
        return f"user:{self.username}"

    @property
    def shown_name(self) -> str:
        """The name that others see."""
        return str(self.display_name or self.username)

    @property
    def version(self) -> str:
        """What a form names that was read while role, password and access were these."""
        held = (self.role, str(self.is_active), self.password)
        return str(salted_hmac("user-version", "\n".join(held)).hexdigest())[:16]

    def has_proven_credentials(self) -> bool:
        """Whether the factors and providers' accounts are those that the service stored."""
        return bytes(self.credentials) == credentials_digest(self.pk)

    def find_fault(self) -> str:
        """Return what was changed without the deployment's key; empty if nothing was."""
        fault = super().find_fault()
        if fault or self.has_proven_credentials():
            return fault
        return f"a second factor or provider's account of person {self.username} was changed"

    def may(self, permission: str) -> bool:
        """Whether the person has a permission."""
        return bool(self.is_active) and may(self.role, permission)
