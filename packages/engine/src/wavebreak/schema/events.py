"""Event schema: every type, field, limit and unit, declared once.

The structs below are the schema, version 1. JSON is decoded directly into them; the columnar
readers, the shipped JSON Schema and the two Arrow schemas are derived from them. `WIRE_SCHEMA` is
an event as it arrives, `LOG_SCHEMA` as the engine reads it after pseudonymization.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache, lru_cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta, Struct

from wavebreak.outcomes import ABOVE_ALLOW, BY_RANK, Outcome

TS_END = 4_102_444_800_000
"""First millisecond of the year 2100: event times stop before it."""

_INT32_MAX = 2**31 - 1

Id = Annotated[str, Meta(min_length=1, max_length=255)]
"""An opaque identifier of an account, group, event or message, of 1 to 255 bytes."""
Name = Annotated[str, Meta(min_length=1, max_length=128)]
"""Another opaque name, of 1 to 128 bytes."""

Ts = (
    Annotated[int, Meta(ge=0, lt=TS_END, description="milliseconds since the Unix epoch, UTC")]
    | Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
)
Size = Annotated[int, Meta(ge=0, le=2**40)]
Count = Annotated[int, Meta(ge=0, le=_INT32_MAX)]
Phone = Annotated[str, Meta(max_length=16, pattern=r"^\+[1-9][0-9]{1,14}$", description="E.164")]
HoldS = Annotated[int, Meta(ge=1, le=315_360_000, description="seconds, at most ten years")]
Ip = Annotated[str, Meta(min_length=2, max_length=45, pattern=r"^[0-9A-Fa-f:.]+$")]
Origin = Annotated[
    str,
    Meta(
        min_length=1, max_length=255, pattern=r"^[0-9a-z_:.\[\]-]+$",
        description="domain of a remote server, lower case",
    ),
]  # fmt: skip

ListName = Annotated[
    str,
    Meta(
        min_length=1, max_length=64, pattern=r"^[a-z0-9._-]+$",
        description="the outside list's name in the service's configuration",
    ),
]  # fmt: skip
Entry = Annotated[
    str,
    Meta(
        min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the list's entry, lower-case hex",
    ),
]  # fmt: skip
UntilMs = Annotated[
    int, Meta(ge=0, le=TS_END - 1, description="milliseconds since the Unix epoch, UTC")
]

Media = Literal["none", "image", "video", "audio", "document", "sticker", "other"]
CallMedia = Literal["audio", "video"]
Undeliverable = Literal["not_registered", "blocked", "expired"]
Report = Literal["spam", "scam", "impersonation", "other"]
Verification = Literal["sms", "voice", "flash", "email", "none"]
Channel = Literal["personal", "business_app", "business_platform"]
Category = Literal["marketing", "utility", "authentication"]
Challenge = Literal["captcha", "code", "push"]
Label = Literal["abusive", "benign", "undetermined"]
Source = Literal["analyst", "honeypot", "appeal", "partner", "sample"]
Person = Literal["analyst", "appeal"]
Via = Literal["phone", "username", "invite", "group", "other"]
RequestVia = Literal["invite", "roster", "username", "other"]
Decline = Literal["stranger", "other", "opt_out"]
Advice = Literal["observe", "delay", "refuse"]
Lane = Literal["none", "courier", "clinic", "code_sender", "school"]

PERSONS: tuple[Source, ...] = get_args(Person)
"""Sources of labels that are a person of the platform, who may end and decide what is in force. A
honeypot is a device that measures, a partner somebody else's word, a sample an answer about an
account that was drawn to learn from, where nothing pointed at it: what they say is observed."""


class Event(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False):
    """Fields of every event: `ts` event time, `account` who acts, `id` unique in the stream.

    `attempted`: the platform refused the act before it happened. `origin`: the domain of the remote
    server that the account is on.
    """

    ts: Ts
    account: Id
    id: Id | None = None
    attempted: bool | None = None
    origin: Origin | None = None


class AccountRegistered(Event, tag="account.registered"):
    """A new account; `attempts` counts verification attempts."""

    phone: Phone | None = None
    ip: Ip | None = None
    device: Name | None = None
    client: Name | None = None
    attested: bool | None = None
    verification: Verification | None = None
    attempts: Count | None = None
    channel: Channel | None = None
    business: Name | None = None


class SessionStarted(Event, tag="session.started"):
    """An account connects; `linked` marks a companion device."""

    ip: Ip | None = None
    device: Name | None = None
    client: Name | None = None
    linked: bool | None = None


class TypingStarted(Event, tag="typing.started"):
    """An account types to exactly one of `peer` and `group`."""

    peer: Id | None = None
    group: Id | None = None


class MessageSent(Event, tag="message.sent"):
    """An account sends to exactly one of `peer` and `group`; `size` in bytes of ciphertext.

    `via` is how a first message found its recipient. In a group `mentions` is how many people it
    mentions (everyone: the members whom it reaches), and `joined_s` for how long the account has
    been in the group; absent of who made it or may speak for it.
    """

    peer: Id | None = None
    group: Id | None = None
    size: Size | None = None
    media: Media | None = None
    recipients: Count | None = None
    in_contacts: bool | None = None
    broadcast: bool | None = None
    template: Name | None = None
    category: Category | None = None
    via: Via | None = None
    mentions: Count | None = None
    joined_s: Count | None = None


class MessageDelivered(Event, tag="message.delivered"):
    """A message of the sender `peer` reached the account; `message` is its id."""

    peer: Id
    message: Id | None = None


class MessageRead(Event, tag="message.read"):
    """The account read a message of the sender `peer`; `message` is its id."""

    peer: Id
    message: Id | None = None


class MessageUndeliverable(Event, tag="message.undeliverable"):
    """A message of the account did not reach `peer`."""

    peer: Id
    reason: Undeliverable | None = None


class ContactLookedUp(Event, tag="contact.looked_up"):
    """An account looked up `count` numbers (1 if absent), of which `hits` were found."""

    count: Count | None = None
    hits: Count | None = None


class ContactAdded(Event, tag="contact.added"):
    """An account put `peer` into its address book."""

    peer: Id


class ContactRemoved(Event, tag="contact.removed"):
    """An account took `peer` out of its address book."""

    peer: Id


class GroupCreated(Event, tag="group.created"):
    """An account created `group`."""

    group: Id


class GroupMemberAdded(Event, tag="group.member_added"):
    """An account added `peer` to `group`."""

    group: Id
    peer: Id


class GroupJoined(Event, tag="group.joined"):
    """An account joined `group` by link or invitation."""

    group: Id


class GroupLeft(Event, tag="group.left"):
    """An account left `group`; `peer` had added it."""

    group: Id
    peer: Id | None = None


class UserReported(Event, tag="user.reported"):
    """An account reported `peer`; `message` is the id of the message reported."""

    peer: Id
    reason: Report | None = None
    message: Id | None = None


class UserBlocked(Event, tag="user.blocked"):
    """An account blocked `peer`."""

    peer: Id


class UserUnblocked(Event, tag="user.unblocked"):
    """An account unblocked `peer`."""

    peer: Id


class ConsentGranted(Event, tag="consent.granted"):
    """A person agreed to hear from the portfolio `business`."""

    business: Name
    category: Category | None = None


class ConsentRevoked(Event, tag="consent.revoked"):
    """A person no longer agrees to hear from the portfolio `business`."""

    business: Name
    category: Category | None = None


class ChallengePassed(Event, tag="challenge.passed"):
    """The account passed a challenge."""

    kind: Challenge


class ChallengeFailed(Event, tag="challenge.failed"):
    """The account failed a challenge."""

    kind: Challenge


class AccountDeleted(Event, tag="account.deleted"):
    """The account is gone."""


class LabelAssigned(Event, tag="label.assigned"):
    """Somebody judged the account; with `undetermined` a person may set an `outcome` for `hold_s`.

    Persons are the sources `analyst` and `appeal`; what a honeypot or a partner says, or a reviewer
    of an account that was drawn to learn from (`sample`), is observed. `undetermined` withdraws
    earlier labels. With it alone `outcome` is put in place of the one in force, for `hold_s`
    seconds from the event's time (absent: until somebody ends it; `allow` has none). See
    docs/adr/0019 and docs/adr/0022.
    """

    label: Label
    source: Source
    outcome: Outcome | None = None
    hold_s: HoldS | None = None


class ContactRequested(Event, tag="contact.requested"):
    """An account asks `peer` to be let into contact: an invitation or subscription, no message.

    It opens a chat: it counts as a stranger approached and takes a place of a limit's allowance. It
    is no send: rhythm, sizes and typing do not change.
    """

    peer: Id
    via: RequestVia | None = None


class ContactAccepted(Event, tag="contact.accepted"):
    """An account accepts what `peer` requested: an answer to the peer."""

    peer: Id


class ContactRefused(Event, tag="contact.refused"):
    """An account declines a request or first message of `peer`; `stranger`: it does not know it.

    It answers nobody. As a first reaction it counts half a complaint, `opt_out` too (STOP, which a
    gateway reports in place of that message); with `stranger`, the answer no to "Do you know this
    person?", a whole one.
    """

    peer: Id
    reason: Decline | None = None


class CallStarted(Event, tag="call.started"):
    """An account calls `peer`; `media` says by sound alone or with a picture.

    It opens a chat as a first message does: it counts as a stranger approached and takes a place of
    a limit's allowance. It is no send. A call back is an answer.
    """

    peer: Id
    media: CallMedia | None = None
    in_contacts: bool | None = None


class CallEnded(Event, tag="call.ended"):
    """A call of the account to `peer` is over, whoever ended it; `seconds` were spoken.

    0 seconds: nobody took it, or it was declined; neither is a complaint. More than six seconds are
    an answer of `peer`. A platform that sends calls sends their ends too, or those who call are
    judged as if nobody had answered them.
    """

    peer: Id
    seconds: Count


class AccountListed(Event, tag="account.listed", kw_only=True):
    """An outside list names an account, or with `origin` alone all accounts of a remote server.

    `advice` is what the list says, `until_ms` when its entry ends. What follows is the service's
    configuration, and never a decision (docs/adr/0050). Only a key with the scope `list` tells it.
    """

    account: Id | None = None  # type: ignore[assignment]
    list: ListName
    entry: Entry
    advice: Advice
    until_ms: UntilMs | None = None


class AccountUnlisted(Event, tag="account.unlisted", kw_only=True):
    """An outside list names an account or a server no more: by this `entry`, or absent by any."""

    account: Id | None = None  # type: ignore[assignment]
    list: ListName
    entry: Entry | None = None


class AccountDeclared(Event, tag="account.declared"):
    """An administrator declares that the account writes first by trade; `none` withdraws it.

    Its first messages have the allowance of that lane, and evidence holds as for anybody
    (docs/adr/0053). No key tells it by events: an administrator sets it in the service. `group` is
    the organisation whose member it is: members are no strangers to each other. Absent, it stays a
    member, unless the lane is `none`.
    """

    lane: Lane
    group: Id | None = None


SHORT_CALL_S = 6
"""A call of so many seconds is no answer: who takes a stranger's call hangs up by then."""
MASS_MENTION = 10
"""A message that mentions so many people, or more, is a mass mention."""
NEW_IN_GROUP_S = 86_400
"""An account is new in a group that it has been in for less, by `message.sent.joined_s`."""


