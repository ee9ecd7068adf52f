"""The ordered fan-out of a job: blocks of the log in, a message for each group out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from wavebreak.engine.exchange import group_of, shards_of
from wavebreak.engine.owner_answers import Asked
from wavebreak.engine.published import FirstNamed, LogTime
from wavebreak.engine.state_size import fan_out_bytes
from wavebreak.engine.switch_records import Piece as Part
from wavebreak.engine.switch_records import divided
from wavebreak.features.facts import Segment
from wavebreak.features.first_names import FirstNames
from wavebreak.io import Batch
from wavebreak.schema.events import LOG_SCHEMA, Refusal
from wavebreak_flink.dead_letters import around_lost
from wavebreak_flink.event_log import Piece, decode
from wavebreak_flink.logs import Log
from wavebreak_flink.marks import FAN_OUT, Marks
from wavebreak_flink.memory import ProcessMemory
from wavebreak_flink.messages import Message, Texts, part_of
from wavebreak_flink.questions import Questions
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.switches import Deciding, Switches
from wavebreak_flink.topic_log import TopicLog

_NOTHING = pa.RecordBatch.from_pylist([], LOG_SCHEMA)
_UNREAD = Batch(_NOTHING)


class Begin(NamedTuple):
    """The mark from which groups go on with a message (-1: none), and the switches before it."""

    mark: int = -1
    switches: int = 0


class Step(NamedTuple):
    """What becomes of a block: a message for each group, and the events that were refused.

    `file` is the one that the block is of.
    """

    messages: list[Message]
    refused: list[Refusal]
    read: int
    file: str = ""


class FanOut:
    """The one ordered reader of a job's log.

    It keeps nothing in Flink. Started anew in the middle of a log, it goes on from the newest mark
    before that, reads the blocks in between again, and lets the groups do so in silence.
    """

    def __init__(self, settings: JobSettings, log: Log) -> None:
        self._settings, self._log = settings, log
        # The policy decides nothing here; marks are of it.
        self._switches = Switches(settings)
        self._deciding = self._switches.deciding(0)
        self._fanout = self._deciding.engine.fanout
        self._edge = settings.edge()
        self._marks = Marks(settings)
        self._own = [shards_of(group, settings.groups) for group in range(settings.groups)]
        self._named, self._begun = 0, False
        # The last mark, and its position.
        self._mark = self._marked = 0
        self._questions = Questions(settings) if settings.publish else None
        self._first_names = FirstNames(self._fanout)
        self.memory = ProcessMemory(settings.ceiling(), "the fan-out")
        if isinstance(log, TopicLog) and self._questions is not None:
            log.hurry = self._questions.come

    def take(self, number: int) -> Iterator[Step]:
        """Take a block; also the blocks before it where the job goes on from a mark.

        Nothing comes of a block without events, which lets a checkpoint pass.
        """
        resume = -1
        if not self._begun:
            self._begun = True
            resume = self._restore(number)
            for before, block in self._log.between(resume, number):
                yield from self._steps(before, block, resume, loud=False)
                resume = -1
        piece = self._log.read(number)
        # What is without events is no JSON: refused lines are events as well.
        if resume >= 0 or not (isinstance(piece, pa.RecordBatch) and piece.num_rows == 0):
            yield from self._steps(number, piece, resume, loud=True)
        asked = self._questions.asked(self._fanout) if self._questions is not None else []
        if asked and self._is_newest():
            yield Step([self._to_answer(number, asked)] * self._settings.groups, [], 0)

    def _is_newest(self) -> bool:
        """Go over where no event came after a switch; return whether the newest decides now.

        Who asks runs by the newest: what another policy finds would not be understood.
        """
        for made, _ in self._divided([(self._fanout.position, _NOTHING)]):
            self._go_over(made)
        return not self._switches.after(self._deciding.switches)

    def close(self) -> None:
        """End what it holds open."""
        self._switches.close()
        if self._questions is not None:
            self._questions.close()

    def _to_answer(self, number: int, asked: list[Asked]) -> Message:
        return Message(
            number, True, [], Texts.of(pa.array([], pa.string())), self._fanout.sources,
            time=self._time(), asked=asked, switches=self._deciding.switches,
        )  # fmt: skip

    def _restore(self, number: int) -> int:
        """Go on from the newest mark; return its number (0: from nothing)."""
        self._mark, self._deciding, arrays = self._marks.newest(number, self._known)
        if arrays:
            self._fanout.load(arrays)
        self._named, self._marked = len(self._fanout.accounts), self._fanout.position
        self._first_names = FirstNames(self._fanout)
        self._switches.note(self._deciding)
        return self._mark

    def _known(self, switches: int) -> Deciding:
        """Return what decides after so many switches; what is made is not made anew."""
        if switches == self._deciding.switches:
            return self._deciding
        return self._switches.deciding(switches)

    def _go_over(self, switches: int) -> None:
        """Let what so many switches lead to decide: at each, sources of its profile get numbers."""
        while self._deciding.switches < switches:
            self._deciding = self._switches.deciding(self._deciding.switches + 1)
            self._fanout.number_sources(self._deciding.engine.by_source)
            self._switches.note(self._deciding)

    def _divided(self, parts: Iterable[Part]) -> Iterator[tuple[int, list[Part]]]:
        return divided(parts, self._deciding.switches, self._switches.after)

    def _steps(self, number: int, piece: Piece, resume: int, *, loud: bool) -> Iterator[Step]:
        """Return what becomes of a block: more than one step where something else decides in it."""
        batch: Batch = decode(piece, self._edge)
        parts = around_lost(batch.log, self._fanout.position, self._log.lost)
        begin, new = Begin(resume, self._deciding.switches), batch if loud else _UNREAD
        for made, stretch in self._divided(parts):
            self._go_over(made)
            messages = self._messages(number, stretch, begin, loud=loud)
            yield Step(messages, new.refused, new.read, self._log.file_of(number) if loud else "")
            begin, new = Begin(), _UNREAD

    def _messages(
        self, number: int, stretch: list[Part], begin: Begin, *, loud: bool
    ) -> list[Message]:
        marks = self._write_mark(number)
        first = self._fanout.position
        segments = [(each, str(each.ids[-1].as_py())) for each in self._segments(stretch)]
        self.memory.measure(fan_out_bytes(self._fanout), number)
        names, named = self._new_names(), self._first_named(segments, first)
        finish = number == self._log.last
        return [
            Message(number, loud, self._parts(segments, own), names[group], self._fanout.sources,
                    begin.mark, marks, finish, first, self._fanout.position, self._time(),
                    named=[] if group else named, switches=self._deciding.switches,
                    resume_switches=begin.switches)
            for group, own in enumerate(self._own)
        ]  # fmt: skip

    def _first_named(self, segments: list[tuple[Segment, str]], first: int) -> list[FirstNamed]:
        """Return the events of a block with new names, by their places, for a service."""
        found = list[FirstNamed]()
        for segment, _ in segments if self._settings.publish else ():
            at, names = self._first_names.count(segment.events)
            found += zip((segment.base - first + at).tolist(), names.tolist(), strict=True)
        return found

    def _write_mark(self, number: int) -> bool:
        """Write the fan-out's part of a mark, where one is due; return whether it is."""
        every, position = self._settings.mark_every, self._fanout.position
        if number // every <= self._mark // every:
            return False
        # A mark is as large as the state: small blocks do not make it dearer than their events.
        if self._mark and position - self._marked < len(self._fanout.accounts):
            return False
        self._mark, self._marked = number, position
        self._marks.write(number, FAN_OUT, self._deciding, self._fanout.dump())
        self._log.forget(min(self._marks.numbers()))
        return True

    def _segments(self, parts: Iterable[Part]) -> Iterator[Segment]:
        for position, part in parts:
            self._fanout.position = position
            yield from self._fanout.segments(part)

    def _time(self) -> LogTime:
        read = self._fanout
        return LogTime(int(read.clock[0]["newest"]), read.late, read.ahead, read.duplicates)

    def _parts(self, segments: list[tuple[Segment, str]], own: Any) -> list[Any]:
        return [part_of(segment, own, last_id) for segment, last_id in segments]

    def _new_names(self) -> list[Texts]:
        """Return the names of the accounts that are new, by group, in order of their slots."""
        first, self._named = self._named, len(self._fanout.accounts)
        slots = pa.array(range(first, self._named), pa.int64()).to_numpy()
        groups = group_of(slots, self._settings.groups)
        return [
            Texts.of(self._fanout.accounts.texts(slots[groups == group]))
            for group in range(self._settings.groups)
        ]
