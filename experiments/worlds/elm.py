"""Elm: a synthetic world of a private messenger, written blind to any detector.

Usage: python elm.py OUT --seed 1 --coverage full|gateway|matrix [--scale 1.0]

Writes events.jsonl, labels.csv, truth.csv and passes.csv. The world is simulated as on a rich
platform; the two poorer coverages are projections of it (and on a gateway, group scams are run
as direct messages, because a gateway has no groups).
"""

from __future__ import annotations

import argparse
import csv
import gc
import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SEC, MIN, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
T0 = 1_772_409_600_000  # 2026-03-02 00:00 UTC, a Monday
DAYS = 12
END = T0 + DAYS * DAY
NEVER = END * 2

WAKING = [1, 0, 0, 0, 0, 1, 3, 6, 7, 6, 6, 6, 8, 7, 6, 6, 7, 9, 10, 11, 12, 11, 7, 3]
OFFICE = [0, 0, 0, 0, 0, 0, 0, 1, 6, 10, 10, 10, 6, 8, 10, 10, 9, 5, 1, 0, 0, 0, 0, 0]
EVENING = [2, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 4, 3, 2, 2, 3, 5, 8, 11, 12, 11, 8, 4]
ROUND_CLOCK = [1] * 24
HOURS = {"WAKING": WAKING, "OFFICE": OFFICE, "EVENING": EVENING, "ROUND_CLOCK": ROUND_CLOCK}


def table(text: str, **usual: Any) -> dict[str, SimpleNamespace]:
    """Read rows "name key=value ...;" where commas make tuples and s and m are times in ms."""

    def value(word: str) -> Any:
        if "," in word:
            return tuple(value(w) for w in word.split(",") if w)
        if word[0].isdigit():
            unit = {"s": SEC, "m": MIN}.get(word[-1])
            return float(word[:-1]) * unit if unit else float(word) if "." in word else int(word)
        return HOURS.get(word, word)

    rows = [row.split() for row in text.split(";") if row.strip()]
    return {
        row[0]: SimpleNamespace(**usual | {k: value(v) for k, v in (w.split("=") for w in row[1:])})
        for row in rows
    }


# Honest people. new: share that registers in the window; open: how readily they answer strangers;
# typing: share of messages with a typing event. The rows from shared_phone on are hard to tell.
PERSONAS = table(
    """
everyday count=4300; household count=800 friends=4;
student count=600 typing=0.5 active=1.6 friends=9;
elder count=420 open=0.3,0.8 typing=0.2 active=0.6 friends=3;
never_answers count=380 open=0.0,0.03; carrier_nat count=450;
roamer count=240 new=0.15 active=1.1; bargain_buyer count=320; parent count=420;
shared_phone count=130 new=0.1 friends=4; no_typing_aid count=150 typing=0.0;
parcel_rider count=120; flea_seller count=150; job_hunter count=150 open=0.5,0.8;
dater count=210 open=0.4,0.8 active=1.2; help_desk count=24 friends=2 channel=business_app;
corner_shop count=60 new=0.2 friends=3 channel=business_app; fest_planner count=32;
class_teacher count=50; room_warden count=30; radio_host count=6 friends=3 channel=business_app;
fresh_number count=100 new=1.0 friends=9; abroad_student count=100 new=0.5 active=1.3;
camp_arrival count=230 new=1.0; firm_rollout count=150 new=1.0;
sim_promo count=120 new=1.0 friends=4; fair_goer count=170; smeared count=40; flooded count=16;
near_hijack count=32; returned_owner count=26 new=1.0; parish_caller count=36;
flat_letter count=42; pet_seeker count=22;
clinic_desk count=12 new=0.2 friends=0 channel=business_platform;
code_sender count=4 new=0.25 friends=0 channel=business_platform; funeral_herald count=26;
doorstep_canvasser count=30; strike_steward count=20;
""",
    new=0.04,
    open=(0.2, 0.7),
    typing=0.35,
    active=1.0,
    friends=6,
    channel="",
)

# How personas write to strangers: range a day, share of days, and the rates of what follows.
OUTREACH = table(
    """
parcel_rider per_day=8,34 days=0.75 reply=0.28 block=0.003 turns=1,3 hours=OFFICE dead=0.02;
flea_seller per_day=2,12 days=0.6 reply=0.55 block=0.009 report=0.001 turns=2,8
    whom=bargain_buyer,;
bargain_buyer per_day=1,4 days=0.35 reply=0.6 block=0.003 turns=2,8 whom=flea_seller,;
job_hunter per_day=1,9 days=0.55 reply=0.33 block=0.003 turns=1,5 hours=OFFICE;
dater per_day=1,9 days=0.6 reply=0.34 block=0.012 report=0.002 turns=2,16 hours=EVENING
    whom=dater,;
help_desk per_day=1,6 days=0.6 reply=0.5 block=0.002 hours=OFFICE;
flat_letter per_day=2,14 days=0.4 reply=0.7 block=0.004 turns=1,5;
parish_caller per_day=5,22 days=0.45 reply=0.58 block=0.003 turns=1,5 whom=elder,;
pet_seeker per_day=6,40 days=0.3 reply=0.45 block=0.006 report=0.001 turns=1,4;
doorstep_canvasser per_day=10,45 days=0.4 reply=0.2 block=0.01 report=0.002 turns=1,4
    hours=EVENING dead=0.04;
abroad_student per_day=1,6 days=0.5 reply=0.6 block=0.004 turns=2,8 whom=abroad_student,;
roamer per_day=1,3 days=0.25 reply=0.5 block=0.004;
fest_planner per_day=4,30 days=0.4 reply=0.5 block=0.005 turns=1,4;
everyday per_day=1,2 days=0.09 reply=0.5 block=0.006;
student per_day=1,3 days=0.15 reply=0.55 block=0.005 whom=student,;
smeared per_day=1,5 days=0.4 reply=0.5 block=0.006;
""",
    report=0.0004,
    turns=(1, 6),
    hours=WAKING,
    whom=(),
    dead=0.0,
)

