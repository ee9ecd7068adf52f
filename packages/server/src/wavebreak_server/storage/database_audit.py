"""Audit of a service's database: what it holds must be what its ledger has sealed.

The ledger's own checks (`ledger.audit`) show that its entries are those that were signed. This
module compares the tables with the entries: a decision, an enforcement state or an opening that
somebody changed, removed or added is a finding, in plain words. It reads one consistent state of
the database, also while the service runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from django.db import connection
from django.db.models import Max

from wavebreak.engine.decision import Decision as Made
from wavebreak.errors import ServiceError
from wavebreak.io import log_proofs
from wavebreak.ledger import Openings
from wavebreak.ledger.audit import AuditResult, Finding, audit_directory
from wavebreak.ledger.entries import (
    ChangeEntry,
    DecisionEntry,
    Entry,
    ErasureEntry,
    LogEntry,
    RewriteEntry,
    StatesEntry,
    VersionEntry,
    parse_entry,
)
from wavebreak.ledger.key_changes import KeyChange
from wavebreak.ledger.recorder import decision_body
from wavebreak.ledger.verifier import Checkpoint, Key, VerifierError, commitment
from wavebreak_server.storage import models, row_macs, state_changes
from wavebreak_server.storage.authentic_rows import NAMES, row_name
from wavebreak_server.storage.event_log import DAMAGED, LogRow, log_end, log_start, read_rows
from wavebreak_server.storage.ledger_store import CHANGED_MODELS, export_ledger, newest_log_entry

MAX_FINDINGS = 50
"""Findings that are kept; the rest is counted."""
_CHUNK = 1_000
_COLUMNS = ("id", "account", "ts", "stage", "outcome", "until")
WRONG_STATES = """
    SELECT s.account, s.outcome, s.decision FROM standing s LEFT JOIN decision d
    ON d.number = s.decision AND d.account = s.account AND d.outcome = s.outcome AND d.ts = s.ts
    AND (d.until = s.until OR (d.until IS NULL AND s.until IS NULL))
    WHERE d.number IS NULL OR s.decision <= %s ORDER BY s.account
"""
"""Enforcement states that are not those of their decision, or of one up to a number."""
_MISSING_STATES = """
    SELECT n.account, n.number, s.decision FROM
    (SELECT account, MAX(number) AS number FROM decision WHERE number > %s GROUP BY account) n
    LEFT JOIN standing s ON s.account = n.account
    WHERE s.decision IS NULL OR s.decision <> n.number ORDER BY n.account
