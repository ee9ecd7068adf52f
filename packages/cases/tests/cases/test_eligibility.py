"""The determination against every way in which what is unknown may turn out, and its laws."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from oracle.eligibility import rfc, slow, small_grounds
from wavebreak_cases.cases.counterfactuals import Change, list_changes
from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.determination import ADVICE, EnforcementState, determine
from wavebreak_cases.cases.eligibility import RESULTS, LinkRequirements
from wavebreak_cases.cases.parties import Basis, CaseFacts, DateSource, Evidence, Strength

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
    "affiliate, by succession": (Basis.SUCCESSION, Strength.MODERATE),
}
SAID = DateSource("person", "Noa", "the invoice")
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
    more: Any = {"violations": ("bulk",), "began_source": SAID, "lasted_source": SAID}
    more["accounts"] = (f"a-{name}",)
    return Evidence(name, "P1", f"E-{name}", *told, **more)


def expected(row: tuple[str, ...]) -> str:
    """The table in words: what one item alone leads to."""
    kind, side, link, continued, conduct, confirmed = row
    tie = {"own, strong": 2, "own, moderate": 2, "own, unknown": 1, "own, weak": 1}.get(link, 0)
    went_on = 2 if side == "after" else {"yes": 2, "no": 0, "unknown": 1}[continued]
    ranks = [tie, {"neither": 0, "unknown": 1}.get(conduct, 2)]
    ranks += [{"yes": 2, "no": 0, "unknown": 1}[confirmed]]
    rank = min(ranks + ([went_on] if kind == "off_platform" else []))
    if (conduct, confirmed) == ("neither", "yes") and link in ("own, strong", "own, moderate"):
        return "no_violation"
    return RESULTS[rank]


def test_truth_table_of_one_item_matches_oracle() -> None:
    table = rows()
    assert len(table) == 2 * 8 * 8 * 4 * 3
    found = {row: determine("P1", [item(row)], ONE, 6).result for row in table}
    assert found == {row: expected(row) for row in table}
    assert {*RESULTS, "no_violation"} == set(found.values())


def test_truth_table_of_two_items_matches_enumeration() -> None:
    on = [row for row in rows() if row[0] == "on_platform" and row[2].startswith("affiliate")]
    off = [r for r in rows() if r[0] == "off_platform" and r[4] != "assisted" and r[5] != "no"]
    pairs = list(product(on, off))[::311]
    assert len(pairs) > 300
    looked_at: set[str] = set()
    for a, b in pairs:
        items = [item(a, "a"), item(b, "b")]
        result = determine("P1", items, ONE, 6).result
        assert result == slow(items, ONE, 6, TIMES), (a, b)
        looked_at.add(result)
    assert looked_at >= set(RESULTS)


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
        draw(st.sampled_from((Basis.PAYMENT, Basis.AFFILIATION, Basis.SUCCESSION))),
        draw(st.sampled_from(tuple(Strength))),
        draw(st.sampled_from(("yes", "yes", "no", "unknown"))),
    )
    name = draw(st.sampled_from("abcdefgh"))
    source: Any = st.sampled_from((SAID, SAID, UNSET))
    violations: Any = st.sampled_from((("bulk",), ("bulk", "automated"), UNSET))
    accounts: Any = st.sampled_from((("a-1",), ("a-1", "a-2"), UNSET))
    facts = CaseFacts(
        rejected_by=draw(st.sampled_from(("", "", "", "Dana"))),
        reversed_accounts=draw(st.sampled_from(((), (), ("a-1",), ("a-1", "a-2")))),
        relation=draw(st.sampled_from(("successor", "predecessor"))),
    )
    more: Any = {
        "violations": draw(violations), "began_source": draw(source),
        "lasted_source": draw(source), "accounts": draw(accounts), "facts": facts,
    }  # fmt: skip
    return Evidence(name, "P1", f"E-{name}", *told, **more)


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
    assert rank(after) >= rank(before)


def rank(result: str) -> int:
    """How near a result is to action; no violation is as far from it as not eligible."""
    return (*RESULTS, "no_violation").index(result) % 3


@given(many, grounds, instants, st.data())
def test_stronger_link_or_confirmation_never_lowers_result(
    some: list[Evidence], under: Any, as_of: int, drawn: st.DataObject
) -> None:
    assume(some)
    k = drawn.draw(st.integers(0, len(some) - 1))
    before = rank(determine("P1", some, under, as_of).result)
    for better in ({"strength": Strength.STRONG}, {"confirmed": "yes"}, {"conduct": "engaged"},
                   {"violations": ("bulk",)}, {"facts": UNSET}):  # fmt: skip
        other = [new(i, **better) if n == k else i for n, i in enumerate(some)]
        if better == {"facts": UNSET} and some[k].case_facts.relation == "predecessor":
            continue  # its own conduct in place of a predecessor's
        assert rank(determine("P1", other, under, as_of).result) >= before
    wider = new(under, notice=(*under.notice, new(under.notice[-1], id="later")))
    assert rank(determine("P1", some, wider, as_of).result) >= before
    fewer = new(under, notice=under.notice[:1])
    assert rank(determine("P1", some, fewer, as_of).result) <= before


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


@st.composite
def policies(draw: st.DrawFn) -> Any:
    """Grounds with up to three notices, of any conduct, boundaries and ties that may continue."""
    conducts = st.sampled_from((("engaged",), ("assisted",), ("engaged", "assisted")))
    made = []
    for _ in range(draw(st.integers(0, 3))):
        effective = draw(st.integers(0, 6))
        made.append((effective, draw(st.integers(effective, 7)), draw(conducts)))
    continued: Any = st.sampled_from((UNSET, (), (Basis.SUCCESSION,)))
    link = LinkRequirements(
        (Basis.STATEMENT, Basis.PAYMENT),
        draw(st.sampled_from(((Basis.AFFILIATION, Basis.SUCCESSION), (Basis.SUCCESSION,)))),
        draw(st.sampled_from((Strength.WEAK, Strength.MODERATE, Strength.STRONG))),
        draw(continued),
    )
    return new(small_grounds(*made), link=link)


def under_change(some: list[Evidence], change: Change) -> list[Evidence]:
    """The evidence under a change."""
    other = change.item
    items = [other if other is not None and other.id == item.id else item for item in some]
    return items if change.more is None else [*items, change.more]


@settings(max_examples=200)
@given(many, policies(), instants)
def test_counterfactuals_hold_when_determined_again(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    found = determine("P1", some, under, as_of)
    again = {}
    for change in list_changes(some, under, as_of):
        then = as_of if change.as_of is None else change.as_of
        again[change.supposing] = determine("P1", under_change(some, change), under, then).result
    listed = {change.supposing: change.result for change in found.changes}
    assert len(listed) == len(found.changes) <= 40
    assert listed.items() <= again.items()
    changing = {words: result for words, result in again.items() if result != found.result}
    assert len(listed) == min(40, len(changing))
    if found.result != "eligible":
        assert any("on the platform" in words for words in listed)


@settings(max_examples=200)
@given(items, policies(), instants)
def test_determination_matches_enumeration_under_any_policy(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    assert determine("P1", some, under, as_of).result == slow(some, under, as_of, range(9))


@given(many, grounds, instants)
def test_boundary_flags_name_the_result_on_the_other_side(
    some: list[Evidence], under: Any, as_of: int
) -> None:
    for flag in determine("P1", some, under, as_of).flags:
        notice = next(n for n in under.notice if n.id == flag.notice)
        assert flag.day == notice.effective_ms < notice.beyond_ms
        moved = new(notice, beyond=rfc(notice.effective_ms))
        other = new(under, notice=tuple(moved if n is notice else n for n in under.notice))
        assert determine("P1", some, other, as_of).result == flag.otherwise


def test_a_determination_survives_being_written_and_read() -> None:
    told = determine("P1", [item(rows()[0])], TWO, 6, [EnforcementState("a-1", "ban", 7)])
    assert msgspec.json.decode(msgspec.json.encode(told), type=type(told)) == told


@pytest.mark.parametrize("confirmed", ["yes", "no"])
def test_nothing_is_undetermined_where_everything_is_known(confirmed: str) -> None:
    known = [row for row in rows() if "unknown" not in " ".join(row) and row[5] == confirmed]
    results = {determine("P1", [item(row)], ONE, 6).result for row in known}
    assert "undetermined" not in results or {row[2] for row in known} >= {"own, weak"}
    sure = [row for row in known if row[2] != "own, weak"]
    assert "undetermined" not in {determine("P1", [item(row)], ONE, 6).result for row in sure}
