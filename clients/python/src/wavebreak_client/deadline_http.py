"""Requests from any thread, each within a deadline; connections stay open.

httpx bounds each read and write; what a caller waits for is their sum. Here every wait of a request
ends at its deadline. A request in the calling thread also costs half of what it costs where an
event loop makes it for the thread.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import httpx

MAX_CONNECTIONS = 66

ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.PoolTimeout,
    OSError,
)
"""What a request without an answer raises."""


class _Deadline(threading.local):
    """When the request of this thread ends (monotonic seconds)."""

    at = float("inf")

    def left_s(self, timeout: float | None, late: type[Exception]) -> float:
        """Return how long a wait may last.

        Raises:
            late: No time is left.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise late("the deadline has passed")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A connection whose waits end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._deadline.left_s(timeout, httpcore.ReadTimeout)
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects within the deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        self._backend, self._deadline = httpcore.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left_s(timeout, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class DeadlineHttp:
    """Posts to one service, from any thread.

    Args:
        url: Where the service is.
        headers: Sent with every request.
        verify: How certificates are verified; see httpx.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], verify: bool | ssl.SSLContext = True
    ) -> None:
        self._base = httpx.URL(url)
        self._headers = [(b"host", self._base.netloc)]
        self._headers += [(n.encode("ascii"), v.encode("ascii")) for n, v in headers.items()]
        self._deadline = _Deadline()
        context = None
        if self._base.scheme == "https":
            context = httpx.create_ssl_context(verify=verify, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            network_backend=_Backend(self._deadline),
        )

    def post(self, path: str, content: bytes, timeout_s: float) -> httpx.Response:
        """Post JSON and return the answer, all of it within `timeout_s`.

        Raises:
            httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError: There
                is no answer in time.
        """
        headers = [*self._headers, (b"content-type", b"application/json")]
        headers.append((b"content-length", b"%d" % len(content)))
        self._deadline.at = time.monotonic() + timeout_s
        answer = self._pool.request(
            "POST",
            str(self._base) + path,
            headers=headers,
            content=content,
            # The wait for a connection of the pool, which is none of the network.
            extensions={"timeout": {"pool": timeout_s}},
        )
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