# Families of abusers that write first messages. ops: operators; total: accounts; reply, block and
# report: ranges from which an operator's rate is drawn; ring: chats inside the crew as a cover;
# buyers: share of answers by people who wanted the offer; human: friends outside, up to.
PLANS = table(
    """
pill_barker ops=6 total=66 new=0.8 per_day=40,130 days=1,4 reply=0.01,0.04 block=0.1,0.24
    report=0.03,0.09 passes=0.15 gap=12s buyers=0.3;
loan_drip ops=5 total=80 new=0.4 per_day=6,20 days=6,12 reply=0.02,0.06 block=0.05,0.14
    report=0.02,0.06 passes=0.5 gap=9m typing=0.1 follow=0.3 buyers=0.25 human=1;
slot_swarm ops=3 total=150 new=0.7 per_day=5,14 days=2,4 reply=0.01,0.03 block=0.06,0.16
    report=0.02,0.06 passes=0.25 gap=3m buyers=0.15 hours=EVENING;
mule_scout ops=4 total=48 new=0.5 per_day=5,18 days=4,10 reply=0.08,0.15 block=0.03,0.08
    report=0.01,0.04 passes=0.6 turns=4,16 pace=25m gap=6m typing=0.5 attested=0.6 follow=0.2
    human=3 whom=job_hunter,student,abroad_student reason=scam;
sweet_script ops=6 total=42 new=0.45 per_day=3,10 days=6,12 reply=0.1,0.15 block=0.04,0.1
    report=0.01,0.03 passes=0.7 turns=12,60 pace=70m gap=12m typing=0.7 attested=0.7 follow=0.3
    human=1 hours=EVENING whom=dater,elder reason=scam;
parrot_ai ops=3 total=33 new=0.5 per_day=6,16 days=5,11 reply=0.1,0.15 block=0.03,0.09
    report=0.01,0.03 passes=0.45 turns=6,30 pace=6m gap=8m typing=0.85 attested=0.4 follow=0.3
    hours=WAKING reason=scam;
sim_blaster ops=3 total=110 new=1.0 per_day=50,150 days=1,1 reply=0.01,0.03 block=0.08,0.2
    report=0.02,0.08 passes=0.12 gap=7s hours=ROUND_CLOCK one_shot=1 block_numbers=1;
stale_stock ops=3 total=42 new=0.0 per_day=30,90 days=2,5 reply=0.02,0.05 block=0.07,0.18
    report=0.03,0.07 passes=0.3 gap=50s follow=0.1;
rack_farm ops=2 total=60 new=0.3 per_day=8,24 days=5,11 reply=0.02,0.06 block=0.05,0.12
    report=0.02,0.05 passes=0.95 gap=4m typing=0.6 attested=1.0 ring=0.8 known=0.7 hours=WAKING;
cap_hugger ops=3 total=42 new=0.1 per_day=2,5 days=9,12 reply=0.04,0.1 block=0.03,0.08
    report=0.01,0.03 passes=0.65 turns=1,6 gap=70m typing=0.6 attested=0.7 human=3 ring=0.9
    known=0.4;
kin_actor ops=3 total=40 new=0.9 per_day=10,40 days=1,3 reply=0.06,0.13 block=0.08,0.2
    report=0.04,0.1 passes=0.2 turns=3,12 pace=3m gap=1.5m typing=0.4 attested=0.3 hours=WAKING
    whom=parent,elder,household reason=impersonation block_numbers=1;
greenhouse ops=3 total=54 new=0.7 per_day=10,35 days=1,3 reply=0.02,0.06 block=0.06,0.15
    report=0.02,0.06 passes=0.35 gap=3m typing=0.3 attested=0.3 ring=1.0;
""",
    turns=(1, 3),
    pace=4 * MIN,
    gap=40 * SEC,
    typing=0.0,
    attested=0.2,
    follow=0.0,
    buyers=0.0,
    human=0,
    ring=0.0,
    known=0.0,
    hours=OFFICE,
    whom=(),
    reason="spam",
    one_shot=0,
    block_numbers=0,
)
SPECIAL_PASSES = {
    "coin_mentor": 0.5,
    "task_foreman": 0.55,
    "door_pounder": 0.5,
    "smear_crew": 0.6,
    "borrowed_face": 0.0,
}


@dataclass(slots=True)
class Account:
    """One account; the fields follow the person's or operator's habits."""

    idx: int
    persona: str
    abusive: bool = False
    operator: str = ""
    born: int = 0
    gone: int = NEVER
    mute: int = NEVER
    tz: int = 1
    ips: list[str] = field(default_factory=list)
    device: str = ""
    client: str = ""
    phone: str = ""
    attested: bool = True
    typing: float = 0.3
    receipts: float = 0.95
    open: float = 0.45
    strict: float = 1.0
    active: float = 1.0
    channel: str = "personal"
    business: str = ""
    attempts: int = 1
    friends: list[int] = field(default_factory=list)


@dataclass
class Operator:
    """Somebody who runs several abusive accounts with a list, networks and devices."""

    name: str
    ips: list[str]
    devices: list[str]
    targets: list[int]
    base: int
    client: str
    tz: int
    reply: float
    block: float
    report: float
    sloppy: float


