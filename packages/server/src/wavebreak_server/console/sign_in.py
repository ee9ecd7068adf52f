"""Signing in: known devices, guesses at passwords and codes, allauth's forms and views with limits.

Guesses are limited before they are tried, and audited when wrong. A known device is a browser in
which a person has signed in before, by a signed cookie. The cookie signs nobody in: it only lets
guesses that others make elsewhere not slow this browser.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm
from allauth.account.views import password_change
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import override

from wavebreak.durations import DAY_S
from wavebreak_server.console import sign_in_audit, sign_in_limits
from wavebreak_server.console.pages import error_page
from wavebreak_server.console.public_access import peer_of
from wavebreak_server.console.site import app_of
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import translate, translate_count

View = Callable[..., HttpResponseBase]
COOKIE = "wavebreak_device"
PATH = "/console/user/"
KEPT_S = 180 * DAY_S
MAX_PEOPLE = 8
"""People of one browser; the one who signed in least recently is forgotten first."""
_SALT = "known device"


# Known devices


def known_device(request: HttpRequest, user: User | None) -> str:
    """Return the device of a request if this person has signed in on it; "" otherwise."""
    device, people = _read(request)
    return device if user is not None and user.pk in people else ""


def remember_device(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Let a browser be known as this person's from now on."""
    device, people = _read(request)
    people = [*(pk for pk in people if pk != user.pk), user.pk][-MAX_PEOPLE:]
    value = signing.dumps([device or secrets.token_urlsafe(12), people], salt=_SALT)
    response.set_cookie(
        COOKIE, value, max_age=KEPT_S, path=PATH, httponly=True, samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )  # fmt: skip


def _read(request: HttpRequest) -> tuple[str, list[int]]:
    try:
        device, people = _load(request.COOKIES.get(COOKIE, ""))
    except (signing.BadSignature, ValueError, TypeError):
        return "", []
    return str(device), list(people)


def _load(value: str) -> Any:
    return signing.loads(value[:400], salt=_SALT, max_age=KEPT_S)


# Guesses


class Guess:
    """A guess at the password, or at a code, of a person; counted as wrong until it succeeds.

    Args:
        request: The request that guesses; `slowed_s` is set on it where the guess comes too soon.
        user: Whose it is; None where nobody has this name.
        name: The name as it was typed.
        factor: Whether the password was right, and this is a code.

    Raises:
        ValidationError: The guess comes too soon; it was not tried, and says when to try again.
    """

    def __init__(
        self, request: HttpRequest, user: User | None, name: str = "", *, factor: bool = False
    ) -> None:
        self._request, self._user = request, user
        self._device = known_device(request, user)
        self._counted = self._counts(name.strip().casefold(), factor)
        self._limits = app_of(request).state_of(sign_in_limits.SignInLimits)
        wait = self._limits.begin(self._counted)
        if wait > 0:
            request.slowed_s = wait
            raise forms.ValidationError(slowed_words(wait, known=bool(self._device)), "slowed")

    def _counts(self, name: str, factor: bool) -> tuple[sign_in_limits.Counted, ...]:
        person = f"name {name}" if self._user is None else f"user {self._user.pk}"
        if factor:
            return sign_in_limits.factor_guess(person, self._device)
        return sign_in_limits.password_guess(
            person, peer_network(peer_of(self._request)), self._device
        )

    def succeed(self) -> None:
        """The guess was right."""
        self._limits.succeed(self._counted)

    def fail(self, action: str, what: str) -> None:
        """Audit that the guess was wrong."""
        if self._user is None:
            sign_in_audit.audit_unnamed(self._request, what)
            return
        wait = self._limits.wait_s(self._counted)
        with override("en"):  # an audit entry does not depend on the language of the page
            slowed = f"; slowed for {_duration(wait)}" if wait else ""
        where = "a known device" if self._device else "a new device"
        reason = f"{what}, from {where}{slowed}"
        sign_in_audit.audit(self._request, action, self._user, reason, done=False)


def slowed_words(wait_s: float, *, known: bool) -> str:
    """Return what is said to who has to wait.

    >>> slowed_words(2.2, known=True)
    'Too many wrong attempts. Try again in 3 seconds. A passkey works at once.'
    """
    others = (
        translate("A passkey works at once.")
        if known
        else translate(
            "A passkey works at once, and so does a browser in which you have signed in before."
        )
    )
    wait = translate(
        "Too many wrong attempts. Try again in {duration}.", duration=_duration(wait_s)
    )
    return f"{wait} {others}"


def _duration(wait_s: float) -> str:
    """Return a wait in words, in the language of the page.

    >>> _duration(0.2), _duration(60), _duration(61)
    ('1 second', '60 seconds', '2 minutes')
    """
    if wait_s > 60:
        minutes = math.ceil(wait_s / 60)
        return translate_count("{n} minute", "{n} minutes", minutes)
    return translate_count("{n} second", "{n} seconds", math.ceil(wait_s))


# Forms


class _Code(forms.Form):
    """Limits and audits guesses at a code."""

    action = "sign_in"
    user: Any

    def clean_code(self) -> str:
        """Return the code where it is right."""
        guess = Guess(context.request, self.user, factor=True)
        try:
            code = str(super().clean_code())
        except forms.ValidationError:
            guess.fail(self.action, "wrong code of a second factor")
            raise
        guess.succeed()
        return code


class SignInCodeForm(_Code, AuthenticateForm):
    """The code after the password."""


class ConfirmCodeForm(_Code, ReauthenticateForm):
    """The code by which who is signed in shows who they are."""

    action = "reauthenticate"


class _Passkey(forms.Form):
    """Audits passkeys that were refused. There is no secret to guess, so that nothing is slowed."""

    action = "sign_in"
    user: Any

    def clean_credential(self) -> Authenticator:
        """Return the passkey where its answer is right."""
        try:
            found: Authenticator = super().clean_credential()
        except forms.ValidationError:
            if self.user is None:
                sign_in_audit.audit_unnamed(context.request, "a passkey was refused")
            else:
                said = "a passkey was refused"
                sign_in_audit.audit(context.request, self.action, self.user, said, done=False)
            raise
        return found


class SignInPasskeyForm(_Passkey, AuthenticateWebAuthnForm):
    """The passkey after the password."""


class PasskeyAloneForm(_Passkey, LoginWebAuthnForm):
    """The passkey instead of a password."""


class ConfirmPasskeyForm(_Passkey, ReauthenticateWebAuthnForm):
    """The passkey by which who is signed in shows who they are."""

    action = "reauthenticate"


class NewPasswordForm(ChangePasswordForm):
    """A new password, which needs the old one."""

    def clean_oldpassword(self) -> str:
        """Return the old password where it is right; guesses count as those at the sign-in."""
        typed = str(self.cleaned_data.get("oldpassword", ""))
        if not get_adapter().reauthenticate(self.user, typed):
            raise get_adapter().validation_error("enter_current_password")
        return typed


# Views


def slowed(view: View) -> View:
    """Let a view answer 429, with the seconds to wait, where a guess came too soon."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        wait = getattr(request, "slowed_s", 0.0)
        if wait:
            response.status_code = 429
            response["Retry-After"] = str(math.ceil(wait))
        return response

    return wrapped


@login_required
def change_password(request: HttpRequest) -> HttpResponseBase:
    """Change one's password; who has none signs in with a provider, and gets none here."""
    user: Any = request.user
    if not user.has_usable_password():
        what = translate("You have no password here")
        fix = translate("You sign in with your provider: change it there.")
        return error_page(request, 409, what, fix)
    response: HttpResponseBase = password_change(request)
    return response
