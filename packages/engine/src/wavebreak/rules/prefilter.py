"""Rule prefilter: which rules can match, decided from an account's own row alone.

Almost every fact matches no rule. The prefilter is generated from the rules: it keeps of each rule
the comparisons that the row answers (`features.row_values`) and takes all others for true. The
language has no `not`, so this makes a rule match more often, never less: a rule that the prefilter
excludes does not match. Rules that compare the same feature with "at least" or "at most" share an
`if` with the weakest of their bounds, so that one comparison excludes many rules.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from wavebreak.compiled.numba_runtime import Callback
from wavebreak.features import row_values
from wavebreak.rules.compiler import compile_source, parsed_rule, preamble
from wavebreak.rules.model import Policy

RARE = "rare"
"""Name of the flag for a rare row: 0 or 1."""
_SIGNS: dict[type[ast.cmpop], str] = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_MIRRORED = str.maketrans("<>", "><")


class Bound(NamedTuple):
    """A feature compared with a number."""

    feature: str
    sign: str
    number: float

    @property
    def side(self) -> tuple[str, str]:
        """The feature, and `>` for "at least" or `<` for "at most"."""
        return self.feature, self.sign[0]

    @property
    def code(self) -> str:
        """The comparison in Python."""
        return f"{self.feature} {self.sign} {self.number!r}"

    @property
    def ease(self) -> tuple[float, bool]:
        """Sort key: weaker bounds of a side are greater."""
        return -self.number if self.sign[0] == ">" else self.number, len(self.sign) > 1


class Part(NamedTuple):
    """A necessary condition of a rule: code, features that it reads, its bound if any."""

    code: str
    reads: tuple[str, ...]
    bound: Bound | None


class _Candidate(NamedTuple):
    bit: str
    rule: str
    parts: tuple[Part, ...]


def compile_prefilter(policy: Policy) -> Callback:
    """Compile a policy's prefilter: `int64 guard(int64 row, int64 rare, int64 kind_bit)`.

    `row` is the address of an account's row with its windows at its clock, `rare` that of its rare
    row, which is read only where there is one. The result has bit k set where rule k may match that
    kind of fact.
    """
    return compile_source(prefilter_source(policy), "guard", 3, policy.features)


def prefilter_source(policy: Policy) -> str:
    """Return the prefilter's Python source; kinds of fact with the same rules share an `if`."""
    lines = [
        "def guard(address, rare_address, kind_bit):",
        "    row = carray(address_as_void_pointer(address), (1,), ROW)[0]",
        "    r = carray(address_as_void_pointer(rare_address), (1,), RARE)[0]",
        f"    {RARE} = 1.0 if row.rare > 0 else 0.0",
        "    may = 0",
    ]
    candidates = [_candidate(policy, k) for k in range(len(policy.rules))]
    asked: dict[tuple[int, ...], int] = {}
    for at, kind in enumerate(policy.kinds):
        on = tuple(k for k, rule in enumerate(policy.rules) if kind in rule.on)
        asked[on] = asked.get(on, 0) | 1 << at
    for on, mask in asked.items():
        if on:
            lines.append(f"    if kind_bit & {mask:#x}:")
            lines += _tree([candidates[k] for k in on], frozenset({RARE}), frozenset(), 2)
    return preamble(policy) + "\n".join([*lines, "    return may", ""])


def _candidate(policy: Policy, k: int) -> _Candidate:
    # Bit 63 is the sign: only its complement is a literal of int64.
    bit = f"{1 << k:#x}" if k < 63 else "~0x7fffffffffffffff"
    rule = policy.rules[k]
    code = parsed_rule(rule, policy.features).code
    return _Candidate(bit, rule.id, necessary_conditions(code, policy.features))


def necessary_conditions(code: str, features: Sequence[str]) -> tuple[Part, ...]:
    """Return conditions on an account's own row that hold wherever an expression's code does.

    >>> names = ("sends_1h", "device_bad")
    >>> [part.code for part in necessary_conditions("f[0] >= 60.0 and f[1] > 1.0", names)]
    ['sends_1h >= 60.0']
    """
    tree = _named(code, features)
    made = (_part(node) for node in _conjuncts(tree))
    return tuple(dict.fromkeys(part for part in made if part is not None))


