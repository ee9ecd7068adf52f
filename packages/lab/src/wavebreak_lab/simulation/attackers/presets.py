"""Presets: every tactic of adversaries.md as parameters; a combination is their union."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wavebreak_lab.simulation.attackers.config import Sender
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.behaviour import MessageContent
from wavebreak_lab.simulation.geography import VIRTUAL

CONSERVATIVE: dict[str, Any] = {
    "law": "uniform", "gap": (8.0, 16.0), "per_minute": 5.0, "per_hour": 100.0, "per_day": 800.0,
    "first_day": 15.0, "growth": 1.8,
}  # fmt: skip
"""The gentlest preset of one public "anti-ban" tool."""

TOOLS: dict[str, dict[str, Any]] = {
    "conservative": CONSERVATIVE,
    "moderate": {"gap": (4.0, 8.0), "per_minute": 10.0, "per_hour": 300.0, "per_day": 1500.0},
    "aggressive": {
        "gap": (2.0, 4.0), "per_minute": 20.0, "per_hour": 800.0, "per_day": 4000.0,
        "first_day": 200.0, "growth": 2.7,
    },
    "high-volume": {"gap": (1.0, 2.0), "per_minute": 40.0, "per_hour": 1500.0, "per_day": 8000.0},
}  # fmt: skip
"""The tool's presets: caps, and the first day where it warms up (aggressive: for four days)."""

PLAIN: dict[str, Any] = {"gap": (20.0, 60.0), "per_hour": 100.0, "per_day": 800.0}
"""What a tactic that shapes only one thing is added to: slow uniform gaps."""

_FRAGMENTS = MessageContent(characters=150.0, variation=70.0)

TRAITS: dict[int, dict[str, Any]] = {
    0: {
        "law": "fixed", "gap": (2.0, 13.0), "burst": 100, "burst_s": 15.0, "quiet": (0.5, 4.5),
        "per_hour": 2000.0, "per_day": 8000.0, "total": (300, 900), "reads": 0.0,
        "enrolment": Enrolment(attested=0.5, devices=5, client="gateway/1.0"),
    },
    1: {
        "gap": (30.0, 60.0), "quick": (1.5, 5.0), "per_hour": 300.0, "per_day": 1500.0,
        "enrolment": Enrolment(attested=0.6),
    },
    2: {"law": "spread", "first_day": 20.0, "growth": 1.8, "per_day": 680.0,
        "register": (0.0, 0.1), "enrolment": Enrolment(attested=0.8, residential=True)},
    3: {"ring_h": 10.0, "ring_chats": 60.0, "register": (0.0, 0.1)},
    4: {"law": "typed", "typing": 1.0, "content": MessageContent(image=0.0), "quiet": (10.0, 90.0),
        "enrolment": Enrolment(attested=0.8)},
    5: {"curve": 0.9, "idle": 0.05},
    6: {"reads": 0.85, "look": (3.0, 45.0)},
    7: {"errors": 0.025, "typing": 0.8},
    8: {"content": _FRAGMENTS},
    9: {"shape": 0.1},
    10: {"staging": True, "per_day": 5.0, "register": (0.0, 0.1), "law": "spread"},
    11: {"saves": True, "per_10min": 3.0, "pooled": 20.0},
    12: {"life_h": 8.0, "again": 0.5, "law": "spread", "waking": (7.0, 7.3), "per_day": 22.0,
         "replace": True, "enrolment": Enrolment(attested=0.8, networks=2, devices=12, blocks=1)},
    13: {"proxy_h": (3.0, 6.0), "rotate": True, "per_hour": 60.0, "per_day": 400.0,
         "quiet": (10.0, 60.0), "watches": True,
         "enrolment": Enrolment(attested=0.8, residential=True, blocks=4)},
    14: {"fingerprint_h": 4.0, "enrolment": Enrolment(attested=0.4, devices=12)},
    15: {"quiet": (0.5, 2.0), "first_day": 120.0, "growth": 2.0},
    16: {"resume": (0.05, 0.25), "watches": True, "gap": (5.0, 20.0)},
    17: {"law": "uniform", "gap": (3.0, 12.0), "lookups": (0.05, 0.25), "stale": 0.12,
         "total": (120, 400), "quiet": (3.0, 40.0), "per_hour": 2000.0, "per_day": 2000.0},
    18: {"gap": (15.0, 90.0), "total": (60, 200), "enrolment": Enrolment(
        ranges=VIRTUAL, attested=0.0, retries=2.5, devices=4, networks=2,
        verification=("voice", "flash"))},
    19: {"typing": 0.7, "reads": 0.95,
         "enrolment": Enrolment(attested=1.0, retries=0.1, devices=40, networks=8, blocks=4)},
    20: {"hijack": True, "register": (0.3, 0.75), "quiet": (2.0, 2.0), "gap": (8.0, 70.0),
         "total": (60, 260), "per_hour": 400.0, "per_day": 400.0},
    21: {"appeals": 4, "solve": 0.5, "watches": True, "resume": (0.5, 1.0)},
    22: {"work": "reports", "enrolment": Enrolment(attested=0.7, networks=4, devices=6)},
    23: {"work": "flood", "enrolment": Enrolment(attested=0.6, networks=4, devices=12)},
    24: {"work": "groups", "enrolment": Enrolment(attested=0.6)},
}  # fmt: skip
"""What each tactic sets, by its number in adversaries.md."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named sender; `tactic` is its number in adversaries.md, -1 for several or none."""

    tactic: int
    about: str
    sender: Sender


