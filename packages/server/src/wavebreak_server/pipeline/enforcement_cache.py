"""Enforcement states in memory: what `decide` answers from while the engine does not answer.

During recovery, a switch of the policy, overload, or after the engine has stopped, an account that
is banned must not be called allowed. The cache holds the accounts whose outcome is above allow, as
the newest stored decision or the recovered engine has left them. It is filled before anything is
answered, and follows each commit. An outcome that has ended by the service's clock is not in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from django.db import connection

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import HELD, SHARDS
from wavebreak.outcomes import ALLOW, CHALLENGE, LIMIT, code_of

_LOAD = (
    "SELECT s.account, s.outcome, s.until, d.body FROM standing s LEFT JOIN decision d "
    "ON d.number = s.decision AND s.outcome IN ('challenge', 'limit') "
    "WHERE s.outcome <> 'allow' AND (s.until IS NULL OR s.until > %s)"
)
_CHUNK = 2_000
_QUOTA_AT, _UNTIL_AT = 4, 12
_LEAST_PURGED = 4_096


class KnownState(NamedTuple):
    """An outcome in force (code of OUTCOMES), its end (ms; None: none), and what a limit leaves.

    `quota` is HELD for the challenge of a suspected takeover, which refuses every send.
    """

    outcome: int
    until_ms: int | None = None
    quota: int = 0


ALLOWED: Final = KnownState(ALLOW)


def quota_of(decision: Decision) -> int:
    """Return what a decision's outcome leaves: new chats of a limit, HELD for a takeover."""
    if decision.outcome == "challenge" and decision.basis == "takeover":
        return HELD
    return decision.new_chats_1d or 0


class EnforcementCache:
    """The enforcement states above allow. One thread changes it at a time; any thread reads it.

    Args:
        clock: Returns milliseconds.

    Attributes:
        loaded: Whether it was filled; before that nobody can tell an account's state.

    >>> cache = EnforcementCache(lambda: 5_000)
    >>> cache.update([("ann", "ban", None, 0), ("bob", "limit", 9_000, 5), ("eve", "ban", 4000, 0)])
    >>> cache.state("ann").outcome, cache.state("bob").quota, cache.state("eve") == ALLOWED
    (6, 5, True)
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.loaded = False
        self._clock = clock
        # One number for each account: outcome, quota and end, an eighth of the memory of a tuple.
        self._states: dict[str, int] = {}
        self._purge_at = _LEAST_PURGED

    def __len__(self) -> int:
        return len(self._states)

    def state(self, account: str) -> KnownState:
        """Return the outcome in force on an account; ALLOWED where none is known."""
        packed = self._states.get(account, 0)
        until_s = packed >> _UNTIL_AT
        if packed == 0 or 0 < until_s * 1000 <= self._clock():
            return ALLOWED
        quota = packed >> _QUOTA_AT & 255
        return KnownState(packed & 15, until_s * 1000 if until_s else None, quota)

    def load(self) -> None:
        """Fill the cache from the stored states."""
        found: dict[str, int] = {}
        with connection.chunked_cursor() as cursor:
            cursor.execute(_LOAD, (self._clock(),))
            while rows := cursor.fetchmany(_CHUNK):
                _take(found, ((a, outcome, until, _quota(b)) for a, outcome, until, b in rows))
        self._replace(found)

    def clear(self) -> None:
        """Forget every state: none is in force."""
        self._replace({})

    def read_engine(self, engine: Engine) -> None:
        """Take the states of an engine at the end of the log; it must not run meanwhile."""
        found: dict[str, int] = {}
        now_s = self._clock() // 1000
        for s, rows in enumerate(engine.core.used_rows()):
            ended = (rows["until"] > 0) & (rows["until"] <= now_s)
            held = np.flatnonzero((rows["enforcement"] != ALLOW) & ~ended)
            names = engine.fanout.accounts.texts(held * SHARDS + s).to_pylist()
            for account, row in zip(names, rows[held], strict=True):
                outcome, until = int(row["enforcement"]), int(row["until"])
                quota = int(row["quota"]) if outcome in (CHALLENGE, LIMIT) else 0
                found[account] = _packed(outcome, until, quota)
        self._replace(found)

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Take decisions that were committed, in order."""
        self.update((d.account, d.outcome, d.until, quota_of(d)) for d in decisions)

    def update(self, states: Iterable[tuple[str, str, int | None, int]]) -> None:
        """Take newer states: account, outcome, its end (ms) and quota."""
        _take(self._states, states)
        if len(self._states) > self._purge_at:
            now_s = self._clock() // 1000
            kept = self._states.items()
            self._replace({a: p for a, p in kept if not 0 < p >> _UNTIL_AT <= now_s})

    def _replace(self, states: dict[str, int]) -> None:
        """Put other states in place at once; what has ended goes each time they have doubled."""
        self._states, self.loaded = states, True
        self._purge_at = max(_LEAST_PURGED, 2 * len(states))


def _take(states: dict[str, int], newer: Iterable[tuple[str, str, int | None, int]]) -> None:
    for account, outcome, until_ms, quota in newer:
        code = code_of(outcome)
        if code == ALLOW:
            states.pop(account, None)
        else:
            states[account] = _packed(code, (until_ms or 0) // 1000, quota)


def _packed(outcome: int, until_s: int, quota: int) -> int:
    return outcome | quota << _QUOTA_AT | until_s << _UNTIL_AT


def _quota(body: Any) -> int:
    return quota_of(msgspec.json.decode(bytes(body), type=Decision)) if body is not None else 0
