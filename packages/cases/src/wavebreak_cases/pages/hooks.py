"""What the console asks of the pages of cases: their addresses, panels, store and demonstration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_type_hints

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import path

from wavebreak.explain.collect import KINDS
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import violation_choices
from wavebreak_cases.cases.case import Exhibit, State
from wavebreak_cases.cases.completeness import MISSING
from wavebreak_cases.cases.eligibility import Result
from wavebreak_cases.cases.parties import Bar, Basis, Evidence, Party, Relation, Strength, Violation
from wavebreak_cases.cases.workflow import STEPS
from wavebreak_cases.pages import demo_case, files, views
from wavebreak_cases.pages.apps import CaseStore, current_store, is_open, open_store
from wavebreak_server.console.plugins import PluginOptions
from wavebreak_server.pipeline.service import Background

__all__ = ["URLS", "account_panel", "demo_tasks", "open", "party_panel", "texts", "waiting_panel"]

_CODES: tuple[str, ...] = (
    *get_args(State),
    *get_args(Result),
    *Strength,
    *Basis,
    *(kind for each in (Party, Relation) for kind in get_args(get_type_hints(each)["kind"])),
    *get_args(get_type_hints(Exhibit)["kind"]),
    *(code for field in ("conduct", "kind") for code in get_args(get_type_hints(Evidence)[field])),
    *get_args(get_type_hints(Bar)["kind"]),
    *get_args(Violation),
    *KINDS,
    *("claim", "unsure", "benign", "counsel", "lead", "analyst", "person", "company"),
)
"""Codes that pages show as words."""

URLS: list[Any] = [
    path("cases", views.cases, name="cases"),
    path("cases/new", views.open_case, name="open_case"),
    path("cases/<str:case_id>", views.legal_case, name="legal_case"),
    path("cases/<str:case_id>/act/<str:name>", views.act, name="case_act"),
    path("cases/<str:case_id>/bundle/build", views.build_bundle, name="case_bundle_build"),
    path("cases/<str:case_id>/bundle/status", views.bundle_status, name="case_bundle_status"),
    path("cases/<str:case_id>/bundle/file", views.download_bundle, name="case_bundle_download"),
    path("cases/<str:case_id>/documents/<str:name>", views.document, name="case_document"),
    path("cases/<str:case_id>/exhibits/<str:exhibit_id>", views.exhibit, name="legal_exhibit"),
    path(
        "cases/<str:case_id>/exhibits/<str:exhibit_id>/reading",
        views.exhibit_reading,
        name="legal_exhibit_reading",
    ),
    path(
        "cases/<str:case_id>/exhibits/<str:exhibit_id>/image",
        views.exhibit_image,
        name="legal_exhibit_image",
    ),
    path(
        "cases/<str:case_id>/exhibits/<str:exhibit_id>/redact",
        views.redact_exhibit,
        name="legal_exhibit_redact",
    ),
    path(
        "cases/<str:case_id>/exhibits/<str:exhibit_id>/pages/<int:number>",
        views.exhibit_page,
        name="legal_exhibit_page",
    ),
    path("cases/<str:case_id>/<str:tab>", views.legal_case, name="legal_case_tab"),
]
"""Addresses of the pages, below those of the console."""


def open(options: PluginOptions) -> None:
    """Serve the cases of a directory; their steps are sealed with the key of the ledger."""
    open_store(CaseStore(options.directory, options.signer, options.secret, options.policy))


def account_panel(request: HttpRequest, accounts: Sequence[str], *, several: bool) -> str:
    """Return the list of the cases that link an account, or any of several.

    Nobody but who may see cases is shown any.
    """
    if not _sees_cases(request):
        return ""
    linked = files.cases_of_accounts(current_store(), accounts)
    panel: str = render_to_string(
        "console/parts/linked_cases.html", {"linked": linked, "several": several}
    )
    return panel


def party_panel(request: HttpRequest, names: Sequence[str]) -> str:
    """Return the list of the cases in which a firm, or who owns it, is a party by name.

    Nobody but who may see cases is shown any.
    """
    if not _sees_cases(request):
        return ""
    found = files.cases_of_names(current_store(), names)
    panel: str = render_to_string("console/parts/cases_of_parties.html", {"found": found})
    return panel


def _sees_cases(request: HttpRequest) -> bool:
    user: Any = request.user
    may = getattr(user, "may", None)
    return bool(is_open() and may and may("view_cases"))


def waiting_panel(request: HttpRequest) -> str:
    """Return the determinations that wait for the person's signature."""
    if not _sees_cases(request):
        return ""
    waiting = files.unsigned_by(current_store(), request.user)
    panel: str = render_to_string("console/parts/waiting_signatures.html", {"waiting": waiting})
    return panel


def demo_tasks() -> list[Background]:
    """Return the task that builds a legal case for a demonstration."""
    return [demo_case.build_when_decided]


def texts() -> Iterator[str]:
    """Yield the texts of the acts' declarations, and words of the code that pages show."""
    for act in ACTS.values():
        yield from (act.title, act.button, act.about, act.nothing)
        for field in act.fields:
            if field.on_form:
                yield from (field.label, field.hint, field.section, field.fault)
                several = violation_choices(field.values) if field.kind == "several" else ()
                yield from (words for _, words in (*field.values, *several))
    yield from (kind.phrase for kind in STEPS.values())
    yield from MISSING.values()
    for code in _CODES:
        yield code.replace("_", " ")
