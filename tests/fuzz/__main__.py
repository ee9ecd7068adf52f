"""Fuzz targets from the command line: `python -m fuzz --seconds 60`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

from fuzz import targets
from wavebreak.bundles import archive_reader
from wavebreak.service import cloudevents, request_decoder

INSTRUMENTED = (
    archive_reader.unpack,
    cloudevents.structured_to_lines,
    request_decoder.decompress,
    request_decoder.RequestDecoder.decode,
)
"""What is guided by coverage. Numba cannot compile instrumented functions."""

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 4096


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends the process."""
    with tempfile.TemporaryDirectory() as fresh:
        corpus = Path(fresh)
        for number, seed in enumerate(targets.TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        kept = CORPUS / name
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


def main() -> int:
    """Fuzz each target in a process of its own; print what was tried, and what was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="inputs that fail")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = given.targets or list(targets.TARGETS)
    if wrong := set(chosen) - set(targets.TARGETS):
        parser.error(f"there is no target {sorted(wrong)[0]}")
    given.found.mkdir(parents=True, exist_ok=True)
    if given.here:
        fuzz(chosen[0], given.seconds, given.found)
        return 0
    failed = 0
    for name in chosen:
        options = ["--seconds", str(given.seconds), "--found", str(given.found), "--here"]
        command = [sys.executable, "-m", "fuzz", name, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stats = dict(
            line.removeprefix("stat::").split(":", 1)
            for line in done.stderr.splitlines()
            if line.startswith("stat::")
        )
        tried = int(stats.get("number_of_executed_units", "0"))
        state = "found" if done.returncode else "nothing found"
        print(f"{name}: {tried:,} inputs, {state}", flush=True)
        if done.returncode:
            failed += 1
            print("\n".join(done.stderr.splitlines()[-25:]))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
