"""Tamper-evident ledger of decisions: a signed Merkle log, with proofs for outsiders.

`Ledger` appends entries to a storage (`MemoryStorage`, `DirectoryStorage`, or your own) and signs
checkpoints over them. `make_entry` makes an entry and the openings of its commitments.
`proof_bundle` returns the files that `verifier.py`, which needs nothing of this package, checks.
Every failed check raises an `EvidenceError` with a name.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily
from wavebreak.ledger.checkpoints import Signer, new_signer
from wavebreak.ledger.entries import Entry, Openings, make_entry, read_entry
from wavebreak.ledger.ledger import Ledger, MemoryStorage, Storage, proof_bundle
from wavebreak.ledger.storage import DirectoryStorage, OpeningFile, OpeningStore

if TYPE_CHECKING:
    from wavebreak.ledger.recorder import (
        DirectoryRecorder,
        Draft,
        LedgerRecorder,
    )
else:  # the recorder needs the engine, which takes most of a second to import
    __getattr__ = lazily(
        __name__,
        {"recorder": "DirectoryRecorder Draft LedgerRecorder"},
    )

__all__ = [
    "DirectoryRecorder",
    "DirectoryStorage",
    "Draft",
    "Entry",
    "Ledger",
    "LedgerRecorder",
    "MemoryStorage",
    "OpeningFile",
    "OpeningStore",
    "Openings",
    "Signer",
    "Storage",
    "make_entry",
    "new_signer",
    "proof_bundle",
    "read_entry",
]
