"""Server-sent events: what decisions leave, from a number on, as it is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NamedTuple

from django.http import StreamingHttpResponse

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import closing_connection
from wavebreak_server.http.auth import Scope
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.http.responses import STREAM

STREAM_BATCH = 500
KEEP_ALIVE_S = 15.0
KEY_CHECK_S = 1.0
"""How often a stream checks whether its key still has a scope."""
MAX_STREAMS, MAX_STREAMS_PER_KEY = 200, 20


class StreamSource(NamedTuple):
    """What a stream sends: the name of its events, and their data after a position.

    `begin` returns the position of who has every decision up to a number. `load` returns at most so
    many (position, JSON) after a position; any of `scopes` may read them. The `number` of a
    position is its decision's.
    """

    event: str
    begin: Callable[[int], Any]
    load: Callable[[Any, int], list[tuple[Any, bytes]]]
    scopes: tuple[Scope, ...]


def stream_response(
    context: RequestContext, source: StreamSource, since: int
) -> StreamingHttpResponse:
    """Return a stream from a number on; the header Last-Event-ID takes precedence.

    Raises:
        ApiError: The header is no number (422), or there are too many streams (503).
    """
    last = context.headers.get("Last-Event-ID", "")
    if last and not (last.isdecimal() and len(last) <= 16):
        raise ApiError(422, "Last-Event-ID is not a decision's number", fix="send a number")
    if not _may_open(context):
        raise ApiError(503, "too many open streams", fix="close one", retry_after_s=5)
    response = StreamingHttpResponse(
        _stream(context, source, int(last or since)), content_type=STREAM
    )
    response["Cache-Control"], response["X-Accel-Buffering"] = "no-store", "no"
    return response


def _may_open(context: RequestContext) -> bool:
    """Whether the caller's key may open one more stream."""
    streams = context.app.open_streams
    return streams[context.key] < MAX_STREAMS_PER_KEY and streams.total() < MAX_STREAMS


async def _stream(
    context: RequestContext, source: StreamSource, since: int
) -> AsyncIterator[bytes]:
    """Yield events until the client closes the stream, or its key no longer has a scope."""
    streams, key, ring = context.app.open_streams, context.key, context.app.key_ring
    # Requests that came at once have all passed the check of the view.
    if not _may_open(context):
        return
    streams[key] += 1
    name, at, switches = source.event.encode(), source.begin(since), -1
    try:
        yield b"retry: 2000\n\n"
        quiet_at, more = time.monotonic() + KEEP_ALIVE_S, True
        while any(ring.permits(key, scope) for scope in source.scopes):
            while more:
                switches = context.service.switches
                # A waiting stream holds no database connection.
                load = closing_connection(partial(source.load, at, STREAM_BATCH))
                loaded = await context.app.executors.streams.run(load)
                for at, body in loaded:
                    yield b"id: %d\nevent: %b\ndata: %b\n\n" % (at.number, name, body)
                more = len(loaded) == STREAM_BATCH
            try:
                async with asyncio.timeout(KEY_CHECK_S):
                    newest = await context.service.wait_for_decision(at.number)
            except TimeoutError:
                newest = at.number
            # A switch of the service may have changed states without a decision.
            more = newest > at.number or context.service.switches != switches
            if more:
                quiet_at = time.monotonic() + KEEP_ALIVE_S
            elif time.monotonic() >= quiet_at:
                quiet_at += KEEP_ALIVE_S
                yield b": quiet\n\n"
    finally:
        streams[key] -= 1
        if not streams[key]:
            del streams[key]
