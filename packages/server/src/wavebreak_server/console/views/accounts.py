"""Accounts: search, an account's page, its timeline, and acts on it."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.engine.account_queries import live_accounts
from wavebreak.engine.outside_lists import shown_lists
from wavebreak.errors import EventError
from wavebreak.languages import msgid
from wavebreak.outcomes import ABOVE_ALLOW
from wavebreak.schema.events import AccountRegistered
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import ActForm, act_form, say_effect, sheet_of, was_seen
from wavebreak_server.console.text_direction import without_controls
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.decide import pseudonymize_event
from wavebreak_server.slices.accounts import history, neighbours
from wavebreak_server.slices.accounts import service as account_facts
from wavebreak_server.slices.accounts import story as stories
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.effect_sheet import EffectSheet
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.texts import translate

SHOWN_SHARING = 500
_PHONE = re.compile(r"[\s().-]*\+?[\d\s().-]{6,24}")


@pages.page("view_accounts", "GET", "POST")
def accounts(request: HttpRequest) -> HttpResponse:
    """List accounts that have an outcome, or search for one.

    The search is a POST: what is typed, a phone number too, is in no address and no log.
    """
    if request.method == "POST":
        return _search(request)
    outcome = request.GET.get("outcome", "")
    rows = account_facts.accounts_with(outcome, pages.console_of(request).now_ms)
    if request.GET.get("format") == "csv":
        header = ("account", "outcome", "until", "ts", "decision")
        return pages.csv_response("accounts", header, rows.values_list(*header))
    found = list(rows.filter(account__gt=request.GET.get("after", ""))[: pages.PAGE_SIZE + 1])
    return pages.show(
        request,
        "console/accounts.html",
        rows=pages.keyset(request, found, lambda row: row.account),
        outcome=outcome,
        outcomes=ABOVE_ALLOW,
    )


def _search(request: HttpRequest) -> HttpResponse:
    console = pages.console_of(request)
    wanted = request.POST.get("q", "").strip()[:128]
    if not wanted:
        return redirect("accounts")
    if account_facts.known_account(console, wanted):
        return redirect("account", wanted)
    if _PHONE.fullmatch(wanted):
        return _search_number(request, wanted)
    near = account_facts.accounts_beginning_with(wanted, pages.PAGE_SIZE)
    return pages.show(request, "console/search.html", found=near, by_number=False)


def _search_number(request: HttpRequest, text: str) -> HttpResponse:
    """Search by phone number: it becomes its pseudonym here, and is kept nowhere."""
    console = pages.console_of(request)
    number = re.sub(r"[^\d]", "", text)
    event = AccountRegistered(ts=0, account="asked", phone=f"+{number}")
    try:
        log = pseudonymize_event(event, console.service.pseudonymizer)
        pseudonym = log.column("number")[0].as_py()
    except (ApiError, EventError, KeyError):
        # Without its country code no number can be found; the page says how to write it.
        return pages.show(request, "console/search.html", found=[], by_number=True, unread=True)
    found = account_facts.accounts_by_number(pseudonym) if pseudonym else []
    if len(found) == 1:
        return redirect("account", found[0])
    return pages.show(request, "console/search.html", found=found, by_number=True)


@pages.page("view_accounts")
def account(request: HttpRequest, account: str) -> HttpResponse:
    """Show an account."""
    return _show_account(request, account)


def _show_account(
    request: HttpRequest,
    account: str,
    form: ActForm | None = None,
    sheet: EffectSheet | None = None,
) -> HttpResponse:
    console = pages.console_of(request)
    facts = account_facts.account_page(console, account)
    response = pages.show(
        request,
        "console/account.html",
        account=facts,
        history=history.account_history(account, facts["decisions"], facts["acts"]),
        story=stories.story(console, account),
        entries=list(account_facts.ledger_entries(account)),
        case=review_queue.open_case_of(account),
        proposed=form.written if form else {},
        **act_form(form, sheet),
    )
    response.status_code = 422 if form and form.errors else 200
    return response


@pages.page("view_accounts")
def timeline(request: HttpRequest, account: str) -> HttpResponse:
    """Return an account's timeline and its story from the log."""
    console = pages.console_of(request)
    if not account_facts.known_account(console, account):
        raise ApiError(
            404, translate("the log has no such account"), fix=translate("search for it")
        )
    read = account_facts.account_events(account)
    decisions = account_facts.newest_decisions(account)
    drawn = history.drawn_decisions(account, decisions, console.now_ms)
    in_force = msgid("in force") if console.deciding.enforce else msgid("would be in force")
    found = (
        account_facts.timeline(account, read)
        | drawn
        | {
            "bands_label": translate(in_force),
            "story": [without_controls(text) for text in stories.story(console, account, read)],
        }
    )
    return JsonResponse(found)


