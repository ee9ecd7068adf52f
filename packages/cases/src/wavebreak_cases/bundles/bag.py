"""The seal of a bundle's payload.

The last entry of a bundle's ledger is of kind `pack`: how many steps the case has, the last one's
digest, and the digest of every file beside the ledger. Nothing can then be cut from the end of the
case, nor changed in report, forms, instructions or verifier, without the maker's key. It says what
was so at its time, and nothing of what the maker did later. `bundle_checks` checks it.
"""

from __future__ import annotations

from pathlib import Path

from wavebreak.ledger import make_entry
from wavebreak.ledger.entries import PackEntry
from wavebreak_cases.bundles.bundle_checks import payload_digest
from wavebreak_cases.bundles.workspace import CaseWorkspace, salted_digest


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
