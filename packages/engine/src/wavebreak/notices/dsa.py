"""Record of a decision for the DSA Transparency Database.

Private messaging is outside the DSA: the format is adopted voluntarily. A record holds no personal
data: the id is a digest of the decision's id, and the facts come from the English statement.

`limit` and `restrict` suspend a part of the service, `suspend` the account, `ban` terminates it.
The other outcomes have no record: `allow` and `observe` restrict nothing, and a `challenge` is a
check that its holder ends at once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from wavebreak.engine.decision import Decision
from wavebreak.errors import UsageError
from wavebreak.languages import get_language
from wavebreak.notices.platform import Platform
from wavebreak.notices.reasons import load_rule_texts
from wavebreak.notices.statement import (
    AutomatedDecision,
    Circumstances,
    Statement,
    build_statement,
    outcome_form,
    read_decision,
)

FACTS_MAX = 5000
OTHER_MAX = 500
OWN_CATEGORY = "Unauthorised automated or bulk messaging"
CONTENT = "Use of an account of a private messaging service; no content was examined"

RESTRICTIONS: dict[str, tuple[str, str]] = {
    "limit": ("decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION"),
    "restrict": ("decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION"),
    "suspend": ("decision_account", "DECISION_ACCOUNT_SUSPENDED"),
    "ban": ("decision_account", "DECISION_ACCOUNT_TERMINATED"),
}
"""Field and value of each outcome that has a record."""
_END = {
    "decision_provision": "end_date_service_restriction",
    "decision_account": "end_date_account_restriction",
}
_AUTOMATED: dict[AutomatedDecision, str] = {
    "fully": "AUTOMATED_DECISION_FULLY",
    "partially": "AUTOMATED_DECISION_PARTIALLY",
    "not_automated": "AUTOMATED_DECISION_NOT_AUTOMATED",
}

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_ONE_OF_DECISIONS = [
    {"required": ["decision_provision"], "not": {"required": ["decision_account"]}},
    {"required": ["decision_account"], "not": {"required": ["decision_provision"]}},
]
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Statement of reasons for the DSA Transparency Database, as Wavebreak writes it",
    "type": "object",
    "additionalProperties": False,
    "required": [
        "decision_ground", "incompatible_content_ground", "incompatible_content_explanation",
        "decision_facts", "content_type", "content_type_other", "category",
        "category_specification", "application_date", "content_date", "source_type",
        "automated_detection", "automated_decision", "account_type", "puid",
    ],
    "oneOf": _ONE_OF_DECISIONS,
    "properties": {
        "decision_provision": {"enum": ["DECISION_PROVISION_PARTIAL_SUSPENSION"]},
        "decision_account": {"enum": ["DECISION_ACCOUNT_SUSPENDED", "DECISION_ACCOUNT_TERMINATED"]},
        "end_date_service_restriction": {"type": "string", "pattern": _DATE},
        "end_date_account_restriction": {"type": "string", "pattern": _DATE},
        "decision_ground": {"enum": ["DECISION_GROUND_INCOMPATIBLE_CONTENT"]},
        "incompatible_content_ground": {"type": "string", "minLength": 1, "maxLength": 500},
        "incompatible_content_explanation": {"type": "string", "minLength": 1, "maxLength": 2000},
        "decision_facts": {"type": "string", "minLength": 1, "maxLength": FACTS_MAX},
        "content_type": {
            "type": "array",
            "items": {"enum": ["CONTENT_TYPE_OTHER"]},
            "minItems": 1,
            "maxItems": 1,
        },
        "content_type_other": {"type": "string", "minLength": 1, "maxLength": OTHER_MAX},
        "category": {
            "enum": [
                "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
                "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
            ]
        },
        "category_specification": {
            "type": "array",
            "items": {"enum": ["KEYWORD_INAUTHENTIC_ACCOUNTS", "KEYWORD_OTHER"]},
            "minItems": 1,
            "maxItems": 1,
        },
        "category_specification_other": {"type": "string", "minLength": 1, "maxLength": OTHER_MAX},
        "application_date": {"type": "string", "pattern": _DATE},
        "content_date": {"type": "string", "pattern": _DATE},
        "source_type": {"enum": ["SOURCE_VOLUNTARY", "SOURCE_TYPE_OTHER_NOTIFICATION"]},
        "automated_detection": {"enum": ["Yes", "No"]},
        "automated_decision": {"enum": sorted(_AUTOMATED.values())},
        "account_type": {"enum": ["ACCOUNT_TYPE_PRIVATE", "ACCOUNT_TYPE_BUSINESS"]},
        "puid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,500}$"},
    },
}  # fmt: skip
"""JSON Schema of a record, written from the project's reference facts."""


