"""Decisions in the log's order: page by page, or as they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from django.http import StreamingHttpResponse

from wavebreak.service import shapes
from wavebreak.service.accounts import numbered
from wavebreak.service.declared import STREAM
from wavebreak.service.desk import closing, read
from wavebreak.service.models import Decision
from wavebreak.service.problems import RefusedError
from wavebreak.service.replying import Call

AT_ONCE = 500
QUIET_S = 15.0
STREAMS = 200
"""Streams that are open at once at most."""


def after(number: int, limit: int) -> list[tuple[int, Any]]:
    """Decisions beyond a number, as (number, body)."""
    found = Decision.objects.filter(number__gt=number).order_by("number")
    return list(found.values_list("number", "body")[:limit])


async def decisions(call: Call) -> shapes.Decisions:
    """Decisions after a number."""
    since = call.query.since
    found = await read(lambda: after(since, call.query.limit))
    return shapes.Decisions(
        decisions=tuple(numbered(*one) for one in found), next=found[-1][0] if found else since
    )


async def follow_decisions(call: Call) -> StreamingHttpResponse:
    """Decisions as they are made, from a number on."""
    last = call.headers.get("Last-Event-ID", "")
    if last and not (last.isdecimal() and len(last) <= 16):
        raise RefusedError(422, "Last-Event-ID is not a decision's number")
    if call.desk.streams >= STREAMS:
        raise RefusedError(503, "too many streams are open", retry_after_s=5)
    made = StreamingHttpResponse(_stream(call, int(last or call.query.since)), content_type=STREAM)
    made["Cache-Control"], made["X-Accel-Buffering"] = "no-store", "no"
    return made


async def _stream(call: Call, since: int) -> AsyncIterator[bytes]:
    call.desk.streams += 1
    try:
        yield b"retry: 2000\n\n"
        while True:
            # A stream holds no connection while it waits.
            found = await asyncio.to_thread(closing(partial(after, since, AT_ONCE)))
            for number, body in found:
                yield b"id: %d\nevent: decision\ndata: %s\n\n" % (number, bytes(body))
                since = number
            try:
                await asyncio.wait_for(call.service.news(since), QUIET_S)
            except TimeoutError:
                yield b": quiet\n\n"
    finally:
        call.desk.streams -= 1
