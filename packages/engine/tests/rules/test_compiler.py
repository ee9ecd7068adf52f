"""All rules as one callback: bits, kinds of fact, coverage, and the cache."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import support
from support.rule_factories import FEATURES, KINDS, policy, rule
from wavebreak.compiled.numba_runtime import call_int64, compiled
from wavebreak.errors import PolicyError
from wavebreak.rules import (
    Program,
    compile_rules,
    features_read,
    load_policy,
    matching_rules,
)
from wavebreak.rules.compiler import interpreted_rules


def sixty_four() -> Program:
    rules = [rule(f"a == {k}", id=f"rule_{k}", on=(KINDS[k % 3],)) for k in range(64)]
    return compile_rules(policy(rules))


@compiled("i8(i8, i8, i8)")
def called(address: int, features: int, kind_bit: int) -> int:
    return call_int64(address, features, kind_bit)


def test_each_of_sixty_four_rules_has_its_own_bit() -> None:
    program = sixty_four()
    for k in range(64):
        assert matching_rules(program, KINDS[k % 3], {"a": k}) == (f"rule_{k}",)
    assert program.enabled == -1


def test_rule_matches_only_its_kinds_of_fact() -> None:
    program = compile_rules(policy([rule(on=("sent", "epoch"))]))
    found = [kind for kind in KINDS if matching_rules(program, kind, {"a": 2})]
    assert found == ["sent", "epoch"]


def test_compiled_code_calls_the_rules_at_their_address() -> None:
    program = sixty_four()
    row = np.array([63.0, np.nan, np.nan])
    assert called(program.address, row.ctypes.data, 1 << 0) == -(1 << 63)
    assert called(program.address, row.ctypes.data, 1 << 1) == 0


def test_program_arrays_are_indexed_by_rule_bit() -> None:
    rules = [
        rule(id="first"),
        rule(id="second", outcome="restrict", hold="48h", mode="enforce", stage="feedback"),
        rule(id="third", outcome=None, label="seeded", mode="enforce", stage="review"),
        rule(id="fourth", outcome="challenge", hold="3d", action="recover"),
    ]
    program = compile_rules(policy(rules))
    assert program.outcome[:5].tolist() == [1, 4, 0, 2, 0]
    assert program.hold_s[:5].tolist() == [0, 172_800, 0, 259_200, 0]
    assert program.stage[:5].tolist() == [1, 2, 3, 1, 0]
    assert program.shadow[:5].tolist() == [1, 0, 0, 1, 0]
    assert program.actions == ("observe", "restrict", "allow", "recover")
    assert program.enabled == 0b1111
    assert [row.dtype for row in (program.outcome, program.hold_s)] == [np.uint8, np.uint32]


def test_rule_of_uncovered_features_is_disabled() -> None:
    rules = [
        rule(id="on_a"),
        rule("b > 1 and a > 1", id="on_both"),
        rule("b > 1 or a > 1", id="on_either"),
    ]
    program = compile_rules(policy(rules), frozenset({"a"}))
    assert program.not_covered == ("on_both",)
    assert matching_rules(program, "sent", {"a": 2}) == ("on_a", "on_either")
    assert features_read(rules[1], FEATURES) == ("b", "a")


def test_masks_of_kinds_and_enforced_rules() -> None:
    rules = [
        rule(id="first", mode="enforce", on=("sent", "epoch")),
        rule(id="second", on=("sent",), stage="review"),
        rule(id="third", mode="enforce", outcome=None, label="seeded"),
        rule("b > 1", id="fourth", mode="enforce", on=("received",)),
    ]
    program = compile_rules(policy(rules))
    assert (program.wake, program.enforced) == (0b111, 0b1001)
    assert (program.of_stage("messaging"), program.of_stage("review")) == (0b1101, 0b0010)
    partly = compile_rules(policy(rules), frozenset({"a"}))
    assert (partly.wake, partly.enforced, partly.enabled) == (0b101, 0b1, 0b111)
    assert sixty_four().of_stage("messaging") == -1


def test_a_policy_without_rules_compiles_and_never_hits() -> None:
    assert matching_rules(compile_rules(policy([])), "sent", {"a": 1}) == ()


@pytest.mark.parametrize(("kind", "values"), [("sent", {"d": 1.0}), ("heard", {"a": 1.0})])
def test_unknown_feature_or_kind_is_refused(kind: str, values: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match="there is no"):
        matching_rules(sixty_four(), kind, values)


MODULE = """
from support.rule_factories import policy, rule
from wavebreak.rules import compile_rules, matching_rules
made = compile_rules(policy([rule("min(a, b) > 1 and a != 3")]))
print(matching_rules(made, "sent", {"a": 2, "b": 2}), made.keepalive.keepalive.cache_hits)
"""


def run(cache: Path) -> str:
    environment = {**os.environ, "WAVEBREAK_CACHE": str(cache)}
    command = [sys.executable, "-c", MODULE]
    folder = Path(support.__file__).parents[1]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_second_process_uses_the_code_cache(tmp_path: Path) -> None:
    assert run(tmp_path) == "('a_rule',) 0"
    assert run(tmp_path) == "('a_rule',) 1"


def test_tampered_generated_source_is_rewritten(tmp_path: Path) -> None:
    run(tmp_path)
    (source,) = tmp_path.glob("*/rules_*.py")
    before = source.read_text()
    source.write_text("raise SystemExit(3)")
    assert run(tmp_path).startswith("('a_rule',)")
    assert source.read_text() == before


def test_rules_compile_without_a_writable_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "a_file"
    blocked.write_text("")
    assert run(blocked / "cache") == "('a_rule',) 0"


@given(st.data())
def test_interpreted_rules_match_as_compiled_ones(data: st.DataObject) -> None:
    policy = load_policy()
    kind = data.draw(st.sampled_from(policy.kinds))
    rule = data.draw(st.sampled_from([r for r in policy.rules if kind in r.on] or policy.rules))
    numbers = st.one_of(st.just(math.nan), st.floats(-1, 300), st.sampled_from([0.0, 1.0, 2.0]))
    values = {name: data.draw(numbers) for name in features_read(rule)}
    program = compile_rules(policy)
    assert interpreted_rules(policy, kind, values) == matching_rules(program, kind, values)
