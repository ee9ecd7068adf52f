"""People of the console: creation by an administrator or the command line, and their sessions."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError

from wavebreak.console.models import User
from wavebreak.console.permissions import ROLES


def create_user(name: str, role: str, password: str) -> User:
    """Create a person's account, in the open transaction.

    Raises ValidationError for a name, a role or a password that will not do.
    """
    if role not in ROLES:
        raise ValidationError(f"the role is unknown: use {', '.join(ROLES)}")
    user = User(username=name, role=role)
    validate_password(password, user)
    user.set_password(password)
    user.full_clean()
    user.save()
    return user


def end_sessions(user: User) -> None:
    """End every open session of a person."""
    for session in Session.objects.iterator():
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()
