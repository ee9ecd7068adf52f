"""Dogwood: a synthetic private messenger, written without sight of the detector it tests.

python dogwood.py OUT --seed 1 --coverage full|gateway|matrix [--scale 1.0]

Twelve days in eight countries. First the people and the abusers' accounts are made, then the
abuse is played (a hijack silences its owner, so it comes first), then the honest roles, then
chats of friends, and last the sessions that explain all acts. One log, three coverages: what a
platform cannot see is left out when an event is emitted.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import math
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = 1_756_684_800_000  # Monday 2025-09-01 00:00 UTC
DAYS = 12
END = START + DAYS * DAY
R = random.Random()  # all chance but Poisson and Pareto, seeded by the world
NEVER = END + DAY
# country: dialling code, digits after it, hours from UTC, share of the population
COUNTRIES = {
    "PL": ("+48", 9, 2.0, 15),
    "NG": ("+234", 10, 1.0, 14),
    "BR": ("+55", 11, -3.0, 18),
    "IN": ("+91", 10, 5.5, 18),
    "DE": ("+49", 10, 2.0, 11),
    "MX": ("+52", 10, -6.0, 10),
    "PH": ("+63", 10, 8.0, 8),
    "KE": ("+254", 9, 3.0, 6),
}
HOURS = [2, 1, 1, 1, 1, 3, 8, 14, 17, 18, 18, 18, 20, 18, 16, 17, 18, 21, 24, 27, 27, 22, 13, 6]
CLIENTS = ["android/8.31", "android/8.30", "android/8.24", "android/7.9", "ios/8.31", "ios/8.29"]
MATRIX_CLIENTS = [
    "element-web/1.11",
    "element-x/25.8",
    "fluffychat/1.26",
    "cinny/4.5",
    "nheko/0.12",
]
SERVERS = ["bigtree.example", "bigtree.example", "tulip.example", "uni-nord.example", "k.example"]


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


TALK = words("account.registered message.sent user.reported user.blocked")
ROOM = words("group.created group.member_added group.joined group.left account.deleted")
GATE = words("message.delivered message.undeliverable consent.granted consent.revoked")
RICH = words(
    "typing.started message.read contact.looked_up contact.added contact.removed "
    "user.unblocked challenge.passed challenge.failed session.started"
)
KINDS = {
    "full": TALK | ROOM | GATE | RICH,
    "gateway": TALK | GATE,
    "matrix": TALK | ROOM | {"session.started"},
}
UNSEEN = {  # fields that a coverage lacks
    "full": words(""),
    "gateway": words("ip device client attested in_contacts broadcast media"),
    "matrix": words(
        "phone attested attempts channel business in_contacts broadcast template category linked"
    ),
}
ACTS = words("message.sent typing.started message.read group.created group.joined")

# persona: number at scale 1, share registered in the window, friends (mean), chats a friend
PERSONAS: dict[str, tuple[int, float, float, float]] = {
    "neighbour": (3260, 0.03, 5.0, 3.0),
    "student": (700, 0.05, 7.0, 3.8),
    "pensioner": (450, 0.02, 2.5, 2.4),
    "class_parent": (500, 0.02, 4.0, 2.6),
    "commons_member": (400, 0.06, 4.0, 2.4),
    "cgnat_village": (400, 0.03, 4.5, 2.8),
    "one_tablet_family": (300, 0.04, 3.0, 2.6),
    "shared_handset": (120, 0.12, 3.0, 2.4),
    "hermit": (200, 0.02, 1.2, 1.2),
    "night_shift": (90, 0.03, 4.0, 2.6),
    "screen_reader": (90, 0.03, 4.0, 3.0),
    "courier": (110, 0.08, 3.0, 1.6),
    "flea_seller": (260, 0.06, 4.0, 2.0),
    "flea_buyer": (420, 0.04, 4.0, 2.4),
    "job_hunter": (160, 0.06, 4.0, 2.4),
    "help_desk": (24, 0.0, 0.5, 1.0),
    "corner_shop": (130, 0.05, 2.0, 1.4),
    "organiser": (60, 0.03, 6.0, 2.5),
    "class_teacher": (60, 0.05, 5.0, 2.0),
    "commons_admin": (40, 0.02, 5.0, 2.5),
    "radio_station": (12, 0.0, 0.5, 1.0),
    "fresh_number": (140, 1.0, 5.0, 1.8),
    "border_crosser": (180, 0.2, 4.0, 3.0),
    "dater": (200, 0.1, 4.0, 2.4),
    "exchange_student": (110, 0.8, 3.0, 2.4),
    "scout_camp": (320, 1.0, 2.0, 1.2),
    "rollout_staff": (220, 1.0, 1.5, 1.2),
    "sim_promo": (180, 1.0, 2.5, 1.8),
    "fair_goer": (220, 0.2, 3.0, 2.0),
    "smeared": (50, 0.02, 5.0, 2.6),
    "buried": (24, 0.0, 5.0, 2.6),
    "locked_out_owner": (24, 1.0, 0.0, 0.0),
    "clinic_reminder": (10, 0.1, 0.3, 1.0),
    "pet_searcher": (30, 0.03, 5.0, 2.6),
    "parish_caller": (40, 0.02, 5.0, 2.6),
    "landlord": (50, 0.04, 4.0, 2.0),
    "bridge_bot": (15, 0.1, 0.5, 1.0),
}
# personas that come in batches of one country, day and (but for two) network
BATCH = {
    "one_tablet_family": 4,
    "shared_handset": 3,
    "cgnat_village": 110,
    "scout_camp": 110,
    "rollout_staff": 55,
    "sim_promo": 60,
    "exchange_student": 12,
    "fair_goer": 75,
}


class Rate(NamedTuple):
    """What strangers do with a first message: chances, and how a talk goes on."""

    answer: float
    block: float
    report: float = 0.0
    talk: tuple[int, int] = (2, 5)
    nudge: float = 0.08
    days: tuple[int, int] = (0, 0)


# honest outreach: chance of an active day, strangers on it, whom, and their answers
OUTREACH: dict[str, tuple[float, int, int, str, Rate]] = {
    "courier": (0.72, 7, 22, "*", Rate(0.28, 0.003, 0.0004, (1, 3), 0.05)),
    "flea_buyer": (0.4, 1, 4, "flea_seller", Rate(0.7, 0.006, 0.0006, (2, 9), 0.15)),
    "flea_seller": (0.35, 1, 4, "*", Rate(0.32, 0.009, 0.002, (2, 6), 0.1)),
    "job_hunter": (0.6, 1, 6, "corner_shop landlord rollout_staff", Rate(0.3, 0.005, 0.0, (1, 4))),
    "dater": (0.6, 1, 6, "dater", Rate(0.34, 0.02, 0.004, (3, 16), 0.25, (0, 3))),
    "border_crosser": (0.4, 1, 4, "landlord *", Rate(0.4, 0.005, 0.0005, (2, 6))),
    "exchange_student": (0.5, 1, 5, "exchange_student student", Rate(0.55, 0.003, 0.0, (2, 8))),
    "landlord": (0.5, 1, 6, "*", Rate(0.45, 0.004, 0.0, (2, 5))),
    "clinic_reminder": (0.75, 20, 60, "*", Rate(0.1, 0.002, 0.0003, (1, 2), 0.0)),
    "smeared": (0.25, 1, 4, "*", Rate(0.4, 0.006, 0.0, (2, 5))),
    "neighbour": (0.03, 1, 2, "*", Rate(0.5, 0.006, 0.0005, (2, 6))),
    "student": (0.06, 1, 3, "student", Rate(0.6, 0.004, 0.0005, (2, 7))),
    "night_shift": (0.05, 1, 2, "*", Rate(0.45, 0.005, 0.0, (2, 6))),
    "screen_reader": (0.12, 1, 3, "*", Rate(0.5, 0.004, 0.0, (2, 6))),
}
# inbound roles: strangers who write to it in a day, chance that it answers, length of the talk
INBOUND = {
    "help_desk": (12.0, 0.97, (2, 5)),
    "radio_station": (38.0, 0.2, (1, 2)),
    "corner_shop": (1.2, 0.9, (2, 6)),
    "landlord": (1.5, 0.7, (2, 5)),
    "bridge_bot": (1.5, 1.0, (1, 2)),
    "flea_seller": (0.3, 0.8, (2, 6)),
    "clinic_reminder": (1.5, 0.7, (2, 4)),
}
# family: accounts, operators, reply, block, report (of recipients), passes, dead numbers tried
Span = tuple[float, float]
FAMILIES: dict[str, tuple[int, int, Span, Span, Span, Span, float]] = {
    "parcel_fee": (90, 6, (0.01, 0.04), (0.1, 0.22), (0.03, 0.09), (0.1, 0.3), 0.3),
    "slow_drizzle": (110, 4, (0.03, 0.09), (0.04, 0.09), (0.01, 0.03), (0.3, 0.6), 0.04),
    "aged_stock": (80, 4, (0.02, 0.08), (0.06, 0.16), (0.02, 0.06), (0.3, 0.5), 0.08),
    "silver_tongue": (60, 3, (0.1, 0.15), (0.03, 0.07), (0.01, 0.02), (0.5, 0.8), 0.02),
    "sunday_romance": (50, 5, (0.1, 0.2), (0.04, 0.1), (0.01, 0.04), (0.6, 0.9), 0.0),
    "like_tasks": (60, 4, (0.06, 0.14), (0.07, 0.15), (0.02, 0.06), (0.4, 0.7), 0.06),
    "phone_wall": (100, 3, (0.02, 0.07), (0.06, 0.14), (0.02, 0.05), (0.85, 0.95), 0.1),
    "room_stuffers": (50, 4, (0.01, 0.03), (0.08, 0.2), (0.02, 0.07), (0.2, 0.5), 0.05),
    "pile_on": (60, 5, (0.0, 0.03), (0.15, 0.25), (0.04, 0.1), (0.1, 0.5), 0.0),
    "borrowed_face": (66, 4, (0.12, 0.25), (0.04, 0.09), (0.03, 0.06), (0.0, 0.0), 0.0),
    "smear_squad": (40, 3, (0.1, 0.3), (0.03, 0.05), (0.01, 0.02), (0.2, 0.6), 0.0),
    "handshake_ring": (70, 4, (0.02, 0.08), (0.06, 0.15), (0.02, 0.06), (0.3, 0.6), 0.05),
    "hi_mum": (45, 4, (0.1, 0.18), (0.06, 0.12), (0.03, 0.08), (0.2, 0.5), 0.1),
    "grey_marketer": (30, 5, (0.01, 0.04), (0.06, 0.2), (0.01, 0.05), (0.5, 0.8), 0.12),
}
# campaigns: days active of those from..to, strangers a time, ms between them, how a talk goes
Pair = tuple[int, int]
BLASTS: dict[str, tuple[Pair, Pair, Pair, float, dict[str, Any]]] = {
    "aged_stock": ((2, 5), (0, DAYS), (12, 40), 4 * MINUTE, {}),
    "handshake_ring": ((3, 4), (6, DAYS), (6, 22), 5 * MINUTE, {}),
    "grey_marketer": ((2, 4), (0, DAYS), (20, 60), 8 * SECOND, {"talk": (1, 3), "nudge": 0.0}),
    "parcel_fee": ((0, 0), (0, 0), (50, 140), 25 * SECOND, {}),
    "hi_mum": ((0, 0), (0, 0), (6, 28), 6 * MINUTE, {"talk": (3, 8), "nudge": 0.2}),
}
# trickles: first and last day, strangers a day, how a talk goes
DAILY: dict[str, tuple[int, int, int, int, dict[str, Any]]] = {
    "slow_drizzle": (0, DAYS, 1, 5, {"talk": (1, 4), "nudge": 0.03}),
    "silver_tongue": (0, DAYS, 2, 7, {"talk": (5, 16), "nudge": 0.3, "days": (0, 3)}),
    "sunday_romance": (0, 7, 0, 4, {"talk": (6, 20), "nudge": 0.3, "days": (2, 8)}),
    "like_tasks": (2, 8, 4, 11, {"talk": (4, 10), "days": (0, 2)}),
}


@dataclass(eq=False)
class Account:
    """A person's or an abuser's account with what it is reached by."""

    id: str
    kind: str  # persona or family
    land: str
    phone: str
    device: str
    client: str
    nets: list[str]
    reg: int = 0  # 0: before the window
    op: str = ""  # operator, if abusive
    open: float = 1.0  # multiplies the chance that it answers a stranger
    typing: bool = True
    receipts: bool = True
    shift: float = 0.0
    channel: str = "personal"
    business: str = ""
    attested: bool = True
    dormant: bool = False
    gone: int = NEVER
    passes: float = 0.95
    root: str = ""  # for a hijacker: the message that got it the account
    locked: tuple[int, int] = (NEVER, NEVER)
    friends: list[Account] = field(default_factory=list)
    acts: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Operator:
    """Who runs a set of abusive accounts, with rates and infrastructure of its own."""

    id: str
    family: str
    land: str
    rate: Rate
    passes: float
    dead: float
    nets: list[str]
    devices: list[str]
    client: str
    serial: int
    team: list[Account] = field(default_factory=list)


class World:
    """All accounts and the log."""

    def __init__(self, seed: int, coverage: str, scale: float) -> None:
        R.seed(seed)
        self.np = np.random.default_rng(seed)
        self.coverage, self.scale = coverage, scale
        self.kinds, self.unseen = KINDS[coverage], UNSEEN[coverage]
        self.rows: list[tuple[int, int, str]] = []
        self.truth: list[tuple[int, int, str, int, str]] = []
        self.n = 0
        self.blocks: dict[tuple[str, str], int] = {}
        self.met: set[tuple[str, str]] = set()
        self.people: list[Account] = []
        self.bad: list[Account] = []
        self.shadows: list[Account] = []
        self.by: dict[str, list[Account]] = {}
        self.home: dict[str, list[Account]] = {}
        self.names: set[str] = set()
        self.cgnat = {c: [[self.ip() for _ in range(6)] for _ in range(3)] for c in COUNTRIES}
        self.cum = list(np.cumsum(HOURS))

    # ---- chance and names

    def hex(self, n: int = 10) -> str:
        """A fresh opaque name."""
        while True:
            name = f"{R.getrandbits(4 * n):0{n}x}"
            if name not in self.names:
                self.names.add(name)
                return name

    def ip(self) -> str:
        """A public-looking address, one in eight IPv6."""
        if R.random() < 0.125:
            return f"2a{R.randrange(1, 16):02x}:{R.getrandbits(16):x}:{R.getrandbits(16):x}::1"
        return f"{R.choice((31, 41, 77, 89, 102, 131, 177, 187, 200, 212))}." + ".".join(
            str(R.randrange(1, 255)) for _ in range(3)
        )

    def logn(self, median: float, sigma: float) -> int:
        """A log-normal time in ms."""
        return int(R.lognormvariate(math.log(median), sigma))

    def some(self, count: float) -> int:
        """A count at this scale, at least 2."""
        return max(2, round(count * self.scale))

    def moment(self, a: Account, day: int) -> int:
        """An hour of that day at which the account is awake."""
        h = R.choices(range(24), cum_weights=self.cum)[0] + R.random()
        h = (h + a.shift - COUNTRIES[a.land][2]) % 24
        return START + day * DAY + int(h * HOUR)

    def wake(self, a: Account, t: int) -> int:
        """The time t, or the morning after if the account sleeps."""
        h = ((t - START) / HOUR + COUNTRIES[a.land][2] - a.shift) % 24
        if h < 6.5 and R.random() < 0.85:
            t += int((6.5 - h + R.expovariate(1.0)) * HOUR)
        return t

    # ---- the log

    def emit(
        self, t: int, what: str, a: Account, root: str = "", unwanted: bool = False, **fields: Any
    ) -> str:
        """Log an event unless nobody could see it; its id, or ""."""
        if what not in self.kinds or not START <= t < END or not a.reg <= t <= a.gone:
            return ""
        if a.locked[0] <= t < a.locked[1]:
            return ""
        self.n += 1
        eid = f"{self.n * 0x9E3779B97F % (1 << 44):011x}"
        if self.coverage == "gateway":
            if "group" in fields or (what == "account.registered" and self.n % 7):
                return ""
        elif self.coverage == "matrix" and what == "user.blocked" and self.n % 17:
            return ""
        row = {"id": eid, "ts": t, "type": what, "account": a.id}
        row.update((k, v) for k, v in fields.items() if k not in self.unseen and v is not None)
        self.rows.append((t, self.n, json.dumps(row, separators=(",", ":"))))
        if unwanted or root:
            self.truth.append((t, self.n, eid, int(unwanted), root))
        if what in ACTS:
            a.acts.append(t)
        return eid

    def send(
        self,
        a: Account,
        b: Account,
        t: int,
        root: str | None = None,
        *,
        live: bool = False,
        unwanted: bool = False,
        cause: str = "",
        **extra: Any,
    ) -> tuple[str, int]:
        """A direct message; its id and when it was seen (0: never).

        `root` is the first message of the chat, "" if this is it, None in a chat of old friends.
        """
        if a.id == b.id:
            return "", 0
        dead = b.reg > t or b.gone < t
        shut = self.blocks.get((b.id, a.id), NEVER) < t
        if a.typing and R.random() < 0.75:
            self.emit(t - R.randrange(900, 6500), "typing.started", a, root or cause, peer=b.id)
        extra.setdefault("size", 90 + int(R.lognormvariate(4.6, 0.7)))
        if "media" not in extra:
            x = R.random()
            extra["media"] = "none" if x < 0.85 else R.choice(("image", "audio", "sticker"))
            if extra["media"] != "none":
                extra["size"] = int(R.lognormvariate(10.8, 0.8))
        known = b in a.friends
        mid = self.emit(
            t,
            "message.sent",
            a,
            root or cause,
            unwanted and not dead and not shut,
            peer=b.id,
            in_contacts=known,
            **extra,
        )
        if not mid:
            return "", 0
        dep = "" if root is None else (root or mid)
        if dead or shut:
            reason = "not_registered" if dead else "blocked"
            wait = R.randrange(300, 5000)
            self.emit(t + wait, "message.undeliverable", a, dep, peer=b.id, reason=reason)
            return mid, 0
        if b.dormant and not live:
            if R.random() < 0.3:
                later = t + 3 * DAY
                self.emit(later, "message.undeliverable", a, dep, peer=b.id, reason="expired")
            return mid, 0
        quick = live or R.random() < 0.6
        got = t + (R.randrange(200, 3000) if quick else self.logn(25 * MINUTE, 1.3))
        self.emit(got, "message.delivered", b, dep, peer=a.id, message=mid)
        if not live and R.random() < (0.03 if root is None else 0.12):
            return mid, 0
        wait = R.randrange(800, 4000) if live else self.logn(4 * MINUTE, 1.5)
        seen = got + wait if live else self.wake(b, got + wait)
        if b.receipts:
            self.emit(seen, "message.read", b, dep, peer=a.id, message=mid)
        return mid, seen

    def converse(
        self, a: Account, b: Account, t: int, n: int, root: str | None, bad: Account | None = None
    ) -> int:
        """N messages in turns from t on; when the talk ended."""
        for _ in range(n):
            self.send(a, b, t, root, live=True, unwanted=a is bad)
            t += 8000 + self.logn(35 * SECOND, 1.0)
            if R.random() < 0.65:
                a, b = b, a
        return t

    def block(self, b: Account, a: Account, t: int, root: str) -> None:
        """B blocks a."""
        if self.emit(t, "user.blocked", b, root, peer=a.id) or self.coverage == "matrix":
            self.blocks[b.id, a.id] = min(t, self.blocks.get((b.id, a.id), NEVER))

    def judge(self, a: Account, b: Account, t: int, rate: Rate, mid: str, msg: bool = True) -> None:
        """B may report or block a at t."""
        report = R.random() < rate.report
        rest = max(0.0, rate.block - 0.6 * rate.report) / max(0.01, 1 - rate.report)
        block = R.random() < (0.6 if report else rest)
        t += R.randrange(3000, 9000) + self.logn(90 * SECOND, 1.4)
        if report:
            why = R.choices(("spam", "scam", "other", "impersonation"), (5, 3, 1, 1))[0]
            said = mid if msg and R.random() < 0.8 else None
            self.emit(t, "user.reported", b, mid, peer=a.id, reason=why, message=said)
        if block:
            self.block(b, a, t + R.randrange(200, 5000), mid)

    def approach(
        self,
        a: Account,
        b: Account,
        t: int,
        rate: Rate,
        *,
        bad: bool = False,
        cause: str = "",
        **extra: Any,
    ) -> tuple[str, int]:
        """A writes to b, a stranger; the first message's id and when the chat rests (0: unread)."""
        self.met.add((a.id, b.id))
        mid, seen = self.send(a, b, t, "", unwanted=bad, cause=cause, **extra)
        if not mid or not seen:
            if mid and R.random() < rate.nudge:
                self.send(a, b, self.wake(a, t + R.randrange(5, 40) * HOUR), mid, unwanted=bad)
            return mid, 0
        end, evil = seen, a if bad else None
        if R.random() < rate.answer * b.open * 1.15:
            end = self.wake(b, seen + 9000 + self.logn(7 * MINUTE, 1.5))
            self.send(b, a, end, mid, live=True)
            talk = R.randint(*rate.talk) - 1
            end = self.converse(a, b, end + 9000 + self.logn(50 * SECOND, 1.2), talk, mid, evil)
            for _ in range(R.randint(*rate.days)):
                end = self.wake(a, end + R.randrange(8, 30) * HOUR)
                end = self.converse(a, b, end, R.randint(*rate.talk), mid, evil)
            if R.random() < 0.12:
                self.emit(end + 20_000, "contact.added", b, mid, peer=a.id)
        elif R.random() < rate.nudge:
            later = self.wake(a, seen + R.randrange(3, 40) * HOUR)
            self.send(a, b, later, mid, unwanted=bad)
        self.judge(a, b, end, rate, mid)
        return mid, end

    def room(
        self,
        owner: Account,
        people: list[Account],
        t: int,
        leave: float,
        posts: int,
        rate: Rate | None = None,
        pace: int = 4000,
    ) -> None:
        """A new group: owner adds people, they talk or leave; with `rate` it is abuse."""
        bad = rate is not None
        group, first = "g" + self.hex(9), ""
        self.emit(t, "group.created", owner, group=group)
        stay: list[tuple[Account, str, int]] = []
        for p in people:
            t += R.randrange(pace // 4, pace * 2)
            if p.reg > t or p.gone < t or p is owner:
                continue
            unwanted = bad and not p.op  # shills know
            add = self.emit(
                t, "group.member_added", owner, unwanted=unwanted, group=group, peer=p.id
            )
            first = first or add
            if not add:
                return
            seen = self.wake(p, t + 5000 + self.logn(50 * MINUTE, 1.4))
            if p.op:
                continue
            if R.random() < leave:
                self.emit(seen, "group.left", p, add, group=group, peer=owner.id)
            else:
                stay.append((p, add, seen))
            if rate:
                self.judge(owner, p, seen, rate, add, msg=False)
        for _ in range(posts):
            t += self.logn(80 * MINUTE if not bad else 20 * MINUTE, 1.2)
            who, add, seen = R.choice(stay) if stay and not bad else (owner, first, t)
            if R.random() < 0.4 or seen > t:
                who, add = owner, first
            root = add if bad or who is not owner else ""
            self.post(who, group, self.wake(who, t), len(stay), root, bad)

    def post(
        self, a: Account, group: str, t: int, size: int, root: str = "", unwanted: bool = False
    ) -> None:
        """A message to a group."""
        if a.typing and R.random() < 0.6:
            self.emit(t - 2500, "typing.started", a, group=group)
        self.emit(
            t,
            "message.sent",
            a,
            root,
            unwanted,
            group=group,
            recipients=size,
            media="none",
            size=90 + int(R.lognormvariate(4.6, 0.7)),
        )

    # ---- accounts

    def number(self, land: str, serial: int | None = None) -> str:
        """A phone number, of a row if serial is given."""
        code, digits = COUNTRIES[land][:2]
        local = R.randrange(6 * 10 ** (digits - 1), 10**digits) if serial is None else serial
        return f"{code}{local % 10**digits}"

    def account(self, kind: str, land: str, **more: Any) -> Account:
        """A new account with a home network, a carrier and a phone."""
        made = {
            "phone": self.number(land),
            "device": "d" + self.hex(12),
            "client": R.choice(CLIENTS),
            "nets": [self.ip(), R.choice(R.choice(self.cgnat[land]))],
            "open": min(2.2, R.gammavariate(3, 1 / 3)),
            "typing": R.random() < 0.93,
            "receipts": R.random() < 0.84,
            "dormant": R.random() < 0.03,
            "attested": R.random() < 0.92,
        } | more
        if self.coverage == "matrix":  # a device there is a login, and clients are others
            made |= {"device": self.hex(10).upper(), "client": R.choice(MATRIX_CLIENTS)}
        return Account(self.handle(), kind, land, **made)

    def handle(self) -> str:
        """An account's id."""
        if self.coverage == "matrix":
            return f"@{self.hex()}:{R.choice(SERVERS)}"
        return "u" + self.hex()

    def populate(self) -> None:
        """Make the honest people, persona by persona, then their friendships."""
        lands, shares = list(COUNTRIES), [c[3] for c in COUNTRIES.values()]
        shared: dict[str, Any] = {}
        for kind, (count, fresh, _, _) in PERSONAS.items():
            self.by[kind] = []
            for i in range(self.some(count)):
                batch = BATCH.get(kind, 1)
                if i % batch == 0:
                    shared = {"land": R.choices(lands, shares)[0], "day": R.randrange(1, DAYS - 3)}
                    shared |= {"nets": [self.ip(), self.ip()], "device": "d" + self.hex(12)}
                    shared["serial"] = R.randrange(600_000_000, 900_000_000)
                more: dict[str, Any] = {}
                if batch > 1 and kind not in ("sim_promo", "fair_goer"):
                    more["nets"] = list(shared["nets"])
                if kind in ("one_tablet_family", "shared_handset"):
                    more["device"] = shared["device"]
                day = shared["day"] if batch > 4 else R.randrange(DAYS - 1)
                a = self.account(kind, shared["land"], **more)
                if R.random() < fresh:
                    a.reg = self.moment(a, day)
                noon = START + shared["day"] * DAY - int(COUNTRIES[a.land][2] * HOUR)
                if kind == "scout_camp":
                    a.reg = noon + 19 * HOUR + R.randrange(3 * HOUR)
                elif kind == "rollout_staff":
                    a.reg = noon + 8 * HOUR + int(R.expovariate(1 / (90 * MINUTE)))
                elif kind == "locked_out_owner":
                    a.reg = NEVER  # until there is somebody for it to replace
                elif kind == "sim_promo":
                    shared["serial"] += R.randrange(1, 4)
                    a.phone = self.number(a.land, shared["serial"])
                self.dress(a, kind)
                self.by[kind].append(a)
                self.people.append(a)
        for a in self.people:
            self.home.setdefault(a.land, []).append(a)
        for crowd in self.home.values():
            order = [a for a in crowd if a.kind != "locked_out_owner"]
            R.shuffle(order)
            for i, a in enumerate(order):
                mean = PERSONAS[a.kind][2] / 2
                for _ in range(min(40, int(mean * self.np.pareto(2.4) * 1.1 + R.random() * mean))):
                    j = i + int(R.gauss(0, 14)) if R.random() < 0.8 else R.randrange(len(order))
                    self.befriend(a, order[j % len(order)])

    def dress(self, a: Account, kind: str) -> None:
        """The traits of a persona."""
        if kind in ("help_desk", "clinic_reminder", "radio_station", "corner_shop"):
            a.business, a.dormant, a.open = "b" + self.hex(6), False, 1.0
            platform = kind in ("help_desk", "clinic_reminder")
            a.channel = "business_platform" if platform else "business_app"
            a.typing = a.typing and not platform
            a.client = "api/3" if platform and self.coverage != "matrix" else a.client
        if kind in ("bridge_bot", "screen_reader"):
            a.typing = a.dormant = False
        if kind == "bridge_bot":
            a.nets, a.receipts, a.passes = [self.ip()], False, 0.8
        if kind == "hermit":
            a.open = 0.0
        if kind == "pensioner":
            a.open, a.passes = a.open * 1.25, 0.9
        if kind == "night_shift":
            a.shift = R.uniform(9, 13)
        if kind == "border_crosser":
            a.nets = [self.ip()] + [
                R.choice(self.cgnat[R.choice(list(COUNTRIES))][0]) for _ in range(R.randint(1, 3))
            ]
        if kind in ("buried", "smeared", "locked_out_owner"):
            a.dormant = False

    def befriend(self, a: Account, b: Account) -> None:
        """Make two people friends."""
        if a is not b and b not in a.friends:
            a.friends.append(b)
            b.friends.append(a)

    def recruit(self) -> list[Operator]:
        """Make operators and their accounts (hijacked ones come later)."""
        ops: list[Operator] = []
        for family, (count, crews, ans, blk, rep, ok, dead) in FAMILIES.items():
            total = self.some(count)
            crews = max(1, min(crews, total // 2))
            for i in range(crews):
                rate = Rate(R.uniform(*ans), R.uniform(*blk) * 1.25, R.uniform(*rep) * 1.25)
                land = R.choice(list(COUNTRIES))
                op = Operator(
                    f"op{len(ops) + 1:02d}",
                    family,
                    land,
                    rate,
                    R.uniform(*ok),
                    dead,
                    [self.ip() for _ in range(R.randint(2, 25))],
                    ["d" + self.hex(12) for _ in range(R.randint(2, 9))],
                    R.choice(CLIENTS),
                    R.randrange(6 * 10**8, 9 * 10**8),
                )
                ops.append(op)
                size = total // crews + (i < total % crews)
                if family != "borrowed_face":
                    for _ in range(size):
                        self.hire(op)
                else:
                    op.serial = size
        return ops

    def hire(self, op: Operator) -> None:
        """One more account of an operator."""
        f = op.family
        real = f in ("phone_wall", "sunday_romance", "grey_marketer", "smear_squad")
        human = f in ("silver_tongue", "sunday_romance", "smear_squad", "like_tasks", "hi_mum")
        nets = R.sample(op.nets, min(len(op.nets), R.randint(1, 3)))
        if f in ("slow_drizzle", "phone_wall", "sunday_romance"):
            nets = [R.choice(nets), R.choice(R.choice(self.cgnat[op.land]))]
        more: dict[str, Any] = {
            "nets": nets,
            "op": op.id,
            "typing": human,
            "receipts": human,
            "dormant": False,
            "client": op.client,
            "attested": real or R.random() < 0.4,
            "passes": op.passes,
        }
        if R.random() < 0.55 and not human and f != "aged_stock":
            more["device"] = R.choice(op.devices)
        if f in ("parcel_fee", "phone_wall", "handshake_ring", "hi_mum") and R.random() < 0.7:
            op.serial += R.randrange(1, 40)
            more["phone"] = self.number(op.land, op.serial)
        a = self.account(f, op.land, **more)
        fresh = {"aged_stock": 0.0, "sunday_romance": 0.35, "parcel_fee": 1.0, "hi_mum": 0.95}
        late = {"parcel_fee": DAYS - 1, "pile_on": DAYS - 2, "hi_mum": DAYS - 2}.get(f, 5)
        if R.random() < fresh.get(f, 0.55):
            a.reg = self.moment(a, R.randrange(late))
        if f == "grey_marketer":
            a.channel, a.business = "business_app", "b" + self.hex(6)
        op.team.append(a)
        self.bad.append(a)

    # ---- abuse

    def prey(self, op: Operator, n: int) -> list[Account]:
        """People that an operator tries, some of whom do not exist."""
        out: list[Account] = []
        for _ in range(n):
            if R.random() < op.dead:
                out.append(Account(self.handle(), "", op.land, "", "", "", [], reg=NEVER))
            else:
                crowd = self.home.get(op.land) if R.random() < 0.65 else self.people
                out.append(R.choice(crowd or self.people))
        return out

    def blast(
        self, op: Operator, a: Account, t: int, n: int, gap: float, rate: Rate, **extra: Any
    ) -> None:
        """A writes to n strangers from t on, `gap` ms apart in the mean."""
        size = 150 + R.randrange(400)
        hits = round(n * (1 - op.dead))
        if op.dead and R.random() < 0.7:
            self.emit(t - 30_000, "contact.looked_up", a, count=n, hits=hits)
        for b in self.prey(op, n):
            if (a.id, b.id) not in self.met:
                look = {"size": size + R.randrange(17), "media": "none"} | extra
                self.approach(a, b, t, rate, bad=True, **look)
            t += 1500 + int(R.expovariate(1 / gap))

    def abuse(self, ops: list[Operator]) -> None:
        """Play every operator's plan: a trickle, campaigns, or what only its family does."""
        for op in sorted(ops, key=lambda op: op.family != "borrowed_face"):
            if op.family in DAILY:
                self.trickle(op, *DAILY[op.family])
            if op.family in BLASTS:
                self.campaign(op, *BLASTS[op.family])
            getattr(self, f"plan_{op.family}", lambda op: None)(op)

    def trickle(
        self, op: Operator, first: int, last: int, lo: int, hi: int, look: dict[str, Any]
    ) -> None:
        """Some strangers a day at waking hours, on each account, never more than `hi`."""
        hi = R.randint(hi - 2, hi + 1)
        for a in op.team:
            for day in range(first, last):
                for b in self.prey(op, R.randint(lo, hi)):
                    t = self.moment(a, day)
                    if t > a.reg and (a.id, b.id) not in self.met:
                        self.approach(a, b, t, op.rate._replace(**look), bad=True)

    def campaign(
        self, op: Operator, days: Pair, span: Pair, count: Pair, gap: float, look: dict[str, Any]
    ) -> None:
        """Blasts on some days in a row, or one soon after the registration."""
        rate, more, last = op.rate._replace(**look), {}, span[1]
        if op.family == "grey_marketer":
            more = {"broadcast": True, "template": "t" + op.id[2:], "category": "marketing"}
        for a in op.team:
            first = R.randint(span[0], max(span[0], last - 4))
            times = [
                max(self.moment(a, d), a.reg + 5 * MINUTE)
                for d in range(first, min(last, first + R.randint(*days)))
            ]
            for t in times or [a.reg + self.logn(40 * MINUTE, 1.1)]:
                self.blast(op, a, t, R.randint(*count), gap * R.uniform(0.4, 2), rate, **more)
            if op.family == "parcel_fee" and R.random() < 0.4:
                a.gone = a.reg + R.randrange(9, 40) * HOUR
                self.emit(a.gone, "account.deleted", a)

    def plan_like_tasks(self, op: Operator) -> None:
        """After the job offers, a room with shills."""
        for a in op.team if self.coverage != "gateway" else []:
            if R.random() < 0.4:
                marks = [b for b in self.prey(op, 9) if b.reg == 0] + R.sample(op.team, 2)
                self.room(a, marks, max(self.moment(a, 8), a.reg + HOUR), 0.45, 8, op.rate)

    def plan_phone_wall(self, op: Operator) -> None:
        """A wall of real phones that work in shifts on one list."""
        for day in range(DAYS):
            if R.random() < 0.2:
                continue
            hour = self.moment(op.team[0], day)
            for a in op.team:
                t = hour + R.randrange(3 * HOUR)
                if R.random() < 0.8 and t > a.reg:
                    self.blast(op, a, t, R.randint(4, 15), 4 * MINUTE, op.rate)

    def plan_room_stuffers(self, op: Operator) -> None:
        """Strangers added to rooms by the dozen; on a gateway a link is sent instead."""
        for a in op.team:
            for day in sorted(R.sample(range(DAYS - 1), R.randint(1, 3))):
                t, n = max(self.moment(a, day), a.reg + 20 * MINUTE), R.randint(20, 70)
                if self.coverage == "gateway":
                    self.blast(op, a, t, n // 2, MINUTE, op.rate)
                else:
                    marks = list(dict.fromkeys(self.prey(op, n)))
                    self.room(a, marks, t, R.uniform(0.3, 0.6), R.randint(2, 6), op.rate, 2500)

    def plan_pile_on(self, op: Operator) -> None:
        """Everybody of the team floods one person for some hours."""
        for victim in R.sample(self.by["buried"], min(4, len(self.by["buried"]))):
            start = self.moment(victim, R.randrange(2, DAYS - 1))
            for a in op.team:
                t, root = start + R.randrange(90 * MINUTE), ""
                if a.reg > t or R.random() < 0.1:
                    continue
                for _ in range(R.randint(8, 45)):
                    mid, seen = self.send(a, victim, t, root, unwanted=True, media="none")
                    root = root or mid
                    if seen and R.random() < 0.015:
                        self.judge(a, victim, max(seen, t), Rate(0, 0.7, 0.25), root)
                    t += 2000 + int(R.expovariate(1 / (50 * SECOND)))

    def plan_borrowed_face(self, op: Operator) -> None:
        """Hijacks in chains: the friends of one victim are the next."""
        left = op.serial
        while left > 0:
            pool = [
                a
                for a in self.by["neighbour"] + self.by["student"]
                if not a.op and not a.reg and len(a.friends) > 4 and not a.dormant
            ]
            queue = [(R.choice(pool), START + DAY + R.randrange(7 * DAY), "")]
            while queue and left > 0:
                a, t, root = queue.pop(0)
                if a.op or t > END - 12 * HOUR:
                    continue
                left -= 1
                queue += self.hijack(op, a, t, root)

    def hijack(self, op: Operator, a: Account, t: int, root: str) -> list[tuple[Account, int, str]]:
        """Take an account, write to its friends; who falls for it, when, by which message."""
        prey: list[tuple[Account, int, str]] = []
        stop = t + R.randrange(6, 44) * HOUR
        a.op, a.passes, a.kind = op.id, 0.0, op.family
        thief = replace(
            a,
            nets=[R.choice(op.nets)],
            device="d" + self.hex(12),
            client=op.client,
            root=root,
            acts=[],
            typing=R.random() < 0.4,
            receipts=False,
        )
        if self.coverage == "matrix":
            thief.device = self.hex(10).upper()
        a.locked = (t, stop)
        self.shadows.append(thief)
        when = t + R.randrange(2, 50) * MINUTE
        friends = R.sample(a.friends, min(len(a.friends), R.randint(6, 25)))
        rate = op.rate._replace(talk=(2, 6))
        for b in friends + self.prey(op, R.randint(0, 3)):
            when += R.randrange(15, 400) * SECOND
            if when >= stop:
                break
            mid, rest = self.approach(thief, b, when, rate, bad=True, cause=root, size=310)
            if not rest:
                continue
            if self.blocks.get((b.id, a.id), NEVER) < stop:
                self.emit(stop + R.randrange(60) * HOUR, "user.unblocked", b, mid, peer=a.id)
                self.blocks.pop((b.id, a.id))
            elif R.random() < 0.22 and b.kind in PERSONAS and not b.channel.startswith("business"):
                prey.append((b, rest + R.randrange(20, 240) * MINUTE, mid))
        spare = [o for o in self.by["locked_out_owner"] if not o.friends]
        if spare and t + 4 * HOUR < END - DAY:
            new = spare[0]
            new.reg, new.phone = t + R.randrange(2, 20) * HOUR, self.number(a.land)
            new.land, new.device, new.nets = a.land, a.device, a.nets
            for b in a.friends:
                self.befriend(new, b)
        return prey

    def plan_smear_squad(self, op: Operator) -> None:
        """Reports against people who did nothing; some bait an answer first."""
        for target in R.sample(self.by["smeared"], min(14, len(self.by["smeared"]))):
            start = self.moment(target, R.randrange(5, DAYS - 1))
            for a in R.sample(op.team, min(len(op.team), R.randint(4, 12))):
                t, mid = max(start + R.randrange(5 * HOUR), a.reg + HOUR), ""
                if R.random() < 0.3:
                    mid, _ = self.approach(a, target, t, Rate(0.5, 0.04, 0.01, (1, 2)), bad=True)
                    t += 2 * HOUR
                why = R.choice(("spam", "scam", "impersonation"))
                self.emit(t, "user.reported", a, mid, peer=target.id, reason=why)
                if R.random() < 0.6:
                    self.block(a, target, t + 4000, mid)
                a.acts.append(t)

    def plan_handshake_ring(self, op: Operator) -> None:
        """The accounts talk with one another for days before they write to strangers."""
        for i, a in enumerate(op.team):
            for step, day in ((s, d) for s in (1, 2, 5) for d in range(6)):
                b, t = op.team[(i + step) % len(op.team)], self.moment(a, day)
                if a is not b and t > max(a.reg, b.reg) and R.random() < 0.5:
                    self.chat(a, b, t, R.randint(2, 7), new=True)

    # ---- honest roles

    def pool(self, a: Account, what: str) -> list[Account]:
        """People of the personas named, "*" for all of the country."""
        out: list[Account] = []
        for word in what.split():
            out += self.home[a.land] if word == "*" else self.by[word]
        return out

    def reach(self, a: Account, b: Account, t: int, rate: Rate, **extra: Any) -> None:
        """An honest first message, if it is one and both can."""
        if a is b or b in a.friends or (a.id, b.id) in self.met or (b.id, a.id) in self.met:
            return
        if t > max(a.reg, b.reg) and b.gone > t:
            self.approach(a, b, t, rate, **extra)

    def roles(self) -> None:
        """What honest people do besides talking with friends."""
        for kind, (active, lo, hi, whom, rate) in OUTREACH.items():
            extra: dict[str, Any] = {}
            if kind == "clinic_reminder":
                extra = {"template": "visit", "category": "utility", "size": 260, "media": "none"}
            for a in self.by[kind]:
                crowd = self.pool(a, whom)
                for day in range(DAYS):
                    if R.random() < active:
                        for b in R.choices(crowd, k=R.randint(lo, hi)):
                            self.reach(a, b, self.moment(a, day), rate, **extra)
        for kind, (mean, answer, talk) in INBOUND.items():
            for a in self.by[kind]:
                crowd = self.home[a.land] if len(self.home[a.land]) > 60 else self.people
                busy = mean * R.lognormvariate(0, 0.5)
                for day in range(DAYS):
                    for b in R.choices(crowd, k=int(self.np.poisson(busy))):
                        odds = Rate(answer / max(0.2, a.open), 0.001, 0.0, talk, 0.05)
                        self.reach(b, a, self.moment(b, day), odds)
        self.shops()
        self.rooms()
        self.crowds()
        self.bursts()

    def shops(self) -> None:
        """Shops write to customers who agreed; bots to their subscribers."""
        for a in self.by["corner_shop"]:
            fans = R.sample(self.home[a.land], min(len(self.home[a.land]), R.randint(15, 70)))
            for b in fans:
                if R.random() < 0.25:
                    t = self.moment(b, R.randrange(3))
                    self.emit(t, "consent.granted", b, business=a.business, category="marketing")
            for day in R.sample(range(3, DAYS), R.randint(1, 2)):
                t = max(self.moment(a, day), a.reg + DAY)
                for b in [b for b in fans if b.reg < t]:
                    t += R.randrange(300, 3000)
                    mid, seen = self.send(
                        a,
                        b,
                        t,
                        "" if (a.id, b.id) not in self.met else None,
                        broadcast=True,
                        category="marketing",
                        template="news",
                        size=420,
                        media="image",
                    )
                    self.met.add((a.id, b.id))
                    if seen and R.random() < 0.01:
                        self.emit(seen + 9000, "consent.revoked", b, mid, business=a.business)
                        fans = [f for f in fans if f is not b]
                    elif seen:
                        self.judge(a, b, seen, Rate(0, 0.006, 0.0006), mid)
        for a in self.by["bridge_bot"]:
            for b in R.sample(self.people, min(len(self.people), R.randint(10, 50))):
                hour = R.randrange(24)
                for day in range(DAYS):
                    if b.reg < START + day * DAY:
                        self.send(
                            a,
                            b,
                            START + day * DAY + hour * HOUR + R.randrange(9000),
                            size=200,
                            media="none",
                        )

    def rooms(self) -> None:
        """Classes, clubs, and families' groups, new ones and old ones."""
        for a in self.by["class_teacher"]:
            parents = R.sample(self.by["class_parent"], min(24, len(self.by["class_parent"])))
            for _ in range(R.randint(1, 2)):
                t = max(self.moment(a, R.randrange(5)), a.reg + HOUR)
                self.room(a, parents, t, 0.02, R.randint(10, 35), pace=9000)
        for a in self.by["organiser"]:
            guests = R.sample(self.home[a.land], min(len(self.home[a.land]), R.randint(12, 50)))
            day = R.randrange(1, DAYS - 2)
            t = max(self.moment(a, day), a.reg + HOUR)
            for b in guests[:: R.randint(2, 5)]:
                t += R.randrange(20, 200) * SECOND
                self.reach(a, b, t, Rate(0.5, 0.005, 0.0005, (1, 4)))
            guests = list(dict.fromkeys(guests + a.friends))
            self.room(a, guests, t, 0.1, R.randint(8, 30), pace=7000)
        for a in self.by["commons_admin"]:
            group = "g" + self.hex(9)
            crowd = R.sample(self.by["commons_member"], min(60, len(self.by["commons_member"])))
            for b in crowd:
                t = self.moment(b, R.randrange(DAYS))
                if R.random() < 0.5:
                    self.emit(t, "group.joined", b, group=group)
                    if R.random() < 0.4:
                        later = t + R.randrange(1, 400) * MINUTE
                        self.reach(a, b, later, Rate(0.4, 0.004, 0.0005))
                self.post(b, group, t + R.randrange(5, 500) * MINUTE, len(crowd))
            for day in range(DAYS):
                self.post(a, group, self.moment(a, day), len(crowd))
        for a in R.sample(self.people, self.some(750)):
            if len(a.friends) > 2:
                group, day = "g" + self.hex(9), R.random() * 3
                for _ in range(int(R.lognormvariate(2.6, 0.9))):
                    who = R.choice([a, *a.friends])
                    t = self.moment(who, int(day + R.random() * (DAYS - day)))
                    self.post(who, group, t, len(a.friends))

    def crowds(self) -> None:
        """Camps, roll-outs and fairs: strangers in one place who write to one another."""
        for kind, size in (("scout_camp", 110), ("rollout_staff", 55), ("fair_goer", 75)):
            everyone = self.by[kind]
            for i in range(0, len(everyone), size):
                crowd = everyone[i : i + size]
                if len(crowd) < 2:
                    continue
                day = max((a.reg - START) // DAY for a in crowd)
                day, venue = day if day > 0 else R.randrange(2, DAYS - 3), self.ip()
                for a in crowd:
                    if kind == "fair_goer":
                        a.nets = [*a.nets, venue]
                    many = R.randint(4, 17) if kind != "rollout_staff" else R.randint(2, 12)
                    answer = {"scout_camp": 0.62, "fair_goer": 0.55}.get(kind, 0.7)
                    for b in R.sample(crowd, min(many, len(crowd))):
                        t = max(a.reg, b.reg) + self.logn(70 * MINUTE, 1.3)
                        if kind == "fair_goer":
                            t = t if a.reg or b.reg else 0
                            t = max(t, self.moment(a, day + R.randrange(2)))
                        self.reach(a, b, self.wake(a, t), Rate(answer, 0.004, 0.0004, (2, 8)))
                if kind != "fair_goer":
                    boss = min(crowd, key=lambda a: a.reg)
                    last = max(a.reg for a in crowd)
                    self.room(boss, crowd, last + 20 * MINUTE, 0.03, 40, pace=3000)

    def bursts(self) -> None:
        """One day of much writing: new numbers, lost pets, volunteers with a list."""
        for a in self.by["fresh_number"] + self.by["locked_out_owner"]:
            crowd = a.friends + R.sample(self.home[a.land], min(30, len(self.home[a.land])))
            t = a.reg + self.logn(40 * MINUTE, 0.9)
            for b in list(dict.fromkeys(crowd))[: R.randint(10, 45)]:
                t += 2500 + int(R.expovariate(1 / (40 * SECOND)))
                if b is not a and b.reg < t and a.reg:
                    rate = Rate(0.5, 0.006, 0.0008, (1, 5), 0.02)
                    mid, _ = self.approach(a, b, t, rate, size=205, media="none")
                    if mid and R.random() < 0.4:
                        self.emit(t + 6 * HOUR, "contact.added", b, mid, peer=a.id)
        for kind, lo, hi, rate in (
            ("pet_searcher", 25, 80, Rate(0.5, 0.006, 0.001, (1, 4))),
            ("parish_caller", 40, 110, Rate(0.24, 0.009, 0.001, (1, 3))),
        ):
            for a in self.by[kind]:
                near = self.home[a.land]
                t = self.moment(a, R.randrange(2, DAYS - 1))
                for b in R.sample(near, min(len(near), R.randint(lo, hi))):
                    t += 4000 + int(R.expovariate(1 / (80 * SECOND)))
                    self.reach(a, b, t, rate, size=380)

    def chat(self, a: Account, b: Account, t: int, n: int, new: bool = False) -> None:
        """A talk of people who know each other (`new`: of accounts that warm each other up)."""
        _, seen = self.send(a, b, t)
        if seen and (new or R.random() < 0.85):
            self.converse(b, a, max(seen, t) + 6000 + self.logn(3 * MINUTE, 1.3), n - 1, None)

    def friendships(self) -> None:
        """Everyday chats of friends over the whole window."""
        for a in self.people:
            per = PERSONAS.get(a.kind, (0, 0, 0, 3.0))[3]
            for b in a.friends:
                if a.id < b.id:
                    continue
                heat = per * R.lognormvariate(-0.35, 0.9)
                for _ in range(int(self.np.poisson(heat))):
                    one, two = (a, b) if R.random() < 0.5 else (b, a)
                    t = self.moment(one, R.randrange(DAYS))
                    if t > max(a.reg, b.reg) + 10 * MINUTE:
                        self.chat(one, two, t, R.randint(1, 6))
                if R.random() < 0.004:
                    self.emit(self.moment(a, R.randrange(DAYS)), "contact.removed", a, peer=b.id)

    # ---- the rest

    def registrations(self) -> None:
        """Registration of those who came in the window, with their address books."""
        matrix = self.coverage == "matrix"
        for a in self.people + self.bad:
            bad = bool(a.op)
            if not a.reg:
                if not bad and R.random() < 0.2:  # an address book is synchronised now and then
                    t = self.moment(a, R.randrange(DAYS))
                    count = int(R.lognormvariate(2.5, 1.4)) + 1
                    hits = int(count * R.uniform(0.2, 0.9))
                    self.emit(t, "contact.looked_up", a, count=count, hits=hits)
                continue
            kinds = ("email", "none") if matrix else ("sms", "sms", "sms", "sms", "voice", "flash")
            self.emit(
                a.reg,
                "account.registered",
                a,
                phone=a.phone,
                ip=a.nets[0],
                device=a.device,
                client=a.client,
                attested=a.attested,
                verification=R.choice(kinds),
                attempts=1 + int(R.expovariate(1.1 if bad else 2)),
                channel=a.channel,
                business=a.business or None,
            )
            if R.random() < 0.06:
                how = "passed" if R.random() < a.passes else "failed"
                self.emit(a.reg + 20_000, f"challenge.{how}", a, kind=R.choice(("captcha", "code")))
            if not bad and R.random() < 0.8:
                count = int(R.lognormvariate(4.7, 0.8)) + 3
                hits = int(count * R.uniform(0.25, 0.7))
                self.emit(a.reg + 40_000, "contact.looked_up", a, count=count, hits=hits)
                for b in a.friends[:25]:
                    if R.random() < 0.6:
                        wait = R.randrange(60, 7200) * SECOND
                        self.emit(a.reg + wait, "contact.added", a, peer=b.id)

    def sessions(self) -> None:
        """A session before every run of acts, from the account's networks and devices."""
        for a in self.people + self.bad + self.shadows:
            spare = "d" + self.hex(12) if R.random() < 0.12 and not a.op else ""
            last = 0
            for t in sorted(a.acts):
                if t - last > 4 * HOUR and a.reg <= t <= a.gone:
                    link = bool(spare) and R.random() < 0.3
                    when = max(t - R.randrange(7000, 30_000), a.reg + 1, START)
                    self.emit(
                        when,
                        "session.started",
                        a,
                        a.root,
                        ip=R.choice(a.nets),
                        linked=link,
                        device=spare if link else a.device,
                        client="desktop/8" if link else a.client,
                    )
                last = t

    def write(self, out: Path) -> None:
        """The four files."""
        out.mkdir(parents=True, exist_ok=True)
        self.rows.sort(key=lambda row: row[:2])
        self.truth.sort(key=lambda row: row[:2])
        with (out / "events.jsonl").open("w") as f:
            f.writelines(line + "\n" for _, _, line in self.rows)
        everyone = sorted(self.people + self.bad, key=lambda a: a.id)
        everyone = [a for a in everyone if a.reg < NEVER]
        labels = [(a.id, "abusive" if a.op else "benign", a.kind, a.op) for a in everyone]
        passes: list[tuple[str, int, int]] = []
        for a in everyone:
            ok = R.random() < a.passes
            delay = self.logn(25 if a.op else 240, 1.0 if a.op else 1.7)
            passes.append((a.id, int(ok), min(delay, 172_800) if ok else 0))
        for name, head, rows in (
            ("labels", "account,label,family,operator", labels),
            ("truth", "id,unwanted,because", [row[2:] for row in self.truth]),
            ("passes", "account,passes,delay_s", passes),
        ):
            with (out / f"{name}.csv").open("w", newline="") as f:
                csv.writer(f, lineterminator="\n").writerows([head.split(","), *rows])


def main() -> None:
    """Write a world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", choices=sorted(KINDS), default="full")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    gc.disable()  # nothing here is garbage
    world = World(args.seed, args.coverage, args.scale)
    world.populate()
    world.abuse(world.recruit())
    world.roles()
    world.friendships()
    world.registrations()
    world.sessions()
    world.write(args.out)


if __name__ == "__main__":
    main()
