"""Layout of the kernel's memory: records of accounts, pairs, shared state, events and workers.

Zero always means "none yet", so that fresh memory is a valid empty record: times are seconds since
the epoch plus one, entities and indexes plus one. `ROW` is the record of every account: its fields
are read together, so they lie together. `RARE` is created when an account first creates a group,
adds members, looks up numbers, is reported or is challenged. Shards are logical: account slot
modulo `SHARDS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from wavebreak.features.catalog import FEATURES
from wavebreak.features.window_counters import COUNTERS, RARE_COUNTERS, ROW_COUNTERS, Counter
from wavebreak.outcomes import (
    ALLOW,
    CHALLENGE,
    LIMIT,
    OBSERVE,
    RANKS,
    RESTRICT,
    SEVERITIES,
    TABLE,
)

SHARDS: Final = 64
"""Logical shards: a fixed number, so that decisions do not depend on the number of workers."""
SHARD_BITS: Final = 6
BUCKETS: Final = 16
"""Buckets of a window: the current one and fifteen full ones."""
NO_RULE: Final = 255
BY_SCORE: Final = 254
"""In place of a rule's index: decided by no rule, and decided by the score."""
NONE: Final = 0xFFFFFFFF
"""Slot of "no account"."""
FORGET_BUCKETS: Final = 386
"""Buckets of 40,320 s (180 days) after which a pair without messages expires."""
RANK: Final = np.array(RANKS, np.int64)
"""Ranks of outcomes by code: a code says nothing of severity."""
REFUSES: Final = np.array([row.refuses for row in TABLE], np.int64)
"""What outcomes refuse (`Refusal`) by code."""
SEVERITY: Final = np.array(SEVERITIES, np.float64)
"""What `enforcement_level` says of outcomes, by code."""
STAGES: Final = ("registration", "messaging", "feedback", "review")

_RINGS = {
    counter.field: ("u1" if counter.bucket_max <= 255 else "u2", (BUCKETS,)) for counter in COUNTERS
}


def _rings(*names: str) -> list[tuple[Any, ...]]:
    """Fields of windowed counters."""
    return [(name, _RINGS[name]) for name in names]


def _layout(
    counters: Sequence[Counter], *fields: tuple[Any, ...]
) -> np.dtype[np.void]:  # fmt: skip
    """Lay out a record: what `fields` place, then the counters that they do not place."""
    placed = {field[0] for field in fields}
    fields += tuple(_rings(*(c.field for c in counters if c.field not in placed)))
    return np.dtype([(f[0], *f[1]) if isinstance(f[1], tuple) else f for f in fields], align=True)


