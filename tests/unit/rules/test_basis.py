"""Basis of a rule: what an outcome may rest on, and that its conditions hold it."""

from __future__ import annotations

import pytest

from support.rule_factories import rule
from wavebreak.errors import PolicyError
from wavebreak.rules.basis import check_basis
from wavebreak.rules.conditions import AnyOf


@pytest.mark.parametrize("outcome", ["restrict", "suspend", "ban"])
def test_rule_that_silences_on_doubt_is_refused(outcome: str) -> None:
    with pytest.raises(PolicyError, match="rests on doubt, which leads to limit at most"):
        check_basis(rule(outcome=outcome), "a.toml, a_rule")


@pytest.mark.parametrize("outcome", ["observe", "challenge", "limit"])
def test_rule_that_slows_on_doubt_is_taken(outcome: str) -> None:
    check_basis(rule(outcome=outcome), "a.toml, a_rule")


def test_takeover_that_restricts_is_refused() -> None:
    with pytest.raises(PolicyError, match="the owner is a victim"):
        check_basis(rule(outcome="restrict", basis="takeover"), "here")


@pytest.mark.parametrize(
    ("basis", "when"),
    [
        ("evidence", ("complaint_evidence >= 100", "channel < 2")),
        ("evidence", (AnyOf(("leave_evidence >= 20", "unanswered_evidence >= 50")),)),
        ("tie", ("device_bad >= 0.1", "complaint_evidence >= 50")),
        ("impossible", ("sends_15s >= 100",)),
        ("person", ("label_abusive == 1",)),
    ],
)
def test_basis_that_its_conditions_hold_is_taken(basis: str, when: tuple[str | AnyOf, ...]) -> None:
    check_basis(rule(when, outcome="ban", basis=basis), "here")


@pytest.mark.parametrize(
    ("basis", "when"),
    [
        ("evidence", ("score >= 0.9",)),
        ("evidence", ("complaint_evidence >= 5",)),
        ("evidence", ("complaint_evidence <= 100",)),
        ("evidence", (AnyOf(("complaint_evidence >= 100", "device_bad >= 0.1")),)),
        ("evidence", "complaint_evidence >= 100 or score > 0.9"),
        ("tie", ("device_bad >= 0.4",)),
        ("impossible", ("age_s <= 300",)),
        ("person", ("label_benign < 1",)),
    ],
)
def test_rule_that_can_fire_without_its_basis_is_refused(
    basis: str, when: str | tuple[str | AnyOf, ...]
) -> None:
    with pytest.raises(PolicyError, match=f"it can fire without {basis}"):
        check_basis(rule(when, outcome="restrict", basis=basis), "here")
