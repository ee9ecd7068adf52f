"""Parameters of a bulk sender, and the feedback that its operator gets."""

from __future__ import annotations

from dataclasses import dataclass, field

from wavebreak.outcomes import PERCEPTIBLE, REFUSING_ALL
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.behaviour import MessageContent

Bounds = tuple[float, float]
"""Least and most of what is drawn uniformly."""


@dataclass(frozen=True, slots=True)
class Sender:
    """All that an operator decides. A tactic sets some fields; tactics add up field by field.

    Start. Accounts register within `register` (shares of the span), stay silent for `quiet`
    (minutes) and then start, with `burst` messages within `burst_s` seconds where it is set.

    Pacing. Gaps follow `law`: "fixed" (one of the two values of `gap` an account), "uniform"
    within `gap` (seconds; every second account draws normal ones within `quick`, where set),
    "typed" (the time of typing, then a `pause`, seconds), or "spread" (evenly but for chance over
    `waking` hours a day). Gaps are stretched until at most
    `per_minute`, `per_10min` and, over all accounts of one network, `pooled` a minute are sent (0:
    no cap); `per_hour` and `per_day` cap; `first_day` messages on the first day, times `growth` a
    day, where set; `total` in all (bounds, 0: on and on). `curve` is the amplitude of a cosine day,
    `idle` the share of gaps that get a pause of 5 to 20 minutes.

    Content. `content` (None: the sim's); `typing`: the share of texts with a typing indicator
    played at `words` a minute (mean, sigma); `errors`: the share corrected by a second message;
    `reads`: what share of answers it reads, after `look` seconds (bounds; None: as people do).

    Targets. `lookups`: shares (bounds) of numbers looked up that are accounts, where it verifies
    before sending, `batch` numbers a look-up for every second account; `stale` of them are gone
    since. `saves`: puts each target into its contacts first. `staging`: joins groups, lurks
    `lurk_h` hours and writes to their members. `ring_h`: hours in which own accounts talk with
    each other first, `ring_chats` chats a day each. `shape`: below this share of answers an
    account rests for a day and turns to the lists that answered best (0: never).

    Infrastructure. `enrolment`; `proxy_h`: hours (bounds) an address is kept (0: for good);
    `rotate`: a new address at every warning; `fingerprint_h`: hours between changes of device and
    client within the pool (0: never). `hijack`: companion sessions of real people's accounts
    instead of registrations. `life_h`: hours after which an account is replaced (0: never);
    `replace`: also when it is banned; a successor writes again to `again` of the old targets.

    Answers. After a refusal it pauses `pause_h` hours (bounds) and goes on at a share within
    `resume` of its pace (0: it does not listen, and tries again each hour). `watches`: it takes
    missing receipts for a
    refusal. `solve`: the share of challenges that it passes, one attempt each `solve_s` seconds;
    `appeals`: it waits until so many of its accounts are challenged and attempts all at once.

    Work. "write"; "groups" (creates `groups` groups of `members`, or for every second account
    `few` groups of `crowd`, an add every `add_gap` seconds); "reports" (all report the victims
    within `within_h` hours, a share `bait` after writing to them); "flood" (all write to one
    victim, `insist` times, a share `invites` by adding it to a group). `calls`: the share of
    strangers whom it calls instead of writing to them.

    Patience. `aged`: accounts were registered long before, and bought. `approached`: the share of
    targets who write first, after an advertisement or a profile. Targets answer `charm` times as
    often as the sim's. With those who answer it goes on for `dialogue` messages (bounds), a median
    `dialogue_gap` seconds apart, and adds a share `funnel` of them to a group of its own.

    Reactions. For each stranger an account writes to `own_answers` accounts of the same operator,
    which answer, each pair once; besides its own kind the operator has `helpers`, accounts
    registered long before that only answer and complain. It writes to `bought_answers` people a
    stranger who are paid to answer. `waits`: the chance that after notice of a limit or a
    restriction an account rests until it has ended. `hand`: strangers after which an account is
    laid down and the next takes its place (0: never); so it is at notice of more than a day's
    limit. `accuses`: complaints a day of each helper, or of each account where there are none,
    about `rivals` honest accounts of the operator's choice; a share `lured` of them comes after the
    honest account was led to write first. Work "accuse" does nothing else.
    """

    enrolment: Enrolment = field(default=Enrolment(attested=0.7))
    work: str = "write"
    register: Bounds = (0.0, 0.4)
    quiet: Bounds = (5.0, 60.0)
    burst: int = 0
    burst_s: float = 15.0
    law: str = "uniform"
    gap: Bounds = (20.0, 60.0)
    quick: Bounds = (0.0, 0.0)
    pause: Bounds = (3.0, 25.0)
    waking: Bounds = (10.0, 14.0)
    per_minute: float = 0.0
    per_10min: float = 0.0
    pooled: float = 0.0
    per_hour: float = 300.0
    per_day: float = 1500.0
    first_day: float = 0.0
    growth: float = 1.0
    total: tuple[int, int] = (0, 0)
    curve: float = 0.0
    idle: float = 0.0
    content: MessageContent | None = None
    typing: float = 0.0
    words: tuple[float, float] = (45.0, 15.0)
    errors: float = 0.0
    reads: float = 0.9
    look: Bounds | None = None
    lookups: Bounds = (0.0, 0.0)
    batch: int = 50
    stale: float = 0.0
    saves: bool = False
    staging: bool = False
    lurk_h: float = 12.0
    ring_h: float = 0.0
    ring_chats: float = 12.0
    shape: float = 0.0
    proxy_h: Bounds = (0.0, 0.0)
    rotate: bool = False
    fingerprint_h: float = 0.0
    hijack: bool = False
    life_h: float = 0.0
    replace: bool = False
    again: float = 0.5
    pause_h: Bounds = (1.0, 6.0)
    resume: Bounds = (0.0, 0.0)
    watches: bool = False
    solve: float = 0.0
    solve_s: float = 90.0
    appeals: int = 0
    groups: tuple[int, int] = (20, 50)
    members: tuple[int, int] = (15, 45)
    few: tuple[int, int] = (2, 6)
    crowd: tuple[int, int] = (200, 500)
    add_gap: float = 0.8
    within_h: float = 3.0
    bait: float = 0.3
    insist: int = 3
    invites: float = 0.5
    calls: float = 0.0
    aged: bool = False
    approached: float = 0.0
    charm: float = 1.0
    dialogue: tuple[int, int] = (0, 0)
    dialogue_gap: float = 60.0
    funnel: float = 0.0
    own_answers: float = 0.0
    helpers: int = 0
    bought_answers: float = 0.0
    waits: float = 0.0
    hand: int = 0
    accuses: float = 0.0
    rivals: int = 0
    lured: float = 0.0


_SLOWING = (name for name in PERCEPTIBLE if name not in REFUSING_ALL and name != "challenge")
REFUSALS = ("refused", *_SLOWING, "silence")
"""Kinds of feedback after which a sender pauses; to a challenge it has answers of its own."""
ENDS = REFUSING_ALL
"""Kinds of feedback that end the use of an account."""


@dataclass(frozen=True, slots=True)
class OperatorFeedback:
    """What an operator learns of an account: `kind` is an outcome, "refused" or "silence".

    `ts`: when it learns it; `until`: when the outcome ends (milliseconds; 0: not known, or never).
    """

    account: int
    kind: str
    ts: int
    until: int = 0
