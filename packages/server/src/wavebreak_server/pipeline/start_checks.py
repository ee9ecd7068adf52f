"""Checks at a start that the database is what the ledger sealed, before anything rests on it.

They are quick, whatever the size of the log: the ledger's head and the entries since it last named
the end of the log, the counts of decisions and audit entries, the newest rows, and all API keys and
webhooks. `wavebreak ledger verify` compares everything.

A database of an earlier version has no MACs. The first start makes them for what it finds, seals
how far the log is, and reports it; what was changed before is not found by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from django.db import connection, transaction
from django.db.models import Q

from wavebreak.errors import EvidenceError, ServiceError
from wavebreak_server.errors import DomainError
from wavebreak_server.storage import event_log, models, row_macs
from wavebreak_server.storage.authentic_rows import row_name
from wavebreak_server.storage.database_audit import WRONG_STATES
from wavebreak_server.storage.ledger_store import LedgerStore, SealedLog

NEWEST = 1_000
"""How many of the newest decisions and audit entries are checked."""
_CHUNK = 1_000
_WITHOUT_MAC = Q(mac=None) | Q(mac=b"")


LEAST_PATCH = {(3, 11): 10, (3, 12): 6}
"""The first patches of Python that judge addresses and read zip files as this service needs it."""


def outdated_python(version: tuple[int, int, int]) -> str:
    """Return a warning about a patch level of Python with known faults; empty where there is none.

    It is no error: a distribution may have fixed the faults and kept the number.

    >>> outdated_python((3, 12, 6)), outdated_python((3, 13, 0))
    ('', '')
    >>> outdated_python((3, 11, 9)).partition(": ")[2]
    'use 3.11.10 or later'
    """
    major, minor, patch = version
    least = LEAST_PATCH.get((major, minor), 0)
    if patch >= least:
        return ""
    return (
        f"Python {major}.{minor}.{patch} has known faults in judging addresses and reading zip "
        f"files: use {major}.{minor}.{least} or later"
    )


def check_database(
    ledger_store: LedgerStore, report: Callable[[str], None], *, accept_loss: bool = False
) -> None:
    """Check that the bound database is as it was sealed.

    Args:
        ledger_store: The service's ledger.
        report: Called with messages for the operator.
        accept_loss: Whether lost rows of the log are accepted.

    Raises:
        ServiceError: Something was changed, added or removed; the error names it.
    """
    try:
        sealed = ledger_store.sealed_log()
    except EvidenceError as error:
        raise _changed(f"the ledger is not as it was signed ({error.what})") from None
    if sealed is None:
        _adopt(ledger_store, report)
        return
    if sealed.entry.key != row_macs.key_id():
        raise ServiceError(
            "the database was written under another deployment's key",
            fix="start with the key of before: --key FILE, or the environment's WAVEBREAK_KEY",
        )
    _check_decisions(sealed)
    _check_states()
    _check_changes(sealed)
    _check_verified()
    if not accept_loss:
        _check_log(sealed)


def _changed(what: str) -> ServiceError:
    return DomainError("database-changed", change=what)


def _check_decisions(sealed: SealedLog) -> None:
    """Check the count of decisions, and the newest of them."""
    count = sealed.entry.decisions + sealed.decisions
    applied = models.AppliedPosition.objects.first()
    stored = applied.decisions if applied else 0
    newest = list(models.Decision.objects.order_by("-number")[:NEWEST])
    highest = newest[0].number if newest else 0
    if not count == stored == highest:
        raise _changed(
            f"{count:,} decisions were sealed, the table holds {highest:,} and the service counts "
            f"{stored:,}"
        )
    _check_rows(newest)
    gap = next((n for n, row in enumerate(newest) if row.number != highest - n), None)
    if gap is not None:
        raise _changed(f"decision {highest - gap} is gone")


def _check_states() -> None:
    """Check that each enforcement state is that of its decision: `decide` may answer by it."""
    with connection.cursor() as cursor:
        cursor.execute(WRONG_STATES, (0,))
        wrong = cursor.fetchone()
    if wrong:
        raise _changed(
            f"the enforcement state of {wrong[0]!r} is not what decision {wrong[2]} says"
        )


def _check_changes(sealed: SealedLog) -> None:
    """Check API keys, webhooks, and the audit log's count and newest entries."""
    _check_rows(chain(models.ApiKey.objects.all(), models.Webhook.objects.all()))
    _check_rows(models.AuditEntry.objects.order_by("-number")[:NEWEST])
    left = models.AuditEntry.objects.filter(number__lte=sealed.entry.last_change).count()
    if left != sealed.entry.changes:
        raise _changed(
            f"the audit log had {sealed.entry.changes:,} entries, {left:,} of them are there"
        )