"""

_Changed = models.ApiKey | models.Webhook | models.Source
T = TypeVar("T", bound=tuple[Any, ...])
ShowProgress = Callable[[float, str], None]


class DecisionRow(NamedTuple):
    """A row of the decision table."""

    number: int
    id: str
    account: str
    ts: int
    stage: str
    outcome: str
    until: int | None
    reached: int
    body: bytes
    mac: bytes

    @property
    def is_authentic(self) -> bool:
        """Whether it has the MAC of the bound key; True while none is bound."""
        *values, reached, body, mac = self
        return row_macs.is_authentic("decision", (*values, body, reached), mac)


class DatabaseAudit:
    """Compares the bound database with its ledger, in the open transaction.

    Attributes:
        findings: What differs, the first `MAX_FINDINGS`.
        count: How many findings there are.
        checked: A sentence for each thing that was compared and holds.
        unchecked: A sentence for each thing that could not be compared.
    """

    def __init__(self, show: ShowProgress = lambda _share, _text: None) -> None:
        self.findings: list[Finding] = []
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self.count = 0
        self._show = show
        self._sealed, self._switched, self._mode = 0, 0, ""
        self._unopened, self._erased = 0, 0
        self._newest: LogEntry | None = None
        self._log_points: dict[int, str] = {}
        self._rewritten: dict[int, str] = {}
        self._changes: dict[int, ChangeEntry] = {}
        self._state_changes: list[StatesEntry] = []
        self._unsealed_rows: set[int] = set()

    def run(self) -> DatabaseAudit:
        """Compare everything."""
        self._newest = newest_log_entry()
        key = self._newest.key if self._newest else ""
        if key != row_macs.key_id() or not key:
            row_macs.bind(None)
            self.unchecked.append(
                "the MACs of rows: the deployment's key is needed, give --deployment-key"
            )
        if self._newest is None:
            self.unchecked.append(
                "the event log, audit log, API keys, webhooks: a start of this version seals them"
            )
        self._compare_entries()
        self._compare_states()
        self._compare_state_changes()
        self._compare_positions()
        if self._newest is not None:
            self._compare_log(self._newest)
            self._compare_changes()
        self._compare_verified()
        return self

    def _compare_verified(self) -> None:
        """Each row of a table that is verified on reading was written by this service."""
        if not row_macs.key_id():
            return
        before, count = self.count, 0
        for model in models.verified_models():
            for row in model.objects.unverified().iterator():
                count += 1
                if fault := row.find_fault():
                    self._find("row_changed", fault)
        self._holds(before, f"{count:,} people, versions, appeals, links and erasures, as written")

    def _find(self, name: str, what: str) -> None:
        self.count += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(name, what))

    def _holds(self, before: int, sentence: str) -> None:
        """Note what was compared, where nothing was found since."""
        if self.count == before:
            self.checked.append(sentence)

    # Decisions and openings

    def _compare_entries(self) -> None:
        """Walk the ledger once, beside the decision table and the openings."""
        before, compared = self.count, 0
        rows, openings = _Rows(_decision_rows()), _Rows(_opening_rows())
        unsealed = self._newest.unsealed if self._newest else 0
        for earlier in rows.until(unsealed + 1):
            self._check_mac(earlier)
        end = (models.LedgerEntry.objects.aggregate(n=Max("position"))["n"] or 0) + 1
        entries = models.LedgerEntry.objects.order_by("position").values_list("position", "line")
        for position, line in entries.iterator(chunk_size=_CHUNK):
            entry = parse_entry(msgspec.json.decode(line))
            opened = self._opened(position, entry, openings)
            if isinstance(entry.body, DecisionEntry):
                self._sealed += 1
                number = unsealed + self._sealed
                for added in rows.until(number):
                    self._unsealed(added)
                self._compare_decision(rows.at(number), number, position, entry.body, opened)
                compared += 1
            else:
                self._note(entry)
            if position % _CHUNK == 0:
                self._show(position / end, f"{position:,} of {end:,} entries")
        for row in rows.rest():
            self._unsealed(row)
        for position, *_ in openings.rest():
            self._find("opening_unsealed", f"an opening of entry {position}, which is not there")
        if self._unopened > self._erased:
            self._find(
                "openings_missing",
                f"the openings of {self._unopened:,} entries are gone, and erasures were sealed "
                f"of {self._erased:,}",
            )
        self._holds(before, f"{compared:,} decisions of the table, each as it was sealed")

    def _note(self, entry: Entry) -> None:
        """Note what later checks need: where enforcement began, and what was erased."""
        if isinstance(entry.body, VersionEntry) and entry.kind == "policy":
            if (self._mode, entry.body.mode) == ("shadow", "enforce"):
                self._switched = self._sealed + (self._newest.unsealed if self._newest else 0)
            self._mode = entry.body.mode
        elif isinstance(entry.body, ErasureEntry):
            self._erased += entry.body.openings
        elif isinstance(entry.body, LogEntry):
            self._note_log(entry.body)
        elif isinstance(entry.body, RewriteEntry):
            self._rewritten[entry.body.first] = entry.body.row
        elif isinstance(entry.body, ChangeEntry):
            self._changes[entry.body.number] = entry.body
        elif isinstance(entry.body, StatesEntry):
            self._state_changes.append(entry.body)

    def _note_log(self, body: LogEntry) -> None:
        known = self._log_points.setdefault(body.position, body.chain)
        if known != body.chain:
            self._find(
                "log_changed", f"the ledger has two logs, which differ before {body.position:,}"
            )
        if body.decisions - body.unsealed != self._sealed:
            self._find(
                "log_entry",
                f"the ledger counts {body.decisions:,} decisions where it has sealed "
                f"{self._sealed + body.unsealed:,}",
            )

    def _opened(self, position: int, entry: Entry, rows: _Rows[Any]) -> Openings:
        """Return an entry's openings, compared with its commitments; empty if erased."""
        for other, *_ in rows.until(position):
            self._find("opening_unsealed", f"an opening of entry {other}, which is not there")
        row = rows.at(position)
        if row is None:
            self._unopened += bool(entry.commits)
            return {}
        _, account, subject, encoded = row
        try:
            opened = msgspec.json.decode(bytes(encoded), type=Openings)
            sealed = {f: commitment(entry.kind, f, salt, v) for f, (salt, v) in opened.items()}
        except (msgspec.DecodeError, VerifierError, ValueError):
            opened, sealed = {}, {}
        columns = [str(opened[f][1]) if f in opened else "" for f in ("account", "id")]
        if sealed != entry.commits or columns != [account, subject]:
            self._find("opening_wrong", f"the opening of entry {position} is not what was sealed")
            return {}
        return opened

    def _unsealed(self, row: DecisionRow) -> None:
        self._find(
            "decision_unsealed",
            f"decision {row.number} ({row.id}, {row.outcome}) is in the table and not in the "
            "ledger: it was added, or the ledger was cut",
        )

    def _check_mac(self, row: DecisionRow) -> None:
        if not row.is_authentic:
            self._find("decision_changed", f"decision {row.number} ({row.id}) has a wrong MAC")

    def _compare_decision(
        self,
        row: DecisionRow | None,
        number: int,
        position: int,
        sealed: DecisionEntry,
        opened: Openings,
    ) -> None:
        if row is None:
            what = f"decision {number} is in the ledger (entry {position}) and not in the table"
            self._find("decision_missing", what)
            return
        try:
            made = msgspec.json.decode(row.body, type=Made)
        except msgspec.DecodeError:
            self._find("decision_changed", f"decision {number} ({row.id}) cannot be read")
            return
        self._check_mac(row)
        found = decision_body(made)
        pairs = [(f, getattr(found, f), getattr(sealed, f)) for f in sealed.__struct_fields__]
        pairs += [(f, getattr(made, f), value) for f, (_, value) in opened.items()]
        for field, here, there in pairs:
            if here != there:
                self._find(
                    "decision_changed",
                    f"decision {number} ({row.id}): {field} is {_shown(here)} in the table and "
                    f"{_shown(there)} in the ledger (entry {position})",
                )
        for field in _COLUMNS:
            if getattr(row, field) != getattr(made, field):
                self._find(
                    "decision_changed",
                    f"decision {number} ({made.id}): the column {field} is "
                    f"{_shown(getattr(row, field))}, and the decision says "
                    f"{_shown(getattr(made, field))}",
                )

    # Enforcement states and positions

    def _compare_states(self) -> None:
        """Each account's state is its newest decision, since enforcement began."""
        before = self.count
        with connection.cursor() as cursor:
            cursor.execute(WRONG_STATES, (self._switched,))
            wrong = cursor.fetchall()
            cursor.execute(_MISSING_STATES, (self._switched,))
            missing = cursor.fetchall()
        count = models.EnforcementState.objects.count()
        for account, outcome, decision in wrong:
            self._find(
                "state_wrong",
                f"the enforcement state {outcome} of {account!r} is not what decision {decision} "
                "says",
            )
        known = {account for account, *_ in wrong}
        for account, number, decision in missing:
            if account not in known:
                found = "missing" if decision is None else f"that of decision {decision}"
                self._find(
                    "state_wrong",
                    f"the enforcement state of {account!r} is {found}; decision {number} is newer",
                )
        self._holds(before, f"{count:,} enforcement states, each of its account's newest decision")

    def _compare_state_changes(self) -> None:
        """Each change of a state without a decision is there as it was sealed, and no other."""
        before, sealed, pending = self.count, set[int](), 0
        for entry in self._state_changes:
            sealed.update(range(entry.first, entry.first + entry.rows))
            self._compare_sealed_changes(entry)
        for row in models.StateChange.objects.order_by("number").iterator(chunk_size=_CHUNK):
            if row.number in sealed:
                continue
            if row.is_authentic and not row.sealed:
                pending += 1
            else:
                self._find("state_change_added", f"no entry of the ledger names {row_name(row)}")
        if pending:
            self.unchecked.append(
                f"{pending:,} changes of enforcement states: the service seals them at its start"
            )
        self._holds(before, f"{len(sealed):,} changes of states without a decision, as sealed")

    def _compare_sealed_changes(self, entry: StatesEntry) -> None:
        before, end = self.count, entry.first + entry.rows
        held = models.StateChange.objects.filter(number__gte=entry.first, number__lt=end)
        rows = list(held.order_by("number"))
        for row in rows:
            if not row.is_authentic:
                self._find("state_change_wrong", f"this service did not write its {row_name(row)}")
        for number in sorted(set(range(entry.first, end)) - {row.number for row in rows}):
            self._find(
                "state_change_missing",
                f"change {number} of an enforcement state is in the ledger and not in the table",
            )
        if self.count == before and state_changes.sealed_as(rows) != entry.sha256:
            self._find(
                "state_change_wrong",
                f"changes {entry.first} to {end - 1} of enforcement states are not as sealed",
            )

    def _compare_positions(self) -> None:
        """What the service goes on from is what the tables hold."""
        before, end = self.count, log_end()
        applied = models.AppliedPosition.objects.first()
        position, decisions = (applied.position, applied.decisions) if applied else (0, 0)
        newest = models.Decision.objects.aggregate(n=Max("number"), reached=Max("reached"))
        if decisions != (newest["n"] or 0):
            self._find(
                "applied_wrong",
                f"the service counts {decisions:,} decisions, and the table holds "
                f"{newest['n'] or 0:,}",
            )
        if (newest["reached"] or 0) > position:
            self._find("applied_wrong", f"a decision is beyond the applied position {position:,}")
        if position > end:
            self._find(
                "log_cut",
                f"the log ends at position {end:,}, and decisions were made up to {position:,}: "
                "its end was cut off",
            )
        self._holds(before, f"the log of {end:,} events reaches as far as its decisions")

    # The event log

    def _compare_log(self, newest: LogEntry) -> None:
        """Walk the log beside its chain, the sealed points of it, and what erasures rewrote."""
        before, count = self.count, 0
        known: bytes | None
        try:
            at, known = log_start()
        except ServiceError as error:
            self._find("log_start", error.what)
            return
        if at != newest.start:
            self._find("log_start", f"the log begins at {at:,}, and {newest.start:,} was sealed")
        start, end = at, log_end()
        waiting = models.LogProof.objects.filter(sealed=False).values_list("first", flat=True)
        self._unsealed_rows = set(waiting) if row_macs.key_id() else set()
        for row in read_rows(at):
            if row.first != at:
                self._find("log_missing", f"positions {at} to {row.first - 1} of the log are gone")
            self._compare_row(row, known if row.first == at else None)
            at, count = row.first + row.size, count + 1
            known = row.proof.chain if row.proof else None
            point = self._log_points.pop(at, None)
            if point is not None and known is not None and point != known.hex():
                self._find("log_changed", f"the log before position {at} is not what was sealed")
            self._show(at / max(end, 1), f"{at:,} of {end:,} events")
        for position in sorted(self._log_points):
            if position > end:
                self._find("log_cut", f"the log was sealed to {position:,} and ends at {end:,}")
            elif position > start:
                self._find(
                    "log_changed", f"the log was sealed at {position}, and no row of it ends there"
                )
        self._holds(before, f"{count:,} rows of the log, each as it was sealed")

    def _compare_row(self, row: LogRow, chain: bytes | None) -> None:
        where = f"positions {row.first} to {row.first + row.size - 1} of the log"
        if fault := row.fault(chain):
            name = "log_damaged" if fault == DAMAGED else "log_changed"
            self._find(name, f"{where} are {fault}")
            return
        if row.proof is None:
            self._find("log_changed", f"{where} have no proof: the row was added")
            return
        now = log_proofs.commit_row(row.proof.salt, row.content)
        sealed = self._rewritten.get(row.first)
        if now != row.proof.leaf and now.hex() != sealed and row.first not in self._unsealed_rows:
            self._find(
                "log_rewritten", f"{where} are not as first written, and no erasure was sealed"
            )

    # Audit log, API keys, webhooks

    def _compare_changes(self) -> None:
        """Each audit entry is sealed as it is; keys and webhooks are as the last one left them."""
        before, pending = self.count, 0
        left: dict[tuple[type[_Changed], str], ChangeEntry | None] = {}
        rows = models.AuditEntry.objects.order_by("number")
        for row in rows.iterator(chunk_size=_CHUNK):
            sealed = self._changes.pop(row.number, None)
            as_sealed = sealed is not None and sealed.mac == bytes(row.mac or b"").hex()
            waits = row.is_authentic and not row.sealed and not as_sealed
            pending += waits
            if not (row.is_authentic and (as_sealed or waits)):
                where = f"audit entry {row.number} ({row.action} of {row.object!r})"
                if sealed is None:
                    self._find("audit_unsealed", f"{where} is not in the ledger: it was added")
                else:
                    self._find("audit_changed", f"{where} is not as it was sealed")
            if (model := CHANGED_MODELS.get(row.action)) is not None:
                left[model, row.object] = None if waits else sealed
        for number, sealed in sorted(self._changes.items()):
            self._find("audit_missing", f"audit entry {number} ({sealed.action}) is gone")
        for row in chain(
            models.ApiKey.objects.all(), models.Webhook.objects.all(), models.Source.objects.all()
        ):
            self._compare_object(row, left)
        for (model, key), sealed in left.items():
            if sealed is not None and sealed.row:
                self._find(
                    "row_missing", f"{NAMES[model]} {key} is gone, and no audit entry says so"
                )
        if pending:
            self.unchecked.append(
                f"{pending:,} audit entries: the service seals them within seconds, or at its start"
            )
        self._holds(before, "the audit log, and each API key and webhook as its changes left it")

    def _compare_object(
        self, row: _Changed, left: dict[tuple[type[_Changed], str], ChangeEntry | None]
    ) -> None:
        """Compare an API key, a webhook or a source with what its last change left."""
        key = (type(row), row.pk)
        known, sealed = key in left, left.pop(key, None)
        if not row.is_authentic:
            self._find("row_changed", f"this service did not write its {row_name(row)}")
        elif not known:
            self._find("row_added", f"no audit entry says who added {row_name(row)}")
        elif sealed is not None and sealed.row != bytes(row.mac or b"").hex():
            self._find("row_changed", f"{row_name(row)} is not as its last change left it")


