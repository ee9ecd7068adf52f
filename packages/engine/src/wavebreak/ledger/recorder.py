"""Recording of decisions in a ledger: sealed before they are enforced, with receipts after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.ledger import entries
from wavebreak.ledger.checkpoints import Signer, encode_verifier_key
from wavebreak.ledger.ledger import Ledger
from wavebreak.ledger.storage import DirectoryStorage, OpeningFile, OpeningStore

Sealable = Decision | entries.DecisionEntry
"""What a receipt refers to: a decision, or its ledger entry."""


Append = Callable[[Iterable[entries.Entry]], range]
"""Appends entries to a ledger; returns their positions."""


class Draft(NamedTuple):
    """An entry to be sealed: kind, open fields, and hidden fields."""

    kind: str
    body: entries.Body
    hidden_values: Mapping[str, Any]


def decision_body(decision: Decision) -> entries.DecisionEntry:
    """Return the open fields of a decision's entry: all but account, id and trigger."""
    return entries.DecisionEntry(
        ts=decision.ts,
        stage=decision.stage,
        outcome=decision.outcome,
        action=decision.action,
        until=decision.until,
        score=decision.score,
        rules=decision.rules,
        reasons=decision.reasons,
        policy=decision.policy,
        model=decision.model,
        features=decision.features,
        basis=decision.basis,
        new_chats_1d=decision.new_chats_1d,
    )


def decision_entry(
    decision: Decision, *, at_ms: int, salts: entries.Salts
) -> tuple[entries.Entry, entries.Openings]:
    """Make a decision's entry: account, id and trigger are hidden, all else is open."""
    identities = {"account": decision.account, "id": decision.id, "trigger": decision.trigger}
    return entries.make_entry(
        "decision", decision_body(decision), identities, at=at_ms, salts=salts
    )


class LedgerRecorder:
    """Records decisions in a ledger, and their openings; `clock` returns milliseconds.

    Each call signs a checkpoint, except with `at_once` false: then `ledger.checkpoint` does.
    """

    def __init__(
        self,
        ledger: Ledger,
        openings: OpeningStore,
        *,
        clock: Callable[[], int],
        salts: entries.Salts,
        at_once: bool = True,
    ) -> None:
        self.ledger, self.openings = ledger, openings
        self._append: Append = ledger.seal if at_once else ledger.append
        self._clock, self._salts = clock, salts

    def versions(
        self, engine: Engine, *, earlier: int | None = None, differ: int | None = None
    ) -> None:
        """Seal which policy and model decide from here on; see VersionEntry."""
        mode, policy, model = "enforce" if engine.enforce else "shadow", engine.policy, engine.model
        text = msgspec.json.encode(policy, order="deterministic")
        digest = hashlib.sha256(text).hexdigest()
        self._version("policy", entries.VersionEntry(policy.version, digest, mode, earlier, differ))
        if model:
            self._version("model", entries.VersionEntry(model.version, model.digest, mode))

    def _version(self, kind: str, body: entries.VersionEntry) -> None:
        self._append([entries.Entry(kind, self._clock(), body, {})])

    def head(self) -> dict[str, Any]:
        """Return the newest checkpoint: origin, size and root (hexadecimal)."""
        last = self.ledger.sealed
        return {"origin": last.origin, "size": last.size, "root": last.root.hex()}

    def decisions(self, decisions: Sequence[Decision]) -> range:
        """Seal decisions before any notification; return the positions."""
        if not decisions:
            return range(0)
        time_ms = self._clock()
        return self._seal([decision_entry(d, at_ms=time_ms, salts=self._salts) for d in decisions])

    def receipts(
        self,
        positions: Sequence[int],
        decisions: Sequence[Sealable],
        *,
        effect: str = "applied",
        detail: str = "",
    ) -> None:
        """Seal a receipt for each decision, by default that the decision took effect."""
        if not decisions:
            return
        time_ms = self._clock()
        self._append(
            entries.Entry(
                "receipt",
                time_ms,
                entries.ReceiptEntry(position, decision.outcome, effect, detail),
                {},
            )
            for position, decision in zip(positions, decisions, strict=True)
        )

    def add(self, drafts: Sequence[Draft]) -> range:
        """Seal statements and acts of people; return their positions."""
        time_ms, pairs = self._clock(), []
        for kind, body, hidden_values in drafts:
            pair = entries.make_entry(kind, body, hidden_values, at=time_ms, salts=self._salts)
            pairs.append(pair)
        return self._seal(pairs)

    def _seal(self, pairs: Sequence[tuple[entries.Entry, entries.Openings]]) -> range:
        """Append entries after their openings: no entry is sealed that cannot be opened."""
        self.openings.keep(self.ledger.size, [openings for _, openings in pairs])
        return self._append([entry for entry, _ in pairs])


class DirectoryRecorder(LedgerRecorder):
    """Records into a ledger directory, with the openings in `private/`.

    `repaired` lists tails that a crash left incomplete.
    """

    def __init__(
        self, path: Path, signer: Signer, *, clock: Callable[[], int], salts: entries.Salts
    ) -> None:
        self._files = DirectoryStorage(path, write=True)
        self.repaired = self._files.repaired
        (path / "key.pub").write_text(f"{encode_verifier_key(signer.key)}\n", "utf-8")
        self._openings = OpeningFile(path / "private" / "openings.sqlite3")
        super().__init__(Ledger(self._files, signer), self._openings, clock=clock, salts=salts)

    def close(self) -> None:
        """Close the files of the ledger."""
        self._files.close()
        self._openings.close()
