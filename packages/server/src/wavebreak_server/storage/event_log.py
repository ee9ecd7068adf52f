"""Event log in the database: one batch per row, contiguous positions, authenticated row by row.

A row's body is in the row, or in a topic of Kafka: see `log_bodies`.

Each row has a SHA-256, which shows damage, and a proof (`row_macs.LogRowProof`): a salted
commitment, the hash of the chain of all commitments so far, and a MAC under the deployment's key.
A row that somebody without the key changed, added, removed or moved does not verify. The chain is
sealed in the ledger at intervals.

Erasure removes the pseudonyms of an account's number and addresses from the log. No feature reads
them, so a replay makes the same decisions, and counts that other accounts rely on remain: those of
networks, number blocks and devices. (A device's keyed pseudonym stays, because the reputation of
other accounts is counted by it.) SQLite overwrites what is removed; PostgreSQL keeps it in its own
files until its next vacuum. `erasure` says what else is erased, and applies it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection, transaction

from wavebreak.errors import FileError, ServiceError
from wavebreak.io.log_rows import compress_stream as compress_stream
from wavebreak.io.log_rows import decode_row as decode_row
from wavebreak.io.log_rows import decode_stream as decode_stream
from wavebreak.io.log_rows import encode_row as encode_row
from wavebreak.io.log_rows import encode_stream as encode_stream
from wavebreak.io.log_rows import row_digest as row_digest
from wavebreak_server.storage import log_bodies, row_macs
from wavebreak_server.storage.log_bodies import BodyName, NewBody, StoredBody
from wavebreak_server.storage.models import LogBatch, LogProof, LogStart
from wavebreak_server.storage.row_macs import (
    CHAIN_START,
    LogRowContent,
    LogRowProof,
    is_proven,
    next_chain,
    prove_row,
)

LogBatchRow = tuple[int, int, int, bytes, bytes]
"""A row of the table: first position, count, time of receipt, SHA-256, and where its body is."""
_APPEND = "INSERT INTO log_batch (first, count, received_ms, sha256, blob) VALUES (%s,%s,%s,%s,%s)"
_PROOF = (
    "INSERT INTO log_proof (first, salt, leaf, chain, mac, sealed) VALUES (%s,%s,%s,%s,%s,TRUE)"
)
_ROWS = (
    "SELECT b.first, b.count, b.received_ms, b.sha256, b.blob, p.salt, p.leaf, p.chain, p.mac "
    "FROM log_batch b LEFT JOIN log_proof p ON p.first = b.first "
    "WHERE b.first + b.count > %s AND b.first >= %s ORDER BY b.first LIMIT %s"
)
DAMAGED, CHANGED = "damaged", "changed by somebody who lacks the deployment's key"
NO_BODY = "not in the log's topic"


@dataclass(frozen=True, slots=True)
class LogSegment:
    """Positions `first` to `end - 1` of the log; `events` is None if the row cannot be used.

    `fault` then says why: it is damaged, or was changed.
    """

    first: int
    end: int
    events: pa.RecordBatch | None
    fault: str = ""


class LogRow(NamedTuple):
    """A row of the log with its proof (None: it has none)."""

    first: int
    size: int
    received_ms: int
    sha256: bytes
    blob: bytes
    proof: LogRowProof | None

    @property
    def content(self) -> LogRowContent:
        """What the proof is of."""
        return (self.first, self.size, self.received_ms, self.sha256)

    def fault(self, chain: bytes | None) -> str:
        """Return why the row cannot be used after `chain` (None: not known); empty if it can."""
        if row_digest(self.blob) != self.sha256:
            return DAMAGED if self.blob else NO_BODY
        proof = self.proof
        if proof is None:
            return CHANGED if row_macs.key_id() else ""
        follows = chain is None or proof.chain == next_chain(chain, proof.leaf)
        return "" if follows and is_proven(proof, self.content) else CHANGED


class NewRow(NamedTuple):
    """A row that is to be appended; `first` is the position of its first event."""

    first: int
    size: int
    received_ms: int
    blob: bytes | memoryview


def append_rows(cursor: Any, rows: Sequence[NewRow], chain: bytes) -> bytes:
    """Append rows that follow `chain` in the open transaction; return the chain after them.

    Bodies are stored after the transaction's first statement, which a lost owner is refused, and
    before its end: what is committed has its body.
    """
    bodies, proofs = [], []
    for row in rows:
        digest = row_digest(row.blob)
        proof = prove_row(chain, (row.first, row.size, row.received_ms, digest))
        bodies.append(NewBody(row.first, digest, row.blob))
        proofs.append((row.first, *proof))
        chain = proof.chain
    if rows:
        cursor.executemany(_PROOF, proofs)
        cells = log_bodies.bound().store(bodies)
        cursor.executemany(
            _APPEND,
            [
                (row.first, row.size, row.received_ms, body.sha256, cell)
                for row, body, cell in zip(rows, bodies, cells, strict=True)
            ],
        )
    return chain


def append(
    cursor: Any, first: int, events: int, received_ms: int, blob: bytes | memoryview
) -> None:
    """Append one row at the end of the log in the open transaction."""
    append_rows(cursor, [NewRow(first, events, received_ms, blob)], log_chain())


def log_end() -> int:
    """Return the position after the newest event."""
    newest = LogBatch.objects.order_by("-first").values_list("first", "count").first()
    return newest[0] + newest[1] if newest else log_start().position


def log_chain() -> bytes:
    """Return the chain after the newest row."""
    newest = LogProof.objects.order_by("-first").values_list("chain", flat=True).first()
    return bytes(newest) if newest is not None else log_start().chain


def log_state() -> ChainPoint:
    """Return where the log ends, and the chain there, of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.first + b.count, p.chain FROM log_batch b JOIN log_proof p "
            "ON p.first = b.first ORDER BY b.first DESC LIMIT 1"
        )
        row = cursor.fetchone()
    return ChainPoint(row[0], bytes(row[1])) if row else log_start()


