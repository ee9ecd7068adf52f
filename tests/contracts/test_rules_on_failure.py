"""What each rule says of acts that nobody can judge just now; it is no part of a version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from wavebreak import rules
from wavebreak.errors import PolicyError
from wavebreak.features.facts import NO_FACT, fact_kinds
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Rule
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import EVENTS, TYPES, Event
from wavebreak_server.pipeline.decide import DecideResponder, load_decide_policy

POLICY, MANNERS, EDGE = rules.load_policy(), load_decide_policy(None), Pseudonymizer(bytes(32))
IDS = [rule.id for rule in POLICY.rules]
MEMBERS = {"peer": "b", "business": "b", "group": "g", "reason": "spam", "label": "benign",
           "source": "analyst", "seconds": 4, "looked_up": 1, "found": 0,
           "kind": "captcha", "list": "cme", "entry": "ab" * 32,
           "advice": "delay", "lane": "clinic"}  # fmt: skip


def events() -> dict[str, Event]:
    """One event of each type, by the type's name."""
    made = {}
    for name, kind in zip(TYPES, EVENTS, strict=True):
        wanted = {f.encode_name for f in msgspec.structs.fields(kind) if f.required}
        wanted |= {"peer"} & {f.encode_name for f in msgspec.structs.fields(kind)}
        told = {"ts": 1, "type": name, "account": "a"}
        told |= {field: MEMBERS[field] for field in wanted & MEMBERS.keys()}
        made[name] = msgspec.convert(told, kind)
    return made


def judged(rule: Rule) -> set[str]:
    """Types of event that are acts which the rule looks at, of the one who acts."""
    kinds = fact_kinds()
    found = set()
    for code, name in enumerate(TYPES):
        kind = int(kinds[code, 0])
        facts = {KINDS[kind]} if kind != NO_FACT else set()
        facts |= {"sent", "sent_group"} if name == "message.sent" else set()
        if facts & set(rule.on):
            found.add(name)
    return found


def alone(rule: Rule, **change: str | None) -> Policy:
    changed = msgspec.structs.replace(rule, mode="enforce", **change)
    return replace(POLICY, rules=(changed,))


def closed_under(policy: Policy) -> set[str]:
    answering = DecideResponder(policy, MANNERS, EDGE)
    answers = {name: answering.fallback(event) for name, event in events().items()}
    assert all(a.mode == "on_failure" and a.outcome == "allow" for a in answers.values())
    assert all((a.retry_after_ms is None) == a.allowed for a in answers.values())
    return {name for name, answer in answers.items() if not answer.allowed}


def test_every_rule_is_covered() -> None:
    assert len(IDS) == len(POLICY.rules) == 14
    assert sum(bool(judged(rule)) for rule in POLICY.rules) >= 9


@pytest.mark.parametrize("name", IDS)
def test_act_fails_open_or_closed_as_its_rule_states(name: str) -> None:
    rule = POLICY.rule(name)
    assert rule is not None
    by_stage = MANNERS.on_failure[rule.stage]
    assert closed_under(alone(rule, on_failure="closed")) == judged(rule)
    assert closed_under(alone(rule, on_failure="open")) == set()
    assert closed_under(alone(rule, on_failure=None)) == (
        judged(rule) if by_stage == "closed" else set()
    )


@pytest.mark.parametrize("name", IDS)
def test_on_failure_does_not_change_the_version(name: str) -> None:
    rule = POLICY.rule(name)
    assert rule is not None
    versions = {alone(rule, on_failure=said).version for said in (None, "open", "closed")}
    assert len(versions) == 1
    assert alone(rule, about="Something else is said of it.").version not in versions


def test_on_failure_is_read_from_the_rule(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    shipped = (rules.loader.SHIPPED / "rules" / "acts.toml").read_text("utf-8")
    told = shipped.replace(
        'id = "impossible_acts"', 'id = "impossible_acts"\non_failure = "closed"'
    )
    (tmp_path / "rules" / "acts.toml").write_text(told, "utf-8")
    found = rules.load_policy(tmp_path).rule("impossible_acts")
    assert found is not None
    assert found.on_failure == "closed"
    assert "message.sent" in closed_under(rules.load_policy(tmp_path))
    assert "message.sent" not in closed_under(POLICY)
    wrong = told.replace('"closed"', '"ajar"')
    (tmp_path / "rules" / "acts.toml").write_text(wrong, "utf-8")
    with pytest.raises(PolicyError):
        rules.load_policy(tmp_path)
