"""A worker of some shards, in a process of its own: a partition of the log in, results out.

What it writes follows from what it reads. It may be killed at any point: it goes on from its last
snapshot, reads the rest again, says the same in each round, and gives the same results anew. Run as
a program, it is the process from which workers are forked (`shard_processes.start`).
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from support.former_model import load_former_model
from support.strict_policy import strict_policy
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.engine.shard_group import ROUNDS
from wavebreak.engine.warmup import warm
from wavebreak.features.facts import Segment
from wavebreak.schema import coverage

PATIENCE_S = 120
_SIZE = struct.Struct("<q")
_HEAD = 16


class Partition:
    """An append-only file of values, as a broker keeps them: a stand-in for one of its partitions.

    Args:
        path: The file.
        offset: Where reading begins.

    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset
        path.touch()
        self._file = path.open("r+b", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def append(self, value: Any) -> None:
        """Append a value."""
        content = pickle.dumps(value, protocol=5)
        self._file.seek(0, os.SEEK_END)
        self._file.write(_SIZE.pack(len(content)) + content)

    def drop_torn(self) -> None:
        """Drop a value that was not written whole: a broker would not have accepted it."""
        end, size = 0, self.path.stat().st_size
        while (following := self._end_of(end, size)) > 0:
            end = following
        os.truncate(self.path, end)

    def next(self) -> tuple[bool, Any]:
        """Return whether there is another value, and the value."""
        end = self._end_of(self.offset, self.path.stat().st_size)
        if end < 0:
            return False, None
        self._file.seek(self.offset + _SIZE.size)
        content = self._file.read(end - self.offset - _SIZE.size)
        self.offset = end
        return True, pickle.loads(content)

    def _end_of(self, begin: int, size: int) -> int:
        """Where the value ends that begins there; -1 where it is not there whole."""
        if begin + _SIZE.size > size:
            return -1
        self._file.seek(begin)
        end = begin + _SIZE.size + _SIZE.unpack(self._file.read(_SIZE.size))[0]
        return int(end) if end <= size else -1


def waits() -> Iterator[None]:
    """Wait a little longer each time; fails when patience is at an end."""
    began, pause = time.monotonic(), 0.0002
    while time.monotonic() < began + PATIENCE_S:
        yield
        time.sleep(pause)
        pause = min(2 * pause, 0.005)
    raise TimeoutError("the other side did not answer")


@dataclass
class Rounds:
    """The exchange of groups over files: one file for what one of them says in one round.

    With `stale`, what shards contributed comes an epoch late: as in a system that does not wait.
    """

    directory: Path
    groups: int
    group: int
    stale: bool = False
    _before: list[bytes] = field(default_factory=list)

    def all(self, number: int, row: bytes) -> Sequence[bytes]:
        """Write a row once, compare it on conflict, and return those of all groups."""
        said, draft = self._of(number, self.group), self.directory / f"draft{self.group}"
        # It may still be the row of the round before, under its second name.
        draft.unlink(missing_ok=True)
        draft.write_bytes(row)
        try:
            os.link(draft, said)
        except FileExistsError:
            if said.read_bytes() != row:
                raise ExchangeConflictError(f"round {number} of group {self.group}") from None
        rows = [self._awaited(self._of(number, group)) for group in range(self.groups)]
        if self.stale and number % ROUNDS == 0:
            rows, self._before = self._before or [bytes(_HEAD)] * self.groups, rows
        return rows

    def _of(self, number: int, group: int) -> Path:
        return self.directory / f"{number}.{group}"

    def _awaited(self, path: Path) -> bytes:
        for _ in waits():
            if path.exists():
                break
        return path.read_bytes()


@dataclass(frozen=True)
class Task:
    """What one worker does.

    Attributes:
        directory: Where its partitions, its snapshot and the rounds of all are.
        group: Which group of shards it holds, of so many.
        groups: How many there are.
        profile: The file with the stream's field coverage.
        model: Whether the model of 0.2 scores.
        strict: Whether the policy is `strict_policy`.
        every: Messages between two snapshots (0: none are made).
        stale: See `Rounds`.
    """

    directory: str
    group: int
    groups: int
    profile: str
    model: bool
    strict: bool
    every: int
    stale: bool

    def path(self, name: str) -> Path:
        """A file of its own."""
        return Path(self.directory) / f"{name}{self.group}"


def engine_of(task: Task, **options: Any) -> Engine:
    """The engine of a task; it enforces."""
    scored = load_former_model() if task.model else None
    profile = coverage.load(Path(task.profile))
    policy = strict_policy() if task.strict else rules.load_policy()
    return Engine(policy, profile, enforce=True, accounts=4096, model=scored, **options)


class Worker:
    """Takes messages of its partition, and answers each.

    Args:
        task: What it does.

    """

    def __init__(self, task: Task) -> None:
        rounds = Rounds(Path(task.directory) / "rounds", task.groups, task.group, task.stale)
        self.task, self.engine = task, engine_of(task, exchange=rounds)
        self.shards = self.engine.shards
        self.taken, offset = 0, 0
        if task.path("snapshot").exists():
            held = dict(np.load(task.path("snapshot")))
            self.taken, offset = (int(n) for n in held.pop("place"))
            self.shards.load(held)
        self.messages = Partition(task.path("in"), offset)
        self.results = Partition(task.path("out"))
        self.results.drop_torn()

    def run(self) -> None:
        """Answer until the end is said."""
        while True:
            for _ in waits():
                there, message = self.messages.next()
                if there:
                    break
            self.taken += 1
            kind, content = message
            self.results.append((self.taken, getattr(self, f"take_{kind}")(content)))
            if kind == "end":
                return
            if self.task.every and self.taken % self.task.every == 0:
                self.keep(self.task.path("snapshot"))

    def keep(self, path: Path) -> None:
        """Write a snapshot; it is there whole or not at all."""
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            place = np.array([self.taken, self.messages.offset])
            np.savez(file, place=place, **self.shards.dump())
        draft.replace(path)

    def take_turn(self, epoch: int) -> Any:
        """Open an epoch; the hits of the close, or None."""
        return self.shards.turn(epoch)

    def take_close(self, following: int) -> Any:
        """Close the last epoch; the hits."""
        return self.shards.close(following)

    def take_segment(self, numbers: dict[str, Any]) -> Any:
        """Process a segment; the hits, and what became of its events."""
        none = pa.array([], pa.string())
        events = numbers["events"]
        self.engine.fanout.number_sources(numbers.pop("names"))
        self.engine.judge_sources(numbers["sources"])
        segment = Segment(**numbers, ids=none, results=np.zeros(events.size, np.uint8))
        return self.shards.advance(segment), segment.results

    def take_operators(self, _: None) -> Any:
        """The operators, of which accounts are called by their slots."""
        return self.shards.operators(lambda slots: [str(slot) for slot in slots.tolist()])

    def take_dump(self, _: None) -> None:
        """Write all that it holds."""
        self.keep(self.task.path("whole"))

    def take_end(self, _: None) -> None:
        """The end."""


def main() -> None:
    """Fork a worker for each task that is asked for; ends when nobody can ask any more."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # What is loaded here, no worker loads again.
    warm()
    load_former_model()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while asked := control.recv(1 << 16):
        task = Task(**json.loads(asked))
        pid = os.fork()
        if pid == 0:
            control.close()
            log = os.open(task.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = 1
            try:
                Worker(task).run()
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(status)
        control.send(str(pid).encode())


if __name__ == "__main__":
    main()
