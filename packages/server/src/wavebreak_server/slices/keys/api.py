"""Operations on API keys."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wavebreak_server.http.app_context import run_query, run_write
from wavebreak_server.http.auth import SCOPES, TOGETHER, Scope
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import NO_CONTROL, Justification, Response, Rotation
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.sources.api import SourceName, check_source_name
from wavebreak_server.storage.models import ApiKey

KeyName = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_CONTROL)]
KeyPrefix = Annotated[str, Meta(description="the key's prefix")]


class NewKey(Justification):
    """An API key to create: its scopes, requests per second, burst, and the source it belongs to.

    A key of a source may declare it (`PUT /v1/sources/self`), also before it is there. With
    `identifiers` ids that it sends may look like e-mail addresses, phone numbers or texts: JIDs do.
    """

    name: KeyName
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(TOGETHER))]
    rate: Annotated[float, Meta(ge=0.01, le=1_000_000)] = 1000.0
    burst: Annotated[float, Meta(ge=1, le=1_000_000)] = 2000.0
    source: SourceName | None = None
    identifiers: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for the name of no source, and a reason of blanks."""
        super().__post_init__()
        check_source_name(self.source or "")


class Key(Response):
    """An API key; `text` is present only when it is created."""

    prefix: str
    name: str
    scopes: list[Scope]
    rate: float
    burst: float
    created_ms: int
    ends_ms: int | None
    source: str | msgspec.UnsetType = msgspec.UNSET
    identifiers: bool | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET


class Keys(Response):
    """All API keys."""

    keys: list[Key]


router = Router("admin")


def key_response(key: ApiKey, text: str = "") -> Key:
    """Return a key without its secret, or with its `text` when it is created."""
    scopes = key.scopes.split()
    fields: dict[str, Any] = {"text": text} if text else {}
    if key.source:
        fields["source"] = key.source
    if key.identifiers:
        fields["identifiers"] = True
    return Key(
        prefix=key.prefix,
        name=key.name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        rate=key.rate,
        burst=key.burst,
        created_ms=key.created_ms,
        ends_ms=key.ends_ms,
        **fields,
    )


@router.operation("GET", "/v1/keys", "All API keys, without their secrets.")
async def keys(context: RequestContext) -> Keys:
    """Return every key."""
    return Keys(keys=[key_response(key) for key in await run_query(api_keys.list_keys)])


@router.operation(
    "POST", "/v1/keys", "Create an API key. Its text is shown once.", 409, statuses=(201,)
)
async def add_key(context: RequestContext, body: NewKey) -> Key:
    """Create a key."""
    created = await run_write(
        lambda: api_keys.create_key(
            body.name,
            body.scopes,
            context.now_ms,
            context.key,
            body.reason,
            api_keys.KeyTerms(body.rate, body.burst, body.source or "", body.identifiers),
        )
    )
    await context.app.refresh()
    return key_response(*created)


@router.operation(
    "POST",
    "/v1/keys/{prefix}/rotate",
    "Create a key's successor; the old key stays valid for a grace period.",
    404,
    409,
    statuses=(201,),
)
async def rotate_key(context: RequestContext, prefix: KeyPrefix, body: Rotation) -> Key:
    """Create a key's successor."""
    arguments = (prefix, body.grace_s, context.now_ms, context.key, body.reason)
    created = await run_write(lambda: api_keys.rotate_key(*arguments))
    await context.app.refresh()
    return key_response(*created)


@router.operation("DELETE", "/v1/keys/{prefix}", "Revoke a key at once.", 404, statuses=(204,))
async def revoke_key(context: RequestContext, prefix: KeyPrefix, query: Justification) -> None:
    """Revoke a key."""
    arguments = (prefix, context.now_ms, context.key, query.reason)
    await run_write(lambda: api_keys.revoke_key(*arguments))
    await context.app.refresh()
