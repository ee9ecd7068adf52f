"""The measurement of firms and senders of the business app."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.progress import Progress

from experiments.worlds import business_app
from wavebreak.rules import load_policy
from wavebreak_lab.simulation import APP_CAMPAIGNS, APP_FIRMS

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("outcome", "until", "expected"),
    [("limit", HOUR, False), ("limit", HOUR + 1, True), ("limit", None, True),
     ("restrict", HOUR, True), ("ban", None, True), ("challenge", 24 * HOUR, False),
     ("observe", None, False)],
)  # fmt: skip
def test_delay_by_the_hour_is_no_action(outcome: str, until: int | None, expected: bool) -> None:
    decided: Any = SimpleNamespace(ts=0, outcome=outcome, until=until)
    assert business_app.is_action(decided) is expected


def test_small_platform_is_counted_by_firm_and_sender(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(business_app, "PEOPLE", 150)
    monkeypatch.setattr(business_app, "DAYS", (0.5, 0.5))
    groups, rules = business_app.run(range(11, 12), load_policy(), Progress(disable=True))
    assert set(APP_FIRMS) | set(APP_CAMPAIGNS) <= set(groups)
    firms = business_app.total(groups, list(APP_FIRMS))
    assert firms.accounts >= 2 * len(APP_FIRMS)
    assert firms.first_messages > firms.accounts
    assert firms.refused + firms.delayed <= firms.first_messages
    assert firms.banned <= firms.restricted <= firms.actioned <= firms.accounts
    assert all(counts for counts in rules.values())
