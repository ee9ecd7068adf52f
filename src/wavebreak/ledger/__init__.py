"""Sealed evidence: a Merkle log of entries, signed checkpoints, proofs that others can verify.

`Ledger` seals entries over a storage (`Memory`, `Directory`, or one's own); `entry` makes an entry
and the openings of what it hides; `parcel` gives files that `verifier.py`, which needs nothing of
this package, can check. Everything that does not hold is an EvidenceError with a name.
"""

from wavebreak.ledger.checkpoints import Signer, new_signer
from wavebreak.ledger.entries import Entry, Openings, entry, read_entry
from wavebreak.ledger.ledger import Ledger, Memory, Storage
from wavebreak.ledger.proofs import parcel
from wavebreak.ledger.recorder import Draft, Sealer, Sealing, seal_decisions, seal_receipts
from wavebreak.ledger.storage import Directory, OpeningFile, OpeningStore

__all__ = [
    "Directory",
    "Draft",
    "Entry",
    "Ledger",
    "Memory",
    "OpeningFile",
    "OpeningStore",
    "Openings",
    "Sealer",
    "Sealing",
    "Signer",
    "Storage",
    "entry",
    "new_signer",
    "parcel",
    "read_entry",
    "seal_decisions",
    "seal_receipts",
]
