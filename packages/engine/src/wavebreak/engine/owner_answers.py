"""Questions to a job on Flink: dry runs of events in the group that holds the account's shard.

A service writes a question, which is a batch of the log, into a table of its database. The job's
fan-out, which alone knows the slots of names, sends it to the groups with the next message; the one
that holds the account judges it on its state, changes nothing, and writes the answer beside it.
Neither is in the log. Both have a MAC under the key of what is published.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from wavebreak.engine.chat_counts import ChatCounts, count_chats
from wavebreak.engine.engine import Engine
from wavebreak.features.dry_run import DryRunResult, Question, judged
from wavebreak.features.layout import EVENT

QUESTIONS = "wavebreak_questions"
CREATE_QUESTIONS = f"""
CREATE TABLE IF NOT EXISTS {QUESTIONS} (
  id text PRIMARY KEY, job text NOT NULL, content bytea NOT NULL, mac bytea NOT NULL,
  answer bytea, answer_mac bytea
)
"""
"""The service makes the table; the job's user has to be able to select and to update."""


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A question with the slots of its names, on its way to the groups."""

    id: str
    account: int
    events: bytes
    times: bytes
    logged: bytes
    accounts: int
    entities: int

    @classmethod
    def of(cls, id_: str, question: Question) -> Asked:
        """Encode a question."""
        return cls(
            id_, question.account, question.events.tobytes(), question.times.tobytes(),
            question.logged.tobytes(), question.accounts, question.entities,
        )  # fmt: skip

    def question(self) -> Question:
        """Decode it."""
        return Question(
            np.frombuffer(self.events, EVENT).copy(), np.frombuffer(self.times, np.int64),
            np.frombuffer(self.logged, np.bool_), self.accounts, self.entities,
        )  # fmt: skip


class OwnerAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What the group found: by event, and of the account.

    `challenges`: whether the account can be asked for a challenge, by event. `chats` are those of
    the account at the log's time.
    """

    trials: list[DryRunResult]
    challenges: list[bool]
    chats: ChatCounts
    time_s: int


def owner_answer(engine: Engine, asked: Asked, time_s: int) -> OwnerAnswer:
    """Judge a question on the state of the group that holds the account."""
    trials = judged(engine.core, asked.question())
    return OwnerAnswer(
        [_encodable(trial) for trial in trials],
        [engine.challenges_by(trial.source) for trial in trials],
        count_chats(engine.core, asked.account, time_s),
        time_s,
    )


def _encodable(trial: DryRunResult) -> DryRunResult:
    hits = [{name: int(hit[name]) for name in ("hits", "rule")} for hit in trial.hits]
    return replace(trial, hits=hits)


def question_mac(key: bytes, *values: Any) -> bytes:
    """Return the MAC of a question, or of an answer: which of both, id, job and content.

    >>> question_mac(b"k", "asked", "1", "job", b"") == question_mac(b"k", "found", "1", "job", b"")
    False
    """
    return hmac.digest(key, msgspec.msgpack.encode([QUESTIONS, *values]), "sha256")
