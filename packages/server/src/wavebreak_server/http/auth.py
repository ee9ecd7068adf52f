"""API keys and their authorization: scopes, rate limits, and the key ring in memory.

A key reads `wb_PREFIX_SECRET`. The prefix identifies it and is not secret; the secret is 32 random
bytes, so that one SHA-256 suffices as its hash. `KeyRing` holds all keys in memory, so that no
request waits for the database. A rotated key stays valid for a grace period beside its successor.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from wavebreak_server.errors import PROBLEMS, ApiError, DomainError
from wavebreak_server.http.rate_limit import TokenBucket
from wavebreak_server.pipeline.pending_requests import Sender
from wavebreak_server.service_plugins import plugin_scopes

_OwnScope = Literal["ingest", "decide", "read", "override", "admin", "list"]
SCOPES: tuple[str, ...] = (*get_args(_OwnScope), *plugin_scopes())
"""Every scope: those of the service, and of its plug-ins."""
if TYPE_CHECKING:
    Scope = str
else:
    Scope = Literal[SCOPES]
LIST: Scope = "list"
"""The scope that a key has alone: it tells what outside lists say, and reads our convictions."""
TOGETHER = tuple(scope for scope in SCOPES if scope != LIST)
"""Scopes that one key may have together."""
_MAX_LENGTH = 200
_KEY = re.compile(rb"(?i:bearer) +wb_([0-9a-f]{8})_[0-9a-f]{64}")


EVENTS_PER_TOKEN = 1_000
"""Events of one request that a token of its key's rate pays for; a further thousand costs one."""


