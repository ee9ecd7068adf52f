"""Guesses at a person's password or code: limited before they are tried, audited when wrong."""

from __future__ import annotations

import math

from django import forms
from django.http import HttpRequest

from wavebreak_server.console import sign_in_audit
from wavebreak_server.console.known_devices import known_device
from wavebreak_server.console.public_access import peer_of
from wavebreak_server.console.sign_in_limits import Counted, factor_guess, limits, password_guess
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.slices.users.models import User


class Guess:
    """A guess at the password, or at a code, of a person; counted as wrong until it succeeds.

    Args:
        request: The request that guesses; `slowed_s` is set on it where the guess comes too soon.
        user: Whose it is; None where nobody has this name.
        name: The name as it was typed.
        factor: Whether the password was right, and this is a code.

    Raises:
        ValidationError: The guess comes too soon; it was not tried, and says when to try again.

    """

    def __init__(
        self, request: HttpRequest, user: User | None, name: str = "", *, factor: bool = False
    ) -> None:
        self._request, self._user = request, user
        self._device = known_device(request, user)
        self._counted = self._limits(name.strip().casefold(), factor)
        wait = limits.begin(self._counted)
        if wait > 0:
            request.slowed_s = wait
            raise forms.ValidationError(slowed_words(wait, known=bool(self._device)), "slowed")

    def _limits(self, name: str, factor: bool) -> tuple[Counted, ...]:
        person = f"name {name}" if self._user is None else f"user {self._user.pk}"
        if factor:
            return factor_guess(person, self._device)
        return password_guess(person, peer_network(peer_of(self._request)), self._device)

    def succeed(self) -> None:
        """The guess was right."""
        limits.succeed(self._counted)

    def fail(self, action: str, what: str) -> None:
        """Audit that the guess was wrong."""
        if self._user is None:
            sign_in_audit.audit_unnamed(self._request, what)
            return
        wait = limits.wait_s(self._counted)
        slowed = f"; slowed for {_duration(wait)}" if wait else ""
        where = "a known device" if self._device else "a new device"
        reason = f"{what}, from {where}{slowed}"
        sign_in_audit.audit(self._request, action, self._user, reason, done=False)


def slowed_words(wait_s: float, *, known: bool) -> str:
    """Return what is said to who has to wait.

    >>> slowed_words(2.2, known=True)
    'Too many wrong attempts. Try again in 3 seconds. A passkey works at once.'
    """
    others = "A passkey works at once"
    if not known:
        others += ", and so does a browser in which you have signed in before"
    return f"Too many wrong attempts. Try again in {_duration(wait_s)}. {others}."


def _duration(wait_s: float) -> str:
    """Return a wait in words.

    >>> _duration(0.2), _duration(60), _duration(61)
    ('1 second', '60 seconds', '2 minutes')
    """
    if wait_s > 60:
        return f"{math.ceil(wait_s / 60)} minutes"
    seconds = math.ceil(wait_s)
    return f"{seconds} second{'' if seconds == 1 else 's'}"
