"""Seal, then act: decisions before they are enforced, receipts of what became of them after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wavebreak.decision import Decision
from wavebreak.evidence.directory import Directory
from wavebreak.evidence.entries import (
    DecisionEntry,
    Entry,
    Openings,
    ReceiptEntry,
    Salts,
    VersionEntry,
    entry,
)
from wavebreak.evidence.ledger import Ledger
from wavebreak.evidence.notes import Signer, verifier_key
from wavebreak.evidence.openings import OpeningFile, OpeningStore


def decision_entry(made: Decision, *, at: int, salts: Salts) -> tuple[Entry, Openings]:
    """Make a decision's entry: account, id and trigger are hidden, all else is told."""
    body = DecisionEntry(
        ts=made.ts, stage=made.stage, outcome=made.outcome, action=made.action, until=made.until,
        score=made.score, rules=made.rules, reasons=made.reasons, policy=made.policy,
        model=made.model, features=made.features,
    )  # fmt: skip
    hidden = {"account": made.account, "id": made.id, "trigger": made.trigger}
    return entry("decision", body, hidden, at=at, salts=salts)


def seal_decisions(
    ledger: Ledger, decisions: Sequence[Decision], openings: OpeningStore, *, at: int, salts: Salts
) -> range:
    """Seal decisions that are about to be enforced; their positions, in order.

    The openings are kept first: whatever fails, no entry is sealed that cannot be opened.
    """
    made = [decision_entry(each, at=at, salts=salts) for each in decisions]
    openings.keep(ledger.size, [told for _, told in made])
    return ledger.seal([each for each, _ in made])


def seal_receipts(
    ledger: Ledger, positions: Sequence[int], decisions: Sequence[Decision], *, at: int,
    effect: str = "applied",
) -> range:  # fmt: skip
    """Seal what became of sealed decisions, one receipt each."""
    told = zip(positions, decisions, strict=True)
    receipts = [ReceiptEntry(position, made.outcome, effect) for position, made in told]
    return ledger.seal([Entry("receipt", at, receipt, {}) for receipt in receipts])


class Sealer:
    """Seals what a run decides into a ledger directory, its openings beside it in `private/`.

    `clock` gives milliseconds since 1970; `mended` says what a crash had left half-written.
    """

    def __init__(
        self, path: Path, signer: Signer, *, clock: Callable[[], int], salts: Salts
    ) -> None:
        self._files = Directory(path, write=True)
        self.ledger, self.mended = Ledger(self._files, signer), self._files.mended
        (path / "key.pub").write_text(f"{verifier_key(signer.key)}\n", "utf-8")
        self.openings = OpeningFile(path / "private" / "openings.sqlite3")
        self._clock, self._salts = clock, salts

    def version(self, kind: str, version: str, sha256: str, mode: str) -> None:
        """Seal which policy or model (`kind`) decides from here on."""
        self.ledger.seal([Entry(kind, self._clock(), VersionEntry(version, sha256, mode), {})])

    def decisions(self, made: Sequence[Decision]) -> range:
        """Seal decisions, before anybody is told of them; their positions."""
        if not made:
            return range(0)
        return seal_decisions(self.ledger, made, self.openings, at=self._clock(), salts=self._salts)

    def receipts(self, positions: Sequence[int], made: Sequence[Decision]) -> None:
        """Seal that decisions took effect."""
        if made:
            seal_receipts(self.ledger, positions, made, at=self._clock())

    def close(self) -> None:
        """Let the ledger go."""
        self._files.close()
        self.openings.close()
