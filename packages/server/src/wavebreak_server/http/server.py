"""Web server: uvicorn over uvloop and httptools, in this process, on one event loop."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler

from wavebreak.errors import UsageError
from wavebreak_server.http.auth import Authorize
from wavebreak_server.http.ingest_app import IngestApp
from wavebreak_server.http.protocol import Connections, HttpProtocol
from wavebreak_server.http.responses import App
from wavebreak_server.pipeline.service import Service

MOST_FILES = 65_536
"""Open files that the process asks the system for, if it may have as many."""
OWN_FILES = 96
"""Open files that connections leave to the database, snapshots, processes and webhooks."""
_BACKLOG = 1024


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


def connection_room(wanted: int, files: int) -> tuple[int, int]:
    """Return how many connections may be open, and how many may wait to be accepted.

    The event loop accepts all that wait before any is counted, so both must fit the open files.

    Args:
        wanted: Connections that the settings allow.
        files: Open files that the system allows.

    Raises:
        UsageError: The system allows too few open files.

    >>> connection_room(1000, 65_536), connection_room(1000, 1024)
    ((1000, 1024), (800, 128))
    """
    backlog = min(_BACKLOG, files // 8)
    room = files - OWN_FILES - backlog
    if room < 1:
        raise UsageError(f"only {files} open files are allowed", fix="raise `ulimit -n` to 1024")
    return min(wanted, room), backlog


def raise_file_limit() -> int:
    """Allow the process as many open files as it may have; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


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
    limits = settings.limits
    most, backlog = connection_room(limits.connections, raise_file_limit())
    protocol: Any = partial(HttpProtocol, Connections(most, limits.peer_connections), limits)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=5,
        backlog=backlog,
    )
    server = _Server(config, service, ready)
    server.run()
    if service.failed is not None:
        raise service.failed
