"""What an act would bring, before anybody presses: the decision, its notice, and what is refused.

What decides tries the label of the act in a dry run, which changes nothing, so that the preview is
the decision itself and no guess at the policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from wavebreak.engine.account_queries import account_states
from wavebreak.engine.decision import build_decision
from wavebreak.engine.owner_answers import trials
from wavebreak.languages import get_language
from wavebreak.notices import Statement
from wavebreak.outcomes import OUTCOMES, WITHOUT_STATEMENT, row_of
from wavebreak.rules import Feedback
from wavebreak.schema.events import LabelAssigned
from wavebreak_server.pipeline.decide import pseudonymize_event
from wavebreak_server.slices.acts.actions import describe_end
from wavebreak_server.slices.acts.service import Act
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.statements.service import reviewed_decision
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.texts import translate

NO_REFERENCE = "–"
"""What a preview shows for the reference that a decision will have."""


class ActPreview(NamedTuple):
    """What an act would bring.

    Attributes:
        before: The outcome in force now.
        outcome: The outcome afterwards.
        until_ms: Its end (None: none).
        rules: The rules that would decide; none where the person sets the outcome.
        refuses: What it refuses, in words.
        ends: How it ends, in words.
        changes: Whether there would be a decision at all.
        notified: When the holder would be notified, in words ("": they are not).
        statements: What the holder would read, in each language of the platform.
    """

    before: str
    outcome: str
    until_ms: int | None
    rules: tuple[str, ...]
    refuses: str
    ends: str
    changes: bool
    notified: str
    statements: tuple[Statement, ...]


class _Tried(NamedTuple):
    before: str
    outcome: str
    until_ms: int | None
    decision: dict[str, Any] | None


def preview_act(acting: ActingUser, account: str, act: Act) -> ActPreview | None:
    """Return what an act on an account would bring; None where the log does not contain it."""
    event = LabelAssigned(
        ts=acting.now_ms, account=account, label=act.verdict, source="analyst",  # type: ignore[arg-type]
        outcome=act.outcome or None, hold_s=act.hold_s,  # type: ignore[arg-type]
    )  # fmt: skip
    log = pseudonymize_event(event, acting.service.pseudonymizer)
    tried = _try(acting, account, log)
    if tried is None:
        return None
    notices = acting.context.app.holder_notices
    statements: tuple[Statement, ...] = ()
    notified = ""
    if tried.decision is not None and tried.outcome not in WITHOUT_STATEMENT:
        case = ReviewCase.objects.filter(account=account, state=ReviewCase.OPEN).first()
        reviewed = reviewed_decision(account, case)
        statements = tuple(
            notices.statement(
                tried.decision,
                get_language(code),
                acting.now_ms,
                found_automatically=True,
                reviewed=reviewed,
            )
            for code in notices.platform.languages
        )
        if row_of(tried.outcome).notified:
            notified = _notice_words(notices.feedback, tried.outcome)
    rules = tried.decision["rules"] if tried.decision else ()
    return ActPreview(
        tried.before, tried.outcome, tried.until_ms,
        tuple(rules),
        row_of(tried.outcome).refusal_words, describe_end(tried.outcome, tried.until_ms),
        tried.decision is not None, notified, statements,
    )  # fmt: skip


def _try(acting: ActingUser, account: str, log: pa.RecordBatch) -> _Tried | None:
    state = acting.query(account_states, [account]).get(account)
    if state is None:
        return None
    (result,) = acting.query(trials, events=log).results()
    decided = [hit for hit in result.hits if int(hit["outcome"]) < len(OUTCOMES)]
    decision = None
    if decided:
        made = build_decision(decided[-1], acting.deciding.program, account, "", "")
        # Its id follows from the place of the act in the log, which nobody knows yet.
        decision = msgspec.to_builtins(made) | {"id": NO_REFERENCE}
    until = result.until * 1000 or None if result.outcome else None
    return _Tried(OUTCOMES[state.outcome], OUTCOMES[result.outcome], until, decision)


def _notice_words(feedback: Feedback, outcome: str) -> str:
    """Return when a holder is notified: the delay itself is drawn with the decision.

    >>> _notice_words(Feedback(delay={"ban": ("1h", "12h")}), "ban")
    'between 1h and 12h after the decision'
    >>> _notice_words(Feedback(), "challenge")
    'at once'
    """
    delays = {str(name): delay for name, delay in feedback.delay.items()}
    if outcome not in delays:
        return translate("at once")
    least, most = delays[outcome]
    return translate("between {least} and {most} after the decision", least=least, most=most)
