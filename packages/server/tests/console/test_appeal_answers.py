"""An answer to an appeal concerns one decision, and is written in the holder's language."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import abuser, now_ms
from wavebreak.languages import get_language
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.effect_sheet import State
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals import answers
from wavebreak_server.slices.appeals.answers import ALLOWED, Answer, resolve
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.storage.models import Decision, LedgerEntry

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BECAUSE = "because a test asks for it"
NOW = 1_795_701_720_000
OUTCOMES = ("request", "challenge", "limit", "restrict", "suspend", "ban")


async def _with_two_decisions(console: RunningConsole) -> None:
    """Limit `ann` for an hour on doubt, then ban it by another rule: the limit has ended."""
    await console.running.send(abuser(ts=now_ms() - 14 * HOUR_MS))
    await console.index()


visits = console_test(_with_two_decisions)


def made(outcome: str, account: str = "ann") -> dict[str, Any]:
    """Return the newest decision with an outcome."""
    row = Decision.objects.filter(account=account, outcome=outcome).latest("number")
    decision: dict[str, Any] = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
    return decision


async def appeal(
    console: RunningConsole, outcome: str, language: str = "he", account: str = "ann"
) -> Appeal:
    """Open an appeal against the newest decision with an outcome."""
    decision = await stored(lambda: made(outcome, account))
    body = {"decision": decision["id"], "statement": "זו טעות.", "language": language,
            "reason": "a test sends it"}  # fmt: skip
    answer = await console.running.ask("POST", "/v1/appeals", json=body)
    assert answer.status_code == 201, answer.text
    return await stored(lambda: Appeal.objects.get(decision=decision["id"]))


def value_of(name: str, page: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def filled(person: Visitor, opened: Appeal, **fields: Any) -> dict[str, Any]:
    """Return the fields of an answer, as the page holds them."""
    page = (await person.get(f"/console/appeals/{opened.id}")).text
    return fields | {"version": value_of("version", page)}


async def answered(person: Visitor, opened: Appeal, **fields: Any) -> str:
    """Send an answer as its effect sheet says; return the page with the sheet."""
    path, values = f"/console/appeals/{opened.id}/decide", await filled(person, opened, **fields)
    preview: str = (await person.post(path, **values)).text
    sent = await person.post(path, **values, sheet=value_of("sheet", preview))
    assert sent.headers.get("location") == "/console/appeals", sent.text
    return preview


async def outcome_of(console: RunningConsole, account: str = "ann") -> tuple[str, int | None]:
    state = (await console.running.ask("GET", f"/v1/accounts/{account}")).json()
    return state["outcome"], state["until_ms"]


def sealed() -> list[str]:
    lines = LedgerEntry.objects.order_by("position").values_list("line", flat=True)
    entries = [msgspec.json.decode(bytes(line)) for line in lines]
    return [entry["body"]["state"] for entry in entries if entry["kind"] == "appeal"]


# The effect.


def decision(
    name: str, outcome: str, until: int | None, rule: str = "", basis: str = "evidence"
) -> dict[str, Any]:
    return {"id": name, "outcome": outcome, "until": until, "rules": [rule or f"rule_{name}"],
            "basis": basis}  # fmt: skip


ends = st.none() | st.integers(1, 30).map(lambda days: NOW + days * DAY_MS)
standing = st.lists(st.tuples(st.sampled_from(OUTCOMES), ends), min_size=1, max_size=4)


@given(
    rows=standing,
    appealed=st.integers(-1, 3),
    result=st.sampled_from(list(answers.RESULTS)),
    milder=st.sampled_from(OUTCOMES),
)
def test_no_other_decision_ends_and_nothing_gets_severer(
    rows: list[tuple[str, int | None]], appealed: int, result: str, milder: str
) -> None:
    rows.sort(key=lambda row: State(*row).severity)
    decisions = [decision(str(n), *row) for n, row in enumerate(rows)]
    before = State(*rows[-1])
    # -1: the decision that is appealed against has ended.
    about = decision(str(appealed), "limit", NOW - 1)
    effect = resolve(about, Answer(result, outcome=milder, hold="7d"), before, decisions, NOW)
    others = [State(each["outcome"], each["until"]) for each in effect.others]
    assert len(others) == len([each for each in decisions if each["id"] != about["id"]])
    assert all(effect.after.severity >= other.severity for other in others)
    assert effect.after.severity <= before.severity
    if appealed == -1 or result == Appeal.UNCHANGED:
        assert (effect.after, effect.act) == (before, None)


def test_decision_that_is_lifted_by_name_ends_too() -> None:
    decisions = [decision("a", "limit", NOW + DAY_MS), decision("b", "ban", None)]
    answer = Answer(Appeal.REVERSED, lifted=("b",))
    effect = resolve(decision("x", "limit", NOW - 1), answer, State("ban"), decisions, NOW)
    assert effect.after == State("limit", NOW + DAY_MS)
    both = answer._replace(lifted=("a", "b"))
    effect = resolve(decision("x", "limit", NOW - 1), both, State("ban"), decisions, NOW)
    assert effect.after == ALLOWED
    assert effect.act is not None
    assert effect.act.verdict == "benign"


def test_label_of_the_reversed_decision_alone_is_withdrawn() -> None:
    answer, before = Answer(Appeal.REVERSED), State("ban")
    by_person = decision("x", "ban", NOW - 1, basis="person")
    by_rule = resolve(by_person, answer, before, [decision("b", "ban", None)], NOW)
    assert by_rule.act is not None
    assert (by_rule.act.verdict, by_rule.act.outcome) == ("undetermined", "")
    later = [decision("b", "ban", None, basis="person")]
    assert resolve(by_person, answer, before, later, NOW).act is None


@pytest.mark.parametrize(
    ("rule", "same"), [("rule_x", True), ("another_rule", False)], ids=["same", "other"]
)
def test_evidence_of_two_decisions_is_compared(rule: str, same: bool) -> None:
    first, second = decision("x", "limit", None), decision("y", "ban", None, rule)
    assert answers.has_same_evidence(first, second) is same


@visits
async def test_granted_appeal_against_an_ended_limit_leaves_a_later_decision(
    console: RunningConsole,
) -> None:
    opened = await appeal(console, "limit")
    count = await stored(Decision.objects.count)
    noam = await console.person("analyst", "noam")
    page = words((await noam.get(f"/console/appeals/{opened.id}")).text)
    assert "Other decisions in force" in page
    assert "other evidence" in page
    assert "instant_ban" in page
    preview = words(await answered(noam, opened, result="reversed", grounds="reversed.unproven"))
    assert "It would change nothing" in preview
    assert "These decisions stay in force" in preview
    assert await outcome_of(console) == ("ban", None)
    assert await stored(Decision.objects.count) == count
    assert not await stored(PersonAct.objects.exists)
    assert await stored(sealed) == ["opened", "reversed"]
    # The holder is told that this decision was wrong, and that another one applies.
    token = console.running.context.holder_notices.token(await stored(lambda: made("limit")))
    notice = words((await console.anybody("198.51.100.1").get(f"/notice/{token}?lang=en")).text)
    assert "The decision on your account was reversed" in notice
    assert "Another decision applies to your account: Your account is banned" in notice
    answer = (await console.running.ask("GET", f"/v1/appeals/{opened.id}")).json()
    assert (answer["result"], answer["outcome"]) == ("reversed", "ban")


@visits
async def test_other_decision_is_lifted_where_the_reviewer_says_so(console: RunningConsole) -> None:
    opened = await appeal(console, "limit")
    ban = await stored(lambda: made("ban"))
    noam = await console.person("analyst", "noam")
    fields = {"result": "reversed", "grounds": "reversed.unproven"}
    refused = await noam.post(
        f"/console/appeals/{opened.id}/decide", **await filled(noam, opened, **fields, lift="x")
    )
    assert refused.status_code == 422
    await answered(noam, opened, **fields, lift=ban["id"])
    assert await outcome_of(console) == ("allow", None)


@visits
async def test_reversal_restores_what_stood_behind_the_decision(console: RunningConsole) -> None:
    await console.running.send(abuser(account="eve", count=1, ts=now_ms() - 1000))
    limit = {
        "verdict": "undetermined",
        "outcome": "limit",
        "hold_s": 7 * 86_400,
        "reason": BECAUSE,
    }
    said = await console.running.ask("POST", "/v1/accounts/eve/override", json=limit)
    until_ms = said.json()["until_ms"]
    await console.running.send(abuser(account="eve", ts=now_ms()))
    assert await outcome_of(console, "eve") == ("ban", None)
    opened = await appeal(console, "ban", account="eve")
    noam = await console.person("analyst", "noam")
    preview = words(await answered(noam, opened, result="reversed", grounds="reversed.technical"))
    assert "ban → limit" in preview
    assert await outcome_of(console, "eve") == ("limit", until_ms)
    notices, english = console.running.context.holder_notices, get_language("en")

    def facts() -> list[tuple[str, ...]]:
        rows = Decision.objects.filter(account="eve", outcome="limit").order_by("number")
        decisions = [msgspec.json.decode(bytes(r.body)) | {"number": r.number} for r in rows]
        return [statements.statement_of(notices, d, english, now_ms()).facts for d in decisions]

    *_, behind, restored = await stored(facts)
    assert behind == restored


@visits
async def test_answer_to_an_account_that_changed_meanwhile_is_asked_again(
    console: RunningConsole,
) -> None:
    opened = await appeal(console, "ban")
    noam = await console.person("analyst", "noam")
    fields = await filled(noam, opened, result="reversed", grounds="reversed.unproven")
    path = f"/console/appeals/{opened.id}/decide"
    digest = value_of("sheet", (await noam.post(path, **fields)).text)
    change = {"verdict": "undetermined", "outcome": "restrict", "hold_s": 3600, "reason": BECAUSE}
    await console.running.ask("POST", "/v1/accounts/ann/override", json=change)
    answer = await noam.post(path, **fields, sheet=digest)
    assert "Nothing was done" in words(answer.text)
    assert value_of("sheet", answer.text) != digest
    assert (await outcome_of(console))[0] == "restrict"
    assert (await stored(Appeal.objects.get)).state == Appeal.OPEN


# The reason.


@visits
async def test_grounds_are_numbered_in_the_holders_language(console: RunningConsole) -> None:
    opened = await appeal(console, "ban")
    hebrew = get_language("he")
    noam = await console.person("analyst", "noam")
    page = words((await noam.get(f"/console/appeals/{opened.id}")).text)
    for number, text in enumerate(answers.GROUNDS.values(), 1):
        assert f"{number}. {hebrew.gettext(text)} {text}" in page
    preview = words(
        await answered(
            noam, opened, result="reversed", grounds="reversed.unproven", reason="סליחה."
        )
    )
    reason = f"{hebrew.gettext(answers.GROUNDS['reversed.unproven'])} סליחה."
    assert "not written in" not in preview
    assert (await stored(Appeal.objects.get)).reason == reason
    token = console.running.context.holder_notices.token(await stored(lambda: made("ban")))
    notice = await console.anybody("198.51.100.1").get(f"/notice/{token}?lang=he")
    section = re.search(r'<section[^>]*id="correction-1".*?</section>', notice.text, re.DOTALL)
    assert section
    # All but the instant, which is that of the answer.
    for paragraph in re.findall(r"<p>(.*?)</p>", section[0])[1:]:
        assert words(paragraph) in preview


@visits
async def test_words_in_another_script_are_warned_about_before_they_are_sent(
    console: RunningConsole,
) -> None:
    opened = await appeal(console, "ban")
    noam = await console.person("analyst", "noam")
    path = f"/console/appeals/{opened.id}/decide"
    fields = await filled(noam, opened, result="unchanged", reason="It was bulk.")
    preview = (await noam.post(path, **fields)).text
    assert "not written in עברית" in words(preview)
    # Nothing is sent unless the very answer was previewed.
    digest = value_of("sheet", preview)
    changed = fields | {"reason": "It was clearly bulk.", "sheet": digest}
    assert 'id="sheet"' in (await noam.post(path, **changed)).text
    assert (await stored(Appeal.objects.get)).state == Appeal.OPEN
    sent = await noam.post(path, **fields, sheet=digest)
    assert sent.headers["location"] == "/console/appeals"
    assert (await stored(Appeal.objects.get)).reason == "It was bulk."


@visits
async def test_answer_needs_a_reason_of_its_result(console: RunningConsole) -> None:
    opened = await appeal(console, "ban")
    noam = await console.person("analyst", "noam")
    path = f"/console/appeals/{opened.id}/decide"
    for fields in ({}, {"grounds": "unchanged.facts"}, {"reason": " "}):
        answer = await noam.post(path, **await filled(noam, opened, result="reversed", **fields))
        assert answer.status_code == 422
        assert 'id="sheet"' not in answer.text


@visits
async def test_group_is_answered_in_the_language_of_each(console: RunningConsole) -> None:
    await console.running.send(abuser(account="bob", ts=now_ms() - 14 * HOUR_MS))
    first = await appeal(console, "ban")
    second = await appeal(console, "ban", "en", "bob")
    await stored(lambda: Appeal.objects.update(group="op-1", together=True))
    noam = await console.person("analyst", "noam")
    fields = {"result": "unchanged", "grounds": "unchanged.facts", "together": "on"}
    page = await filled(noam, first, **fields, reason="סליחה.")
    path = f"/console/appeals/{first.id}/decide"
    digest = value_of("sheet", (await noam.post(path, **page)).text)
    await noam.post(path, **page, sheet=digest)
    # The reviewer's own words are Hebrew; the second holder reads English.
    assert (await stored(lambda: Appeal.objects.get(id=second.id))).state == Appeal.OPEN
    await answered(noam, second, **fields)
    answer = await stored(lambda: Appeal.objects.get(id=second.id))
    assert answer.reason == answers.GROUNDS["unchanged.facts"]
