"""Explanations of accounts, against hand-written texts."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    account_row,
    decision,
    events_file,
    reason,
    run_directory,
)
from wavebreak.errors import FileError, UsageError
from wavebreak.explain import Explanation, explain, explanation_report, explanation_summary
from wavebreak.explain.narrative import (
    decisions_table,
    decisions_to_explain,
    describe_score,
    reasons_table,
    status_sentence,
    story_paragraphs,
)
from wavebreak.languages import get_language
from wavebreak.reports.html import write_html
from wavebreak.reports.report import print_report
from wavebreak.reports.tables import Console

RULES = {
    "blast-at-birth": {
        "about": "A hundred messages within 15 s, minutes after registering.",
        "stage": "messaging",
        "outcome": "ban",
        "source": "a published practice",
    }
}
BANNED_AT = NOON + 3 * MINUTE + 14 * SECOND


def _blast() -> list[dict[str, Any]]:
    """A registration; 3 min later 113 messages to strangers, one each eighth of a second."""
    start = NOON + 3 * MINUTE
    events: list[dict[str, Any]] = [{"ts": NOON, "type": "account.registered", "account": "b"}]
    events += [
        {"ts": start + n * 125, "type": "message.sent", "account": "b", "peer": f"v{n}"}
        for n in range(113)
    ]
    events += [
        {"ts": BANNED_AT + HOUR, "type": "message.sent", "account": "v7", "peer": "b"},
        {"ts": BANNED_AT + HOUR, "type": "user.reported", "account": "v8", "peer": "b"},
        {"ts": BANNED_AT + 2 * HOUR, "type": "message.sent", "account": "b", "peer": "v7"},
        {"ts": BANNED_AT + 3 * HOUR, "type": "message.sent", "account": "x", "peer": "y"},
    ]
    return events


def _run(path: Path, **summary: Any) -> Path:
    ban = decision(
        "b", BANNED_AT, "ban", rules=["blast-at-birth"],
        reasons=[reason("sends_15s", 113.0), reason("first_contact_share_1d", 1.0)],
    )  # fmt: skip
    rows = [
        account_row(
            "b", worst="ban", first_action_ms=BANNED_AT, first_action_stage="messaging",
            sends=114, first_contacts=113, replied_contacts=1, received=1, reports=1, refused=1,
        ),
        account_row("b2"),
        account_row("y[bold]"),
    ]  # fmt: skip
    return run_directory(path / "run", rows, [ban], rules=RULES, **summary)


@pytest.fixture
def blast(tmp_path: Path) -> Explanation:
    events = events_file(tmp_path / "events.jsonl", _blast())
    return explain(_run(tmp_path, source=str(events)), "b")


def _printed(explanation: Explanation) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(explanation_report(explanation), console)
    return console.export_text()


def test_summary_of_a_blast_states_acts_and_counts(blast: Explanation) -> None:
    assert story_paragraphs(blast) == [
        "Registered on 1 March 2026, 12:00:00 UTC.",
        "3 min later it sent 113 messages in 14 s, to 113 people it had never exchanged a message "
        "with; none replied.",
        "It received no messages until then; no one had reported or blocked it.",
        "At 12:03:14, 3 min 14 s after it registered, it would have been banned by "
        "blast-at-birth (A hundred messages within 15 s, minutes after registering).",
        "After that it sent 1 more message; 1 of its events would have been refused; 1 report "
        "followed.",
    ]


def test_summary_in_hebrew_has_its_forms_and_keeps_names_apart(blast: Explanation) -> None:
    blast = replace(blast, language=get_language("he"))
    started, sent, received, decided, after = story_paragraphs(blast)
    assert started == "נרשם ב־1 במרץ 2026, 12:00:00 UTC."
    assert sent == (
        "3 דקות אחר כך הוא שלח 113 הודעות בתוך 14 שניות, אל 113 אנשים שלא עברה ביניהם הודעה קודם "
        "לכן; איש לא השיב."
    )
    assert received == "עד אז הוא קיבל 0 הודעות; איש לא דיווח עליו ולא חסם אותו."
    # What the platform names and writes itself stays as it is, between marks of direction.
    assert "\u2068blast-at-birth\u2069 (\u2068A hundred messages" in decided
    assert after == ("אחר כך הוא שלח עוד הודעה אחת; אירוע אחד שלו היה מסורב; לאחר מכן: דיווח אחד.")


def test_timeline_counts_events_of_the_log(blast: Explanation) -> None:
    assert blast.timeline is not None
    counts = {kind: len(times) for kind, times in blast.timeline.times.items() if len(times)}
    assert counts == {
        "sends": 114, "first_contacts": 113, "stranger_sends": 113, "replies": 1, "received": 1,
        "reports": 1, "registered": 1,
    }  # fmt: skip


def test_repeated_event_counts_once(tmp_path: Path) -> None:
    event = {"id": "same", "ts": NOON, "type": "message.sent", "account": "b", "peer": "v"}
    events = events_file(tmp_path / "events.jsonl", [event, event])
    found = explain(_run(tmp_path, source=str(events)), "b")
    assert found.timeline is not None
    assert len(found.timeline["sends"]) == 1


def test_reply_is_not_a_first_contact(tmp_path: Path) -> None:
    events = [
        {"ts": NOON, "type": "message.sent", "account": "friend", "peer": "b2"},
        {"ts": NOON + SECOND, "type": "message.sent", "account": "b2", "peer": "friend"},
        {"ts": NOON + 2 * SECOND, "type": "message.sent", "account": "b2", "group": "g"},
    ]
    log = events_file(tmp_path / "events.jsonl", events)
    found = explain(_run(tmp_path, source=str(log)), "b2")
    assert found.timeline is not None
    assert len(found.timeline["first_contacts"]) == len(found.timeline["replies"]) == 0
    assert story_paragraphs(found)[1] == (
        "1 s later it sent 2 messages in 1 s, all to people it already knew; 1 went to groups."
    )


def test_enforced_run_states_what_was_done(tmp_path: Path) -> None:
    events = events_file(tmp_path / "events.jsonl", _blast())
    found = explain(_run(tmp_path, source=str(events), mode="enforce"), "b")
    assert status_sentence(found) == "It is banned."
    assert "it was banned by blast-at-birth" in story_paragraphs(found)[3]
    assert story_paragraphs(found)[4].startswith(
        "After that it tried to send 1 more message; 1 of its events"
    )


def test_missing_log_is_reported_with_totals(tmp_path: Path) -> None:
    found = explain(_run(tmp_path, source=str(tmp_path / "gone.jsonl")), "b")
    result = story_paragraphs(found)
    assert found.timeline is None
    assert (
        "it sent 114 messages and wrote first to 113 people; messages went both ways with 1 person"
        in result[1]
    )
    assert "does not exist any more" in result[-1]
    write_html(explanation_report(found), tmp_path / "b.html")
    assert "does not exist any more" in (tmp_path / "b.html").read_text()


def test_run_from_a_pipe_reports_missing_events(tmp_path: Path) -> None:
    assert "from a pipe" in story_paragraphs(explain(_run(tmp_path, source="-"), "b"))[-1]


def test_account_without_decisions_is_reported(tmp_path: Path) -> None:
    found = explain(_run(tmp_path), "b2")
    assert status_sentence(found) == "No decision was made about this account: nothing is refused."
    assert "No rule matched, and no decision was made about it." in story_paragraphs(found)


def test_account_without_registration_is_reported(tmp_path: Path) -> None:
    run = run_directory(
        tmp_path / "run",
        [account_row("a", registered_ms=None, worst="restrict", until_ms=NOON + 2 * DAY)],
        [decision("a", NOON + DAY, "restrict", until=NOON + 2 * DAY)],
    )
    found = explain(run, "a")
    assert story_paragraphs(found)[0].endswith("the log does not contain its registration.")
    assert "would have been restricted for 1 d" in " ".join(story_paragraphs(found))
    assert "until 3 March 2026, 12:00:00 UTC" in status_sentence(found)


def test_ended_outcome_is_reported_with_the_worst(tmp_path: Path) -> None:
    run = run_directory(
        tmp_path / "run",
        [account_row("a", worst="limit", outcome="allow")],
        [decision("a", NOON, "limit", until=NOON + DAY)],
        mode="enforce",
    )
    assert status_sentence(explain(run, "a")) == (
        "It is allowed everything again; its most severe outcome was limit."
    )


def test_unknown_account_suggests_similar_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"among its 3 .*did you mean b2.*grep .*decisions\.jsonl"):
        explain(_run(tmp_path), "b22")


def test_command_of_the_error_finds_actioned_accounts(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        explain(_run(tmp_path), "nobody")
    pattern = error.value.fix.split("'")[1]
    assert re.search(pattern, (tmp_path / "run" / "decisions.jsonl").read_text())


def test_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"has no accounts\.parquet"):
        explain(tmp_path, "b")


def test_reasons_have_units_and_meanings(blast: Explanation) -> None:
    (ban,) = decisions_to_explain(blast)
    rows = {row[0]: row for row in reasons_table(blast, ban).rows}
    assert rows["sends_15s"][1] == "113 messages"
    assert rows["first_contact_share_1d"][1] == "100 %"
    assert rows["sends_15s"][3] == "Messages sent in 15 seconds, to people and to groups."


def test_the_decisions_table_names_stage_outcome_and_rule(blast: Explanation) -> None:
    assert list(decisions_table(blast, 9).rows) == [
        ("2026-03-01 12:03:14", "messaging", "ban", "–", "blast-at-birth")
    ]


def test_severe_decision_is_listed_among_mild_ones(tmp_path: Path) -> None:
    mild = [decision("a", NOON + n * HOUR, "limit") for n in range(30)]
    ban = decision("a", NOON + 20 * HOUR + 1, "ban", rules=["r"])
    run = run_directory(
        tmp_path / "run",
        [account_row("a", worst="ban", first_action_ms=ban["ts"])],
        [*mild[:21], ban, *mild[21:]],
    )
    found = explain(run, "a")
    result = story_paragraphs(found)
    assert "it would have been limited" in result[-4]
    assert "it would have been banned by r" in result[-3]
    assert result[-2] == "Further decisions of the same outcomes: 29, listed below."
    table = decisions_table(found, 5)
    assert [row[2] for row in table.rows] == ["limit", "limit", "limit", "ban", "limit"]
    assert "26 less severe ones are in" in table.note


def test_decisions_of_similar_names_are_separate(tmp_path: Path) -> None:
    assert explain(_run(tmp_path), "b2").decisions == []


def test_the_terminal_shows_story_timeline_rule_and_appeal(blast: Explanation) -> None:
    text = _printed(blast)
    for words in ("3 min later it sent 113 messages", "sends │", "a published practice", "Appeal:"):
        assert words in text
    assert f"d-b-{BANNED_AT}" in text


def test_account_name_is_not_read_as_markup(tmp_path: Path) -> None:
    assert "Account y[bold]" in _printed(explain(_run(tmp_path), "y[bold]"))


def test_page_is_self_contained_and_reproducible(blast: Explanation, tmp_path: Path) -> None:
    write_html(explanation_report(blast), tmp_path / "one.html")
    write_html(explanation_report(blast), tmp_path / "two.html")
    text = (tmp_path / "one.html").read_text()
    assert text == (tmp_path / "two.html").read_text()
    assert text.count("<svg") == text.count('role="img"') == 2  # the whole, and a close-up
    outside = re.findall(r'(?:src|href)="(?!#)[^"]*"|@import|<script', text)
    assert outside == []
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert '<html lang="en">' in text
    assert "<title>Account b</title>" in text


def test_an_account_name_cannot_break_the_page(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("<script>&")])
    write_html(explanation_report(explain(run, "<script>&")), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;&amp;" in text


def test_short_explanation_leaves_out_timeline_and_meanings(blast: Explanation) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(explanation_summary(blast), console)
    text = console.export_text()
    assert "3 min later it sent 113 messages" in text
    assert "sends │" not in text
    assert "meaning" not in text
    assert "Appeal:" not in text


def test_explanation_as_json_round_trips(blast: Explanation) -> None:
    values = dict(explanation_report(blast).data or {})
    assert json.loads(json.dumps(values)) == values
    assert values["account"] == blast.account
    assert values["story"]


def test_missing_value_is_no_evidence() -> None:
    reasons = [
        {"feature": "known_s", "value": None, "contribution": 0.7},
        {"feature": "sends_1h", "value": 40.0, "contribution": 0.4},
    ]
    said = describe_score({"score": 0.9, "rules": [], "reasons": reasons})
    assert said.count("speaks for abuse") == 1
    assert "missing (raises the score although it is not known)" in said
