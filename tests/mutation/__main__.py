"""The mutation figure from the command line: `PYTHONPATH=tests python -m mutation`.

Each bug is planted by itself in a scratch copy of the repository, never in the checkout, and the
tests named beside it run there. Exit code 1 where one survives, or cannot be planted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mutation.bugs import ROOT, Bug, load_bugs
from wavebreak.compiled.code_cache import cache_root

LONGEST_S = 600
"""A run of tests that takes longer hangs: that is noticed, too."""
LEFT_OUT = (
    ".git", ".venv", "site", "dist", "demo-out", "node_modules", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".hypothesis",
)  # fmt: skip
FAILED = 1
"""What pytest returns where tests ran and failed; any other code but 0 says that none did."""


@contextmanager
def scratch_copy() -> Iterator[Path]:
    """Give a copy of the repository, and beside it one of the machine code, for the block."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        copy = Path(place) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        if cache_root().is_dir():
            # A planted bug in a kernel must not be left in the cache that others use.
            shutil.copytree(cache_root(), Path(place) / "cache", symlinks=True)
        yield copy


class Trial:
    """Plants bugs in a copy of the repository, and runs tests there."""

    def __init__(self, copy: Path) -> None:
        self._copy = copy
        sources = [*sorted(copy.glob("packages/*/src")), copy / "tests", copy]
        self._surroundings = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, sources)),
            "WAVEBREAK_CACHE": str(copy.parent / "cache"),
        }
        # Compiled modules are told apart by the second: each content gets one of its own.
        self._seconds = itertools.count(int(time.time()))

    def __call__(self, bug: Bug) -> str:
        """Return `caught` or `survived`; raises ValueError where it cannot be tried."""
        path = self._copy / bug.file
        content, planted = path.read_text("utf-8"), bug.planted(self._copy)
        self._write(path, planted)
        try:
            return self._verdict(bug)
        finally:
            self._write(path, content)

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content, "utf-8")
        second = next(self._seconds)
        os.utime(path, (second, second))

    def _verdict(self, bug: Bug) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, *bug.tests],
                cwd=self._copy,
                env=self._surroundings,
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "caught"
        if done.returncode not in (0, FAILED):
            last = "\n".join(done.stdout.splitlines()[-12:])
            raise ValueError(f"{bug.name}: its tests did not run\n{last}\n{done.stderr[-500:]}")
        return "caught" if done.returncode else "survived"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant bugs one at a time; print which are caught, and the share."""
    parser = argparse.ArgumentParser(
        prog="python -m mutation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this bug")
    parser.add_argument("--area", action="append", default=[], help="the bugs of this area")
    parser.add_argument("--list", action="store_true", help="list the bugs, and plant none")
    given = parser.parse_args(arguments)
    bugs = load_bugs()
    if wrong := {*given.only} - {bug.name for bug in bugs} or {*given.area} - {
        b.area for b in bugs
    }:
        parser.error(f"there is no bug or area {sorted(wrong)[0]}: see --list")
    if given.only or given.area:
        bugs = [bug for bug in bugs if bug.name in given.only or bug.area in given.area]
    if given.list:
        for bug in bugs:
            print(f"{bug.area:<14} {bug.name}: {bug.breaks}")
        return 0
    return show(bugs)


def show(bugs: Sequence[Bug]) -> int:
    """Plant bugs one at a time; print and return as `main`."""
    counts, faults, began = Counter[str](), 0, time.monotonic()
    with scratch_copy() as copy:
        trial = Trial(copy)
        for bug in bugs:
            start = time.monotonic()
            try:
                verdict = trial(bug)
            except ValueError as error:
                faults += 1
                print(f"error     {error}", flush=True)
                continue
            counts[verdict] += 1
            said = "" if verdict == "caught" else f": {bug.breaks}"
            print(f"{verdict:<9} {time.monotonic() - start:4.0f} s  {bug.name}{said}", flush=True)
    tried = counts["caught"] + counts["survived"]
    share = f"{counts['caught'] / tried:.0%}" if tried else "none"
    print(f"{counts['caught']} of {tried} bugs caught ({share}), {faults} not tried, ", end="")
    print(f"{time.monotonic() - began:.0f} s")
    return int(bool(counts["survived"] or faults))


if __name__ == "__main__":
    sys.exit(main())
