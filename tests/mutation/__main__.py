"""The mutation figure from the command line: `PYTHONPATH=tests python -m mutation`.

Each bug is planted by itself in a scratch copy of the repository, never in the checkout, and the
tests named beside it run there. A test that fails with a bug runs again without one: only if it
then passes is the bug caught. With `--resume FILE` results are kept there, and bugs that have one
are not planted again: the share is built over several sessions. Exit code 1 where a bug survives,
or cannot be tried.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from mutation.bugs import ROOT, Bug, load_bugs
from mutation.results import Result, Results, summary
from wavebreak.compiled.code_cache import cache_root

LONGEST_S = 240
"""A run of tests that takes longer hangs: that is noticed, too."""
LEFT_OUT = (
    ".git", ".venv", "site", "dist", "demo-out", "node_modules", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".hypothesis",
)  # fmt: skip
BATCH = 8
"""So many bugs, and then the tests that failed run together without any."""
HUNG = "takes too long"
_FAILURE = r"^(?:FAILED|ERROR) (\S+?::\w+(?:\[.*?\])?)(?: - .*)?$"
"""A line of pytest's summary; a test's id may have spaces."""
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

    def __init__(self, copy: Path, longest_s: float = LONGEST_S) -> None:
        self._copy, self._longest = copy, longest_s
        sources = [*sorted(copy.glob("packages/*/src")), copy / "tests", copy]
        self._surroundings = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, sources)),
            "WAVEBREAK_CACHE": str(copy.parent / "cache"),
        }
        # Compiled modules are told apart by the second: each content gets one of its own.
        self._seconds = itertools.count(int(time.time()))

    def __call__(self, bug: Bug) -> Result:
        """Return what became of a bug; raises ValueError where it cannot be tried."""
        path, start = self._copy / bug.file, time.monotonic()
        content, planted = path.read_text("utf-8"), bug.planted(self._copy)
        self._write(path, planted)
        try:
            failed = next(iter(self._failed_tests(bug.tests, "-x")), "")
        finally:
            self._write(path, content)
        verdict = "caught" if failed else "survived"
        seconds = round(time.monotonic() - start)
        return Result(bug.name, verdict, failed, str(date.today()), seconds, bug.digest)

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content, "utf-8")
        second = next(self._seconds)
        os.utime(path, (second, second))

    def failing_anyway(self, results: Sequence[Result]) -> set[str]:
        """Return which of the tests that failed with a bug fail without one, too."""
        tests = dict.fromkeys(result.test for result in results if "::" in result.test)
        failed = self._failed_tests([*tests]) if tests else []
        return {*tests} if HUNG in failed else {*failed}

    def _failed_tests(self, tests: Sequence[str], *options: str) -> list[str]:
        """Return the tests that fail; `HUNG` where all of them together took too long."""
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                [*command, "--tb=no", "-rfE", *options, *tests],
                cwd=self._copy,
                env=self._surroundings,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(self._longest)
            except subprocess.TimeoutExpired:
                # Servers that the tests started are in the session, too.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return [HUNG]
            said.seek(0)
            output = said.read()
        if code not in (0, FAILED):
            raise ValueError(f"{tests[0]} did not run: {' '.join(output.split()[-40:])}")
        return re.findall(_FAILURE, output, re.M)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant bugs one at a time; print which are caught, and the share."""
    parser = argparse.ArgumentParser(
        prog="python -m mutation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this bug")
    parser.add_argument("--area", action="append", default=[], help="the bugs of this area")
    parser.add_argument("--list", action="store_true", help="list the bugs, and plant none")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="read and add results there")
    parser.add_argument("--again", action="store_true", help="also those that have a result")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="plant none later")
    parser.add_argument("--table", action="store_true", help="print the results, and plant none")
    given = parser.parse_args(arguments)
    every, results = load_bugs(), Results(given.resume)
    if wrong := {*given.only} - {bug.name for bug in every} or {*given.area} - {
        b.area for b in every
    }:
        parser.error(f"there is no bug or area {sorted(wrong)[0]}: see --list")
    bugs = every
    if given.only or given.area:
        bugs = [bug for bug in bugs if bug.name in given.only or bug.area in given.area]
    if given.list:
        for bug in bugs:
            print(f"{bug.area:<14} {bug.name}: {bug.breaks}")
        return 0
    if given.table:
        print(summary(every, results), end="")
        return 0
    due = [bug for bug in bugs if given.again or results.of(bug) is None]
    faults = plant(due, results, time.monotonic() + 60 * given.minutes)
    tried = [result for bug in bugs if (result := results.of(bug))]
    caught = sum(result.verdict == "caught" for result in tried)
    share = f"{caught / len(tried):.0%}" if tried else "none"
    print(f"{caught} of {len(tried)} bugs caught ({share}), {len(bugs) - len(tried)} not tried")
    return int(bool(faults or caught < len(tried)))


def plant(bugs: Sequence[Bug], results: Results, until: float) -> int:
    """Plant bugs one at a time, print and keep each result; return how many could not be tried.

    Args:
        bugs: The bugs.
        results: Where results are kept.
        until: No bug is planted after this time, by the monotonic clock.
    """
    faults = 0
    with scratch_copy() as copy:
        trial = Trial(copy)
        for first in range(0, len(bugs), BATCH):
            tried: list[Result] = []
            for bug in bugs[first : first + BATCH]:
                if time.monotonic() > until:
                    break
                try:
                    tried.append(result := trial(bug))
                except ValueError as error:
                    faults += 1
                    print(f"error     {error}", flush=True)
                    continue
                said = result.test or bug.breaks
                print(f"{result.verdict:<9} {result.seconds:4} s  {bug.name}: {said}", flush=True)
            try:
                broken = trial.failing_anyway(tried)
            except ValueError as error:
                faults += len(tried)
                print(f"error     {error}", flush=True)
                continue
            for result in tried:
                if result.test in broken:
                    faults += 1
                    print(f"error     {result.name}: {result.test} fails without it, too")
                else:
                    results.add(result)
    return faults


if __name__ == "__main__":
    sys.exit(main())
