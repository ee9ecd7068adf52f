"""The summary of a run on a terminal: what limits the result is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wavebreak.cli.console import print_run_summary

SUMMARY: dict[str, Any] = {
    "events": 10, "accepted": 10, "refused": 0, "late": 0, "duplicates": 0, "accounts": 2,
    "seconds": 1.0, "events_per_s": 10, "mode": "shadow", "refused_by_cause": {},
    "decisions": {"outcome": {}},
}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], off: list[str]) -> str:
    print_run_summary(SUMMARY | {"rules_not_covered": off}, Path("out"))
    return " ".join(capsys.readouterr().out.split())


def test_rules_that_are_off_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, ["takeover_companion", "strangers_complain"])
    assert "2 rules off, because the stream lacks fields that they read:" in text
    assert "takeover_companion, strangers_complain." in text


def test_nothing_is_printed_where_every_rule_is_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert " off," not in printed(capsys, [])