ROW = _layout(
    ROW_COUNTERS,
    # What every account event touches, in the first cache line: times, enforcement, totals.
    ("fired", "i8"), ("clock", "u4"), ("first_seen", "u4"), ("until", "u4"), ("touched", "u4"),
    ("received", "u4"), ("inbound", "u4"), ("mutual", "u4"),
    ("young_bits", "u4"), ("colocated_bits", "u4"), ("rare", "u4"), ("read_by", "u4"),
    ("newest", "u4"), ("one_way_run", "u2"), ("flags", "u2"),
    ("enforcement", "u1"), ("firsts_on_device", "u1"), ("strikes", "u1"), ("worst", "u1"),
    # Rhythm: blocks of sixteen log gaps (1/256 log2 ms), the one being filled and the one before.
    ("last_sent", "i8"), ("typing_at", "i8"), ("typing_peer", "u4"), ("hopped", "u4"),
    ("gap_sum", ("u4", (2,))), ("gap_square", ("u4", (2,))), ("sizes", ("u2", (4,))),
    ("gap_n", "u1"), ("gap_full", "u1"), ("typed_n", "u1"), ("repeat_n", "u1"),
    # Recent events as bits, newest lowest; lifetime totals; the last cold targets.
    ("typed_bits", "u4"), ("repeat_bits", "u4"), ("cold_bits", "u4"),
    ("targeted_bits", "u4"), ("unfounded", "u1"), ("sends", "u4"),
    ("direct", "u4"), ("started", "u4"), ("delivered", "u4"), ("reads", "u4"),
    ("targets", ("u4", (4,))), ("to_strangers", "u2"), ("unwanted", "u2"),
    # Registration, and current network, number block, device, client and origin.
    ("registered", "u4"), ("network", "u4"), ("block", "u4"), ("device", "u4"), ("client", "u4"),
    ("origin", "u4"), ("device_changed", "u4"), ("linked", "u4"), ("score", "i4"),
    ("registration_score", "i2"), ("cold_n", "u1"), ("attempts", "u1"),
    ("verification", "u1"), ("channel", "u1"),
    # Hours of the day; windowed counters (replies by the bucket of the first contact).
    ("hour_s", "u4"), ("hour_n", "u2"), ("week", "u2"), ("hours", ("u1", (24,))),
    # Sequential tests: trials that await their time, matured ones (early, in a day), complaints,
    # restarts; new recipients since a move to another device; the allowance of a limit.
    ("tried_1d", ("u1", (BUCKETS,))), ("tried_answered_1d", ("u1", (BUCKETS,))),
    ("unanswered_strangers_1d", ("u1", (BUCKETS,))), ("matured", ("u2", (2,))),
    ("answered", ("u2", (2,))), ("trials", "u2"), ("trials_answered", "u2"), ("contacted", "u2"),
    ("complaints", "u2"), ("reactions", "u2"), ("talks", "u2"), ("complaint_bits", ("u4", (3,))),
    ("reaction_bits", ("u4", (3,))), ("later_bits", ("u4", (3,))), ("debts", ("u1", (6,))),
    ("restarts", "u1"), ("recipients_on_device", "u1"), ("quota", "u1"), ("companion", "u4"),
    # Its operator, a hypothesis (`linking`): other accounts, those of them found abusive, and the
    # pooled evidence of all (four times log2).
    ("tied", "u1"), ("tied_found", "u1"), ("tied_unanswered", "u1"), ("tied_complaints", "u1"),
    *_rings("sends_15s", "sends_5m", "first_1h", "sends_1h", "sends_1d", "sends_7d", "first_1d",
            "first_7d", "peers_1d", "replied_7d"),
)  # fmt: skip
"""One account. See `bytes_per_account`."""

RARE = _layout(
    RARE_COUNTERS,
    # What the prefilter of the rules reads at every send, within one cache line.
    ("clock", "u4"), ("refused", "u4"),
    *_rings("undeliverable_7d", "created_1d", "added_1d", "strangers_1d", "left_7d",
            "group_sends_1d", "lookups_1d", "hits_1d", "reports_7d", "report_weight_7d",
            "unproven_7d", "blocks_7d", "block_weight_7d"),
    ("answered", "u4"), ("created", "u4"), ("added", "u4"), ("reports", "u4"), ("reported", "u4"),
    ("reports_before", "u4"), ("reported_before", "u4"), ("reporters", ("u4", (4,))),
    ("blamed", ("u4", (5,))),
    ("reporter_n", "u4"), ("action_at", "i8"), ("action_position", "i8"), ("action_stage", "u1"),
    ("met", "u1"), ("blind", "u1"), ("accused", "u1"), ("spare", "u1"),
    ("blind_peer", "u4"), ("add_trials", "u2"), ("add_leaves", "u2"), ("failures", "u2"),
    ("challenges_passed", "u1"), ("limited", "u4"), ("refused_peer", "u4"),
    ("attempts_after_notice", "u2"),
    ("lane", "u1"), ("complainers", ("u4", (8,))), ("complainer_n", "u4"),
)  # fmt: skip
"""State that few accounts need: groups, lookups, feedback, our decisions."""

