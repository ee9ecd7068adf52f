"""What runs beside a service for due process: the review queue, appeals, and contact warnings."""

from __future__ import annotations

from pathlib import Path

from wavebreak_server.http.app_context import AppContext
from wavebreak_server.pipeline.service import Background
from wavebreak_server.slices.appeals.service import AppealUpkeep
from wavebreak_server.slices.config import use_settings
from wavebreak_server.slices.queue.contact_warnings import ContactWarner
from wavebreak_server.slices.queue.indexer import Indexer


def background_tasks(context: AppContext, policy: Path | None) -> list[Background]:
    """Return the background tasks of due process, whether or not the console's pages are served.

    Args:
        context: The application context of the service.
        policy: Directory of a local policy (None: the shipped one).

    """
    used = use_settings(context, policy)
    return [Indexer(used.queue), AppealUpkeep(used.appeals), ContactWarner(context)]
