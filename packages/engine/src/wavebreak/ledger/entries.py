"""Entry types of the ledger, one for each kind; personal data enter only as commitments.

A field that identifies a person (an account, an analyst, a party, an event) is `hidden`: the entry
has a salted commitment to it. Its opening, salt and value, is kept elsewhere and can be erased.
The kinds and field names are the stored format of version 1 and do not change; a field that came
later is left out where it has its default, so that earlier entries keep their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from wavebreak.engine.decision_record import Reason
from wavebreak.errors import EvidenceError
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.verifier import VerifierError, canonical, check_entry, commitment

Salts = Callable[[int], bytes]
"""Returns that many random bytes: `secrets.token_bytes`, or a deterministic one in tests."""
Openings = dict[str, tuple[bytes, Any]]
"""By field: the salt and the value of a commitment."""
SALT_BYTES = 32


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The open fields of an entry; `hidden_fields` names the fields that it only commits to."""

    hidden_fields: ClassVar[tuple[str, ...]] = ()


class DecisionEntry(Body, frozen=True, omit_defaults=True):
    """A decision, before it is enforced. Times are milliseconds, as in the event contract."""

    ts: int
    stage: str
    outcome: str
    action: str
    until: int | None
    score: float | None
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    policy: str
    model: str | None
    features: str
    basis: str = ""
    new_chats_1d: int | None = None
    hidden_fields: ClassVar[tuple[str, ...]] = ("account", "id", "trigger")


class ReceiptEntry(Body, frozen=True):
    """The effect of the decision at a position: applied, refused, failed, held or reverted."""

    decision: int
    outcome: str
    effect: str
    detail: str = ""


class OverrideEntry(Body, frozen=True):
    """A person's later decision over an earlier one (the position; None: over a state)."""

    decision: int | None
    outcome: str
    until: int | None
    reason: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("account", "by", "id")


class AppealEntry(Body, frozen=True):
    """An appeal's state: opened, unchanged, partially_reversed or reversed."""

    decision: int
    state: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("account", "by", "id", "statement")


class CaptureEntry(Body, frozen=True):
    """An exhibit in custody: the file, and the time of capture (ms)."""

    exhibit: str
    media: str
    sha256: str
    captured: int
    software: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "url")


class LinkEntry(Body, frozen=True):
    """A party tied to an account: the basis, the strength, and the exhibit."""

    case: str
    basis: str
    strength: str
    exhibit: str | None
    hidden_fields: ClassVar[tuple[str, ...]] = ("account", "by", "party")


class NoticeEntry(Body, frozen=True):
    """A state of a notice, with the SHA-256 of the text."""

    case: str
    state: str
    sha256: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "party")


class DeterminationEntry(Body, frozen=True):
    """A determination, which is advice: outcome, rule, and the SHA-256 of the full text."""

    case: str
    outcome: str
    rule: str | None
    policy: str
    sha256: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "party", "prepared_by")


class VersionEntry(Body, frozen=True, omit_defaults=True):
    """A policy, or a model, that from now on decides, in `mode` enforce or shadow.

    Where a log had been decided before: of `earlier` decisions, which stand, it would not make
    `differ` again as they are.
    """

    version: str
    sha256: str | None
    mode: str
    earlier: int | None = None
    differ: int | None = None
    hidden_fields: ClassVar[tuple[str, ...]] = ("by",)


class CustodyEntry(Body, frozen=True):
    """One access to an exhibit: act, reason, authority and changes."""

    exhibit: str
    act: str
    sha256: str
    why: str
    authority: str
    changes: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "where")


class LabelEntry(Body, frozen=True):
    """A label of an account, abusive or benign, and the source."""

    label: str
    source: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("account", "by")


class ErasureEntry(Body, frozen=True):
    """Erased openings of an account: the number of entries, and `events` removed from a log."""

    openings: int
    events: int
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "reason")


class RepairEntry(Body, frozen=True):
    """Events of a log, dated ahead, were given the time of their receipt: how many, from where."""

    events: int
    rows: int
    position: int
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "reason")


class TrimEntry(Body, frozen=True):
    """Rows of the log were removed: positions `first` to `end - 1`, the newest of `received` ms.

    `evicted` idle accounts without a record were removed.
    """

    first: int
    end: int
    rows: int
    received: int
    evicted: int = 0
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "reason")


class StepEntry(Body, frozen=True):
    """A case moves from one state to another; the SHA-256 of the case's file then."""

    case: str
    before: str
    after: str
    sha256: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "reason")


class PackEntry(Body, frozen=True):
    """A packed case: the number of steps, the digest `last` of the last step, and a payload.

    `payload` is the SHA-256 over the names and digests of every file beside the ledger.
    """

    case: str
    steps: int
    last: str
    payload: str


class LogEntry(Body, frozen=True, omit_defaults=True):
    """The end of the event log, and the hash of the chain of all rows.

    Up to here are `decisions` in the service's table (`unsealed` of them from before there was a
    ledger) and `changes` in its audit log, the last with the number `last_change`. `key` tells
    which deployment's key makes the MACs of rows. The log begins at `start` where earlier rows
    were removed.
    """

    position: int
    chain: str
    decisions: int
    changes: int
    last_change: int
    key: str = ""
    unsealed: int = 0
    start: int = 0


class RewriteEntry(Body, frozen=True):
    """A row of the event log rewritten by an erasure: position, and commitment to the new row."""

    first: int
    row: str


class ChangeEntry(Body, frozen=True, omit_defaults=True):
    """An entry of the service's audit log, by MAC.

    `row` is the MAC of the changed API key or webhook after the change.
    """

    number: int
    action: str
    outcome: str
    mac: str
    row: str = ""


