"""Fuzz targets from the command line: `python -m fuzz --seconds 60`.

`--bounds` tries the inputs of seeds and corpus, and mutations of them, with compiled code that
checks the bounds of every array. That code is compiled once, in a cache of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

import atheris
import numba

from fuzz import targets
from fuzz.mutations import MOST_BYTES, mutations
from wavebreak.compiled.code_cache import cache_root
from wavebreak_cases.bundles import archive_reader
from wavebreak_server.pipeline import request_decoder

MOST_MUTATIONS = 10_000_000
INSTRUMENTED = (
    archive_reader.unpack,
    request_decoder.decompress,
    request_decoder.RequestDecoder.decode,
)
"""What is guided by coverage. Numba cannot compile instrumented functions."""


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends the process."""
    with tempfile.TemporaryDirectory() as fresh:
        corpus = Path(fresh)
        for number, seed in enumerate(targets.TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
            # What is compiled or made once is no part of the time.
            targets.run(name, seed)
        kept = targets.CORPUS / name
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={MOST_BYTES}",
            "-rss_limit_mb=4096",
            "-timeout=30",
            "-print_final_stats=1",
            f"-artifact_prefix={found}/{name}-",
        ]
        for function in INSTRUMENTED:
            atheris.instrument_func(function)
        places = [str(corpus), *([str(kept)] if kept.is_dir() else [])]
        atheris.Setup([sys.argv[0], *options, *places], lambda data: targets.run(name, data))
        atheris.Fuzz()


def check_bounds(name: str, seconds: float, found: Path) -> int:
    """Try inputs with compiled code that checks bounds; return how many were tried.

    Raises:
        AssertionError: An input fails; it is in `found`.
    """
    settings: Any = numba.config
    assert settings.BOUNDSCHECK, "the compiled code does not check bounds"
    unraisable: list[Any] = []
    # What a callback raises cannot pass through compiled code.
    sys.unraisablehook = unraisable.append
    known, tried, end = targets.inputs(name), 0, float("inf")
    for data in chain(known, mutations(name, known, MOST_MUTATIONS)):
        if tried == len(known):
            # What is compiled or made once is no part of the time.
            end = time.monotonic() + seconds
        elif time.monotonic() >= end:
            break
        try:
            targets.run(name, data)
            assert not unraisable, unraisable[0].exc_value
        except Exception as error:
            (found / f"{name}-bounds").write_bytes(data)
            raise AssertionError(f"{name}: {error!r}") from error
        tried += 1
    return tried


def _run_apart(name: str, given: argparse.Namespace) -> tuple[int, int, str]:
    """Run one target in a process; return its exit code, how many inputs it tried, and its end."""
    options = ["--seconds", str(given.seconds), "--found", str(given.found), "--here"]
    surroundings = dict(os.environ)
    if given.bounds:
        options.append("--bounds")
        place = cache_root() / "bounds-checked"
        surroundings |= {"NUMBA_BOUNDSCHECK": "1", "WAVEBREAK_CACHE": str(place)}
    command = [sys.executable, "-m", "fuzz", name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
    stats = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::")
    )
    tried = int(stats.get("number_of_executed_units", "0"))
    return done.returncode, tried, "\n".join(done.stderr.splitlines()[-25:])


def main() -> int:
    """Fuzz each target in a process of its own; print what was tried, and what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--hours", type=float, help="for all targets together, in equal parts")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="inputs that fail")
    parser.add_argument("--bounds", action="store_true", help="check the bounds of arrays")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = given.targets or list(targets.TARGETS)
    if wrong := set(chosen) - set(targets.TARGETS):
        parser.error(f"there is no target {sorted(wrong)[0]}")
    if given.hours is not None:
        given.seconds = max(1, int(given.hours * 3600 / len(chosen)))
    given.found.mkdir(parents=True, exist_ok=True)
    if given.here:
        if given.bounds:
            tried = check_bounds(chosen[0], given.seconds, given.found)
            print(f"stat::number_of_executed_units: {tried}", file=sys.stderr)
        else:
            fuzz(chosen[0], given.seconds, given.found)
        return 0
    failed = 0
    for name in chosen:
        code, tried, end = _run_apart(name, given)
        print(f"{name}: {tried:,} inputs, {'found' if code else 'nothing found'}", flush=True)
        if code:
            failed += 1
            print(end)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
