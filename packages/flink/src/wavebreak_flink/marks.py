"""Marks: the state of a job before a block of its log, written by the fan-out and by each group.

A mark follows from the log: whoever goes on from it gives the same results again. Flink's
checkpoints say how far the log is read; a job goes on from the newest mark before that, and reads
from there to where it was without saying it anew. A mark of any number of groups is read by any
other. A damaged one is passed over for one before it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak.engine import snapshot
from wavebreak.engine.exchange import shards_of
from wavebreak.engine.snapshot import EngineState
from wavebreak.errors import SnapshotError
from wavebreak.features.layout import SHARDS
from wavebreak_flink.sealed import Seal
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.switches import Deciding

FAN_OUT = "fan-out"
_GROUP = re.compile(r"group-(\d+)-of-(\d+)")
_OF_SHARD = re.compile(r"(?:core\.)?(?:rows|rares|pairs|deltas|touched|sources|names)(\d+)")
"""Arrays that are of one shard; all others are the same in every group."""


class Marks:
    """The marks of a job, each part with a MAC under a key of its place."""

    def __init__(self, settings: JobSettings) -> None:
        self._root, self._kept = Path(settings.home) / "marks", settings.marks_kept
        self._seal = Seal(settings)

    def write(self, number: int, name: str, deciding: Deciding, arrays: dict[str, Any]) -> None:
        """Write a part of a mark, unless it is there from before a restart.

        Args:
            number: The block before which it is.
            name: Of the part; see `group_name`.
            deciding: What decides from the mark on: it is of that.
            arrays: The part.
        """
        path = self._path(number, name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        snapshot.write(EngineState(deciding.about, arrays), path, self._key(number))

    def newest(
        self, number: int, deciding: Callable[[int], Deciding]
    ) -> tuple[int, Deciding, dict[str, Any]]:
        """Return the newest sound mark at or before a block, and the fan-out's part of it.

        0 and nothing where there is none: the log is read from its beginning.

        Args:
            number: The block's.
            deciding: Returns what decides after so many switches.

        Returns:
            The mark, what decides from it on, and the fan-out's state.
        """
        for mark in sorted(self.numbers(), reverse=True):
            if mark > number:
                continue
            try:
                state = self._state(mark, FAN_OUT)
                made_by = deciding(state.about.get("switches", 0))
                arrays = _arrays_of(mark, state, made_by)
                for name in self._groups(mark):
                    if self._state(mark, name).about != state.about:
                        raise SnapshotError(f"mark {mark} is not of one policy")
                return mark, made_by, arrays
            except SnapshotError as error:
                if not error.code:
                    continue
                raise
        return 0, deciding(0), {}

    def read(self, number: int, group: int, groups: int, deciding: Deciding) -> dict[str, Any]:
        """Return a group's state in a mark, whatever number of groups wrote it.

        Raises:
            SnapshotError: It is damaged, incomplete, or of another policy or model.
        """
        held: dict[str, Any] = {}
        own, positions, ids = shards_of(group, groups), [], list[str]()
        fired = np.zeros(len(deciding.engine.policy.rules), np.int64)
        for name in self._groups(number):
            arrays = _arrays_of(number, self._state(number, name), deciding)
            positions.append(arrays.pop("positions"))
            ids += unpacked(arrays.pop("ids"))
            # What all groups have counted goes on in the first one.
            fired += arrays.pop("fired") * (group == 0)
            for key, array in arrays.items():
                if (shard := shard_of(key)) < 0 or own[shard]:
                    held[key] = array
        places, first = np.unique(np.concatenate(positions), return_index=True)
        found = {"positions": places, "ids": [ids[at] for at in first.tolist()], "fired": fired}
        return held | found

    def numbers(self) -> list[int]:
        """Return the numbers of all marks, sound or not."""
        return [int(path.name) for path in self._root.glob("[0-9]*")]

    def forget(self, last: int) -> None:
        """Delete the oldest marks, all but so many of those up to one.

        Later ones are there where a job has gone on from an earlier place than it had reached: they
        are as good as ever, and push out none that it goes on from if it fails again.
        """
        for number in sorted(each for each in self.numbers() if each <= last)[: -self._kept]:
            shutil.rmtree(self._root / f"{number:012d}", ignore_errors=True)

    def _groups(self, number: int) -> list[str]:
        """Return the names of the groups' parts of a mark, of one number of groups."""
        found: dict[int, set[int]] = {}
        for path in (self._root / f"{number:012d}").glob("group-*"):
            if named := _GROUP.fullmatch(path.name):
                found.setdefault(int(named[2]), set()).add(int(named[1]))
        for many, groups in sorted(found.items()):
            if len(groups) == many <= SHARDS:
                return [group_name(group, many) for group in range(many)]
        raise SnapshotError(f"mark {number} is incomplete")

    def _state(self, number: int, name: str) -> EngineState:
        return snapshot.read(self._path(number, name), self._key(number))

    def _key(self, number: int) -> bytes:
        return self._seal.key("mark", number)

    def _path(self, number: int, name: str) -> Path:
        return self._root / f"{number:012d}" / name


def _arrays_of(number: int, state: EngineState, deciding: Deciding) -> dict[str, Any]:
    """Return the arrays of a part of a mark, which has to be of what decides."""
    if {"switches": 0} | state.about != deciding.about:
        raise SnapshotError(
            f"mark {number} is of another policy, model, profile or mode",
            fix="submit the job with what it ran with, or anew under another home",
            code="other_policy",
        )
    return state.arrays


def group_name(group: int, groups: int) -> str:
    """Return the name of a group's part of a mark."""
    return f"group-{group}-of-{groups}"


def packed(texts: list[str]) -> Any:
    """Return texts as an array (uint8)."""
    return np.frombuffer(msgspec.msgpack.encode(texts), np.uint8)


def unpacked(array: Any) -> list[str]:
    """Return the texts of an array."""
    return msgspec.msgpack.decode(array.tobytes(), type=list[str])


def shard_of(name: str) -> int:
    """Return the shard of an array of a dump; -1 for what all groups hold alike.

    >>> shard_of("core.rows12"), shard_of("names3"), shard_of("core.people")
    (12, 3, -1)
    """
    found = _OF_SHARD.fullmatch(name)
    return int(found[1]) if found else -1


def each_shard(group: int, groups: int) -> Iterator[int]:
    """Return the shards of a group, in order."""
    return iter(range(group, SHARDS, groups))
