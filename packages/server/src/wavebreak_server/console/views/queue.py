"""Queue: cases for review, one at a time or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.durations import HOUR_MS
from wavebreak.engine.account_queries import live_accounts
from wavebreak.engine.outside_lists import shown_lists
from wavebreak.explain.narrative import strongest_reasons
from wavebreak.languages import msgid
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import (
    ActForm,
    BulkForm,
    act_form,
    say_effect,
    sheet_of,
    was_seen,
)
from wavebreak_server.console.forms import ShareForm
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts import story as stories
from wavebreak_server.slices.accounts.neighbours import operators_of
from wavebreak_server.slices.accounts.service import account_page, decision_shown, rule_abouts
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.effect_sheet import Ask, EffectSheet, effect_sheet
from wavebreak_server.slices.config import ConsoleConfig, settings_of
from wavebreak_server.slices.queries import service as queries
from wavebreak_server.slices.queue import campaign_rows
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.live_accounts import RowFacts, hands_of
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.shares import service as shares
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import page_language, translate, translate_count

MOST_PAGES = 200
FILTERS = ("outcome", "basis", "abuse", "mine", "left_out")
SESSION_MS = 8 * HOUR_MS
SHOWN_BATCHES = 200
SHOWN_HANDS = 4
DECIDED_SINCE = msgid(
    "{count} were decided by a person since you looked, and were left alone: {names}"
)
PROPOSED = ("verdict", "outcome", "hold", "reason")
"""Fields of a verdict that a link may propose."""


@pages.page("view_queue")
def queue(request: HttpRequest) -> HttpResponse:
    """Show the open cases in their order."""
    console = pages.console_of(request)
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    mine = console.user if chosen["mine"] else None
    left_out = review_queue.left_out()
    shown = left_out if chosen["left_out"] else None
    ordered = review_queue.ordered(_settings(console).queue, console.now_ms, shown)
    cases = review_queue.filtered(
        ordered, chosen["outcome"], chosen["basis"], chosen["abuse"], mine
    )
    if request.GET.get("format") == "csv":
        header = (
            "account", "outcome", "basis", "rule", "abuse", "score", "priority", "opened_ms",
        )  # fmt: skip
        return pages.csv_response("queue", header, cases.values_list(*header).iterator())
    # The order changes while people work, so pages are numbered rather than keyed.
    at = pages.number_of(request.GET.get("page"), 1, MOST_PAGES, 1)
    found = list(
        cases.select_related("claimed_by")[(at - 1) * pages.PAGE_SIZE : at * pages.PAGE_SIZE + 1]
    )
    filters = {name: value for name, value in chosen.items() if value}
    following = urlencode(filters | {"page": str(at + 1)})
    shown_cases = found[: pages.PAGE_SIZE]
    facts = _row_facts(console, shown_cases)
    rows = pages.Rows(
        [(case, facts[case.id]) for case in shown_cases],
        f"?{following}" if len(found) > pages.PAGE_SIZE else "",
    )
    return pages.show(
        request,
        "console/queue.html",
        rows=rows,
        left_out=left_out.count(),
        hands=hands_of(list(facts.values()), SHOWN_HANDS),
        at=at,
        total=cases.count(),
        now=console.now_ms,
        outcomes=review_queue.open_counts("outcome"),
        bases=review_queue.open_counts("basis"),
        abuses=review_queue.open_counts("abuse"),
        overdue=review_queue.overdue_count(_settings(console).queue, console.now_ms),
        chosen=chosen,
        kept=urlencode(filters),
        session=_session(request),
        **act_form(),
    )


def _row_facts(console: pages.Console, cases: list[ReviewCase]) -> dict[int, RowFacts]:
    """Return what each row says: one query of the engine and one of the decisions for all."""
    accounts = sorted({case.account for case in cases})
    terms = console.service.responder.lists
    live = {
        name: account._replace(lists=tuple(shown_lists(account.lists, terms)))
        for name, account in console.query(live_accounts, accounts).items()
    }
    numbers = [case.decision for case in cases]
    operators = operators_of(console, accounts)
    bodies = dict(Decision.objects.filter(number__in=numbers).values_list("number", "body"))
    return {
        case.id: RowFacts(
            live.get(case.account),
            _reasons(console, bodies.get(case.decision)),
            operators.get(case.account),
        )
        for case in cases
    }


def _reasons(console: pages.Console, body: bytes | None) -> list[str]:
    """Return the strongest reasons of a decision; without any, why it is a case."""
    if body is None:
        return []
    decision = msgspec.json.decode(bytes(body))
    queue = _settings(console).queue
    reasons = strongest_reasons(decision, rule_abouts(), page_language())
    return reasons or review_queue.priority_of(queue, decision).why[:1]


def _settings(console: pages.Console) -> ConsoleConfig:
    return settings_of(console.context.app)


def _session(request: HttpRequest) -> review_queue.SessionFigures:
    console = pages.console_of(request)
    since = request.session.get("began", 0) * 1000 or console.now_ms - SESSION_MS
    return review_queue.session_figures(console.user, since)


@pages.page("review", "POST")
def take_next(request: HttpRequest) -> HttpResponse:
    """Claim the first case that is free for this person, and open it."""
    console = pages.console_of(request)
    claimed = review_queue.claim_next(_settings(console).queue, console.user, console.now_ms)
    if claimed is None:
        pages.say(request, translate("The queue is empty. Nothing waits for you."))
        return redirect("queue")
    return redirect("queue_case", claimed.id)


@pages.page("view_queue")
def case(request: HttpRequest, case_id: int) -> HttpResponse:
    """Show a case: why it is here, the account, and what may be done."""
    return show_case(request, case_id)


def show_case(
    request: HttpRequest,
    case_id: int,
    refused: ActForm | None = None,
    refused_share: ShareForm | None = None,
    sheet: EffectSheet | None = None,
) -> HttpResponse:
    """Show a case, with forms that were refused, or with the effect sheet of a verdict."""
    console, found = pages.console_of(request), review_queue.find_case(case_id)
    mine = found.claimed_by_id == console.user.id and found.lease_until_ms > console.now_ms
    body = Decision.objects.filter(number=found.decision).values_list("body", flat=True).first()
    decision = msgspec.json.decode(bytes(body)) if body is not None else {}
    response = pages.show(
        request,
        "console/case.html",
        case=found,
        mine=mine,
        decision=decision_shown(decision),
        # Of a decision that is not stored any more, as its indexer said it.
        why=review_queue.priority_of(_settings(console).queue, decision).why
        if decision
        else found.why,
        why_said=bool(decision),
        account=account_page(console, found.account),
        story=stories.story(console, found.account),
        reviews=list(found.reviews.select_related("reviewer")),
        now=console.now_ms,
        proposed=refused.written if refused else _proposed(request),
        links=list(shares.open_links(found, console.now_ms))
        if console.user.may("share_cases")
        else [],
        share_form=refused_share or ShareForm(),
        similar=review_queue.similar_cases(found),
        recent_reasons=acts.recent_reasons(console.user),
        **act_form(refused, sheet),
        lease=_settings(console).queue.lease,
        session=_session(request),
    )
    faulty = (refused and refused.errors) or refused_share
    response.status_code = 422 if faulty else 200
    return response


def _proposed(request: HttpRequest) -> dict[str, str]:
    """Return the verdict that a colleague's link proposes: the form shows it, nothing more."""
    given = {name: request.GET.get(name, "") for name in PROPOSED}
    if given["verdict"] not in acts.CHOICES:
        return {}
    return given | {"reason": " ".join(given["reason"].split())[: pages.MAX_REASON]}


