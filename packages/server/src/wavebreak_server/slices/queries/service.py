"""Queries over accounts: by outcome, rule, operator, time and measures; and saved views.

The cost is bounded. Candidates come from tables and from the newest decisions; at most
`MOST_MEASURED` of them are read from the engine, some hundreds between two batches of the log. What
was not read is counted.
"""

from __future__ import annotations

import operator as comparisons
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import QueryDict

from wavebreak.durations import DAY_MS
from wavebreak.engine.account_queries import measures
from wavebreak.errors import PolicyError
from wavebreak.features.catalog import INDEX, get_feature
from wavebreak.outcomes import OUTCOMES
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.accounts import neighbours
from wavebreak_server.slices.accounts.service import accounts_with
from wavebreak_server.slices.queries.models import SavedView
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import rule_statistics
from wavebreak_server.texts import translate

MOST_MEASURED = 5_000
"""Candidates whose measures are read."""
AT_ONCE = 250
"""Accounts that are read between two batches of the log."""
MOST_MEASURES = 4
MOST_DAYS = 366
MOST_VIEWS = 50
"""Saved views of a person."""
LONGEST = 60
OPS = {">=": comparisons.ge, "<=": comparisons.le}


class Measure(msgspec.Struct, frozen=True):
    """A measure of an account, compared with a value."""

    feature: str
    op: str
    value: float


class Criteria(msgspec.Struct, frozen=True):
    """What accounts of a result have in common; empty ones ask for nothing.

    Attributes:
        outcome: What is in force.
        rule: A rule that decided on it, among the newest decisions.
        operator: The operator that it seems to be of.
        days: A rule decided on it in so many days.
        measures: Comparisons that all hold.
    """

    outcome: str = ""
    rule: str = ""
    operator: str = ""
    days: int = 0
    measures: tuple[Measure, ...] = ()

    @property
    def query(self) -> str:
        """The criteria as the query of an address."""
        pairs: list[tuple[str, Any]] = [
            (name, value)
            for name in ("outcome", "rule", "operator", "days")
            if (value := getattr(self, name))
        ]
        for each in self.measures:
            pairs += [("measure", each.feature), ("op", each.op), ("value", f"{each.value:.12g}")]
        return urlencode(pairs)


class Row(NamedTuple):
    """An account of a result: what is in force, its newest decision by a rule, and measures."""

    account: str
    outcome: str
    ts: int | None
    rules: tuple[str, ...]
    values: tuple[float, ...]


class Found(NamedTuple):
    """A result: its accounts, how many were candidates, and how many of these were not read."""

    rows: list[Row]
    candidates: int
    unread: int


def criteria_of(given: QueryDict) -> Criteria:
    """Return the criteria of a form.

    Raises:
        ApiError: There is no such outcome or measure, or a value is no number (422).
    """
    outcome, days = given.get("outcome", ""), given.get("days", "").strip()
    if outcome and outcome not in OUTCOMES:
        raise ApiError(
            422, translate("there is no such outcome"), fix=translate("choose one of the list")
        )
    if days and not (days.isascii() and days.isdigit() and 0 < int(days) <= MOST_DAYS):
        raise ApiError(
            422,
            translate("the days are no number"),
            fix=translate("write 1 to {most}", most=MOST_DAYS),
        )
    measures = _measures(*(given.getlist(name) for name in ("measure", "op", "value")))
    return Criteria(
        outcome,
        given.get("rule", "").strip()[:64],
        given.get("operator", "").strip()[:64],
        int(days or 0),
        tuple(measures),
    )


def _measures(names: list[str], ops: list[str], values: list[str]) -> Iterator[Measure]:
    for name, op, value in islice(zip(names, ops, values, strict=False), MOST_MEASURES):
        if not name.strip():
            continue
        try:
            feature = get_feature(name.strip()[:64]).name
        except PolicyError as error:
            raise ApiError(422, error.what, fix=error.fix) from error
        try:
            number = float(value.replace(",", "").strip()[:24])
        except ValueError:
            number = float("nan")
        if not abs(number) < 1e15 or op not in OPS:
            raise ApiError(
                422,
                translate("{name} is compared with no number", name=feature),
                fix=translate("write one, as in 20 or 0.5"),
            )
        yield Measure(feature, op, number)


