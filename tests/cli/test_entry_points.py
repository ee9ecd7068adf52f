"""Ways into the command line: the command, the module, and a shell's completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from wavebreak import __version__

COMMAND = str(Path(sys.executable).with_name("wavebreak"))


def output(*command: str, **environment: str) -> str:
    """What a command prints."""
    return subprocess.run(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip


AS_NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
"""The shell that is named counts, not the one in which the tests were started, which may be sh."""


def test_version_of_command_and_module_is_the_packages() -> None:
    for entry in ([COMMAND], [sys.executable, "-m", "wavebreak"]):
        assert output(*entry, "--version") == f"wavebreak {__version__}\n"


def test_completion_script_of_each_shell_names_the_command() -> None:
    for shell in ("bash", "zsh", "fish"):
        shown = output(COMMAND, "--show-completion", shell, **AS_NAMED)
        assert "_WAVEBREAK_COMPLETE=complete_" in shown


def test_completion_of_a_word_offers_commands_and_options() -> None:
    asked = {"_WAVEBREAK_COMPLETE": "complete_bash"}
    found = output(COMMAND, COMP_WORDS="wavebreak re", COMP_CWORD="1", **asked)
    assert {"replay", "restore"} <= set(found.split())
    found = output(COMMAND, COMP_WORDS="wavebreak rules ", COMP_CWORD="2", **asked)
    assert {"check", "list"} <= set(found.split())
    found = output(COMMAND, COMP_WORDS="wavebreak run --enf", COMP_CWORD="2", **asked)
    assert found.split() == ["--enforce"]


def test_completion_is_installed_in_the_home_directory(tmp_path: Path) -> None:
    output(COMMAND, "--install-completion", "bash", HOME=str(tmp_path), **AS_NAMED)
    assert "wavebreak" in (tmp_path / ".bash_completions" / "wavebreak.sh").read_text("utf-8")
