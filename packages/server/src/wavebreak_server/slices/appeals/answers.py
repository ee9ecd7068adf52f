"""Answers to appeals: grounds, the effect on the account, and carrying an answer out.

An appeal concerns one decision. What else stands on the account stays in force, unless the reviewer
lifts it by name; an answer never makes anything severer than it is.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from wavebreak.engine.account_queries import account_states
from wavebreak.languages import Language, get_language, msgid
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import AppealEntry
from wavebreak.notices import Correction
from wavebreak.notices.texts import TEXTS
from wavebreak.outcomes import OUTCOMES, WITHOUT_NOTICE
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline import platform_messages
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.effect_sheet import (
    AccountEffect,
    Ask,
    EffectSheet,
    State,
    digest_of,
    effect_sheet,
)
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.appeals.service import read_statement
from wavebreak_server.slices.queue.models import Review
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.statements import standing
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import translate

MAX_REASON = 2_000
MAX_TOGETHER = 100
"""Appeals of a group that one act may decide."""
SHOWN_TOGETHER = 10
RESULTS = {
    Appeal.UNCHANGED: msgid("Unchanged: the decision was right"),
    Appeal.PARTIALLY: msgid("Partially reversed: something milder is right"),
    Appeal.REVERSED: msgid("Reversed: the decision was wrong; restore the earlier state"),
}
GROUNDS = {
    f"{result}.{name}": text
    for result in RESULTS
    for name, text in TEXTS[f"answer_{result}"].items()
}
"""Texts of the grounds of answers, by result and name; they are numbered in this order."""


class Answer(NamedTuple):
    """A reviewer's answer.

    Attributes:
        result: The result.
        grounds: Names of grounds (`GROUNDS`).
        text: The reviewer's own words, in the holder's language.
        outcome: The milder outcome of a partial reversal.
        hold: Its duration.
        lifted: Ids of other decisions that the reviewer lifts as well.
    """

    result: str
    grounds: tuple[str, ...] = ()
    text: str = ""
    outcome: str = ""
    hold: str = ""
    lifted: tuple[str, ...] = ()

    def reason(self, language: Language) -> str:
        """Return the reason for the holder: the grounds in their language, then the own words.

        >>> Answer("reversed", ("reversed.technical",), "Sorry.").reason(get_language("en"))
        'The decision was the result of a technical error of ours. Sorry.'
        """
        grounds = [language.gettext(GROUNDS[name]) for name in self.grounds]
        return " ".join(filter(None, (*grounds, self.text)))


def is_in_script_of(text: str, language: Language) -> bool:
    """Return whether most letters of a text are of the script that a language is written in.

    Languages of one script are not told apart.

    >>> is_in_script_of("טעינו.", get_language("he")), is_in_script_of("Sorry.", get_language("he"))
    (True, False)
    """
    scripts = _scripts(text)
    (script, _), *_ = _scripts(language.name).most_common(1)
    return 2 * scripts[script] >= scripts.total()


def _scripts(text: str) -> Counter[str]:
    return Counter(unicodedata.name(c, "").split(" ")[0] for c in text if c.isalpha())


# Effect


ALLOWED = State("allow")


class Effect(NamedTuple):
    """The effect of an answer on an account.

    Attributes:
        before: The state now.
        after: The state after the answer.
        others: Other decisions that stand now, oldest first.
        act: The act that brings it about (None: none is needed).
        until_ms: The exact end of the act's outcome.
    """

    before: State
    after: State
    others: tuple[Mapping[str, Any], ...]
    act: acts.Act | None = None
    until_ms: int | None = None


def effect_of(acting: ActingUser, appeal: Appeal, answer: Answer) -> Effect:
    """Return the effect that an answer to an appeal has now."""
    row = acting.query(account_states, [appeal.account]).get(appeal.account)
    before = ALLOWED if row is None else State(OUTCOMES[row.outcome], row.until_ms)
    trace = standing.trace_account(appeal.account, acting.now_ms)
    decisions = trace.standing if before.outcome not in WITHOUT_NOTICE else []
    decision = statements.stored_decision(appeal.decision) or {}
    appealed = decision | {"id": trace.originals.get(appeal.decision, appeal.decision)}
    return resolve(appealed, answer, before, decisions, acting.now_ms)


def resolve(
    appealed: Mapping[str, Any],
    answer: Answer,
    before: State,
    decisions: Sequence[Mapping[str, Any]],
    now_ms: int,
) -> Effect:
    """Return the effect of an answer.

    Args:
        appealed: The decision that is appealed against.
        answer: The answer.
        before: The state in force.
        decisions: The decisions that stand, oldest first; the last one is in force.
        now_ms: The time.
    """
    others = tuple(each for each in decisions if each["id"] != appealed["id"])
    if answer.result == Appeal.UNCHANGED:
        return Effect(before, before, others)
    newest = decisions[-1] if decisions else None
    kept = [
        before if each is newest else State(each["outcome"], each["until"])
        for each in others
        if each["id"] not in answer.lifted
    ]
    if answer.result == Appeal.PARTIALLY and len(others) < len(decisions):
        hold_s = acts.Act("undetermined", answer.outcome, answer.hold).hold_s
        until_ms = None if hold_s is None else (now_ms // 1000 + hold_s) * 1000
        kept.append(State(answer.outcome, until_ms))
    after = max(kept, key=lambda state: state.severity, default=ALLOWED)
    after = min(after, before, key=lambda state: state.severity)
    if answer.result == Appeal.REVERSED and not kept:
        return Effect(before, ALLOWED, others, acts.Act("benign"))
    if after == before:
        # A person's label goes with the decision that rests on it, not with a later one.
        is_label = appealed.get("basis") == "person" and bool(appealed.get("rules"))
        withdraws = is_label and newest is not None and newest.get("basis") != "person"
        return Effect(before, after, others, acts.Act("undetermined") if withdraws else None)
    act = acts.Act("undetermined", after.outcome)
    return Effect(before, after, others, act, after.until_ms)


def has_same_evidence(decision: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two decisions rest on the same rules, or both on none and one basis."""
    rules, other_rules = set(decision.get("rules") or ()), set(other.get("rules") or ())
    if rules or other_rules:
        return bool(rules & other_rules)
    return decision.get("basis") == other.get("basis")


