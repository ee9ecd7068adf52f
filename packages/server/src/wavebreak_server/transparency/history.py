"""What a sealed ledger says of decisions, appeals, overrides, labels and erasures, read once.

Only entries under the checkpoint count, in their order. A decision counts where the ledger says
that the policy enforced it: decisions in shadow mode had no effect on anybody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, Protocol

import msgspec

from wavebreak.errors import EvidenceError, FileError
from wavebreak.ledger import verifier
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.entries import (
    AppealEntry,
    DecisionEntry,
    Entry,
    ErasureEntry,
    LabelEntry,
    OverrideEntry,
    ReceiptEntry,
    VersionEntry,
    parse_entry,
)
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.storage import OpeningStore
from wavebreak.outcomes import OUTCOMES, outcomes_from, rank_of

MEASURES = outcomes_from("limit")
"""Outcomes that restrict the account, also where a passed challenge cannot end them."""
CHALLENGE_RANK = rank_of("challenge")
OPENED = "opened"
DECIDED = ("unchanged", "partially_reversed", "reversed")
"""States of an appeal that a person has decided."""
_APPLIED = "applied"
_COUNTED = frozenset(("decision", "receipt", "override", "appeal", "label", "erasure", "policy"))
_FIELDS = frozenset(("at", "body", "commits", "kind"))
_STEP = 1_000
Progress = Callable[[float, str], None]
"""Takes the completed share and a short text."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The signed checkpoint that a report rests on: `size` entries have the root hash `root`.

    `key` is the verifier key of the log, `note` the signed note itself.
    """

    origin: str
    key: str
    size: int
    root: str
    note: str


class Accounts(Protocol):
    """Gives the account that an entry is about."""

    def of(self, position: int, entry: Entry) -> str | None:
        """Return the account, or a name for it; None where it is not known."""
        ...


class OpenedAccounts:
    """Accounts by the openings that the operator holds; each opening is checked."""

    def __init__(self, openings: OpeningStore) -> None:
        self._openings = openings

    def of(self, position: int, entry: Entry) -> str | None:
        """Return the account, None where the opening was erased; raises EvidenceError."""
        found = self._openings.of(position).get("account")
        if found is None:
            return None
        salt, value = found
        if verifier.commitment(entry.kind, "account", salt, value) != entry.commits.get("account"):
            raise ledger_error("opening_wrong", f"the opening of entry {position} is another's")
        return str(value)


class NoAccounts:
    """No account is known: what a stranger has who holds the entries alone."""

    def of(self, position: int, entry: Entry) -> None:
        """Return None."""


def severity_of(outcome: str) -> int:
    """Return an outcome's rank; -1 where this version does not know it."""
    return rank_of(outcome) if outcome in OUTCOMES else -1


class DecisionRow(NamedTuple):
    """A decision that was enforced, as far as numbers need it; `severity` is its outcome's."""

    position: int
    ts: int
    stage: str
    outcome: str
    severity: int
    basis: str
    policy: str
    scored: str
    account: str | None

    @property
    def is_measure(self) -> bool:
        """Whether it restricts the account: limit, restrict, suspend or ban."""
        return self.outcome in MEASURES

    @property
    def by_person(self) -> bool:
        """Whether a person's label brought it about."""
        return self.basis == "person"

    @property
    def unnamed(self) -> bool:
        """Whether it was sealed at review before entries named their basis."""
        return not self.basis and self.stage == "review"


class AppealRow(NamedTuple):
    """An appeal: when it was opened (ms; None: not sealed), when decided, and how."""

    decision: int
    opened: int | None
    decided: int | None
    state: str


class OverrideRow(NamedTuple):
    """A person's decision over an earlier one (None: over a state)."""

    at: int
    decision: int | None
    outcome: str


class LabelRow(NamedTuple):
    """A label of an account, at a position of the ledger."""

    position: int
    at: int
    label: str
    source: str
    account: str | None


