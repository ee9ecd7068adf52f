"""Features of one's own: what a function may hold, what it computes, and where it is found."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from support.rule_factories import ENFORCEMENT, rule
from wavebreak.cli.app import app
from wavebreak.errors import PolicyError
from wavebreak.explain.narrative import format_value
from wavebreak.features import catalog
from wavebreak.rules import (
    Policy,
    Rule,
    compile_rules,
    explain_rule,
    feature,
    features_read,
    load_policy,
    matching_rules,
    own_features,
    policy_summary,
)
from wavebreak.rules.compiler import interpreted_rules
from wavebreak.schema.event_kinds import KINDS

NAN = math.nan
HEAD = """
from wavebreak.rules import feature

"""
SHARE = '''
@feature(unit="share", about="Strangers of a week who have not answered.", bounds=(0, 1))
def silent_share(first_contacts_7d, replied_7d):
    """Of those with ten and more."""
    if first_contacts_7d < 10:
        return None
    return 1 - replied_7d / first_contacts_7d
'''
RULE = """
[[rule]]
id = "a_rule"
abuse = "bulk"
about = "What it is about."
source = "Where it is from."
stage = "messaging"
on = ["sent"]
when = ["silent_share >= 0.5", "sends_1h > 3"]
outcome = "limit"
for = "24h"
fires_on = [{ first_contacts_7d = 20, replied_7d = 1, sends_1h = 9 }]
stays_quiet_on = [{ first_contacts_7d = 9, replied_7d = 0, sends_1h = 9 }]
"""
numbers = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_features, "_declared", {})


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., ModuleType]:
    """Imports a module of some functions from a file, whose source is then known."""

    def made(functions: str, name: str = "ours") -> ModuleType:
        path = tmp_path / f"{name}_{next(numbers)}.py"
        path.write_text(HEAD + functions)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return made


def local_policy(tmp_path: Path, text: str = RULE) -> Path:
    path = tmp_path / f"policy{next(numbers)}" / "mine"
    (path / "rules").mkdir(parents=True)
    (path / "rules" / "mine.toml").write_text(text)
    return path


def policy_of(*rules: Rule) -> Policy:
    with_own = tuple(
        msgspec.structs.replace(
            each, own=own_features.own_features_in(each.expression, catalog.NAMES)
        )
        for each in rules
    )
    return Policy("tested", with_own, {}, ENFORCEMENT, catalog.NAMES, KINDS)


# What a function computes


@feature(unit="ratio", about="A function of every construct.", bounds=(-1e6, 1e6))
def everything(sends_1h: float, replied_7d: float, age_s: float) -> float | None:
    total: float = max(sends_1h, replied_7d, 2) + 0.5
    if sends_1h > 10 and (replied_7d != 3 or 1 < age_s <= 4):
        total += abs(-replied_7d) * 2
        scale = 3 if age_s > 2 else 1 / 4
    elif replied_7d == 3:
        scale = total - 1
        pass
    else:
        return min(age_s, total)
    share = total / scale
    if share >= 1_000:
        return None
    return share - age_s


EVERYTHING = own_features._declared.pop("everything")[1]


@pytest.fixture(scope="module")
def everything_policy() -> Policy:
    mine = rule("everything >= 4.25", own=(EVERYTHING,))
    return Policy("tested", (mine,), {}, ENFORCEMENT, catalog.NAMES, KINDS)


values = st.one_of(st.floats(-30, 30), st.sampled_from([0.0, 1.0, 3.0, 11.0]), st.just(NAN))


@settings(max_examples=300)
@given(x=values, y=values, z=values)
def test_compiled_interpreted_and_called_function_agree(
    everything_policy: Policy, x: float, y: float, z: float
) -> None:
    inputs = {"sends_1h": x, "replied_7d": y, "age_s": z}
    row = np.full(len(catalog.NAMES), NAN)
    for name, number in inputs.items():
        row[catalog.INDEX[name]] = number
    called = everything(x, y, z)
    missing = called is None or any(map(math.isnan, (x, y, z)))
    value = own_features.own_value(EVERYTHING, row)
    assert math.isnan(value) if missing else value == called
    expected = ("a_rule",) if value >= 4.25 else ()
    program = compile_rules(everything_policy)
    assert matching_rules(program, "sent", inputs) == expected
    assert interpreted_rules(everything_policy, "sent", inputs) == expected


@pytest.mark.parametrize(
    ("inputs", "value"),
    [
        ({"first_contacts_7d": 20, "replied_7d": 5}, 0.75),
        ({"first_contacts_7d": 20, "replied_7d": 40}, NAN),  # Below the bounds.
        ({"first_contacts_7d": 20, "replied_7d": NAN}, NAN),
        ({"first_contacts_7d": 9, "replied_7d": 0}, NAN),
    ],
)
def test_result_without_input_or_out_of_bounds_is_missing_and_no_condition_holds(
    declare: Callable[..., ModuleType], inputs: dict[str, float], value: float
) -> None:
    declare(SHARE)
    policy = policy_of(
        rule("silent_share <= 0.75", id="low"),
        rule("silent_share >= 0.75", id="high"),
        rule("silent_share != 0.5", id="differs"),
    )
    matched = matching_rules(compile_rules(policy), "sent", inputs)
    assert matched == (() if math.isnan(value) else ("low", "high", "differs"))
    assert interpreted_rules(policy, "sent", inputs) == matched
    row = np.full(len(catalog.NAMES), NAN)
    for name, number in inputs.items():
        row[catalog.INDEX[name]] = number
    found = own_features.own_value(own_features.declared_features()["silent_share"], row)
    assert found == value or (math.isnan(found) and math.isnan(value))


def test_quotient_by_a_constant_zero_is_as_compiled(declare: Callable[..., ModuleType]) -> None:
    declare(
        "@feature(unit='ratio', about='Divides by nothing.', bounds=(0, 1))\n"
        "def by_zero(sends_1h):\n    zero = 0\n    return 1 / (1 / zero) + sends_1h * 0\n"
    )
    policy = policy_of(rule("by_zero == 0"))
    assert matching_rules(compile_rules(policy), "sent", {"sends_1h": 1}) == ("a_rule",)
    assert interpreted_rules(policy, "sent", {"sends_1h": 1}) == ("a_rule",)


# What a function may not hold

BODIES = {
    "return sends_1h ** 2": (7, "`sends_1h ** 2` is not allowed"),
    "import math\n    return math.sqrt(sends_1h)": (7, "`import math` is not allowed"),
    "x = 1\n    return round(sends_1h)": (8, "`round(sends_1h)` is not allowed"),
    "for i in range(3):\n        pass\n    return 1": (7, "`for i in range(3):` is not allowed"),
    "while sends_1h > 1:\n        pass\n    return 1": (7, "is not allowed"),
    "x, y = 1, 2\n    return x": (7, "`x, y = (1, 2)` is not allowed"),
    "return sends_1h > 1": (7, "is a condition, but a number is needed"),
    "if sends_1h:\n        return 1\n    return 2": (7, "`sends_1h` is a number, but a condition"),
    "if not sends_1h > 1:\n        return 1\n    return 2": (7, "`not` is not allowed"),
    "return 'many'": (7, "`'many'` is not a number"),
    "return True": (7, "`True` is not a number"),
    "return LIMIT": (7, "`LIMIT` is neither a parameter nor assigned"),
    "if sends_1h > 1:\n        x = 1\n    return x": (9, "`x` is neither a parameter nor"),
    "x += 1\n    return x": (7, "`x` is neither a parameter nor"),
    "if sends_1h > 1:\n        return 1": (6, "a path ends without `return`"),
    "return 1\n    x = 2": (8, "`x = 2` is never reached"),
    "return open('file')": (7, "`open('file')` is not allowed"),
    "return (lambda: 1)()": (7, "is not allowed"),
    "return sends_1h.real": (7, "`sends_1h.real` is not allowed"),
    "return " + "-" * 30 + "sends_1h": (7, "nested more than 24 deep"),
    "global x\n    return 1": (7, "`global x` is not allowed"),
    "return 1e999": (7, "the number is too large"),
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:24])
def test_forbidden_construct_names_the_line_and_what_is_allowed(
    body: str, declare: Callable[..., ModuleType]
) -> None:
    line, what = BODIES[body]
    with pytest.raises(PolicyError) as refused:
        declare(
            "\n@feature(unit='ratio', about='What it says.', bounds=(0, 1))\n"
            f"def ours(sends_1h):\n    {body}\n"
        )
    assert f", ours, line {line}: " in refused.value.what
    assert what in refused.value.what
    assert refused.value.fix
    assert not own_features.declared_features()


DECLARATIONS = {
    "def ours(send_1h): return 1": ("no feature `send_1h`", "did you mean `sends_1h`"),
    "def ours(): return 1": ("inputs: ", "as a parameter"),
    "def ours(sends_1h=3): return 1": ("a parameter is not plain", "without defaults"),
    "def ours(*sends_1h): return 1": ("a parameter is not plain", "without defaults"),
    "def ours(*, sends_1h): return 1": ("a parameter is not plain", "without defaults"),
    "def Ours(sends_1h): return 1": ("name: ", "lower-case letters"),
    "def sends_1d(sends_1h): return 1": ("has a feature `sends_1d`", "rename"),
    "def standing(sends_1h): return 1": ("has a feature `standing`", "rename"),
    "class Ours: pass": ("cannot be read", "decorate a `def`"),
    "@same\ndef ours(sends_1h): return 1": ("one decorator", "@feature alone"),
    "async def ours(sends_1h): return 1": ("a feature is a `def`", "a plain function"),
}


@pytest.mark.parametrize("text", DECLARATIONS)
def test_declaration_of_another_form_is_refused(
    text: str, declare: Callable[..., ModuleType]
) -> None:
    what, fix = DECLARATIONS[text]
    with pytest.raises(PolicyError) as refused:
        declare(
            "def same(function): return function\n\n"
            f"@feature(unit='ratio', about='What it says.', bounds=(0, 1))\n{text}\n"
        )
    assert what in refused.value.what
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("unit='parsecs', about='What it says.', bounds=(0, 1)", "no unit `parsecs`"),
        ("unit='code', about='What it says.', bounds=(0, 1)", "no unit `code`"),
        ("unit='ratio', about='Short', bounds=(0, 1)", "about: "),
        ("unit='ratio', about='What it says.', bounds=(1, 1)", "bounds: (1, 1)"),
        ("unit='ratio', about='What it says.', bounds=(0, 1e300)", "bounds: "),
        ("unit='ratio', about='What it says.', bounds=(0, float('nan'))", "bounds: "),
        ("unit='ratio', about='What it says.', bounds=3", "bounds: 3"),
    ],
)
def test_unit_meaning_and_bounds_are_checked(
    arguments: str, what: str, declare: Callable[..., ModuleType]
) -> None:
    with pytest.raises(PolicyError) as refused:
        declare(f"@feature({arguments})\ndef ours(sends_1h): return 1\n")
    assert what in refused.value.what
    assert refused.value.fix


def test_function_without_source_is_refused() -> None:
    names: dict[str, Any] = {"feature": feature}
    with pytest.raises(PolicyError, match="cannot be read"):
        exec(SHARE, names)


def test_second_module_may_not_declare_a_name_and_the_same_one_may_again(
    declare: Callable[..., ModuleType],
) -> None:
    declare(SHARE)
    declare(SHARE.replace("1 - ", "2 - "))
    assert "2.0" in own_features.declared_features()["silent_share"].source
    with pytest.raises(PolicyError, match="the modules ours and theirs both declare"):
        declare(SHARE, "theirs")


# Rules


def test_rule_reads_the_feature_and_its_inputs(
    tmp_path: Path, declare: Callable[..., ModuleType]
) -> None:
    declare(SHARE)
    policy = load_policy(local_policy(tmp_path))
    mine = policy.rule("a_rule")
    assert mine is not None
    assert features_read(mine) == ("silent_share", "first_contacts_7d", "replied_7d", "sends_1h")
    lines = policy_summary(policy)
    assert lines[-1] == "your own features: silent_share"
    text = explain_rule(policy, "a_rule")
    assert (
        "- **silent_share** (share; your own, of first_contacts_7d, replied_7d): Strangers of a "
        "week who have not answered." in text
    )
    assert "**replied_7d**" in text
    assert all(not other.own for other in policy.rules if other.id != "a_rule")


def test_rule_is_off_where_an_input_is_not_covered(declare: Callable[..., ModuleType]) -> None:
    declare(SHARE)
    policy = policy_of(rule("silent_share > 0"), rule("silent_share > 0 or sends_1h > 1", id="two"))
    assert compile_rules(policy, frozenset({"first_contacts_7d", "sends_1h"})).not_covered == (
        "a_rule",
    )
    assert compile_rules(policy, frozenset({"first_contacts_7d", "replied_7d"})).not_covered == ()


def test_version_changes_with_the_body_and_not_with_its_layout(
    tmp_path: Path, declare: Callable[..., ModuleType]
) -> None:
    directory, shipped = local_policy(tmp_path), load_policy().version
    versions = []
    for text in (
        SHARE,
        SHARE.replace("    return None", "    return None  # too few"),
        SHARE.replace("< 10", "< 11"),
        SHARE.replace("(0, 1)", "(0, 2)"),
    ):
        declare(text)
        policy = load_policy(directory.with_name("mine"))
        versions.append(policy.version)
        without = replace(policy, rules=tuple(r for r in policy.rules if not r.own), name="shipped")
        assert without.version == shipped
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_feature_of_nobody_suggests_declared_and_shipped_names(
    tmp_path: Path, declare: Callable[..., ModuleType]
) -> None:
    declare(SHARE)
    with pytest.raises(PolicyError) as refused:
        load_policy(local_policy(tmp_path, RULE.replace("silent_share", "silent_shar")))
    assert refused.value.what == (
        "mine.toml, a_rule, when, `silent_shar >= 0.5`, column 1: there is no feature `silent_shar`"
    )
    assert refused.value.fix.startswith("did you mean `silent_share`")
    with pytest.raises(PolicyError, match="did you mean `sends_1h`"):
        load_policy(local_policy(tmp_path, RULE.replace("sends_1h > 3", "send_1h > 3")))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('outcome = "limit"', 'outcome = "limit"\nown = []', "unknown key `own`"),
        ("first_contacts_7d = 20, replied_7d = 1", "silent_share = 0.9", "is computed"),
        ('outcome = "limit"', 'outcome = "restrict"', "rests on doubt"),
        ('outcome = "limit"', 'outcome = "restrict"\nbasis = "evidence"', "without evidence"),
        ("replied_7d = 1,", "replied_7d = 19,", "the rule stays quiet on"),
    ],
)
def test_rule_of_an_own_feature_is_checked_as_others(
    old: str, new: str, what: str, tmp_path: Path, declare: Callable[..., ModuleType]
) -> None:
    declare(SHARE)
    assert old in RULE
    with pytest.raises(PolicyError) as refused:
        load_policy(local_policy(tmp_path, RULE.replace(old, new)))
    assert what in refused.value.what
    assert refused.value.fix


# Entry points


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Makes a distribution whose module declares features; returns the module's name."""
    modules = []

    def made(text: str) -> str:
        module = f"installed_features_{next(numbers)}"
        site = tmp_path / module
        info = site / f"{module}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{own_features.GROUP}]\nours = {module}\n")
        (site / f"{module}.py").write_text(HEAD + text)
        monkeypatch.syspath_prepend(site)
        modules.append(module)
        return module

    yield made
    for module in modules:
        sys.modules.pop(module, None)


