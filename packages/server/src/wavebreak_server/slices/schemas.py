"""Request and response schemas of the control-plane API, as pydantic models.

Types of the domain that the hot path encodes with msgspec (`Decision`, `Quota`) stay msgspec
structs; `struct_schema` refers to them in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from wavebreak.durations import DAY_S
from wavebreak.engine.decision import Decision
from wavebreak.linking import Operator
from wavebreak.outcomes import Outcome, RefusingOutcome
from wavebreak.schema.coverage import known_names
from wavebreak.schema.events import Label, Person, outcome_alternatives
from wavebreak.schema.events import Source as LabelSource
from wavebreak_server.http.auth import Scope
from wavebreak_server.http.openapi import STRUCT_KEY
from wavebreak_server.pipeline.decide import Quota
from wavebreak_server.pipeline.states import MAX_ACCOUNTS, MAX_PAGE, States, StatesPage
from wavebreak_server.slices.sources.overview import SourcesOverview
from wavebreak_server.slices.sources.service import ABILITIES, SELF, Ability, Applied


def struct_schema(struct: type) -> WithJsonSchema:
    """Return the annotation of a value that is a msgspec struct, or its encoded JSON."""
    return WithJsonSchema({STRUCT_KEY: struct.__name__})


# PostgreSQL text cannot hold NUL; other control characters have no use here either.
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
MAX_ID_BYTES = 255


def _within_bytes(text: str) -> str:
    """Refuse an id that has too many bytes in UTF-8."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise PydanticCustomError("string_too_long", "String should have at most 255 bytes")
    return text


AccountId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_ID_BYTES,
        pattern=_NO_CONTROL,
        description="the account, as the platform names it: at most 255 bytes",
    ),
    AfterValidator(_within_bytes),
]


def _in_words(reason: str) -> str:
    """Refuse a reason of blanks."""
    if len(reason.strip()) < MIN_REASON:
        raise PydanticCustomError("string_too_short", "String should have at least 8 characters")
    return reason


MIN_REASON = 8
Reason = Annotated[
    str,
    Field(
        min_length=MIN_REASON, max_length=1000, pattern=_NO_CONTROL, description="for the audit log"
    ),
    AfterValidator(_in_words),
]
KeyName = Annotated[str, Field(min_length=1, max_length=100, pattern=_NO_CONTROL)]
DecisionNumber = Annotated[
    int, Field(ge=0, le=2**53 - 1, description="a decision's number, from 1")
]
LedgerSize = Annotated[int, Field(ge=0, le=2**53 - 1, description="number of ledger entries")]
DecisionId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="the decision's id")]
WebhookId = Annotated[str, Field(description="the webhook's id")]
KeyPrefix = Annotated[str, Field(description="the key's prefix")]
DecisionJson = Annotated[Any, struct_schema(Decision)]
OperatorId = Annotated[str, Field(pattern="^op-[0-9a-f]{12}$", description="the operator's id")]
OperatorJson = Annotated[Any, struct_schema(Operator)]
QuotaJson = Annotated[Any, struct_schema(Quota)]
StatesPageJson = Annotated[Any, struct_schema(StatesPage)]
StatesJson = Annotated[Any, struct_schema(States)]
SourcesJson = Annotated[Any, struct_schema(SourcesOverview)]


class RequestModel(BaseModel):
    """A request body: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class QueryModel(BaseModel):
    """The parameters of a query string."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


class LabeledEvents(ResponseModel):
    """The ids of label events that are durably in the log."""

    events: list[str]


class OverrideResult(ResponseModel):
    """An account's enforcement state after an override; `event` is the id of its label event."""

    event: str
    outcome: Outcome
    until_ms: int | None


class NumberedDecision(ResponseModel):
    """A decision with its number in the order of the log."""

    number: int
    decision: DecisionJson


class Restriction(ResponseModel):
    """An outcome in force: what it refuses, its start, its end (null: none)."""

    outcome: Outcome
    since_ms: int | None
    until_ms: int | None
    refuses: str
    ends: str


