"""The ledger in the service's database: entries are sealed in the transaction that they describe.

A transaction that seals locks the ledger's head until it ends, so that entries have one order; a
failed transaction leaves no entry. The log writer seals decisions together with their rows and
enforcement states. An `applied` receipt follows in its next transaction: from then on every
response shows the decision. A `delivered` or `failed` receipt is sealed when a webhook delivery
ends.
"""

from __future__ import annotations

import contextlib
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
from django.db import connection, transaction
from django.db.models import Count, Max

from wavebreak.durations import MINUTE_MS
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.ledger import (
    Draft,
    Ledger,
    LedgerRecorder,
    Openings,
    Signer,
    merkle_tree,
    read_entry,
    verifier,
)
from wavebreak.ledger.entries import ChangeEntry, DecisionEntry, LogEntry, RewriteEntry
from wavebreak.ledger.errors import ledger_error
from wavebreak.ledger.key_changes import RETIRED
from wavebreak.ledger.ledger import rotate_key
from wavebreak.ledger.merkle_tree import leaf_index
from wavebreak_server.storage import database, event_log, row_macs, state_changes
from wavebreak_server.storage.models import (
    ApiKey,
    AppliedPosition,
    AuditEntry,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerHead,
    LedgerOpening,
    LogProof,
    Source,
    StateChange,
    Webhook,
)

PendingReceipt = tuple[int, Decision | DecisionEntry]
"""A sealed decision without a receipt, with its position."""

_ENTRY = "INSERT INTO ledger_entry (position, line, nodes) VALUES (%s,%s,%s)"
_OPENING = "INSERT INTO ledger_opening (position, account, subject, told) VALUES (%s,%s,%s,%s)"
_HEAD = "SELECT size, note FROM ledger_head WHERE id = 1"
_NOTE = "UPDATE ledger_head SET size = %s, note = %s WHERE id = 1"
_RECEIPTED = "UPDATE ledger_head SET receipted = %s WHERE id = 1"
_CHECKPOINT = (
    "INSERT INTO ledger_checkpoint (minute, size, note) VALUES (%s,%s,%s) "
    "ON CONFLICT (minute) DO UPDATE SET size = excluded.size, note = excluded.note"
)
CHANGED_MODELS: dict[str, type[ApiKey | Webhook | Source]] = {
    "add_key": ApiKey,
    "rotate_key": ApiKey,
    "revoke_key": ApiKey,
    "add_webhook": Webhook,
    "rotate_webhook": Webhook,
    "remove_webhook": Webhook,
    "declare_source": Source,
    "ask_source": Source,
    "approve_source": Source,
    "remove_source": Source,
}
"""Changes of API keys, webhooks and sources, which their entry in the ledger pins."""
_LOG = b'"kind":"log"'
LEDGER_KEY = "ledger.pub"
"""File in the service's directory with the public key of the checkpoints."""
_CHUNK = 1_000


class LedgerRows:
    """Ledger storage in the bound database; `clock` returns milliseconds.

    Appended entries count once a checkpoint covers them, in the same transaction.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._size = -1

    def size(self) -> int:
        """Return the number of entries."""
        self._size = int(LedgerHead.objects.values_list("size", flat=True).get(id=1))
        return self._size

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Append entries with their tree nodes in the open transaction."""
        first = self._size if self._size >= 0 else self.size()
        ends = [32 * (leaf_index(first + k) - leaf_index(first)) for k in range(len(lines) + 1)]
        rows = [(first + k, line, nodes[ends[k] : ends[k + 1]]) for k, line in enumerate(lines)]
        with connection.cursor() as cursor:
            cursor.executemany(_ENTRY, rows)
        self._size = first + len(lines)

    def line(self, position: int) -> bytes:
        """Return an entry."""
        return bytes(LedgerEntry.objects.values_list("line", flat=True).get(position=position))

    def node(self, index: int) -> bytes:
        """Return a node of the tree, which is stored with the entry that added it."""
        near = range(index // 2, index // 2 + 64)
        position = near[bisect_right(near, index, key=leaf_index) - 1]
        nodes = LedgerEntry.objects.values_list("nodes", flat=True).get(position=position)
        at = 32 * (index - leaf_index(position))
        return bytes(nodes)[at : at + 32]

    def keep(self, note: bytes) -> None:
        """Store a signed checkpoint as the last one, and as the last of this minute."""
        size, minute = verifier.read_checkpoint(note).size, self._clock() // MINUTE_MS
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, (size, note))
            cursor.execute(_CHECKPOINT, (minute, size, note))

    def latest(self) -> bytes | None:
        """Return the last checkpoint."""
        note = LedgerHead.objects.values_list("note", flat=True).get(id=1)
        return bytes(note) or None


