"""The language of `when`: what it accepts, what it says when it does not, and what it computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.rule_factories import fires, policy, rule
from wavebreak.errors import PolicyError
from wavebreak.rules import compile_rules, matching_rules
from wavebreak.rules.expressions import MAX_DEPTH, MAX_LENGTH, parse

NAMES = ("a", "b", "c", "sends_1h")
MISSING = math.nan


@pytest.fixture(scope="module", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random rules are compiled once and never again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVEBREAK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


REFUSED = {
    "a": "`a` is a number, but a condition is needed",
    "a and b > 1": "`a` is a number, but a condition is needed",
    "1": "is a number, but a condition is needed",
    "not a > 1": "`not` is not allowed",
    "(a > 1) + 1 > 2": "`a > 1` is a condition, but a number is needed",
    "(a > 1) == (b > 1)": "is a condition, but a number is needed",
    "(a > 1 or b > 1) > 0": "is a condition, but a number is needed",
    "sends_1 > 3": "there is no feature `sends_1`",
    "a > True": "`True` is not a number",
    "a > 'x'": "`'x'` is not a number",
    "a > 1j": "`1j` is not a number",
    "a > None": "`None` is not a number",
    "a in b": "is not a comparison of numbers",
    "a is b": "is not a comparison of numbers",
    "a ** 2 > 3": "`a ** 2` is not allowed",
    "a // 2 > 3": "`a // 2` is not allowed",
    "a % 2 > 3": "`a % 2` is not allowed",
    "+a > 3": "`+a` is not allowed",
    "~a > 3": "`~a` is not allowed",
    "a.b > 3": "`a.b` is not allowed",
    "a[0] > 3": "`a[0]` is not allowed",
    "[a] > 3": "`[a]` is not allowed",
    "pow(a, 2) > 3": "`pow(a, 2)` is not allowed",
    "min(*a) > 3": "`*a` is not allowed",
    "min(a, b, key=c) > 3": "`min(a, b, key=c)` is not allowed",
    "min(a) > 3": "min() takes two to 8 numbers",
    f"min({', '.join('a' * 240)}) > 3": "min() takes two to 8 numbers",
    "max(a, a, a, a, a, a, a, " * 4 + "a" + ")" * 4 + " > 3": "nested more than 24 deep",
    "abs(a, b) > 3": "abs() takes one number",
    "abs() > 3": "abs() takes one number",
    "(a > 1 if b > 1 else c > 1)": "is not allowed",
    "lambda: a > 1": "is not allowed",
    "(a := 3) > 1": "is not allowed",
    "a > 1e999": "the number is too large",
    "a > 1" + "0" * 400: "the number is too large",
    "a >": "not an expression",
    "a > 1 b > 1": "not an expression",
    "a = 1": "not an expression",
    "": "not an expression",
    "(" * 300 + "a": "not an expression",
    "a > 1and b > 2": "invalid decimal literal",
    "a > 1 # and b > 2": "a character that the language does not allow",
    "a > ２": "a character that the language does not allow",
    "a > 1 or " * 200 + "a > 1": f"longer than {MAX_LENGTH} characters",
    "-" * 60 + "a > 1": f"nested more than {MAX_DEPTH} deep",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:24] or "nothing")
def test_invalid_expression_is_refused_with_a_fix(text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(text, NAMES)
    assert REFUSED[text] in refused.value.what
    assert refused.value.fix


def test_misspelt_feature_suggests_the_nearest() -> None:
    with pytest.raises(PolicyError) as refused:
        parse("a > 1 and send_1h > 2", NAMES)
    assert refused.value.what == "column 11: there is no feature `send_1h`"
    assert refused.value.fix == "did you mean `sends_1h`?"


def test_not_is_refused_with_an_alternative() -> None:
    with pytest.raises(PolicyError, match="write the opposite comparison"):
        parse("a > 1 and not b > 1", NAMES)


def test_expression_of_several_lines_is_joined() -> None:
    made = parse("b > 1\n  and a > 2\n  and b < 9", NAMES)
    assert made.text == "b > 1 and a > 2 and b < 9"
    assert made.features == ("b", "a")


@pytest.mark.parametrize(
    ("when", "values", "fired"),
    [
        ("a > 1", {"a": 2}, True),
        ("a > 1", {}, False),
        ("a <= 1", {}, False),
        ("a != 1", {}, False),
        ("a != 1", {"a": 2}, True),
        ("a == 1", {"a": 1}, True),
        ("1 < a < b", {"a": 2, "b": 3}, True),
        ("1 < a < b", {"a": 2}, False),
        ("1 < a != b", {"a": 2, "b": 2}, False),
        ("a > 1 or b > 1", {"b": 2}, True),
        ("a > 1 and b > 1", {"b": 2}, False),
        ("min(a, b) < 5", {"b": 1}, False),
        ("max(b, a) > 0", {"b": 1}, False),
        ("min(a, b, c) < 5", {"a": 9, "b": 1, "c": 7}, True),
        ("abs(a) > 3", {"a": -4}, True),
        ("abs(a) >= 0", {}, False),
        ("-a > 3", {"a": -4}, True),
        ("a / b > 1000", {"a": 1, "b": 0}, True),
        ("a / b > 0", {"a": 0, "b": 0}, False),
        ("a / b < 0", {"a": -1, "b": 0}, True),
        ("a - b * 2 == 1 / 4", {"a": 1.25, "b": 0.5}, True),
        ("a > 1_000", {"a": 1001}, True),
    ],
)
def test_an_expression_computes(when: str, values: Mapping[str, float], fired: bool) -> None:
    assert fires(when, values) is fired


# A reference that knows nothing of the compiler: each node is a text and what it is worth.
Node = tuple[str, Callable[[Mapping[str, float]], float]]


def divided(a: float, b: float) -> float:
    if b != 0 or math.isnan(a):
        return a / b if b != 0 else MISSING
    return MISSING if a == 0 else math.copysign(math.inf, a) * math.copysign(1, b)


def chosen(pick: Callable[[float, float], float], a: float, b: float) -> float:
    return MISSING if math.isnan(a) or math.isnan(b) else pick(a, b)


NUMBERS: dict[str, Callable[[float, float], float]] = {
    "({} + {})": lambda a, b: a + b,
    "({} - {})": lambda a, b: a - b,
    "({} * {})": lambda a, b: a * b,
    "({} / {})": divided,
    "min({}, {})": lambda a, b: chosen(min, a, b),
    "max({}, {})": lambda a, b: chosen(max, a, b),
}
TRUTHS: dict[str, Callable[[float, float], bool]] = {
    "{} < {}": lambda a, b: a < b,
    "{} <= {}": lambda a, b: a <= b,
    "{} > {}": lambda a, b: a > b,
    "{} >= {}": lambda a, b: a >= b,
    "{} == {}": lambda a, b: a == b,
    "{} != {}": lambda a, b: a < b or a > b,
}
JOINS: dict[str, Callable[[float, float], bool]] = {
    "({} and {})": lambda a, b: bool(a and b),
    "({} or {})": lambda a, b: bool(a or b),
}


def joined(shape: str, of: Callable[[float, float], float], left: Node, right: Node) -> Node:
    return shape.format(left[0], right[0]), lambda v: of(left[1](v), right[1](v))


def pairs(
    shapes: Mapping[str, Callable[[float, float], float]], side: st.SearchStrategy[Node]
) -> st.SearchStrategy[Node]:
    return st.builds(
        lambda s, a, b: joined(s, shapes[s], a, b), st.sampled_from([*shapes]), side, side
    )


def constant(value: float) -> Node:
    return repr(value), lambda _: value


def named(name: str) -> Node:
    return name, lambda values: values.get(name, MISSING)


def negated(node: Node) -> Node:
    return f"-{node[0]}", lambda values: -node[1](values)


def magnitude(node: Node) -> Node:
    return f"abs({node[0]})", lambda values: abs(node[1](values))


leaves = st.sampled_from(["a", "b", "c"]).map(named) | st.sampled_from([0.0, 1.0, 2.5]).map(
    constant
)
numbers = st.recursive(
    leaves,
    lambda inner: pairs(NUMBERS, inner) | inner.map(negated) | inner.map(magnitude),
    max_leaves=5,
)
truths = st.recursive(pairs(TRUTHS, numbers), lambda inner: pairs(JOINS, inner), max_leaves=4)
rows = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0.0, -0.0, 1.0, -2.0, 3.5, 1e300, MISSING]) | st.floats(-10, 10),
)


# Few examples of many expressions each: it is the compilation that takes time.
@settings(max_examples=8)
@given(st.lists(truths, min_size=6, max_size=12), st.lists(rows, min_size=4, max_size=8))
def test_random_expressions_agree_with_python(
    nodes: list[Node], examples: list[dict[str, float]]
) -> None:
    short = [node for node in nodes if len(node[0]) <= MAX_LENGTH]
    rules = [rule(text, id=f"rule_{k}") for k, (text, _) in enumerate(short)]
    program = compile_rules(policy(rules))
    for values in examples:
        expected = tuple(f"rule_{k}" for k, (_, worth) in enumerate(short) if worth(values))
        assert matching_rules(program, "sent", values) == expected


@settings(max_examples=300)
@given(st.text(alphabet="abc01.<>=!()+-*/, andornotmiax#\n", max_size=60) | st.text(max_size=30))
def test_any_text_is_translated_or_refused(text: str) -> None:
    try:
        made = parse(text, NAMES)
    except PolicyError:
        return
    assert set(made.features) <= set(NAMES)
    compile(made.code, "made", "eval")
