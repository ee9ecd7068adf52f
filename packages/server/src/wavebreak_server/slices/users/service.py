"""People of the console: creation by an administrator or the command line, and their sessions."""

from __future__ import annotations

import json
import secrets
import unicodedata
from hmac import compare_digest
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import ROLES
from wavebreak_server.slices.users.sessions import read_session, stored_key
from wavebreak_server.storage.models import AuditEntry
from wavebreak_server.texts import translate

_WHOSE = ("_auth_user_id", "account_authentication_methods_user")
"""Where a session says whose it is: once signed in, and once the password was right."""
CHANGES = (
    "add_user", "change_user", "reset_user", "change_name", "change_password", "add_factor",
    "remove_factor", "renew_factor", "add_provider", "remove_provider",
)  # fmt: skip
"""Entries of the audit log that change who somebody is here, or by what they show it."""
LOOKED_AT = 20_000
"""Newest entries of the audit log among which a person's own are looked for."""


class StaleUserError(ApiError):
    """A person is not as they were when the form about them was read."""

    def __init__(self) -> None:
        super().__init__(
            409,
            translate("the person was changed while you worked on it"),
            fix=translate("open the page anew"),
        )


def create_user(name: str, role: str, password: str) -> User:
    """Create a person's account, in the open transaction.

    Raises ValidationError for a name, a role or a password that will not do.
    """
    if role not in ROLES:
        raise ValidationError(translate("the role is unknown: use {names}", names=", ".join(ROLES)))
    user = User(username=name, role=role)
    validate_password(password, user)
    user.set_password(password)
    user.full_clean()
    user.save()
    return user


def people() -> list[tuple[User, bool]]:
    """Return everybody by name, each with whether they have a second factor."""
    secured = set(Authenticator.objects.values_list("user_id", flat=True))
    return [(user, user.id in secured) for user in User.objects.order_by("username")]


def new_password() -> str:
    """Return a password that is shown once."""
    return secrets.token_urlsafe(15)


def add_user(acting: ActingUser, name: str, role: str, reason: str) -> str:
    """Create a person's account and audit it; return its first password.

    Raises ApiError (422) for a name or a role that will not do.
    """
    password = new_password()
    try:
        with transaction.atomic():
            create_user(name, role, password)
            write_audit_entry(acting.now_ms, acting.user.actor, "add_user", name, reason)
    except ValidationError as error:
        raise ApiError(422, "; ".join(error.messages), fix=translate("change the form")) from None
    except IntegrityError:
        # Two at once: PostgreSQL shows neither what the other has not committed.
        raise ApiError(
            422, translate("the name is taken"), fix=translate("change the form")
        ) from None
    return password


def change_user(
    acting: ActingUser, user_id: int, version: str, role: str, reason: str, *, active: bool
) -> str:
    """Change a person's role, or switch the account off, and end their sessions.

    Args:
        acting: Who acts.
        user_id: The person.
        version: The person's version when the form was read.
        role: Their role from now on.
        reason: The reason, for the audit log.
        active: Whether they may sign in.

    Returns:
        What they are now, as the audit log says it.

    Raises:
        ApiError: (422) the person or the role is unknown, (409) it is the one who acts.
        StaleUserError: Somebody else has changed the person meanwhile.
    """
    user = User.objects.filter(id=user_id).first()
    if user is None or role not in ROLES:
        raise ApiError(
            422, translate("the person or the role is unknown"), fix=translate("open the page anew")
        )
    if user.id == acting.user.id:
        raise ApiError(
            409,
            translate("nobody changes their own role"),
            fix=translate("ask another administrator"),
        )
    with transaction.atomic():
        _change(user, version, role=role, is_active=active)
        end_sessions(user)
        what = f"{user.username}: {role}, {'active' if active else 'off'}"
        write_audit_entry(acting.now_ms, acting.user.actor, "change_user", what, reason)
    return what


