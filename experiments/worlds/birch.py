"""Birch: a synthetic messenger world of everyday life, to test an abuse detector unseen.

Twelve days from Thursday 12 March 2026: two market days, two weekends, a festival, and Eid on the
20th. People live in ten countries; circles of friends, households, classes and crews talk; trades
people, couriers, sellers and helpers write to strangers. Abusers are patient, cheap or organised.

    python birch.py OUT --seed 1 --coverage full|gateway|matrix [--scale 1.0]

writes events.jsonl, labels.csv, truth.csv and passes.csv into OUT. Chats are made one by one (not
by a clock) and sorted at the end. `because` names the first message of a chat (between friends:
of that sitting) or the group add. All messages of an abusive account to somebody outside its own
operation are unwanted, also while the victim still believes them.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START = 1_773_273_600_000  # 2026-03-12T00:00:00Z, a Thursday
SEC, MIN, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
DAYS = 12
END = START + DAYS * DAY
NEVER = 1 << 62
EID = 8  # index of Friday 20 March
MEAN_OPEN = 0.37  # mean openness of people towards strangers

# country: calling code, hours east of UTC, share of people, share who greet on Eid
COUNTRIES = {
    "in": ("91", 5.5, 0.20, 0.10), "br": ("55", -3, 0.16, 0.0), "ng": ("234", 1, 0.12, 0.35),
    "id": ("62", 7, 0.13, 0.55), "de": ("49", 1, 0.07, 0.04), "mx": ("52", -6, 0.09, 0.0),
    "ke": ("254", 3, 0.08, 0.06), "tr": ("90", 3, 0.06, 0.55), "es": ("34", 1, 0.05, 0.02),
    "ph": ("63", 8, 0.04, 0.05),
}  # fmt: skip

# persona: count at scale 1, sittings with friends in the window, openness to strangers from-to,
# friends from-to
PERSONAS: dict[str, tuple[int, float, float, float, int, int]] = {
    "everyday": (2500, 5.0, 0.2, 0.6, 4, 14), "family_home": (1100, 5.0, 0.15, 0.5, 3, 9),
    "student": (750, 8.0, 0.25, 0.6, 6, 18), "elderly": (450, 2.5, 0.2, 0.7, 2, 8),
    "parent": (550, 4.5, 0.25, 0.6, 5, 14), "lurker": (350, 0.8, 0.0, 0.02, 1, 5),
    "accessible": (150, 4.0, 0.2, 0.5, 3, 10), "carrier_nat": (350, 5.0, 0.2, 0.6, 4, 12),
    "shared_phone": (150, 2.5, 0.2, 0.6, 2, 8), "migrant": (180, 5.0, 0.3, 0.7, 4, 12),
    "student_abroad": (150, 6.0, 0.25, 0.6, 5, 14), "prayer_circle": (250, 4.0, 0.25, 0.6, 6, 16),
    "campus_intake": (220, 3.0, 0.4, 0.8, 2, 6), "company_rollout": (130, 2.0, 0.2, 0.5, 1, 4),
    "sim_promo": (120, 3.0, 0.2, 0.6, 4, 12), "new_number": (90, 4.0, 0.2, 0.6, 15, 50),
    "festival_goer": (250, 4.0, 0.4, 0.8, 4, 12), "dating": (200, 4.0, 0.3, 0.6, 3, 9),
    "courier": (100, 3.0, 0.3, 0.6, 3, 9), "ride_driver": (70, 3.0, 0.5, 0.8, 3, 9),
    "tradesman": (120, 3.0, 0.7, 0.95, 6, 20), "market_seller": (160, 3.0, 0.7, 0.95, 5, 15),
    "bargain_buyer": (250, 4.0, 0.2, 0.6, 4, 12), "job_seeker": (130, 3.0, 0.4, 0.8, 3, 10),
    "support_desk": (20, 0.3, 0.85, 0.95, 0, 2), "small_shop": (120, 2.0, 0.75, 0.95, 8, 30),
    "notifier": (10, 0.0, 0.0, 0.0, 0, 0), "event_organiser": (50, 5.0, 0.4, 0.8, 15, 40),
    "class_teacher": (50, 4.0, 0.4, 0.8, 6, 14), "community_admin": (30, 5.0, 0.4, 0.8, 8, 25),
    "newcomer": (200, 3.0, 0.3, 0.7, 2, 8), "radio_station": (6, 0.0, 0.06, 0.14, 0, 3),
    "false_report_victim": (25, 3.0, 0.7, 0.95, 5, 15), "flood_victim": (12, 4.0, 0.2, 0.6, 4, 12),
    "funeral_herald": (25, 3.0, 0.3, 0.6, 6, 14), "coop_agent": (25, 3.0, 0.5, 0.8, 30, 60),
    "blood_volunteer": (20, 4.0, 0.4, 0.8, 6, 16), "room_letter": (40, 3.0, 0.5, 0.9, 4, 12),
    "flat_hunter": (120, 4.0, 0.3, 0.6, 4, 12), "reunion_seeker": (25, 4.0, 0.3, 0.6, 6, 16),
    "crew_boss": (25, 3.0, 0.5, 0.8, 6, 16), "crew_worker": (150, 2.5, 0.4, 0.8, 3, 9),
}  # fmt: skip
IN_WINDOW = {"campus_intake", "company_rollout", "sim_promo", "new_number"}
FRESH = {"new_number", "sim_promo"}  # friends do not have the number yet
BUSINESS = {"support_desk", "small_shop", "false_report_victim", "tradesman"}


@dataclass(frozen=True)
class Reach:
    """Honest writing to strangers: on how many days, how often, when, to whom, and what follows."""

    days: int
    per: tuple[int, int]
    hours: tuple[float, float]
    to: tuple[str, ...] = ()
    reply: float = 0.35
    turns: tuple[int, int] = (1, 3)
    block: float = 0.004
    report: float = 0.0003
    add: float = 0.12
    media: str | None = None
    same: int = 0  # size of a text pasted again and again


REACH = {
    "courier": Reach(9, (6, 24), (8, 19), reply=0.24, turns=(1, 2), add=0.01, same=142),
    "ride_driver": Reach(8, (3, 9), (6, 23), reply=0.5, turns=(1, 3), add=0.02),
    "bargain_buyer": Reach(4, (2, 5), (9, 23), ("market_seller", "small_shop"), 0.33, (2, 7)),
    "job_seeker": Reach(5, (2, 6), (9, 18), ("small_shop", "tradesman", "everyday", "crew_boss"),
                        0.2, (1, 4), 0.006, media="document", same=610),
    "flat_hunter": Reach(5, (2, 5), (8, 22), ("room_letter", "everyday"), 0.3, (1, 6), 0.005),
    "dating": Reach(6, (1, 3), (18, 24.5), ("dating",), 0.3, (3, 22), 0.03, 0.003, add=0.25),
    "migrant": Reach(4, (1, 4), (8, 21), reply=0.33, turns=(1, 5)),
    "blood_volunteer": Reach(2, (18, 45), (10, 13), reply=0.3, turns=(1, 3), block=0.006,
                             same=388),
    "funeral_herald": Reach(1, (35, 110), (18, 21), reply=0.42, turns=(1, 2), add=0.1, same=275),
    "reunion_seeker": Reach(4, (5, 14), (17, 22), reply=0.45, turns=(1, 5), add=0.35, same=330),
    "crew_boss": Reach(9, (5, 14), (17, 21), ("crew_worker", "migrant", "job_seeker"), 0.3, (1, 3),
                       same=190),
    "tradesman": Reach(6, (0, 2), (9, 19), reply=0.45, turns=(1, 4), media="image"),
    "elderly": Reach(1, (0, 1), (9, 20), reply=0.3, turns=(1, 2)),  # wrong numbers
    "everyday": Reach(2, (0, 1), (9, 22), reply=0.36, turns=(1, 4)),
    "event_organiser": Reach(4, (3, 10), (10, 21), reply=0.4, turns=(1, 4), block=0.006, same=244),
}  # fmt: skip
# host persona: how many strangers write to it in the window, hours, turns after the first message
INBOUND = {
    "support_desk": ((50, 140), (8, 20), (2, 6)), "small_shop": ((6, 26), (8, 21), (1, 5)),
    "tradesman": ((3, 16), (7, 20), (2, 5)), "radio_station": ((120, 320), (6, 10), (1, 2)),
    "false_report_victim": ((8, 26), (8, 21), (1, 5)), "market_seller": ((2, 8), (7, 22), (1, 5)),
    "room_letter": ((4, 12), (8, 22), (1, 4)), "ride_driver": ((4, 16), (6, 23), (1, 3)),
}  # fmt: skip

# family: accounts, operators, network, reply lo-hi, block lo-hi, report lo-hi, passes,
# share registered in the window, real phones
FAMILIES: dict[str, tuple[int, int, str, tuple[float, ...], float, float, bool]] = {
    "loud_blast": (70, 6, "dc", (0.01, 0.04, 0.12, 0.25, 0.04, 0.10), 0.12, 0.9, False),
    "slow_drip": (50, 4, "proxy", (0.04, 0.12, 0.05, 0.12, 0.01, 0.04), 0.45, 0.4, False),
    "swarm": (110, 3, "proxy", (0.02, 0.07, 0.07, 0.16, 0.02, 0.06), 0.25, 0.8, False),
    "aged_bought": (45, 4, "proxy", (0.02, 0.07, 0.08, 0.18, 0.02, 0.07), 0.35, 0.0, False),
    "ai_paced": (40, 3, "proxy", (0.09, 0.15, 0.04, 0.10, 0.01, 0.04), 0.5, 0.5, True),
    "romance": (35, 4, "carrier", (0.10, 0.20, 0.03, 0.09, 0.01, 0.03), 0.8, 0.4, True),
    "task_scam": (45, 3, "carrier", (0.06, 0.13, 0.06, 0.14, 0.02, 0.06), 0.7, 0.6, True),
    "one_shot": (90, 4, "proxy", (0.02, 0.10, 0.05, 0.15, 0.02, 0.06), 0.15, 1.0, False),
    "click_farm": (50, 3, "carrier", (0.03, 0.08, 0.06, 0.14, 0.01, 0.05), 0.95, 0.5, True),
    "group_adder": (24, 4, "dc", (0.02, 0.05, 0.06, 0.14, 0.02, 0.06), 0.3, 0.7, False),
    "flood": (30, 5, "proxy", (0.01, 0.05, 0.2, 0.25, 0.05, 0.10), 0.2, 0.8, False),
    "false_reporter": (36, 4, "proxy", (0.3, 0.4, 0.01, 0.03, 0.005, 0.01), 0.6, 0.5, True),
    "under_caps": (36, 3, "proxy", (0.05, 0.10, 0.03, 0.07, 0.01, 0.02), 0.6, 0.3, True),
    "warmup_ring": (50, 3, "proxy", (0.02, 0.07, 0.07, 0.15, 0.02, 0.06), 0.4, 1.0, False),
    "hi_mum": (30, 3, "proxy", (0.08, 0.15, 0.08, 0.18, 0.03, 0.08), 0.3, 1.0, True),
    "fake_buyer": (30, 3, "proxy", (0.2, 0.3, 0.05, 0.12, 0.01, 0.05), 0.5, 0.5, True),
    "infiltrator": (30, 3, "proxy", (0.04, 0.10, 0.08, 0.16, 0.03, 0.08), 0.35, 0.5, False),
    "rented_companion": (30, 2, "dc", (0.02, 0.06, 0.06, 0.15, 0.02, 0.06), 0.75, 0.0, True),
    "hijack_chain": (55, 5, "proxy", (0.08, 0.15, 0.04, 0.10, 0.02, 0.07), 0.0, 0.0, True),
}


@dataclass(frozen=True)
class Plan:
    """A family that only writes first messages: on so many days (0: the two after registration)."""

    days: int
    per: tuple[int, int]
    hours: tuple[float, float]
    how: dict[str, Any]
    to: tuple[str, ...] = ()
    ring: int = 0  # chats inside the team for each account


FREE: dict[str, Any] = {"size": None, "media": None}  # no pasted text
PLANS = {
    # a few strangers each day, for ever, with one reminder
    "slow_drip": Plan(DAYS, (1, 5), (8, 22), {"follow": 1, "turns": (1, 4)}),
    # many small accounts, each sends a handful on two days
    "swarm": Plan(0, (2, 6), (9, 21), {"turns": (1, 2)}),
    # a language model writes: unequal texts, typing, human pauses, long chats
    "ai_paced": Plan(11, (3, 9), (8, 23), {"turns": (4, 18), "add": 0.1, "pace": 2.0, **FREE}),
    # workers with racks of real phones behind a carrier, in a day shift
    "click_farm": Plan(7, (10, 26), (8, 17), {"turns": (1, 4)}, ring=3),
    # "Hi mum, this is my new number", from fresh numbers
    "hi_mum": Plan(0, (8, 24), (9, 20), {"turns": (3, 9), "add": 0.25, "pace": 1.5},
                   ("elderly", "parent", "everyday")),
    # writes to sellers, who answer everyone, and lures them to a false payment page
    "fake_buyer": Plan(7, (2, 8), (9, 22), {"turns": (2, 7), **FREE},
                       ("market_seller", "room_letter", "small_shop", "tradesman", "everyday")),
}  # fmt: skip


@dataclass(eq=False)
class Acct:
    """One account: who stands behind it, and what it did so far."""

    id: str
    persona: str
    cc: str
    phone: str
    ips: list[str]
    device: str
    client: str
    open: float
    act: float = 0.0
    family: str = ""  # abuse family; empty for honest people
    op: Operator | None = None
    born: int = 0  # registration, if inside the window
    gone: int = NEVER
    attested: bool = True
    types: bool = True
    receipts: bool = True
    remote: bool = False  # on another federated server: sessions unseen
    channel: str = "personal"
    link: tuple[str, str, str] | None = None  # companion: device, client, address
    move: tuple[int, list[str]] | None = None
    swap: tuple[int, str] | None = None  # from when on another device
    pause: tuple[int, int] = (NEVER, NEVER)  # the owner is locked out
    friends: list[Acct] = field(default_factory=list)
    book: dict[str, int] = field(default_factory=dict)
    sends: list[tuple[int, bool]] = field(default_factory=list)


@dataclass(eq=False)
class Operator:
    """Who runs abusive accounts: one plan, one list of targets, one text, one kind of network."""

    id: str
    cc: str
    ips: list[str]
    reply: float
    block: float
    report: float
    size: int
    passes: float
    used: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Group:
    """A group and since when (and until when) its members belong to it."""

    id: str
    since: dict[Acct, list[int]] = field(default_factory=dict)

    def at(self, t: float) -> list[Acct]:
        """Members at time t."""
        return [a for a, (lo, hi) in self.since.items() if lo <= t < hi]


def js(value: Any) -> str:
    """A JSON scalar; texts here never need escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


