"""Exports of a case: exhibit list, chronology and deadlines as other programs read them."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Any

import docx
import pytest
from icalendar import Calendar

from support.case_workflow import Bench, small_run
from wavebreak_cases.bundles.case_exports import export_case
from wavebreak_cases.bundles.workspace import load_case
from wavebreak_cases.cases.case import Case, Task, TaskAdded


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("case"))
    made.whole(small_run(made.root))
    with made.desk() as at:
        at.take(TaskAdded(Task("T1", "Buy a package", made.clock() + 86_400_000)), **made.me)
    return made


def opened(bench: Bench) -> Case:
    return load_case(bench.case / "case.json")[1]


def test_exhibit_list_numbers_every_file_once(bench: Bench, tmp_path: Path) -> None:
    case = opened(bench)
    export_case(bench.case, case, tmp_path, "en")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "exhibits.csv").read_text("utf-8-sig"))))
    numbers = [row["Control numbers"] for row in rows]
    assert numbers == [f"C-7-{n:06d}" for n in range(1, len(rows) + 1)]
    there = {
        (e.id, name, digest) for e in case.exhibits.values() for name, digest in e.sha256.items()
    }
    assert {(row["Exhibit"], row["File"], row["SHA-256"]) for row in rows} == there
    assert {row["Source"] for row in rows if row["Exhibit"] == "E1"} == {"https://rapid.example/"}


def test_chronology_has_facts_and_no_commands(bench: Bench, tmp_path: Path) -> None:
    export_case(bench.case, opened(bench), tmp_path, "en")
    rows = list(csv.reader(io.StringIO((tmp_path / "chronology.csv").read_text("utf-8-sig"))))[1:]
    times = [datetime.fromisoformat(row[0]) for row in rows]
    assert times == sorted(times)
    facts = " ".join(row[2] for row in rows)
    for said in (
        "“Price page” was published",
        "was public and was captured",
        "reached Rapid",
        "acted for the first time in the log",
        "Determination D1 was signed by Adv. Levi",
    ):
        assert said in facts
    assert "exhibit taken" not in facts
    document = docx.Document(str(tmp_path / "chronology.docx"))
    assert len(document.tables[0].rows) == len(rows) + 1
    assert document.tables[0].rows[1].cells[2].text == rows[0][2]


def test_documents_in_hebrew_run_from_right_to_left(bench: Bench, tmp_path: Path) -> None:
    export_case(bench.case, opened(bench), tmp_path, "he")
    document = docx.Document(str(tmp_path / "chronology.docx"))
    xml = document.element.xml
    assert "<w:bidiVisual/>" in xml
    assert xml.count("<w:bidi/>") == xml.count("<w:p>") + xml.count("<w:p ") > 30
    assert document.paragraphs[0].text == "השתלשלות העובדות"


def test_deadlines_are_open_answers_and_tasks(bench: Bench, tmp_path: Path) -> None:
    case = opened(bench)
    export_case(bench.case, case, tmp_path, "en")
    calendar: Any = Calendar.from_ical((tmp_path / "deadlines.ics").read_bytes())
    events = {str(e["uid"]): e for e in calendar.walk("VEVENT")}
    assert sorted(events) == ["C-7-N1.wavebreak", "C-7-N2.wavebreak", "C-7-T1.wavebreak"]
    due = events["C-7-N1.wavebreak"]["dtstart"].dt
    assert int(due.timestamp()) * 1000 == case.notices["N1"].deadline // 1000 * 1000
    assert "Buy a package" in str(events["C-7-T1.wavebreak"]["summary"])
    assert len(list(calendar.walk("VALARM"))) == 3
