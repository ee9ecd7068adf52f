"""Queue of campaigns: cases that wait, grouped into what is decided together."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.durations import MINUTE_MS
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import act_form
from wavebreak_server.slices.accounts.neighbours import operators
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.queue import campaign_rows
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.texts import translate

SHOWN = 50
"""Campaigns of a page."""
MAX_PAGES = 200
LISTED = 100
"""Accounts of a campaign that are listed."""
UNDO_MS = 15 * MINUTE_MS
"""How long the queue offers the undo of one's last act."""


@pages.page("view_queue")
def campaigns(request: HttpRequest) -> HttpResponse:
    """Show the campaigns whose cases wait."""
    console = pages.console_of(request)
    settings, now = settings_of(console.context.app).queue, console.now_ms
    number = pages.number_of(request.GET.get("page"), 1, MAX_PAGES, 1)
    page = campaign_rows.queue_page(settings, now, (number - 1) * SHOWN, SHOWN)
    presence = console.context.app.state_of(campaign_rows.Presence)
    for row in page.campaigns:
        present = presence.people(row.key, console.user.shown_name, now)
        row.people = list(dict.fromkeys([*row.people, *present]))
    return pages.show(
        request,
        "console/campaigns.html",
        page=page,
        number=number,
        following=number + 1 if page.total > number * SHOWN else None,
        left_out=review_queue.left_out().count(),
        now=now,
        last=acts.last_act(console.user, now - UNDO_MS),
    )


@pages.page("view_queue")
def campaign(request: HttpRequest, key: str) -> HttpResponse:
    """Show a campaign: its accounts, odd ones first, and the form of a verdict on them."""
    console = pages.console_of(request)
    settings, now = settings_of(console.context.app).queue, console.now_ms
    shown = campaign_rows.find_campaign(settings, key, now)
    if shown is None:
        pages.say(request, translate("Nothing of this campaign waits any more."))
        return redirect("queue")
    presence = console.context.app.state_of(campaign_rows.Presence)
    presence.note(key, console.user.shown_name, now)
    cases = campaign_rows.cases_of(shown, LISTED)
    connected = [o for o in operators(console) if o.id == key] if shown.kind == "op" else []
    return pages.show(
        request,
        "console/campaign.html",
        campaign=shown,
        cases=cases,
        odd=sum(not row.is_alike for row in cases),
        more=shown.cases - len(cases),
        operator=connected[0] if connected else None,
        present=presence.people(key, console.user.shown_name, now),
        similar=review_queue.similar_cases(campaign=key),
        now=now,
        recent_reasons=acts.recent_reasons(console.user),
        **act_form(),
    )
