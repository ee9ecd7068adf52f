"""Queue: cases for review, one at a time or many at once."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.durations import DAY_S, HOUR_MS
from wavebreak.outcomes import BY_RANK, OUTCOMES, SETTABLE
from wavebreak_server.console.pages import (
    PAGE_SIZE,
    Console,
    Rows,
    console_of,
    csv_response,
    number_of,
    page,
    reason_of,
    say,
    say_of_account,
    show,
    warn,
)
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts.service import account_page, decision_shown
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.models import Batch
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue import golden_cases, second_opinions
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.storage.models import Decision

MOST_PAGES = 200
FILTERS = ("outcome", "basis", "mine")
SESSION_MS = 8 * HOUR_MS


@page("view_queue")
def queue(request: HttpRequest) -> HttpResponse:
    """Show the open cases in their order."""
    console, settings = console_of(request), load_config().queue
    cases = _filtered(request, review_queue.ordered(settings, console.now_ms))
    if request.GET.get("format") == "csv":
        header = ("account", "outcome", "basis", "rule", "score", "priority", "opened_ms")
        return csv_response("queue", header, cases.values_list(*header).iterator())
    # The order changes while people work, so pages are numbered rather than keyed.
    at = number_of(request.GET.get("page"), 1, MOST_PAGES, 1)
    found = list(cases.select_related("claimed_by")[(at - 1) * PAGE_SIZE : at * PAGE_SIZE + 1])
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    filters = {name: value for name, value in chosen.items() if value}
    following = urlencode(filters | {"page": str(at + 1)})
    rows = Rows(found[:PAGE_SIZE], f"?{following}" if len(found) > PAGE_SIZE else "")
    return show(
        request,
        "console/queue.html",
        rows=rows,
        at=at,
        total=cases.count(),
        now=console.now_ms,
        outcomes=_facet("outcome"),
        bases=_facet("basis"),
        chosen=chosen,
        kept=urlencode(filters),
        session=_session(request),
        choices=acts.CHOICES,
        settable=SETTABLE,
        holds=acts.HOLDS,
    )


def _filtered(request: HttpRequest, cases: QuerySet) -> QuerySet:
    for name in ("outcome", "basis"):
        if value := request.GET.get(name):
            cases = cases.filter(**{name: value[:16]})
    if request.GET.get("mine"):
        cases = cases.filter(claimed_by=console_of(request).user)
    return cases


def _facet(name: str) -> list[tuple[str, int]]:
    opened = ReviewCase.objects.filter(state=ReviewCase.OPEN)
    return list(opened.values_list(name).annotate(n=Count("id")).order_by("-n"))


def _session(request: HttpRequest) -> dict[str, object]:
    """Return what the reviewer did in this session: cases, verdicts, seconds a case."""
    console = console_of(request)
    since = request.session.get("began", 0) * 1000 or console.now_ms - SESSION_MS
    mine = Review.objects.filter(reviewer=console.user, at_ms__gte=since)
    mix = list(mine.values_list("verdict").annotate(n=Count("id")).order_by("-n"))
    seconds = sorted(mine.values_list("seconds", flat=True))
    return {
        "since": since,
        "count": len(seconds),
        "mix": mix,
        "median_s": seconds[len(seconds) // 2] if seconds else None,
    }


@page("review", "POST")
def take_next(request: HttpRequest) -> HttpResponse:
    """Claim the first case that is free for this person, and open it."""
    console, settings = console_of(request), load_config().queue
    ordered = review_queue.ordered(settings, console.now_ms)
    review_queue.reopen_interrupted(console.now_ms)
    with transaction.atomic():
        case_id = None
        if golden_cases.is_due(settings, console.user):
            copy = golden_cases.offer(console.user, console.now_ms)
            case_id = copy.id if copy is not None else None
        offered = review_queue.offered_to(ordered, console.user, console.now_ms)
        if case_id is None and review_queue.drawn_is_due(settings, console.user):
            drawn = offered.filter(drawn=True).order_by("id")
            case_id = drawn.values_list("id", flat=True).first()
        if case_id is None:
            case_id = offered.values_list("id", flat=True).first()
        if case_id is None:
            say(request, "The queue is empty. Nothing waits for you.")
            return redirect("queue")
        review_queue.claim(settings, case_id, console.user, console.now_ms)
    return redirect("queue_case", case_id)


@page("view_queue")
def case(request: HttpRequest, case_id: int) -> HttpResponse:
    """Show a case: why it is here, the account, and what may be done."""
    console, settings = console_of(request), load_config().queue
    found = _case(case_id)
    mine = found.claimed_by_id == console.user.id and found.lease_until_ms > console.now_ms
    body = Decision.objects.filter(number=found.decision).values_list("body", flat=True).first()
    decision = msgspec.json.decode(bytes(body)) if body is not None else {}
    return show(
        request,
        "console/case.html",
        case=found,
        mine=mine,
        decision=decision_shown(decision),
        # A blind second look sees neither the first verdict nor what came of it.
        account=account_page(console, found.account, blind=found.blind),
        opinions=[] if found.blind else list(found.opinions.select_related("asked_by")),
        reviews=[] if found.blind else list(found.reviews.select_related("reviewer")),
        now=console.now_ms,
        choices=acts.CHOICES,
        settable=SETTABLE,
        holds=acts.HOLDS,
        lease=settings.lease,
        session=_session(request),
    )


def _case(case_id: int) -> ReviewCase:
    found: ReviewCase | None = (
        ReviewCase.objects.select_related("claimed_by").filter(id=case_id).first()
    )
    if found is None:
        raise ApiError(404, "there is no such case", fix="go back to the queue")
    return found


@page("review", "POST")
def claim(request: HttpRequest, case_id: int) -> HttpResponse:
    """Claim a case."""
    console = console_of(request)
    with transaction.atomic():
        review_queue.claim(load_config().queue, case_id, console.user, console.now_ms)
    return redirect("queue_case", case_id)


@page("review", "POST")
def release(request: HttpRequest, case_id: int) -> HttpResponse:
    """Give a case back, with a note for the next person."""
    note = " ".join(request.POST.get("note", "").split())
    review_queue.release(case_id, console_of(request).user, note)
    say(request, "The case is back in the queue.")
    return redirect("queue")


@page("review", "POST")
def skip(request: HttpRequest, case_id: int) -> HttpResponse:
    """Skip a case; it is not offered again for a while, and nobody counts it."""
    console = console_of(request)
    review_queue.skip(load_config().queue, case_id, console.user, console.now_ms)
    return take_next(request)


@page("review", "POST")
def decide(request: HttpRequest, case_id: int) -> HttpResponse:
    """Decide a case: act on the account, and close the case."""
    console, settings = console_of(request), load_config().queue
    act, reason = acts.act_of(request.POST.dict()), reason_of(request)
    version = number_of(request.POST.get("version"), 0, 1 << 31, -1)
    try:
        with review_queue.taken(settings, case_id, version, console.user, console.now_ms) as found:
            applied = _carry_out(console, found, act, reason)
    except review_queue.ChangedError:
        warn(request, "The case changed while you read it. Read what is new, then decide.")
        return redirect("queue_case", case_id)
    if applied and applied.fault:
        warn(request, applied.fault)
    elif applied:
        done = f"{applied.act.outcome}. To undo it, follow the link."
        say_of_account(request, found.account, done)
    elif found.golden:
        say(request, _agreed(found, act.verdict))
    else:
        say(request, f"{found.account}: noted as a second look; nothing was changed.")
    return take_next(request) if request.POST.get("then") == "next" else redirect("queue")


def _carry_out(
    console: Console, found: ReviewCase, act: acts.Act, reason: str
) -> acts.AppliedAct | None:
    """Act on the account of a case that was taken, and close the case.

    A second look acts on nobody, and returns None.
    """
    applied = None
    if not found.blind:
        applied = acts.apply(console, found.account, act, reason, case=found)
    seconds = min(DAY_S, max(0, (console.now_ms - found.claimed_ms) // 1000))
    review = _review(console, found, act, reason, seconds=seconds)
    with transaction.atomic():
        review_queue.close(
            load_config().queue, found, review, console.now_ms, review_queue.sample_key()
        )
    return applied


def _review(console: Console, found: ReviewCase, act: acts.Act, reason: str, **more: Any) -> Review:
    return Review(
        case=found,
        reviewer=console.user,
        kind=_kind(found),
        verdict=act.verdict,
        outcome=act.outcome,
        hold_s=act.hold_s,
        reason=reason,
        at_ms=console.now_ms,
        **more,
    )


def _kind(found: ReviewCase) -> str:
    """Return what kind of review a case gets."""
    if not found.blind:
        return "first"
    return golden_cases.KIND if found.golden else "blind"


def _agreed(found: ReviewCase, verdict: str) -> str:
    """Return what a reviewer reads after a golden case."""
    same = "as you say" if verdict == found.golden else f"you say {verdict}"
    return (
        f"{found.account} is a golden case; nothing was changed. Agreed: {found.golden} ({same}). "
        f"{found.golden_reason}"
    )


@page("view_golden_cases")
def golden(request: HttpRequest) -> HttpResponse:
    """Show the golden cases, and how far each reviewer agrees with them."""
    return show(
        request,
        "console/golden_cases.html",
        cases=golden_cases.answers_by_case(),
        reviewers=golden_cases.answers_by_reviewer(),
        share=load_config().queue.golden_share,
    )


@page("mark_golden_cases", "POST")
def mark_golden(request: HttpRequest, case_id: int) -> HttpResponse:
    """Make a closed case golden."""
    console, reason = console_of(request), reason_of(request)
    verdict = request.POST.get("verdict", "")
    with transaction.atomic():
        found = golden_cases.mark(console, case_id, verdict, reason)
    say(request, f"{found.account} is a golden case: {verdict}.")
    return redirect("golden_cases")


@page("mark_golden_cases", "POST")
def unmark_golden(request: HttpRequest, case_id: int) -> HttpResponse:
    """Offer a golden case no more."""
    console, reason = console_of(request), reason_of(request)
    with transaction.atomic():
        found = golden_cases.unmark(console, case_id, reason)
    say(request, f"{found.account} is no golden case any more. Its answers stay.")
    return redirect("golden_cases")


@page("review", "POST")
def ask_opinion(request: HttpRequest, case_id: int) -> HttpResponse:
    """Ask a colleague for a second opinion; the case is free for them meanwhile."""
    console, found = console_of(request), _case(case_id)
    second_opinions.ask(console, found, reason_of(request))
    say(request, "Asked. The case is free for a colleague.")
    return redirect("queue")


@page("review", "POST")
def answer_opinion(request: HttpRequest, opinion_id: int) -> HttpResponse:
    """Answer a question about a case."""
    console = console_of(request)
    found = second_opinions.open_question(console, opinion_id)
    second_opinions.answer(console, found, reason_of(request))
    return redirect("queue_case", found.case_id)


@page("act_on_many", "POST")
def preview(request: HttpRequest) -> HttpResponse:
    """Show what an act on many accounts would do: the count, a sample, what is in force now."""
    config, newest = load_config().bulk, acts.newest_act()
    accounts = _accounts(request)
    act, reason = acts.act_of(request.POST.dict()), reason_of(request)
    return show(
        request,
        "console/bulk_preview.html",
        accounts=accounts,
        count=len(accounts),
        act=act,
        newest=newest,
        words=act.words,
        reason=reason,
        before=_outcomes_now(console_of(request), accounts),
        sample=_sample(console_of(request), accounts, config.sample),
        typed=f"{act.words.upper()} {len(accounts)}" if len(accounts) >= config.typed_from else "",
        source=request.POST.get("source", "selection")[:128],
    )


def _outcomes_now(console: Console, accounts: list[str]) -> list[tuple[str, int]]:
    """Return how many of some accounts have each outcome in force, most severe first."""
    now = console.ask(lambda engine: [actions.read_account_state(engine, a) for a in accounts])
    counts = Counter(OUTCOMES[state.outcome] for state in now if state is not None)
    return [(name, counts[name]) for name in reversed(BY_RANK) if counts[name]]


def _accounts(request: HttpRequest) -> list[str]:
    """Return the accounts of a form: selected cases, named accounts, or the queue's query."""
    most = load_config().bulk.most
    if request.POST.get("query") == "queue":
        cases = ReviewCase.objects.filter(state=ReviewCase.OPEN, blind=False)
        for name in ("outcome_is", "basis_is"):
            if value := request.POST.get(name):
                cases = cases.filter(**{name.removesuffix("_is"): value[:16]})
        found = list(cases.order_by("-priority").values_list("account", flat=True)[: most + 1])
    else:
        ids = [int(i) for i in request.POST.getlist("case") if i.isdigit()]
        found = list(ReviewCase.objects.filter(id__in=ids).values_list("account", flat=True))
        found += request.POST.getlist("account")
    unique = list(dict.fromkeys(found))
    if not unique:
        raise ApiError(422, "no account was selected", fix="select some rows first")
    if len(unique) > most:
        raise ApiError(422, f"more than {most:,} accounts were selected", fix="select fewer")
    return unique


