"""Rule compiler: the rules of a policy as one compiled function.

`compile_rules` generates Python source for all rules of a policy and compiles it to a C callback:
features and a kind of fact in, a mask of matching rules out. Machine code is cached by the source.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numba
import numpy as np
import numpy.typing as npt

from wavebreak.compiled.code_cache import cache_root, hold_directory, writable
from wavebreak.compiled.numba_runtime import Callback, callback, sources_digest
from wavebreak.durable_files import replace_file
from wavebreak.durations import duration_seconds
from wavebreak.errors import PolicyError
from wavebreak.features import catalog
from wavebreak.outcomes import code_of
from wavebreak.rules.expressions import INTERPRETED, Expression, can_hold, parse
from wavebreak.rules.model import MAX_RULES, STAGES, OwnFeature, Policy, Rule
from wavebreak.rules.own_features import interpreted_function

PREAMBLE = '''\
"""Written by Wavebreak from the rules of a policy. Not to be edited."""
import numba
import numpy as np
from wavebreak.features import row_values
from wavebreak.compiled.numba_runtime import address_as_void_pointer, carray
from wavebreak.features.layout import RARE, ROW

@numba.njit(error_model="numpy")
def least(a, b):
    return a + b if a != a or b != b else (b if b < a else a)

@numba.njit(error_model="numpy")
def greatest(a, b):
    return a + b if a != a or b != b else (b if b > a else a)

@numba.njit(error_model="numpy")
def differs(a, b):
    return a < b or a > b

'''
"""Imports and helpers of the generated code: missing operands stay missing and never differ."""


@cache
def compile_source(source: str, name: str, n_args: int, features: tuple[str, ...]) -> Callback:
    """Compile the function `name` of a source; it takes `n_args` int64 and returns one.

    The machine code is cached in the user's cache directory.
    """
    key = "\0".join([source, numba.__version__, np.__version__, sources_digest(), *features])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    kept = hold_directory(cache_root() / f"rules-{digest}")
    if writable(kept):
        return callback(_imported(kept, digest, source, name), n_args, directory=kept)
    with tempfile.TemporaryDirectory(prefix="wavebreak-") as temporary:
        made = _imported(Path(temporary), digest, source, name)
        return callback(made, n_args, directory=Path(temporary))


def _imported(directory: Path, digest: str, source: str, name: str) -> Callable[..., int]:
    path = directory / f"rules_{digest}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        replace_file(path, source.encode(), synced=False)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PolicyError(
            f"{path} cannot be imported", fix="set WAVEBREAK_CACHE to a writable directory"
        )
    module: ModuleType = importlib.util.module_from_spec(spec)
    # Numba finds the globals of cached code by importing the module by its name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    made: Callable[..., int] = getattr(module, name)
    return made


Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Program:
    """Compiled rules; `address` is that of `int64 rules(int64 features, int64 kind_bit)`.

    `features` there is the address of a float64 array in the catalog's order, `kind_bit` is
    `1 << kind`, the result has bit k set where rule k matched. Arrays have shape `(64,)`: `outcome`
    and `stage` codes, `hold_s` in seconds (0: it does not end), `shadow` 0 or 1. A rule with a
    label has outcome 0. Ignore bits outside `enabled`: the rules `not_covered`, which cannot match
    without a feature that the stream does not carry.
    """

    policy: Policy
    address: int
    outcome: npt.NDArray[np.uint8]
    hold_s: npt.NDArray[np.uint32]
    stage: npt.NDArray[np.uint8]
    shadow: npt.NDArray[np.uint8]
    enabled: int
    ids: tuple[str, ...]
    actions: tuple[str, ...]
    not_covered: tuple[str, ...]
    keepalive: Callback = field(repr=False)

    @property
    def wake(self) -> int:
        """Mask of the kinds of fact on which an enabled rule is evaluated."""
        kinds = {k for rule in self._enabled_rules() for k in rule.on}
        return sum(1 << self.policy.kinds.index(kind) for kind in kinds)

    @property
    def enforced(self) -> int:
        """Mask of enabled rules that decide: neither in shadow nor with a label."""
        return self._mask(lambda rule: rule.mode == "enforce" and rule.outcome is not None)

    def of_stage(self, stage: str) -> int:
        """Mask of the enabled rules of a stage."""
        return self._mask(lambda rule: rule.stage == stage)

    def of_basis(self, basis: str) -> int:
        """Mask of the enabled rules of a basis."""
        return self._mask(lambda rule: rule.basis == basis)

    def _enabled_rules(self) -> list[Rule]:
        return [rule for rule in self.policy.rules if rule.id not in self.off]

    @property
    def off(self) -> frozenset[str]:
        """Ids of the rules that are not evaluated on this stream."""
        return frozenset(self.not_covered)

    def _mask(self, among: Callable[[Rule], bool]) -> int:
        chosen = {rule.id for rule in self._enabled_rules() if among(rule)}
        return _signed(sum(1 << k for k, rule_id in enumerate(self.ids) if rule_id in chosen))


def parsed_rule(rule: Rule, features: tuple[str, ...]) -> Expression:
    """Return a rule's conditions as a checked expression."""
    return _parsed(rule.expression, features, rule.own_features)


