"""Kinds of account event: what an event means for one account (internally: a fact)."""

from __future__ import annotations

KINDS: tuple[str, ...] = (
    "registered", "session", "typing", "sent", "sent_group", "received", "delivered", "read_by",
    "undeliverable", "looked_up", "contact_added", "added_as_contact", "group_created",
    "member_added", "added_to_group", "group_joined", "group_left", "member_left", "reported",
    "reported_by", "blocked", "blocked_by", "challenge_passed", "challenge_failed", "deleted",
    "labelled", "read", "epoch", "contact_removed", "removed_as_contact", "unblocked_by", "refused",
    "requested", "requested_by", "accepted", "accepted_by", "declined_by",
)  # fmt: skip
"""Kinds, in code order. `epoch` is the evaluation at an epoch's close, `refused` an own event that
enforcement refused. `requested_by`: another asked for contact with the account; `accepted_by` and
`declined_by`: another answered a request of the account. New kinds come last: a code is part of
what a decision's id is made of."""

(
    REGISTERED, SESSION, TYPING, SENT, SENT_GROUP, RECEIVED, DELIVERED, READ_BY, UNDELIVERABLE,
    LOOKED_UP, CONTACT_ADDED, ADDED_AS_CONTACT, GROUP_CREATED, MEMBER_ADDED, ADDED_TO_GROUP,
    GROUP_JOINED, GROUP_LEFT, MEMBER_LEFT, REPORTED, REPORTED_BY, BLOCKED_OTHER, BLOCKED_BY,
    CHALLENGE_PASSED, CHALLENGE_FAILED, DELETE, LABELLED, READ, EPOCH, CONTACT_REMOVED,
    REMOVED_AS_CONTACT, UNBLOCKED_BY, REFUSED, REQUESTED, REQUESTED_BY, ACCEPTED, ACCEPTED_BY,
    DECLINED_BY,
) = range(len(KINDS))  # fmt: skip
