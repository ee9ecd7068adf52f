"""Simulated campaigns over the platform's rules: who is reached, who is refused, and why.

Lists: people who agreed; bought numbers; bought numbers with forged claims of consent, by a new
business and by one that is known, with many new templates; and a person who puts a template into
messages without a portfolio. Reactions are drawn, not measured:
`REACTIONS` says with what chances, and a campaign prints them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.schema.events import (
    MessageRead,
    MessageSent,
    MessageUndeliverable,
    UserBlocked,
    UserReported,
)
from wavebreak_business.platform.events import (
    ConsentGranted,
    ConsentRevoked,
    Number,
    PortfolioUpdated,
    TemplateUpdated,
)
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.portfolios import status_of
from wavebreak_business.settings import Settings

List = Literal["opted_in", "bought", "forged", "forged_by_known", "no_portfolio"]
LISTS: tuple[List, ...] = ("opted_in", "bought", "forged", "forged_by_known", "no_portfolio")
START = 20_780 * DAY_MS + 9 * HOUR_MS
_PROOF = "5e" * 32
_A_SECOND = 60
"""Sends a second of a campaign, below the throughput of one number."""
_BUSINESS, _NUMBER = "simulated", "number-1"
_MANY_TEMPLATES = 20
"""New templates of a business that is known and whose account somebody took or bought."""


class Chances(NamedTuple):
    """With what chance a person who gets a message reads it, answers, stops, blocks, reports."""

    read: float
    answers: float
    stops: float
    blocks: float
    reports: float


REACTIONS: dict[List, Chances] = {
    "opted_in": Chances(0.6, 0.02, 0.01, 0.003, 0.0005),
    "bought": Chances(0.3, 0.005, 0.0, 0.06, 0.02),
    "forged": Chances(0.3, 0.005, 0.0, 0.06, 0.02),
    "forged_by_known": Chances(0.3, 0.005, 0.0, 0.06, 0.02),
    "no_portfolio": Chances(0.3, 0.005, 0.0, 0.06, 0.02),
}
_DELAYS = (8 * MINUTE_MS, 1.0)
"""Median and spread (of the logarithm) of the time until a person reacts."""


@dataclass
class Campaign:
    """What became of a campaign.

    Attributes:
        people: On the list.
        tried: Sends.
        delivered: Messages that reached a person.
        dropped: Held ones that were dropped.
        refused: Sends refused, by outcome.
        wrong: Refused though the person had agreed and not stopped, and the limit was not used.
        opted_out: Sends to people after their stop that went out.
        changes: Steps and pauses, with the messages that had been delivered by then.
        status: Of the templates at the end.
    """

    list_name: List
    people: int
    tried: int = 0
    delivered: int = 0
    dropped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    opted_out: int = 0
    changes: list[tuple[str, int]] = field(default_factory=list)
    status: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "list": self.list_name, "people": self.people, "tried": self.tried,
            "delivered": self.delivered, "dropped": self.dropped,
            "refused": dict(sorted(self.refused.items())), "wrong": self.wrong,
            "opted_out": self.opted_out,
            "changes": [{"what": what, "delivered": count} for what, count in self.changes],
            "template": self.status, "chances": REACTIONS[self.list_name]._asdict(),
        }  # fmt: skip


def run_campaign(
    list_name: List, people: int, settings: Settings, *, seed: int = 0, messages: int = 2
) -> Campaign:
    """Simulate a campaign.

    Args:
        list_name: What kind of list it goes to.
        people: How many are on it; the portfolio's limit is as many.
        settings: Limits and codes.
        seed: Of what people do.
        messages: To each person, a day and an hour apart.
    """
    return _Run(list_name, people, settings, np.random.default_rng(seed)).play(messages)


class _Run:
    def __init__(
        self, list_name: List, people: int, settings: Settings, rng: np.random.Generator
    ) -> None:
        self.platform, self.rng = Platform(settings), rng
        self.told = Campaign(list_name, people)
        self.chances = REACTIONS[list_name]
        self.due: list[tuple[int, int, Any]] = []
        self.held: list[MessageSent] = []
        self.stopped: set[str] = set()
        self.sender = "person-1" if list_name == "no_portfolio" else _NUMBER
        self.order = 0
        self._register()

    def _register(self) -> None:
        told, at = self.told, START - DAY_MS
        number = Number(_NUMBER, "Simulated")
        # A business that sent much before is not paced as a whole; a new one is.
        known = told.list_name in ("opted_in", "forged_by_known")
        many = _MANY_TEMPLATES if told.list_name == "forged_by_known" else 1
        self.templates = [f"offer-{n}" for n in range(many)]
        events: list[Any] = [
            PortfolioUpdated(
                ts=at, business=_BUSINESS, legal_name="Simulated", verified=True, owners=("owner",),
                numbers=(number,), limit=told.people, paced=not known,
            ),
            *[
                TemplateUpdated(
                    ts=at, business=_BUSINESS, template=name, category="marketing", language="en",
                    status="approved",
                )
                for name in self.templates
            ],
        ]  # fmt: skip
        if told.list_name not in ("bought", "no_portfolio"):
            source = "person" if told.list_name == "opted_in" else "website"
            events += [
                ConsentGranted(
                    ts=at, account=_person(n), business=_BUSINESS, category="marketing",
                    source=source, proof=_PROOF,
                )
                for n in range(told.people)
            ]  # fmt: skip
        self.platform.apply(events)

    def play(self, messages: int) -> Campaign:
        """Send to everybody, so many times, and let people react."""
        told = self.told
        for message in range(messages):
            begin = START + message * (DAY_MS + HOUR_MS)
            for first in range(0, told.people, _A_SECOND * 60):
                minute = begin + first // _A_SECOND * SECOND_MS
                people = range(first, min(first + _A_SECOND * 60, told.people))
                self._minute(minute, people, first)
            # The rest of the day, until nothing is held any more.
            end = begin + told.people // _A_SECOND * SECOND_MS
            for quarter in range(1, 12):
                self._minute(end + quarter * 15 * MINUTE_MS, range(0), 0)
        if told.list_name != "no_portfolio":
            records = self.platform.state.templates.records[: len(self.templates)]
            told.status = ", ".join(sorted({status_of(record) for record in records}))
        return told

    def _minute(self, at: int, people: range, first: int) -> None:
        events: list[Any] = []
        while self.due and self.due[0][0] <= at:
            events.append(heapq.heappop(self.due)[2])
        sends = [
            MessageSent(
                ts=at + (n - first) * SECOND_MS // _A_SECOND, account=self.sender, peer=_person(n),
                template=self.templates[n % len(self.templates)], category="marketing",
                id=f"m{at}-{n}",
            )
            for n in people
        ]  # fmt: skip
        self.stopped.update(e.account for e in events if isinstance(e, ConsentRevoked))
        result = self.platform.apply(events + sends)
        told = self.told
        told.tried += len(sends)
        told.changes += [(change.what, told.delivered) for change in result.changes]
        by_id = {send.id: send for send in sends}
        for answer in result.answers:
            person = str(by_id[answer.id].peer)
            if answer.outcome == "held":
                self.held.append(by_id[answer.id])
            elif answer.accepted:
                self._deliver(person, answer.at)
            else:
                told.refused[answer.outcome] += 1
                agreed = told.list_name == "opted_in" and person not in self.stopped
                told.wrong += agreed
        self._settle(at)

    def _settle(self, at: int) -> None:
        """Let what is held go out, or drop it, once it is decided."""
        waiting = []
        for send in self.held:
            told, person = self.platform.held_outcome(send, at), str(send.peer)
            if told == "released":
                self._deliver(person, at)
            elif told == "held":
                waiting.append(send)
            else:
                self.told.dropped += 1
                self._later(at, MessageUndeliverable(ts=at, account=self.sender, peer=person))
        self.held = waiting

    def _deliver(self, person: str, at: int) -> None:
        told, chances, rng = self.told, self.chances, self.rng
        told.delivered += 1
        told.opted_out += person in self.stopped
        draws = rng.random(5)
        median, spread = _DELAYS
        when = at + int(median * np.exp(spread * rng.standard_normal()))
        what: list[Any] = []
        if draws[0] < chances.read:
            what.append(MessageRead(ts=when, account=person, peer=self.sender))
        if draws[1] < chances.answers:
            what.append(MessageSent(ts=when, account=person, peer=self.sender))
        if draws[2] < chances.stops:
            what.append(ConsentRevoked(ts=when, account=person, business=_BUSINESS, number=_NUMBER))
        if draws[3] < chances.blocks:
            what.append(UserBlocked(ts=when, account=person, peer=self.sender))
        if draws[4] < chances.reports:
            what.append(UserReported(ts=when, account=person, peer=self.sender, reason="spam"))
        for event in what:
            self._later(when, event)

    def _later(self, at: int, event: Any) -> None:
        self.order += 1
        heapq.heappush(self.due, (at, self.order, event))


def _person(n: int) -> str:
    return f"person:{n}"
