"""Decisions by score: thresholds, corroboration by rules, once per enforcement."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from support.fake_model import Synthetic
from support.parity_streams import DAY, HOUR, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import notification_time
from wavebreak.errors import PolicyError
from wavebreak.features.catalog import INDEX
from wavebreak.rules.loader import SHIPPED
from wavebreak.schema.coverage import measure
from wavebreak.schema.events import CHANNELS, TYPES

START = 20_000 * DAY
ALWAYS, NEVER = -(10**6), 10**9
POLICY = rules.load_policy()


def policy(
    *fired: tuple[str, str], mode: Literal["enforce", "shadow"] = "enforce", recover: str = "none",
    silent: Literal["limit", "ban"] = "ban",
) -> rules.Policy:  # fmt: skip
    """The shipped policy with rules that fire on the second send and only watch.

    Each is (id, abuse). `silent` is the most a score asks of who has started no chat.
    """
    made = tuple(
        msgspec.structs.replace(
            POLICY.rules[0], id=name, abuse=abuse, stage="messaging", on=("sent",),
            when="sends_1d >= 2", outcome="observe", label=None, hold=None, mode="enforce",
        )
        for name, abuse in fired
    )  # fmt: skip
    score = msgspec.structs.replace(
        POLICY.score, mode=mode, recover=(recover,), silent=silent,
        evidence={"sending": ("bulk",), "feedback": ("feedback",), "operator": ("operator",)},
    )  # fmt: skip
    return dataclasses.replace(POLICY, rules=made, score=score)


def decided(
    which: rules.Policy,
    thresholds: dict[str, int],
    *,
    sends: int = 6,
    gap: int = HOUR,
    channel: str = "personal",
) -> tuple[list[Decision], Engine]:
    """What is decided on an account that registers and writes to strangers."""
    events: list[dict[str, Any]] = [
        {"id": "r", "ts": START, "type": TYPES.index("account.registered"), "account": "a",
         "channel": CHANNELS.index(channel)}
    ]  # fmt: skip
    events += [
        {"id": f"e{i}", "ts": START + i * gap, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{i}"}
        for i in range(1, sends)
    ]  # fmt: skip
    engine = Engine(which, model=Synthetic(thresholds), accounts=64)
    return engine.take(log(events)) + engine.finish(), engine


def test_score_asks_once_for_the_most_severe_outcome_reached() -> None:
    made, engine = decided(policy(), {"challenge": ALWAYS, "restrict": -160_000})
    assert [(d.outcome, d.stage, d.trigger, d.rules) for d in made] == [
        ("challenge", "registration", "r", ()),
        ("restrict", "messaging", "e3", ()),
    ]
    assert all(d.model == Synthetic.version and 0 < (d.score or 0) < 0.1 for d in made)
    assert engine.asked.tolist() == [0, 0, 1, 0, 1, 0, 0]


def test_score_asks_again_after_enforcement_ended() -> None:
    made, _ = decided(policy(), {"challenge": ALWAYS}, sends=5, gap=20 * HOUR)
    assert [(d.outcome, d.trigger) for d in made] == [("challenge", "r"), ("challenge", "e2"),
                                                      ("challenge", "e4")]  # fmt: skip


THREE = (("first", "bulk"), ("second", "feedback"), ("third", "operator"))


@pytest.mark.parametrize(
    ("fired", "outcome"),
    [
        ([], "suspend"),
        ([("first", "bulk"), ("second", "bulk"), ("third", "bulk")], "suspend"),
        ([("first", "bulk"), ("second", "norms"), ("third", "operator")], "suspend"),
        ([("first", "bulk"), ("second", "feedback")], "suspend"),
        (THREE, "ban"),
    ],
)
def test_score_ban_needs_three_evidence_families(
    fired: list[tuple[str, str]], outcome: str
) -> None:
    made, _ = decided(policy(*fired), {"ban": -180_000})
    assert made[-1].outcome == outcome
    assert made[-1].stage == "messaging"


def test_rule_reading_score_is_no_evidence_for_ban() -> None:
    plain = policy(*THREE)
    for name in ("score", "registration_score"):
        reads = msgspec.structs.replace(plain.rules[1], when=f"sends_1d >= 1 or {name} >= 0")
        which = dataclasses.replace(plain, rules=(plain.rules[0], reads, plain.rules[2]))
        made, _ = decided(which, {"ban": -180_000})
        assert made[-1].outcome == "suspend"


def test_suspension_with_third_evidence_family_becomes_ban() -> None:
    late = policy(*THREE)
    slower = msgspec.structs.replace(late.rules[2], when="sends_1d >= 4")
    which = dataclasses.replace(late, rules=(*late.rules[:2], slower))
    made, _ = decided(which, {"ban": -180_000}, sends=9)
    assert [d.outcome for d in made if d.outcome != "observe"] == ["suspend", "ban"]


def test_score_with_takeover_is_capped_at_challenge() -> None:
    fired = policy(("first", "bulk"), ("second", "takeover"), recover="takeover")
    made, _ = decided(fired, {"restrict": -160_000})
    assert [d.outcome for d in made] == ["observe", "challenge"]


def test_score_reported_broadcast_is_not_banned() -> None:
    said = {"bulk", "automation", "feedback"}
    families = [name for name, abuses in POLICY.score.evidence.items() if said & {*abuses}]
    assert families == ["sending", "feedback"]
    assert POLICY.score.families > len(families)


def test_score_in_shadow_mode_is_recorded_only() -> None:
    made, engine = decided(policy(mode="shadow"), {"restrict": -160_000})
    assert made == []
    assert engine.asked.tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_decision_rule_with_equal_outcome_precedes_score() -> None:
    which = policy(("first", "bulk"))
    hard = msgspec.structs.replace(which.rules[0], outcome="restrict", hold="1h")
    made, _ = decided(dataclasses.replace(which, rules=(hard,)), {"restrict": -174_000})
    assert [(d.outcome, d.rules) for d in made] == [("restrict", ("first",))]
    assert made[0].score is not None
    assert made[0].until == made[0].ts + 72 * HOUR


def test_rule_reading_score_without_model_is_silent() -> None:
    which = policy(("first", "bulk"))
    reading = msgspec.structs.replace(which.rules[0], when="score > 0 and registration_score > 0")
    which = dataclasses.replace(which, rules=(reading,))
    made, _ = decided(which, {})
    assert [d.rules for d in made] == [("first",)]
    assert Engine(which, accounts=64).program.not_covered == ("first",)


def test_notification_time_is_delayed_but_for_challenges() -> None:
    feedback = POLICY.feedback
    told = {notification_time(feedback, f"d{i}", START, "restrict") - START for i in range(200)}
    assert len(told) > 190
    assert 20 * 60_000 <= min(told) < HOUR < 3 * HOUR < max(told) <= 4 * HOUR
    assert notification_time(feedback, "d", START, "challenge") == START
    assert notification_time(feedback, "d", START, "ban") == notification_time(
        feedback, "d", START, "ban"
    )


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('[score]\nmode = "enforce"', "no hold for challenge"),
        ('[score.evidence]\none = ["bulk"]\ntwo = ["bulk"]', "`bulk` is in 2 families"),
        ('[feedback.delay]\nban = ["2h", "1h"]', "2h is longer than 1h"),
        ("[score]\nmodel = 1", "unknown key `model`"),
    ],
)
def test_score_policy_is_validated(table: str, what: str, tmp_path: Any) -> None:
    text = (rules.loader.SHIPPED / "actions.toml").read_text()
    begin, end = text.index("[score]"), text.index("[[action]]")
    (tmp_path / "actions.toml").write_text(text[:begin] + table + "\n\n" + text[end:])
    with pytest.raises(PolicyError, match=what):
        rules.load_policy(tmp_path)


@pytest.mark.parametrize(
    ("told", "most"), [({"in_contacts": False}, "limit"), ({}, "observe")], ids=["books", "bare"]
)
def test_score_without_ages_is_capped_at_limit(
    told: dict[str, Any], most: str
) -> None:  # fmt: skip
    sends: list[dict[str, Any]] = [
        {"id": f"e{i}", "ts": START + i * HOUR, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{i}"} | told
        for i in range(1, 6)
    ]  # fmt: skip
    model = Synthetic({"observe": -180_000, "limit": -174_000, "restrict": -160_000})
    engine = Engine(policy(), measure([log(sends)]), model=model, accounts=64)
    assert "age_s" not in engine.covered
    assert [d.outcome for d in engine.take(log(sends))][-1] == most


def test_score_silent_account_is_capped_by_policy() -> None:
    made, _ = decided(policy(silent="limit"), {"restrict": ALWAYS}, sends=2)
    assert [(d.outcome, d.stage) for d in made] == [
        ("limit", "registration"), ("restrict", "messaging")
    ]  # fmt: skip


@pytest.mark.parametrize(("passed", "lapsed"), [(False, 1), (True, 0)])
def test_challenges_lapsed_counts_expired_not_passed(
    passed: bool, lapsed: int
) -> None:  # fmt: skip
    _, engine = decided(policy(), {"challenge": ALWAYS}, sends=2)
    more: list[dict[str, Any]] = [
        {"id": "c", "ts": START + 2 * HOUR, "type": TYPES.index("challenge.passed"), "account": "a"}
    ] * passed  # fmt: skip
    more += [
        {"id": f"s{at}", "ts": START + at * HOUR, "type": TYPES.index("session.started"),
         "account": "a"}
        for at in (20, 30)
    ]  # fmt: skip
    engine.take(log(more))
    assert engine.core.values_of(0)[INDEX["challenges_lapsed"]] == lapsed


def test_score_on_spared_channel_asks_for_nothing() -> None:
    asked = {c: decided(policy(), {"restrict": ALWAYS}, channel=c)[0] for c in CHANNELS}
    assert {c: [d.outcome for d in made] for c, made in asked.items()} == {
        "personal": ["restrict"], "business_app": ["restrict"], "business_platform": []
    }  # fmt: skip


def test_score_policy_unknown_bounding_feature_is_refused(tmp_path: Path) -> None:
    shipped = (SHIPPED / "actions.toml").read_text(encoding="utf-8")
    (tmp_path / "actions.toml").write_text(shipped.replace('carries = "age_s"', 'carries = "agee"'))
    with pytest.raises(PolicyError, match="most: there is no feature"):
        rules.load_policy(tmp_path)
