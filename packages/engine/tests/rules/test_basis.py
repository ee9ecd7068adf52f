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
        ("evidence", (AnyOf(("leave_evidence >= 20", "unwanted_evidence >= 50")),)),
        ("tie", ("device_bad >= 0.1", "complaint_evidence >= 50")),
        ("impossible", ("strangers_written_15s >= 100",)),
        ("person", ("label_abusive == 1",)),
    ],
)
def test_basis_that_its_conditions_hold_is_taken(basis: str, when: tuple[str | AnyOf, ...]) -> None:
    check_basis(rule(when, outcome="suspend", basis=basis), "here")


@pytest.mark.parametrize(
    ("basis", "when"),
    [
        ("evidence", ("complaint_evidence >= 100", "strikes >= 3", "label_unconfirmed == 1")),
        ("evidence", (AnyOf((("leave_evidence >= 20", "strikes >= 2"),
                             ("unwanted_evidence >= 50", "strikes > 3"))),
                      AnyOf(("strangers_written_15s >= 40", "label_unconfirmed == 1")))),
        ("person", ("label_abusive == 1",)),
    ],
)  # fmt: skip
def test_ban_by_person_or_on_two_kinds_of_evidence_is_taken(
    basis: str, when: tuple[str | AnyOf, ...]
) -> None:
    check_basis(rule(when, outcome="ban", basis=basis), "here")


@pytest.mark.parametrize(
    ("basis", "when"),
    [
        ("evidence", ("complaint_evidence >= 1_000",)),
        ("evidence", ("complaint_evidence >= 1_000", "strikes >= 1")),
        ("evidence", ("complaint_evidence >= 1_000", "strikes >= 3")),
        ("evidence", ("complaint_evidence >= 1_000", "strikes >= 3", "operator_accounts >= 1")),
        ("evidence", ("unwanted_evidence >= 1_000", "strikes >= 3",
                      AnyOf(("label_unconfirmed == 1", "reports_7d > 9")))),
        ("evidence", ("complaint_evidence >= 1_000", AnyOf(("strikes >= 3", "reports_7d > 9")))),
        ("tie", ("complaint_evidence >= 1_000", "strikes >= 3")),
        ("impossible", ("strangers_written_15s >= 100", "strikes >= 3")),
    ],
)  # fmt: skip
def test_rule_that_bans_alone_is_refused(basis: str, when: tuple[str | AnyOf, ...]) -> None:
    with pytest.raises(PolicyError) as refused:
        check_basis(rule(when, outcome="ban", basis=basis), "here")
    assert "no rule alone bans without end" in refused.value.fix


def test_restriction_on_acts_towards_contacts_is_refused() -> None:
    sends = ("sends_15s >= 100", "age_s <= 300")
    with pytest.raises(PolicyError, match="may be towards contacts"):
        check_basis(rule(sends, outcome="restrict", basis="impossible"), "here")
    check_basis(rule(sends, outcome="challenge", basis="impossible"), "here")
    check_basis(
        rule((*sends, "strangers_added_1d >= 100"), outcome="restrict", basis="impossible"), "here"
    )


@pytest.mark.parametrize(
    ("basis", "when"),
    [
        ("evidence", ("score >= 0.9",)),
        ("evidence", ("complaint_evidence >= 5",)),
        ("evidence", ("unanswered_evidence >= 1_000",)),
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