def test_installed_feature_is_imported_only_for_a_rule_that_names_it(
    tmp_path: Path, install: Callable[[str], str]
) -> None:
    module = install(SHARE)
    load_policy()
    assert module not in sys.modules
    policy = load_policy(local_policy(tmp_path))
    assert module in sys.modules
    values = {"first_contacts_7d": 30, "replied_7d": 0, "sends_1h": 4}
    assert "a_rule" in matching_rules(compile_rules(policy), "sent", values)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (SHARE.replace("1 - ", "1 % "), "`1 % replied_7d` is not allowed"),
    ],
)
def test_faulty_installed_module_is_an_error_for_who_needs_it(
    text: str, what: str, tmp_path: Path, install: Callable[[str], str]
) -> None:
    install(text)
    assert load_policy().rules
    with pytest.raises(PolicyError) as refused:
        load_policy(local_policy(tmp_path))
    assert what in refused.value.what
    assert refused.value.fix


def test_commands_know_installed_features(tmp_path: Path, install: Callable[[str], str]) -> None:
    install(SHARE)
    directory = str(local_policy(tmp_path))

    def command(*words: str) -> str:
        return CliRunner().invoke(app, words, catch_exceptions=False).output

    assert "silent_share" in command("features", "list")
    shown = command("features", "show", "silent_share")
    assert "from 0 to 1" in shown
    assert "computed from: first_contacts_7d, replied_7d" in shown
    assert "your own features: silent_share" in command("rules", "check", "--policy", directory)
    assert "silent_share" in command("rules", "why", "a_rule", "--policy", directory)


def test_every_unit_can_be_written() -> None:
    texts = {unit: format_value("ours", 0.5, unit=unit) for unit in own_features.UNITS}
    assert texts["share"] == "50 %"
    assert all(texts.values())
