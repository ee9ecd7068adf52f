"""Reviews: what a person is offered next, golden cases, second opinions, figures of a session.

Golden cases calibrate reviewers. A lead marks a closed case with the verdict that the team agreed
on. A copy of it is offered to each reviewer now and then among other cases, shown as a second look
is: without the first verdict and what came of it. Its verdict changes nothing on the account.
Afterwards the reviewer reads what was agreed and why; leads and auditors see how often each
reviewer agrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Avg, Count, Exists, OuterRef, Q, QuerySet

from wavebreak.evaluation.intervals import exact_interval
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue import service
from wavebreak_server.slices.queue.models import Review, ReviewCase, SecondOpinion
from wavebreak_server.slices.queue.routing import routed
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import translate

AGREED = ("benign", "abusive")
"""Verdicts that a golden case may have."""
KIND = "golden"
SHOWN_CASES, SHOWN_REVIEWERS = 200, 100


# What a person is offered, and did


def claim_next(settings: Queue, user: User, now_ms: int) -> ReviewCase | None:
    """Claim the first case that is free for a person: a golden or a drawn one in its turn.

    None where nothing waits for them.
    """
    service.reopen_interrupted(now_ms)
    with transaction.atomic():
        case_id = None
        if is_due(settings, user):
            copy = offer(user, now_ms)
            case_id = copy.id if copy is not None else None
        offered = service.offered_to(service.ordered(settings, now_ms), user, now_ms)
        if case_id is None and service.drawn_is_due(settings, user):
            drawn = offered.filter(drawn=True).order_by("id")
            case_id = drawn.values_list("id", flat=True).first()
        if case_id is None:
            case_id = routed(offered, user)
        return service.claim(settings, case_id, user, now_ms) if case_id is not None else None


class SessionFigures(NamedTuple):
    """What a reviewer did since a time (ms): cases, verdicts with their counts, seconds a case."""

    since: int
    cases: int
    mix: list[tuple[str, int]]
    median_s: int | None


def session_figures(user: User, since_ms: int) -> SessionFigures:
    """Return what a reviewer did since a time."""
    mine = Review.objects.filter(reviewer=user, at_ms__gte=since_ms)
    mix = list(mine.values_list("verdict").annotate(n=Count("id")).order_by("-n"))
    seconds = sorted(mine.values_list("seconds", flat=True))
    return SessionFigures(
        since_ms, len(seconds), mix, seconds[len(seconds) // 2] if seconds else None
    )


def busiest_reviewers(most: int) -> list[dict[str, Any]]:
    """Return the people with the most reviews, with their mean time a case."""
    counted = Review.objects.values("reviewer__username").annotate(
        reviews=Count("id"), seconds=Avg("seconds")
    )
    return list(counted.order_by("-reviews")[:most])


# Golden cases


def mark(acting: ActingUser, case_id: int, verdict: str, reason: str) -> ReviewCase:
    """Make a closed case golden, and audit it, in the open transaction.

    Args:
        acting: Who marks it.
        case_id: The case.
        verdict: What the team agreed on, one of AGREED.
        reason: Why; the reviewer reads it afterwards.

    Raises:
        ApiError: The case is unknown (404), open, a second look, or golden already (409), or the
            verdict is none that can be agreed on (422).
    """
    if verdict not in AGREED:
        raise ApiError(
            422,
            translate("no verdict was chosen"),
            fix=translate("choose {names}", names=" or ".join(AGREED)),
        )
    found: ReviewCase | None = ReviewCase.objects.select_for_update().filter(id=case_id).first()
    if found is None:
        raise ApiError(
            404, translate("there is no such case"), fix=translate("go back to the queue")
        )
    if found.state != ReviewCase.CLOSED or found.blind or found.golden:
        raise ApiError(
            409,
            translate("the case is open, a second look, or golden already"),
            fix=translate("choose a closed case"),
        )
    found.golden, found.golden_reason = verdict, reason
    found.save(update_fields=["golden", "golden_reason"])
    what = f"{found.account}: {verdict}"
    write_audit_entry(acting.now_ms, acting.user.actor, "mark_golden", what, reason)
    return found


def unmark(acting: ActingUser, case_id: int, reason: str) -> ReviewCase:
    """Offer a golden case to nobody any more, and audit it; answers to it stay.

    In the open transaction. Raises ApiError (404) where it is not golden.
    """
    found: ReviewCase | None = (
        golden_cases().select_for_update(of=("self",)).filter(id=case_id).first()
    )
    if found is None:
        raise ApiError(
            404, translate("the case is not golden"), fix=translate("see the list of golden cases")
        )
    found.golden = ""
    found.save(update_fields=["golden"])
    write_audit_entry(acting.now_ms, acting.user.actor, "unmark_golden", found.account, reason)
    return found


def golden_cases() -> QuerySet:
    """Return the golden cases, newest first."""
    return ReviewCase.objects.filter(blind=False).exclude(golden="").order_by("-id")


def is_due(settings: Queue, user: User) -> bool:
    """Whether the next case of a reviewer is a golden one: each has its turn after as many others.

    >>> from wavebreak_server.slices.config import load_config
    >>> load_config().queue.golden_share
    0.03
    """
    if settings.golden_share <= 0:
        return False
    mine = Review.objects.filter(reviewer=user, batch="")
    last = mine.filter(kind=KIND).order_by("-id").values_list("id", flat=True).first()
    others = mine.filter(id__gt=last or 0).exclude(kind=KIND)
    return bool(others.count() >= round(1 / settings.golden_share) - 1)


def offer(user: User, now_ms: int) -> ReviewCase | None:
    """Open a copy of a golden case that is new to a reviewer, in the open transaction.

    The one with the fewest answers comes first. None where there is none left.
    """
    waiting = ReviewCase.objects.filter(
        account=OuterRef("account"), state=ReviewCase.OPEN, blind=True
    )
    answers = Count("copies__reviews", filter=Q(copies__reviews__kind=KIND))
    chosen = (
        golden_cases()
        .exclude(service.took_part(user))
        .exclude(Exists(waiting))
        .annotate(answers=answers)
        .order_by("answers", "id")
        .first()
    )
    if chosen is None:
        return None
    return service.open_blind_copy(
        chosen, now_ms, golden=chosen.golden, golden_reason=chosen.golden_reason, copy_of=chosen
    )


class Answers(NamedTuple):
    """Answers to golden cases: all, as agreed, undetermined; the share agreed with its interval."""

    total: int
    agreed: int
    undetermined: int

    @property
    def share(self) -> float | None:
        """The share that agrees; None without an answer."""
        return self.agreed / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval of that share."""
        return exact_interval(self.agreed, self.total)


