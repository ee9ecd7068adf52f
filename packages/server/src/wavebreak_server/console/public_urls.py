"""URLs of the public pages: statements, appeals, help."""

from __future__ import annotations

from typing import Any

from django.urls import path

from wavebreak_server.console.views import public

PUBLIC: list[Any] = [
    path("notice/<str:token>.json", public.notice_json, name="notice_json"),
    path("notice/<str:token>", public.notice, name="notice"),
    path("appeal/<str:token>", public.appeal, name="appeal_page"),
    path("help/<str:lang>", public.help_article, name="help"),
    path("business/<str:lang>", public.business_article, name="business"),
]
