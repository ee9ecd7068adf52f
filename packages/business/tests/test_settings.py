"""The limits as policy data: what is refused, with its line and a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavebreak.errors import PolicyError
from wavebreak_business.settings import SHIPPED, load_limits

SHIPPED_TEXT = (SHIPPED / "limits.toml").read_text("utf-8")


def load(tmp_path: Path, before: str, after: str) -> PolicyError:
    assert SHIPPED_TEXT.count(before) == 1
    (tmp_path / "limits.toml").write_text(SHIPPED_TEXT.replace(before, after), encoding="utf-8")
    with pytest.raises(PolicyError) as raised:
        load_limits(tmp_path)
    return raised.value


def line(of: str) -> int:
    begin = SHIPPED_TEXT.index(of) + len(of) - len(of.lstrip())
    return SHIPPED_TEXT[:begin].count("\n") + 1


@pytest.mark.parametrize(
    ("before", "after", "fix"),
    [
        ("raise_share = 0.5", "raise_share = 2", "raise_share = 0.5"),
        ("steps = [250, 2000, 10000, 100000]", "steps = [250, 100]", "steps = [250, 2000"),
        ("burst = 45", "brst = 45", "[pair]"),
        ('delay = "0s"', 'delay = "soon"', 'delay = "0s"'),
        ("medium = 0.015", "medium = 0.5", "medium = 0.015"),
        ('entry_window = "72h"', 'entry_window = "2h"', 'entry_window = "72h"'),
        ("day_weights = [7, 6, 5, 4, 3, 2, 1]", "day_weights = [1]", "day_weights = [7"),
        ("day_weights = [7, 6, 5, 4, 3, 2, 1]", "day_weights = [0, 0, 0, 0, 0, 0, 0]", "[7, 6"),
        ('bars = "outside_windows"\nlasts = "3d"', 'bars = "some"\nlasts = "3d"', "bars ="),
        ("\nfirst = 500\n", '\nfirst = "500"\n', "first = 500"),
    ],
)
def test_wrong_value_is_named_with_its_line_and_a_fix(
    tmp_path: Path, before: str, after: str, fix: str
) -> None:
    error = load(tmp_path, before, after)
    assert error.what.startswith(f"limits.toml, line {line(before)}: ")
    assert fix in error.fix


def test_missing_field_is_named_with_the_line_of_its_table(tmp_path: Path) -> None:
    error = load(tmp_path, "burst = 45\n", "")
    assert error.what.startswith(f"limits.toml, line {line('[pair]')}: ")
    assert error.fix == "the shipped limits.toml has burst = 45"


def test_step_that_ends_after_an_endless_one_is_refused(tmp_path: Path) -> None:
    error = load(tmp_path, 'bars = "all"\nlasts = "5d"', 'bars = "all"')
    assert "only an appeal ends" in error.what


def test_shipped_values_name_their_source_and_date() -> None:
    limits = load_limits()
    assert limits.as_of.year == 2026
    assert limits.limit.steps == (250, 2000, 10000, 100000)
    assert [step.lasts for step in limits.ladder.steps] == [
        "1d", "1d", "3d", "5d", "7d", "30d", "", "",
    ]  # fmt: skip
    for table in SHIPPED_TEXT.split("\n\n"):
        assert "as_of" in table or "Published" in table or "Ours" in table or "[account]" in table \
            or "[duplicates]" in table or "[templates]" in table  # fmt: skip
