"""URLs of the public pages, and with the API's those of a service without a console."""

from __future__ import annotations

from typing import Any

from django.urls import include, path

from wavebreak_server.console.views import public
from wavebreak_server.slices import routes

PUBLIC: list[Any] = [
    path("notice/<str:token>.json", public.notice_json, name="notice_json"),
    path("notice/<str:token>", public.notice, name="notice"),
    path("appeal/<str:token>", public.appeal, name="appeal_page"),
    path("help/<str:lang>", public.help_article, name="help"),
    path("business/<str:lang>", public.business_article, name="business"),
]

urlpatterns: list[Any] = [*PUBLIC, path("", include((routes.urlpatterns, "api")))]
handler400 = "wavebreak_server.console.error_pages.bad_request"
handler403 = "wavebreak_server.console.error_pages.forbidden"
handler404 = "wavebreak_server.console.error_pages.not_found"
handler500 = "wavebreak_server.console.error_pages.server_error"
