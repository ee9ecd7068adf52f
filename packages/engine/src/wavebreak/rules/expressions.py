"""Condition language of rules: a typed subset of Python expressions over features.

There are numbers (features, literals, `+ - * /`, unary minus, `min`, `max`, `abs`) and truth values
(comparisons, `and`, `or`); the whole expression is a truth value. A comparison with a missing
feature is false, also `!=`, so there is no `not`: a missing feature never fires a rule.
"""

from __future__ import annotations

import ast
import difflib
import math
import warnings
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from wavebreak.errors import PolicyError

MAX_LENGTH = 1000
MAX_DEPTH = 24
MAX_ARGUMENTS = 8
"""Of min() and max(), whose generated calls lie within each other; each counts as one deeper."""

CALLS = {"min": "least", "max": "greatest", "abs": "abs"}
"""Functions of the language, and those of the generated code."""


def _least(a: float, b: float) -> float:
    return a + b if a != a or b != b else (b if b < a else a)


def _greatest(a: float, b: float) -> float:
    return a + b if a != a or b != b else (b if b > a else a)


def _differs(a: float, b: float) -> bool:
    return a < b or a > b


INTERPRETED: dict[str, Any] = {
    "__builtins__": {}, "abs": abs, "least": _least, "greatest": _greatest, "differs": _differs,
}  # fmt: skip
"""Names that generated code may use where it is interpreted, not compiled."""

_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}
ALLOWED = "use features, numbers, + - * /, comparisons, and, or, min(), max(), abs()"


class Expression(NamedTuple):
    """A checked expression: its text, its Python code over `f`, the features that it reads.

    `features` are in the order of their first mention; a user's own feature is followed by its
    inputs.
    """

    text: str
    code: str
    features: tuple[str, ...]


def can_hold(text: str, covered: Set[str]) -> bool:
    """Return whether an expression can be true where only the features `covered` are known.

    A comparison with a missing feature is false, so an `or` needs only one of its sides.

    >>> can_hold("a > 1 and (b > 2 or c > 3)", {"a", "c"}), can_hold("a > 1 and b > 2", {"a"})
    (True, False)
    """
    return _can_hold(ast.parse(" ".join(text.split()), mode="eval").body, covered)


def _can_hold(node: ast.expr, covered: Set[str]) -> bool:
    if isinstance(node, ast.BoolOp):
        sides = (_can_hold(side, covered) for side in node.values)
        return all(sides) if isinstance(node.op, ast.And) else any(sides)
    return all(name in covered for name in _names(node))


def _names(node: ast.expr) -> list[str]:
    called = {call.func for call in ast.walk(node) if isinstance(call, ast.Call)}
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n not in called]


def feature_names(text: str) -> list[str]:
    """Return the names that an expression mentions as features; none if it is invalid.

    >>> feature_names("max(a, b) > 1 and a < 3"), feature_names("a >")
    (['a', 'b'], [])
    """
    flat = " ".join(text.split())
    try:
        return sorted(set(_names(_tree(flat)))) if len(flat) <= MAX_LENGTH else []
    except PolicyError:
        return []


