"""OpenID Connect: what the ID token of a sign-in must say (OpenID Connect Core 1.0, 3.1.3.7).

django-allauth checks issuer, audience and end of an ID token, but neither sends nor checks a nonce.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.http import HttpRequest, HttpResponse


class SignInError(OAuth2Error):
    """A sign-in that is refused; its text is for the person who signs in."""

    words = True


class NonceProvider(OpenIDConnectProvider):
    """Sends a nonce with each request for a sign-in, and keeps it beside the request's state."""

    package = OpenIDConnectProvider.get_package()
    """Where allauth looks for the provider's URLs."""

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **more: Any,
    ) -> HttpResponse:
        """Lead to the provider's sign-in."""
        nonce = secrets.token_urlsafe(24)
        asked = more.pop("auth_params", None)
        params = (self.get_auth_params() if asked is None else asked) | {"nonce": nonce}
        answer: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params=params, nonce=nonce, **more
        )
        return answer


def check_id_token(request: HttpRequest, sociallogin: Any) -> None:
    """Refuse a sign-in whose ID token was not made for it.

    Args:
        request: The browser's request, on its way back from the provider.
        sociallogin: The sign-in, with its state and the provider's claims.

    Raises:
        ImmediateHttpResponse: No ID token came, its nonce is not the one that was sent, or the
            claims of the userinfo endpoint are about somebody else.

    """
    claims = sociallogin.account.extra_data
    token, userinfo = claims.get("id_token") or {}, claims.get("userinfo") or {}
    sent = str(sociallogin.state.get("nonce") or "")
    if not sent or not hmac.compare_digest(str(token.get("nonce", "")).encode(), sent.encode()):
        raise _refused(request, sociallogin, "the ID token does not have the nonce of this sign-in")
    if userinfo and userinfo.get("sub") != token.get("sub"):
        raise _refused(request, sociallogin, "userinfo is about another person than the ID token")


def _refused(request: HttpRequest, sociallogin: Any, why: str) -> ImmediateHttpResponse:
    return ImmediateHttpResponse(
        render_authentication_error(request, sociallogin.provider, exception=SignInError(why))
    )
