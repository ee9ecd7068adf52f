"""Declared lanes: who holds one, and an administrator's declaration after a second look."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.engine.account_queries import account_states
from wavebreak.engine.account_queries import lanes as lanes_in_force
from wavebreak.schema.events import LANES
from wavebreak_server.console import pages
from wavebreak_server.console.forms import MAX_ACCOUNT, LaneForm
from wavebreak_server.errors import ApiError, fix_for
from wavebreak_server.slices.lanes import service as lane_service
from wavebreak_server.slices.lanes.service import LANE_WORDS
from wavebreak_server.texts import translate


@pages.page("view_settings")
def lanes(request: HttpRequest) -> HttpResponse:
    """List who holds a lane; with an account and a lane, show what declaring it would change."""
    asked = {name: request.GET.get(name, "")[:MAX_ACCOUNT].strip() for name in ("account", "lane")}
    return _show(request, LaneForm(initial=asked))


@pages.page("manage_keys", "POST")
def declare(request: HttpRequest) -> HttpResponse:
    """Declare an account, as it was seen."""
    form = LaneForm(request.POST)
    if not form.is_valid():
        return _show(request, form)
    account, lane, seen, reason = (
        form.cleaned_data[name] for name in ("account", "lane", "seen", "reason")
    )
    try:
        lane_service.declare(pages.console_of(request), account, lane, reason, seen)
    except ApiError as error:
        if error.status != 422:
            return _show(request, form, error)
        pages.refuse(form, "account", error)
        return _show(request, form)
    pages.say(
        request,
        translate(
            "{account} is declared from its next message on: {lane}.",
            account=account,
            lane=translate(LANE_WORDS[lane]),
        ),
    )
    return redirect("lanes")


def _show(request: HttpRequest, form: LaneForm, error: ApiError | None = None) -> HttpResponse:
    """Show the page; `error` is about the form as a whole."""
    console = pages.console_of(request)
    held = console.query(lanes_in_force)
    after = request.GET.get("after", "")
    names = sorted(name for name in held if name > after)[: pages.PAGE_SIZE + 1]
    overview = lane_service.overview(
        {name: held[name] for name in names}, console.service.responder.policy
    )
    account, wanted = str(form["account"].value() or "").strip(), str(form["lane"].value() or "")
    response = pages.show(
        request,
        "console/lanes.html",
        rows=pages.keyset(request, overview.accounts, lambda row: row.account),
        count=len(held),
        floors=[(floor, LANE_WORDS[floor.lane]) for floor in overview.floors],
        words=LANE_WORDS,
        form=form,
        account=account,
        wanted=wanted,
        look=_second_look(console, account) if account and wanted in LANES else None,
        error=error,
        error_fix=fix_for(error, "page") if error else "",
    )
    response.status_code = error.status if error else 422 if form.errors else 200
    return response


def _second_look(console: pages.Console, account: str) -> dict[str, Any]:
    """Return what is known of an account that is to be declared."""
    state = console.query(account_states, [account]).get(account)
    if state is None:
        return {"known": False, "lane": "none"}
    return {"known": True, "lane": state.lane, "restricted": state.outcome > 0}
