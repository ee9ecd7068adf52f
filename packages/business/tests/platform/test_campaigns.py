"""Campaigns: who agreed is reached, a bought list is stopped, a template alone is nothing."""

from __future__ import annotations

import pytest

from wavebreak_business.platform.campaigns import Campaign, List, run_campaign
from wavebreak_business.settings import load_settings

SETTINGS = load_settings()
PEOPLE = 3_000


def campaign(name: List, seed: int = 0) -> Campaign:
    return run_campaign(name, PEOPLE, SETTINGS, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_people_who_agreed_are_reached_and_no_send_is_refused_wrongly(seed: int) -> None:
    told = campaign("opted_in", seed)
    assert told.wrong == told.dropped == told.opted_out == 0
    assert set(told.refused) == {"opted_out"}
    assert told.delivered == 2 * PEOPLE - told.refused["opted_out"]
    assert not {what for what, _ in told.changes} & {"step", "template_paused", "template_dropped"}


def test_bought_list_without_consent_reaches_nobody() -> None:
    told = campaign("bought")
    assert (told.delivered, dict(told.refused)) == (0, {"no_consent": 2 * PEOPLE})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["forged", "forged_by_known"])
def test_forged_proofs_stop_before_the_thousandth_message(name: List, seed: int) -> None:
    told = campaign(name, seed)
    assert told.delivered < 1_000
    assert "paused_by_pacing" in told.status
    assert "step" in {what for what, _ in told.changes}


def test_person_who_sets_a_template_gains_nothing() -> None:
    told = campaign("no_portfolio")
    assert (told.delivered, dict(told.refused)) == (0, {"no_portfolio": 2 * PEOPLE})


def test_campaign_is_the_same_for_one_seed() -> None:
    assert campaign("forged", 5).as_json() == campaign("forged", 5).as_json()
