"""Policy loader: rules, actions and enforcement terms from TOML, checked.

A directory is laid out as the shipped policy: `rules/*.toml`, one file per abuse type,
`actions.toml` and other configuration files, all optional. A file of the same name replaces the
shipped file, a rule of the same id (or of an earlier id) replaces the shipped rule; everything else
is added.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from wavebreak import config
from wavebreak.durations import duration_seconds
from wavebreak.errors import PolicyError
from wavebreak.features import catalog
from wavebreak.outcomes import BY_RANK, LATER, TIMED, rank_of
from wavebreak.rules.basis import check_basis
from wavebreak.rules.compiler import (
    compile_rules,
    features_read,
    interpreted_rules,
    matching_rules,
)
from wavebreak.rules.conditions import check_conditions
from wavebreak.rules.model import (
    MAX_RULES,
    Action,
    Allowances,
    EnforcementTerms,
    EvidenceTerms,
    Example,
    Feedback,
    Policy,
    Rule,
    Score,
)
from wavebreak.rules.own_features import declared_features, own_features_in
from wavebreak.schema.event_kinds import KINDS

SHIPPED = config.SHIPPED

MAX_EXAMPLES = 20
"""Of each kind a rule; all of them are evaluated against every rule."""
_log = logging.getLogger(__name__)

_FORMS = {
    "id": 'lower-case letters, digits and _, as in id = "mass_group_creation"',
    "abuse": 'lower-case letters, digits and _, as in abuse = "bulk"',
    "about": "a sentence of 8 to 1,000 characters",
    "source": "a sentence of 8 to 1,000 characters on where the numbers come from",
    "stage": "one of registration, messaging, feedback, review",
    "on": 'a list of kinds of fact, as in on = ["sent"]',
    "when": 'when = ["age_s < 600", { any_of = ["refused >= 5", "score >= 0.9"] }]',
    "outcome": f"one of {', '.join(BY_RANK)}",
    "for": 'a number and s, m, h or d, as in for = "24h"',
    "mode": "enforce or shadow",
    "on_failure": "open or closed",
    "fires_on": "at least one example, as in fires_on = [{ sends_1h = 11 }]",
    "stays_quiet_on": "at least one example, as in stays_quiet_on = [{ sends_1h = 9 }]",
}
"""What a field of a rule has to be, for errors."""

WITHDRAWN = {
    rule: reason
    for reason, rules in {
        "it slowed nine to twenty honest people for each abusive one": (
            "unanswered_account_cluster", "silent_cluster", "unanswered_accounts_on_device",
            "silent_device", "registration_in_unanswered_cluster", "registers_among_silent",
            "newcomers_wave", "number_enumeration", "number_sweep",
            "number_enumeration_then_outreach", "looked_up_then_sent",
        ),
        "silence is no evidence: couriers, surveys and volunteers are not answered either": (
            "strangers_rarely_answer", "strangers_do_not_answer", "one_way_messaging",
            "one_way_messaging_unknown_age", "one_way_slowed", "strangers_never_answer",
            "lurk_then_message",
        ),
        "its number is a row of [allowances] in actions.toml": (
            "newcomers_burst", "hourly_allowance", "business_burst",
            "business_burst_without_complaints", "declared_courier", "declared_clinic",
            "declared_code_sender", "declared_school", "declared_beyond_bar", "unwelcome_origin",
            "unanswered_origin",
        ),
        "strangers_complain holds on the business app too": ("business_complaints",),
        "no world that it was measured on needs it (docs/benchmarks/detection.md)": (
            "weak_registration_proof", "weakly_proved", "emulator", "number_country_mismatch",
            "number_from_elsewhere", "calls_that_end_at_once", "inhuman_sending_again",
        ),
    }.items()
    for rule in rules
}  # fmt: skip
"""Shipped rules of earlier versions that have no successor, by all their ids, and why."""

Row = TypeVar("Row", Rule, Action, Allowances, EnforcementTerms, EvidenceTerms, Score, Feedback)
Tables = tuple[EnforcementTerms, Score, Feedback, EvidenceTerms, Allowances]
Found = dict[str, tuple[Rule, Path]]
Matching = Callable[[str, Example], tuple[str, ...]]


def load_policy(
    directory: Path | None = None,
    *,
    shipped: Path = SHIPPED,
    features: tuple[str, ...] = catalog.NAMES,
    kinds: tuple[str, ...] = KINDS,
    compiled: bool = True,
) -> Policy:
    """Load and check a policy, and evaluate the examples of its rules.

    Args:
        directory: A local policy, which overrides and extends the shipped one.
        shipped: The shipped policy.
        features: Names of known features.
        kinds: Known kinds of fact.
        compiled: Whether examples are evaluated by compiled code, as the engine does; compiling
            new rules takes seconds.

    Raises:
        PolicyError: The policy is invalid; names file, rule, field and fix.
    """
    found, actions, tables = _merged(shipped, directory)
    _check_aliases(found)
    if len(found) > MAX_RULES:
        raise PolicyError(f"there are {len(found)} rules", fix=f"keep at most {MAX_RULES}")
    for rule, path in list(found.values()):
        rule = msgspec.structs.replace(
            rule, own=own_features_in(rule.expression, features) or UNSET
        )
        found[rule.id] = rule, path
        _checked(rule, _place(path, rule.id), actions, features, kinds)
    name = directory.resolve().name if directory else "shipped"
    rules = tuple(rule for rule, _ in found.values())
    name = re.sub(r"[^\w.]", "_", name, flags=re.ASCII)
    enforcement, score, feedback, evidence, allowances = tables
    policy = Policy(
        name, rules, actions, enforcement, features, kinds, score, feedback, evidence, allowances
    )
    if compiled:
        program = compile_rules(policy)
        matching: Matching = partial(matching_rules, program)
    else:
        matching = partial(interpreted_rules, policy)
    _run_examples(policy, matching, {key: path for key, (_, path) in found.items()})
    return policy


def _merged(shipped: Path, local: Path | None) -> tuple[Found, dict[str, Action], Tables]:
    """Return rules by id with their files, actions by id, and tables; local ones come first."""
    actions, rules = shipped / "actions.toml", _rule_files(shipped)
    own = _rule_files(local) if local else []
    if local and (local / "actions.toml").exists():
        actions = local / "actions.toml"
    elif local and not own:
        sheet = sorted(path.name for path in shipped.glob("*.toml"))
        if not any((local / name).is_file() for name in sheet):
            fix = f"add rules/*.toml to it, or one of {', '.join(sheet)}"
            raise PolicyError(f"{local} has no policy", fix=fix)
    replaced = {path.name for path in own}
    found = _overridden(_rules(path for path in rules if path.name not in replaced), _rules(own))
    of_evidence = shipped / "evidence.toml"
    if local and (local / "evidence.toml").exists():
        of_evidence = local / "evidence.toml"
    named, (enforcement, score, feedback, allowances) = _actions(actions)
    return found, named, (enforcement, score, feedback, _evidence(of_evidence), allowances)


def _evidence(path: Path) -> EvidenceTerms:
    """Read the floors and ceilings of the sequential tests; those of the code where absent."""
    if not path.exists():
        return EvidenceTerms()
    content = config.read_toml(path)
    table = content.pop("evidence", {})
    if content or not isinstance(table, dict):
        what = f"unknown key `{next(iter(content))}`" if content else "`evidence` is not a table"
        raise PolicyError(f"{path.name}: {what}", fix="write the shares below [evidence]")
    return _row(path, "evidence", table, EvidenceTerms)


def _overridden(shipped: Found, local: Found) -> Found:
    """Merge rules: a local rule takes the place of the shipped one of its id, or of that alias."""
    current = {alias: rule.id for rule, _ in shipped.values() for alias in rule.aliases}
    found = dict(shipped)
    for rule, path in local.values():
        if rule.id in WITHDRAWN:
            _log.warning(
                "%s: Wavebreak has withdrawn this rule: %s. It is yours alone now; remove it, or "
                "give it another id",
                _place(path, rule.id),
                WITHDRAWN[rule.id],
            )
        rule_id = rule.id if rule.id in shipped else current.get(rule.id, rule.id)
        if rule_id in shipped:
            others = local.keys() & {rule_id, *shipped[rule_id][0].aliases} - {rule.id}
            if others:
                raise PolicyError(
                    f"{_place(path, rule.id)}: with `{min(others)}`, it is `{rule_id}` twice",
                    fix="remove one of the two, or give this one an id of its own",
                )
            aliases = dict.fromkeys((*shipped[rule_id][0].aliases, *rule.aliases))
            rule = msgspec.structs.replace(rule, id=rule_id, aliases=tuple(aliases))
        found[rule_id] = rule, path
    return found


def _check_aliases(found: Found) -> None:
    """Raise `PolicyError` where an alias is the id, or an alias, of another rule."""
    owner = {rule_id: rule_id for rule_id in found}
    for rule, path in found.values():
        for alias in rule.aliases:
            if owner.setdefault(alias, rule.id) != rule.id or alias == rule.id:
                raise PolicyError(
                    f"{_place(path, rule.id)}, aliases: `{alias}` is the rule `{owner[alias]}`",
                    fix=f"remove `{alias}` from aliases",
                )


def _actions(
    path: Path,
) -> tuple[dict[str, Action], tuple[EnforcementTerms, Score, Feedback, Allowances]]:
    content = config.read_toml(path)
    _rename_standing(path, content)
    names = ("enforcement", "score", "feedback", "allowances")
    tables = {name: content.pop(name, {}) for name in names}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise PolicyError(f"{path.name}: `{name}` is not a table", fix=f"write it as [{name}]")
    rows = _rows(path, "action", Action, content)
    named = {action.id: action for action in rows}
    if len(named) < len(rows):
        raise PolicyError(f"{path.name}: two actions have one id", fix="give each its own id")
    for outcome in LATER:
        if outcome not in named:
            # A local file of an earlier version names its own outcomes, and replaces the shipped.
            shipped = config.read_toml(config.resolve_path("actions.toml"))["action"]
            named[outcome] = msgspec.convert(next(a for a in shipped if a["id"] == outcome), Action)
    for outcome in BY_RANK:
        if outcome not in named or named[outcome].outcome != outcome:
            what = f"{path.name}: no action `{outcome}` of the outcome {outcome}"
            raise PolicyError(what, fix="give every outcome the action of its own name")
    score = _row(path, "score", tables["score"], Score)
    feedback = _row(path, "feedback", tables["feedback"], Feedback)
    _checked_tables(path.name, score, feedback)
    terms = _row(path, "enforcement", tables["enforcement"], EnforcementTerms)
    allowances = _row(path, "allowances", tables["allowances"], Allowances)
    return named, (terms, score, feedback, allowances)


def _rename_standing(path: Path, content: dict[str, Any]) -> None:
    """Take the table `[standing]` of version 0.1 for `[enforcement]`."""
    if "standing" in content:
        if "enforcement" in content:
            raise PolicyError(
                f"{path.name}: [standing] is the earlier name of [enforcement], and both are there",
                fix="remove [standing]",
            )
        _log.warning("%s: [standing] is now [enforcement]: rename the table", path)
        content["enforcement"] = content.pop("standing")


def _checked_tables(where: str, score: Score, feedback: Feedback) -> None:
    """Raise `PolicyError` where the tables [score] or [feedback] are inconsistent."""
    carried = [("most", within.carries) for within in score.most]
    if score.silent_carries is not UNSET:
        carried.append(("silent_carries", score.silent_carries))
    for name, feature in carried:
        if feature not in catalog.INDEX:
            raise PolicyError(
                f"{where}, score, {name}: there is no feature `{feature}`",
                fix="see `wavebreak features list`",
            )
    slowing = {"challenge", "limit"}
    if (missing := sorted(slowing - set(score.hold))) and score.mode != "shadow":
        what = f"{where}, score: no hold for {missing[0]}"
        raise PolicyError(what, fix=f'say how long: hold = {{ {missing[0]} = "24h" }}')
    for name, outcome in (
        *(("most", within.outcome) for within in score.most),
        ("without", score.without),
        ("silent", score.silent),
    ):
        if rank_of(outcome) > rank_of("limit"):
            raise PolicyError(
                f"{where}, score, {name}: a score asks for {outcome}",
                fix="give limit or less: a score is doubt, and doubt slows",
            )
    own = score.thresholds
    doubt, strong = (own.challenge, own.restrict) if own is not UNSET else (None, None)
    if doubt is not None and strong is not None and strong < doubt:
        raise PolicyError(
            f"{where}, score, thresholds: restrict is below challenge",
            fix="give strong doubt the higher margin",
        )
    for outcome, (least, most) in feedback.delay.items():
        if duration_seconds(least) > duration_seconds(most):
            what = f"{where}, feedback, {outcome}: {least} is longer than {most}"
            raise PolicyError(what, fix="give the shorter delay first")


def _rule_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise PolicyError(
            f"{directory} is not a directory",
            fix="give a directory with rules/*.toml or actions.toml",
        )
    return sorted((directory / "rules").glob("*.toml"))


def _rules(paths: Iterable[Path]) -> Found:
    found: Found = {}
    for path in paths:
        for rule in _rows(path, "rule", Rule, config.read_toml(path)):
            if rule.id in found:
                raise PolicyError(
                    f"{_place(path, rule.id)}: {found[rule.id][1].name} also has a rule of that id",
                    fix="give each rule its own id",
                )
            found[rule.id] = (rule, path)
    return found


_READING = ("when", "fires_on", "stays_quiet_on")
"""Fields of a rule that name features."""


def _with_current_names(content: Any) -> Any:
    """Replace former names of features, in conditions and as keys of examples."""
    if isinstance(content, dict):
        return {
            catalog.current_name(key): _with_current_names(value) for key, value in content.items()
        }
    if isinstance(content, list):
        return [_with_current_names(value) for value in content]
    return catalog.with_current_names(content) if isinstance(content, str) else content


def _rows(path: Path, table: str, kind: type[Row], content: dict[str, Any]) -> list[Row]:
    rows = content.pop(table, [])
    if content or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        what = f"unknown key `{next(iter(content))}`" if content else f"`{table}` is not a list"
        raise PolicyError(f"{path.name}: {what}", fix=f"write each {table} below [[{table}]]")
    entries = [str(row.get("id", f"{table} {n}"))[:64] for n, row in enumerate(rows, 1)]
    return [_row(path, entry, row, kind) for entry, row in zip(entries, rows, strict=True)]


def _row(path: Path, entry: str, row: dict[str, Any], kind: type[Row]) -> Row:
    where = _place(path, entry)
    if kind is Rule:
        row |= {name: _with_current_names(row[name]) for name in _READING if name in row}
    known = [field for field in kind.__struct_encode_fields__ if field != "own"]
    for key in row:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            fix = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
            raise PolicyError(f"{where}: unknown key `{key}`", fix=fix)
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$.")
        field = field.rstrip("`")
        fix = _field_fix(path, field, str(error))
        what = f"{field}: {what}" if field else what
        raise PolicyError(f"{where}, {what}", fix=fix) from None


def _field_fix(path: Path, field: str, problem: str) -> str:
    """Return how to correct a field of a file that has another type or form than it must have."""
    missing = re.search(r"missing required field `(\w+)`", problem)
    if missing:
        form = _FORMS.get(missing[1])
        return f"add {missing[1]}" + (f": {form}" if form else "")
    name = re.split(r"[.\[]", field)[0]
    return f"write {_FORMS[name]}" if name in _FORMS else f"correct `{name}` in {path.name}"


def _place(path: Path, entry: str) -> str:
    return f"{path.name}, {entry}"


def _checked(
    rule: Rule,
    where: str,
    actions: dict[str, Action],
    features: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    """Raise `PolicyError` where the fields of a rule are inconsistent."""
    for kind, n in Counter(rule.on).items():
        if kind not in kinds or n > 1:
            near = ", ".join(difflib.get_close_matches(kind, kinds, 3) or kinds)
            what = f"`{kind}` twice" if kind in kinds else f"there is no kind of fact `{kind}`"
            raise PolicyError(f"{where}, on: {what}", fix=f"use of these each once: {near}")
    _check_examples(rule, where)
    _check_effect(rule, where, actions)
    check_basis(rule, where)
    try:
        names = (*features, *declared_features())
        check_conditions(rule.when, names, needs_split=rule.needs_split)
        inputs = {feature.name: feature.inputs for feature in rule.own_features}
        read = [name for name in features_read(rule, features) if name not in inputs]
    except PolicyError as error:
        raise PolicyError(f"{where}, when, {error.what}", fix=error.fix) from None
    for field in ("fires_on", "stays_quiet_on"):
        for n, example in enumerate(getattr(rule, field), 1):
            for name in set(example) - set(read):
                if name in inputs:
                    raise PolicyError(
                        f"{where}, {field}, example {n}: `{name}` is computed",
                        fix=f"give what it is computed from: {', '.join(inputs[name])}",
                    )
                what = f"{field}, example {n}: the rule does not read `{name[:64]}`"
                raise PolicyError(f"{where}, {what}", fix=f"it reads {', '.join(read)}")


def _check_examples(rule: Rule, where: str) -> None:
    for name in ("fires_on", "stays_quiet_on"):
        if (count := len(getattr(rule, name))) > MAX_EXAMPLES:
            raise PolicyError(
                f"{where}, {name}: {count} examples", fix=f"keep at most {MAX_EXAMPLES} of them"
            )


def _check_effect(rule: Rule, where: str, actions: dict[str, Action]) -> None:
    if (rule.outcome is None) == (rule.label is None):
        raise PolicyError(f"{where}: outcome and label", fix="give exactly one of the two")
    if rule.outcome in TIMED and rule.hold is None:
        raise PolicyError(f"{where}: {rule.outcome} without for", fix='say how long: for = "24h"')
    if rule.outcome not in TIMED and rule.hold is not None:
        raise PolicyError(
            f"{where}, for: {rule.outcome or 'a label'} does not end by itself",
            fix=f"remove `for`, or choose one of {', '.join(sorted(TIMED))}",
        )
    if rule.new_chats_1d is not None and rule.outcome != "limit":
        raise PolicyError(f"{where}, new_chats_1d: only a limit leaves some", fix="remove it")
    action = rule.action or rule.outcome
    if action and (action not in actions or actions[action].outcome != rule.outcome):
        near = ", ".join(a.id for a in actions.values() if a.outcome == rule.outcome)
        what = f"there is no action `{action}` of the outcome {rule.outcome}"
        raise PolicyError(f"{where}, action: {what}", fix=f"use one of: {near or 'none'}")


def _run_examples(policy: Policy, matching: Matching, paths: dict[str, Path]) -> None:
    for rule in policy.rules:
        cases = [("fires_on", n, example) for n, example in enumerate(rule.fires_on, 1)]
        cases += [
            ("stays_quiet_on", n, example) for n, example in enumerate(rule.stays_quiet_on, 1)
        ]
        cases += [("stays_quiet_on", 0, {})]
        for field, n, example in cases:
            fired = rule.id in matching(rule.on[0], example)
            if fired != (field == "fires_on"):
                values = ", ".join(f"{name} = {value:g}" for name, value in example.items())
                raise PolicyError(
                    f"{_place(paths[rule.id], rule.id)}, {field}, example {n}: the rule "
                    f"{'fires' if fired else 'stays quiet'} on {values or 'no known feature'}",
                    fix=f"correct the example, or `when`: {' '.join(rule.expression.split())}",
                )


def add_rule(policy: Policy, fields: Mapping[str, Any]) -> Policy:
    """Return a policy with a rule more, checked as one of a file; one of its id is replaced.

    Args:
        policy: The policy.
        fields: Fields of the rule, as in a file. Examples may be left out.

    Raises:
        PolicyError: The rule is invalid, or the policy has no room for it.
    """
    path = Path("with_rule")
    row: dict[str, Any] = {"fires_on": [{}], "stays_quiet_on": [{}], **fields}
    (rule,) = _rows(path, "rule", Rule, {"rule": [row]})
    rule = msgspec.structs.replace(
        rule,
        fires_on=rule.fires_on if "fires_on" in fields else (),
        stays_quiet_on=rule.stays_quiet_on if "stays_quiet_on" in fields else (),
        own=own_features_in(rule.expression, policy.features) or UNSET,
    )
    others = {old.id: (old, path) for old in policy.rules if old.id != rule.id}
    rules = (*(old for old, _ in others.values()), rule)
    _check_aliases(others | {rule.id: (rule, path)})
    if len(rules) > MAX_RULES:
        raise PolicyError(f"there are {len(rules)} rules", fix=f"keep at most {MAX_RULES}")
    _checked(rule, _place(path, rule.id), policy.actions, policy.features, policy.kinds)
    changed = dataclasses.replace(policy, rules=rules)
    only = dataclasses.replace(policy, rules=(rule,))
    _run_examples(only, partial(interpreted_rules, only), {rule.id: path})
    return changed
