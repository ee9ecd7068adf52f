"""Event types and kinds of account events: one row each.

An event means something for at most two accounts: who acts, and the counterpart. What it means for
one is an account event (internally: a fact). The kernel, `engine.enforcement`, the explanation,
coverage and statements read these rows; `tests/contracts/test_event_kinds.py` asks every consumer
of event types for its answer to each, and names the file to edit where there is none.
"""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag, auto
from typing import Final, NamedTuple

from wavebreak.schema.events import TYPES


class Update(IntEnum):
    """Updates by the kernel for an account event (`kernel.apply_event`)."""

    NOTHING = 0
    """Nothing but clocks and who acted last: it is no evidence yet, or none at all."""
    CHAT = auto()
    """A chat that the account writes in, or asks for."""
    ANSWER = auto()
    """What it hears from another."""
    LABEL = auto()
    CHALLENGE = auto()
    SHARED = auto()
    """What other accounts read of it: entities, reputation, complaints."""
    RARE = auto()
    """State that few accounts need."""
    PLAIN = auto()
    """Its own record, or a pair's."""


class Bar(IntFlag):
    """Grounds on which an outcome in force refuses an account event (`enforcement.refuses`)."""

    NEVER = 0
    ACT = auto()
    """By an outcome that refuses every act."""
    CHAT = auto()
    """By one that refuses new chats, where it opens a chat, or mentions many in a new group."""
    GROWTH = auto()
    """By one that refuses new chats, always."""
    LINKING = auto()
    """By one that refuses new chats, where it links a companion device."""
    ALLOWANCE = auto()
    """By a limit, where it opens a chat, or mentions many in a new group, and its allowance is used
    up."""
    HELD = auto()
    """By the challenge of a takeover, until the owner answers."""


class FactKind(NamedTuple):
    """A kind of account event: name in policies, update by the kernel, ground of refusal."""

    name: str
    update: Update
    bars: Bar


_A = Bar.ACT
FACTS: Final = (
    FactKind("registered", Update.SHARED, Bar.NEVER),
    FactKind("session", Update.SHARED, _A | Bar.LINKING),
    FactKind("typing", Update.PLAIN, _A),
    FactKind("sent", Update.CHAT, _A | Bar.CHAT | Bar.ALLOWANCE | Bar.HELD),
    FactKind("sent_group", Update.RARE, _A | Bar.CHAT | Bar.ALLOWANCE | Bar.HELD),
    FactKind("received", Update.ANSWER, _A | Bar.CHAT),
    FactKind("delivered", Update.PLAIN, Bar.NEVER),
    FactKind("read_by", Update.PLAIN, Bar.NEVER),
    FactKind("undeliverable", Update.RARE, Bar.NEVER),
    FactKind("looked_up", Update.RARE, _A),
    FactKind("contact_added", Update.NOTHING, Bar.NEVER),
    FactKind("added_as_contact", Update.PLAIN, Bar.NEVER),
    FactKind("group_created", Update.RARE, _A | Bar.GROWTH),
    FactKind("member_added", Update.SHARED, _A | Bar.GROWTH | Bar.ALLOWANCE),
    FactKind("added_to_group", Update.PLAIN, _A | Bar.GROWTH),
    FactKind("group_joined", Update.RARE, Bar.NEVER),
    FactKind("group_left", Update.SHARED, Bar.NEVER),
    FactKind("member_left", Update.RARE, Bar.NEVER),
    FactKind("reported", Update.SHARED, Bar.NEVER),
    FactKind("reported_by", Update.SHARED, Bar.NEVER),
    FactKind("blocked", Update.NOTHING, Bar.NEVER),
    FactKind("blocked_by", Update.SHARED, Bar.NEVER),
    FactKind("challenge_passed", Update.CHALLENGE, Bar.NEVER),
    FactKind("challenge_failed", Update.RARE, Bar.NEVER),
    FactKind("deleted", Update.PLAIN, Bar.NEVER),
    FactKind("labelled", Update.LABEL, Bar.NEVER),
    FactKind("read", Update.PLAIN, Bar.NEVER),
    FactKind("epoch", Update.NOTHING, Bar.NEVER),
    FactKind("contact_removed", Update.NOTHING, Bar.NEVER),
    FactKind("removed_as_contact", Update.PLAIN, Bar.NEVER),
    FactKind("unblocked_by", Update.PLAIN, Bar.NEVER),
    FactKind("refused", Update.NOTHING, Bar.NEVER),
    FactKind("requested", Update.CHAT, _A | Bar.CHAT | Bar.ALLOWANCE | Bar.HELD),
    FactKind("requested_by", Update.ANSWER, _A | Bar.CHAT),
    FactKind("accepted", Update.NOTHING, _A),
    FactKind("accepted_by", Update.ANSWER, _A),
    FactKind("declined_by", Update.SHARED, Bar.NEVER),
    FactKind("called", Update.CHAT, _A | Bar.CHAT | Bar.ALLOWANCE | Bar.HELD),
    FactKind("called_by", Update.ANSWER, _A | Bar.CHAT),
    FactKind("call_ended", Update.SHARED, Bar.NEVER),
    FactKind("declared", Update.RARE, Bar.NEVER),
)
"""Kinds of account event, in code order. `epoch` is the evaluation at an epoch's close, `refused`
an own event that enforcement refused. `requested_by`: another asked for contact with the account;
`accepted_by` and `declined_by`: another answered a request of the account; `call_ended`: a call of
the account is over, whoever ended it; `declared`: an administrator gave it a lane. New kinds come
last: a code is part of what a decision's id is made of."""

