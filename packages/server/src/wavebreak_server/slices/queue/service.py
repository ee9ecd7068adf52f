"""Review queue: which decisions become cases, their order, claims, and verdicts.

A case's priority is expected harm times uncertainty. Harm has two sides: to the holder if the
outcome is wrong, and to the people whom an abusive account still reaches if it is too mild. While
a case is open it is measured again (`live_accounts`): what counts is the harm that is left to
prevent, and a case on which no decision could change anything is left out. A case that waits longer
than the age floor comes before all others, so that none starves.

A verdict is given once: the database lets one of several requests take the case, by its number, its
version and its state, and only that one acts on the account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, cast

from django.db import IntegrityError, transaction
from django.db.models import (
    Avg,
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)

from wavebreak.durations import duration_ms
from wavebreak.outcomes import BY_RANK, REFUSING_ALL, SILENCING, Outcome, rank_of
from wavebreak.reports.tables import number
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.models import CaseSkip, Review, ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import page_language, translate

SIMILAR = 3
"""Similar cases that a page lists."""
WIDE_REACH = 1_000
"""Strangers written to first that count as the widest reach."""
_REACH = ("stranger_contacts", "unanswered_strangers_1d", "first_contacts_1d", "first_contacts_7d")


class Priority(NamedTuple):
    """Expected harm (0 to 1), uncertainty (0 to 1), and why in sentences of the page's language.

    A case stores them in English, as its indexer says them; a page says them anew.
    """

    harm: float
    uncertainty: float
    why: list[str]

    @property
    def value(self) -> float:
        """Their product, by which cases are ordered."""
        return self.harm * self.uncertainty


def chance_of_abuse(settings: Queue, basis: str, score: float | None) -> float:
    """Return the chance that an account is abusive, as far as a decision tells it.

    >>> from wavebreak_server.slices.config import load_config
    >>> chance_of_abuse(load_config().queue, "doubt", 0.8)
    0.8
    """
    if basis == "doubt" and score is not None:
        return score
    return float(getattr(settings.chance, basis, settings.chance.doubt))


def priority_of(settings: Queue, decision: Mapping[str, Any]) -> Priority:
    """Return the priority of a decision.

    >>> from wavebreak_server.slices.config import load_config
    >>> p = priority_of(load_config().queue, {"outcome": "limit", "basis": "doubt", "score": 0.6,
    ...     "reasons": [{"feature": "stranger_contacts", "value": 40}]})
    >>> round(p.harm, 3), round(p.uncertainty, 2), p.why[0]
    (0.241, 0.96, 'The chance of abuse is put at 60 %: both answers are possible.')
    """
    outcome = str(decision["outcome"])
    chance = chance_of_abuse(settings, str(decision.get("basis", "")), decision.get("score"))
    values = {r["feature"]: r.get("value") for r in decision.get("reasons") or ()}
    reached = max((values[name] or 0.0 for name in _REACH if name in values), default=0.0)
    reach = reach_of(reached)
    wrong = settings.harm.get(cast(Outcome, outcome), 0.0)
    basis = str(decision.get("basis", ""))
    if basis == "doubt" and decision.get("score") is not None:
        basis = ""
    return weighed(settings, outcome, chance, reach, _why(outcome, chance, wrong, reached, basis))


def weighed(
    settings: Queue, outcome: str, chance: float, reach: float, why: list[str]
) -> Priority:  # fmt: skip
    """Return the priority of a case: to the holder of an outcome, and to whom abuse may reach.

    Args:
        settings: How much each outcome harms an honest holder.
        outcome: What is in force, or was decided.
        chance: The chance of abuse.
        reach: How wide the account reaches, from 0 to 1.
        why: What is said of it.
    """
    severity = rank_of(outcome) / rank_of(BY_RANK[-1])
    wrong = settings.harm.get(cast(Outcome, outcome), 0.0)
    harm = (1 - chance) * wrong + chance * reach * (1 - severity)
    return Priority(harm, 4 * chance * (1 - chance), why)


def reach_of(strangers: float) -> float:
    """Return how wide the reach to so many strangers is, from 0 to 1.

    >>> reach_of(0), round(reach_of(40), 2), reach_of(5_000)
    (0.0, 0.54, 1.0)
    """
    return min(1.0, math.log1p(strangers) / math.log1p(WIDE_REACH))


def _why(outcome: str, chance: float, wrong: float, reached: float, basis: str) -> list[str]:
    share = page_language().gettext("{n} %", n=f"{100 * chance:.0f}")
    close = 0.25 < chance < 0.75
    if basis:
        put = translate(
            "The chance of abuse is put at {share}, as of every decision that rests on {basis}:",
            share=share,
            basis=translate(basis),
        )
    else:
        put = translate("The chance of abuse is put at {share}:", share=share)
    answers = (
        translate("both answers are possible.")
        if close
        else translate("one answer is likelier by far.")
    )
    sentences, named = [f"{put} {answers}"], translate(outcome)
    if outcome in SILENCING:
        silenced = translate("If it is wrong, {outcome} silences an honest person.", outcome=named)
        sentences.append(silenced)
    elif wrong:
        slowed = translate("If it is wrong, {outcome} slows an honest person.", outcome=named)
        sentences.append(slowed)
    if reached >= 1 and outcome not in REFUSING_ALL:
        sentences.append(
            translate(
                "It has written first to {count} strangers and can go on.", count=number(reached)
            )
        )
    return sentences


def becomes_case(settings: Queue, decision: Mapping[str, Any], priority: Priority) -> bool:
    """Whether a person should look at a decision: it silences, or its priority is high enough.

    What a person decided, and what ended by a passed challenge, is no case.
    """
    if decision.get("basis") in ("person", "challenge") or decision["outcome"] == "allow":
        return False
    return decision["outcome"] in SILENCING or priority.value >= settings.least_priority


def waiting() -> QuerySet:
    """Return the open cases on which a decision could change something."""
    return ReviewCase.objects.filter(state=ReviewCase.OPEN, idle=False)


def left_out() -> QuerySet:
    """Return the open cases on which a decision could change nothing now."""
    return ReviewCase.objects.filter(state=ReviewCase.OPEN, idle=True)


def ordered(settings: Queue, now_ms: int, cases: QuerySet | None = None) -> QuerySet:
    """Return the cases that wait, or others, in the order of the queue."""
    overdue = Case(
        When(is_overdue(settings, now_ms), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )
    return (
        (waiting() if cases is None else cases)
        .annotate(overdue=overdue)
        .order_by("-overdue", Case(When(overdue=True, then=F("opened_ms"))), "-priority", "id")
    )


def is_overdue(settings: Queue, now_ms: int) -> Q:
    """Cases that wait longer than they may: by their kind of abuse, else the age floor."""
    targets = {kind: duration_ms(target) for kind, target in settings.age_targets.items()}
    floor = now_ms - duration_ms(settings.age_floor)
    overdue = Q(opened_ms__lt=floor) & ~Q(abuse__in=list(targets))
    for kind, target in targets.items():
        overdue |= Q(abuse=kind, opened_ms__lt=now_ms - target)
    return overdue


def filtered(
    cases: QuerySet, outcome: str, basis: str, abuse: str = "", whose: User | None = None
) -> QuerySet:
    """Return the cases of an outcome, a basis, a kind of abuse and a person; "" and None: any.

    A person's are those that they have claimed.
    """
    wanted = {"outcome": outcome[:16], "basis": basis[:16], "abuse": abuse[:48]}
    cases = cases.filter(**{name: value for name, value in wanted.items() if value})
    return cases if whose is None else cases.filter(claimed_by=whose)


def open_counts(field: str) -> list[tuple[str, int]]:
    """Return how many waiting cases have each value of a field, the most frequent first."""
    return list(waiting().values_list(field).annotate(n=Count("id")).order_by("-n"))


def overdue_count(settings: Queue, now_ms: int) -> int:
    """Return how many waiting cases wait longer than they may."""
    return int(waiting().filter(is_overdue(settings, now_ms)).count())


def open_cases() -> tuple[int, int | None]:
    """Return how many cases wait, and since when the oldest is open (ms)."""
    counted = waiting().aggregate(count=Count("id"), oldest=Min("opened_ms"))
    return counted["count"], counted["oldest"]


def accounts_of_cases(numbers: list[int]) -> list[str]:
    """Return the accounts of cases."""
    return list(ReviewCase.objects.filter(id__in=numbers).values_list("account", flat=True))


def accounts_of_open_cases(outcome: str, basis: str, abuse: str, most: int) -> list[str]:
    """Return the accounts of the waiting cases that a filter shows, most urgent first."""
    cases = filtered(waiting(), outcome, basis, abuse)
    return list(cases.order_by("-priority").values_list("account", flat=True)[:most])


def find_case(number: int) -> ReviewCase:
    """Return a case with who has claimed it; raises ApiError (404)."""
    found: ReviewCase | None = (
        ReviewCase.objects.select_related("claimed_by").filter(id=number).first()
    )
    if found is None:
        raise ApiError(
            404, translate("there is no such case"), fix=translate("go back to the queue")
        )
    return found


def open_case_of(account: str) -> ReviewCase | None:
    """Return the open case of an account."""
    case: ReviewCase | None = ReviewCase.objects.filter(
        account=account, state=ReviewCase.OPEN
    ).first()
    return case


def offered_to(cases: QuerySet, user: User, now_ms: int) -> QuerySet:
    """Return the cases that a reviewer may take: unclaimed, and not skipped."""
    skipped = CaseSkip.objects.filter(case=OuterRef("pk"), reviewer=user, until_ms__gt=now_ms)
    return cases.filter(_free_for(user, now_ms)).exclude(Exists(skipped))


def claim_next(settings: Queue, user: User, now_ms: int) -> ReviewCase | None:
    """Claim the first case that a person may take; None if none waits."""
    reopen_interrupted(now_ms)
    with transaction.atomic():
        offered = offered_to(ordered(settings, now_ms), user, now_ms)
        case_id = offered.values_list("id", flat=True).first()
        return claim(settings, case_id, user, now_ms) if case_id is not None else None


def _free_for(user: User, now_ms: int) -> Q:
    """Cases that nobody else has claimed."""
    return Q(claimed_by=None) | Q(claimed_by=user) | Q(lease_until_ms__lte=now_ms)


def claim(settings: Queue, case_id: int, user: User, now_ms: int) -> ReviewCase:
    """Claim a case, in the open transaction; a claim of one's own is prolonged.

    Raises ApiError (404, 409) if there is no such open case, or another person has it.
    """
    opened = ReviewCase.objects.filter(id=case_id, state=ReviewCase.OPEN)
    mine = Q(claimed_by=user)
    claimed = opened.filter(_free_for(user, now_ms)).update(
        claimed_ms=Case(When(mine, then=F("claimed_ms")), default=Value(now_ms)),
        claimed_by=user,
        lease_until_ms=now_ms + duration_ms(settings.lease),
    )
    if not claimed:
        raise _refusal(case_id, user, now_ms)
    found: ReviewCase = opened.get()
    return found


class ChangedError(ApiError):
    """A case is not as it was when its page was read."""

    def __init__(self) -> None:
        super().__init__(
            409, "the case changed while you read it", fix="read what is new, then decide"
        )


def _refusal(case_id: int, user: User, now_ms: int) -> ApiError:
    """Return why a person cannot have a case."""
    case = ReviewCase.objects.select_related("claimed_by").filter(id=case_id).first()
    if case is None or case.state == ReviewCase.CLOSED:
        return ApiError(
            404, translate("the case is closed or unknown"), fix=translate("take the next one")
        )
    if case.state == ReviewCase.DECIDING:
        return ApiError(
            409,
            translate("a verdict on this case is being carried out"),
            fix=translate("take the next one"),
        )
    if case.claimed_by_id not in (None, user.id) and case.lease_until_ms > now_ms:
        name = case.claimed_by.shown_name
        return ApiError(
            409,
            translate("{name} works on this case", name=name),
            fix=translate("take the next one"),
        )
    return ChangedError()


def _free(case_id: int, version: int, user: User, now_ms: int) -> QuerySet:
    found = ReviewCase.objects.filter(id=case_id, version=version, state=ReviewCase.OPEN)
    return found.filter(_free_for(user, now_ms))


def find_free(case_id: int, version: int, user: User, now_ms: int) -> ReviewCase:
    """Return a case that a person may decide; raises as `taken` does."""
    found: ReviewCase | None = _free(case_id, version, user, now_ms).first()
    if found is None:
        raise _refusal(case_id, user, now_ms)
    return found


@contextmanager
def taken(
    settings: Queue, case_id: int, version: int, user: User, now_ms: int
) -> Iterator[ReviewCase]:
    """Take a case for a verdict that is carried out within the block; it goes back if that fails.

    Args:
        settings: Settings of the queue.
        case_id: The case.
        version: The version of it that the person has read.
        user: Who decides.
        now_ms: The time.

    Raises:
        ChangedError: It has another version.
        ApiError: The case is closed or unknown (404), or another person works on it or decides it
            (409).
    """
    if not _free(case_id, version, user, now_ms).update(**_deciding(settings, user, now_ms)):
        raise _refusal(case_id, user, now_ms)
    with _given_back_on_error(case_id, now_ms) as case:
        yield case


@contextmanager
def taken_of_account(
    settings: Queue, account: str, user: User, now_ms: int
) -> Iterator[ReviewCase | None]:
    """Take the open case of an account that a person acts on, whoever has claimed it.

    None where it has none. Raises ApiError (409) while a verdict on it is being carried out.
    """
    cases = ReviewCase.objects.filter(account=account)
    opened = cases.filter(state=ReviewCase.OPEN)
    found = opened.values_list("id", flat=True).first()
    if found is not None and not opened.filter(id=found).update(
        **_deciding(settings, user, now_ms)
    ):
        raise _refusal(found, user, now_ms)
    if found is not None:
        with _given_back_on_error(found, now_ms) as case:
            yield case
        return
    if busy := cases.filter(state=ReviewCase.DECIDING).values_list("id", flat=True).first():
        raise _refusal(busy, user, now_ms)
    yield None


def _deciding(settings: Queue, user: User, now_ms: int) -> dict[str, Any]:
    """Return the changes by which a case is taken; while its lease lasts, nobody else may."""
    return {
        "state": ReviewCase.DECIDING,
        "version": F("version") + 1,
        "claimed_ms": Case(When(claimed_by=user, then=F("claimed_ms")), default=Value(now_ms)),
        "claimed_by": user,
        "lease_until_ms": now_ms + duration_ms(settings.lease),
    }


@contextmanager
def _given_back_on_error(case_id: int, now_ms: int) -> Iterator[ReviewCase]:
    case: ReviewCase = ReviewCase.objects.get(id=case_id)
    try:
        yield case
    except BaseException:
        # Where a new case is opened at this moment, this one is closed when its lease has ended.
        with suppress(IntegrityError), transaction.atomic():
            reopen(ReviewCase.objects.filter(id=case_id, state=ReviewCase.DECIDING), now_ms)
        raise


def reopen(cases: QuerySet, now_ms: int) -> int:
    """Open cases again, in the open transaction; return how many were opened.

    A case whose account has a newer open one stays closed: that one asks for the verdict.
    """
    count = 0
    for case in cases:
        newer = ReviewCase.objects.filter(account=case.account, state=ReviewCase.OPEN)
        change: dict[str, Any] = {"state": ReviewCase.OPEN, "closed_ms": None, "verdict": ""}
        if newer.exists():
            change = {"state": ReviewCase.CLOSED, "closed_ms": now_ms, "verdict": "ended"}
        same = ReviewCase.objects.filter(id=case.id, version=case.version, state=case.state)
        changed = same.update(**change, claimed_by=None, lease_until_ms=0, version=F("version") + 1)
        count += changed * (change["state"] == ReviewCase.OPEN)
    return count


def reopen_interrupted(now_ms: int) -> None:
    """Open the cases again whose verdict was never carried out: the service had ended meanwhile."""
    left = ReviewCase.objects.filter(state=ReviewCase.DECIDING, lease_until_ms__lte=now_ms)
    if left.exists():
        with transaction.atomic():
            reopen(left, now_ms)


def release(case_id: int, user: User, note: str) -> None:
    """Give a claim back, with a note for who takes the case next."""
    ReviewCase.objects.filter(id=case_id, claimed_by=user).update(
        claimed_by=None, lease_until_ms=0, note=note[:500], note_by=user.actor if note else ""
    )


def skip(settings: Queue, case_id: int, user: User, now_ms: int) -> None:
    """Skip a case: it goes back to the queue, and is not offered to this person for a while."""
    until = now_ms + duration_ms(settings.skip)
    release(case_id, user, "")
    CaseSkip.objects.update_or_create(case_id=case_id, reviewer=user, defaults={"until_ms": until})


def close(case: ReviewCase, review: Review, now_ms: int) -> None:
    """Close a taken case with a review, in the open transaction."""
    end(case, review.verdict, now_ms)
    review.save()


def end(case: ReviewCase, verdict: str, now_ms: int) -> None:
    """Close a taken case; raises ChangedError where it was taken back meanwhile."""
    same = ReviewCase.objects.filter(id=case.id, version=case.version, state=ReviewCase.DECIDING)
    if not same.update(
        state=ReviewCase.CLOSED, closed_ms=now_ms, verdict=verdict, claimed_by=None,
        lease_until_ms=0, version=F("version") + 1,
    ):  # fmt: skip
        raise ChangedError


class SimilarCases(NamedTuple):
    """Verdicts on similar cases: how many of each, and the newest reviews."""

    verdicts: list[tuple[str, int]]
    newest: list[Review]


def similar_cases(case: ReviewCase | None = None, campaign: str = "") -> SimilarCases:
    """Return what people decided on cases of a campaign, or of the rule and shape of a case."""
    alike = Q(case__campaign=campaign)
    if case is not None:
        alike = Q(case__rule=case.rule, case__shape=case.shape)
    reviews = Review.objects.filter(alike, undone_ms=None)
    newest = reviews.select_related("case", "reviewer").order_by("-id")[:SIMILAR]
    counts = reviews.values_list("verdict").annotate(n=Count("id")).order_by("-n")
    return SimilarCases(list(counts), list(newest))


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


def busiest_reviewers(limit: int) -> list[dict[str, Any]]:
    """Return the people with the most reviews, with their mean time a case."""
    counted = Review.objects.values("reviewer__username").annotate(
        reviews=Count("id"), seconds=Avg("seconds")
    )
    return list(counted.order_by("-reviews")[:limit])
