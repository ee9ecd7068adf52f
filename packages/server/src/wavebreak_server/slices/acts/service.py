"""What a person does to accounts: one act, a batch, and their undo.

Each act is `actions.override_account`, as from the API: a label in the log, an audit entry and a
ledger entry. The state before it is kept beside it, and undo restores that state.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import msgspec
from asgiref.sync import async_to_sync
from django.db import transaction

from wavebreak.durations import DAY_S, duration_seconds
from wavebreak.engine.account_queries import AccountState
from wavebreak.languages import SOURCE_LANGUAGE, msgid
from wavebreak.ledger.entries import AppealEntry
from wavebreak.outcomes import NEEDING_HOLD, OUTCOMES, SETTABLE
from wavebreak_server.errors import ApiError
from wavebreak_server.http.schemas import padded_reason
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.api import Override, OverrideResult
from wavebreak_server.slices.acts.models import Batch, PersonAct
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import page_language, translate

UNDONE_NOTE = 200
"""Characters of what is noted about an undone act."""
HOLDS = ("1h", "24h", "3d", "7d", "30d", "90d")
"""Durations that the forms offer."""


class Choice(NamedTuple):
    """A verdict as the forms offer it: its name, its key, what it does, and a template of a reason.

    The template is filled in for the person, who may write another reason.
    """

    name: str
    key: str
    about: str
    reason: str = ""


CHOICES = {
    "benign": Choice(
        msgid("Benign"), "b", msgid("lift what is in force, and give the account a month's grace")
    ),
    "abusive": Choice(
        msgid("Abusive"),
        "a",
        msgid("apply the policy (a ban)"),
        msgid("the evidence on the page is right"),
    ),
    "undetermined": Choice(
        msgid("Neither"),
        "o",
        msgid("set another outcome, for a time"),
        msgid("not clear yet: slowed until more is known"),
    ),
}
RECENT_REASONS = 8
"""Reasons of one's own that a form offers."""
NO_REASON = msgid("benign; no reason given")
"""Reason of a verdict that may go without one."""


class Act(NamedTuple):
    """What a person wants: a verdict, and where it is neither, an outcome and its duration."""

    verdict: str
    outcome: str = ""
    hold: str = ""

    @property
    def hold_s(self) -> int | None:
        """The duration in seconds; None: without an end, or as the policy says."""
        return duration_seconds(self.hold) if self.hold else None

    @property
    def words(self) -> str:
        """The act in a few words.

        >>> Act("undetermined", "restrict", "3d").words, Act("benign").words
        ('restrict for 3d', 'benign')
        """
        if self.verdict != "undetermined":
            return self.verdict
        return f"{self.outcome} for {self.hold}" if self.hold else self.outcome

    @property
    def shown(self) -> str:
        """The act in a few words, in the language of the page.

        >>> Act("undetermined", "restrict", "3d").shown
        'restrict for 3d'
        """
        if self.verdict != "undetermined":
            return translate(self.verdict)
        outcome = translate(self.outcome)
        if not self.hold:
            return outcome
        return translate("{outcome} for {hold}", outcome=outcome, hold=hold_words(self.hold))


PRESETS = {
    "1": Act("undetermined", "limit", "7d"),
    "2": Act("undetermined", "restrict", "3d"),
    "3": Act("undetermined", "suspend", "7d"),
}
"""Outcomes with durations that a form sets by one key."""


def hold_words(hold: str) -> str:
    """Return a duration as policies write it: in English so, else in words.

    >>> hold_words("3d")
    '3d'
    """
    language = page_language()
    if language.code == SOURCE_LANGUAGE:
        return hold
    return language.format_duration(duration_seconds(hold) * 1000)


def act_of(form: dict[str, str]) -> Act:
    """Return the act that a form asks for; raises ApiError (422) with the fix.

    >>> act_of({"verdict": "undetermined", "outcome": "limit", "hold": "7d"})
    Act(verdict='undetermined', outcome='limit', hold='7d')
    >>> act_of({"verdict": "undetermined", "outcome": "ban", "hold": "90d"}).words
    'ban for 90d'
    """
    verdict, outcome, hold = (form.get(name, "") for name in ("verdict", "outcome", "hold"))
    if verdict not in CHOICES:
        raise ApiError(
            422,
            translate("no verdict was chosen"),
            fix=translate("choose {names}", names=", ".join(translate(name) for name in CHOICES)),
        )
    if verdict != "undetermined":
        return Act(verdict)
    if outcome not in SETTABLE:
        raise ApiError(
            422,
            translate("no outcome was chosen"),
            fix=translate("choose {names}", names=", ".join(SETTABLE)),
        )
    if hold and hold not in HOLDS:
        raise ApiError(
            422,
            translate("the duration is unknown"),
            fix=translate("choose {names}", names=", ".join(HOLDS)),
        )
    if outcome in NEEDING_HOLD and not hold:
        raise ApiError(
            422,
            translate("{outcome} needs a duration", outcome=outcome),
            fix=translate("choose until when it holds"),
        )
    return Act(verdict, outcome, "" if outcome == "allow" else hold)