_NAMES = (
    ("blast", "100 messages in 15 s minutes after registering, then on at fixed gaps"),
    ("jitter", "random gaps within narrow bounds"),
    ("warm-up", "20 messages a day, times 1.8 a day"),
    ("warm-up-ring", "own accounts chat with each other before they write to strangers"),
    ("typing", "plays the typing indicator, sends text only"),
    ("day-curve", "a cosine day with idle noise"),
    ("receipt-variance", "reads answers after 3 to 45 s, skips 15 %"),
    ("deliberate-errors", "a typing error and its correction, now and then"),
    ("text-variation", "templates and padding"),
    ("reply-shaping", "rests when few answer, and turns to lists that answer"),
    ("contact-staging", "joins groups, lurks 12 h, writes to five members a day"),
    ("threshold-hugging", "adds contacts first, three in ten minutes, below pooled caps"),
    ("sharding", "many accounts, each little, replaced by successors"),
    ("proxies", "a consumer address for each number, changed at every warning"),
    ("fingerprint-pool", "devices and clients from a pool of twelve"),
    ("quiet-connect", "connects, is silent for a minute or two, then ramps up"),
    ("limit-probing", "pauses on refusal, goes on at 5 to 25 %"),
    ("pre-verification", "looks every number up before writing"),
    ("virtual-numbers", "VoIP ranges, emulators, many attempts"),
    ("protocol-parity", "attests, types and reads as the official client does"),
    ("hijack", "a companion session on a real person's account"),
    ("appeal-farming", "tries its accounts' challenges in batches, in one rhythm"),
    ("mass-reports", "many report one benign account"),
    ("many-to-one-flood", "many accounts write to one victim and invite it"),
    ("group-adder", "adds strangers to groups by the hundred"),
)

STAGED = {"first_day": 5.0}
"""Contact staging's five strangers a day are where the combination's warm-up starts."""

COMBINATION = Sender(**(
    CONSERVATIVE | TRAITS[2] | TRAITS[4] | TRAITS[9] | TRAITS[10] | TRAITS[11] | TRAITS[12]
    | TRAITS[13] | CONSERVATIVE | STAGED | {
        "law": "typed", "life_h": 0.0, "register": (0.0, 0.1), "resume": (0.05, 0.25), "solve": 0.7,
        "enrolment": Enrolment(
            attested=0.9, residential=True, blocks=4, devices=24, retries=0.2, spread=20_000
        ),
    }
))  # fmt: skip
"""Conservative pacing with tactics 2, 4 and 9 to 13: per account, a busy human."""