class History:
    """The entries of a ledger that a report counts; `add` takes them in order."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._enforced = True
        self._open: dict[int, int] = {}
        self.decisions: dict[int, DecisionRow] = {}
        self.shadow: list[int] = []
        self.applied: set[int] = set()
        self.appeals: list[AppealRow] = []
        self.overrides: list[OverrideRow] = []
        self.labels: list[LabelRow] = []
        self.erasures: list[tuple[int, int]] = []

    def add(self, position: int, entry: Entry) -> None:
        """Add the entry at a position."""
        body = entry.body
        match body:
            case DecisionEntry():
                self._decision(position, entry, body)
            case ReceiptEntry(effect=effect) if effect == _APPLIED:
                self.applied.add(body.decision)
            case AppealEntry():
                self._appeal(entry.at, body)
            case OverrideEntry():
                self.overrides.append(OverrideRow(entry.at, body.decision, intern(body.outcome)))
            case LabelEntry():
                account = self._accounts.of(position, entry)
                self.labels.append(
                    LabelRow(position, entry.at, intern(body.label), intern(body.source), account)
                )
            case ErasureEntry():
                self.erasures.append((entry.at, body.openings))
            case VersionEntry() if entry.kind == "policy":
                self._enforced = body.mode != "shadow"

    def _decision(self, position: int, entry: Entry, body: DecisionEntry) -> None:
        if not self._enforced:
            self.shadow.append(body.ts)
            return
        severity = severity_of(body.outcome)
        by_score = body.model is not None and not body.rules and body.basis in ("", "doubt")
        self.decisions[position] = DecisionRow(
            position,
            body.ts,
            intern(body.stage),
            intern(body.outcome),
            severity,
            intern(body.basis),
            intern(body.policy),
            intern(body.model or "") if by_score and severity > 0 else "",
            self._accounts.of(position, entry) if severity >= CHALLENGE_RANK else None,
        )

    def _appeal(self, at: int, body: AppealEntry) -> None:
        if body.state == OPENED:
            self._open.setdefault(body.decision, at)
        else:
            opened = self._open.pop(body.decision, None)
            self.appeals.append(AppealRow(body.decision, opened, at, intern(body.state)))

    def unopened(self) -> int:
        """Return how many decisions (challenge or worse) and labels have no known account."""
        decisions = sum(
            row.account is None for row in self.decisions.values() if row.severity >= CHALLENGE_RANK
        )
        return decisions + sum(row.account is None for row in self.labels)

    def with_accounts(self, numbers: Mapping[int, str]) -> History:
        """Return the history with other names for accounts, by the positions of decisions."""
        other = copy(self)
        other.decisions = {
            position: row._replace(account=numbers.get(position) or None)
            for position, row in self.decisions.items()
        }
        other.labels = [row._replace(account=None) for row in self.labels]
        return other

    def all_appeals(self) -> list[AppealRow]:
        """Return the appeals: the decided ones in order, then those that are open."""
        still = [AppealRow(decision, at, None, OPENED) for decision, at in self._open.items()]
        return self.appeals + still


def last_checkpoint(place: Path, key: verifier.Key) -> Checkpoint:
    """Return a ledger directory's last checkpoint, whose signature is checked.

    Args:
        place: The directory.
        key: The verifier key of the log.

    Raises:
        EvidenceError: There is none, or the key did not sign it.
        FileError: The directory is not a ledger.
    """
    last = b""
    try:
        with convert_verifier_errors():
            for line in verifier.read_lines(place / "checkpoints.jsonl"):
                last = line
    except OSError as e:
        raise FileError(
            f"{place} is not a ledger: checkpoints.jsonl cannot be read ({e.strerror})",
            fix="give the directory that `wavebreak run --ledger` wrote, or a service's",
        ) from None
    if not last:
        raise ledger_error(
            "checkpoint_missing", "the ledger has no checkpoint", "seal something first"
        )
    with convert_verifier_errors():
        note = str(json.loads(last))
        read = verifier.read_checkpoint(note.encode())
        verifier.check_signature(read, key)
    return Checkpoint(read.origin, encode_verifier_key(key), read.size, read.root.hex(), note)


def sealed_entries(
    place: Path,
    checkpoint: Checkpoint,
    *,
    progress: Progress | None = None,
    kinds: frozenset[str] = _COUNTED,
) -> Iterator[tuple[int, Entry]]:
    """Read the entries under a checkpoint, and check that they have its root.

    Args:
        place: The ledger's directory.
        checkpoint: How many entries, and their root.
        progress: Takes how far it is.
        kinds: The kinds of entries that are returned.

    Yields:
        Position and entry, in order.

    Raises:
        EvidenceError: An entry is malformed, entries are missing, or the root is another. An error
            about the whole ledger comes after the last entry.
    """
    peaks: list[bytes] = []
    size = 0
    with convert_verifier_errors():
        for line in verifier.read_lines(place / "entries.jsonl"):
            if size == checkpoint.size:
                break
            verifier.add_leaf(peaks, size, verifier.hash_node(verifier.LEAF, line))
            fields = _decode(line, size)
            if fields["kind"] in kinds:
                yield size, parse_entry(fields)
            size += 1
            if progress and size % _STEP == 0:
                progress(size / checkpoint.size, f"{size:,} entries")
    if size != checkpoint.size:
        raise ledger_error("log_cut", f"{size} entries are left, not {checkpoint.size}")
    if verifier.root_hash(peaks).hex() != checkpoint.root:
        raise ledger_error("root_wrong", f"{size} entries are not all as they were sealed")


def _decode(line: bytes, position: int) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(line)
    except msgspec.DecodeError:
        fields = None
    if not isinstance(fields, dict) or not fields.keys() >= _FIELDS:
        raise ledger_error("entry_fields", f"entry {position} is not an entry")
    return fields


def read_history(
    place: Path,
    checkpoint: Checkpoint,
    accounts: Accounts | None = None,
    *,
    progress: Progress | None = None,
) -> History:
    """Read what a ledger directory says up to a checkpoint.

    Args:
        place: The directory.
        checkpoint: The checkpoint.
        accounts: Gives accounts; by default none is known.
        progress: Takes how far it is.

    Raises:
        EvidenceError: The entries are not those that were sealed.
    """
    return history_of(sealed_entries(place, checkpoint, progress=progress), accounts)


def history_of(entries: Iterable[tuple[int, Entry]], accounts: Accounts | None = None) -> History:
    """Return the history of entries with their positions.

    >>> from wavebreak.ledger.entries import AppealEntry
    >>> decided = Entry("appeal", 3_600_000, AppealEntry(0, "reversed"), {})
    >>> history_of([(1, Entry("appeal", 0, AppealEntry(0, "opened"), {})), (2, decided)]).appeals
    [AppealRow(decision=0, opened=0, decided=3600000, state='reversed')]
    """
    history = History(accounts or NoAccounts())
    for position, entry in entries:
        history.add(position, entry)
    return history


def check_origin(checkpoint: Checkpoint, key: verifier.Key) -> None:
    """Check that a checkpoint's note is signed by a key and says what its fields say.

    Raises:
        EvidenceError: The signature does not hold, or a field differs from the note.
    """
    with convert_verifier_errors():
        read = verifier.read_checkpoint(checkpoint.note.encode())
        verifier.check_signature(read, key)
    if (read.origin, read.size, read.root.hex()) != (
        checkpoint.origin,
        checkpoint.size,
        checkpoint.root,
    ):
        raise EvidenceError(
            "checkpoint_other: the report's origin, size or root are not those of its signed note",
            name="checkpoint_other",
            fix="do not rely on this copy of the report; get it again from who published it",
        )
