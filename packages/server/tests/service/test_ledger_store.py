"""What the ledger seals of the database's tables, and what of a forger's rows it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from support import service_harness
from wavebreak.ledger.entries import read_entry
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AuditEntry, LedgerEntry, StateChange


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    """The ledger of a fresh database."""
    with service_harness.migrated("sqlite", tmp_path):
        yield LedgerStore(service_harness.SIGNER, service_harness.now_ms)


def forge(statement: str) -> None:
    """Change the database as somebody would who lacks the deployment's key."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def sealed(kind: str) -> int:
    """How many entries of a kind the ledger has."""
    lines = LedgerEntry.objects.values_list("line", flat=True)
    return sum(read_entry(bytes(line)).kind == kind for line in lines)


def add_audit(name: str) -> None:
    """Add an entry to the audit, as the service does."""
    AuditEntry.objects.create(
        at_ms=1, key="k", action="erase_personal", object=name, reason="asked for", outcome="done"
    )


def test_forged_audit_entry_is_not_sealed(store: LedgerStore) -> None:
    for name in ("ann", "ben"):
        add_audit(name)
    forge("UPDATE change SET object = 'cat' WHERE object = 'ben'")
    store.seal_changes()
    assert sealed("change") == 1


def test_forged_state_is_not_sealed(store: LedgerStore) -> None:
    # With a gap between their numbers each would have an entry of its own.
    for number, account in ((1, "ann"), (3, "ben")):
        StateChange.objects.create(
            number=number, account=account, after=number, decision=number, lifted=False
        )
    forge("UPDATE state_change SET lifted = TRUE WHERE number = 3")
    store.seal_states()
    assert sealed("states") == 1
