"""Paths that Django answers, from the declared endpoints; the hot ones never come here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import re_path

from wavebreak.service.api import accounts, admin, decisions, system
from wavebreak.service.api import decisions as proving
from wavebreak.service.api.openapi import ENDPOINTS, PATHS
from wavebreak.service.api.requests import View, answer, told
from wavebreak.service.errors import RefusedError

VIEWS: Mapping[str, View] = {
    "account": accounts.account,
    "override": accounts.override,
    "extend_quota": accounts.extend_quota,
    "erase_personal": accounts.erase_personal,
    "label": accounts.label,
    "decisions": decisions.decisions,
    "follow_decisions": decisions.follow_decisions,
    "checkpoint": proving.checkpoint,
    "sealed_decision": proving.sealed_decision,
    "continued": proving.continued,
    "webhooks": admin.webhooks,
    "add_webhook": admin.add_webhook,
    "remove_webhook": admin.remove_webhook,
    "rotate_webhook": admin.rotate_webhook,
    "dead_letters": admin.dead_letters,
    "replay_webhook": admin.replay_webhook,
    "keys": admin.all_keys,
    "add_key": admin.add_key,
    "rotate_key": admin.rotate_key,
    "revoke_key": admin.revoke_key,
    "audit": system.audit,
    "metrics": system.metrics,
    "healthz": system.healthz,
    "readyz": system.readyz,
    "openapi": system.openapi,
    "docs": system.docs,
}
"""The view of each endpoint that is not hot, by its name."""

DjangoView = Callable[..., Awaitable[HttpResponseBase]]


def _at(path: str) -> DjangoView:
    views = {e.name: VIEWS[e.name] for e in ENDPOINTS if e.path == path and e.name in VIEWS}

    async def asked(request: HttpRequest, **given: str) -> HttpResponseBase:
        return await answer(request, views, **given)

    return asked


def not_found(_request: HttpRequest, **_given: Any) -> HttpResponse:
    """Answer to a path that is not declared."""
    return told(RefusedError(404, "there is nothing at this path", fix="see /api/docs"))


def failed(_request: HttpRequest, **_given: Any) -> HttpResponse:
    """Answer where a request could not be read."""
    return told(RefusedError(400, "the request cannot be read"))


def _pattern(path: str) -> str:
    """A path as a regular expression; an account's name may hold any character."""
    return "^" + re.sub(r"{(\w+)}", r"(?P<\1>.+)", path.removeprefix("/")) + r"\Z"


# What ends in a word of its own goes before what takes any name.
urlpatterns: list[Any] = [
    re_path(_pattern(path), _at(path)) for path in sorted(PATHS, key=lambda p: -p.count("/"))
]
handler400 = handler404 = handler403 = "wavebreak.service.api.routes.not_found"
handler500 = "wavebreak.service.api.routes.failed"
