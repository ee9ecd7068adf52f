"""Erasure of a person's pseudonyms and texts, and the list by which it is applied again.

An erasure has five steps: the account is put on the list; the pseudonyms of its number and
addresses are removed from the log, and its own from the tables of plug-ins; the openings of its
ledger entries and its holder's texts are removed, in one transaction; the erasure is sealed;
SQLite's write-ahead log is truncated.

The list is the table `erasure` and, for whoever restores an older backup, the file
`HOME/erasures.jsonl`. It names accounts and positions of the log, and no pseudonym. What it names
and the database does not have as erased is applied again: by the next start after a crash or where
an older database was put back, and by a restore. An erasure covers the events before the position
that the log had then; what an account sends later is stored as anybody's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from django.db import transaction
from django.db.models import F, Max, Subquery

from wavebreak.durable_files import sync_directory, sync_file
from wavebreak.errors import ServiceError
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import ErasureEntry
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.service_plugins import erase_from_plugins
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.ledger_store import LedgerStore, OpeningRows
from wavebreak_server.storage.models import Decision, Erasure

LIST_FILE = "erasures.jsonl"
MAX_LIST = 256 << 20
"""Bytes of a list that is read."""
AGAIN = "erased again: it is on the list of erasures"


class ErasedError(ApiError):
    """The holder's side of a decision was erased: it is neither shown to them nor stored again."""

    def __init__(self, status: int = 410) -> None:
        super().__init__(status, "the account's personal data were erased", fix="ask the operator")


class ListedErasure(msgspec.Struct, frozen=True):
    """A line of the list: an account, when it was erased, and the end of the log then."""

    account: str
    at_ms: int
    upto: int


class Erased(NamedTuple):
    """What was removed: events that lost a pseudonym, rows of the log, ledger openings."""

    events: int
    batches: int
    openings: int


def begin(home: Path, account: str, now_ms: int) -> int:
    """Put an account on the list, durably, before anything is erased; return the erasure's id.

    Its time tells it from others of the account: a clock that was set back changes nothing.
    """
    with transaction.atomic():
        upto, earlier = event_log.log_end(), Erasure.objects.filter(account=account)
        newest = earlier.aggregate(Max("at_ms"))["at_ms__max"]
        at_ms = now_ms if newest is None else max(now_ms, newest + 1)
        row = Erasure.objects.create(account=account, at_ms=at_ms, upto=upto)
    _append(home, [ListedErasure(account, at_ms, upto)])
    return int(row.id)


def refuse_erased(decision_id: str, *, status: int = 410) -> None:
    """Raise ErasedError for a decision that an erasure of its account covers.

    Args:
        decision_id: The decision.
        status: The error's: pages of holders say 410, the API 409.
    """
    rows = Decision.objects.filter(id=decision_id)
    covering = Erasure.objects.filter(
        account__in=rows.values("account"), upto__gte=Subquery(rows.values("reached")[:1])
    )
    if any(covering):
        raise ErasedError(status)


def erase(erasure_id: int, now_ms: int) -> Erased:
    """Erase what a listed erasure covers; the caller seals it (`seal`), and truncates the WAL.

    Safe beside other erasures and beside the log writer, and where a part was erased before.
    """
    return erase_together([(erasure_id, now_ms)])[0]


def erase_together(asked: Sequence[tuple[int, int]]) -> list[Erased]:
    """Erase what several listed erasures cover, in one pass over the log; see `erase`.

    Args:
        asked: For each the erasure's id and the clock (ms) when it was asked for.
    """
    found = Erasure.objects.in_bulk([erasure_id for erasure_id, _ in asked])
    return _erase([found[erasure_id] for erasure_id, _ in asked], asked[-1][1])


def _erase(listed: Sequence[Erasure], now_ms: int) -> list[Erased]:
    """Erase what listed erasures cover, in one pass over the log."""
    ends: dict[str, int] = {}
    for one in listed:
        ends[one.account] = max(one.upto, ends.get(one.account, 0))
    removed = event_log.erase_pseudonyms(ends)
    erase_from_plugins(list(ends))
    done = []
    for one in listed:
        # Of two erasures of one account, the first counts what both removed.
        log = removed.pop(one.account, event_log.Erasure(0, 0))
        with transaction.atomic():
            row = Erasure.objects.select_for_update().get(id=one.id)
            openings = OpeningRows().erase(row.account)
            erase_holder_texts(row.account, now_ms)
            row.events, row.openings = row.events + log.events, row.openings + openings
            row.erased = True
            row.save(update_fields=["events", "openings", "erased"])
        done.append(Erased(log.events, log.batches, openings))
    return done


