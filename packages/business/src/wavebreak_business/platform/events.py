"""Events that the platform's rules read: those of the engine's contract, and its own beside them.

A registered number is an account: what it sends is a business send, and what it is sent opens a
window. What is between people is not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from wavebreak.errors import EventError
from wavebreak.schema.events import (
    AccountDeleted,
    AccountRegistered,
    Category,
    Id,
    MessageRead,
    MessageSent,
    MessageUndeliverable,
    Name,
    Ts,
    UserBlocked,
    UserReported,
)

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
People = Annotated[int, Meta(ge=-1, le=10**9, description="-1: no limit")]
Throughput = Literal["default", "upgraded", "shared"]
Appeal = Literal["opened", "unchanged", "reversed"]
Ground = Literal["quality", "consent", "templates", "identity", "law"]
TemplateStatus = Literal["pending", "approved", "rejected", "disabled"]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}([_-][A-Za-z0-9]{2,8})*$")]


class PlatformEvent(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False):
    """Fields of every event of the platform's own."""

    ts: Ts
    id: Id | None = None


class Number(Struct, frozen=True, forbid_unknown_fields=True):
    """A number of a portfolio, by its account id, and the name that people see."""

    number: Id
    display_name: Text
    throughput: Throughput = "default"


class PortfolioUpdated(PlatformEvent, tag="portfolio.updated"):
    """A portfolio is new or changed: a field that is absent stays as it is.

    `numbers` are added or changed, `removed` numbers leave. `owners` are parties: a portfolio whose
    owner's other one is barred begins where that one is. `appeal`: what became of one.
    """

    business: Name
    legal_name: Text | None = None
    verified: bool | None = None
    owners: tuple[Name, ...] | None = None
    numbers: Annotated[tuple[Number, ...], Meta(max_length=10_000)] = ()
    removed: tuple[Id, ...] = ()
    limit: People | None = None
    paced: bool | None = None
    appeal: Appeal | None = None


class TemplateUpdated(PlatformEvent, tag="template.updated"):
    """A template is new or changed. A person's approval ends a pause of either kind."""

    business: Name
    template: Name
    category: Category
    language: Language
    status: TemplateStatus


class StandingSet(PlatformEvent, tag="standing.set"):
    """A person puts a portfolio on a step of the ladder, by its name, on a ground.

    Without a step what the present one bars is lifted; it goes on counting.
    """

    business: Name
    step: Name | None = None
    ground: Ground | None = None


class ConsentGranted(PlatformEvent, tag="consent.granted"):
    """A person agrees to hear from the portfolio `business`, or from one number of it.

    Without a category it is of all. `proof` is the digest of the record by which a business claims
    it.
    """

    account: Id
    business: Name
    number: Id | None = None
    category: Category | None = None
    source: Name = "person"
    proof: Digest | None = None


class ConsentRevoked(PlatformEvent, tag="consent.revoked"):
    """A person no longer agrees; without a category it covers what the limits say."""

    account: Id
    business: Name
    number: Id | None = None
    category: Category | None = None
    source: Name = "person"
    proof: Digest | None = None


class EntryOpened(PlatformEvent, tag="entry.opened"):
    """A person came to the number `peer` by a free entry point, and it answered."""

    account: Id
    peer: Id


class UserMuted(PlatformEvent, tag="user.muted"):
    """A person muted the number `peer`."""

    account: Id
    peer: Id


class PersonWeighed(PlatformEvent, tag="person.weighed"):
    """From here on mutes, blocks and reports of a person weigh so many hundredths (else: all)."""

    account: Id
    weight: Annotated[int, Meta(ge=0, le=100)]


class AccountIdChanged(PlatformEvent, tag="account.id_changed"):
    """A person's id is `account` now, and was `previous`: the same person."""

    account: Id
    previous: Id


READ_TYPES = (
    MessageSent, MessageRead, MessageUndeliverable, UserReported, UserBlocked, AccountRegistered,
    AccountDeleted, PortfolioUpdated, TemplateUpdated, StandingSet, ConsentGranted, ConsentRevoked,
    EntryOpened, UserMuted, PersonWeighed, AccountIdChanged,
)  # fmt: skip
"""The types that mean something here."""
AnyPlatformEvent: Any = (
    MessageSent | MessageRead | MessageUndeliverable | UserReported | UserBlocked
    | AccountRegistered | AccountDeleted | PortfolioUpdated | TemplateUpdated | StandingSet
    | ConsentGranted | ConsentRevoked | EntryOpened | UserMuted | PersonWeighed
    | AccountIdChanged
)  # fmt: skip
_TYPES = frozenset(str(each.__struct_config__.tag) for each in READ_TYPES)


class _Head(Struct):
    type: str


class Read(NamedTuple):
    """Events of a log, and how many of other types were passed over."""

    events: list[Any]
    others: int


def read_events(lines: Iterable[bytes]) -> Read:
    """Read events, one JSON object a line.

    Raises:
        EventError: A line is no event; the error names the line, and no value.

    >>> read_events([b'{"type":"account.id_changed","ts":1,"account":"b","previous":"a"}']).others
    0
    """
    events, others = [], 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if msgspec.json.decode(line, type=_Head).type not in _TYPES:
                others += 1
                continue
            events.append(msgspec.json.decode(line, type=AnyPlatformEvent))
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EventError(
                f"line {number}: {_without_values(str(error))}",
                fix="write one JSON object a line, with type, ts and the fields of its type",
            ) from None
    return Read(events, others)


def _without_values(message: str) -> str:
    """Return a message of the decoder without a value of the sender's.

    >>> _without_values("Invalid enum value 'Dana' - at `$.category`")
    'not valid at `$.category`'
    """
    _, found, place = message.partition(" - at ")
    return f"not valid at {place}" if found else "not a JSON object of a known form"


def event_id(event: Any) -> str:
    """Return the id of an event; one without is known again by what it says."""
    if event.id is not None:
        return str(event.id)
    return hashlib.sha256(msgspec.json.encode(event, order="deterministic")).hexdigest()


def event_ms(event: Any) -> int:
    """Return the time of an event in milliseconds."""
    if isinstance(event.ts, datetime):
        return int(event.ts.timestamp() * 1000)
    return int(event.ts)