def reset_user(acting: ActingUser, user_id: int, version: str, reason: str) -> tuple[User, str]:
    """Give a person a new password, and take what else might be somebody else's.

    Their second factors, the accounts of providers by which they sign in, the name that others see
    and their sessions end.

    Args:
        acting: Who acts.
        user_id: The person.
        version: The person's version when the form was read.
        reason: The reason, for the audit log.

    Raises:
        ApiError: (422) the person is unknown, or the one who acts.
        StaleUserError: Somebody else has changed the person meanwhile.
    """
    user: User | None = User.objects.filter(id=user_id).first()
    if user is None or user.id == acting.user.id:
        raise ApiError(
            422,
            translate("not this person"),
            fix=translate("change your own password in your profile"),
        )
    password = new_password()
    with transaction.atomic():
        _change(user, version, password=make_password(password), display_name="")
        for model in (Authenticator, SocialAccount):
            model.objects.filter(user=user).delete()
        end_sessions(user)
        write_audit_entry(acting.now_ms, acting.user.actor, "reset_user", user.username, reason)
    return user, password


def rename(acting: ActingUser, display_name: str) -> None:
    """Change the name under which others see the person who acts, and audit it.

    Raises ApiError (422) for a name that is somebody else's, or that shows otherwise than it is
    written.
    """
    user, name = acting.user, " ".join(display_name.split())[:80]
    if name == user.display_name:
        return
    colleagues = User.objects.exclude(id=user.id)
    others = {_folded(name) for u in colleagues for name in (u.username, u.display_name)}
    if name and (not name.isprintable() or _folded(name) in others):
        raise ApiError(
            422,
            translate("this name cannot be told from another one"),
            fix=translate("choose another name"),
        )
    with transaction.atomic():
        said = json.dumps([user.display_name, name], ensure_ascii=False)
        user.display_name = name
        user.save(update_fields=["display_name"])
        write_audit_entry(acting.now_ms, user.actor, "change_name", user.username, said)


def _folded(name: str) -> str:
    """Return a name without what hardly shows: case, accents, width.

    >>> _folded("D\u00e1na") == _folded("DANA")
    True
    """
    apart = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in apart if unicodedata.category(c) not in ("Mn", "Cf"))


def account_changes(user: User) -> QuerySet[AuditEntry]:
    """Return who changed a person's account, newest first, as far as the audit log is looked at."""
    about = Q(object=user.username) | Q(
        action="change_user", object__startswith=user.username + ":"
    )
    newest = AuditEntry.objects.aggregate(Max("number"))["number__max"] or 0
    recent = AuditEntry.objects.filter(about, number__gt=newest - LOOKED_AT, outcome="done")
    return recent.order_by("-number")


def changed_since_sign_in(user: User) -> bool:
    """Whether a person's account was changed since they signed in before."""
    entries = account_changes(user)
    before = entries.filter(action="sign_in").first()
    changes = entries.filter(action__in=CHANGES)
    return before is not None and changes.filter(number__gt=before.number).exists()


def _change(user: User, version: str, **fields: Any) -> None:
    """Write fields of a person who is still as read; raises StaleUserError."""
    as_read = {"role": user.role, "is_active": user.is_active, "password": user.password}
    same = User.objects.filter(id=user.id, **as_read)
    if not compare_digest(user.version, version) or not same.update(**fields):
        raise StaleUserError


def set_language(acting: ActingUser, language: str) -> None:
    """Let the pages of the person who acts be in a language from now on, and audit it."""
    with transaction.atomic():
        acting.user.language = language
        acting.user.save(update_fields=["language"])
        why = "own preference"
        write_audit_entry(acting.now_ms, acting.user.actor, "set_language", language, why)


def end_sessions(user: User, keep: str = "") -> int:
    """End every session of a person, and every sign-in that waits for its second factor.

    Args:
        user: The person.
        keep: The key of a session that goes on ("": none).
    """
    ended = 0
    for session in Session.objects.exclude(session_key=stored_key(keep)).iterator():
        if str(user.pk) in map(read_session(session).get, _WHOSE):
            session.delete()
            ended += 1
    return ended