class ChainPoint(NamedTuple):
    """A position of the log between two rows, and the chain there."""

    position: int
    chain: bytes


def log_start() -> ChainPoint:
    """Return where the log begins; 0 unless earlier rows were removed.

    Raises ServiceError if somebody without the deployment's key changed it.
    """
    row = LogStart.objects.first()
    if row is None:
        return ChainPoint(0, CHAIN_START)
    position, chain = int(row.position), bytes(row.chain)
    if not row_macs.is_authentic("log_start", (position, chain), bytes(row.mac)):
        raise ServiceError(
            f"the beginning of the log (position {position}) was {CHANGED}",
            fix="restore a backup from before the change",
        )
    return ChainPoint(position, chain)


def current_commitment(proof: LogProof) -> bytes | None:
    """Return the commitment to a row as it is now; None if the row is gone or not authentic."""
    fields = ("first", "count", "received_ms", "sha256")
    row = LogBatch.objects.filter(first=proof.first).values_list(*fields).first()
    if row is None:
        return None
    content = (row[0], row[1], row[2], bytes(row[3]))
    parts = (proof.salt, proof.leaf, proof.chain, proof.mac)
    proven = LogRowProof(*(bytes(part) for part in parts))
    return row_macs.commit_row(proven.salt, content) if is_proven(proven, content) else None


def remove_rows_before(position: int) -> int:
    """Remove the rows that end at or before a position, in the open transaction; their number.

    The chain at the new beginning is kept, so that the rest verifies as before.
    """
    before = LogBatch.objects.filter(first__lt=position).order_by("first")
    rows = list(before.values_list("first", "count", "sha256"))
    names = [BodyName(first, bytes(sha)) for first, count, sha in rows if first + count <= position]
    if not names:
        return 0
    last, count, _ = rows[len(names) - 1]
    chain = bytes(LogProof.objects.values_list("chain", flat=True).get(first=last))
    start = (last + count, chain)
    LogStart.objects.update_or_create(
        id=1,
        defaults={
            "position": start[0],
            "chain": chain,
            "mac": row_macs.row_mac("log_start", start),
        },
    )
    LogBatch.objects.filter(first__lte=last).delete()
    LogProof.objects.filter(first__lte=last).delete()
    transaction.on_commit(partial(log_bodies.bound().remove, names))
    return len(names)


