"""Request handling shared by all API operations: authentication, parsing, and what views need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import HttpRequest
from ninja import params
from ninja.params.models import QueryModel
from ninja.parser import Parser
from ninja.security.base import AuthBase

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import Denied, Scope
from wavebreak_server.http.ingest_app import CALLER
from wavebreak_server.pipeline.service import Service


@dataclass(frozen=True)
class RequestContext:
    """What a view needs of a request: the service, the application context, the caller's key."""

    service: Service
    app: AppContext
    key: str

    @classmethod
    def of(cls, request: HttpRequest) -> RequestContext:
        """Return the context of a request, which the ASGI apps have put into its scope."""
        scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
        return cls(scope["wavebreak"], scope["wavebreak.context"], getattr(request, "auth", ""))

    @property
    def now_ms(self) -> int:
        """The service's clock, in milliseconds."""
        return self.service.clock()


class ApiKeyAuth(AuthBase):
    """Authenticates a request by its API key, which must have one of some scopes."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "An API key: `wb_PREFIX_SECRET`. The roles of an operation are its scope."

    def __init__(self, *scopes: Scope) -> None:
        super().__init__()
        self.scopes = scopes

    async def __call__(self, request: HttpRequest) -> str:
        """Return the key's prefix; raises ApiError (401, 403 or 429)."""
        scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
        checked, key = scope.get(CALLER, ((), ""))
        if checked == self.scopes:
            return str(key)
        header = request.headers.get("Authorization")
        key_ring = RequestContext.of(request).app.key_ring
        verdict = key_ring.authorize(header.encode() if header else None, *self.scopes)
        if isinstance(verdict, Denied):
            raise ApiError(
                verdict.status, verdict.detail, fix=verdict.fix, retry_after_s=verdict.retry_after_s
            )
        return verdict.key_id


class ApiParser(Parser):
    """Parses JSON bodies and queries more strictly than ninja: no duplicates, no other media."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Parse a JSON body. Raises ApiError (415 or 400), which ninja wraps in its HttpError."""
        if request.content_type != "application/json":
            raise ApiError(415, "unsupported Content-Type", fix="send application/json")
        try:
            value = _with_integers(msgspec.json.decode(request.body))
            json.loads(request.body, **_ONCE)
        except RecursionError:
            raise ApiError(400, "the body is nested too deeply", fix="send flat JSON") from None
        except (msgspec.DecodeError, ValueError):
            raise ApiError(400, "the body is not JSON", fix="send JSON in UTF-8") from None
        return value

    def parse_querydict(
        self, data: Any, list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        """Parse a query string; raises ApiError (422) if it repeats a parameter."""
        if any(len(values) > 1 for _, values in data.lists()):
            raise ApiError(422, "a query parameter is repeated", fix="send each parameter once")
        return super().parse_querydict(data, list_fields, request)


def _without_repetition(members: list[tuple[str, Any]]) -> None:
    """Refuse an object with two members of one name: a reader may take either."""
    if len({name for name, _ in members}) < len(members):
        raise ApiError(400, "an object of the body has a name twice", fix="send each name once")


_ONCE: dict[str, Any] = {"object_pairs_hook": _without_repetition}


def _with_integers(value: Any) -> Any:
    """Return a JSON value with whole numbers as integers: JSON Schema takes 1.0 for one."""
    if isinstance(value, dict):
        return {name: _with_integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _StrictQueryModel(QueryModel):
    """Query parameters; unknown ones are refused, which ninja would drop."""

    @classmethod
    def resolve(cls, request: HttpRequest, api: Any, path_params: dict[str, Any]) -> Any:
        """Validate a query string; raises ApiError (422) if it has an unknown parameter."""
        known = getattr(cls, "__ninja_flatten_map__", {})
        if set(request.GET) - set(known):
            fix = f"use {', '.join(known)}"
            raise ApiError(422, "unknown query parameter", fix=fix)
        return super().resolve(request, api, path_params)


class StrictQuery(params.models.Query):  # type: ignore[misc]
    """Marks a view's parameter as the model of its query string: `Annotated[M, StrictQuery(...)]`.

    Unknown and repeated parameters are refused.
    """

    _model = _StrictQueryModel

    @classmethod
    def _param_source(cls) -> str:
        return "query"
