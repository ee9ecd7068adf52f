"""Cases of earlier versions: their files open as they are, and their dates count as not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavebreak.errors import CaseError
from wavebreak_cases.bundles.workspace import encode_case, load_case
from wavebreak_cases.cases.case import DeterminationSigned, EvidenceCorrected, evidence_for_party
from wavebreak_cases.cases.determination import METHOD, determine
from wavebreak_cases.cases.eligibility import load_grounds
from wavebreak_cases.cases.workflow import append_action, is_current

EARLIER = (
    Path(__file__).parents[4] / "tests" / "fixtures" / "cases" / "without-sources-of-dates.json"
)


def test_case_of_an_earlier_version_opens_to_the_byte() -> None:
    written, case = load_case(EARLIER)
    assert encode_case(written) == EARLIER.read_bytes()
    assert [d.value.version for d in case.determinations.values()] == [1, 1]
    assert METHOD > 1
    # What it was drawn from is compared by the rules of its version.
    assert [is_current(case, d.value) for d in case.determinations.values()] == [False, True]
    assert case.determinations["D2"].value.sentences("en") == ()


def test_evidence_of_an_earlier_version_is_undetermined() -> None:
    case = load_case(EARLIER)[1]
    last = case.determinations["D2"].value
    assert last.result == "eligible"
    evidence = evidence_for_party(case, "P1")
    assert [e.id for e in evidence] == ["V1", "V2", "V3/E1", "V4/E1"]
    again = determine("P1", evidence, load_grounds(), last.as_of)
    assert again.result == "undetermined"
    assert any("until when the conduct in E1 lasted" in need for need in again.needs)
    assert any("which kind of violation E2 shows" in need for need in again.needs)


def test_facts_of_the_case_are_not_stored_with_evidence() -> None:
    case = load_case(EARLIER)[1]
    item = next(e for e in evidence_for_party(case, "P1") if e.case_facts.conduct_of)
    with pytest.raises(CaseError, match="no item of evidence V3/E1"):
        append_action(case, EvidenceCorrected(item), at=case.steps[-1].at, by="Noa", role="x")
    with pytest.raises(CaseError, match="signed already"):
        append_action(
            case, DeterminationSigned("D2"), at=case.steps[-1].at, by="Dana", role="counsel"
        )
