"""A source's own key: what it says of its platform, and what waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from support import service_harness
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.storage.models import AppliedPosition

WIDE = ["message.sent", "typing.started"]
LATER_MS = sources.SETTLED_MS


@pytest.fixture(autouse=True)
def declared(tmp_path: Path) -> Iterator[None]:
    """A database in which a person has declared a source."""
    with service_harness.migrated("sqlite", tmp_path):
        with transaction.atomic():
            # The log has begun long ago: its beginning is an exception.
            AppliedPosition.objects.update_or_create(id=1, defaults={"position": 1})
            sources.declare("xmpp", WIDE, ["refuse"], 0, "admin", "a person says so")
        yield


def own(now_ms: int, carries: list[str], can: list[str]) -> tuple[str, str]:
    """Let the source's key declare; return what decides then, and what waits."""
    with transaction.atomic():
        stored = sources.declare_own(
            "xmpp", carries, can, now_ms, "key", "an update", senders=["key", "another"]
        )
    return stored.carries, stored.asked_carries


@pytest.mark.parametrize(("carries", "can"), [(WIDE[1:], ["refuse"]), (WIDE[1:], [])])
def test_key_narrows_nothing_however_long_it_waits(carries: list[str], can: list[str]) -> None:
    wide = " ".join(WIDE)
    assert own(100 * LATER_MS, carries, can) == (wide, " ".join(carries))


@pytest.mark.parametrize(("now_ms", "decides"), [(LATER_MS - 1, False), (LATER_MS, True)])
def test_key_widens_once_a_day(now_ms: int, decides: bool) -> None:
    wider = sorted([*WIDE, "message.read"])
    carries, _ = own(now_ms, wider, ["refuse"])
    assert (carries == " ".join(wider)) is decides
