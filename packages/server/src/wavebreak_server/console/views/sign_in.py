"""Pages of signing in, where they differ from django-allauth's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.views import password_change
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase

from wavebreak_server.console.pages import error_page

View = Callable[..., HttpResponseBase]


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
        what, fix = "You have no password here", "You sign in with your provider: change it there."
        return error_page(request, 409, what, fix)
    response: HttpResponseBase = password_change(request)
    return response
