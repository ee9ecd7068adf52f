"""Commands about rules and features, and compilation of the engine: rules, features, precompile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.app import app, features
from wavebreak.cli.app import rules as rules_app
from wavebreak.cli.console import echo, out, print_json
from wavebreak.cli.options import Json, PolicyDir, Wide
from wavebreak.reports.tables import Table, print_table

if TYPE_CHECKING:
    from wavebreak.rules import Rule

RuleId = Annotated[str, typer.Argument(help="The rule's id, as `rules list` prints it.")]
FeatureName = Annotated[str, typer.Argument(help="The feature's name, as `features list` prints.")]


@rules_app.command(
    "check", epilog="Examples: `wavebreak rules check`; `wavebreak rules check --policy my-policy`"
)
def check(policy: PolicyDir = None) -> None:
    """Check types, features and outcomes of all rules, and run their examples."""
    from wavebreak import rules

    for line in rules.policy_summary(rules.load_policy(policy)):
        echo(line)


@rules_app.command(
    "list", epilog="Examples: `wavebreak rules list`; `wavebreak rules list --policy my-policy`"
)
def list_rules(policy: PolicyDir = None, as_json: Json = False, wide: Wide = False) -> None:
    """List the rules of a policy: stage, outcome, duration, mode and purpose."""
    from wavebreak import rules

    loaded = rules.load_policy(policy)
    if as_json:
        print_json([_rule_fields(rule) for rule in loaded.rules])
        return
    rows = [
        (
            f"{rule.id}\n{rule.stage}, {rule.mode}",
            f"{_rule_outcome(rule)}\n{rule.hold or ''}".rstrip(),
            rule.about,
        )
        for rule in loaded.rules
    ]
    headings = ("rule\nstage, mode", "outcome\nduration", "about")
    print_table(Table(f"Policy {loaded.version}", headings, rows, words=frozenset(range(3))), out)


def _rule_outcome(rule: Rule) -> str:
    return rule.outcome or f"label {rule.label}"


def _rule_fields(rule: Rule) -> dict[str, str]:
    """Return the fields of a rule that `rules list --json` prints."""
    return {
        "id": rule.id,
        "stage": rule.stage,
        "outcome": _rule_outcome(rule),
        "for": rule.hold or "",
        "mode": rule.mode,
        "about": rule.about,
    }


@rules_app.command("show", epilog="Example: `wavebreak rules show inhuman_sending_rate`")
def show_rule(rule: RuleId, policy: PolicyDir = None) -> None:
    """Show one rule: its conditions, outcome and examples."""
    from rich.markdown import Markdown

    from wavebreak import rules

    loaded = rules.load_policy(policy)
    known = loaded.rule(rule)
    out.print(Markdown(rules.describe_rule(known) if known else rules.explain_rule(loaded, rule)))


@rules_app.command("why", epilog="Example: `wavebreak rules why inhuman_sending_rate`")
def why(rule: RuleId, policy: PolicyDir = None) -> None:
    """Show why a rule exists, what it reads, its false positives, and its examples."""
    from rich.markdown import Markdown

    from wavebreak import rules

    out.print(Markdown(rules.explain_rule(rules.load_policy(policy), rule)))


@features.command("list", epilog="Example: `wavebreak features list`")
def list_features(as_json: Json = False, wide: Wide = False) -> None:
    """List the features that rules and models read, by family."""
    from wavebreak.features import catalog

    if as_json:
        print_json([f._asdict() | {"description": f.description} for f in catalog.FEATURES])
        return
    headings = ("feature\nfamily", "window\nunit", "what it says")
    rows = [
        (f"{f.name}\n{f.family}", f"{f.window}\n{f.unit}".rstrip(), f.description)
        for f in catalog.FEATURES
    ]
    print_table(Table(f"{len(rows)} features", headings, rows, words=frozenset(range(3))), out)


@features.command("show", epilog="Example: `wavebreak features show gap_sd`")
def show_feature(name: FeatureName) -> None:
    """Show one feature: meaning, sources, false positives, blind spots."""
    from rich.markdown import Markdown

    from wavebreak.features import catalog

    feature = catalog.get_feature(name)
    lines = [
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
    out.print(Markdown("\n".join(lines)))


@app.command(epilog="Example: `wavebreak precompile`")
def precompile() -> None:
    """Compile the engine's machine code now, so that the first run starts at once."""
    from wavebreak import engine

    start = time.perf_counter()
    engine.precompile(lambda part, seconds: out.print(f"  compiled {part} ({seconds:.1f} s)"))
    out.print(f"Compiled in {time.perf_counter() - start:.1f} s.")
