"""What the service asks of this plug-in: operations, compiled code, and what runs beside it."""

from __future__ import annotations

from pathlib import Path

from wavebreak_business.platform.warmup import warm
from wavebreak_business.service import api
from wavebreak_business.service.erasure import erase
from wavebreak_business.service.live_platform import opening
from wavebreak_business.service.logged_acts import following
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.operations import Operation
from wavebreak_server.service_plugins import Task

__all__ = ["OPERATIONS", "background_tasks", "erase", "warm"]

OPERATIONS: tuple[Operation, ...] = tuple(api.router.operations)


def background_tasks(context: AppContext, policy: Path | None) -> list[Task]:
    """Return what reads the platform at the start, with the limits of a policy, and the log."""
    return [opening(context, policy), following(context)]
