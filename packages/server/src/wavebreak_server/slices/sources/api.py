"""Operations on sources: what feeds the service, what each carries, and what its platform can."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from wavebreak.schema.coverage import known_names
from wavebreak_server.errors import DomainError
from wavebreak_server.http.app_context import run_query, run_write
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import Justification, Reason, Request, Response, check_reason
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.slices.sources.overview import SourcesOverview, sources_overview
from wavebreak_server.slices.sources.service import ABILITIES, SELF, Ability, Applied
from wavebreak_server.storage import models

SourceName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="the source's name: lower-case letters, digits, dots, hyphens",
    ),
]
_CARRIED = sorted(known_names())
CarriedName = Annotated[str, Meta(extra_json_schema={"enum": _CARRIED})]
"""A type ("message.sent") or field ("message.sent.size") of events."""


def check_source_name(name: str) -> None:
    """Raise ValueError for the name by which a key names its own source."""
    if name == SELF:
        raise ValueError("name: self names the source of a key: give another name")


class Declaration(Request, kw_only=True):
    """What a source carries (types and fields of events), and what its platform can do."""

    carries: Annotated[list[CarriedName], Meta(min_length=1, max_length=len(_CARRIED))]
    can: Annotated[tuple[Ability, ...], Meta(max_length=len(ABILITIES))] = ()
    reason: Reason = "declared by the source"

    def __post_init__(self) -> None:
        """Raise ValueError for a reason of blanks."""
        check_reason(self.reason)


class NewSource(Declaration, kw_only=True):
    """A source to declare."""

    name: SourceName

    def __post_init__(self) -> None:
        """Raise ValueError for the name of no source, and a reason of blanks."""
        super().__post_init__()
        check_source_name(self.name)


class AskedDeclaration(Response):
    """What a source has declared by its own key, and an administrator has not approved yet."""

    carries: list[str]
    can: list[Ability]
    at_ms: int


class Source(Response):
    """A source as it decides: without `carries`, where its first declaration is not approved yet.

    `asked` is the declaration that waits for an administrator (null: none does).
    """

    name: str
    carries: list[str]
    can: list[Ability]
    created_ms: int
    changed_ms: int
    asked: AskedDeclaration | None = None


class Approval(Justification):
    """The approval of what a source has asked for, at the time `at_ms` of `asked`."""

    at_ms: int


class Application(Response):
    """How the declared sources take effect.

    `applied`: `unchanged` where their coverage decides already; `live` where it does from now on,
    after `waited_s` in which events waited; `pending` where it will once the service can be
    switched, at the latest after its next start; `waiting` where the declaration waits for an
    administrator, and nothing has changed. `meaning` says so. `carries` is what every source
    carries, and `rules_off` are the rules that lack what they read for every source. Without
    `challenges` some source cannot ask for one: its accounts are limited instead.
    """

    applied: Applied
    carries: list[str]
    challenges: bool
    rules_off: list[str]
    waited_s: float
    meaning: str = ""


class DeclaredSource(Response):
    """A source, and how its declaration takes effect."""

    source: Source
    coverage: Application


router = Router()


_MEANINGS = {
    "unchanged": "this decides already",
    "live": "this decides from now on",
    "pending": "this decides once the service can be switched, at the latest after its next start",
    "waiting": "nothing has changed: an administrator has to approve what a source's key declares",
}


def _shown(source: models.Source) -> Source:
    asked = AskedDeclaration(
        carries=source.asked_carries.split(),
        can=list(sources.abilities_of(source.asked_can)),
        at_ms=source.asked_ms,
    )
    return Source(
        name=source.name,
        carries=source.carries.split(),
        can=list(sources.abilities_of(source.can)),
        created_ms=source.created_ms,
        changed_ms=source.changed_ms,
        asked=asked if source.asked_ms else None,
    )


async def _applied(context: RequestContext, *, waits: bool = False) -> Application:
    service = context.service
    done = await (sources.waiting if waits else sources.apply)(service)
    service.coverage.waiting = await run_query(sources.waiting_sources)
    return Application(
        applied=done.applied,
        carries=list(done.carries),
        challenges=done.challenges,
        rules_off=list(done.rules_off),
        waited_s=done.waited_s,
        meaning=_MEANINGS[done.applied],
    )


async def _shown_applied(context: RequestContext, source: models.Source) -> DeclaredSource:
    applied = await _applied(context, waits=bool(source.asked_ms))
    return DeclaredSource(source=_shown(source), coverage=applied)


@router.operation(
    "GET",
    "/v1/sources",
    "What feeds the service: what each source carries and its platform can do, when it was "
    "seen, and which rules lack what they read.",
    scopes=("admin",),
    name="sources",
)
async def listed(context: RequestContext) -> SourcesOverview:
    """Return every source."""
    service = context.service
    policy = service.responder.policy
    return await run_query(lambda: sources_overview(policy, service.coverage.measured))


@router.operation(
    "POST",
    "/v1/sources",
    "Declare a source, or what it carries and can from now on. Accounts are judged by what "
    "the source carries that reports their acts; where it cannot ask for a challenge, a limit is "
    "decided.",
    409,
    scopes=("admin",),
)
async def declare_source(context: RequestContext, body: NewSource) -> DeclaredSource:
    """Declare a source."""
    arguments = (body.name, body.carries, body.can, context.now_ms, context.key, body.reason)
    source = await run_write(lambda: sources.declare(*arguments))
    return await _shown_applied(context, source)


@router.operation(
    "PUT",
    "/v1/sources/self",
    "Declare what the source of this key carries and can, as an adapter does when it "
    "starts. A change waits for an administrator.",
    409,
    scopes=("ingest", "decide"),
)
async def declare_self(context: RequestContext, body: Declaration) -> DeclaredSource:
    """Declare the source that the caller's key belongs to."""
    name = context.app.key_ring.source_of(context.key)
    if not name:
        raise DomainError("key-without-source")
    source = await run_write(
        lambda: sources.declare_own(
            name, body.carries, body.can, context.now_ms, context.key, body.reason
        )
    )
    return await _shown_applied(context, source)


@router.operation(
    "POST",
    "/v1/sources/{name}/approval",
    "Approve what a source has declared by its own key: from now on it decides.",
    404,
    409,
    scopes=("admin",),
)
async def approve_source(
    context: RequestContext, name: SourceName, body: Approval
) -> DeclaredSource:
    """Approve a source's declaration."""
    arguments = (name, context.now_ms, context.key, body.reason, body.at_ms)
    source = await run_write(lambda: sources.approve(*arguments))
    return await _shown_applied(context, source)


@router.operation(
    "DELETE",
    "/v1/sources/{name}",
    "Remove a source; its accounts are judged by what all others carry.",
    404,
    scopes=("admin",),
)
async def remove_source(
    context: RequestContext, name: SourceName, query: Justification
) -> Application:
    """Remove a source."""
    await run_write(lambda: sources.remove(name, context.now_ms, context.key, query.reason))
    return await _applied(context)
