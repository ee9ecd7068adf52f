"""An engine whose shards are held by several processes: what `wavebreak run` decides, divided.

The process of the test reads the log, fans it out into the workers' partitions, and makes decisions
of the hits that come back. It stands for the ordered source and the sink of a stream processor; the
workers (`shard_worker`) for its keyed operators, and files for its topics and its exchange.
"""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from support.shard_worker import Partition, Task, engine_of, waits
from wavebreak.engine import Engine
from wavebreak.engine.exchange import shards_of
from wavebreak.features.facts import Segment
from wavebreak.features.layout import SHARDS
from wavebreak.features.shards import merge_hits

_OF_A_SHARD = ("rows", "rares", "pairs", "deltas", "touched", "sources")


def _is_of_shard(name: str) -> int:
    """The shard of an array of a dump; -1 for what all groups hold."""
    bare = name.removeprefix("core.")
    kind = bare.rstrip("0123456789")
    return int(bare[len(kind) :]) if kind in _OF_A_SHARD and bare != kind else -1


@cache
def _fork_server() -> socket.socket:
    """Start the process from which workers are forked; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = os.pathsep.join(part for part in sys.path if part)
    server = subprocess.Popen(
        [sys.executable, "-m", "support.shard_worker", str(its.fileno())],
        pass_fds=[its.fileno()], env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    its.close()

    def end() -> None:
        ours.close()
        server.wait(60)

    atexit.register(end)
    return ours


class ShardProcesses:
    """The groups of shards as an engine sees them (`shard_group.ShardGroup`).

    Args:
        home: A directory for all files.
        groups: How many there are at first.
        profile: The file with the stream's field coverage.
        model: Whether the model of 0.2 scores.
        strict: Whether the policy is `strict_policy`.
        every: Messages between two snapshots of a worker (0: none).
        kills: The chance that a worker is killed within a message.
        seed: Of who is killed, and when.
        stale: See `shard_worker.Rounds`.

    Attributes:
        killed: How often a worker was killed.
        repeated: Results that came again after a restart, the same byte for byte.
        restarts: How often a worker was started again.

    """

    def __init__(
        self, home: Path, groups: int, profile: Path, *, model: bool, strict: bool = False,
        every: int = 0, kills: float = 0, seed: int = 1, stale: bool = False,
    ) -> None:  # fmt: skip
        self.home, self.groups, self.generation = home, 0, 0
        self.killed = self.repeated = self.restarts = 0
        self._kills, self._random = kills, random.Random(seed)
        self.epoch, self._names = -1, list[str]()
        self._task = Task("", 0, 0, str(profile), model, strict, every, stale)
        self._begin(groups)

    def engine(self) -> Engine:
        """The engine of which these are the shards."""
        engine = engine_of(self._task)
        engine.shards = self  # type: ignore[assignment]
        self._names = engine.fanout.sources
        return engine

    def engine_alone(self) -> Engine:
        """An engine of the same policy that holds all shards itself."""
        return engine_of(self._task)

    def _begin(self, groups: int) -> None:
        directory = self.home / f"generation{self.generation}"
        (directory / "rounds").mkdir(parents=True, exist_ok=True)
        self.groups = groups
        self._tasks = [
            dataclasses.replace(self._task, directory=str(directory), group=group, groups=groups)
            for group in range(groups)
        ]
        self._sent = 0
        self._digests: list[list[bytes]] = [[] for _ in range(groups)]
        self._in = [Partition(task.path("in")) for task in self._tasks]
        self._out = [Partition(task.path("out")) for task in self._tasks]
        self._pids = [self._start(task) for task in self._tasks]

    def _start(self, task: Task) -> int:
        control = _fork_server()
        control.send(json.dumps(dataclasses.asdict(task)).encode())
        pid = control.recv(32)
        assert pid, "the process from which workers are forked has ended; its error is above"
        return int(pid)

    def kill(self, group: int) -> None:
        """Kill a worker as it is."""
        with suppress(ProcessLookupError):
            os.kill(self._pids[group], signal.SIGKILL)

    def _lives(self, group: int) -> bool:
        try:
            os.kill(self._pids[group], 0)
        except ProcessLookupError:
            return False
        return True

    def _read(self, group: int) -> list[Any]:
        """The worker's result of the last message, once it is there; what came before is compared.

        A worker that was started again gives results anew.
        """
        while True:
            there, message = self._out[group].next()
            if not there:
                return []
            number, content = message
            digest = hashlib.sha256(pickle.dumps(content, protocol=5)).digest()
            known = self._digests[group]
            if number > len(known):
                known.append(digest)
                assert number == len(known) == self._sent
                return [content]
            assert known[number - 1] == digest, f"message {number} has another result again"
            self.repeated += 1

    def _ask(self, kind: str, contents: list[Any]) -> list[Any]:
        self._sent += 1
        for partition, content in zip(self._in, contents, strict=True):
            partition.append((kind, content))
        if self._random.random() < self._kills:
            time.sleep(self._random.uniform(0, 0.004))
            self.kill(self._random.randrange(self.groups))
            self.killed += 1
        results = dict[int, Any]()
        for _ in waits():
            for group in [each for each in range(self.groups) if each not in results]:
                lived = self._lives(group)
                if found := self._read(group):
                    results[group] = found[0]
                elif not lived:
                    # One that lives may wait for what this one has not said.
                    self._revive(group)
            if len(results) == self.groups:
                break
        return [results[group] for group in range(self.groups)]

    def _revive(self, group: int) -> None:
        """Start a worker again that was killed; it drops what it has not written whole."""
        said = self._tasks[group].path("log").read_text("utf-8")
        assert not said, said
        self.restarts += 1
        self._pids[group] = self._start(self._tasks[group])

    def ask(self, kind: str, content: Any = None) -> list[Any]:
        """Send every worker a message, and return their results."""
        return self._ask(kind, [content] * self.groups)

    # What an engine asks of its shards

    def turn(self, epoch: int) -> Any | None:
        """Open a segment's epoch in all groups; the hits of the close, in order."""
        if epoch == self.epoch:
            return None
        first, self.epoch = self.epoch < 0, epoch
        hits = self.ask("turn", epoch)
        return None if first else merge_hits(hits)

    def close(self, following: int) -> Any:
        """Close the last epoch in all groups."""
        self.epoch = following
        return merge_hits(self.ask("close", following))

    def advance(self, segment: Segment) -> Any:
        """Let each group process its account events of a segment."""
        parts, owned = [], [shards_of(group, self.groups) for group in range(self.groups)]
        for own in owned:
            part = segment.of_shards(own)
            parts.append({
                name: getattr(part, name)
                for name in ("epoch", "base", "last", "events", "facts", "offsets", "accounts",
                             "entities", "sources")
            } | {"names": self._names})  # fmt: skip
        answers = self._ask("segment", parts)
        for own, (_, results) in zip(owned, answers, strict=True):
            segment.add_results(own, results)
        return merge_hits([hits for hits, _ in answers])

    def dump(self) -> dict[str, Any]:
        """All that the groups hold, as one engine's; what all hold is the same in each."""
        self.ask("dump")
        held = [dict(np.load(task.path("whole"))) for task in self._tasks]
        whole = {}
        for group, arrays in enumerate(held):
            arrays.pop("place")
            for name, array in arrays.items():
                if _is_of_shard(name) >= 0:
                    assert _is_of_shard(name) % SHARDS % self.groups == group
                    whole[name] = array
                elif group == 0:
                    whole[name] = array
                else:
                    assert same_content(whole[name], array), f"{name} differs between groups"
        return whole

    def rescale(self, groups: int) -> None:
        """Go on with another number of workers, from where these are."""
        whole = self.dump()
        self.end()
        self.generation += 1
        directory = self.home / f"generation{self.generation}"
        (directory / "rounds").mkdir(parents=True)
        for group in range(groups):
            own = shards_of(group, groups)
            held = {n: a for n, a in whole.items() if (s := _is_of_shard(n)) < 0 or own[s]}
            with (directory / f"snapshot{group}").open("wb") as file:
                np.savez(file, place=np.zeros(2, np.int64), **held)
        self._begin(groups)

    def end(self) -> None:
        """End the workers."""
        self.ask("end")
        for group in range(self.groups):
            for _ in waits():
                if not self._lives(group):
                    break
        self._close()

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for group in range(self.groups):
            self.kill(group)
        self._close()

    def _close(self) -> None:
        for partition in (*self._in, *self._out):
            partition.close()


def same_content(one: Any, other: Any) -> bool:
    """Whether two arrays are the same, but for the reserve of zeros at the end of one."""
    n = min(one.size, other.size)
    rest = one[n:] if one.size > n else other[n:]
    return _content(one[:n]) == _content(other[:n]) and not any(_content(rest))


def _content(array: Any) -> bytes:
    """The bytes of an array, without the padding of records, which NumPy does not keep."""
    if array.dtype.names is None:
        return bytes(array.tobytes())
    return b"".join(array[name].tobytes() for name in array.dtype.names)