def _sample(console: Console, accounts: list[str], size: int) -> list[dict[str, object]]:
    """Return some of the accounts, spread evenly: what is in force now, and their case."""
    step = max(1, len(accounts) // size)
    chosen = accounts[::step][:size]
    cases = {c.account: c for c in ReviewCase.objects.filter(account__in=chosen).order_by("id")}
    now = console.ask(lambda engine: {a: actions.read_account_state(engine, a) for a in chosen})
    return [
        {
            "account": account,
            "case": cases.get(account),
            "outcome": OUTCOMES[state.outcome] if (state := now[account]) else "",
        }
        for account in chosen
    ]


@page("act_on_many", "POST")
def bulk(request: HttpRequest) -> HttpResponse:
    """Act on many accounts under one batch: one decision an account."""
    console, config = console_of(request), load_config().bulk
    accounts, act, reason = _accounts(request), acts.act_of(request.POST.dict()), reason_of(request)
    typed = f"{act.words.upper()} {len(accounts)}"
    if len(accounts) >= config.typed_from and request.POST.get("typed") != typed:
        raise ApiError(422, "the act was not confirmed", fix=f"type {typed}")
    source = request.POST.get("source", "selection")
    batch = acts.start_batch(console, act, reason, source, len(accounts))
    newest = number_of(request.POST.get("newest"), 0, 1 << 60, acts.newest_act())
    left = acts.run_batch(console, batch, accounts, act, newest)
    if left.faults:
        amiss = f"{len(left.faults)} of {batch.done} are not as asked. {left.faults[0]}"
        warn(request, f"{act.words}: {amiss}")
    else:
        say(request, f"{act.words}: {batch.done} accounts.")
    for names, why in (
        (left.decided, "were decided by a person since you looked, and were left alone"),
        (left.failed, "could not be reached now"),
    ):
        if names:
            warn(request, f"{len(names)} {why}: {', '.join(names[:5])}")
    return redirect("batch", batch.id)


@page("view_queue")
def batches(request: HttpRequest) -> HttpResponse:
    """Show the batches, newest first."""
    found = list(Batch.objects.select_related("by", "undone_by").order_by("-at_ms")[:200])
    return show(request, "console/batches.html", batches=found)


@page("view_queue")
def batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Show a batch: its acts, and whether it was undone."""
    found = Batch.objects.select_related("by", "undone_by").filter(id=batch_id).first()
    if found is None:
        raise ApiError(404, "there is no such batch", fix="see the list of batches")
    return show(
        request,
        "console/batch.html",
        batch=found,
        made=list(found.acts.order_by("id")[:500]),
        back=reverse("batches"),
    )


@page("act_on_many", "POST")
def undo_batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Undo a batch in one act."""
    console = console_of(request)
    found = Batch.objects.filter(id=batch_id, undone_ms=None).first()
    if found is None:
        raise ApiError(404, "there is no such batch to undo", fix="see the list of batches")
    undone, left = acts.undo_batch(console, found, reason_of(request))
    say(request, f"Undone: {undone} accounts.")
    if left:
        warn(request, f"{left} were left alone, since something else was decided on them later.")
    return redirect("batch", batch_id)
