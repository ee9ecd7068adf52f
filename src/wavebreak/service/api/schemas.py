"""What the API takes and gives, as types: the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak.engine.decision import Decision
from wavebreak.rules.model import Outcome
from wavebreak.schema.events import Label
from wavebreak.service.auth import Scope
from wavebreak.service.decide import Quota

# PostgreSQL holds no NUL in a text; nobody needs other control characters either.
_PLAIN = r"^[^\x00-\x1f\x7f]*$"
AccountId = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PLAIN)]
Reason = Annotated[
    str, Meta(min_length=8, max_length=1000, pattern=_PLAIN, description="why, for the audit")
]
Title = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)]
Number = Annotated[int, Meta(ge=0, le=2**53 - 1, description="a decision's number, from 1")]
Size = Annotated[int, Meta(ge=0, le=2**53 - 1, description="how many entries a ledger has")]
DecisionId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
By = Literal["analyst", "appeal"]


class NotTaken(Struct, frozen=True):
    """Why an event of a body was not taken: its index, the cause, the field, words."""

    index: int
    cause: str
    field: str
    reason: str


class Accepted(Struct, frozen=True):
    """How many events are in the log for good, and those that are not."""

    accepted: int
    refused: tuple[NotTaken, ...]


class Asking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the event has happened (record) or is only asked about (ask)."""

    mode: Literal["ask", "record"] = "ask"


class Taken(Struct, frozen=True, kw_only=True):
    """Labels that are in the log for good: the ids of their events."""

    events: tuple[str, ...]


class Overridden(Struct, frozen=True, kw_only=True):
    """What an account's standing is after an override; `event` is the id of its label."""

    event: str
    outcome: Outcome
    until_ms: int | None


class Numbered(Struct, frozen=True):
    """A decision with its number in the log's order."""

    number: int
    decision: Decision


class Restriction(Struct, frozen=True, kw_only=True):
    """An outcome in force: what it refuses, since when, until when (null: it does not end)."""

    outcome: Outcome
    since_ms: int | None
    until_ms: int | None
    refuses: str
    ends: str


class Account(Struct, frozen=True, kw_only=True):
    """How an account stands now, its quota, what is in force, and its newest decisions."""

    account: str
    outcome: Outcome
    until_ms: int | None
    quota: Quota
    restrictions: tuple[Restriction, ...]
    decisions: tuple[Numbered, ...]


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's verdict on an account: benign ends what is in force, abusive asks the policy."""

    verdict: Label
    reason: Reason
    by: By = "analyst"


class Labelled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label of one account. It counts from now on, since a late event changes nothing."""

    account: AccountId
    label: Label
    source: Literal["analyst", "honeypot", "appeal", "partner"]


class Labels(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Labels to be put into the log, with the reason that the audit keeps."""

    labels: Annotated[tuple[Labelled, ...], Meta(min_length=1, max_length=1000)]
    reason: Reason


class Because(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done; the audit keeps it."""

    reason: Reason


class Since(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which decisions: those with a number above `since`, at most `limit`."""

    since: Number = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Following(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a stream of decisions begins; the header Last-Event-ID goes before it."""

    since: Number = 0


class Decisions(Struct, frozen=True, kw_only=True):
    """Decisions in the log's order; ask again with `since` = `next`."""

    decisions: tuple[Numbered, ...]
    next: Number


class Erased(Struct, frozen=True, kw_only=True):
    """What was cut: events of the account that held a pseudonym, and the batches rewritten.

    `openings` is how many entries of the ledger can be opened no more; it verifies as before.
    """

    account: str
    events: int
    batches: int
    openings: int


class Shown(Struct, frozen=True, kw_only=True):
    """An entry of the ledger with its proof: a line of a parcel's `proofs.jsonl`.

    `leaf` and `path` are hashes in base64, `openings` by field a salt (hex) and a value.
    """

    entry: dict[str, Any]
    leaf: str
    openings: dict[str, tuple[str, Any]]
    path: tuple[str, ...]
    position: int


class Sealed(Struct, frozen=True, kw_only=True):
    """A decision's entry, with the checkpoint (a signed note) that it is proved under."""

    checkpoint: str
    proof: Shown


class Sizes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From how many entries on to how many (default: all that are sealed)."""

    old: Size
    new: Size | UnsetType = UNSET


class Continued(Struct, frozen=True, kw_only=True):
    """The hashes (base64, RFC 9162 2.1.4) that prove the log of `new` entries to go on from `old`.

    `checkpoint` is the last one; with `new` equal to its size they lead to its root.
    """

    old: int
    new: int
    path: tuple[str, ...]
    checkpoint: str


class NewWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where decisions are to be sent, from which outcome on."""

    url: Annotated[str, Meta(min_length=10, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f]+$")]
    reason: Reason
    least: Literal["challenge", "limit", "restrict", "suspend", "ban"] = "challenge"


class Webhook(Struct, frozen=True, kw_only=True):
    """A webhook; `secret` is told only when it is made or rotated."""

    id: str
    url: str
    least: str
    created_ms: int
    cursor: int
    waiting: int
    dead: int
    secret: str | UnsetType = UNSET


class Webhooks(Struct, frozen=True):
    """All webhooks."""

    webhooks: tuple[Webhook, ...]


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the former secret or key goes on beside its successor, in seconds."""

    reason: Reason
    grace_s: Annotated[int, Meta(ge=0, le=2_592_000)] = 86_400


class Delivery(Struct, frozen=True, kw_only=True):
    """A decision that could not be delivered: how often it was tried, and what came of it."""

    number: int
    message: str
    attempts: int
    last_status: int | None
    last_error: str


class Deliveries(Struct, frozen=True):
    """Dead letters of a webhook, oldest first."""

    dead: tuple[Delivery, ...]


class Replay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to send again: all dead letters, or, with `since`, every decision after that number."""

    reason: Reason
    since: Number | UnsetType = UNSET


class Replayed(Struct, frozen=True, kw_only=True):
    """How many dead letters wait again, and where the webhook stands."""

    revived: int
    cursor: int


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made: what it may do, requests a second and at once."""

    name: Title
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=5)]
    reason: Reason
    rate: Annotated[float, Meta(gt=0, le=1_000_000)] = 1000.0
    burst: Annotated[float, Meta(ge=1, le=1_000_000)] = 2000.0


class Key(Struct, frozen=True, kw_only=True):
    """A key as it may be shown; `text` is told once, when it is made."""

    prefix: str
    name: str
    scopes: tuple[Scope, ...]
    rate: float
    burst: float
    created_ms: int
    ends_ms: int | None
    text: str | UnsetType = UNSET


class Keys(Struct, frozen=True):
    """All keys."""

    keys: tuple[Key, ...]


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One thing that was changed: when, by which key, what, to what, and why."""

    number: int
    at_ms: int
    key: str
    action: str
    object: str
    reason: str
    outcome: str


class Audit(Struct, frozen=True, kw_only=True):
    """What was changed, oldest first; ask again with `since` = `next`."""

    entries: tuple[AuditEntry, ...]
    next: Number
