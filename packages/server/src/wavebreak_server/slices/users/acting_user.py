"""The person who acts, and the service on which they act; for synchronous code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from asgiref.sync import async_to_sync

from wavebreak.engine import Engine
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.models import User

T = TypeVar("T")


class ActingUser:
    """A person who acts on a service.

    Attributes:
        user: The person.
        context: The service, its application context, and the name under which acts are audited.

    """

    def __init__(self, user: User, context: RequestContext) -> None:
        self.user, self.context = user, context

    @property
    def service(self) -> Service:
        """The service."""
        return self.context.service

    @property
    def now_ms(self) -> int:
        """The service's clock, in milliseconds."""
        return self.context.now_ms

    def ask(self, query: Callable[[Engine], T]) -> T:
        """Run a query on the engine between two batches; raises BusyError if it does not run."""
        answer: T = async_to_sync(self.service.ask)(query)
        return answer
