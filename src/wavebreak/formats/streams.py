"""Files as streams: suffixes, compression, lines of bounded length, arrays cut into lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.errors import FileError
from wavebreak.formats.plain import MAX_LINE, Piece

BLOCK = 4 << 20
"""Bytes taken from a stream at a time."""

_FORMATS = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "stream",
}
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BLANK = b" \t\r\n"
_NEWLINE = ord("\n")
_INDENT = re.compile(rb"\n[ \t\r]+")
_STEP = np.zeros(256, np.int64)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_ESCAPE = re.compile(rb"\\.", re.DOTALL)


class Kind(NamedTuple):
    """A file's format (lines, json, parquet, arrow, stream) and codec (gzip, zstd or none)."""

    format: str
    codec: str | None


class Readable(Protocol):
    """What gives bytes until it gives none."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, none at the end."""
        ...


def kind_of(path: Path) -> Kind:
    """Tell a file's format by its name, or raise FileError.

    >>> kind_of(Path("events.jsonl.zst"))
    Kind(format='lines', codec='zstd')
    """
    name = path.name.lower()
    codec = next((c for suffix, c in _CODECS.items() if name.endswith(suffix)), None)
    if codec:
        name = name.rpartition(".")[0]
    for suffix, known in _FORMATS.items():
        if name.endswith(suffix):
            return Kind(known, codec)
    known = ", ".join(_FORMATS)
    fix = f"use one of {known}, each also with .gz or .zst"
    raise FileError(f"{path}: the format cannot be told from the name", fix=fix)


def events_file(path: Path) -> Path:
    """Give the file itself, or the one file `events.*` of a directory; raises FileError."""
    if not path.is_dir():
        if not path.exists():
            raise FileError(f"{path}: no such file", fix="give a file with events, or - for stdin")
        return path
    names = {f"events{s}{c}" for s in _FORMATS for c in ("", *_CODECS)}
    found = sorted(p for p in path.iterdir() if p.name in names)
    if len(found) != 1:
        fix = "name the file itself"
        raise FileError(f"{path}: holds {len(found)} event files, not one", fix=fix)
    return found[0]


class Opened:
    """A file's bytes, uncompressed, and how far into it they come from (0 to 1)."""

    def __init__(self, path: Path, codec: str | None) -> None:
        self._raw = pa.OSFile(str(path))
        self._size: int = max(self._raw.size(), 1)
        self.stream: Any = pa.CompressedInputStream(self._raw, codec) if codec else self._raw

    def read(self, size: int, /) -> bytes:
        """Give the next bytes; raises FileError where the compression is damaged."""
        try:
            block: bytes = self.stream.read(size)
        except (OSError, EOFError) as e:
            fix = "write the file again; it seems cut off or damaged"
            raise FileError(
                f"the compressed file cannot be read on: {_cause(e)}", fix=fix
            ) from None
        return block

    def progress(self) -> float:
        """Give the share of the file that has been read."""
        at: int = self._raw.tell()
        return min(at / self._size, 1.0)

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
        self._raw.close()


def _cause(e: BaseException) -> str:
    return str(e).splitlines()[0][:100] if str(e) else type(e).__name__


class StandardInput:
    """Standard input, given as soon as there is some; its length is not known."""

    def __init__(self) -> None:
        self._stdin: Any = sys.stdin.buffer

    def read(self, size: int, /) -> bytes:
        """Give what has arrived, at least one byte until the end."""
        block: bytes = self._stdin.read1(size)
        return block

    def progress(self) -> float:
        """Give 0: the end is not in sight."""
        return 0.0

    def close(self) -> None:
        """Leave standard input as it is."""


class Pushed:
    """A stream with bytes put back in front of it."""

    def __init__(self, front: bytes, rest: Readable) -> None:
        self._front, self._rest = front, rest

    def read(self, size: int, /) -> bytes:
        """Give the bytes in front first."""
        front, self._front = self._front, b""
        return front or self._rest.read(size)


