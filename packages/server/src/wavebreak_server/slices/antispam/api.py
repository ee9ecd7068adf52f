"""The protocol of synapse-http-antispam, served: each callback is asked here before it happens."""

from __future__ import annotations

from typing import Annotated, cast

import msgspec
from django.http import HttpResponse
from msgspec import Meta

from wavebreak.errors import WavebreakError
from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.operations import MAX_BODY, RequestContext, Router
from wavebreak_server.http.responses import JSON
from wavebreak_server.http.schemas import Response
from wavebreak_server.pipeline.decide import DecideResponse
from wavebreak_server.pipeline.holder_notices import with_notice
from wavebreak_server.pipeline.pending_requests import Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.slices.antispam.service import Asked, Call, Callback, Rooms, event_of

ServerName = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Za-z.:\[\]-]{1,255}$",
        description="the homeserver's name (`server_name`)",
    ),
]
REFUSED = "This is not possible for now."


class Passed(Response):
    """The act may proceed; of a ping the id, and that it was heard."""

    id: str = ""
    status: str = "ok"


router = Router("decide")


@router.operation(
    "POST",
    "/v1/antispam/{server}/{callback}",
    "A callback of synapse-http-antispam: 200 lets the act proceed, 403 refuses it with a text. "
    "What an event says is dropped unread. Nothing is refused in shadow mode, nor while the "
    "service cannot tell.",
    name="antispam",
    max_body=MAX_BODY,
)
async def antispam(
    context: RequestContext, server: ServerName, callback: Callback, body: Call
) -> Passed:
    """Ask about an act, and record it where it may proceed."""
    rooms = context.app.state_of(Rooms)
    asked = event_of(callback, body, server, rooms, context.now_ms)
    answer = None
    if asked is not None:
        try:
            answer = await _ask(context, asked)
        except WavebreakError:
            # The module takes any other answer for a refusal.
            context.service.counts["antispam.unasked"] += 1
    if answer is None or answer.allowed:
        return Passed(id=body.id)
    told = await run_query(lambda: with_notice(answer, context.app.holder_notices))
    notice = told.notice or {}
    refusal = {
        "errcode": "M_FORBIDDEN",
        "error": notice.get("en", REFUSED),
        "org.wavebreak.notice": notice,
    }
    content = msgspec.json.encode(refusal)
    return cast("Passed", HttpResponse(content, status=403, content_type=JSON))


async def _ask(context: RequestContext, asked: Asked) -> DecideResponse | None:
    """Ask about an act, and record it where it happens; None where nobody waits for an answer."""
    service, key = context.service, context.key
    sender = Sender(key, source=context.app.key_ring.source_of(key))
    content = msgspec.json.encode(asked.event)
    answer = None
    if asked.refusable and service.settings.enforce:
        answer = await service.decide(content, "attempt" if asked.happens else "ask", sender)
    if asked.happens and (answer is None or answer.allowed):
        await service.accept(Body(content, "json"), sender, audit="antispam")
    return answer
