"""A user's own features: decorated Python functions over features of the catalogue.

The function is never called on an account. Its syntax tree is translated into source that is
compiled into a policy's rules. A run, a replay, a shard and the service then compute the feature by
the same code, and the policy's version covers that code.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
import numpy as np

from wavebreak.errors import PolicyError
from wavebreak.features import catalog
from wavebreak.rules.expressions import (
    ALLOWED,
    INTERPRETED,
    MAX_DEPTH,
    Translation,
    feature_names,
)
from wavebreak.rules.model import OwnFeature

GROUP = "wavebreak.features"
"""Group of the entry points whose modules declare features."""
UNITS = tuple(sorted({feature.unit for feature in catalog.FEATURES} - {"code"}))

MAX_BOUND = 2**53 - 1
"""Largest bound: a decision cannot state a larger number (`engine.decision.MOST_STATED`)."""

_ALLOWED_IN_BODY = (
    "assign variables, and use if, else, return, parameters, numbers, + - * /, comparisons, and, "
    "or, min(), max(), abs()"
)
_FORMS = {
    "name": "choose lower-case letters, digits and _ for the function's name, 2 to 48 of them",
    "about": "write a sentence of 8 to 1,000 characters",
    "bounds": "give the least and the greatest value, as in bounds=(0, 1)",
    "inputs": "name a feature of `wavebreak features list` as a parameter",
}

Function = TypeVar("Function", bound=Callable[..., "float | None"])

_declared: dict[str, tuple[str, OwnFeature]] = {}
"""Declared features with the module of each, by name."""


def feature(
    *, unit: str, about: str, bounds: tuple[float, float]
) -> Callable[[Function], Function]:
    """Declare a feature that rules of a local policy may read, by the function's name.

    Parameters are names of catalogue features. The function returns a number, or None for a missing
    value. The body may assign variables and use `if`, `else`, `return`, numbers, `+ - * /`,
    comparisons, `and`, `or`, `min`, `max` and `abs`. The feature is missing if an input is missing
    or the result is outside of `bounds`; a condition on a missing feature does not hold. A second
    declaration in the same module replaces the first one.

    Args:
        unit: Unit of the result, as of a feature of the catalog: share, messages, seconds, ...
        about: What the feature says of an account, in a sentence.
        bounds: Least and greatest result.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        Error: The declaration or the body is invalid; names the line and the allowed syntax.

    Example:
        >>> from wavebreak import feature
        >>> @feature(unit="share", about="Strangers without an answer, of those of a week.",
        ...          bounds=(0, 1))
        ... def unanswered_share(first_contacts_7d, replied_7d):
        ...     if first_contacts_7d < 10:
        ...         return None
        ...     return 1 - replied_7d / first_contacts_7d
    """

    def declare(function: Function) -> Function:
        declaration = _own_feature(function, unit, about, bounds)
        name, module = declaration.name, str(function.__module__)
        earlier_module, _ = _declared.get(name, (module, declaration))
        if earlier_module != module:
            raise PolicyError(
                f"the modules {earlier_module} and {module} both declare the feature `{name}`",
                fix="rename one of the two functions",
            )
        _declared[name] = module, declaration
        return function

    return declare


def declared_features() -> dict[str, OwnFeature]:
    """Return the features that this process has declared so far, by name."""
    return {name: declaration for name, (_, declaration) in _declared.items()}


def load_installed() -> dict[str, OwnFeature]:
    """Import the modules of the entry points `wavebreak.features`; return all declared features.

    Raises:
        PolicyError: A module cannot be imported.
    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except PolicyError:
            raise
        except Exception as error:
            raise PolicyError(
                f"the entry point {point.name} = {point.value} of {GROUP} cannot be imported "
                f"({type(error).__name__}: {error})",
                fix="correct that module, or uninstall its package",
            ) from error
    return declared_features()


def own_features_in(expression: str, features: Sequence[str]) -> tuple[OwnFeature, ...]:
    """Return the user's own features that an expression names.

    Modules of entry points are imported only for a name that is unknown without them.
    """
    names = [name for name in feature_names(expression) if name not in features]
    declarations = declared_features()
    if not all(name in declarations for name in names):
        declarations = load_installed()
    return tuple(declarations[name] for name in names if name in declarations)


