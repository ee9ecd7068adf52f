"""Statements of reasons: what they say for each outcome and rule, and what they never say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.notice_decisions import DAY, NOW, PEOPLE, decision, decision_of, policy
from wavebreak.engine.decision import Decision
from wavebreak.errors import UsageError
from wavebreak.notices import (
    LANGUAGES,
    Circumstances,
    Correction,
    Links,
    Platform,
    Statement,
    appeal_deadline,
    build_statement,
    get_language,
    load_platform,
    short_notices,
    with_corrections,
)
from wavebreak.outcomes import NOT_REFUSING, OUTCOMES, row_of
from wavebreak.rules import Rule
from wavebreak.rules.model import Feedback
from wavebreak_server.pipeline.holder_notices import HolderNotices

RULES = policy().rules
HELD = {"outcome": "challenge", "action": "recover", "basis": "takeover"}


def platform(**links: str) -> Platform:
    shipped = load_platform()
    return msgspec.structs.replace(shipped, links=msgspec.structs.replace(shipped.links, **links))


def write(
    made: dict[str, Any],
    code: str = "en",
    now_ms: int = NOW,
    who: Platform | None = None,
    **more: Any,
) -> Statement:
    return build_statement(
        made, platform=who or platform(), language=get_language(code), now_ms=now_ms, **more
    )


def section(statement: Statement, section_id: str) -> str:
    return "\n".join(
        line for each in statement.sections if each.id == section_id for line in each.lines()
    )


def reasons(values: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"feature": name, "value": value} for name, value in values.items()]


# What it never says.


@given(
    rule=st.sampled_from(RULES),
    outcome=st.sampled_from(OUTCOMES),
    code=st.sampled_from(LANGUAGES),
    contacts=st.integers(0, 4000),
    answers=st.integers(0, 400),
    complaints=st.integers(0, 400),
    chats=st.integers(0, 60),
    value=st.floats(1, 1e6),
)
def test_numbers_are_own_counts_times_and_allowance(
    rule: Rule, outcome: str, code: str, contacts: int, answers: int, complaints: int, chats: int,
    value: float,
) -> None:  # fmt: skip
    counts = {"stranger_contacts": contacts, "stranger_answers": answers}
    counts["stranger_complaints"] = complaints
    made = decision_of(rule, outcome)
    read = {reason["feature"]: value for reason in made["reasons"]} | counts
    made["reasons"] = reasons({name: float(number) for name, number in read.items()})
    made["new_chats_1d"] = chats if outcome == "limit" else None
    statement = write(made, code)
    text = statement.text()
    language = get_language(code)
    for instant in (NOW, made["until"], appeal_deadline(made, platform())):
        if instant is not None:
            text = text.replace(language.format_instant(instant), "")
    text = text.replace(made["id"], "")
    allowed = {language.format_number(number) for number in (*counts.values(), chats)}
    assert set(re.findall(r"\d[\d.,]*\d|\d", text)) <= allowed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_thresholds_of_a_rule_are_not_in_its_statement(rule: Rule) -> None:
    """The values are exactly the thresholds' examples, and none but a person's own count shows."""
    numbers = {float(n) for n in re.findall(r"\d[\d_]*(?:\.\d+)?", rule.expression)}
    assert numbers
    for outcome in ("limit", "restrict", "ban"):
        made = decision_of(rule, outcome, until=None, new_chats_1d=None)
        made["reasons"] = [r for r in made["reasons"] if not r["feature"].startswith("stranger_")]
        shown = " ".join(write(made).facts)
        assert not re.search(r"\d", shown), shown


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_ids_of_account_event_rule_and_feature_are_absent(
    rule: Rule, outcome: str, code: str
) -> None:
    made = decision_of(rule, outcome)
    encoded = msgspec.json.encode(write(made, code)).decode()
    hidden = [made["account"], made["trigger"], rule.id, *(r["feature"] for r in made["reasons"])]
    assert [name for name in hidden if "_" in name and name in encoded] == []
    assert made["account"] not in encoded
    assert "operator" not in encoded


def test_complaints_are_not_counted_where_that_identifies_somebody() -> None:
    for contacts, answers, complaints in ((2, 0, 2), (6, 0, 2), (3, 0, 9), (12, 6, 2)):
        values = {"stranger_contacts": contacts, "stranger_answers": answers}
        values["stranger_complaints"] = complaints
        text = " ".join(write(decision(reasons=reasons(values))).facts)
        assert "some people blocked or reported you, or do not know you" in text
        assert not re.search(r"\d+ blocked", text)


def test_tie_names_no_account_and_no_number_of_accounts() -> None:
    values = {"operator_accounts": 7.0, "operator_abusive_accounts": 4.0, **PEOPLE}
    made = decision(basis="tie", rules=["operator_with_evidence"], reasons=reasons(values))
    text = " ".join(write(made).facts)
    assert "used together with others" in text
    assert re.findall(r"\d+", text) == ["21", "2", "3"]


# What it says.


def test_own_counts_in_both_languages() -> None:
    made = decision(reasons=reasons(PEOPLE))
    english = (
        "Of 21 people you wrote to first, 2 answered and 3 blocked or reported you, or do not know "
        "you."
    )
    assert english in write(made).facts
    hebrew = (
        "מתוך 21 אנשים שפניתם אליהם ביוזמתכם, שניים השיבו ו־3 חסמו אתכם, דיווחו עליכם או אינם "
        "מכירים אתכם."
    )
    assert hebrew in write(made, "he").facts


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("unanswered_evidence", "hardly any of the people"),
        ("leave_evidence", "many of those added to groups left"),
        ("undeliverable_evidence", "many first messages reached nobody"),
    ],
)
def test_fact_names_the_test_that_spoke_most_clearly(name: str, clause: str) -> None:
    tests = ("unanswered_evidence", "leave_evidence", "undeliverable_evidence")
    values = dict.fromkeys(tests, 2.0) | {name: 400.0}
    made = decision(rules=["unanswered_and_complained_of"], reasons=reasons(values))
    assert clause in write(made).facts[0]


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_statement_of_every_outcome_is_complete(outcome: str, code: str) -> None:
    statement = write(decision(outcome), code)
    ids = [each.id for each in statement.sections]
    assert len(ids) == len(set(ids))
    assert {"restriction", "facts", "automation", "contact"} <= set(ids)
    assert ("appeal" in ids) == (outcome != "allow")
    assert ("ground" in ids) == (outcome != "allow")
    assert ("way_out" in ids) == (outcome not in NOT_REFUSING)
    assert statement.direction == get_language(code).direction
    assert not re.search(r"[{}]|%\(", statement.text())


def test_hebrew_statement_holds_no_english() -> None:
    for rule in RULES:
        for outcome in OUTCOMES:
            text = write(decision_of(rule, outcome), "he").text().replace("9f" * 16, "")
            assert set(re.findall(r"[A-Za-z]+", text)) <= {"UTC"}, text


def test_acts_follow_the_meaning_of_each_outcome() -> None:
    works = {outcome: set(write(decision(outcome)).restriction.works) for outcome in OUTCOMES}
    assert "existing chats go on" in row_of("restrict").refusal_words
    assert {"write_existing_chats", "answer", "write_groups", "receive"} <= works["restrict"]
    assert "contacts and existing chats go on" in row_of("limit").refusal_words
    assert {"write_contacts", "write_existing_chats", "create_groups"} <= works["limit"]
    assert "receiving and reading go on" in row_of("suspend").refusal_words
    assert works["suspend"] == {"receive", "protect"}
    assert works["ban"] == set()
    assert "link_devices" not in works["challenge"]
    assert "start_chats" in works["allow"] & works["observe"]


def test_suspected_takeover_holds_every_send_and_accuses_nobody() -> None:
    statement = write(decision(**HELD, rules=["takeover"]))
    assert {"write_existing_chats", "answer", "write_groups"} <= set(statement.restriction.refused)
    assert statement.ground.kind == "protection"
    assert statement.ground.term is None
    assert statement.challenge == "push"
    assert "You are not accused of anything" in section(statement, "ground")
    assert "On the device that you used before" in section(statement, "way_out")
    assert len(statement.facts) == 1


@pytest.mark.parametrize("kind", ["captcha", "code", "push"])
def test_challenge_has_instructions_of_its_kind(kind: str) -> None:
    about = Circumstances(challenge=kind)  # type: ignore[arg-type]
    made = decision("challenge", basis="doubt", rules=["false_reporters"])
    words = {"captcha": "puzzle", "code": "ask for a code", "push": "On the device"}
    links = Links(challenge="https://check.example")
    statement = write(made, circumstances=about, links=links)
    assert words[kind] in section(statement, "way_out")
    assert [s.links[0].url for s in statement.sections if s.id == "way_out"] == [links.challenge]
    assert "a person is using your account" in statement.title


@pytest.mark.parametrize(
    ("chats", "text"),
    [
        (0, "the allowance is used up"),
        (1, "1 person you wrote to first may still be unanswered"),
        (20, "up to 20 people you wrote to first"),
    ],
)
def test_limit_names_the_allowance_and_how_answers_free_it(chats: int, text: str) -> None:
    made = decision("limit", basis="doubt", new_chats_1d=chats, rules=["first_contact_allowance"])
    statement = write(made)
    assert text in section(statement, "restriction")
    assert "An answer frees a place" in section(statement, "way_out")
    assert "A passed check" not in section(statement, "way_out")
    raised = write(made, circumstances=Circumstances(challenge="code"))
    assert "A passed check adds places. Open the app" in section(raised, "way_out")


def test_limit_on_evidence_is_not_raised_by_a_challenge() -> None:
    made = decision("limit", basis="evidence", rules=["recipients_gone"])
    statement = write(made, circumstances=Circumstances(challenge="code"))
    assert "A passed check" not in section(statement, "way_out")


def test_doubt_is_a_precaution_and_evidence_a_breach() -> None:
    doubt = write(decision("limit", basis="doubt", rules=["strangers_complain"]))
    assert doubt.ground.kind == "precaution"
    assert "We have not established that you broke our terms" in section(doubt, "ground")
    evidence = write(decision(), who=platform(terms="https://terms.example"))
    assert evidence.ground.kind == "breach"
    assert evidence.ground.clause in section(evidence, "ground")
    assert evidence.ground.terms_url == "https://terms.example"


def test_term_is_that_of_the_deciding_rule() -> None:
    assert write(decision("ban", rules=["instant_ban"], basis="impossible")).ground.term == (
        "automated"
    )
    assert write(decision(rules=["strangers_never_answer"])).ground.term == "non_personal"


@pytest.mark.parametrize(
    ("source", "detection", "how", "text"),
    [
        (None, False, "not_automated", "A person decided."),
        ("analyst", False, "not_automated", "A person decided."),
        ("appeal", False, "not_automated", "A person decided."),
        ("honeypot", True, "fully", "found and decided automatically"),
        ("partner", False, "fully", "reported to us by a partner"),
    ],
)
def test_decision_on_a_label_says_who_made_it(
    source: Any, detection: bool, how: str, text: str
) -> None:
    made = decision("ban", basis="person", rules=["confirmed_abusive"], stage="review")
    statement = write(made, circumstances=Circumstances(label_source=source))
    assert (statement.automation.detection, statement.automation.decision) == (detection, how)
    assert text in section(statement, "automation")


def test_person_who_decides_on_an_automatic_finding() -> None:
    made = decision("ban", basis="person", rules=["confirmed_abusive"])
    about = Circumstances(label_source="analyst", automated_detection=True)
    statement = write(made, circumstances=about)
    assert statement.automation.detection
    assert statement.automation.decision == "not_automated"
    assert "found automatically; a person decided" in section(statement, "automation")


def test_decision_by_a_model_says_so_and_what_it_weighed() -> None:
    weighed = [
        {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5},
        {"feature": "reply_share_7d", "value": 0.02, "contribution": 0.8},
        {"feature": "age_s", "value": 12.0, "contribution": -0.8},
    ]
    made = decision("limit", basis="doubt", rules=[], score=0.987, reasons=weighed, model="m")
    (fact,) = write(made).facts
    assert fact.endswith(
        "how many people are written to first; how many of those written to first answer."
    )
    assert not re.search(r"\d", fact)


def test_local_rule_falls_back_on_its_abuse_then_basis() -> None:
    made = decision(rules=["our_own_rule"], basis="impossible")
    assert write(made).facts == ("The account did what no person can do by hand.",)
    about = Circumstances(abuse={"our_own_rule": "groups"})
    assert "groups were created" in write(made, circumstances=about).facts[0]


@pytest.mark.parametrize(
    ("basis", "text"),
    [("person", "A person reviewed"), ("challenge", "The check was passed"), ("", "no longer")],
)
def test_lifting_is_a_notice_of_its_own(basis: str, text: str) -> None:
    statement = write(decision("allow", basis=basis, rules=[]))
    assert statement.title == "Your account is no longer restricted"
    assert text in statement.facts[0]
    assert statement.restriction.refused == ()
    assert statement.appeal is None


def test_decision_of_an_earlier_version_without_basis() -> None:
    made = decision("restrict")
    del made["basis"], made["new_chats_1d"]
    assert write(made).ground.kind == "precaution"


# Time.


def test_times_are_shown_in_the_holders_zone() -> None:
    about = Circumstances(zone="Asia/Jerusalem")
    text = section(write(decision(), circumstances=about), "restriction")
    assert "from 26 November 2026, 16:02 Israel Standard Time until 28 November" in text


def test_holders_read_times_in_the_platforms_zone() -> None:
    there = msgspec.structs.replace(load_platform(), time_zone="Asia/Jerusalem")
    notices = HolderNotices(there, Feedback(), {})
    statement = notices.statement(decision(), get_language("he"), NOW)
    assert "16:02" in section(statement, "restriction")
    assert "שעון ישראל" in section(statement, "restriction")
    short = short_notices("restrict", NOW, zone=there.time_zone)
    assert "26 November 2026, 16:02 Israel Standard Time" in short["en"]
    assert "26 November 2026, 14:02 UTC" in short_notices("restrict", NOW)["en"]


def test_ended_restriction_says_that_it_ended() -> None:
    statement = write(decision(), now_ms=NOW + 3 * DAY)
    assert statement.restriction.status == "ended"
    assert "has ended" in section(statement, "restriction")
    assert section(statement, "way_out") == ""
    assert section(statement, "appeal")


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("outcome", ["request", "challenge", "limit", "restrict", "suspend", "ban"])
def test_title_of_an_ended_restriction_says_that_it_ended(outcome: str, code: str) -> None:
    made = decision(outcome, until=NOW + DAY)
    before, after = write(made, code, now_ms=NOW), write(made, code, now_ms=NOW + DAY)
    assert after.title != before.title
    assert after.restriction.status == "ended"
    present = section(before, "restriction").splitlines()[0]
    assert present not in section(after, "restriction")
    assert section(after, "works") == ""
    # A later decision may end it before its time.
    lifted = write(decision(outcome, until=None), code, circumstances=Circumstances(ended_ms=NOW))
    assert (lifted.title, lifted.restriction.until_ms) == (after.title, NOW)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("outcome", ["request", "challenge", "limit", "restrict", "suspend", "ban"])
def test_nothing_is_in_force_in_shadow(outcome: str, code: str) -> None:
    there = Circumstances(is_enforced=False)
    statement = write(decision(outcome), code, circumstances=there)
    assert statement.restriction.status == "none"
    assert statement.restriction.refused == ()
    assert statement.title == write(decision("observe"), code).title
    for name in ("works", "way_out", "business"):
        assert section(statement, name) == ""


def test_facts_after_a_persons_act_include_those_that_they_saw() -> None:
    made = decision("limit", basis="person", rules=[], stage="review")
    seen = msgspec.convert(decision(reasons=reasons(PEOPLE)), Decision)
    alone, informed = write(made), write(made, circumstances=Circumstances(reviewed=seen))
    assert alone.facts == informed.facts[:1]
    assert "Of 21 people you wrote to first" in " ".join(informed.facts)
    # A decision by rules alone states its own facts.
    by_rules = decision(rules=["takeover"], basis="takeover")
    assert (
        write(by_rules).facts == write(by_rules, circumstances=Circumstances(reviewed=seen)).facts
    )


@pytest.mark.parametrize(
    ("basis", "rule", "term"),
    [
        ("impossible", "impossible_acts", "automated"),
        ("evidence", "strangers_complain", "bulk"),
        ("takeover", "takeover", "bulk"),
    ],
)
def test_verdict_names_the_clause_of_what_the_person_reviewed(
    basis: str, rule: str, term: str
) -> None:
    verdict = decision("ban", basis="person", rules=["confirmed_abusive"], stage="review")
    seen = msgspec.convert(decision("restrict", basis=basis, rules=[rule]), Decision)
    alone, informed = write(verdict), write(verdict, circumstances=Circumstances(reviewed=seen))
    assert alone.ground.term == "bulk"
    assert informed.ground.term == term
    assert informed.ground.clause == platform().clause(term, get_language("en"))


@pytest.mark.parametrize("code", LANGUAGES)
def test_redress_beside_the_appeal_is_the_operators(code: str) -> None:
    default = write(decision(), code)
    assert platform().redress_in(get_language(code)) in section(default, "appeal")
    own = msgspec.structs.replace(platform(redress="https://adr.example"), redress={"en": "Ask X."})
    statement = write(decision(), code, who=own)
    assert "Ask X." in section(statement, "appeal")
    assert [s.links[-1].url for s in statement.sections if s.id == "appeal"] == [
        "https://adr.example"
    ]
    late = write(decision(), code, who=own, now_ms=NOW + 400 * DAY)
    assert "Ask X." in section(late, "appeal")


def test_ban_does_not_end_by_itself() -> None:
    assert "does not end by itself" in section(write(decision("ban")), "restriction")


@pytest.mark.parametrize(
    ("code", "title", "until", "after"),
    [
        ("en", "limited time", "until 3 December 2026", "After that you can use your account"),
        ("he", "לזמן מוגבל", "עד 3 בדצמבר 2026", "לאחר מכן תוכלו לשוב"),
    ],
)
def test_ban_with_an_end_says_when_it_ends(code: str, title: str, until: str, after: str) -> None:
    made = decision("ban", basis="person", rules=["confirmed_abusive"], until=NOW + 7 * DAY)
    statement = write(made, code)
    said = section(statement, "restriction")
    assert title in statement.title
    assert until in said
    assert after in said
    assert get_language(code).gettext("Your account is banned") != statement.title
    assert statement.restriction.until_ms == NOW + 7 * DAY
    # Once it has ended, nothing is promised for later.
    ended = section(write(made, code, now_ms=NOW + 8 * DAY), "restriction")
    assert after not in ended


@pytest.mark.parametrize(
    ("outcome", "notified", "days"),
    [("restrict", None, 182), ("ban", None, 180), ("ban", NOW + DAY, 181), ("ban", NOW - DAY, 180)],
)
def test_appeal_lasts_180_days_from_the_latest(
    outcome: str, notified: int | None, days: int
) -> None:
    assert appeal_deadline(decision(outcome), platform(), notified) == NOW + days * DAY


def test_appeal_is_free_and_closes_after_its_time() -> None:
    links = Links(appeal="https://appeal.example")
    statement = write(decision("ban"), links=links)
    assert statement.appeal is not None
    assert statement.appeal.free
    assert "It is free." in section(statement, "appeal")
    assert [s.links[0].url for s in statement.sections if s.id == "appeal"] == [links.appeal]
    late = write(decision("ban"), links=links, now_ms=NOW + 180 * DAY + 1)
    assert late.appeal is not None
    assert not late.appeal.open
    assert "The time for an appeal ended" in section(late, "appeal")


# Businesses.


def test_business_links_are_shown_where_the_operator_has_them() -> None:
    both = platform(business_app="https://app.example", business_platform="https://api.example")
    assert section(write(decision()), "business") == ""
    statement = write(decision(), who=both)
    urls = [link.url for s in statement.sections if s.id == "business" for link in s.links]
    assert urls == ["https://app.example", "https://api.example"]
    held = write(decision(**HELD, rules=["takeover"]), who=both)
    assert section(held, "business") == ""


# Corrections.


@pytest.mark.parametrize("code", LANGUAGES)
def test_reversal_keeps_the_old_text_below_its_correction(code: str) -> None:
    old = write(decision(reasons=reasons(PEOPLE)), code)
    stored = msgspec.json.decode(msgspec.json.encode(old), type=Statement)
    correction = Correction(at_ms=NOW + DAY, result="reversed", reason="A choir. שלום")
    new = with_corrections(stored, [correction])
    assert new.sections[1:] == old.sections
    assert new.facts == old.facts
    text = section(new, "correction-1")
    assert get_language(code).format_instant(NOW + DAY) in text
    assert "A choir. שלום" in text
    assert with_corrections(new, [correction]) == new


@pytest.mark.parametrize(
    ("code", "reversed_title", "limited"),
    [
        ("en", "The decision on your account was reversed", "Starting new chats is limited"),
        ("he", "ההחלטה בעניין החשבון שלכם בוטלה", "מוגבלת"),
    ],
)
def test_title_after_a_review_says_what_holds_now(
    code: str, reversed_title: str, limited: str
) -> None:
    old = write(decision("limit"), code)
    assert limited in old.title
    unchanged = Correction(at_ms=NOW, result="unchanged", reason="", outcome="limit")
    partial = Correction(at_ms=NOW, result="partially_reversed", reason="", outcome="observe")
    reversal = Correction(at_ms=NOW, result="reversed", reason="")
    assert with_corrections(old, [unchanged]).title == old.title
    milder = with_corrections(old, [partial, unchanged])
    assert milder.title == write(decision("observe"), code).title
    new = with_corrections(old, [unchanged, reversal])
    assert new.title == reversed_title
    assert (old.restriction.status, new.restriction.status) == ("in_force", "ended")
    assert new.text().startswith(reversed_title)


@pytest.mark.parametrize("code", ["en", "he"])
@pytest.mark.parametrize("outcome", ["limit", "restrict", "suspend", "ban"])
def test_verdict_neither_establishes_no_breach(outcome: str, code: str) -> None:
    made = write(decision(outcome, basis="person", rules=[], score=0.9, stage="review"), code)
    confirmed = decision("ban", basis="person", rules=["confirmed_abusive"], stage="review")
    established = write(confirmed, code)
    assert made.ground.kind == "precaution"
    assert established.ground.kind == "breach"
    assert not set(made.facts) & set(established.facts)
    left_open = {"en": "was left open", "he": "נותרה פתוחה"}
    assert left_open[code] in made.facts[0]


def test_partial_reversal_names_what_holds_now() -> None:
    correction = Correction(
        at_ms=NOW, result="partially_reversed", reason="", outcome="limit", until_ms=NOW + DAY
    )
    text = section(write(decision(), corrections=[correction]), "correction-1")
    assert "Starting new chats is limited" in text
    assert "It ends by itself on 27 November 2026" in text
    assert "reasons" not in text


def test_reversal_names_another_decision_that_stays() -> None:
    correction = Correction(at_ms=NOW, result="reversed", reason="", outcome="restrict")
    text = section(write(decision("limit"), corrections=[correction]), "correction-1")
    assert "Another decision applies to your account: You cannot start new chats" in text
    assert "earlier state" not in text


@pytest.mark.parametrize("code", LANGUAGES)
def test_corrected_statement_says_what_has_ended_since(code: str) -> None:
    old = write(decision("limit"), code)
    unchanged = Correction(at_ms=NOW, result="unchanged", reason="", outcome="limit")
    partial = Correction(
        at_ms=NOW, result="partially_reversed", reason="", outcome="restrict", until_ms=NOW + DAY
    )
    for correction, outcome in ((unchanged, "limit"), (partial, "restrict")):
        late = with_corrections(old, [correction], NOW + 3 * DAY)
        assert late.title == write(decision(outcome), code, now_ms=NOW + 3 * DAY).title
        assert late.restriction.status == "ended"
    assert old.title not in section(late, "correction-1")


def test_unchanged_review_is_shown_too() -> None:
    corrections = [
        Correction(at_ms=NOW, result="unchanged", reason="Seen."),
        Correction(at_ms=NOW + DAY, result="reversed", reason="Seen anew."),
    ]
    statement = write(decision(), corrections=corrections)
    assert [s.id for s in statement.sections[:2]] == ["correction-1", "correction-2"]
    assert "left it unchanged" in section(statement, "correction-1")


def test_what_is_no_decision_is_refused() -> None:
    with pytest.raises(UsageError, match="this is no decision"):
        write({"id": "d"})
    with pytest.raises(UsageError, match="outcome"):
        write(decision() | {"outcome": "exile"})
