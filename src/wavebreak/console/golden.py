"""Golden cases: reviewed accounts whose answer is known, mixed into the queue to check reviewers.

A golden case looks like a blind second look and, like one, changes nothing. A reviewer gets one in
place of a case of the queue, at the share of `console.toml`; which ones follows from a keyed digest
of the person and of how many cases they had, so that nobody can predict it. Who may see the list of
answers is offered none.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from wavebreak.console.config import Queue
from wavebreak.console.models import CaseSkip, GoldenAnswer, Review, ReviewCase, User
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.service.errors import ApiError

COPIED = ("account", "decision", "outcome", "rule", "basis", "score", "harm", "uncertainty",
          "priority", "why")  # fmt: skip


def mark(case: ReviewCase, verdict: str, why: str, user: User, now_ms: int) -> GoldenAnswer:
    """Mark a reviewed case as golden, with its answer and the explanation that reviewers read.

    Runs in the open transaction. Raises ApiError (409) where nobody reviewed it, or it is golden.
    """
    if case.state != ReviewCase.CLOSED or not case.reviews.exists():
        raise ApiError(409, "nobody has reviewed this case", fix="review it first")
    if case.blind or GoldenAnswer.objects.filter(account=case.account, retired_ms=None).exists():
        raise ApiError(409, "this account is golden already", fix="see the golden cases")
    made: GoldenAnswer = GoldenAnswer.objects.create(
        case=case, account=case.account, verdict=verdict, why=why, by=user, at_ms=now_ms
    )
    return made


def retire(answer: GoldenAnswer, now_ms: int) -> None:
    """Offer a golden case no more, in the open transaction; what was answered stays counted."""
    answer.retired_ms = now_ms
    answer.save(update_fields=["retired_ms"])
    answer.shown.filter(state=ReviewCase.OPEN).update(
        state=ReviewCase.CLOSED, closed_ms=now_ms, verdict="ended", version=F("version") + 1
    )


def golden_instead(
    terms: Queue, case: ReviewCase, user: User, cases: QuerySet, now_ms: int
) -> ReviewCase:
    """Return the case that a reviewer gets: `case`, or a golden one in its place.

    Runs in the open transaction. `cases` are those that the reviewer may take.
    """
    if user.may("view_golden") or not _is_turn(user, terms.golden_share):
        return case
    waiting: ReviewCase | None = cases.exclude(golden=None).first()
    if waiting is not None:
        return waiting
    known = Review.objects.filter(reviewer=user, case__account=OuterRef("account"))
    answers = GoldenAnswer.objects.filter(retired_ms=None).exclude(Exists(known)).exclude(by=user)
    answers = answers.exclude(shown__state=ReviewCase.OPEN)
    # The least answered first, so that each is measured by many people.
    answer = answers.annotate(n=Count("shown")).order_by("n", "id").first()
    if answer is None:
        return case
    made: ReviewCase = ReviewCase.objects.create(
        opened_ms=case.opened_ms, changed_ms=now_ms, blind=True, golden=answer,
        **{name: getattr(answer.case, name) for name in COPIED},
    )  # fmt: skip
    return made


def _is_turn(user: User, share: float) -> bool:
    """Whether the next case of a reviewer is a golden one; the same until they had another case."""
    had = Review.objects.filter(reviewer=user).count()
    had += CaseSkip.objects.filter(reviewer=user).count()
    text = f"golden\0{user.id}\0{had}".encode()
    digest = hmac.digest(settings.SECRET_KEY.encode(), text, hashlib.sha256)
    return int.from_bytes(digest[:8]) < share * 2**64


class GoldenFigures(NamedTuple):
    """How a reviewer answered golden cases; `low` and `high` are of the exact 95 % interval."""

    reviewer: str
    answered: int
    agreed: int

    @property
    def share(self) -> float:
        """The share of answers that agreed."""
        return self.agreed / self.answered

    @property
    def low(self) -> float:
        """The lower end of the share's interval."""
        return exact_interval(self.agreed, self.answered)[0]

    @property
    def high(self) -> float:
        """The upper end of the share's interval."""
        return exact_interval(self.agreed, self.answered)[1]


def figures(user: User | None = None) -> list[GoldenFigures]:
    """Return the figures of each reviewer (or one), most answers first."""
    answered = Review.objects.filter(kind=Review.GOLDEN)
    if user is not None:
        answered = answered.filter(reviewer=user)
    rows = answered.values_list("reviewer__username").annotate(
        n=Count("id"), agreed=Count("id", filter=Q(verdict=F("case__golden__verdict")))
    )
    return [GoldenFigures(*row) for row in rows.order_by("-n", "reviewer__username")]


def answers_of(user: User) -> list[Review]:
    """Return a reviewer's newest answers to golden cases."""
    answered = Review.objects.filter(kind=Review.GOLDEN, reviewer=user)
    return list(answered.select_related("case__golden").order_by("-id")[:20])


def feedback_after(review: Review) -> str:
    """Return what a reviewer reads after a golden case: whether the answer agreed, and why.

    Nothing was changed, so that there is nothing to undo.
    """
    golden = review.case.golden
    agreed = review.verdict == golden.verdict
    return (
        f"{golden.account} was a golden case: nothing was changed. "
        + ("Your answer agrees with" if agreed else f"You said {review.verdict}; it differs from")
        + f" the known one, {golden.verdict}. {golden.why}"
    )