EVENTS: tuple[type[Event], ...] = tuple(Event.__subclasses__())
"""The event structs in the order of the schema's table; new ones come last."""

TYPES: tuple[str, ...] = tuple(str(e.__struct_config__.tag) for e in EVENTS)
"""The event types in the same order; a type's code in the log is its index here."""

AnyEvent: Any = reduce(or_, EVENTS)
"""The tagged union of all types, for msgspec."""

PERSONAL = ("phone", "ip", "device", "origin")
"""Wire fields that pseudonymization replaces."""


class Column(NamedTuple):
    """How a field of one event type is kept: its Arrow type, and its words if it has a choice."""

    kind: pa.DataType
    words: tuple[str, ...] = ()


def _column(hint: Any, max_value: float | None = None) -> Column:
    """Return the column of a field's annotation; `max_value` is the bound of a number."""
    origin = get_origin(hint)
    if origin is Annotated:
        bounds = [meta.le for meta in hint.__metadata__ if isinstance(meta, Meta)]
        return _column(hint.__origin__, bounds[0])
    if origin in (Union, UnionType):
        # The first alternative: a time is an integer first, and None comes last.
        return _column(get_args(hint)[0], max_value)
    if origin is Literal:
        return Column(pa.string(), get_args(hint))
    if hint is int:
        return Column(
            pa.int32() if max_value is not None and max_value <= _INT32_MAX else pa.int64()
        )
    kinds = {str: pa.string(), bool: pa.bool_()}
    if hint not in kinds:
        raise TypeError(f"no column holds values of {hint}")
    return Column(kinds[hint])