def _check_verified() -> None:
    """Check the people who sign in, and what else is verified where it is read."""
    for model in models.verified_models():
        for row in model.objects.unverified().iterator():
            if fault := row.find_fault():
                raise _changed(fault)


def _check_rows(rows: Iterable[models.AuthenticatedModel]) -> None:
    for row in rows:
        if not row.is_authentic:
            named = row_name(row)
            if isinstance(row, models.ApiKey):
                raise DomainError("foreign-key-row", row=named, prefix=row.prefix)
            raise _changed(f"this service did not write its {named}")


def _check_log(sealed: SealedLog) -> None:
    """Check the log's newest row, and its chain where it was sealed last."""
    entry, end = sealed.entry, event_log.log_end()
    applied = models.AppliedPosition.objects.values_list("position", flat=True).first() or 0
    if end < max(entry.position, applied):
        raise _changed(
            f"the log ends at position {end:,}, and it had {max(entry.position, applied):,}"
        )
    found = event_log.chain_before(entry.position)
    if found is not None and found.hex() != entry.chain:
        raise _changed(f"the log before position {entry.position:,} is not what was sealed")
    for row in event_log.read_rows(end - 1):
        if fault := row.fault(event_log.chain_before(row.first)):
            raise _changed(f"the log's newest row (from position {row.first:,}) is {fault}")


def _adopt(ledger_store: LedgerStore, report: Callable[[str], None]) -> None:
    """Authenticate the rows of an earlier version, and seal how far the log is."""
    if models.LogProof.objects.exists() or models.Decision.objects.exclude(_WITHOUT_MAC).exists():
        raise _changed("its ledger was cut, or replaced by an older one")
    # Check that commands which ran before the first start used the key that it uses.
    tables = (models.ApiKey, models.Webhook, models.AuditEntry)
    for row in chain.from_iterable(table.objects.exclude(_WITHOUT_MAC) for table in tables):
        if not row.is_authentic:
            raise DomainError("other-deployment-key", row=row_name(row))
    with transaction.atomic():
        rows = _adopt_log()
        decisions = _adopt_rows(models.Decision.objects.filter(_WITHOUT_MAC))
        _adopt_rows(models.ApiKey.objects.filter(_WITHOUT_MAC))
        _adopt_rows(models.Webhook.objects.filter(_WITHOUT_MAC))
        _adopt_rows(models.AuditEntry.objects.filter(_WITHOUT_MAC))
        ledger_store.seal_changes()
        lines = models.LedgerEntry.objects.values_list("line", flat=True).iterator(
            chunk_size=_CHUNK
        )
        sealed = sum(b'"kind":"decision"' in bytes(line) for line in lines)
        ledger_store.commit_log(models.Decision.objects.count() - sealed)
    if rows or decisions:
        report(
            f"{rows:,} rows of the log and {decisions:,} decisions of an earlier version are "
            "authenticated from now on, as they were found"
        )


def _adopt_log() -> int:
    """Prove the rows of the log as they are; return how many there are."""
    known, count = event_log.log_start().chain, 0
    contents = models.LogBatch.objects.order_by("first").values_list(
        "first", "count", "received_ms", "sha256"
    )
    proofs: list[models.LogProof] = []
    for first, events, received_ms, sha256 in contents.iterator(chunk_size=_CHUNK):
        proof = row_macs.prove_row(known, (first, events, received_ms, bytes(sha256)))
        proofs.append(models.LogProof(first, *proof))
        known, count = proof.chain, count + 1
        if len(proofs) == _CHUNK:
            models.LogProof.objects.bulk_create(proofs)
            proofs = []
    models.LogProof.objects.bulk_create(proofs)
    return count


def _adopt_rows(rows: Iterable[models.AuthenticatedModel]) -> int:
    """Set the MAC of each row to that of the row as it is; return how many there are."""
    found = list(rows)
    for row in found:
        row.authenticate()
    if found:
        table = found[0]._meta
        name, key = table.db_table, table.pk.column
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {name} SET mac = %s WHERE {key} = %s",  # noqa: S608 - our own names
                [(row.mac, row.pk) for row in found],
            )
    return len(found)
