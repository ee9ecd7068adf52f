"""Conditions of a rule as a list: what it stands for, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rule_factories import policy, rule
from wavebreak.errors import PolicyError
from wavebreak.rules import AnyOf
from wavebreak.rules.compiler import program_source
from wavebreak.rules.conditions import (
    When,
    check_conditions,
    condition_count,
    condition_lines,
    expression_of,
)

NAMES = ("a", "b", "c")
SIX = tuple(f"a > {n}" for n in range(6))


def loaded(toml: str) -> Any:
    return msgspec.convert(tomllib.loads(f"when = {toml}")["when"], When)


@pytest.mark.parametrize(
    ("toml", "expression"),
    [
        ('"a > 1 and b > 2"', "a > 1 and b > 2"),
        ('["a > 1"]', "a > 1"),
        ('["a > 1", "b  > 2"]', "a > 1 and b > 2"),
        ('[{ any_of = ["a > 1", "b > 2"] }]', "(a > 1 or b > 2)"),
        (
            '["c < 9", { any_of = ["a > 1", ["b > 2", "c > 3"]] }, "b < 7"]',
            "c < 9 and (a > 1 or b > 2 and c > 3) and b < 7",
        ),
        (
            '[{ any_of = [["a > 1", { any_of = ["b > 2", "b < 1"] }], "c > 3"] }]',
            "(a > 1 and (b > 2 or b < 1) or c > 3)",
        ),
    ],
)
def test_list_of_conditions_becomes_one_expression(toml: str, expression: str) -> None:
    when = loaded(toml)
    assert expression_of(when) == expression
    check_conditions(when, NAMES)


def test_list_and_string_compile_to_the_same_program() -> None:
    listed = rule(("a > 1", AnyOf(("b > 2", ("c > 3", "a < 9")))))
    plain = rule("a > 1 and (b > 2 or c > 3 and a < 9)")
    assert program_source(policy([listed])) == program_source(policy([plain]))
    assert policy([listed]).version == policy([plain]).version


leaves = st.sampled_from(["a > 1", "b <= 2 * c", "abs(c) < 3"])
entries: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(
        inner | st.lists(inner, min_size=1, max_size=3).map(tuple), min_size=2, max_size=3
    ).map(lambda alternatives: AnyOf(tuple(alternatives))),
    max_leaves=6,
)


def in_toml(value: Any) -> str:
    if isinstance(value, AnyOf):
        return f"{{ any_of = {in_toml(value.any_of)} }}"
    return f'"{value}"' if isinstance(value, str) else f"[{', '.join(map(in_toml, value))}]"


def flattened(value: Any) -> Any:
    """An AnyOf directly within an AnyOf is not of the form: it is put into a list."""
    if isinstance(value, AnyOf):
        sides = (flattened(one) for one in value.any_of)
        return AnyOf(tuple((one,) if isinstance(one, AnyOf) else one for one in sides))
    return tuple(map(flattened, value)) if isinstance(value, tuple) else value


@given(st.lists(entries, min_size=1, max_size=3))
def test_any_nesting_loads_and_shows_each_condition(drawn: list[Any]) -> None:
    when = flattened(tuple(drawn))
    assert loaded(in_toml(when)) == when
    count = condition_count(when)
    check_conditions(when, NAMES, needs_split=True) if count > 8 else None
    shown = [line.strip() for line in condition_lines(when)]
    assert sum(line.startswith("- `") for line in shown) == count


REFUSED: dict[str, tuple[When, str, str]] = {
    "two conditions on a line": (
        ("a > 1 and b > 2",),
        "`a > 1 and b > 2` is more than one condition",
        "one condition per line",
    ),
    "unknown feature": (
        ("a > 1", AnyOf(("b > 2", "d > 3"))),
        "`d > 3`, column 1: there is no feature `d`",
        "features list",
    ),
    "parentheses across lines": (("(a > 1", "b > 2)"), "`(a > 1`, column", "use features"),
    "nested three deep": (
        (AnyOf(("a > 1", (AnyOf(("a > 2", (AnyOf(("a > 3", "a > 4")),))),))),),
        "any_of within any_of, 3 deep",
        "a rule of their own",
    ),
    "nine conditions": (
        (*SIX, "b > 1", AnyOf(("b > 2", "c > 3"))),
        "9 conditions, more than 8",
        "needs_split = true",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_wrong_condition_is_refused_with_a_fix(fault: str) -> None:
    when, what, fix = REFUSED[fault]
    with pytest.raises(PolicyError) as refused:
        check_conditions(when, NAMES)
    assert what in refused.value.what
    assert fix in refused.value.fix


def test_marked_rule_may_have_more_than_eight_conditions() -> None:
    check_conditions((*SIX, "b > 1", "b > 2", "c > 3"), NAMES, needs_split=True)


def test_mark_on_a_short_rule_is_refused() -> None:
    with pytest.raises(PolicyError, match="`needs_split` on a rule of 2 conditions"):
        check_conditions(("a > 1", "b > 2"), NAMES, needs_split=True)


def test_plain_string_of_nine_conditions_still_loads() -> None:
    check_conditions(" and ".join([*SIX, "b > 1", "b > 2", "c > 3"]), NAMES)
