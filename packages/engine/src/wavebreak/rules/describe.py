"""Rule descriptions: the summary of a policy, one rule, and the reasons for it."""

from __future__ import annotations

import difflib
from collections import Counter

from wavebreak.errors import PolicyError
from wavebreak.features import catalog
from wavebreak.rules.compiler import features_read
from wavebreak.rules.conditions import condition_count, condition_lines
from wavebreak.rules.model import STAGES, Example, Policy, Rule


def policy_summary(policy: Policy) -> list[str]:
    """Return one line per rule with the number of its examples, then the totals."""
    width = max((len(rule.id) for rule in policy.rules), default=0)
    lines = [
        f"ok  {rule.id:<{width}}  {_effect(rule)}  "
        f"({len(rule.fires_on)} fire, {len(rule.stays_quiet_on)} stay quiet){_split_note(rule)}"
        for rule in policy.rules
    ]
    stages = Counter(str(rule.stage) for rule in policy.rules)
    shadow = sum(rule.mode == "shadow" for rule in policy.rules)
    examples = sum(len(rule.fires_on) + len(rule.stays_quiet_on) for rule in policy.rules)
    lines.append(
        f"{policy.version}: {len(policy.rules)} rules "
        f"({', '.join(f'{stages[stage]} {stage}' for stage in STAGES)}; {shadow} in shadow), "
        f"{examples} examples, {len(policy.actions)} actions"
    )
    if policy.own_features:
        lines.append(f"your own features: {', '.join(policy.own_features)}")
    return lines


def describe_rule(rule: Rule) -> str:
    """Describe a rule in Markdown, without its examples."""
    lines = [
        f"## {rule.id}",
        "",
        rule.about,
        "",
        *([f"- earlier ids: {', '.join(rule.aliases)}"] if rule.aliases else []),
        f"- abuse: {rule.abuse}",
        f"- stage: {rule.stage}, on {', '.join(rule.on)}",
        "- when all of these hold:",
        *condition_lines(rule.when, "  "),
        f"- then: {_effect(rule)}",
        f"- rests on: {rule.basis}",
        *([f"- will wrongly meet: {rule.false_actions}"] if rule.false_actions else []),
        *([f"- to be reviewed by {rule.review_by}"] if rule.review_by else []),
        f"- source: {rule.source}",
    ]
    return "\n".join(lines)


def explain_rule(policy: Policy, rule_id: str) -> str:
    """Describe a rule with its features, their errors, and its examples, in Markdown.

    Raises:
        PolicyError: There is no such rule; suggests similar ids.
    """
    rule = policy.rule(rule_id)
    if rule is None:
        known = [name for r in policy.rules for name in (r.id, *r.aliases)]
        near = difflib.get_close_matches(rule_id, known, 3)
        fix = f"did you mean {', '.join(near)}?" if near else "see `wavebreak rules list`"
        raise PolicyError(f"there is no rule `{rule_id[:64]}`", fix=fix)
    lines = [describe_rule(rule), "", "### What it reads", ""]
    for name in features_read(rule, policy.features):
        if name in catalog.INDEX:
            feature = catalog.get_feature(name)
            lines += [
                f"- **{name}** ({feature.unit}; window: {feature.window}): {feature.description}",
                f"  False positives: {feature.false_positives}. "
                f"Blind spots: {feature.blind_spots}.",
            ]
        elif name in policy.own_features:
            declaration = policy.own_features[name]
            lines.append(
                f"- **{name}** ({declaration.unit}; your own, of "
                f"{', '.join(declaration.inputs)}): {declaration.about}"
            )
    lines += ["", "### Examples", ""]
    lines += [f"- fires on {_example_text(example)}" for example in rule.fires_on]
    lines += [f"- stays quiet on {_example_text(example)}" for example in rule.stays_quiet_on]
    return "\n".join(lines)


def _split_note(rule: Rule) -> str:
    return f", {condition_count(rule.when)} conditions: needs a split" if rule.needs_split else ""


def _effect(rule: Rule) -> str:
    effect = rule.outcome or f"label {rule.label}"
    effect += f" to {rule.new_chats_1d} new chats a day" if rule.new_chats_1d is not None else ""
    effect += f" for {rule.hold}" if rule.hold else ""
    effect += f", action {rule.action}" if rule.action else ""
    return effect + (" (shadow)" if rule.mode == "shadow" else "")


def _example_text(example: Example) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in example.items()) or "no known feature"
