"""Quote each command's real `--help` in a Markdown file, between its markers.

A quoted block reads

    <!-- help: wavebreak run -->
    ```text
    (what `wavebreak run --help` prints)
    ```
    <!-- /help -->

`make docs` writes the blocks of docs/commands.md anew; `--check` writes nothing and fails if one is
stale. All help is made in this process: a start of the command for each would take a minute. A test
holds some of it against what the command itself prints.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from wavebreak.cli import app

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"<!-- help: (?P<command>[a-z][a-z -]*[a-z]) -->\n```text\n(?P<quoted>.*?)```\n<!-- /help -->",
    re.DOTALL,
)
# One width, no colour, no cursor: the same text on every terminal and on none.
PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
COLOURING = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}


def real_help(command: str) -> str:
    """Give what `command --help` prints, without trailing spaces and outer blank lines.

    `LookupError` if it fails.
    """
    program, *verbs = shlex.split(command)
    printed, told, code = io.StringIO(), io.StringIO(), None
    with redirect_stdout(printed), redirect_stderr(told):
        try:
            app([*verbs, "--help"], prog_name=program)
        except SystemExit as ended:
            code = ended.code
    if code:
        last = (told.getvalue().strip().splitlines() or ["without a word"])[-1]
        raise LookupError(f"{command} --help failed: {last}")
    return tidy(printed.getvalue())


def tidy(printed: str) -> str:
    """Without spaces at the ends of lines and blank lines around."""
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n") + "\n"


def quoted(text: str) -> dict[str, str]:
    """Each command that `text` quotes, with the help it quotes."""
    return {block["command"]: block["quoted"] for block in BLOCK.finditer(text)}


def requoted(text: str) -> str:
    """`text` with every block's help replaced by the real one."""
    real = {command: real_help(command) for command in quoted(text)}

    def block(match: re.Match[str]) -> str:
        command = match["command"]
        return f"<!-- help: {command} -->\n```text\n{real[command]}```\n<!-- /help -->"

    return BLOCK.sub(block, text)


def main(arguments: list[str]) -> int:
    """Requote, or with `--check` compare, a file (docs/commands.md); 1 if a block was stale."""
    for name in COLOURING:
        os.environ.pop(name, None)
    os.environ.update(PLAIN)
    check = "--check" in arguments
    named = [argument for argument in arguments if argument != "--check"]
    path = Path(named[0]) if named else ROOT / "docs" / "commands.md"
    before = path.read_text(encoding="utf-8")
    try:
        after = requoted(before)
    except LookupError as failed:
        print(failed)
        return 1
    old, new = quoted(before), quoted(after)
    stale = [command for command in new if new[command] != old[command]]
    print(f"{path.name}: {len(new)} commands quoted, {len(stale)} of them stale")
    if check:
        for command in stale:
            print(f"stale: {command} — fix: make docs")
        return 1 if stale else 0
    path.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