@pages.page("view_accounts")
def shared(request: HttpRequest, account: str) -> HttpResponse:
    """Show the neighbours, the operator and the outside lists of an account in its page."""
    console = pages.console_of(request)
    live = console.query(live_accounts, [account]).get(account)
    return pages.show(
        request,
        "console/parts/shared.html",
        account=account,
        shared=neighbours.shared_by(console, account),
        membership=neighbours.membership(console, account),
        lists=shown_lists(live.lists, console.service.responder.lists) if live else [],
    )


@pages.page("view_accounts")
def sharing(request: HttpRequest, kind: str, account: str) -> HttpResponse:
    """Show who shares a device, a number block or a network with an account, to act on them."""
    console = pages.console_of(request)
    found = neighbours.sharing(console, account, kind, SHOWN_SHARING + 1)
    if not found:
        raise ApiError(
            404,
            translate("nothing of that kind is known of this account"),
            fix=translate("open its page"),
        )
    return pages.show(
        request,
        "console/sharing.html",
        account=account,
        kind=neighbours.KINDS[kind],
        accounts=found[:SHOWN_SHARING],
        more=len(found) > SHOWN_SHARING,
        **act_form(),
    )


@pages.page("act_on_accounts")
def act_sheet(request: HttpRequest, account: str) -> HttpResponse:
    """Show what an act would bring, as a part of the form that asks for it."""
    console, sheet, missing = pages.console_of(request), None, ""
    try:
        sheet = sheet_of(console, account, acts.act_of(request.GET.dict()))
    except ApiError as error:
        missing = f"{error.what}: {error.fix}."
    return pages.show(request, "console/parts/effect_sheet.html", sheet=sheet, missing=missing)


@pages.page("act_on_accounts", "POST")
def act(request: HttpRequest, account: str) -> HttpResponse:
    """Act on an account, with a reason and an end."""
    console = pages.console_of(request)
    form = ActForm(request.POST)
    if not form.is_valid():
        return _show_account(request, account, form)
    sheet = sheet_of(console, account, form.act)
    if not was_seen(request, sheet):
        return _show_account(request, account, form, sheet)
    seen, occasion = sheet.rows[0].before.outcome, acts.Occasion(record=sheet.record)
    made = acts.apply_and_close(
        console, account, form.act, form.cleaned_data["reason"], seen=seen, occasion=occasion
    )
    say_effect(request, sheet, made)
    return redirect("account", account)


@pages.page("act_on_accounts", "POST")
def undo(request: HttpRequest, act_id: int) -> HttpResponse:
    """Undo an act."""
    console = pages.console_of(request)
    found = acts.find_act(act_id)
    note = acts.undo(console, found, pages.reason_of(request))
    before = translate(str(found.before))
    text = (
        msgid("Undone: {outcome} is in force again. The act stays on record.")
        if console.deciding.enforce
        else msgid("Undone: the outcome is {outcome} again. The act stays on record.")
    )
    done = translate(text, outcome=before)
    (pages.warn if note else pages.say)(
        request, translate("Undone: {note}.", note=note) if note else done
    )
    return redirect(reverse("account", args=[found.account]))
