"""Adapters of django-allauth: no sign-up, roles by OpenID Connect, encrypted secrets."""

from __future__ import annotations

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from wavebreak.languages import msgid
from wavebreak_server.console import sign_in_audit
from wavebreak_server.console.openid_connect import check_id_token, end_session_url
from wavebreak_server.console.pages import error_page, warn
from wavebreak_server.console.sign_in import Guess, remember_device
from wavebreak_server.console.sign_in_audit import means_of
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.encryption import encryption
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.service import changed_since_sign_in
from wavebreak_server.texts import translate

LEAST_ROLE = "auditor"
"""Role of somebody whom no group of the provider gives one, also after they left every group."""
_SIGN_IN_ANEW = (
    msgid("Sign in anew first"),
    msgid("Sign out, sign in with your provider, and do this within five minutes."),
)


class AccountAdapter(DefaultAccountAdapter):
    """Accounts of the console are created by an administrator, not by signing up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up."""
        return False

    def get_logout_redirect_url(self, request: HttpRequest) -> str:
        """Return where a sign-out leads: to that of the provider, for who signed in by it."""
        return end_session_url(request) or str(super().get_logout_redirect_url(request))

    def send_notification_mail(self, *_args: Any, **_more: Any) -> None:
        """Send nothing: the console has no mail server; the audit log has the change."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count a guess at a password; raises ValidationError where it comes too soon."""
        name = str(credentials.get("username", ""))
        user = User.objects.filter(username__iexact=name).first()
        request.guess = Guess(request, user, name)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return the person whose name and password these are."""
        user: User | None = super().authenticate(request, **credentials)
        if user is not None:
            request.guess.succeed()
        return user

    def authentication_failed(self, request: HttpRequest, **_credentials: Any) -> None:
        """Audit a wrong password."""
        inside = request.user.is_authenticated
        action = "reauthenticate" if inside else "sign_in"
        request.guess.fail(action, "wrong name or password")

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Refuse somebody whose account is off."""
        sign_in_audit.audit(request, "sign_in", user, "the account is off", done=False)
        return super().respond_user_inactive(request, user)

    def post_login(self, request: HttpRequest, user: User, **details: Any) -> HttpResponse:
        """Audit a sign-in, and know the browser from now on."""
        response: HttpResponse = super().post_login(request, user, **details)
        if changed_since_sign_in(user):
            warn(request, translate("Your account was changed since you last signed in."))
        sign_in_audit.audit(request, "sign_in", user, f"by {means_of(request, user)}")
        remember_device(request, response, user)
        return response

    def is_reauthentication_required(self, *, app: str, **more: Any) -> bool:
        """Whether somebody has to show anew who they are before they change a credential.

        Who has neither a password nor a second factor here does so by signing in anew. Raises
        ImmediateHttpResponse where they have not done so lately.
        """
        request = context.request
        if self.get_reauthentication_methods(request.user):
            return bool(super().is_reauthentication_required(app=app, **more))
        records = get_authentication_records(request, request.user)
        newest = max((float(record["at"]) for record in records), default=0.0)
        if time.time() - newest < app_settings.REAUTHENTICATION_TIMEOUT:
            return False
        raise ImmediateHttpResponse(error_page(request, 403, *map(translate, _SIGN_IN_ANEW)))


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """OpenID Connect: who has an account here may sign in; others need `auto_create`.

    A person is known by the provider's subject, once they have signed in by it; before that by the
    claim `user_claim`, where the file of the provider names one.
    """

    def list_apps(self, *arguments: Any, **options: Any) -> list[Any]:
        """Return the provider of the deployment's file; a row of the database adds none."""
        apps = super().list_apps(*arguments, **options)
        return [app for app in apps if app.pk is None]

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether an unknown person of the provider gets an account: only if configured."""
        return bool(_oidc(sociallogin).get("auto_create", False))

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Check the ID token; find the person and the role that the claims name."""
        check_id_token(request, sociallogin)
        # No mail is sent: addresses would only make accounts collide.
        sociallogin.email_addresses = []
        oidc, claims = _oidc(sociallogin), _claims(sociallogin)
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            return
        if not sociallogin.is_existing and (name := claims.get(oidc.get("user_claim", ""))):
            known = User.objects.filter(username=str(name), is_active=True).first()
            if known is not None:
                sociallogin.connect(request, known)
        if sociallogin.is_existing:
            user: User = sociallogin.user
            _change_role(user, _role(oidc, claims) or _left_role(oidc, user))

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """Return a new user with the role that the provider's claim names, else an auditor."""
        user: User = super().populate_user(request, sociallogin, data | {"email": ""})
        user.role = _role(_oidc(sociallogin), _claims(sociallogin)) or LEAST_ROLE
        return user

    def on_authentication_error(self, request: HttpRequest, provider: Any, **_more: Any) -> None:
        """Audit a sign-in that the provider, or the check of its answer, has refused."""
        sign_in_audit.audit_unnamed(request, "OpenID Connect was refused")

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """Create the account of a person whom the provider has vouched for."""
        with transaction.atomic():
            user: User = super().save_user(request, sociallogin, form)
            _audit("add_user", user, f"created by OpenID Connect as {user.role}")
        return user


def _oidc(sociallogin: Any) -> dict[str, Any]:
    app = sociallogin.provider.app
    return dict(app.settings) if app else {}


def _claims(sociallogin: Any) -> dict[str, Any]:
    """Return the claims about a person; those of the userinfo endpoint count first."""
    data = sociallogin.account.extra_data
    return {**data.get("id_token", {}), **data.get("userinfo", {})}


def _role(oidc: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return the role of the first value of the claim that is named; "" where none is."""
    value = claims.get(oidc.get("role_claim", ""), "")
    claimed = value if isinstance(value, list) else [value]
    roles: dict[str, str] = oidc.get("roles", {})
    return next((roles[c] for c in claimed if c in roles), "")


def _left_role(oidc: dict[str, Any], user: User) -> str:
    """Return the role of a person whom no group gives one: a role that groups give is lost."""
    given = oidc.get("role_claim") and user.role in oidc.get("roles", {}).values()
    return LEAST_ROLE if given else str(user.role)


def _change_role(user: User, role: str) -> None:
    former, user.role = user.role, role
    with transaction.atomic():
        # Nothing else of the account, which an administrator may have switched off meanwhile.
        if former != role and User.objects.filter(pk=user.pk, role=former).update(role=role):
            _audit("change_user", user, f"{former} is {role} now, by OpenID Connect")


def _audit(act: str, user: User, reason: str) -> None:
    write_audit_entry(time.time_ns() // 1_000_000, "openid connect", act, user.username, reason)


class MfaAdapter(DefaultMFAAdapter):
    """Second factors: secrets are encrypted at rest, under a key that is not in the database."""

    def encrypt(self, text: str) -> str:
        """Encrypt a secret."""
        return encryption("second factor").encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt a secret."""
        return encryption("second factor").decrypt(encrypted_text.encode()).decode()
