"""Limits of guesses at passwords and codes: some are free, then each wrong one makes the next wait.

A guess counts against what it could be part of: guesses at a name from a network, at a name from
anywhere, at any name from a network. A device on which the person has signed in before counts for
itself alone, so that nobody's guesses elsewhere keep them out. Waits are short where they hit
people who do nothing wrong. All is held in memory, as digests under a key that this process draws.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from wavebreak.durations import HOUR_S

MAX_COUNTED = 20_000


class Terms(NamedTuple):
    """Wrong guesses without a wait, and the longest wait (seconds) after another one.

    `kept`: a right guess takes one off the count, instead of ending it.
    """

    free: int
    longest_s: float
    kept: bool = False


class Counted(NamedTuple):
    """What a guess counts against: a kind of limit (see `KINDS`), and who or where."""

    kind: str
    key: str


class _Count(NamedTuple):
    wrong: int
    at_s: float
    ready_s: float


KINDS: Mapping[str, Terms] = {
    "name and network": Terms(5, 900.0),
    # From many networks at once: slowed for devices that are new, and for no longer than a minute.
    "name": Terms(20, 60.0, kept=True),
    # Everybody behind one address, too: long enough against trying one password on every name.
    "network": Terms(30, 10.0, kept=True),
    "device": Terms(10, 60.0),
    # Whoever guesses a code has the password.
    "factor": Terms(5, 900.0),
    "factor on device": Terms(10, 300.0),
}


def password_guess(person: str, network: str, device: str) -> tuple[Counted, ...]:
    """Return what a guess at a password counts against.

    Args:
        person: Whose password it is meant to be.
        network: The peer's network.
        device: A device on which this person has signed in before ("": a new one).
    """
    if device:
        return (Counted("device", f"{device}\0{person}"),)
    return (
        Counted("name and network", f"{person}\0{network}"),
        Counted("name", person),
        Counted("network", network),
    )


def factor_guess(person: str, device: str) -> tuple[Counted, ...]:
    """Return what a guess at a code of a second factor counts against."""
    if device:
        return (Counted("factor on device", f"{device}\0{person}"),)
    return (Counted("factor", person),)


class SignInLimits:
    """Counts of wrong guesses, the least recent forgotten first, and each after a quiet hour.

    >>> now, guess = [0.0], password_guess("dana", "198.51.100.7", "")
    >>> limits = SignInLimits(lambda: now[0])
    >>> [limits.begin(guess) for _ in range(7)]
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    >>> now[0] = 1.0
    >>> limits.begin(guess), limits.begin(guess)
    (0.0, 2.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._key, self._lock = clock, secrets.token_bytes(32), Lock()
        self._counts: dict[str, OrderedDict[bytes, _Count]] = {k: OrderedDict() for k in KINDS}

    def begin(self, guess: Iterable[Counted]) -> float:
        """Count a guess as wrong and return 0, or count nothing and return the seconds to wait.

        It counts before it is tried, so that guesses at the same time do not pass together; call
        `succeed` where it was right.
        """
        guess = tuple(guess)
        with self._lock:
            now = self._clock()
            wait = self._wait_s(guess, now)
            if wait > 0:
                return wait
            for one in guess:
                self._count(one, now)
        return 0.0

    def succeed(self, guess: Iterable[Counted]) -> None:
        """Take back what `begin` counted: the guess was right."""
        with self._lock:
            now = self._clock()
            for one in guess:
                known = self._counts[one.kind].pop(self._digest(one), None)
                if known is not None and KINDS[one.kind].kept and known.wrong > 1:
                    left = _Count(known.wrong - 1, known.at_s, now)
                    self._counts[one.kind][self._digest(one)] = left

    def wait_s(self, guess: Iterable[Counted]) -> float:
        """Return the seconds until a guess is taken."""
        with self._lock:
            return self._wait_s(tuple(guess), self._clock())

    def forget(self) -> None:
        """Forget every count."""
        with self._lock:
            for counts in self._counts.values():
                counts.clear()

    def _wait_s(self, guess: tuple[Counted, ...], now: float) -> float:
        return max(0.0, *(self._known(one, now).ready_s - now for one in guess))

    def _known(self, one: Counted, now: float) -> _Count:
        known = self._counts[one.kind].get(self._digest(one))
        fresh = known is not None and now - known.at_s <= HOUR_S
        return known if known is not None and fresh else _Count(0, now, now)

    def _count(self, one: Counted, now: float) -> None:
        counts, digest, terms = self._counts[one.kind], self._digest(one), KINDS[one.kind]
        wrong = self._known(one, now).wrong + 1
        over = wrong - terms.free
        wait = min(terms.longest_s, 2.0 ** min(over - 1, 30)) if over > 0 else 0.0
        counts.pop(digest, None)
        counts[digest] = _Count(wrong, now, now + wait)
        if len(counts) > MAX_COUNTED:
            counts.popitem(last=False)

    def _digest(self, one: Counted) -> bytes:
        return hmac.digest(self._key, f"{one.kind}\0{one.key}".encode(), hashlib.sha256)[:16]
