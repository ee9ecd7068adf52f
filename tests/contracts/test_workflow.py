"""The workflow for contributors runs every test by targets of the Makefile; actions are pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]


def test_parts_of_the_tests_are_all_tests() -> None:
    parts = " ".join(JOBS["test"]["strategy"]["matrix"]["tests"]).split()
    files = [path for folder in ("packages", "tests", "clients")
             for path in (ROOT / folder).rglob("test_*.py")
             if "cluster_tests" not in path.parts and ".venv" not in path.parts]  # fmt: skip
    assert len(files) > 300
    assert [path for path in files if not any(path.is_relative_to(ROOT / p) for p in parts)] == []
    assert all((ROOT / part).is_dir() for part in parts)


def test_commands_of_the_workflow_are_targets_of_the_makefile() -> None:
    commands = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    words = [word for command in commands for word in re.findall(r"^make (.*)$", command, re.M)]
    named = {word for line in words for word in line.split() if re.fullmatch(r"[a-z-]+", word)}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert named <= set(re.findall(r"^([a-z-]+): ", makefile, re.MULTILINE))
    assert {"check", "test", "packages", "docs", "demo", "test-quick"} <= named


def test_actions_are_pinned_by_commit() -> None:
    actions = re.findall(r"uses: ([^\s,}]+)", TEXT)
    assert len(actions) >= 4
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in actions)


def test_set_up_runs_on_each_python_that_the_classifiers_name() -> None:
    versions = set(JOBS["set-up"]["strategy"]["matrix"]["python"])
    for file in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
        assert {"3.11", "3.12", "3.13"} <= set(named) <= versions, file
