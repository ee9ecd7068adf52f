"""What an answer of `decide` says to the holder: a short text, from when, and where more is."""

from __future__ import annotations

from contextlib import suppress
from typing import cast, get_args

import msgspec
import structlog
from django.db import Error, connection

from wavebreak.errors import MissingExtraError, ServiceError
from wavebreak.notices import short_notices
from wavebreak.schema.events import Challenge
from wavebreak_server.pipeline.decide import DecideResponse
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.statement_links import notice_of
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision

logger = structlog.stdlib.get_logger("wavebreak.notices")


def warm() -> None:
    """Load the texts of notices, so that no answer waits for them."""
    with suppress(MissingExtraError):
        short_notices("limit", None)


def with_notice(response: DecideResponse, notices: HolderNotices) -> DecideResponse:
    """Return a response with a short notice, and of its decision when and where it is explained.

    In a pool thread, which keeps its connection. Where the database does not answer, or the
    packages of notices are missing, the answer goes without.
    """
    with suppress(MissingExtraError):
        zone = notices.platform.time_zone
        text = short_notices(response.outcome, response.until, _challenge(response), zone)
        response = msgspec.structs.replace(response, notice=text or None)
    try:
        newest = Decision.objects.filter(account=response.account).order_by("-number")[:1]
        rows = checked_decisions(newest)
        if not rows or rows[0].outcome != response.outcome:
            return response
        decision = msgspec.json.decode(bytes(rows[0].body))
        notice = notice_of(notices, decision)
    except (Error, ServiceError) as error:
        connection.close()
        logger.warning("an answer goes without its decision", cause=type(error).__name__)
        return response
    return msgspec.structs.replace(
        response,
        notify_at_ms=notices.notify_at_ms(decision),
        statement_url=notice.url if notice is not None else None,
    )


def _challenge(response: DecideResponse) -> Challenge | None:
    known = response.challenge in get_args(Challenge)
    return cast("Challenge", response.challenge) if known else None
