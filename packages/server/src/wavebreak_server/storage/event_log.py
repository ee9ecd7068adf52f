"""Event log in the database: one batch per row, contiguous positions, authenticated row by row.

A row's body is in the row, or in a topic of Kafka: see `log_bodies`.

Each row has a SHA-256, which shows damage, and a proof (`log_proofs.LogRowProof`): a salted
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
from itertools import islice, takewhile
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection, transaction

from wavebreak.errors import FileError, ServiceError
from wavebreak.io import log_proofs
from wavebreak.io.log_rows import decode_row, encode_row, row_digest, unpack_row
from wavebreak.privacy.erasure import erase_from_batch
from wavebreak_server.storage import log_bodies, row_macs
from wavebreak_server.storage.log_bodies import BodyName, NewBody, StoredBody
from wavebreak_server.storage.models import LogBatch, LogProof, LogStart

LogBatchRow = tuple[int, int, int, bytes, bytes]
"""A row of the table: first position, count, time of receipt, SHA-256, and where its body is."""
AT_ONCE = 16
"""Rows that an erasure reads, and writes in one transaction."""
_APPEND = "INSERT INTO log_batch (first, count, received_ms, sha256, blob) VALUES (%s,%s,%s,%s,%s)"
_PROOF = (
    "INSERT INTO log_proof (first, salt, leaf, chain, mac, sealed) VALUES (%s,%s,%s,%s,%s,TRUE)"
)
_PROVE_AGAIN = "UPDATE log_proof SET salt = %s, mac = %s, sealed = FALSE WHERE first = %s"
_REWRITE = "UPDATE log_batch SET sha256 = %s, blob = %s WHERE first = %s"
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
    proof: log_proofs.LogRowProof | None

    @property
    def content(self) -> log_proofs.LogRowContent:
        """What the proof is of."""
        return (self.first, self.size, self.received_ms, self.sha256)

    def fault(self, chain: bytes | None) -> str:
        """Return why the row cannot be used after `chain` (None: not known); empty if it can."""
        if row_digest(self.blob) != self.sha256:
            return DAMAGED if self.blob else NO_BODY
        proof = self.proof
        if proof is None:
            return CHANGED if row_macs.key_id() else ""
        follows = chain is None or proof.chain == log_proofs.next_chain(chain, proof.leaf)
        return "" if follows and row_macs.is_proven(proof, self.content) else CHANGED


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
        proof = row_macs.prove_row(chain, (row.first, row.size, row.received_ms, digest))
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
        return ChainPoint(0, log_proofs.CHAIN_START)
    position, chain = int(row.position), bytes(row.chain)
    if not row_macs.is_authentic("log_start", (position, chain), bytes(row.mac)):
        raise ServiceError(
            f"the beginning of the log (position {position}) was {CHANGED}",
            fix="restore a backup from before the change",
        )
    return ChainPoint(position, chain)


def current_commitments(proofs: Sequence[LogProof]) -> dict[int, bytes]:
    """Return the commitments to rows as they are now; rows that are gone or forged are left out."""
    fields = ("first", "count", "received_ms", "sha256")
    rows = LogBatch.objects.filter(first__in=[proof.first for proof in proofs])
    contents = {
        first: (first, count, received_ms, bytes(sha))
        for first, count, received_ms, sha in rows.values_list(*fields)
    }
    commitments = dict[int, bytes]()
    for proof in proofs:
        parts = (proof.salt, proof.leaf, proof.chain, proof.mac)
        proven, content = log_proofs.LogRowProof(*map(bytes, parts)), contents.get(proof.first)
        if content and row_macs.is_proven(proven, content):
            commitments[proof.first] = log_proofs.commit_row(proven.salt, content)
    return commitments


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
            cursor.execute(_ROWS, (at, _row_of(cursor, at), rows))
            fetched = cursor.fetchall()
        if not fetched:
            return
        stored = [StoredBody(row[0], bytes(row[3]), bytes(row[4])) for row in fetched]
        bodies = log_bodies.bound().load(stored)
        for (first, count, received_ms, _, _, *proof), at_row, blob in zip(
            fetched, stored, bodies, strict=True
        ):
            proven = None if proof[0] is None else log_proofs.LogRowProof(*map(bytes, proof))
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


class Erasure(NamedTuple):
    """How many events lost a pseudonym, in how many rows of the log."""

    events: int
    batches: int


def erase_pseudonyms(ends: Mapping[str, int]) -> dict[str, Erasure]:
    """Erase accounts' pseudonyms from the log, in one pass over it, however many accounts.

    Rows that are damaged or were changed are skipped. Other erasures may run at the same time.

    Args:
        ends: The position before which each account is erased.

    Returns:
        What each account lost.
    """
    events, batches = Counter[str](), Counter[str]()
    last, accounts = max(ends.values(), default=0), pa.array(sorted(ends), pa.string())
    rows = takewhile(lambda row: row.first < last, read_rows(log_start().position, rows=AT_ONCE))
    while stretch := list(islice(rows, AT_ONCE)):
        for counts in _erase_from_rows(_rows_of_accounts(stretch, accounts), ends):
            events.update(counts)
            batches.update(counts.keys())
    # What a crash or a lost owner left has pseudonyms too.
    log_bodies.bound().remove_strays(0)
    return {account: Erasure(events[account], batches[account]) for account in ends}


def _rows_of_accounts(
    rows: Iterable[LogRow], accounts: pa.Array
) -> list[tuple[LogRow, Collection[str]]]:
    """Return the usable rows in which any of some accounts wrote, with those.

    Only that column is looked at, of all rows in one call: most rows of a long log have none.
    """
    columns = [(row, column) for row in rows if (column := _accounts_in(row)) is not None]
    if not columns:
        return []
    hits = pc.is_in(pa.concat_arrays([column for _, column in columns]), value_set=accounts)
    named, at = list[tuple[LogRow, Collection[str]]](), 0
    for row, column in columns:
        hit = hits.slice(at, len(column))
        if hit.true_count:
            named.append((row, set(column.filter(hit).to_pylist())))
        at += len(column)
    return named


def _accounts_in(row: LogRow) -> pa.StringArray | None:
    """Return the accounts of a row's events; None where it is damaged or was changed."""
    if not is_usable(row):
        return None
    try:
        return unpack_row(row.blob).column("account")
    except (FileError, KeyError):
        return None


