"""The determination against every way in which what is unknown may turn out, and its laws."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oracle.eligibility import slow, small_grounds
from wavebreak.cases.counterfactuals import RESULTS
from wavebreak.cases.date_ranges import DateRange
from wavebreak.cases.determination import ADVICE, EnforcementState, determine
from wavebreak.cases.parties import Basis, Evidence, Strength

TIMES = range(7)
NOTICE = 3
ONE = small_grounds((2, NOTICE, ("engaged", "assisted")))
TWO = small_grounds((1, 2, ("engaged",)), (3, 4, ("engaged", "assisted")))
new = msgspec.structs.replace

SIDES = {
    "before": (DateRange(0, 2), 2),
    "after": (DateRange(3, 6), 6),
    "unknown": (DateRange(), None),
}
LINKS = {
    "own, strong": (Basis.PAYMENT, Strength.STRONG),
    "own, moderate": (Basis.NUMBER, Strength.MODERATE),
    "own, weak": (Basis.STATEMENT, Strength.WEAK),
    "own, none": (Basis.STATEMENT, Strength.NONE),
    "own, unknown": (Basis.STATEMENT, Strength.UNKNOWN),
    "affiliate, strong": (Basis.AFFILIATION, Strength.STRONG),
    "affiliate, unknown": (Basis.SUCCESSION, Strength.UNKNOWN),
}
CONTINUED = {"yes": DateRange(NOTICE, 6), "no": DateRange(0, NOTICE - 1), "unknown": DateRange()}


def rows() -> list[tuple[str, ...]]:
    """Kind x date side x link x continuation x conduct x confirmation, but what contradicts."""
    kinds, conducts = ("on_platform", "off_platform"), ("engaged", "assisted", "neither", "unknown")
    table = product(kinds, SIDES, LINKS, CONTINUED, conducts, ("yes", "no", "unknown"))
    return [row for row in table if not (row[1] == "after" and row[3] == "no")]


def item(row: tuple[str, ...], name: str = "v1") -> Evidence:
    kind, side, link, continued, conduct, confirmed = row
    began, _ = SIDES[side]
    basis, strength = LINKS[link]
    told: Any = (kind, conduct, began, CONTINUED[continued], basis, strength, confirmed)
    return Evidence(name, "P1", f"E-{name}", *told)


def expected(row: tuple[str, ...]) -> str:
    """The table in words: what one item alone leads to."""
    kind, side, link, continued, conduct, confirmed = row
    tie = {"own, strong": 2, "own, moderate": 2, "own, unknown": 1}.get(link, 0)
    went_on = 2 if side == "after" else {"yes": 2, "no": 0, "unknown": 1}[continued]
    ranks = [tie, {"neither": 0, "unknown": 1}.get(conduct, 2)]
    ranks += [{"yes": 2, "no": 0, "unknown": 1}[confirmed]]
    return RESULTS[min(ranks + ([went_on] if kind == "off_platform" else []))]


def test_truth_table_of_one_item_matches_oracle() -> None:
    table = rows()
    assert len(table) == 2 * 8 * 7 * 4 * 3
    found = {row: determine("P1", [item(row)], ONE, 6).result for row in table}
    assert found == {row: expected(row) for row in table}
    assert {RESULTS[0], RESULTS[1], RESULTS[2]} == set(found.values())


def test_truth_table_of_two_items_matches_enumeration() -> None:
    on = [row for row in rows() if row[0] == "on_platform" and row[2].startswith("affiliate")]
    off = [r for r in rows() if r[0] == "off_platform" and r[4] != "assisted" and r[5] != "no"]
    pairs = list(product(on, off))[::211]
    assert len(pairs) > 300
    looked_at: set[str] = set()
    for a, b in pairs:
        items = [item(a, "a"), item(b, "b")]
        result = determine("P1", items, ONE, 6).result
        assert result == slow(items, ONE, 6, TIMES), (a, b)
        looked_at.add(result)
    assert looked_at == set(RESULTS)


points = st.none() | st.integers(0, 6)


@st.composite
def spans(draw: st.DrawFn) -> DateRange:
    low, high = draw(points), draw(points)
    if low is not None and high is not None and low > high:
        low, high = high, low
    return DateRange(low, high)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    began, lasted = draw(spans()), draw(spans())
    first, last = began.earliest, lasted.latest
    assume(first is None or last is None or first <= last)
    told: Any = (
        draw(st.sampled_from(("on_platform", "off_platform"))),
        draw(st.sampled_from(("engaged", "assisted", "neither", "unknown"))),
        began,
        lasted,
        draw(st.sampled_from((Basis.PAYMENT, Basis.STATEMENT, Basis.AFFILIATION))),
        draw(st.sampled_from(tuple(Strength))),
        draw(st.sampled_from(("yes", "yes", "no", "unknown"))),
    )
    name = draw(st.sampled_from("abcdefgh"))
    return Evidence(name, "P1", f"E-{name}", *told)


items = st.lists(evidence(), max_size=2, unique_by=lambda i: i.id)
grounds = st.sampled_from((ONE, TWO))
instants = st.integers(0, 6)


@settings(max_examples=300)
@given(items, grounds, instants)
def test_determination_matches_enumeration_of_unknowns(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    assert determine("P1", some, under, as_of).result == slow(some, under, as_of, TIMES)


many = st.lists(evidence(), max_size=6, unique_by=lambda i: i.id)


@given(many, evidence(), grounds, instants)
def test_more_evidence_never_makes_action_less_eligible(
    some: list[Evidence], more: Evidence, under: Any, as_of: int
) -> None:
    before = determine("P1", some, under, as_of).result
    after = determine("P1", [*some, new(more, id="z")], under, as_of).result
    assert RESULTS.index(after) >= RESULTS.index(before)


@given(many, grounds, instants, st.data())
def test_stronger_link_or_confirmation_never_lowers_result(
    some: list[Evidence], under: Any, as_of: int, drawn: st.DataObject
) -> None:
    assume(some)
    k = drawn.draw(st.integers(0, len(some) - 1))
    before = RESULTS.index(determine("P1", some, under, as_of).result)
    for better in ({"strength": Strength.STRONG}, {"confirmed": "yes"}, {"conduct": "engaged"}):
        other = [new(i, **better) if n == k else i for n, i in enumerate(some)]
        assert RESULTS.index(determine("P1", other, under, as_of).result) >= before
    wider = new(under, notice=(*under.notice, new(under.notice[-1], id="later")))
    assert RESULTS.index(determine("P1", some, wider, as_of).result) >= before
    fewer = new(under, notice=under.notice[:1])
    assert RESULTS.index(determine("P1", some, fewer, as_of).result) <= before


@given(many, grounds, instants, st.randoms(use_true_random=False))
def test_neither_order_nor_enforcement_decides(
    some: list[Evidence], under: Any, as_of: int, shuffle: Any
) -> None:
    other = list(some)
    shuffle.shuffle(other)
    banned = [EnforcementState("a-1", "ban")]
    one, two = determine("P1", some, under, as_of), determine("P1", other, under, as_of, banned)
    assert one.result == two.result
    assert sorted(one.exhibits) == sorted(two.exhibits)
    assert (one.enforcement, two.enforcement) == ((), tuple(banned))


@given(many, grounds, instants)
def test_every_item_is_relied_on_or_disregarded(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    told = determine("P1", some, under, as_of)
    relied = {name for ground in told.grounds for name in ground.evidence}
    left = {d.evidence for d in told.disregarded}
    assert relied | left == {i.id for i in some}
    assert not relied & left
    assert all(d.why for d in told.disregarded)
    assert bool(told.grounds) is (told.result == "eligible")
    assert bool(told.needs) is (told.result == "undetermined")
    assert told.advice == ADVICE


@given(many, grounds, instants)
def test_evidence_relied_on_suffices_alone(some: list[Evidence], under: Any, as_of: int) -> None:
    told = determine("P1", some, under, as_of)
    for ground in told.grounds:
        alone = [i for i in some if i.id in ground.evidence]
        assert determine("P1", alone, under, as_of).result == "eligible"


@given(many, grounds, instants)
def test_every_counterfactual_changes_the_result(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    told = determine("P1", some, under, as_of)
    assert all(change.result != told.result for change in told.changes)
    if told.result != "eligible":
        assert any("on the platform" in change.supposing for change in told.changes)
    assert len(told.changes) <= 40


def test_a_determination_survives_being_written_and_read() -> None:
    told = determine("P1", [item(rows()[0])], TWO, 6, [EnforcementState("a-1", "ban", 7)])
    assert msgspec.json.decode(msgspec.json.encode(told), type=type(told)) == told


@pytest.mark.parametrize("confirmed", ["yes", "no"])
def test_nothing_is_undetermined_where_everything_is_known(confirmed: str) -> None:
    known = [row for row in rows() if "unknown" not in " ".join(row) and row[5] == confirmed]
    results = {determine("P1", [item(row)], ONE, 6).result for row in known}
    assert "undetermined" not in results