def _free(_tokens: float) -> None:
    """Charge nothing: no key is required."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """An authorized caller: the prefix of its key (empty: none is required), and its scopes.

    `owner` is the same for a key and its successors: an Idempotency-Key belongs to it.
    `identifiers`: ids that it sends may look like personal data. `source` is the source that the
    key belongs to (empty: to none). `charge` takes tokens that the request turned out to cost.
    """

    key_id: str = ""
    scopes: frozenset[str] = frozenset()
    owner: str = ""
    identifiers: bool = False
    source: str = ""
    charge: Callable[[float], None] = field(default=_free, compare=False, repr=False)

    def charge_events(self, events: int) -> None:
        """Charge the key's rate for a body of so many events, of which its request paid a part."""
        if events > EVENTS_PER_TOKEN:
            self.charge(events / EVENTS_PER_TOKEN - 1)

    @property
    def sender(self) -> Sender:
        """The caller as whoever sends events."""
        return Sender(
            self.key_id,
            self.owner,
            "override" in self.scopes,
            self.identifiers,
            self.source,
            LIST in self.scopes,
            bool(self.scopes - {LIST}),
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """A refused caller: status 401, 403 or 429, the reason and how to fix it."""

    status: int
    detail: str
    fix: str = ""
    retry_after_s: float = 0.0


Authorize = Callable[..., Allowed | Denied]
"""Takes the value of the Authorization header and the scopes of which one is needed."""


def require(verdict: Allowed | Denied) -> Allowed:
    """Return an authorized caller; raises ApiError (401, 403 or 429) for a refused one."""
    if isinstance(verdict, Allowed):
        return verdict
    if verdict.status == 401:
        raise DomainError("api-key-missing")
    raise ApiError(
        verdict.status, verdict.detail, fix=verdict.fix, retry_after_s=verdict.retry_after_s
    )


def allow_all(_authorization: bytes | None, *_scopes: str) -> Allowed | Denied:
    """Allow every caller: for a service that only its own machine can reach."""
    return Allowed(scopes=frozenset(SCOPES))


class GeneratedKey(NamedTuple):
    """A new key: `text` is shown once; `prefix` and `digest` are stored."""

    text: str
    prefix: str
    digest: bytes


class KeyEntry(NamedTuple):
    """A stored key. `ends_s` is when it expires (Unix seconds; None: never).

    `owner` is the prefix of the first key of which it is a successor, or its own; `source` is that
    which it belongs to (empty: to none). `identifiers`: ids that it sends may look like personal
    data.
    """

    prefix: str
    digest: bytes
    name: str
    scopes: frozenset[str]
    rate: float
    burst: float
    ends_s: float | None = None
    owner: str = ""
    source: str = ""
    identifiers: bool = False


def generate_key(random: Callable[[int], bytes] = secrets.token_bytes) -> GeneratedKey:
    """Generate a key from 36 random bytes.

    >>> key = generate_key(lambda n: bytes(n))
    >>> key.text[:12], key.prefix, len(key.digest)
    ('wb_00000000_', '00000000', 32)
    """
    prefix = random(4).hex()
    text = f"wb_{prefix}_{random(32).hex()}"
    return GeneratedKey(text, prefix, hashlib.sha256(text.encode()).digest())


class KeyRing:
    """All keys with their token buckets.

    Args:
        now: Returns Unix seconds.
        clock: Returns monotonic seconds, for the rate limits.
    """

    def __init__(self, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._now, self._clock = now, clock
        self._keys: dict[str, tuple[KeyEntry, TokenBucket]] = {}

    def replace(self, entries: Iterable[KeyEntry]) -> None:
        """Replace all keys; a key that stays keeps its token bucket."""
        former = self._keys
        self._keys = {e.prefix: (e, self._bucket(e, former.get(e.prefix))) for e in entries}

    def _bucket(self, entry: KeyEntry, former: tuple[KeyEntry, TokenBucket] | None) -> TokenBucket:
        if former and (former[0].rate, former[0].burst) == (entry.rate, entry.burst):
            return former[1]
        return TokenBucket(entry.rate, entry.burst, self._clock)

    def authorize(
        self, authorization: bytes | None, *scopes: str, cost: float = 1.0
    ) -> Allowed | Denied:
        """Authorize a request.

        Args:
            authorization: Value of the Authorization header (`Bearer wb_…`).
            scopes: The scopes of which the request needs one.
            cost: Tokens that the request takes from the key's bucket.

        Returns:
            `Allowed`, or `Denied`; the reason does not say which part of the key is wrong.
        """
        known = self._find(authorization)
        if known is None:
            return Denied(401, PROBLEMS["api-key-missing"].what)
        entry, bucket = known
        wait = bucket.take(cost)
        if wait > 0:
            return Denied(429, "rate limit exceeded", retry_after_s=wait)
        if entry.scopes.isdisjoint(scopes):
            lacking = " or ".join(scopes)
            return Denied(403, f"this key lacks the scope {lacking}", "use a key with this scope")
        return Allowed(
            entry.prefix, entry.scopes, entry.owner, entry.identifiers, entry.source, bucket.charge
        )

    def permits(self, key_id: str, scope: str) -> bool:
        """Whether a key that was authorized before still is, for a scope; takes no tokens."""
        known = self._keys.get(key_id)
        if known is None or scope not in known[0].scopes:
            return False
        ends_s = known[0].ends_s
        return ends_s is None or self._now() < ends_s

    def entry(self, key_id: str) -> KeyEntry | None:
        """Return a key that was authorized before; None where it is gone since."""
        known = self._keys.get(key_id)
        return None if known is None else known[0]

    def source_of(self, key_id: str) -> str:
        """Return the source that a key belongs to (empty: to none)."""
        known = self._keys.get(key_id)
        return known[0].source if known is not None else ""

    def lacks(self, authorization: bytes | None) -> bool:
        """Whether a value of the Authorization header is of a key that was not loaded."""
        found = _KEY.fullmatch(authorization or b"")
        return found is not None and found[1].decode() not in self._keys

    def _find(self, authorization: bytes | None) -> tuple[KeyEntry, TokenBucket] | None:
        kind, _, text = (authorization or b"").partition(b" ")
        text = text.strip() if kind.lower() == b"bearer" and len(text) <= _MAX_LENGTH else b""
        parts = text.split(b"_", 2)
        prefix = parts[1].decode("ascii", "replace") if len(parts) == 3 else ""
        entry = self._keys.get(prefix)
        digest = entry[0].digest if entry else bytes(32)
        # Always compared, so that an unknown prefix takes as long as a wrong secret.
        matches = hmac.compare_digest(digest, hashlib.sha256(text).digest())
        if entry is None or not matches:
            return None
        ends_s = entry[0].ends_s
        return None if ends_s is not None and self._now() >= ends_s else entry