class OpeningRows:
    """Openings of commitments in the bound database."""

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        """Store the openings of entries from position `first` on, in the open transaction."""
        rows = [
            (position, _value(each, "account"), _value(each, "id"), msgspec.json.encode(each))
            for position, each in enumerate(openings, first)
            if each
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_OPENING, rows)

    def of(self, position: int) -> Openings:
        """Return the openings of an entry; empty if there are none or they were erased."""
        rows = LedgerOpening.objects.filter(position=position)
        encoded = rows.values_list("openings", flat=True).first()
        return msgspec.json.decode(bytes(encoded), type=Openings) if encoded is not None else {}

    def positions(self, field: str, value: str) -> list[int]:
        """Return the positions of entries with this value in a field, `account` or `id`."""
        column = {"account": "account", "id": "subject"}[field]
        rows = LedgerOpening.objects.filter(**{column: value}).order_by("position")
        return list(rows.values_list("position", flat=True))

    def erase(self, account: str) -> int:
        """Erase all openings of an account's entries; return the number of entries."""
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA secure_delete = ON")
        return int(LedgerOpening.objects.filter(account=account).delete()[0])


def rotate_service_key(before: Signer, after: Signer, now_ms: int) -> None:
    """Have another key sign the bound database's ledger from now on, which nobody else writes.

    Raises EvidenceError where the ledger is not as the earlier key signed it.
    """
    with transaction.atomic():
        rotate_key(LedgerRows(lambda: now_ms), before, after, why=RETIRED, at_ms=now_ms)


def _value(openings: Openings, field: str) -> str:
    return str(openings[field][1]) if field in openings else ""


