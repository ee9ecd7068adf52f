"""Keys of the API: random, shown once, kept as a hash, with scopes and a rate.

A key reads `wb_PREFIX_SECRET`: the prefix finds it and may be shown, the secret is 32 random bytes,
so that one SHA-256 is hash enough. `Ring` holds all keys in memory: no request waits for a
database. A rotated key goes on for a time of grace beside its successor.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, get_args

from wavebreak.service.ingest_app import Allowed, Denied
from wavebreak.service.rate_limit import Bucket

Scope = Literal["ingest", "decide", "read", "override", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_LONGEST = 200


class Fresh(NamedTuple):
    """A key as it is made: `text` is shown once, `prefix` and `digest` are kept."""

    text: str
    prefix: str
    digest: bytes


class Entry(NamedTuple):
    """A key as it is kept. `ends_s` is when it stops (Unix seconds; None: it does not)."""

    prefix: str
    digest: bytes
    name: str
    scopes: frozenset[str]
    rate: float
    burst: float
    ends_s: float | None = None


def make(random: Callable[[int], bytes] = secrets.token_bytes) -> Fresh:
    """Make a key from 36 random bytes.

    >>> made = make(lambda n: bytes(n))
    >>> made.text[:12], made.prefix, len(made.digest)
    ('wb_00000000_', '00000000', 32)
    """
    prefix = random(4).hex()
    text = f"wb_{prefix}_{random(32).hex()}"
    return Fresh(text, prefix, hashlib.sha256(text.encode()).digest())


class Ring:
    """All keys, and how much each has asked. `now` gives Unix seconds, `clock` rises only."""

    def __init__(self, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._now, self._clock = now, clock
        self._held: dict[str, tuple[Entry, Bucket]] = {}

    def replace(self, entries: Iterable[Entry]) -> None:
        """Hold these keys and no others; a key that stays goes on with its bucket."""
        held = self._held
        self._held = {e.prefix: (e, self._bucket(e, held.get(e.prefix))) for e in entries}

    def _bucket(self, entry: Entry, held: tuple[Entry, Bucket] | None) -> Bucket:
        if held and (held[0].rate, held[0].burst) == (entry.rate, entry.burst):
            return held[1]
        return Bucket(entry.rate, entry.burst, self._clock)

    def guard(self, authorization: bytes | None, scope: str, cost: float = 1.0) -> Allowed | Denied:
        """Say who asks, or why it may not.

        `authorization` is the header's value (`Bearer wb_…`), `scope` what is asked,
        `cost` how many tokens it takes. Which part of a key was wrong is not told.
        """
        found = self._find(authorization)
        if found is None:
            fix = "send `Authorization: Bearer wb_…` (`wavebreak key create` makes a key)"
            return Denied(401, f"no key, or one that is not known or has ended: {fix}")
        entry, bucket = found
        wait = bucket.take(cost)
        if wait > 0:
            return Denied(429, "this key asks too often", wait)
        if scope not in entry.scopes:
            return Denied(403, f"this key lacks the scope {scope}")
        return Allowed(entry.prefix)

    def _find(self, authorization: bytes | None) -> tuple[Entry, Bucket] | None:
        kind, _, text = (authorization or b"").partition(b" ")
        text = text.strip() if kind.lower() == b"bearer" and len(text) <= _LONGEST else b""
        parts = text.split(b"_", 2)
        prefix = parts[1].decode("ascii", "replace") if len(parts) == 3 else ""
        found = self._held.get(prefix)
        digest = found[0].digest if found else bytes(32)
        known = hmac.compare_digest(digest, hashlib.sha256(text).digest())
        if found is None or not known:
            return None
        ends_s = found[0].ends_s
        return None if ends_s is not None and self._now() >= ends_s else found
