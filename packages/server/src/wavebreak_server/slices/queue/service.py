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

import hashlib
import hmac
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, cast

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.db.models import (
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
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.outcomes import BY_RANK, REFUSING_ALL, SILENCING, Outcome, rank_of
from wavebreak.reports.tables import number
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.models import CaseSkip, Review, ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import PERMISSIONS
from wavebreak_server.texts import page_language, translate

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


def is_drawn(settings: Queue, decision: Mapping[str, Any], number: int, key: bytes) -> bool:
    """Whether chance makes an automatic action a case, whatever its priority."""
    by_itself = decision.get("basis") not in ("person", "challenge")
    acted = rank_of(str(decision["outcome"])) > rank_of("observe")
    return by_itself and acted and sampled(key, "drawn", number, settings.drawn_share)


def drawn_is_due(settings: Queue, user: User) -> bool:
    """Whether the next case of a reviewer is the oldest drawn one: each after as many others."""
    if settings.drawn_turn <= 0:
        return False
    turn = round(1 / settings.drawn_turn)
    newest = Review.objects.filter(reviewer=user, batch="").exclude(kind="golden").order_by("-id")
    drawn = list(newest.values_list("case__drawn", flat=True)[: turn - 1])
    return len(drawn) == turn - 1 and not any(drawn)


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

    A person's are those that they have claimed, and those that are assigned to them.
    """
    wanted = {"outcome": outcome[:16], "basis": basis[:16], "abuse": abuse[:48]}
    cases = cases.filter(**{name: value for name, value in wanted.items() if value})
    return cases if whose is None else cases.filter(Q(claimed_by=whose) | Q(assigned_to=whose))


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


def open_cases_beginning_with(text: str, most: int) -> list[ReviewCase]:
    """Return open cases of accounts whose names begin with a text."""
    opened = ReviewCase.objects.filter(state=ReviewCase.OPEN, blind=False)
    return list(opened.filter(account__startswith=text).order_by("account")[:most])


def accounts_of_cases(numbers: list[int]) -> list[str]:
    """Return the accounts of cases."""
    return list(ReviewCase.objects.filter(id__in=numbers).values_list("account", flat=True))


def accounts_of_open_cases(outcome: str, basis: str, abuse: str, most: int) -> list[str]:
    """Return the accounts of the waiting cases that a filter shows, most urgent first."""
    cases = filtered(waiting().filter(blind=False), outcome, basis, abuse)
    return list(cases.order_by("-priority").values_list("account", flat=True)[:most])


def find_case(number: int) -> ReviewCase:
    """Return a case with who has claimed it; raises ApiError (404)."""
    found: ReviewCase | None = (
        ReviewCase.objects.select_related("claimed_by", "assigned_to").filter(id=number).first()
    )
    if found is None:
        raise ApiError(
            404, translate("there is no such case"), fix=translate("go back to the queue")
        )
    return found


def open_case_of(account: str) -> ReviewCase | None:
    """Return the open case of an account that is no second look."""
    found: ReviewCase | None = ReviewCase.objects.filter(
        account=account, state=ReviewCase.OPEN, blind=False
    ).first()
    return found


def offered_to(cases: QuerySet, user: User, now_ms: int) -> QuerySet:
    """Return the cases that a reviewer may take: free, not skipped, no second look at own work.

    What is assigned to somebody else who may review is not offered.
    """
    skipped = CaseSkip.objects.filter(case=OuterRef("pk"), reviewer=user, until_ms__gt=now_ms)
    free = cases.filter(_free_for(user, now_ms), _assigned_for(user)).exclude(Exists(skipped))
    return free.exclude(Q(blind=True) & took_part(user))


def _assigned_for(user: User) -> Q:
    """Cases that are assigned to nobody else who could review them."""
    gone = Q(assigned_to__is_active=False) | ~Q(assigned_to__role__in=PERMISSIONS["review"])
    return Q(assigned_to=None) | Q(assigned_to=user) | gone


def _free_for(user: User, now_ms: int) -> Q:
    """Cases that nobody else has claimed."""
    return Q(claimed_by=None) | Q(claimed_by=user) | Q(lease_until_ms__lte=now_ms)


def took_part(user: User) -> Q:
    """Cases of accounts that a person has reviewed or acted on: no second look is theirs."""
    reviewed = Review.objects.filter(reviewer=user, case__account=OuterRef("account"))
    acted = PersonAct.objects.filter(by=user, account=OuterRef("account"))
    return Q(Exists(reviewed)) | Q(Exists(acted))


def claim(settings: Queue, case_id: int, user: User, now_ms: int) -> ReviewCase:
    """Claim a case, in the open transaction; a claim of one's own is prolonged.

    Raises ApiError (403, 404, 409) where there is no such open case, another person has it, or it
    is a second look at an account that this person took part in.
    """
    opened = ReviewCase.objects.filter(id=case_id, state=ReviewCase.OPEN)
    mine = Q(claimed_by=user)
    claimed = (
        opened.filter(_free_for(user, now_ms))
        .exclude(Q(blind=True) & took_part(user))
        .update(
            claimed_ms=Case(When(mine, then=F("claimed_ms")), default=Value(now_ms)),
            claimed_by=user,
            lease_until_ms=now_ms + duration_ms(settings.lease),
        )
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
    if case.blind and ReviewCase.objects.filter(took_part(user), id=case_id).exists():
        return ApiError(
            403,
            translate("a second look at a case is for somebody who took no part in it"),
            fix=translate("take the next one"),
        )
    return ChangedError()


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
        ApiError: It is closed or unknown (404), another person works on it or it is being decided
            (409), or it is a second look at an account that this person took part in (403).
    """
    found = ReviewCase.objects.filter(id=case_id, version=version, state=ReviewCase.OPEN)
    free = found.filter(_free_for(user, now_ms)).exclude(Q(blind=True) & took_part(user))
    if not free.update(**_deciding(settings, user, now_ms)):
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
    first_looks = ReviewCase.objects.filter(account=account, blind=False)
    opened = first_looks.filter(state=ReviewCase.OPEN)
    found = opened.values_list("id", flat=True).first()
    if found is not None and not opened.filter(id=found).update(
        **_deciding(settings, user, now_ms)
    ):
        raise _refusal(found, user, now_ms)
    if found is not None:
        with _given_back_on_error(found, now_ms) as case:
            yield case
        return
    if busy := first_looks.filter(state=ReviewCase.DECIDING).values_list("id", flat=True).first():
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
        newer = ReviewCase.objects.filter(
            account=case.account, blind=case.blind, state=ReviewCase.OPEN
        )
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


def close(
    settings: Queue, case: ReviewCase, review: Review, now_ms: int, key: bytes
) -> ReviewCase | None:
    """Close a taken case with a review, in the open transaction; return the blind second case.

    A share of the cases that were reviewed once is opened again for another person, who does not
    see the first verdict. Which ones follows from the case's number under `key`, not from its
    verdict; of a batch, none is. None where there is no second case.
    """
    end(case, review.verdict, now_ms)
    review.save()
    if case.blind or review.batch or not sampled(key, "blind", case.id, settings.blind_share):
        return None
    waiting = ReviewCase.objects.filter(account=case.account, blind=True, state=ReviewCase.OPEN)
    return None if waiting.exists() else open_blind_copy(case, now_ms)


def end(case: ReviewCase, verdict: str, now_ms: int) -> None:
    """Close a taken case; raises ChangedError where it was taken back meanwhile."""
    same = ReviewCase.objects.filter(id=case.id, version=case.version, state=ReviewCase.DECIDING)
    if not same.update(
        state=ReviewCase.CLOSED, closed_ms=now_ms, verdict=verdict, claimed_by=None,
        lease_until_ms=0, version=F("version") + 1,
    ):  # fmt: skip
        raise ChangedError


def open_blind_copy(case: ReviewCase, now_ms: int, **more: Any) -> ReviewCase:
    """Open a case anew, in the open transaction, for somebody who does not see the first verdict.

    `more` are further fields of the new case.
    """
    copy: ReviewCase = ReviewCase.objects.create(
        account=case.account, decision=case.decision, outcome=case.outcome, rule=case.rule,
        basis=case.basis, score=case.score, opened_ms=now_ms, changed_ms=now_ms, harm=case.harm,
        uncertainty=case.uncertainty, priority=case.priority, why=case.why, blind=True, **more,
    )  # fmt: skip
    return copy


def sample_key() -> bytes:
    """Return the key by which samples are drawn: nobody without the deployment's key knows them."""
    secret = str(django_settings.SECRET_KEY).encode()
    return hmac.digest(secret, b"wavebreak review samples", hashlib.sha256)


def sampled(key: bytes, sample: str, number: int, share: float) -> bool:
    """Whether what has a number is in a sample of this share; nobody can tell without the key.

    >>> sum(sampled(bytes(32), "blind", k, 0.05) for k in range(10_000))
    509
    """
    digest = hmac.digest(key, f"{sample}\0{number}".encode(), hashlib.sha256)
    return int.from_bytes(digest[:8]) < share * 2**64


LEAST_DRAWN, MOST_DRAWN = 30, 1_000
"""Judged cases below which nothing is estimated, and newest drawn cases that are read."""


class WrongActions(NamedTuple):
    """Of cases that chance has drawn: how many were judged, wrong, and not judged by anybody."""

    judged: int
    wrong: int
    unjudged: int

    @property
    def missing(self) -> int:
        """How many more judged cases an estimate needs."""
        return max(0, LEAST_DRAWN - self.judged)

    @property
    def share(self) -> float | None:
        """The share of automatic actions that is wrong; None while too few were judged."""
        return None if self.missing else self.wrong / self.judged

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval of the share."""
        return exact_interval(self.wrong, self.judged)


def wrong_actions() -> WrongActions:
    """Count the drawn cases, and those that a person called benign.

    Cases are taken by priority too, and drawn ones among them. So only those count that are older
    than every drawn case that still waits: of these, chance alone has chosen.
    """
    cases = ReviewCase.objects.filter(drawn=True, blind=False)
    waiting = cases.exclude(state=ReviewCase.CLOSED).order_by("id").values_list("id", flat=True)
    if (oldest := waiting.first()) is not None:
        cases = cases.filter(id__lt=oldest)
    newest = list(cases.order_by("-id")[:MOST_DRAWN])
    verdicts = _verdicts_on(newest)
    wrong = sum(verdict == "benign" for verdict in verdicts.values())
    return WrongActions(len(verdicts), wrong, len(newest) - len(verdicts))


def _verdicts_on(cases: list[ReviewCase]) -> dict[int, str]:
    """Return by case what a person said of it: in a review, or by an act while it was open."""
    reviews = Review.objects.filter(case__in=cases, kind="first", batch="", undone_ms=None)
    found: dict[int, str] = dict(reviews.order_by("id").values_list("case", "verdict"))
    left = [case for case in cases if case.id not in found]
    acts: dict[str, list[PersonAct]] = {}
    accounts = [case.account for case in left]
    for act in PersonAct.objects.filter(account__in=accounts, batch=None, undone_ms=None):
        acts.setdefault(act.account, []).append(act)
    for case in left:
        ended = case.closed_ms or 0
        for act in acts.get(case.account, ()):
            if act.case_id == case.id or case.opened_ms <= act.at_ms <= ended:
                found[case.id] = act.verdict
    return found


class Agreement(NamedTuple):
    """How two reviewers agree: pairs, share of equal verdicts, Cohen's kappa (None: undefined)."""

    pairs: int
    equal: float | None
    kappa: float | None


def agreement(pairs: list[tuple[str, str]]) -> Agreement:
    """Return the agreement of pairs of verdicts beyond chance (Cohen 1960).

    >>> found = agreement([("abusive", "abusive"), ("benign", "benign"), ("benign", "abusive")])
    >>> found.pairs, round(found.kappa, 2)
    (3, 0.4)
    """
    if not pairs:
        return Agreement(0, None, None)
    n = len(pairs)
    equal = sum(a == b for a, b in pairs) / n
    names = {name for pair in pairs for name in pair}
    chance = sum(
        sum(a == name for a, _ in pairs) / n * sum(b == name for _, b in pairs) / n
        for name in names
    )
    return Agreement(n, equal, None if chance >= 1 else (equal - chance) / (1 - chance))


def blind_pairs() -> list[tuple[str, str]]:
    """Return the first and the blind verdict of every decision that has both."""
    seconds = Review.objects.filter(kind="blind", undone_ms=None).values_list(
        "case__account", "case__decision", "verdict"
    )
    firsts = {
        (account, decision): verdict
        for account, decision, verdict in Review.objects.filter(
            kind="first",
            undone_ms=None,
            case__decision__in=[decision for _, decision, _ in seconds],
        ).values_list("case__account", "case__decision", "verdict")
    }
    return [
        (firsts[account, decision], verdict)
        for account, decision, verdict in seconds
        if (account, decision) in firsts
    ]