class LedgerStore:
    """Seals entries for one service, on any thread that holds a transaction.

    `signer` signs checkpoints; `clock` returns milliseconds. Raises EvidenceError if the ledger has
    another signer or does not verify.
    """

    def __init__(self, signer: Signer, clock: Callable[[], int]) -> None:
        self.signer, self._clock = signer, clock
        self._sealing: LedgerRecorder | None = None
        self._committed_ms = 0

    def ledger(self) -> Ledger:
        """Return the ledger as it is now, for reading."""
        return Ledger(LedgerRows(self._clock), self.signer)

    @contextlib.contextmanager
    def sealing(self) -> Iterator[LedgerRecorder]:
        """Lock the ledger in the open transaction, and checkpoint it when the block ends."""
        sealing = self._locked()
        yield sealing
        sealing.ledger.checkpoint()

    def _locked(self) -> LedgerRecorder:
        with connection.cursor() as cursor:
            cursor.execute(_HEAD + " FOR UPDATE" * (connection.vendor == "postgresql"))
            size, note = cursor.fetchone()
        sealing = self._sealing
        if sealing is None or not note or not _ends_there(sealing.ledger, size, bytes(note)):
            sealing = LedgerRecorder(
                self.ledger(),
                OpeningRows(),
                clock=self._clock,
                salts=secrets.token_bytes,
                at_once=False,
            )
            self._sealing = sealing
        return sealing

    def decided(
        self,
        decisions: Sequence[Decision],
        drafts: Sequence[Draft],
        pending_receipts: Sequence[PendingReceipt],
    ) -> list[PendingReceipt]:
        """Seal decisions and drafts of a transaction; return the decisions without a receipt.

        `pending_receipts` are decisions of earlier transactions, which get their receipts now.
        """
        if not (decisions or drafts or pending_receipts):
            return []
        with self.sealing() as sealing:
            if drafts:
                sealing.add(drafts)
            if pending_receipts:
                sealing.receipts(
                    [at for at, _ in pending_receipts], [each for _, each in pending_receipts]
                )
                with connection.cursor() as cursor:
                    cursor.execute(_RECEIPTED, (pending_receipts[-1][0] + 1,))
            return list(zip(sealing.decisions(decisions), decisions, strict=True))

    def commit_log(self, unsealed: int = 0) -> None:
        """Seal how far the log is, unless that was sealed last, in a transaction of its own.

        `unsealed` decisions are from before there was a ledger; later calls carry it on.
        """
        self._committed_ms = self._clock()
        with transaction.atomic(), self.sealing() as sealing:
            before = self._log_entry(LedgerHead.objects.get(id=1).committed)
            body = _log_entry(before.unsealed if before else unsealed)
            if body != before:
                at = sealing.add([Draft("log", body, {})])[0]
                LedgerHead.objects.filter(id=1).update(committed=at)

    def seal_changes(self) -> None:
        """Seal audit entries that are new or were finished, and rows of the log that were erased.

        Forged ones are left out.
        """
        while self._seal_rewritten():
            # Each some in a transaction of its own: nobody else seals meanwhile.
            pass
        with transaction.atomic():
            locked = AuditEntry.objects.select_for_update().filter(sealed=False).order_by("number")
            rows = [row for row in locked if row.is_authentic]
            if not rows:
                return
            with self.sealing() as sealing:
                sealing.add([Draft("change", _change_entry(row), {}) for row in rows])
            for start in range(0, len(rows), _CHUNK):
                numbers = [row.number for row in rows[start : start + _CHUNK]]
                AuditEntry.objects.filter(number__in=numbers).update(sealed=True)

    def seal_states(self) -> None:
        """Seal states that changed without a decision, once no failed switch takes them back.

        Forged ones are left out.
        """
        with transaction.atomic():
            locked = StateChange.objects.select_for_update().filter(sealed=False)
            rows = [row for row in locked.order_by("number") if row.is_authentic]
            if not rows:
                return
            with self.sealing() as sealing:
                sealing.add([Draft("states", body, {}) for body in state_changes.entries_of(rows)])
            for start in range(0, len(rows), _CHUNK):
                numbers = [row.number for row in rows[start : start + _CHUNK]]
                StateChange.objects.filter(number__in=numbers).update(sealed=True)

    def _seal_rewritten(self) -> bool:
        """Seal commitments to rows of the log that erasures rewrote; return if any were left."""
        with transaction.atomic():
            locked = LogProof.objects.select_for_update().filter(sealed=False).order_by("first")
            unsealed = list(locked[:_CHUNK])
            commitments = event_log.current_commitments(unsealed)
            drafts = [
                Draft("rewrite", RewriteEntry(first, commitment.hex()), {})
                for first, commitment in commitments.items()
            ]
            if drafts:
                with self.sealing() as sealing:
                    sealing.add(drafts)
            firsts = [proof.first for proof in unsealed]
            LogProof.objects.filter(first__in=firsts).update(sealed=True)
        return len(unsealed) == _CHUNK

    def seal_pending(self) -> None:
        """Seal audit entries, and once a minute how far the log is; see `seal_changes`."""
        pending = (AuditEntry.objects.filter(sealed=False), LogProof.objects.filter(sealed=False))
        if any(rows.exists() for rows in pending):
            self.seal_changes()
        if self._clock() - self._committed_ms >= MINUTE_MS:
            self.commit_log()

    def _log_entry(self, position: int) -> LogEntry | None:
        if position < 0:
            return None
        body = read_entry(LedgerRows(self._clock).line(position)).body
        return body if isinstance(body, LogEntry) else None

    def sealed_log(self) -> SealedLog | None:
        """Return the newest entry that says how far the log is, and what was decided after it.

        It is the newest by the signed checkpoint: every entry from it on is hashed. None where
        there is none yet, in a database of an earlier version.

        Raises:
            EvidenceError: The ledger was changed, or cut.
        """
        rows = LedgerRows(self._clock)
        ledger, at = self.ledger(), LedgerHead.objects.get(id=1).committed
        if at < 0:
            lines = LedgerEntry.objects.order_by("position").values_list("position", "line")
            found = (p for p, line in lines.iterator(chunk_size=_CHUNK) if _LOG in bytes(line))
            at = next(found, -1)
        if at < 0:
            return None
        if at >= ledger.size:
            raise ledger_error(
                "log_cut", f"the ledger has {ledger.size:,} entries, and named entry {at:,}"
            )
        peaks, size, newest = merkle_tree.peaks(rows.node, at), at, None
        lines = LedgerEntry.objects.filter(position__gte=at).order_by("position")
        for line in lines.values_list("line", flat=True).iterator(chunk_size=_CHUNK):
            verifier.add_leaf(peaks, size, verifier.hash_node(verifier.LEAF, bytes(line)))
            entry, size = read_entry(bytes(line)), size + 1
            if isinstance(entry.body, LogEntry):
                newest = SealedLog(entry.body, 0)
            elif newest and isinstance(entry.body, DecisionEntry):
                newest = newest._replace(decisions=newest.decisions + 1)
        if size != ledger.size or (newest and verifier.root_hash(peaks) != ledger.sealed.root):
            raise ledger_error("root_wrong", f"an entry after {at:,} is not as it was sealed")
        if newest is None:
            raise ledger_error("log_entry", f"entry {at:,} does not say how far the log is")
        return newest

    def pending_receipts(self) -> list[PendingReceipt]:
        """Return sealed decisions without a receipt."""
        since = LedgerHead.objects.values_list("receipted", flat=True).get(id=1)
        rows = LedgerEntry.objects.filter(position__gte=since).order_by("position")
        read = [(at, read_entry(bytes(line))) for at, line in rows.values_list("position", "line")]
        return [(at, cast(DecisionEntry, e.body)) for at, e in read if e.kind == "decision"]

    def newest(self, account: str) -> int | None:
        """Return the position of an account's newest decision that can be opened."""
        rows = LedgerRows(self._clock)
        positions = reversed(OpeningRows().positions("account", account))
        return next((at for at in positions if read_entry(rows.line(at)).kind == "decision"), None)

    def position(self, decision: str) -> int | None:
        """Return the position of a decision by its id; None if it was not sealed, or erased."""
        rows = LedgerRows(self._clock)
        positions = OpeningRows().positions("id", decision)
        return next((at for at in positions if read_entry(rows.line(at)).kind == "decision"), None)

    def add_delivery_receipt(self, decision: str, webhook: str, effect: str) -> None:
        """Seal, in the open transaction, that a delivery succeeded or failed.

        A decision that was never sealed, or whose openings were erased, gets no receipt.
        """
        for at in OpeningRows().positions("id", decision)[:1]:
            body = read_entry(LedgerRows(self._clock).line(at)).body
            if isinstance(body, DecisionEntry):
                with self.sealing() as sealing:
                    sealing.receipts([at], [body], effect=effect, detail=webhook)

    def versions(self, engine: Engine, versions: str, earlier: int, differ: int) -> None:
        """Seal the versions that decide from now on, unless they were sealed last.

        `earlier` decisions by other versions remain in force; `differ` of them would not be
        reproduced.
        """
        with transaction.atomic(), self.sealing() as sealing:
            if LedgerHead.objects.values_list("versions", flat=True).get(id=1) == versions:
                return
            counts = {"earlier": earlier, "differ": differ} if earlier else {}
            sealing.versions(engine, **counts)
            LedgerHead.objects.filter(id=1).update(versions=versions, differ=differ)


