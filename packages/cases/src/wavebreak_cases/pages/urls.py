"""URLs of the pages of cases, below those of the console."""

from __future__ import annotations

from typing import Any

from django.urls import path

from wavebreak_cases.pages import views

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
