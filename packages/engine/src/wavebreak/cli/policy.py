"""Commands about rules and features, and compilation of the engine: rules, features, precompile."""

from __future__ import annotations

import time
from typing import Annotated, Any

from rich.markdown import Markdown

from wavebreak import engine, rules
from wavebreak.cli import console
from wavebreak.cli.app import app, features
from wavebreak.cli.app import rules as rules_app
from wavebreak.cli.commands import Output, command
from wavebreak.cli.options import PolicyDir, RuleId
from wavebreak.features import catalog
from wavebreak.features.descriptions import Feature
from wavebreak.reports.tables import Table
from wavebreak.rules import OwnFeature, own_features


@command(rules_app, "wavebreak rules check", "wavebreak rules check --policy my-policy")
def check(*, policy: PolicyDir = None) -> None:
    """Check types, features and outcomes of all rules, and run their examples."""
    for line in rules.policy_summary(rules.load_policy(policy)):
        console.echo(line)


@command(rules_app, "wavebreak rules list", "wavebreak rules list --policy my-policy", name="list")
def list_rules(*, policy: PolicyDir = None) -> Output:
    """List the rules of a policy: stage, outcome, duration, mode and purpose."""
    loaded_policy = rules.load_policy(policy)
    fields = [
        {
            "id": rule.id,
            "stage": rule.stage,
            "outcome": rule.outcome or f"label {rule.label}",
            "for": rule.hold or "",
            "mode": rule.mode,
            "about": rule.about,
        }
        for rule in loaded_policy.rules
    ]
    rows = [
        (
            f"{f['id']}\n{f['stage']}, {f['mode']}",
            f"{f['outcome']}\n{f['for']}".rstrip(),
            f["about"],
        )
        for f in fields
    ]
    headings = ("rule\nstage, mode", "outcome\nduration", "about")
    return Output(
        fields, Table(f"Policy {loaded_policy.version}", headings, rows, words=frozenset(range(3)))
    )


@command(rules_app, "wavebreak rules show impossible_acts", name="show")
def show_rule(rule: RuleId, *, policy: PolicyDir = None) -> None:
    """Show one rule: its conditions, outcome and examples."""
    loaded_policy = rules.load_policy(policy)
    loaded_rule = loaded_policy.rule(rule)
    text = (
        rules.describe_rule(loaded_rule) if loaded_rule else rules.explain_rule(loaded_policy, rule)
    )
    console.out.print(Markdown(text))


@command(rules_app, "wavebreak rules why impossible_acts", name="why")
def explain_rule(rule: RuleId, *, policy: PolicyDir = None) -> None:
    """Show why a rule exists, what it reads, its false positives, and its examples."""
    console.out.print(Markdown(rules.explain_rule(rules.load_policy(policy), rule)))


@command(features, "wavebreak features list", name="list")
def list_features() -> Output:
    """List the features that rules and models read, by family; your own ones come last."""
    headings = ("feature\nfamily", "window\nunit", "what it says")
    fields = [f._asdict() | {"description": f.description} for f in catalog.FEATURES]
    fields += [_own_fields(declaration) for declaration in own_features.load_installed().values()]
    rows = [
        (
            f"{f['name']}\n{f['family']}",
            f"{f['window']}\n{f['unit']}".strip(),
            f["description"],
        )
        for f in fields
    ]
    return Output(fields, Table(f"{len(rows)} features", headings, rows, words=frozenset(range(3))))


def _own_fields(declaration: OwnFeature) -> dict[str, Any]:
    return {
        "name": declaration.name,
        "unit": declaration.unit,
        "family": "own",
        "window": "",
        "description": declaration.about,
        "inputs": declaration.inputs,
        "bounds": declaration.bounds,
    }


@command(features, "wavebreak features show gap_sd", name="show")
def show_feature(name: Annotated[str, "The feature's name, as `features list` prints."]) -> None:
    """Show one feature: meaning, sources, false positives, blind spots."""
    installed = {} if catalog.current_name(name) in catalog.INDEX else own_features.load_installed()
    declaration = installed.get(name)
    lines = _own_lines(declaration) if declaration else _catalogue_lines(catalog.get_feature(name))
    console.out.print(Markdown("\n".join(lines)))


def _own_lines(declaration: OwnFeature) -> list[str]:
    low, high = declaration.bounds
    return [
        f"## {declaration.name}",
        "",
        declaration.about,
        "",
        f"- unit: {declaration.unit}; from {low:g} to {high:g}; family: own",
        f"- computed from: {', '.join(declaration.inputs)}",
    ]


def _catalogue_lines(feature: Feature) -> list[str]:
    return [
        f"## {feature.name}",
        "",
        feature.description,
        "",
        f"Exactly: {feature.meaning}",
        "",
        f"- unit: {feature.unit}; window: {feature.window}; family: {feature.family}",
        f"- sources: {', '.join(feature.sources)}",
        f"- false positives: {feature.false_positives}",
        f"- blind spots: {feature.blind_spots}",
        f"- version: {feature.version}",
    ]


@command(app, "wavebreak precompile")
def precompile() -> None:
    """Compile the engine's machine code now, so that the first run starts at once."""
    start = time.perf_counter()
    engine.precompile(
        lambda part, seconds: console.out.print(f"  compiled {part} ({seconds:.1f} s)")
    )
    console.out.print(f"Compiled in {time.perf_counter() - start:.1f} s.")