def parse(
    text: str, names: Sequence[str], own_inputs: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Expression:
    """Check `text` against the language and the feature `names`, and translate it.

    In the code, `f[i]` is the feature `names[i]`; `least`, `greatest` and `differs` are the
    functions of `compiler.PREAMBLE`; `own_x` computes the user's own feature `x`. `own_inputs`
    holds the inputs of each own feature. Raises `PolicyError` with the column and the fix.

    >>> parse("sends_1h >= 60 and age_s < 3_600", ["age_s", "sends_1h"]).code
    '((f[1] >= 60.0) and (f[0] < 3600.0))'
    """
    flat = " ".join(text.split())
    if len(flat) > MAX_LENGTH:
        raise PolicyError(
            f"the expression is longer than {MAX_LENGTH} characters",
            fix="split it into several conditions or rules",
        )
    if not flat.isascii() or "#" in flat:
        raise PolicyError(
            "the expression has a character that the language does not allow", fix=ALLOWED
        )
    translation = Translation(flat, names, own_inputs)
    code = translation.truth(_tree(flat), 0)
    return Expression(flat, code, tuple(translation.read))


def _tree(flat: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(flat, mode="eval").body
    except SyntaxError as error:
        where = f"column {error.offset or 1}: "
        raise PolicyError(f"{where}not an expression ({error.msg})", fix=ALLOWED) from None
    except (ValueError, MemoryError, RecursionError, Warning):
        raise PolicyError("the expression cannot be read", fix=ALLOWED) from None


class Translation:
    """Translates a syntax tree; `truth` and `number` expect a node of that type."""

    def __init__(
        self, flat: str, names: Sequence[str], own_inputs: Mapping[str, Sequence[str]]
    ) -> None:
        self.flat = flat
        self.index = {name: i for i, name in enumerate(names)}
        self.own_inputs = own_inputs
        self.read: dict[str, None] = {}

    def truth(self, node: ast.expr, depth: int) -> str:
        """Return the code of a condition."""
        self._limit(node, depth)
        match node:
            case ast.BoolOp(op=op, values=values):
                word = " and " if isinstance(op, ast.And) else " or "
                return "(" + word.join(self.truth(value, depth + 1) for value in values) + ")"
            case ast.Compare(left=left, ops=ops, comparators=others):
                numbers = [self.number(side, depth + 1) for side in (left, *others)]
                pairs = zip(ops, numbers, numbers[1:], strict=False)
                codes = [self._compared(node, op, a, b) for op, a, b in pairs]
                return codes[0] if len(codes) == 1 else "(" + " and ".join(codes) + ")"
            case ast.UnaryOp(op=ast.Not()):
                fix = "write the opposite comparison: a missing feature must never fire a rule"
                self.refuse(node, "`not` is not allowed", fix)
            case ast.Constant() | ast.Name() | ast.BinOp() | ast.UnaryOp() | ast.Call():
                self.number(node, depth)
                fix = f"compare it with a number, as in `{self._text(node)} == 1`"
                self.refuse(
                    node, f"`{self._text(node)}` is a number, but a condition is needed", fix
                )
            case _:
                self.refuse(node, f"`{self._text(node)}` is not allowed", ALLOWED)

    def number(self, node: ast.expr, depth: int) -> str:
        """Return the code of a number."""
        self._limit(node, depth)
        match node:
            case ast.Name(id=name):
                return self._feature(node, name)
            case ast.Constant(value=value):
                return self._literal(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.number(operand, depth + 1)})"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                sign = _ARITHMETIC[type(op)]
                return f"({self.number(left, depth + 1)} {sign} {self.number(right, depth + 1)})"
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in CALLS:
                return self._call(node, name, args, depth)
            case ast.Compare() | ast.BoolOp():
                what = f"`{self._text(node)}` is a condition, but a number is needed"
                self.refuse(node, what, "join conditions by `and` and `or` only")
            case _:
                self.refuse(node, f"`{self._text(node)}` is not allowed", ALLOWED)

    def _compared(self, node: ast.expr, op: ast.cmpop, left: str, right: str) -> str:
        if isinstance(op, ast.NotEq):
            return f"differs({left}, {right})"
        if type(op) not in _COMPARISONS:
            self.refuse(node, f"`{self._text(node)}` is not a comparison of numbers", ALLOWED)
        return f"({left} {_COMPARISONS[type(op)]} {right})"

    def _feature(self, node: ast.expr, name: str) -> str:
        if name in self.own_inputs:
            self.read[name] = None
            return f"own_{name}({', '.join(self._feature(node, x) for x in self.own_inputs[name])})"
        if name not in self.index:
            near = difflib.get_close_matches(name, self.index, 3)
            listed = ", ".join(f"`{other}`" for other in near)
            fix = f"did you mean {listed}?" if near else "see `wavebreak features list`"
            self.refuse(node, f"there is no feature `{name[:64]}`", fix)
        self.read[name] = None
        return f"f[{self.index[name]}]"

    def _literal(self, node: ast.expr, value: object) -> str:
        if type(value) is not int and type(value) is not float:
            self.refuse(
                node, f"`{self._text(node)}` is not a number", "write 1 for true, 0 for false"
            )
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            self.refuse(node, "the number is too large", "stay below 1e308")
        return repr(number)

    def _call(self, node: ast.expr, name: str, args: Sequence[ast.expr], depth: int) -> str:
        inner = depth + max(1, min(len(args), MAX_ARGUMENTS) - 1)
        code, *others = [self.number(arg, inner) for arg in args] or [""]
        if len(args) != 1 if name == "abs" else not 2 <= len(args) <= MAX_ARGUMENTS:
            wanted = "one number" if name == "abs" else f"two to {MAX_ARGUMENTS} numbers"
            self.refuse(node, f"{name}() takes {wanted}", f"give {name}() {wanted}")
        for other in others:
            code = f"{CALLS[name]}({code}, {other})"
        return code if others else f"abs({code})"

    def _limit(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.refuse(node, f"nested more than {MAX_DEPTH} deep", "split it into parts")

    def _text(self, node: ast.expr) -> str:
        text = self.flat[node.col_offset : node.end_col_offset]
        return text if len(text) <= 60 else text[:59] + "…"

    def refuse(self, node: ast.expr, what: str, fix: str) -> NoReturn:
        """Raise PolicyError with the column."""
        raise PolicyError(f"column {node.col_offset + 1}: {what}", fix=fix)
