"""Web server: uvicorn over uvloop and httptools, in this process, on one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wavebreak.service.auth import Authorize
from wavebreak.service.ingest_app import App, IngestApp
from wavebreak.service.service import Service


class CoalescingTransport:
    """A transport that sends a response's head and body in one system call instead of two.

    A write that is not followed by another is sent at the event loop's next iteration.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pending: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

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
        self._transport.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, None
        if pending and not self._transport.is_closing():
            self._transport.write(pending)


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]


class _Server(uvicorn.Server):
    """A server that reports its port when its service accepts events."""

    def __init__(
        self, config: uvicorn.Config, service: Service, ready: Callable[[int], None]
    ) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready
        self._reporting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen; requests during recovery get 503."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._reporting = asyncio.ensure_future(self._report_port(port))

    async def _report_port(self, port: int) -> None:
        await self._service.started.wait()
        self._ready(port)


def serve(
    service: Service,
    authorize: Authorize,
    *,
    ready: Callable[[int], None] = lambda port: None,
    middleware: Callable[[Any], Any] = lambda app: app,
    pages: Callable[[App], App] = lambda api: api,
) -> None:
    """Serve until a signal stops the process; raises what kept the service from starting.

    Args:
        service: The service.
        authorize: Authorizes callers.
        ready: Called with the port once events are accepted.
        middleware: Wraps the ASGI app.
        pages: Wraps the app of the API with one that also serves pages.
    """

    def failed() -> None:
        server.should_exit = True

    app: Any = middleware(IngestApp(service, authorize, pages(ASGIHandler()), failed))
    settings = service.settings
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=_Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        backlog=1024,
    )
    server = _Server(config, service, ready)
    server.run()
    if service.failed is not None:
        raise service.failed
