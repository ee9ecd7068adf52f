"""From TOML to a policy: overrides, and an error that helps for each way to be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from wavebreak.durations import duration_seconds
from wavebreak.errors import PolicyError
from wavebreak.outcomes import OUTCOMES
from wavebreak.rules import (
    EvidenceTerms,
    describe_rule,
    explain_rule,
    features_read,
    load_policy,
    matching_rules,
    policy_summary,
)
from wavebreak.rules.compiler import compile_rules
from wavebreak.rules.model import (
    Action,
    Allowances,
    EnforcementTerms,
    Feedback,
    Rule,
    Score,
    ScoreThresholds,
)

RULE = """
[[rule]]
id = "a_rule"
abuse = "bulk"
about = "What it is about."
source = "Where it is from."
stage = "messaging"
on = ["sent"]
when = "sends_1h > 10"
outcome = "limit"
for = "24h"
fires_on = [{ sends_1h = 11 }]
stays_quiet_on = [{ sends_1h = 10 }]
"""

ENFORCEMENT = """
[enforcement]
new_chats_1d = 5
suspend_after = 3
double_at_most = 2
observe = "24h"
grace = "1h"
benign_grace = "7d"
"""

ACTIONS = ENFORCEMENT + "".join(
    f'[[action]]\nid = "{outcome}"\noutcome = "{outcome}"\nabout = "What is done."\n'
    'revert = "How it is undone."\n'
    for outcome in OUTCOMES
)

Policies = Callable[..., Path]


@pytest.fixture
def directory(tmp_path: Path) -> Policies:
    """Makes a policy directory of the given rule files, and of actions unless they are None."""

    def make(name: str = "one", actions: str | None = ACTIONS, **files: str) -> Path:
        folder = tmp_path / name
        (folder / "rules").mkdir(parents=True)
        for stem, text in files.items():
            (folder / "rules" / f"{stem}.toml").write_text(text)
        if actions is not None:
            (folder / "actions.toml").write_text(actions)
        return folder

    return make


def changed(old: str, new: str) -> str:
    assert RULE.count(old) == 1
    return RULE.replace(old, new)


WRONG = {
    "unknown key": (RULE + "wen = 1", "bulk.toml, a_rule: unknown key `wen`", "mean `when`"),
    "unknown table": ("[rules]", "bulk.toml: unknown key `rules`", "[[rule]]"),
    "one table": ("[rule]", "bulk.toml: `rule` is not a list", "[[rule]]"),
    "no toml": ("[[rule", "bulk.toml: ", "correct the TOML"),
    "missing key": (
        changed('stage = "messaging"\n', ""),
        "a_rule, Object missing",
        "add stage: one of",
    ),
    "wrong type": (
        changed('"a_rule"', "3"),
        "bulk.toml, 3, id: Expected `str`",
        "write lower-case letters",
    ),
    "bad id": (
        changed('"a_rule"', '"A rule"'),
        "bulk.toml, A rule, id: ",
        "write lower-case letters",
    ),
    "bad stage": (
        changed('"messaging"', '"sometime"'),
        "a_rule, stage: Invalid",
        "write one of registration",
    ),
    "bad duration": (changed('"24h"', '"a day"'), "a_rule, for: ", 'for = "24h"'),
    "no duration": (changed('for = "24h"\n', ""), "limit without for", '"24h"'),
    "endless": (changed('"limit"', '"ban"'), "for: ban does not end", "remove `for`"),
    "no outcome": (changed('outcome = "limit"\n', ""), "outcome and label", "exactly one"),
    "both": (RULE + 'label = "seeded"', "outcome and label", "exactly one"),
    "no such action": (RULE + 'action = "recover"', "no action `recover`", "limit"),
    "wrong action": (RULE + 'action = "ban"', "no action `ban` of the outcome limit", "limit"),
    "no such kind": (changed('["sent"]', '["send"]'), "on: there is no kind of fact", "sent"),
    "kind twice": (changed('["sent"]', '["sent", "sent"]'), "on: `sent` twice", "once"),
    "no kind": (changed('["sent"]', "[]"), "a_rule, on: ", 'on = ["sent"]'),
    "bad feature": (
        changed('"sends_1h > 10"', '"sends_1hr > 10"'),
        "a_rule, when, column 1: there is no feature `sends_1hr`",
        "`sends_1h`",
    ),
    "bad form of conditions": (
        changed('"sends_1h > 10"', '["sends_1h > 10", { all_of = ["age_s > 1"] }]'),
        "a_rule, when[1]: Object",
        "any_of = [",
    ),
    "too many conditions": (
        changed('"sends_1h > 10"', str([f"sends_1h > {n}" for n in range(2, 11)])),
        "a_rule, when, 9 conditions, more than 8",
        "needs_split = true",
    ),
    "no examples": (
        changed("[{ sends_1h = 11 }]", "[]"),
        "a_rule, fires_on: ",
        "fires_on = [{",
    ),
    "quiet example": (
        changed("[{ sends_1h = 11 }]", "[{ sends_1h = 12 }, { sends_1h = 9 }]"),
        "fires_on, example 2: the rule stays quiet on sends_1h = 9",
        "sends_1h > 10",
    ),
    "loud example": (
        changed("[{ sends_1h = 10 }]", "[{ sends_1h = 10.5 }]"),
        "stays_quiet_on, example 1: the rule fires on sends_1h = 10.5",
        "sends_1h > 10",
    ),
    "stray example": (
        changed("[{ sends_1h = 11 }]", "[{ sends_1h = 11, age_s = 3 }]"),
        "fires_on, example 1: the rule does not read `age_s`",
        "it reads sends_1h",
    ),
    "fires on nothing": (
        changed('"sends_1h > 10"', '"sends_1h > 10 or 2 > 1"'),
        "stays_quiet_on, example",
        "correct",
    ),
    "silences on doubt": (
        changed('"limit"', '"restrict"'),
        "restrict rests on doubt, which leads to limit at most",
        'basis = "evidence"',
    ),
    "without its basis": (
        changed('"limit"', '"restrict"\nbasis = "evidence"'),
        "basis: it can fire without evidence",
        "in every alternative",
    ),
    "new chats of no limit": (
        changed('outcome = "limit"\nfor = "24h"', 'outcome = "observe"\nnew_chats_1d = 3'),
        "new_chats_1d: only a limit leaves some",
        "remove it",
    ),
    "same id": (RULE + RULE, "bulk.toml also has a rule of that id", "its own id"),
    "too many": (
        "".join(RULE.replace("a_rule", f"rule_{n}") for n in range(65)),
        "there are 65 rules",
        "at most 64",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_invalid_rule_is_refused_with_place_and_fix(fault: str, directory: Policies) -> None:
    text, what, fix = WRONG[fault]
    with pytest.raises(PolicyError) as refused:
        load_policy(shipped=directory(bulk=text))
    assert what in refused.value.what
    assert fix in refused.value.fix


TABLES = (EnforcementTerms, Score, Feedback, Allowances, EvidenceTerms)
FIELDS = [
    *(("rules/bulk", "[[rule]]", name) for name in Rule.__struct_encode_fields__),
    *(("actions", "[[action]]", name) for name in Action.__struct_encode_fields__),
    *(
        ("evidence" if kind is EvidenceTerms else "actions", f"[{table}]", name)
        for kind, table in zip(
            TABLES, ("enforcement", "score", "feedback", "allowances", "evidence"), strict=True
        )
        for name in kind.__struct_encode_fields__
    ),
]


@pytest.mark.parametrize(("stem", "table", "name"), FIELDS)
@pytest.mark.parametrize("value", ["[[1]]", '"x"'])
def test_error_about_a_field_names_the_file_with_the_field_and_no_other(
    stem: str, table: str, name: str, value: str, directory: Policies
) -> None:
    policy = directory(bulk=RULE)
    path = policy / f"{stem}.toml"
    text = path.read_text() if path.exists() else ""
    own = [line for line in text.splitlines() if not line.startswith(f"{name} =")]
    text = "\n".join(own) + "\n"
    if table not in text:
        text += f"{table}\n"
    path.write_text(text.replace(f"{table}\n", f"{table}\n{name} = {value}\n", 1))
    with pytest.raises(PolicyError) as refused:
        load_policy(shipped=policy)
    assert set(re.findall(r"\w+\.toml", str(refused.value))) == {path.name}
    assert refused.value.fix


def test_outcome_without_its_action_is_refused(directory: Policies) -> None:
    with pytest.raises(PolicyError, match="no action `ban` of the outcome ban"):
        load_policy(
            shipped=directory(bulk=RULE, actions=ACTIONS.replace('id = "ban"', 'id = "off"'))
        )


@pytest.mark.parametrize(
    ("actions", "what"),
    [
        ("", "actions.toml: no action `allow`"),
        (
            ACTIONS.replace("grace = ", "grce = ", 1),
            "actions.toml, enforcement: unknown key `grce`",
        ),
        (ACTIONS.replace('"1h"', '"an hour"'), "actions.toml, enforcement, grace: "),
        (ACTIONS.replace(ENFORCEMENT, ""), "actions.toml, enforcement, Object missing"),
        ("enforcement = 3\n" + ACTIONS.replace(ENFORCEMENT, ""), "`enforcement` is not a table"),
        (ACTIONS + ACTIONS.replace(ENFORCEMENT, ""), "two actions have one id"),
        (ACTIONS + 'refuses = ["sent"]', f"actions.toml, {OUTCOMES[-1]}: unknown key `refuses`"),
    ],
)
def test_wrong_actions_and_terms_are_refused_with_their_place(
    actions: str, what: str, directory: Policies
) -> None:
    with pytest.raises(PolicyError) as refused:
        load_policy(shipped=directory(bulk=RULE, actions=actions))
    assert what in refused.value.what


def test_enforcement_terms_are_read_from_the_policy(directory: Policies) -> None:
    terms = load_policy(shipped=directory(bulk=RULE)).enforcement
    assert (terms.new_chats_1d, terms.suspend_after, terms.double_at_most) == (5, 3, 2)
    assert (terms.observe, terms.grace, terms.benign_grace) == ("24h", "1h", "7d")


def test_table_standing_of_0_1_loads_with_a_warning(
    directory: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = ACTIONS.replace("[enforcement]", "[standing]")
    terms = load_policy(shipped=directory("one", bulk=RULE, actions=earlier)).enforcement
    assert terms == load_policy(shipped=directory("two", bulk=RULE)).enforcement
    assert [record.getMessage() for record in caplog.records if "[enforcement]" in record.msg]


def test_tables_of_both_names_are_refused(directory: Policies) -> None:
    both = ENFORCEMENT.replace("[enforcement]", "[standing]") + ACTIONS
    with pytest.raises(PolicyError, match="earlier name of"):
        load_policy(shipped=directory(bulk=RULE, actions=both))


def test_local_file_replaces_shipped_file_of_its_name(directory: Policies) -> None:
    other = RULE.replace("a_rule", "b_rule")
    shipped = directory(bulk=RULE + other, norms=RULE.replace("a_rule", "c_rule"))
    local = directory("mine", actions=None, bulk=RULE.replace("a_rule", "d_rule"))
    assert [r.id for r in load_policy(local, shipped=shipped).rules] == ["c_rule", "d_rule"]


def test_local_rule_replaces_shipped_rule_of_its_id(directory: Policies) -> None:
    shipped = directory(bulk=RULE + RULE.replace("a_rule", "b_rule"))
    local = directory("mine", actions=None, own=changed('"24h"', '"7d"'))
    policy = load_policy(local, shipped=shipped)
    assert [(r.id, r.hold) for r in policy.rules] == [("a_rule", "7d"), ("b_rule", "24h")]
    assert policy.version.startswith("mine-")


ALIASED = changed('id = "a_rule"', 'id = "a_rule"\naliases = ["old_rule"]')


def test_rule_is_found_by_its_earlier_id(directory: Policies) -> None:
    policy = load_policy(shipped=directory(bulk=ALIASED))
    assert policy.rule("old_rule") == policy.rule("a_rule") == policy.rules[0]
    assert explain_rule(policy, "old_rule") == explain_rule(policy, "a_rule")


def test_local_rule_of_an_earlier_id_replaces_the_rule(directory: Policies) -> None:
    local = directory(
        "mine", actions=None, own=changed('"24h"', '"7d"').replace("a_rule", "old_rule")
    )
    policy = load_policy(local, shipped=directory(bulk=ALIASED))
    assert [(r.id, r.aliases, r.hold) for r in policy.rules] == [("a_rule", ("old_rule",), "7d")]


def test_aliases_do_not_change_the_version(directory: Policies) -> None:
    aliased, plain = (
        load_policy(shipped=directory("a", bulk=ALIASED)),
        load_policy(shipped=directory("b", bulk=RULE)),
    )
    assert aliased.version == plain.version


@pytest.mark.parametrize("first", ["a_rule", "older_rule"])
def test_local_rules_of_two_ids_of_one_rule_are_refused(directory: Policies, first: str) -> None:
    both = RULE.replace("a_rule", first) + RULE.replace("a_rule", "old_rule")
    local = directory("mine", actions=None, own=both)
    aliased = ALIASED.replace('"old_rule"', '"old_rule", "older_rule"')
    with pytest.raises(PolicyError, match="it is `a_rule` twice"):
        load_policy(local, shipped=directory(bulk=aliased))


def test_alias_of_another_rule_is_refused(directory: Policies) -> None:
    taken = RULE.replace("a_rule", "old_rule")
    with pytest.raises(PolicyError, match="aliases: `old_rule` is the rule `old_rule`"):
        load_policy(shipped=directory(bulk=ALIASED + taken))


def test_local_actions_replace_shipped_actions(directory: Policies) -> None:
    shipped = directory(bulk=RULE)
    local = directory("mine", actions=ACTIONS.replace("What is done.", "Done otherwise."))
    assert load_policy(local, shipped=shipped).actions["ban"].about == "Done otherwise."


def test_a_directory_without_a_policy_is_refused(directory: Policies, tmp_path: Path) -> None:
    shipped = directory(bulk=RULE)
    with pytest.raises(PolicyError, match="has no policy"):
        load_policy(directory("empty", actions=None), shipped=shipped)
    with pytest.raises(PolicyError, match="is not a directory"):
        load_policy(tmp_path / "nowhere", shipped=shipped)


def test_directory_of_one_other_file_keeps_the_rules(tmp_path: Path) -> None:
    (tmp_path / "training.toml").write_text("# how a model is learned here")
    assert load_policy(tmp_path).rules == load_policy().rules


def test_version_depends_on_content_not_on_layout(directory: Policies) -> None:
    first = load_policy(shipped=directory("one", bulk=RULE)).version
    again = load_policy(shipped=directory("two", bulk="# a comment\n" + RULE)).version
    other = load_policy(shipped=directory("three", bulk=changed("it is about", "it is"))).version
    assert first == again != other
    assert first.startswith("shipped-")
    assert len(first) == len("shipped-") + 12


def test_local_evidence_terms_replace_the_shipped_ones(directory: Policies) -> None:
    shipped = directory(bulk=RULE)
    local = directory("mine", actions=None, own=changed("a_rule", "b_rule"))
    assert load_policy(local, shipped=shipped).evidence == EvidenceTerms()
    before = load_policy(local, shipped=shipped).version
    (local / "evidence.toml").write_text("[evidence]\nreply = 0.3\n")
    policy = load_policy(local, shipped=shipped)
    assert (policy.evidence.reply, policy.evidence.complaint) == (0.3, 0.04)
    assert policy.version != before


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[evidence]\ncomplaint = 0.5", "evidence, complaint: "),
        ("[evidence]\nreplies = 0.5", "evidence: unknown key `replies`"),
        ("reply = 0.5", "unknown key `reply`"),
        ("evidence = 3", "`evidence` is not a table"),
    ],
)
def test_wrong_evidence_terms_are_refused(text: str, what: str, directory: Policies) -> None:
    local = directory("mine", actions=None, own=changed("a_rule", "b_rule"))
    (local / "evidence.toml").write_text(text)
    with pytest.raises(PolicyError) as refused:
        load_policy(local, shipped=directory(bulk=RULE))
    assert what in refused.value.what


def test_rule_that_was_withdrawn_is_taken_and_said(
    directory: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    local = directory("mine", actions=None, own=changed("a_rule", "unanswered_account_cluster"))
    policy = load_policy(local, shipped=directory(bulk=RULE))
    assert [rule.id for rule in policy.rules] == ["a_rule", "unanswered_account_cluster"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "own.toml, unanswered_account_cluster: Wavebreak has withdrawn this rule"
    )
    assert load_policy().rule("unanswered_account_cluster") is None


def test_a_new_rule_starts_in_shadow(directory: Policies) -> None:
    assert load_policy(shipped=directory(bulk=RULE)).rules[0].mode == "shadow"


def test_shipped_policy_is_valid_and_described() -> None:
    policy = load_policy()
    lines = policy_summary(policy)
    assert len(lines) == len(policy.rules) + 1
    assert lines[-1].startswith(policy.version)
    for rule in policy.rules:
        assert rule.about in describe_rule(rule)
        text = explain_rule(policy, rule.id)
        assert all(f"**{name}**" in text for name in features_read(rule))
        assert "- fires on" in text
        assert "- stays quiet on" in text


def test_unknown_rule_suggests_the_nearest() -> None:
    with pytest.raises(PolicyError, match="did you mean impossible_acts"):
        explain_rule(load_policy(), "impossible_act")


def test_published_instant_ban_asks_and_counts_strangers() -> None:
    policy = load_policy()
    rule = policy.rule("instant_ban")
    assert rule is not None
    assert (rule.id, rule.outcome) == ("impossible_acts", "challenge")
    program, burst = compile_rules(policy), {"age_s": 43, "sends_15s": 100, "channel": 0}
    assert rule.id in matching_rules(program, "sent", burst | {"strangers_written_15s": 100})
    assert rule.id not in matching_rules(program, "sent", burst | {"strangers_written_15s": 0})
    assert rule.id not in matching_rules(program, "sent", burst)


def test_durations_are_seconds() -> None:
    assert [duration_seconds(text) for text in ("30s", "15m", "24h", "7d")] == [
        30,
        900,
        86_400,
        604_800,
    ]


SCORE = (
    ACTIONS
    + """
[score]
[score.thresholds]
model = "default-1"
challenge = 1.5
restrict = RESTRICT
"""
)


def test_score_thresholds_are_read(directory: Policies) -> None:
    local = directory(actions=SCORE.replace("RESTRICT", "2"))
    score = load_policy(local, shipped=local).score
    assert isinstance(score.thresholds, ScoreThresholds)
    assert (score.thresholds.model, score.thresholds.restrict) == ("default-1", 2)


def test_strong_doubt_below_doubt_is_refused(directory: Policies) -> None:
    with pytest.raises(PolicyError, match="restrict is below challenge"):
        load_policy(directory(actions=SCORE.replace("RESTRICT", "1")))
