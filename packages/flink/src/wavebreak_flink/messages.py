"""Messages of the fan-out to a group of shards: the account events of a block, by epoch.

There is one for each block and group, so that a group that waits for the others at an epoch's close
waits for elements that are sent already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.engine.owner_answers import Asked
from wavebreak.engine.published import FirstNamed, LogTime
from wavebreak.features.facts import Segment
from wavebreak.features.layout import EVENT, FACT


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """Texts, one after the other."""

    size: int
    offsets: bytes
    content: bytes

    @classmethod
    def of(cls, array: pa.Array) -> Texts:
        """Pack an array of strings."""
        # A copy begins at its own first value.
        whole = pa.concat_arrays([pa.array([], pa.string()), array])
        _, offsets, content = whole.buffers()
        return cls(
            len(whole), bytes(offsets or b"")[: 4 * len(whole) + 4], bytes(content or b"")
        )  # fmt: skip

    def array(self) -> pa.Array:
        """Unpack them."""
        if not self.size:
            return pa.array([], pa.string())
        parts = map(pa.py_buffer, (self.offsets, self.content))
        return pa.StringArray.from_buffers(self.size, *parts)


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A group's account events of a segment (`facts.Segment`), with the ids of their events.

    `places` are the events' places in the log after `base`; `last_id` is the id of the segment's
    last event, which triggers what an epoch's close decides.
    """

    epoch: int
    base: int
    last: int
    events: bytes
    facts: bytes
    offsets: bytes
    accounts: int
    entities: int
    sources: int
    places: bytes
    ids: Texts
    last_id: str


class Message(msgspec.Struct, frozen=True, array_like=True):
    """What a group gets of a block.

    Attributes:
        number: The block's.
        loud: Whether its results are new; else they were emitted before a restart.
        parts: By epoch.
        names: The names of this group's accounts that are new, in order of their slots.
        sources: The names of all sources that have numbers.
        resume: The mark from which the group has to begin (0: from nothing; -1: it goes on).
        mark: Whether the group has to write a mark before this block.
        finish: Whether the log ends with this block.
        first: The position of the block's first event.
        reached: The position after its last one.
        time: The log's time after it.
        named: To the first group alone: events with new names, for a service that counts them.
        asked: Questions of a service, to whichever group holds the account; their message holds
            nothing else.
        switches: How many switches were made before this message.
        resume_switches: How many were made before the mark of `resume`.
    """

    number: int
    loud: bool
    parts: list[Part]
    names: Texts
    sources: list[str]
    resume: int = -1
    mark: bool = False
    finish: bool = False
    first: int = 0
    reached: int = 0
    time: LogTime = LogTime()
    asked: list[Asked] = []
    named: list[FirstNamed] = []
    switches: int = 0
    resume_switches: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Encode a message."""
    return _ENCODER.encode(message)


def decode(content: bytes) -> Message:
    """Decode a message."""
    return _DECODER.decode(content)


def part_of(segment: Segment, own: Any, last_id: str) -> Part:
    """Return the part of a segment that is of some shards (bool, SHARDS)."""
    part = segment.of_shards(own)
    places = np.zeros(part.events.size, np.int64)
    places[part.facts["code"] >> 1] = part.facts["place"]
    return Part(
        part.epoch, part.base, part.last, part.events.tobytes(), part.facts.tobytes(),
        part.offsets.tobytes(), part.accounts, part.entities, part.sources, places.tobytes(),
        Texts.of(segment.ids.take(pa.array(places))), last_id,
    )  # fmt: skip


def segment_of(part: Part) -> Segment:
    """Return the segment of a part, without ids."""
    events = np.frombuffer(part.events, EVENT).copy()
    return Segment(
        part.epoch, part.base, part.last, events, np.frombuffer(part.facts, FACT),
        np.frombuffer(part.offsets, np.int64), np.zeros(events.size, np.uint8),
        pa.array([], pa.string()), part.accounts, part.entities, part.sources,
    )  # fmt: skip


@dataclass
class Triggers:
    """Ids of the open epoch's events, by their position in the log."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, pa.Array]] = []
        self._last = (-1, "")

    def note(self, part: Part) -> None:
        """Keep the ids of a part."""
        self.add(part.base + np.frombuffer(part.places, np.int64), part.ids.array())
        self._last = (part.last, part.last_id)

    def add(self, positions: Any, ids: pa.Array) -> None:
        """Keep ids of events, in rising order of their positions."""
        self._parts.append((positions, ids))

    def clear(self) -> None:
        """Forget all: the epoch is closed."""
        self._parts.clear()

    def id_of(self, position: int) -> str:
        """Return the id of an event of the open epoch."""
        if position == self._last[0]:
            return self._last[1]
        for positions, ids in reversed(self._parts):
            at = int(np.searchsorted(positions, position))
            if at < positions.size and positions[at] == position:
                return str(ids[at].as_py())
        raise AssertionError("a decision names an event of the open epoch")

    def all(self) -> tuple[Any, pa.Array]:
        """Return positions and ids of all that are kept, the last event's too."""
        last = (np.array([self._last[0]]), pa.array([self._last[1]]))
        parts = [*self._parts, last] if self._last[0] >= 0 else self._parts
        positions = np.concatenate([np.zeros(0, np.int64), *(each for each, _ in parts)])
        ids = pa.concat_arrays([pa.array([], pa.string()), *(each for _, each in parts)])
        positions, first = np.unique(positions, return_index=True)
        return positions, ids.take(pa.array(first))
