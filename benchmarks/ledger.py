"""The ledger: entries sealed per second, proofs among millions of entries, verification."""

from __future__ import annotations

import random
import secrets
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, figure
from wavebreak.engine.decision import Decision, Reason
from wavebreak.ledger import (
    DirectoryStorage,
    Ledger,
    LedgerRecorder,
    OpeningFile,
    new_signer,
)
from wavebreak.ledger.audit import audit_directory
from wavebreak.ledger.verifier import LEAF, add_leaf, check_inclusion, hash_node, verify

NAME = "ledger"
BATCH = 5_000
PROOFS = 1_000


def bench(quick: bool) -> list[Figure]:
    """Seal decisions and receipts on disk, verify them, prove entries of a large log."""
    sealed, large, runs = (10_000, 100_000, 1) if quick else (50_000, 10_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="wavebreak-speed-") as scratch:
        figures = _sealed(Path(scratch), sealed, runs)
        return figures + _proved(Path(scratch) / "large", large)


def _decision(k: int) -> Decision:
    """A ban with four reasons, as a run with the model writes one."""
    reasons = tuple(
        Reason(name, value, value / 7)
        for name, value in (
            ("sends_15s", 120.0),
            ("reply_share_7d", 0.04),
            ("age_s", k / 3),
            ("first_contact_share_1d", 1.0),
        )
    )
    return Decision(
        id=f"{k:032x}",
        ts=1_700_000_000_000 + k,
        account=f"account-{k % 9_000}",
        stage="messaging",
        outcome="ban",
        action="ban",
        until=None,
        score=k / 1e6,
        rules=("instant_ban",),
        reasons=reasons,
        trigger=f"event-{k}",
        policy="policy-abc",
        model="default-def",
        features="catalog-123",
    )


def _sealed(scratch: Path, count: int, runs: int) -> list[Figure]:
    made = [_decision(k) for k in range(count)]
    signer = new_signer("example.org/speed")
    decided, received, checked, alone = [], [], [], []
    for run in range(runs):
        place = scratch / f"log-{run}"
        files, store = DirectoryStorage(place, write=True), OpeningFile(scratch / f"openings-{run}")
        ledger = Ledger(files, signer)
        recorder = LedgerRecorder(ledger, store, clock=lambda: 0, salts=secrets.token_bytes)
        began = time.perf_counter()
        for first in range(0, count, BATCH):
            batch = made[first : first + BATCH]
            recorder.decisions(batch)
        middle = time.perf_counter()
        for first in range(0, count, BATCH):
            batch = made[first : first + BATCH]
            recorder.receipts(range(first, first + len(batch)), batch)
        end = time.perf_counter()
        audit_directory(place, [signer.key], [])
        last = time.perf_counter()
        verify(place, [signer.key], [])
        alone.append(2 * count / (time.perf_counter() - last))
        decided.append(count / (middle - began))
        received.append(count / (end - middle))
        checked.append(2 * count / (last - end))
    note = f"{count:,} in batches of {BATCH:,}, fsync'd, a checkpoint each"
    return [
        figure(
            NAME,
            "decisions sealed, openings kept",
            "entries/s",
            decided,
            target=20e3,
            note=f"{note}; four reasons and three commitments each",
        ),
        figure(NAME, "receipts sealed", "entries/s", received, target=20e3, note=note),
        figure(NAME, "ledger verify", "entries/s", checked, note="by both, decisions and receipts"),
        figure(NAME, "verifier.py alone", "entries/s", alone, note="the same log"),
    ]


def _proved(place: Path, size: int) -> list[Figure]:
    """Proofs of random entries of a log whose tree is all there, its entries short."""
    files, peaks, signer = (
        DirectoryStorage(place, write=True),
        list[bytes](),
        new_signer("example.org/a"),
    )
    for first in range(0, size, 100_000):
        lines = [
            b'{"at":%d,"body":{},"commits":{},"kind":"step","v":1}' % k
            for k in range(first, min(first + 100_000, size))
        ]
        nodes: list[bytes] = []
        for at, line in enumerate(lines, first):
            nodes += add_leaf(peaks, at, hash_node(LEAF, line))
        files.append(lines, b"".join(nodes))
    ledger = Ledger(files, signer)
    ledger.checkpoint()
    root, made, held = ledger.sealed.root, [], []
    for at in random.Random(1).choices(range(size), k=PROOFS):
        began = time.perf_counter()
        leaf, path = hash_node(LEAF, files.line(at)), ledger.prove(at)
        middle = time.perf_counter()
        check_inclusion(leaf, at, path, size, root)
        made.append(1000 * (middle - began))
        held.append(1000 * (time.perf_counter() - middle))
    began = time.perf_counter()
    files.close()
    Ledger(DirectoryStorage(place, write=True), signer)
    opened = 1000 * (time.perf_counter() - began)
    many = f"among {size:,} entries"
    slowest = sorted(made)[int(0.99 * PROOFS)]
    return [
        Figure(
            NAME,
            f"proof of one entry, {many}",
            "ms",
            statistics.median(made),
            target=10,
            better="less",
            note=f"99 of 100 under {slowest:.2f} ms; {PROOFS:,} at random",
        ),
        Figure(NAME, "the slowest of them", "ms", max(made), target=10, better="less"),
        Figure(
            NAME,
            "verification of one",
            "ms",
            statistics.median(held),
            better="less",
            note=f"{len(path)} hashes",
        ),
        Figure(NAME, f"opening the ledger, {many}", "ms", opened, better="less"),
    ]
