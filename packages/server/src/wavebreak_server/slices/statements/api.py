"""The operation for platforms on statements of reasons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wavebreak.notices import get_language
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_write
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import DecisionId, Request, Response
from wavebreak_server.pipeline.holder_notices import has_notice
from wavebreak_server.slices.statements import service
from wavebreak_server.texts import translate

LanguageCode = Annotated[
    str, Meta(pattern="^[a-z]{2,3}$", description="a language of platform.toml, as in he")
]


class StatementQuery(Request):
    """The language of a statement of reasons; default: the platform's."""

    language: LanguageCode | msgspec.UnsetType = msgspec.UNSET


class DecisionStatement(Response):
    """A decision's statement of reasons in one language, as text and by its parts.

    The holder is notified from `notify_at_ms` on, and reads it at `url` (empty: no public
    address is known). `statement` has the parts that the explanation of notices describes.
    """

    decision: str
    language: str
    direction: Literal["ltr", "rtl"]
    title: str
    text: str
    url: str
    notify_at_ms: int
    statement: dict[str, Any]


router = Router()


@router.operation(
    "GET",
    "/v1/decisions/{decision}/statement",
    "A decision's statement of reasons for the account's holder, to show or to send.",
    404,
    scopes=("read",),
)
async def statement(
    context: RequestContext, decision: DecisionId, query: StatementQuery
) -> DecisionStatement:
    """Return a statement of reasons, with its link and the time of notification."""
    notices = context.app.holder_notices
    language = get_language(service.offered_language(notices.platform, query.language or None))

    def load() -> DecisionStatement:
        made = service.stored_decision(decision)
        if made is None or not has_notice(made):
            raise ApiError(404, translate("there is no notice of such a decision"))
        written = service.statement_of(notices, made, language, context.now_ms)
        service.keep_shown(made, written, context.now_ms)
        return DecisionStatement(
            decision=written.decision,
            language=written.language,
            direction="rtl" if written.direction == "rtl" else "ltr",
            title=written.title,
            text=written.text(),
            url=notices.links(made).statement,
            notify_at_ms=notices.notify_at_ms(made),
            statement=msgspec.to_builtins(written),
        )

    return await run_write(load)