def _fields() -> dict[str, dict[str, Column]]:
    """Return the column of each field by event type, in order of declaration."""
    fields: dict[str, dict[str, Column]] = {}
    for event, name in zip(EVENTS, TYPES, strict=True):
        hints = get_type_hints(event, include_extras=True)
        for field in event.__struct_fields__:
            column = _column(hints[field])
            by_type = fields.setdefault(field, {})
            if any(column.kind != other.kind for other in by_type.values()):
                raise TypeError(f"{field} of {name} is of another kind than of earlier types")
            by_type[name] = column
    return fields


FIELDS: dict[str, dict[str, Column]] = _fields()
"""Every field, with its column by the event types that have it."""

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    name: {kind: column.words for kind, column in by_type.items()}
    for name, by_type in FIELDS.items()
    if any(column.words for column in by_type.values())
}
"""The words of each enumerated field by event type."""

REASONS = WORDS["reason"]
"""What a code of the log's `reason` means, by event type."""

CODES: dict[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(word for words in by_type.values() for word in words))
    for name, by_type in WORDS.items()
    if name != "reason"
}
"""Enumerated columns of the log whose codes are indexes; `reason` depends on the type."""

MEDIA, CATEGORIES, VERIFICATIONS = CODES["media"], CODES["category"], CODES["verification"]
CHANNELS, CHALLENGES, LABELS = CODES["channel"], CODES["kind"], CODES["label"]
LANES = CODES["lane"]
SOURCES = CODES["source"]
UNDETERMINED = LABELS.index("undetermined")
"""The label by which a person withdraws earlier ones."""

