"""Determination of eligibility for legal action: from evidence, grounds and a date to advice.

R1: evidence on the platform that is linked to the party. R2: from a public notice on, evidence
from outside the platform alone; R3: then only if the conduct continues beyond the notice's
boundary, or the party is linked to conduct on the platform before it. Where the result depends on
a fact that is not known, it is undetermined, and the determination lists the facts. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from wavebreak.cases.counterfactuals import Counterfactual, find_counterfactuals
from wavebreak.cases.date_ranges import Ternary, format_instant
from wavebreak.cases.eligibility import (
    RANK,
    EvaluatedItem,
    Grounds,
    combined_ranks,
    evaluate_item,
    notices_in_force,
    outcome,
    rule_names,
)
from wavebreak.cases.parties import Evidence

Result = Literal["eligible", "not_eligible", "undetermined"]
RESULTS: tuple[Result, ...] = ("not_eligible", "undetermined", "eligible")
ADVICE = (
    "This is advice drawn from rules and dates. It is no legal opinion and decides nothing: "
    "a person with the role named in the policy reads the exhibits and signs, or does not."
)
ENFORCEMENT = (
    "Technical enforcement does not depend on this determination and goes on whatever it says."
)


class EnforcementState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What technical enforcement says of an account of the party, shown beside."""

    account: str
    outcome: str
    until: int | None = None


class Ground(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule that holds, the notice that it rests on ("": none), the evidence it rests on."""

    rule: str
    notice: str
    evidence: tuple[str, ...]


class Disregarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that no rule rests on, and why."""

    evidence: str
    exhibit: str
    why: str


class Determination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The advice. Times are milliseconds; `of` is the SHA-256 of all that it was drawn from."""

    party: str
    as_of: int
    result: Result
    grounds: tuple[Ground, ...]
    exhibits: tuple[str, ...]
    disregarded: tuple[Disregarded, ...]
    needs: tuple[str, ...]
    changes: tuple[Counterfactual, ...]
    enforcement: tuple[EnforcementState, ...]
    policy: str
    signs: str
    of: str
    advice: str = ADVICE
    beside: str = ENFORCEMENT


def determine(
    party: str,
    evidence: Sequence[Evidence],
    grounds: Grounds,
    as_of: int,
    enforcement: Iterable[EnforcementState] = (),
) -> Determination:
    """Determine on a party from its evidence, as of an instant (ms).

    `enforcement` is shown beside and weighs nothing. The order of evidence changes nothing but the
    order of what is listed.
    """
    weighed = [evaluate_item(item, grounds, as_of) for item in evidence]
    result = RESULTS[outcome(combined_ranks(weighed, grounds, as_of))]
    satisfied = _satisfied_grounds(weighed, grounds, as_of)
    relied = dict.fromkeys(name for ground in satisfied for name in ground.evidence)
    return Determination(
        party=party,
        as_of=as_of,
        result=result,
        grounds=satisfied,
        exhibits=tuple(dict.fromkeys(i.exhibit for i in evidence if i.id in relied)),
        disregarded=tuple(
            _explain_disregarded(w, as_of) for w in weighed if w.item.id not in relied
        ),
        needs=_missing_facts(weighed, grounds, as_of) if result == "undetermined" else (),
        changes=find_counterfactuals(evidence, grounds, as_of),
        enforcement=tuple(enforcement),
        policy=grounds.version,
        signs=grounds.signs,
        of=evidence_digest(evidence, grounds.version),
    )


def evidence_digest(evidence: Sequence[Evidence], policy: str) -> str:
    """SHA-256 of what a determination is drawn from: whether one is still of the same evidence."""
    content = msgspec.json.encode((tuple(evidence), policy), order="deterministic")
    return hashlib.sha256(content).hexdigest()


def _rule_conjunctions(grounds: Grounds, as_of: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Rule, notice, and the conjunctions that must each have an item."""
    conjunctions: list[tuple[str, str, tuple[str, ...]]] = [("R1", "", ("R1",))]
    for notice in notices_in_force(grounds, as_of):
        outside, continued, linked = rule_names(notice)
        conjunctions += [("R3 continued", notice.id, (continued,))]
        conjunctions += [("R3 linked", notice.id, (outside, linked))]
    return conjunctions


def _satisfied_grounds(
    weighed: Sequence[EvaluatedItem], grounds: Grounds, as_of: int
) -> tuple[Ground, ...]:
    satisfied = []
    for rule, notice, parts in _rule_conjunctions(grounds, as_of):
        items = [[w.item.id for w in weighed if w.answer(p) is Ternary.YES] for p in parts]
        if all(items):
            both = tuple(dict.fromkeys(name for part in items for name in part))
            satisfied.append(Ground("R1" if rule == "R1" else f"R2 with {rule}", notice, both))
    return tuple(satisfied)


def _missing_facts(
    weighed: Sequence[EvaluatedItem], grounds: Grounds, as_of: int
) -> tuple[str, ...]:
    """What is not known, of items and rules that nothing yet excludes."""
    needed: dict[str, None] = {}
    for _, _, parts in _rule_conjunctions(grounds, as_of):
        open_ = [[w for w in weighed if w.answer(p) is not Ternary.NO] for p in parts]
        if all(open_):
            for part, some in zip(parts, open_, strict=True):
                if any(w.answer(part) is Ternary.YES for w in some):
                    continue
                needed |= {
                    condition.needs: None
                    for w in some
                    for condition in w.rules[part]
                    if condition.answer is Ternary.UNKNOWN
                }
    return tuple(needed)


def _explain_disregarded(weighed: EvaluatedItem, as_of: int) -> Disregarded:
    """Why an item carries no rule: of the rule that it comes nearest to, what it does not meet."""
    item = weighed.item
    if not weighed.rules:
        when = format_instant(as_of)
        why = f"no notice is in force as of {when}: evidence from outside founds nothing"
        return Disregarded(item.id, item.exhibit, why)
    reasons = []
    for rule, conditions in weighed.rules.items():
        unmet = [c for c in conditions if c.answer is not Ternary.YES]
        # One that is not met excludes, whatever else is not known.
        unmet.sort(key=lambda c: RANK[c.answer])
        if unmet:
            c = unmet[0]
            reasons.append(
                f"{rule}: {c.fails if c.answer is Ternary.NO else f'not known: {c.needs}'}"
            )
    return Disregarded(item.id, item.exhibit, "; ".join(reasons))
