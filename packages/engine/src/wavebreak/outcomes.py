"""Outcomes that may be in force on an account, declared once.

A row says all that differs between outcomes. A code is stored (logs, snapshots, the kernel's rows,
databases) and says nothing of severity: new outcomes are appended, and take a rank between those of
two others. So severity is compared by rank, never by code. The words of holders' statements and
their translations stay with the notices; a contract test asks every consumer for its answer.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal, NamedTuple, get_args

Outcome = Literal["allow", "observe", "challenge", "limit", "restrict", "suspend", "ban", "request"]
RefusingOutcome = Literal["challenge", "limit", "restrict", "suspend", "ban"]
"""Those that refuse something, for schemas of webhooks; checked against the table below."""
Tone = Literal["allow", "observe", "challenge", "limit", "restrict", "suspend", "ban"]
"""Colours of pills, timelines and charts; a further outcome borrows one of them."""


class Refusal(IntEnum):
    """Acts that an outcome refuses; never receiving, leaving, blocking and reporting."""

    NOTHING = 0
    BEYOND_ALLOWANCE = 1
    """New chats with strangers, and adding them, above a daily allowance."""
    NEW_CHATS = 2
    """New chats, groups, member adds and companion devices."""
    EVERY_ACT = 3


class End(IntEnum):
    """The end of an outcome, and thus the source of the duration."""

    NOT_NEEDED = 0
    """Nothing to end."""
    BY_POLICY = 1
    """By itself, after a time that holds for the whole policy; a person gives one too."""
    BY_HOLD = 2
    """By itself, after the time that its rule or a person gives."""
    ON_REVERSAL = 3
    """By a person's act alone, who may give an end beforehand."""


class OutcomeRow(NamedTuple):
    """An outcome.

    Attributes:
        code: Stored number; never changes.
        name: The name in files, in the API and in policies.
        rank: Place in the order of severity, with room between two.
        settable: Whether a person may set the outcome.
        confirms_abuse: Whether one that still stands long after says that an account is abusive.
        stated: Whether the holder can read a statement of reasons.
        notified: Whether the holder gets a notice of the beginning.
        perceptible: Whether a sender can notice the effects, which red-team runs report back.
        tone: The colour.
        label: The name in English, at the beginning of a line.
        state: The state of an account under the outcome, in English.
        refusal_words: The refused acts, in English.
        end_words: The end, in English.
    """

    code: int
    name: Outcome
    rank: int
    refuses: Refusal
    end: End
    settable: bool
    confirms_abuse: bool
    stated: bool
    notified: bool
    perceptible: bool
    tone: Tone
    label: str
    state: str
    refusal_words: str
    end_words: str


