"""Items of evidence, made of what a person states and of what their exhibit gives itself.

The commands `case evidence`, `case correct` and `case draft` and the console's forms make their
items here, so that one statement gives one item whichever way it was entered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.workspace import CaseWorkspace
from wavebreak_cases.cases.case import Exhibit
from wavebreak_cases.cases.parties import Basis, Evidence, Strength, Violation

Violations = tuple[Violation, ...] | UnsetType


class Statement(NamedTuple):
    """What a person states of conduct; "" and None are what is not stated.

    Attributes:
        conduct: engaged, assisted, neither, or unknown.
        violations: The kinds of violation; UNSET where it is stated that the kind is not known.
        began: When it began, as the person writes it.
        until: Until when it is shown to have lasted, in the same way.
        zone: The time zone of both.
        date_basis: On what these dates rest.
        basis: What ties the conduct to the party.
        strength: How strongly.
        jointly: Other parties, by whom together with the party it was done.
        part: Of mixed use, which part of it this is.
    """

    conduct: str = ""
    violations: Violations | None = None
    began: str = ""
    until: str = ""
    zone: str | None = None
    date_basis: str = ""
    basis: Basis | None = None
    strength: Strength | None = None
    jointly: tuple[str, ...] = ()
    part: str = ""


def draw_evidence(
    workspace: CaseWorkspace, exhibit: Exhibit, party: str, seen: str, stated: Statement, by: str
) -> Evidence:
    """Return a new item of evidence; nothing that is not stated is assumed.

    Args:
        workspace: The case.
        exhibit: The exhibit that it rests on.
        party: Whose conduct it shows.
        seen: Where it was seen: "on_platform" or "off_platform".
        stated: What a person states of it.
        by: Who states it.

    Returns:
        The item under the next number. Dates that are not stated are the exhibit's own. A run's
        item without a stated tie has that of its accounts' links.

    Raises:
        CaseError: A date is stated without a basis, or is not understood.
    """
    accounts = evidence_intake.run_accounts(workspace, exhibit)
    linked = None
    if not isinstance(accounts, UnsetType):
        linked = evidence_intake.strongest_link(workspace, party, accounts)
    given = (stated.basis or Basis.STATEMENT, stated.strength or Strength.UNKNOWN)
    basis, strength = given if stated.basis or stated.strength else linked or given
    dates = evidence_intake.state_dates(
        evidence_intake.conduct_dates(workspace, exhibit),
        stated.began,
        stated.until,
        stated.zone,
        by,
        stated.date_basis,
    )
    return Evidence(
        workspace.case.fresh("V"),
        party,
        exhibit.id,
        seen,  # type: ignore[arg-type]
        stated.conduct or "unknown",  # type: ignore[arg-type]
        dates.began,
        dates.lasted,
        basis,
        strength,
        violations=UNSET if stated.violations is None else stated.violations,
        began_source=dates.began_source,
        lasted_source=dates.lasted_source,
        accounts=accounts,
        jointly=stated.jointly or UNSET,
        part=stated.part or UNSET,
    )


def restate_evidence(
    workspace: CaseWorkspace, old: Evidence, stated: Statement, by: str, *, party: str = ""
) -> Evidence:
    """Return an item as it is stated anew, not confirmed; what is not stated stays.

    Dates that nobody gave a basis for are taken from the exhibit again.

    Raises:
        CaseError: A date is stated without a basis, or is not understood.
    """
    exhibit = workspace.case.exhibits[old.exhibit]
    found = evidence_intake.conduct_dates(workspace, exhibit)
    if old.began_source is not UNSET:
        found = found._replace(began=old.began, began_source=old.began_source)
    if old.lasted_source is not UNSET:
        found = found._replace(lasted=old.lasted, lasted_source=old.lasted_source)
    dates = evidence_intake.state_dates(
        found, stated.began, stated.until, stated.zone, by, stated.date_basis
    )
    changed: dict[str, Any] = {
        "party": party or old.party,
        "conduct": stated.conduct or old.conduct,
        "violations": old.violations if stated.violations is None else stated.violations,
        "basis": stated.basis or old.basis,
        "strength": stated.strength or old.strength,
        "jointly": stated.jointly or old.jointly,
        "part": stated.part or old.part,
        "confirmed": "unknown",
        "by": "",
        "accounts": evidence_intake.run_accounts(workspace, exhibit),
    }
    return msgspec.structs.replace(old, **changed, **dates._asdict())
