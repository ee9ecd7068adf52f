"""Routing: whose a case is, and which kinds of abuse a person is offered first.

A lead assigns cases to people. What is assigned is offered to nobody else, unless its person is
gone; anybody may still open and claim it, so that no case waits for somebody who is ill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q, QuerySet

from wavebreak.rules import Policy
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.queue.service import took_part
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import translate

MOST = 500
"""Cases that one act assigns."""
NOBODY = "-"


def kinds_of(policy: Policy) -> dict[str, str]:
    """Return the kind of abuse that each rule of a policy is about."""
    return {rule.id: rule.abuse for rule in policy.rules}


def kinds_of_policy(policy: Policy) -> list[str]:
    """Return the kinds of abuse of a policy's rules, by name."""
    return sorted(set(kinds_of(policy).values()))


def read_kinds(given: Iterable[str], policy: Policy) -> list[str]:
    """Return the kinds of a form that a policy knows."""
    known = set(kinds_of_policy(policy))
    return [kind for kind in dict.fromkeys(given) if kind in known]


def reviewers() -> list[User]:
    """Return the people to whom cases can be assigned, by name."""
    people = User.objects.filter(is_active=True).order_by("username")
    return [person for person in people if person.may("review")]


def assign(acting: ActingUser, numbers: Sequence[int], name: str) -> int:
    """Assign open cases to a person (`NOBODY`: to nobody), in the open transaction; audited.

    A second look goes to nobody who took part in the first. Return how many were assigned.

    Raises:
        ApiError: There is no such reviewer, or no case was chosen, or too many were (422).
    """
    person = next((p for p in reviewers() if p.username == name), None)
    if person is None and name != NOBODY:
        raise ApiError(
            422, translate("there is no such reviewer"), fix=translate("choose one of the list")
        )
    if not numbers or len(numbers) > MOST:
        raise ApiError(
            422,
            translate("no case was chosen, or more than {most}", most=MOST),
            fix=translate("select some rows first"),
        )
    cases = ReviewCase.objects.filter(id__in=numbers, state=ReviewCase.OPEN)
    if person is not None:
        cases = cases.exclude(Q(blind=True) & took_part(person))
    count = int(cases.update(assigned_to=person))
    what = f"{count} to {name}" if person else f"{count} to nobody"
    listed = ", ".join(map(str, sorted(numbers)[:40]))
    write_audit_entry(acting.now_ms, acting.user.actor, "assign_cases", what, listed)
    return count


def routed(offered: QuerySet, user: User) -> int | None:
    """Return the case that a person is offered first, of those in order; None: there is none.

    What is assigned to them comes first; then what waits too long, whatever it is about; then the
    kinds that they chose; then the others.
    """
    own = offered.filter(assigned_to=user).values_list("id", flat=True).first()
    if own is not None:
        return int(own)
    first = offered.values_list("id", "overdue").first()
    if first is None or first[1] or not user.kinds:
        return None if first is None else int(first[0])
    kind = offered.filter(abuse__in=user.kinds).values_list("id", flat=True).first()
    return int(first[0] if kind is None else kind)
