"""Stream: an engine that decides on events as they come, and answers questions on acts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wavebreak import io
from wavebreak.engine import snapshot
from wavebreak.engine.decision_record import Decision
from wavebreak.engine.engine import Engine as DecisionEngine
from wavebreak.errors import EventError
from wavebreak.io.sources import PERSONAL
from wavebreak.library.inputs import Events, Key, Policy, load_policy, resolve_key
from wavebreak.model import Model
from wavebreak.outcomes import OUTCOMES
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import Refusal

MAX_REJECTED = 1_000
"""Most refused events that an engine keeps; all are counted."""


class Answer(msgspec.Struct, frozen=True):
    """Enforcement that an act would meet now; a question changes no state.

    Attributes:
        outcome: The outcome in force at the act, such as allow or limit.
        refused: Whether that outcome refuses the act.
        until: The end of the outcome (None: no outcome, or one without an end).
        rules: Rules that the act would newly meet.
    """

    outcome: str
    refused: bool
    until: datetime | None
    rules: tuple[str, ...]


class Engine:
    """Decides on a stream of events, batch by batch, with the same decisions as `decide`.

    Args:
        policy: The rules (None: the shipped ones).
        enforce: Drop the events that a decision refuses; otherwise decisions have no effect.
        model: Scores accounts (None: rules alone).
        sample: Events of the stream, which give the coverage: a rule that reads a field
            outside the coverage is off (None: full coverage).
        key: Secret key of pseudonyms, as of `read_events`.

    Attributes:
        policy: The rules.
        rejected: Events that were refused as invalid, the last 1,000, each with cause and fix.

    Example:
        >>> import wavebreak as wb
        >>> engine = wb.Engine(enforce=True)                        # doctest: +SKIP
        >>> engine.update({"ts": 1767225600000, "type": "message.sent",
        ...                "account": "a-17", "peer": "a-4"})       # doctest: +SKIP
        []
    """

    def __init__(
        self, policy: Policy | None = None, *, enforce: bool = False, model: Model | None = None,
        sample: Events | None = None, key: Key = None,
    ) -> None:  # fmt: skip
        self.policy = policy or load_policy()
        self.rejected: list[Refusal] = []
        self._key = key
        self._edge = Pseudonymizer(resolve_key(key, is_personal=False))
        profile = None
        if sample is not None:
            profile = coverage.measure(io.sample(sample.source, sample.pseudonymizer()))
        self._engine = DecisionEngine(self.policy, profile, enforce=enforce, model=model)

    def update(self, events: dict[str, Any] | Sequence[dict[str, Any]] | Any) -> list[Decision]:
        """Take events, and return the decisions that follow at once.

        An epoch (a minute of the events' time) closes when an event of a later one arrives.

        Args:
            events: One event or a list of them, as dicts with the fields of the event schema; or
                a table, or `Events`. `ts` is whole milliseconds since 1970, a datetime with a zone,
                or ISO 8601 with an offset. Where `id` is missing, the engine numbers the event.

        Returns:
            The decisions, in the order of the events. Invalid events are added to `rejected`.

        Raises:
            Error: The object holds no events.
        """
        decisions = list[Decision]()
        for batch in self._batches(events):
            decisions += self._engine.take(batch.log)
            self.rejected = [*self.rejected, *batch.refused][-MAX_REJECTED:]
        return decisions

    def finish(self) -> list[Decision]:
        """Close the open epoch, at the end of a stream, and return the decisions."""
        return self._engine.finish()

    def ask(self, event: dict[str, Any] | None = None, **fields: Any) -> Answer:
        """Return the enforcement that an event would meet, without changing state.

        Args:
            event: The event, as of `update`.
            **fields: The same as keywords: `ask(ts=..., type="message.sent", account="a-17")`.

        Raises:
            Error: The event is invalid.
        """
        (batch,) = self._batches({**(event or {}), **fields})
        if batch.refused:
            problem, _, fix = batch.refused[0].message.partition(" — fix: ")
            raise EventError(problem, fix=fix)
        result = self._engine.trial(batch.log)
        rule_bits = 0
        for hit in result.hits:
            rule_bits |= int(hit["hits"])
        ids = self._engine.program.ids
        return Answer(
            OUTCOMES[result.outcome],
            bool(result.refused),
            datetime.fromtimestamp(result.until, UTC) if result.until else None,
            tuple(ids[k] for k in range(len(ids)) if rule_bits >> k & 1),
        )

    def save(self, path: str | Path) -> None:
        """Write the state as a snapshot, which `load` and `wavebreak run --resume` read."""
        snapshot.save(self._engine, Path(path))

    @classmethod
    def load(cls, path: str | Path, policy: Policy | None = None, **options: Any) -> Engine:
        """Return an engine that goes on from a snapshot.

        Args:
            path: A file of `save` or `wavebreak run --snapshot`.
            policy: The rules of the snapshot (None: the shipped ones).
            **options: `enforce`, `model`, `sample` and `key`, as of Engine.

        Raises:
            Error: The snapshot is damaged, or of another policy, model or coverage.
        """
        engine = cls(policy, **options)
        snapshot.restore(engine._engine, Path(path))
        return engine

    def _batches(self, events: Any) -> list[io.Batch]:
        if isinstance(events, Events):
            return list(io.read(events.source, events.pseudonymizer()))
        rows = [events] if isinstance(events, dict) else events
        position = self._engine.fanout.position
        if isinstance(rows, list | tuple) and all(isinstance(row, dict) for row in rows):
            self._warn_of_key(name for row in rows for name in row)
            lines = [_encode(row, f"u-{position}-{k}") for k, row in enumerate(rows)]
            return [io.decode(b"".join(lines), self._edge)]
        table = io.Table(rows, name=f"update-{position}")
        self._warn_of_key(table.mapping.columns)
        return list(io.read(table, self._edge))

    def _warn_of_key(self, fields: Iterable[str]) -> None:
        resolve_key(self._key, is_personal=not PERSONAL.isdisjoint(fields))


def _encode(event: dict[str, Any], name: str) -> bytes:
    """Return an event as a line of JSON, with the time in milliseconds, and with an id."""
    time = event.get("ts")
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise EventError(
                "`ts` is no time", fix="give milliseconds, a datetime, or ISO 8601 with an offset"
            ) from None
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise EventError(
                "`ts` has no time zone", fix="give one: datetime(..., tzinfo=UTC), or +02:00"
            )
        time = round(time.timestamp() * 1000)
    try:
        return msgspec.json.encode({"id": name} | event | {"ts": time}) + b"\n"
    except TypeError as error:
        raise EventError(
            f"an event holds a value that JSON has no form for: {error}",
            fix="give texts, numbers, true or false, and lists of texts",
        ) from None
