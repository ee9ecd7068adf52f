"""The ledger in the service's database: sealed in the transaction of what an entry tells.

Whoever seals locks the ledger's head until the transaction ends, so that entries are in one order;
what a failed transaction had sealed is gone with it. Decisions are sealed by the writer together
with their rows, their standings and the outbox. A receipt `applied` follows in the writer's next
transaction: from then on all who ask are answered by that standing. `delivered` (or `failed`) is
sealed with the letter's end, one for each webhook.
"""

from __future__ import annotations

import contextlib
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
from django.db import connection, transaction

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.ledger import Draft, Ledger, LedgerRecorder, Openings, Signer, read_entry
from wavebreak.ledger.entries import DecisionEntry
from wavebreak.ledger.merkle_tree import leaf_index
from wavebreak.ledger.verifier import canonical, read_checkpoint
from wavebreak.service import database
from wavebreak.service.models import LedgerCheckpoint, LedgerEntry, LedgerHead, LedgerOpening

Owed = tuple[int, Decision | DecisionEntry]
"""A sealed decision that has no receipt yet, by its position."""

_ENTRY = "INSERT INTO ledger_entry (position, line, nodes) VALUES (%s,%s,%s)"
_OPENING = "INSERT INTO ledger_opening (position, account, subject, told) VALUES (%s,%s,%s,%s)"
_HEAD = "SELECT size, note FROM ledger_head WHERE id = 1"
_NOTE = "UPDATE ledger_head SET size = %s, note = %s WHERE id = 1"
_RECEIPTED = "UPDATE ledger_head SET receipted = %s WHERE id = 1"
_CHECKPOINT = (
    "INSERT INTO ledger_checkpoint (minute, size, note) VALUES (%s,%s,%s) "
    "ON CONFLICT (minute) DO UPDATE SET size = excluded.size, note = excluded.note"
)
LEDGER_KEY = "ledger.pub"
"""File of the service's directory with the key that checkpoints are verified by."""
_MINUTE_MS = 60_000
_AT_ONCE = 1_000


class Rows:
    """Storage of a ledger in the bound database; `clock` gives milliseconds.

    What is appended counts once a checkpoint over it is kept, in the same transaction.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._size = -1

    def size(self) -> int:
        """How many entries there are."""
        self._size = int(LedgerHead.objects.values_list("size", flat=True).get(id=1))
        return self._size

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Keep entries, each with its nodes, in the open transaction."""
        first = self._size if self._size >= 0 else self.size()
        ends = [32 * (leaf_index(first + k) - leaf_index(first)) for k in range(len(lines) + 1)]
        rows = [
            (first + k, line, nodes[ends[k] : ends[k + 1]]) for k, line in enumerate(lines)
        ]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.executemany(_ENTRY, rows)
        self._size = first + len(lines)

    def line(self, position: int) -> bytes:
        """One entry."""
        return bytes(LedgerEntry.objects.values_list("line", flat=True).get(position=position))

    def node(self, index: int) -> bytes:
        """One node of the tree: it stands with the entry that it was made by."""
        near = range(index // 2, index // 2 + 64)
        position = near[bisect_right(near, index, key=leaf_index) - 1]
        found = LedgerEntry.objects.values_list("nodes", flat=True).get(position=position)
        at = 32 * (index - leaf_index(position))
        return bytes(found)[at : at + 32]

    def keep(self, note: bytes) -> None:
        """Keep a signed checkpoint: as the last, and as the last of this minute."""
        size, minute = read_checkpoint(note).size, self._clock() // _MINUTE_MS
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, (size, note))
            cursor.execute(_CHECKPOINT, (minute, size, note))

    def latest(self) -> bytes | None:
        """The checkpoint kept last."""
        note = LedgerHead.objects.values_list("note", flat=True).get(id=1)
        return bytes(note) or None


class Opened:
    """Openings in the bound database."""

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        """Keep the openings of entries from position `first` on, in the open transaction."""
        rows = [
            (position, _of(told, "account"), _of(told, "id"), msgspec.json.encode(told))
            for position, told in enumerate(openings, first)
            if told
        ]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.executemany(_OPENING, rows)

    def of(self, position: int) -> Openings:
        """Openings of one entry; empty where none are, or they were erased."""
        found = LedgerOpening.objects.filter(position=position).values_list("told", flat=True)
        told = found.first()
        return msgspec.json.decode(bytes(told), type=Openings) if told is not None else {}

    def positions(self, field: str, value: str) -> list[int]:
        """Entries that hide this value in this field, `account` or `id`."""
        column = {"account": "account", "id": "subject"}[field]
        found = LedgerOpening.objects.filter(**{column: value}).order_by("position")
        return list(found.values_list("position", flat=True))

    def erase(self, account: str) -> int:
        """Erase all openings of the entries about an account; how many entries they were."""
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA secure_delete = ON")
        return int(LedgerOpening.objects.filter(account=account).delete()[0])


def _of(told: Openings, field: str) -> str:
    return str(told[field][1]) if field in told else ""


