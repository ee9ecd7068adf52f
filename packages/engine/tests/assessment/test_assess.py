"""An assessment of a small platform's data, of each kind of source, and its page."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from wavebreak import rules
from wavebreak.assessment import (
    Assessment,
    assess,
    assessment_report,
)
from wavebreak.assessment.measurement import MetAccount, Options, missing_sources, time_held
from wavebreak.assessment.report import MAX_ACCOUNTS, accounts_table, headline, next_steps
from wavebreak.cli.console import TerminalConsole
from wavebreak.errors import FileError, UsageError
from wavebreak.io import open_source
from wavebreak.privacy.names import Names
from wavebreak.reports.html import write_html
from wavebreak.reports.report import print_report
from wavebreak.schema.coverage import Profile

KEY = b"0123456789abcdef"
NOON = 1_790_000_000
SPAMMER = "evil<script>alert(1)</script>"


def lines() -> list[dict[str, Any]]:
    """Forty people who chat, and one account that writes to 200 strangers who report it."""
    rows = list[dict[str, Any]]()

    def add(ts: int, kind: str, account: str, **fields: Any) -> None:
        rows.append(
            {"id": f"e{len(rows)}", "ts": ts * 1000, "type": kind, "account": account} | fields
        )

    add(NOON + 60, "account.registered", SPAMMER)
    for day in range(4):
        start = NOON + 86_400 * day + 100
        for number in range(40):
            friends = [(number + step + day * 3) % 40 for step in (1, 2, 3)]
            for step, friend in enumerate(friends):
                if friend != number:
                    at = start + 300 * step + number
                    add(at, "message.sent", f"p{number}", peer=f"p{friend}", size=40)
                    add(at + 120, "message.sent", f"p{friend}", peer=f"p{number}", size=30)
    for number in range(200):
        at = NOON + 86_400 + 3 * number
        add(at, "message.sent", SPAMMER, peer=f"s{number}", size=90, in_contacts=False)
        if number % 3 == 0:
            add(at + 30, "user.reported", f"s{number}", peer=SPAMMER, reason="spam")
    return sorted(rows, key=lambda row: row["ts"])


@cache
def options(**more: Any) -> Options:
    return Options(rules.load_policy(), None, KEY, **more)


def write(path: Path, rows: list[dict[str, Any]], *broken: str) -> Path:
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + "".join(f"{b}\n" for b in broken)
    )
    return path


@pytest.fixture(scope="module")
def assessed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Assessment, Names]:
    path = write(
        tmp_path_factory.mktemp("assess") / "events.jsonl", lines(), "no json", '{"ts": 1}'
    )
    return assess(path, options())


def pseudonym(name: str) -> str:
    return Names(KEY).pseudonym(name)


def test_the_spammer_is_met_first_and_does_not_look_honest(
    assessed: tuple[Assessment, Names],
) -> None:
    found, _ = assessed
    spammer = found.met[0]
    assert spammer.account == pseudonym(SPAMMER)
    assert (spammer.strangers, spammer.answered, spammer.honest) == (200, 0, False)
    assert spammer.held_ms > 0
    assert "strangers that it wrote to first" in spammer.why
    assert found.honest > 20
    assert pseudonym(SPAMMER) not in {each.account for each in found.honest_met}
    assert sum(each.accounts for each in found.outcomes) == len(found.met)
    assert {rule.rule for rule in found.rules} >= set(spammer.rules)


def test_bad_lines_are_counted_and_shown_without_values(assessed: tuple[Assessment, Names]) -> None:
    reading = assessed[0].reading
    assert reading.refused.total() == 2
    assert reading.rows == len(lines()) + 2
    assert reading.accepted == len(lines())
    assert all("line" in each for each in reading.examples)


def test_names_stay_out_of_every_output(assessed: tuple[Assessment, Names], tmp_path: Path) -> None:
    found, names = assessed
    page = tmp_path / "page.html"
    write_html(assessment_report(found), page)
    console = TerminalConsole(width=80, file=io.StringIO(), record=True)
    print_report(assessment_report(found, is_brief=True), console)
    outputs = (page.read_text(), console.export_text(), json.dumps(assessment_report(found).data))
    for output in outputs:
        assert "evil" not in output
        assert not re.search(r"\bp1\b", output)
    assert pseudonym(SPAMMER) in outputs[0]
    assert pseudonym(SPAMMER) in outputs[2]
    assert dict(names.accounts())[pseudonym(SPAMMER)] == SPAMMER
    assert max(len(line.rstrip()) for line in outputs[1].splitlines()) <= 80


def test_the_page_loads_nothing_and_says_why(
    assessed: tuple[Assessment, Names], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    write_html(assessment_report(assessed[0]), page)
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    assert "<script" not in text
    for heading in (
        "What was read",
        "Honest-looking people",
        "What the data lacks",
        "What to do next",
    ):
        assert heading in text
    write_html(assessment_report(assessed[0]), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == text


def test_what_the_data_lacks_names_fields_and_rules(assessed: tuple[Assessment, Names]) -> None:
    found, _ = assessed
    gaps = {gap.lacks: gap.rules for gap in found.gaps}
    assert set(found.rules_off) >= {rule for each in gaps.values() for rule in each}
    assert gaps
    assert any(step.startswith("Send ") for step in next_steps(found))
    assert "cannot hold" in " ".join(headline(found))


def test_missing_sources_leave_out_fields_of_absent_types() -> None:
    profile = Profile({"message.sent": 1.0}, {"message.sent.peer": 1.0}, 1, 100)
    assert missing_sources(["typed_share_32"], profile) == ["typing.started"]
    assert missing_sources(["gap_sd"], profile) == []


def test_times_of_replaced_decisions_do_not_add_up() -> None:
    decisions = [
        {"ts": 0, "outcome": "limit", "until": 100},
        {"ts": 50, "outcome": "restrict", "until": 80},
    ]
    assert time_held(decisions, 1000) == 80


def test_a_csv_is_read_by_its_header_or_its_options(tmp_path: Path) -> None:
    rows = [r for r in lines() if r["type"] in ("message.sent", "account.registered")]
    plain, other = tmp_path / "chats.csv", tmp_path / "other.csv"
    with plain.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("ts", "type", "account", "peer"))
        writer.writerows((r["ts"] / 1000, r["type"], r["account"], r.get("peer")) for r in rows)
        writer.writerow(("never", "message.sent", "a", "b"))
    with other.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("when", "from", "to"))
        writer.writerows((r["ts"], r["account"], r["peer"]) for r in rows if "peer" in r)
    by_header, _ = assess(open_source(plain), options())
    assert by_header.reading.refused.total() == 1
    assert by_header.reading.accepted == len(rows)
    columns = {"ts": "when", "account": "from", "peer": "to"}
    by_option, _ = assess(open_source(other, declared={"columns": columns}), options())
    assert by_option.reading.accepted == sum("peer" in r for r in rows)
    assert by_option.reading.kind == "a table"


def test_labels_say_who_is_honest(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"account,label,family\n{SPAMMER},benign,press\np1,benign,person\n")
    path = write(tmp_path / "events.jsonl", lines())
    found, _ = assess(path, Options(rules.load_policy(), None, KEY, labels=labels))
    assert found.labelled
    assert found.honest == 2
    honest = {each.account for each in found.met if each.honest}
    assert pseudonym(SPAMMER) in honest <= {pseudonym(SPAMMER), pseudonym("p1")}
    assert "labelled benign" in headline(found)[2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("events.jsonl", "nothing\nat all\n", "none of the 2 rows"),
        ("empty.jsonl", "", "holds no event"),
        ("server.log", "2026-01-01 INFO hello\n", "unknown file name extension"),
        ("chats.csv", "colour,shape\n1,a\n", "has no column"),
    ],
)
def test_what_cannot_be_assessed_is_an_error_with_a_fix(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises((FileError, UsageError)) as error:
        assess(open_source(path), options())
    assert said in error.value.what
    assert error.value.fix


def test_accounts_that_are_spellings_of_a_number_are_told(tmp_path: Path) -> None:
    spelt = {"p1": "+972 54-123-4567", "p2": "0541234567"}
    rows = [row | {"account": spelt.get(row["account"], row["account"])} for row in lines()]
    found, _ = assess(write(tmp_path / "events.jsonl", rows), options())
    assert any("2 accounts look like 1 phone number" in note for note in found.reading.notes)


def test_rows_of_a_page_are_bounded() -> None:
    many = [
        MetAccount(account=f"a-{n}", outcome="limit", rules=("r",), why="w", first_ms=NOON * 1000,
                   held_ms=1, sends=1, strangers=1, answered=0, reports=0, refused=0, honest=None,
                   operator="")
        for n in range(MAX_ACCOUNTS + 5)
    ]  # fmt: skip
    shown = accounts_table("Accounts", many, MAX_ACCOUNTS)
    assert len(shown.rows) == MAX_ACCOUNTS
    assert "5 more accounts" in shown.note