class Account(ResponseModel):
    """An account's enforcement state, quota, restrictions, and newest decisions."""

    account: str
    outcome: Outcome
    until_ms: int | None
    quota: QuotaJson
    restrictions: list[Restriction]
    decisions: list[NumberedDecision]
    last_known: Annotated[
        bool,
        Field(
            description="true while the engine does not answer: the outcome is the last one known, "
            "by the service's clock, and the quota is not counted"
        ),
    ]


class Override(RequestModel):
    """A reviewer's verdict: `benign` lifts what is in force, `abusive` applies the policy.

    `undetermined` withdraws earlier labels without calling the account either, and may set an
    outcome, milder or severer than the one in force, for `hold_s` seconds.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": outcome_alternatives("verdict")})

    verdict: Label
    reason: Reason
    by: Person = "analyst"
    outcome: Annotated[
        Outcome | None, Field(description="with `undetermined`: the outcome from now on")
    ] = None
    hold_s: Annotated[
        int | None,
        Field(ge=1, le=315_360_000, description="its seconds; absent: until somebody ends it"),
    ] = None

    @model_validator(mode="after")
    def _check_outcome(self) -> Self:
        """Refuse an outcome that the verdict does not set, and a hold that no outcome has."""
        if self.outcome is not None and self.verdict != "undetermined":
            raise PydanticCustomError(
                "outcome", "only undetermined sets an outcome: write that verdict, or leave it out"
            )
        if self.hold_s is not None and self.outcome in (None, "allow"):
            raise PydanticCustomError(
                "hold_s", "a hold without an outcome that ends: give one above allow, or no hold_s"
            )
        return self


class AccountLabel(RequestModel):
    """A label of one account. It takes effect now; a label never changes past decisions."""

    account: AccountId
    label: Label
    source: LabelSource


class Labels(RequestModel):
    """Labels to add to the log."""

    labels: Annotated[list[AccountLabel], Field(min_length=1, max_length=1000)]
    reason: Reason


class Justification(RequestModel):
    """The reason of a change, for the audit log."""

    reason: Reason


class JustificationQuery(QueryModel):
    """The reason of a change, for the audit log."""

    reason: Reason


class PageQuery(QueryModel):
    """A page: items with a number above `since`, at most `limit`."""

    since: DecisionNumber = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100

    def next_page(self, numbers: Iterable[int]) -> int:
        """Return the `since` of the next page, from the numbers of the items on this one."""
        return max(numbers, default=self.since)


class OperatorsQuery(QueryModel):
    """How many operators are wanted, those with most accounts first."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Operators(ResponseModel):
    """Accounts that seem to be of one operator; `total` counts those that are not listed too."""

    operators: list[OperatorJson]
    total: int


class StatesQuery(QueryModel):
    """A page of enforcement states: of decisions with a number above `since`, at most `limit`."""

    since: DecisionNumber = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE


class Accounts(RequestModel):
    """Accounts whose enforcement states are asked for."""

    accounts: Annotated[list[AccountId], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class StreamQuery(QueryModel):
    """Where a stream starts; the header Last-Event-ID takes precedence."""

    since: DecisionNumber = 0


class Decisions(ResponseModel):
    """Decisions in the order of the log; the next page starts at `since` = `next`."""

    decisions: list[NumberedDecision]
    next: DecisionNumber


class ErasureResult(ResponseModel):
    """What was erased: events that held a pseudonym, rewritten batches, ledger openings.

    The ledger still verifies; its erased entries can no longer be opened.
    """

    account: str
    events: int
    batches: int
    openings: int


class InclusionProof(ResponseModel):
    """A ledger entry with its inclusion proof: a line of a proof bundle's `proofs.jsonl`.

    `leaf` and `path` are hashes in base64; `openings` holds a salt (hex) and a value per field.
    """

    entry: dict[str, Any]
    leaf: str
    openings: dict[str, tuple[str, Any]]
    path: list[str]
    position: int


class SealedDecision(ResponseModel):
    """A decision's ledger entry, proved under a checkpoint (a signed note)."""

    checkpoint: str
    proof: InclusionProof


class ConsistencyQuery(QueryModel):
    """The two ledger sizes to compare; `new` defaults to the current size."""

    old: LedgerSize
    new: LedgerSize | None = None


class ConsistencyProof(ResponseModel):
    """Hashes (base64, RFC 9162 2.1.4) that prove the `new` ledger to extend the `old` one.

    `checkpoint` is the last one; if `new` is its size, the hashes lead to its root.
    """

    old: int
    new: int
    path: list[str]
    checkpoint: str


WebhookKind = Literal["decisions", "states"]


class NewWebhook(RequestModel):
    """A webhook to create: its URL, and the least severe outcome that it receives.

    What lifts such an outcome is received too, as `state.changed` where it is no decision. `kinds`:
    the decisions, the enforcement states that they leave, or both.
    """

    url: Annotated[
        str, Field(min_length=10, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f]+$")
    ]
    reason: Reason
    min_outcome: RefusingOutcome = "challenge"
    kinds: Annotated[list[WebhookKind], Field(min_length=1, max_length=2)] = ["decisions"]


class Webhook(ResponseModel):
    """A webhook; `secret` is present only when it is created or rotated.

    `failing_since_ms` is its first failure since the last success, `disabled_ms` when it was
    disabled because it had failed for too long.
    """

    id: str
    url: str
    min_outcome: str
    kinds: list[WebhookKind]
    created_ms: int
    cursor: int
    pending: int
    dead_lettered: int
    failing_since_ms: int | None
    disabled_ms: int | None
    secret: str | None = None


class Webhooks(ResponseModel):
    """All webhooks."""

    webhooks: list[Webhook]


class Rotation(RequestModel):
    """How long the old secret or key stays valid beside its successor, in seconds."""

    reason: Reason
    grace_s: Annotated[int, Field(ge=0, le=30 * DAY_S)] = DAY_S


class DeadLetter(ResponseModel):
    """A delivery that used up its attempts, with the result of the last one.

    `number` is the decision's; null for another message.
    """

    number: int | None
    message: str
    attempts: int
    last_status: int | None
    last_error: str


class DeadLetters(ResponseModel):
    """Dead-lettered deliveries of a webhook, oldest first."""

    deliveries: list[DeadLetter]


class Replay(RequestModel):
    """What to replay: dead-lettered deliveries and, with `since`, all decisions after a number."""

    reason: Reason
    since: DecisionNumber | None = None


class ReplayResult(ResponseModel):
    """How many dead-lettered deliveries are pending again, and the webhook's cursor."""

    replayed: int
    cursor: int


SourceName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="the source's name: lower-case letters, digits, dots, hyphens",
    ),
]


def _not_self(name: str) -> str:
    """Refuse the name by which a key names its own source."""
    if name == SELF:
        raise PydanticCustomError("name", "self names the source of a key: give another name")
    return name


_CARRIED = sorted(known_names())
CarriedName = Annotated[str, Field(json_schema_extra={"enum": _CARRIED})]
"""A type ("message.sent") or field ("message.sent.size") of events."""


class Declaration(RequestModel):
    """What a source carries (types and fields of events), and what its platform can do."""

    carries: Annotated[list[CarriedName], Field(min_length=1, max_length=len(_CARRIED))]
    can: Annotated[list[Ability], Field(max_length=len(ABILITIES))] = []
    reason: Reason = "declared by the source"


class NewSource(Declaration):
    """A source to declare."""

    name: Annotated[SourceName, AfterValidator(_not_self)]


class AskedDeclaration(ResponseModel):
    """What a source has declared by its own key, and an administrator has not approved yet."""

    carries: list[str]
    can: list[Ability]
    at_ms: int


class Source(ResponseModel):
    """A source as it decides: without `carries`, where its first declaration is not approved yet.

    `asked` is the declaration that waits for an administrator (null: none does).
    """

    name: str
    carries: list[str]
    can: list[Ability]
    created_ms: int
    changed_ms: int
    asked: AskedDeclaration | None = None


class Approval(RequestModel):
    """The approval of what a source has asked for, at the time `at_ms` of `asked`."""

    at_ms: int
    reason: Reason