def count_answers(pairs: Sequence[tuple[str, str]]) -> Answers:
    """Count answers, given as (agreed verdict, answer).

    >>> count_answers([("benign", "benign"), ("abusive", "undetermined")])
    Answers(total=2, agreed=1, undetermined=1)
    """
    given = Counter("agreed" if agreed == answer else answer for agreed, answer in pairs)
    return Answers(len(pairs), given["agreed"], given["undetermined"])


def answers_by_reviewer() -> list[tuple[str, Answers]]:
    """Return each reviewer's answers, most answers first."""
    found: dict[str, list[tuple[str, str]]] = {}
    given = Review.objects.filter(kind=KIND).select_related("reviewer", "case")
    for review in given.order_by("id"):
        pair = (review.case.golden, review.verdict)
        found.setdefault(review.reviewer.shown_name, []).append(pair)
    counted = [(name, count_answers(pairs)) for name, pairs in found.items()]
    return sorted(counted, key=lambda one: (-one[1].total, one[0]))[:SHOWN_REVIEWERS]


def answers_by_case() -> list[tuple[ReviewCase, Answers]]:
    """Return the golden cases with the answers to each, newest case first."""
    cases = list(golden_cases()[:SHOWN_CASES])
    pairs: dict[int, list[tuple[str, str]]] = {}
    given = Review.objects.filter(kind=KIND, case__copy_of__in=cases)
    for original, agreed, verdict in given.values_list("case__copy_of", "case__golden", "verdict"):
        pairs.setdefault(original, []).append((agreed, verdict))
    return [(case, count_answers(pairs.get(case.id, []))) for case in cases]


# Second opinions


def ask_opinion(acting: ActingUser, case: ReviewCase, question: str) -> None:
    """Ask a colleague about a case, which is free for them meanwhile; twice the same asks once."""
    with transaction.atomic():
        ReviewCase.objects.select_for_update().get(id=case.id)
        SecondOpinion.objects.get_or_create(
            case=case,
            asked_by=acting.user,
            question=question,
            answered_by=None,
            defaults={"asked_ms": acting.now_ms},
        )
    service.release(case.id, acting.user, f"Second opinion asked: {question}")


def questions_for(user: User, most: int) -> list[SecondOpinion]:
    """Return the open questions about open cases that others asked, oldest first."""
    opened = SecondOpinion.objects.filter(answered_by=None, case__state=ReviewCase.OPEN)
    return list(
        opened.exclude(asked_by=user).select_related("case", "asked_by").order_by("id")[:most]
    )


def open_question(acting: ActingUser, opinion_id: int) -> SecondOpinion:
    """Return a question that a person may answer; raises ApiError (404) where there is none."""
    found: SecondOpinion | None = SecondOpinion.objects.filter(
        id=opinion_id, answered_by=None
    ).first()
    if found is None or found.asked_by_id == acting.user.id:
        raise ApiError(
            404,
            translate("there is no such open question for you"),
            fix=translate("open the case anew"),
        )
    return found


def answer_opinion(acting: ActingUser, opinion: SecondOpinion, text: str) -> None:
    """Answer an open question; raises ApiError (409) where somebody has answered it meanwhile."""
    waiting = SecondOpinion.objects.filter(id=opinion.id, answered_by=None)
    if not waiting.update(answer=text, answered_by=acting.user, answered_ms=acting.now_ms):
        raise ApiError(409, "the question was answered meanwhile", fix="open the case anew")