def find(acting: ActingUser, criteria: Criteria) -> Found:
    """Return the accounts that meet criteria, those with the newest decisions first."""
    decided = _decided(acting, criteria)
    candidates = _candidates(acting, criteria, decided)
    chosen = candidates[:MOST_MEASURED]
    rows: list[Row] = []
    indexes = [INDEX[each.feature] for each in criteria.measures]
    for begin in range(0, len(chosen), AT_ONCE):
        part = chosen[begin : begin + AT_ONCE]
        read = acting.query(measures, part, indexes=indexes)
        for account in (each for each in part if each in read):
            outcome, values = read[account]
            if criteria.outcome in ("", outcome) and _all_hold(criteria.measures, values):
                ts, rules = decided.get(account, (None, ()))
                rows.append(Row(account, outcome, ts, rules, values))
    return Found(rows, len(candidates), len(candidates) - len(chosen))


def _decided(acting: ActingUser, criteria: Criteria) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return by account its newest decision that fits rule and time, the newest first."""
    since = acting.now_ms - criteria.days * DAY_MS if criteria.days else 0
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for decision in reversed(rule_statistics.newest_decisions(acting)):
        fits = decision.ts >= since and (not criteria.rule or criteria.rule in decision.rules)
        if fits and decision.account not in found:
            found[decision.account] = decision.ts, decision.rules
    return found


def _candidates(acting: ActingUser, criteria: Criteria, decided: Iterable[str]) -> list[str]:
    """Return the accounts that may meet criteria: of decisions, of an operator, of an outcome."""
    if criteria.operator:
        operators = neighbours.operators(acting)
        members = {a for each in operators if each.id == criteria.operator for a in each.accounts}
        if not (criteria.rule or criteria.days):
            return sorted(members)
        return [account for account in decided if account in members]
    if criteria.rule or criteria.days or criteria.outcome == "allow":
        return list(decided)
    in_force = accounts_with(criteria.outcome, acting.now_ms).values_list("account", flat=True)
    most = list(in_force[: MOST_MEASURED + 1])
    # Without an outcome, whose outcome has ended is found by its decision.
    return most if criteria.outcome else list(dict.fromkeys((*decided, *most)))


def _all_hold(measures: Sequence[Measure], values: Sequence[float]) -> bool:
    """Whether comparisons hold; a missing measure meets none."""
    return all(OPS[m.op](value, m.value) for m, value in zip(measures, values, strict=True))


# Saved views


def views_of(user: User) -> list[tuple[SavedView, Criteria]]:
    """Return a person's views and the shared ones, by name."""
    rows = SavedView.objects.filter(Q(owner=user) | Q(shared=True)).select_related("owner")
    return [
        (view, msgspec.convert(view.criteria, Criteria)) for view in rows.order_by("name", "id")
    ]


def save_view(acting: ActingUser, name: str, criteria: Criteria, *, shared: bool) -> None:
    """Save criteria under a name of this person's, in place of former ones, and audit it.

    Raises:
        ApiError: The name is empty or long (422), or the person has too many views (409), or may
            not share (403).
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST:
        raise ApiError(
            422,
            translate("the view has no name, or a long one"),
            fix=translate("write at most {longest} characters", longest=LONGEST),
        )
    if shared and not acting.user.may("share_views"):
        raise ApiError(
            403,
            translate("your role shares no views"),
            fix=translate("save it for yourself, and ask a lead to share it"),
        )
    own = SavedView.objects.filter(owner=acting.user)
    if own.exclude(name=name).count() >= MOST_VIEWS:
        raise ApiError(
            409,
            translate("you have {most} views", most=MOST_VIEWS),
            fix=translate("remove one first"),
        )
    values = {
        "criteria": msgspec.to_builtins(criteria), "shared": shared, "created_ms": acting.now_ms,
    }  # fmt: skip
    try:
        with transaction.atomic():
            SavedView.objects.update_or_create(owner=acting.user, name=name, defaults=values)
    except IntegrityError:
        own.filter(name=name).update(**values)
    what = "share_view" if shared else "save_view"
    write_audit_entry(acting.now_ms, acting.user.actor, what, name, criteria.query[:500])


def remove_view(acting: ActingUser, number: int) -> None:
    """Remove a view of one's own, or, by who may share, a shared one; audited.

    Raises:
        ApiError: There is no such view for this person (404).
    """
    mine = Q(owner=acting.user)
    if acting.user.may("share_views"):
        mine |= Q(shared=True)
    view = SavedView.objects.filter(mine, id=number).first()
    if view is None or not SavedView.objects.filter(id=number).delete()[0]:
        raise ApiError(
            404, translate("there is no such view"), fix=translate("choose one of the list")
        )
    write_audit_entry(acting.now_ms, acting.user.actor, "remove_view", view.name, "")