PRESETS: dict[str, Preset] = {
    name: Preset(number, about, Sender(**(PLAIN | TRAITS[number])))
    for number, (name, about) in enumerate(_NAMES)
} | {
    "combination": Preset(-1, "conservative pacing with tactics 2, 4 and 9 to 13", COMBINATION)
}  # fmt: skip
"""Every tactic of the design and the listed combination, by name."""

_REAL_PHONES = Enrolment(
    attested=1.0, residential=True, devices=60, blocks=6, retries=0.1, spread=200_000
)

_PATIENT: dict[str, tuple[str, dict[str, Any]]] = {
    "romance": ("few people, who often write first, and days of chat with each", {
        "law": "spread", "per_day": 8.0, "total": (10, 60), "register": (0.0, 0.3),
        "approached": 0.5, "charm": 4.0, "dialogue": (10, 80), "dialogue_gap": 240.0,
        "typing": 0.9, "reads": 0.95, "enrolment": _REAL_PHONES}),
    "task-funnel": ("offers of paid tasks; who answers is talked to, then added to a group", {
        "gap": (40.0, 240.0), "per_hour": 30.0, "per_day": 120.0, "total": (60, 300),
        "charm": 2.5, "dialogue": (4, 16), "funnel": 0.5, "typing": 0.4,
        "enrolment": Enrolment(attested=0.8, residential=True, blocks=4)}),
    "aged-accounts": ("accounts registered long before and bought", {
        "aged": True, "law": "spread", "per_day": 40.0, "total": (30, 250),
        "register": (0.0, 0.7), "quiet": (5.0, 600.0), "typing": 0.3,
        "enrolment": Enrolment(residential=True, devices=40, blocks=6)}),
    "ai-paced": ("a language model that types, pauses, reads and answers as people do", {
        "law": "typed", "pause": (30.0, 400.0), "words": (50.0, 18.0), "typing": 0.95,
        "curve": 0.8, "idle": 0.1, "reads": 0.97, "look": (4.0, 240.0), "per_day": 60.0,
        "total": (40, 250), "charm": 2.5, "dialogue": (4, 24), "dialogue_gap": 45.0,
        "enrolment": Enrolment(attested=0.9, residential=True, devices=40, blocks=4)}),
    "click-farm": ("hands on real phones that warm up, type and pass challenges", {
        "gap": (25.0, 180.0), "per_hour": 40.0, "per_day": 250.0, "total": (50, 300),
        "typing": 0.9, "ring_h": 6.0, "ring_chats": 20.0, "solve": 0.95,
        "register": (0.0, 0.2), "enrolment": _REAL_PHONES}),
    "one-shot": ("a number for a few messages, then the next", {
        "gap": (4.0, 60.0), "total": (3, 30), "quiet": (0.3, 8.0), "register": (0.0, 0.95),
        "enrolment": Enrolment(
            attested=0.7, residential=True, devices=60, blocks=8, spread=100_000)}),
}  # fmt: skip

PATIENT_PRESETS: dict[str, Preset] = {
    name: Preset(-1, about, Sender(**(PLAIN | traits)))
    for name, (about, traits) in _PATIENT.items()
}
"""Senders that follow public guides and take their time, by name."""

KNOWING: dict[str, Any] = {
    "law": "spread", "per_day": 55.0, "register": (0.0, 0.1), "quiet": (5.0, 240.0),
    "typing": 0.5, "watches": True, "enrolment": Enrolment(
        attested=0.8, residential=True, devices=40, blocks=6, spread=100_000),
}  # fmt: skip
"""Who has read how reactions convict: below the allowances of an hour and a day."""

_REACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "own-answers": ("writes to own accounts that answer, beside strangers", {
        "own_answers": 0.5, "helpers": 16}),
    "bought-answers": ("pays people to answer, beside strangers", {"bought_answers": 0.5}),
    "waiting-out": ("rests after notice until a limit has ended", {"waits": 0.9}),
    "rotating-hands": ("lays an account down before strangers convict it", {
        "hand": 24, "replace": True}),
    "brigade": ("accounts bought for complaints about a few honest ones", {
        "work": "accuse", "aged": True, "accuses": 2.0, "rivals": 2, "lured": 0.6}),
    "label-poisoning": ("answers itself and complains of many honest accounts", {
        "own_answers": 0.5, "helpers": 16, "accuses": 1.0, "rivals": 40, "lured": 0.6}),
    "all-reactions": ("all of these together", {
        "own_answers": 0.3, "helpers": 12, "bought_answers": 0.3, "waits": 0.5, "hand": 80,
        "replace": True, "accuses": 0.3, "rivals": 2, "lured": 0.6}),
}  # fmt: skip

