"""Decisions by score: thresholds, corroboration by rules, once per enforcement."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from support.fake_model import Learned, Synthetic
from support.parity_streams import DAY, HOUR, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import notification_time
from wavebreak.errors import PolicyError
from wavebreak.rules.conditions import AnyOf
from wavebreak.rules.loader import SHIPPED
from wavebreak.rules.model import ScoreThresholds
from wavebreak.schema.coverage import measure
from wavebreak.schema.events import CHANNELS, TYPES

START = 20_000 * DAY
ALWAYS, NEVER = -(10**6), 10**9
POLICY = rules.load_policy()


def policy(
    *fired: tuple[str, Literal["doubt", "takeover"]],
    mode: Literal["enforce", "shadow", "home"] = "enforce",
    silent: Literal["observe", "limit"] = "limit",
) -> rules.Policy:  # fmt: skip
    """The shipped policy with rules that fire on the second send and only watch.

    Each is (id, basis). `silent` is the most a score asks of who has started no chat.
    """
    made = tuple(
        msgspec.structs.replace(
            POLICY.rules[0], id=name, basis=basis, stage="messaging", on=("sent",),
            when="sends_1d >= 2", outcome="observe", label=None, hold=None, mode="enforce",
            new_chats_1d=None,
        )
        for name, basis in fired
    )  # fmt: skip
    score = msgspec.structs.replace(POLICY.score, mode=mode, silent=silent)
    return dataclasses.replace(POLICY, rules=made, score=score)


def decided(
    which: rules.Policy,
    thresholds: dict[str, int],
    *,
    sends: int = 6,
    gap: int = HOUR,
    channel: str = "personal",
    model: type[Synthetic] = Synthetic,
) -> tuple[list[Decision], Engine]:
    """What is decided on an account that registers and writes to strangers."""
    events: list[dict[str, Any]] = [
        {"id": "r", "ts": START, "type": TYPES.index("account.registered"), "account": "a",
         "channel": CHANNELS.index(channel), "business": "b"}
    ]  # fmt: skip
    events += [
        {"id": f"e{i}", "ts": START + i * gap, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{i}"}
        for i in range(1, sends)
    ]  # fmt: skip
    engine = Engine(which, model=model(thresholds), accounts=64)
    return engine.take(log(events)) + engine.finish(), engine


def test_score_is_doubt_and_slows_once_for_each_level() -> None:
    made, engine = decided(policy(), {"challenge": ALWAYS, "restrict": -160_000})
    assert [(d.outcome, d.new_chats_1d, d.trigger, d.basis) for d in made] == [
        ("limit", POLICY.score.new_chats_1d, "r", "doubt"),
        ("limit", POLICY.score.few_chats_1d, "e3", "doubt"),
    ]
    assert all(d.model == Synthetic.version and 0 < (d.score or 0) < 0.1 for d in made)
    assert engine.asked.tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


def test_score_asks_again_after_enforcement_ended() -> None:
    made, _ = decided(policy(), {"challenge": ALWAYS}, sends=8, gap=20 * HOUR)
    assert [(d.outcome, d.trigger) for d in made] == [("limit", "r"), ("limit", "e3"),
                                                      ("limit", "e6")]  # fmt: skip


@pytest.mark.parametrize("asked", ["restrict", "suspend", "ban"])
def test_score_alone_never_restricts(asked: str) -> None:
    made, _ = decided(policy(), {asked: ALWAYS})
    assert {d.outcome for d in made} <= {"limit"}


def test_score_with_takeover_is_capped_at_challenge() -> None:
    fired = policy(("first", "doubt"), ("second", "takeover"))
    made, _ = decided(fired, {"restrict": -160_000})
    assert [d.outcome for d in made] == ["observe", "challenge"]


def test_score_in_shadow_mode_is_recorded_only() -> None:
    made, engine = decided(policy(mode="shadow"), {"restrict": -160_000})
    assert made == []
    assert engine.asked.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]


def test_passed_challenge_raises_the_allowance_of_a_limit_on_doubt() -> None:
    made, engine = decided(policy(), {"challenge": ALWAYS}, sends=2)
    passed: list[dict[str, Any]] = [
        {"id": f"c{n}", "ts": START + (2 + n) * HOUR, "type": TYPES.index("challenge.passed"),
         "account": "a"}
        for n in range(2)
    ]  # fmt: skip
    more = engine.take(log(passed))
    left = POLICY.score.new_chats_1d
    assert [d.new_chats_1d for d in [*made, *more]] == [left, left + 8]
    assert [(d.outcome, d.basis) for d in more] == [("limit", "challenge")]


def test_decision_rule_with_equal_limit_precedes_score() -> None:
    which = policy(("first", "doubt"))
    left = POLICY.score.few_chats_1d
    slow = msgspec.structs.replace(which.rules[0], outcome="limit", hold="1h", new_chats_1d=left)
    made, _ = decided(dataclasses.replace(which, rules=(slow,)), {"restrict": -174_000})
    assert [(d.outcome, d.rules) for d in made] == [("limit", ("first",))]
    assert made[0].score is not None
    assert made[0].until == made[0].ts + 48 * HOUR


def test_rule_reading_score_without_model_is_silent() -> None:
    which = policy(("first", "doubt"))
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
    until = START + HOUR
    hour = {notification_time(feedback, f"d{i}", START, "limit", until) - START for i in range(200)}
    assert 10 * 60_000 <= min(hour) < max(hour) <= HOUR // 2
    assert notification_time(feedback, "d", START, "ban") == notification_time(
        feedback, "d", START, "ban"
    )


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('[score]\nmode = "enforce"', "no hold for challenge"),
        ('[score]\nwithout = "restrict"', "without: a score asks for restrict"),
        ('[score]\nsilent = "ban"', "silent: a score asks for ban"),
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
    ("given", "most"), [({"in_contacts": False}, ["limit"]), ({}, [])], ids=["contacts", "bare"]
)
def test_score_without_contacts_decides_nothing(given: dict[str, Any], most: list[str]) -> None:
    sends: list[dict[str, Any]] = [
        {"id": f"e{i}", "ts": START + i * HOUR, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{i}"} | given
        for i in range(1, 6)
    ]  # fmt: skip
    model = Synthetic({"challenge": -174_000})
    engine = Engine(policy(), measure([log(sends)]), model=model, accounts=64)
    assert [d.outcome for d in engine.take(log(sends))] == most


def test_score_silent_account_is_capped_by_policy() -> None:
    made, _ = decided(policy(silent="observe"), {"observe": ALWAYS, "challenge": ALWAYS}, sends=2)
    assert [(d.outcome, d.stage) for d in made] == [
        ("observe", "registration"), ("limit", "messaging")
    ]  # fmt: skip


def test_score_on_spared_channel_asks_for_nothing() -> None:
    asked = {c: decided(policy(), {"challenge": ALWAYS}, channel=c)[0] for c in CHANNELS}
    assert {c: [d.outcome for d in made] for c, made in asked.items()} == {
        "personal": ["limit"], "business_app": ["limit"], "business_platform": []
    }  # fmt: skip


def test_score_policy_unknown_bounding_feature_is_refused(tmp_path: Path) -> None:
    shipped = (SHIPPED / "actions.toml").read_text(encoding="utf-8")
    (tmp_path / "actions.toml").write_text(
        shipped.replace('carries = "cold_share_32"', 'carries = "agee"')
    )
    with pytest.raises(PolicyError, match="most: there is no feature"):
        rules.load_policy(tmp_path)


def with_thresholds(**given: Any) -> rules.Policy:
    own = ScoreThresholds(**{"model": Synthetic.version} | given)
    plain = policy()
    score = msgspec.structs.replace(plain.score, thresholds=own)
    return dataclasses.replace(plain, score=score)


def test_policy_threshold_replaces_the_models() -> None:
    never, _ = decided(with_thresholds(challenge=30.0), {"challenge": ALWAYS})
    assert never == []
    always, _ = decided(with_thresholds(challenge=-30.0), {"challenge": NEVER})
    assert [d.outcome for d in always] == ["limit"]


def test_thresholds_of_another_model_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"another-1.*fix: set thresholds of this model"):
        decided(with_thresholds(model="another-1", challenge=1.0), {"challenge": ALWAYS})


def test_thresholds_are_part_of_the_policy_version() -> None:
    plain = policy()
    assert with_thresholds(challenge=1.0).version != plain.version


@pytest.mark.parametrize(("model", "decides"), [(Synthetic, False), (Learned, True)])
def test_only_a_score_of_home_acts_where_the_policy_says_so(
    model: type[Synthetic], *, decides: bool
) -> None:
    made, engine = decided(policy(mode="home"), {"challenge": ALWAYS}, model=model)
    assert any(each.outcome == "limit" for each in made) == decides
    assert ("score" in engine.covered) == decides


@pytest.mark.parametrize(("model", "reads"), [(Synthetic, False), (Learned, True)])
def test_no_alternative_of_a_rule_reads_a_score_from_elsewhere(
    model: type[Synthetic], *, reads: bool
) -> None:
    which = policy(("either", "doubt"), mode="home")
    when = (AnyOf((("score >= 0",), ("sends_1d >= 1000",))),)
    rule = msgspec.structs.replace(which.rules[0], when=when)
    made, _ = decided(dataclasses.replace(which, rules=(rule,)), {}, model=model)
    assert any("either" in each.rules for each in made) == reads