class Application(ResponseModel):
    """How the declared sources take effect.

    `applied`: `unchanged` where their coverage decides already; `live` where it does from now on,
    after `waited_s` in which events waited; `pending` where it will once the service can be
    switched, at the latest after its next start; `waiting` where the declaration waits for an
    administrator, and nothing has changed. `meaning` says so. `carries` is what every source
    carries, and `rules_off` are the rules that lack what they read for every source. Without
    `challenges` some source cannot ask for one: its accounts are limited instead.
    """

    applied: Applied
    carries: list[str]
    challenges: bool
    rules_off: list[str]
    waited_s: float
    meaning: str = ""


class DeclaredSource(ResponseModel):
    """A source, and how its declaration takes effect."""

    source: Source
    coverage: Application


class NewKey(RequestModel):
    """An API key to create: its scopes, requests per second, burst, and the source it belongs to.

    A key of a source may declare it (`PUT /v1/sources/self`), also before it is there. With
    `identifiers` ids that it sends may look like e-mail addresses, phone numbers or texts: JIDs do.
    """

    name: KeyName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=5)]
    reason: Reason
    rate: Annotated[float, Field(ge=0.01, le=1_000_000)] = 1000.0
    burst: Annotated[float, Field(ge=1, le=1_000_000)] = 2000.0
    source: Annotated[SourceName, AfterValidator(_not_self)] | None = None
    identifiers: bool = False


class Key(ResponseModel):
    """An API key; `text` is present only when it is created."""

    prefix: str
    name: str
    scopes: list[Scope]
    rate: float
    burst: float
    created_ms: int
    ends_ms: int | None
    source: str | None = None
    identifiers: bool = False
    text: str | None = None


class Keys(ResponseModel):
    """All API keys."""

    keys: list[Key]


class AuditLogEntry(ResponseModel):
    """One administrative change."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    number: int
    at_ms: int
    key: str
    action: str
    object: str
    reason: str
    outcome: str


class AuditLog(ResponseModel):
    """Administrative changes, oldest first; the next page starts at `since` = `next`."""

    entries: list[AuditLogEntry]
    next: DecisionNumber


LanguageCode = Annotated[
    str, Field(pattern="^[a-z]{2,3}$", description="a language of platform.toml, as in he")
]


AppealNumber = Annotated[int, Field(ge=1, le=2**53 - 1, description="the appeal's id")]


class StatementQuery(QueryModel):
    """The language of a statement of reasons; default: the platform's."""

    language: LanguageCode | None = None


class DecisionStatement(ResponseModel):
    """A decision's statement of reasons in one language, as text and by its parts.

    The holder is notified from `notify_at_ms` on, and reads it at `url` (empty: no public
    address is known). `statement` has the parts that the explanation of notices describes.
    """

    decision: str
    language: str
    direction: Literal["ltr", "rtl"]
    title: str
    text: str
    url: str
    notify_at_ms: int
    statement: dict[str, Any]


class NewAppeal(RequestModel):
    """An appeal of a holder whom the platform has authenticated, in the holder's words."""

    decision: Annotated[
        str, Field(pattern="^[0-9a-f]{32}$", description="the id of the decision appealed against")
    ]
    statement: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2000,
            pattern=r"[^\s\x00-\x1f\x7f]",
            description="why the holder thinks that it is wrong; stored encrypted",
        ),
    ]
    reason: Reason
    language: LanguageCode | None = None


class HolderAppeal(ResponseModel):
    """An appeal: its state, when it is due, and its answer; never its statement or its reviewer."""

    id: int
    decision: str
    account: str
    state: Literal["open", "decided"]
    language: str
    opened_ms: int | None
    deadline_ms: int | None
    decided_ms: int | None
    result: Literal["unchanged", "partially_reversed", "reversed"] | None
    reason: str | None
    outcome: Outcome | None
    until_ms: int | None


class HolderAppeals(ResponseModel):
    """Appeals in the order in which they came; the next page starts at `since` = `next`."""

    appeals: list[HolderAppeal]
    next: DecisionNumber
