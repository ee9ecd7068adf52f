"""Operators: accounts that seem to be of one hand, as list and graph."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from wavebreak.engine.account_queries import account_states
from wavebreak.linking import Operator
from wavebreak.linking.operators import evidence_words
from wavebreak.outcomes import BY_RANK, OUTCOMES
from wavebreak_server.console.act_form import act_form
from wavebreak_server.console.pages import Console, console_of, csv_response, page, show
from wavebreak_server.console.text_direction import without_controls
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts import neighbours
from wavebreak_server.texts import page_language, translate

SHOWN = 200


@page("view_accounts")
def operators(request: HttpRequest) -> HttpResponse:
    """Show the operators, those with most accounts first."""
    found = neighbours.operators(console_of(request))
    if request.GET.get("format") == "csv":
        header = ("operator", "accounts", "abusive", "strangers", "answers", "complaints")
        rows = (
            (o.id, len(o.accounts), len(o.abusive), o.strangers, o.answers, o.complaints)
            for o in found
        )
        return csv_response("operators", header, rows)
    return show(request, "console/operators.html", operators=found[:SHOWN], total=len(found))


def _operator(console: Console, operator_id: str) -> Operator:
    for one in neighbours.operators(console):
        if one.id == operator_id:
            return one
    raise ApiError(
        404, translate("there is no such operator now"), fix=translate("ties change; see the list")
    )


@page("view_accounts")
def operator(request: HttpRequest, operator_id: str) -> HttpResponse:
    """Show an operator: its accounts, and what ties them."""
    console = console_of(request)
    found = _operator(console, operator_id)
    members = _members(console, found)
    present = {str(member["outcome"]) for member in members}
    return show(
        request,
        "console/operator.html",
        operator=found,
        accounts=members,
        outcomes=[name for name in BY_RANK if name in present],
        all_selected=request.GET.get("select") == "all",
        **act_form(),
    )


def _members(console: Console, operator: Operator) -> list[dict[str, object]]:
    states = console.query(account_states, operator.accounts)
    outcomes = {a: OUTCOMES[states[a].outcome] for a in operator.accounts}
    degree = {a: sum(a in e.accounts for e in operator.edges) for a in operator.accounts}
    return [
        {"name": a, "outcome": outcomes[a], "abusive": a in operator.abusive, "ties": degree[a]}
        for a in operator.accounts
    ]


@page("view_accounts")
def graph(request: HttpRequest, operator_id: str) -> HttpResponse:
    """Return an operator as nodes and edges."""
    console = console_of(request)
    found = _operator(console, operator_id)
    nodes = [
        {
            "id": m["name"],
            "label": without_controls(str(m["name"])),
            "outcome": m["outcome"],
            "size": m["ties"],
            "abusive": m["abusive"],
        }
        for m in _members(console, found)
    ]
    edges = [
        {
            "source": e.accounts[0],
            "target": e.accounts[-1],
            "weight": e.weight,
            "label": evidence_words(e.evidence, page_language()),
        }
        for e in found.edges
    ]
    return JsonResponse({"nodes": nodes, "edges": edges})
