"""The person who acts, and the service on which they act; for synchronous code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
from asgiref.sync import async_to_sync

from wavebreak.engine import Engine
from wavebreak.engine.queries import Query
from wavebreak.engine.versions import Terms
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.models import User

T = TypeVar("T")


class ActingUser:
    """A person who acts on a service.

    Attributes:
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

    def ask(self, ask: Callable[[Engine], T]) -> T:
        """Run a function on the engine between two batches; raises BusyError if it does not run.

        Where a job decides there is none: `query` asks that, too.
        """
        answer: T = async_to_sync(self.service.ask)(ask)
        return answer

    def query(
        self,
        query: Query[T],
        accounts: Sequence[str] = (),
        *,
        events: pa.RecordBatch | None = None,
        **arguments: Any,
    ) -> T:
        """Ask what decides about accounts; see `Service.query`."""

        async def asked() -> T:
            return await self.service.query(query, accounts, events=events, **arguments)

        answer: T = async_to_sync(asked)()
        return answer

    @property
    def deciding(self) -> Terms:
        """What decides, beside the state of accounts; raises BusyError while nothing does."""
        return self.service.deciding()
