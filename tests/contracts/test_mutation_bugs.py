"""The bugs of the mutation figure can be planted, and their tests exist; none is run here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mutation.__main__ import main
from mutation.bugs import ROOT, Bug, load_bugs

LEAST = 60


def test_every_bug_can_be_planted_and_its_tests_exist() -> None:
    assert [fault for bug in load_bugs() for fault in bug.faults(ROOT)] == []


def test_bugs_are_many_and_have_names_of_their_own() -> None:
    bugs = load_bugs()
    names = Counter(bug.name for bug in bugs)
    assert len(bugs) >= LEAST
    assert [name for name, count in names.items() if count > 1] == []
    assert [bug.name for bug in bugs if not bug.breaks.endswith(".")] == []


def test_bug_whose_text_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("a = 1\na = 1\n")
    bug = Bug("twice", "order", "code.py", "a = 1", "a = 2", "It counts twice.", ("absent.py",))
    assert list(bug.faults(tmp_path)) == [
        "twice: its text is 2 times in code.py: correct it in bugs.toml",
        "twice: there is no file absent.py",
    ]


def test_list_of_bugs_is_printed_by_area(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--area", "fencing"]) == 0
    assert "later-epoch-ignored: A server that was overtaken goes on writing." in (
        capsys.readouterr().out
    )