TABLE: Final[tuple[OutcomeRow, ...]] = (
    OutcomeRow(
        code=0,
        name="allow",
        rank=0,
        refuses=Refusal.NOTHING,
        end=End.NOT_NEEDED,
        settable=True,
        confirms_abuse=False,
        stated=True,
        notified=False,
        perceptible=False,
        tone="allow",
        label="Allow",
        state="allowed",
        refusal_words="nothing is refused",
        end_words="none needed",
    ),
    OutcomeRow(
        code=1,
        name="observe",
        rank=10,
        refuses=Refusal.NOTHING,
        end=End.BY_POLICY,
        settable=True,
        confirms_abuse=False,
        # Nothing is restricted, and watching is silent.
        stated=False,
        notified=False,
        perceptible=False,
        tone="observe",
        label="Observe",
        state="put under observation",
        refusal_words="nothing is refused; the account is watched",
        end_words="ends by itself",
    ),
    OutcomeRow(
        code=2,
        name="challenge",
        rank=20,
        refuses=Refusal.NEW_CHATS,
        end=End.BY_HOLD,
        settable=True,
        confirms_abuse=False,
        stated=True,
        notified=True,
        perceptible=True,
        tone="challenge",
        label="Challenge",
        state="challenged",
        refusal_words="new chats, new groups, adding members and linking companion devices wait "
        "until a challenge is passed",
        end_words="ends when the challenge is passed, or by itself",
    ),
    OutcomeRow(
        code=3,
        name="limit",
        rank=30,
        refuses=Refusal.BEYOND_ALLOWANCE,
        end=End.BY_HOLD,
        settable=True,
        confirms_abuse=False,
        stated=True,
        notified=True,
        perceptible=True,
        tone="limit",
        label="Limit",
        state="limited",
        refusal_words="new chats with strangers above a daily allowance wait; answers free places, "
        "and contacts and existing chats go on",
        end_words="ends by itself, or on appeal; where it rests on doubt, a passed challenge "
        "raises what it leaves",
    ),
    OutcomeRow(
        code=4,
        name="restrict",
        rank=40,
        refuses=Refusal.NEW_CHATS,
        end=End.BY_HOLD,
        settable=True,
        confirms_abuse=False,
        stated=True,
        notified=True,
        perceptible=True,
        tone="restrict",
        label="Restrict",
        state="restricted",
        refusal_words="new chats, new groups, adding members and linking companion devices are "
        "refused; existing chats go on",
        end_words="ends by itself, or on appeal",
    ),
    OutcomeRow(
        code=5,
        name="suspend",
        rank=50,
        refuses=Refusal.EVERY_ACT,
        end=End.BY_HOLD,
        settable=True,
        confirms_abuse=True,
        stated=True,
        notified=True,
        perceptible=True,
        tone="suspend",
        label="Suspend",
        state="suspended",
        refusal_words="every act is refused; receiving and reading go on",
        end_words="ends by itself, or on appeal",
    ),
    OutcomeRow(
        code=6,
        name="ban",
        rank=60,
        refuses=Refusal.EVERY_ACT,
        end=End.ON_REVERSAL,
        settable=True,
        confirms_abuse=True,
        stated=True,
        notified=True,
        perceptible=True,
        tone="ban",
        label="Ban",
        state="banned",
        refusal_words="every act is refused",
        end_words="does not end by itself; ends on appeal or override",
    ),
    OutcomeRow(
        code=7,
        name="request",
        rank=15,
        refuses=Refusal.NOTHING,
        end=End.BY_HOLD,
        settable=True,
        confirms_abuse=False,
        stated=True,
        notified=True,
        # The message arrives: a sender cannot tell a request that is left alone from silence.
        perceptible=False,
        tone="observe",
        label="Request",
        state="delivered as requests",
        refusal_words="nothing is refused; first messages to strangers arrive as requests, without "
        "notification, media or links, and the recipient is asked whether they know the sender",
        end_words="ends by itself",
    ),
)
"""One row an outcome, in order of codes."""

ALLOW, OBSERVE, CHALLENGE, LIMIT, RESTRICT, SUSPEND, BAN, REQUEST = range(8)
"""Codes of the outcomes that code treats apart."""

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
"""Names by code: what decodes a stored number."""
RANKS: Final = tuple(row.rank for row in TABLE)
"""Ranks by code."""
SEVERITIES: Final = tuple(row.rank / 10 for row in TABLE)
"""What the feature `enforcement_level` says of them, by code: 0 (allow) to 6 (ban), and of a later
outcome a number between those of its neighbours, so that rules compare severities."""
BY_RANK: Final[tuple[Outcome, ...]] = tuple(
    row.name for row in sorted(TABLE, key=lambda row: row.rank)
)
"""Names, least to most severe: the order in which tables and forms list them."""
ABOVE_ALLOW: Final = BY_RANK[1:]
LATER: Final = tuple(row.name for row in TABLE if row.code > BAN)
"""Outcomes since 0.3: a file of an earlier local policy does not name them, and need not."""
_ROWS: Final = {row.name: row for row in TABLE}


