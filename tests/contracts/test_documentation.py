"""The documentation shows what the code does: outputs, commands, links, reference, site."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Union

import msgspec
import pytest
import typer

from docs.generate_reference import SAMPLE, reference_pages
from docs.run_examples import run_document
from support import warm_command
from wavebreak.cli.app import app
from wavebreak.cli.commands import EXIT_CODES
from wavebreak.outcomes import OUTCOMES
from wavebreak.rules import load_policy
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import EVENTS, TYPES
from wavebreak_server.cli.config import sample_file
from wavebreak_server.config import groups
from wavebreak_server.config_sources import read_file
from wavebreak_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PLACEHOLDER = "TB" + "M"
WITH_OUTPUTS = (
    "README.md", "docs/tutorial.md", "docs/how-to/write-a-rule.md",
    "docs/how-to/seal-and-verify.md", "docs/how-to/build-a-case.md",
    "docs/how-to/check-business-logs.md", "docs/how-to/check-three-campaigns.md",
    "docs/how-to/decide-business-sends.md",
)  # fmt: skip


@cache
def generated_pages() -> dict[Path, str]:
    """Return the text of each reference page that is built and not committed."""
    return {REFERENCE / name: text for name, text in reference_pages().items()}


def documents() -> list[Path]:
    """Return the committed documents: a page that `make docs` wrote here is none."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md"), *DOCS.rglob("*.md")]
    committed = [path for path in paths if path not in generated_pages()]
    assert len(committed) >= 40
    return committed


def texts() -> dict[Path, str]:
    """Return the text of each committed document and of each generated page."""
    return {path: path.read_text("utf-8") for path in documents()} | generated_pages()