def build_record(
    decision: Mapping[str, Any] | Decision,
    *,
    platform: Platform,
    circumstances: Circumstances | None = None,
    key: bytes = b"",
) -> dict[str, Any] | None:
    """Return the record of a decision, or None for an outcome that has none.

    Args:
        decision: The stored decision.
        platform: The operator's terms.
        circumstances: Facts beside the decision; only origin and channel are used.
        key: With a key, the record's id is an HMAC: a decision's id alone does not lead to the
            record. Without, the id is a plain digest.

    Raises:
        UsageError: The decision lacks a field, or the record would break the schema.

    >>> from wavebreak.notices.platform import load_platform
    >>> decision = {"id": "d1", "ts": 1_772_373_730_000, "account": "a", "stage": "messaging",
    ...     "outcome": "ban", "action": "ban", "until": None, "score": None,
    ...     "rules": ["instant_ban"], "reasons": [], "trigger": "e", "policy": "p", "model": None,
    ...     "features": "f", "basis": "impossible", "new_chats_1d": None}
    >>> record = build_record(decision, platform=load_platform())
    >>> record["decision_account"], record["automated_decision"], record["application_date"]
    ('DECISION_ACCOUNT_TERMINATED', 'AUTOMATED_DECISION_FULLY', '2026-03-01')
    >>> record["decision_facts"]
    'Right after its registration the account sent messages faster than any person can.'
    """
    decision = read_decision(decision)
    if decision.outcome not in RESTRICTIONS or decision.basis == "takeover":
        return None
    details = circumstances or Circumstances()
    statement = build_statement(
        decision,
        platform=platform,
        language=get_language("en"),
        now_ms=decision.ts,
        circumstances=details,
    )
    record = _record(decision, statement, details, key)
    problems = record_problems(record)
    if problems:
        raise UsageError(
            f"the record of decision {decision.id[:64]}: {problems[0]}",
            fix="shorten the texts of platform.toml",
        )
    return record


def _record(
    decision: Decision, statement: Statement, details: Circumstances, key: bytes
) -> dict[str, Any]:
    # A decision on complaints, or on a partner's label, follows a notification.
    is_notified = decision.stage == "feedback" or details.label_source == "partner"
    # An account that returns by itself is not terminated.
    form = outcome_form(decision.outcome, has_end=decision.until is not None)
    field, value = RESTRICTIONS["suspend" if form == "ban_with_end" else decision.outcome]
    ground = " ".join(next(([*s.lines()] for s in statement.sections if s.id == "ground"), [])[1:])
    record: dict[str, Any] = {
        field: value,
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": _clip(statement.ground.clause, 500),
        "incompatible_content_explanation": _clip(ground, 2000),
        "decision_facts": _clip(" ".join(statement.facts), FACTS_MAX),
        "content_type": ["CONTENT_TYPE_OTHER"],
        "content_type_other": CONTENT,
        **_category(decision, details),
        "application_date": _day(decision.ts),
        "content_date": _day(decision.ts),
        "source_type": "SOURCE_TYPE_OTHER_NOTIFICATION" if is_notified else "SOURCE_VOLUNTARY",
        "automated_detection": "Yes" if statement.automation.detection else "No",
        "automated_decision": _AUTOMATED[statement.automation.decision],
        "account_type": (
            "ACCOUNT_TYPE_PRIVATE" if details.channel == "personal" else "ACCOUNT_TYPE_BUSINESS"
        ),
        "puid": record_id(decision.id, key),
    }
    if decision.until is not None:
        record[_END[field]] = _day(decision.until)
    return record


