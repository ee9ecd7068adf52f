"""Links to one case: made and revoked by a lead, opened by whoever has one."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from wavebreak_server.console import pages
from wavebreak_server.console.forms import ShareForm
from wavebreak_server.console.public_access import public
from wavebreak_server.console.site import Site
from wavebreak_server.console.views.queue import show_case
from wavebreak_server.errors import ApiError
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.slices.accounts import story as stories
from wavebreak_server.slices.accounts.service import decision_shown, ledger_entries
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.shares import service as shares
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import translate


@pages.page("share_cases", "POST")
def share(request: HttpRequest, case_id: int) -> HttpResponse:
    """Make a link to a case, and show it once."""
    form = ShareForm(request.POST)
    if not form.is_valid():
        return show_case(request, case_id, refused_share=form)
    case, days = review_queue.find_case(case_id), form.cleaned_data["days"]
    with transaction.atomic():
        secret = shares.share(pages.console_of(request), case, days, form.cleaned_data["reason"])
    path = reverse("shared_case", args=[secret])
    return pages.show(
        request,
        "console/shown_link.html",
        link=f"{Site.of(request).url}{path}",
        back=reverse("queue_case", args=[case_id]),
        days=days,
    )


@pages.page("share_cases", "POST")
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Revoke a link to a case."""
    with transaction.atomic():
        link = shares.revoke(pages.console_of(request), number)
    pages.say(request, translate("The link leads nowhere from now on."))
    return redirect("queue_case", link.case_id)


def _refuse(request: HttpRequest, status: int) -> HttpResponse:
    values = {
        "what": translate("That was too often"), "fix": translate("Wait a minute, then reload."),
    }  # fmt: skip
    return render(request, "console/shared_nothing.html", values, status=status)


@public(_refuse)
def shared_case(request: HttpRequest, secret: str) -> HttpResponse:
    """Show a case to whoever has its link: nothing can be done there."""
    scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
    service, app = scope["wavebreak"], scope["wavebreak.context"]
    now_ms = int(service.clock())
    link = shares.shared_case(secret, now_ms)
    if link is None:
        return _nothing(request)
    acting = ActingUser(link.by, RequestContext(service, app, f"link:{link.id}"))
    account = link.case.account
    try:
        story = stories.story(acting, account)
    except ApiError:
        # Its account was erased since.
        return _nothing(request)
    with transaction.atomic():
        shares.note_opened(link, now_ms)
    body = Decision.objects.filter(number=link.case.decision).values_list("body", flat=True).first()
    entries = list(ledger_entries(account))
    sealed = shares.sealed_entries(service, [entry["position"] for entry in entries])
    return pages.show(
        request,
        "console/shared_case.html",
        case=link.case,
        link=link,
        story=story,
        decision=decision_shown(msgspec.json.decode(bytes(body))) if body is not None else {},
        reviews=list(link.case.reviews.filter(undone_ms=None)),
        entries=entries,
        sealed=sealed,
        proofs={"checkpoint": sealed.checkpoint, "entries": sealed.entries},
    )


def _nothing(request: HttpRequest) -> HttpResponse:
    values = {
        "what": translate("There is nothing at this address"),
        "fix": translate("The link is wrong, or it has ended: ask for another one."),
    }
    return render(request, "console/shared_nothing.html", values, status=404)
