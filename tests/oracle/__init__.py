"""Reference implementation: every feature from the plain list of an account's events.

No ring buffers, no bits, nothing compiled: each declaration of the catalog as a plain formula. The
kernel is right where it returns exactly the same numbers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa

from oracle import account_features, message_features
from oracle.account_history import AccountHistory, Fact
from oracle.contributions import contributions
from oracle.log_clock import LogTime
from oracle.scoring_points import Scorer, scores, with_re_evaluations
from oracle.shared_state import Shared
from wavebreak.features.catalog import FEATURES, MODEL_INPUTS
from wavebreak.features.facts import EPOCH_MS, NO_FACT, fact_kinds
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import SOURCES

FORMULAS = (
    message_features.FORMULAS
    | account_features.FORMULAS
    | {"score": lambda s: s.scores[0], "registration_score": lambda s: s.scores[1]}
)
"""Formula of each feature, by name."""
OTHERS = [SOURCES.index(source) for source in ("honeypot", "partner", "sample")]
"""Sources of labels that are no persons."""


class Oracle:
    """All accounts' events as lists. It has no rules: it is valid for runs in which none fired.

    `scorer` is a model as a Python function (None: no model).
    """

    def __init__(self, *, lateness_s: int = 60, scorer: Scorer | None = None) -> None:
        self.scorer, self.epochs = scorer, set[int]()
        self.lateness_ms = lateness_s * 1000
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        self.late, self.duplicates, self.ahead = 0, 0, 0
        self._time = LogTime(self.lateness_ms)
        self._seen: set[str] = set()
        self._named: dict[str, int] = {}
        self._kinds = fact_kinds()
        self._shared: Shared | None = None

    @property
    def epoch(self) -> int:
        """The open epoch."""
        return self._time.newest // EPOCH_MS

    def take(self, log: pa.RecordBatch) -> None:
        """Append the account events of a batch of the log (LOG_SCHEMA)."""
        self._shared = None
        for row in log.to_pylist():
            for name in (row["account"], row["peer"]):
                self._named.setdefault(name, len(self._named))
            if row["id"] in self._seen:
                self.duplicates += 1
            elif row["ts"] < self._time.newest - self.lateness_ms:
                self.late += 1
            else:
                label = self._kinds[row["type"], 0] == KINDS.index("labelled")
                date = self._time.date(row["ts"], label=bool(label))
                self.ahead += date != row["ts"]
                self.epochs.add(self.epoch)
                self._append({name: v for name, v in row.items() if v is not None}, date)
            self._seen.add(row["id"])

    def _append(self, row: dict[str, Any], date: int) -> None:
        sides = ((row["account"], row.get("peer")), (row.get("peer"), row["account"]))
        attempt = bool(row.get("attempted"))
        for side, (kind, (account, peer)) in enumerate(
            zip(self._kinds[row["type"]], sides, strict=True)
        ):
            if kind != NO_FACT and account is not None and not (attempt and side == 1):
                name = KINDS[kind]
                if attempt and name in ("challenge_passed", "labelled", "call_ended", "declared"):
                    continue
                if name == "sent" and "group" in row:
                    name = "sent_group"
                # The clock of an account is not ahead of the log's time, as a label's date may be.
                at = min(date, self.epoch * EPOCH_MS + 59_999) if name == "labelled" else date
                if name == "labelled" and row.get("source") in OTHERS:
                    name = "labelled_by_others"
                fact = Fact(name, at, self.epoch, peer, row | {"said": date // 1000}, side == 0)
                self.facts[account].append(fact)

    @property
    def shared(self) -> Shared:
        """Shared state, from all account events so far."""
        if self._shared is None:
            # Complaints that lower a reputation weigh by when their makers registered, and by their
            # record, which do not depend on reputations: a second pass knows both.
            shared = Shared()
            for _ in range(2):
                contributed = [
                    contribution
                    for account, facts in self.facts.items()
                    for contribution in contributions(
                        account, AccountHistory(facts, shared, self.epoch)
                    )
                ]
                shared = Shared(contributed, self._named, min(self.epochs, default=0))
            self._shared = shared
        return self._shared

    def values(self, account: str) -> list[float]:
        """Return every feature of an account at its clock; the account has events."""
        story = AccountHistory(self.facts[account], self.shared, self.epoch)
        if self.scorer:
            story = with_re_evaluations(account, story, sorted(self.epochs))
            story.scores = scores(story, sorted(self.epochs), self.scorer, _inputs)
        return [float(FORMULAS[feature.name](story)) for feature in FEATURES]


def _inputs(story: AccountHistory) -> list[float]:
    return [float(FORMULAS[name](story)) for name in MODEL_INPUTS]