@pages.page("review", "POST")
def claim(request: HttpRequest, case_id: int) -> HttpResponse:
    """Claim a case."""
    console = pages.console_of(request)
    with transaction.atomic():
        review_queue.claim(_settings(console).queue, case_id, console.user, console.now_ms)
    path, asked = reverse("queue_case", args=[case_id]), request.POST
    proposed = {name: asked[name][: pages.MAX_REASON] for name in PROPOSED if asked.get(name)}
    return redirect(f"{path}?{urlencode(proposed)}" if proposed else path)


@pages.page("review", "POST")
def release(request: HttpRequest, case_id: int) -> HttpResponse:
    """Give a case back, with a note for the next person."""
    note = " ".join(request.POST.get("note", "").split())
    review_queue.release(case_id, pages.console_of(request).user, note)
    pages.say(request, translate("The case is back in the queue."))
    return redirect("queue")


@pages.page("review", "POST")
def skip(request: HttpRequest, case_id: int) -> HttpResponse:
    """Skip a case; it is not offered again for a while, and nobody counts it."""
    console = pages.console_of(request)
    review_queue.skip(_settings(console).queue, case_id, console.user, console.now_ms)
    return take_next(request)


@pages.page("review", "POST")
def decide(request: HttpRequest, case_id: int) -> HttpResponse:
    """Decide a case: act on the account, and close the case."""
    console, settings = pages.console_of(request), _settings(pages.console_of(request)).queue
    form = ActForm(request.POST)
    if not form.is_valid():
        return show_case(request, case_id, form)
    reason = form.cleaned_data["reason"]
    version = pages.number_of(request.POST.get("version"), 0, 1 << 31, -1)
    try:
        found = review_queue.find_free(case_id, version, console.user, console.now_ms)
        sheet = sheet_of(console, found.account, form.act)
        if not was_seen(request, sheet):
            return show_case(request, case_id, form, sheet=sheet)
        seen = sheet.rows[0].before.outcome
        with review_queue.taken(settings, case_id, version, console.user, console.now_ms) as found:
            made = acts.decide_case(
                console, found, form.act, reason, seen=seen, record=sheet.record
            )
    except review_queue.ChangedError:
        pages.warn(
            request, translate("The case changed while you read it. Read what is new, then decide.")
        )
        return redirect("queue_case", case_id)
    say_effect(request, sheet, made)
    return take_next(request) if request.POST.get("then") == "next" else redirect("queue")


