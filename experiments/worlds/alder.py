"""Alder: a synthetic messenger world, written without sight of the detector that it tests.

    python alder.py OUT --seed 1 --coverage full|gateway|matrix [--scale 1.0]

Thirteen days of people who live in towns of a country, befriend mostly within the town and write
threads (an opener, then turns). What starts with a stranger goes through one function, `cold`, with
rates of answer, block and report that belong to who writes and vary by operator; each recipient has
a temper of its own. Abuse is written first, so that friends know who is blocked.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

T0 = 1_740_960_000_000  # Monday 2025-03-03, 00:00 UTC
DAYS = 13
SEC, MIN, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
END = T0 + DAYS * DAY
FOREVER = 1 << 60
NOWHERE = ("", 0, 0)
CLIENTS = (
    "android 24.8",
    "android 24.8",
    "android 24.7",
    "ios 24.8",
    "ios 24.8",
    "android 24.2",
    "desktop 3.1",
    "web",
)
# prefix, hours from UTC, first octets of its access networks
LANDS = (
    ("+4915", 1, (79, 84, 91)),
    ("+447", 0, (81, 86, 90)),
    ("+2348", 1, (102, 105)),
    ("+919", 5, (103, 106, 117)),
    ("+5511", -3, (177, 179, 189)),
    ("+628", 7, (36, 114, 182)),
)
SERVERS = (
    "hearth.example",
    "openhub.example",
    "openhub.example",
    "uni.example",
    "knot.example",
    "ferry.example",
)
HIDDEN: dict[str, frozenset[str]] = {
    "full": frozenset(),
    "gateway": frozenset(
        (
            "typing.started",
            "message.read",
            "contact.looked_up",
            "contact.added",
            "contact.removed",
            "group.created",
            "group.member_added",
            "group.joined",
            "group.left",
            "session.started",
            "account.deleted",
            "user.unblocked",
        )
    ),
    "matrix": frozenset(
        (
            "typing.started",
            "message.read",
            "message.delivered",
            "message.undeliverable",
            "contact.looked_up",
            "contact.added",
            "contact.removed",
            "consent.granted",
            "consent.revoked",
        )
    ),
}
SEEN = {  # share of blocks and of reports that the platform learns of
    "full": (1.0, 1.0),
    "gateway": (0.6, 0.5),
    "matrix": (0.1, 1.0),
}


@dataclass(frozen=True)
class Persona:
    """A kind of honest person: share of the benign, threads and sessions a day, openness."""

    share: float
    hard: bool = False
    chat: float = 0.42
    sess: float = 1.2
    open: float = 1.0
    types: float = 0.93


PERSONAS = {
    "ordinary": Persona(0.34),
    "household": Persona(0.06, False, 0.4),
    "student": Persona(0.08, False, 0.8, 2.0, 1.2),
    "elderly": Persona(0.05, False, 0.15, 0.6, 0.8),
    "parent": Persona(0.05, False, 0.45),
    "market_buyer": Persona(0.04, False, 0.4),
    "night_shift": Persona(0.012),
    "courier": Persona(0.006, True, 0.25, 3.0),
    "market_seller": Persona(0.02, True, 0.35, 2.5, 1.6),
    "job_seeker": Persona(0.008, True, 0.35, 1.5, 1.4),
    "support_desk": Persona(0.003, True, 0.0, 3.0, 2.0, 0.5),
    "small_shop": Persona(0.01, True, 0.15, 2.5, 1.8),
    "organiser": Persona(0.006, True, 0.5, 2.0),
    "teacher": Persona(0.006, True, 0.4),
    "community_admin": Persona(0.004, True, 0.5, 2.5),
    "radio_station": Persona(0.0006, True, 0.0, 3.0, 0.4),
    "new_number": Persona(0.012, True, 0.4),
    "migrant": Persona(0.03, True, 0.45),
    "carrier_nat": Persona(0.05, True, 0.4),
    "shared_phone": Persona(0.012, True, 0.25, 0.7),
    "quiet_keys": Persona(0.012, True, 0.4, 1.2, 1.0, 0.0),
    "dater": Persona(0.03, True, 0.4, 1.8, 1.3),
    "student_abroad": Persona(0.012, True, 0.7, 1.8),
    "campus_wave": Persona(0.025, True, 0.7, 2.0, 1.4),
    "company_rollout": Persona(0.015, True, 0.4, 1.6),
    "sim_promo": Persona(0.015, True, 0.35),
    "fair_goer": Persona(0.02, True, 0.4, 1.5, 1.4),
    "false_report_victim": Persona(0.004, True, 0.4, 1.8, 1.6),
    "flood_victim": Persona(0.0015, True, 0.4, 1.8),
    "hijack_owner": Persona(0.004, True),
    # invented here
    "clinic_reminder": Persona(0.002, True, 0.0, 1.0, 0.6, 0.0),
    "phone_tree": Persona(0.004, True, 0.3),
    "lost_pet": Persona(0.004, True),
    "flat_hunter": Persona(0.006, True, 0.4, 2.0, 1.5),
    "alert_bot": Persona(0.001, True, 0.0, 1.0, 0.0, 0.0),
    "wedding": Persona(0.003, True, 0.6),
    "blood_drive": Persona(0.002, True, 0.3),
}


@dataclass(frozen=True)
class Cold:
    """How an opening to a stranger goes: chances of answer, block, report; then the chat."""

    reply: float
    block: float = 0.005
    report: float = 0.0003
    turns: float = 2.0  # further turns of the chat once answered
    answer: float = 240.0  # seconds until the opener's side answers, median
    types: float = 0.7
    follow: float = 0.1  # chance of one reminder to the silent
    media: str = "none"
    size: int = 0
    extra: str = ""


@dataclass(frozen=True)
class Family:
    """An abuse family: share, accounts per operator, ranges of its rates, its means."""

    share: float
    team: tuple[int, int]
    passes: tuple[float, float]  # chance to pass a challenge, median seconds
    reply: tuple[float, float]
    block: tuple[float, float]
    report: tuple[float, float]
    net: str  # hosting, proxy, mobile, rack
    fresh: float  # share registered inside the window
    attested: float
    days: tuple[int, int] = (1, 1)
    per_day: tuple[int, int] = (1, 1)
    gap: float = 60.0  # seconds between openings of a burst
    cold: Cold = Cold(0.05)


FAMILIES = {
    "loudhailer": Family(
        0.06,
        (3, 12),
        (0.15, 40),
        (0.01, 0.03),
        (0.1, 0.25),
        (0.03, 0.1),
        "hosting",
        0.9,
        0.05,
        (1, 2),
        (90, 260),
        9,
        Cold(0, turns=0.3, types=0, follow=0),
    ),
    "dripper": Family(
        0.07,
        (2, 8),
        (0.55, 600),
        (0.03, 0.09),
        (0.05, 0.14),
        (0.01, 0.05),
        "proxy",
        0.4,
        0.5,
        (9, 13),
        (4, 12),
        2400,
        Cold(0, turns=1.5, types=0.3),
    ),
    "ant_colony": Family(
        0.16,
        (25, 60),
        (0.3, 90),
        (0.02, 0.07),
        (0.06, 0.18),
        (0.02, 0.07),
        "proxy",
        0.75,
        0.25,
        (1, 2),
        (5, 12),
        200,
        Cold(0, turns=0.8, types=0.1, follow=0),
    ),
    "sleeper_bought": Family(
        0.06,
        (4, 15),
        (0.4, 300),
        (0.03, 0.1),
        (0.06, 0.2),
        (0.02, 0.08),
        "hosting",
        0,
        0.5,
        (2, 4),
        (25, 60),
        110,
        Cold(0, turns=1, types=0.2, follow=0.05),
    ),
    "wrong_number_ai": Family(
        0.06,
        (5, 20),
        (0.6, 60),
        (0.09, 0.15),
        (0.04, 0.1),
        (0.01, 0.03),
        "mobile",
        0.5,
        0.6,
        (6, 11),
        (7, 22),
        700,
        Cold(0, turns=9, answer=55, types=0.97, follow=0.25),
    ),
    "sweetheart": Family(
        0.05, (2, 7), (0.75, 1200), (0.1, 0.22), (0.03, 0.08), (0.01, 0.04), "proxy", 0.35, 0.7
    ),
    "task_mill": Family(
        0.06,
        (5, 12),
        (0.5, 400),
        (0.06, 0.13),
        (0.05, 0.13),
        (0.02, 0.06),
        "proxy",
        0.6,
        0.4,
        (5, 9),
        (12, 25),
        260,
        Cold(0, turns=4, answer=150, types=0.6),
    ),
    "one_shot": Family(
        0.1,
        (15, 40),
        (0.1, 30),
        (0.01, 0.06),
        (0.05, 0.2),
        (0.02, 0.09),
        "proxy",
        1,
        0.1,
        (1, 1),
        (1, 5),
        45,
        Cold(0, turns=0, types=0, follow=0),
    ),
    "shelf_farm": Family(
        0.09,
        (12, 36),
        (0.93, 150),
        (0.03, 0.11),
        (0.04, 0.15),
        (0.01, 0.05),
        "rack",
        0.35,
        0.97,
        (6, 10),
        (7, 18),
        420,
        Cold(0, turns=2, answer=200, types=0.9, follow=0.1),
    ),
    "sim_rack": Family(
        0.06,
        (16, 32),
        (0.65, 45),
        (0.01, 0.05),
        (0.05, 0.2),
        (0.02, 0.06),
        "rack",
        0.8,
        0.3,
        (2, 5),
        (20, 45),
        80,
        Cold(0, turns=0.3, types=0, follow=0),
    ),
    "under_cap": Family(
        0.05,
        (6, 20),
        (0.7, 900),
        (0.05, 0.13),
        (0.03, 0.07),
        (0.01, 0.025),
        "mobile",
        0.3,
        0.85,
        (11, 13),
        (2, 5),
        6000,
        Cold(0, turns=3, answer=400, types=0.92, follow=0.15),
    ),
    "group_stuffer": Family(
        0.04, (2, 6), (0.35, 120), (0.01, 0.04), (0.03, 0.1), (0.02, 0.08), "proxy", 0.6, 0.3
    ),
    "pile_on": Family(
        0.07, (15, 45), (0.35, 60), (0.01, 0.03), (0.15, 0.25), (0.03, 0.1), "proxy", 0.7, 0.2
    ),
    "hijack_chain": Family(
        0.06, (8, 16), (0.0, 7200), (0.08, 0.15), (0.03, 0.08), (0.01, 0.05), "hosting", 0, 0.5
    ),
    "false_reporter": Family(
        0.05, (8, 25), (0.5, 300), (0.3, 0.5), (0.03, 0.06), (0.01, 0.02), "proxy", 0.5, 0.5
    ),
    "warm_ring": Family(
        0.06, (8, 18), (0.45, 200), (0.02, 0.08), (0.06, 0.18), (0.02, 0.07), "mobile", 0.4, 0.6
    ),
    "room_lurker": Family(
        0.03,
        (2, 6),
        (0.6, 300),
        (0.05, 0.14),
        (0.05, 0.15),
        (0.02, 0.08),
        "proxy",
        0.4,
        0.4,
        (6, 11),
        (4, 14),
        500,
        Cold(0, turns=3, types=0.7),
    ),
}
GROUPLESS = ("group_stuffer", "room_lurker")  # families that a gateway cannot have


class Account:
    """One account: who, where, with what, and from when until when."""

    __slots__ = (
        "answers",
        "bad",
        "book",
        "born",
        "client",
        "country",
        "dead",
        "dev",
        "friends",
        "home",
        "i",
        "id",
        "ips",
        "key",
        "kind",
        "mute",
        "open",
        "operator",
        "phone",
        "reads",
        "remote",
        "types",
        "tz",
    )

    def __init__(self, i: int, kind: str, country: int) -> None:
        """An account without connections."""
        self.i, self.kind, self.country = i, kind, country
        self.id = self.key = self.operator = self.client = self.phone = ""
        self.bad = self.remote = False
        self.born, self.dead, self.mute = 0, FOREVER, (0, 0)
        self.friends: list[Account] = []
        self.book: set[int] = set()
        self.ips: list[str] = []
        self.dev: list[str] = []
        self.tz, self.home, self.open, self.types = float(LANDS[country][1]), 0, 1.0, 0.9
        self.reads, self.answers = 0.8, 0.86


class World:
    """The population, the log under construction and the acts that both sides share."""

    def __init__(self, seed: int, coverage: str, scale: float) -> None:
        """An empty world."""
        self.rng = random.Random(f"alder/{seed}/{coverage}")
        self.cov, self.hidden = coverage, HIDDEN[coverage]
        self.salt = self.rng.randrange(1 << 32)
        self.total = max(600, int(10_000 * scale))
        self.scale = scale
        self.ts: list[int] = []
        self.lines: list[str] = []
        self.truth: list[str] = []
        self.people: list[Account] = []
        self.good: list[Account] = []
        self.public: list[Account] = []
        self.by: dict[str, list[Account]] = {}
        self.blocks: dict[tuple[int, int], tuple[int, int]] = {}
        self.met: set[tuple[int, int]] = set()
        self.rooms: list[tuple[str, list[Account], float, int]] = []
        self.groups = self.ghosts = self.ops = 0
        day = [0.4, 0.2, 0.1, 0.1, 0.2, 0.6, 2, 4, 5, 5, 5, 5, 6, 6, 5, 5, 5, 6, 7, 8, 8, 7, 4, 1.5]
        cum = np.cumsum(np.array(day) / sum(day))
        draw = np.random.default_rng(seed)
        hour = np.searchsorted(cum, draw.random(8192))
        self.minutes = (hour * HOUR + draw.integers(0, HOUR, 8192)).tolist()
        self.nat = [[self.address(c, 7) for _ in range(20)] for c in range(len(LANDS))]

    # ---- small chances -------------------------------------------------------------------------

    def lag(self, median_s: float, sigma: float = 1.1) -> int:
        """A log-normal delay in ms."""
        return int(median_s * SEC * math.exp(self.rng.gauss(0, sigma))) + 300

    def poisson(self, mean: float) -> int:
        """A Poisson count, for the small means used here."""
        k, p, limit = 0, self.rng.random(), math.exp(-min(mean, 30))
        while p > limit:
            k += 1
            p *= self.rng.random()
        return k

    def clock(self, a: Account, day: int) -> int:
        """A moment of the day (0 is the first) at which the person is likely up."""
        local = self.minutes[self.rng.randrange(8192)] - int(a.tz * HOUR)
        return T0 + day * DAY + local % DAY

    def at(self, a: Account, day: int, lo: float, hi: float) -> int:
        """A moment between two local hours."""
        return T0 + day * DAY + int((self.rng.uniform(lo, hi) - a.tz) * HOUR) % DAY

    def up(self, a: Account, ts: int) -> int:
        """The moment itself, or the next morning if the person sleeps."""
        local = ((ts - T0) / HOUR + a.tz) % 24
        if local < 6.5 and self.rng.random() < 0.85:
            return ts + int((6.6 - local + self.rng.uniform(0, 2.5)) * HOUR)
        return ts

    def address(self, country: int, third: int = -1) -> str:
        """An address in an access network of the country."""
        r = self.rng
        third = r.randrange(256) if third < 0 else third
        return f"{r.choice(LANDS[country][2])}.{r.randrange(16, 240)}.{third}.{r.randrange(1, 255)}"

    def pick(self, pool: list[Account], a: Account) -> Account | None:
        """Somebody of a pool to whom the account has not written first yet."""
        for _ in range(4):
            b = self.rng.choice(pool) if pool else a
            if b is not a and (a.i, b.i) not in self.met and (b.i, a.i) not in self.met:
                return b
        return None

    def stranger(self, a: Account, exposed: float = 0.25) -> Account | None:
        """An honest stranger; some numbers are public (shops, sellers)."""
        return self.pick(self.public if self.rng.random() < exposed else self.good, a)

    # ---- acts ----------------------------------------------------------------------------------

    def name(self, n: int) -> tuple[str, str]:
        """An opaque account id and its key; the order of creation cannot be read from it."""
        key = f"{(n * 2_246_822_519 + self.salt) & 0xFFFFFFFF:08x}"
        if self.cov == "matrix":
            return f"@{key}:{SERVERS[int(key, 16) % len(SERVERS)]}", key
        return ("u" if self.cov == "full" else "n") + key, key

    def emit(
        self,
        ts: int,
        kind: str,
        a: Account,
        extra: str = "",
        because: str = "",
        unwanted: bool = False,
    ) -> str:
        """Write one event; the empty string if the platform or the account's life excludes it."""
        if kind in self.hidden or ts < a.born or ts >= a.dead or not T0 <= ts < END:
            return ""
        eid = f"{(len(self.ts) * 2_654_435_761 + self.salt) & 0xFFFFFFFF:08x}"
        self.ts.append(ts)
        self.lines.append(f'{{"ts":{ts},"type":"{kind}","account":"{a.id}","id":"{eid}"{extra}}}\n')
        if because or unwanted:
            self.truth.append(f"{eid},{int(unwanted)},{because}\n")
        return eid

    def blocked(self, by: Account, who: Account, ts: int) -> bool:
        """Does `by` block `who` at the time?"""
        span = self.blocks.get((by.i, who.i))
        return span is not None and span[0] <= ts < span[1]

    def block(self, b: Account, a: Account, ts: int, root: str) -> None:
        """`b` blocks `a`."""
        if (b.i, a.i) not in self.blocks:
            self.blocks[b.i, a.i] = (ts, FOREVER)
            if self.rng.random() < SEEN[self.cov][0]:
                self.emit(ts, "user.blocked", b, f',"peer":"{a.id}"', root)

    def report(
        self,
        b: Account,
        a: Account,
        ts: int,
        root: str,
        message: str,
        why: str = "",
    ) -> None:
        """`b` reports `a`."""
        if self.rng.random() < SEEN[self.cov][1]:
            why = why or self.rng.choice(("spam", "spam", "spam", "scam", "other"))
            of = f',"message":"{message}"' if message and self.rng.random() < 0.8 else ""
            self.emit(ts, "user.reported", b, f',"peer":"{a.id}","reason":"{why}"{of}', root)

    def msg(
        self,
        a: Account,
        b: Account,
        ts: int,
        root: str = "",
        bad: bool = False,
        types: float = -1.0,
        media: str = "",
        size: int = 0,
        extra: str = "",
    ) -> tuple[str, int, int]:
        """A message with its typing and receipts: its id, and when it was delivered and read."""
        rnd = self.rng.random
        if ts >= END or ts < a.born or ts >= a.dead or ts < b.born:
            return NOWHERE
        if (a.mute[0] <= ts < a.mute[1] and not bad) or self.blocked(a, b, ts):
            return NOWHERE
        if self.cov == "full" and rnd() < (0.62 * a.types if types < 0 else types):
            ahead = 1500 + int(rnd() * 16_000)
            self.emit(ts - ahead, "typing.started", a, f',"peer":"{b.id}"', root)
        if not media:
            u = rnd()
            media = (
                "none" if u < 0.86 else "image" if u < 0.92 else "audio" if u < 0.96 else "sticker"
            )
        size = size or int((140 if media == "none" else 60_000) * math.exp(self.rng.gauss(0, 0.5)))
        if self.cov == "full":
            extra += ',"in_contacts":' + ("true" if b.i in a.book else "false")
        eid = self.emit(
            ts,
            "message.sent",
            a,
            f',"peer":"{b.id}","size":{size},"media":"{media}"{extra}',
            root,
            bad,
        )
        root = root or eid
        if b.dead <= ts or self.blocked(b, a, ts):
            why = "not_registered" if b.dead <= ts else "blocked"
            self.emit(
                ts + 900, "message.undeliverable", a, f',"peer":"{b.id}","reason":"{why}"', root
            )
            return eid, 0, 0
        got = ts + (400 + int(rnd() * 3000) if rnd() < 0.74 else self.lag(1300, 1.2))
        of = f',"peer":"{a.id}","message":"{eid}"'
        if rnd() < 0.97:
            self.emit(got, "message.delivered", b, of, root)
        read = self.up(b, got + self.lag(70, 1.5))
        if rnd() < b.reads:
            self.emit(read, "message.read", b, of, root)
        return eid, got, read

    def ghost(self, a: Account, ts: int, bad: bool) -> None:
        """A message to a number that nobody has."""
        self.ghosts += 1
        peer, _ = self.name(50_000_000 + self.ghosts)
        if self.cov != "matrix":
            eid = self.emit(
                ts, "message.sent", a, f',"peer":"{peer}","size":150,"media":"none"', "", bad
            )
            if eid:
                why = self.rng.choice(("not_registered", "not_registered", "expired"))
                self.emit(
                    ts + 1200, "message.undeliverable", a, f',"peer":"{peer}","reason":"{why}"', eid
                )

    def cold(
        self,
        a: Account,
        b: Account,
        ts: int,
        c: Cold,
        bad: bool = False,
        root: str = "",
    ) -> tuple[str, int]:
        """Open a chat with a stranger: the id of the opening, and when it was answered (or 0)."""
        rnd = self.rng.random
        self.met.add((a.i, b.i))
        extra = "" if self.cov == "matrix" else c.extra
        eid, got, read = self.msg(a, b, ts, root, bad, c.types, c.media, c.size, extra)
        if not eid or not got:
            return eid, 0
        root = root or eid
        last, now, answered = eid, read, 0
        if rnd() < c.reply * b.open:
            now = self.up(b, read + 20_000 + self.lag(420, 1.5))
            answered = now
            turns = int(self.rng.expovariate(1 / c.turns)) if c.turns else 0
            for turn in range(1 + turns):
                if not self.msg(b, a, now, root)[0]:
                    break
                if turn == turns and rnd() < 0.5:
                    break
                now = (
                    self.up(a, now + self.lag(c.answer, 0.8))
                    if not bad
                    else now + self.lag(c.answer, 0.6)
                )
                sent = self.msg(a, b, now, root, bad, c.types)
                if not sent[1]:
                    break
                last = sent[0]
                now = self.up(b, max(sent[2], now) + self.lag(200, 1.3))
        elif rnd() < c.follow:
            now = self.up(a, ts + self.lag(20 * 3600, 0.5))
            sent = self.msg(a, b, now, root, bad, c.types)
            last, now = sent[0] or eid, max(now, sent[2])
        wary = 1.6 - 0.6 * b.open
        reports = rnd() < c.report * wary
        if rnd() < c.block * wary or (reports and rnd() < 0.55):
            self.block(b, a, now + self.lag(60, 1.3), root)
        if reports:
            self.report(b, a, now + self.lag(40, 0.9), root, last)
        return eid, answered if answered < END else 0

    def thread(self, a: Account, b: Account, ts: int) -> None:
        """A conversation of people who know each other."""
        rnd = self.rng.random
        root, got, read = self.msg(a, b, ts)
        now, stay = read, b.answers
        while root and got and rnd() < stay:
            a, b = b, a
            now = self.up(a, now + 18_000 + self.lag(130, 1.4))
            for _ in range(1 if rnd() < 0.75 else 2):
                eid, got, read = self.msg(a, b, now, root)
                now += self.lag(12, 0.6)
            now, stay = max(read, now), 0.7

    def session(
        self,
        a: Account,
        ts: int,
        ip: str = "",
        dev: str = "",
        linked: bool = False,
    ) -> None:
        """A connection from one of the account's networks and devices."""
        if a.remote or self.cov == "gateway":
            return
        ip = ip or a.ips[int(len(a.ips) * self.rng.random() ** 1.6)]
        dev = dev or self.rng.choice(a.dev)
        if self.cov == "matrix":
            dev = f"{a.key.upper()}{int(linked)}"  # a login of its own for each account
        self.emit(
            ts,
            "session.started",
            a,
            f',"ip":"{ip}","device":"{dev}","client":"{a.client}"'
            + (',"linked":true' if linked else ""),
        )

    def register(
        self, a: Account, ts: int, attested: bool, attempts: int, channel: str = "personal"
    ) -> None:
        """The account begins inside the window."""
        a.born = ts = max(T0 + MIN, min(int(ts), END - HOUR))
        if a.remote or (self.cov == "gateway" and self.rng.random() > 0.12):
            return
        extra = ""
        if self.cov != "matrix":
            how = self.rng.choice(("sms", "sms", "sms", "voice", "flash"))
            extra = f',"phone":"{a.phone}","verification":"{how}","attempts":{attempts}'
        else:
            extra = f',"verification":"{self.rng.choice(("email", "none"))}"'
        if self.cov != "gateway":
            extra += f',"ip":"{a.ips[0]}","client":"{a.client}"'
        if self.cov == "full":
            extra += (
                f',"device":"{a.dev[0]}","attested":{str(attested).lower()},"channel":"{channel}"'
            )
        self.emit(ts, "account.registered", a, extra)
        self.session(a, ts + 4000, a.ips[0], a.dev[0])

    def found(self, a: Account, ts: int) -> str:
        """The account creates a group."""
        self.groups += 1
        key = f"{(self.groups * 2_246_822_519 + self.salt) & 0xFFFFFFFF:08x}"
        room = f"!{key}:{SERVERS[0]}" if self.cov == "matrix" else f"g{key}"
        if ts:
            self.emit(ts, "group.created", a, f',"group":"{room}"')
        return room

    def say(
        self,
        a: Account,
        room: str,
        ts: int,
        size: int,
        root: str = "",
        bad: bool = False,
    ) -> None:
        """A message to a group."""
        length = self.rng.randrange(90, 400)
        self.emit(
            ts,
            "message.sent",
            a,
            f',"group":"{room}","size":{length},"media":"none","recipients":{size}',
            root,
            bad,
        )

    # ---- people --------------------------------------------------------------------------------

    def person(self, kind: str, country: int) -> Account:
        """A new account with home, carrier, device and client."""
        r = self.rng
        a = Account(len(self.people), kind, country)
        a.id, a.key = self.name(a.i)
        a.phone = f"{LANDS[country][0]}{r.randrange(10**8, 10**9)}"
        a.ips = [self.address(country), r.choice(self.nat[country])]
        a.dev = [f"d{r.getrandbits(40):010x}"]
        a.client = r.choice(CLIENTS)
        a.remote = self.cov == "matrix" and r.random() < 0.35
        a.reads = 0.9 if r.random() < 0.8 else 0.05
        self.people.append(a)
        self.by.setdefault(kind, []).append(a)
        return a

    def settle(self, count: int) -> None:
        """Make the honest people, their towns and their friends."""
        r, boost = self.rng, {"courier": 2, "clinic_reminder": 2, "small_shop": 2}
        share = {
            k: p.share * (boost.get(k, 1) if self.cov == "gateway" else 1)
            for k, p in PERSONAS.items()
        }
        unit = count / sum(share.values())
        kinds = [k for k, s in share.items() for _ in range(max(2, round(s * unit)))]
        r.shuffle(kinds)
        towns = max(4, count // 160)
        where = [r.randrange(len(LANDS)) for _ in range(towns)]
        folk: list[list[Account]] = [[] for _ in range(towns)]
        for kind in kinds:
            p, town = PERSONAS[kind], r.randrange(towns)
            a = self.person(kind, where[town])
            a.home = town
            a.open = 0.0 if r.random() < 0.12 else p.open * r.uniform(0.6, 1.65)
            a.types = p.types * r.uniform(0.6, 1.1)
            folk[town].append(a)
            if kind == "night_shift":
                a.tz += 10
            if kind in (
                "market_seller",
                "small_shop",
                "support_desk",
                "false_report_victim",
                "community_admin",
                "organiser",
                "dater",
                "flat_hunter",
                "job_seeker",
            ):
                self.public.append(a)
        self.good = list(self.people)
        for kind, members in self.by.items():
            self.place(kind, members)
        for a in self.good:
            inside = a.kind in ("campus_wave", "company_rollout")
            near = self.by[a.kind] if inside else folk[a.home]
            for _ in range(max(1, int(5 * math.exp(r.gauss(0, 0.6))))):
                b = r.choice(near if r.random() < 0.8 else self.good)
                if b is not a and b.i not in a.book:
                    a.friends.append(b)
                    b.friends.append(a)
                    a.book.add(b.i)
                    b.book.add(a.i)
            if a.kind in ("ordinary", "student", "elderly") and r.random() < 0.006:  # gives up
                a.dead = max(a.born, T0) + int(r.uniform(0.5, DAYS) * DAY)
                self.emit(a.dead - 1, "account.deleted", a)
        for a in self.good:  # an address book is not symmetric everywhere
            a.book = {b for b in sorted(a.book) if r.random() < 0.92}

    def place(self, kind: str, members: list[Account]) -> None:
        """What a persona shares: networks, devices, a day of registration, neighbouring numbers."""
        r = self.rng
        size = {
            "household": 4,
            "shared_phone": 7,
            "carrier_nat": 90,
            "campus_wave": 140,
            "company_rollout": 80,
            "sim_promo": 60,
        }.get(kind, 1)
        for n in range(0, len(members), size):
            lot = members[n : n + size]
            first, day = lot[0], r.randrange(2, DAYS - 3)
            stem, spot = r.randrange(10**6, 10**7), self.address(first.country)
            for k, a in enumerate(lot):
                if kind in ("household", "shared_phone"):
                    a.ips[0] = first.ips[0]
                    a.dev = first.dev if kind == "shared_phone" or r.random() < 0.6 else a.dev
                elif kind == "carrier_nat":
                    a.ips = [spot]
                elif kind in ("migrant", "student_abroad"):
                    away = r.randrange(len(LANDS))
                    a.ips = [self.address(away), r.choice(self.nat[away]), a.ips[1]]
                    a.tz = float(LANDS[away][1])
                if kind in ("campus_wave", "company_rollout", "sim_promo"):
                    a.tz = first.tz
                    if kind == "sim_promo":
                        a.phone = f"{LANDS[first.country][0]}{stem * 100 + k + r.randrange(2)}"
                        a.ips = [r.choice(self.nat[first.country]), a.ips[0]]
                        self.join(a, self.at(a, day, 8, 21))
                    elif kind == "campus_wave":
                        a.ips = [spot, a.ips[1]]
                        self.join(a, self.at(a, day, 17, 22.5))
                    else:
                        a.ips, a.client = [spot, a.ips[1]], "android 24.7"
                        a.phone = f"{LANDS[first.country][0]}{stem * 100 + k}"
                        self.join(a, self.at(a, day, 9, 11.5))
                elif kind == "new_number" or r.random() < 0.075:
                    self.join(
                        a,
                        self.clock(a, r.randrange(0, DAYS - 1)),
                        "business_app" if kind == "small_shop" else "personal",
                    )

    def join(self, a: Account, ts: int, channel: str = "personal") -> None:
        """An honest registration, then the address book."""
        r = self.rng
        attempts = 1 + (r.random() < 0.15) + (r.random() < 0.04)
        self.register(a, ts, r.random() < 0.95, attempts, channel)
        count = int(120 * math.exp(r.gauss(0, 0.7)))
        self.emit(
            a.born + 20_000,
            "contact.looked_up",
            a,
            f',"count":{count},"hits":{int(count * r.uniform(0.15, 0.6))}',
        )

    # ---- honest business with strangers ----------------------------------------------------------

    def round(
        self,
        a: Account,
        day: int,
        hours: tuple[float, float],
        count: int,
        c: Cold,
        pool: list[Account] | None = None,
        gap: float = 0,
    ) -> None:
        """A day's openings to people of a pool, spread over hours or in one go."""
        ts = self.at(a, day, *hours)
        for _ in range(count):
            b = self.pick(pool, a) if pool is not None else self.stranger(a, 0.02)
            ts = ts + self.lag(gap, 0.7) if gap else self.at(a, day, *hours)
            if b is not None:
                self.cold(a, b, ts, c)

    def trades(self) -> None:
        """Every persona that meets strangers, day by day."""
        r, by, poi = self.rng, self.by, self.poisson
        shops = by["small_shop"] + by["support_desk"] + by["false_report_victim"]
        sellers = by["market_seller"] + by["false_report_victim"]
        route = Cold(0.28, 0.004, 0.0003, 0.8, 120, 0.25)
        for day in range(DAYS):
            work = day % 7 < 6
            for a in by["courier"] if work else ():
                self.round(a, day, (8, 10), r.randrange(12, 34), route, None, 700)
                for _ in range(poi(0.6 if self.cov == "gateway" else 0.2)):
                    self.ghost(a, self.at(a, day, 9, 18), False)
            for a in by["market_buyer"]:
                self.round(a, day, (9, 23), poi(0.7), Cold(0.5, 0.003, turns=4), sellers)
            for a in by["market_seller"]:
                self.round(
                    a, day, (9, 22), poi(0.5), Cold(0.4, 0.01, 0.0008, 3), by["market_buyer"]
                )
            for a in by["job_seeker"] if work else ():
                self.round(a, day, (9, 18), poi(4), Cold(0.25, 0.003, 0.0002, 2, size=900), shops)
            for a in by["flat_hunter"]:
                self.round(
                    a,
                    day,
                    (7, 9),
                    poi(9),
                    Cold(0.17, 0.006, 0.0005, 2, 90, 0.5, size=600),
                    None,
                    240,
                )
            for a in by["dater"]:
                self.round(a, day, (18, 23.5), poi(0.8), Cold(0.32, 0.025, 0.003, 7), by["dater"])
            for a in by["clinic_reminder"] if work else ():
                self.round(
                    a,
                    day,
                    (10, 10.2),
                    r.randrange(15, 45),
                    Cold(
                        0.16,
                        0.002,
                        0,
                        0,
                        60,
                        0,
                        0,
                        "none",
                        220,
                        ',"template":"visit","category":"utility"',
                    ),
                    None,
                    3,
                )
            for a in by["support_desk"]:
                for _ in range(poi(7)):
                    self.inbound(a, day, Cold(0.5, 0.001, 0, 3, 300))
            for a in by["small_shop"] if work else ():
                for _ in range(poi(1.2)):
                    self.inbound(a, day, Cold(0.42, 0.002, 0, 3, 300))
                if day in (3, 10) and r.random() < 0.5:
                    self.offer(a, day)
            for a in by["migrant"] + by["student_abroad"]:
                self.round(a, day, (9, 22), poi(0.2), Cold(0.5, 0.004, turns=4))
            for a in by["alert_bot"]:
                for _ in range(poi(3)):
                    self.subscribe(a, day)
        once = {
            "blood_drive": (25, 60, Cold(0.26, 0.006, 0.0005, 1), 40),
            "lost_pet": (20, 70, Cold(0.24, 0.01, 0.001, 1, media="image", size=180_000), 35),
            "phone_tree": (15, 50, Cold(0.5, 0.002, 0, 1), 18),
            "fair_goer": (3, 9, Cold(0.55, 0.006, 0.0003, 5), 900),
        }
        fair = r.randrange(3, 9)
        for kind, (lo, hi, c, gap) in once.items():
            for a in by[kind]:
                pool = by[kind] if kind == "fair_goer" else None
                day = fair if kind == "fair_goer" else r.randrange(1, DAYS)
                self.round(a, day, (12, 20), r.randrange(lo, hi), c, pool, gap)
        for a in by["new_number"] + by["hijack_owner"] + by["wedding"]:
            self.news(a)
        for a in by["radio_station"]:  # a quiz: the audience writes within the hour
            start = self.at(a, r.randrange(1, DAYS), 12, 20)
            for _ in range(int(r.randrange(120, 260) * min(1, self.scale + 0.3))):
                b = self.pick(self.good, a)
                if b:
                    self.cold(b, a, start + self.lag(900, 0.9), Cold(0.12, 0, 0, 0.4, follow=0))
        for a in by["false_report_victim"]:  # honest neighbours in a quarrel
            for _ in range(r.randrange(2, 7)):
                b = r.choice(self.good)
                if b is not a:
                    self.report(b, a, self.clock(b, r.randrange(DAYS)), "", "", "other")

    def inbound(self, desk: Account, day: int, c: Cold) -> None:
        """A customer writes to a desk or shop."""
        b = self.pick(self.good, desk)
        if b:
            self.cold(b, desk, self.at(desk, day, 8, 19), c)

    def offer(self, shop: Account, day: int) -> None:
        """A shop writes to its customers, most of whom agreed to it."""
        ts = self.at(shop, day, 10, 12)
        c = Cold(
            0.15,
            0.008,
            0.001,
            1,
            300,
            0,
            0,
            "image",
            90_000,
            ',"broadcast":true,"category":"marketing"',
        )
        for _ in range(self.rng.randrange(15, 70)):
            b = self.pick(self.good, shop)
            if b and self.rng.random() < 0.7:
                self.emit(
                    ts - self.rng.randrange(HOUR, 2 * DAY),
                    "consent.granted",
                    b,
                    f',"business":"{shop.id}","category":"marketing"',
                )
            if b:
                self.cold(shop, b, ts, c)
            ts += 700

    def subscribe(self, bot: Account, day: int) -> None:
        """Somebody asks a bot for alerts, which then come every morning at the same second."""
        b = self.pick(self.good, bot)
        if not b:
            return
        self.met.add((b.i, bot.i))
        root, got, _ = self.msg(b, bot, self.clock(b, day))
        if got:
            self.msg(bot, b, got + 1500, root, types=0, media="none", size=310)
            for later in range(day + 1, DAYS):
                self.msg(
                    bot,
                    b,
                    T0 + later * DAY + 6 * HOUR + b.i % 60_000,
                    root,
                    types=0,
                    media="none",
                    size=310,
                )

    def news(self, a: Account) -> None:
        """One text to all contacts: a new number, an apology after a hijack, an invitation."""
        r = self.rng
        ts = a.born + r.randrange(MIN, 5 * HOUR) if a.born else self.clock(a, r.randrange(1, DAYS))
        if a.kind == "hijack_owner":  # a stranger's device was linked; nothing was sent
            self.session(
                a, ts - 3 * HOUR, self.address(r.randrange(6)), f"d{r.getrandbits(40):010x}", True
            )
            a.dev = [f"d{r.getrandbits(40):010x}"]
            self.session(a, ts - 5 * MIN)
        if a.kind == "wedding":
            a.friends += [b for b in (r.choice(self.good) for _ in range(60)) if b is not a]
        for b in a.friends:
            ts += self.lag(9, 0.6)
            if a.kind == "new_number" and r.random() < 0.6:
                self.emit(ts + self.lag(3600, 1), "contact.added", b, f',"peer":"{a.id}"')
            self.cold(a, b, ts, Cold(0.55, 0.003, 0.0005, 2, 200, 0.15, 0, "", 170))

    def rooms_of_people(self) -> None:
        """Groups: old ones of friends, and those that organisers, teachers and admins fill."""
        r = self.rng
        if self.cov == "gateway":
            return
        for a in r.sample(self.good, len(self.good) // 11):
            self.rooms.append(
                (self.found(a, 0), [a, *a.friends[: r.randrange(2, 12)]], r.uniform(0.3, 4), 0)
            )
        size = {"teacher": 28, "organiser": 40, "community_admin": 90}
        for kind, top in size.items():
            for a in self.by[kind]:
                ts = self.clock(a, r.randrange(0, DAYS - 2))
                room, members = self.found(a, ts), [a]
                pool = self.by["parent"] if kind == "teacher" else self.good
                for b in r.sample(pool, min(len(pool), r.randrange(top // 3, top))):
                    ts += self.lag(6, 0.7)
                    of = f',"group":"{room}"'
                    if b is a:
                        continue
                    if kind == "community_admin" or r.random() < 0.2:
                        self.emit(ts + self.lag(7200, 1), "group.joined", b, of)
                        members.append(b)
                        continue
                    add = self.emit(ts, "group.member_added", a, of + f',"peer":"{b.id}"')
                    if r.random() < 0.05 and add:
                        self.emit(
                            ts + self.lag(9000, 1.3), "group.left", b, of + f',"peer":"{a.id}"', add
                        )
                    else:
                        members.append(b)
                self.rooms.append((room, members, r.uniform(1, 7), ts + 4 * HOUR))

    def background(self) -> None:
        """What goes on every day: sessions, threads of friends, talk in groups."""
        r = self.rng
        factor = {"full": 1.0, "gateway": 0.8, "matrix": 0.7}[self.cov]
        for a in self.good:
            p = PERSONAS[a.kind]
            rate = p.chat * factor * math.exp(r.gauss(-0.2, 0.7))
            for day in range(DAYS):
                for _ in range(self.poisson(p.sess)):
                    self.session(a, self.clock(a, day), linked=r.random() < 0.08)
                threads = self.poisson(rate * (1.2 if day % 7 > 4 else 1))
                for _ in range(threads if a.friends else 0):
                    b = a.friends[int(len(a.friends) * r.random() ** 2)]
                    self.thread(a, b, self.clock(a, day))
        for room, members, rate, start in self.rooms:
            for day in range(DAYS):
                for _ in range(self.poisson(rate)):
                    a = r.choice(members)
                    ts = self.clock(a, day)
                    if not a.mute[0] <= ts < a.mute[1] and ts > start:
                        self.say(a, room, ts, len(members) - 1)

    # ---- abuse -----------------------------------------------------------------------------------

    def crew(self, family: str, count: int, first: int) -> list[Account]:
        """An operator's accounts with the means of the family."""
        r, f = self.rng, FAMILIES[family]
        self.ops += 1
        op, land = f"op{self.ops:03d}", r.randrange(len(LANDS))
        start = T0 + first * DAY
        rack = self.address(land)
        cloud = f"{r.choice((45, 143, 167, 185))}.{r.randrange(8, 250)}.{r.randrange(256)}"
        shelf = [f"d{r.getrandbits(40):010x}" for _ in range(max(1, count // 3))]
        stem, client = r.randrange(10**6, 10**7), r.choice(("android 24.2", "android 24.7", "web"))
        lot = []
        for k in range(count):
            a = self.person(family, land)
            a.bad, a.operator, a.open, a.answers = True, op, 0.3, 0.9
            if f.net == "hosting":
                a.ips = [f"{cloud}.{r.randrange(1, 255)}" for _ in range(2)]
                a.client = client
            elif f.net == "rack":
                a.ips = [rack]
            elif f.net == "mobile":
                a.ips = [a.ips[1], r.choice(self.nat[land])]
            else:
                a.ips = [self.address(land) for _ in range(4)]
            if f.attested < 0.5 and r.random() < 0.7:
                a.dev = [r.choice(shelf)]
            if family == "sim_rack":
                a.phone = f"{LANDS[land][0]}{stem * 100 + k}"
            if r.random() < f.fresh:
                self.register(
                    a,
                    start - self.lag(6 * 3600, 1.2),
                    r.random() < f.attested,
                    1 + self.poisson(0.5 if f.attested > 0.5 else 1.2),
                )
            lot.append(a)
        return lot

    def terms(self, family: str) -> Cold:
        """The rates of one operator, drawn within those of its family."""
        r, f = self.rng, FAMILIES[family]
        return replace(
            f.cold,
            reply=r.uniform(*f.reply),
            block=r.uniform(*f.block),
            report=r.uniform(*f.report),
            size=r.choice((0, r.randrange(120, 700))),
        )

    def abuse(self, count: int) -> None:
        """Share the abusive accounts among families and operators, and run each operator."""
        r = self.rng
        families = {
            k: f for k, f in FAMILIES.items() if not (self.cov == "gateway" and k in GROUPLESS)
        }
        unit = count / sum(f.share for f in families.values())
        special = {
            "sweetheart": self.sweetheart,
            "task_mill": self.task_mill,
            "group_stuffer": self.group_stuffer,
            "pile_on": self.pile_on,
            "false_reporter": self.false_reporter,
            "warm_ring": self.warm_ring,
            "room_lurker": self.room_lurker,
        }
        for family, f in families.items():
            left = max(3, round(f.share * unit))
            if family == "hijack_chain":
                self.hijacks(left)
                continue
            while left > 0:
                size = min(left, r.randint(*f.team))
                left -= size
                days = r.randint(*f.days)
                first = r.randrange(0, max(1, DAYS - days + 1))
                if family in ("warm_ring", "sweetheart"):
                    first = r.randrange(3)
                lot = self.crew(family, size, first)
                special.get(family, self.campaign)(family, lot, first, days)

    def campaign(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Openings in bursts on the days of the plan; the common part of most families."""
        r, f, c = self.rng, FAMILIES[family], self.terms(family)
        dead = {"loudhailer": 0.04, "sim_rack": 0.05, "one_shot": 0.05}.get(family, 0.01)
        dead *= 5 if self.cov == "gateway" else 1
        slow = family in ("dripper", "under_cap", "wrong_number_ai", "shelf_farm")
        for n, a in enumerate(lot):
            shift = n * 6 // len(lot) if family == "ant_colony" else 0
            if family == "one_shot" or (family == "loudhailer" and r.random() < 0.3):
                a.dead = max(a.born, T0 + (first + days) * DAY) + r.randrange(4 * HOUR, 9 * HOUR)
                self.emit(a.dead - 1, "account.deleted", a)
            for day in range(first, min(DAYS, first + days)):
                ts = self.at(a, min(DAYS - 1, day + shift), 8, 12 if slow else 21)
                ts = max(ts, a.born + r.randrange(3 * MIN, 2 * HOUR) if a.born else ts)
                self.session(a, ts - 30_000)
                if family in ("loudhailer", "sleeper_bought", "sim_rack"):
                    size = r.randrange(200, 3000)
                    self.emit(
                        ts - 20_000,
                        "contact.looked_up",
                        a,
                        f',"count":{size},"hits":{int(size * r.uniform(0.03, 0.3))}',
                    )
                for _ in range(r.randint(*f.per_day)):
                    b = self.stranger(a)
                    if r.random() < dead:
                        self.ghost(a, ts, True)
                    elif b:
                        if family == "under_cap" and r.random() < 0.5:
                            self.emit(ts - 9000, "contact.added", a, f',"peer":"{b.id}"')
                            a.book.add(b.i)
                        self.cold(a, b, ts, c, True)
                    ts += self.lag(f.gap, 0.25 if family == "loudhailer" else 0.8)
            if family in ("shelf_farm", "under_cap", "sleeper_bought"):
                self.camouflage(lot, a, 0.4)

    def camouflage(self, lot: list[Account], a: Account, rate: float, until: int = DAYS) -> None:
        """Idle talk among an operator's accounts, and sessions on quiet days."""
        for day in range(until):
            for _ in range(self.poisson(rate) if len(lot) > 1 else 0):
                b = self.rng.choice(lot)
                if b is not a:
                    self.thread(a, b, self.clock(a, day))
            self.session(a, self.clock(a, day))

    def sweetheart(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Romance: a few lonely people, who then hear from it for days."""
        r, c = self.rng, self.terms(family)
        for a in lot:
            self.camouflage(lot, a, 0.05)
            for _ in range(r.randrange(8, 22)):
                b = self.pick(self.by["dater"] if r.random() < 0.4 else self.good, a)
                day = r.randrange(first, 10)
                if not b:
                    continue
                quiet = replace(c, turns=6, answer=300, types=0.9, follow=0.3)
                root, hit = self.cold(a, b, self.clock(b, day), quiet, True)
                for later in range(day + 1, DAYS if hit and r.random() < 0.6 else 0):
                    now = self.clock(b, later)
                    for _ in range(r.randrange(2, 9)):  # both write; the victim believes
                        if not self.msg(a, b, now, root, True, 0.9)[1]:
                            break
                        now = self.up(b, now + self.lag(400, 1))
                        self.msg(b, a, now, root)
                        now += self.lag(300, 0.8)

    def task_mill(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Recruiters write; who bites is sent to a mentor, and writes to it of his own will."""
        r, c, f = self.rng, self.terms(family), FAMILIES[family]
        mentors, recruiters = lot[: max(1, len(lot) // 4)], lot[max(1, len(lot) // 4) :] or lot
        for a in recruiters:
            for day in range(first, min(DAYS, first + days)):
                ts = max(self.at(a, day, 9, 17), a.born + HOUR if a.born else 0)
                self.session(a, ts - MIN)
                for _ in range(r.randint(*f.per_day)):
                    b, ts = self.stranger(a, 0.1), ts + self.lag(f.gap, 0.7)
                    root, hit = self.cold(a, b, ts, c, True) if b else ("", 0)
                    if not b or not hit or r.random() > 0.5:
                        continue
                    m, now = r.choice(mentors), hit + self.lag(4 * 3600, 0.7)
                    for _ in range(r.randrange(2, 18)):
                        if not self.msg(b, m, now, root)[1]:
                            break
                        self.msg(m, b, now + self.lag(60, 0.5), root, True, 0.6)
                        now = self.up(b, now + self.lag(3000, 1.4))
                    if r.random() < 0.35:
                        self.report(b, m, now + HOUR, root, "", "scam")
                        self.block(b, m, now + HOUR + MIN, root)

    def group_stuffer(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Fill groups with strangers, post a little, with a shill who praises."""
        r, c = self.rng, self.terms(family)
        for a in lot:
            for _ in range(r.randrange(1, 4)):
                ts = max(self.clock(a, r.randrange(1, DAYS)), a.born + HOUR)
                self.session(a, ts - MIN)
                room, root, size = self.found(a, ts), "", r.randrange(25, 70)
                of, start = f',"group":"{room}"', ts
                for _ in range(size):
                    b, ts = self.stranger(a, 0.05), ts + self.lag(4, 0.5)
                    if not b:
                        continue
                    self.met.add((a.i, b.i))
                    add = self.emit(ts, "group.member_added", a, of + f',"peer":"{b.id}"', "", True)
                    root = root or add
                    now = self.up(b, ts + self.lag(5400, 1.4))
                    if add and r.random() < 0.38:
                        self.emit(now, "group.left", b, of + f',"peer":"{a.id}"', add)
                    if add and r.random() < c.report:
                        self.report(b, a, now + self.lag(20), add, "")
                    if add and r.random() < c.block:
                        self.block(b, a, now + self.lag(30), add)
                    if add and r.random() < c.reply:
                        self.say(b, room, now + 2 * MIN, size, add)
                shill = r.choice(lot)
                if root and shill is not a:
                    self.emit(start + MIN, "group.joined", shill, of)
                for k in range(r.randrange(3, 14) if root else 0):
                    who = shill if k % 3 == 2 else a
                    self.say(who, room, ts + self.lag(7200 * (k + 1), 0.4), size, root, True)

    def pile_on(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Many accounts flood one person within hours."""
        r, c = self.rng, self.terms(family)
        b, day = r.choice(self.by["flood_victim"]), r.randrange(1, DAYS)
        start = max(self.at(b, day, 10, 21), max(a.born for a in lot) + HOUR)
        for a in lot:
            ts, root = start + r.randrange(90 * MIN), ""
            self.session(a, ts - MIN)
            for _ in range(r.randrange(6, 60)):
                eid, got, _ = self.msg(a, b, ts, root, True, 0, "", r.randrange(60, 900))
                root = root or eid
                ts += self.lag(14, 0.8)
                if not eid or (not got and r.random() < 0.4):
                    break
                if r.random() < c.block / 3:
                    self.block(b, a, ts, root)
            if root and r.random() < 3 * c.report:
                self.report(b, a, ts + 5 * MIN, root, root)

    def false_reporter(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Report honest rivals together, some after a question that draws an answer."""
        r, c = self.rng, replace(self.terms(family), turns=0.5, follow=0)
        marks = r.sample(self.by["false_report_victim"], 2) + r.sample(self.by["small_shop"], 2)
        for mark in marks:
            start = self.clock(mark, r.randrange(1, DAYS))
            for a in lot:
                ts = max(start + r.randrange(5 * HOUR), a.born + HOUR)
                if r.random() < 0.45 and (a.i, mark.i) not in self.met:
                    root, hit = self.cold(a, mark, ts, c, True)
                    if hit:
                        self.report(a, mark, hit + self.lag(600), root, "", "spam")
                elif r.random() < 0.8:
                    self.session(a, ts)
                    why = r.choice(("scam", "impersonation", "spam"))
                    self.report(a, mark, ts + MIN, "", "", why)
        for a in lot:
            self.camouflage(lot, a, 0.15)

    def warm_ring(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Chat in a ring for a week, with contacts and answers, then write to strangers."""
        r, c = self.rng, replace(self.terms(family), turns=1.0, types=0.5, follow=0)
        turn = r.randrange(5, 9)
        for a in lot:
            for b in r.sample(lot, min(4, len(lot))):
                if b is not a:
                    self.emit(self.clock(a, first + 1), "contact.added", a, f',"peer":"{b.id}"')
                    a.book.add(b.i)
            self.camouflage(lot, a, 1.6, turn)
            for day in range(turn, turn + r.randrange(2, 4)):
                ts = self.at(a, day, 9, 18)
                self.session(a, ts - MIN)
                for _ in range(r.randrange(15, 45)):
                    b, ts = self.stranger(a), ts + self.lag(75, 0.6)
                    if b:
                        self.cold(a, b, ts, c, True)

    def room_lurker(self, family: str, lot: list[Account], first: int, days: int) -> None:
        """Join groups by link, stay a day, then write to members as "support"."""
        r, c, f = self.rng, self.terms(family), FAMILIES[family]
        for a in lot:
            room, members, _, _ = r.choice([x for x in self.rooms if len(x[1]) > 8])
            self.emit(
                max(self.clock(a, max(0, first - 1)), a.born + MIN),
                "group.joined",
                a,
                f',"group":"{room}"',
            )
            for day in range(first, min(DAYS, first + days)):
                ts = max(self.at(a, day, 9, 20), a.born + DAY if a.born else 0)
                self.session(a, ts - MIN)
                for _ in range(r.randint(*f.per_day)):
                    b = self.pick(members if r.random() < 0.6 else self.good, a)
                    ts += self.lag(f.gap)
                    if b and not b.bad:
                        self.cold(a, b, ts, c, True)

    def hijacks(self, count: int) -> None:
        """Chains: a taken account asks its contacts for the code; who sends it is taken next."""
        r, family = self.rng, "hijack_chain"
        taken: set[int] = set()
        pool = [
            a
            for a in self.good
            if a.kind in ("ordinary", "student", "parent") and not a.born and a.dead == FOREVER
        ]
        easy = {a.i for a in pool}
        while len(taken) < count:
            self.ops += 1
            op, c = f"op{self.ops:03d}", replace(self.terms(family), turns=1.5, answer=90, follow=0)
            cloud = f"{r.choice((45, 143, 185))}.{r.randrange(8, 250)}.{r.randrange(256)}"
            limit = min(count, len(taken) + r.randint(*FAMILIES[family].team))
            queue: list[tuple[Account, int]] = []
            while len(taken) < limit:
                if not queue:
                    a = r.choice(pool)
                    queue.append((a, self.clock(a, r.randrange(1, DAYS - 2))))
                a, ts = queue.pop(0)
                if a.i in taken or ts > END - 6 * HOUR:
                    continue
                taken.add(a.i)
                a.bad, a.operator = True, op
                back = ts + self.lag(9 * 3600, 0.7)
                a.mute = (ts, back)
                self.session(a, ts, f"{cloud}.{r.randrange(1, 255)}", f"d{r.getrandbits(40):010x}")
                for b in a.friends[:40]:
                    ts += self.lag(25, 0.7)
                    if ts >= back or b.i in taken:
                        continue
                    root, hit = self.cold(a, b, ts, c, True)
                    if hit and b.i in easy and r.random() < 0.6:
                        queue.append((b, hit + self.lag(1800, 0.8)))
                    span = self.blocks.get((b.i, a.i))
                    if span and r.random() < 0.7:
                        free = max(back, span[0]) + self.lag(5 * 3600)
                        self.blocks[b.i, a.i] = (span[0], free)
                        self.emit(free, "user.unblocked", b, f',"peer":"{a.id}"')
                    if back < END:  # the owner's word to the contacts, wanted
                        self.msg(a, b, back + self.lag(600), root)
                self.session(a, back + 10_000)

    # ---- output ----------------------------------------------------------------------------------

    def write(self, out: Path) -> None:
        """Write the four files."""
        out.mkdir(parents=True, exist_ok=True)
        order = np.argsort(np.array(self.ts, dtype=np.int64), kind="stable").tolist()
        with (out / "events.jsonl").open("w") as f:
            f.writelines(self.lines[n] for n in order)
        with (out / "truth.csv").open("w") as f:
            f.write("id,unwanted,because\n")
            f.writelines(self.truth)
        everyone = sorted(self.people, key=lambda a: a.id)
        with (out / "labels.csv").open("w", newline="") as f:
            rows = csv.writer(f, lineterminator="\n")
            rows.writerow(("account", "label", "family", "operator"))
            for a in everyone:
                family = "hijack_chain" if a.bad and a.kind in PERSONAS else a.kind
                rows.writerow((a.id, "abusive" if a.bad else "benign", family, a.operator))
        with (out / "passes.csv").open("w", newline="") as f:
            rows = csv.writer(f, lineterminator="\n")
            rows.writerow(("account", "passes", "delay_s"))
            for a in everyone:
                if a.bad:
                    name = "hijack_chain" if a.kind in PERSONAS else a.kind
                    chance, median = FAMILIES[name].passes
                else:
                    slow = a.kind in ("elderly", "clinic_reminder", "alert_bot")
                    chance, median = (0.88, 5400.0) if slow else (0.955, 1100.0)
                passes = int(self.rng.random() < chance)
                rows.writerow((a.id, passes, max(5, self.lag(median, 1.0) // SEC)))


def main() -> None:
    """Build a world and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", choices=sorted(HIDDEN), default="full")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    world = World(args.seed, args.coverage, args.scale)
    abusive = round(world.total * 0.08)
    world.settle(world.total - abusive)
    world.rooms_of_people()
    world.abuse(abusive)
    world.trades()
    world.background()
    world.write(args.out)


if __name__ == "__main__":
    main()