def sheet_of(acting: ActingUser, appeal: Appeal, answer: Answer, *, together: bool) -> EffectSheet:
    """Return the effect sheet of an answer; with `together` of those that are answered alike."""
    asks = [_ask(acting, appeal, answer)]
    if together:
        shared = answer._replace(lifted=())
        asks += [_ask(acting, each, shared) for each in others_together(appeal)[:MAX_TOGETHER]]
    what = f"appeal {appeal.id}: {digest_of(answer, together)}"
    return effect_sheet(acting, what, asks, shown=SHOWN_TOGETHER)


def _ask(acting: ActingUser, appeal: Appeal, answer: Answer) -> Ask:
    """Return what an answer does, with the notice that the holder would read."""
    effect, language, now = (
        effect_of(acting, appeal, answer),
        get_language(appeal.language),
        acting.now_ms,
    )
    correction = Correction(
        at_ms=now,
        result=answer.result,  # type: ignore[arg-type]
        reason=answer.reason(language),
        outcome=effect.after.outcome,
        until_ms=effect.after.until_ms,
    )
    decision = statements.stored_decision(appeal.decision)
    if decision is None:
        raise ApiError(404, translate("there is no such decision"))
    notices = acting.context.app.holder_notices
    notice = statements.statement_of(notices, decision, language, now, [correction])
    return Ask(appeal.account, effect.act, effect.until_ms, notice)


# Decision


def conflict(appeal: Appeal, user: User) -> str:
    """Return why a person may not decide an appeal; empty if they may.

    Whoever acted on the account, or reviewed a case of it, took part in the decision.
    """
    if user in acts.reviewers_of(appeal.account):
        return translate("You acted on this account.")
    if Review.objects.filter(case__account=appeal.account, reviewer=user).exists():
        return translate("You reviewed a case of this account.")
    return ""


def read_for(acting: ActingUser, appeal: Appeal) -> str | None:
    """Return an appeal's statement for who may decide the appeal, and audit that it was read.

    None for anybody else, and where `read_statement` has none.
    """
    if not acting.user.may("decide_appeals") or conflict(appeal, acting.user):
        return None
    statement = read_statement(appeal)
    if statement is not None:
        write_audit_entry(
            acting.now_ms, acting.user.actor, "read_appeal", appeal.account,
            f"read the statement of appeal {appeal.id}",
        )  # fmt: skip
    return statement


class AppealLocks(acts.AccountLocks):
    """Locks by decision: an answer is carried out before the next one is refused.

    The appeal stays open while the answer acts on the account: a page that is read meanwhile shows
    a version that would otherwise be taken a second time.
    """


def decide(
    acting: ActingUser, appeal: Appeal, answer: Answer, version: int, record: str = ""
) -> str:
    """Decide an appeal: act on the account, seal the result, and send it to the platform.

    `record` is what the audit log holds of the effect sheet. Returns the fault of the act, "" where
    it had its effect. Raises ApiError (403) for who took part in the decision, (409) if the appeal
    or the account changed meanwhile.
    """
    with acting.context.app.state_of(AppealLocks).of(appeal.decision):
        return _decide(acting, appeal, answer, version, record)


_ANSWERED = (
    "state", "decided_ms", "decided_by", "result", "reason", "new_outcome", "new_until_ms",
    "version",
)  # fmt: skip
"""Fields that an answer writes: a statement that was erased meanwhile is not written back."""