class Occasion(NamedTuple):
    """On what occasion somebody acts on an account.

    Attributes:
        batch: The batch that the act is of.
        case: The case that it closes.
        by: Who labels: an analyst, or an appeal.
        appealed: The answer to an appeal that is sealed with the act.
        newest: The newest act that the person has seen (None: it is not asked for).
        until_ms: The exact end of the outcome, where an earlier one is restored.
        record: What the audit log holds of the effect sheet.
    """

    batch: Batch | None = None
    case: ReviewCase | None = None
    by: str = "analyst"
    appealed: AppealEntry | None = None
    newest: int | None = None
    until_ms: int | None = None
    record: str = ""


NO_OCCASION = Occasion()


class AccountLocks:
    """Who acts on an account reads what is in force, and sets it, before the next one does."""

    def __init__(self) -> None:
        self._locks = tuple(Lock() for _ in range(64))

    def of(self, account: str) -> Lock:
        """Return the lock of an account."""
        return self._locks[zlib.crc32(account.encode()) % len(self._locks)]


class OtherOutcomeError(ApiError):
    """Another outcome is in force than the one that the person saw."""

    def __init__(self, seen: str, now: str) -> None:
        super().__init__(409, f"{seen} is now {now}", fix="read the account again, then decide")


class DecidedSinceError(ApiError):
    """A person has decided on an account after what was seen of it."""

    def __init__(self, account: str) -> None:
        super().__init__(409, f"{account} was decided on since", fix="read the account again")


def apply(
    acting: ActingUser,
    account: str,
    act: Act,
    reason: str,
    *,
    seen: str | None = None,
    occasion: Occasion = NO_OCCASION,
) -> PersonAct:
    """Apply an act to an account, and store what was in force before it.

    Args:
        acting: Who acts.
        account: The account.
        act: What they want.
        reason: Why.
        seen: The outcome that they have read (None: it is not asked for).
        occasion: The batch, the case or the appeal that the act is of.

    Raises:
        OtherOutcomeError: Another outcome is in force by now.
        DecidedSinceError: A person has decided after the newest act that was seen.
        ApiError: The account is unknown, or the service cannot take the act now.
    """
    with _lock_of(acting, account):
        if occasion.newest is not None:
            later = PersonAct.objects.filter(account=account, id__gt=occasion.newest)
            if later.exclude(batch=occasion.batch).exists():
                raise DecidedSinceError(account)
        before = _state(acting, account)
        if seen is not None and seen != OUTCOMES[before.outcome]:
            raise OtherOutcomeError(seen, OUTCOMES[before.outcome])
        change = _change(act.verdict, act.outcome, act.hold_s, reason, occasion.by)
        result = _override(acting, account, change, occasion)
        made: PersonAct = PersonAct.objects.create(
            account=account,
            by=acting.user,
            at_ms=acting.now_ms,
            verdict=act.verdict,
            outcome=result.outcome,
            until_ms=result.until_ms,
            before=OUTCOMES[before.outcome],
            before_until_ms=before.until_ms,
            reason=reason,
            event=result.event,
            batch=occasion.batch,
            case=occasion.case,
        )
    return made


def _lock_of(acting: ActingUser, account: str) -> Lock:
    return acting.context.app.state_of(AccountLocks).of(account)


def apply_and_close(
    acting: ActingUser,
    account: str,
    act: Act,
    reason: str,
    *,
    seen: str | None = None,
    occasion: Occasion = NO_OCCASION,
) -> PersonAct:
    """Apply an act to an account, and close its open case; of a batch, with a review.

    Raises ApiError as `apply`, or (409) while a verdict on the case is being carried out.
    """
    settings, now = settings_of(acting.context.app).queue, acting.now_ms
    with review_queue.taken_of_account(settings, account, acting.user, now) as case:
        batch = occasion.batch
        said = f"{batch.id}: {reason}" if batch else reason
        made = apply(acting, account, act, said, seen=seen, occasion=occasion._replace(case=case))
        with transaction.atomic():
            if case is not None and batch is not None:
                review = Review(
                    case=case, reviewer=acting.user, verdict=act.verdict, outcome=act.outcome,
                    hold_s=act.hold_s, reason=reason, at_ms=now, batch=batch.id,
                )  # fmt: skip
                review_queue.close(case, review, now)
            elif case is not None:
                review_queue.end(case, act.verdict, now)
    return made