class StatesEntry(Body, frozen=True):
    """Enforcement states that changed without a decision: so many rows from number `first` on.

    `sha256` is over the rows with MACs, so that no account can be guessed.
    """

    first: int
    rows: int
    sha256: str


class KeyEntry(Body, frozen=True):
    """A change of the signing key: the next verifier key, and the reason."""

    after: str
    why: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by",)


class PortfolioEntry(Body, frozen=True):
    """A portfolio of a business platform after a change; `linked`: predecessors.

    `step` is the step on the ladder for businesses, `appeal` the result of an appeal.
    """

    portfolio: str
    verified: bool
    limit: int
    numbers: int
    linked: tuple[str, ...]
    step: int = 0
    appeal: str = ""
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "id", "record")


class TemplateEntry(Body, frozen=True):
    """A template after a change."""

    portfolio: str
    template: str
    category: str
    language: str
    status: str
    hidden_fields: ClassVar[tuple[str, ...]] = ("by", "id")


class ConsentEntry(Body, frozen=True):
    """A consent record of a person: word, category, source, and the digest of a proof.

    `counts` is false for a claim without proof, which is no basis for a send.
    """

    portfolio: str
    word: str
    category: str
    source: str
    proof: str
    counts: bool
    hidden_fields: ClassVar[tuple[str, ...]] = ("id", "number", "person")


class StandingEntry(Body, frozen=True):
    """A step of the ladder for a portfolio, the barred sends, and the end."""

    portfolio: str
    step: str
    bars: str
    begins: int
    until: int | None
    hidden_fields: ClassVar[tuple[str, ...]] = ("id",)


KINDS: dict[str, type[Body]] = {
    "decision": DecisionEntry,
    "receipt": ReceiptEntry,
    "override": OverrideEntry,
    "appeal": AppealEntry,
    "capture": CaptureEntry,
    "link": LinkEntry,
    "notice": NoticeEntry,
    "determination": DeterminationEntry,
    "policy": VersionEntry,
    "model": VersionEntry,
    "custody": CustodyEntry,
    "erasure": ErasureEntry,
    "label": LabelEntry,
    "step": StepEntry,
    "repair": RepairEntry,
    "log": LogEntry,
    "rewrite": RewriteEntry,
    "change": ChangeEntry,
    "trim": TrimEntry,
    "pack": PackEntry,
    "key": KeyEntry,
    "states": StatesEntry,
    "portfolio": PortfolioEntry,
    "template": TemplateEntry,
    "consent": ConsentEntry,
    "standing": StandingEntry,
}


class Entry(msgspec.Struct, frozen=True):
    """One entry: kind, time of sealing (ms), open fields, and commitments."""

    kind: str
    at: int
    body: Body
    commits: dict[str, str]

    def line(self) -> bytes:
        """Return the entry as a line of the ledger: canonical JSON, without a newline."""
        entry = {
            "at": self.at,
            "body": msgspec.to_builtins(self.body),
            "commits": self.commits,
            "kind": self.kind,
            "v": 1,
        }
        try:
            return canonical(entry).encode()
        except (VerifierError, ValueError):
            raise _unwritable() from None


def make_entry(
    kind: str, body: Body, hidden_values: Mapping[str, Any], *, at: int, salts: Salts
) -> tuple[Entry, Openings]:
    """Make an entry and openings; `hidden_values` are values by field, None is left out.

    Raises EvidenceError for a body of another kind or a field that the kind does not hide.

    >>> made, openings = make_entry("label", LabelEntry("abusive", "analyst"), {"account": "a1"},
    ...                        at=0, salts=bytes)
    >>> made.line()[:61]
    b'{"at":0,"body":{"label":"abusive","source":"analyst"},"commit'
    >>> openings["account"][1]
    'a1'
    """
    if KINDS.get(kind) is not type(body):
        raise ledger_error(
            "entry_kind", f"{type(body).__name__} is no entry of kind {kind}", "see KINDS"
        )
    present = {field: value for field, value in hidden_values.items() if value is not None}
    if wrong := [field for field in present if field not in body.hidden_fields]:
        raise ledger_error("entry_hidden", f"{kind} does not hide {wrong[0]}", "see KINDS")
    random_bytes = salts(SALT_BYTES * len(present))
    openings: Openings = {
        field: (random_bytes[k * SALT_BYTES : (k + 1) * SALT_BYTES], value)
        for k, (field, value) in enumerate(present.items())
    }
    try:
        commits = {f: commitment(kind, f, salt, v) for f, (salt, v) in openings.items()}
    except (VerifierError, ValueError):
        raise _unwritable() from None
    return Entry(kind, at, body, commits), openings


def _unwritable() -> EvidenceError:
    return ledger_error(
        "value_not_json", "a value has no canonical form", "seal text and plain numbers"
    )


def read_entry(line: bytes) -> Entry:
    """Read an entry, of a kind and with a body that are known; raises EvidenceError."""
    with convert_verifier_errors():
        return parse_entry(check_entry(line))


def parse_entry(fields: dict[str, Any]) -> Entry:
    """Convert a decoded entry to the type of the kind; raises EvidenceError."""
    kind = KINDS.get(fields["kind"])
    if kind is None:
        raise ledger_error("entry_kind", f"entries of kind {fields['kind']!r} are not known")
    try:
        body = msgspec.convert(fields["body"], kind, strict=True)
    except msgspec.ValidationError as e:
        raise ledger_error(
            "entry_body", f"an entry of kind {fields['kind']} is not well formed: {e}"
        ) from None
    if not fields["commits"].keys() <= set(kind.hidden_fields):
        raise ledger_error(
            "entry_hidden", f"{fields['kind']} commits to a field that it does not hide"
        )
    return Entry(fields["kind"], fields["at"], body, fields["commits"])
