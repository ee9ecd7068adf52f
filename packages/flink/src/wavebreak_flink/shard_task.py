"""A group of shards of a job: messages of the fan-out in, rows out.

It is the engine's own group (ADR 1). What it emits follows from what it gets, so that it may be
killed at any point.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa

from wavebreak.durations import HOUR_MS
from wavebreak.engine import Engine
from wavebreak.engine.exchange import group_of
from wavebreak.engine.owner_answers import Asked
from wavebreak.engine.policy_change import carry_group
from wavebreak.engine.queries import QUERIES, Held, Query
from wavebreak.engine.shard_group import ROUNDS
from wavebreak.engine.state_size import shard_bytes
from wavebreak.features.layout import SHARDS
from wavebreak_flink.exchange import open_exchange
from wavebreak_flink.marks import Marks, each_shard, group_name, packed, shard_of, unpacked
from wavebreak_flink.memory import NAME_BYTES, ProcessMemory
from wavebreak_flink.messages import Message, Part, Triggers, segment_of
from wavebreak_flink.publication import Publication
from wavebreak_flink.questions import PLACES
from wavebreak_flink.rows import decision_row, operator_row
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.switches import Switches

logger = logging.getLogger(__name__)


class ShardTask:
    """The shards of one group."""

    def __init__(self, settings: JobSettings, group: int) -> None:
        self._settings, self.group = settings, group
        self.memory = ProcessMemory(
            settings.ceiling(), f"group {group} of {settings.groups}", ", or a larger --parallelism"
        )
        self._marks = Marks(settings)
        self._switches = Switches(settings)
        self._begin()

    def close(self) -> None:
        """End what it holds open."""
        self._exchange.close()
        self._switches.close()
        if self._publication is not None:
            self._publication.close()

    @property
    def _engine(self) -> Engine:
        return self._deciding.engine

    def _begin(self, switches: int = 0) -> None:
        self._exchange = open_exchange(self._settings, self.group)
        self._deciding = self._switches.deciding(switches, self._exchange)
        self._publication = (
            Publication(self._settings, self.group, self._engine)
            if self._settings.publish
            else None
        )
        self._triggers, self._names, self._entities = Triggers(), list[str](), 0
        self._begun = self._together = False
        # The last epoch that was closed, and the one at the last mark.
        self._closed = self._marked = -1

    def take(self, message: Message) -> Iterator[str]:
        """Take a message; return its rows, in order, unless they were emitted before.

        They are published before they are returned.
        """
        rows = list(self._taken(message))
        held = shard_bytes(self._engine, self._entities) + NAME_BYTES * len(self._names)
        self.memory.measure(held, message.number)
        if self._publication is not None and message.loud and message.reached > message.first:
            self._publication.write(message, rows)
        yield from rows

    def _taken(self, message: Message) -> Iterator[str]:
        if message.resume >= 0:
            self._resume(message)
        elif not self._begun:
            raise RuntimeError("a group began in the middle of a log: the job has to restart")
        while self._deciding.switches < message.switches:
            # Let what the next switch says decide from here on.
            fresh = self._switches.deciding(self._deciding.switches + 1, self._exchange)
            carry_group(self._engine, fresh.engine)
            self._deciding = fresh
            if self._publication is not None:
                self._publication.decided_by(fresh.engine)
        if message.mark:
            self._mark(message.number)
        self._names += message.names.array().to_pylist()
        self._engine.fanout.number_sources(message.sources)
        for part in message.parts:
            yield from self._rows(part, loud=message.loud)
            self._entities = part.entities
        self._answer(message)
        if message.finish:
            yield from self._finish(message)

    def _answer(self, message: Message) -> None:
        """Answer questions: those about accounts of this group, or of every group."""
        for asked in message.asked:
            parts = asked.answering(self._settings.groups)
            query, own = QUERIES[asked.query], self.group in parts
            if self._publication is None or not (own or query.spread == "together"):
                continue
            held = self._held(asked, message.time.newest_ms // 1000)
            if query.spread == "together":
                # A group that fails leaves the others waiting: the job restarts.
                content = query.answer(held, asked.arguments)
                self._together = True
            else:
                content = self._read(query, held, asked)
            if own:
                self._publication.answer(asked, parts, content)

    def _read(self, query: Query[Any], held: Held, asked: Asked) -> bytes:
        """Answer a question; nothing where it fails, since no question may stop what decides."""
        try:
            return query.answer(held, asked.arguments)
        except Exception:
            logger.exception("a question could not be answered", extra={"query": asked.query})
            return b""

    def _held(self, asked: Asked, time_s: int) -> Held:
        """Return what this group holds, of the accounts that are asked about."""
        shards, owners = self._engine.shards, asked.owners(self._settings.groups)
        own = {
            name: slot
            for name, slot, owner in zip(asked.accounts, asked.slots, owners, strict=True)
            if owner == self.group
        }
        return Held(
            self._engine,
            own,
            time_s,
            lambda slots: [self._name(slot) for slot in slots],
            lambda: shards.operators(self._names_of_all(asked.place), asked.place),
            asked.question(),
        )

    def _rows(self, part: Part, *, loud: bool) -> Iterator[str]:
        shards = self._engine.shards
        self._engine.judge_sources(part.sources)
        closed, hits = shards.epoch, shards.turn(part.epoch)
        if hits is not None:
            self._closed = closed
            yield from self._decisions(closed, hits, loud=loud)
            self._triggers.clear()
            self._forget_questions()
        self._triggers.note(part)
        hits = shards.advance(segment_of(part))
        yield from self._decisions(part.epoch, hits, loud=loud)

    def _decisions(self, epoch: int, hits: Any, *, loud: bool) -> Iterator[str]:
        for hit in hits:
            made = self._engine.decision(hit, self._name, self._triggers.id_of)
            if made is not None and loud:
                yield decision_row(epoch, hit, made)

    def _finish(self, message: Message) -> Iterator[str]:
        """Close the last epoch at the end of a log, and describe the operators."""
        shards, closed = self._engine.shards, self._engine.shards.epoch
        if closed >= 0:
            yield from self._decisions(closed, shards.close(closed + 1), loud=message.loud)
            self._triggers.clear()
        found = shards.operators(self._names_of_all(max(shards.epoch, 0)))
        if self.group == 0 and message.loud:
            for place, operator in enumerate(found):
                yield operator_row(place, operator)
        self._mark(message.number + 1)

    def _resume(self, message: Message) -> None:
        """Go on from a mark; from nothing at 0."""
        self.close()
        self._begin(message.resume_switches)
        self._begun = True
        if message.resume == 0:
            return
        arrays = self._marks.read(
            message.resume, self.group, self._settings.groups, self._deciding
        )  # fmt: skip
        self._engine.go_on_with_sources(message.sources)
        self._triggers.add(arrays.pop("positions"), pa.array(arrays.pop("ids"), pa.string()))
        by_shard = [
            unpacked(arrays.pop(f"names{shard}"))
            for shard in each_shard(self.group, self._settings.groups)
        ]
        self._engine.fired = arrays.pop("fired")
        self._engine.shards.load(arrays)
        many = sum(map(len, by_shard))
        self._names = [
            by_shard[at % len(by_shard)][at // len(by_shard)] for at in range(many)
        ]  # fmt: skip

    def _mark(self, number: int) -> None:
        """Write this group's part of a mark, and forget what no kept mark needs."""
        positions, ids = self._triggers.all()
        arrays = self._engine.shards.dump()
        if self.group:
            # What all hold alike is in the part of the first.
            arrays = {name: array for name, array in arrays.items() if shard_of(name) >= 0}
        arrays |= {"positions": positions, "ids": packed(ids.to_pylist())}
        arrays["fired"] = self._engine.fired
        held = list(each_shard(self.group, self._settings.groups))
        for at, shard in enumerate(held):
            arrays[f"names{shard}"] = packed(self._names[at :: len(held)])
        name = group_name(self.group, self._settings.groups)
        self._marks.write(number, name, self._deciding, arrays)
        if self.group == 0:
            self._marks.forget(number)
            # All groups restart together, and say again what they need; this is for comparison.
            self._exchange.forget(self._marked)
            self._marked = self._closed

    def _name(self, slot: int) -> str:
        shard, row = slot % SHARDS, slot // SHARDS
        held = len(range(self.group, SHARDS, self._settings.groups))
        return self._names[row * held + shard // self._settings.groups]

    def _forget_questions(self) -> None:
        """Delete what groups said in questions of an hour ago: all have passed them by far."""
        if self._together and self.group == 0:
            self._together = False
            self._exchange.forget_between(PLACES, PLACES + time.time_ns() // 1_000_000 - HOUR_MS)

    def _names_of_all(self, place: int) -> Callable[[Any], list[str]]:
        """Return what returns names of accounts of all groups, each said by its own.

        Its rounds are the last ones of a place: of the open epoch, or of a question.
        """
        numbers = iter(range((place + 1) * ROUNDS - 1, 0, -1))
        groups = self._settings.groups

        def names(slots: Any) -> list[str]:
            owners = group_of(slots, groups)
            own = [self._name(slot) for slot in slots[owners == self.group].tolist()]
            row = msgspec.msgpack.encode(own)
            said = [
                iter(msgspec.msgpack.decode(each, type=list[str]))
                for each in self._exchange.all(next(numbers), row)
            ]
            return [next(said[owner]) for owner in owners.tolist()]

        return names
