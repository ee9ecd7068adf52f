"""A crash at any byte of a batch: what was sealed is there, what was not is whole or gone."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.ledger_fixtures import SIGNER, some
from wavebreak.errors import FileError
from wavebreak.ledger import DirectoryStorage, Ledger
from wavebreak.ledger.audit import audit_directory

FILES = ("entries.jsonl", "nodes", "ends", "checkpoints.jsonl")


@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(1, 9), st.tuples(*[st.floats(0, 1)] * 4))
def test_batch_cut_at_any_byte_keeps_sealed_entries(
    sealed: int, more: int, cuts: tuple[float, ...]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = DirectoryStorage(place, write=True)
        ledger = Ledger(files, SIGNER)
        ledger.seal(some(0, sealed))
        before = {name: (place / name).stat().st_size for name in FILES}
        ledger.seal(some(sealed, more))
        files.close()
        for name, cut in zip(FILES, cuts, strict=True):
            least = before[name] if name in ("entries.jsonl", "checkpoints.jsonl") else 0
            size = (place / name).stat().st_size
            if name == "checkpoints.jsonl":
                size -= 1  # The checkpoint of the batch was not kept whole.
            os.truncate(place / name, least + int(cut * (size - least)))
        again = DirectoryStorage(place, write=True)
        assert sealed <= again.size() <= sealed + more
        taken = Ledger(again, SIGNER)
        taken.seal(some(again.size(), sealed + more - again.size()))
        taken.checkpoint()
        assert taken.sealed.root == ledger.sealed.root
        again.close()
        assert audit_directory(place, [SIGNER.key], []).last.size == sealed + more


@pytest.mark.parametrize("spared", range(3))
def test_full_disk_leaves_ledger_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: int
) -> None:
    ledger = Ledger(DirectoryStorage(tmp_path, write=True), SIGNER)
    ledger.seal(some(0, 5))
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    write, written = os.pwrite, []

    def full(*given: Any) -> int:
        written.append(given)
        if len(written) > spared:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(FileError, match="No space left"):
            ledger.seal(some(5, 4))
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before
    assert ledger.seal(some(5, 4)) == range(5, 9)