def _erase_from_rows(
    rows: Iterable[tuple[LogRow, Collection[str]]], ends: Mapping[str, int]
) -> list[Counter[str]]:
    """Erase accounts from rows; return how many of their events had a pseudonym, by account.

    A row is written only if it is still the one that was read. Otherwise another erasure has
    changed it, and it is read again: no lock is held while rows are decoded.
    """
    written, counted = list[RewrittenRow](), dict[int, Counter[str]]()
    for row, accounts in rows:
        own = [account for account in accounts if row.first < ends[account]]
        events, counts = erase_from_batch(decode_row(row.blob), own)
        if counts:
            written.append(RewrittenRow(row, bytes(encode_row(events))))
            counted[row.first] = counts
    missed = counted.keys() - rewrite_rows(written)
    done = [counts for first, counts in counted.items() if first not in missed]
    if missed:
        again = [next(read_rows(first, rows=1), None) for first in sorted(missed)]
        present = [row for row in again if row and row.first in missed]
        due = _rows_of_accounts(present, pa.array(sorted(ends), pa.string()))
        done += _erase_from_rows(due, ends)
    return done


def is_usable(row: LogRow) -> bool:
    """Whether a row may be rewritten: it is whole, and proven if any row of the log is.

    A log of an earlier version has no proofs until a service starts on it.
    """
    if row.proof is None and row_digest(row.blob) == row.sha256:
        return not LogProof.objects.exists()
    return not row.fault(None)


class RewrittenRow(NamedTuple):
    """A usable row of the log, as it was read, and the body that it gets."""

    row: LogRow
    blob: bytes

    @property
    def content(self) -> log_proofs.LogRowContent:
        """What its new proof is of."""
        return (*self.row.content[:3], row_digest(self.blob))


def rewrite_rows(written: Sequence[RewrittenRow]) -> set[int]:
    """Give usable rows of the log other content, authenticated, to be sealed in the ledger.

    The chain stays provable: it goes over the commitment to what was first written, whose salt is
    removed. `LedgerStore.seal_changes` seals the commitment to the new content. As where rows are
    appended, proofs come first: a lost owner is refused them, and stores no body.

    Returns:
        The positions of the rows that were written: those that are still as they were read.
    """
    if not written:
        return set()
    bodies = log_bodies.bound()
    with bodies.rewriting(), transaction.atomic():
        locked = LogBatch.objects.select_for_update().order_by("first")
        stored = locked.filter(first__in=[each.row.first for each in written])
        digests = {first: bytes(sha) for first, sha in stored.values_list("first", "sha256")}
        current = [each for each in written if digests.get(each.row.first) == each.row.sha256]
        contents = [each.content for each in current]
        proofs = [
            (proof.salt, proof.mac, content[0])
            for each, content in zip(current, contents, strict=True)
            if each.row.proof and (proof := row_macs.prove_rewritten(each.row.proof, content))
        ]
        with connection.cursor() as cursor:
            if proofs:
                cursor.executemany(_PROVE_AGAIN, proofs)
            cells = bodies.store(
                [
                    NewBody(content[0], content[3], each.blob)
                    for each, content in zip(current, contents, strict=True)
                ]
            )
            if cells:
                cursor.executemany(
                    _REWRITE,
                    [
                        (content[3], cell, content[0])
                        for content, cell in zip(contents, cells, strict=True)
                    ],
                )
        former = [BodyName(each.row.first, each.row.sha256) for each in current]
        transaction.on_commit(partial(bodies.remove, former))
    return {each.row.first for each in current}
