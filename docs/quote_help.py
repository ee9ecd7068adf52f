"""Quote each command's real `--help` in a Markdown file, between its markers.

A quoted block reads

    <!-- help: wavebreak run -->
    ```text
    (what `wavebreak run --help` prints)
    ```
    <!-- /help -->

`make docs` writes the blocks of docs/commands.md anew; `--check` writes nothing and fails if one is
stale.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"<!-- help: (?P<command>[a-z][a-z -]*[a-z]) -->\n```text\n(?P<quoted>.*?)```\n<!-- /help -->",
    re.DOTALL,
)
# One width, no colour, no cursor: the same text on every terminal and on none.
PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
COLOURING = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}


def real_help(command: str) -> str:
    """Run `command --help` and give what it prints, without trailing spaces and outer blank lines.

    The command runs from this interpreter's environment; `subprocess.CalledProcessError` if it
    fails.
    """
    program, *verbs = shlex.split(command)
    environment = {k: v for k, v in os.environ.items() if k not in COLOURING} | PLAIN
    printed = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *verbs, "--help"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.rstrip() for line in printed.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def quoted(text: str) -> dict[str, str]:
    """Each command that `text` quotes, with the help it quotes."""
    return {block["command"]: block["quoted"] for block in BLOCK.finditer(text)}


def requoted(text: str) -> str:
    """`text` with every block's help replaced by the real one."""
    commands = list(quoted(text))
    with ThreadPoolExecutor(max_workers=2) as pool:
        real = dict(zip(commands, pool.map(real_help, commands), strict=True))

    def block(match: re.Match[str]) -> str:
        command = match["command"]
        return f"<!-- help: {command} -->\n```text\n{real[command]}```\n<!-- /help -->"

    return BLOCK.sub(block, text)


def main(arguments: list[str]) -> int:
    """Requote, or with `--check` compare, a file (docs/commands.md); 1 if a block was stale."""
    check = "--check" in arguments
    named = [argument for argument in arguments if argument != "--check"]
    path = Path(named[0]) if named else ROOT / "docs" / "commands.md"
    before = path.read_text(encoding="utf-8")
    try:
        after = requoted(before)
    except subprocess.CalledProcessError as failed:
        last = (failed.stderr.strip().splitlines() or ["without a word"])[-1]
        print(f"{' '.join(failed.cmd)} failed: {last}")
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
