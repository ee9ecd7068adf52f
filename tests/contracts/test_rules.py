"""What holds for every shipped rule, found by discovery."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache

import pytest

from wavebreak.durations import duration_seconds
from wavebreak.features import allowance, catalog
from wavebreak.features.kernel import NOTICE_S
from wavebreak.outcomes import SILENCING
from wavebreak.rules import (
    Policy,
    Program,
    Rule,
    compile_rules,
    features_read,
    load_policy,
    matching_rules,
)
from wavebreak.rules.conditions import MAX_CONDITIONS, condition_count
from wavebreak.rules.loader import SHIPPED
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import CHANNELS, LANES

FILES = sorted((SHIPPED / "rules").glob("*.toml"))
IDS = [row["id"] for path in FILES for row in tomllib.loads(path.read_text())["rule"]]

ABOUT_THE_REPORTERS = {"confirmed_abusive", "label_by_others"}
"""Rules that speak of labels, and so hold on every channel."""

RECEIVING = {"received", "delivered", "read_by", "added_to_group", "added_as_contact"}


@cache
def policy() -> Policy:
    return load_policy()


@cache
def program() -> Program:
    return compile_rules(policy())


def rule(rule_id: str) -> Rule:
    found = policy().rule(rule_id)
    assert found is not None
    return found


def test_there_are_rules_of_every_file_and_stage() -> None:
    assert len(policy().rules) == len(IDS) <= 14, "a policy that people can read"
    assert len(FILES) == 5
    assert {r.stage for r in policy().rules} == {"messaging", "feedback", "review"}


def test_each_channel_and_lane_has_a_row_of_allowances() -> None:
    lanes = tuple(lane for lane in LANES if lane != "none")
    assert (*CHANNELS[:2], *lanes, "reported_server") == allowance.ROWS
    first = rule("first_contact_allowance").when[0]
    numbers = [number for row in policy().allowances.rows() for number in row[:2]]
    assert min(numbers) == allowance.MIN_ALLOWANCE, "a lower one never acts"
    assert first == f"strangers_contacted_1h >= {allowance.MIN_ALLOWANCE}", "the prefilter's bound"


@pytest.mark.parametrize("rule_id", IDS)
def test_rule_is_short_reviewed_and_says_whom_it_will_wrongly_meet(rule_id: str) -> None:
    each = rule(rule_id)
    assert condition_count(each.when) <= MAX_CONDITIONS
    assert not each.needs_split
    assert each.false_actions
    assert each.review_by
    assert each.review_by > "2026-11-26"
    numbers = re.findall(r"\d+\.(\d+)", each.expression)
    assert all(len(decimals) <= 2 for decimals in numbers), "no threshold to three decimals"


@pytest.mark.parametrize("rule_id", IDS)
def test_rule_that_silences_names_what_it_rests_on(rule_id: str) -> None:
    each = rule(rule_id)
    assert each.outcome is not None
    if each.outcome in SILENCING:
        assert each.basis in {"evidence", "tie", "impossible", "person"}
        assert not {"score", "registration_score"} & set(features_read(each))
    if each.stage == "registration":
        assert each.outcome in {"request", "limit", "challenge"}


@pytest.mark.parametrize("rule_id", IDS)
def test_examples_hold_on_each_kind_of_fact_of_the_rule(rule_id: str) -> None:
    for kind in KINDS:
        looked_at = kind in rule(rule_id).on
        for example in rule(rule_id).fires_on:
            assert (rule_id in matching_rules(program(), kind, example)) == looked_at
        for example in rule(rule_id).stays_quiet_on:
            assert rule_id not in matching_rules(program(), kind, example)


@pytest.mark.parametrize("rule_id", IDS)
def test_rule_exempts_the_business_platform(rule_id: str) -> None:
    if rule_id not in ABOUT_THE_REPORTERS:
        for example in rule(rule_id).fires_on:
            platform = {**example, "channel": 2.0}
            assert rule_id not in matching_rules(program(), rule(rule_id).on[0], platform)


@pytest.mark.parametrize("rule_id", IDS)
def test_rule_needs_every_feature_of_its_example(rule_id: str) -> None:
    """A missing feature never fires a rule, so no example holds more than what is needed."""
    tree = ast.parse(rule(rule_id).expression, mode="eval")
    alternatives = any(isinstance(node, ast.Or) for node in ast.walk(tree))
    if not alternatives:
        for example in rule(rule_id).fires_on:
            assert set(example) == set(features_read(rule(rule_id)))
            for name in example:
                less = {other: value for other, value in example.items() if other != name}
                assert rule_id not in matching_rules(program(), rule(rule_id).on[0], less)


@pytest.mark.parametrize("rule_id", IDS)
def test_rule_never_matches_received_messages(rule_id: str) -> None:
    assert not RECEIVING & set(rule(rule_id).on)


def test_norms_are_mild_and_takeovers_recover() -> None:
    for each in policy().rules:
        if each.abuse == "norms":
            assert each.outcome in {"observe", "limit"}
        if each.basis == "takeover":
            assert (each.outcome, each.action) == ("challenge", "recover")


def test_bans_rest_on_a_person_or_lasting_evidence() -> None:
    bans = {each.id: each.basis for each in policy().rules if each.outcome == "ban"}
    assert bans == {
        "evidence_after_three_restrictions": "evidence",
        "confirmed_abusive": "person",
    }


def test_impossible_acts_are_asked_about_before_they_silence() -> None:
    for each in policy().rules:
        if each.basis == "impossible":
            assert each.outcome == "challenge", each.id
            assert {"strangers_written_15s", "strangers_added_1d"} & set(features_read(each))


def test_stream_of_messages_disables_rules_that_need_more() -> None:
    covered = frozenset(each.name for each in catalog.FEATURES if each.sources == ("message.sent",))
    silent = compile_rules(policy(), covered).not_covered
    assert {"strangers_complain", "takeover", "false_reporters"} <= set(silent)
    assert "first_contact_allowance" not in silent


def test_attempts_are_counted_once_a_limit_has_been_told() -> None:
    _, latest = policy().feedback.delay["limit"]
    assert duration_seconds(latest) <= NOTICE_S
