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
    """A decision about an account. Times are whole milliseconds since 1970 (UTC).

    Attributes:
        id: Its id, the same for the same log and policy.
        ts: When it was made, by the log's time.
        account: The account.
        stage: registration, messaging, feedback or review.
        outcome: allow, observe, request, challenge, limit, restrict, suspend or ban.
        action: What the platform does for the outcome.
        until: When it ends by itself (None: it has no end).
        score: The model's calibrated probability of abuse (None: no model said one).
        rules: Ids of the rules that newly fired.
        reasons: Values of the features that these rules read, and the model's weights.
        trigger: Id of the event after which it was made.
        policy: Version of the policy.
        model: Version of the model (None: rules alone).
        features: Version of the catalog of features.
        basis: What it rests on, such as doubt or evidence ("challenge": one was passed; "": made
            before bases were named).
        new_chats_1d: Strangers a day that a limit leaves.
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
