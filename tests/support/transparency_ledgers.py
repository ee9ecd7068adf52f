"""Random ledgers for transparency reports: decisions, receipts, overrides, appeals and labels.

What is sealed is also kept as plain records with the accounts in the open, so that a test can count
it in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from wavebreak.engine.decision import Decision
from wavebreak.ledger import (
    Draft,
    Ledger,
    LedgerRecorder,
    MemoryStorage,
    OpeningFile,
    Openings,
    new_signer,
)
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.entries import (
    AppealEntry,
    ErasureEntry,
    LabelEntry,
    OverrideEntry,
    VersionEntry,
)
from wavebreak.ledger.verifier import canonical
from wavebreak.outcomes import BY_RANK

SIGNER = new_signer("example.org/transparency", secret=bytes(range(32)))
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
HOUR = 3_600_000
DAY = 24 * HOUR
OUTCOMES = BY_RANK
BASES = ("doubt", "evidence", "tie", "impossible", "takeover", "person", "")
STAGES = ("registration", "messaging", "feedback", "review")


@dataclass
class Sealed:
    """A ledger in `place`, and each of its entries as a record with a position and a kind."""

    place: Path
    records: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind, in order."""
        return [each for each in self.records if each["kind"] == kind]


@dataclass
class _Openings:
    """Openings in memory."""

    kept: list[Openings] = field(default_factory=list)

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        self.kept += [{}] * (first - len(self.kept))
        self.kept += openings

    def of(self, position: int) -> Openings:
        return self.kept[position]


