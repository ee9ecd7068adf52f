"""The bugs of the mutation figure can be planted, and their tests exist; none is run here."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mutation.__main__ import main
from mutation.bugs import LIST, ROOT, Bug, load_bugs, missing_test
from mutation.results import Result, Results, summary

LEAST = 60
RESULTS = LIST.with_name("results.jsonl")


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


def test_results_are_of_bugs_of_the_list_and_of_tests_that_exist() -> None:
    kept = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    names = {bug.name for bug in load_bugs()}
    assert [row["name"] for row in kept if row["name"] not in names] == []
    tests = [row["test"].partition("[")[0] for row in kept if "::" in row["test"]]
    assert [fault for test in tests if (fault := missing_test(ROOT, test))] == []


def test_result_of_a_bug_that_has_changed_since_is_stale(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    bug = Bug("b", "order", "code.py", "a = 1", "a = 2", "It counts twice.", ("test_a.py",))
    results.add(Result("b", "caught", "test_a.py::test_x", "2026-11-30", 1, bug.digest))
    again = Results(tmp_path / "results.jsonl")
    assert again.of(bug) == results.of(bug)
    assert again.of(bug._replace(replacement="a = 3")) is None
    assert summary([bug], again).splitlines()[-1] == "| all | 1 | 1 | 1 (100%) | 2026-11-30 |"


def test_list_of_bugs_is_printed_by_area(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--area", "fencing"]) == 0
    assert "later-epoch-ignored: A server that was overtaken goes on writing." in (
        capsys.readouterr().out
    )
