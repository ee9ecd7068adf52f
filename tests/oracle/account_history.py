"""History of an account: its events in log order, and queries over them in plain loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from oracle.shared_state import Shared, log2
from wavebreak.features.layout import BUCKETS, FORGET_BUCKETS
from wavebreak.schema.events import SHORT_CALL_S, UNDETERMINED

BUCKET_S = {"15s": 1, "5m": 20, "1h": 240, "1d": 5_760, "7d": 40_320, "28d": 161_280}
"""Length of a bucket of each window in seconds: a fifteenth of the window."""
SMALL, LARGE = 255, 65_535
"""What a bucket counts up to."""
NAN = float("nan")
YOUNG_S = 604_800
TYPING_MS = 600_000
ENTITIES = ("network", "block", "device", "client")
"""What surrounds an account by its registration and sessions; beside them its origin."""
COMES_IN = ("received", "requested_by", "accepted_by", "called_by")
"""What another does by which a chat is answered; all but an acceptance may open one."""
OPENS = ("sent", "requested", "called")
"""What opens a chat of one's own."""

Marks = frozenset[str]

_LEAVES: dict[str, str] = {
    "sent": "wrote", "received": "replied", "requested_by": "replied",
    "accepted_by": "replied", "called_by": "replied", "added_as_contact": "contact",
    "member_added": "added", "reported_by": "reported", "reported": "accused",
    "blocked_by": "blocked",
}  # fmt: skip
_TAKES = {"removed_as_contact": "contact"}
_TOUCHES = {*_LEAVES, *_TAKES, "requested", "called"}
IN_GROUPS = ("group_created", "group_joined", "added_to_group", "member_added", "sent_group")
"""What makes an account one that has been in a group."""


class Fact(NamedTuple):
    """What happened to one account: `peer` is the other account, `fields` the event's fields.

    `ts` in milliseconds; `epoch` is the one that was open in the log; `own`: the account acted.
    """

    kind: str
    ts: int
    epoch: int
    peer: str | None
    fields: Mapping[str, Any]
    own: bool = True

    @property
    def now(self) -> int:
        """Its time in seconds."""
        return self.ts // 1000


class Text(NamedTuple):
    """A one-to-one text send: whether typing came before it, by how long (ms), and its size."""

    typed: bool
    lead: int
    size: int


def is_cold(fact: Fact, known: Marks) -> bool:
    """Whether a first contact went to a stranger, who is not known to have the account in contacts.

    >>> is_cold(Fact("sent", 0, 0, "b", {"in_contacts": True}), frozenset())
    False
    """
    return "contact" not in known and not fact.fields.get("in_contacts")


def share(some: float, of: float) -> float:
    """Return a share; NaN where the whole is 0.

    >>> share(1, 4), share(1, 0)
    (0.25, nan)
    """
    return some / of if of > 0 else NAN


def recent_blocks(values: list[int]) -> list[list[int]]:
    """Return the block of sixteen being filled and the full one before it, where not empty.

    >>> [len(block) for block in recent_blocks(list(range(37)))]
    [16, 5]
    """
    full = len(values) // 16 * 16
    return [block for block in (values[max(full - 16, 0) : full], values[full:]) if block]


def size_of(fact: Fact) -> int:
    """Bytes of ciphertext; 0 where not given."""
    return int(fact.fields.get("size", 0))


