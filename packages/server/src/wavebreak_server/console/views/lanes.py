"""Declared lanes: who holds one, and an administrator's declaration after a second look."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.engine.account_queries import account_states
from wavebreak.engine.account_queries import lanes as lanes_in_force
from wavebreak.schema.events import LANES
from wavebreak_server.console.pages import (
    PAGE_SIZE,
    Console,
    console_of,
    keyset,
    page,
    reason_of,
    say,
    show,
)
from wavebreak_server.errors import ApiError, fix_for
from wavebreak_server.slices.lanes import service as lane_service
from wavebreak_server.slices.lanes.service import LANE_WORDS
from wavebreak_server.texts import translate

MAX_ACCOUNT = 128


@page("view_settings")
def lanes(request: HttpRequest) -> HttpResponse:
    """List who holds a lane; with an account and a lane, show what declaring it would change."""
    return _show(request)


@page("manage_keys", "POST")
def declare(request: HttpRequest) -> HttpResponse:
    """Declare an account, as it was seen."""
    console, account = console_of(request), request.POST.get("account", "").strip()
    try:
        lane = lane_service.lane_of(request.POST.get("lane", ""))
        if not account:
            raise ApiError(422, translate("no account is named"), fix=translate("write its id"))
        reason, seen = reason_of(request), request.POST.get("seen", "")
        lane_service.declare(console, account, lane, reason, seen)
    except ApiError as error:
        return _show(request, error)
    say(
        request,
        translate(
            "{account} is declared from its next message on: {lane}.",
            account=account,
            lane=translate(LANE_WORDS[lane]),
        ),
    )
    return redirect("lanes")


def _show(request: HttpRequest, error: ApiError | None = None) -> HttpResponse:
    """Show the page; after a form that was refused, with what was written in it."""
    console, fields = console_of(request), request.POST or request.GET
    held = console.query(lanes_in_force)
    after = request.GET.get("after", "")
    names = sorted(name for name in held if name > after)[: PAGE_SIZE + 1]
    overview = lane_service.overview(
        {name: held[name] for name in names}, console.service.responder.policy
    )
    account = str(fields.get("account", "")).strip()[:MAX_ACCOUNT]
    wanted = str(fields.get("lane", ""))
    response = show(
        request,
        "console/lanes.html",
        rows=keyset(request, overview.accounts, lambda row: row.account),
        count=len(held),
        floors=[(floor, LANE_WORDS[floor.lane]) for floor in overview.floors],
        words=LANE_WORDS,
        account=account,
        wanted=wanted,
        look=_second_look(console, account) if account and wanted in LANES else None,
        reason=request.POST.get("reason", ""),
        error=error,
        error_fix=fix_for(error, "page") if error else "",
    )
    response.status_code = error.status if error else 200
    return response


def _second_look(console: Console, account: str) -> dict[str, Any]:
    """Return what is known of an account that is to be declared."""
    state = console.query(account_states, [account]).get(account)
    if state is None:
        return {"known": False, "lane": "none"}
    return {"known": True, "lane": state.lane, "restricted": state.outcome > 0}
