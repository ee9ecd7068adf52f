"""Write requirements.lock and requirements-flink.lock from the seven pyproject.toml.

    python -m packages.lock              # keeps pins that still fit
    python -m packages.lock --upgrade    # the newest version of each package
    python -m packages.lock --audit      # compares both locks with known vulnerabilities

A lock holds versions and hashes for every platform and names no index; uv.lock and pylock.toml hold
the address of each file. Flink pins older libraries and has a separate lock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from packages.environment import FLINK_LOCK, LOCK, PACKAGES, ROOT, VENV, pinned_blocks, uv_variables

HEADER = """\
# Written by `make lock`: pins with hashes, for any index. Sections, each with those before it:
# service (the demo, a service with every extra, cases), build (uv, Node, build back ends), dev
# (training, tests, documentation). One service: sed '/^# build$/,$d' requirements.lock
"""


def resolve(lock: Path, *words: str | Path) -> dict[str, str]:
    """Write a lock for every platform, and return its pins by package.

    Args:
        lock: The file; pins that still fit are kept.
        words: Requirements and options of `uv pip compile`.
    """
    own = ["wavebreak", *(f"wavebreak-{package.name}" for package in PACKAGES[1:])]
    options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    options += [word for name in own for word in ("--no-emit-package", name)]
    command: list[str | Path] = [
        VENV / "bin/uv",
        "pip",
        "compile",
        *options,
        *words,
        "--output-file",
        lock,
    ]
    subprocess.run(command, cwd=ROOT, env=uv_variables(), check=True)
    return pinned_blocks(lock.read_text("utf-8"))


def write_locks(folder: Path, *upgrade: str) -> None:
    """Write both locks.

    Args:
        folder: A directory for files of this run.
        upgrade: An option of uv that raises pins.
    """
    projects = [package / "pyproject.toml" for package in PACKAGES]
    engine, server, cases = projects[:3]
    blocks = resolve(LOCK, *projects, "--all-extras", "--group", "pyproject.toml:dev", *upgrade)
    service = (server, cases, "--all-extras", "--constraint", LOCK)
    sections = {
        "service": resolve(folder / "service", *service),
        "build": resolve(folder / "build", *service, "--group", "pyproject.toml:build"),
        "dev": blocks,
    }
    text, rest = HEADER, dict(blocks)
    for section, pins in sections.items():
        chosen = [rest.pop(name) for name in list(rest) if name in pins]
        text += "".join([f"# {section}\n", *chosen])
    LOCK.write_text(text, "utf-8")
    # Both environments share the compiled kernel, so its compiler is of one version.
    compiler = folder / "compiler"
    pins = [blocks[name].partition(" ")[0] for name in ("numba", "llvmlite")]
    compiler.write_text("\n".join(pins), "utf-8")
    job = ("--group", "packages/flink/pyproject.toml:job", "--python-version", "3.11")
    resolve(FLINK_LOCK, engine, *job, "--constraint", compiler, *upgrade)


def audit_locks() -> int:
    """Compare the locks with published vulnerabilities; returns the exit code.

    A package that cannot be looked up is a failure, not a pass.
    """
    audit: list[str | Path] = [
        VENV / "bin/uv",
        "tool",
        "run",
        "--quiet",
        "--from",
        "pip-audit>=2.7,<3",
        "pip-audit",
    ]
    options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    for lock in (LOCK, FLINK_LOCK):
        command = [*audit, *options, "-r", lock]
        if subprocess.run(command, env=uv_variables(), check=False).returncode:
            print(
                "Fix: make lock UPGRADE=1; where packages could not be looked up, run it where "
                "their index can be asked",
                file=sys.stderr,
            )
            return 1
    print("No known vulnerability in the locks.")
    return 0


def main() -> int:
    """Write the locks, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="raise the pins")
    parser.add_argument("--audit", action="store_true", help="look vulnerabilities up instead")
    options = parser.parse_args()
    if options.audit:
        return audit_locks()
    with tempfile.TemporaryDirectory() as name:
        write_locks(Path(name), *(["--upgrade"] if options.upgrade else []))
    print(f"Wrote {LOCK.name} and {FLINK_LOCK.name}. Next: make test, then commit them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