class AccountHistory:
    """Events of one account. `epoch` is the open one, `shared` the state shared by accounts.

    `looks`: epochs at whose close it was re-evaluated without an event of its own, which moves its
    clock to their end.
    """

    def __init__(
        self, facts: list[Fact], shared: Shared, epoch: int, looks: tuple[int, ...] = ()
    ) -> None:  # fmt: skip
        self.facts, self.shared, self.epoch, self.looks = facts, shared, epoch, looks
        ends = (look * 60 + 59 for look in looks if look < epoch)
        self.clock = max([*ends, *(fact.now for fact in facts)])
        self.scores = (NAN, NAN)

    def of(self, *kinds: str) -> list[Fact]:
        """Return the events of some kinds."""
        return [fact for fact in self.facts if fact.kind in kinds]

    def until(self, number: int) -> AccountHistory:
        """Return the history right after event `number`."""
        return self.seen(number, self.facts[number].epoch)

    def seen(self, number: int, epoch: int) -> AccountHistory:
        """Return the history after event `number` while an epoch is open."""
        return AccountHistory(self.facts[: number + 1], self.shared, epoch, self.looks)

    def buckets(self, items: Iterable[tuple[int, int]], window: str, top: int) -> list[int]:
        """Amounts (time in seconds, amount) by bucket, oldest first, each counted up to `top`."""
        step = BUCKET_S[window]
        newest, counts = self.clock // step, Counter[int]()
        for at, amount in items:
            counts[at // step] += amount
        return [min(counts[b], top) for b in range(newest - BUCKETS + 1, newest + 1)]

    def count(self, facts: Iterable[Fact], window: str, top: int = LARGE) -> int:
        """How many of `facts` are in a window."""
        return sum(self.buckets(((fact.now, 1) for fact in facts), window, top))

    @cached_property
    def counted(self) -> set[int]:
        """Numbers of the facts that are sends; one to several at one instant counts once."""
        found: set[int] = set()
        newest = -1
        for i, fact in enumerate(self.facts):
            if fact.kind in ("sent", "sent_group"):
                if not (fact.fields.get("broadcast") and fact.ts == newest):
                    found.add(i)
                newest = max(newest, fact.ts)
        return found

    @cached_property
    def sends(self) -> list[Fact]:
        """Every send, one-to-one and to groups."""
        return [self.facts[i] for i in sorted(self.counted)]

    @cached_property
    def direct(self) -> list[Fact]:
        """Every one-to-one send."""
        return [fact for fact in self.sends if fact.kind == "sent"]

    @cached_property
    def group_sends(self) -> list[Fact]:
        """Every send to a group."""
        return [fact for fact in self.sends if fact.kind == "sent_group"]

    @cached_property
    def mass_mentions(self) -> list[Fact]:
        """Sends to groups in which it is new, that mention many."""
        return [
            fact for fact in self.group_sends
            if fact.fields.get("mentions", 0) >= 10 and fact.fields.get("joined_s", 86_400) < 86_400
        ]  # fmt: skip

    @cached_property
    def group_reports(self) -> list[Fact]:
        """Reports without proof that came while it had written to a group within a day."""
        return [
            fact for i, fact, known in self.complaints("reported_by")
            if not known & PROOF and (past := self.until(i)).count(past.group_sends, "1d") > 0
        ]  # fmt: skip

    @cached_property
    def met(self) -> list[tuple[Fact, Marks]]:
        """Each fact with what was known of its peer before it.

        Marks: wrote (to the peer), addressed (wrote, or attempted to), started (first to write,
        attempt or ask), replied (the peer wrote, asked or accepted), contact, added, reported,
        blocked.
        They are forgotten when no message, tie, add, report or block touched them for long.
        """
        marks: dict[str | None, set[str]] = {}
        touched: dict[str | None, int] = {}
        found = []
        for fact in self.facts:
            bucket = fact.now // BUCKET_S["7d"]
            touches = fact.kind in _TOUCHES
            expired = bucket - touched.get(fact.peer, bucket) > FORGET_BUCKETS
            if touches and expired:
                marks[fact.peer] = set()
            held = marks.setdefault(fact.peer, set())
            none = fact.kind in ("declined_by", "call_ended") and expired
            known = frozenset() if none else frozenset(held)
            found.append((fact, known))
            if touches:
                touched[fact.peer] = max(bucket, touched.get(fact.peer, bucket))
            if fact.kind in OPENS and not held & {"wrote", "replied"}:
                held.add("started")
            if fact.kind == "call_ended" and is_answer(fact, known):
                held.add("replied")
            if fact.kind == "sent":
                held.add("addressed")
            if fact.kind in _LEAVES and not (fact.kind == "sent" and is_attempt(fact)):
                held.add(_LEAVES[fact.kind])
            held.discard("blocked" if fact.kind == "unblocked_by" else _TAKES.get(fact.kind, ""))
        return found

    def is_mutual(self, number: int, peer: str) -> bool:
        """Whether messages went both ways with a peer, as of event `number`."""
        asked = self.facts[number]._replace(kind="declined_by", peer=peer)
        known = AccountHistory([*self.facts[:number], asked], self.shared, self.epoch).met[-1][1]
        return {"wrote", "replied"} <= known

    @cached_property
    def first_contacts(self) -> list[tuple[Fact, Marks]]:
        """Sends, requests for contact and calls that opened a chat."""
        return [(fact, known) for fact, known in self.met
                if fact.kind in OPENS and not known & OPEN]  # fmt: skip

    def first_sends(self) -> list[Fact]:
        """Return the events of `first_contacts`."""
        return [fact for fact, _ in self.first_contacts]

    @cached_property
    def unfounded(self) -> list[Fact]:
        """Reports made of accounts that had not opened a chat with this one."""
        opened: set[str | None] = set()
        found = []
        for fact, marks in self.met:
            if fact.kind in OPENS and not marks & OPEN:
                opened.add(fact.peer)
            elif fact.kind in COMES_IN and not marks & OPEN:
                opened.discard(fact.peer)
            elif fact.kind == "reported" and ("replied" not in marks or fact.peer in opened):
                found.append(fact)
        return found

    @cached_property
    def blind(self) -> list[Fact]:
        """Unfounded reports by an account without chats or groups, of who is not enforced."""
        unfounded = set(map(id, self.unfounded))
        met = set(map(id, [*self.inbound, *self.mutual()]))
        found: list[Fact] = []
        for fact in self.facts:
            if id(fact) in met or fact.kind in IN_GROUPS:
                break
            again = bool(found) and found[-1].peer == fact.peer
            enforced = self.shared.enforced(fact.peer or "", fact.epoch, fact.now)
            if id(fact) in unfounded and not again and not enforced:
                found.append(fact)
        return found

    @cached_property
    def strangers_added(self) -> list[Fact]:
        """Adds to groups of members with whom nothing was exchanged, each once until forgotten."""
        known = {"wrote", "replied", "contact", "added"}
        return [f for f, marks in self.met if f.kind == "member_added" and not marks & known]

    @cached_property
    def inbound(self) -> list[Fact]:
        """Messages, requests and calls received that opened a chat."""
        return [
            fact
            for fact, known in self.met
            if fact.kind in ("received", "requested_by", "called_by") and not known & OPEN
        ]

    def mutual(self) -> list[Fact]:
        """Return the events by which messages with a peer went both ways for the first time."""
        return [
            fact
            for fact, known in self.met
            if (fact.kind == "sent" and known & OPEN == {"replied"} and not is_attempt(fact))
            or is_answer(fact, known)
        ]

    def replies(self) -> list[Fact]:
        """Return what came in that was the first answer to a chat of one's own."""
        return [fact for fact, known in self.met if is_answer(fact, known)]

    def answered(self) -> list[Fact]:
        """Return the first contacts that were answered."""
        opened: dict[str | None, Fact] = {}
        found = []
        for fact, known in self.met:
            if fact.kind in OPENS and not known & OPEN:
                opened[fact.peer] = fact
            elif is_answer(fact, known):
                found.append(opened[fact.peer])
        return found

    @cached_property
    def gaps(self) -> list[int]:
        """Log gaps between sends at different times, in 1/256 log2 ms."""
        found: list[int] = []
        newest = self.sends[0].ts if self.sends else 0
        for fact in self.sends:
            if fact.ts > newest:
                found.append(log2(fact.ts - newest))
                newest = fact.ts
        return found

    @cached_property
    def texts(self) -> list[Text]:
        """One-to-one text sends. One typing event, the account's last, speaks for one send."""
        found = []
        typing: Fact | None = None
        for i, fact in enumerate(self.facts):
            if fact.kind == "typing":
                typing = fact
            elif fact.kind == "sent" and i in self.counted and not is_media(fact):
                lead = fact.ts - typing.ts if typing and typing.peer == fact.peer else -1
                typed = 0 <= lead <= TYPING_MS
                found.append(Text(typed, lead, min(size_of(fact), 2**32 - 1)))
                typing = None if typed else typing
        return found

    @cached_property
    def hours(self) -> list[int]:
        """Sends by hour of the day (UTC), halved at each new week and where one would pass 255."""
        counts, newest = [0] * 24, -1
        for fact in self.sends:
            week, hour = fact.now // 604_800, fact.now // 3600 % 24
            halvings = week - newest if week > newest >= 0 else int(counts[hour] == SMALL)
            counts = [c >> halvings for c in counts]
            newest = max(newest, week)
            counts[hour] += 1
        return counts

    @cached_property
    def _walk(self) -> tuple[list[dict[str, str]], list[tuple[Fact, str]]]:
        places: list[dict[str, str]] = []
        moves: list[tuple[Fact, str]] = []
        at: dict[str, str] = {}
        for fact in self.facts:
            given = {e: fact.fields[e] for e in ENTITIES if e in fact.fields}
            if fact.kind == "registered":
                at = {e: v for e, v in at.items() if e != "block"} | given
            elif fact.kind == "session":
                if fact.fields.get("linked"):
                    given.pop("device", None)
                moves += [(fact, e) for e in ("network", "device") if at.get(e, "") and e in given
                          and at[e] != given[e]]  # fmt: skip
                at = at | given
            if fact.own and "origin" in fact.fields:
                at = at | {"origin": fact.fields["origin"]}
            places.append(dict(at))
        return places, moves

    @property
    def places(self) -> list[dict[str, str]]:
        """After each fact, the account's network, number block, device, client and origin."""
        return self._walk[0]

    def moves(self, entity: str) -> list[Fact]:
        """Sessions by which the account moved from one network or device to another."""
        return [fact for fact, moved in self._walk[1] if moved == entity]

    def complaints(self, kind: str) -> list[tuple[int, Fact, Marks]]:
        """Return reports or blocks, one an account in 180 days: number, fact, what was known."""
        mark = _LEAVES[kind]
        return [
            (i, fact, known)
            for i, (fact, known) in enumerate(self.met)
            if fact.kind == kind and mark not in known
        ]

    def reporters_before(self) -> list[list[str]]:
        """Return for each event the last four reporters with proof whose reports are open."""
        proven = {i for i, _, known in self.complaints("reported_by") if known & PROOF}
        before: list[list[str]] = []
        waiting: list[str] = []
        abusive = False
        for i, fact in enumerate(self.facts):
            before.append(waiting)
            if i in proven and not abusive:
                waiting = [*waiting, fact.peer or ""][-4:]
            elif fact.kind == "labelled":
                abusive = fact.fields["label"] == 0
                waiting = waiting if fact.fields["label"] == UNDETERMINED else []
        return before


OPEN = frozenset({"wrote", "started", "replied"})
"""Marks of a peer with whom a chat was opened."""
PROOF = frozenset({"wrote", "started", "added"})
"""Marks of a peer who has something to complain of."""


def is_attempt(fact: Fact) -> bool:
    """Whether the platform refused the act before it happened."""
    return bool(fact.fields.get("attempted"))


def is_answer(fact: Fact, known: Marks) -> bool:
    """Whether it is the first that comes in from a peer with whom the account opened a chat.

    A call that the peer takes for longer than a moment is an answer too.
    """
    opened = bool(known & {"wrote", "started"})
    taken = fact.kind == "call_ended" and not is_short(fact)
    return (fact.kind in COMES_IN or taken) and opened and "replied" not in known


def is_short(fact: Fact) -> bool:
    """Whether a call that has ended was not taken, or ended at once."""
    return int(fact.fields["seconds"]) <= SHORT_CALL_S


def is_media(fact: Fact) -> bool:
    """Whether a send carries media, as far as was given."""
    return bool(fact.fields.get("media", 0))


BUSINESS = 2
"""The channel of numbers of businesses."""


def channels_at(s: AccountHistory) -> dict[int, int]:
    """Return the channel as of each fact, by the fact's identity, in their order."""
    channel, known, found = 0, False, dict[int, int]()
    opening = {id(fact) for fact, _ in s.first_contacts}
    for fact in s.facts:
        given = fact.fields.get("channel") if fact.kind == "registered" else None
        if given == BUSINESS and "business" not in fact.fields:
            given = 0
        if given is not None and not (
            given == BUSINESS and (known or fact.fields.get("attempted"))
        ):
            channel = given
        known |= fact.kind in ("registered", "sent", *IN_GROUPS) or id(fact) in opening
        found[id(fact)] = int(channel)
    return found
