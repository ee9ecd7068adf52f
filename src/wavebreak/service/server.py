"""The web server in this process: uvicorn over uvloop and httptools, one event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler

from wavebreak.service.ingest import Guard, Ingest
from wavebreak.service.running import Service


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
        app, host=settings.host, port=settings.port, loop="uvloop", http="httptools", ws="none",
        lifespan="on", access_log=False, log_config=None, log_level="warning",
        server_header=False, date_header=False, proxy_headers=False,
        timeout_keep_alive=30, timeout_graceful_shutdown=10, backlog=1024,
    )  # fmt: skip
    server = uvicorn.Server(config)
    ready()
    server.run()
    if service.failed is not None:
        raise service.failed