# ROW.flags
ATTESTED_KNOWN, ATTESTED, COUNTRY_KNOWN, COUNTRY_MISMATCH = 1, 2, 4, 8
DELETED, CREDITED, BLAMED, LABEL_ABUSIVE, LABEL_BENIGN = 16, 32, 64, 128, 256
REGISTERED_HERE = 512
PLACED = 1 << 13
"""It registered or connected in this log, or is on a remote server, so that it may have a network,
block, device or origin."""
GROUPED = 1 << 14
"""It has been in a group, by its own account events."""
ON_DOUBT = 1 << 15
"""Its limit rests on doubt: a passed challenge raises the allowance."""
HELD = 255
"""ROW.quota of a takeover's challenge: every send is held until the owner answers."""
SCORED_AT, SCORED = 10, 7
"""Three bits from bit 10: the most severe level that a score has asked for, until it ends, as its
place in SCORE_LEVELS; SCORED itself: it may ask for nothing more."""
SCORE_LEVELS: Final = (ALLOW, OBSERVE, CHALLENGE, LIMIT, RESTRICT)
"""Codes of the outcomes that a score may ask for; a place is stored, so new ones come last."""
LEVEL_CODE: Final = np.array(SCORE_LEVELS, np.int64)
LEVEL_PLACE: Final = np.array(
    [SCORE_LEVELS.index(row.code) if row.code in SCORE_LEVELS else SCORED for row in TABLE],
    np.int64,
)
"""From a place in SCORE_LEVELS to the code, and from a code to its place."""
# RARE.met: outcomes below a restriction that the account has had
MET_CHALLENGE, MET_LIMIT = 1, 2
# RARE.spare holds marks. Its name is stored with each snapshot: under another one, no snapshot of
# an earlier version could be read.
BLAMED_BY_EVIDENCE = 1
"""Complaint evidence has blamed the account, whoever else did."""
EASED_BITS: Final = 0b1001110
"""The most severe outcome that a person has eased, until the grace period has run out: a code of
four bits, whose highest stands apart (`account_updates.eased_outcome`)."""
BY_PERSON = 16
"""A limit in force was set by a person."""
UNCONFIRMED = 32
"""A honeypot, a partner or a sample calls the account abusive."""

PAIR = np.dtype([("key", "u8"), ("value", "u8")])
"""A known pair. key: owner's local slot << 32 | peer's slot, plus one. value: flags (9 bits), the
bucket of the first send and of the last (5,760 s; 19 bits each, up to 2065), of the last touch
(40,320 s)."""
STARTED, REPLIED, WROTE, CONTACT, REPORTED, BLOCKED, ADDED = 1, 2, 4, 8, 16, 32, 64
STRANGER, TRIAL = 128, 256
"""The first contact took a place of the allowance; and is a trial of the sequential tests. STARTED
without WROTE: the account has asked for contact, or attempted to write, and no message reached the
peer."""

SHARD = np.dtype(
    [("rows", "i8"), ("row_capacity", "i8"), ("rares", "i8"), ("rare_capacity", "i8"),
     ("rare_n", "i8"), ("pairs", "i8"), ("pair_capacity", "i8"), ("pair_n", "i8"),
     ("salt_a", "u8"), ("salt_b", "u8"), ("salt_c", "u8")]
)  # fmt: skip
"""Addresses and fill levels of a shard's arrays, and the salts by which its pairs are hashed."""

PERSON = np.dtype(
    [("born", "u4"), ("until", "u4"), ("confirmed", "u2"), ("refuted", "u2"), ("targeted", "u1"),
     ("enforcement", "u1"), ("approached_day", "u2"), ("approached", "u1"),
     ("approached_before", "u1"),
     ("places", "u2", (3,)), ("accused_day", "u2"), ("accused", "u1"), ("accused_before", "u1"),
     ("friends", "u4", (4,)), ("groups", "u4", (4,)), ("organisation", "u4")]
)  # fmt: skip
"""What other accounts read of an account, as of the last closed epoch. `approached` counts young
strangers who approached it on `approached_day` (UTC days since the epoch, plus one) and on the day
before; `accused` counts blind reports of it alike. `places` are its network, block and device
modulo 65,535: enough to recognize a shared one. `friends` are the last four accounts with which
messages went both ways (slots plus one). `groups` are the last four that it came into and has not
left (slots plus one, times two; plus one where it joined or created it, and nobody added it).
`organisation` is the one whose member an administrator declared it to be (a group's slot plus
one)."""

ENTITY = np.dtype(
    [("good", "i8"), ("bad", "i8"), ("arrivals", "i8"), ("joined", "i8"), ("cold", "i8"),
     ("opened", "i8"), ("answered", "i8"), ("epoch", "i4"), ("stirred", "i4")]
)  # fmt: skip
"""A network, number block, device, client or origin: decayed weights in 1/65,536, the first three
as of `epoch`, activity of young accounts there (of an origin: all) as of `stirred`. A group has
`joined` alone: how often somebody came into it, whole and without decay."""

NEWCOMERS = np.dtype([("slots", "u4", (8,))])
"""The eight newest accounts registered on an entity (slots plus one, in no order): when one of them
is restricted, the others are re-evaluated."""

