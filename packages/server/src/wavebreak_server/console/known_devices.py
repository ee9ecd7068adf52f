"""Known devices: browsers in which a person has signed in before, by a signed cookie.

The cookie signs nobody in. It only lets guesses that others make elsewhere not slow this browser.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from wavebreak.durations import DAY_S
from wavebreak_server.slices.users.models import User

COOKIE = "wavebreak_device"
PATH = "/console/user/"
KEPT_S = 180 * DAY_S
MAX_PEOPLE = 8
"""People of one browser; the one who signed in least recently is forgotten first."""
_SALT = "known device"


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