def pieces(stream: Readable, limit: int) -> Iterator[Piece]:
    """Cut a stream into pieces of at most `limit` whole lines; holds one block and one line."""
    pending, line = b"", 1
    while block := stream.read(min(BLOCK, max(limit * 256, MAX_LINE))):
        if line == 1 and not pending:
            block = block.removeprefix(b"\xef\xbb\xbf")
        text = pending + block
        cut = text.rfind(b"\n") + 1
        pending = text[cut:]
        # Enough of a line without end is kept to see that it is too long.
        pending = pending[: MAX_LINE + 1]
        if cut:
            whole = Piece.of(memoryview(text)[:cut], line)
            yield from _cut(whole, limit)
            line += len(whole.ends)
    if pending:
        yield Piece.of(pending + b"\n", line)


def _cut(whole: Piece, limit: int) -> Iterator[Piece]:
    for start in range(0, len(whole.ends), limit):
        yield whole.part(start, min(start + limit, len(whole.ends)))


def items_or_lines(stream: Readable) -> Readable:
    """Give lines of a JSON array or of JSON Lines; the first character tells which it is."""
    front = b""
    while not front.strip(_BLANK):
        block = stream.read(MAX_LINE)
        if not block:
            break
        front = (front.strip(_BLANK) + block)[: len(block) + 8]
        front = front.removeprefix(b"\xef\xbb\xbf")
    pushed = Pushed(front, stream)
    return ArrayItems(pushed) if front.lstrip(_BLANK).startswith(b"[") else pushed


class ArrayItems:
    """Turns a JSON array into lines, one an item, holding one block at a time.

    Only strings and brackets are followed; what an item holds is for the decoder to judge. An array
    that does not end, or anything after its end, shows as one more line that is not an event.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._carry = b""
        self._inside = 0
        self._depth = 0
        self._ended = False
        self._over = False

    def read(self, size: int, /) -> bytes:
        """Give the next items as lines."""
        while not self._over:
            block = self._stream.read(size)
            if not block:
                self._over = True
                return b"" if self._ended else b"\n["
            if self._ended:
                self._over = bool(block.strip(_BLANK))
                out = b"\n]" if self._over else b""
            else:
                out = self._lines(block)
            if out:
                return out
        return b""

    def _lines(self, block: bytes) -> bytes:
        text = self._carry + block
        tail = len(text) - len(text.rstrip(b"\\"))
        self._carry = text[len(text) - tail % 2 :]
        text = text[: len(text) - tail % 2]
        plain = np.frombuffer(_ESCAPE.sub(b"__", text) if b"\\" in text else text, np.uint8)
        inside = (np.cumsum(plain == ord('"')) + self._inside) & 1
        step = _STEP[plain] * (1 - inside)
        depth = np.cumsum(step) + self._depth
        out = np.frombuffer(text, np.uint8).copy()
        out[plain == _NEWLINE] = ord(" ")
        out[(plain == _NEWLINE) & (inside == 1)] = 1  # a raw newline in a string stays a fault
        out[(plain == ord(",")) & (inside == 0) & (depth == 1)] = _NEWLINE
        if self._depth == 0 and len(text):
            out[int(np.argmax(plain == ord("[")))] = ord(" ")
        ends = np.flatnonzero((step < 0) & (depth <= 0))
        if len(ends):
            return self._end(text, out, int(ends[0]))
        if len(text):
            self._inside, self._depth = int(inside[-1]), int(depth[-1])
        return _INDENT.sub(b"\n", out.tobytes())

    def _end(self, text: bytes, out: NDArray[np.uint8], end: int) -> bytes:
        self._ended = True
        more = b"\n]" if (text[end + 1 :] + self._carry).strip(_BLANK) else b""
        self._over = bool(more)
        return _INDENT.sub(b"\n", out[:end].tobytes()) + more or b" "