EVENT = np.dtype(
    [("ts", "i8"), ("account", "u4"), ("peer", "u4"), ("network", "u4"), ("block", "u4"),
     ("device", "u4"), ("client", "u4"), ("origin", "u4"), ("address", "u4"), ("group", "u4"),
     ("size", "u4"), ("count", "u4"), ("hits", "u4"), ("attempts", "u2"), ("flags", "u2"),
     ("type", "u1"), ("media", "u1"), ("verification", "u1"), ("channel", "u1"),
     ("label", "u1"), ("drop", "u1"), ("outcome", "u1"),
     ("lane", "u1"), ("source", "u2"), ("spare", "u1", (2,))],
    align=True,
)  # fmt: skip
"""One event as the fan-out passes it on: numbers only. Entities plus one; 0 is "not given".
`address` is a hash of the exact address's pseudonym, of 31 bits, and no entity: nothing but linking
reads it. `group` is given where somebody comes into a group or leaves it, or is declared.
`outcome` is the one that a label sets (UNKNOWN: none), and `size` then its hold in seconds. `count`
of the end of a call are the seconds spoken, with MENTIONS_MANY how many are mentioned.
`source` is the number of the source that sent it (0: of none)."""
REPEATED, LATE = 1, 2
"""EVENT.drop of an event that makes no account event."""
OPENS, WITHHELD, BARRED = 1, 2, 4
"""What became of an event, as bits (`facts.Segment.results`). Of a first message to somebody, or
request for contact: it opened the chat; the sender's enforcement refused it, or in shadow mode
would have (both then). Of any act: its own enforcement refused it."""
FACT = np.dtype([("code", "u4"), ("place", "u4")])
"""An account event of a segment: the event's index · 2 + role, and the event's place in the log
after the segment's first position."""
CONTACT_KNOWN, IN_CONTACTS, BROADCAST, LINKED = 1, 2, 4, 8
ATTEST_KNOWN, ATTEST_TRUE, TO_GROUP, MISMATCH_KNOWN, MISMATCH = 16, 32, 64, 128, 256
ATTEMPTED = 512
"""The platform refused the act before it happened."""
BY_OTHERS = 1024
"""A label by a source that is no person (schema.events.PERSONS)."""
OF_STRANGER = 2048
"""Who declines says that it does not know the other."""
MENTIONS_MANY = 4096
"""A message to a group that its sender is new in, which mentions many (schema.events)."""
TO_TRAP = 8192
"""`peer` was one of the operator's traps when the event arrived."""
UNKNOWN = 255
"""Code of an enumeration that was not given."""

HIT = np.dtype(
    [("position", "i8"), ("ts", "i8"), ("hits", "i8"), ("until", "i8"), ("account", "u4"),
     ("role", "u1"), ("kind", "u1"), ("outcome", "u1"), ("rule", "u1"), ("stage", "u1"),
     ("level", "u1"), ("quota", "u1"), ("step", "u1"), ("spare", "u1", (4,)), ("score", "f8"),
     ("values", "f8", (len(FEATURES),))], align=True
)  # fmt: skip
"""Rules that newly fired for one account at one account event, and the decision (outcome 255: none)
by `rule` (an index, or BY_SCORE). `level` is the outcome that a score newly asks for (0: none),
`quota` what a limit in force leaves, `score` the account's last score (margin: log-odds; NaN
without one). `step` is what it comes from."""
STEPS: Final = ("event", "touched", "newcomers", "linked")
"""HIT.step: an account event, or one of the passes of an epoch's close, in their order."""

POINT = np.dtype(
    [("position", "i8"), ("ts", "i8"), ("account", "u4"), ("role", "u1"), ("kind", "u1"),
     ("enforcement", "u1"), ("spare", "u1"), ("score", "f8"), ("values", "f8", (len(FEATURES),))],
    align=True,
)  # fmt: skip
"""An account at a scoring point: `ts` is event time in ms, `enforcement` the outcome in force
before any decision there, `score` the margin (log-odds; NaN without a model)."""

