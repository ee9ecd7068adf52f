"""Questions of a service to the groups of a job on Flink, and what the groups answer.

A service writes a question (`queries.Query`) into a table of its database. The job's fan-out, which
alone knows the slots of names, sends it to the groups with the next message. Those that it concerns
read their state, change nothing, and write what they found beside it. Questions and answers are not
in the log. Both have a MAC under the key of what is published.

One question is a dry run of events (`trials`): would they be refused?
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.engine.account_queries import AccountState, ChatCounts, count_chats, state_in
from wavebreak.engine.exchange import group_of
from wavebreak.engine.kernel_policy import effective_outcome
from wavebreak.engine.queries import QUERIES, UNKNOWN, Held, joined, only, query
from wavebreak.features.dry_run import DryRunResult, Question, judged, question_of
from wavebreak.features.facts import Fanout
from wavebreak.features.layout import EVENT, HIT
from wavebreak.io.log_rows import unpack_row
from wavebreak.outcomes import OUTCOMES

MOST_ACCOUNTS = 10_000
"""Accounts of one question."""
QUESTIONS, ANSWERS = "wavebreak_asked", "wavebreak_answers"
CREATE_QUESTIONS = f"""
CREATE TABLE IF NOT EXISTS {QUESTIONS} (
  id text PRIMARY KEY, job text NOT NULL, content bytea NOT NULL, mac bytea NOT NULL
)
"""
CREATE_ANSWERS = f"""
CREATE TABLE IF NOT EXISTS {ANSWERS} (
  id text NOT NULL, job text NOT NULL, part smallint NOT NULL, parts smallint NOT NULL,
  content bytea NOT NULL, mac bytea NOT NULL, PRIMARY KEY (id, part)
)
"""
"""The service makes the tables; the job's user has to be able to select from the first, and to
insert into the second."""


class Asking(msgspec.Struct, frozen=True, array_like=True):
    """A question as a service writes it.

    Attributes:
        query: The name of the question.
        arguments: Its other arguments, encoded.
        events: A batch of the log that is to be judged, encoded (empty: none).
    """

    query: str
    accounts: list[str]
    arguments: bytes
    events: bytes = b""


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A question with the slots of its names, on its way to the groups.

    `place` is a number that no other question of this job has; groups that answer together say what
    they have under it. The last five fields are events to be judged.
    """

    id: str
    query: str
    arguments: bytes
    accounts: list[str]
    slots: list[int]
    place: int
    events: bytes = b""
    times: bytes = b""
    logged: bytes = b""
    names: int = 0
    entities: int = 0

    @classmethod
    def of(cls, id_: str, asking: Asking, fanout: Fanout, place: int) -> Asked:
        """Return a question with the slots that its names have.

        Raises:
            WavebreakError: What is to be judged cannot be read.
        """
        slots = fanout.accounts.find(pa.array(asking.accounts, pa.string())).tolist()
        made = cls(
            id_, asking.query, asking.arguments, asking.accounts,
            [max(slot, UNKNOWN) for slot in slots], place,
        )  # fmt: skip
        if not asking.events:
            return made
        judge = question_of(fanout, unpack_row(asking.events))
        return msgspec.structs.replace(
            made, accounts=made.accounts or [""], slots=made.slots or [judge.account],
            events=judge.events.tobytes(),
            times=judge.times.tobytes(), logged=judge.logged.tobytes(), names=judge.accounts,
            entities=judge.entities,
        )  # fmt: skip

    def question(self) -> Question | None:
        """Return the events to be judged."""
        if not self.events:
            return None
        return Question(
            np.frombuffer(self.events, EVENT).copy(), np.frombuffer(self.times, np.int64),
            np.frombuffer(self.logged, np.bool_), self.names, self.entities,
        )  # fmt: skip

    def owners(self, groups: int) -> list[int]:
        """Return the group of each account; the first one has those that nobody knows."""
        slots = np.maximum(np.array(self.slots, np.int64), 0)
        return [int(group) for group in group_of(slots, groups)]

    def answering(self, groups: int) -> list[int]:
        """Return which groups answer."""
        spread = QUERIES[self.query].spread
        if spread == "every":
            return list(range(groups))
        return [0] if spread == "together" else sorted(set(self.owners(groups))) or [0]


class OwnerAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What was found of events of one account: by event, and of the account.

    `trials` are the results, with their hits as bytes. `challenges`: whether the account can be
    asked for a challenge, by event. `chats` are those of the account at the log's time.
    """

    trials: list[DryRunResult]
    challenges: list[bool]
    chats: ChatCounts
    time_s: int

    def results(self) -> list[DryRunResult]:
        """Return the results of the trials."""
        return [replace(one, hits=np.frombuffer(one.hits, HIT)) for one in self.trials]


@query(only)
def trials(held: Held) -> OwnerAnswer:
    """Judge events on the state of what holds their account."""
    engine, asked = held.engine, held.events
    if asked is None:
        raise ValueError("no events are asked about")
    found = judged(engine.core, asked)
    return OwnerAnswer(
        [replace(trial, hits=trial.hits.tobytes()) for trial in found],
        [engine.challenges_by(trial.source) for trial in found],
        count_chats(engine.core, asked.account, held.time_s),
        held.time_s,
    )


class TriedState(NamedTuple):
    """What an event of an account would bring.

    Attributes:
        now: What is in force now.
        outcome: What would be in force afterwards (index).
        until_ms: Its end (None: none).
        hit: The hit that would decide (dtype HIT); empty where no decision would follow.
    """

    now: AccountState
    outcome: int
    until_ms: int | None
    hit: bytes

    def decided(self) -> Any | None:
        """Return the hit that would decide."""
        return np.frombuffer(self.hit, HIT)[0] if self.hit else None


@query(joined)
def states_after(held: Held) -> dict[str, TriedState]:
    """Judge one event as if it were of each account; the log's unknown ones are left out."""
    if held.events is None:
        raise ValueError("no event is asked about")
    return {name: _tried(held, held.events, slot) for name, slot, _ in held.rows()}


def _tried(held: Held, asked: Question, slot: int) -> TriedState:
    core, events = held.engine.core, asked.events.copy()
    now = state_in(held, slot)
    events["account"] = slot
    (tried,) = judged(core, asked._replace(events=events))
    challenges = held.engine.challenges_by(core.source_of(slot))
    outcome = effective_outcome(tried.outcome, challenges=challenges)
    decided = tried.hits[tried.hits["outcome"] < len(OUTCOMES)]
    until_ms = tried.until * 1000 or None if outcome else None
    return TriedState(now, outcome, until_ms, decided[-1:].tobytes())


def question_mac(key: bytes, *values: Any) -> bytes:
    """Return the MAC of a question, or of an answer: which of both, id, job and content.

    >>> question_mac(b"k", "asked", "1", "job", b"") == question_mac(b"k", "found", "1", "job", b"")
    False
    """
    return hmac.digest(key, msgspec.msgpack.encode([QUESTIONS, *values]), "sha256")
