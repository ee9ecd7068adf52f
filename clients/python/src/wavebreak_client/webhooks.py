"""Verification of webhook messages, after Standard Webhooks."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wavebreak_client.errors import SettingsError, WebhookError

_PREFIX = "whsec_"
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_LONGEST_HEADER = 4096
_MOST_SIGNATURES = 16


class ReplayWindow:
    """Remembers the ids of messages for as long as their timestamps are taken; bounded.

    Safe for threads. A receiver with several processes keeps the ids where all of them see them.

    Args:
        most: How many ids it remembers; the oldest go first.

    """

    def __init__(self, most: int = 100_000) -> None:
        self._most, self._lock = most, threading.Lock()
        self._ids: OrderedDict[str, float] = OrderedDict()

    def first(self, message_id: str, until_s: float, now_s: float) -> bool:
        """Return whether a message is seen for the first time, and remember it."""
        with self._lock:
            while self._ids and (len(self._ids) > self._most or _oldest(self._ids) < now_s):
                self._ids.popitem(last=False)
            if self._ids.get(message_id, -1.0) >= now_s:
                return False
            self._ids[message_id] = until_s
            self._ids.move_to_end(message_id)
            return True

    def forget(self, message_id: str) -> None:
        """Take a message that could not be handled anew when it is sent again."""
        with self._lock:
            self._ids.pop(message_id, None)


def _oldest(ids: OrderedDict[str, float]) -> float:
    return next(iter(ids.values()))


SEEN = ReplayWindow()
"""The window that `verify_webhook` uses where none is given."""


def verify_webhook(
    secrets: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    tolerance_s: float = 300,
    *,
    seen: ReplayWindow | None = SEEN,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Verify a webhook message, and return its body.

    Args:
        secrets: The webhook's secret, `whsec_…`; during a rotation both.
        headers: The request's headers, in any case.
        body: The request's body, byte by byte as it came.
        tolerance_s: How far its timestamp may be from this machine's time, in seconds from 0 up.
        seen: The window that refuses a message seen before. None: the caller does that.
        clock: Unix seconds.

    Raises:
        SettingsError: Where no secret is given, one is not readable, or the tolerance is no number
            of seconds.
        WebhookError: Where the message is not to be trusted; answer 400. For the cause
            `replayed` answer 200: it was handled before.

    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise SettingsError("no webhook secret is given", fix="pass the webhook's secret")
    _check_tolerance(tolerance_s)
    message_id, stamp, signatures = _read_headers(headers)
    at_s, now_s = int(stamp), clock()
    if not abs(now_s - at_s) <= tolerance_s:
        raise WebhookError(
            "timestamp", "the message is too old, or ahead of time", fix="synchronise the clocks"
        )
    signed = f"{message_id}.{stamp}.".encode() + body
    expected = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    # Every pair is compared, so that the time says nothing about which one fits.
    fits = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(fits):
        raise WebhookError("signature", "no signature fits", fix="see which secret is configured")
    try:
        members = json.loads(body)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise WebhookError("body", "the body is no JSON object")
    if seen is not None and not seen.first(message_id, at_s + tolerance_s, now_s):
        raise WebhookError("replayed", "the message was seen before", fix="answer 200")
    return members


def _check_tolerance(tolerance_s: float) -> None:
    """Raise SettingsError for what no distance in time is compared with: it would let all pass."""
    is_number = isinstance(tolerance_s, int | float) and not isinstance(tolerance_s, bool)
    if not (is_number and 0 <= tolerance_s < math.inf):
        raise SettingsError(
            f"tolerance_s is no number of seconds: {tolerance_s!r}", fix="give 300, or leave it out"
        )


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if len(key) < 16:
        raise SettingsError("a webhook secret is not readable", fix="give it whole: whsec_…")
    return key


def _read_headers(headers: Mapping[str, str]) -> tuple[str, str, list[bytes]]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if (lower := name.lower()) in found:
            raise WebhookError("headers", "a header is there twice")
        if lower in _HEADERS:
            found[lower] = value
    message_id, stamp, signature = (found.get(name, "") for name in _HEADERS)
    if not message_id or not stamp or not signature:
        raise WebhookError("headers", f"one of {', '.join(_HEADERS)} is missing")
    if max(map(len, found.values())) > _LONGEST_HEADER:
        raise WebhookError("headers", "a header is too long")
    if not message_id.isascii() or "." in message_id:
        raise WebhookError("headers", "webhook-id is not readable")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise WebhookError("timestamp", "webhook-timestamp is no number of seconds")
    return message_id, stamp, list(_read_signatures(signature))


def _read_signatures(header: str) -> Iterator[bytes]:
    for part in header.split()[:_MOST_SIGNATURES]:
        version, _, value = part.partition(",")
        if version == "v1":
            with contextlib.suppress(ValueError):
                yield base64.b64decode(value, validate=True)