_WIRE_ORDER = """id ts type account peer group message size media recipients in_contacts broadcast
template category phone ip device client attested verification attempts channel business linked
reason count hits kind label source outcome hold_s attempted origin via"""
_LOG_ORDER = """id ts type account peer group message size media recipients in_contacts broadcast
template category client attested verification attempts channel business linked reason count hits
kind label source number block number_country address network asn network_country device outcome
hold_s attempted origin via stream_source"""
"""Columns that stored files and logs have; that of a later field comes after them."""
_OF_THE_LOG = {
    name: pa.string()
    for name in (
        "number", "block", "number_country", "address", "network", "network_country", "device",
        "origin", "stream_source",
    )
}  # fmt: skip
"""Text columns of the log that no event has, or not so: pseudonyms and what is derived of them."""


def _schema(
    order: str, kinds: dict[str, pa.DataType], never_null: tuple[str, ...] = ()
) -> pa.Schema:
    names = dict.fromkeys([*order.split(), *kinds])
    return pa.schema([pa.field(name, kinds[name], name not in never_null) for name in names])


_KINDS = {"type": pa.string()} | {n: next(iter(f.values())).kind for n, f in FIELDS.items()}

WIRE_SCHEMA: pa.Schema = _schema(_WIRE_ORDER, _KINDS)
"""An event as it arrives: the contract's fields, flat and nullable; `ts` in milliseconds."""

SCHEMA_KEY = b"wavebreak.schema"

LOG_SCHEMA: pa.Schema = _schema(
    _LOG_ORDER,
    {
        name: pa.uint8() if name in WORDS or name == "type" else kind
        for name, kind in _KINDS.items()
        if name not in PERSONAL
    }
    | {"asn": pa.uint32()}
    | _OF_THE_LOG
    | {"trap": pa.bool_()},
    ("id", "ts", "type", "account"),
).with_metadata({SCHEMA_KEY: b"1"})
"""An event as the engine reads it: enumerations as codes, personal fields as pseudonyms.

`stream_source` is the source whose key sent the event (`service.sources`); a file has none. `trap`:
a message, request or call to one of the operator's traps, as they were when it arrived
(`privacy.traps`); else null."""

LATER_COLUMNS: tuple[str, ...] = tuple(LOG_SCHEMA.names[LOG_SCHEMA.names.index("outcome") :])
"""Columns of the log that a log of an earlier version may lack; they read as null."""


_SHARED_NULLS = 1 << 16


@cache
def _make_nulls(kind: pa.DataType) -> pa.Array:
    return pa.nulls(_SHARED_NULLS, kind)


def null_column(rows: int, kind: pa.DataType) -> pa.Array:
    """Return a column of nulls; columns of one type share their memory.

    >>> null_column(2, pa.string()).to_pylist()
    [None, None]
    """
    return _make_nulls(kind)[:rows] if rows <= _SHARED_NULLS else pa.nulls(rows, kind)


@lru_cache(maxsize=64)
def null_columns(*, log: bool, rows: int) -> dict[str, pa.Array]:
    """Return a column of nulls for each field of LOG_SCHEMA or WIRE_SCHEMA.

    >>> null_columns(log=False, rows=2)["peer"].to_pylist()
    [None, None]
    """
    return {f.name: null_column(rows, f.type) for f in (LOG_SCHEMA if log else WIRE_SCHEMA)}


