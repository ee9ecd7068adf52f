"""Blocks of a log: whole lines, each once, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavebreak.errors import FileError
from wavebreak.io import read
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_flink import event_log
from wavebreak_flink.event_log import cut, decode


def test_blocks_hold_every_line_once(tmp_path: Path) -> None:
    lines = [b'{"n":%d}\n' % number for number in range(1000)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines[:700]))
    # The last line of a log may have no end.
    (tmp_path / "b.jsonl").write_bytes(b"".join(lines[700:])[:-1])
    log = cut(tmp_path, 100)
    pieces = [log.read(number) for number in range(len(log))]
    assert b"".join(bytes(piece.text) for piece in pieces) == b"".join(lines)
    assert [block.line for block in log.blocks if block.begin == 0] == [1, 1]
    assert log.blocks[1].line == 1 + len(pieces[0].ends)


def test_a_line_beyond_the_limit_hides_no_event(tmp_path: Path) -> None:
    path, event = tmp_path / "a.jsonl", b'{"type":"account.deleted","ts":0,"account":"%s"}\n'
    path.write_bytes(event % b"a" + b" " * (2 * MAX_LINE + 100) + event % b"b" + event % b"c")
    log, edge = cut(path, 100), Pseudonymizer(b"a key for tests only")
    batches = [decode(log.read(number), edge) for number in range(len(log))]
    accounts = [name for batch in batches for name in batch.log["account"].to_pylist()]
    expected = list(read(path, edge))
    assert accounts == expected[0].log["account"].to_pylist() == ["a", "c"]
    refused = [each for batch in batches for each in batch.refused]
    assert refused == expected[0].refused


def test_saved_blocks_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf{}\n{}\n")
    log = cut(tmp_path / "a.jsonl")
    log.save(tmp_path)
    assert event_log.load(tmp_path).blocks == log.blocks
    assert bytes(event_log.load(tmp_path).read(0).text) == b"{}\n{}\n"


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b""), ("a.parquet", b"{}"), ("none", None)]
)
def test_what_is_no_log_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError):
        cut(tmp_path / name)


def test_a_log_that_became_shorter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" * 50)
    log = cut(path)
    path.write_bytes(b"{}\n")
    with pytest.raises(FileError, match="has become shorter"):
        log.read(0)
