"""Counterfactuals of a determination: which single change of evidence would change its result.

Each is found by determining again under the change that it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak_cases.cases.date_ranges import DateRange, format_instant
from wavebreak_cases.cases.eligibility import (
    RESULTS,
    Grounds,
    Ranks,
    Result,
    combined_ranks,
    evaluate_item,
    max_ranks,
    notices_in_force,
    outcome,
    ranks_width,
    rule_ranks,
)
from wavebreak_cases.cases.parties import Bar, Basis, DateSource, Evidence, Strength
from wavebreak_cases.cases.reasons import Phrase, plain_supposition, supposition

MAX_COUNTERFACTUALS = 40
"""Maximum number of counterfactuals listed; the largest changes of the result come first."""
_FACTS_SUPPOSED = {"held": "held", "account_tie": "weaker_ties", "unsettled": "settlement"}
"""Of what a case holds on an item, by the code of the supposition that it were not so."""
_SUPPOSED = DateSource("person", "supposed", "supposed")


Supposed: TypeAlias = tuple[str, dict[str, str]]
"""A code of the suppositions in `cases/reasons.toml`, with its values."""


class Counterfactual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Supposing this alone, the determination would be that; `code` is it before it is in words."""

    supposing: str
    result: Result
    code: Phrase | UnsetType = UNSET


class Change(NamedTuple):
    """One change: an item in place of the one with its id, an item more, or a later instant."""

    code: Phrase
    item: Evidence | None = None
    more: Evidence | None = None
    as_of: int | None = None

    @property
    def supposing(self) -> str:
        """What is supposed, in English, with codes and instants as they are in the policy."""
        return plain_supposition(self.code)


def list_changes(evidence: Sequence[Evidence], grounds: Grounds, as_of: int) -> Iterator[Change]:
    """Each single change that is tried."""
    for item in evidence:
        for (code, values), other in _item_variants(item, grounds, as_of):
            yield Change(supposition(code, item.exhibit, item.id, **values), item=other)
    for (code, values), more in _additional_items(grounds, as_of):
        yield Change(supposition(code, **values), more=more)
    for notice in grounds.notice:
        if notice.effective_ms > as_of:
            then = max(notice.effective_ms, notice.beyond_ms)
            values = {"at": format_instant(then), "notice": notice.id}
            yield Change(supposition("in_force", **values), as_of=then)


def barred_result(result: Result, bars: Sequence[Bar], at: int) -> Result:
    """Return what follows of evidence at an instant (ms): nobody is acted on while a bar lasts."""
    return "barred" if result == "eligible" and any(bar.lasts(at) for bar in bars) else result


def find_counterfactuals(
    evidence: Sequence[Evidence], grounds: Grounds, as_of: int, bars: Sequence[Bar] = ()
) -> tuple[Counterfactual, ...]:
    """List what would change a determination, one at a time: a fact, an item, or a bar."""
    tried = _Tried(evidence, grounds, as_of)
    now = barred_result(outcome(tried.whole), bars, as_of)
    changes = {change.supposing: change for change in list_changes(evidence, grounds, as_of)}
    results = {
        words: barred_result(tried.result(change), bars, change.as_of or as_of)
        for words, change in changes.items()
    }
    if now == "barred":
        unbarred = Change(supposition("unbarred"))
        changes[unbarred.supposing], results[unbarred.supposing] = unbarred, "eligible"
    changed = [
        Counterfactual(words, result, changes[words].code)
        for words, result in results.items()
        if result != now
    ]
    return tuple(
        sorted(changed, key=lambda change: -abs(_rank(change.result) - _rank(now)))[
            :MAX_COUNTERFACTUALS
        ]
    )


def _rank(result: Result) -> int:
    stands_for: dict[Result, Result] = {"no_violation": "not_eligible", "barred": "eligible"}
    return RESULTS.index(stands_for.get(result, result))


class _Tried:
    """Determines again under a change; what the other items say is combined once for each item."""

    def __init__(self, evidence: Sequence[Evidence], grounds: Grounds, as_of: int) -> None:
        self.evidence, self.grounds, self.as_of = evidence, grounds, as_of
        self.said = {item.id: self._ranks(item) for item in evidence}
        self.whole = max_ranks(self.said.values(), ranks_width(grounds, as_of))
        self._rest: tuple[str, Ranks] = ("", self.whole)

    def _ranks(self, item: Evidence) -> Ranks:
        return rule_ranks(evaluate_item(item, self.grounds, self.as_of), self.grounds, self.as_of)

    def _without(self, name: str) -> Ranks:
        if self._rest[0] != name:
            others = (ranks for other, ranks in self.said.items() if other != name)
            self._rest = (name, max_ranks(others, len(self.whole)))
        return self._rest[1]

    def result(self, change: Change) -> Result:
        """Return the result under a change."""
        if change.as_of is not None:
            then, grounds = change.as_of, self.grounds
            items = [evaluate_item(item, grounds, then) for item in self.evidence]
            return outcome(combined_ranks(items, grounds, then))
        rest = self.whole if change.item is None else self._without(change.item.id)
        new = [self._ranks(item) for item in (change.item, change.more) if item is not None]
        return outcome(max_ranks((rest, *new), len(rest)))