def record_id(decision_id: str, key: bytes = b"") -> str:
    """Return a record's id: 64 hex digits of the SHA-256, or HMAC with a key, of a decision's id.

    >>> len(record_id("d1")), record_id("d1") == record_id("d1", b"secret")
    (64, False)
    """
    text = f"statement of reasons\0{decision_id}".encode()
    if key:
        return hmac.new(key, text, "sha256").hexdigest()
    return hashlib.sha256(text).hexdigest()


def _category(decision: Decision, details: Circumstances) -> dict[str, Any]:
    """Accounts made in series are inauthentic; the rest fits no category but the last."""
    texts = load_rule_texts()
    of_rules = [
        texts.find(rule, details.abuse.get(rule, ""), decision.basis) for rule in decision.rules
    ]
    if any(text.series for text in of_rules):
        return {
            "category": "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
            "category_specification": ["KEYWORD_INAUTHENTIC_ACCOUNTS"],
        }
    return {
        "category": "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
        "category_specification": ["KEYWORD_OTHER"],
        "category_specification_other": OWN_CATEGORY,
    }


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def _clip(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def record_problems(record: Mapping[str, Any]) -> list[str]:
    """Return the faults of a record, by `SCHEMA` and by the rules between fields.

    >>> record_problems({"puid": "a b"})[:2]
    ['decision_ground: is missing', 'incompatible_content_ground: is missing']
    """
    properties: dict[str, dict[str, Any]] = SCHEMA["properties"]
    problems = [f"{name}: is missing" for name in SCHEMA["required"] if name not in record]
    problems += [
        f"{name[:64]}: is no field of a record" for name in record if name not in properties
    ]
    for name, value in record.items():
        problems += [f"{name}: {problem}" for problem in _problems(value, properties.get(name, {}))]
    if ("decision_provision" in record) == ("decision_account" in record):
        problems.append("give exactly one of decision_provision and decision_account")
    return problems + _dependencies(record)


def _dependencies(record: Mapping[str, Any]) -> list[str]:
    """Rules between fields, which the schema does not hold."""
    problems = [
        f"{end}: needs {field}"
        for field, end in _END.items()
        if end in record and field not in record
    ]
    if (record.get("category_specification") == ["KEYWORD_OTHER"]) != (
        "category_specification_other" in record
    ):
        problems.append("category_specification_other: goes with KEYWORD_OTHER")
    if record.get("decision_account") == "DECISION_ACCOUNT_TERMINATED" and (
        "end_date_account_restriction" in record
    ):
        problems.append("end_date_account_restriction: a terminated account has no end")
    days = [record.get(name) for name in ("content_date", "application_date", *_END.values())]
    problems += [f"{day}: is no date" for day in days if isinstance(day, str) and not _is_day(day)]
    return problems


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _problems(value: Any, rule: Mapping[str, Any]) -> list[str]:
    checks: dict[str, Callable[[Any], bool]] = {
        "enum": lambda known: value in known,
        "minLength": lambda least: isinstance(value, str) and len(value) >= least,
        "maxLength": lambda most: isinstance(value, str) and len(value) <= most,
        "minItems": lambda least: isinstance(value, list) and len(value) >= least,
        "maxItems": lambda most: isinstance(value, list) and len(value) <= most,
        "items": lambda each: isinstance(value, list) and all(v in each["enum"] for v in value),
        "pattern": lambda p: isinstance(value, str) and re.search(p, value) is not None,
        "type": lambda kind: isinstance(value, {"string": str, "array": list}[kind]),
    }
    return [f"breaks {name}" for name, limit in rule.items() if not checks[name](limit)]