class Seals:
    """Seals for one service, from whatever thread holds a transaction.

    `signer` signs checkpoints; `clock` gives milliseconds. Raises EvidenceError where the ledger is
    another signer's, or not as it was sealed.
    """

    def __init__(self, signer: Signer, clock: Callable[[], int]) -> None:
        self.signer, self._clock = signer, clock
        self._sealing: LedgerRecorder | None = None

    def ledger(self) -> Ledger:
        """The ledger as it is now, to be read."""
        return Ledger(Rows(self._clock), self.signer)

    @contextlib.contextmanager
    def sealing(self) -> Iterator[LedgerRecorder]:
        """What seals, in the open transaction, as the block ends: nobody else does until then."""
        sealing = self._opened()
        yield sealing
        sealing.ledger.checkpoint()

    def _opened(self) -> LedgerRecorder:
        with connection.cursor() as cursor:
            cursor.execute(_HEAD + " FOR UPDATE" * (connection.vendor == "postgresql"))
            size, note = cursor.fetchone()
        made = self._sealing
        if made is None or not note or not _ends_there(made.ledger, size, bytes(note)):
            made = LedgerRecorder(
                self.ledger(), Opened(), clock=self._clock, salts=secrets.token_bytes,
                at_once=False,
            )  # fmt: skip
            self._sealing = made
        return made

    def decided(
        self, made: Sequence[Decision], drafts: Sequence[Draft], owed: Sequence[Owed]
    ) -> list[Owed]:
        """Seal what a transaction of the writer makes true; gives what now has no receipt yet.

        `owed` are decisions of transactions before, which get their receipts.
        """
        if not (made or drafts or owed):
            return []
        with self.sealing() as sealing:
            if drafts:
                sealing.add(drafts)
            if owed:
                sealing.receipts([at for at, _ in owed], [each for _, each in owed])
                with connection.cursor() as cursor:
                    cursor.execute(_RECEIPTED, (owed[-1][0] + 1,))
            return list(zip(sealing.decisions(made), made, strict=True))

    def owed(self) -> list[Owed]:
        """Sealed decisions that have no receipt yet."""
        since = LedgerHead.objects.values_list("receipted", flat=True).get(id=1)
        rows = LedgerEntry.objects.filter(position__gte=since).order_by("position")
        read = [(at, read_entry(bytes(line))) for at, line in rows.values_list("position", "line")]
        return [(at, cast(DecisionEntry, e.body)) for at, e in read if e.kind == "decision"]

    def newest(self, account: str) -> int | None:
        """Position of the newest decision on an account that can be opened."""
        rows = Rows(self._clock)
        found = reversed(Opened().positions("account", account))
        return next((at for at in found if read_entry(rows.line(at)).kind == "decision"), None)

    def delivered(self, decision: str, hook: str, effect: str) -> None:
        """Seal, in the open transaction, that a webhook was told of a decision, or could not be.

        Of a decision that was never sealed, or whose openings were erased, nothing is said.
        """
        for at in Opened().positions("id", decision)[:1]:
            told = read_entry(Rows(self._clock).line(at)).body
            if isinstance(told, DecisionEntry):
                with self.sealing() as sealing:
                    sealing.receipts([at], [told], effect=effect, detail=hook)

    def versions(self, engine: Engine, told: str, earlier: int, differ: int) -> None:
        """Seal what decides from now on, where it is not what was sealed last.

        `earlier` decisions stand, of which `differ` would come out otherwise.
        """
        with transaction.atomic(), self.sealing() as sealing:
            if LedgerHead.objects.values_list("versions", flat=True).get(id=1) == told:
                return
            told_of = {"earlier": earlier, "differ": differ} if earlier else {}
            sealing.versions(engine, **told_of)
            LedgerHead.objects.filter(id=1).update(versions=told, differ=differ)


def _ends_there(ledger: Ledger, size: int, note: bytes) -> bool:
    """Whether a ledger that was opened before is as long, and under the same root, as the head."""
    sealed = ledger.sealed
    return note.startswith(sealed.text.encode()) and ledger.size == sealed.size == size


def copied(place: Path) -> None:
    """Write the ledger, as of one moment, into an empty directory, as `evidence.checking` reads it.

    Openings are not copied.
    """
    with transaction.atomic():
        database.read_one_moment()
        _copied(place)


def _copied(place: Path) -> None:
    rows = LedgerEntry.objects.order_by("position").values_list("line", "nodes")
    names = ("entries.jsonl", "nodes", "ends")
    end = 0
    with contextlib.ExitStack() as held:
        entries, nodes, ends = (held.enter_context((place / n).open("wb")) for n in names)
        for line, made in rows.iterator(chunk_size=_AT_ONCE):
            end += len(line) + 1
            entries.write(bytes(line) + b"\n")
            nodes.write(made)
            ends.write(end.to_bytes(8))
    last = bytes(LedgerHead.objects.get(id=1).note)
    kept = map(bytes, LedgerCheckpoint.objects.order_by("size").values_list("note", flat=True))
    notes = [*(note for note in kept if note != last), last]
    told = (canonical(note.decode()).encode() + b"\n" for note in notes if note)
    (place / "checkpoints.jsonl").write_bytes(b"".join(told))


def differing() -> int:
    """How many decisions made under former versions would come out otherwise now."""
    return int(LedgerHead.objects.values_list("differ", flat=True).get(id=1))
