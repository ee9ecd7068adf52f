"""Enforcement states of accounts: a cache kept by a snapshot and a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wavebreak_client.sse import Message

OUTCOMES = ("allow", "observe", "challenge", "limit", "restrict", "suspend", "ban")
"""From least to most severe."""
CALM = frozenset(("allow", "observe"))
STALE_MS = 60_000.0


@dataclass(frozen=True)
class State:
    """The enforcement state of an account.

    Attributes:
        account: The account.
        outcome: allow, observe, challenge, limit, restrict, suspend or ban.
        until_ms: When it ends; None: it does not end by itself.
        notify_at_ms: When the holder may be notified.
        number: The number of the decision; 0: there is none.
        fresh: Whether the cache was current when it was asked.

    """

    account: str
    outcome: str = "allow"
    until_ms: int | None = None
    notify_at_ms: int | None = None
    number: int = 0
    fresh: bool = True

    @property
    def calm(self) -> bool:
        """Whether nothing is enforced against the account."""
        return self.outcome in CALM


def read_state(members: Any) -> State:
    """Return the state that a JSON object describes.

    Raises:
        ValueError: Where it is none.

    """
    if not isinstance(members, Mapping):
        raise ValueError("a state is no object")
    account, outcome, number = (members.get(name) for name in ("account", "outcome", "number"))
    if not isinstance(account, str) or outcome not in OUTCOMES or not isinstance(number, int):
        raise ValueError("a state lacks account, outcome or number")
    return State(
        account, outcome, _time(members, "until_ms"), _time(members, "notify_at_ms"), number
    )


def _time(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is not None and not isinstance(value, int):
        raise ValueError(f"{name} of a state is no integer")
    return value


class StateCache:
    """Holds the states that are not allow.

    Follow the service in this order: `start_snapshot`, `add_page` for each page,
    `finish_snapshot`, then `apply` for each message of the stream that starts at `number`.

    Args:
        monotonic_ms: The clock by which the cache gets stale.

    """

    def __init__(self, monotonic_ms: Callable[[], float]) -> None:
        self._monotonic_ms = monotonic_ms
        self._states: dict[str, State] = {}
        self._snapshot: dict[str, State] | None = None
        self._heard_ms: float | None = None
        self.number = 0
        """The decision up to which the cache is current."""

    def __len__(self) -> int:
        return len(self._states)

    @property
    def fresh(self) -> bool:
        """Whether a snapshot is complete and the stream was heard in the last 60 s."""
        heard = self._heard_ms
        return heard is not None and self._monotonic_ms() - heard < STALE_MS

    def start_snapshot(self, number: int) -> None:
        """Begin anew; the old states serve until the snapshot is complete.

        Args:
            number: That of the first page; the stream starts there.

        """
        self._snapshot, self._snapshot_number = {}, number

    def add_page(self, page: Mapping[str, Any]) -> None:
        """Take a page of the snapshot.

        Raises:
            ValueError: Where a state is not readable.

        """
        assert self._snapshot is not None, "start_snapshot comes first"  # noqa: S101
        for members in page.get("states", ()):
            _put(self._snapshot, read_state(members))

    def finish_snapshot(self) -> None:
        """Put the snapshot in place of the old states."""
        assert self._snapshot is not None, "start_snapshot comes first"  # noqa: S101
        self._states, self._snapshot = self._snapshot, None
        self.number = self._snapshot_number
        self.heard()

    def apply(self, message: Message) -> None:
        """Take a message of the stream.

        Raises:
            ValueError: Where it is not readable.

        """
        self.heard()
        if message.event == "state":
            state = read_state(json.loads(message.data))
            _put(self._states, state)
            self.number = max(self.number, state.number)

    def forget(self) -> None:
        """Count as stale until the next snapshot."""
        self._heard_ms = None

    def heard(self) -> None:
        """The stream gave a sign of life."""
        self._heard_ms = self._monotonic_ms()

    def state(self, account: str, server_ms: int) -> State:
        """Return an account's state at the service's time.

        An outcome whose end has passed is allow.
        """
        held = self._states.get(account)
        if held is None:
            return State(account, fresh=self.fresh)
        if held.until_ms is not None and held.until_ms <= server_ms:
            return State(account, number=held.number, fresh=self.fresh)
        return replace(held, fresh=self.fresh)

    def held(self, server_ms: int) -> list[State]:
        """Return the states that are not allow at the service's time, in no order.

        >>> cache = StateCache(lambda: 0.0)
        >>> cache.start_snapshot(2)
        >>> ended = {"account": "a", "outcome": "limit", "until_ms": 5, "number": 1}
        >>> cache.add_page({"states": [ended, {"account": "b", "outcome": "ban", "number": 2}]})
        >>> cache.finish_snapshot()
        >>> [state.account for state in cache.held(6)]
        ['b']
        """
        states = [self.state(account, server_ms) for account in list(self._states)]
        return [state for state in states if state.outcome != "allow"]

    def needs_asking(self, account: str, *, opens_chat: bool, server_ms: int) -> bool:
        """Return whether an act must be asked about before it happens.

        No: the account is calm, the cache is fresh, and no chat is opened.
        """
        if opens_chat or not self.fresh:
            return True
        held = self._states.get(account)
        if held is None or held.outcome in CALM:
            return False
        return held.until_ms is None or held.until_ms > server_ms

    def prune(self, server_ms: int) -> None:
        """Forget states whose end has passed."""
        ended = [
            account
            for account, held in list(self._states.items())
            if held.until_ms is not None and held.until_ms <= server_ms
        ]
        for account in ended:
            del self._states[account]


def _put(states: dict[str, State], state: State) -> None:
    held = states.get(state.account)
    if held is not None and held.number > state.number:
        return
    if state.outcome == "allow":
        states.pop(state.account, None)
    else:
        states[state.account] = state
