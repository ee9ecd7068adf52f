"""Dead letters of a job over a service's log: rows that cannot be read, where they are, and why.

A job stops at such a row, and goes on when it is repaired. Whoever gives it up accepts the loss:
from then on the job reads over the row, as a service does that is started with `--accept-loss`.
What was accepted stays so, or a job that is restarted would decide otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from wavebreak.durable_files import replace_file
from wavebreak.errors import FileError, UsageError
from wavebreak_flink.sealed import Seal
from wavebreak_flink.settings import JobSettings

Cause = Literal["missing", "damaged", "unreadable", "unproven"]
_FOLDER = "dead-letters"


class DeadLetter(msgspec.Struct, frozen=True):
    """A row that cannot be read.

    Attributes:
        first: The position of its first event in the log.
        cause: Its body is not in the topic, is not what the row says, or is no events; or the row
            lacks a proof of the service.
        accepted: Whether its loss was accepted.
    """

    first: int
    events: int
    cause: Cause
    accepted: bool = False

    @property
    def end(self) -> int:
        """The position after its last event."""
        return self.first + self.events


class DeadLetters:
    """The dead letters of a job, a file each.

    Raises:
        FileError: A file was not written by this job.
    """

    def __init__(self, settings: JobSettings) -> None:
        self._root, self._seal = Path(settings.home) / _FOLDER, Seal(settings)
        paths = self._root.glob("[0-9]*[0-9]")
        self._letters = {each.first: each for each in map(self._load, paths)}

    def all(self) -> list[DeadLetter]:
        """Return them in the order of the log."""
        return [self._letters[first] for first in sorted(self._letters)]

    def lost(self) -> list[DeadLetter]:
        """Return those whose loss was accepted."""
        return [each for each in self.all() if each.accepted]

    def is_lost(self, first: int) -> bool:
        """Whether the loss of the row at a position was accepted."""
        return first in self._letters and self._letters[first].accepted

    def add(self, letter: DeadLetter) -> None:
        """Write one, unless it is there: its loss may be accepted meanwhile."""
        if letter.first not in self._letters:
            self._write(letter)

    def accept(self, first: int) -> DeadLetter:
        """Accept the loss of the row at a position.

        Raises:
            UsageError: The job did not stop there.
        """
        if first not in self._letters:
            raise UsageError(
                f"no dead letter is at position {first:,}",
                fix="give the first position of one that `wavebreak flink dead-letters` lists",
            )
        self._write(msgspec.structs.replace(self._letters[first], accepted=True))
        return self._letters[first]

    def repaired(self, first: int) -> None:
        """Delete the letter of a row that was read after all."""
        if self._letters.pop(first, None) is not None:
            self._path(first).unlink(missing_ok=True)

    def _write(self, letter: DeadLetter) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = self._seal.close((_FOLDER, letter.first), msgspec.json.encode(letter))
        replace_file(self._path(letter.first), content, mode=0o600)
        self._letters[letter.first] = letter

    def _path(self, first: int) -> Path:
        return self._root / f"{first:020d}"

    def _load(self, path: Path) -> DeadLetter:
        try:
            content = self._seal.open((_FOLDER, int(path.name)), path.read_bytes())
            return msgspec.json.decode(content, type=DeadLetter)
        except (OSError, FileError, msgspec.DecodeError, msgspec.ValidationError) as error:
            raise FileError(
                f"{path}: {error}", fix="remove the file; the job writes it again"
            ) from None


def around_lost(
    events: pa.RecordBatch, position: int, lost: Iterable[DeadLetter]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Divide the events of a block where rows of the log were lost.

    Args:
        events: Without those of lost rows.
        position: From which the log was not read yet.
        lost: Rows whose loss was accepted, in the order of the log.

    Returns:
        Parts, each with the position of its first event.
    """
    for row in lost:
        before = row.first - position
        if 0 <= before <= events.num_rows:
            if before:
                yield position, events.slice(0, before)
            events, position = events.slice(before), row.end
    yield position, events