def decide_case(
    acting: ActingUser, case: ReviewCase, act: Act, reason: str, *, seen: str, record: str
) -> PersonAct:
    """Act on the account of a case that was taken, and close the case with a review."""
    occasion = Occasion(case=case, record=record)
    made = apply(acting, case.account, act, reason, seen=seen, occasion=occasion)
    review = Review(
        case=case, reviewer=acting.user, verdict=act.verdict, outcome=act.outcome,
        hold_s=act.hold_s, reason=reason, at_ms=acting.now_ms,
        seconds=min(DAY_S, max(0, (acting.now_ms - case.claimed_ms) // 1000)),
    )  # fmt: skip
    with transaction.atomic():
        review_queue.close(case, review, acting.now_ms)
    return made


LEFT_ALONE = "left alone"
"""Begin of the note of an act whose undo changes nothing: somebody has decided since."""


def undo(acting: ActingUser, act: PersonAct, reason: str, *, noted: str | None = None) -> str:
    """Undo an act: restore the outcome before it, with its end, and open the case that it closed.

    An outcome that has ended meanwhile is not restored, and an account on which something else was
    decided since is left alone.

    Args:
        acting: Who undoes it.
        act: The act.
        reason: Why.
        noted: What is shown beside the act instead of the reason.

    Returns:
        A note where the outcome before it is not restored.
    """
    with _lock_of(acting, act.account):
        act.refresh_from_db()
        if act.undone_ms is not None:
            return "undone before"
        note = _decided_since(acting, act)
        if not note:
            note, event = _restore(acting, act, reason)
            act.undo_event = event
        act.undone_ms, act.undone_by = acting.now_ms, acting.user
        noted = reason if noted is None else noted
        act.undone_note = "; ".join(filter(None, (note, noted)))[:UNDONE_NOTE]
        with transaction.atomic():
            act.save(update_fields=["undone_ms", "undone_by", "undone_note", "undo_event"])
            if act.undo_event and act.case is not None:
                _reopen(act.case, act)
    return note


def _decided_since(acting: ActingUser, act: PersonAct) -> str:
    """Return what was decided on an account after an act, as a note; "" where nothing was."""
    later = PersonAct.objects.filter(account=act.account, id__gt=act.id, undone_ms=None)
    newest = later.select_related("by").order_by("-id").first()
    if newest is not None:
        return f"{LEFT_ALONE}: {newest.by.shown_name} decided since"
    now = _state(acting, act.account)
    if (OUTCOMES[now.outcome], now.until_ms) != (act.outcome, act.until_ms):
        return f"{LEFT_ALONE}: {OUTCOMES[now.outcome]} was decided since"
    return ""


def _restore(acting: ActingUser, act: PersonAct, reason: str) -> tuple[str, str]:
    """Restore what was in force before an act; return a note, and the label in the log."""
    outcome, hold_s, note = act.before, None, ""
    if act.before_until_ms is not None:
        # Ends are whole seconds.
        hold_s = act.before_until_ms // 1000 - acting.now_ms // 1000
        if hold_s <= 0:
            outcome, hold_s, note = "allow", None, f"{act.before} had ended meanwhile"
    change = _change("undetermined", outcome, hold_s, reason, "analyst")
    until_ms = act.before_until_ms if hold_s is not None else None
    result = _override(acting, act.account, change, Occasion(until_ms=until_ms))
    return note, result.event


def _reopen(case: ReviewCase, act: PersonAct) -> None:
    """Open the case of an undone act again, in the open transaction; its verdict counts no more."""
    newest = Decision.objects.filter(account=act.account).order_by("-number")
    number = newest.values_list("number", flat=True).first() or 0
    ReviewCase.objects.filter(id=case.id).update(reopened_at=number)
    review_queue.reopen(
        ReviewCase.objects.filter(id=case.id, state=ReviewCase.CLOSED), act.undone_ms or 0
    )
    case.reviews.filter(undone_ms=None).update(undone_ms=act.undone_ms)


def start_batch(acting: ActingUser, act: Act, reason: str, source: str, count: int) -> Batch:
    """Create a batch for acts on many accounts."""
    made: Batch = Batch.objects.create(
        id=f"batch_{secrets.token_hex(8)}",
        by=acting.user,
        at_ms=acting.now_ms,
        what=act.words,
        reason=reason,
        source=source[:128],
        count=count,
    )
    return made


def newest_act() -> int:
    """Return the number of the newest act; 0 before there was any."""
    return PersonAct.objects.order_by("-id").values_list("id", flat=True).first() or 0


def recent_reasons(user: User) -> list[str]:
    """Return the reasons that a person wrote last, each once."""
    acts = PersonAct.objects.filter(by=user).exclude(reason=NO_REASON).order_by("-id")
    newest = acts.values_list("reason", flat=True)[: 4 * RECENT_REASONS]
    written = (
        reason.rpartition(": ")[2] if reason.startswith("batch_") else reason for reason in newest
    )
    return list(dict.fromkeys(written))[:RECENT_REASONS]


def last_act(user: User, since_ms: int) -> PersonAct | None:
    """Return the newest act of a person since a time that was not undone."""
    acts = PersonAct.objects.filter(by=user, undone_ms=None, at_ms__gte=since_ms)
    act: PersonAct | None = acts.select_related("batch").order_by("-id").first()
    return act


def acted_on_since(accounts: Sequence[str], newest: int) -> set[str]:
    """Return the accounts on which a person has acted after the act of a number."""
    later = PersonAct.objects.filter(account__in=accounts, id__gt=newest)
    return set(later.values_list("account", flat=True))


class Left(NamedTuple):
    """Accounts that a batch did not reach: decided by a person since, or out of reach now.

    `made` are the acts that it carried out.
    """

    decided: list[str]
    failed: list[str]
    made: list[PersonAct]


def run_batch(
    acting: ActingUser, batch: Batch, accounts: Sequence[str], act: Act, newest: int, record: str
) -> Left:
    """Act on each account, one decision an account, and close its case; return whom it left.

    `newest` is the newest act when the person saw the accounts (`newest_act`): who was decided on
    after it is left alone. `record` is what the audit log holds of the effect sheet.
    """
    left = Left([], [], [])
    occasion = Occasion(batch, newest=newest, record=record)
    for account in accounts:
        try:
            made = apply_and_close(acting, account, act, batch.reason, occasion=occasion)
        except DecidedSinceError:
            left.decided.append(account)
        except ApiError:
            left.failed.append(account)
        else:
            batch.done += 1
            left.made.append(made)
    batch.save(update_fields=["done"])
    return left


def undo_batch(acting: ActingUser, batch: Batch, reason: str) -> tuple[int, int]:
    """Undo a batch, newest act first; return how many acts were undone, and how many left alone."""
    undone = left = 0
    for act in batch.acts.filter(undone_ms=None).order_by("-id"):
        note = undo(acting, act, f"undo {batch.id}: {reason}", noted="")
        left_alone = note.startswith(LEFT_ALONE)
        undone, left = undone + (not left_alone), left + left_alone
    with transaction.atomic():
        batch.undone_ms, batch.undone_by = acting.now_ms, acting.user
        batch.save(update_fields=["undone_ms", "undone_by"])
    return undone, left


def find_act(number: int) -> PersonAct:
    """Return an act that can be undone; raises ApiError (404)."""
    found: PersonAct | None = PersonAct.objects.filter(id=number, undone_ms=None).first()
    if found is None:
        raise ApiError(
            404, translate("there is no such act to undo"), fix=translate("open the account anew")
        )
    return found


def find_batch(number: str) -> Batch:
    """Return a batch with who made and who undid it; raises ApiError (404)."""
    found: Batch | None = Batch.objects.select_related("by", "undone_by").filter(id=number).first()
    if found is None:
        raise ApiError(
            404, translate("there is no such batch"), fix=translate("see the list of batches")
        )
    return found


def newest_batches(most: int) -> list[Batch]:
    """Return the batches, newest first."""
    return list(Batch.objects.select_related("by", "undone_by").order_by("-at_ms")[:most])


def _state(acting: ActingUser, account: str) -> AccountState:
    state: AccountState = async_to_sync(actions.sealed_state)(acting.context, account)
    return state


def _change(verdict: str, outcome: str, hold_s: int | None, reason: str, by: str) -> Override:
    fields: dict[str, object] = {"verdict": verdict, "reason": padded_reason(reason), "by": by}
    if verdict == "undetermined":
        fields["outcome"] = outcome
        if hold_s is not None:
            fields["hold_s"] = hold_s
    return msgspec.convert(fields, Override)


def _override(
    acting: ActingUser, account: str, change: Override, occasion: Occasion
) -> OverrideResult:
    result: OverrideResult = async_to_sync(actions.override_account)(
        acting.context, account, change, appealed=occasion.appealed, until_ms=occasion.until_ms,
        record=occasion.record,
    )  # fmt: skip
    return result


def reviewers_of(account: str) -> set[User]:
    """Return who has acted on an account: an appeal is decided by somebody else."""
    return {act.by for act in PersonAct.objects.filter(account=account).select_related("by")}
