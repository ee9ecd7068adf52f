"""Reading of authenticated rows: what somebody else put into the database is not acted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

import structlog

from wavebreak_server.errors import DomainError
from wavebreak_server.storage import models

logger = structlog.stdlib.get_logger("wavebreak.authentication")

Row = TypeVar("Row", bound=models.AuthenticatedModel)
NAMES: dict[type[models.AuthenticatedModel], str] = {
    models.ApiKey: "API key",
    models.Webhook: "webhook",
    models.Source: "source",
    models.AuditEntry: "audit entry",
    models.Decision: "decision",
    models.StateChange: "change of an enforcement state",
}
"""What the rows of a table are called, in messages; those of plug-ins by their own name."""


def row_name(row: models.AuthenticatedModel) -> str:
    """Return how a message names a row."""
    return f"{NAMES.get(type(row), row._meta.verbose_name)} {row.pk}"


def authentic(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that this service wrote; report each other one once, and leave it out."""
    for row in rows:
        if row.is_authentic:
            yield row
        else:
            _report(row_name(row))


@lru_cache(maxsize=1_000)
def _report(name: str) -> None:
    logger.error("a row was changed or added in the database; it is not used", row=name)


def checked(rows: Iterable[Row]) -> list[Row]:
    """Return rows as they were stored; raises DomainError for one that was changed."""
    found = list(rows)
    for row in found:
        if not row.is_authentic:
            raise DomainError("row-changed", row=row_name(row))
    return found


def checked_decisions(rows: Iterable[models.Decision]) -> list[models.Decision]:
    """Return decisions as they were stored; raises DomainError for one that was changed."""
    return checked(rows)