@cache
def interpreted_function(declaration: OwnFeature) -> Callable[..., float]:
    """Return an own feature as a Python function of its inputs (float64), not compiled."""
    names = INTERPRETED | {"np": np}
    # Only what `_Body` wrote.
    exec(declaration.source, names)  # noqa: S102
    function: Callable[..., float] = names[f"own_{declaration.name}"]
    return function


def own_value(declaration: OwnFeature, values: Any) -> float:
    """Return the value of an own feature, NaN if it is missing.

    Args:
        declaration: The feature.
        values: Values of the catalogue's features (float64[catalog]).
    """
    inputs = [np.float64(values[catalog.INDEX[name]]) for name in declaration.inputs]
    with np.errstate(all="ignore"):
        return float(interpreted_function(declaration)(*inputs))


def _own_feature(
    function: Callable[..., Any], unit: str, about: str, bounds: tuple[float, float]
) -> OwnFeature:
    try:
        lines, first_line = inspect.getsourcelines(function)
        node = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        raise PolicyError(
            "the source of the feature's function cannot be read",
            fix="decorate a `def` in a file or in a cell of a notebook",
        ) from None
    file = Path(inspect.getsourcefile(function) or "").name
    if not isinstance(node, ast.FunctionDef) or len(node.decorator_list) != 1:
        raise PolicyError(
            f"{file}, line {first_line}: a feature is a `def` with one decorator",
            fix="decorate a plain function by @feature alone",
        )
    body = _Body(node, file, first_line)
    fields = {"name": node.name, "unit": unit, "about": about, "bounds": bounds}
    try:
        declaration = msgspec.convert(
            fields | {"inputs": body.inputs(), "source": body.source(bounds)}, OwnFeature
        )
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").partition("[")[0]
        body.refuse(node, f"{field}: {problem}", _FORMS.get(field, "correct it"))
    if catalog.current_name(declaration.name) in catalog.INDEX:
        body.refuse(
            node, f"the catalogue has a feature `{declaration.name}`", "rename the function"
        )
    if unit not in UNITS:
        body.refuse(node, f"there is no unit `{unit[:40]}`", f"use one of: {', '.join(UNITS)}")
    return declaration


class _Body(Translation):
    """Translates the body of a function; its variables get the prefix `v_`."""

    def __init__(self, function: ast.FunctionDef, file: str, first_line: int) -> None:
        super().__init__("", (), {})
        self.function, self.file, self.first_line = function, file, first_line
        self.variables = {argument.arg for argument in function.args.args}

    def inputs(self) -> tuple[str, ...]:
        """Return the parameters; raises PolicyError if one is not a feature's name."""
        arguments = self.function.args
        optional = (*arguments.posonlyargs, *arguments.kwonlyargs, *arguments.defaults,
                    arguments.vararg, arguments.kwarg)  # fmt: skip
        if any(part is not None for part in optional):
            self.refuse(
                self.function, "a parameter is not plain", "use plain parameters without defaults"
            )
        for argument in arguments.args:
            if argument.arg not in catalog.INDEX:
                matches = difflib.get_close_matches(argument.arg, catalog.NAMES, 3)
                names = ", ".join(f"`{name}`" for name in matches)
                fix = f"did you mean {names}?" if names else "see `wavebreak features list`"
                self.refuse(argument, f"there is no feature `{argument.arg[:64]}`", fix)
        return tuple(argument.arg for argument in arguments.args)

    def source(self, bounds: tuple[float, float]) -> str:
        """Return the function `own_<name>` in the form that rules call."""
        match bounds:
            case (int() | float() as low, int() | float() as high) if (
                -MAX_BOUND <= low < high <= MAX_BOUND
            ):
                self.bounds = f"{float(low)!r} <= result <= {float(high)!r}"
            case _:
                self.refuse(self.function, f"bounds: {bounds!r}"[:60], _FORMS["bounds"])
        names = [f"v_{name}" for name in self.inputs()]
        lines, returns = self._block(self.function.body, 1)
        if not returns:
            self.refuse(
                self.function,
                "a path ends without `return`",
                "return a number, or None for missing",
            )
        missing = " or ".join(f"{name} != {name}" for name in names) or "False"
        return "\n".join(
            [
                f"def own_{self.function.name}({', '.join(names)}):",
                f"    if {missing}:",
                "        return np.nan",
                *lines,
                "",
            ]
        )

    def _block(self, body: Sequence[ast.stmt], depth: int) -> tuple[list[str], bool]:
        """Return the code of statements, and whether each path through them returns."""
        lines: list[str] = []
        returns = False
        for statement in body:
            if returns or depth > MAX_DEPTH:
                problem = "is never reached" if returns else f"is nested more than {MAX_DEPTH} deep"
                self.refuse(statement, f"`{self._text(statement)}` {problem}", "remove or move it")
            code, returns = self._statement(statement, depth)
            lines += code
        return lines or ["    " * depth + "pass"], returns

    def _statement(self, node: ast.stmt, depth: int) -> tuple[list[str], bool]:
        pad = "    " * depth
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                return [], False
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                return self._assignment(name, value, pad), False
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                result = ast.BinOp(ast.Name(name, ast.Load()), op, value)
                ast.fix_missing_locations(ast.copy_location(result, node))
                return self._assignment(name, result, pad), False
            case ast.Return(value=None | ast.Constant(value=None)):
                return [f"{pad}return np.nan"], True
            case ast.Return(value=ast.IfExp(test=test, body=value, orelse=other)):
                # Either side may be None.
                branches = ast.If(test, [ast.Return(value)], [ast.Return(other)])
                ast.fix_missing_locations(ast.copy_location(branches, node))
                return self._branches(branches, depth)
            case ast.Return(value=ast.expr() as value):
                return [
                    f"{pad}result = {self.number(value, 0)}",
                    f"{pad}return result if {self.bounds} else np.nan",
                ], True
            case ast.If():
                return self._branches(node, depth)
            case _:
                self.refuse(node, f"`{self._text(node)}` is not allowed", ALLOWED)

    def _assignment(self, name: str, value: ast.expr, pad: str) -> list[str]:
        code = self.number(value, 0)
        self.variables.add(name)
        return [f"{pad}v_{name} = {code}"]

    def _branches(self, node: ast.If, depth: int) -> tuple[list[str], bool]:
        """Return the code of an `if`; a variable is known after it if each path assigns it."""
        pad, condition = "    " * depth, self.truth(node.test, 0)
        before = self.variables.copy()
        lines, returns = self._block(node.body, depth + 1)
        after_body, self.variables = self.variables, before
        lines = [f"{pad}if {condition}:", *lines]
        if not node.orelse:
            return lines, False
        others, other_returns = self._block(node.orelse, depth + 1)
        if other_returns:
            self.variables = after_body
        elif not returns:
            self.variables &= after_body
        return [*lines, f"{pad}else:", *others], returns and other_returns

    def number(self, node: ast.expr, depth: int) -> str:
        if isinstance(node, ast.IfExp):
            self._limit(node, depth)
            condition = self.truth(node.test, depth + 1)
            value, other = (self.number(n, depth + 1) for n in (node.body, node.orelse))
            return f"({value} if {condition} else {other})"
        return super().number(node, depth)

    def _feature(self, node: ast.expr, name: str) -> str:
        if name not in self.variables:
            self.refuse(
                node,
                f"`{name[:64]}` is neither a parameter nor assigned on each path before",
                "make a feature a parameter, and assign a variable before it is read",
            )
        return f"v_{name}"

    def _literal(self, node: ast.expr, value: object) -> str:
        # A NumPy number divides by zero as compiled code does, also where it is interpreted.
        return f"np.float64({super()._literal(node, value)})"

    def _text(self, node: ast.AST) -> str:
        text = ast.unparse(node).partition("\n")[0]
        return text if len(text) <= 60 else text[:59] + "…"

    def refuse(self, node: ast.stmt | ast.expr | ast.arg, what: str, fix: str) -> NoReturn:
        """Raise PolicyError with the file, the function and the line."""
        line = self.first_line + node.lineno - 1
        raise PolicyError(
            f"{self.file}, {self.function.name}, line {line}: {what}",
            fix=_ALLOWED_IN_BODY if fix == ALLOWED else fix,
        )