class World:
    """The log, and the acts from which honest and abusive behaviour is composed."""

    def __init__(self, seed: int, coverage: str, scale: float) -> None:
        self.rng = random.Random(seed * 7919 + 17)
        self.coverage, self.scale = coverage, scale
        self.log: list[tuple[int, int, str]] = []
        self.truth: list[tuple[int, int, str, bool, str]] = []
        self.seen: set[str] = set()
        self.n = 0
        self.people: list[Acct] = []
        self.bad: list[Acct] = []
        self.by: dict[str, list[Acct]] = defaultdict(list)
        self.land: dict[str, list[Acct]] = defaultdict(list)
        self.blocked: dict[tuple[str, str], int] = {}
        self.read_at: dict[tuple[str, str], float] = {}  # (reader, sender): last reading
        self.open_groups: list[Group] = []
        self.ids: set[str] = set()
        r = self.rng
        self.nat = {c: [f"{r.randint(36, 49)}.{r.randint(1, 250)}.{r.randint(0, 255)}."
                        f"{r.randint(1, 254)}" for _ in range(14)] for c in COUNTRIES}  # fmt: skip
        self.groups_on = coverage != "gateway"
        no_gate = {"session.started", "typing.started", "message.read", "account.deleted"}
        no_matrix = {"typing.started", "message.read", "message.delivered", "contact.looked_up",
                     "message.undeliverable", "contact.added", "consent.granted",
                     "consent.revoked"}  # fmt: skip
        self.no_kind = {"full": set(), "gateway": no_gate, "matrix": no_matrix}[coverage]
        self.no_field = {
            "full": set(),
            "gateway": {"in_contacts", "ip", "device", "client", "attested", "media", "broadcast"},
            "matrix": {"phone", "in_contacts", "attested", "channel", "template", "category",
                       "broadcast", "attempts"},
        }[coverage]  # fmt: skip
        self.keep = {"full": {}, "gateway": {"account.registered": 0.1, "user.blocked": 0.35,
                     "user.reported": 0.5}, "matrix": {"user.blocked": 0.05}}[coverage]  # fmt: skip

    # ---- primitives ----

    def emit(self, ts: float, kind: str, who: str, root: str = "", unwanted: bool = False,
             **fields: Any) -> str:  # fmt: skip
        """Log one event if the coverage shows it; returns its id in any case."""
        self.n += 1
        eid = f"{self.n * 2_654_435_761 % 4_294_967_296:08x}"
        ts = int(ts)
        if not START <= ts < END or kind in self.no_kind:
            return eid
        if not self.groups_on and kind[:5] in ("group", "conta"):
            return eid
        if kind in self.keep and self.rng.random() > self.keep[kind]:
            return eid
        hide = self.no_field
        tail = "".join([f',"{k}":{js(v)}' for k, v in fields.items()
                        if v is not None and k not in hide])  # fmt: skip
        self.log.append(
            (ts, self.n, f'{{"id":"{eid}","ts":{ts},"type":"{kind}","account":"{who}"{tail}}}\n')
        )
        self.seen.add(who)
        if "peer" in fields:
            self.seen.add(fields["peer"])
        if root or unwanted:
            self.truth.append((ts, self.n, eid, unwanted, root))
        return eid

    def count(self, n: float) -> int:
        """A number of accounts at this scale, at least one."""
        return max(1, round(n * self.scale))

    def new_id(self) -> str:
        """A fresh opaque account id (with a server name on a federated system)."""
        while True:
            x = f"{self.rng.getrandbits(48):012x}"
            if x not in self.ids:
                self.ids.add(x)
                server = min(19, int(self.rng.expovariate(0.35)))
                return f"@{x}:srv{server}.example" if self.coverage == "matrix" else x

    def ip(self, kind: str = "home") -> str:
        """A random address of a home, a data centre or a residential proxy."""
        r = self.rng
        if kind == "home" and r.random() < 0.15:
            return f"2a0{r.randint(0, 9)}:{r.randint(16, 9999):x}:{r.getrandbits(16):x}::1"
        first = r.randint(160, 168) if kind == "dc" else r.randint(77, 125)
        return f"{first}.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}"

    def phone(self, cc: str, near: int | None = None) -> str:
        """A mobile number, random or at an offset inside one block."""
        body = self.rng.randint(10**8, 10**9 - 1) if near is None else near
        return f"+{COUNTRIES[cc][0]}{7 + body % 3}{body:09d}"[:16]

    def gadget(self) -> tuple[str, str]:
        """Device and client of an ordinary phone; some old clients tell only the model."""
        r = self.rng
        client = r.choice(("android/26.3.1", "android/26.3.1", "android/26.2.4", "android/25.11.0",
                           "ios/26.3.0", "ios/26.2.2"))  # fmt: skip
        if r.random() < 0.06:
            return r.choice(("a10s", "y20", "redmi-9a", "itel-a56", "spark-8c")), "android/24.8.2"
        return f"{r.getrandbits(52):013x}", client

    def when(self, p: Acct, day: int, lo: float = 7.0, hi: float = 22.5) -> float:
        """A moment of the local day between two hours, evenings more often."""
        h = lo + (hi - lo) * (1 - self.rng.random() ** 1.25)
        return START + day * DAY + (h - COUNTRIES[p.cc][1]) * HOUR

    def awake(self, p: Acct, t: float) -> float:
        """t, or the next morning if it is night where p lives."""
        tz = COUNTRIES[p.cc][1]
        h = ((t - START) / HOUR + tz) % 24
        if h < 6.0 and self.rng.random() < 0.88:
            return t + (6.3 - h + self.rng.random() * 2.5) * HOUR
        return t

    def wait(self, median: float) -> float:
        """A lognormal delay around a median, in ms."""
        return median * math.exp(self.rng.gauss(0, 0.9))

    def send(self, a: Acct, b: Acct, t: float, root: str = "", unwanted: bool = False, *,
             size: int | None = None, media: str | None = None, linked: bool = False,
             typed: float = 0.45, force: bool = False, **extra: Any,
             ) -> tuple[str, float | None] | None:  # fmt: skip
        """One private message with typing, delivery and reading; None if it cannot happen.

        Returns its id and when the recipient read it (None: never).
        """
        r = self.rng
        if t < max(START, a.born, b.born) or t >= min(END, a.gone, b.gone):
            return None
        if not force and a.pause[0] <= t < a.pause[1]:
            return None
        if a.types and not linked and r.random() < typed:
            start = max(t - r.randint(1500, 24_000), a.born + SEC, START)
            if (seen := self.read_at.get((a.id, b.id), 0)) < t:
                start = max(start, seen + 400)  # nobody types an answer before reading
            if start < t:
                self.emit(start, "typing.started", a.id, root, peer=b.id)
        if media is None:
            x = r.random()
            media = "none" if x < 0.74 else "image" if x < 0.86 else "audio" if x < 0.93 else (
                "sticker" if x < 0.97 else "video")  # fmt: skip
        if size is None:
            size = int(60 + self.wait(90)) if media == "none" else int(self.wait(90_000))
        known = b.book.get(a.id, NEVER) <= t
        mid = self.emit(t, "message.sent", a.id, root, unwanted, peer=b.id, size=size, media=media,
                        in_contacts=known, **extra)  # fmt: skip
        a.sends.append((int(t), linked))
        top = root or mid
        if self.blocked.get((b.id, a.id), NEVER) <= t:
            self.emit(t + 180, "message.undeliverable", a.id, top, peer=b.id, reason="blocked")
            return mid, None
        x = r.random()
        late = 0.3 + 3 * r.random() if x < 0.68 else r.expovariate(1 / 1100.0) + 4
        if x > 0.92:
            late = r.expovariate(1 / 11_000.0) + 60
        if x > 0.985:
            self.emit(t + 2 * DAY, "message.undeliverable", a.id, top, peer=b.id, reason="expired")
            return mid, None
        td = t + late * SEC
        self.emit(td, "message.delivered", b.id, top, peer=a.id, message=mid)
        if r.random() > (0.95 if known else 0.86):
            return mid, None
        tr = self.awake(b, td + self.wait((1.5 if known else 11) * MIN))
        self.read_at[b.id, a.id] = tr
        if b.receipts:
            self.emit(tr, "message.read", b.id, top, peer=a.id, message=mid)
        return mid, tr

    def talk(self, a: Acct, b: Acct, t: float, n: int, root: str, bad: bool = False,
             pace: float = 1.0, **kw: Any) -> float:  # fmt: skip
        """Up to n further messages of a chat, b first; returns the time of the last one."""
        who, last = b, t
        for _ in range(n):
            other = a if who is b else b
            got = self.send(who, other, t, root, bad and who is a, **(kw if who is a else {}))
            if got is None:
                break
            last = t
            if got[1] is None:
                break
            t = self.awake(other, got[1] + min(self.wait(40 * SEC * pace), 8 * HOUR))
            if self.rng.random() < 0.75:
                who = other
        return last

    def block(self, b: Acct, a: Acct, t: float, root: str) -> None:
        """b blocks a."""
        if START <= t < END and (b.id, a.id) not in self.blocked:
            self.blocked[b.id, a.id] = int(t)
            self.emit(t, "user.blocked", b.id, root, peer=a.id)

    def report(self, b: Acct, a: Acct, t: float, root: str, message: str | None) -> None:
        """b reports a."""
        reason = self.rng.choices(("spam", "scam", "other", "impersonation"), (6, 3, 1, 0.5))[0]
        self.emit(t, "user.reported", b.id, root, peer=a.id, reason=reason, message=message)

    def approach(self, a: Acct, b: Acct, t: float, *, reply: float, turns: tuple[int, int] = (1, 3),
                 block: float = 0.004, report: float = 0.0003, add: float = 0.1, follow: int = 0,
                 pace: float = 3.0, bad: bool = False, **kw: Any,
                 ) -> tuple[str, bool, float] | None:  # fmt: skip
        """a writes first to b; b may answer, block or report.

        `reply` is the mean rate, scaled by how open b is. Returns the id of the first message,
        whether b answered, and when the chat ended.
        """
        r = self.rng
        got = self.send(a, b, t, "", bad, **kw)
        if got is None:
            return None
        mid, tr = got
        end, answered = t, False
        if tr is not None:
            told, shut = r.random() < report / 0.84, r.random() < block / 0.84
            chance = min(0.95, reply / 0.84 * b.open / MEAN_OPEN) * (0.3 if told or shut else 1)
            end = tr
            if r.random() < chance:
                answered = True
                t1 = self.awake(b, tr + min(self.wait(2 * MIN * pace), 20 * HOUR))
                end = self.talk(a, b, t1, r.randint(*turns), mid, bad, pace, **kw)
                if r.random() < add and (end := end + r.randint(5, 900) * SEC) < END:
                    b.book.setdefault(a.id, int(end))
                    self.emit(end, "contact.added", b.id, mid, peer=a.id)
            te = max(tr, end) + self.wait(50 * SEC)
            if told:
                self.report(b, a, te, mid, mid if r.random() < 0.8 else None)
                shut = shut or r.random() < 0.5
            if shut:
                self.block(b, a, te + r.randint(1, 20) * SEC, mid)
        if not answered:
            for i in range(follow):
                self.send(a, b, t + (i + 1) * DAY * r.uniform(0.5, 1.3), mid, bad, **kw)
        return mid, answered, end

    def group(self, owner: Acct, t: float | None = None) -> Group:
        """A new group, or (without t) one that is older than the window."""
        g = Group(f"g{self.rng.getrandbits(44):011x}")
        g.since[owner] = [int(t or 0), NEVER]
        if t is not None:
            self.emit(t, "group.created", owner.id, group=g.id)
            owner.sends.append((int(t), False))
        return g

    def add(self, g: Group, by: Acct, who: Acct, t: float, bad: bool = False) -> str:
        """by adds who to the group."""
        if t < max(who.born, by.born, START) or t >= END or who in g.since:
            return ""
        g.since[who] = [int(t), NEVER]
        return self.emit(t, "group.member_added", by.id, "", bad, group=g.id, peer=who.id)

    def join(self, g: Group, who: Acct, t: float) -> None:
        """who joins by link."""
        if who not in g.since and max(who.born, START) <= t < END:
            g.since[who] = [int(t), NEVER]
            self.emit(t, "group.joined", who.id, group=g.id)
            who.sends.append((int(t), False))

    def leave(self, g: Group, who: Acct, t: float, by: Acct | None, root: str) -> None:
        """who leaves a group to which `by` had added it."""
        if who in g.since and t < END:
            g.since[who][1] = int(t)
            self.emit(t, "group.left", who.id, root, group=g.id, peer=by.id if by else None)

    def post(self, g: Group, who: Acct, t: float, root: str = "", bad: bool = False,
             size: int | None = None) -> None:  # fmt: skip
        """A message to a group (this platform logs no receipts of group messages)."""
        lo, hi = g.since.get(who, (NEVER, NEVER))
        if not max(lo, START, who.born) <= t < min(hi, END) or who.pause[0] <= t < who.pause[1]:
            return
        r = self.rng
        if who.types and r.random() < 0.3 and t - 9 * SEC > max(lo, START):
            self.emit(t - r.randint(2, 9) * SEC, "typing.started", who.id, root, group=g.id)
        media = r.choices(("none", "image", "video", "audio", "document"), (70, 18, 4, 6, 2))[0]
        self.emit(t, "message.sent", who.id, root, bad, group=g.id, media=media,
                  size=size or int(60 + self.wait(110 if media == "none" else 90_000)),
                  recipients=max(0, len(g.at(t)) - 1))  # fmt: skip
        who.sends.append((int(t), False))

    def chatter(self, g: Group, n: float, lo: float = 7, hi: float = 22) -> None:
        """About n messages in a group: few members write most of them, in bursts."""
        members = list(g.since)
        for _ in range(int(n * self.rng.uniform(0.5, 1.5) / 3)):
            who = members[int(len(members) * self.rng.random() ** 2)]
            t = self.when(who, self.rng.randrange(DAYS), lo, hi)
            for _ in range(self.rng.randint(1, 5)):
                self.post(g, who, t)
                t += self.wait(70 * SEC)
                who = self.rng.choice(members)

    # ---- people ----

    def person(self, persona: str, cc: str | None = None, born: int = 0) -> Acct:
        """An honest account with the usual habits."""
        r = self.rng
        if cc is None:
            cc = r.choices(list(COUNTRIES), [c[2] for c in COUNTRIES.values()])[0]
        _, act, lo, hi, *_ = PERSONAS.get(persona, PERSONAS["everyday"])
        device, client = self.gadget()
        ips = [self.ip()] * 4 + r.sample(self.nat[cc], 2)
        p = Acct(self.new_id(), persona, cc, self.phone(cc), ips, device, client, r.uniform(lo, hi),
                 act * r.lognormvariate(-0.2, 0.6), born=born)  # fmt: skip
        if r.random() < 0.08 and persona not in REACH and persona not in INBOUND:
            p.open = 0.0
        p.attested, p.receipts = r.random() < 0.93, r.random() < 0.84
        p.types = r.random() < 0.9 and persona != "accessible"
        p.remote = self.coverage == "matrix" and r.random() < 0.2
        if persona in BUSINESS:
            p.channel = "business_app"
        if persona == "notifier":
            p.channel, p.types, p.receipts = "business_platform", False, False
        desk = persona in ("support_desk", "small_shop", "company_rollout", "event_organiser")
        if r.random() < (0.8 if desk else 0.2):
            p.link = (f"{r.getrandbits(52):013x}", r.choice(("web/2.3", "desktop/5.1")), ips[0])
        self.people.append(p)
        self.by[persona].append(p)
        self.land[cc].append(p)
        return p

    def settle(self) -> None:
        """Make the honest population: who lives, works and registers where."""
        r = self.rng
        for persona, (count, *_) in PERSONAS.items():
            for _ in range(self.count(count)):
                p = self.person(persona)
                if persona not in IN_WINDOW and r.random() < 0.055:
                    p.born = int(self.when(p, r.randrange(DAYS)))
                    if p.born < START:
                        p.born = 0
        self.home("family_home", (2, 6), 0.25)
        self.home("shared_phone", (2, 4), 1.0)
        for p in self.by["carrier_nat"]:
            p.ips = [self.nat[p.cc][0]]
        for p in self.by["migrant"] + self.by["student_abroad"]:
            abroad = r.choice([c for c in COUNTRIES if c != p.cc])
            there = [self.ip()] * 2 + r.sample(self.nat[abroad], 2)
            if p.persona == "migrant":
                p.move = (int(START + r.uniform(0, 10) * DAY), there)
            else:
                p.ips = there
        for persona, size, hours in (("campus_intake", 110, (18, 22)), ("sim_promo", 60, (9, 20)),
                                     ("company_rollout", 65, (8, 17))):  # fmt: skip
            for n, p in enumerate(self.by[persona]):
                if n % size == 0:
                    cc, day, ip = p.cc, r.randint(1, 6), self.ip("isp")
                    base = r.randint(10**8, 9 * 10**8)
                self.land[p.cc].remove(p)
                p.cc = cc
                self.land[cc].append(p)
                p.ips = [ip] * 3 + [r.choice(self.nat[cc])]
                if persona == "sim_promo":
                    p.ips = [self.ip()] * 2 + r.sample(self.nat[cc], 2)
                p.phone = self.phone(cc)
                if persona == "sim_promo":
                    base += r.randint(1, 9)
                    p.phone = self.phone(cc, base)
                p.born = int(self.when(p, day, *hours))
        for p in self.by["new_number"]:
            p.born = int(self.when(p, r.randint(1, 10), 8, 21))
        cells = self.ip("isp")
        for p in self.by["festival_goer"]:
            p.ips = [p.ips[0], cells]
        for people in self.land.values():
            r.shuffle(people)
            for i, p in enumerate(people):
                lo, hi = PERSONAS[p.persona][4:]
                near = people[max(0, i - i % 24) : i - i % 24 + 24]
                for _ in range(r.randint(lo, hi) // 2):
                    q = r.choice(near if r.random() < 0.8 else people)
                    self.befriend(p, q)
        for p in self.by["community_admin"]:
            g = self.group(p)
            for q in self.strangers(p, (), r.randint(40, 160)):
                g.since[q] = [q.born, NEVER]
            self.open_groups.append(g)
            self.chatter(g, 90)

    def home(self, persona: str, size: tuple[int, int], share: float) -> None:
        """Households: one address, one country, sometimes one device; they know one another."""
        r, rest = self.rng, list(self.by[persona])
        while rest:
            house = [rest.pop() for _ in range(min(len(rest), r.randint(*size)))]
            one = r.random() < share
            for p in house:
                self.land[p.cc].remove(p)
                p.cc, p.ips = house[0].cc, house[0].ips
                self.land[p.cc].append(p)
                p.phone = self.phone(p.cc)
                if one:
                    p.device, p.client = house[0].device, house[0].client
            for i, p in enumerate(house):
                for q in house[:i]:
                    self.befriend(p, q)
            if persona == "family_home" and len(house) > 2:
                g = self.group(house[0])
                g.since.update({p: [p.born, NEVER] for p in house})
                self.chatter(g, 16)

    def befriend(self, p: Acct, q: Acct) -> None:
        """Two people who know each other; new accounts are added to address books later."""
        if p is q or q in p.friends:
            return
        p.friends.append(q)
        q.friends.append(p)
        for a, b in ((p, q), (q, p)):
            if self.rng.random() < 0.06:
                continue
            if a.born or b.born:
                if b.persona not in FRESH:  # b's number gets into a's address book
                    t = max(a.born, b.born) + self.rng.expovariate(1 / DAY)
                    if a.persona in FRESH or t < END:
                        t = a.born + 4 * SEC if a.persona in FRESH and not b.born else t
                        a.book[b.id] = int(t)
                        if t > a.born + MIN:
                            self.emit(t, "contact.added", a.id, peer=b.id)
            else:
                a.book[b.id] = 0

    def strangers(self, a: Acct, to: tuple[str, ...], n: int,
                  used: set[str] | None = None) -> list[Acct]:  # fmt: skip
        """n different people whom a has not met, of the same country if enough are left there."""
        used = {a.id, *(f.id for f in a.friends)} if used is None else used
        pool, every = self.land[a.cc], self.people
        if to:
            every = [p for k in to for p in self.by[k]]
            pool = [p for p in every if p.cc == a.cc]
        if len(pool) < 2 * n + 4 or sum(p.id in used for p in pool[:200]) > 0.5 * len(pool[:200]):
            pool = every
        out: list[Acct] = []
        for _ in range(6 * n):
            p = self.rng.choice(pool)
            if p.id not in used and p.persona != "notifier":
                used.add(p.id)
                out.append(p)
                if len(out) == n:
                    break
        return out

    # ---- honest life ----

    def live(self) -> None:
        """All that honest people do beside chats with friends."""
        r = self.rng
        for p in list(self.people):
            plan, host = REACH.get(p.persona), INBOUND.get(p.persona)
            used = {p.id, *(f.id for f in p.friends)}
            for day in r.sample(range(DAYS), plan.days) if plan else ():
                for q in self.strangers(p, plan.to, r.randint(*plan.per), used=used):
                    size = plan.same + r.randint(0, 24) if r.random() < 0.8 and plan.same else None
                    t = self.when(p, day, *plan.hours)
                    self.approach(
                        p,
                        q,
                        t,
                        reply=plan.reply,
                        turns=plan.turns,
                        block=plan.block,
                        report=plan.report,
                        add=plan.add,
                        **({"size": size, "media": plan.media} if size else {}),
                    )
            if host:
                n, hours, turns = host
                for q in self.strangers(p, (), r.randint(*n), used=used):
                    t = self.when(q, r.randrange(DAYS), *hours)
                    self.approach(q, p, t, reply=0.4, turns=turns, block=0.002, add=0.1)
            if p.persona == "reunion_seeker":
                n = r.randint(60, 150)
                t = max(self.when(p, 0, 9, 20), p.born + MIN)
                self.emit(t, "contact.looked_up", p.id, count=n, hits=int(n * r.uniform(0.4, 0.8)))
        self.announce()
        self.cohorts()
        self.greetings()
        self.business()
        if self.groups_on:
            self.gatherings()

    def announce(self) -> None:
        """New numbers: everyone whom the owner knows gets to hear of it."""
        r = self.rng
        for p in self.by["new_number"] + self.by["sim_promo"] + self.by["hijack_owner"]:
            t = p.born + r.uniform(4, 50) * MIN
            for q in p.friends:
                t += self.wait(22 * SEC)
                self.approach(p, q, t, reply=0.45, turns=(1, 4), add=0.6, block=0.003, pace=4,
                              size=138 + r.randint(0, 3), media="none", typed=0.1)  # fmt: skip

    def cohorts(self) -> None:
        """Campus, company, SIM promotion and festival: strangers who meet and write."""
        r = self.rng
        for persona, size, n, reply in (("campus_intake", 110, (3, 12), 0.4),
                                        ("company_rollout", 65, (2, 9), 0.5),
                                        ("festival_goer", 125, (4, 14), 0.35)):  # fmt: skip
            everyone = self.by[persona]
            for i in range(0, len(everyone), size):
                crowd = everyone[i : i + size]
                t0 = max(p.born for p in crowd[:3]) or self.when(crowd[0], 2, 12, 14)
                g = self.group(crowd[0], t0 + 2 * MIN)
                self.open_groups.append(g)
                for p in crowd[1:]:
                    late = max(p.born, t0) + r.expovariate(1 / (3 * HOUR))
                    if persona == "company_rollout":
                        self.add(g, crowd[0], p, late)
                    elif r.random() < 0.7:
                        self.join(g, p, late)
                for p in crowd:
                    k = min(r.randint(*n), len(crowd) - 1)
                    for q in r.sample(crowd, k):
                        if q is p or q in p.friends:
                            continue
                        p.friends.append(q)
                        q.friends.append(p)
                        t = max(p.born, q.born, t0) + r.expovariate(1 / (14 * HOUR)) + MIN
                        self.approach(p, q, self.awake(p, t), reply=reply, turns=(1, 6), add=0.45)
                self.chatter(g, 1.2 * len(crowd))

    def greetings(self) -> None:
        """Eid: many write to everyone they know in one morning; the old send daily pictures."""
        r = self.rng
        for p in list(self.people):
            if p.channel == "personal" and r.random() < COUNTRIES[p.cc][3] and p.friends:
                t = self.when(p, EID, 6, 11)
                far = self.strangers(p, (), r.randint(0, 4))
                for q in p.friends + far:
                    t += self.wait(15 * SEC)
                    self.approach(p, q, t, reply=0.4, turns=(1, 2), add=0.0, block=0.001, size=402,
                                  media="image", typed=0.05)  # fmt: skip
        for p in self.by["elderly"] + self.by["prayer_circle"]:
            if r.random() < 0.3 and len(p.friends) > 3:
                for day in r.sample(range(DAYS), 5):
                    t = self.when(p, day, 5.5, 8)
                    for q in p.friends:
                        self.approach(
                            p,
                            q,
                            t,
                            reply=0.08,
                            turns=(1, 1),
                            add=0,
                            block=0.0004,
                            broadcast=True,
                            media="image",
                            size=88_000,
                            typed=0,
                        )
                        t += 40

    def business(self) -> None:
        """Notices of platforms, news of shops and of farming co-operatives to their own people."""
        r = self.rng
        for p in self.by["notifier"]:
            kind = r.choice(("utility", "utility", "authentication", "marketing"))
            for q in self.strangers(p, (), self.count(r.randint(300, 800))):
                q.book.setdefault(p.id, 0 if r.random() < 0.3 else NEVER)
                t = self.when(q, r.randrange(1, DAYS), 8, 21)
                agreed = max(t - r.uniform(1, 20) * HOUR, q.born + MIN)
                self.emit(agreed, "consent.granted", q.id, business=p.id, category=kind)
                got = self.approach(p, q, t, reply=0.01, turns=(1, 1), add=0, typed=0, media="none",
                                    block=0.01 if kind == "marketing" else 0.001,
                                    template=f"t{p.id[1:5]}", category=kind,
                                    size=230 + r.randint(0, 9))  # fmt: skip
                if got and kind == "marketing" and r.random() < 0.02:
                    self.emit(t + HOUR, "consent.revoked", q.id, business=p.id, category=kind)
        for p in self.by["small_shop"] + self.by["coop_agent"]:
            days = (5, 8, 10) if p.persona == "coop_agent" else r.sample(range(DAYS), 2)
            mates = p.friends + self.strangers(p, (), r.randint(5, 30))
            for q in mates:
                if r.random() < 0.8:
                    q.book.setdefault(p.id, 0)
            for day in days:
                t, size = self.when(p, day, 6, 9), r.randint(200, 420)
                for q in mates:
                    t += 60 if p.persona == "small_shop" else self.wait(12 * SEC)
                    self.approach(p, q, t, reply=0.1, turns=(1, 3), add=0, block=0.002, typed=0.05,
                                  broadcast=p.persona == "small_shop" or None, size=size,
                                  media="none")  # fmt: skip

    def gatherings(self) -> None:
        """Groups of classes, streets, prayer circles, crews and events; newcomers join them."""
        r = self.rng
        for persona, head, n, posts in (("parent", "class_teacher", (15, 28), 45),
                                        ("student", "student", (8, 30), 40),
                                        ("prayer_circle", "prayer_circle", (10, 40), 50),
                                        ("crew_worker", "crew_boss", (6, 18), 30)):  # fmt: skip
            heads = self.by[head] if head != persona else self.by[head][:: sum(n) // 2]
            for p in heads:
                new = r.random() < 0.35
                t = self.when(p, r.randint(0, 7), 9, 19)
                if t < max(START, p.born):
                    continue
                g = self.group(p, t if new else None)
                for q in self.strangers(p, (persona,), r.randint(*n)):
                    t += self.wait(6 * SEC)
                    if not new:
                        g.since[q] = [q.born, NEVER]
                    elif (eid := self.add(g, p, q, t)) and r.random() < 0.02:
                        self.leave(g, q, t + self.wait(5 * HOUR), p, eid)
                self.chatter(g, posts)
        for p in self.by["event_organiser"] + self.by["reunion_seeker"]:
            t = self.when(p, r.randint(1, 8), 10, 21)
            if t < p.born:
                continue
            g = self.group(p, t)
            for q in p.friends + self.strangers(p, (), r.randint(5, 25)):
                t += self.wait(5 * SEC)
                if (eid := self.add(g, p, q, t)) and r.random() < 0.06:
                    late = t + self.wait(3 * HOUR)
                    self.leave(g, q, late, p, eid)
                    if r.random() < 0.05:
                        self.block(q, p, late + 5 * SEC, eid)
            self.chatter(g, 40)
        for p in self.by["newcomer"]:
            for g in r.sample(self.open_groups, min(len(self.open_groups), r.randint(1, 3))):
                t = self.when(p, r.randrange(DAYS - 1), 8, 22)
                self.join(g, p, t)
                self.post(g, p, t + self.wait(5 * MIN))
                members = g.at(t)
                for q in r.sample(members, min(len(members), r.randint(0, 4))):
                    if q is not p and q not in p.friends:
                        late = self.awake(p, t + self.wait(3 * HOUR))
                        self.approach(p, q, late, reply=0.38, turns=(1, 6), block=0.008)

    def friends_chat(self) -> None:
        """Sittings of people who have each other's number: the bulk of all traffic."""
        r = self.rng
        for p in self.people:
            for _ in range(int(p.act + r.random()) if p.friends else 0):
                q = p.friends[int(len(p.friends) * r.random() ** 2)]
                t = self.when(p, r.randrange(DAYS))
                if t < START or p.book.get(q.id, NEVER) > t:
                    continue
                got = self.send(p, q, t, linked=bool(p.link) and r.random() < 0.3)
                if got and got[1] and r.random() < 0.85:
                    late = self.awake(q, got[1] + min(self.wait(45 * SEC), 5 * HOUR))
                    self.talk(p, q, late, r.choice((1, 2, 2, 3, 4, 6, 9)), got[0])

    # ---- abuse ----

    def operator(self, family: str, k: int, net: str, rates: tuple[float, ...],
                 passes: float) -> Operator:  # fmt: skip
        """An operator with its own rates inside the range of the family."""
        r = self.rng
        cc = r.choices(list(COUNTRIES), [c[2] for c in COUNTRIES.values()])[0]
        if net == "dc":
            base = self.ip("dc").rsplit(".", 1)[0]
            ips = [f"{base}.{r.randint(2, 250)}" for _ in range(r.randint(2, 6))]
        elif net == "carrier":
            ips = r.sample(self.nat[cc], 2)
        else:
            ips = [self.ip("isp") for _ in range(r.randint(15, 60))]
        lo = [r.uniform(rates[i], rates[i + 1]) for i in (0, 2, 4)]
        return Operator(f"{family}-{k}", cc, ips, *lo, r.randint(110, 420),
                        min(0.95, passes * r.uniform(0.7, 1.2)))  # fmt: skip

    def villain(self, family: str, op: Operator, born: float = 0, real: bool = False) -> Acct:
        """An abusive account made (or bought) by an operator."""
        r = self.rng
        device, client = self.gadget()
        if not real and r.random() < 0.5:
            device = f"{(op.size * 31 + len(op.id) + r.randint(0, 4)) * 48_271**3 % 2**52:013x}"
        ips = op.ips if real else r.sample(op.ips, min(len(op.ips), r.randint(1, 3)))
        a = Acct(self.new_id(), family, op.cc, self.phone(op.cc), ips, device, client,
                 0.5, family=family, op=op, born=int(born))  # fmt: skip
        a.attested = r.random() < (0.95 if real else 0.35)
        a.types, a.receipts = real, r.random() < 0.6
        if family in ("swarm", "one_shot", "loud_blast") and r.random() < 0.5:
            a.phone = self.phone(op.cc, op.size * 10**6 + len(op.used) + r.randint(0, 900))
        self.bad.append(a)
        return a

    def hit(self, a: Acct, q: Acct, t: float, **kw: Any) -> tuple[str, bool, float] | None:
        """An unwanted first message, at the rates of the operator."""
        op = a.op
        args: dict[str, Any] = {"reply": op.reply, "block": op.block, "report": op.report,
                                "add": 0.02, "bad": True, "pace": 3.0, "media": "none",
                                "typed": 0.9 if a.types else 0.0,
                                "size": op.size + self.rng.randint(-2, 6)}  # fmt: skip
        return self.approach(a, q, t, **(args | kw))

    def ghost(self, a: Acct, t: float) -> None:
        """A number from a guessed list that belongs to nobody."""
        peer = self.new_id()
        mid = self.emit(t, "message.sent", a.id, peer=peer, size=a.op.size, media="none")
        self.emit(t + 900, "message.undeliverable", a.id, mid, peer=peer, reason="not_registered")

    def ring(self, team: list[Acct], n: int, lo: int, hi: int) -> None:
        """Accounts of one operator chat with one another, so that they look alive."""
        r = self.rng
        for _ in range(n if len(team) > 1 else 0):
            a, b = r.sample(team, 2)
            t = self.when(a, r.randint(lo, hi), 8, 23)
            if a.book.setdefault(b.id, int(t)) == int(t) and t > a.born:
                self.emit(t, "contact.added", a.id, peer=b.id)
            if t < START or t < a.born:
                continue
            got = self.send(a, b, t + 5 * SEC)
            if got and got[1]:
                self.talk(a, b, got[1] + 20 * SEC, r.randint(1, 5), got[0])

    def prey(self) -> None:
        """Run every family of abuse that the coverage can carry."""
        r = self.rng
        for family, (n, ops, net, rates, passes, fresh, real) in FAMILIES.items():
            if family in ("group_adder", "infiltrator") and not self.groups_on:
                continue
            total, k = self.count(n), max(1, round(ops * math.sqrt(min(1, self.scale))))
            for i in range(k):
                op = self.operator(family, i, net, rates, passes)
                size = total // k + (i < total % k)
                if family in ("hijack_chain", "rented_companion"):
                    getattr(self, family)(op, size)
                    continue
                team = []
                for _ in range(size):
                    born = START + r.uniform(0.1, 6) * DAY if r.random() < fresh else 0
                    if family in ("one_shot", "swarm", "hi_mum") and born:
                        born = START + r.uniform(0.1, 11) * DAY
                    if family == "warmup_ring":
                        born = START + r.uniform(0.1, 2.5) * DAY
                    team.append(self.villain(family, op, born, real))
                if family in PLANS:
                    self.routine(PLANS[family], team)
                else:
                    getattr(self, family)(op, team)

    def rounds(self, a: Acct, days: list[int], per: tuple[int, int], lo: float, hi: float,
               to: tuple[str, ...] = (), **kw: Any) -> list[tuple[Acct, str, float]]:  # fmt: skip
        """First messages on some days within some hours; returns the chats that were answered."""
        out = []
        for day in days:
            if START + (day + 1) * DAY < a.born:
                continue
            for q in self.strangers(a, to, self.rng.randint(*per), used=a.op.used):
                got = self.hit(a, q, max(self.when(a, day, lo, hi), a.born + 3 * MIN), **kw)
                if got and got[1]:
                    out.append((q, got[0], got[2]))
        return out

    def routine(self, plan: Plan, team: list[Acct]) -> None:
        """Work through a plan."""
        for a in team:
            day = int((a.born - START) / DAY) if a.born else self.rng.randrange(DAYS - 1)
            days = self.rng.sample(range(DAYS), plan.days) if plan.days else [day, day + 1]
            self.rounds(a, sorted(days), plan.per, *plan.hours, plan.to, **plan.how)
        self.ring(team, plan.ring * len(team), 0, DAYS - 1)

    def loud_blast(self, op: Operator, team: list[Acct]) -> None:
        """SIM banks and emulators: hundreds of messages in hours, then the number is burnt."""
        r = self.rng
        for a in team:
            t = (a.born or START + r.uniform(0.2, 10) * DAY) + r.uniform(5, 90) * MIN
            n = r.randint(50, 230)
            self.emit(t - MIN, "contact.looked_up", a.id, count=n * r.randint(2, 9), hits=n)
            for q in self.strangers(a, (), n):
                t += self.wait(25 * SEC)
                self.hit(a, q, t, turns=(1, 2))
                if self.coverage == "gateway" and r.random() < 0.18 and START <= t + SEC < END:
                    self.ghost(a, t + SEC)
            if r.random() < 0.3:
                a.gone = int(t + 3 * HOUR)
                self.emit(a.gone, "account.deleted", a.id)

    def aged_bought(self, op: Operator, team: list[Acct]) -> None:
        """Years old, quiet, then a new owner on a new device works through a list."""
        r = self.rng
        for a in team:
            day = r.randint(3, 10)
            a.move, a.ips = (START + day * DAY, a.ips), [self.ip()]
            a.swap = (START + day * DAY, f"{r.getrandbits(52):013x}")
            self.rounds(a, [day, day + 1], (18, 50), 9, 20, turns=(1, 3))
        self.ring(team, 2 * len(team), 0, 4)

    def romance(self, op: Operator, team: list[Acct]) -> None:
        """Some openings a day; whoever answers is courted for days."""
        r = self.rng
        for a in team:
            caught = self.rounds(a, list(range(6)), (2, 7), 10, 23, turns=(3, 10), add=0.35,
                                 size=None, media=None)  # fmt: skip
            for q, root, end in caught:
                day = int((end - START) / DAY) + 1
                while day < DAYS and r.random() < 0.86:
                    t = self.when(q, day, 8, 23)
                    day += 1
                    if t < end + HOUR:
                        continue
                    got = self.send(a, q, t, root, True, typed=0.8)
                    if got and got[1]:
                        late = got[1] + self.wait(2 * MIN)
                        end = self.talk(a, q, late, r.randint(3, 14), root, True, 2.0)
                if day < DAYS and r.random() < 0.4:
                    self.report(q, a, end + HOUR, root, root)
                    self.block(q, a, end + HOUR + MIN, root)

    def task_scam(self, op: Operator, team: list[Acct]) -> None:
        """Recruiters offer well paid tasks; who answers lands in a group where shills rejoice."""
        r = self.rng
        shills, recruiters = team[: len(team) // 4], team[len(team) // 4 :]
        for a in recruiters:
            caught = self.rounds(a, list(range(1, 9)), (4, 14), 9, 19, turns=(4, 12), add=0.08)
            if not caught or not self.groups_on:
                continue
            caught.sort(key=lambda c: c[2])
            t = caught[0][2] + HOUR
            g = self.group(a, t)
            for s in shills:
                self.add(g, a, s, t + 5 * SEC)
            for q, root, end in caught:
                late = max(end + self.wait(5 * HOUR), t + MIN)
                if (a.id in (b for v, b in self.blocked if v == q.id)) or late >= END:
                    continue
                if not self.add(g, a, q, late, True):
                    continue
                for _ in range(r.randint(1, 6)):
                    self.post(g, q, late + self.wait(9 * HOUR), root)
                if r.random() < 0.35:
                    gone = late + self.wait(12 * HOUR)
                    self.leave(g, q, gone, a, root)
                    if r.random() < 0.3:
                        self.report(q, a, gone + MIN, root, None)
            for s in [*shills, a]:
                for _ in range(r.randint(3, 9)):
                    self.post(g, s, t + r.uniform(0.1, 5) * DAY, caught[0][1], True)

    def one_shot(self, op: Operator, team: list[Acct]) -> None:
        """A number sends one to four messages and is thrown away."""
        r = self.rng
        for a in team:
            t = a.born + self.wait(4 * MIN)
            for q in self.strangers(a, (), r.randint(1, 4), used=op.used):
                self.hit(a, q, t, turns=(1, 3))
                t += self.wait(40 * SEC)
            if r.random() < 0.55:
                a.gone = int(t + self.wait(8 * HOUR))
                self.emit(a.gone, "account.deleted", a.id)

    def group_adder(self, op: Operator, team: list[Acct]) -> None:
        """Groups of strangers with advertising; many leave at once."""
        r = self.rng
        for a in team:
            for _ in range(r.randint(1, 3)):
                t = (a.born or START) + r.uniform(0.1, 5) * DAY
                g, first = self.group(a, t), ""
                for q in self.strangers(a, (), r.randint(35, 140), used=op.used):
                    t += self.wait(4 * SEC)
                    eid = self.add(g, a, q, t, True)
                    if not eid:
                        continue
                    first = first or eid
                    late = self.awake(q, t + self.wait(2 * HOUR))
                    x = r.random()
                    if x < 0.28:
                        self.leave(g, q, late, a, eid)
                    if x < op.report:
                        self.report(q, a, late + 8 * SEC, eid, None)
                    if r.random() < op.block:
                        self.block(q, a, late + 15 * SEC, eid)
                    elif r.random() < op.reply:
                        self.post(g, q, late, eid)
                for _ in range(r.randint(2, 14) if first else 0):
                    t += self.wait(4 * HOUR)
                    self.post(g, a, t, first, True, op.size)

    def flood(self, op: Operator, team: list[Acct]) -> None:
        """Revenge for hire: some accounts drown one person in messages."""
        r = self.rng
        v = r.choice(self.by["flood_victim"])
        t0 = max([a.born for a in team] + [v.born, START]) + r.uniform(0.2, 4) * DAY
        for a in team:
            t, root = t0 + r.uniform(0, 90) * MIN, ""
            if r.random() < 0.65:
                self.blocked[v.id, a.id] = int(t + self.wait(25 * MIN))
            for _ in range(r.randint(25, 130)):
                got = self.send(a, v, t, root, True, size=op.size, media="none")
                root = root or (got[0] if got else "")
                t += self.wait(14 * SEC)
            cut = self.blocked.get((v.id, a.id))
            if root and cut:
                self.emit(cut, "user.blocked", v.id, root, peer=a.id)
                if r.random() < 0.5:
                    self.report(v, a, cut + 2 * SEC, root, root)

    def false_reporter(self, op: Operator, team: list[Acct]) -> None:
        """Competitors hire accounts that bait a shop into an answer and report it, or just report.

        The bait is an unwanted message; the report is the aim.
        """
        r = self.rng
        pool = self.by["false_report_victim"]
        for v in r.sample(pool, min(len(pool), 5)):
            day = r.randint(2, DAYS - 2)
            for a in r.sample(team, max(1, len(team) * 3 // 4)):
                t = self.when(v, day + r.randint(0, 1), 9, 21)
                if t < max(a.born, v.born, START):
                    continue
                if r.random() < 0.5 and (got := self.send(a, v, t, "", True)) and got[1]:
                    answer = self.send(v, a, got[1] + self.wait(6 * MIN), got[0])
                    if answer and answer[1]:
                        self.report(a, v, answer[1] + self.wait(3 * MIN), got[0], answer[0])
                        if r.random() < 0.6:
                            self.block(a, v, answer[1] + 2 * HOUR, got[0])
                else:
                    self.report(a, v, t + r.randint(5, 600) * SEC, "", None)
                    a.sends.append((int(t), False))
        self.ring(team, len(team), 0, DAYS - 1)

    def under_caps(self, op: Operator, team: list[Acct]) -> None:
        """Never more than six strangers a day, well apart, and a chatty ring for the ratios."""
        r = self.rng
        for a in team:
            for day in range(DAYS):
                h = 8.0 + r.random()
                for q in self.strangers(a, (), r.randint(3, 6), used=op.used):
                    h += r.uniform(0.9, 2.6)
                    t = START + day * DAY + (h - COUNTRIES[a.cc][1]) * HOUR
                    self.hit(a, q, t, turns=(1, 5), size=None, media=None)
        self.ring(team, 8 * len(team), 0, DAYS - 1)

    def warmup_ring(self, op: Operator, team: list[Acct]) -> None:
        """Days of chat with one another, a shared group, and only then the campaign."""
        self.ring(team, 10 * len(team), 1, 6)
        g = self.group(team[0], max(a.born for a in team) + HOUR)
        for a in team[1:]:
            self.add(g, team[0], a, g.since[team[0]][0] + self.wait(10 * MIN))
        self.chatter(g, 2 * len(team))
        for a in team:
            start = self.rng.randint(7, 9)
            self.rounds(a, list(range(start, DAYS)), (8, 24), 9, 20, turns=(1, 3))

    def infiltrator(self, op: Operator, team: list[Acct]) -> None:
        """Joins open groups, keeps still for a day or two, then writes to members one by one."""
        r = self.rng
        for a in team:
            for g in r.sample(self.open_groups, min(len(self.open_groups), 2)):
                t = max(self.when(a, r.randint(0, 7), 8, 22), a.born + HOUR, START)
                self.join(g, a, t)
                t += r.uniform(0.5, 2.5) * DAY
                members = [m for m in g.at(t) if m.id not in op.used and not m.op]
                for q in r.sample(members, min(len(members), r.randint(6, 22))):
                    op.used.add(q.id)
                    t = self.awake(a, t + self.wait(35 * MIN))
                    self.hit(a, q, t, turns=(1, 4))

    def recruit(self, op: Operator, a: Acct, family: str) -> None:
        """An honest account falls into the hands of an operator."""
        a.family, a.op = family, op
        self.people.remove(a)
        self.land[a.cc].remove(a)
        self.by[a.persona].remove(a)
        self.bad.append(a)

    def ordinary(self) -> Acct:
        """Somebody with friends and an account from before the window."""
        while True:
            p = self.rng.choice(self.by[self.rng.choice(("everyday", "student", "family_home"))])
            if not p.born and len(p.friends) > 3:
                return p

    def rented_companion(self, op: Operator, n: int) -> None:
        """People rent out their account: a companion of the operator sends beside their life."""
        r = self.rng
        for _ in range(n):
            a = self.ordinary()
            self.recruit(op, a, "rented_companion")
            a.link = (f"{r.getrandbits(52):013x}", "web/2.3", r.choice(op.ips))
            first = r.randint(1, 6)
            self.rounds(a, list(range(first, min(DAYS, first + r.randint(3, 5)))), (12, 45), 1, 7,
                        turns=(1, 2), linked=True)  # fmt: skip

    def hijack_chain(self, op: Operator, n: int) -> None:
        """A taken account asks its owner's friends for their code; who gives it is next."""
        r = self.rng
        queue: list[tuple[Acct, float]] = []
        for _ in range(n):
            if not queue:
                queue.append((self.ordinary(), START + r.uniform(0.5, 7) * DAY))
            v, t = queue.pop(0)
            if v.op or t > END - DAY:
                v, t = self.ordinary(), START + r.uniform(0.5, 8) * DAY
            self.recruit(op, v, "hijack_chain")
            back = t + self.wait(16 * HOUR)
            v.pause = (int(t), int(back))
            stolen = r.random() < 0.5  # else through a companion that the owner linked unaware
            if stolen:
                v.swap = (int(t), f"{r.getrandbits(52):013x}")
            v.move = (int(t), r.sample(op.ips, 2))
            v.link = v.link if stolen else (f"{r.getrandbits(52):013x}", "web/2.3", op.ips[0])
            for q in r.sample(v.friends, max(1, int(len(v.friends) * r.uniform(0.5, 1)))):
                t += self.wait(30 * SEC)
                if q.op or t > back:
                    continue
                got = self.hit(v, q, t, turns=(2, 5), pace=0.6, force=True, linked=not stolen)
                if got and got[1] and not q.born and len(q.friends) > 3 and r.random() < 0.6:
                    queue.append((q, got[2] + self.wait(30 * MIN)))
            for q in v.friends if r.random() < 0.5 else ():  # the owner is back and warns
                back += self.wait(20 * SEC)
                self.send(v, q, back, size=160, media="none")
            if r.random() < 0.4 and v.pause[0] + 2 * HOUR < END:
                s = self.person("hijack_owner", v.cc, int(v.pause[0] + r.uniform(1, 9) * HOUR))
                s.ips, s.friends = v.ips, list(v.friends)
                s.book = dict(v.book)

    # ---- sessions, files ----

    def arrive(self) -> None:
        """Registrations, and sessions that fit what each account did."""
        r = self.rng
        for p in self.people + self.bad:
            if p.remote:
                continue
            if p.born:
                how = r.choices(("sms", "voice", "flash"), (88, 8, 4))[0]
                if self.coverage == "matrix":
                    how = "email" if r.random() < (0.55 if p.op else 0.8) else "none"
                self.emit(p.born, "account.registered", p.id, phone=p.phone, ip=r.choice(p.ips),
                          device=p.device, client=p.client, attested=p.attested,
                          verification=how, channel=p.channel,
                          attempts=r.choices((1, 2, 3, 5), (84, 11, 3, 2))[0])  # fmt: skip
                self.session(p, p.born + 2 * SEC, False)
                if not p.op:
                    n = max(1, int(self.wait(110)))
                    self.emit(p.born + 6 * SEC, "contact.looked_up", p.id, count=n,
                              hits=int(n * r.uniform(0.25, 0.7)))  # fmt: skip
            times = sorted(p.sends)
            idle = 0.15 if p.op else 0.75
            for day in range(DAYS):
                if r.random() < idle:
                    times.append((int(self.when(p, day)), False))
                if p.link and not p.op and r.random() < 0.45:
                    times.append((int(self.when(p, day, 9, 20)), True))
            last = {False: 0, True: 0}
            for t, linked in sorted(times):
                if p.born <= t < p.gone and t - last[linked] > r.uniform(3, 8) * HOUR:
                    last[linked] = t
                    self.session(p, max(t - r.randint(20, 150) * SEC, p.born + 3 * SEC), linked)

    def session(self, p: Acct, t: float, linked: bool) -> None:
        """One connection, from the phone or from the companion."""
        ips, device = p.ips, p.device
        if p.move and t >= p.move[0] and (p.pause[0] == NEVER or t < p.pause[1]):
            ips = p.move[1]
        if p.swap and t >= p.swap[0] - 3 * MIN and (p.pause[0] == NEVER or t < p.pause[1]):
            device = p.swap[1]
        if linked and p.link:
            self.emit(t, "session.started", p.id, ip=p.link[2], device=p.link[0], client=p.link[1],
                      linked=True)  # fmt: skip
        else:
            self.emit(t, "session.started", p.id, ip=self.rng.choice(ips), device=device,
                      client=p.client, linked=False)  # fmt: skip

    def write(self, out: Path) -> None:
        """Sort the log and write the four files."""
        r = self.rng
        out.mkdir(parents=True, exist_ok=True)
        self.log.sort()
        with (out / "events.jsonl").open("w") as f:
            f.writelines(line for _, _, line in self.log)
        self.truth.sort()
        with (out / "truth.csv").open("w") as f:
            f.write("id,unwanted,because\n")
            f.writelines(f"{e},{int(u)},{b}\n" for _, _, e, u, b in self.truth)
        accounts = [p for p in self.people + self.bad if p.id in self.seen]
        r.shuffle(accounts)
        with (out / "labels.csv").open("w") as f, (out / "passes.csv").open("w") as g:
            f.write("account,label,family,operator\n")
            g.write("account,passes,delay_s\n")
            for p in accounts:
                slow = {"elderly": 0.88, "lurker": 0.9, "shared_phone": 0.9}
                chance = p.op.passes if p.op else slow.get(p.persona, 0.955)
                ok = r.random() < chance
                delay = min(int(self.wait(240 if p.op else 1500)) + 15, 2 * 86_400)
                f.write(f"{p.id},{'abusive' if p.op else 'benign'},{p.family or p.persona},"
                        f"{p.op.id if p.op else ''}\n")  # fmt: skip
                g.write(f"{p.id},{int(ok)},{delay if ok else 0}\n")


def main() -> None:
    """Make one world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", choices=("full", "gateway", "matrix"), default="full")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    world = World(args.seed, args.coverage, args.scale)
    world.settle()
    world.prey()
    world.live()
    world.friends_chat()
    world.arrive()
    world.write(args.out)


if __name__ == "__main__":
    main()
