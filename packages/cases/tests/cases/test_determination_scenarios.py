"""Worked determinations, each named in words, under the reference policy.

Their reasons in English and Hebrew are held in `tests/fixtures/determination-reasons.md`, for
lawyers to read; `python packages/cases/tests/cases/test_determination_scenarios.py` writes it anew.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from wavebreak import config
from wavebreak_cases.cases.date_ranges import DateRange, Ternary, parse_date, parse_instant
from wavebreak_cases.cases.determination import (
    CODED_METHOD,
    METHOD,
    PROSE_METHOD,
    Determination,
    determine,
    evidence_digest,
)
from wavebreak_cases.cases.eligibility import (
    Grounds,
    PublicNotice,
    check_before,
    load_grounds,
    notices_in_force,
)
from wavebreak_cases.cases.parties import Basis, CaseFacts, DateSource, Evidence, Strength
from wavebreak_cases.cases.reasons import Context, Phrase, Writer

REFERENCE = load_grounds()
LATER = PublicNotice(
    "2023", "2023-06-01T00:00:00Z", "2023-07-01T00:00:00Z", ("engaged",), "the operator's own"
)
TWO = msgspec.structs.replace(REFERENCE, notice=(*REFERENCE.notice, LATER))
SAID = DateSource("person", "Noa", "the invoice")
TODAY = "2026-11-01T00:00:00Z"


def seen(kind: str, began: str, lasted: str, zone: str | None = "UTC", **told_: Any) -> Evidence:
    """Evidence on or off the platform, confirmed and strongly tied unless told otherwise."""
    values: dict[str, Any] = {
        "conduct": "engaged", "basis": Basis.STATEMENT, "strength": Strength.STRONG,
        "confirmed": "yes", "violations": ("bulk",), "by": "Dana",
        "began_source": SAID, "lasted_source": SAID,
    } | told_  # fmt: skip
    name = values.pop("id", "V1")
    dates = {"began": parse_date(began, zone), "lasted": parse_date(lasted, zone)}
    return Evidence(name, "P1", f"E-{name}", kind, **dates, **values)  # type: ignore[arg-type]


def off(began: str, lasted: str, zone: str | None = "UTC", **values: Any) -> Evidence:
    return seen("off_platform", began, lasted, zone, **values)


def on(began: str, lasted: str, zone: str | None = "UTC", **values: Any) -> Evidence:
    return seen("on_platform", began, lasted, zone, **values)


class Scenario(NamedTuple):
    """Evidence, what follows, and words that the answer must hold."""

    evidence: list[Evidence]
    result: str
    says: str
    as_of: str = TODAY
    grounds: Grounds = REFERENCE


BY_PAGE: Any = dict.fromkeys(
    ("began_source", "lasted_source"), DateSource("exhibit", "the page", "dates in its markup")
)
BY_CAPTURE: Any = dict.fromkeys(
    ("began_source", "lasted_source"), DateSource("capture", "Noa", "the capture's WARC record")
)
REJECTED = CaseFacts(rejected_by="Dana", rejected_why="a news report about such offers")
CONFIRMED = CaseFacts(reading="benign", reviewed_why="the price list is in a picture")
REVERSED = CaseFacts(reversed_accounts=("a-1",))


def successor(strength: str, relation: str = "successor") -> dict[str, Any]:
    """Evidence of a related party, as `evidence_for_party` returns it."""
    facts = CaseFacts(
        conduct_of="P2", relation=relation, relation_exhibit="E7", relation_strength=strength
    )
    basis = Basis.AFFILIATION if relation == "affiliate" else Basis.SUCCESSION
    return {"basis": basis, "strength": Strength(strength), "facts": facts}


AFFILIATE = {"basis": Basis.AFFILIATION}
OLD_SITE = off("2018", "October 2019")
SCENARIOS = {
    "a reseller that stopped in November 2019": Scenario(
        [off("2018-03", "November 2019")], "not_eligible", "on or after 8 December 2019"),
    "a firm known only by its site that continued": Scenario(
        [off("2018", "2020-05-14")], "eligible", "R3 continued"),
    "a firm known only by its site that began after the notice": Scenario(
        [off("2021-02", "2021-06")], "eligible", "R3 continued"),
    "an affiliate of a noticed firm, whose own claims ended in time": Scenario(
        [OLD_SITE, on("2019-05", "2019-06", **AFFILIATE, id="V2")], "eligible", "R3 linked"),
    "an affiliate without a claim of its own": Scenario(
        [on("2019-05", "2019-06", **AFFILIATE)], "not_eligible", "by affiliation only"),
    "an affiliate whose conduct on the platform began after the notice": Scenario(
        [OLD_SITE, on("2020-05", "2020-06", **AFFILIATE, id="V2")],
        "not_eligible", "does not show conduct before 8 December 2019"),
    "a successor firm that took over the old firm's accounts": Scenario(
        [OLD_SITE, on("2019-02", "2019-03", basis=Basis.SUCCESSION, id="V2")],
        "eligible", "R3 linked"),
    "a sender seen on the platform long before any notice": Scenario(
        [on("2016", "2016")], "eligible", "R1"),
    "a sender seen on the platform, determined before the notice": Scenario(
        [on("2018-02", "2018-03")], "eligible", "R1", "2019-01-01T00:00:00Z"),
    "a site that offers sending, determined before the notice": Scenario(
        [off("2018", "2019-10")], "not_eligible", "no notice is in force", "2019-11-01T00:00:00Z"),
    "a site that offers sending, determined on the day of the notice itself": Scenario(
        [off("2018", "since 2018")], "not_eligible", "on or after 8 December 2019",
        "2019-12-07T12:00:00Z"),
    "a page captured in 2021 of conduct in 2018, which an archive dates": Scenario(
        [off("2018-06", "2018-06", about="archived copy, captured in 2021")],
        "not_eligible", "on or after 8 December 2019"),
    "a page captured in 2021 that stood there at the capture": Scenario(
        [off("before 2021-03-05", "2021-03-05T10:00:00Z")], "eligible", "R3 continued"),
    "a page without any date": Scenario(
        [off("unknown", "unknown")], "undetermined", "until when the conduct in E-V1 lasted"),
    "a flyer from about November 2019": Scenario(
        [off("about November 2019", "about November 2019")], "undetermined",
        "went on at or after 8 December"),
    "a flyer from about 2018": Scenario(
        [off("about 2018", "about 2018")], "not_eligible", "on or after"),
    "conduct on 7 December 2019 in UTC": Scenario(
        [off("2019-12-07", "2019-12-07")], "not_eligible", "on or after"),
    "conduct on 8 December 2019 in UTC": Scenario(
        [off("2019-12-08", "2019-12-08")], "eligible", "R3 continued"),
    "conduct on 7 December 2019 in Los Angeles, partly 8 December in UTC": Scenario(
        [off("2019-12-07", "2019-12-07", "America/Los_Angeles")], "undetermined",
        "went on at or after 8 December"),
    "conduct on 8 December 2019 in Jerusalem, partly 7 December in UTC": Scenario(
        [off("2019-12-08", "2019-12-08", "Asia/Jerusalem")], "undetermined",
        "went on at or after 8 December"),
    "conduct on 8 December 2019 wherever on Earth": Scenario(
        [off("2019-12-08", "2019-12-08", None)], "undetermined",
        "went on at or after 8 December"),
    "conduct on 9 December 2019 wherever on Earth": Scenario(
        [off("2019-12-09", "2019-12-09", None)], "eligible", "R3 continued"),
    "the last second before the boundary": Scenario(
        [off("2019", "2019-12-07T23:59:59Z")], "not_eligible", "on or after"),
    "the first second beyond it, told in the time of São Paulo": Scenario(
        [off("2019", "2019-12-07T21:00:00-03:00")], "eligible", "R3 continued"),
    "software that helps others send, still sold in 2022": Scenario(
        [off("2017", "2022", conduct="assisted")], "eligible", "R2"),
    "a host whose customers abused and who knew of nothing": Scenario(
        [off("2020", "2022", conduct="neither")], "no_violation", "shows no violation"),
    "a forum post of which nobody knows who wrote it": Scenario(
        [off("2021", "2021", strength=Strength.UNKNOWN)], "undetermined", "how strongly"),
    "a number in a claim that a hundred firms share": Scenario(
        [on("2021", "2021", basis=Basis.NUMBER, strength=Strength.WEAK)],
        "undetermined", "a stronger tie of E-V1"),
    "a test purchase whose messages came from a banned account": Scenario(
        [on("2021-04-02", "2021-04-02", basis=Basis.PURCHASE)], "eligible", "R1"),
    "a payment to the firm for accounts that were banned": Scenario(
        [on("2019-03", "2019-08", basis=Basis.PAYMENT, strength=Strength.MODERATE)],
        "eligible", "R1"),
    "a capture that nobody has read yet": Scenario(
        [off("2021", "2021", confirmed="unknown")], "undetermined", "that a person confirms"),
    "a capture that a person found to be a joke": Scenario(
        [off("2021", "2021", confirmed="no")], "not_eligible", "does not show this"),
    "an admission in a reply that the sending still goes on": Scenario(
        [off("2018", "since 2018", basis=Basis.ADMISSION)], "undetermined",
        "went on at or after 8 December"),
    "two captures of one site, in October 2019 and in January 2020": Scenario(
        [OLD_SITE, off("2020-01-09", "2020-01-09", id="V2")], "eligible", "R3 continued"),
    "a rumour of conduct on the platform beside an old site": Scenario(
        [OLD_SITE, on("2019-02", "2019-02", strength=Strength.WEAK, id="V2")],
        "undetermined", "a stronger tie of E-V2"),
    "an old site, and conduct on the platform that nobody can date": Scenario(
        [OLD_SITE, on("unknown", "unknown", **AFFILIATE, id="V2")], "undetermined",
        "when the conduct in E-V2 began"),
    "nothing at all": Scenario([], "not_eligible", ""),
    "several notices: stopped between the first and the second": Scenario(
        [off("2018", "2021-04")], "eligible", "2019-12-07", TODAY, TWO),
    "several notices: an old site, linked to the platform between them": Scenario(
        [OLD_SITE, on("2021", "2021", **AFFILIATE, id="V2")], "eligible", "2023", TODAY, TWO),
    "several notices: the second, which is silent on assisting, does not reach it": Scenario(
        [off("2018", "October 2019", conduct="assisted"),
         on("2021", "2021", **AFFILIATE, id="V2")],
        "not_eligible", "reaches only who engaged", TODAY, TWO),
    "several notices: before the second is in effect": Scenario(
        [OLD_SITE, on("2021", "2021", **AFFILIATE, id="V2")], "not_eligible",
        "2023-07-01T00:00:00Z, when notice 2023 is in force", "2022-01-01T00:00:00Z", TWO),
    "a saved page that was added today and that nothing dates": Scenario(
        [off("2018", "2021", began_source=UNSET, lasted_source=UNSET)], "undetermined",
        "a person who says on what basis"),
    "a page of 2019 that was added today and dates itself": Scenario(
        [off("before 2019-04", "2019-03", **BY_PAGE)], "not_eligible", "on or after 8 December"),
    "a page that was captured in 2024 and was there then": Scenario(
        [off("before 2024-03", "2024-03-05T10:00:00Z", **BY_CAPTURE)], "eligible", "R3 continued"),
    "a page that a person rejected as a claim": Scenario(
        [off("2018", "2021", facts=REJECTED)], "not_eligible", "a news report about such offers"),
    "a page that was read as benign and that nobody confirmed": Scenario(
        [off("2018", "2021", confirmed="unknown", by="", facts=CaseFacts(reading="benign"))],
        "undetermined", "confirms, with a reason"),
    "a page that was read as benign and that a person confirmed": Scenario(
        [off("2018", "2021", facts=CONFIRMED)], "eligible", "R3 continued"),
    "conduct that nobody stated": Scenario(
        [on("2021", "2021", conduct="unknown")], "undetermined", "engaged in abuse, assisted"),
    "a violation whose kind nobody stated": Scenario(
        [on("2021", "2021", violations=UNSET)], "undetermined", "bulk, automated or non-personal"),
    "a sanctioned partner": Scenario(
        [on("2021", "2022", conduct="neither", violations=UNSET, basis=Basis.PAYMENT)],
        "no_violation", "shows no violation"),
    "a sanctioned partner with an unread page beside": Scenario(
        [on("2021", "2022", conduct="neither", violations=UNSET),
         off("2022", "2022", id="V2", confirmed="unknown", by="")],
        "undetermined", "a person confirms"),
    "an account whose ban an appeal reversed": Scenario(
        [on("2021", "2021", accounts=("a-1",), facts=REVERSED)], "not_eligible", "an appeal"),
    "two accounts, the ban of one of which an appeal reversed": Scenario(
        [on("2021", "2021", accounts=("a-1", "a-2"), facts=REVERSED)],
        "undetermined", "on the other accounts of"),
    "a successor that went on after the notice, strongly tied": Scenario(
        [OLD_SITE, off("2021", "2022", id="V2", **successor("strong"))],
        "eligible", "R3 continued by a successor"),
    "a successor that went on after the notice, weakly tied": Scenario(
        [OLD_SITE, off("2021", "2022", id="V2", **successor("weak"))],
        "undetermined", "stronger proof that the parties are related"),
    "a successor that went on on the platform": Scenario(
        [OLD_SITE, on("2021", "2022", id="V2", **successor("moderate"))],
        "eligible", "R3 continued by a successor"),
    "a predecessor that went on after the notice": Scenario(
        [OLD_SITE, off("2021", "2022", id="V2", **successor("strong", "predecessor"))],
        "not_eligible", "conduct of another party"),
    "an affiliate that went on after the notice": Scenario(
        [OLD_SITE, off("2021", "2022", id="V2", **successor("strong", "affiliate"))],
        "not_eligible", "conduct of another party"),
    "evidence dated after the day of the determination": Scenario(
        [off("2027-01", "2027-02")], "not_eligible", "shows conduct after"),
}  # fmt: skip


def words(found: Determination) -> str:
    grounds = [f"{g.rule} {g.notice}" for g in found.grounds]
    why = [d.why for d in found.disregarded]
    return " | ".join([*grounds, *why, *found.needs, *(c.supposing for c in found.changes)])


CONTEXT = Context(
    {"P1": "Bulk Co Ltd", "P2": "New Bulk Ltd"},
    {"E-V1": "Price page", "E-V2": "Order page"},
    {"N1": parse_instant("2021-05-01T00:00:00Z")},
)
HELD = Path(__file__).parents[4] / "tests" / "fixtures" / "determination-reasons.md"


SEALED_BY_VERSION_4 = "8bd4861d2d36e35cbdea5a8cd2da21b6255b9436b0cdf88e70ca9b31af29d31e"
"""SHA-256 of what `written` gave under the version before."""


def reasons(scenario: Scenario, method: int = METHOD) -> Determination:
    as_of = parse_instant(scenario.as_of)
    under = scenario.grounds
    return determine("P1", scenario.evidence, under, as_of, context=CONTEXT, method=method)


def written(method: int = METHOD) -> str:
    """Every scenario with its reasons."""
    parts = ["# Reasons of determinations, by scenario"]
    for name, scenario in SCENARIOS.items():
        found = reasons(scenario, method)
        parts.append(f"## {name[0].upper()}{name[1:]}")
        parts += ["\n".join(f"- {line}" for line in found.sentences(at)) for at in ("en", "he")]
    return "\n\n".join(parts) + "\n"


def test_there_are_more_than_thirty_scenarios() -> None:
    assert len(SCENARIOS) >= 58


def test_reasons_are_those_that_are_held() -> None:
    assert written() == HELD.read_text("utf-8")


def test_reasons_of_the_version_before_are_as_they_were_sealed() -> None:
    assert sha256(written(CODED_METHOD).encode()).hexdigest() == SEALED_BY_VERSION_4


@pytest.mark.parametrize("name", SCENARIOS)
def test_reasons_name_party_exhibits_and_missing_facts(name: str) -> None:
    found = reasons(SCENARIOS[name])
    english, hebrew = found.sentences("en"), found.sentences("he")
    assert len(english) == len(hebrew)
    for lines in (english, hebrew):
        text = " ".join(lines)
        assert "Bulk Co Ltd" in text
        assert "$" not in text
        for item in SCENARIOS[name].evidence:
            assert CONTEXT.exhibits[item.exhibit] in text
    assert all(any("א" <= c <= "ת" for c in line) for line in hebrew)
    assert sum(line.startswith("Needed: ") for line in english) == len(found.needs)
    touching = ("“beyond” notice", "In another time zone")
    assert sum(any(t in line for t in touching) for line in english) == len(found.flags)


@pytest.mark.parametrize("name", SCENARIOS)
def test_codes_survive_their_seal_and_are_rendered(name: str) -> None:
    found = reasons(SCENARIOS[name])
    sealed = msgspec.json.decode(msgspec.json.encode(found), type=Determination)
    assert sealed == found
    assert not isinstance(found.codes, UnsetType)
    assert tuple(map(Writer("en").render, found.codes)) == found.sentences("en")
    assert b"\xd7" not in msgspec.json.encode(found)


@pytest.mark.parametrize("name", SCENARIOS)
def test_earlier_version_sealed_the_same_sentences(name: str) -> None:
    prose, coded = (reasons(SCENARIOS[name], method) for method in (PROSE_METHOD, CODED_METHOD))
    assert prose.codes is UNSET
    for language in ("en", "he"):
        assert prose.sentences(language) == coded.sentences(language)
    assert prose.sentences("pt") == prose.sentences("en")


def test_code_of_a_later_version_reads_in_english() -> None:
    found = reasons(next(iter(SCENARIOS.values())))
    assert not isinstance(found.codes, UnsetType)
    later = msgspec.structs.replace(found, codes=(Phrase("result.maybe"), *found.codes[1:]))
    assert later.sentences("he")[0] == found.sentences("en")[0]
    assert later.sentences("he")[1:] == found.sentences("he")[1:]
    shorter = msgspec.structs.replace(found, codes=found.codes[1:])
    assert shorter.sentences("he") == found.sentences("en")


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    scenario = SCENARIOS[name]
    found = determine("P1", scenario.evidence, scenario.grounds, parse_instant(scenario.as_of))
    assert found.result == scenario.result
    assert scenario.says in words(found)


def test_party_that_stopped_gets_counterfactuals() -> None:
    scenario = SCENARIOS["a reseller that stopped in November 2019"]
    found = determine("P1", scenario.evidence, REFERENCE, parse_instant(TODAY))
    supposing = [change.supposing for change in found.changes if change.result == "eligible"]
    assert supposing == [
        "E-V1 (V1): the conduct is shown until 2019-12-08T00:00:00Z",
        "evidence on the platform, tied to the party at least moderate, confirmed",
        "evidence from outside that the party engaged at or after 2019-12-08T00:00:00Z, tied at "
        "least moderate, confirmed",
        "evidence on the platform of conduct before 2019-12-08T00:00:00Z, of an affiliate or "
        "predecessor, confirmed",
    ]


def test_local_policy_sets_own_notice_date(tmp_path: Any) -> None:
    (tmp_path / "cases").mkdir()
    shipped = (config.resolve_path("cases/determination.toml")).read_text("utf-8")
    moved = shipped.replace("2019-12-08T00", "2019-12-07T00").replace("reference", "own", 1)
    (tmp_path / "cases" / "determination.toml").write_text(moved, "utf-8")
    own = load_grounds(tmp_path)
    day = [off("2019-12-07", "2019-12-07")]
    assert determine("P1", day, own, parse_instant(TODAY)).result == "eligible"
    assert determine("P1", day, REFERENCE, parse_instant(TODAY)).result == "not_eligible"
    assert own.version.startswith("own-")
    assert own.version.split("-")[1] != REFERENCE.version.split("-")[1]


def test_boundary_is_exact_to_the_millisecond() -> None:
    edge = parse_instant("2019-12-08T00:00:00Z")
    for at, result in ((edge - 1, "not_eligible"), (edge, "eligible")):
        item = msgspec.structs.replace(OLD_SITE, lasted=DateRange(at, at))
        assert determine("P1", [item], REFERENCE, parse_instant(TODAY)).result == result


if __name__ == "__main__":
    HELD.write_text(written(), "utf-8")


def test_determination_is_of_its_grounds_too() -> None:
    assert evidence_digest((), "grounds-1") != evidence_digest((), "grounds-2")


def test_notice_binds_from_its_first_millisecond() -> None:
    grounds = load_grounds()
    first = min(grounds.notice, key=lambda notice: notice.effective_ms)
    assert notices_in_force(grounds, first.effective_ms) == (first,)
    assert notices_in_force(grounds, first.effective_ms - 1) == ()


def test_date_on_either_side_of_a_boundary_is_unknown() -> None:
    notice, as_of = REFERENCE.notice[0], parse_instant(TODAY)
    answers = [check_before(on(y, y), notice, as_of).answer for y in ("2018", "2019", "2020")]
    assert answers == [Ternary.YES, Ternary.UNKNOWN, Ternary.NO]