def contains_row(first: int, blob: bytes) -> bool:
    """Whether the row at `first` is this one, after a commit with unknown result."""
    digest = LogBatch.objects.filter(first=first).values_list("sha256", flat=True).first()
    return digest is not None and bytes(digest) == row_digest(blob)


def with_bodies(rows: Iterable[LogBatchRow], *, at_once: int = 16) -> Iterator[LogBatchRow]:
    """Yield rows of the table with their bodies, wherever these are.

    Raises ServiceError for a row without its body.
    """
    bodies, left = log_bodies.bound(), iter(rows)
    while chunk := list(islice(left, at_once)):
        stored = [StoredBody(row[0], bytes(row[3]), bytes(row[4])) for row in chunk]
        for row, blob in zip(chunk, bodies.load(stored), strict=True):
            if not blob:
                raise damage_error(LogSegment(row[0], row[0] + row[1], None, NO_BODY))
            yield (*row[:4], blob)


def read_log(since: int, *, rows: int = 16) -> Iterator[LogSegment]:
    """Read the log from a position on, row by row, checking each against its SHA-256 and proof.

    Yields a segment without events for positions whose row is damaged, changed or missing.
    """
    at, chain = since, None
    for row in read_rows(since, rows=rows):
        if row.first > at:
            yield LogSegment(at, row.first, None, "missing")
            chain = None
        elif chain is None:
            chain = chain_before(row.first)
        yield _read_row(at, row, chain)
        at, chain = row.first + row.size, row.proof.chain if row.proof else None


def read_rows(since: int, *, rows: int = 16) -> Iterator[LogRow]:
    """Read the rows that reach beyond a position, unchecked."""
    at = since
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                _ROWS,
                (at, _row_of(cursor, at), rows),
            )
            fetched = cursor.fetchall()
        if not fetched:
            return
        stored = [StoredBody(row[0], bytes(row[3]), bytes(row[4])) for row in fetched]
        bodies = log_bodies.bound().load(stored)
        for (first, count, received_ms, _, _, *proof), at_row, blob in zip(
            fetched, stored, bodies, strict=True
        ):
            proven = None if proof[0] is None else LogRowProof(*map(bytes, proof))
            yield LogRow(first, count, received_ms, at_row.sha256, blob, proven)
        at = fetched[-1][0] + fetched[-1][1]


def chain_before(first: int) -> bytes | None:
    """Return the chain before the row at a position; None if the row before it is missing."""
    start = log_start()
    if first == start.position:
        return start.chain
    rows = LogBatch.objects.filter(first__lt=first).order_by("-first")
    before = rows.values_list("first", "count").first()
    if before is None or sum(before) != first:
        return None
    chain = LogProof.objects.filter(first=before[0]).values_list("chain", flat=True).first()
    return None if chain is None else bytes(chain)


def _row_of(cursor: Any, position: int) -> int:
    cursor.execute("SELECT MAX(first) FROM log_batch WHERE first <= %s", (position,))
    (first,) = cursor.fetchone()
    return first if first is not None else position


def _read_row(at: int, row: LogRow, chain: bytes | None) -> LogSegment:
    begin, stop = max(at, row.first), row.first + row.size
    if fault := row.fault(chain):
        return LogSegment(begin, stop, None, fault)
    try:
        events = decode_row(row.blob)
    except FileError:
        return LogSegment(begin, stop, None, DAMAGED)
    if events.num_rows != row.size:
        return LogSegment(begin, stop, None, DAMAGED)
    return LogSegment(begin, stop, events.slice(begin - row.first))


def damage_error(stretch: LogSegment) -> ServiceError:
    """Return the error that names the positions of a damaged, changed or missing row."""
    return ServiceError(
        f"the log's positions {stretch.first} to {stretch.end - 1} are {stretch.fault}",
        fix="restore a backup, or skip them by starting with --accept-loss",
    )