DELTA = np.dtype(
    [("key", "u4"), ("amount", "i4"), ("table", "u1"), ("shard", "u1"), ("spare", "u1", (2,))]
)
"""A contribution to shared state: a sum, or for BORN, ENFORCEMENT, UNTIL the owner's own value;
for JOINED the slot of the account that registers, plus one. `shard` is the one that made it."""
GOOD, BAD, ARRIVALS, JOINED, COLD, OPENED, ANSWERED, CAME_IN = range(8)
CONFIRMED, REFUTED, HUNTED, COURTED, BORN, ENFORCEMENT, UNTIL = range(8, 15)
ON_NETWORK, ON_BLOCK, ON_DEVICE, ACCUSED, FRIEND = range(15, 20)
IN_GROUP, LEFT_GROUP, IN_ORGANISATION = range(20, 23)
FOUND, TAKEN, VISITED, ADDRESSED, MET, MET_CONTACT, REACHED = range(23, 30)
LAST_OF_ENTITY: Final = CAME_IN
"""The tables up to it are of entities, the others of accounts."""
REACHED_TRIALS: Final = 5
"""Facts for linking, which merge into nothing here: found abusive by outside evidence (1), not so
after all (-1), or one of the two withdrawn (WITHDRAWN_FINDING, WITHDRAWN_REVERSAL); a takeover
found; a registration or session on a network (amount: the entity) or an exact address (amount: its
hash); a chat that is answered, with a stranger, or with a contact or somebody related (key: who
opened it, amount: the other's slot); an account whose trials have become REACHED_TRIALS."""
WITHDRAWN_FINDING, WITHDRAWN_REVERSAL = 0, 2

WORKER = np.dtype(
    [(name, "i8") for name in (
        # Shared state (read only); feature values, and 0 or NaN by coverage; arrays by address.
        "people", "people_n", "entities", "entities_n", "covered", "values",
        # Output buffers: address, size, how far filled.
        "hits", "hits_size", "hits_n", "points", "points_size", "points_n",
        "deltas", "deltas_size", "deltas_n", "touched", "touched_size", "touched_n",
        # The policy: addresses of C functions and packed numbers, bit masks over rules or kinds.
        "guard", "rules", "decide", "refuse", "policy", "wake", "keep", "registration", "messaging",
        "enabled", "enforced", "grace_s", "benign_grace_s", "enforce",
        # Rules on a person's word and on the impossible; new chats a day of a person's limit.
        "person", "impossible", "new_chats_1d",
        # The model: addresses of its C functions, packed numbers and calibration; whether scoring
        # points are evaluated, and recorded.
        "score", "weigh", "model", "margins", "chances", "steps", "scoring", "record", "spared",
        # Whether who is active is counted, how many were in the open epoch and how many of these
        # are newcomers; whether the model abstains since too many are (`newcomer_share`).
        "census", "active_n", "newcomers_n", "abstains",
        # Increments of the sequential tests; the table of allowances (0: none).
        "tests", "allowances",
        # Who reports each account, what each source's accounts are judged by (addresses; 0: all by
        # one), how many of the latter, and whose are in the record now.
        "sources", "terms", "terms_n", "judged_by",
        # The open epoch; position of the pass; which pass it is, and what became of its event.
        "epoch", "first", "at_shard", "at_fact", "step", "result",
    )]
)  # fmt: skip
"""State of one worker: addresses, fill levels, and the policy in force."""

TERMS = np.dtype(
    [(name, "i8") for name in (
        "policy", "wake", "enabled", "enforced", "covered",
    )]
)  # fmt: skip
"""The fields of a worker's record that depend on what a source carries, for one source's accounts.
The first of a table are for accounts of several sources, or of one that nobody has declared."""

SOURCE = np.dtype("u2")
"""The source that reports an account's acts: its number; 0 for an account that has not acted."""
SEVERAL: Final = 65535
"""Number in place of a source's: several report the account's acts, or a key without a source."""

TOUCH = np.dtype("u4")
"""The slot of an account touched in the open epoch. ROW.touched holds that epoch plus one, and
ROW.newest its newest account event: (position in the log - the epoch's first) * 2 + role."""


def layout_digest() -> str:
    """Return the first 12 hex digits of the layout's SHA-256; snapshots of another are refused.

    >>> len(layout_digest())
    12
    """
    layouts = (ROW, RARE, PAIR, PERSON, ENTITY, NEWCOMERS, TOUCH)
    return hashlib.sha256(repr([d.descr for d in layouts]).encode()).hexdigest()[:12]


def bytes_per_account() -> dict[str, int]:
    """Return bytes per account: row, shared record, and rare row where it has one.

    >>> sorted(bytes_per_account())
    ['person', 'rare', 'row']
    """
    return {"row": ROW.itemsize, "rare": RARE.itemsize, "person": PERSON.itemsize}