KINDS: Final[tuple[str, ...]] = tuple(fact.name for fact in FACTS)
"""Names of the kinds by code."""

(
    REGISTERED, SESSION, TYPING, SENT, SENT_GROUP, RECEIVED, DELIVERED, READ_BY, UNDELIVERABLE,
    LOOKED_UP, CONTACT_ADDED, ADDED_AS_CONTACT, GROUP_CREATED, MEMBER_ADDED, ADDED_TO_GROUP,
    GROUP_JOINED, GROUP_LEFT, MEMBER_LEFT, REPORTED, REPORTED_BY, BLOCKED_OTHER, BLOCKED_BY,
    CHALLENGE_PASSED, CHALLENGE_FAILED, DELETE, LABELLED, READ, EPOCH, CONTACT_REMOVED,
    REMOVED_AS_CONTACT, UNBLOCKED_BY, REFUSED, REQUESTED, REQUESTED_BY, ACCEPTED, ACCEPTED_BY,
    DECLINED_BY, CALLED, CALLED_BY, CALL_ENDED, DECLARED,
) = range(41)  # fmt: skip
"""Codes of the kinds that code treats apart."""


def kinds_that_update(update: Update) -> tuple[int, ...]:
    """Return the codes of the kinds that update something.

    >>> [KINDS[kind] for kind in kinds_that_update(Update.CHAT)]
    ['sent', 'requested', 'called']
    """
    return tuple(code for code, fact in enumerate(FACTS) if fact.update is update)


class Carried(Enum):
    """When a stream counts as carrying a type (`schema.coverage`)."""

    ONCE_SEEN = auto()
    BESIDE_MESSAGES = auto()
    """It accompanies messages: there is at least one per hundred sends."""
    ALWAYS = auto()
    """It comes beside a stream."""


class EventKind(NamedTuple):
    """An event type.

    No column has a default: a new type has to state every value.

    Attributes:
        type: The name in files and in the API.
        actor: Kind of the account event of who acts; "" for none.
        counterpart: That of `peer`; "" for none.
        acts: Names of the acts by which a statement of reasons says that it is refused, or is not
            (`notices.statement`); empty for what is never refused.
        counts: The counter of the acting account in an explanation (`explain.collect.KINDS`).
        counted_at: And for `peer`; "" for not at all.
        carried: The condition on which a stream carries the type.
    """

    type: str
    actor: str
    counterpart: str
    acts: tuple[str, ...]
    counts: str
    counted_at: str
    carried: Carried


