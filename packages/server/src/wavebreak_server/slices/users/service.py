"""People of the console: creation by an administrator or the command line, and their sessions."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError

from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import ROLES

_WHOSE = ("_auth_user_id", "account_authentication_methods_user")
"""Where a session says whose it is: once signed in, and once the password was right."""


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


def end_sessions(user: User, keep: str = "") -> int:
    """End every session of a person, and every sign-in that waits for its second factor.

    Args:
        user: The person.
        keep: The key of a session that goes on ("": none).

    Returns:
        How many ended.

    """
    ended = 0
    for session in Session.objects.exclude(session_key=keep).iterator():
        if str(user.pk) in map(session.get_decoded().get, _WHOSE):
            session.delete()
            ended += 1
    return ended