def _named(code: str, features: Sequence[str]) -> ast.expr:
    """Parse the code of an expression, with feature names instead of `f[i]`."""

    class Naming(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.Name:
            return ast.Name(features[ast.literal_eval(node.slice)], ast.Load())

    named: ast.Expression = Naming().visit(ast.parse(code, mode="eval"))
    return named.body


def _conjuncts(node: ast.expr) -> Iterable[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for value in node.values:
            yield from _conjuncts(value)
    else:
        yield node


def _reads(node: ast.expr) -> tuple[str, ...]:
    called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
    names = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called)
    return tuple(dict.fromkeys(names))


def _part(node: ast.expr) -> Part | None:
    relaxed = _relaxed(node)
    if relaxed is None:
        return None
    bound = _bound(relaxed)
    return Part(bound.code if bound else ast.unparse(relaxed), _reads(relaxed), bound)


def _relaxed(node: ast.expr) -> ast.expr | None:
    """Return a condition on the row that holds wherever `node` does, or None."""
    if isinstance(node, ast.BoolOp):
        values = [_relaxed(value) for value in node.values]
        kept = [value for value in values if value is not None]
        if not kept or (isinstance(node.op, ast.Or) and len(kept) < len(values)):
            return None
        return ast.BoolOp(node.op, kept) if kept[1:] else kept[0]
    reads = _reads(node)
    if not all(hasattr(row_values, name) for name in reads):
        return None
    if not any(name in row_values.RARE_ROW_FEATURES for name in reads):
        return node
    return _unless_rare(node)


def _unless_rare(node: ast.expr) -> ast.expr | None:
    """Relax a comparison that reads a rare row.

    A rare row whose windows were not advanced may hold too much, never too little: "at least" is
    compared; any other comparison counts as true where there is a rare row, else it reads zeros.
    """
    bound = _bound(node)
    if bound and bound.sign[0] == ">":
        return node

    class Without(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.expr:
            return ast.Constant(0.0) if name.id in row_values.RARE_ROW_FEATURES else name

    there = ast.parse(f"{RARE} >= 1.0", mode="eval").body
    without = Without().visit(ast.parse(ast.unparse(node), mode="eval")).body
    holds = _holds(without)
    if holds is None:
        return ast.BoolOp(ast.Or(), [there, without])
    return None if holds else there


def _constant(node: ast.expr) -> float | None:
    """Return the value of arithmetic over literals; None for any other expression."""
    match node:
        case ast.Constant(value=float(value)):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            positive = _constant(operand)
            return None if positive is None else -positive
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
            a, b = _constant(left), _constant(right)
            return None if a is None or b is None else float(_SUMS[type(op)](a, b))
    return None


_SUMS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip
_COMPARED: dict[type[ast.cmpop], Any] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}  # fmt: skip


def _holds(node: ast.expr) -> bool | None:
    """Return whether a comparison of constants holds; None for any other expression."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            a, b = _constant(left), _constant(right)
            if a is not None and b is not None:
                return bool(_COMPARED[type(op)](a, b))
    return None


def _bound(node: ast.expr) -> Bound | None:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _SIGNS:
            sign = _SIGNS[type(op)]
            for of, limit, seen in ((left, right, sign), (right, left, sign.translate(_MIRRORED))):
                number = _constant(limit)
                if isinstance(of, ast.Name) and number is not None and math.isfinite(number):
                    return Bound(of.id, seen, number)
    return None


def _tree(
    rules: list[_Candidate], known: frozenset[str], used: frozenset[tuple[str, str]], depth: int
) -> list[str]:
    """Return code lines that set the bits of those `rules` that may match.

    `known` are the features already read, `used` the sides of bounds already tested.
    """
    if not rules:
        return []
    shared = _most_shared(rules, used)
    if shared is None:
        return [line for rule in rules for line in _single_rule(rule, known, depth)]
    pad = "    " * depth
    behind = [_less(rule, shared) for rule in rules if shared.side in _bounds(rule)]
    others = [rule for rule in rules if shared.side not in _bounds(rule)]
    read = _read((shared.feature,), known, pad)
    known |= {shared.feature}
    inside = _tree(behind, known, used | {shared.side}, depth + 1)
    return [*read, f"{pad}if {shared.code}:", *inside, *_tree(others, known, used, depth)]


def _bounds(rule: _Candidate) -> dict[tuple[str, str], Bound]:
    """Return the rule's bounds by side; of two on one side the weaker."""
    found = sorted((p.bound for p in rule.parts if p.bound), key=lambda bound: bound.ease)
    return {bound.side: bound for bound in found}


def _less(rule: _Candidate, shared: Bound) -> _Candidate:
    """Return the rule without the part that equals the shared bound."""
    return rule._replace(parts=tuple(p for p in rule.parts if p.bound != shared))


def _most_shared(rules: list[_Candidate], used: frozenset[tuple[str, str]]) -> Bound | None:
    """Return the weakest bound of the side that most rules share, if two do.

    "At least" counts twice: most features of most accounts are small.
    """
    sides: dict[tuple[str, str], list[Bound]] = {}
    for rule in rules:
        for side, bound in _bounds(rule).items():
            if side not in used:
                sides.setdefault(side, []).append(bound)
    shared = [found for found in sides.values() if len(found) > 1]
    if not shared:
        return None
    most = max(shared, key=lambda found: (len(found) * (1 + (found[0].sign[0] == ">")), found[0]))
    return max(most, key=lambda bound: bound.ease)


def _single_rule(rule: _Candidate, known: frozenset[str], depth: int) -> list[str]:
    """Return nested `if` lines of one rule's parts, those most often false first."""
    lines: list[str] = []
    joined: list[str] = []
    for part in sorted(rule.parts, key=_likelihood):
        pad = "    " * depth
        read = _read(part.reads, known, pad)
        if read and joined:
            lines.append(f"{pad}if {' and '.join(joined)}:")
            joined, depth = [], depth + 1
            read = [f"    {line}" for line in read]
        lines += read
        joined.append(part.code if part.bound else f"({part.code})")
        known |= set(part.reads)
    if joined:
        lines.append(f"{'    ' * depth}if {' and '.join(joined)}:")
        depth += 1
    return [*lines, f"{'    ' * depth}may |= {rule.bit}  # {rule.rule}"]


def _likelihood(part: Part) -> int:
    """Return the order of a rule's part: "at least", not a bound, "at most"."""
    return 1 if part.bound is None else 0 if part.bound.sign[0] == ">" else 2


def _read(names: Iterable[str], known: frozenset[str], pad: str) -> list[str]:
    return [f"{pad}{name} = {_value(name)}" for name in names if name not in known]


def _value(name: str) -> str:
    if name in row_values.RARE_ROW_FEATURES:
        return f"float(row_values.{name}(r)) if {RARE} >= 1.0 else 0.0"
    return f"float(row_values.{name}(row))"
