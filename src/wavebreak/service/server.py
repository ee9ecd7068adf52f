"""The web server in this process: uvicorn over uvloop and httptools, one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wavebreak.service.ingest import Guard, Ingest
from wavebreak.service.running import Service


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


def serve(
    service: Service, guard: Guard, *, ready: Callable[[], None] = lambda: None,
    front: Callable[[Any], Any] = lambda app: app,
) -> None:  # fmt: skip
    """Serve until a signal ends it; raises what kept the service from starting.

    `front` wraps the app that answers.
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
    server = uvicorn.Server(config)
    ready()
    server.run()
    if service.failed is not None:
        raise service.failed
