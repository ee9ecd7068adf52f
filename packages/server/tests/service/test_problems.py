"""Kinds of problems: each is documented, and says its way out to each reader."""

from __future__ import annotations

import ast
import json
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from docs.generate_reference import problems_page
from wavebreak_server.errors import (
    DESCRIPTIONS,
    OF_STATUS,
    PROBLEMS,
    ApiError,
    DomainError,
    describe_error,
    fix_for,
    type_uri,
)
from wavebreak_server.http.openapi import docs_page
from wavebreak_server.slices.routes import OPERATIONS, document

SOURCES = Path(__file__).parents[2] / "src/wavebreak_server"
RAISED = {
    code
    for path in SOURCES.rglob("*.py")
    for code in re.findall(r'DomainError\(\s*"([a-z-]+)"', path.read_text("utf-8"))
}


def test_every_problem_is_documented_where_its_type_says() -> None:
    page, _ = docs_page(document())
    reference = problems_page()
    for code in PROBLEMS:
        assert type_uri(code) == f"/api/docs#{code}"
        assert f'<h3 id="{code}">' in page
        assert f"\n## {code}\n" in reference


def test_every_domain_error_has_a_way_out_for_each_reader() -> None:
    of_domain = {code for code, problem in PROBLEMS.items() if problem.what}
    assert of_domain == RAISED
    for code in of_domain:
        assert all(PROBLEMS[code].fixes), code


@pytest.mark.parametrize("adapter", ["api", "page"])
def test_only_a_terminal_is_told_to_run_a_command(adapter: str) -> None:
    texts = [getattr(problem.fixes, adapter) for problem in PROBLEMS.values()]
    assert [text for text in texts if re.search(r"\bwavebreak [a-z]+", text)] == []
    assert len([text for text in texts if text]) >= 9


def test_nothing_below_the_commands_raises_a_text_with_a_command() -> None:
    below = [SOURCES / name for name in ("http", "pipeline", "storage", "slices", "console")]
    paths = [path for place in below for path in place.rglob("*.py")]
    assert len(paths) > 100
    naming = [
        f"{path.name}:{text.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise)
        for text in ast.walk(node)
        if isinstance(text, ast.Constant) and re.search(r"\bwavebreak [a-z]+", str(text.value))
    ]
    assert naming == []


def test_every_status_of_an_operation_has_a_code() -> None:
    declared = {status for one in OPERATIONS for status in one.problem_statuses}
    assert declared <= set(DESCRIPTIONS)
    assert declared <= set(OF_STATUS)
    assert all(HTTPStatus(problem.status) for problem in PROBLEMS.values())


def test_domain_error_is_answered_with_code_and_the_fix_of_the_api() -> None:
    error = DomainError("foreign-key-row", row="API key 1a2b3c4d", prefix="1a2b3c4d")
    answer = json.loads(describe_error(error).body)
    assert answer["type"] == "/api/docs#foreign-key-row"
    assert answer["status"] == 500
    assert "wavebreak" not in answer["fix"]
    assert "wavebreak key revoke HOME 1a2b3c4d" in error.fix
    assert fix_for(ApiError(404, "no", fix="look"), "page") == "look"
