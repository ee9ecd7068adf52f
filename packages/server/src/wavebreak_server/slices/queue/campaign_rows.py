"""Rows of the queue of campaigns, the cases of a campaign, and which colleagues look at it.

The indexer stores figures of each campaign; a page counts only the small campaigns that it shows
anew, so that a verdict is seen at once and a queue of many cases stays fast.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Case, Count, F, Min, Q, Sum, Value, When

from wavebreak.durations import MINUTE_MS, duration_ms
from wavebreak.outcomes import rank_of
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.campaigns import BATCH, NEW, store_campaigns
from wavebreak_server.slices.queue.models import CampaignSummary, ReviewCase
from wavebreak_server.slices.queue.service import waiting

PRESENT_MS = 5 * MINUTE_MS
"""For how long somebody who opened a campaign is shown to colleagues."""
COUNTED_ANEW = 500
"""Cases of a campaign up to which a page counts it anew; of others the stored figures are shown."""
KINDS = ("op", "list", "network", "alike", "new")
"""Begins of the keys of campaigns: by what their cases are connected."""


def due_ms(settings: Queue, abuse: str, opened_ms: int) -> int:
    """Return until when a case is to be decided."""
    return opened_ms + duration_ms(settings.age_targets.get(abuse, settings.age_floor))


@dataclass
class Campaign:
    """Cases that are decided together.

    Attributes:
        key: Its key.
        cases: How many cases wait.
        reached: First messages to strangers, of all accounts.
        complained: Strangers who blocked or reported, of all accounts.
        since_ms: When the oldest case was opened.
        due_ms: When the first case is due.
        risk: Sum of the cases' priorities.
        in_force: How many accounts have each outcome now.
        rules: How many cases each rule opened ("": a score).
        shapes: How many accounts send in each shape.
        people: Names of colleagues who work on it.
    """

    key: str
    cases: int = 0
    reached: int = 0
    complained: int = 0
    since_ms: int = 1 << 62
    due_ms: int = 1 << 62
    risk: float = 0.0
    in_force: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    people: list[str] = field(default_factory=list)

    @classmethod
    def stored(cls, row: CampaignSummary) -> Campaign:
        """Return a campaign as the indexer counted it."""
        figures: dict[str, Any] = dict(row.figures)
        for name in ("in_force", "rules", "shapes"):
            figures[name] = Counter(figures[name])
        return cls(row.key, row.cases, due_ms=row.due_ms, risk=row.risk, **figures)

    def summary(self) -> CampaignSummary:
        """Return the row that stores it."""
        names = ("reached", "complained", "since_ms", "in_force", "rules", "shapes")
        figures = {name: getattr(self, name) for name in names}
        return CampaignSummary(
            key=self.key, cases=self.cases, risk=self.risk, due_ms=self.due_ms, figures=figures
        )

    @property
    def kind(self) -> str:
        """By what its cases are connected: one of KINDS."""
        return self.key.partition("-")[0]

    @property
    def rule(self) -> str:
        """The rule that opened most cases."""
        return _most(self.rules)

    @property
    def shape(self) -> str:
        """The shape in which most accounts send."""
        return _most(self.shapes)

    @property
    def outcome(self) -> str:
        """What is in force for most accounts."""
        return _most(self.in_force)

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        """How many accounts have each outcome now, the severest first."""
        return sorted(self.in_force.items(), key=lambda pair: -rank_of(pair[0] or "allow"))

    def oddities(self, case: ReviewCase) -> list[str]:
        """Return in which traits a case is unlike most of the campaign: shape, outcome."""
        traits = (("shape", self.shapes, case.shape), ("outcome", self.in_force, case.in_force))
        return [
            name
            for name, counts, value in traits
            if counts and value != _most(counts) and 2 * counts[_most(counts)] > self.cases
        ]


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda name: (-counts[name], name)) if counts else ""


class QueuePage(NamedTuple):
    """Campaigns of a page; how many campaigns, cases and overdue campaigns the queue has."""

    campaigns: list[Campaign]
    total: int
    cases: int
    overdue: int


def queue_page(settings: Queue, now_ms: int, begin: int, size: int) -> QueuePage:
    """Return campaigns whose cases wait, overdue ones first, then by risk."""
    stored = CampaignSummary.objects.exclude(key=NEW)
    late = Q(due_ms__lt=now_ms)
    order = (Case(When(late, then=F("due_ms")), default=Value(1 << 62)), "-risk", "key")
    shown = list(stored.order_by(*order)[begin : begin + size])
    small = [row.key for row in shown if row.cases <= COUNTED_ANEW]
    counted = {row.key: row for row in campaigns_of(settings, [NEW, *small])}
    fresh = [counted.pop(NEW, None)] if begin == 0 else []
    fresh += [
        counted.get(row.key) if row.cases <= COUNTED_ANEW else Campaign.stored(row) for row in shown
    ]
    campaigns = [campaign for campaign in fresh if campaign is not None]
    _add_people(campaigns, now_ms)
    overdue = stored.filter(late).count()
    return QueuePage(campaigns, stored.count(), waiting().count(), overdue)


def find_campaign(settings: Queue, key: str, now_ms: int) -> Campaign | None:
    """Return a campaign as it is now; None where none of its cases waits."""
    campaigns = campaigns_of(settings, [key])
    _add_people(campaigns, now_ms)
    return campaigns[0] if campaigns else None


def campaigns_of(settings: Queue, keys: Sequence[str] | None = None) -> list[Campaign]:
    """Count the waiting cases of campaigns (None: of all) in the database."""
    cases = waiting() if keys is None else waiting().filter(campaign__in=keys)
    parts = cases.values("campaign", "rule", "abuse", "shape", "in_force").annotate(
        n=Count("id"), strangers=Sum("reached"), complaints=Sum("complained"),
        oldest=Min("opened_ms"), risk=Sum("priority"),
    )  # fmt: skip
    campaigns: dict[str, Campaign] = {}
    for part in parts.order_by():
        _add(campaigns.setdefault(part["campaign"], Campaign(part["campaign"])), part, settings)
    return list(campaigns.values())


def group_cases(settings: Queue) -> None:
    """Group the cases that wait into campaigns, and store the figures of the campaigns."""
    store_campaigns()
    rows = [campaign.summary() for campaign in campaigns_of(settings)]
    with transaction.atomic():
        gone = set(CampaignSummary.objects.values_list("key", flat=True))
        gone -= {row.key for row in rows}
        CampaignSummary.objects.filter(key__in=gone).delete()
        CampaignSummary.objects.bulk_create(
            rows, BATCH, update_conflicts=True, unique_fields=["key"],
            update_fields=["cases", "risk", "due_ms", "figures"],
        )  # fmt: skip


def _add_people(campaigns: Sequence[Campaign], now_ms: int) -> None:
    """Add to campaigns who has claimed one of their cases."""
    by_key = {campaign.key: campaign for campaign in campaigns}
    claimed = waiting().filter(lease_until_ms__gt=now_ms, campaign__in=list(by_key))
    for case in claimed.exclude(claimed_by=None).select_related("claimed_by"):
        people = by_key[case.campaign].people
        if (name := case.claimed_by.shown_name) not in people:
            people.append(name)


def _add(campaign: Campaign, part: dict[str, Any], settings: Queue) -> None:
    count = part["n"]
    campaign.cases += count
    campaign.reached += part["strangers"]
    campaign.complained += part["complaints"]
    campaign.since_ms = min(campaign.since_ms, part["oldest"])
    campaign.due_ms = min(campaign.due_ms, due_ms(settings, part["abuse"], part["oldest"]))
    campaign.risk += part["risk"]
    campaign.in_force[part["in_force"]] += count
    campaign.rules[part["rule"]] += count
    campaign.shapes[part["shape"]] += count


class CampaignCase(NamedTuple):
    """A case of a campaign, and in which traits it is unlike the others."""

    case: ReviewCase
    oddities: list[str]

    @property
    def is_alike(self) -> bool:
        """Whether its account sends as most of the others do; what is in force may differ."""
        return "shape" not in self.oddities


def cases_of(campaign: Campaign, most: int) -> list[CampaignCase]:
    """Return cases of a campaign: the odd ones first, then by risk."""
    alike = {"shape": campaign.shape, "in_force": campaign.outcome}
    cases = waiting().filter(campaign=campaign.key).select_related("claimed_by")
    odd = list(cases.exclude(**alike).order_by("-priority", "id")[:most])
    rest = cases.filter(**alike).order_by("-priority", "id")[: most - len(odd)]
    rows = [CampaignCase(case, campaign.oddities(case)) for case in (*odd, *rest)]
    return sorted(rows, key=lambda row: (row.is_alike, not row.oddities))


def accounts_of(key: str, but: Sequence[int], most: int) -> list[str]:
    """Return accounts of the cases of a campaign that wait, but for some cases."""
    listed = set(but)
    cases = waiting().filter(campaign=key).order_by("id").values_list("id", "account")
    return [account for number, account in cases if number not in listed][:most]


class Presence:
    """Who has opened which campaign of late, in this process; a restart forgets it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, int]] = defaultdict(dict)

    def note(self, key: str, name: str, now_ms: int) -> None:
        """Note that somebody opened a campaign, and nothing else meanwhile."""
        with self._lock:
            for people in self._seen.values():
                people.pop(name, None)
            self._seen[key][name] = now_ms

    def people(self, key: str, but: str, now_ms: int) -> list[str]:
        """Return who has a campaign open, but for one person."""
        with self._lock:
            seen = self._seen.get(key, {})
            return sorted(n for n, ms in seen.items() if n != but and now_ms - ms < PRESENT_MS)