REACTION_PRESETS: dict[str, Preset] = {
    name: Preset(-1, about, Sender(**(PLAIN | KNOWING | traits)))
    for name, (about, traits) in _REACTIONS.items()
}
"""Senders who know that reactions convict, and what is learned from them, by name."""

EVASION_PRESETS: dict[str, Preset] = {
    "evasion-tool": Preset(-1, "warms up, 10 to 60 strangers a day, rotates accounts", Sender(
        gap=(120.0, 1_500.0), per_hour=8.0, per_day=60.0, first_day=10.0, growth=1.4,
        curve=0.85, idle=0.1, ring_h=72.0, ring_chats=5.0, register=(0.0, 0.05),
        quiet=(10.0, 240.0), typing=0.9, reads=0.95, look=(4.0, 240.0), solve=0.9, watches=True,
        hand=300, replace=True, again=0.0, enrolment=Enrolment(
            attested=0.9, residential=True, devices=1_000, blocks=6, spread=200_000))),
}  # fmt: skip
"""A tool that hides: few chats with own accounts for three days, then strangers at human hours and
speed, each account on its own phone and line, until it is limited and the next takes its place."""

CALL_PRESETS: dict[str, Preset] = {
    "voice-calls": Preset(-1, "a dialler that calls strangers and plays a recording", Sender(
        gap=(8.0, 40.0), per_hour=90.0, per_day=400.0, total=(60, 400), register=(0.0, 0.6),
        quiet=(5.0, 300.0), calls=1.0, reads=0.0,
        enrolment=Enrolment(attested=0.6, residential=True, devices=20, blocks=4))),
}  # fmt: skip
"""Senders that call, by name: for platforms that have calls."""

_BUSINESS_APP: dict[str, tuple[str, dict[str, Any]]] = {
    "app-bulk": ("bulk outreach from the business app, by a tool that clicks", {
        "gap": (8.0, 30.0), "per_hour": 150.0, "per_day": 600.0, "register": (0.0, 0.3),
        "enrolment": Enrolment(attested=0.8, devices=8, channel="business_app")}),
    "app-series": ("business accounts registered in a series, each used up and replaced", {
        "gap": (15.0, 60.0), "total": (40, 120), "register": (0.0, 0.5), "replace": True,
        "again": 0.3, "enrolment": Enrolment(
            attested=0.7, devices=6, networks=2, blocks=1, spread=500, channel="business_app")}),
    "app-bought-list": ("a firm that writes to a bought list by hand, with many old numbers", {
        "law": "spread", "waking": (9.0, 11.0), "per_day": 120.0, "stale": 0.12, "typing": 0.5,
        "reads": 0.95, "register": (0.0, 0.2), "enrolment": Enrolment(
            attested=1.0, residential=True, devices=40, spread=200_000, channel="business_app")}),
    "app-courier-claim": ("passes for a courier: short first messages to strangers, all day", {
        "law": "spread", "waking": (8.0, 10.0), "per_day": 100.0, "reads": 0.9,
        "content": MessageContent(characters=60.0, variation=10.0, image=0.0),
        "register": (0.0, 0.2), "enrolment": Enrolment(
            attested=0.9, residential=True, devices=20, blocks=4, channel="business_app")}),
}  # fmt: skip

BUSINESS_APP_PRESETS: dict[str, Preset] = {
    name: Preset(-1, about, Sender(**(PLAIN | traits)))
    for name, (about, traits) in _BUSINESS_APP.items()
}
"""Senders that register as small businesses, by name: for worlds that have the business app."""

TOOL_PRESETS: dict[str, Preset] = {
    name: Preset(-1, f"the {name} preset of a public tool", Sender(**(PLAIN | pace)))
    for name, pace in TOOLS.items()
}
"""The presets of one public tool, by name."""
