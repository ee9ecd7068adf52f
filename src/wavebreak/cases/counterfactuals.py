"""Counterfactuals of a determination: which single change of evidence would change its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from wavebreak.cases.date_ranges import DateRange, format_instant
from wavebreak.cases.eligibility import (
    Grounds,
    combined_ranks,
    evaluate_item,
    max_ranks,
    notices_in_force,
    outcome,
    rule_ranks,
)
from wavebreak.cases.parties import Basis, Evidence, Strength

RESULTS: tuple[Literal["not_eligible", "undetermined", "eligible"], ...] = (
    "not_eligible",
    "undetermined",
    "eligible",
)
MAX_COUNTERFACTUALS = 40
"""Maximum number of counterfactuals listed; the largest changes of the result come first."""


class Counterfactual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Supposing this alone, the determination would be that."""

    supposing: str
    result: Literal["eligible", "not_eligible", "undetermined"]


def find_counterfactuals(
    evidence: Sequence[Evidence], grounds: Grounds, as_of: int
) -> tuple[Counterfactual, ...]:
    """List what would change a determination, one at a time: a fact or an item."""
    said = [rule_ranks(evaluate_item(item, grounds, as_of), grounds, as_of) for item in evidence]
    width = 1 + 3 * len(notices_in_force(grounds, as_of))
    whole = max_ranks(said, width)
    now = outcome(whole)
    results: dict[str, int] = {}
    for k, item in enumerate(evidence):
        rest = max_ranks((s for n, s in enumerate(said) if n != k), width)
        for words, other in _item_variants(item, grounds, as_of):
            own = rule_ranks(evaluate_item(other, grounds, as_of), grounds, as_of)
            results[f"{item.exhibit} ({item.id}): {words}"] = outcome(max_ranks((rest, own), width))
    for words, more in _additional_items(grounds, as_of):
        own = rule_ranks(evaluate_item(more, grounds, as_of), grounds, as_of)
        results[words] = outcome(max_ranks((whole, own), width))
    for notice in grounds.notice:
        if notice.effective_ms > as_of:
            then = max(notice.effective_ms, notice.beyond_ms)
            later = combined_ranks(
                [evaluate_item(i, grounds, then) for i in evidence], grounds, then
            )
            results[f"as of {format_instant(then)}, when notice {notice.id} is in force"] = outcome(
                later
            )
    changed = [
        Counterfactual(words, RESULTS[result]) for words, result in results.items() if result != now
    ]
    return tuple(
        sorted(changed, key=lambda change: -abs(RESULTS.index(change.result) - now))[
            :MAX_COUNTERFACTUALS
        ]
    )


def _item_variants(item: Evidence, grounds: Grounds, as_of: int) -> Iterator[tuple[str, Evidence]]:
    """Each thing that may turn out otherwise about one item."""
    new = msgspec.structs.replace
    if item.confirmed != "yes":
        yield "a person confirms it", new(item, confirmed="yes")
    if item.confirmed != "no":
        yield "a person rejects it", new(item, confirmed="no")
    if item.conduct not in ("engaged", "assisted"):
        yield "it shows that the party engaged in abuse", new(item, conduct="engaged")
    if item.conduct != "neither":
        yield "it shows no abuse by the party", new(item, conduct="neither")
    if item.strength is not Strength.STRONG:
        yield "it is tied to the party strongly", new(item, strength=Strength.STRONG)
    if item.strength is not Strength.NONE:
        yield "it turns out not to be the party's", new(item, strength=Strength.NONE)
    for notice in notices_in_force(grounds, as_of):
        at = notice.beyond_ms
        if at <= as_of and item.kind == "off_platform":
            began = new(item.began, earliest=None, latest=None)
            on, off = DateRange(at, at, "supposed"), DateRange(None, at - 1, "supposed")
            words = f"the conduct went on at {notice.beyond}"
            yield words, new(item, began=began, lasted=on)
            words = f"the conduct had ended before {notice.beyond}"
            yield words, new(item, began=began, lasted=off)
        elif at <= as_of:
            words = f"the conduct began before {notice.beyond}"
            yield words, new(item, began=DateRange(None, at - 1, "supposed"), lasted=DateRange())
            words = f"the conduct began at or after {notice.beyond}"
            yield words, new(item, began=DateRange(at, None, "supposed"), lasted=DateRange())


def _additional_items(grounds: Grounds, as_of: int) -> Iterator[tuple[str, Evidence]]:
    """One more item of each kind, as good as can be."""
    then = DateRange(as_of, as_of, "supposed")
    supposed = Evidence(
        "",
        "",
        "",
        "on_platform",
        grounds.on_platform.conduct[0],
        then,
        then,
        grounds.link.own[0],
        Strength.STRONG,
        "yes",
    )
    least = grounds.link.least
    yield f"evidence on the platform, tied to the party at least {least}, confirmed", supposed
    for notice in notices_in_force(grounds, as_of):
        outside = msgspec.structs.replace(supposed, kind="off_platform", conduct=notice.conduct[0])
        if notice.beyond_ms <= as_of:
            words = f"evidence from outside the platform of conduct at or after {notice.beyond}"
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
