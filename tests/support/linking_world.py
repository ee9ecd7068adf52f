"""A kernel whose rows a test fills in, and a linker beside it that is given facts by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.layout import DELTA, SHARDS
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.features.shards import ShardedKernel, policy_without_rules
from wavebreak.linking import Kind, Linker
from wavebreak.linking.account_rows import LocalRows
from wavebreak.linking.edges import ends

NAMES = {
    Kind.DEVICE: "device", Kind.BLOCK: "block", Kind.NETWORK: "network",
}  # fmt: skip
EPOCH = 29_000_040


class World:
    """A kernel whose rows a test fills in, and a linker beside it."""

    def __init__(self, accounts: int) -> None:
        self.core = ShardedKernel(
            policy_without_rules(), np.zeros(256), enforce=True, accounts=accounts
        )
        self.core.fit(accounts, 64)
        self.core.accounts = accounts
        self.rows = LocalRows(self.core)
        self.linker = Linker(pack_terms(), accounts=accounts)
        self.epoch = EPOCH

    def row(self, account: int) -> Any:
        return self.core.rows[account % SHARDS].records[account // SHARDS]

    def turn(self, *facts: tuple[int, int, int], epoch: int | None = None) -> list[int]:
        """Close the epoch at the end of a turn with facts (table, key, amount)."""
        self.epoch = self.epoch + 60 if epoch is None else epoch
        self.core.start(self.epoch)
        deltas = np.zeros(len(facts), DELTA)
        for delta, (table, key, amount) in zip(deltas, facts, strict=True):
            delta["table"], delta["key"], delta["amount"] = table, key, amount
        # As from two workers.
        parts = [deltas[: len(facts) // 2], deltas[len(facts) // 2 :]]
        marked: list[int] = self.linker.close(
            parts, self.rows, self.epoch, self.epoch + 60
        ).tolist()
        return marked

    def edges(self) -> dict[tuple[int, int], dict[str, int]]:
        live = self.linker.edges.live(self.epoch)
        one, other = ends(live)
        return {
            (int(a), int(b)): {NAMES[k]: int(e["counts"][k]) for k in NAMES if e["counts"][k]}
            for a, b, e in zip(one, other, live, strict=True)
        }

    def sets(self) -> list[tuple[str, ...]]:
        found = self.linker.operators(self.rows, lambda slots: [f"a{s}" for s in slots.tolist()])
        return [operator.accounts for operator in found]