ERASED_COLUMNS = ("number", "address")


class Erasure(NamedTuple):
    """How many events lost a pseudonym, in how many rows of the log."""

    events: int
    batches: int


def erase_from_batch(
    events: pa.RecordBatch, accounts: Collection[str]
) -> tuple[pa.RecordBatch, Counter[str]]:
    """Return a batch without accounts' pseudonyms, and how many events of each had one."""
    named = pa.array(sorted(accounts), pa.string())
    own = pc.is_in(events.column("account"), value_set=named)
    masks = [pc.and_(own, events.column(name).is_valid()) for name in ERASED_COLUMNS]
    found = events.column("account").filter(pc.or_(*masks))
    if not len(found):
        return events, Counter()
    for name in ERASED_COLUMNS:
        at = events.schema.get_field_index(name)
        column = pc.if_else(own, pa.scalar(None, pa.string()), events.column(at))
        events = events.set_column(at, events.schema.field(at), column)
    return events, Counter(found.to_pylist())


def erase_pseudonyms(ends: Mapping[str, int]) -> dict[str, Erasure]:
    """Erase accounts' pseudonyms from the log, row by row, in one pass over it.

    Rows that are damaged or were changed are skipped. Other erasures may run at the same time.

    Args:
        ends: The position before which each account is erased.

    Returns:
        What each account lost.
    """
    events, batches = Counter[str](), Counter[str]()
    last = max(ends.values(), default=0)
    for row in read_rows(log_start().position, rows=1):
        if row.first >= last:
            break
        counts = _erase_from_row(row, {a for a, end in ends.items() if row.first < end})
        events.update(counts)
        batches.update(counts.keys())
    # What a crash or a lost owner left has pseudonyms too.
    log_bodies.bound().remove_strays(0)
    return {account: Erasure(events[account], batches[account]) for account in ends}


def _erase_from_row(row: LogRow, accounts: Collection[str]) -> Counter[str]:
    """Erase from one row; return how many of its events had a pseudonym, by account.

    The row is written only if it is still the one that was read. Otherwise another erasure has
    changed it, and it is read again: no lock is held while a row is decoded.
    """
    while is_usable(row):
        events, counts = erase_from_batch(decode_row(row.blob), accounts)
        if not counts or rewrite_row(row, bytes(encode_row(events))):
            return counts
        again = next(read_rows(row.first, rows=1), None)
        if again is None or again.first != row.first:
            break
        row = again
    return Counter()


def is_usable(row: LogRow) -> bool:
    """Whether a row may be rewritten: it is whole, and proven if any row of the log is.

    A log of an earlier version has no proofs until a service starts on it.
    """
    if row.proof is None and row_digest(row.blob) == row.sha256:
        return not LogProof.objects.exists()
    return not row.fault(None)


def rewrite_row(row: LogRow, blob: bytes) -> bool:
    """Give a usable row of the log other content, authenticated, to be sealed in the ledger.

    The chain stays provable: it goes over the commitment to what was first written, whose salt is
    removed. `LedgerStore.seal_changes` seals the commitment to the new content.

    Returns:
        Whether it was written; not if the row is no longer the one that was read.
    """
    content = (row.first, row.size, row.received_ms, row_digest(blob))
    bodies = log_bodies.bound()
    with bodies.rewriting(), transaction.atomic():
        unchanged = LogBatch.objects.filter(first=row.first, sha256=row.sha256)
        if not unchanged.update(sha256=content[3]):
            return False
        (cell,) = bodies.store([NewBody(row.first, content[3], blob)])
        LogBatch.objects.filter(first=row.first).update(blob=cell)
        transaction.on_commit(partial(bodies.remove, [BodyName(row.first, row.sha256)]))
        if row.proof is not None:
            proof = row_macs.prove_rewritten(row.proof, content)
            LogProof.objects.filter(first=row.first).update(
                salt=proof.salt, mac=proof.mac, sealed=False
            )
    return True
