"""Sealed evidence: a Merkle log of entries, signed checkpoints, proofs that others can verify.

`Ledger` seals entries over a storage (`Memory`, `Directory`, or one's own); `entry` makes an entry
and the openings of what it hides; `parcel` gives files that `verifier.py`, which needs nothing of
this package, can check. Everything that does not hold is an EvidenceError with a name.
"""

from wavebreak.evidence.directory import Directory
from wavebreak.evidence.entries import Entry, Openings, entry, read_entry
from wavebreak.evidence.ledger import Ledger, Memory, Storage
from wavebreak.evidence.notes import Signer, new_signer
from wavebreak.evidence.openings import OpeningFile, OpeningStore
from wavebreak.evidence.parcels import parcel
from wavebreak.evidence.sealing import Draft, Sealer, Sealing, seal_decisions, seal_receipts

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
