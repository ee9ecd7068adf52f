"""Cedar: a city messenger with a market, a dating scene, community rooms and a diaspora.

    python cedar.py OUT --seed 1 --coverage full|gateway|matrix [--scale 1.0]

Honest and abusive senders share one mechanism, a first message to somebody who does not know the
sender (`World.approach`), and differ in the numbers of their plan (`Cold`), in whom they write to,
and in how recipients take it. Many honest plans are louder than many abusive ones: couriers,
clerks and flat hunters are hardly answered, campuses and offices arrive in one evening behind one
address, desktop people paste. The abusers copy exactly these people.

Writes events.jsonl, labels.csv, truth.csv and passes.csv (see SPEC.md). Everything follows from
the seed. A `because` always names the first message or the group add that opened the chat; chats
between old friends have no such event inside the window and get no row.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

DAYS = 12
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = 1_772_409_600_000  # Monday 2026-03-02, 00:00 UTC
END = START + DAYS * DAY
NEVER = END + 1000 * DAY

COMMON = {"account.registered", "message.sent", "user.reported", "user.blocked", "account.deleted"}
GROUPS = {"group.created", "group.member_added", "group.joined", "group.left"}
KEPT = {
    "full": COMMON
    | GROUPS
    | {"session.started", "typing.started", "message.delivered", "message.read"}
    | {"message.undeliverable", "contact.looked_up", "contact.added", "contact.removed"}
    | {"user.unblocked", "consent.granted", "consent.revoked"},
    "gateway": COMMON | {"message.delivered", "message.undeliverable", "consent.granted"},
    "matrix": COMMON | GROUPS | {"session.started"},
}
BLOCKS_KNOWN = {"full": 1.0, "gateway": 0.4, "matrix": 0.05}  # "STOP" texts; ignore lists


@dataclass(slots=True)
class Cold:
    """How somebody writes to people who do not know them, and what usually comes back."""

    per_day: tuple[float, float] = (1, 3)  # bounds of an account's own daily mean
    reply: float = 0.4  # of the recipients who open it
    block: float = 0.005
    report: float = 0.0008
    workdays: float = 0.7  # share of days on which it happens
    hours: float = 9.0  # the day's messages spread over this long
    begin: float = 1.5  # hours after getting up
    typing: float = 0.7
    follow: float = 0.1  # a second message although there was no answer
    turns: int = 4  # mean length of a chat that starts
    keep: float = 0.8
    pace: float = 6.0  # minutes between turns
    size: float = 90.0
    spread: float = 0.5  # 0.05: a pasted template
    media: float = 0.06
    adds: float = 0.0  # puts the recipient into the own address book first
    miss: float = 0.02  # number is not registered
    pool: str = "any"
    wanted: bool = False  # those who answer want the talk until the pitch


HONEST = {  # persona: (accounts at scale 1, friend chats begun a day, plan of first messages)
    "ordinary": (2400, 0.36, Cold((0.05, 0.3), 0.6, workdays=1)),
    "family": (1000, 0.42, Cold((0.02, 0.2), 0.6, workdays=1)),
    "student": (700, 0.65, Cold((0.1, 0.6), 0.6, workdays=1)),
    "elder": (500, 0.18, Cold((0.01, 0.1), 0.55, workdays=1)),
    "diaspora": (450, 0.45, Cold((0.1, 0.5), 0.55, 0.006, workdays=1, adds=0.4)),
    "silent": (350, 0.15, None),
    "paste_desk": (250, 0.4, Cold((0.3, 3), 0.55, 0.004, typing=0.05, size=240, adds=0.3)),
    "no_typing": (130, 0.35, Cold((0.1, 0.6), 0.55, workdays=1, typing=0)),
    "carrier_nat": (350, 0.35, Cold((0.05, 0.4), 0.55, workdays=1)),
    "shared_phone": (160, 0.3, Cold((0.2, 1.2), 0.45, 0.006, workdays=0.8, adds=0.2)),
    "night_nurse": (120, 0.3, Cold((2, 7), 0.3, 0.003, workdays=0.55, typing=0.4, size=120)),
    "courier": (
        110,
        0.25,
        Cold(
            (10, 36),
            0.24,
            0.004,
            0.0005,
            hours=8,
            typing=0.25,
            follow=0.25,
            turns=2,
            size=48,
            spread=0.08,
            miss=0.03,
        ),
    ),
    "seller": (170, 0.3, Cold((0.5, 3), 0.5, 0.012, 0.002, typing=0.6, follow=0.3, pool="buyer")),
    "buyer": (350, 0.3, Cold((0.3, 2.5), 0.55, 0.008, 0.001, workdays=0.8, pool="seller")),
    "jobseeker": (
        140,
        0.25,
        Cold((2, 8), 0.2, 0.005, typing=0.3, size=420, spread=0.1, follow=0.25, media=0.4, turns=5),
    ),
    "flat_hunter": (
        90,
        0.3,
        Cold(
            (4, 18),
            0.15,
            0.006,
            0.001,
            typing=0.15,
            size=360,
            spread=0.07,
            hours=3,
            turns=4,
            follow=0.15,
        ),
    ),
    "recruiter": (
        45,
        0.2,
        Cold((6, 22), 0.2, 0.009, 0.003, typing=0.2, size=380, spread=0.12, follow=0.4, turns=5),
    ),
    "clerk": (
        45,
        0.1,
        Cold(
            (15, 60),
            0.1,
            0.004,
            0.0006,
            hours=5,
            typing=0.02,
            size=150,
            spread=0.04,
            follow=0.05,
            turns=2,
            miss=0.04,
            adds=0.5,
        ),
    ),
    "support_desk": (20, 0.0, None),
    "small_shop": (70, 0.25, Cold((0.5, 4), 0.4, 0.008, 0.001, typing=0.5, size=110)),
    "organiser": (50, 0.4, Cold((1, 8), 0.5, 0.006, 0.001, size=160, spread=0.2, workdays=0.5)),
    "teacher": (50, 0.3, Cold((0.3, 2), 0.7, 0.002, size=150, adds=0.8)),
    "room_admin": (
        24,
        0.4,
        Cold((3, 14), 0.18, 0.006, 0.001, size=210, spread=0.04, typing=0.05, pool="room"),
    ),
    "radio": (4, 0.1, None),
    "new_number": (130, 0.4, Cold((0.05, 0.3), 0.6, workdays=1)),
    "dater": (
        320,
        0.3,
        Cold(
            (1, 7),
            0.28,
            0.022,
            0.004,
            workdays=0.75,
            begin=8,
            hours=6,
            turns=9,
            keep=0.85,
            pool="dater",
        ),
    ),
    "student_abroad": (140, 0.55, Cold((0.3, 1.5), 0.5, workdays=1, adds=0.3)),
    "campus": (320, 0.4, Cold((0.4, 2), 0.6, workdays=1, adds=0.3, pool="campus")),
    "rollout": (
        180,
        0.2,
        Cold((0.5, 4), 0.6, 0.001, 0, typing=0.3, hours=7, size=200, pool="rollout"),
    ),
    "sim_promo": (220, 0.4, Cold((0.1, 0.6), 0.55, workdays=1, adds=0.5)),
    "conference": (160, 0.3, Cold((0.05, 0.3), 0.6, workdays=1)),
    "volunteer": (60, 0.35, Cold((0.05, 0.3), 0.6, workdays=1)),
    "false_report_victim": (9, 0.5, Cold((1, 4), 0.5, 0.01, 0.002)),
    "flood_victim": (8, 0.5, Cold((0.3, 2), 0.5)),
    "hijack_owner": (25, 0.3, Cold((0.02, 0.2), 0.6, workdays=1)),
}
ARRIVE = {
    "new_number": 1.0,
    "student_abroad": 0.9,
    "campus": 0.95,
    "rollout": 0.92,
    "sim_promo": 0.9,
    "hijack_owner": 1.0,
    "conference": 0.3,
    "diaspora": 0.1,
    "small_shop": 0.15,
    "support_desk": 0.15,
    "dater": 0.12,
    "courier": 0.12,
}


@dataclass(slots=True)
class Family:
    """A family of abuse: its operators, its means, and its plan."""

    ops: int
    size: int  # accounts an operator at scale 1
    fresh: float  # share registered inside the window
    net: str  # office, vpn, dc, mobile, home
    device: str  # own, farm (some accounts a phone), emu
    passes: float
    life: float  # days from the first message to the last
    warm: float  # days of chat among each other before it
    cold: Cold
    reason: str = "spam"


ABUSE = {
    "parcel_oneshot": Family(
        4,
        40,
        1.0,
        "dc",
        "emu",
        0.12,
        0.2,
        0,
        Cold((20, 85), 0.03, 0.1, 0.05, 1, 2, 2, 0.0, 0.0, 1, 0.5, size=140, spread=0.05, miss=0.2),
    ),
    "aged_bought": Family(
        4,
        15,
        0.0,
        "vpn",
        "emu",
        0.35,
        10,
        0,
        Cold(
            (5, 14), 0.06, 0.12, 0.04, 0.85, 8, 2, 0.1, 0.3, 3, 0.6, size=300, spread=0.1, miss=0.06
        ),
    ),
    "romance_slow": Family(
        5,
        8,
        0.45,
        "mobile",
        "own",
        0.7,
        11,
        0,
        Cold(
            (1.5, 5),
            0.2,
            0.03,
            0.008,
            0.9,
            7,
            7,
            0.85,
            0.2,
            8,
            0.85,
            9,
            80,
            0.5,
            0.12,
            pool="lonely",
            wanted=True,
        ),
        "scam",
    ),
    "task_handover": Family(
        4,
        14,
        0.6,
        "vpn",
        "emu",
        0.4,
        8,
        1,
        Cold(
            (8, 24),
            0.11,
            0.09,
            0.03,
            0.85,
            8,
            2,
            0.25,
            0.3,
            4,
            0.7,
            size=350,
            spread=0.12,
            wanted=True,
        ),
        "scam",
    ),
    "ai_pacer": Family(
        3,
        16,
        0.5,
        "dc",
        "emu",
        0.3,
        10,
        1,
        Cold((6, 18), 0.15, 0.06, 0.02, 1, 13, 0.5, 1.0, 0.1, 9, 0.85, 4, 70, 0.4, wanted=True),
        "scam",
    ),
    "click_farm": Family(
        3,
        28,
        0.4,
        "office",
        "farm",
        0.88,
        10,
        2,
        Cold(
            (5, 15),
            0.05,
            0.09,
            0.035,
            0.9,
            9,
            1,
            0.8,
            0.15,
            2,
            0.6,
            size=170,
            spread=0.15,
            media=0.3,
        ),
    ),
    "group_adder": Family(
        4,
        12,
        0.5,
        "vpn",
        "emu",
        0.3,
        6,
        0,
        Cold((20, 70), 0.02, 0.09, 0.05, 0.6, 2, 2, 0.1, 0, 1, 0.5, size=260, spread=0.06, miss=0),
    ),
    "flooder": Family(6, 7, 0.7, "mobile", "own", 0.45, 1, 0, Cold((60, 200), 0, 0.7, 0.25)),
    "hijack_chain": Family(
        2,
        22,
        0.0,
        "vpn",
        "emu",
        0.0,
        1,
        0,
        Cold((20, 60), 0.17, 0.06, 0.035, 1, 1, 0, 0.05, 0.1, 2, 0.4, size=130, spread=0.06),
        "scam",
    ),
    "false_reporter": Family(3, 14, 0.3, "mobile", "own", 0.55, 5, 2, Cold((0.1, 0.5), 0.4)),
    "undercap": Family(
        3,
        22,
        0.2,
        "home",
        "own",
        0.65,
        11,
        1,
        Cold(
            (2, 4.4),
            0.08,
            0.05,
            0.015,
            0.95,
            11,
            1,
            0.8,
            0.05,
            3,
            0.6,
            size=110,
            spread=0.35,
            adds=0.5,
        ),
    ),
    "warm_ring": Family(
        3,
        18,
        0.9,
        "office",
        "farm",
        0.5,
        4,
        5.5,
        Cold((18, 60), 0.05, 0.13, 0.05, 1, 6, 2, 0.3, 0.1, 2, 0.5, size=180, spread=0.1),
    ),
    "courier_mimic": Family(
        3,
        12,
        0.4,
        "mobile",
        "own",
        0.4,
        9,
        0,
        Cold(
            (10, 32),
            0.14,
            0.05,
            0.02,
            0.75,
            8,
            2,
            0.25,
            0.2,
            2,
            0.5,
            size=52,
            spread=0.12,
            miss=0.04,
        ),
        "scam",
    ),
    "cohort_mimic": Family(
        2,
        25,
        1.0,
        "office",
        "own",
        0.5,
        5,
        3.5,
        Cold((6, 18), 0.08, 0.08, 0.03, 0.9, 7, 4, 0.6, 0.1, 3, 0.6, size=120, spread=0.25),
    ),
    "market_ghost": Family(
        4,
        8,
        0.4,
        "mobile",
        "own",
        0.6,
        11,
        0,
        Cold((1, 5), 0.9, 0.2, 0.1, 1, 9, 2, 0.6, wanted=True),
        "scam",
    ),
    "room_lurker": Family(
        3,
        8,
        0.5,
        "vpn",
        "own",
        0.35,
        8,
        0,
        Cold(
            (6, 22),
            0.07,
            0.1,
            0.05,
            0.8,
            8,
            2,
            0.2,
            0.1,
            2,
            0.5,
            size=190,
            spread=0.1,
            miss=0,
            pool="room",
        ),
    ),
}


@dataclass(slots=True, eq=False)
class Account:
    """A person, a desk, or a puppet."""

    n: int
    id: str
    persona: str
    bad: bool = False
    operator: str = ""
    ips: list[str] = field(default_factory=list)
    device: str = ""
    client: str = ""
    attested: bool = True
    phone: str = ""
    born: int = 0
    dead: int = NEVER  # never online again
    lost: int = NEVER  # taken over by a hijacker, the owner is locked out
    wake: float = 6.0  # UTC hour
    span: float = 16.0
    typing: float = 0.8
    receipts: bool = True
    desktop: bool = False
    answers: float = 1.0  # towards strangers
    wary: float = 1.0
    opens: float = 0.85
    sessions: float = 1.6
    chats: float = 0.3
    channel: str = "personal"
    friends: list[Account] = field(default_factory=list)
    book: set[int] = field(default_factory=set)
    mult: tuple[float, float, float] = (1.0, 1.0, 1.0)  # an operator's reply, block, report


class World:
    """Builds the population, plays the days, and writes the files."""

    def __init__(self, seed: int, coverage: str, scale: float) -> None:
        """An empty world."""
        self.r, self.np = random.Random(seed), np.random.default_rng(seed)
        self.coverage, self.scale, self.kept = coverage, scale, KEPT[coverage]
        self.events: list[tuple[int, int, str]] = []
        self.truth: list[tuple[str, int, str]] = []
        self.n, self.groups, self.bad_reason = 0, 0, "spam"
        self.people: list[Account] = []
        self.pools: dict[str, list[Account]] = {}
        self.rooms: list[tuple[str, list[Account]]] = []
        self.met: set[tuple[int, int]] = set()
        self.blocked: dict[tuple[int, int], tuple[int, int]] = {}
        self.ids: set[str] = set()
        carriers = [(f"{self.r.randint(77, 95)}.{self.r.randint(1, 250)}", i) for i in range(4)]
        self.carrier = [f"{p}.{i}.{k}" for p, i in carriers for k in range(1, 13)]
        self.vpn = [f"185.{self.r.randint(1, 250)}.7.{k}" for k in range(2, 40)]

    # -- small helpers --------------------------------------------------------------------------

    def expo(self, mean: float) -> int:
        """An exponential time."""
        return int(self.r.expovariate(1 / mean)) + 1

    def logn(self, median: float, sigma: float = 1.2) -> int:
        """A log-normal time."""
        return int(self.r.lognormvariate(math.log(median), sigma)) + 1

    def poisson(self, mean: float) -> int:
        """A Poisson count."""
        return int(self.np.poisson(mean))

    def some(self, count: float, least: int = 1) -> int:
        """A count of scale 1 at this scale."""
        return max(least, round(count * self.scale))

    def awake(self, a: Account, ts: int) -> int:
        """`ts`, or soon after the account gets up next."""
        h = (ts / HOUR - a.wake) % 24
        return ts if h < a.span else ts + int((24 - h) * HOUR) + self.expo(40 * MINUTE)

    def moment(self, a: Account, day: int) -> int:
        """Some time of the account's waking day."""
        return START + int(day * DAY + (a.wake + self.r.betavariate(1.6, 1.3) * a.span) * HOUR)

    def address(self, kind: str) -> str:
        """A network address of a kind; `dc` and `home` are new ones."""
        r = self.r
        if kind == "mobile":
            return r.choice(self.carrier)
        if kind == "vpn":
            return r.choice(self.vpn)
        if kind == "dc":
            return f"45.{r.randint(130, 150)}.{r.randint(1, 250)}.{r.randint(2, 250)}"
        if r.random() < 0.12:
            return f"2a02:{r.randint(4096, 65535):x}:{r.randint(256, 65535):x}::{r.randint(1, 99)}"
        return f"{r.randint(78, 94)}.{r.randint(1, 250)}.{r.randint(1, 250)}.{r.randint(2, 250)}"

    def number(self, prefix: str = "") -> str:
        """A phone number, by default mostly of the city's country."""
        prefix = prefix or self.r.choices(("+48", "+380", "+63", "+234"), (80, 9, 6, 5))[0]
        return prefix + str(self.r.randint(500_000_000, 799_999_999))

    # -- events ---------------------------------------------------------------------------------

    def emit(
        self, ts: int, kind: str, a: Account, more: str = "", root: str = "", bad: bool = False
    ) -> str:
        """Store an event if the coverage has it and the time is inside; its id, or nothing."""
        if kind not in self.kept or not START <= ts < END or ts < a.born or ts >= a.dead:
            return ""
        self.n += 1
        eid = f"{(self.n * 2654435761) & 0xFFFFFFFF:08x}"
        line = f'{{"ts":{ts},"id":"{eid}","type":"{kind}","account":"{a.id}"{more}}}\n'
        self.events.append((ts, self.n, line))
        if root or bad:
            self.truth.append((eid, int(bad), root))
        return eid

    def session(self, a: Account, ts: int, linked: bool = False) -> None:
        """The account connects, perhaps from its companion device."""
        device = a.device if self.coverage == "full" else f"{a.id[-7:]}{a.device[-3:]}"
        device += "-d" if linked else ""
        client = "desktop-3.8" if linked else a.client
        flag = f',"linked":{"true" if linked else "false"}' if self.coverage == "full" else ""
        ip = a.ips[0] if linked else self.r.choice(a.ips)
        self.emit(
            ts, "session.started", a, f',"ip":"{ip}","device":"{device}","client":"{client}"{flag}'
        )

    def register(self, a: Account, ts: int, ip: str = "") -> None:
        """A new account; most read their address book at once."""
        r, a.born = self.r, ts
        tries = 1 + (r.random() < 0.12) + (r.random() < (0.3 if a.bad else 0.04))
        way = r.choices(("sms", "voice", "flash"), (80, 8, 12))[0]
        channel = f',"channel":"{a.channel}"'
        if a.channel == "business_platform":
            channel += f',"business":"{a.id}-b"'
        if self.coverage == "full":
            more = (
                f',"phone":"{a.phone}","ip":"{ip or a.ips[0]}","device":"{a.device}",'
                f'"client":"{a.client}","attested":{str(a.attested).lower()},'
                f'"verification":"{way}","attempts":{tries}{channel}'
            )
        elif self.coverage == "matrix":
            way = "email" if r.random() < (0.6 if a.bad else 0.7) else "none"
            more = f',"ip":"{ip or a.ips[0]}","client":"{a.client}","verification":"{way}"'
        elif r.random() < 0.1:
            more = f',"phone":"{a.phone}"{channel}'
        else:
            return
        self.emit(ts, "account.registered", a, more)
        self.session(a, ts + self.expo(20 * SECOND))
        if r.random() < (0.35 if a.bad else 0.8):
            count = self.logn(130, 0.7)
            hits = int(count * r.uniform(0.1, 0.7 if not a.bad else 0.4))
            self.emit(
                ts + self.expo(MINUTE) + 9 * SECOND,
                "contact.looked_up",
                a,
                f',"count":{count},"hits":{hits}',
            )

    def say(
        self,
        a: Account,
        b: Account,
        ts: int,
        root: str = "",
        bad: bool = False,
        cold: bool = False,
        size: float = 0,
        typed: float | None = None,
        media: float = 0.08,
        more: str = "",
        pace: float = 5.0,
    ) -> tuple[str, int, int | None]:
        """Write one message from `ts` on: its id, when it left, when the recipient saw it."""
        r = self.r
        size = int(min(6000, max(20, size or r.lognormvariate(4.5, 0.7))))
        ts = max(ts, a.born + 40 * SECOND)
        if r.random() < (a.typing if typed is None else typed):
            self.emit(ts, "typing.started", a, f',"peer":"{b.id}"', root)
            ts += int(min(80, 0.8 + size * r.uniform(0.03, 0.14)) * SECOND)
        more = f',"peer":"{b.id}","size":{size}{more}'
        if self.coverage != "gateway":
            what = r.choice(("image", "image", "audio", "sticker", "video", "document"))
            more += f',"media":"{what if r.random() < media else "none"}"'
        if self.coverage == "full":
            more += f',"in_contacts":{"true" if a.n in b.book else "false"}'
        eid = self.emit(ts, "message.sent", a, more, root, bad)
        root = root or (eid if cold else "")
        if not eid or b.born > ts or b.dead <= ts:
            return eid, ts, None
        since, until = self.blocked.get((b.n, a.n), (NEVER, NEVER))
        if since <= ts < until:
            self.emit(
                ts + 200 + self.expo(600),
                "message.undeliverable",
                a,
                f',"peer":"{b.id}","reason":"blocked"',
                root,
            )
            return eid, ts, None
        quick = r.random() < 0.88
        at = ts + 250 + self.expo(1500) if quick else self.awake(b, ts + self.expo(1.5 * HOUR))
        self.emit(at, "message.delivered", b, f',"peer":"{a.id}","message":"{eid}"', root)
        if at >= b.lost or (cold and r.random() > b.opens):
            return eid, ts, None
        seen = self.awake(b, at + self.logn(pace * MINUTE * (5 if cold else 0.5)))
        if b.receipts and seen < b.lost:
            self.emit(seen, "message.read", b, f',"peer":"{a.id}","message":"{eid}"', root)
        return eid, ts, seen

    def chat(
        self,
        a: Account,
        b: Account,
        ts: int,
        turns: int,
        keep: float = 0.85,
        root: str = "",
        bad: int = -1,
        pace: float = 3.0,
        typed: tuple[float | None, float | None] = (None, None),
    ) -> int:
        """Talk in turns, `a` first, as long as each goes on; `bad`: whose messages are unwanted."""
        who, other, last = a, b, ts
        for turn in range(turns):
            seen = None
            if ts >= who.lost or ts >= END:
                break
            for _ in range(1 + (self.r.random() < 0.3)):
                _, last, saw = self.say(
                    who, other, ts, root, bad == who.n, pace=pace, typed=typed[turn % 2]
                )
                ts, seen = last + self.expo(12 * SECOND), saw or seen
            if seen is None or self.r.random() > keep:
                break
            ts = self.awake(other, max(seen, last) + self.logn(pace * MINUTE))
            who, other = other, who
        return last

    def react(
        self, a: Account, b: Account, ts: int, block: float, report: float, root: str, message: str
    ) -> None:
        """`b` may report or block `a` some time after `ts`."""
        r = self.r
        reported = r.random() < min(0.9, report * b.wary * a.mult[2])
        if reported:
            reason = self.bad_reason if r.random() < 0.75 else r.choice(("other", "spam"))
            named = f',"message":"{message}"' if message and r.random() < 0.7 else ""
            ts += self.logn(3 * MINUTE)
            self.emit(ts, "user.reported", b, f',"peer":"{a.id}","reason":"{reason}"{named}', root)
        if r.random() < min(0.95, block * b.wary * a.mult[1]) or (reported and r.random() < 0.5):
            ts += self.logn(4 * MINUTE)
            until = ts + self.expo(DAY) if r.random() < 0.04 and not a.bad else NEVER
            if (b.n, a.n) in self.blocked:
                return
            self.blocked[b.n, a.n] = ts, until
            if r.random() < BLOCKS_KNOWN[self.coverage]:
                self.emit(ts, "user.blocked", b, f',"peer":"{a.id}"', root)
                self.emit(until, "user.unblocked", b, f',"peer":"{a.id}"', root)

    def approach(
        self,
        a: Account,
        b: Account,
        ts: int,
        c: Cold,
        bad: bool = False,
        more: str = "",
        met_ok: bool = False,
    ) -> tuple[str, int | None]:
        """A first message and all that follows: its id, and the end of the chat if one began."""
        r = self.r
        pair = (min(a.n, b.n), max(a.n, b.n))
        if a is b or b.born > ts or ts >= min(a.lost, END) or (pair in self.met and not met_ok):
            return "", None
        self.met.add(pair)
        if r.random() < c.adds:
            a.book.add(b.n)
            self.emit(ts - 3 * SECOND, "contact.added", a, f',"peer":"{b.id}"')
        root, sent, seen = self.say(
            a,
            b,
            ts,
            bad=bad,
            cold=True,
            size=c.size * r.lognormvariate(0, c.spread),
            typed=c.typing * (a.typing > 0),
            media=c.media,
            more=more,
        )
        if not root:
            return "", None
        later = a.n if bad and not c.wanted else -1
        if seen and r.random() < min(0.97, c.reply * b.answers * a.mult[0]):
            at = self.awake(b, max(seen, sent) + self.logn(14 * MINUTE))
            turns = 1 + self.poisson(c.turns - 1)
            last = self.chat(b, a, at, turns, c.keep, root, later, c.pace, (None, c.typing))
            self.react(a, b, last + self.expo(HOUR), c.block, c.report, root, root)
            if (not bad or c.wanted) and turns > 3 and r.random() < 0.35:
                b.book.add(a.n)
                self.emit(last + MINUTE, "contact.added", b, f',"peer":"{a.id}"', root)
            return root, last
        if seen:
            self.react(a, b, seen, c.block, c.report, root, root)
        if r.random() < c.follow:
            at = sent + self.expo(DAY) + 2 * HOUR
            if b.n in a.book and not bad:
                self.emit(at + 2 * DAY, "contact.removed", a, f',"peer":"{b.id}"')
            if at < a.lost:
                self.say(a, b, self.awake(a, at), root, bad, size=c.size, typed=c.typing)
        return root, None

    def workday(self, a: Account, c: Cold, day: int, mean: float, bad: bool = False) -> None:
        """A day's first messages of one account."""
        count, pool = self.poisson(mean), c.pool
        if pool == "any" and not bad:
            pool = "reach"  # honest strangers reach abusers' numbers too
        ts = START + int((day * 24 + a.wake + c.begin + self.r.uniform(0, 1.5)) * HOUR)
        ts = max(ts, a.born + 10 * MINUTE)
        if not count or ts >= a.dead:
            return
        self.session(a, ts - self.expo(MINUTE), a.desktop)
        for _ in range(count):
            ts += self.expo(c.hours * HOUR / max(count, mean))
            if self.r.random() < c.miss:
                self.stray(a, ts, c)
            else:
                self.approach(a, self.pick(pool), ts, c, bad)

    def stray(self, a: Account, ts: int, c: Cold) -> None:
        """A message to a number nobody registered."""
        ghost = f"x{self.r.getrandbits(40):010x}"
        size = int(max(20, c.size * self.r.lognormvariate(0, c.spread)))
        if self.coverage != "matrix" and self.emit(
            ts, "message.sent", a, f',"peer":"{ghost}","size":{size}'
        ):
            self.emit(
                ts + 300 + self.expo(800),
                "message.undeliverable",
                a,
                f',"peer":"{ghost}","reason":"not_registered"',
            )
            self.emit(ts - 800, "contact.looked_up", a, ',"count":1,"hits":0')

    def pick(self, pool: str) -> Account:
        """Somebody to write to."""
        if pool == "room" and self.rooms:
            return self.r.choice(self.r.choice(self.rooms)[1])
        return self.r.choice(self.pools.get(pool) or self.pools["any"])

    def group(
        self,
        ts: int,
        owner: Account,
        members: list[Account],
        adds: bool,
        bad: bool = False,
        posts: float = 0,
        leave: float = 0.02,
        size: float = 150,
    ) -> str:
        """A new group whose owner adds the members or sends a link; the id of the first add."""
        if self.coverage == "gateway":
            return ""
        self.groups += 1
        gid, first, r = f"g{self.groups * 48271 % 2147483647:08x}", "", self.r
        self.emit(ts, "group.created", owner, f',"group":"{gid}"')
        for b in members:
            if b is owner or b.born > ts or b.dead <= ts:
                continue
            ts += self.expo(4 * SECOND) + 500
            if not adds:
                at = self.awake(b, ts + self.expo(2 * HOUR))
                self.emit(at, "group.joined", b, f',"group":"{gid}"')
                continue
            add = self.emit(
                ts, "group.member_added", owner, f',"group":"{gid}","peer":"{b.id}"', "", bad
            )
            first = first or add
            if add and r.random() < leave:
                at = self.awake(b, ts + self.logn(40 * MINUTE))
                self.emit(at, "group.left", b, f',"group":"{gid}","peer":"{owner.id}"', add)
                if bad:
                    self.react(owner, b, at, 0.3, 0.15, add, "")
        for _ in range(self.poisson(posts)):
            ts += self.expo(8 * HOUR if bad else 12 * HOUR)
            who = owner if bad or r.random() < 0.3 or not members else r.choice(members)
            self.post(who, gid, self.awake(who, ts), len(members), first, bad, size)
        if not bad:
            self.rooms.append((gid, members))
        return first

    def post(
        self,
        who: Account,
        gid: str,
        ts: int,
        count: int,
        root: str = "",
        bad: bool = False,
        size: float = 0,
    ) -> None:
        """A message to a group."""
        if ts >= who.lost:
            return
        size = int(max(20, (size or 80) * self.r.lognormvariate(0, 0.6)))
        if self.r.random() < who.typing:
            self.emit(ts - size * 60 - 900, "typing.started", who, f',"group":"{gid}"')
        self.emit(
            ts,
            "message.sent",
            who,
            f',"group":"{gid}","size":{size},"media":"none","recipients":{count}',
            root,
            bad,
        )

    # -- the honest population ------------------------------------------------------------------

    def person(self, persona: str) -> Account:
        """An account with the habits most people have."""
        r = self.r
        while (aid := f"c{r.getrandbits(32):08x}") in self.ids:
            pass
        self.ids.add(aid)
        a = Account(len(self.people), aid, persona, phone=self.number())
        home, mobile = self.address("home"), self.address("mobile")
        a.ips = r.choice(([home, mobile], [home, home, mobile], [mobile], [home, mobile, mobile]))
        a.device = f"d{r.getrandbits(44):011x}"
        a.client = r.choice(("android-5.12", "android-5.12", "android-5.11", "ios-5.12"))
        a.attested = r.random() < 0.94
        a.wake, a.span = (5.5 + r.gauss(0, 1)) % 24, r.uniform(14.5, 17.5)
        a.typing = r.uniform(0.65, 0.95) if r.random() < 0.92 else 0.0
        a.receipts, a.desktop = r.random() < 0.85, r.random() < 0.14
        a.answers, a.wary = r.uniform(0.4, 1.6), r.uniform(0.3, 1.7)
        a.opens, a.sessions = r.uniform(0.7, 1.0), r.uniform(0.8, 2.6)
        self.people.append(a)
        return a

    def populate(self) -> None:
        """The honest accounts, with the networks, devices and dates of their persona."""
        r = self.r
        for persona, (count, chats, _) in HONEST.items():
            batch = [self.person(persona) for _ in range(self.some(count, 2))]
            self.pools[persona] = batch
            for a in batch:
                a.chats = chats * r.lognormvariate(-0.5, 0.6)
                if persona == "silent":
                    a.answers = 0.0
                elif persona in ("support_desk", "radio", "seller", "small_shop"):
                    a.answers, a.opens = 1.0, 0.97
                elif persona == "elder":
                    a.answers, a.wary, a.typing = 1.2, 0.5, a.typing * 0.8
                if persona in ("no_typing", "support_desk"):
                    a.typing = 0.0
                if persona in ("paste_desk", "clerk", "rollout", "recruiter", "support_desk"):
                    a.desktop, a.typing = True, a.typing * 0.25
                if persona == "night_nurse":
                    a.wake, a.span = (14 + r.gauss(0, 1)) % 24, 15.5
                if persona == "diaspora":
                    a.wake = (a.wake + r.choice((0, 0, -7, 6))) % 24
                    a.ips += [self.address("vpn")] if r.random() < 0.5 else [self.address("home")]
                    a.phone = self.number(r.choice(("+63", "+380", "+234")))
                if persona in ("small_shop", "clerk"):
                    a.channel = "business_app"
                if persona == "support_desk":
                    a.channel = "business_platform"
            self.share(persona, batch)
        self.pools["any"] = list(self.people)
        self.pools["lonely"] = self.pools["dater"] * 4 + self.pools["elder"] + self.pools["silent"]
        self.befriend()

    def share(self, persona: str, batch: list[Account]) -> None:
        """Common networks, devices and numbers, and the days on which people register."""
        r = self.r
        width = {
            "family": 4,
            "shared_phone": 5,
            "night_nurse": 6,
            "carrier_nat": 120,
            "campus": 170,
            "rollout": 60,
            "student_abroad": 28,
            "sim_promo": 75,
            "conference": 80,
        }.get(persona, 1)
        chunks = [batch[i : i + width] for i in range(0, len(batch), width)]
        for chunk in chunks:
            ip, day = self.address("home"), r.randint(1, DAYS - 3)
            base = r.randint(500_000_000, 799_990_000)
            for i, a in enumerate(chunk):
                if persona in ("family", "campus", "rollout", "student_abroad"):
                    a.ips = [ip, ip, a.ips[-1]]
                elif persona == "carrier_nat":
                    a.ips = [self.carrier[len(chunk) % 12]] * 2 + [a.ips[0]]
                elif persona == "conference":
                    a.ips = [*a.ips, ip]
                if persona in ("shared_phone", "night_nurse") or (
                    persona == "family" and i > 1 and r.random() < 0.4
                ):
                    a.device, a.client = chunk[0].device, chunk[0].client
                    a.ips = chunk[0].ips
                if persona == "sim_promo":
                    a.phone = f"+48{base + i * r.randint(1, 3)}"
                if persona == "student_abroad":
                    a.phone, a.wake = self.number("+234"), 7.0 + r.gauss(0, 1)
                a.born = START - self.logn(250 * DAY, 1.0)
                if r.random() > ARRIVE.get(persona, 0.05):
                    continue
                if persona in ("campus", "student_abroad"):
                    at = START + day * DAY + int(r.gauss(17.5, 1.2) * HOUR)
                elif persona == "rollout":
                    at = START + day * DAY + int(r.uniform(7.5, 10.5) * HOUR)
                elif persona == "sim_promo":
                    at = START + day * DAY + int(r.uniform(8, 19) * HOUR)
                else:
                    at = self.moment(a, r.randint(0, DAYS - 2))
                self.register(a, at, a.ips[0])

    def befriend(self) -> None:
        """Friends inside neighbourhoods of about fifty, a few elsewhere; cohorts know their own."""
        r, everyone = self.r, list(self.people)
        r.shuffle(everyone)
        for i, a in enumerate(everyone):
            near = everyone[i // 50 * 50 : i // 50 * 50 + 50]
            own = self.pools[a.persona]
            k = own.index(a) if a.persona in ("family", "campus", "rollout", "teacher") else -1
            for _ in range(2 + self.poisson(3)):
                b = r.choice(near if r.random() < 0.8 else everyone)
                if k >= 0 and a.persona != "teacher" and r.random() < 0.5:
                    b = own[min(len(own) - 1, k // 4 * 4 + r.randint(0, 3))]
                if b is a or b in a.friends:
                    continue
                a.friends.append(b)
                b.friends.append(a)
                self.met.add((min(a.n, b.n), max(a.n, b.n)))
                if r.random() < 0.93:
                    a.book.add(b.n)
                if r.random() < 0.93 and a.persona not in ("new_number", "hijack_owner"):
                    b.book.add(a.n)

    def everyday(self) -> None:
        """Sessions, chats among friends, and each persona's own first messages."""
        r = self.r
        for a in self.pools["any"]:
            plan = HONEST[a.persona][2]
            mean = r.uniform(*plan.per_day) if plan else 0.0
            weights = [1 / (i + 1) for i in range(len(a.friends))]
            for day in range(DAYS):
                for _ in range(self.poisson(a.sessions)):
                    ts = self.moment(a, day)
                    self.session(a, ts, a.desktop and r.random() < 0.45)
                if a.friends:
                    for _ in range(self.poisson(a.chats)):
                        ts, b = self.moment(a, day), r.choices(a.friends, weights)[0]
                        if a.born < ts < a.lost and b.born < ts:
                            self.chat(a, b, ts, 1 + self.poisson(3.2), 0.9)
                if plan and r.random() < plan.workdays and day * DAY + START < a.lost:
                    self.workday(a, plan, day, mean)
                if r.random() < 0.03:
                    n = self.logn(60)
                    self.emit(
                        self.moment(a, day),
                        "contact.looked_up",
                        a,
                        f',"count":{n},"hits":{int(n * r.uniform(0.3, 0.8))}',
                    )

    def gatherings(self) -> None:
        """What the personas do beyond their daily plan: groups, cohorts, bursts, inbound desks."""
        r, pools = self.r, self.pools
        for _ in range(self.some(700)):
            a = r.choice(pools["any"])
            members = [a, *a.friends[: r.randint(2, 9)]]
            gain = 2 if self.coverage == "matrix" else 1
            self.group(
                self.moment(a, r.randint(0, DAYS - 2)),
                a,
                members,
                True,
                posts=9 * gain,
                leave=0.015,
            )
        for admin in pools["room_admin"] + pools["organiser"] + pools["teacher"]:
            big = admin.persona == "room_admin"
            members = r.sample(pools["reach" if big else "any"], r.randint(15, 90 if big else 45))
            day = 0 if big else r.randint(0, DAYS - 3)
            self.group(
                self.moment(admin, day),
                admin,
                members,
                not big,
                posts=60 if big else 14,
                leave=0.05 if admin.persona == "organiser" else 0.01,
            )
        for name, width in (("campus", 170), ("student_abroad", 28), ("rollout", 60)):
            for i in range(0, len(pools[name]), width):
                chunk = pools[name][i : i + width]
                ts = max(a.born for a in chunk) + 2 * HOUR
                self.group(ts, chunk[0], chunk, name == "rollout", posts=len(chunk) / 2)
                for a in chunk:  # "it's me, from the welcome evening"
                    hello = Cold(reply=0.7, block=0.003, typing=0.5, size=60, adds=0.4)
                    for _ in range(self.poisson(4)):
                        at = self.awake(a, max(ts, a.born) + self.expo(8 * HOUR))
                        self.approach(a, r.choice(chunk), at, hello)
        meet = Cold(reply=0.5, block=0.006, size=120, adds=0.5, turns=3)
        for day in range(5, 7):
            for a in pools["conference"]:
                for _ in range(self.poisson(5)):
                    self.approach(a, self.pick("conference"), self.moment(a, day), meet)
        call = Cold(reply=0.3, block=0.008, report=0.002, size=220, spread=0.06, typing=0.2)
        for a in pools["volunteer"]:  # the night of the flood: quiet people write to whole streets
            ts = START + 8 * DAY + int(r.uniform(14, 20) * HOUR)
            for _ in range(r.randint(15, 70)):
                ts += self.expo(70 * SECOND)
                self.approach(a, self.pick("any"), ts, call)
        moved = Cold(reply=0.5, block=0.006, report=0.002, size=90, spread=0.04, typing=0.15)
        for a in pools["new_number"] + pools["hijack_owner"]:
            ts = a.born + self.expo(40 * MINUTE)
            for b in dict.fromkeys(a.friends + r.sample(pools["any"], r.randint(3, 25))):
                ts += self.expo(45 * SECOND)
                root, end = self.approach(a, b, ts, moved, met_ok=b in a.friends)
                if end:
                    b.book.add(a.n)
        desks = {
            "support_desk": (28, 0.95, 4),
            "small_shop": (4, 0.85, 4),
            "radio": (55, 0.12, 1),
            "seller": (1.2, 0.85, 5),
        }
        for name, (count, reply, turns) in desks.items():
            ask = Cold(reply=reply, block=0.002, turns=turns, size=70)
            for a in pools[name]:
                for day in range(DAYS):
                    for _ in range(self.poisson(count)):
                        b = self.pick("any")
                        ts = self.moment(b if name != "radio" else a, day)
                        if b.born < ts < b.lost:
                            self.approach(b, a, ts, ask)
        self.shops()

    def shops(self) -> None:
        """Notes of shops and desks to customers who once agreed."""
        news = Cold(reply=0.06, block=0.012, report=0.002, size=260, spread=0.02, typing=0)
        for a in self.pools["small_shop"] + self.pools["support_desk"]:
            customers = self.r.sample(self.pools["any"], min(60, len(self.pools["any"])))
            ts = max(self.moment(a, self.r.randint(1, DAYS - 2)), a.born + DAY)
            kind = "marketing" if a.persona == "small_shop" else "utility"
            for b in customers:
                ts += 150 + self.expo(900)
                if self.r.random() < 0.25:
                    self.emit(
                        ts - self.expo(DAY),
                        "consent.granted",
                        b,
                        f',"business":"{a.id}-b","category":"{kind}"',
                    )
                self.approach(
                    a,
                    b,
                    ts,
                    news,
                    more=f',"broadcast":true,"template":"t{a.n}","category":"{kind}"',
                )
                if (b.n, a.n) in self.blocked:
                    self.emit(
                        self.blocked[b.n, a.n][0] + 2 * SECOND,
                        "consent.revoked",
                        b,
                        f',"business":"{a.id}-b"',
                    )

    # -- the abusers ----------------------------------------------------------------------------

    def recruit(self, name: str, f: Family, op: str, size: int) -> list[Account]:
        """An operator's accounts, with its own networks, devices and luck."""
        r, crew = self.r, []
        mult = tuple(min(1.8, r.lognormvariate(0, 0.35)) for _ in range(3))
        office, rack = self.address("home"), self.address("dc").rsplit(".", 1)[0]
        wake = r.choice((5.5, 5.5, 6.5, 1.0, 22.0))
        together = START + r.randint(0, 2) * DAY + int(r.uniform(9, 19) * HOUR)
        clean, base = r.random() < 0.4, r.randint(500_000_000, 799_990_000)
        for i in range(size):
            a = self.person(name)
            a.bad, a.operator, a.mult = True, op, mult
            a.wake, a.span, a.desktop = wake % 24, 16.0, r.random() < 0.4
            a.receipts, a.chats = r.random() < 0.7, 0.1
            a.answers, a.opens = (1.0, 1.0) if name == "market_ghost" else (0.3, 0.7)
            if f.net == "office":
                a.ips = [office, office, self.address("mobile")]
            elif f.net == "dc":
                a.ips = [f"{rack}.{r.randint(2, 250)}"]
            elif f.net != "home":
                a.ips = [self.address(f.net), self.address(f.net)]
            if f.device == "farm" and i % 3:
                a.device, a.client = crew[-1].device, crew[-1].client
            elif f.device == "emu":
                a.client, a.attested = "android-5.11", clean or r.random() < 0.25
            if r.random() < 0.3:
                a.phone = f"+48{base + i * 7}"
            a.born = START - self.logn((500 if name == "aged_bought" else 90) * DAY, 0.8)
            if r.random() < f.fresh:
                late = f.warm + min(f.life, 4) + 0.5
                spare = int(max(0, DAYS - late) * DAY)
                at = START + r.randint(0, spare)
                if name in ("cohort_mimic", "warm_ring"):
                    at = together + int(abs(r.gauss(0, 1.5)) * HOUR)
                self.register(a, at)
                if (
                    name == "parcel_oneshot"
                    and r.random() < 0.3
                    and self.emit(at + 10 * HOUR, "account.deleted", a)
                ):
                    a.dead = at + 10 * HOUR + 1
            crew.append(a)
        return crew

    def warm_up(self, crew: list[Account], start: int, days: float) -> None:
        """The crew talks among itself so as to look alive."""
        for a in crew:
            a.friends = self.r.sample([b for b in crew if b is not a], min(4, len(crew) - 1))
            for b in a.friends:
                self.met.add((min(a.n, b.n), max(a.n, b.n)))
                b.book.add(a.n)
                for _ in range(self.poisson(days * 0.6)):
                    ts = self.awake(
                        a, max(start, a.born, b.born) + HOUR + int(self.r.uniform(0, days) * DAY)
                    )
                    self.chat(a, b, ts, 1 + self.poisson(3), 0.95, pace=2.0)

    def hire(self) -> list[tuple[str, Family, list[Account]]]:
        """Every operator's crew; strangers may write to it like to anybody."""
        crews: list[tuple[str, Family, list[Account]]] = []
        for name, f in ABUSE.items():
            ops = max(2, round(f.ops * min(1.0, self.scale + 0.3)))
            for _ in range(0 if name == "hijack_chain" else ops):
                size = f.ops * f.size * self.scale / ops * self.r.uniform(0.75, 1.25)
                op = f"op{len(crews) + 1:02d}"
                crews.append((name, f, self.recruit(name, f, op, max(2, round(size)))))
        self.pools["reach"] = list(self.people)
        return crews

    def abuse(self, crews: list[tuple[str, Family, list[Account]]]) -> None:
        """Every operator carries out the plan of its family."""
        for name, f, crew in crews:
            self.bad_reason = f.reason
            if f.warm:
                longer = {"undercap": 9.0, "click_farm": 7.0, "warm_ring": 0.5}.get(name, 2.0)
                self.warm_up(crew, START, f.warm + longer)
            if name == "cohort_mimic":
                self.group(max(a.born for a in crew) + HOUR, crew[0], crew, False, posts=30)
                self.rooms = self.rooms[:-1]
            if name == "flooder":
                self.flood(crew, f)
            elif name == "false_reporter":
                self.brigade(crew)
            else:
                for a in crew:
                    self.campaign(a, name, f, crew)

    def campaign(self, a: Account, name: str, f: Family, crew: list[Account]) -> None:
        """One account's working life."""
        r, c = self.r, f.cold
        mean = r.uniform(*c.per_day)
        begin = max(START, a.born) + int(f.warm * DAY)
        if a.born < START and f.life < 9:
            begin += r.randint(0, max(0, int((DAYS - f.warm - f.life) * DAY)))
        first = max(0, (begin - START) // DAY)
        if name == "parcel_oneshot":  # one evening, then the number is thrown away
            c = replace(c, begin=max(0.1, (begin - START) / HOUR - first * 24 - a.wake + 0.3))
        for day in range(first, min(DAYS, first + math.ceil(f.life))):
            for _ in range(self.poisson(1.2)):
                self.session(a, self.moment(a, day), a.desktop and r.random() < 0.6)
            if r.random() > c.workdays:
                continue
            if name == "group_adder" and self.coverage != "gateway":
                members = r.sample(self.pools["any"], min(60, max(8, self.poisson(mean))))
                self.group(self.moment(a, day), a, members, True, True, 3, 0.28, c.size)
            elif name in ("romance_slow", "task_handover", "market_ghost"):
                self.grooming(a, name, c, day, self.poisson(mean), crew)
            else:
                if name == "room_lurker" and self.rooms and self.coverage != "gateway":
                    gid, members = r.choice(self.rooms)
                    ts = self.moment(a, day)
                    self.emit(ts, "group.joined", a, f',"group":"{gid}"')
                    self.post(a, gid, ts + self.expo(HOUR), len(members), "", True, 190)
                self.workday(a, c, day, mean, True)

    def grooming(
        self, a: Account, name: str, c: Cold, day: int, count: int, crew: list[Account]
    ) -> None:
        """Those who want a long talk: the pitch comes at its end, perhaps from somebody else."""
        r = self.r
        self.session(a, self.moment(a, day), a.desktop)
        for _ in range(count):
            closer, ts = a, max(self.moment(a, day), a.born + HOUR)
            if name == "market_ghost":  # the victim answers a listing and writes first
                b = self.pick("buyer" if r.random() < 0.5 else "any")
                if not b.born < ts < b.lost:
                    continue
                ask = Cold(reply=c.reply, block=0, report=0, turns=3)
                root, end = self.approach(b, a, self.awake(b, ts), ask)
            else:
                b = self.pick(c.pool)
                root, end = self.approach(a, b, ts, c, True)
            if not root or not end:
                continue
            if name == "task_handover":
                if r.random() > 0.55:
                    continue
                closer, end = crew[0], self.awake(b, end + self.expo(2 * HOUR))
                self.met.add((min(closer.n, b.n), max(closer.n, b.n)))
                end = self.chat(b, closer, end, 4 + self.poisson(5), 0.92, root, pace=8)
            for _ in range(self.poisson(3.5 if name == "romance_slow" else 0.6)):
                end = self.awake(closer, end + self.expo(12 * HOUR) + 4 * HOUR)
                if r.random() < 0.75:
                    end = self.chat(closer, b, end, 2 + self.poisson(6), 0.9, root, pace=7)
            at = self.awake(closer, end + self.expo(2 * HOUR))
            message, sent, seen = self.say(closer, b, at, root, True, size=260)
            if seen:
                harsh = 2.0 if name == "market_ghost" else 4.0
                self.react(
                    closer, b, max(seen, sent), harsh * c.block, harsh * c.report, root, message
                )

    def flood(self, crew: list[Account], f: Family) -> None:
        """Several accounts drown one person in messages for an evening or two."""
        r, victim = self.r, self.pick("flood_victim")
        for day in sorted({r.randint(4, DAYS - 2) for _ in range(2)}):
            ts0 = START + day * DAY + int(r.uniform(15, 19) * HOUR)
            for a in crew:
                ts, root = max(ts0, a.born) + self.expo(30 * MINUTE), ""
                self.session(a, ts - MINUTE)
                for _ in range(r.randint(*map(int, f.cold.per_day)) // 2):
                    eid, ts, seen = self.say(
                        a, victim, ts, root, True, cold=not root, size=r.uniform(20, 60), typed=0.1
                    )
                    root = root or eid
                    ts += self.expo(40 * SECOND)
                    if seen and r.random() < 0.04:
                        self.react(a, victim, ts, 0.5, 0.15, root, root)

    def brigade(self, crew: list[Account]) -> None:
        """Reports in concert against somebody who did nothing; half write first to have a chat."""
        r = self.r
        for _ in range(2):
            victim = self.pick("false_report_victim")
            ts0 = self.moment(victim, r.randint(4, DAYS - 2))
            note = Cold(reply=0.5, block=0.02, report=0.01, turns=2)
            for a in crew:
                ts, root = max(ts0, a.born) + self.expo(3 * HOUR), ""
                self.session(a, ts - self.expo(10 * MINUTE))
                if r.random() < 0.5:
                    root, _ = self.approach(a, victim, ts, note, True)
                reason = r.choice(("spam", "scam", "impersonation"))
                self.emit(
                    ts + 2 * MINUTE + self.expo(HOUR),
                    "user.reported",
                    a,
                    f',"peer":"{victim.id}","reason":"{reason}"',
                    root,
                )

    def hijacks(self) -> list[tuple[Account, int, bool]]:
        """Who is taken over and when: each next victim is a contact of one before."""
        f, r, taken = ABUSE["hijack_chain"], self.r, []
        for chain in range(f.ops):
            want, silent = max(3, self.some(f.size)), chain == 1
            wave = [(self.pick("ordinary"), START + int(r.uniform(1, 3) * DAY))]
            while wave and want:
                a, ts = wave.pop(0)
                if a.bad or a.born > ts or ts > END - DAY or a.persona.endswith("victim"):
                    continue
                a.bad, a.operator, want = True, f"op-h{chain}", want - 1
                if not silent:  # re-registered elsewhere; otherwise a companion device is linked
                    a.lost = ts
                taken.append((a, ts, silent))
                heirs = r.sample(a.friends, min(len(a.friends), r.randint(1, 3)))
                wave += [(b, self.awake(b, ts + self.expo(12 * HOUR) + 3 * HOUR)) for b in heirs]
                if not wave:
                    wave = [(self.pick("ordinary"), ts + self.expo(DAY))]
        return taken

    def plunder(self, taken: list[tuple[Account, int, bool]]) -> None:
        """The hijacker writes to the contacts of each account that was taken."""
        f, r = ABUSE["hijack_chain"], self.r
        self.bad_reason = f.reason
        rack = {op: self.address("dc").rsplit(".", 1)[0] for op in ("op-h0", "op-h1")}
        for a, ts, silent in taken:
            a.ips = [f"{rack[a.operator]}.{r.randint(2, 250)}"]
            a.device = f"d{r.getrandbits(44):011x}"
            a.lost = NEVER
            self.session(a, ts, silent)
            others = r.sample(self.pools["any"], r.randint(2, 12))
            for b in dict.fromkeys(a.friends + others):
                ts += self.expo(50 * SECOND)
                self.approach(a, b, ts, f.cold, True, met_ok=True)

    # -- files ----------------------------------------------------------------------------------

    def play(self) -> None:
        """The whole world, in an order in which nobody writes to people not yet made."""
        self.populate()
        taken = self.hijacks()
        for a in self.r.sample(self.pools["ordinary"], self.some(30)):
            at = START + int(self.r.uniform(3, DAYS) * DAY)
            if not a.bad and a.born < START and self.emit(at, "account.deleted", a):
                a.dead = at + 1
        self.bad_reason, crews = "other", self.hire()
        self.gatherings()
        self.everyday()
        self.abuse(crews)
        self.plunder(taken)

    def write(self, out: Path) -> None:
        """The four files."""
        out.mkdir(parents=True, exist_ok=True)
        self.events.sort()
        with (out / "events.jsonl").open("w") as f:
            f.writelines(line for _, _, line in self.events)

        def table(name: str, head: list[str], rows: list[tuple]) -> None:
            with (out / name).open("w", newline="") as f:
                csv.writer(f, lineterminator="\n").writerows([head, *rows])

        hijacked = {a.n for a in self.people if a.operator.startswith("op-h")}
        labels, passes = [], []
        for a in sorted(self.people, key=lambda a: a.id):
            family = "hijack_chain" if a.n in hijacked else a.persona
            labels.append((a.id, "abusive" if a.bad else "benign", family, a.operator))
            odds = ABUSE[family].passes if a.bad else 0.9 if family == "elder" else 0.955
            delay = self.logn(480 if a.bad else 1500 if family != "elder" else 5000, 1.3)
            passes.append((a.id, int(self.r.random() < odds), delay))
        table("labels.csv", ["account", "label", "family", "operator"], labels)
        table("truth.csv", ["id", "unwanted", "because"], self.truth)
        table("passes.csv", ["account", "passes", "delay_s"], passes)


def main() -> None:
    """Read the arguments and write one world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", choices=sorted(KEPT), default="full")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    world = World(args.seed, args.coverage, args.scale)
    world.play()
    world.write(args.out)


if __name__ == "__main__":
    main()
