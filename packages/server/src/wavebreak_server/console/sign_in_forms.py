"""Forms of django-allauth that take a code, a passkey or an old password, with limits and audit."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms

from wavebreak_server.console import sign_in_audit
from wavebreak_server.console.sign_in_guesses import Guess


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
