from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.reports.tables import Console, Table, print_table

WORDS = st.text("abcdefghij-_", min_size=1, max_size=14)
LINES = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def printed(table: Table, width: int) -> list[str]:
    out = io.StringIO()
    print_table(table, Console(file=out, width=width, color_system=None))
    return out.getvalue().splitlines()


@given(st.lists(st.tuples(WORDS, st.integers(0, 10**9), LINES), min_size=1, max_size=8))
def test_table_at_80_columns_breaks_no_word(rows: list[tuple[str, int, str]]) -> None:
    table = Table(
        "t",
        ("name", "count", "about"),
        [(a, f"{n:,}", b) for a, n, b in rows],
        words=frozenset({0, 2}),
    )
    lines = printed(table, 80)
    assert max(map(len, lines)) <= 80
    words = set(" ".join(lines).split())
    for name, count, about in rows:
        assert {name, f"{count:,}", *about.split()} <= words


@pytest.mark.parametrize("width", [80, 140])
def test_widest_column_wraps_and_names_stay_whole(width: int) -> None:
    name = "a-family-name-of-30-characters"
    lines = printed(Table("t", ("f", "n"), [(name, "1")]), width)
    assert any(name in line for line in lines)


def test_table_too_narrow_for_its_words_still_prints() -> None:
    table = Table("t", ("a", "b"), [("x" * 30, "y" * 30)], words=frozenset({0, 1}))
    lines = printed(table, 20)
    assert max(map(len, lines)) <= 20
    assert "".join(lines).count("x") == 30
