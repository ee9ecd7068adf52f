"""The record of a decision, as it is written, sealed and read; needs nothing of the engine."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True):
    """A feature value that a rule of the decision read, or by which a model came to its score.

    `contribution` is the model's (log-odds), null where only a rule read it.
    """

    feature: str
    value: float | None
    contribution: float | None = None


class Decision(msgspec.Struct, frozen=True):
    """The one output: see "Decisions" in the event contract. Times are milliseconds.

    `basis` is what it rests on (rules.model.BASES; "challenge": one was passed; "": made before
    bases were named), `new_chats_1d` the strangers a day that a limit leaves.
    """

    id: str
    ts: int
    account: str
    stage: str
    outcome: str
    action: str
    until: int | None
    score: float | None
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    trigger: str
    policy: str
    model: str | None
    features: str
    basis: str = ""
    new_chats_1d: int | None = None
