"""The connection to Wavebreak: the client, the threads in which it waits, and what is counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wavebreak_synapse.config import Settings
from wavebreak_synapse.mapping import Event, carried, sent

log = logging.getLogger("wavebreak_synapse")

SKEW_MS = 5_000
"""Where the clocks differ by more, events are given the service's time."""


class ClosedError(Exception):
    """The client takes no more events."""


@dataclass(frozen=True)
class Allowed:
    """Stands in for a verdict where there was nothing that could be asked."""

    allowed: bool = True


class WavebreakClient(Protocol):
    """What is used of `wavebreak_client.Client`."""

    def tell(self, *events: Any) -> bool:
        """Hand over events."""

    def attempt(self, event: Any) -> Any:
        """Ask about an act."""

    def state(self, account: str) -> Any:
        """Return an account's state."""

    def states(self) -> Sequence[Any]:
        """Return all states that are not allow."""

    def needs_asking(self, account: str, opens_chat: bool) -> bool:
        """Return whether an act must be asked about."""

    def declare(self, carries: Sequence[str], can: Sequence[str]) -> bool:
        """Declare what this source carries and can do."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is delivered."""

    def health(self) -> Any:
        """Return how it does."""

    def close(self, timeout_s: float = ...) -> Any:
        """Stop it."""


class Service:
    """Starts the client once it is needed, and stops it.

    The client has threads, and Synapse may fork when it starts: so the client is made late.

    Args:
        settings: Where the service is, and how it is asked.
        make_client: Makes the client.
        delegates_auth: Whether accounts and sessions are made by an authentication service (MAS).
    """

    def __init__(
        self,
        settings: Settings,
        make_client: Callable[[], WavebreakClient],
        *,
        delegates_auth: bool = False,
    ) -> None:
        self._settings = settings
        self._make_client = make_client
        self._delegates_auth = delegates_auth
        self._client: WavebreakClient | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.undeliverable = 0
        """Events that do not fit the schema."""
        self.declared: bool | None = None
        """Whether the service knows what this source carries; None: not asked yet."""

    @property
    def client(self) -> WavebreakClient:
        """The client; made where there is none yet."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client()
        return self._client

    @property
    def started(self) -> bool:
        """Whether the client was made."""
        return self._client is not None

    def declare(self) -> bool:
        """Declare what this source carries and can do; False where that has to be repeated."""
        settings = self._settings
        carries = carried(
            {
                "contacts": settings.contacts,
                "receipts": settings.receipts,
                "reports": settings.reports,
                "searches": settings.searches,
                "remote": settings.remote,
                "own_logins": not self._delegates_auth,
            }
        )
        can = ["refuse", "suspend", "lift"] if settings.enforces else []
        if settings.enforces and settings.notices.enabled:
            can.append("notify")
        self.declared = self.client.declare(carries, can)
        return self.declared

    def attempt(self, events: Sequence[Event]) -> Any:
        """Ask about an act of one or several events; waits at most as long as the settings say.

        Returns:
            The client's verdict. An act that cannot be described is allowed, and logged.
        """
        asked = [sent(event) for event in events]
        try:
            return self.client.attempt(asked[0] if len(asked) == 1 else asked)
        except ValueError as error:
            self._complain(events[0], error)
            return Allowed()

    def _complain(self, event: Event, error: ValueError) -> None:
        # The error names a field and a limit, never a value.
        self.undeliverable += 1
        log.error("an event of type %s does not fit the schema: %s", event["type"], error)

    def deliver(self, events: Sequence[Event], timeout_s: float) -> bool:
        """Hand over events and wait until they are in the log; False where they still wait.

        With no events it waits for those of an earlier call.

        Raises:
            ClosedError: Where the client is closed; nothing is lost, the tables still have it.
        """
        offset = self.client.health().clock_offset_ms if events else 0
        for given in events:
            event = sent(given)
            if abs(offset) > SKEW_MS and "ts" in given:
                # Its rows have the homeserver's time; the service would take them for late.
                event["ts"] += offset
            try:
                if not self.client.tell(event):
                    raise ClosedError
            except ValueError as error:
                self._complain(event, error)
        return self.client.flush(timeout_s)

    def close(self) -> None:
        """Stop the client; what it did not deliver is read from the tables again."""
        with self._lock:
            if self._client is not None and not self._closed:
                self._closed = True
                self._client.close(1.0)
