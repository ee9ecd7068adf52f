"""Tables of the people who sign in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from wavebreak_server.slices.users.permissions import ROLE_NAMES, may

USERNAME = RegexValidator(r"^[a-z][a-z0-9._-]{1,23}$", "2 to 24 of a-z, 0-9, dot, dash")


class User(AbstractUser):
    """A person who signs in. `role` decides what they may see and do.

    `key_map` remaps the keyboard shortcuts, `keys_off` switches single keys off. `language` is the
    code of the language of their pages ("": that of the browser).
    """

    username = models.CharField(max_length=24, unique=True, validators=[USERNAME])
    role = models.CharField(max_length=16, choices=tuple(ROLE_NAMES.items()), default="auditor")
    display_name = models.CharField(max_length=80, blank=True)
    key_map = models.JSONField(default=dict, blank=True)
    keys_off = models.BooleanField(default=False)
    language = models.CharField(max_length=8, blank=True, default="")

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

    def may(self, permission: str) -> bool:
        """Whether the person has a permission."""
        return bool(self.is_active) and may(self.role, permission)