def audit_service(
    keys: list[Key],
    kept: list[Checkpoint],
    roots: Sequence[Any] = (),
    show: ShowProgress = lambda _share, _text: None,
    history: Sequence[KeyChange] = (),
) -> tuple[AuditResult, DatabaseAudit]:
    """Check the bound database's ledger, and that its tables are as they were sealed.

    Args:
        keys: Verifier keys of the log and of witnesses.
        kept: Checkpoints of the log that the reader kept from before.
        roots: Certificates of time-stamping authorities.
        show: Called with the share that is done and a short text.
        history: The log's key history.

    Raises:
        EvidenceError: A check of the ledger itself failed.
    """
    audited: list[AuditResult] = []
    tables = DatabaseAudit(show)
    with TemporaryDirectory(prefix="wavebreak-ledger-") as copy:

        def audit() -> None:
            audited.append(audit_directory(Path(copy), keys, kept, roots, history))
            tables.run()

        export_ledger(Path(copy), audit)
    return audited[0], tables


class _Rows(Generic[T]):
    """Rows in the order of their first column, read beside other rows."""

    def __init__(self, rows: Iterator[T]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def until(self, key: int) -> Iterator[T]:
        """Yield the rows before a key."""
        while self._next is not None and self._next[0] < key:
            row, self._next = self._next, next(self._rows, None)
            yield row

    def at(self, key: int) -> T | None:
        """Return the row of a key, after those before it."""
        if self._next is None or self._next[0] != key:
            return None
        row, self._next = self._next, next(self._rows, None)
        return row

    def rest(self) -> Iterator[T]:
        """Yield the rows that are left."""
        left = () if self._next is None else (self._next,)
        self._next = None
        return chain(left, self._rows)


def _decision_rows() -> Iterator[DecisionRow]:
    rows = models.Decision.objects.order_by("number").values_list(*DecisionRow._fields)
    for row in rows.iterator(chunk_size=_CHUNK):
        yield DecisionRow._make((*row[:-2], bytes(row[-2]), bytes(row[-1] or b"")))


def _opening_rows() -> Iterator[tuple[Any, ...]]:
    rows = models.LedgerOpening.objects.order_by("position")
    return iter(
        rows.values_list("position", "account", "subject", "openings").iterator(chunk_size=_CHUNK)
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
