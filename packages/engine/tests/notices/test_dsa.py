"""Records for the DSA Transparency Database: schema, origin, and no personal data."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.notice_decisions import DAY, NOW, PEOPLE, decision, decision_of, policy
from wavebreak.notices import Circumstances, build_record, load_platform, record_problems
from wavebreak.notices.dsa import RESTRICTIONS, SCHEMA
from wavebreak.outcomes import OUTCOMES
from wavebreak.rules import Rule

RULES = policy().rules
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def record(made: dict[str, Any], **more: Any) -> dict[str, Any]:
    built = build_record(made, platform=load_platform(), **more)
    assert built is not None
    return built


def test_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("outcome", sorted(RESTRICTIONS))
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_record_of_every_rule_follows_the_schema(rule: Rule, outcome: str) -> None:
    if rule.basis != "takeover":
        built = record(decision_of(rule, outcome))
        VALIDATOR.validate(built)
        assert record_problems(built) == []
        assert len(built["decision_facts"]) <= 5000


@pytest.mark.parametrize("outcome", [o for o in OUTCOMES if o not in RESTRICTIONS])
def test_outcomes_without_restriction_have_no_record(outcome: str) -> None:
    assert build_record(decision(outcome), platform=load_platform()) is None


@pytest.mark.parametrize(
    ("outcome", "field", "value", "end"),
    [
        ("limit", "decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION", "service"),
        ("restrict", "decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION", "service"),
        ("suspend", "decision_account", "DECISION_ACCOUNT_SUSPENDED", "account"),
        ("ban", "decision_account", "DECISION_ACCOUNT_TERMINATED", None),
    ],
)
def test_outcome_has_its_restriction_and_end(
    outcome: str, field: str, value: str, end: str | None
) -> None:
    built = record(decision(outcome))
    assert built[field] == value
    assert [name for name in built if name.startswith("end_date")] == (
        [f"end_date_{end}_restriction"] if end else []
    )
    assert built["application_date"] == "2026-11-26"


def test_ban_with_an_end_is_a_suspension() -> None:
    built = record(decision("ban", until=NOW + 7 * DAY))
    assert built["decision_account"] == "DECISION_ACCOUNT_SUSPENDED"
    assert built["end_date_account_restriction"] == "2026-12-03"


def test_record_holds_no_personal_data() -> None:
    made = decision(reasons=[{"feature": n, "value": v} for n, v in PEOPLE.items()])
    text = json.dumps(record(made))
    for hidden in ("account", "trigger", "id", "policy"):
        assert made[hidden] not in text
    assert made["rules"][0] not in text
    assert str(NOW) not in text


def test_record_id_hides_the_decision_with_a_key() -> None:
    plain, keyed = record(decision())["puid"], record(decision(), key=b"secret")["puid"]
    assert plain != keyed
    assert record(decision(), key=b"secret")["puid"] == keyed
    assert record(decision(id="another"), key=b"secret")["puid"] != keyed


@pytest.mark.parametrize(
    ("about", "detection", "how"),
    [
        (Circumstances(), "No", "NOT_AUTOMATED"),
        (Circumstances(label_source="analyst", automated_detection=True), "Yes", "NOT_AUTOMATED"),
        (Circumstances(label_source="honeypot"), "Yes", "FULLY"),
        (Circumstances(label_source="partner"), "No", "FULLY"),
    ],
)
def test_origin_of_a_decision_on_a_label(about: Circumstances, detection: str, how: str) -> None:
    made = decision("ban", basis="person", rules=["confirmed_abusive"])
    built = record(made, circumstances=about)
    assert built["automated_detection"] == detection
    assert built["automated_decision"] == f"AUTOMATED_DECISION_{how}"


def test_decision_by_rules_is_automated_in_both() -> None:
    built = record(decision())
    assert built["automated_detection"] == "Yes"
    assert built["automated_decision"] == "AUTOMATED_DECISION_FULLY"


def test_decision_on_complaints_follows_a_notification() -> None:
    assert record(decision(stage="feedback"))["source_type"] == "SOURCE_TYPE_OTHER_NOTIFICATION"
    assert record(decision())["source_type"] == "SOURCE_VOLUNTARY"


def test_accounts_in_series_are_inauthentic_and_others_are_not() -> None:
    tied = record(decision(rules=["operator_with_evidence"], basis="tie"))
    assert tied["category"] == "STATEMENT_CATEGORY_SCAMS_AND_FRAUD"
    assert tied["category_specification"] == ["KEYWORD_INAUTHENTIC_ACCOUNTS"]
    other = record(decision())
    assert other["category"] == "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"
    assert other["category_specification_other"] == "Unauthorised automated or bulk messaging"


def test_business_accounts_are_named_so() -> None:
    about = Circumstances(channel="business_app")
    assert record(decision(), circumstances=about)["account_type"] == "ACCOUNT_TYPE_BUSINESS"


FIELDS = [*SCHEMA["properties"], "account"]
VALUES: Any = st.one_of(
    st.text(max_size=20), st.none(), st.integers(), st.lists(st.text(max_size=5), max_size=3)
)


@given(name=st.sampled_from(FIELDS), value=VALUES, drop=st.booleans())
def test_own_checks_refuse_what_the_schema_refuses(name: str, value: Any, drop: bool) -> None:
    changed = record(decision("suspend"))
    changed.pop(name, None)
    if not drop:
        changed[name] = value
    if not VALIDATOR.is_valid(changed):
        assert record_problems(changed)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"decision_provision": "DECISION_PROVISION_PARTIAL_SUSPENSION"}, "exactly one"),
        ({"end_date_service_restriction": "2026-11-28"}, "needs decision_provision"),
        ({"end_date_account_restriction": "2026-13-28"}, "is no date"),
        ({"category_specification_other": "x" * 501}, "breaks maxLength"),
        ({"puid": "a b"}, "breaks pattern"),
        ({"decision_account": "DECISION_ACCOUNT_TERMINATED"}, "has no end"),
        ({"category_specification": ["KEYWORD_INAUTHENTIC_ACCOUNTS"]}, "goes with KEYWORD_OTHER"),
    ],
)
def test_wrong_record_is_named(changes: dict[str, Any], problem: str) -> None:
    found = record_problems(record(decision("suspend")) | changes)
    assert any(problem in one for one in found), found
