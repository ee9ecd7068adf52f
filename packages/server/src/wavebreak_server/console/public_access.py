"""Access to public pages: rate limits by peer, tokens of forms, headers; no cookie, no address.

A peer's address is digested with a key that this process draws and forgets, and held in memory
only: it is neither stored nor logged.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any

from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from wavebreak.durations import DAY_S, HOUR_S
from wavebreak_server.console.site import Site, app_of
from wavebreak_server.http.operations import TOO_LARGE
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.http.rate_limit import TokenBucket
from wavebreak_server.slices.erasure.service import ErasedError

View = Callable[..., HttpResponse]
MAX_PEERS, MAX_USED = 20_000, 50_000
MAX_BODY = 64 * 1024
FORM_S = 2 * HOUR_S
READS, WRITES = (2.0, 60.0), (0.1, 12.0)
"""Requests a second and at once, of one peer: of pages, and of forms."""


class PeerLimits:
    """Token buckets of peers, the least recently seen forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._key, self._lock = clock, secrets.token_bytes(32), Lock()
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def wait_s(self, peer: str, kind: str, terms: tuple[float, float]) -> float:
        """Return 0 and count a request, or the seconds to wait.

        >>> limits = PeerLimits(lambda: 0.0)
        >>> [limits.wait_s("198.51.100.7", "read", (1.0, 1.0)) for _ in range(2)]
        [0.0, 1.0]
        """
        key = hmac.digest(self._key, f"{kind}\0{peer_network(peer)}".encode(), hashlib.sha256)[:16]
        with self._lock:
            bucket = self._buckets.pop(key, None) or TokenBucket(*terms, self._clock)
            self._buckets[key] = bucket
            if len(self._buckets) > MAX_PEERS:
                self._buckets.popitem(last=False)
        return bucket.take()


class OnceADay:
    """What was counted today, as digests under a key that is drawn anew each day."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, Lock()
        self._day, self._key = -1, b""
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def first(self, *marks: str) -> bool:
        """Whether none of these marks was used today; they are used afterwards.

        >>> once = OnceADay(lambda: 0.0)
        >>> once.first("a"), once.first("a", "b"), once.first("b")
        (True, False, False)
        """
        with self._lock:
            day = int(self._clock() // DAY_S)
            if day != self._day:
                self._day, self._key = day, secrets.token_bytes(32)
                self._used.clear()
            digests = [hmac.digest(self._key, m.encode(), hashlib.sha256)[:16] for m in marks]
            unused = not any(digest in self._used for digest in digests)
            for digest in digests:
                self._used[digest] = None
            while len(self._used) > MAX_USED:
                self._used.popitem(last=False)
            return unused


def peer_of(request: HttpRequest) -> str:
    """Return the address that asks: behind trusted proxies, the one that they saw."""
    trusted = Site.of(request).trusted_proxies
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if trusted and len(seen) >= trusted and seen[-trusted]:
        return str(seen[-trusted])
    return str(request.META.get("REMOTE_ADDR", ""))


def form_token(purpose: str) -> str:
    """Return a token of a form, which ends after two hours."""
    return str(_signer().sign(f"{purpose}~{secrets.token_urlsafe(12)}"))


def read_form_token(purpose: str, token: str) -> str | None:
    """Return the one-time part of a form's token; None if it is of another form, or over."""
    try:
        value = str(_signer().unsign(token[:400], max_age=FORM_S))
    except BadSignature:
        return None
    said, _, nonce = value.rpartition("~")
    return nonce if hmac.compare_digest(said.encode(), purpose.encode()) else None


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="public form")


def from_elsewhere(request: HttpRequest) -> bool:
    """Whether a browser says that another site sent this form."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def _is_too_large(request: HttpRequest) -> bool:
    scope = getattr(request, "scope", {})
    return bool(scope.get(TOO_LARGE)) or len(request.body) > MAX_BODY


def public(
    refuse: Callable[[HttpRequest, int], HttpResponse], *methods: str, index: bool = False
) -> Callable[[View], View]:
    """Declare a public view: its methods (default: GET), and whether search engines may list it.

    `refuse` returns the page of a request that comes too often (429) or is too large (413), and of
    a link that an erasure has ended (410). Forms carry a signed token instead of a cookie: the
    view checks it.
    """
    allowed = methods or ("GET",)

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in (*allowed, "HEAD"):
                return HttpResponseNotAllowed(allowed)
            kind, terms = ("write", WRITES) if request.method == "POST" else ("read", READS)
            limits = app_of(request).state_of(PeerLimits)
            wait = limits.wait_s(peer_of(request), kind, terms)
            if wait > 0:
                response = refuse(request, 429)
                response["Retry-After"] = str(max(1, int(wait + 0.999)))
            elif _is_too_large(request):
                response = refuse(request, 413)
            else:
                try:
                    response = view(request, *args, **kwargs)
                except ErasedError as error:
                    response = refuse(request, error.status)
            response["Referrer-Policy"] = "no-referrer"
            response["Cache-Control"] = "no-store"
            response["Vary"] = "Accept-Language"
            # Django would log the path of a refusal, and with it a token.
            response._has_been_logged = True
            if not index:
                response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
            return response

        wrapped.permission = ""  # type: ignore[attr-defined]
        wrapped.methods = allowed  # type: ignore[attr-defined]
        exempt: View = csrf_exempt(wrapped)
        return exempt

    return decorate
