"""Chromium for the tests that take screenshots: found, or installed by running this file.

As root Debian's package is installed, otherwise Playwright's own build, below the user's cache.
Nothing is passed over where there is none: the tests fail with the same words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wavebreak.errors import ClaimError, WavebreakError
from wavebreak_cases.claims.screenshot import find_browser

FIX = (
    "install it (Debian: apt-get install chromium), or put one named chromium or google-chrome on "
    "the PATH; for tests that need none: make test TESTS=packages/engine/tests"
)


def chromium() -> Path:
    """The browser of this machine; raises ClaimError where there is none that starts."""
    found = find_browser()
    if found is None:
        raise ClaimError("no Chromium is installed, and the page capture tests need one", fix=FIX)
    started = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    if started.returncode:
        said = (started.stderr.strip() or started.stdout.strip()).splitlines()[-1:]
        raise ClaimError(f"{found} does not start: {''.join(said)}", fix=FIX)
    return found


def installed() -> bool:
    """Whether a browser is there that starts."""
    try:
        chromium()
    except ClaimError:
        return False
    return True


def ways() -> list[tuple[str, list[list[str]]]]:
    """How it may be installed here, in turn: what to say, and the commands."""
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    ways = [("Installing Chromium for the page capture tests (Playwright's build)", [playwright])]
    if os.geteuid() == 0 and (apt := shutil.which("apt-get")):
        install = [apt, "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
        debian = "Installing Chromium for the page capture tests (Debian's package)"
        ways.insert(0, (debian, [[apt, "update", "--quiet"], install]))
    return ways


def run(commands: Sequence[Sequence[str]]) -> None:
    """Run commands until one fails, and show what that one says."""
    for command in commands:
        done = subprocess.run(
            command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            print(*done.stdout.strip().splitlines()[-5:], sep="\n", file=sys.stderr)
            return


def main() -> None:
    """Install it where there is none; exit code 1 and what to do where that cannot be."""
    for title, commands in ways():
        if installed():
            return
        print(title, flush=True)
        run(commands)
    try:
        chromium()
    except WavebreakError as error:
        sys.exit(f"error: {error.what}\nfix: {error.fix}")


if __name__ == "__main__":
    main()
