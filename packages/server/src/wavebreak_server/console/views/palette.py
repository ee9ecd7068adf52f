"""Palette: what a few letters may lead to, over pages, cases, accounts, operators and rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse

from wavebreak_server.console.pages import Console, console_of, page, page_context
from wavebreak_server.slices.accounts import neighbours
from wavebreak_server.slices.accounts import service as account_facts
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.texts import translate, translate_count

OF_A_KIND = 6
LONGEST = 128


class Place(NamedTuple):
    """Somewhere that the palette leads to: its kind, its name, what is said of it, its address."""

    kind: str
    label: str
    detail: str
    url: str


@page("use_console", "POST")
def palette(request: HttpRequest) -> HttpResponse:
    """Return the places for some letters; a POST, so that what is typed is in no address."""
    console = console_of(request)
    wanted = request.POST.get("q", "").strip()[:LONGEST]
    found = [place for find in _FINDERS for place in find(request, console, wanted)]
    return JsonResponse({"places": [place._asdict() for place in found]})


def _pages(request: HttpRequest, console: Console, wanted: str) -> Iterator[Place]:
    for item in page_context(request)["navigation"]:
        if wanted.lower() in item.label.lower():
            yield Place("page", item.label, "", reverse(item.name))


def _cases(request: HttpRequest, console: Console, wanted: str) -> Iterator[Place]:
    if wanted and console.user.may("view_queue"):
        for case in review_queue.open_cases_beginning_with(wanted, OF_A_KIND):
            yield Place("case", case.account, case.outcome, reverse("queue_case", args=[case.id]))


def _accounts(request: HttpRequest, console: Console, wanted: str) -> Iterator[Place]:
    if not wanted or not console.user.may("view_accounts"):
        return
    names = account_facts.accounts_beginning_with(wanted, OF_A_KIND)
    if wanted not in names and account_facts.known_account(console, wanted):
        names = [wanted, *names][:OF_A_KIND]
    for name in names:
        yield Place("account", name, "", reverse("account", args=[name]))


def _operators(request: HttpRequest, console: Console, wanted: str) -> Iterator[Place]:
    if not wanted or not console.user.may("view_accounts"):
        return
    fitting = [
        each
        for each in neighbours.operators(console)
        if each.id.startswith(wanted) or wanted in each.accounts
    ]
    for each in fitting[:OF_A_KIND]:
        detail = translate_count("{n} account", "{n} accounts", len(each.accounts))
        yield Place("operator", each.id, detail, reverse("operator", args=[each.id]))


def _rules(request: HttpRequest, console: Console, wanted: str) -> Iterator[Place]:
    if not wanted or not console.user.may("view_policy"):
        return
    letters = wanted.lower()
    rules = console.service.responder.policy.rules
    fitting = [r for r in rules if letters in r.id or letters in r.about.lower()]
    for rule in sorted(fitting, key=lambda r: letters not in r.id)[:OF_A_KIND]:
        yield Place("rule", rule.id, translate(rule.about), reverse("policy_rule", args=[rule.id]))


_FINDERS: tuple[Callable[[HttpRequest, Console, str], Iterator[Place]], ...] = (
    _pages, _cases, _accounts, _operators, _rules,
)  # fmt: skip
