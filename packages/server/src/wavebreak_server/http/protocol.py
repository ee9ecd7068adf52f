"""HTTP protocol of one connection: uvicorn's, with limits that hold before any app is asked.

The size of a head, the time that a head and a body may take, and the number of connections are
bounded here, since the app sees a request only when its head is complete. A head or body that is
late gets 408, a head that is too large gets 431; then the connection ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from wavebreak_server.errors import ApiError, describe_error
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.http.responses import encoded_headers, with_headers
from wavebreak_server.settings import Limits

MAX_PIPELINED = 16
"""Requests of one connection that may wait for the response to the one before."""
LINGER_S = 2.0
"""How long the rest of a request is read and dropped after its final response. A connection that is
closed at once resets, and the client may lose the response."""
FLUSH_S = 30.0
"""How long a client may take to read the end of a final response."""
_FIXES = {
    400: "send one Host header and no more than 16 requests ahead",
    408: "send the request faster, or in smaller parts",
    431: "send shorter headers",
    503: "use fewer connections, or try again later",
}


class Connections:
    """The open connections, bounded overall and by peer.

    If all are taken, the connection that has waited longest for a request gives way to a new one:
    connections that are held open without a request keep nobody out.

    Args:
        most: Connections at once.
        by_peer: Connections of one peer at once (0: no limit).
    """

    def __init__(self, most: int, by_peer: int) -> None:
        self._most, self._by_peer = most, by_peer
        self._peers: Counter[str] = Counter()
        self._open: dict[Any, str] = {}
        self._waiting: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Any, address: str) -> str:
        """Count a connection; return why it is refused, else an empty string.

        Args:
            connection: The connection; `give_way` is called if it has to end for another.
            address: Its peer's address.
        """
        peer = peer_network(address)
        if peer and self._by_peer and self._peers[peer] >= self._by_peer:
            return "too many connections from this address"
        if len(self._open) >= self._most:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return "every connection is taken"
            self.leave(oldest)
            oldest.give_way()
        self._open[connection] = peer
        self._waiting[connection] = None
        if peer:
            self._peers[peer] += 1
        return ""

    def begin_request(self, connection: Any) -> None:
        """Note that a connection has a request in progress."""
        self._waiting.pop(connection, None)

    def end_request(self, connection: Any) -> None:
        """Note that a connection waits for its next request."""
        if connection in self._open:
            self._waiting[connection] = None

    def leave(self, connection: Any) -> None:
        """Forget a connection that has ended."""
        peer = self._open.pop(connection, "")
        self._waiting.pop(connection, None)
        if peer:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]


class ConnectionTransport:
    """A transport that sends a response's head and body in one system call instead of two.

    A write that is not followed by another is sent at the event loop's next iteration. Closing is
    bounded: a peer that does not read its response loses the connection.

    Attributes:
        linger: Whether more of the request is on its way; `close` then reads and drops it first.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pending: bytes | None = None
        self._closing = self.linger = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more will be sent."""
        return self._closing or bool(self._transport.is_closing())

    def write(self, data: bytes) -> None:
        """Hold a first write; send it together with the second."""
        if self._pending is None:
            self._pending = data
            self._loop.call_soon(self._flush)
        else:
            pending, self._pending = self._pending, None
            self._transport.write(pending + data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        if self._closing:
            return
        self._closing = True
        if self.linger and not self._transport.is_closing():
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.abort)
            return
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(FLUSH_S, self._transport.abort)

    def _flush(self) -> None:
        pending, self._pending = self._pending, None
        if pending and not self._transport.is_closing():
            self._transport.write(pending)


class _RefusedError(Exception):
    """The request is refused; ends the parser's work on what has arrived."""


