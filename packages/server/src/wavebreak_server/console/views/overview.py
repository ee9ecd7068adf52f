"""Overview: what happened since the last visit, what is at risk now, and what waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from wavebreak.durations import DAY_MS
from wavebreak.outcomes import ABOVE_ALLOW, BY_RANK, REFUSING_ALL, SILENCING
from wavebreak_server.console.demo_story import DemoTour
from wavebreak_server.console.pages import Console, console_of, is_shadow, page, show
from wavebreak_server.slices.accounts import service as account_facts
from wavebreak_server.slices.accounts.story import rule_title
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.slices.versions import service as versions
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.storage.models import AuditEntry, Decision, Delivery, Webhook
from wavebreak_server.texts import translate, translate_count

MAX_ABSENCE_MS = 14 * DAY_MS
SHOWN_CASES = 5
MAX_BEHIND = 10_000
"""Events that may wait to be decided before the page names them."""


@page("view_overview")
def overview(request: HttpRequest) -> HttpResponse:
    """Show the overview."""
    console = console_of(request)
    since_ms, is_first = _last_visit(console)
    return show(
        request,
        "console/overview.html",
        tour=console.context.app.state_of(DemoTour),
        progress=console.service.progress(),
        waiting=_waiting(console),
        problems=_problems(console),
        risk=_risk(console),
        in_force=_accounts_by_outcome(console.now_ms),
        since_ms=since_ms,
        is_first_visit=is_first,
        decided=_decided_since(since_ms),
        happened=_happened_since(console, since_ms),
    )


# What happened


def _last_visit(console: Console) -> tuple[int, bool]:
    """Return when the person was last here before this session, and whether that is unknown.

    The audit log has what somebody last did, a sign-in or sign-out too. Nobody reads back further
    than `MAX_ABSENCE_MS`; the first visit shows a day.
    """
    session, now_ms = console.request.session, console.now_ms
    if "last_visit_ms" not in session:
        signed_in = console.user.last_login or datetime.now(UTC)
        own = AuditEntry.objects.filter(key=console.user.actor)
        earlier = own.filter(at_ms__lt=int(signed_in.timestamp() * 1000)).order_by("-number")
        session["last_visit_ms"] = earlier.values_list("at_ms", flat=True).first()
    visit_ms = session["last_visit_ms"]
    return max(visit_ms or now_ms - DAY_MS, now_ms - MAX_ABSENCE_MS), visit_ms is None


def rows_since(rows: QuerySet, field: str, since_ms: int) -> QuerySet:
    """Return the rows since an instant, of a table whose keys and times grow together.

    Their first key is found by bisection, since such a table needs no index of its times.
    """
    keys = rows.order_by("pk").values_list("pk", flat=True)
    low, high = keys.first() or 0, (keys.last() or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = rows.filter(pk__gte=middle).order_by("pk").values_list("pk", field).first()
        if row is None or row[1] > since_ms:
            high = middle
        else:
            low = row[0] + 1
    return rows.filter(pk__gte=low)


def _decided_since(since_ms: int) -> list[tuple[str, int]]:
    """Return how many accounts got each outcome, worst first."""
    rows = rows_since(Decision.objects.all(), "ts", since_ms)
    counts = dict(rows.values_list("outcome").annotate(n=Count("account", distinct=True)))
    return [(name, counts[name]) for name in reversed(BY_RANK) if name in counts]


class Happening(NamedTuple):
    """Something that happened, and the page that shows it ("": none that the person may open)."""

    text: str
    url: str


def _happened_since(console: Console, since_ms: int) -> list[Happening]:
    may, me = console.user.may, console.user.actor
    cases = rows_since(ReviewCase.objects.all(), "opened_ms", since_ms).count()
    acts = rows_since(PersonAct.objects.exclude(by=console.user), "at_ms", since_ms)
    done = acts.aggregate(count=Count("id"), undone=Count("undone_ms"))
    appealed = Appeal.objects.filter(
        state__in=(Appeal.OPEN, Appeal.DECIDED), opened_ms__gt=since_ms
    ).count()
    changes = rows_since(AuditEntry.objects.exclude(key=me), "at_ms", since_ms).count()
    found = (
        (cases, translate_count("{n} case opened", "{n} cases opened", cases), "queue",
         "view_queue"),
        (done["count"], _acts_text(**done), "batches", "view_queue"),
        (appealed, translate_count("{n} appeal received", "{n} appeals received", appealed),
         "appeals", "view_appeals"),
        (changes, translate_count("{n} entry by others in the audit log",
                                  "{n} entries by others in the audit log", changes),
         "audit", "view_settings"),
    )  # fmt: skip
    return [Happening(text, reverse(url)) for n, text, url, permission in found
            if n and may(permission)]  # fmt: skip


def _acts_text(count: int, undone: int) -> str:
    text = translate_count("{n} act of a colleague", "{n} acts of colleagues", count)
    if not undone:
        return text
    return f"{text}, {translate_count('{n} undone since', '{n} undone since', undone)}"


# What is at risk


def _risk(console: Console) -> dict[str, Any]:
    """Return the cases with most at risk, and how many wait on each side of a wrong decision."""
    if not console.user.may("view_queue"):
        return {}
    settings, waiting = settings_of(console.context.app).queue, review_queue.waiting()
    sending = waiting if is_shadow(console.request) else waiting.exclude(outcome__in=REFUSING_ALL)
    return {
        "cases": list(review_queue.ordered(settings, console.now_ms)[:SHOWN_CASES]),
        "overdue": review_queue.overdue_count(settings, console.now_ms),
        "sending": sending.count(),
        "silenced": waiting.filter(outcome__in=SILENCING).count(),
    }


def _accounts_by_outcome(now_ms: int) -> list[tuple[str, int]]:
    """Return how many accounts have each outcome that does something, worst first."""
    counts = account_facts.accounts_by_outcome(now_ms)
    return [(name, counts[name]) for name in reversed(ABOVE_ALLOW) if counts.get(name)]


def _problems(console: Console) -> list[str]:
    """Return what keeps the service from deciding, or its decisions from a platform."""
    progress = console.service.progress()
    problems = [translate(progress.why)] if not progress.ready else []
    if (behind := progress.logged - progress.decided) > MAX_BEHIND:
        problems.append(translate_count("{n} event waits to be decided",
                                        "{n} events wait to be decided", behind))  # fmt: skip
    failed = Delivery.objects.filter(dead_lettered=True).values_list("webhook")
    urls = dict(Webhook.objects.values_list("id", "url"))
    for webhook, count in failed.annotate(n=Count("id")).order_by("webhook"):
        text = translate_count("{n} message was not delivered to {url}",
                               "{n} messages were not delivered to {url}", count,
                               url=urls.get(webhook, webhook))  # fmt: skip
        problems.append(text)
    return problems + sources.notices(console.service, rule_title)


# What waits


def _waiting(console: Console) -> dict[str, Any]:
    """Return what waits for a person, and for this person's approval."""
    user = console.user
    cases, oldest = review_queue.open_cases()
    waiting, oldest_appeal = appeals.open_appeals()
    return {
        "cases": cases if user.may("view_queue") else None,
        "oldest": oldest,
        "own": ReviewCase.objects.filter(
            state=ReviewCase.OPEN, claimed_by=user, lease_until_ms__gt=console.now_ms
        ).count(),
        "appeals": waiting if user.may("view_appeals") else None,
        "oldest_appeal": oldest_appeal,
        "policies": versions.waiting_for(POLICY, user),
        "models": versions.waiting_for(MODEL, user),
    }
