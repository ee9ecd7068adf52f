"""A slow and obvious determination, for tests: it tries every way in which unknowns may turn out.

It shares no code with `wavebreak_cases.cases` but the names of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.eligibility import Grounds, LinkRequirements, OnPlatform, PublicNotice
from wavebreak_cases.cases.parties import Basis, CaseFacts, Evidence, Strength

LADDER = ["none", "weak", "moderate", "strong"]


class Fact(NamedTuple):
    """One item as it is in one possible world."""

    relation: str

    kind: str
    conduct: str
    begin: int
    end: int
    basis: str
    strength: str
    confirmed: bool


def worlds_of(item: Evidence, as_of: int, times: range, least: str) -> list[Fact]:
    """Every fact that an item may be. None: it shows nothing yet as of that time."""
    facts = item.facts or CaseFacts()
    conducts = ["engaged", "assisted", "neither"] if item.conduct == "unknown" else [item.conduct]
    if item.conduct != "neither" and not item.violations:
        conducts.append("neither")  # a violation of no stated kind may be none
    strengths = LADDER if item.strength == "unknown" else [str(item.strength)]
    if 0 < LADDER.index(strengths[0]) < LADDER.index(least):
        strengths = ["none", "strong"]  # a weak tie may be none, or may be strengthened
    confirmed = [True, False] if item.confirmed == "unknown" else [item.confirmed == "yes"]
    if facts.rejected_by:
        confirmed = [False]
    if item.kind == "on_platform" and facts.reversed_accounts:
        left = set(item.accounts or ()) - set(facts.reversed_accounts)
        confirmed = [False] if item.accounts and not left else [*confirmed, False]
    spans = [
        (begin, end)
        for begin in within(item.began if item.began_source else DateRange(), times)
        for end in within(item.lasted if item.lasted_source else DateRange(), times)
        if begin <= as_of and begin <= end
    ]
    return [
        Fact(facts.relation, item.kind, c, b, min(e, as_of), item.basis, s, y)
        for c, s, y, (b, e) in product(conducts, strengths, confirmed, sorted(set(spans)))
    ]


def within(span: DateRange, times: range) -> list[int]:
    low = times[0] if span.earliest is None else span.earliest
    high = times[-1] if span.latest is None else span.latest
    return [t for t in times if low <= t <= high]


def eligible(facts: tuple[Fact, ...], grounds: Grounds, as_of: int) -> bool:
    """Whether action may be taken, everything being known."""
    own = {str(basis) for basis in grounds.link.own}
    linked = own | {str(basis) for basis in grounds.link.linked}
    least = LADDER.index(grounds.link.least)
    sure = [f for f in facts if f.confirmed and LADDER.index(f.strength) >= least]
    on = [f for f in sure if f.kind == "on_platform" and f.conduct in grounds.on_platform.conduct]
    if any(f.basis in own for f in on):
        return True
    continues = {str(basis) for basis in grounds.link.continued or ()}
    for notice in grounds.notice:
        if notice.effective_ms > as_of:
            continue
        others = [f for f in sure if f.basis in continues and f.relation != "predecessor"]
        counts = {"on_platform": grounds.on_platform.conduct, "off_platform": notice.conduct}
        others = [f for f in others if f.conduct in counts[f.kind]]
        off = [f for f in sure if f.kind == "off_platform" and f.basis in own]
        off = [f for f in off if f.conduct in notice.conduct]
        if any(f.end >= notice.beyond_ms for f in off):
            return True
        if off and any(f.basis in linked and f.begin < notice.beyond_ms for f in on):
            return True
        if off and any(f.end >= notice.beyond_ms for f in others):
            return True
    return False


def slow(items: list[Evidence], grounds: Grounds, as_of: int, times: range) -> str:
    """The result over all worlds: eligible in all, in none, or it hangs on something."""
    least = str(grounds.link.least)
    each = [found for item in items if (found := worlds_of(item, as_of, times, least))]
    seen = {eligible(facts, grounds, as_of) for facts in product(*each)}
    if len(seen) == 2:
        return "undetermined"
    if True in seen:
        return "eligible"
    return "no_violation" if clean(items, grounds, as_of) else "not_eligible"


def clean(items: list[Evidence], grounds: Grounds, as_of: int) -> bool:
    """Whether all that is not excluded was found to show no violation, by something of its own."""
    shown = False
    for item in items:
        facts = item.facts or CaseFacts()
        later = item.began_source and (item.began.earliest or 0) > as_of
        excluded = later or item.confirmed == "no" or facts.rejected_by or item.strength == "none"
        left = set(item.accounts or ()) - set(facts.reversed_accounts)
        gone = item.kind == "on_platform" and facts.reversed_accounts and item.accounts
        if excluded or (gone and not left):
            continue
        if (item.conduct, item.confirmed) != ("neither", "yes"):
            return False
        strong = item.strength in LADDER[LADDER.index(grounds.link.least) :]
        shown = shown or (strong and item.basis in grounds.link.own)
    return shown


def spans(points: list[int | None]) -> Iterator[DateRange]:
    """Every span whose ends are among the points."""
    for low, high in product(points, repeat=2):
        if low is None or high is None or low <= high:
            yield DateRange(low, high)


def small_grounds(*notices: tuple[int, int, tuple[str, ...]]) -> Grounds:
    """Grounds whose notices are (effective, beyond, conduct), in small milliseconds."""
    return Grounds(
        "small",
        "counsel",
        OnPlatform("", "", ("engaged", "assisted")),
        tuple(
            PublicNotice(f"n{k}", rfc(effective), rfc(beyond), conduct, "")  # type: ignore[arg-type]
            for k, (effective, beyond, conduct) in enumerate(notices)
        ),
        LinkRequirements(
            (Basis.STATEMENT, Basis.NUMBER, Basis.PAYMENT),
            (Basis.AFFILIATION, Basis.SUCCESSION),
            Strength.MODERATE,
            (Basis.SUCCESSION,),
        ),
    )


def rfc(ms: int) -> str:
    return f"1970-01-01T00:00:00.{ms:03d}Z"