def blocks(document: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of some languages in a document."""
    text = document.read_text(encoding="utf-8")
    named = "|".join(languages)
    return re.findall(rf"^ *```(?:{named})\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def command_lines(document: Path) -> Iterator[list[str]]:
    """Return the words of each `wavebreak` command in a document's shell blocks."""
    for language, prompt in (("sh", ""), ("console", "$ ")):
        for block in blocks(document, language):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.strip().partition(" #")[0].partition(" |")[0].removesuffix("&")
                if line.startswith(f"{prompt}wavebreak "):
                    yield shlex.split(line.removeprefix(prompt))[1:]


@cache
def command_line() -> Any:
    """Return the tree of all commands."""
    command: Any = typer.main.get_command(app)
    if hasattr(command, "load"):
        command.load()
    return command


def problem(words: list[str]) -> str:
    """Return what the command line does not know of a command, or nothing."""
    command = command_line()
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            return f"no command {words[:1]}"
        command, words = command.commands[words[0]], words[1:]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return ", ".join(f"no option {word}" for word in options if word not in known)


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCS / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_document_shows_the_real_output_of_its_commands(name: str) -> None:
    with warm_command.programs() as directory:
        text, differences = run_document(ROOT / name, str(directory))
    assert differences == []
    assert text == (ROOT / name).read_text("utf-8")


def test_example_runner_reports_and_rewrites_another_output(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    stale = "```console\n$ wavebreak --version\nwavebreak is here\n```\n"
    document.write_text(stale, encoding="utf-8")
    result = run_script("run_examples.py", "--check", str(document))
    assert result.returncode == 1
    assert "wavebreak --version" in result.stdout
    assert document.read_text(encoding="utf-8") == stale
    assert run_script("run_examples.py", str(document)).returncode == 0
    assert run_script("run_examples.py", "--check", str(document)).returncode == 0


def test_documented_commands_and_options_exist() -> None:
    problems, seen = [], 0
    for document in documents():
        if document.name == "CHANGELOG.md":
            continue
        for words in command_lines(document):
            seen += 1
            if words[0] != "--version" and (what := problem(words)):
                problems.append(f"{document.relative_to(ROOT)}: {' '.join(words)}: {what}")
    assert seen > 40
    assert problems == []


def test_options_of_the_service_that_documents_show_are_valid(tmp_path: Path) -> None:
    checked = 0
    for document in sorted((DOCS / "how-to").glob("*.md")):
        for text in blocks(document, "toml"):
            if set(tomllib.loads(text)) <= set(groups()):
                file = tmp_path / "wavebreak.toml"
                file.write_text(text, "utf-8")
                assert read_file(file).problems == (), document
                checked += 1
    assert checked >= 2


def test_exit_codes_are_documented_as_declared() -> None:
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    assert rows in (DOCS / "how-to/seal-and-verify.md").read_text("utf-8")
    assert rows in generated_pages()[REFERENCE / "cli.md"]


def test_documented_modules_can_be_run() -> None:
    pattern = re.compile(r"python -m ((?:experiments|benchmarks|support|wavebreak)[\w.]*)")
    named = {name for text in texts().values() for name in pattern.findall(text)}
    named -= {"support.output_digests"}
    assert len(named) >= 3
    for name in named:
        spec = importlib.util.find_spec(name)
        assert spec is not None, name


def test_committed_sample_of_the_settings_is_the_generated_one() -> None:
    assert SAMPLE.read_text("utf-8") == sample_file().rstrip() + "\n", "fix: make docs"


def test_reference_is_written_as_generated_and_its_index_names_each_page(tmp_path: Path) -> None:
    result = run_script("generate_reference.py", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    written = {REFERENCE / path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert written == generated_pages()
    index = (REFERENCE / "index.md").read_text("utf-8")
    assert {path.name for path in written} == set(re.findall(r"\]\(([a-z-]+\.md)\)", index))
    assert all(len(text.splitlines()) > 40 for text in written.values())


def test_no_document_leaves_a_number_to_be_measured() -> None:
    unmeasured = [str(path) for path, text in texts().items() if PLACEHOLDER in text]
    assert unmeasured == []


def test_events_that_documents_show_are_accepted() -> None:
    decoder = msgspec.json.Decoder(Union[EVENTS])  # noqa: UP007 - a tuple known at run time
    for document in (README, DOCS / "tutorial.md"):
        lines = [line for block in blocks(document, "jsonl") for line in block.splitlines()]
        assert len(lines) >= 3
        assert all(decoder.decode(line).account for line in lines)


def test_rule_that_the_readme_shows_is_the_shipped_one() -> None:
    shown = tomllib.loads(blocks(README, "toml")[0])["rule"]
    rule = load_policy().rule(shown[0]["id"])
    assert rule is not None
    shipped = msgspec.json.decode(msgspec.json.encode(rule))
    assert {"id", "on", "when", "outcome", "fires_on"} <= set(shown[0])
    assert {key: shipped[key] for key in shown[0]} == shown[0]


def test_reference_names_every_event_type_kind_and_outcome() -> None:
    text = "".join(generated_pages().values())
    assert [name for name in (*TYPES, *KINDS, *OUTCOMES) if f"`{name}`" not in text] == []


def test_pages_and_modules_name_the_port_of_the_service() -> None:
    sources = [
        path
        for folder in ("integrations", "clients")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".md", ".py", ".lua", ".erl", ".yml", ".ts")
        and not {"tests", "node_modules"} & set(path.parts)
    ]
    assert len(sources) > 40
    synapse, flink = 8008, 8081
    local = re.compile(r"https?://(?:127\.0\.0\.1|localhost):(\d{2,5})\b")
    checked = texts() | {path: path.read_text("utf-8") for path in sources}
    wrong = [
        f"{path.relative_to(ROOT)}: {port}"
        for path, text in checked.items()
        for port in local.findall(text)
        if int(port) not in (Settings.port, synapse, flink)
    ]
    assert wrong == []


def test_linked_files_exist() -> None:
    checked, missing = 0, []
    for document, text in texts().items():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            checked += 1
            path = Path(os.path.normpath(document.parent / target))
            if path not in generated_pages() and not path.exists():
                missing.append(f"{document.relative_to(ROOT)} → {target}")
    assert checked > 100
    assert missing == []


def test_documented_source_files_exist() -> None:
    sources = sorted((ROOT / "packages").glob("*/src/*/"))
    assert len(sources) == 6
    packages = [source.parent for source in sources]
    places = [ROOT, *sources, *packages, ROOT / "packages/engine/src/wavebreak/policy"]
    checked, missing = 0, []
    for document, page in texts().items():
        if document.name == "CHANGELOG.md" or document.parent.name == "adr":
            continue
        text = re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
        for path in re.findall(r"`([\w.-]+/[\w./-]+\.(?:py|toml|json|service))`", text):
            if path.startswith(("out/", "proof/", "my-policy/")):
                continue
            checked += 1
            if not any((place / path).exists() for place in places):
                missing.append(f"{document.relative_to(ROOT)}: {path}")
    assert checked > 50
    assert missing == []


def test_readme_is_short_and_names_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "make demo" in text
    assert "make test" in text


def test_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    for path, text in generated_pages().items():
        (tmp_path / path.relative_to(ROOT)).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 40
    loaded = re.compile(
        r"""(?:<(?:script|img|iframe|source)\b[^>]*\bsrc|<link\b[^>]*\bhref)=["']?(?:https?:)?//"""
    )
    remote = [p.name for p in pages if loaded.search(p.read_text(encoding="utf-8"))]
    assert remote == []
    styles = [
        p
        for p in site.rglob("*.css")
        if re.search(r"url\([\"']?(https?:)?//", p.read_text("utf-8"))
    ]
    assert styles == []
    assert (site / "search" / "search_index.js").exists()


@pytest.mark.parametrize(
    "page", ["reference/events.md", "explanation/limits.md", "explanation/determinism.md"]
)
def test_pages_say_that_a_service_refuses_dates_ahead(page: str) -> None:
    text = " ".join(texts()[DOCS / page].split())
    assert re.search(r"service refuses [^.]*ahead of its clock", text), page
    assert "is accepted at the log's time" not in text, page
