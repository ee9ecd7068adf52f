"""A source's own key: whatever it declares waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from support import service_harness
from wavebreak_server.slices.sources import service as sources

WIDE = ["message.sent", "typing.started"]


@pytest.fixture(autouse=True)
def declared(tmp_path: Path) -> Iterator[None]:
    """A database in which a person has declared a source."""
    with service_harness.migrated("sqlite", tmp_path):
        with transaction.atomic():
            sources.declare("xmpp", WIDE, ["refuse"], 0, "admin", "a person says so")
        yield


def own(name: str, carries: list[str], can: list[str]) -> tuple[str, str]:
    """Let a source's key declare; return what decides then, and what waits."""
    with transaction.atomic():
        stored = sources.declare_own(name, carries, can, 100 * 86_400_000, "key", "an update")
    return stored.carries, stored.asked_carries


@pytest.mark.parametrize(
    ("carries", "can"),
    [
        (WIDE[1:], ["refuse"]), (WIDE, []), (WIDE, ["lift", "refuse"]),
        (["message.read", *WIDE], ["refuse"]),
    ],
)  # fmt: skip
def test_key_changes_nothing_by_itself(carries: list[str], can: list[str]) -> None:
    wide = " ".join(WIDE)
    assert own("xmpp", carries, can) == (wide, " ".join(sorted(carries)))
    # The same as decides withdraws what was asked for.
    assert own("xmpp", WIDE, ["refuse"]) == (wide, "")


def test_first_declaration_of_a_key_waits_too() -> None:
    assert own("matrix", WIDE, ["refuse"]) == ("", " ".join(WIDE))