class World:
    """Builds all accounts and events; nothing is written before `write`."""

    def __init__(self, seed: int, coverage: str, scale: float) -> None:
        """Prepare random sources and empty stores."""
        self.seed, self.coverage, self.scale = seed, coverage, scale
        self.rng = random.Random(f"elm-{seed}")
        self.np = np.random.default_rng(seed)
        self.accounts: list[Account] = []
        self.events: list[tuple[int, str, int, dict[str, Any]]] = []
        self.truth: dict[int, tuple[int, int]] = {}
        self.blocked: dict[tuple[int, int], int] = {}
        self.pairs: set[tuple[int, int]] = set()
        self.by: dict[str, list[int]] = {}
        self.seen = 0
        self.groups = 0
        self.ops = 0
        self.nat = [f"100.{64 + k // 6}.{17 + 3 * k}.9" for k in range(30)]
        self.farms: list[Operator] = []

    # ---- small tools -------------------------------------------------------------------

    def log(self, median: float, sigma: float = 1.0) -> int:
        """Draw from a log-normal law given by its median."""
        return int(self.rng.lognormvariate(math.log(median), sigma)) + 1

    def moment(self, acc: int, day: int, hours: list[int]) -> int:
        """Pick a moment of a day at the local hours of an account."""
        hour = self.rng.choices(range(24), hours)[0] - self.accounts[acc].tz
        return T0 + day * DAY + (hour % 24) * HOUR + self.rng.randrange(HOUR)

    def home_ip(self) -> str:
        """Make an address of a private line; one in seven is IPv6."""
        r = self.rng
        if r.random() < 0.14:
            return f"2a0{r.randrange(1, 9)}:{r.randrange(65536):x}:{r.randrange(65536):x}::2"
        return f"{r.choice((31, 62, 78, 84, 93))}." + ".".join(
            str(r.randrange(1, 255)) for _ in range(3)
        )

    def tag(self, kind: str) -> str:
        """Make an opaque text that tells nothing about its owner."""
        return kind + f"{self.rng.getrandbits(48):012x}"

    def some(self, items: list[int], k: int) -> list[int]:
        """Sample up to k items without replacement."""
        return self.rng.sample(items, min(k, len(items)))

    def emit(
        self, ts: int, what: str, acc: int, because: int = -1, unwanted: int = 0, **data: Any
    ) -> int:
        """Store an event and its truth; return its number, or -1 if it cannot happen."""
        if because >= 0:
            ts = max(ts, self.events[because][0] + 1)
        a = self.accounts[acc]
        if not (T0 <= ts < END and a.born <= ts < a.gone):
            return -1
        self.events.append((ts, what, acc, data))
        if because >= 0 or unwanted:
            self.truth[len(self.events) - 1] = (unwanted, because)
        return len(self.events) - 1

    def connect(
        self,
        acc: int,
        t: int,
        ip: str,
        device: str,
        client: str,
        linked: bool = False,
        because: int = -1,
    ) -> None:
        """Start a session."""
        self.emit(
            t, "session.started", acc, because, ip=ip, device=device, client=client, linked=linked
        )

    # ---- messages ----------------------------------------------------------------------

    def say(
        self,
        a: int,
        b: int,
        t: int,
        *,
        root: int = -1,
        bad: int = 0,
        known: bool = False,
        read: float = 0.92,
        slow: float = 4 * MIN,
        **data: Any,
    ) -> int:
        """Send one direct message with its receipts; -1 if it did not reach anybody."""
        r, sender, peer = self.rng, self.accounts[a], self.accounts[b]
        if t < peer.born or t >= END or (sender.mute <= t and not bad):
            return -1
        if r.random() < sender.typing:
            self.emit(t - r.randrange(900, 9_000), "typing.started", a, root, peer=b)
        media = r.choices(
            ("none", "image", "audio", "sticker", "video", "document"), (80, 9, 5, 3, 2, 1)
        )[0]
        size = data.pop("size", self.log(190, 0.6) if media == "none" else self.log(60_000))
        m = self.emit(
            t,
            "message.sent",
            a,
            root,
            bad,
            peer=b,
            size=size,
            media=media,
            in_contacts=known,
            **data,
        )
        if m < 0:
            return -1
        root = m if root < 0 else root
        if t >= peer.gone or self.blocked.get((b, a), NEVER) <= t:
            self.emit(
                t + r.randrange(200, 2_000),
                "message.undeliverable",
                a,
                root,
                peer=b,
                reason="not_registered" if t >= peer.gone else "blocked",
            )
            return -1
        if r.random() < 0.006:
            self.emit(
                t + DAY + r.randrange(DAY), "message.undeliverable", a, m, peer=b, reason="expired"
            )
            return -1
        wait = r.randrange(200, 4_000) if r.random() < 0.8 else self.log(40 * MIN)
        d = self.emit(t + wait, "message.delivered", b, root, peer=a, message=m)
        if d < 0:
            return -1
        self.seen = t + wait + self.log(slow)
        if r.random() < read * peer.receipts:
            self.emit(self.seen, "message.read", b, root, peer=a, message=m)
        return m

    def talk(
        self,
        a: int,
        b: int,
        t: int,
        n: int,
        *,
        root: int = -1,
        bad: int = 0,
        pace: float = 80 * SEC,
        known: bool = True,
        knows: bool = True,
    ) -> int:
        """Exchange n messages, a first; the side named by `bad` (1 = a, 2 = b) is unwanted."""
        side = 0
        for _ in range(n):
            src, dst = (a, b) if side == 0 else (b, a)
            m = self.say(
                src,
                dst,
                t,
                root=root,
                bad=int(bad == side + 1),
                slow=pace,
                known=known if side == 0 else knows,
            )
            if m < 0:
                break
            t = max(self.seen, t) + 10 * SEC + self.log(pace)
            side = 1 - side if self.rng.random() < 0.75 else side
        return t

    def shun(
        self,
        b: int,
        a: int,
        t: int,
        root: int,
        message: int,
        report: bool,
        block: bool,
        reason: str,
    ) -> None:
        """Let b report and block a because of the first message `root`."""
        if report:
            self.emit(t, "user.reported", b, root, peer=a, reason=reason, message=message)
        if block and self.emit(t + 900, "user.blocked", b, root, peer=a) >= 0:
            self.blocked[b, a] = min(self.blocked.get((b, a), NEVER), self.events[-1][0])

    def approach(
        self,
        a: int,
        b: int,
        t: int,
        reply: float,
        block: float,
        report: float,
        turns: tuple[int, int],
        *,
        bad: int = 0,
        pace: float = 2 * MIN,
        known: bool = False,
        follow: float = 0.0,
        buyers: float = 0.0,
        reason: str = "spam",
        root: int = -1,
        **data: Any,
    ) -> int:
        """Write first to somebody, who may answer, talk, block, report or stay silent."""
        r, peer = self.rng, self.accounts[b]
        if a == b or t < peer.born:
            return -1
        self.pairs.add((a, b))
        answers = r.random() < min(0.95, reply * peer.open / 0.45)
        if answers and bad and r.random() < buyers:
            bad = 0  # somebody who wanted just this
        m = self.say(a, b, t, root=root, bad=bad, known=known, slow=25 * MIN, read=0.8, **data)
        if m < 0:
            return -1
        root, seen = m, self.seen
        blocks = r.random() < block * peer.strict
        reports = r.random() < report * peer.strict
        if blocks or reports:
            self.shun(b, a, seen + self.log(4 * MIN), m, m, reports, blocks, reason)
        elif answers:
            n = r.randint(*turns)
            end = self.talk(
                b,
                a,
                seen + self.log(20 * MIN, 1.2),
                n,
                root=root,
                bad=2 * bad,
                pace=pace,
                known=r.random() < 0.1,
                knows=known,
            )
            if bad and r.random() < 0.15:
                self.shun(b, a, end + self.log(HOUR), root, m, r.random() < 0.4, True, reason)
            elif not bad and r.random() < 0.08:
                self.emit(end, "contact.added", b, root, peer=a)
        elif r.random() < follow:
            self.say(
                a, b, t + self.log(26 * HOUR, 0.4), root=root, bad=bad, known=known, slow=40 * MIN
            )
        if blocks and bad and r.random() < 0.25:
            self.say(a, b, seen + self.log(9 * HOUR, 0.6), root=root, bad=0, known=known)
        elif blocks and not bad and r.random() < 0.2:
            self.emit(seen + 2 * HOUR + self.log(12 * HOUR), "user.unblocked", b, root, peer=a)
        return m

    def dead_number(self, a: int, t: int) -> None:
        """Write to a number that is nobody's account (not possible without numbers)."""
        if self.coverage == "matrix":
            return
        m = self.emit(
            t,
            "message.sent",
            a,
            peer=self.tag("u"),
            size=self.log(190, 0.5),
            media="none",
            in_contacts=False,
        )
        if m >= 0:
            self.emit(
                t + 900,
                "message.undeliverable",
                a,
                m,
                reason="not_registered",
                peer=self.events[m][3]["peer"],
            )

    # ---- groups ------------------------------------------------------------------------

    def group(
        self,
        owner: int,
        members: Iterable[int],
        t: int,
        messages: int,
        *,
        bad: int = 0,
        speakers: list[int] | None = None,
        leave: float = 0.03,
        shun: float = 0.0,
        span: float = 3 * DAY,
        adds: bool = True,
        gap: float = 15 * SEC,
        known: bool = True,
    ) -> None:
        """Create a group, add or invite members, let them write, leave, block and report."""
        r, gid = self.rng, f"g{self.groups}"
        self.groups += 1
        if self.emit(t, "group.created", owner, group=gid) < 0:
            return
        joined: dict[int, int] = {owner: -1}
        first = -1
        away: dict[int, int] = {}
        since: dict[int, int] = {}
        for b in speakers or ():
            if b != owner:
                self.emit(t + r.randrange(MIN, 20 * MIN), "group.joined", b, group=gid)
        for b in members:
            t += self.log(gap)
            if b in joined or t < self.accounts[b].born:
                continue
            if not adds:
                if self.emit(t + self.log(2 * HOUR), "group.joined", b, group=gid) >= 0:
                    joined[b], since[b] = -1, self.events[-1][0]
                continue
            add = self.emit(t, "group.member_added", owner, unwanted=bad, group=gid, peer=b)
            if add < 0:
                continue
            joined[b] = add
            first = add if first < 0 else first
            if r.random() < leave:
                away[b] = t + self.log(3 * HOUR, 1.3)
                self.emit(away[b], "group.left", b, add, group=gid, peer=owner)
            if r.random() < shun * self.accounts[b].strict:
                self.shun(b, owner, t + self.log(2 * HOUR), add, add, False, True, "spam")
            if r.random() < shun * 0.5 * self.accounts[b].strict:
                self.emit(
                    t + self.log(2 * HOUR),
                    "user.reported",
                    b,
                    add,
                    peer=owner,
                    reason="scam" if bad else "other",
                )
        crowd = [b for b in joined if b not in away]
        for _ in range(messages):
            src = r.choice(speakers) if speakers and r.random() < 0.85 else r.choice(crowd)
            foul = int(bad and self.accounts[src].abusive)
            root = joined.get(src, -1)
            when = max(t, since.get(src, t), self.events[root][0] if root >= 0 else t)
            when += r.randrange(30 * MIN, max(31 * MIN, int(span)))
            if r.random() < self.accounts[src].typing:
                self.emit(when - 2_500, "typing.started", src, root, group=gid)
            self.emit(
                when,
                "message.sent",
                src,
                root if root >= 0 else first,
                foul,
                group=gid,
                size=self.log(210, 0.6),
                media="none",
                recipients=len(crowd),
            )

    # ---- honest people -----------------------------------------------------------------

    def add(self, persona: str, **data: Any) -> Account:
        """Make an account with ordinary habits, then override some of them."""
        r = self.rng
        acc = Account(len(self.accounts), persona, **data)
        acc.device = acc.device or self.tag("d")
        os = r.choices(("android", "ios"), (68, 32))[0]
        acc.client = (
            acc.client or f"{os}/" + r.choices(("7.12", "7.11", "7.9", "6.30"), (6, 3, 2, 1))[0]
        )
        acc.phone = acc.phone or f"+49{r.choice((151, 160, 170, 176))}{r.randrange(10**7, 10**8)}"
        acc.ips = acc.ips or [self.home_ip(), r.choice(self.nat)]
        acc.strict = r.lognormvariate(-0.32, 0.8)
        acc.receipts = 0.0 if r.random() < 0.12 else 0.95
        self.accounts.append(acc)
        self.by.setdefault(persona, []).append(acc.idx)
        return acc

    def populate(self) -> None:
        """Create all honest accounts and their circles of friends."""
        r = self.rng
        for name, p in PERSONAS.items():
            count = max(2, round(p.count * self.scale))
            for k in range(count):
                acc = self.add(
                    name,
                    tz=r.choice((0, 1, 1, 1, 2)),
                    typing=p.typing,
                    open=r.uniform(*p.open),
                    channel=p.channel or "personal",
                    active=p.active * r.lognormvariate(-0.1, 0.5),
                )
                if r.random() < p.new:
                    acc.born = self.moment(acc.idx, r.randrange(DAYS - 2), WAKING)
                elif name == "everyday" and r.random() < 0.01:  # some people leave for good
                    acc.gone = T0 + r.randrange(2 * DAY, END - T0)
                    self.emit(acc.gone - 1, "account.deleted", acc.idx)
                if p.channel:
                    acc.business = self.tag("b")
                self.place(acc, name, k)
        people = [a.idx for a in self.accounts if PERSONAS[a.persona].friends]
        order = people[:]
        r.shuffle(order)
        for place, a in enumerate(order):
            for _ in range(self.np.poisson(PERSONAS[self.accounts[a].persona].friends / 2)):
                far = r.random() < 0.2
                b = r.choice(order) if far else order[(place + r.randint(1, 14)) % len(order)]
                self.befriend(a, b)
        for name in ("household", "student", "camp_arrival", "firm_rollout", "shared_phone"):
            near = {"student": 9, "shared_phone": 2}.get(name, 4)
            for place, a in enumerate(self.by[name]):
                if r.random() < 0.75:
                    self.befriend(a, self.by[name][place - r.randint(1, near)])

    def place(self, acc: Account, name: str, k: int) -> None:
        """Give a persona its special network, device, number, place or day."""
        r, prior = self.rng, self.accounts[acc.idx - 1]
        if name == "household" and k % 4:
            acc.ips, acc.client = [prior.ips[0], r.choice(self.nat)], prior.client
        elif name == "shared_phone" and k % 2:
            acc.device, acc.ips, acc.client = prior.device, prior.ips, prior.client
        elif name == "carrier_nat":
            acc.ips = ["100.99.7.1", "100.99.7.2"]
        elif name == "roamer":
            acc.tz = r.choice((-5, 3, 5, 8))
            acc.ips = [self.home_ip() for _ in range(6)]
            acc.phone = f"+{r.choice((90, 380, 234, 92))}5{r.randrange(10**8, 10**9)}"
        elif name == "abroad_student":
            acc.tz, acc.phone = 1, f"+91{r.randrange(7 * 10**9, 10**10)}"
            acc.ips = ["129.13.4.1" if r.random() < 0.5 else self.home_ip(), self.home_ip()]
        elif name == "camp_arrival":
            camp = k * 2 // max(2, round(PERSONAS[name].count * self.scale))
            acc.ips = [f"193.175.{40 + camp}.8"]
            acc.born = T0 + (3 + 4 * camp) * DAY + 17 * HOUR + r.randrange(4 * HOUR)
        elif name == "firm_rollout":
            acc.ips, acc.client = ["195.37.20.4"], "android/7.11"
            acc.born = T0 + 2 * DAY + 8 * HOUR + r.randrange(3 * HOUR) + (k % 3 == 0) * DAY
        elif name == "sim_promo":
            acc.phone = f"+4917688{310000 + k * r.randint(1, 2) + k:06d}"
            acc.born = T0 + 5 * DAY + 9 * HOUR + r.randrange(10 * HOUR)
            acc.ips = [r.choice(self.nat[:3])]

    def befriend(self, a: int, b: int) -> None:
        """Make two people know each other from before the window."""
        if a != b and b not in self.accounts[a].friends:
            self.accounts[a].friends.append(b)
            self.accounts[b].friends.append(a)

    def register(self, acc: Account) -> None:
        """Write the registration, the first session and the address book upload."""
        r, t = self.rng, acc.born
        kind = r.choices(("sms", "voice", "flash"), (84, 9, 7))[0]
        extra = {"business": acc.business} if acc.business else {}
        self.emit(
            t,
            "account.registered",
            acc.idx,
            phone=acc.phone,
            ip=acc.ips[0],
            device=acc.device,
            client=acc.client,
            attested=acc.attested,
            attempts=acc.attempts,
            verification=kind,
            channel=acc.channel,
            **extra,
        )
        if r.random() < 0.06:
            self.emit(t + 40 * SEC, "challenge.passed", acc.idx, kind="captcha")
        self.connect(acc.idx, t + r.randrange(2, 50) * SEC, acc.ips[0], acc.device, acc.client)
        if not acc.abusive:
            book = self.log(110, 0.6) + len(acc.friends)
            self.emit(
                t + 90 * SEC,
                "contact.looked_up",
                acc.idx,
                count=book,
                hits=len(acc.friends) + r.randrange(book - len(acc.friends)) // 2,
            )
            for b in acc.friends:
                self.emit(t + r.randrange(100 * SEC, 20 * MIN), "contact.added", acc.idx, peer=b)

    def sessions(self, acc: Account) -> None:
        """Write the sessions of a whole window, with a few new phones and linked desktops."""
        r = self.rng
        device, swap = acc.device, r.randrange(DAYS) if r.random() < 0.03 else -1
        linked = self.tag("d") if r.random() < 0.12 else ""
        for day in range(DAYS):
            device = self.tag("d") if day == swap else device
            for _ in range(int(self.np.poisson(min(3.0, 1.0 * acc.active)))):
                t = self.moment(acc.idx, day, WAKING)
                if t >= acc.mute:
                    continue
                self.connect(acc.idx, t, r.choice(acc.ips), device, acc.client)
                if linked and r.random() < 0.4:
                    self.connect(
                        acc.idx, t + self.log(HOUR), acc.ips[0], linked, "desktop/7.10", True
                    )

    def friendships(self) -> None:
        """Let friends talk over the whole window."""
        r = self.rng
        for acc in self.accounts:
            for b in acc.friends:
                if b < acc.idx:
                    continue
                rate = 0.85 * math.sqrt(acc.active * self.accounts[b].active)
                for _ in range(int(self.np.poisson(rate * r.lognormvariate(-0.3, 0.8)))):
                    a, c = (acc.idx, b) if r.random() < 0.5 else (b, acc.idx)
                    t = self.moment(a, r.randrange(DAYS), WAKING)
                    n = 1 + int(r.expovariate(0.25))
                    self.talk(a, c, t, n, known=r.random() < 0.95, knows=r.random() < 0.95)

    def strangers(self) -> None:
        """Let honest people write to people they do not know, as their life demands."""
        r, everybody = (
            self.rng,
            [a.idx for a in self.accounts if not a.abusive and a.channel == "personal"],
        )
        for name, o in OUTREACH.items():
            chosen = [b for w in o.whom for b in self.by[w]]
            for a in self.by[name]:
                zeal = r.lognormvariate(-0.1, 0.4)
                for day in range(DAYS):
                    if r.random() > o.days:
                        continue
                    for _ in range(max(1, int(r.randint(*o.per_day) * zeal))):
                        b = r.choice(chosen if chosen and r.random() < 0.7 else everybody)
                        t = self.moment(a, day, o.hours)
                        if r.random() < o.dead:
                            self.dead_number(a, t)
                        elif (a, b) not in self.pairs and b not in self.accounts[a].friends:
                            self.approach(
                                a,
                                b,
                                t,
                                o.reply,
                                o.block,
                                o.report,
                                o.turns,
                                known=r.random() < 0.15,
                                reason="other",
                            )
        inbound = {
            "help_desk": (3, 14, 0.97),
            "radio_host": (10, 90, 0.4),
            "pet_seeker": (0, 6, 0.9),
            "flat_letter": (1, 9, 0.6),
            "corner_shop": (0, 5, 0.9),
            "flea_seller": (0, 3, 0.8),
        }
        for name, (low, high, answer) in inbound.items():
            for b in self.by[name]:
                for day in range(DAYS):
                    for a in self.some(everybody, r.randint(low, high)):
                        hours = EVENING if name == "radio_host" else WAKING
                        self.approach(
                            a,
                            b,
                            self.moment(a, day, hours),
                            answer * 0.45 / max(0.05, self.accounts[b].open),
                            0.001,
                            0.0002,
                            (1, 5),
                        )

    def occasions(self) -> None:
        """Write special occasions: new numbers, fairs, shops, groups, hijack scares."""
        r = self.rng
        people = self.by["everyday"] + self.by["student"] + self.by["household"]
        for name in ("fresh_number", "returned_owner", "funeral_herald"):
            for a in self.by[name]:
                acc = self.accounts[a]
                old = self.some(people, r.randint(15, 70))
                t = (
                    acc.born + self.log(20 * MIN)
                    if acc.born
                    else self.moment(a, r.randrange(9), WAKING)
                )
                for b in acc.friends + old:
                    t += self.log(35 * SEC)
                    if r.random() < 0.03:
                        self.dead_number(a, t)
                    self.approach(a, b, t, 0.6, 0.006, 0.001, (1, 5), known=True)
        for k, a in enumerate(self.by["fair_goer"] + self.by["camp_arrival"]):
            mates = self.by["fair_goer" if k < len(self.by["fair_goer"]) else "camp_arrival"]
            day = 6 if k < len(self.by["fair_goer"]) else 8
            for b in self.some(mates, r.randint(3, 16)):
                t = self.moment(a, day + r.randrange(2), EVENING)
                if (a, b) not in self.pairs and (b, a) not in self.pairs:
                    self.approach(a, b, t, 0.65, 0.003, 0.0, (1, 6), known=r.random() < 0.5)
        for name, low, high in (
            ("corner_shop", 20, 90),
            ("clinic_desk", 150, 450),
            ("code_sender", 700, 1600),
        ):
            kind = {"corner_shop": "marketing", "clinic_desk": "utility"}.get(
                name, "authentication"
            )
            for a in self.by[name]:
                shop, forms = self.accounts[a], [self.tag("t") for _ in range(3)]
                for b in self.some(people, r.randint(low, high)):
                    t = max(self.moment(a, r.randrange(DAYS), OFFICE), shop.born + HOUR)
                    if r.random() < 0.7:
                        self.emit(
                            t - self.log(9 * HOUR),
                            "consent.granted",
                            b,
                            business=shop.business,
                            category=kind,
                        )
                    m = self.approach(
                        a,
                        b,
                        t,
                        0.04 if name != "corner_shop" else 0.2,
                        0.006,
                        0.001,
                        (1, 3),
                        template=r.choice(forms),
                        category=kind,
                        broadcast=name == "corner_shop",
                    )
                    if m >= 0 and kind == "marketing" and r.random() < 0.03:
                        self.emit(
                            t + self.log(5 * HOUR),
                            "consent.revoked",
                            b,
                            m,
                            business=shop.business,
                            category=kind,
                        )
        for a in self.by["near_hijack"]:
            t = self.moment(a, r.randrange(DAYS - 1), ROUND_CLOCK)
            self.connect(a, t, self.home_ip(), self.tag("d"), "web/7.12", True)
            self.emit(t + self.log(8 * MIN), "challenge.failed", a, kind="push")
            self.emit(t + HOUR + self.log(HOUR), "challenge.passed", a, kind="code")
        makers: list[tuple[str, int, tuple[int, int], list[int], float]] = [
            ("class_teacher", 1, (14, 30), self.by["parent"], 0.02),
            ("strike_steward", 1, (30, 110), people, 0.09),
            ("fest_planner", 2, (15, 60), people, 0.07),
            ("room_warden", 2, (40, 160), people, 0.05),
            ("everyday", 0, (3, 9), [], 0.02),
            ("student", 0, (4, 14), [], 0.03),
        ]
        for name, n, size, pool, leave in makers:
            for a in self.by[name]:
                acc = self.accounts[a]
                times = n if n else int(r.random() < 0.1 and not acc.abusive)
                for _ in range(times):
                    crowd = self.some(pool or acc.friends, r.randint(*size))
                    self.group(
                        a,
                        acc.friends[:3] + crowd,
                        self.moment(a, r.randrange(9), WAKING),
                        self.log(18, 0.8),
                        leave=leave,
                        shun=0.002 if pool else 0.0,
                        adds=name != "room_warden",
                    )

    # ---- abusers -----------------------------------------------------------------------

    def operator(
        self, plan: SimpleNamespace | None, size: int, whom: tuple[str, ...] = ()
    ) -> Operator:
        """Set up an operator; a quarter rent the networks and phones of an earlier one."""
        r = self.rng
        self.ops += 1
        lender = r.choice(self.farms) if self.farms and r.random() < 0.25 else None
        cloud = f"{r.choice((45, 103, 185, 194))}.{r.randrange(255)}.{r.randrange(255)}."
        proxy = r.random() < 0.45
        ips = [
            self.home_ip() if proxy else cloud + str(k + 3)
            for k in range(max(2, size // r.choice((1, 2, 4))))
        ]
        devices = [self.tag("d") for _ in range(max(1, round(size / r.choice((1, 1, 2, 4)))))]
        targets = [b for w in whom for b in self.by[w]]
        targets += r.choice(self.brokers)[: 3 * len(targets) if targets else None]
        r.shuffle(targets)
        op = Operator(
            f"elm-op{self.ops:02d}",
            lender.ips + ips[:2] if lender else ips,
            lender.devices if lender and r.random() < 0.5 else devices,
            targets,
            r.randrange(10**6, 10**7 - 900),
            r.choice(("android/6.30", "android/7.9", "web/7.11", "android/7.12")),
            r.choice((0, 1, 2, 6, 7, 8)),
            *(
                r.uniform(*x) if x else 0.05
                for x in ((plan.reply, plan.block, plan.report) if plan else (None, None, None))
            ),
            sloppy=r.choice((0.0, 0.05, 0.3)),
        )
        self.farms.append(op)
        return op

    def recruit(
        self,
        op: Operator,
        family: str,
        k: int,
        new: float,
        attested: float = 0.3,
        typing: float = 0.1,
        blocks: bool = False,
    ) -> Account:
        """Make an abusive account on the means of its operator."""
        r = self.rng
        step = r.randint(1, 3) if blocks else 7919
        acc = self.add(
            family,
            abusive=True,
            operator=op.name,
            tz=op.tz,
            typing=typing,
            device=r.choice(op.devices) if r.random() < 0.8 else "",
            client=op.client if r.random() < 0.7 else "",
            phone=f"+4915{2 + k % 2 * (not blocks)}{(op.base + k * step) % 10**7:08d}",
            ips=self.some(op.ips, 3),
            open=0.3,
            active=r.uniform(0.4, 1.2),
        )
        acc.attested = r.random() < attested
        acc.attempts = 1 + int(r.expovariate(0.9))
        if r.random() < new:
            acc.born = self.moment(acc.idx, r.randrange(DAYS - 3), OFFICE)
        if family == "loan_drip" and r.random() < 0.4:
            acc.channel, acc.business = "business_app", self.tag("b")
        return acc

    def crews(self, family: str, ops: int, total: int, make: Callable[[int], None]) -> None:
        """Split a family into operators of uneven size and run each."""
        ops = max(1, round(ops * math.sqrt(self.scale) if self.scale < 1 else ops * self.scale))
        total = max(2 * ops if self.scale >= 0.5 else ops, round(total * self.scale))
        weights = self.np.dirichlet([4.0] * ops)
        for w in weights:
            make(max(1, round(total * float(w))))

    def ring(self, crew: list[int], share: float, until: int = DAYS) -> None:
        """Let accounts of one crew chat with each other, to look alive."""
        r = self.rng
        for a in crew:
            for day in range(until):
                if len(crew) > 1 and r.random() < share * 0.5:
                    b = r.choice(crew)
                    t = self.moment(a, day, WAKING)
                    if a != b and t > max(self.accounts[a].born, self.accounts[b].born):
                        if (a, b) not in self.pairs:
                            self.pairs.add((a, b))
                            self.emit(t - MIN, "contact.added", a, peer=b)
                        self.talk(a, b, t, r.randint(2, 6), pace=MIN)

    def campaign(self, family: str, plan: SimpleNamespace, size: int) -> None:
        """Run the first messages of one operator of a direct-message family."""
        r, op = self.rng, self.operator(plan, size, plan.whom)
        crew = [
            self.recruit(op, family, k, plan.new, plan.attested, plan.typing, plan.block_numbers)
            for k in range(size)
        ]
        queue, quota_dead = iter(op.targets * 40), 0.16 if self.coverage == "gateway" else 0.015
        start = r.randrange(0, 5)
        sold = r.randrange(6, 10)  # the day on which a greenhouse hands over its accounts
        for acc in crew:
            a, days = acc.idx, r.randint(*plan.days)
            for _ in range(plan.human and r.randint(0, plan.human)):
                self.befriend(a, r.choice(self.by["everyday"]))
            begin = (acc.born - T0) // DAY if acc.born else start + r.randrange(4)
            if plan.one_shot:
                acc.gone = acc.born + 3 * HOUR + self.log(3 * HOUR)
                self.emit(acc.gone - 1, "account.deleted", a)
            elif family == "greenhouse":
                begin = max(begin + 2, sold + r.randrange(2))
                if r.random() < 0.2:
                    continue  # still in stock at the end of the window
            elif acc.born and r.random() < 0.5:
                begin += r.randrange(1, 3)
            else:
                begin = min(begin, max(0, DAYS - days)) if not acc.born else begin
            device, ips = acc.device, acc.ips
            if family in ("stale_stock", "greenhouse"):  # the buyer logs in on its own means
                device, ips = self.tag("d"), [self.home_ip() for _ in range(2)]
                acc.active, acc.mute = acc.active * 0.4, T0 + begin * DAY
            for day in range(begin, min(DAYS, begin + days)):
                t = self.moment(a, day, plan.hours) if not plan.one_shot else acc.born + 6 * MIN
                t = max(t, acc.born + 10 * MIN)
                self.connect(a, t - 3 * MIN, r.choice(ips), device, acc.client)
                n = r.randint(*plan.per_day)
                if n > 20:
                    self.emit(t - 90 * SEC, "contact.looked_up", a, count=n * 3, hits=n)
                for _ in range(n):
                    b = r.choice(op.targets) if r.random() < op.sloppy else next(queue)
                    t += 2 * SEC + self.log(plan.gap, 0.7)
                    if r.random() < quota_dead:
                        self.dead_number(a, t)
                    if (a, b) in self.pairs or b in acc.friends:
                        continue
                    known = r.random() < plan.known
                    if known:
                        self.emit(t - 30 * SEC, "contact.added", a, peer=b)
                    self.approach(
                        a,
                        b,
                        t,
                        op.reply,
                        op.block,
                        op.report,
                        plan.turns,
                        bad=1,
                        pace=plan.pace,
                        known=known,
                        follow=plan.follow,
                        buyers=plan.buyers,
                        reason=plan.reason,
                    )
        if plan.ring:
            self.ring([x.idx for x in crew], plan.ring)

    def pump(self, family: str, size: int) -> None:
        """Add strangers to coin groups where shills cheer; task crews write first, then add."""
        r, op = self.rng, self.operator(None, size, ("job_hunter",) * (family == "task_foreman"))
        crew = [self.recruit(op, family, k, 0.5, 0.4, 0.3).idx for k in range(size)]
        op.reply, op.block = r.uniform(0.05, 0.13), r.uniform(0.05, 0.15)
        op.report = r.uniform(0.02, 0.06)
        tasks = family == "task_foreman"
        queue = iter(op.targets * 20)
        for a in crew:
            if r.random() < 0.35:
                continue  # a shill only
            begin = max((self.accounts[a].born - T0) // DAY + 1, r.randrange(0, 6))
            for day in range(begin, min(DAYS - 1, begin + r.randint(1, 4))):
                t, victims = self.moment(a, day, EVENING), []
                for _ in range(r.randint(6, 22) if tasks else r.randint(25, 80)):
                    b = next(queue)
                    t += self.log(4 * MIN if tasks else 20 * SEC)
                    if (a, b) in self.pairs:
                        continue
                    if tasks or self.coverage == "gateway":
                        self.approach(
                            a,
                            b,
                            t,
                            op.reply,
                            op.block,
                            op.report,
                            (4, 26),
                            bad=1,
                            pace=18 * MIN,
                            reason="scam",
                        )
                    victims.append(b)
                if self.coverage != "gateway":
                    some = r.sample(victims, len(victims) // 3) if tasks else victims
                    self.group(
                        a,
                        some,
                        t + (5 * HOUR if tasks else 5 * MIN),
                        r.randint(15, 60),
                        bad=1,
                        speakers=self.some(crew, 6),
                        leave=r.uniform(0.2, 0.45),
                        shun=op.block,
                        span=2 * DAY,
                        known=False,
                    )
        self.ring(crew, 0.2)

    def pound(self, size: int, victim: int) -> None:
        """Flood one person from burner accounts, each until it is blocked or tired."""
        r, op = self.rng, self.operator(None, size)
        t = self.moment(victim, r.randrange(1, 6), EVENING)
        for k in range(size):
            acc = self.recruit(op, "door_pounder", k, 0.0, 0.6, 0.2)
            acc.born = t - self.log(2 * HOUR) if k else 0
            root, n, when = -1, r.randint(50, 260), t
            stop = t + self.log(15 * MIN)
            for _ in range(n):
                m = self.say(acc.idx, victim, when, root=root, bad=1, read=0.3)
                root = m if root < 0 else root
                when += SEC + self.log(9 * SEC)
                if root >= 0 and when > stop and (victim, acc.idx) not in self.blocked:
                    self.shun(victim, acc.idx, when, root, root, r.random() < 0.6, True, "other")
                elif (victim, acc.idx) in self.blocked and r.random() < 0.1:
                    break
            t = when + self.log(7 * HOUR)

    def smear(self, size: int) -> None:
        """Report honest people in concert, now and then after baiting them into an answer."""
        r, op = self.rng, self.operator(None, size)
        crew = [self.recruit(op, "smear_crew", k, 0.4, 0.5, 0.3).idx for k in range(size)]
        for victim in self.some(self.by["smeared"], max(2, size)):
            day = r.randrange(3, DAYS)
            for a in self.some(crew, r.randint(4, 12)):
                t = self.moment(victim, day, EVENING)
                proof: dict[str, Any] = {}
                if r.random() < 0.25:
                    before = len(self.events)
                    self.approach(a, victim, t, 0.4, 0.05, 0.02, (1, 1), bad=1)
                    for m in range(before, len(self.events)):
                        if self.events[m][1] == "message.sent" and self.events[m][2] == victim:
                            t, proof = self.events[m][0] + self.log(20 * MIN), {"message": m}
                self.emit(
                    t,
                    "user.reported",
                    a,
                    proof.get("message", -1),
                    peer=victim,
                    reason=r.choice(("spam", "scam", "impersonation")),
                    **proof,
                )
                if r.random() < 0.3:
                    self.emit(t + 4 * SEC, "user.blocked", a, peer=victim)
        self.ring(crew, 0.4)

    def hijack(self, size: int) -> None:
        """Take over an account, write to its contacts and take over those who fall for it."""
        r, op = self.rng, self.operator(None, size)
        pool = [
            a
            for p in ("everyday", "household", "elder")
            for a in self.by[p]
            if len(self.accounts[a].friends) >= 5 and not self.accounts[a].born
        ]
        a = r.choice(pool)
        line: list[tuple[int, int, int]] = [(self.moment(a, r.randrange(1, 4), WAKING), a, -1)]
        taken: set[int] = set()
        while line and len(taken) < size:
            t, a, cause = line.pop(0)
            acc = self.accounts[a]
            if acc.abusive or acc.born or t > END - HOUR:
                if not line and taken:  # the chain dries up: a new first victim
                    line.append((self.moment(a, r.randrange(3, 9), WAKING), r.choice(pool), -1))
                continue
            taken.add(a)
            acc.abusive, acc.persona, acc.operator, acc.mute = True, "borrowed_face", op.name, t
            self.connect(
                a,
                t,
                r.choice(op.ips),
                r.choice(op.devices),
                r.choice(("web/7.12", "desktop/7.10")),
                r.random() < 0.5,
                cause,
            )
            owner = t + self.log(20 * HOUR, 0.6)
            when = t + self.log(7 * MIN)
            for b in acc.friends + self.some(pool, r.randint(4, 25)):
                when += SEC + self.log(25 * SEC)
                if when > owner or self.accounts[b].abusive:
                    continue
                m = self.approach(
                    a,
                    b,
                    when,
                    0.13,
                    0.05,
                    0.06,
                    (2, 6),
                    bad=1,
                    known=True,
                    reason="impersonation",
                    root=cause,
                )
                if m >= 0 and r.random() < 0.16:
                    line.append((when + self.log(5 * HOUR, 0.7), b, m))
            line.sort()
            if not line:
                line.append((t + self.log(10 * HOUR), r.choice(pool), -1))

    def abuse(self) -> None:
        """Run every family of abusers."""
        r = self.rng
        honest = [a.idx for a in self.accounts if a.channel == "personal"]
        self.brokers = [
            self.some(honest, int(len(honest) * s)) for s in (0.15, 0.2, 0.3, 0.35, 0.5)
        ]
        for family, plan in PLANS.items():
            self.crews(
                family, plan.ops, plan.total, lambda n, f=family, p=plan: self.campaign(f, p, n)
            )
        for family, ops, total in (("coin_mentor", 4, 44), ("task_foreman", 4, 40)):
            self.crews(family, ops, total, lambda n, f=family: self.pump(f, n))
        for victim in self.by["flooded"]:
            self.pound(r.randint(1, 4) if self.scale > 0.3 else 1, victim)
        self.crews("smear_crew", 3, 40, self.smear)
        self.crews("borrowed_face", 4, 56, self.hijack)

    def run(self) -> None:
        """Build the whole world."""
        r = self.rng
        self.populate()
        self.abuse()
        self.friendships()
        self.strangers()
        self.occasions()
        for acc in self.accounts:
            if acc.born:
                self.register(acc)
            self.sessions(acc)
            if acc.abusive and r.random() < 0.02:
                self.emit(
                    T0 + r.randrange(8 * DAY, 12 * DAY),
                    "label.assigned",
                    acc.idx,
                    label="abusive",
                    source=r.choice(("honeypot", "analyst", "partner")),
                )
            elif acc.persona in ("smeared", "parcel_rider", "near_hijack") and r.random() < 0.06:
                self.emit(
                    T0 + r.randrange(8 * DAY, 12 * DAY),
                    "label.assigned",
                    acc.idx,
                    label="benign",
                    source="appeal",
                )

    # ---- output ------------------------------------------------------------------------

    def project(self, kind: str, data: dict[str, Any], rng: random.Random) -> dict[str, Any] | None:
        """Reduce an event to what the coverage would know, or None."""
        if self.coverage == "full":
            return data
        if self.coverage == "gateway":
            chance = {
                "account.registered": 0.08,
                "message.sent": 1,
                "message.delivered": 0.97,
                "message.undeliverable": 1,
                "user.reported": 0.6,
                "user.blocked": 0.3,
                "consent.granted": 1,
                "consent.revoked": 1,
                "label.assigned": 1,
            }
            drop = {"media", "in_contacts", "device", "client", "attested", "ip", "broadcast"}
        else:
            chance = {
                "account.registered": 1,
                "session.started": 1,
                "message.sent": 1,
                "group.created": 1,
                "group.member_added": 1,
                "group.joined": 1,
                "group.left": 1,
                "user.reported": 1,
                "user.blocked": 0.04,
                "account.deleted": 1,
                "challenge.passed": 1,
                "challenge.failed": 1,
                "label.assigned": 1,
            }
            drop = {
                "phone",
                "in_contacts",
                "attested",
                "device",
                "template",
                "category",
                "channel",
                "business",
                "broadcast",
                "attempts",
            }
        if rng.random() >= chance.get(kind, 0) or (self.coverage == "gateway" and "group" in data):
            return None
        data = {k: v for k, v in data.items() if k not in drop}
        if self.coverage == "gateway" and "size" in data:
            data["size"] = min(data["size"], 140 * rng.randint(1, 3))
        if self.coverage == "matrix" and "verification" in data:
            data["verification"] = "email" if rng.random() < 0.65 else "none"
        return data

    def name(self, key: str, room: bool = False) -> str:
        """Turn an internal key into an opaque public name."""
        h = hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=6).hexdigest()
        if self.coverage != "matrix":
            return ("r" if room else "u") + h
        server = ("elm.example", "ash.example", "oak.example")[int(h[:2], 16) % 3]
        return f"{'!' if room else '@'}{h}:{server}"

    def write(self, out: Path) -> dict[str, int]:
        """Write the four files."""
        out.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"elm-project-{self.seed}")
        names = [self.name(str(a.idx)) for a in self.accounts]
        order = sorted(range(len(self.events)), key=lambda i: (self.events[i][0], i))
        ids: dict[int, str] = {}
        present: set[int] = set()
        rooms: dict[str, str] = {}
        with open(out / "events.jsonl", "w", encoding="utf-8") as f:
            for i in order:
                ts, kind, acc, raw = self.events[i]
                data = self.project(kind, raw, rng)
                if data is None:
                    continue
                ids[i] = f"e{len(ids):08d}"
                row = {"id": ids[i], "ts": ts, "type": kind, "account": names[acc], **data}
                present.add(acc)
                if isinstance(row.get("peer"), int):
                    present.add(row["peer"])
                    row["peer"] = names[row["peer"]]
                if "message" in row:
                    if row["message"] in ids:
                        row["message"] = ids[row["message"]]
                    else:
                        del row["message"]
                if "group" in row:
                    g = row["group"]
                    row["group"] = rooms[g] = rooms.get(g) or self.name(g, True)
                f.write(json.dumps(row, separators=(",", ":")) + "\n")
        cause = ((name, *self.truth.get(i, (0, -1))) for i, name in ids.items())
        kept = sorted((a for a in self.accounts if a.idx in present), key=lambda a: names[a.idx])
        for file, rows in (
            (
                "truth.csv",
                [("id", "unwanted", "because")]
                + [(n, u, ids.get(b, "")) for n, u, b in cause if u or b in ids],
            ),
            (
                "labels.csv",
                [("account", "label", "family", "operator")]
                + [
                    (names[a.idx], "abusive" if a.abusive else "benign", a.persona, a.operator)
                    for a in kept
                ],
            ),
            (
                "passes.csv",
                [("account", "passes", "delay_s")]
                + [(names[a.idx], *self.challenge(a, rng)) for a in kept],
            ),
        ):
            with open(out / file, "w", newline="", encoding="utf-8") as f:
                csv.writer(f, lineterminator="\n").writerows(rows)
        return {
            "accounts": len(kept),
            "abusive": sum(a.abusive for a in kept),
            "events": len(ids),
            "unwanted": sum(self.truth.get(i, (0, 0))[0] for i in ids),
        }

    def challenge(self, a: Account, rng: random.Random) -> tuple[int, int]:
        """Say whether an account would pass a challenge, and after how many seconds."""
        if a.abusive:
            p = PLANS[a.persona].passes if a.persona in PLANS else SPECIAL_PASSES[a.persona]
            median = 5_400 if a.persona == "borrowed_face" else 240
        else:
            p = {"elder": 0.88, "no_typing_aid": 0.91, "roamer": 0.92}.get(a.persona, 0.955)
            median = 1_500
        return int(rng.random() < p), min(200_000, int(rng.lognormvariate(math.log(median), 1.1)))


def main() -> None:
    """Parse the command line, build the world and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", choices=("full", "gateway", "matrix"), default="full")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    gc.disable()  # nothing here is cyclic, and the collector would walk millions of events
    world = World(args.seed, args.coverage, args.scale)
    world.run()
    print(json.dumps(world.write(args.out)))


if __name__ == "__main__":
    main()