class SealedLog(NamedTuple):
    """How far the log is by the ledger, and how many decisions were sealed after that entry."""

    entry: LogEntry
    decisions: int


def _log_entry(unsealed: int) -> LogEntry:
    """Return how far the log is, in the open transaction."""
    start, end = event_log.log_start(), event_log.log_state()
    applied = AppliedPosition.objects.first()
    audited = AuditEntry.objects.aggregate(count=Count("number"), last=Max("number"))
    return LogEntry(
        position=end.position,
        chain=end.chain.hex(),
        decisions=applied.decisions if applied else 0,
        changes=audited["count"],
        last_change=audited["last"] or 0,
        key=row_macs.key_id(),
        unsealed=unsealed,
        start=start.position,
    )


def _change_entry(row: AuditEntry) -> ChangeEntry:
    """Return what the ledger says of an audit entry, and of the key or webhook it is about."""
    mac = b""
    if (model := CHANGED_MODELS.get(row.action)) is not None:
        changed = model.objects.filter(pk=row.object).first()
        mac = bytes(changed.mac or b"") if changed and changed.is_authentic else b""
    return ChangeEntry(row.number, row.action, row.outcome, bytes(row.mac or b"").hex(), mac.hex())


def _ends_there(ledger: Ledger, size: int, note: bytes) -> bool:
    """Whether a ledger opened earlier has the size and root of the head."""
    sealed = ledger.sealed
    return note.startswith(sealed.text.encode()) and ledger.size == sealed.size == size


