"""Verbs that show what Wavebreak knows: rules, features; and warm."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from wavebreak import rules
from wavebreak.cli.app import app, features
from wavebreak.cli.app import rules as rules_app
from wavebreak.cli.console import out
from wavebreak.engine import precompile
from wavebreak.features import catalog

PolicyDir = Annotated[
    Path | None, typer.Option("--policy", help="Local rules and actions, over the shipped ones.")
]


@rules_app.command("check", epilog="Example: `wavebreak rules check --policy my-policy`")
def check(policy: PolicyDir = None) -> None:
    """Check every rule: types, features, outcomes, and its examples through the compiled code."""
    for line in rules.check(rules.load(policy)):
        typer.echo(line)


@rules_app.command("list", epilog="Example: `wavebreak rules list`")
def list_rules(policy: PolicyDir = None) -> None:
    """List the rules: stage, outcome, how long, what for."""
    found = rules.load(policy)
    table = Table(title=found.version)
    for heading in ("rule", "stage", "outcome", "for", "mode", "about"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "rule")
    for rule in found.rules:
        outcome = rule.outcome or f"label {rule.label}"
        table.add_row(rule.id, rule.stage, outcome, rule.hold or "", rule.mode, rule.about)
    out.print(table)


@rules_app.command("show", epilog="Example: `wavebreak rules show instant_blast`")
def show_rule(rule: str, policy: PolicyDir = None) -> None:
    """Show one rule."""
    found = rules.load(policy)
    one = found.rule(rule)
    out.print(Markdown(rules.describe(one) if one else rules.why(found, rule)))


@rules_app.command("why", epilog="Example: `wavebreak rules why instant_blast`")
def why(rule: str, policy: PolicyDir = None) -> None:
    """Say why a rule is there, what it reads, where that errs, and its examples."""
    out.print(Markdown(rules.why(rules.load(policy), rule)))


@features.command("list", epilog="Example: `wavebreak features list`")
def list_features() -> None:
    """List the features by family."""
    table = Table(title=f"{len(catalog.FEATURES)} features")
    for heading in ("feature", "family", "window", "unit", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "feature")
    for feature in catalog.FEATURES:
        table.add_row(feature.name, feature.family, feature.window, feature.unit, feature.meaning)
    out.print(table)


@features.command("show", epilog="Example: `wavebreak features show gap_sd`")
def show_feature(name: str) -> None:
    """Show one feature: meaning, sources, false positives, blind spots."""
    feature = catalog.get_feature(name)
    lines = [
        f"## {feature.name}", "", feature.meaning, "",
        f"- unit: {feature.unit}; window: {feature.window}; family: {feature.family}",
        f"- sources: {', '.join(feature.sources)}",
        f"- false positives: {feature.false_positives}",
        f"- blind spots: {feature.blind_spots}",
        f"- version: {feature.version}",
    ]  # fmt: skip
    out.print(Markdown("\n".join(lines)))


@app.command("warm", epilog="Example: `wavebreak warm`")
def warm_up() -> None:
    """Compile once what the engine runs, so that the first run starts at once (make does this)."""
    start = time.perf_counter()
    precompile(lambda part, seconds: out.print(f"  compiled {part} ({seconds:.1f} s)"))
    out.print(f"Compiled in {time.perf_counter() - start:.1f} s.")
