"""Questions about the state of accounts, to an engine or to the groups of a job's shards.

A question is a function of this package: a service names it, and sends no code. It reads what is
held where it is answered, which is all accounts (an engine) or those of some shards (a group), and
what the groups found is merged. So both give the same answers, and there is one reader of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar, get_type_hints

import msgspec
import pyarrow as pa

from wavebreak.engine.engine import Engine
from wavebreak.features.dry_run import Question, question_of
from wavebreak.linking import Operator

T = TypeVar("T")
Spread = Literal["owners", "every", "together"]
UNKNOWN = -1
"""The slot of an account that the log does not name."""


@dataclass(frozen=True)
class Held:
    """What is held where a question is answered, at one place of the log.

    Attributes:
        engine: The rows, the policy and the mode. Of a group it has no names.
        slots: The accounts that are asked about and held here, with their slots; those that the log
            does not name (UNKNOWN) are held by the first group.
        time_s: The log's time (s).
        names: Returns the names of accounts that are held here, by their slots.
        operators: Returns the operators that the accounts seem to have.
        events: Events to be judged.
    """

    engine: Engine
    slots: Mapping[str, int]
    time_s: int
    names: Callable[[Sequence[int]], list[str]]
    operators: Callable[[], list[Operator]]
    events: Question | None = None

    @classmethod
    def by(
        cls, engine: Engine, accounts: Sequence[str] = (), events: pa.RecordBatch | None = None
    ) -> Held:
        """Return what an engine holds, which is everything; on its thread."""
        slots = engine.fanout.accounts.find(pa.array(accounts, pa.string())).tolist()
        return cls(
            engine,
            {name: max(slot, UNKNOWN) for name, slot in zip(accounts, slots, strict=True)},
            int(engine.fanout.clock[0]["newest"]) // 1000,
            lambda wanted: list(engine.fanout.accounts.texts(wanted).to_pylist()),
            engine.operators,
            question_of(engine.fanout, events) if events is not None else None,
        )

    def rows(self) -> Iterator[tuple[str, int, Any]]:
        """Return name, slot and row of the accounts that are asked about and have a row."""
        core = self.engine.core
        for name, slot in self.slots.items():
            if 0 <= slot < core.accounts:
                yield name, slot, core.row_of(slot)


@dataclass(frozen=True, eq=False)
class Query(Generic[T]):
    """A question.

    Attributes:
        read: Answers it by what is held in one place (`Held`), and by its arguments.
        merge: Makes one answer of those of several groups, in their order.
        spread: Who answers: the groups that hold the accounts, every group, or all of them
            together, of which the first one says it.
        lent: Whether an engine may go on while all of its accounts are read; a count may then be of
            a moment in between.
    """

    read: Callable[..., T]
    merge: Callable[[Sequence[T]], T]
    spread: Spread
    lent: bool = False

    @property
    def name(self) -> str:
        """The name by which a service asks."""
        return self.read.__name__

    @cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[T]:
        return msgspec.msgpack.Decoder(get_type_hints(self.read)["return"])

    def answer(self, held: Held, arguments: bytes) -> bytes:
        """Return an encoded answer to encoded arguments."""
        given = msgspec.msgpack.decode(arguments, type=dict[str, Any])
        return msgspec.msgpack.encode(self.read(held, **given))

    def merged(self, answers: Sequence[bytes]) -> T:
        """Return the answer of which groups have given parts.

        Raises:
            msgspec.DecodeError: One is of another version.
        """
        return self.merge([self._decoder.decode(each) for each in answers])


QUERIES: dict[str, Query[Any]] = {}
"""The questions, by name."""


def query(
    merge: Callable[[Sequence[T]], T], spread: Spread = "owners", *, lent: bool = False
) -> Callable[[Callable[..., T]], Query[T]]:
    """Declare a function as a question; see `Query`."""

    def declare(read: Callable[..., T]) -> Query[T]:
        made = Query(read, merge, spread, lent)
        QUERIES[made.name] = made
        return made

    return declare


def joined(parts: Sequence[dict[str, T]]) -> dict[str, T]:
    """Return one mapping of several, whose keys differ.

    >>> joined([{"ann": 1}, {"bob": 2}])
    {'ann': 1, 'bob': 2}
    """
    return {name: value for part in parts for name, value in part.items()}


def only(parts: Sequence[T]) -> T:
    """Return the one part that there is."""
    (part,) = parts
    return part
