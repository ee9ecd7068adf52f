"""Errors as problem details (RFC 9457): one shape for every refusal of the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak.errors import WavebreakError

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "The request is not well formed",
    401: "A key is needed",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "This method is not offered here",
    409: "This is in conflict with what is there",
    413: "The body is too large",
    415: "The format is not taken",
    422: "What was sent is not valid",
    429: "Too many requests",
    503: "Not now",
}
"""The statuses in which the API refuses, in words."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused. No value that was sent is repeated here."""

    type: Annotated[str, Meta(description="about:blank: the status says it")]
    title: str
    status: int
    detail: str
    fix: str | UnsetType = UNSET


class RefusedError(WavebreakError):
    """A request that is answered by a problem of `status`."""

    def __init__(self, status: int, what: str, *, fix: str = "", retry_after_s: float = 0) -> None:
        super().__init__(what, fix=fix)
        self.status, self.retry_after_s = status, retry_after_s


def problem(status: int, detail: str, fix: str = "") -> Problem:
    """Make the problem of a status.

    >>> problem(404, "no such account").title
    'Not Found'
    """
    return Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status,
        detail=detail, fix=fix or UNSET,
    )  # fmt: skip