@pages.page("act_on_many", "POST")
def preview(request: HttpRequest) -> HttpResponse:
    """Show the effect sheet of an act on many accounts, to be confirmed."""
    (form, accounts), newest = _bulk(request), acts.newest_act()
    return _show_sheet(request, form, _sheet(request, form, accounts), newest)


def _sheet(request: HttpRequest, form: BulkForm, accounts: list[str]) -> EffectSheet:
    console = pages.console_of(request)
    asks = [Ask(account, form.act) for account in accounts]
    return effect_sheet(console, form.act.words, asks, shown=_settings(console).bulk.sample)


def _show_sheet(
    request: HttpRequest, form: BulkForm, sheet: EffectSheet, newest: int
) -> HttpResponse:
    response = pages.show(
        request,
        "console/bulk.html",
        form=form,
        sheet=sheet,
        accounts=[*sheet.unknown, *(row.account for row in sheet.rows)],
        act=form.act,
        newest=newest,
        reason=form.cleaned_data["reason"],
        typed=_to_type(pages.console_of(request), form.act, sheet),
        source=form.cleaned_data["source"][:128],
        campaign=form.cleaned_data["campaign"],
        then=form.cleaned_data["then"],
    )
    response.status_code = 422 if form.errors else 200
    return response


def _to_type(console: pages.Console, act: acts.Act, sheet: EffectSheet) -> str:
    """Return what a person types to confirm an act; empty where it is on few accounts."""
    count = len(sheet.rows) + len(sheet.unknown)
    many = count >= _settings(console).bulk.typed_from
    return f"{act.words.upper()} {count}" if many else ""


def _bulk(request: HttpRequest) -> tuple[BulkForm, list[str]]:
    """Return a valid form and the accounts that it names; raises ApiError (422) with all faults."""
    form = BulkForm(request.POST)
    if not form.is_valid():
        raise ApiError(422, "; ".join(fault for faults in form.errors.values() for fault in faults))
    console, asked = pages.console_of(request), form.cleaned_data
    most = _settings(console).bulk.most
    if asked["query"] == "queue":
        found = review_queue.accounts_of_open_cases(
            asked["outcome_is"], asked["basis_is"], asked["abuse_is"], most + 1
        )
    elif asked["query"] == "accounts":
        criteria = queries.criteria_of(QueryDict(asked["criteria"]))
        found = [row.account for row in queries.find(console, criteria).rows]
    else:
        ids = [int(i) for i in request.POST.getlist("case") if i.isdigit()]
        found = [*review_queue.accounts_of_cases(ids), *request.POST.getlist("account")]
        if asked["query"] == "campaign":
            listed = [int(i) for i in request.POST.getlist("listed") if i.isdigit()]
            found += campaign_rows.accounts_of(asked["campaign"], listed, most + 1)
    unique = list(dict.fromkeys(found))
    if not unique:
        raise ApiError(
            422, translate("no account was selected"), fix=translate("select some rows first")
        )
    if len(unique) > most:
        raise ApiError(
            422,
            translate("more than {most} accounts were selected", most=format(most, ",")),
            fix=translate("select fewer"),
        )
    return form, unique


