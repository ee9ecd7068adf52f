"""What the documents say is what the commands do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Union

import msgspec
import pytest

from wavebreak.features.fact_kinds import KINDS
from wavebreak.rules import OUTCOMES, load
from wavebreak.schema.events import EVENTS, TYPES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "commands.md"
CONCEPTS = ROOT / "docs" / "concepts.md"
QUOTE_HELP = ROOT / "docs" / "quote_help.py"
PLACEHOLDER = "TB" + "M"


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(found) >= 9
    return found


def fenced(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a document."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def quote_help(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(QUOTE_HELP), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_help_quoted_in_the_documents_is_the_real_one() -> None:
    said = quote_help("--check")
    assert said.returncode == 0, said.stdout + said.stderr
    counted = re.match(r"commands.md: (\d+) commands quoted, 0 of them stale", said.stdout)
    assert counted is not None
    assert int(counted[1]) >= 8
    assert int(counted[1]) == COMMANDS.read_text(encoding="utf-8").count("<!-- help: ")


@pytest.mark.parametrize("command", ["wavebreak", "wavebreak run", "wavebreak claim"])
def test_help_made_in_one_process_is_what_the_command_prints(command: str) -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    block = re.search(rf"<!-- help: {command} -->\n```text\n(.*?)```", text, re.DOTALL)
    assert block is not None
    program, *verbs = command.split()
    plain = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    colouring = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}
    printed = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *verbs, "--help"],
        env={k: v for k, v in os.environ.items() if k not in colouring} | plain,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines = [line.rstrip() for line in printed.splitlines()]
    assert "\n".join(lines).strip("\n") + "\n" == block[1]


def test_the_documents_quote_every_command() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    top = re.search(r"<!-- help: wavebreak -->\n(.*?)<!-- /help -->", text, re.DOTALL)
    assert top is not None
    listing = top[1].split("Commands", 1)[1]
    commands = set(re.findall(r"^[│|]?\s([a-z]+)\s{2,}\S", listing, re.MULTILINE))
    assert len(commands) >= 8
    quoted = set(re.findall(r"<!-- help: wavebreak ([a-z]+)", text))
    assert commands - quoted == set()


def test_a_stale_quotation_is_found_and_named_and_mended(tmp_path: Path) -> None:
    text = "<!-- help: wavebreak run -->\n```text\nold words\n```\n<!-- /help -->\n"
    copy = tmp_path / "stale.md"
    copy.write_text(text, encoding="utf-8")
    said = quote_help("--check", str(copy))
    assert said.returncode == 1
    assert "stale: wavebreak run" in said.stdout
    assert copy.read_text(encoding="utf-8") == text
    assert quote_help(str(copy)).returncode == 0
    assert quote_help("--check", str(copy)).returncode == 0


def test_no_document_leaves_a_number_to_be_measured() -> None:
    unmeasured = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count(PLACEHOLDER)
        for path in documents()
    }
    assert {name: n for name, n in unmeasured.items() if n} == {}


def test_the_events_that_the_readme_shows_are_accepted() -> None:
    decoder = msgspec.json.Decoder(Union[EVENTS])  # noqa: UP007 - a tuple known at run time
    lines = [line for block in fenced(README, "jsonl") for line in block.splitlines()]
    assert len(lines) >= 5
    assert [decoder.decode(line).account for line in lines]


def test_the_rule_that_the_concepts_show_is_the_shipped_one(tmp_path: Path) -> None:
    shown = fenced(CONCEPTS, "toml")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shown.toml").write_text(shown[0], encoding="utf-8")
    assert load(tmp_path).rule("instant_ban") == load().rule("instant_ban") is not None


def test_the_concepts_name_every_type_of_event_kind_of_fact_and_outcome() -> None:
    text = CONCEPTS.read_text(encoding="utf-8")
    assert [name for name in (*TYPES, *KINDS, *OUTCOMES) if f"`{name}`" not in text] == []


def test_every_path_that_a_document_links_to_exists() -> None:
    looked_at, missing = 0, []
    for document in documents():
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", text):
            path = target[0] or target[1]
            if re.match(r"[a-z]+:", path):
                continue
            looked_at += 1
            if not (document.parent / path).exists():
                missing.append(f"{document.relative_to(ROOT)} → {path}")
    assert looked_at > 10
    assert missing == []


def test_the_readme_names_the_two_commands_that_a_fresh_clone_answers() -> None:
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