class HttpProtocol(HttpToolsProtocol):
    """A connection.

    Args:
        open_connections: The open connections, of which this will be one.
        limits: Limits of heads and bodies.
        made: Of uvicorn's own.
    """

    def __init__(self, open_connections: Connections, limits: Limits, **made: Any) -> None:
        super().__init__(**made)
        self._open, self._limits = open_connections, limits
        self._late: asyncio.TimerHandle | None = None
        self._refusal, self._refused = b"", False
        # Of the head, or the body, that is being read:
        self._in_head, self._began, self._size, self._hosts = True, False, 0, 0
        self._heads_in_chunk, self._heard, self._trailer = 0, False, 0
        self._ended_in_chunk = False

    # Connection

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or refuse it if there are too many."""
        super().connection_made(ConnectionTransport(transport, self.loop))  # type: ignore[arg-type]
        if reason := self._open.admit(self, self.client[0] if self.client else ""):
            self._refuse(503, reason)
        else:
            self._set_deadline(self._limits.header_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell the app, and cancel what was timed."""
        self._open.leave(self)
        self._clear_deadline()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def give_way(self) -> None:
        """End for another connection; there is no request in progress."""
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has waited for a request, and its response that nobody reads."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # Reading

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, within the limit of a head."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._heads_in_chunk, self._ended_in_chunk = 0, False
        try:
            room = self._limits.header_bytes - self._size
            if self._in_head and len(data) > room:
                # As much as a head may have: it must be complete then.
                self.parser.feed_data(data[:room])
                if not self._heads_in_chunk:
                    self._refuse_head()
                self.parser.feed_data(memoryview(data)[room:])
            else:
                self.parser.feed_data(data)
            self._after_chunk(len(data))
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here; what follows is not HTTP.
            self.cycle.keep_alive = False
            self._refused = True
        except (httptools.HttpParserError, _RefusedError):
            if not self._refused:
                self._refuse(400, "the request is not valid HTTP")

    def _after_chunk(self, size: int) -> None:
        """Count what is left of an incomplete head or trailer, and start its time."""
        if self._in_head:
            if self._ended_in_chunk:
                # Most of the chunk was the request before: only what has begun since counts.
                self._size = self._head_size() if self._began else 0
            else:
                self._size += size
            if (self._size or self._began) and self._late is None:
                self._set_deadline(self._limits.header_s, self._head_is_late)
            return
        if self._late is None:
            self._linger(True)
            self._set_deadline(self._limits.body_s, self._body_is_late)
        self._size, self._heard = (0 if self._heard else self._size + size), False
        if self._size > self._limits.header_bytes:
            self._refuse(431, "the trailers or chunk extensions are too large")

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._began, self._hosts, self._trailer = True, True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is no header and is dropped."""
        if not self._in_head:
            self._trailer += len(name) + len(value)
            if self._trailer > self._limits.header_bytes:
                self._refuse(431, "the trailers are too large")
                raise _RefusedError
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request that the head describes."""
        self._heads_in_chunk += 1
        if self._heads_in_chunk > 1 and self._head_size() > self._limits.header_bytes:
            self._refuse_head()
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            self._refuse(400, "the request has no Host header, or several")
            raise _RefusedError
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(400, "too many requests wait for the response to an earlier one")
            raise _RefusedError
        self._in_head, self._began, self._size = False, False, 0
        self._clear_deadline()
        self._open.begin_request(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body, and wait for the next head."""
        self._clear_deadline()
        self._linger(False)
        self._in_head, self._size, self._ended_in_chunk = True, 0, True
        if self.cycle.response_complete:
            # The response went ahead of the body's end: only now does the connection wait.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _linger(self, on: bool) -> None:
        transport: Any = self.transport
        transport.linger = on

    # Ends

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        super().on_response_complete()
        if self.cycle.response_complete:
            # What arrived of a body that nobody asked for.
            self.cycle.body.clear()
            self._open.end_request(self)
            if self._refusal and not self.transport.is_closing():
                self._send_refusal()

    def _set_deadline(self, seconds: float, late: Callable[[], None]) -> None:
        self._late = self.loop.call_later(seconds, late)

    def _clear_deadline(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        self._late = None
        if self.cycle is not None and not self.cycle.response_complete:
            # Reading pauses while an earlier request is answered.
            self._set_deadline(self._limits.header_s, self._head_is_late)
        elif self._began or self._size:
            self._refuse(408, f"the headers took over {self._limits.header_s:g} s")
        else:
            self.transport.abort()

    def _body_is_late(self) -> None:
        self._late = None
        if self.pipeline:
            # Reading pauses while an earlier request is answered.
            self._set_deadline(self._limits.body_s, self._body_is_late)
        else:
            self._refuse(408, f"the body took over {self._limits.body_s:g} s")

    def _refuse_head(self) -> None:
        self._refuse(431, f"the headers exceed {self._limits.header_bytes} bytes")
        raise _RefusedError

    def _refuse(self, status: int, detail: str) -> None:
        """Read no more requests; send the reason, after the responses that are due before it."""
        self._refused, self._refusal = True, _problem(status, detail)
        self._clear_deadline()
        cycle = self.cycle
        if self._in_head:
            if cycle is None or cycle.response_complete:
                self._send_refusal()
        elif self.pipeline or cycle.response_started:
            # A part of this request's body is wrong, and another response is under way.
            self.transport.abort()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._send_refusal()

    def _send_refusal(self) -> None:
        response, self._refusal = self._refusal, b""
        self.flow.resume_reading()
        self._linger(True)
        self.transport.write(response)
        self.transport.close()


def _problem(status: int, detail: str) -> bytes:
    problem = describe_error(ApiError(status, detail, fix=_FIXES[status]))
    headers = [
        *encoded_headers(problem),
        (b"content-length", str(len(problem.body)).encode()),
        (b"connection", b"close"),
    ]
    lines = (b"%b: %b\r\n" % header for header in with_headers(headers))
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", problem.body])