def export_ledger(place: Path, then: Callable[[], None] = lambda: None) -> None:
    """Write a consistent copy of the ledger into an empty directory, as `ledger.audit` reads it.

    Openings are not copied. `then` is called in the same transaction, and sees the same state.
    Raises EvidenceError if an entry is missing.
    """
    with transaction.atomic():
        database.use_consistent_snapshot()
        _write_ledger(place)
        then()


def _write_ledger(place: Path) -> None:
    rows = LedgerEntry.objects.order_by("position").values_list("position", "line", "nodes")
    names = ("entries.jsonl", "nodes", "ends")
    end = 0
    with contextlib.ExitStack() as stack:
        entries, nodes, ends = (stack.enter_context((place / n).open("wb")) for n in names)
        for expected, (position, line, hashes) in enumerate(rows.iterator(chunk_size=_CHUNK)):
            if position != expected:
                raise ledger_error("entry_dropped", f"entry {expected} is gone")
            end += len(line) + 1
            entries.write(bytes(line) + b"\n")
            nodes.write(hashes)
            ends.write(end.to_bytes(8))
    last = bytes(LedgerHead.objects.get(id=1).note)
    kept = map(bytes, LedgerCheckpoint.objects.order_by("size").values_list("note", flat=True))
    notes = [*(note for note in kept if note != last), last]
    lines = (verifier.canonical(note.decode()).encode() + b"\n" for note in notes if note)
    (place / "checkpoints.jsonl").write_bytes(b"".join(lines))


def newest_log_entry() -> LogEntry | None:
    """Return the newest entry of the bound ledger that says how far the log is, unchecked."""
    lines = LedgerEntry.objects.order_by("-position").values_list("line", flat=True)
    found = (bytes(line) for line in lines.iterator(chunk_size=_CHUNK) if _LOG in bytes(line))
    bodies = (read_entry(line).body for line in found)
    return next((body for body in bodies if isinstance(body, LogEntry)), None)


def sealed_key_id() -> str:
    """Return the id of the deployment's key that the database was last written under, if known."""
    newest = newest_log_entry()
    return newest.key if newest else ""


def count_differing_decisions() -> int:
    """Return how many decisions by earlier versions the current ones would not reproduce."""
    return int(LedgerHead.objects.values_list("differ", flat=True).get(id=1))