class Writer:
    """Seals what a test asks for, at times that it sets in `now` (ms).

    All is in memory until `close`, which is quicker than a directory that is durable each time.
    """

    def __init__(self, place: Path, seed: int = 0) -> None:
        self.now = START
        self.random = Random(seed)
        self.sealed = Sealed(place)
        self._storage, self._openings = MemoryStorage(), _Openings()
        self._recorder = LedgerRecorder(
            Ledger(self._storage, SIGNER), self._openings, clock=lambda: self.now,
            salts=self.random.randbytes, at_once=False,
        )  # fmt: skip
        self._count = 0

    def close(self) -> Sealed:
        """Seal the ledger, write it and its openings into the directory, and give it."""
        self._recorder.ledger.checkpoint()
        place, lines = self.sealed.place, self._storage.lines
        (place / "private").mkdir(parents=True)
        ends = accumulate(len(line) + 1 for line in lines)
        (place / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        (place / "nodes").write_bytes(bytes(self._storage.nodes))
        (place / "ends").write_bytes(b"".join(end.to_bytes(8) for end in ends))
        notes = [canonical(note.decode()).encode() + b"\n" for note in self._storage.notes]
        (place / "checkpoints.jsonl").write_bytes(b"".join(notes))
        (place / "key.pub").write_text(f"{encode_verifier_key(SIGNER.key)}\n", "utf-8")
        openings = OpeningFile(place / "private" / "openings.sqlite3")
        openings.keep(0, self._openings.kept)
        openings.close()
        return self.sealed

    def mode(self, mode: str, policy: str) -> None:
        """Seal that a policy decides from now on, enforced or in shadow."""
        self._add("policy", VersionEntry(policy, None, mode), {}, mode=mode, version=policy)

    def decide(self, account: str, outcome: str, **fields: Any) -> int:
        """Seal a decision; its position."""
        self._count += 1
        given: dict[str, Any] = {
            "stage": "messaging", "basis": "evidence", "policy": "p1", "model": None,
            "rules": ("a_rule",), "ts": self.now,
        } | fields  # fmt: skip
        decision = Decision(
            id=f"{self._count:032x}", account=account, outcome=outcome, action=outcome, until=None,
            score=None, reasons=(), trigger=f"event-{self._count}", features="f1", **given,
        )  # fmt: skip
        (position,) = self._recorder.decisions([decision])
        self._keep(position, "decision", account=account, outcome=outcome, **given)
        return position

    def receipt(self, position: int) -> None:
        """Seal that a decision took effect."""
        record = self.sealed.records[position]
        self._recorder.receipts([position], [_as_decision(record)])
        self._keep(len(self.sealed.records), "receipt", decision=position, effect="applied")

    def appeal(self, decision: int, state: str) -> None:
        """Seal an appeal's state."""
        account = self.sealed.records[decision]["account"]
        body = AppealEntry(decision, state)
        self._add("appeal", body, {"account": account}, decision=decision, state=state)

    def override(self, decision: int | None, outcome: str) -> None:
        """Seal a person's decision."""
        body = OverrideEntry(decision, outcome, None, "analyst: because")
        self._add("override", body, {"by": "key-1"}, decision=decision, outcome=outcome)

    def label(self, account: str, label: str, source: str = "analyst") -> None:
        """Seal a label."""
        body = LabelEntry(label, source)
        self._add("label", body, {"account": account}, account=account, label=label, source=source)

    def erasure(self, openings: int) -> None:
        """Seal an erasure."""
        self._add("erasure", ErasureEntry(openings, 0), {"by": "key-1"}, openings=openings)

    def _add(self, kind: str, body: Any, hidden: dict[str, str], **fields: Any) -> None:
        (position,) = self._recorder.add([Draft(kind, body, hidden)])
        self._keep(position, kind, **fields)

    def _keep(self, position: int, kind: str, **fields: Any) -> None:
        assert position == len(self.sealed.records)
        self.sealed.records.append({"position": position, "kind": kind, "at": self.now} | fields)


def _as_decision(record: dict[str, Any]) -> Decision:
    return Decision(
        id="0", ts=record["ts"], account=record["account"], stage=record["stage"],
        outcome=record["outcome"], action=record["outcome"], until=None, score=None, rules=(),
        reasons=(), trigger="", policy=record["policy"], model=None, features="",
    )  # fmt: skip


def random_ledger(place: Path, seed: int, size: int = 300) -> Sealed:
    """Seal so many random entries over three months, most of them decisions."""
    writer = Writer(place, seed)
    random, accounts = writer.random, [f"account-{k}" for k in range(size // 4 + 1)]
    writer.mode("enforce", "p1")
    policy, decided, waiting = "p1", list[int](), list[int]()
    for _ in range(size):
        writer.now += random.randrange(0, 2 * 90 * DAY // size)
        act = random.random()
        if act < 0.03:
            policy = random.choice(("p1", "p2"))
            writer.mode(random.choice(("enforce", "enforce", "shadow")), policy)
        elif act < 0.6 or not decided:
            basis = random.choice(BASES)
            position = writer.decide(
                random.choice(accounts), random.choice(OUTCOMES), basis=basis, policy=policy,
                stage=random.choice(STAGES), model=random.choice((None, "m1", "m2")),
                rules=random.choice(((), ("a_rule",))),
                ts=writer.now - random.randrange(0, 2 * DAY),
            )  # fmt: skip
            decided.append(position)
            if random.random() < 0.7:
                writer.receipt(position)
        elif act < 0.72:
            position = random.choice(decided)
            waiting.append(position)
            writer.appeal(position, "opened")
        elif act < 0.84:
            position = (
                waiting.pop(0) if waiting and random.random() < 0.8 else random.choice(decided)
            )
            writer.appeal(position, random.choice(("unchanged", "partially_reversed", "reversed")))
        elif act < 0.9:
            some = random.choice((*decided, None))
            writer.override(some, random.choice(OUTCOMES))
        elif act < 0.98:
            source = random.choice(("analyst", "appeal", "partner", "honeypot"))
            writer.label(random.choice(accounts), random.choice(("abusive", "benign")), source)
        else:
            writer.erasure(random.randrange(1, 20))
    return writer.close()
