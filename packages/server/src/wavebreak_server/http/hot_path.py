"""Declarations of the hot path's operations, for the OpenAPI document.

`ingest_app.IngestApp` answers them before Django is asked; these views are never called.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from wavebreak_server.errors import ApiError
from wavebreak_server.http.ingest_app import DECIDE_PATH, EVENTS_PATH
from wavebreak_server.http.openapi import hot_path_operation
from wavebreak_server.http.requests import ApiKeyAuth

router = Router()


@router.post(
    EVENTS_PATH,
    auth=ApiKeyAuth("ingest"),
    response={202: None},
    summary="Ingest events. The response is sent when they are durable in the log.",
    openapi_extra=hot_path_operation("events"),
)
async def take_events(request: HttpRequest) -> Any:
    """Fail: the hot path has not answered."""
    raise ApiError(500, "the hot path is not installed")


@router.post(
    DECIDE_PATH,
    auth=ApiKeyAuth("decide"),
    summary="Decide up to 50 events of one account before they happen (`mode=ask`, or "
    "`mode=attempt`, which records what is refused) or as they happen (`mode=record`).",
    openapi_extra=hot_path_operation("decide"),
)
async def decide(request: HttpRequest) -> Any:
    """Fail: the hot path has not answered."""
    raise ApiError(500, "the hot path is not installed")
