"""OpenID Connect: what the ID token of a sign-in must say (OpenID Connect Core 1.0, 3.1.3.7).

django-allauth checks issuer, audience and end of an ID token, but neither sends nor checks a nonce.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from wavebreak_server.console.site import Site


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

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> Any:
        """Return the sign-in of the provider's claims.

        Raises:
            SignInError: The claims of the userinfo endpoint are not about the ID token's subject.
        """
        userinfo, token = response.get("userinfo"), response.get("id_token") or {}
        if userinfo and (not userinfo.get("sub") or userinfo["sub"] != token.get("sub")):
            raise SignInError("userinfo is about another person than the ID token")
        return super().sociallogin_from_response(request, response)


def check_id_token(request: HttpRequest, sociallogin: Any) -> None:
    """Refuse a sign-in whose ID token was not made for it.

    Args:
        request: The browser's request, on its way back from the provider.
        sociallogin: The sign-in, with its state and the provider's claims.

    Raises:
        ImmediateHttpResponse: No ID token came, or its nonce is not the one that was sent.
    """
    token = sociallogin.account.extra_data.get("id_token") or {}
    sent = str(sociallogin.state.get("nonce") or "")
    if not sent or not hmac.compare_digest(str(token.get("nonce", "")).encode(), sent.encode()):
        raise _refused(request, sociallogin, "the ID token does not have the nonce of this sign-in")


def signed_in_by_provider(request: HttpRequest) -> str:
    """Return the provider by which a browser's session began; "" for a password or a passkey."""
    user = getattr(request, "user", None)
    records = get_authentication_records(request, user) if user is not None else []
    names = (str(r.get("provider")) for r in records if r["method"] == "socialaccount")
    return next(names, "")


def end_session_url(request: HttpRequest) -> str:
    """Return where the provider ends its own session, for who signed in by it; "" where it cannot.

    RP-Initiated Logout 1.0: the provider comes back to the sign-in page, and may ask first. The
    content policy lets forms lead to the origin of its sign-in page alone, so that an address
    elsewhere is not used.
    """
    provider, site = signed_in_by_provider(request), Site.of(request)
    if not provider:
        return ""
    try:
        adapter = OpenIDConnectOAuth2Adapter(request, provider)
        end = str(adapter.openid_config.get("end_session_endpoint") or "")
        client = adapter.get_provider().app.client_id
    except (OSError, ValueError, ObjectDoesNotExist):
        # A provider that does not answer keeps nobody signed in here.
        return ""
    parts = urlsplit(end)
    if f"{parts.scheme}://{parts.netloc}" != site.sign_in_origin:
        return ""
    back = f"{site.url}{reverse('account_login')}"
    query = urlencode({"client_id": client, "post_logout_redirect_uri": back})
    return f"{end}{'&' if parts.query else '?'}{query}"


def _refused(request: HttpRequest, sociallogin: Any, why: str) -> ImmediateHttpResponse:
    return ImmediateHttpResponse(
        render_authentication_error(request, sociallogin.provider, exception=SignInError(why))
    )
