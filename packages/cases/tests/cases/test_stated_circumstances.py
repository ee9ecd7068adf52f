"""What a case can say beside conduct and dates, each in words: who held what, what was settled.

Each scenario is a case step by step, with the result and the sentences that its reasons must hold.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET

from wavebreak.errors import CaseError
from wavebreak_cases.bundles.case_tables import evidence_lines
from wavebreak_cases.bundles.chronology import list_facts
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import (
    AccountLinked,
    Action,
    BarRecorded,
    Case,
    CaseOpened,
    DeterminationPrepared,
    EvidenceAdded,
    EvidenceReviewed,
    Exhibit,
    ExhibitAdded,
    NoticeSent,
    PartiesRelated,
    PartyNamed,
    StateChanged,
    context_for_party,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import DateRange, parse_date, parse_instant
from wavebreak_cases.cases.determination import CODED_METHOD, Determination, determine
from wavebreak_cases.cases.eligibility import load_grounds
from wavebreak_cases.cases.notices import Notice
from wavebreak_cases.cases.parties import (
    Bar,
    Basis,
    DateSource,
    Evidence,
    Link,
    Party,
    Relation,
    Strength,
    TieDates,
    Translation,
)
from wavebreak_cases.cases.reasons import AccountFigures
from wavebreak_cases.cases.workflow import append_action, stale_determinations

GROUNDS = load_grounds()
NOW = parse_instant("2026-11-01T00:00:00Z")
SAID = DateSource("person", "Noa", "the contract of sale")


def day(text: str) -> DateRange:
    return parse_date(text, "UTC")


def ms(text: str) -> int:
    return parse_instant(f"{text}T00:00:00Z")


def take(case: Case, *dids: Action, by: str = "Noa", why: str = "") -> Case:
    for did in dids:
        at = max(NOW, case.steps[-1].at + 1 if case.steps else 0)
        case = append_action(case, did, at=at, by=by, role="investigator", why=why)
    return case


TITLES = {"E1": "Price page", "E2": "Run", "E3": "Deed", "E4": "Order"}


def opened() -> Case:
    """A case on a firm and its successor, with a page, a run, a deed and an order."""
    exhibits = [
        Exhibit(
            name,
            "platform_run" if name == "E2" else "document",
            title,
            f"exhibits/{name}",
            {"a": "0" * 64},
            NOW,
        )
        for name, title in TITLES.items()
    ]
    parties = [Party("P1", "company", "Bulk Co"), Party("P2", "company", "Send Ltd")]
    return take(
        Case("C-7"),
        CaseOpened("Bulk Co"),
        *map(PartyNamed, parties),
        *map(ExhibitAdded, exhibits),
    )


def item(name: str, began: str, lasted: str, **values: Any) -> Evidence:
    """An item of the run, or (`off_platform`) of the page, strongly tied to P1."""
    given: dict[str, Any] = {
        "party": "P1", "exhibit": "E2", "kind": "on_platform", "conduct": "engaged",
        "basis": Basis.PAYMENT, "strength": Strength.STRONG, "violations": ("bulk",),
        "began_source": SAID, "lasted_source": SAID, "accounts": ("a-1",),
    } | values  # fmt: skip
    if given["kind"] == "off_platform":
        given |= {"exhibit": values.get("exhibit", "E1"), "accounts": UNSET}
    return Evidence(name, began=day(began), lasted=day(lasted), **given)


def confirmed(case: Case, *items: Evidence, why: str = "", **review: Any) -> Case:
    case = take(case, *map(EvidenceAdded, items))
    reviews = [EvidenceReviewed(each.id, shows=True, **review) for each in items]
    return take(case, *reviews, by="Dana", why=why)


def linked(strength: Strength = Strength.STRONG, since: str = "", until: str = "") -> AccountLinked:
    ends = [day(end) if end else DateRange() for end in (since, until)]
    dates = TieDates(ends[0], ends[1], SAID) if since or until else UNSET
    return AccountLinked(Link("P1", "a-1", Basis.PAYMENT, strength, "E3", dates))


def barred(kind: Any, since: str, until: str = "") -> BarRecorded:
    return BarRecorded(Bar("P1", kind, ms(since), "E4", ms(until) if until else UNSET))


def on(case: Case, party: str = "P1", **context: Any) -> Determination:
    evidence = evidence_for_party(case, party)
    return determine(party, evidence, GROUNDS, NOW, (), context_for_party(case, party, **context))


RUN = item("V1", "2024-05-01", "2024-05-03")
PAGE = item("V2", "2018", "2019-10", kind="off_platform")
SUCCESSOR = Relation("P2", "P1", "successor", Strength.STRONG, "E3")
SENT = Notice("N1", "P1", "recorded", "en", "Notice", ("x",), ms("2024-01-10"), ms("2024-01-10"))


def officer(until: str) -> PartiesRelated:
    dates = TieDates(DateRange(), day(until), SAID)
    return PartiesRelated(Relation("P1", "P2", "affiliate", Strength.STRONG, "E3", dates))


class Scenario(NamedTuple):
    """A case, what follows on P1 (or another), and sentences of its reasons in two languages."""

    case: Case
    result: str
    english: str
    hebrew: str
    party: str = "P1"


SCENARIOS = {
    "an account sold before the conduct": Scenario(
        take(confirmed(opened(), RUN), linked(until="2024-03-31")), "not_eligible",
        "Exhibit E2 (“Run”) founds no rule: it shows conduct at a time at which account a-1 was "
        "not the party's: it was the party's until 31 March 2024 (according to Noa, on the basis "
        "of: the contract of sale) (Exhibit E3).",
        "הוא מראה מעשה במועד שבו החשבון a-1 לא היה של הצד: הוא היה של הצד עד 31 במרץ 2024",
    ),
    "an account sold in the middle of the conduct": Scenario(
        take(confirmed(opened(), RUN), linked(until="2024-05-02")), "undetermined",
        "Needed: which of the conduct in Exhibit E2 (“Run”) falls in the time at which account a-1 "
        "was the party's, as an item of its own",
        "נדרש: איזה חלק מן המעשה שבמוצג E2 („Run”) נעשה בזמן שהחשבון a-1 היה של הצד",
    ),
    "an account bought before the conduct": Scenario(
        take(confirmed(opened(), RUN), linked(since="2024-04-30")), "eligible",
        "Exhibit E2 (“Run”) shows that Bulk Co engaged in bulk messaging on the platform.",
        "מוצג E2 („Run”) מראה כי Bulk Co ביצע משלוח הודעות בתפוצה רחבה בפלטפורמה.",
    ),
    "a weak tie of the account under a strong item, without a word": Scenario(
        take(confirmed(opened(), RUN), linked(Strength.WEAK)), "undetermined",
        "Needed: why Exhibit E2 (“Run”) is tied to the party more strongly than its account a-1, "
        "which is tied weakly only, by a payment (Exhibit E3)",
        "נדרש: מדוע מוצג E2 („Run”) קשור לצד חזק יותר מן החשבון a-1 שבו, הקשור בקשר חלש בלבד",
    ),
    "a weak tie of the account under a strong item, with a reason": Scenario(
        take(confirmed(opened(), RUN, why="it paid by its own card"), linked(Strength.WEAK)),
        "eligible",
        "Its account a-1 itself is tied weakly only, by a payment (Exhibit E3); Dana confirmed the "
        "stronger tie, because: it paid by its own card",
        "החשבון a-1 עצמו קשור בקשר חלש בלבד, על יסוד תשלום (מוצג E3); הקשר החזק יותר אושר בידי "
        "Dana, מן הטעם: it paid by its own card",
    ),
    "two firms that acted together": Scenario(
        confirmed(opened(), item("V1", "2024", "2024", jointly=("P2",))), "eligible",
        "It is stated to have been done jointly with Send Ltd.",
        "נטען כי המעשה נעשה במשותף עם Send Ltd.",
    ),
    "the second of two firms that acted together, of which nothing else is known": Scenario(
        confirmed(opened(), item("V1", "2024", "2024", jointly=("P2",))), "undetermined",
        "Needed: how strongly Exhibit E2 (“Run”) is tied to the party: at least moderately.",
        "נדרש: עד כמה מוצג E2 („Run”) קשור לצד: לפחות בקשר בינוני.", "P2",
    ),
    "a successor whose predecessor had a notice": Scenario(
        take(confirmed(opened(), item("V1", "2024-05-01", "2024-05-03", party="P2")),
             PartiesRelated(SUCCESSOR), NoticeSent(SENT)), "eligible",
        "Notice N1 of 10 January 2024 went to Bulk Co, of which Send Ltd is the successor (Exhibit "
        "E3, tied strongly). Exhibit E2 (“Run”) shows conduct of Send Ltd after that notice (N1).",
        "הודעה N1 מיום 10 בינואר 2024 נשלחה אל Bulk Co; Send Ltd: חליף של Bulk Co (מוצג E3, בקשר "
        "חזק). מוצג E2 („Run”) מראה מעשה של Send Ltd לאחר אותה הודעה (N1).", "P2",
    ),
    "a shop that writes by hand by day and by program at night": Scenario(
        confirmed(opened(), item("V1", "2024", "2024", violations=("automated",),
                                 part="the messages between 01:00 and 05:00")), "eligible",
        "It is of a part of the use alone: the messages between 01:00 and 05:00. Of the other use "
        "nothing is said here.",
        "הדבר נוגע לחלק מן השימוש בלבד: the messages between 01:00 and 05:00. על יתר השימוש לא "
        "נאמר כאן דבר.",
    ),
    "conduct that was settled": Scenario(
        take(confirmed(opened(), RUN), barred("settlement", "2024-06-30")), "not_eligible",
        "founds no rule: a settlement with the party covers conduct until 30 June 2024 (Exhibit "
        "E4).",
        "אינו מבסס אף כלל: הסדר פשרה עם הצד חל על מעשים עד 30 ביוני 2024 (מוצג E4).",
    ),
    "conduct after a settlement": Scenario(
        take(confirmed(opened(), RUN), barred("settlement", "2024-04-30")), "eligible",
        "A settlement with Bulk Co covers conduct until 30 April 2024 (Exhibit E4).",
        "הסדר פשרה עם Bulk Co חל על מעשים עד 30 באפריל 2024 (מוצג E4).",
    ),
    "a stay by a court": Scenario(
        take(confirmed(opened(), RUN), barred("stay", "2026-09-01")), "barred",
        "As of 1 November 2026, the evidence would allow legal action against Bulk Co, but none "
        "may be taken now: what stands in the way is named below. Legal action against Bulk Co is "
        "stayed since 1 September 2026 (Exhibit E4).",
        "אך אין לנקוט בו כעת: המניעה מפורטת להלן. הליכים משפטיים נגד Bulk Co מעוכבים מיום 1 "
        "בספטמבר 2026 (מוצג E4).",
    ),
    "an insolvency that was closed": Scenario(
        take(confirmed(opened(), RUN), barred("insolvency", "2025-09-01", "2026-02-01")),
        "eligible",
        "Insolvency proceedings on Bulk Co were open from 1 September 2025 until 1 February 2026 "
        "(Exhibit E4).",
        "הליכי חדלות פירעון לגבי Bulk Co היו פתוחים מיום 1 בספטמבר 2025 עד 1 בפברואר 2026 (מוצג "
        "E4).",
    ),
    "a page in a language that who confirmed it does not read": Scenario(
        confirmed(opened(), item("V1", "2020", "2022", kind="off_platform"),
                  translation=Translation("Arabic", "Omer", "E4")), "eligible",
        "It is in a language that Dana does not read (Arabic), and Dana confirmed it by a "
        "translation of Omer (Exhibit E4).",
        "המוצג בשפה שאינה נקראת בידי Dana (Arabic), והוא אושר בידי Dana על סמך תרגום של Omer (מוצג "
        "E4).",
    ),
    "an order of 7 December in New York, which was the 8th in UTC": Scenario(
        confirmed(opened(), item("V1", "2019-12-08T03:00:00Z", "2019-12-08T03:00:00Z",
                                 kind="off_platform")), "eligible",
        "In another time zone the dates of Exhibit E1 (“Price page”) touch 7 December 2019, though "
        "not in UTC. Notice 2019-12-07 does not say whose day counts; here conduct counts from 8 "
        "December 2019 on, in UTC. If the boundary were drawn by the zone furthest from UTC, the "
        "result would be “not eligible”.",
        "התוצאה הייתה „לא ניתן לפעול”.",
    ),
    "an old claim that the firm's own account carried on": Scenario(
        confirmed(opened(), PAGE, RUN), "eligible",
        "R3: with such evidence, the abuse has to go on beyond that notice: the party's own "
        "accounts carried on after it, here from 8 December 2019 on. It rests on Exhibit E1 "
        "(“Price page”) and Exhibit E2 (“Run”).",
        "החשבונות של הצד עצמו המשיכו בו לאחריה, כאן מיום 8 בדצמבר 2019 ואילך.",
    ),
    "an affiliate only until it was sold": Scenario(
        take(confirmed(opened(), PAGE, item("V1", "2019-05", "2019-06", party="P2")),
             officer("2019-03")), "not_eligible",
        "it shows conduct at a time at which the parties were not related: they were related until "
        "a time between 1 March 2019 and 31 March 2019",
        "הוא מראה מעשה במועד שבו הצדדים לא היו קשורים זה לזה",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_has_its_result_and_its_sentences(name: str) -> None:
    scenario = SCENARIOS[name]
    found = on(scenario.case, scenario.party)
    assert found.result == scenario.result
    for language, expected in (("en", scenario.english), ("he", scenario.hebrew)):
        text = " ".join(found.sentences(language))
        assert "$" not in text
        assert expected in text


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_is_prepared_and_stays_current(name: str) -> None:
    scenario = SCENARIOS[name]
    found = on(scenario.case, scenario.party)
    case = take(scenario.case, DeterminationPrepared("D1", found))
    assert case.determinations["D1"].value == found


def test_reasons_state_the_counts_of_a_run() -> None:
    counted = {"E2": (AccountFigures("a-1", 1_200, 20, 300, 880, 5),
                      AccountFigures("a-9", 1, 0, None, None, 0))}  # fmt: skip
    case = take(confirmed(opened(), RUN), linked())
    english = on(case, figures=counted).sentences("en")
    said = (
        "Counted from the log of Exhibit E2 (“Run”), account a-1: messages attempted: "
        "1,200; refused by enforcement: 300; refused by the platform itself: 20; carried: 880; "
        "reports against it: 5."
    )
    assert said in english
    assert "a-9" not in " ".join(english)


def test_version_before_knew_nothing_of_these_circumstances() -> None:
    case = take(confirmed(opened(), RUN), linked(until="2024-03-31"), barred("stay", "2026-09-01"))
    earlier = evidence_for_party(case, "P1", CODED_METHOD)
    assert all(e.case_facts.held is UNSET for e in earlier)
    context = context_for_party(case, "P1")
    assert determine("P1", earlier, GROUNDS, NOW, (), context, CODED_METHOD).result == "eligible"


def test_stay_that_ends_is_what_would_change_a_barred_result() -> None:
    found = on(SCENARIOS["a stay by a court"].case)
    changed = {change.supposing: change.result for change in found.changes}
    assert changed["no stay or insolvency is in force"] == "eligible"


def test_determination_before_a_stay_is_not_current_any_more() -> None:
    case = take(confirmed(opened(), RUN), StateChanged("investigating"))
    case = take(case, DeterminationPrepared("D1", on(case)))
    assert stale_determinations(case) == []
    case = take(case, barred("stay", "2026-09-01"))
    assert [prepared.id for prepared in stale_determinations(case)] == ["D1"]


def test_party_under_a_stay_is_not_referred() -> None:
    case = take(confirmed(opened(), RUN), StateChanged("investigating"))
    case = take(case, DeterminationPrepared("D1", on(case)))
    case = take(case, barred("stay", "2026-09-01"))
    with pytest.raises(CaseError, match="not signed, or of other evidence"):
        take(case, StateChanged("determined"))


@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [("2021-01", "2021-02", "yes"), ("2019", "2019", "no"), ("2023", "2023", "no"),
     ("2019-06", "2021-02", "unknown"), ("2021-06", "2021-07", "unknown"),
     ("unknown", "2021-02", "unknown")],
)  # fmt: skip
def test_conduct_is_within_the_dates_of_a_tie(first: str, last: str, answer: str) -> None:
    held = TieDates(day("2020-03-01"), day("about 2021-07"), SAID)
    assert held.cover(day(first), day(last)) == answer


def test_translator_does_not_confirm_the_own_translation() -> None:
    case = take(opened(), EvidenceAdded(RUN))
    by_herself = EvidenceReviewed("V1", shows=True, translation=Translation("Arabic", "dana", "E4"))
    with pytest.raises(CaseError, match="needs no translation"):
        take(case, by_herself, by="Dana")


def test_party_does_nothing_jointly_with_itself() -> None:
    with pytest.raises(CaseError, match="jointly with itself"):
        take(opened(), EvidenceAdded(item("V1", "2024", "2024", jointly=("P1",))))


def test_who_reviews_an_item_sees_the_weaker_tie_and_the_others() -> None:
    case = take(opened(), linked(Strength.WEAK, until="2024-03-31"))
    case = take(case, EvidenceAdded(item("V1", "2024", "2024", jointly=("P2",), part="at night")))
    lines = list(evidence_lines(case, "V1"))
    assert (
        "  its account  a-1, weak, by payment (E3), until 2024-03-31 (UTC), by Noa: the contract "
        "of sale: say why the item is tied more strongly"
    ) in lines
    assert "  jointly with P2" in lines
    assert "  part of use  at night" in lines


def test_bars_are_facts_of_the_chronology(tmp_path: Path) -> None:
    case = SCENARIOS["a stay by a court"].case
    english = [
        (fact.what, fact.source) for fact in list_facts(tmp_path, without_files(case), WORDS)
    ]
    assert english == [
        ("Legal action against Bulk Co is stayed since 1 September 2026 (Exhibit E4).", "E4")
    ]


WORDS = ReportText("en")


def without_files(case: Case) -> Case:
    """A case without exhibits and evidence, whose files the chronology would read."""
    return replace(case, exhibits={}, evidence={})
