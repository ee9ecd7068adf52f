"""What commands print: the summary of a run, and ids from outside without their controls."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.cli.console import (
    TerminalConsole,
    command,
    print_json,
    print_next_steps,
)
from wavebreak.library.results import summary_report
from wavebreak.reports.report import report_text
from wavebreak.reports.tables import Table, print_lines, print_table

SUMMARY: dict[str, Any] = {
    "events": 10, "accepted": 10, "refused": 0, "late": 0, "duplicates": 0, "accounts": 2,
    "seconds": 1.0, "events_per_s": 10, "mode": "shadow", "refused_by_cause": {},
    "decisions": {"outcome": {}},
}  # fmt: skip


def summary_text(off: list[str]) -> str:
    report = summary_report(SUMMARY | {"rules_not_covered": off})
    return " ".join(report_text(report).split())


def test_rules_that_are_off_are_named() -> None:
    text = summary_text(["takeover", "strangers_complain"])
    assert "2 rules off, because the stream lacks fields that they read:" in text
    assert "takeover, strangers_complain." in text


def test_nothing_is_printed_where_every_rule_is_on() -> None:
    assert " off," not in summary_text([])


HOSTILE = "x\x1b]0;owned\x07\x9b2J\x7f\u202e"
RAW = ("\x07", "\x9b", "\x7f", "\u202e", "]0;owned\x07")


def test_console_escapes_controls_and_keeps_its_styles() -> None:
    file = io.StringIO()
    console = TerminalConsole(file=file, force_terminal=True, highlight=False, width=200)
    console.print(f"[bold]{HOSTILE}[/]")
    print_table(Table("t", (HOSTILE,), [(HOSTILE,)], note=HOSTILE), console)
    print_lines([HOSTILE], console, "bold")
    text = file.getvalue()
    assert text.count(r"x\u001b]0;owned") == text.count(r"\u009b2J\u007f\u202e") == 5
    assert not any(raw in text for raw in RAW)
    assert "\x1b[1m" in text


def test_next_steps_and_json_escape_controls(capsys: pytest.CaptureFixture[str]) -> None:
    print_next_steps([f"wavebreak explain [bold] {HOSTILE}"])
    print_json({"account": HOSTILE})
    text = capsys.readouterr().out
    assert not any(raw in text for raw in (*RAW, "\x1b"))
    assert "[bold]" in text
    assert json.loads(text[text.index("{") :]) == {"account": HOSTILE}


def test_suggested_command_runs_nothing_of_an_id(tmp_path: Path) -> None:
    names = ["b;touch${IFS}PWNED;$(id)#", "it's", "a\nb", "x\x1b[2J", "-rf", "`id`", "\\u0041'"]
    for name in names:
        pasted = command("printf", "%s", name)
        told = subprocess.run(["bash", "-c", pasted], cwd=tmp_path, capture_output=True, check=True)
        assert told.stdout.decode() == name
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_suggested_command_holds_no_control_character(name: str) -> None:
    text = command("wavebreak", "explain", "out", name)
    assert not any(c < " " or "\x7f" <= c < "\xa0" for c in text)
