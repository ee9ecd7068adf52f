"""A log in files of JSON Lines, cut into numbered blocks of whole lines.

Blocks are cut once, when a job is submitted. The decisions do not depend on where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.durable_files import replace_file
from wavebreak.errors import FileError
from wavebreak.io import Batch
from wavebreak.io.jsonl import decode_lines
from wavebreak.io.line_splitter import MAX_LINE, LineBlock
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_flink.dead_letters import DeadLetter

BLOCK = 4 << 20
"""Bytes of a block, about."""
FILE = "blocks.json"
_NEWLINE = 10
_MARK = b"\xef\xbb\xbf"


Piece: TypeAlias = LineBlock | pa.RecordBatch
"""A block of a log: lines of JSON, or events that are validated and pseudonymized."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Lines of a file: from which byte to which, and the first one's number."""

    path: str
    begin: int
    end: int
    line: int


class EventLog:
    """The blocks of a log.

    Args:
        blocks: In the order of the log.
    """

    lost: Sequence[DeadLetter] = ()
    """A line that cannot be read is an event that is refused."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self.blocks)

    def read(self, number: int) -> LineBlock:
        """Read a block.

        Raises:
            FileError: The file is not what it was.
        """
        block = self.blocks[number]
        with Path(block.path).open("rb") as file:
            file.seek(block.begin)
            text = file.read(block.end - block.begin)
        if len(text) < block.end - block.begin:
            raise FileError(f"{block.path} has become shorter", fix="submit a job of the new log")
        if block.begin == 0:
            text = text.removeprefix(_MARK)
        return LineBlock.of(text if text.endswith(b"\n") else text + b"\n", block.line)

    def between(self, first: int, end: int) -> Iterator[tuple[int, LineBlock]]:
        """Return the blocks from a number on, up to another, each with its number."""
        return ((number, self.read(number)) for number in range(first, min(end, len(self))))

    def file_of(self, number: int) -> str:
        """Return the name of a block's file."""
        return Path(self.blocks[number].path).name

    def forget(self, number: int) -> None:
        """Do nothing: a file stays what it is."""

    def close(self) -> None:
        """Do nothing: a file is open while it is read."""

    @property
    def last(self) -> int:
        """The number of the last block."""
        return len(self.blocks) - 1

    def save(self, home: Path) -> None:
        """Write where the blocks are into a job's directory."""
        replace_file(home / FILE, msgspec.json.encode(self.blocks), mode=0o600)


def load(home: Path) -> EventLog:
    """Read where the blocks are from a job's directory."""
    return EventLog(msgspec.json.decode((home / FILE).read_bytes(), type=list[Block]))


def decode(piece: Piece, edge: Pseudonymizer) -> Batch:
    """Decode, validate and pseudonymize the events of a block, unless that is done already."""
    if isinstance(piece, pa.RecordBatch):
        return Batch(piece, [], piece.num_rows)
    taken, count = decode_lines(piece)
    log, unparsed = edge.split(taken.wire, taken.lines)
    refused = sorted(taken.refused + unparsed, key=lambda each: each.line)
    return Batch(log, refused, count)


def cut(source: Path, size: int = BLOCK) -> EventLog:
    """Cut a log into blocks.

    Args:
        source: A file of JSON Lines, or a directory of such files, read in the order of names.
        size: Bytes of a block, about.

    Raises:
        FileError: There is no such file.
    """
    files = sorted(source.glob("*.jsonl")) if source.is_dir() else [source]
    fix = "give a .jsonl file, or a directory of such files; `wavebreak run` reads other formats"
    if not files:
        raise FileError(f"{source} holds no .jsonl file", fix=fix)
    blocks = list[Block]()
    for path in files:
        if path.suffix != ".jsonl":
            raise FileError(f"{path} is no file of JSON Lines", fix=fix)
        try:
            blocks += _blocks_of(path.resolve(), size)
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}", fix=fix) from None
    if not blocks:
        raise FileError(f"{source} holds no events", fix="give a log with at least one event")
    return EventLog(blocks)


def _blocks_of(path: Path, size: int) -> list[Block]:
    blocks, begin, line = list[Block](), 0, 1
    with path.open("rb") as file:
        while text := file.read(size):
            if not text.endswith(b"\n"):
                text += file.readline(MAX_LINE + 1)
            blocks.append(Block(str(path), begin, begin + len(text), line))
            whole = text.endswith(b"\n")
            line += int(np.count_nonzero(np.frombuffer(text, np.uint8) == _NEWLINE)) + (not whole)
            # Of a line beyond the limit enough is kept to refuse it; no event is in the rest.
            while not whole and (rest := file.readline(MAX_LINE)):
                whole = rest.endswith(b"\n")
            begin = file.tell()
    return blocks
