"""Query: accounts by what they have in common, and views of it that are saved."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.features.catalog import NAMES
from wavebreak.features.descriptions import feature_title
from wavebreak.outcomes import BY_RANK
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import act_form
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.queries import service as queries
from wavebreak_server.slices.queries.service import Criteria, Found
from wavebreak_server.texts import page_language, translate

SHOWN = 100
ROWS = 3
"""Measures that the form offers; more of an address are kept."""


@pages.page("view_accounts")
def query(request: HttpRequest) -> HttpResponse:
    """Show the accounts that meet criteria; without any, the form and the saved views."""
    console = pages.console_of(request)
    problem: tuple[str, str] | None = None
    criteria, found = Criteria(), None
    try:
        criteria = queries.criteria_of(request.GET)
        if criteria != Criteria():
            found = queries.find(console, criteria)
    except ApiError as error:
        problem = pages.error_texts(error)
    if found is not None and request.GET.get("format") == "csv":
        return _csv(criteria, found)
    response = pages.show(
        request,
        "console/query.html",
        criteria=criteria,
        # What was typed stays, also where it is wrong.
        typed=_typed(request),
        found=found,
        rows=found.rows[:SHOWN] if found else [],
        titles=[feature_title(m.feature, page_language()) for m in criteria.measures],
        problem=problem,
        outcomes=BY_RANK,
        rules=[rule.id for rule in console.service.responder.policy.rules],
        features=NAMES,
        ops=list(queries.OPS),
        views=_views(console),
        **act_form(),
    )
    response.status_code = 422 if problem else 200
    return response


def _typed(request: HttpRequest) -> list[tuple[str, str, str]]:
    """Return the rows of measures as they were typed, and empty ones up to `ROWS`."""
    lists = (request.GET.getlist(name) for name in ("measure", "op", "value"))
    rows = [row for row in zip(*lists, strict=False) if any(row)][: queries.MOST_MEASURES]
    return rows + [("", ">=", "")] * (ROWS - len(rows))


def _views(console: pages.Console) -> list[dict[str, object]]:
    may_share = console.user.may("share_views")
    return [
        {
            "view": view,
            "query": criteria.query,
            "mine": view.owner_id == console.user.id or (view.shared and may_share),
        }
        for view, criteria in queries.views_of(console.user)
    ]


def _csv(criteria: Criteria, found: Found) -> HttpResponse:
    header = ("account", "outcome", "decided_ms", "rules", *(m.feature for m in criteria.measures))
    rows = ((r.account, r.outcome, r.ts or "", " ".join(r.rules), *r.values) for r in found.rows)
    return pages.csv_response("query", header, rows)


@pages.page("save_views", "POST")
def save_view(request: HttpRequest) -> HttpResponse:
    """Save criteria under a name."""
    console, given = pages.console_of(request), request.POST
    criteria = queries.criteria_of(given)
    with transaction.atomic():
        queries.save_view(
            console, given.get("name", ""), criteria, shared=given.get("shared") == "1"
        )
    pages.say(request, translate("Saved."))
    return redirect(f"{reverse('query')}?{criteria.query}")


@pages.page("save_views", "POST")
def remove_view(request: HttpRequest, number: int) -> HttpResponse:
    """Remove a saved view."""
    with transaction.atomic():
        queries.remove_view(pages.console_of(request), number)
    pages.say(request, translate("The view is removed."))
    return redirect("query")
