"""Streams of events for parity: few accounts, every type and field, bursts, weeks, late, twice.

A stream is a list of steps, each a few small numbers, so that Hypothesis can make them smaller.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from oracle import Oracle
from oracle.scoring_points import Scorer
from wavebreak.features.catalog import FEATURES, NAMES
from wavebreak.features.facts import Fanout
from wavebreak.features.shards import KernelPolicy, ShardedKernel, policy_without_rules
from wavebreak.outcomes import OUTCOMES
from wavebreak.schema.events import LANES, LOG_SCHEMA, SOURCES, TYPES, UNDETERMINED

START = 1_772_366_400_000  # 1 March 2026, 12:00:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ACCOUNTS = tuple("abcdefgh")
TRAPS = ("g", "h")
GAPS = (
    0, 1, 700, SECOND, 7 * SECOND, 21 * SECOND, MINUTE, MINUTE, 10 * MINUTE, HOUR, HOUR, 2 * HOUR,
    2 * HOUR, 7 * HOUR, 7 * HOUR, DAY, DAY, 3 * DAY, 8 * DAY, 60 * DAY, 181 * DAY, 190 * DAY,
    -SECOND, -20 * SECOND, -59 * SECOND, -MINUTE, -MINUTE - 1, -HOUR,
)  # fmt: skip
"""Before a step, in ms; a negative one makes that step late and moves no clock."""
SPACINGS = (0, 1, 250, 1_000, 1_013, 5_000, 70_000, HOUR, 4 * HOUR)
BURSTS = (1, 1, 1, 1, 2, 2, 5, 9, 17, 40, 300)
MENTIONS, JOINED_S = (68, 10, 9, None, 70_000), (0, 86_399, 86_400, None)
SIZES = (None, 0, 1, 100, 100, 256, 4_000, 70_000)
STEP = st.tuples(
    st.integers(0, len(GAPS) - 1),
    st.integers(0, 99),
    st.integers(0, len(ACCOUNTS) - 1),
    st.integers(0, len(ACCOUNTS) - 1),
    st.integers(0, len(BURSTS) - 1),
    st.integers(0, len(SPACINGS) - 1),
    st.integers(0, 2**24 - 1),
)
"""(gap, kind, who, whom, burst, spacing, choices)"""

Row = dict[str, Any]
Compared = tuple[str, str, float, float]
Steps = Sequence[tuple[int, ...]]


class Step(NamedTuple):
    gap: int
    kind: int
    who: int
    whom: int
    burst: int
    spacing: int
    choices: int


class _Choices:
    """Takes small choices out of one number, lowest first."""

    def __init__(self, number: int) -> None:
        self.number = number

    def of(self, *options: Any) -> Any:
        self.number, at = divmod(self.number, len(options))
        return options[at]


OFTEN = (
    ("message.sent",) * 30 + ("session.started",) * 4 + ("account.registered",) * 3
    + ("user.reported",) * 4 + ("label.assigned",) * 3 + ("typing.started",)
    + ("contact.looked_up",) * 2 + ("user.blocked",) * 2 + ("group.member_added",) * 3
    + ("group.left",) * 2 + ("contact.requested",) * 5 + ("contact.accepted",) * 2
    + ("group.joined",) + ("call.started",) * 3 + ("call.ended",) * 3
)  # fmt: skip
KINDS_OF_STEP = (OFTEN + TYPES * 2)[:100]


def _fields(kind: str, pick: _Choices) -> Row:
    """Fields beside id, ts, account and peer; None where not given."""
    group = "g" + pick.of("1", "2")
    if kind == "message.sent":
        return {
            "broadcast": pick.of(None, None, True), "media": pick.of(None, 0, 0, 1),
            "size": pick.of(*SIZES), "in_contacts": pick.of(None, True, False),
            "template": pick.of(*[None] * 15, "t1"),
        }  # fmt: skip
    if kind in ("account.registered", "session.started"):
        both = {
            "network": pick.of(None, "n1", "n2"), "device": pick.of(None, "d1", "d2", "d3"),
            "client": pick.of(None, "c1", "c2"),
        }  # fmt: skip
        if kind == "session.started":
            return both | {"linked": pick.of(None, False, True)}
        return both | {
            "block": pick.of(None, "b1", "b2"), "attested": pick.of(None, True, False),
            "verification": pick.of(None, 0, 1, 4), "attempts": pick.of(None, 0, 1, 3, 400),
            "channel": pick.of(None, 0, 1, 2), "business": pick.of(None, "b", "b"),
            "number_country": pick.of(None, "IL", "DE"),
            "network_country": pick.of(None, "IL", "DE"),
        }  # fmt: skip
    if kind == "call.started":
        return {"media": pick.of(None, 2, 3), "in_contacts": pick.of(None, None, True, False)}
    if kind == "call.ended":
        return {"seconds": pick.of(0, 0, 6, 7, 300, 2**31 - 1)}
    if kind == "contact.looked_up":
        return {"count": pick.of(None, 0, 3, 40_000), "hits": pick.of(None, 0, 1, 30_000)}
    if kind == "label.assigned":
        source = pick.of(*range(len(SOURCES)), None)
        return {"label": pick.of(0, 1), "source": source} | _of_a_person(pick)
    if kind == "account.declared":
        return {"lane": pick.of(*range(len(LANES))), "group": pick.of(None, "g1")}
    if kind == "contact.refused":
        return {"reason": pick.of(None, 0, 1, 2)}
    return {"group": group} if kind.startswith("group.") else {}


def _of_a_person(pick: _Choices) -> Row:
    """An outcome that a person sets, or a label withdrawn; often neither."""
    if pick.of(True, False):
        return {}
    outcome = pick.of(None, OUTCOMES.index("challenge"), *range(len(OUTCOMES)))
    hold_s = pick.of(60, 5_000, 86_400, 30 * 86_400, None) if outcome else None
    return {"label": UNDETERMINED, "outcome": outcome, "hold_s": hold_s}


NO_PEER = (
    "account.registered", "session.started", "contact.looked_up", "group.created", "group.joined",
    "consent.granted", "consent.revoked", "challenge.passed", "challenge.failed",
    "account.deleted", "label.assigned", "account.declared",
)  # fmt: skip
TO_EITHER = ("message.sent", "typing.started")


def _counterpart(kind: str, pick: _Choices) -> str:
    if kind in NO_PEER:
        return ""
    if kind in TO_EITHER:
        return str(pick.of("peer", "peer", "peer", "group"))
    return str(pick.of("peer", "")) if kind == "group.left" else "peer"


def rows(steps: Steps) -> list[Row]:
    """The events of a stream, in log order; some steps end with a repeated id or a far date."""
    found: list[Row] = []
    now = START
    for number, raw in enumerate(steps):
        step = Step(*raw)
        at = now + GAPS[step.gap]
        for n, row in enumerate(_burst(step)):
            at += row.pop("after")
            found.append({"id": f"{number}-{n}", "ts": at} | row)
        if step.choices % 53 == 52:
            found.append(found[-1] | {"ts": at + DAY})
        if step.choices % 29 == 28:
            found.append(found[-1] | {"id": f"{number}-far", "ts": at + 10_000 * DAY})
        now = max(now, at)
    return found


def _burst(step: Step) -> Iterator[Row]:
    """The events of one step, each with the time `after` the one before."""
    pick = _Choices(step.choices)
    kind = KINDS_OF_STEP[step.kind]
    spread, lead = pick.of(False, True), pick.of(None, None, 300, 4_013, 660_000)
    many = BURSTS[step.burst] if kind in OFTEN or BURSTS[step.burst] < 100 else 2
    fields = _fields(kind, pick) | {"type": TYPES.index(kind), "account": ACCOUNTS[step.who]}
    counterpart = _counterpart(kind, pick)
    fields |= {"attempted": pick.of(*[None] * 6, False, True), "origin": pick.of(None, None, "o1")}
    for n in range(many):
        row = fields | {"after": SPACINGS[step.spacing] if n else 0}
        if counterpart == "group":
            row["group"] = "g1"
            if kind == "message.sent":
                row["mentions"] = MENTIONS[n % len(MENTIONS)]
                row["joined_s"] = JOINED_S[(step.whom + n) % len(JOINED_S)]
        elif counterpart == "peer":
            row["peer"] = ACCOUNTS[(step.whom + n * spread) % len(ACCOUNTS)]
            row["trap"] = row["peer"] in TRAPS or None
        if kind == "message.sent" and lead is not None and many < 100:
            typing = {"type": TYPES.index("typing.started"), "after": lead}
            yield {k: v for k, v in row.items() if k in ("account", "peer", "group")} | typing
            row["after"] += lead
        yield row


def crowded(rng: random.Random, sends: int = 240) -> list[Row]:
    """A young crowd on few networks, blocks and devices that writes to few people, for days.

    In the end a few who have met nobody report two of these people, and a few strangers refuse what
    some of the crowd request.
    """
    found: list[Row] = []
    now = START
    for n in range(30):
        fields: Row = {e: f"{e}{rng.randrange(3)}" for e in ("network", "block", "device")}
        found.append({"ts": now, "account": f"y{n}", "type": TYPES.index("account.registered")}
                     | fields)  # fmt: skip
        now += rng.choice((SECOND, MINUTE, HOUR))
    for _ in range(sends):
        now += rng.choice((SECOND, MINUTE, 10 * MINUTE, HOUR, 3 * HOUR))
        who, whom = f"y{rng.randrange(30)}", rng.choice((f"y{rng.randrange(30)}", "p", "q", "r"))
        kind, fields = "message.sent", {"in_contacts": rng.random() < 0.2}
        if rng.random() < 0.3:
            who, whom = whom, who
        if rng.random() < 0.05:
            kind, fields = "session.started", {"network": f"network{rng.randrange(3)}"}
        peer = {} if kind == "session.started" else {"peer": whom}
        found.append({"ts": now, "account": who, "type": TYPES.index(kind)} | peer | fields)
    for _ in range(12):
        now += rng.choice((SECOND, MINUTE, HOUR))
        who, whom = f"z{rng.randrange(6)}", rng.choice("pq")
        found.append(
            {"ts": now, "account": who, "type": TYPES.index("user.reported"), "peer": whom}
        )
    for n in range(4):
        now += MINUTE
        ask, no = TYPES.index("contact.requested"), TYPES.index("contact.refused")
        found.append({"ts": now, "account": f"y{n}", "type": ask, "peer": f"s{n}"})
        found.append(
            {"ts": now + SECOND, "account": f"s{n}", "type": no, "peer": f"y{n}"}
            | ({"reason": 0} if n % 2 else {})
        )
    return [{"id": f"c{i}"} | row for i, row in enumerate(found)]


def log(events: Iterable[Row]) -> pa.RecordBatch:
    """A batch of the log."""
    return pa.RecordBatch.from_pylist(list(events), schema=LOG_SCHEMA)


class Both:
    """The kernel and the oracle, fed the same log."""

    def __init__(
        self, *, accounts: int = 64, model: KernelPolicy | None = None, scorer: Scorer | None = None
    ) -> None:  # fmt: skip
        covered = np.zeros(len(FEATURES))
        self.core = ShardedKernel(
            model or policy_without_rules(), covered, enforce=False, accounts=accounts
        )
        self.fanout, self.naive = Fanout(), Oracle(scorer=scorer)
        self.slots: dict[str, int] = {}

    def take(self, batch: pa.RecordBatch) -> None:
        for segment in self.fanout.segments(batch):
            if self.core.epoch < 0:
                self.core.start(segment.epoch)
            elif segment.epoch != self.core.epoch:
                self.core.open(segment.epoch, [self.core.close()])
            self.core.advance(segment)
        self.naive.take(batch)
        named = self.fanout.accounts.texts(range(len(self.slots), len(self.fanout.accounts)))
        for name in named.to_pylist():
            self.slots[name] = len(self.slots)

    def compared(self, accounts: Iterable[str] | None = None) -> Iterator[Compared]:
        """(account, feature, kernel's value, oracle's value) of accounts that have facts."""
        for account in self.naive.facts if accounts is None else accounts:
            fast = self.core.values_of(self.slots[account]).tolist()
            yield from zip(
                [account] * len(NAMES), NAMES, fast, self.naive.values(account), strict=True
            )

    def differences(self, accounts: Iterable[str] | None = None) -> list[Compared]:
        """Where the two disagree; missing equals missing."""
        return [row for row in self.compared(accounts) if not same(row[2], row[3])]


def same(a: float, b: float) -> bool:
    """Equal, to the last bit, or both missing."""
    return a == b or (math.isnan(a) and math.isnan(b))


def some_steps(rng: random.Random, number: int) -> Steps:
    """Steps of a long stream, repeatable by the generator's seed."""
    return [
        (
            rng.randrange(len(GAPS)), rng.randrange(100), rng.randrange(len(ACCOUNTS)),
            rng.randrange(len(ACCOUNTS)), rng.randrange(len(BURSTS)),
            rng.randrange(len(SPACINGS)), rng.randrange(2**24),
        )
        for _ in range(number)
    ]  # fmt: skip