def _item_variants(
    item: Evidence, grounds: Grounds, as_of: int
) -> Iterator[tuple[Supposed, Evidence]]:
    """Each thing that may turn out otherwise about one item."""
    new = msgspec.structs.replace
    yield from _review_variants(item)
    if item.conduct not in ("engaged", "assisted") or not item.violations:
        yield ("engaged", {}), new(item, conduct="engaged", violations=("bulk",))
    if item.conduct != "neither":
        yield ("no_violation", {}), new(item, conduct="neither")
    if item.strength is not Strength.STRONG:
        yield ("strong", {}), new(item, strength=Strength.STRONG)
    if item.strength is not Strength.NONE:
        yield ("not_the_party", {}), new(item, strength=Strength.NONE)
    for notice in notices_in_force(grounds, as_of):
        if notice.beyond_ms <= as_of:
            yield from _date_variants(item, notice.beyond, notice.beyond_ms)


def _review_variants(item: Evidence) -> Iterator[tuple[Supposed, Evidence]]:
    """What a person may still find, or an appeal had not found."""
    new = msgspec.structs.replace
    if item.confirmed != "yes" and not item.case_facts.rejected_by:
        yield ("confirmed", {}), new(item, confirmed="yes")
    if item.case_facts.rejected_by:
        facts = new(item.case_facts, rejected_by="", rejected_why="")
        yield ("unrejected", {}), new(item, confirmed="yes", facts=facts)
    if item.confirmed != "no":
        yield ("rejected", {}), new(item, confirmed="no")
    if item.case_facts.reversed_accounts:
        facts = new(item.case_facts, reversed_accounts=())
        yield ("unreversed", {}), new(item, facts=facts)
    for code, name in _FACTS_SUPPOSED.items():
        if getattr(item.case_facts, name) is not UNSET:
            yield (code, {}), new(item, facts=new(item.case_facts, **{name: UNSET}))


def _date_variants(item: Evidence, beyond: str, at: int) -> Iterator[tuple[Supposed, Evidence]]:
    def dated(began: DateRange, lasted: DateRange) -> Evidence:
        return msgspec.structs.replace(
            item, began=began, lasted=lasted, began_source=_SUPPOSED, lasted_source=_SUPPOSED
        )

    at_beyond = {"at": beyond}
    nothing, before = DateRange(), DateRange(None, at - 1, "supposed")
    if item.kind == "off_platform":
        on = DateRange(at, at, "supposed")
        yield ("until", at_beyond), dated(nothing, on)
        yield ("ended", at_beyond), dated(nothing, before)
    else:
        since = DateRange(at, None, "supposed")
        yield ("before", at_beyond), dated(before, nothing)
        yield ("after", at_beyond), dated(since, nothing)


def _additional_items(grounds: Grounds, as_of: int) -> Iterator[tuple[Supposed, Evidence]]:
    """One more item of each kind, as good as the grounds want it and no better."""
    then, least = DateRange(as_of, as_of, "supposed"), grounds.link.least
    supposed = Evidence(
        "supposed",
        "",
        "",
        "on_platform",
        grounds.on_platform.conduct[0],
        then,
        then,
        grounds.link.own[0],
        least,
        "yes",
        violations=("bulk",),
        began_source=_SUPPOSED,
        lasted_source=_SUPPOSED,
    )
    tied = {"least": str(least)}
    yield ("on_platform", tied), supposed
    yield ("clean", tied), msgspec.structs.replace(supposed, conduct="neither", violations=UNSET)
    for notice in notices_in_force(grounds, as_of):
        outside = msgspec.structs.replace(supposed, kind="off_platform", conduct=notice.conduct[0])
        if notice.beyond_ms <= as_of:
            yield ("outside", {"did": notice.conduct[0], "at": notice.beyond} | tied), outside
        long_ago = DateRange(None, notice.beyond_ms - 1, "supposed")
        linked = msgspec.structs.replace(
            supposed,
            began=long_ago,
            lasted=long_ago,
            basis=(*grounds.link.linked, Basis.STATEMENT)[0],
        )
        yield ("linked", {"at": notice.beyond}), linked