def check_current(appeal: Appeal, version: int) -> QuerySet:
    """Return the row of an appeal while it is as the reviewer read it; raises ApiError (409)."""
    rows = Appeal.objects.filter(id=appeal.id, state=Appeal.OPEN, version=version)
    if not rows.exists():
        raise _changed()
    return rows


def _changed() -> ApiError:
    return ApiError(
        409,
        translate("the appeal changed while you read it"),
        fix=translate("read it anew, then decide"),
    )


def _decide(acting: ActingUser, appeal: Appeal, answer: Answer, version: int, record: str) -> str:
    if why := conflict(appeal, acting.user):
        raise ApiError(403, why, fix=translate("a colleague who took no part decides this appeal"))
    if not check_current(appeal, version).update(version=F("version") + 1):
        raise _changed()
    effect = effect_of(acting, appeal, answer)
    reason = answer.reason(get_language(appeal.language))
    after, fault = _enforce(acting, appeal, answer, effect, reason, record)
    now = acting.now_ms
    with transaction.atomic():
        appeal.refresh_from_db()
        appeal.state, appeal.decided_ms, appeal.decided_by = Appeal.DECIDED, now, acting.user
        appeal.result, appeal.reason = answer.result, reason
        appeal.new_outcome, appeal.new_until_ms = after
        appeal.version += 1
        appeal.save(update_fields=_ANSWERED)
        if effect.act is None and appeal.position is not None:
            entry = AppealEntry(appeal.position, answer.result)
            hidden = {"account": appeal.account, "by": acting.user.actor}
            with acting.service.ledger_store.sealing() as sealing:
                sealing.add([Draft("appeal", entry, hidden | {"id": f"appeal-{appeal.id}"})])
        write_audit_entry(
            now, acting.user.actor, "decide_appeal", appeal.account,
            f"appeal {appeal.id}: {answer.result}: {' '.join(reason.split())}"[:960]
            + f" [{record}]" * bool(record),
        )  # fmt: skip
        _notify(acting, appeal)
    return fault


def _enforce(
    acting: ActingUser, appeal: Appeal, answer: Answer, effect: Effect, reason: str, record: str
) -> tuple[State, str]:
    """Act on the account; return the state in force and the fault of the act."""
    if effect.act is None:
        return effect.after, ""
    sealed = None if appeal.position is None else AppealEntry(appeal.position, answer.result)
    occasion = acts.Occasion(by="appeal", appealed=sealed, until_ms=effect.until_ms, record=record)
    made = acts.apply(
        acting, appeal.account, effect.act, f"appeal {appeal.id}: {' '.join(reason.split())}"[:500],
        seen=effect.before.outcome, occasion=occasion,
    )  # fmt: skip
    done = AccountEffect(Ask(appeal.account, effect.act), effect.before, effect.after).done(made)
    return done.after, done.fault if effect.after != effect.before else ""


def _notify(acting: ActingUser, appeal: Appeal) -> None:
    decision = statements.stored_decision(appeal.decision)
    links = acting.context.app.holder_notices.links
    data = {
        "account": appeal.account,
        "appeal": appeal.id,
        "decision": appeal.decision,
        "result": appeal.result,
        "outcome": appeal.new_outcome,
        "until_ms": appeal.new_until_ms,
        "language": appeal.language,
        "reason": appeal.reason,
        "url": links(decision).statement if decision else "",
    }
    platform_messages.enqueue_message("appeal.decided", data, acting.now_ms)


class GroupAnswers(NamedTuple):
    """Appeals of a group: decided, left to somebody else, and the faults of acts."""

    decided: list[Appeal]
    left: list[Appeal]
    faults: list[str]


def others_together(appeal: Appeal) -> QuerySet:
    """Return the other appeals of a group that are to be decided together."""
    together = Appeal.objects.filter(state=Appeal.OPEN, group=appeal.group, together=True)
    return together.exclude(group="").exclude(id=appeal.id).order_by("deadline_ms", "id")


def decide_together(
    acting: ActingUser, appeal: Appeal, answer: Answer, record: str
) -> GroupAnswers:
    """Decide the marked appeals of a group as one was.

    Each gets its own answer, act and entry, and lifts its own decision alone. Left are appeals that
    another person must decide, and those in another language than the reviewer's own words.
    """
    answers = GroupAnswers([], [], [])
    shared = answer._replace(lifted=())
    for other in others_together(appeal)[:MAX_TOGETHER]:
        if answer.text and other.language != appeal.language:
            answers.left.append(other)
            continue
        try:
            fault = decide(acting, other, shared, other.version, record)
        except ApiError:
            answers.left.append(other)
        else:
            answers.decided.append(other)
            if fault:
                answers.faults.append(fault)
    return answers
