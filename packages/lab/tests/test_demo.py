"""What the demo says of a campaign, an operator and couriers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wavebreak_lab.cli.demo import three_stories

LABELS = """account,label,family,operator
a,abusive,blast,op-1
b,abusive,blast,op-1
c,benign,courier,
"""


def stories(tmp_path: Path, operators: list[Any], **counts: Any) -> list[str]:
    labels = tmp_path / "labels.csv"
    labels.write_text(LABELS)
    measured: Any = SimpleNamespace(**{"families": {}, "personas": {}} | counts)
    return list(three_stories(measured, operators, labels))


def test_each_story_gives_its_counts(tmp_path: Path) -> None:
    family = SimpleNamespace(stopped=90, delivered=10, stopped_share=0.9, actioned=2, accounts=2)
    courier = SimpleNamespace(accounts=1, actioned=0, refused=0, first_contacts=40)
    operator = SimpleNamespace(id="op-x", accounts=("a", "b"), complaints=7, strangers=1200)
    mixed = SimpleNamespace(id="op-y", accounts=("a", "c"), complaints=0, strangers=9)
    lines = stories(
        tmp_path, [operator, mixed], families={"blast": family}, personas={"courier": courier}
    )
    assert lines == [
        "Stopped: 90 of 100 acts of campaign blast (90%); 2 of its 2 accounts restricted or worse.",
        "Found: 2 groups of linked accounts, 1 of them of one operator alone; the largest of "
        "these has 2 accounts of op-1, of whose strangers 7 of 1,200 complained.",
        "Not hurt: of 1 couriers 0 restricted; 0 of their 40 first messages refused.",
    ]


def test_nothing_is_told_where_nothing_was_found(tmp_path: Path) -> None:
    assert stories(tmp_path, []) == []