_WRITING = (
    "write_existing_chats", "answer", "write_contacts", "write_groups", "mention_many",
    "start_chats",
)  # fmt: skip
_ADDING = ("add_contacts", "add_strangers")
_ONCE, _DENSE = Carried.ONCE_SEEN, Carried.BESIDE_MESSAGES
EVENT_KINDS: Final = (
    EventKind("account.registered", "registered", "", (), "registered", "", _ONCE),
    EventKind("session.started", "session", "", ("link_devices",), "sessions", "", _ONCE),
    EventKind("typing.started", "typing", "", ("write_existing_chats",), "", "", _DENSE),
    EventKind("message.sent", "sent", "received", _WRITING, "sends", "received", _ONCE),
    EventKind("message.delivered", "", "delivered", (), "", "", _DENSE),
    EventKind("message.read", "read", "read_by", (), "", "", _DENSE),
    EventKind("message.undeliverable", "undeliverable", "", (), "undeliverable", "", _ONCE),
    EventKind("contact.looked_up", "looked_up", "", ("start_chats",), "lookups", "", _ONCE),
    EventKind("contact.added", "contact_added", "added_as_contact", (), "", "", _ONCE),
    EventKind("contact.removed", "contact_removed", "removed_as_contact", (), "", "", _ONCE),
    EventKind(
        "group.created", "group_created", "", ("create_groups",), "groups_created", "", _ONCE
    ),
    EventKind(
        "group.member_added", "member_added", "added_to_group", _ADDING, "members_added", "", _ONCE
    ),
    EventKind("group.joined", "group_joined", "", (), "", "", _ONCE),
    EventKind("group.left", "group_left", "member_left", (), "", "", _ONCE),
    EventKind("user.reported", "reported", "reported_by", (), "", "reports", _ONCE),
    EventKind("user.blocked", "blocked", "blocked_by", (), "", "blocks", _ONCE),
    EventKind("user.unblocked", "", "unblocked_by", (), "", "", _ONCE),
    EventKind("consent.granted", "", "", (), "", "", _ONCE),
    EventKind("consent.revoked", "", "", (), "", "", _ONCE),
    EventKind("challenge.passed", "challenge_passed", "", (), "challenges", "", _ONCE),
    EventKind("challenge.failed", "challenge_failed", "", (), "challenges", "", _ONCE),
    EventKind("account.deleted", "deleted", "", (), "", "", _ONCE),
    EventKind("label.assigned", "labelled", "", (), "", "", Carried.ALWAYS),
    EventKind(
        "contact.requested", "requested", "requested_by", ("start_chats",), "first_contacts",
        "replies", _ONCE,
    ),
    EventKind("contact.accepted", "accepted", "accepted_by", ("answer",), "", "replies", _ONCE),
    EventKind("contact.refused", "", "declined_by", (), "", "", _ONCE),
    EventKind(
        "call.started", "called", "called_by", ("start_chats",), "first_contacts", "replies", _ONCE,
    ),
    EventKind("call.ended", "call_ended", "", (), "", "", _ONCE),
    EventKind("account.listed", "", "", (), "", "", Carried.ALWAYS),
    EventKind("account.unlisted", "", "", (), "", "", Carried.ALWAYS),
    EventKind("account.declared", "declared", "", (), "", "", Carried.ALWAYS),
)  # fmt: skip
"""One row an event type, in the order of the schema."""


def table_faults(
    kinds: tuple[EventKind, ...] = EVENT_KINDS, types: tuple[str, ...] = TYPES
) -> list[str]:
    """Return where the table and the schema's types differ, or name a kind that there is not.

    >>> table_faults()
    []
    >>> table_faults(types=(*TYPES, "nudge.sent"))
    ['nudge.sent has no row in schema/event_kinds.EVENT_KINDS']
    """
    rows = [row.type for row in kinds]
    faults = [f"{t} has no row in schema/event_kinds.EVENT_KINDS" for t in types if t not in rows]
    faults += [f"{t} is no type of schema/events" for t in rows if t not in types]
    if not faults and tuple(rows) != types:
        faults.append("the rows are not in the order of schema/events")
    return faults + [
        f"{row.type} makes an account event {name!r}, which is not in schema/event_kinds.FACTS"
        for row in kinds
        for name in (row.actor, row.counterpart)
        if name and name not in KINDS
    ]
