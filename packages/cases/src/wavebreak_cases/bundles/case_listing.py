"""Cases of a directory, and their parties across them: which of them may be one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from wavebreak.errors import CaseError
from wavebreak_cases.bundles.workspace import CASE, load_case
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.completeness import find_gaps
from wavebreak_cases.cases.parties import NameWeights, Party, propose_merges
from wavebreak_cases.cases.workflow import is_current


class ListedCase(NamedTuple):
    """A case of a directory; `error` says why it cannot be read (None: it can)."""

    name: str
    case: Case | None
    missing: int
    error: CaseError | None


class PartyInCase(NamedTuple):
    """A party in one case."""

    case: str
    party: Party
    items: int
    results: tuple[str, ...]


class PartyAcrossCases(NamedTuple):
    """Entries of several cases that may be one party, with the reasons.

    Attributes:
        entries: The party in each case; one alone where no other case has it.
        reasons: Why they may be one. They are proposals: a person decides.
    """

    entries: tuple[PartyInCase, ...]
    reasons: tuple[str, ...]


def list_cases(directory: Path) -> list[ListedCase]:
    """Return the cases of a directory by name; one that cannot be read is listed with why.

    Raises:
        CaseError: The directory is not there, or holds no case.
    """
    try:
        places = sorted(place for place in directory.iterdir() if (place / CASE).is_file())
    except OSError:
        raise CaseError(f"{directory} cannot be read", fix="give a directory of cases") from None
    if not places:
        fix = "give the directory that holds the cases' directories"
        raise CaseError(f"there is no case in {directory}", fix=fix)
    listed = []
    for place in places:
        try:
            case = load_case(place / CASE)[1]
            listed.append(ListedCase(place.name, case, len(find_gaps(case)), None))
        except CaseError as error:
            listed.append(ListedCase(place.name, None, 0, error))
    return listed


def list_parties(listed: list[ListedCase], weights: NameWeights) -> list[PartyAcrossCases]:
    """Group the parties of cases that may be one, those in most cases first.

    Args:
        listed: The cases; those that cannot be read are left out.
        weights: What speaks for one party, as for a merge within a case.
    """
    entries = {
        f"{name}/{entry.party.id}": entry
        for name, case, _, _ in listed
        if case is not None
        for entry in _parties_of(name, case)
    }
    named = [msgspec.structs.replace(e.party, id=key) for key, e in entries.items()]
    groups = {key: {key} for key in entries}
    reasons: dict[str, list[str]] = {key: [] for key in entries}
    for proposal in propose_merges(named, weights):
        first, second = proposal.party, proposal.other
        reasons[first] += proposal.reasons
        if groups[first] is not groups[second]:
            groups[first] |= groups[second]
            groups |= dict.fromkeys(groups[second], groups[first])
    across = []
    for group in {id(group): group for group in groups.values()}.values():
        keys = [key for key in entries if key in group]
        why = tuple(dict.fromkeys(reason for key in keys for reason in reasons[key]))
        across.append(PartyAcrossCases(tuple(entries[key] for key in keys), why))
    return sorted(across, key=lambda parties: -len({e.case for e in parties.entries}))


def _parties_of(name: str, case: Case) -> Iterator[PartyInCase]:
    """Yield the parties of a case that are not merged into another, with items and results."""
    results = {}
    for prepared in case.latest():
        value = prepared.value
        result = str(value.result) if is_current(case, value) else "not_current"
        results[case.root(value.party)] = result
    for party in case.parties.values():
        if not party.same_as:
            items = sum(case.root(e.party) == party.id for e in case.evidence.values())
            known = (results[party.id],) if party.id in results else ()
            yield PartyInCase(name, party, items, known)
