"""What a bundle's maker seals at packing: the whole payload, and the end of the case.

The last entry of a bundle's ledger is of kind `pack`: how many steps the case has, the last one's
digest, and the digest of every file beside the ledger. Nothing can then be cut from the end of the
case, nor changed in report, forms, instructions or verifier, without the maker's key. It says what
was so at its time, and nothing of what the maker did later.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from wavebreak.ledger import make_entry
from wavebreak.ledger.entries import PackEntry
from wavebreak.ledger.storage import LEDGER
from wavebreak_cases.bundles.archive_reader import bundle_error, file_hash
from wavebreak_cases.bundles.workspace import CaseWorkspace, salted_digest
from wavebreak_cases.cases.case import CaseFile
from wavebreak_cases.cases.date_ranges import format_instant


def payload_digest(data: Path) -> str:
    """Return the SHA-256 over the names and digests of all files of a payload but the ledger's."""
    files = (path for path in data.rglob("*") if path.is_file())
    lines = sorted(
        f"{file_hash(path, 'sha256')}  {name}\n"
        for path in files
        if not (name := path.relative_to(data).as_posix()).startswith(f"{LEDGER}/")
    )
    return sha256("".join(lines).encode()).hexdigest()


def seal_payload(workspace: CaseWorkspace, data: Path) -> None:
    """Seal a payload as the case's last entry, unless the last one is of the same payload."""
    written = workspace.written
    last = salted_digest(written.salt, written.steps[-1])
    body = PackEntry(written.id, len(written.steps), last, payload_digest(data))
    ledger = workspace.ledger
    if ledger.size and ledger.entry(ledger.size - 1).body == body:
        return
    entry, openings = make_entry("pack", body, {}, at=workspace.clock(), salts=workspace.salts)
    workspace.openings.keep(ledger.size, [openings])
    ledger.seal([entry])


def check_seal(data: Path, written: CaseFile, proofs: list[dict[str, Any]], size: int) -> str:
    """Check that all entries are shown, and that the last one seals this case and payload.

    Args:
        data: The payload.
        written: The case's file.
        proofs: The lines of `proofs.jsonl`.
        size: The size of the signed checkpoint.

    Returns:
        What the maker vouches for; "" for a bundle without such an entry.

    Raises:
        EvidenceError: Something was cut, added or changed.

    """
    if [proof["position"] for proof in proofs] != list(range(size)):
        raise bundle_error(
            "entries_cut", f"{len(proofs):,} entries are shown, and {size:,} were sealed"
        )
    entry = proofs[-1]["entry"]
    if entry["kind"] != "pack":
        return ""
    sealed = msgspec.convert(entry["body"], PackEntry)
    if (sealed.case, sealed.steps) != (written.id, len(written.steps)):
        raise bundle_error(
            "pack_case",
            f"{sealed.steps:,} steps of case {sealed.case[:40]} were packed, and "
            f"{len(written.steps):,} are here",
        )
    if sealed.last != salted_digest(written.salt, written.steps[-1]):
        raise bundle_error("pack_case", "the last step is not the one that was packed")
    if sealed.payload != payload_digest(data):
        raise bundle_error("pack_payload", "a file beside the ledger is not as it was packed")
    return (
        f"packed {format_instant(entry['at'])} with {sealed.steps:,} steps, every file sealed; "
        "of later steps it says nothing"
    )