class Refusal(Struct, frozen=True, gc=False):
    """Why one event was refused. `line` counts lines, array items or rows from 1.

    `cause` is one of: bad_json, too_long, content, unknown_field, misplaced_field, duplicate_field,
    missing_field, wrong_type, out_of_range_time, bad_value, missing_counterpart. `message` names
    line, field and fix. No field contains the offending value.
    """

    line: int
    cause: str
    field: str
    message: str


_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MANY_DIGITS = re.compile(r"[0-9]{4}|(?:[0-9]+\.){2}")


def safe_field_name(name: str) -> str:
    """Return a field name that a message may contain; senders of events choose the names.

    A plain word is returned; a name that may hold text, a number or an address is withheld.

    >>> names = ("colour", "+972541234567", "meet me at nine")
    >>> [safe_field_name(name) for name in names]
    ['colour', '(name withheld)', '(name withheld)']
    """
    words = len(re.split(r"[_.-]+", name))
    plain = _FIELD_NAME.fullmatch(name) and not _MANY_DIGITS.search(name) and words <= 4
    return name if plain else "(name withheld)"


def json_rows(batch: pa.RecordBatch) -> pa.Array:
    """Encode each row as a compact JSON object: keys in column order, nulls omitted.

    >>> rows = pa.RecordBatch.from_pylist([{"account": "a", "ts": 1}, {"account": "b", "ts": None}])
    >>> json_rows(rows).to_pylist()
    ['{"account":"a","ts":1}', '{"account":"b"}']
    """
    parts = [
        _json_member(field.name, column)
        for field, column in zip(batch.schema, batch.columns, strict=True)
        if column.null_count < len(column)
    ]
    if not parts:
        return pa.array(["{}"] * batch.num_rows, pa.string())
    members = pc.binary_join_element_wise(*parts, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", members, "}", "")


def _json_member(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type):
        return pc.binary_join_element_wise(f'"{name}":', column.cast(pa.string()), "")
    if pc.any(pc.match_substring_regex(column, r'[\x00-\x1f"\\]')).as_py():
        texts = (v if v is None else msgspec.json.encode(v).decode() for v in column.to_pylist())
        return pc.binary_join_element_wise(f'"{name}":', pa.array(texts, pa.string()), "")
    return pc.binary_join_element_wise(f'"{name}":"', column, '"', "")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event, derived from the types above.

    The shipped policy/event.schema.json is exactly this.
    """
    schema = msgspec.json.schema(AnyEvent)
    for definition in schema["$defs"].values():
        fields, required = definition["properties"], definition["required"]
        if {"peer", "group"} <= set(fields) and not {"peer", "group"} & set(required):
            has = [{"required": [f], "properties": {f: {"type": "string"}}} for f in COUNTERPARTS]
            definition["oneOf"] = has
    for name in ("AccountListed", "AccountUnlisted"):
        has = [{"required": [f], "properties": {f: {"type": "string"}}} for f in LIST_SUBJECTS]
        schema["$defs"][name]["oneOf"] = has
    schema["$defs"]["LabelAssigned"]["anyOf"] = outcome_alternatives("label")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wavebreak event, version 1",
        "description": "What a messenger's server sees without reading a message.",
        **schema,
    }


def outcome_alternatives(label: str) -> list[Any]:
    """Return JSON Schemas, one of which an object with a label and an outcome fits.

    An outcome comes with `undetermined` alone, and a hold with an outcome above allow. `label` is
    the name of the label's field.
    """
    none, undetermined = {"type": "null"}, {"const": "undetermined"}
    lifted, above_allow = {"const": BY_RANK[0]}, {"enum": list(ABOVE_ALLOW)}
    return [
        {"properties": {"outcome": none, "hold_s": none}},
        {
            "properties": {label: undetermined, "outcome": lifted, "hold_s": none},
            "required": ["outcome"],
        },
        {"properties": {label: undetermined, "outcome": above_allow}, "required": ["outcome"]},
    ]


def is_mass_mention(event: Event) -> bool:
    """Whether a message mentions many people in a group that its sender is new in.

    >>> told = MessageSent(ts=0, account="ann", group="club", mentions=40, joined_s=60)
    >>> is_mass_mention(told), is_mass_mention(msgspec.structs.replace(told, joined_s=None))
    (True, False)
    """
    if not isinstance(event, MessageSent) or event.group is None or event.joined_s is None:
        return False
    return event.joined_s < NEW_IN_GROUP_S and (event.mentions or 0) >= MASS_MENTION


COUNTERPARTS = ("peer", "group")
"""Where both are optional, exactly one must be given."""
LIST_SUBJECTS = ("account", "origin")
"""Whom a list names: exactly one of the two."""
