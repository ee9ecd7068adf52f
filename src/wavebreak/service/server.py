"""The web server in this process: uvicorn over uvloop and httptools, one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wavebreak.service.ingest_app import Guard, Ingest
from wavebreak.service.service import Service


class Corked:
    """A transport that sends an answer's head with its body, by one call of the system, not two.

    What is written alone goes at the loop's next step.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold a head; write it with what follows."""
        if self._held is None:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            held, self._held = self._held, None
            self._transport.write(held + data)

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held and not self._transport.is_closing():
            self._transport.write(held)


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]


class _Server(uvicorn.Server):
    """A server that says, with its port, when its service takes events."""

    def __init__(
        self, config: uvicorn.Config, service: Service, ready: Callable[[int], None]
    ) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready
        self._waiting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen; what is asked while the log is read is told to come again."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._waiting = asyncio.ensure_future(self._tell(port))

    async def _tell(self, port: int) -> None:
        await self._service.begun.wait()
        self._ready(port)


def serve(
    service: Service, guard: Guard, *, ready: Callable[[int], None] = lambda port: None,
    front: Callable[[Any], Any] = lambda app: app,
) -> None:  # fmt: skip
    """Serve until a signal ends it; raises what kept the service from starting.

    `ready` is called with the port once events are taken there; `front` wraps the app that answers.
    """

    def failed() -> None:
        server.should_exit = True

    app: Any = front(Ingest(service, guard, ASGIHandler(), failed))
    settings = service.settings
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, loop="uvloop", http=_Protocol, ws="none",
        lifespan="on", access_log=False, log_config=None, log_level="warning",
        server_header=False, date_header=False, proxy_headers=False,
        timeout_keep_alive=30, timeout_graceful_shutdown=10, backlog=1024,
    )  # fmt: skip
    server = _Server(config, service, ready)
    server.run()
    if service.failed is not None:
        raise service.failed