@cache
def _parsed(
    expression: str, features: tuple[str, ...], own_features: tuple[OwnFeature, ...]
) -> Expression:
    return parse(expression, features, {feature.name: feature.inputs for feature in own_features})


def features_read(rule: Rule, features: tuple[str, ...] = catalog.NAMES) -> tuple[str, ...]:
    """Return the features that a rule reads, in order of mention; inputs follow an own feature."""
    return parsed_rule(rule, features).features


def preamble(policy: Policy) -> str:
    """Return the start of the generated code: imports, helpers, the user's own features."""
    return PREAMBLE + "".join(
        f'@numba.njit(error_model="numpy")\n{feature.source}\n'
        for feature in policy.own_features.values()
    )


def program_source(policy: Policy) -> str:
    """Return the Python source of all rules; rules on the same kinds of fact share an `if`."""
    masks = [sum(1 << policy.kinds.index(kind) for kind in set(rule.on)) for rule in policy.rules]
    lines = [
        "def rules(address, kind_bit):",
        f"    f = carray(address_as_void_pointer(address), ({len(policy.features)},), np.float64)",
        "    hits = 0",
    ]
    for mask in sorted(set(masks)):
        lines.append(f"    if kind_bit & {mask:#x}:")
        for k, rule in enumerate(policy.rules):
            if masks[k] == mask:
                # Bit 63 is the sign: only its complement is a literal of int64.
                bit = f"{1 << k:#x}" if k < 63 else "~0x7fffffffffffffff"
                lines.append(f"        if {parsed_rule(rule, policy.features).code}:")
                lines.append(f"            hits |= {bit}  # {rule.id}")
    return preamble(policy) + "\n".join([*lines, "    return hits", ""])


def compile_rules(policy: Policy, covered: frozenset[str] | None = None) -> Program:
    """Compile a policy for a stream that covers the features `covered` (None: all)."""
    rules = policy.rules
    silent = frozenset(
        rule.id for rule in rules if covered is not None and not _can_match(rule, covered)
    )
    enabled = sum(1 << k for k, rule in enumerate(rules) if rule.id not in silent)
    made = compile_source(program_source(policy), "rules", 2, policy.features)
    holds = [duration_seconds(rule.hold) if rule.hold else 0 for rule in rules]
    return Program(
        policy=policy,
        address=made.address,
        outcome=_row([code_of(rule.outcome or "allow") for rule in rules], np.uint8),
        hold_s=_row(holds, np.uint32),
        stage=_row([STAGES.index(rule.stage) for rule in rules], np.uint8),
        shadow=_row([int(rule.mode == "shadow") for rule in rules], np.uint8),
        enabled=_signed(enabled),
        ids=tuple(rule.id for rule in rules),
        actions=tuple(rule.action or rule.outcome or "allow" for rule in rules),
        not_covered=tuple(rule.id for rule in rules if rule.id in silent),
        keepalive=made,
    )


def _can_match(rule: Rule, covered: frozenset[str]) -> bool:
    computable = {
        feature.name for feature in rule.own_features if covered.issuperset(feature.inputs)
    }
    return can_hold(rule.expression, covered | computable)


def matching_rules(program: Program, kind: str, values: Mapping[str, float]) -> tuple[str, ...]:
    """Return the ids of enabled rules that match a fact of `kind`; other features are missing.

    Calls the same compiled function as the engine.

    Raises:
        PolicyError: The policy's vocabulary has no such feature or kind of fact.
    """
    policy = program.policy
    unknown = [name for name in values if name not in policy.features]
    if unknown or kind not in policy.kinds:
        what = f"feature `{unknown[0]}`" if unknown else f"kind of fact `{kind}`"
        raise PolicyError(f"there is no {what}", fix="see `wavebreak features list`")
    row = np.full(len(policy.features), np.nan)
    for name, value in values.items():
        row[policy.features.index(name)] = value
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(program.address)
    mask = call(row.ctypes.data, 1 << policy.kinds.index(kind)) & program.enabled
    return tuple(rule_id for k, rule_id in enumerate(program.ids) if mask >> k & 1)


def interpreted_rules(policy: Policy, kind: str, values: Mapping[str, float]) -> tuple[str, ...]:
    """Return what `matching_rules` returns, without compiling, which takes seconds.

    Numbers are computed as by the compiled code; the tests compare the two.
    """
    row = np.full(len(policy.features), np.nan)
    for name, value in values.items():
        row[policy.features.index(name)] = value
    functions = {
        f"own_{name}": interpreted_function(feature)
        for name, feature in policy.own_features.items()
    }
    names = INTERPRETED | functions | {"f": row}
    matched = []
    with np.errstate(all="ignore"):
        for rule in policy.rules:
            if kind in rule.on:
                code = parsed_rule(rule, policy.features).code
                # Only what `expressions.parse` wrote.
                if eval(code, names):  # noqa: S307
                    matched.append(rule.id)
    return tuple(matched)


def _signed(mask: int) -> int:
    return mask - (1 << 64) if mask >> 63 else mask


def _row(values: list[int], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    row: npt.NDArray[Scalar] = np.zeros(MAX_RULES, dtype)
    row[: len(values)] = values
    return row