def erase_holder_texts(account: str, now_ms: int) -> int:
    """Erase an account's statements of appeals and its shown notices, in the open transaction.

    With a statement goes the keyed digest of its words; with one that its holder has not confirmed
    goes the whole appeal.
    """
    NoticeState.objects.filter(account=account).delete()
    rows = Appeal.objects.filter(account=account)
    erased = rows.filter(statement__isnull=False)
    count = int(erased.update(statement=None, erased_ms=now_ms, version=F("version") + 1))
    rows.filter(opened_ms=None).delete()
    rows.update(text_key="")
    return count


def seal(erasure_id: int, ledger_store: LedgerStore, by: str) -> None:
    """Seal an erasure in the ledger, once, in the open transaction."""
    row = Erasure.objects.select_for_update().get(id=erasure_id)
    if row.sealed:
        return
    with ledger_store.sealing() as sealing:
        sealing.add([Draft("erasure", ErasureEntry(row.openings, row.events), {"by": by})])
    row.sealed = True
    row.save(update_fields=["sealed"])


def apply_again(
    home: Path,
    listed: Iterable[ListedErasure],
    now_ms: int,
    begun: Callable[[int], None] = lambda _: None,
) -> int:
    """Erase what is listed and not erased in the bound database; return how many erasures.

    Both halves of the list are brought to the same contents. One pass over the log serves all of
    them; `begun` is called with their number before it, if there are any.
    """
    _merge(home, listed)
    pending = list(Erasure.objects.filter(erased=False).order_by("id"))
    if pending:
        begun(len(pending))
        _erase(pending, now_ms)
        finish()
    return len(pending)


def seal_pending(ledger_store: LedgerStore, now_ms: int) -> None:
    """Seal and audit erasures that were applied again; called when a service starts."""
    pending = Erasure.objects.filter(erased=True, sealed=False).order_by("id")
    for row in list(pending):
        with transaction.atomic():
            write_audit_entry(now_ms, "start", "erase_personal", row.account, AGAIN)
            seal(row.id, ledger_store, "start")


def finish() -> None:
    """Remove what was erased from SQLite's write-ahead log, now or by its checkpointer."""
    if not database.truncate_wal():
        database.truncation_due.set()


def read_list(path: Path) -> list[ListedErasure]:
    """Read a list of erasures; a last line that was not written whole is left out.

    Raises:
        ServiceError: The file is no list of erasures.
    """
    fix = "restore the file from a copy"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LIST + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}", fix=fix) from None
    if len(content) > MAX_LIST:
        raise ServiceError(f"{path} is larger than {MAX_LIST >> 20} MiB", fix=fix)
    whole, _, _ = content.rpartition(b"\n")
    decoder = msgspec.json.Decoder(ListedErasure)
    try:
        return decoder.decode_lines(whole)
    except msgspec.MsgspecError:
        raise ServiceError(f"{path} is no list of erasures", fix=fix) from None


def _merge(home: Path, listed: Iterable[ListedErasure]) -> None:
    """Add what one half of the list lacks of the other."""
    stored = {(row.account, row.at_ms): row.upto for row in Erasure.objects.all()}
    with transaction.atomic():
        # Positions behind this log's end belonged to the log that was lost.
        end = event_log.log_end()
        for one in listed:
            if (one.account, one.at_ms) not in stored:
                upto = stored[one.account, one.at_ms] = min(one.upto, end)
                Erasure.objects.create(account=one.account, at_ms=one.at_ms, upto=upto)
    filed = {(one.account, one.at_ms) for one in read_list(home / LIST_FILE)}
    lacking = [(key, upto) for key, upto in stored.items() if key not in filed]
    _append(home, [ListedErasure(*key, upto) for key, upto in lacking])


def _append(home: Path, listed: list[ListedErasure]) -> None:
    """Append lines to the file, durably; a torn line before them is ended."""
    if not listed:
        return
    path = home / LIST_FILE
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ServiceError(f"{path} is no file", fix="remove it")
            lines = b"".join(msgspec.json.encode(one) + b"\n" for one in listed)
            # Cut what a crash left of a line without its end.
            size = os.fstat(handle).st_size
            tail = os.pread(handle, 4096, max(0, size - 4096))
            kept = tail.rfind(b"\n") + 1
            if kept < len(tail):
                os.ftruncate(handle, size - len(tail) + kept)
            file.write(lines)
            sync_file(file)
        sync_directory(home)
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be written: {error.strerror}", fix="make room, and make it writable"
        ) from None
