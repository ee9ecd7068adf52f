"""Conditions of a rule: the list form of `when`, and the expression that it means.

All conditions of a list must hold. An entry with `any_of` holds where at least one of its
alternatives does; an alternative is one condition, or a list of conditions that must all hold. A
plain string is the form of Wavebreak 0.1: one expression with `and` and `or`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from wavebreak.errors import PolicyError
from wavebreak.rules.expressions import parse

MAX_CONDITIONS = 8
"""Conditions of a rule that is not marked `needs_split`."""

MAX_NESTING = 2
"""How deep `any_of` may lie within `any_of` in a rule that is not marked `needs_split`."""


class AnyOf(Struct, frozen=True, forbid_unknown_fields=True):
    """Alternatives, at least one of which must hold."""

    any_of: Annotated[tuple[Alternative, ...], Meta(min_length=2)]


Conditions = Annotated[tuple[str | AnyOf, ...], Meta(min_length=1)]
Alternative = str | Conditions
When = str | Conditions


def expression_of(when: When) -> str:
    """Return the expression that a rule's `when` means; a plain string as it is.

    >>> expression_of(("age_s <= 300", AnyOf(("sends_15s >= 100", ("score > 0.5", "refused > 9")))))
    'age_s <= 300 and (sends_15s >= 100 or score > 0.5 and refused > 9)'
    """
    return when if isinstance(when, str) else _all_of(when)


def _all_of(conditions: Sequence[str | AnyOf]) -> str:
    return " and ".join(
        " ".join(entry.split()) if isinstance(entry, str) else f"({_any_of(entry)})"
        for entry in conditions
    )


def _any_of(entry: AnyOf) -> str:
    return " or ".join(
        _all_of((alternative,) if isinstance(alternative, str) else alternative)
        for alternative in entry.any_of
    )


def condition_count(when: When) -> int:
    """Count the comparisons of a rule.

    >>> condition_count("a > 1 and (b > 2 or c > 3)"), condition_count(("a > 1", "b > 2"))
    (3, 2)
    """
    tree = ast.parse(" ".join(expression_of(when).split()), mode="eval")
    return sum(isinstance(node, ast.Compare) for node in ast.walk(tree))


def check_conditions(when: When, features: Sequence[str], *, needs_split: bool = False) -> None:
    """Check each condition of a rule by itself, and how many there are.

    A plain string is checked as one expression, of any length.

    Raises:
        PolicyError: A condition is not one comparison of known features, there are more than
            `MAX_CONDITIONS` although the rule is not marked, or fewer although it is.
    """
    if isinstance(when, str):
        parse(when, features)
    else:
        for condition, nesting in _leaves(when, 0):
            _check_condition(condition, features)
            if nesting > MAX_NESTING and not needs_split:
                raise PolicyError(
                    f"`{condition[:60]}` is in any_of within any_of, {nesting} deep",
                    fix="make the inner alternatives a feature, or a rule of their own",
                )
    count = condition_count(when)
    if count > MAX_CONDITIONS and not needs_split and not isinstance(when, str):
        raise PolicyError(
            f"{count} conditions, more than {MAX_CONDITIONS}",
            fix="make two rules of it or a feature of some conditions, or mark the rule "
            "`needs_split = true` until then",
        )
    if count <= MAX_CONDITIONS and needs_split:
        raise PolicyError(
            f"`needs_split` on a rule of {count} conditions", fix="remove `needs_split`"
        )


def _leaves(conditions: Sequence[str | AnyOf], nesting: int) -> Iterator[tuple[str, int]]:
    """Each condition, with how many `any_of` it lies in."""
    for entry in conditions:
        if isinstance(entry, str):
            yield entry, nesting
        else:
            for alternative in entry.any_of:
                inner = (alternative,) if isinstance(alternative, str) else alternative
                yield from _leaves(inner, nesting + 1)


def _check_condition(condition: str, features: Sequence[str]) -> None:
    try:
        parsed = parse(condition, features)
    except PolicyError as error:
        raise PolicyError(f"`{condition[:60]}`, {error.what}", fix=error.fix) from None
    if isinstance(ast.parse(parsed.text, mode="eval").body, ast.BoolOp):
        raise PolicyError(
            f"`{condition[:60]}` is more than one condition",
            fix="write one condition per line, and alternatives as "
            '{ any_of = ["first", "second"] }',
        )


def condition_lines(when: When, indent: str = "") -> list[str]:
    r"""Return the conditions as nested Markdown items, one condition a line.

    >>> print("\n".join(condition_lines(("a > 1", AnyOf(("b > 2", ("c > 3", "d > 4")))))))
    - `a > 1`
    - any of:
      - `b > 2`
      - all of:
        - `c > 3`
        - `d > 4`
    """
    if isinstance(when, str):
        return [f"{indent}- `{' '.join(when.split())}`"]
    lines: list[str] = []
    for entry in when:
        if isinstance(entry, str):
            lines.append(f"{indent}- `{entry}`")
            continue
        lines.append(f"{indent}- any of:")
        for alternative in entry.any_of:
            if isinstance(alternative, str) or len(alternative) == 1:
                inner = (alternative,) if isinstance(alternative, str) else alternative
                lines += condition_lines(inner, indent + "  ")
            else:
                lines.append(f"{indent}  - all of:")
                lines += condition_lines(alternative, indent + "    ")
    return lines