def row_of(outcome: str) -> OutcomeRow:
    """Return an outcome's row; raises KeyError for no outcome.

    >>> row_of("ban").rank, row_of("limit").refuses.name
    (60, 'BEYOND_ALLOWANCE')
    """
    return _ROWS[outcome]  # type: ignore[index]


def rank_of(outcome: str) -> int:
    """Return an outcome's rank: the more severe, the greater."""
    return row_of(outcome).rank


def code_of(outcome: str) -> int:
    """Return an outcome's stored code."""
    return row_of(outcome).code


def reaches(outcome: str, least: str) -> bool:
    """Whether an outcome is as severe as another, or more.

    >>> reaches("suspend", "restrict"), reaches("limit", "restrict")
    (True, False)
    """
    return rank_of(outcome) >= rank_of(least)


def outcomes_from(least: str) -> tuple[Outcome, ...]:
    """Return an outcome and the more severe ones, mildest first.

    >>> outcomes_from("restrict")
    ('restrict', 'suspend', 'ban')
    """
    return tuple(name for name in BY_RANK if reaches(name, least))


def outcomes_below(outcome: str) -> tuple[Outcome, ...]:
    """Return the outcomes milder than one, mildest first.

    >>> outcomes_below("challenge")
    ('allow', 'observe', 'request')
    """
    return tuple(name for name in BY_RANK if not reaches(name, outcome))


def mildest(*codes: int) -> int:
    """Return the code of the mildest of some outcomes.

    >>> mildest(BAN, LIMIT)
    3
    """
    return min(codes, key=RANKS.__getitem__)


SILENCING: Final = outcomes_from("restrict")
"""Outcomes that act on an account beyond slowing it: what reports count as an action."""
NOT_REFUSING: Final = tuple(name for name in BY_RANK if row_of(name).refuses is Refusal.NOTHING)
REFUSING: Final = tuple(name for name in BY_RANK if row_of(name).refuses is not Refusal.NOTHING)
REFUSING_ALL: Final = tuple(name for name in BY_RANK if row_of(name).refuses is Refusal.EVERY_ACT)
MEETING: Final = outcomes_from("request")
"""Outcomes by which somebody is met: from a first message that arrives as a request on."""
TIMED: Final = tuple(name for name in BY_RANK if row_of(name).end is End.BY_HOLD)
"""Outcomes whose rule must say for how long (`for`)."""
NEEDING_HOLD: Final = tuple(
    name for name in BY_RANK if row_of(name).end in (End.BY_POLICY, End.BY_HOLD)
)
"""Outcomes that a person sets with a duration."""
SETTABLE: Final = tuple(name for name in BY_RANK if row_of(name).settable)
CONFIRMING: Final = tuple(name for name in BY_RANK if row_of(name).confirms_abuse)
PERCEPTIBLE: Final = tuple(name for name in BY_RANK if row_of(name).perceptible)
WITHOUT_STATEMENT: Final = tuple(name for name in BY_RANK if not row_of(name).stated)
WITHOUT_NOTICE: Final = tuple(name for name in BY_RANK if not row_of(name).notified)


def table_faults(table: tuple[OutcomeRow, ...] = TABLE) -> list[str]:
    """Return the faults of a table: codes in order and appended, names and ranks unique.

    >>> table_faults()
    []
    >>> table_faults((*TABLE, TABLE[-1]))
    ['row 8 has the code 7', 'two rows have one name', 'two rows have one rank']
    """
    faults = [f"row {n} has the code {r.code}" for n, r in enumerate(table) if n != r.code]
    for field in ("name", "rank"):
        if len({getattr(row, field) for row in table}) < len(table):
            faults.append(f"two rows have one {field}")
    return faults


assert not table_faults(), table_faults()  # noqa: S101
assert tuple(row.name for row in TABLE) == OUTCOMES  # noqa: S101
assert get_args(RefusingOutcome) == REFUSING  # noqa: S101
