"""Counterfactuals of a determination: which single change of evidence would change its result.

Each is found by determining again under the change that it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

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
from wavebreak_cases.cases.parties import Basis, DateSource, Evidence, Strength

MAX_COUNTERFACTUALS = 40
"""Maximum number of counterfactuals listed; the largest changes of the result come first."""
_SUPPOSED = DateSource("person", "supposed", "supposed")


class Counterfactual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Supposing this alone, the determination would be that."""

    supposing: str
    result: Result


class Change(NamedTuple):
    """One change: an item in place of the one with its id, an item more, or a later instant."""

    supposing: str
    item: Evidence | None = None
    more: Evidence | None = None
    as_of: int | None = None


def apply_change(
    evidence: Sequence[Evidence], as_of: int, change: Change
) -> tuple[list[Evidence], int]:
    """Return the evidence and the instant under a change."""
    changed = [
        change.item if change.item is not None and change.item.id == item.id else item
        for item in evidence
    ]
    more = [] if change.more is None else [change.more]
    return changed + more, as_of if change.as_of is None else change.as_of


def list_changes(evidence: Sequence[Evidence], grounds: Grounds, as_of: int) -> Iterator[Change]:
    """Each single change that is tried."""
    for item in evidence:
        for words, other in _item_variants(item, grounds, as_of):
            yield Change(f"{item.exhibit} ({item.id}): {words}", item=other)
    for words, more in _additional_items(grounds, as_of):
        yield Change(words, more=more)
    for notice in grounds.notice:
        if notice.effective_ms > as_of:
            then = max(notice.effective_ms, notice.beyond_ms)
            words = f"as of {format_instant(then)}, when notice {notice.id} is in force"
            yield Change(words, as_of=then)


def find_counterfactuals(
    evidence: Sequence[Evidence], grounds: Grounds, as_of: int
) -> tuple[Counterfactual, ...]:
    """List what would change a determination, one at a time: a fact or an item."""
    tried = _Tried(evidence, grounds, as_of)
    now = outcome(tried.whole)
    results = {
        change.supposing: tried.result(change) for change in list_changes(evidence, grounds, as_of)
    }
    changed = [Counterfactual(words, result) for words, result in results.items() if result != now]
    return tuple(
        sorted(changed, key=lambda change: -abs(_rank(change.result) - _rank(now)))[
            :MAX_COUNTERFACTUALS
        ]
    )


def _rank(result: Result) -> int:
    return 0 if result == "no_violation" else RESULTS.index(result)


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


def _item_variants(item: Evidence, grounds: Grounds, as_of: int) -> Iterator[tuple[str, Evidence]]:
    """Each thing that may turn out otherwise about one item."""
    new = msgspec.structs.replace
    yield from _review_variants(item)
    if item.conduct not in ("engaged", "assisted") or not item.violations:
        words = "it shows that the party engaged in bulk messaging"
        yield words, new(item, conduct="engaged", violations=("bulk",))
    if item.conduct != "neither":
        yield "it shows no violation by the party", new(item, conduct="neither")
    if item.strength is not Strength.STRONG:
        yield "it is tied to the party strongly", new(item, strength=Strength.STRONG)
    if item.strength is not Strength.NONE:
        yield "it turns out not to be the party's", new(item, strength=Strength.NONE)
    for notice in notices_in_force(grounds, as_of):
        if notice.beyond_ms <= as_of:
            yield from _date_variants(item, notice.beyond, notice.beyond_ms)


def _review_variants(item: Evidence) -> Iterator[tuple[str, Evidence]]:
    """What a person may still find, or an appeal had not found."""
    new = msgspec.structs.replace
    if item.confirmed != "yes" and not item.case_facts.rejected_by:
        yield "a person confirms it", new(item, confirmed="yes")
    if item.case_facts.rejected_by:
        facts = new(item.case_facts, rejected_by="", rejected_why="")
        words = "a person withdraws the rejection of the claim and confirms it"
        yield words, new(item, confirmed="yes", facts=facts)
    if item.confirmed != "no":
        yield "a person rejects it", new(item, confirmed="no")
    if item.case_facts.reversed_accounts:
        facts = new(item.case_facts, reversed_accounts=())
        yield "no appeal had reversed the action", new(item, facts=facts)


def _date_variants(item: Evidence, beyond: str, at: int) -> Iterator[tuple[str, Evidence]]:
    def dated(began: DateRange, lasted: DateRange) -> Evidence:
        return msgspec.structs.replace(
            item, began=began, lasted=lasted, began_source=_SUPPOSED, lasted_source=_SUPPOSED
        )

    nothing, before = DateRange(), DateRange(None, at - 1, "supposed")
    if item.kind == "off_platform":
        on = DateRange(at, at, "supposed")
        yield f"the conduct is shown until {beyond}", dated(nothing, on)
        yield f"the conduct had ended before {beyond}", dated(nothing, before)
    else:
        since = DateRange(at, None, "supposed")
        yield f"the conduct began before {beyond}", dated(before, nothing)
        yield f"the conduct began at or after {beyond}", dated(since, nothing)


def _additional_items(grounds: Grounds, as_of: int) -> Iterator[tuple[str, Evidence]]:
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
    yield f"evidence on the platform, tied to the party at least {least}, confirmed", supposed
    words = f"evidence of no violation, tied to the party at least {least}, confirmed"
    yield words, msgspec.structs.replace(supposed, conduct="neither", violations=UNSET)
    for notice in notices_in_force(grounds, as_of):
        outside = msgspec.structs.replace(supposed, kind="off_platform", conduct=notice.conduct[0])
        if notice.beyond_ms <= as_of:
            did = notice.conduct[0]
            words = f"evidence from outside that the party {did} at or after {notice.beyond}"
            yield f"{words}, tied at least {least}, confirmed", outside
        long_ago = DateRange(None, notice.beyond_ms - 1, "supposed")
        linked = msgspec.structs.replace(
            supposed,
            began=long_ago,
            lasted=long_ago,
            basis=(*grounds.link.linked, Basis.STATEMENT)[0],
        )
        words = f"evidence on the platform of conduct before {notice.beyond}"
        yield f"{words}, of an affiliate or predecessor, confirmed", linked