@pages.page("act_on_many", "POST")
def bulk(request: HttpRequest) -> HttpResponse:
    """Act on many accounts under one batch: one decision an account."""
    console, (form, accounts) = pages.console_of(request), _bulk(request)
    act, asked = form.act, form.cleaned_data
    newest = acts.newest_act() if asked["newest"] is None else asked["newest"]
    decided = acts.acted_on_since(accounts, newest)
    waiting = [account for account in accounts if account not in decided]
    if not waiting:
        raise ApiError(
            409,
            translate("all of them were decided by a person since you looked"),
            fix=translate("select some rows first"),
        )
    sheet = _sheet(request, form, waiting)
    _warn_of(request, DECIDED_SINCE, sorted(decided))
    if (wanted := _to_type(console, act, sheet)) and asked["typed"] != wanted:
        form.add_error("typed", translate("type {typed}", typed=wanted))
    if not was_seen(request, sheet) or form.errors:
        return _show_sheet(request, form, sheet, newest)
    batch = acts.start_batch(console, act, asked["reason"], asked["source"], len(sheet.rows))
    done = [row.account for row in sheet.rows]
    left = acts.run_batch(console, batch, done, act, newest, sheet.record)
    effects = {row.account: row for row in sheet.rows}
    faults = [fault for made in left.made if (fault := effects[made.account].done(made).fault)]
    if faults:
        pages.warn(
            request,
            translate(
                "{words}: {faults} of {done} are not as asked. {first}",
                words=act.shown,
                faults=len(faults),
                done=batch.done,
                first=faults[0],
            ),
        )
    else:
        said = translate_count(
            "{words}: {n} account. It has a decision and an appeal of its own.",
            "{words}: {n} accounts. Each has a decision and an appeal of its own.",
            batch.done,
            words=act.shown,
        )
        pages.say_of_batch(request, batch.id, said)
    _warn_of(request, DECIDED_SINCE, left.decided)
    unreached = msgid("{count} could not be reached now: {names}")
    _warn_of(request, unreached, [*sheet.unknown, *left.failed])
    if not asked["campaign"]:
        return redirect("batch", batch.id)
    following = _next_campaign(console, asked["campaign"]) if asked["then"] == "next" else ""
    return redirect("campaign", following) if following else redirect("queue")


def _next_campaign(console: pages.Console, key: str) -> str:
    """Return the first campaign of the queue that is not the one of a key; "" if none waits."""
    page = campaign_rows.queue_page(_settings(console).queue, console.now_ms, 0, 2)
    return next((row.key for row in page.campaigns if row.key != key), "")


def _warn_of(request: HttpRequest, text: str, accounts: Sequence[str]) -> None:
    """Show a warning about accounts that an act was not done on."""
    if accounts:
        names = ", ".join(accounts[:5])
        pages.warn(request, translate(text, count=len(accounts), names=names))


@pages.page("view_queue")
def batches(request: HttpRequest) -> HttpResponse:
    """Show the batches, newest first."""
    return pages.show(request, "console/batches.html", batches=acts.newest_batches(SHOWN_BATCHES))


@pages.page("view_queue")
def batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Show a batch: its acts, and whether it was undone."""
    found = acts.find_batch(batch_id)
    return pages.show(
        request,
        "console/batch.html",
        batch=found,
        made=list(found.acts.order_by("id")[:500]),
        back=reverse("batches"),
    )


@pages.page("act_on_many", "POST")
def undo_batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Undo a batch in one act."""
    console = pages.console_of(request)
    found = acts.find_batch(batch_id)
    if found.undone_ms is not None:
        raise ApiError(
            404,
            translate("there is no such batch to undo"),
            fix=translate("see the list of batches"),
        )
    undone, left = acts.undo_batch(console, found, pages.reason_of(request))
    said = translate_count(
        "Undone: {n} account has the outcome that it had before.",
        "Undone: {n} accounts have the outcomes that they had before.",
        undone,
    )
    pages.say(request, f"{said} {translate('The acts stay on record.')}")
    if left:
        pages.warn(
            request,
            translate(
                "{left} were left alone, since something else was decided on them later.", left=left
            ),
        )
    return redirect("batch", batch_id)
