"""What a score may do beside rules: thresholds, corroboration, once until its standing ends."""

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
from wavebreak.engine.enforcement import told_at
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


def test_the_most_severe_outcome_whose_threshold_is_reached_is_asked_for_once() -> None:
    made, engine = decided(policy(), {"challenge": ALWAYS, "restrict": -160_000})
    assert [(d.outcome, d.stage, d.trigger, d.rules) for d in made] == [
        ("challenge", "registration", "r", ()),
        ("restrict", "messaging", "e3", ()),
    ]
    assert all(d.model == Synthetic.version and 0 < (d.score or 0) < 0.1 for d in made)
    assert engine.asked.tolist() == [0, 0, 1, 0, 1, 0, 0]


def test_it_asks_again_when_the_standing_that_it_led_to_has_ended() -> None:
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
def test_a_ban_needs_rules_of_three_families_of_evidence(
    fired: list[tuple[str, str]], outcome: str
) -> None:
    made, _ = decided(policy(*fired), {"ban": -180_000})
    assert made[-1].outcome == outcome
    assert made[-1].stage == "messaging"


def test_a_rule_that_reads_the_score_is_no_evidence_beside_it() -> None:
    plain = policy(*THREE)
    for name in ("score", "registration_score"):
        reads = msgspec.structs.replace(plain.rules[1], when=f"sends_1d >= 1 or {name} >= 0")
        which = dataclasses.replace(plain, rules=(plain.rules[0], reads, plain.rules[2]))
        made, _ = decided(which, {"ban": -180_000})
        assert made[-1].outcome == "suspend"


def test_a_suspension_becomes_a_ban_when_a_third_family_speaks() -> None:
    late = policy(*THREE)
    slower = msgspec.structs.replace(late.rules[2], when="sends_1d >= 4")
    which = dataclasses.replace(late, rules=(*late.rules[:2], slower))
    made, _ = decided(which, {"ban": -180_000}, sends=9)
    assert [d.outcome for d in made if d.outcome != "observe"] == ["suspend", "ban"]


def test_where_a_takeover_is_suspected_a_score_challenges_at_most() -> None:
    fired = policy(("first", "bulk"), ("second", "takeover"), recover="takeover")
    made, _ = decided(fired, {"restrict": -160_000})
    assert [d.outcome for d in made] == ["observe", "challenge"]


def test_a_letter_to_many_that_some_report_is_held_and_not_banned_on_the_scores_word() -> None:
    said = {"bulk", "automation", "feedback"}
    families = [name for name, abuses in POLICY.score.evidence.items() if said & {*abuses}]
    assert families == ["sending", "feedback"]
    assert POLICY.score.families > len(families)


def test_a_model_in_shadow_decides_nothing_and_is_noted() -> None:
    made, engine = decided(policy(mode="shadow"), {"restrict": -160_000})
    assert made == []
    assert engine.asked.tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_a_rule_that_asks_for_as_much_leads_and_the_score_is_written_with_it() -> None:
    which = policy(("first", "bulk"))
    hard = msgspec.structs.replace(which.rules[0], outcome="restrict", hold="1h")
    made, _ = decided(dataclasses.replace(which, rules=(hard,)), {"restrict": -174_000})
    assert [(d.outcome, d.rules) for d in made] == [("restrict", ("first",))]
    assert made[0].score is not None
    assert made[0].until == made[0].ts + 72 * HOUR


def test_a_rule_may_read_the_score_and_is_silent_without_a_model() -> None:
    which = policy(("first", "bulk"))
    reading = msgspec.structs.replace(which.rules[0], when="score > 0 and registration_score > 0")
    which = dataclasses.replace(which, rules=(reading,))
    made, _ = decided(which, {})
    assert [d.rules for d in made] == [("first",)]
    assert Engine(which, accounts=64).program.not_covered == ("first",)


def test_senders_are_told_later_than_they_are_refused_and_a_challenge_at_once() -> None:
    feedback = POLICY.feedback
    told = {told_at(feedback, f"d{i}", START, "restrict") - START for i in range(200)}
    assert len(told) > 190
    assert 20 * 60_000 <= min(told) < HOUR < 3 * HOUR < max(told) <= 4 * HOUR
    assert told_at(feedback, "d", START, "challenge") == START
    assert told_at(feedback, "d", START, "ban") == told_at(feedback, "d", START, "ban")


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('[score]\nmode = "enforce"', "no hold for challenge"),
        ('[score.evidence]\none = ["bulk"]\ntwo = ["bulk"]', "`bulk` is in 2 families"),
        ('[feedback.delay]\nban = ["2h", "1h"]', "2h is longer than 1h"),
        ("[score]\nmodel = 1", "unknown key `model`"),
    ],
)
def test_what_a_score_does_is_checked_like_the_rest(table: str, what: str, tmp_path: Any) -> None:
    text = (rules.loader.SHIPPED / "actions.toml").read_text()
    begin, end = text.index("[score]"), text.index("[[action]]")
    (tmp_path / "actions.toml").write_text(text[:begin] + table + "\n\n" + text[end:])
    with pytest.raises(PolicyError, match=what):
        rules.load_policy(tmp_path)


@pytest.mark.parametrize(
    ("told", "most"), [({"in_contacts": False}, "limit"), ({}, "observe")], ids=["books", "bare"]
)
def test_where_ages_are_not_known_a_score_slows_or_watches_at_most(
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


def test_of_who_has_started_no_chat_a_score_asks_for_no_more_than_the_policy_lets_it() -> None:
    made, _ = decided(policy(silent="limit"), {"restrict": ALWAYS}, sends=2)
    assert [(d.outcome, d.stage) for d in made] == [
        ("limit", "registration"), ("restrict", "messaging")
    ]  # fmt: skip


@pytest.mark.parametrize(("passed", "lapsed"), [(False, 1), (True, 0)])
def test_a_challenge_that_ends_by_its_time_has_lapsed_and_a_passed_one_has_not(
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


def test_on_a_channel_with_rules_of_its_own_a_score_asks_for_nothing() -> None:
    asked = {c: decided(policy(), {"restrict": ALWAYS}, channel=c)[0] for c in CHANNELS}
    assert {c: [d.outcome for d in made] for c, made in asked.items()} == {
        "personal": ["restrict"], "business_app": ["restrict"], "business_platform": []
    }  # fmt: skip


def test_a_score_that_is_bounded_by_an_unknown_feature_is_refused(tmp_path: Path) -> None:
    shipped = (SHIPPED / "actions.toml").read_text(encoding="utf-8")
    (tmp_path / "actions.toml").write_text(shipped.replace('carries = "age_s"', 'carries = "agee"'))
    with pytest.raises(PolicyError, match="most: there is no feature"):
        rules.load_policy(tmp_path)
