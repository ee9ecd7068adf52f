"""Every shipped rule and family of feature has a sentence, without numbers or other people."""

from __future__ import annotations

import re
from typing import get_args

from support.notice_decisions import policy
from wavebreak.features.catalog import FEATURES, MODEL_INPUTS
from wavebreak.languages import get_language
from wavebreak.notices.reasons import Audience, decision_facts, load_rule_texts
from wavebreak.rules.model import BASES

TEXTS = load_rule_texts()


def test_every_shipped_rule_has_a_text_of_its_own() -> None:
    ids = [rule.id for rule in policy().rules]
    assert len(ids) == 14
    assert set(TEXTS.rule) == set(ids)


def test_former_rule_keeps_its_text() -> None:
    """A statement on a decision of an earlier version says what it said then."""
    assert not set(TEXTS.former) & {rule.id for rule in policy().rules}
    cluster = TEXTS.find("unanswered_account_cluster", "operator", "doubt")
    assert cluster.series
    assert "New accounts on its device" in cluster.fact
    assert "faster than any person" in TEXTS.find("instant_ban", "bulk", "impossible").fact


def test_every_kind_of_abuse_and_basis_has_a_text() -> None:
    assert {rule.abuse for rule in policy().rules} <= set(TEXTS.abuse)
    assert set(TEXTS.basis) == set(BASES)


def test_every_family_that_a_model_reads_has_a_phrase() -> None:
    families = {feature.family for feature in FEATURES if feature.name in MODEL_INPUTS}
    assert len(families) > 20
    assert families <= set(TEXTS.score.aspects)
    assert set(TEXTS.score.aspects) <= {feature.family for feature in FEATURES}


def test_texts_hold_no_number_and_no_name_of_a_feature() -> None:
    names = {feature.name for feature in FEATURES if "_" in feature.name}
    for text in TEXTS.messages():
        assert not re.search(r"\d", text), text
        assert not names & set(re.findall(r"\w+", text)), text
        assert not re.search(r"\b(?:dozens?|hundreds?|thousands?|twenty|sixty)\b", text), text


def test_tie_rules_and_series_agree() -> None:
    """What names other accounts of an operator is filed as a series of accounts."""
    series = {rule.id for rule in policy().rules if TEXTS.rule[rule.id].series}
    assert {rule.id for rule in policy().rules if rule.basis == "tie"} <= series
    assert series == {
        "unwelcome_operator",
        "operator_with_evidence",
    }


def test_aspects_are_few_and_speak_for_abuse_only() -> None:
    contributions = dict.fromkeys(MODEL_INPUTS, 0.1) | {"sends_1h": -3.0, "reply_share_7d": 2.0}
    found = TEXTS.aspects(contributions)
    assert found[0] == "how many of those written to first answer"
    assert len(found) == 3
    assert TEXTS.aspects({"sends_1h": -3.0}) == []


def test_each_audience_reads_the_facts_that_concern_it() -> None:
    counts = {"stranger_contacts": 21.0, "stranger_answers": 2.0, "stranger_complaints": 3.0}
    decision = {
        "outcome": "restrict",
        "basis": "evidence",
        "rules": ["evidence_of_unwanted_messages"],
        "score": None,
        "reasons": [{"feature": name, "value": value} for name, value in counts.items()],
    }
    english = get_language("en")
    analyst, holder, court = (
        decision_facts(decision, audience, english) for audience in get_args(Audience)
    )
    fact = TEXTS.rule["evidence_of_unwanted_messages"].fact
    assert court == [fact]
    assert holder[0] == fact
    assert "3 blocked or reported you" in holder[1]
    assert len(analyst) == 1
    assert "3 blocked or reported it" in analyst[0]
    assert decision_facts(decision | {"rules": [], "score": 0.9}, "court", english) == []
