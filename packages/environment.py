"""Make an environment of this checkout from the lock; any Python runs this file without a package.

    python packages/environment.py venv       # an empty .venv
    python packages/environment.py service    # requirements of the demo and a service; the packages
    python packages/environment.py dev        # requirements of tests, documentation and development
    python packages/environment.py flink      # .venv-flink: the job on Apache Flink

uv installs from the index that pip is set to use; pip installs where uv fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [
    ROOT / "packages" / name for name in ("engine", "server", "cases", "business", "lab", "flink")
]
"""The distributions of this checkout; each requires only earlier ones."""
LOCK = ROOT / "requirements.lock"
FLINK_LOCK = ROOT / "requirements-flink.lock"
VENV = ROOT / ".venv"
FLINK_VENV = ROOT / ".venv-flink"
RECORD = ".made-by"
"""File of an environment that names the Python that made it."""
DESCRIBE_PYTHON = """\
import sys, sysconfig
print(sys.version.split()[0], sysconfig.get_config_var("SOABI"), sys.base_prefix)
"""


class SetupError(Exception):
    """The set-up cannot continue; the message gives the reason and the fix."""


def describe_python(python: Path) -> str:
    """Return version, ABI and installation of a Python; empty if it does not start."""
    try:
        command: list[str | Path] = [python, "-c", DESCRIBE_PYTHON]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return process.stdout.strip()


def make_venv(venv: Path, python: Path, *, is_chosen: bool = False) -> None:
    """Make an environment, unless a usable one exists.

    An environment of a Python that changed, or with libraries of two Pythons, is replaced.

    Args:
        venv: Directory of the environment.
        python: The Python that makes it.
        is_chosen: Whether an environment of another Python is replaced.

    Raises:
        SetupError: The Python is too old, or has no module `venv`.
    """
    record = venv / RECORD
    description = describe_python(python)
    current = describe_python(venv / "bin" / "python")
    former = record.read_text("utf-8").strip() if record.exists() else current
    is_wanted = current == description or not is_chosen
    if current and current == former and is_wanted and len([*venv.glob("lib/python3.*")]) == 1:
        if not record.exists():
            record.write_text(current + "\n", "utf-8")
            # As old as the environment: what is installed stays installed.
            shutil.copystat(venv / "pyvenv.cfg", record)
        return
    version = description.partition(" ")[0]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (3, 11):
        raise SetupError(
            f"Wavebreak needs Python 3.11 or newer; {python} is {version or 'none'}.\n"
            "Fix: install it, or name it: make PYTHON=/path/to/python3.11"
        )
    if (venv / "pyvenv.cfg").exists():
        print(f"{venv.name} is of another Python ({former or 'removed'}): it is made anew")
    print(f"1 of 2: preparing {venv.name} with Python {version} ({python})", flush=True)
    if subprocess.run([python, "-m", "venv", "--clear", venv], check=False).returncode:
        raise SetupError("Fix: install what venv needs (Debian: apt-get install python3-venv)")
    record.write_text(description + "\n", "utf-8")


def pinned_blocks(lock: str) -> dict[str, str]:
    """Return the pins of a lock by package; a package may have one for each range of Pythons."""
    blocks: dict[str, str] = {}
    for block in re.findall(r"^[a-z].*\n(?:[ \t].*\n)*", lock, re.MULTILINE):
        name = re.split(r"[\[=]", block)[0]
        blocks[name] = blocks.get(name, "") + block
    return blocks


def lock_sections(*names: str) -> str:
    """Return the pins of some sections of requirements.lock."""
    parts = re.split(r"^# (\w+)$\n", LOCK.read_text("utf-8"), flags=re.MULTILINE)
    return "".join(
        pins for name, pins in zip(parts[1::2], parts[2::2], strict=True) if name in names
    )


def pip(venv: Path, *words: str | Path) -> None:
    """Install with pip of an environment."""
    options = ("--disable-pip-version-check", "--quiet", "--progress-bar", "off")
    subprocess.run([venv / "bin/python", "-m", "pip", "install", *options, *words], check=True)


def uv_variables() -> dict[str, str]:
    """Return the environment of uv: the system's certificates, and the index of pip."""
    command: list[str | Path] = [
        VENV / "bin/python",
        "-m",
        "pip",
        "config",
        "get",
        "global.index-url",
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    index = os.environ.get("PIP_INDEX_URL") or process.stdout.strip()
    variables = {"UV_SYSTEM_CERTS": "1", **({"UV_DEFAULT_INDEX": index} if index else {})}
    return {**variables, **os.environ}


def install_pins(venv: Path, pins: str, *options: str) -> None:
    """Install pinned packages, checked by their hashes."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pins)
        file.flush()
        words = ("--require-hashes", "-r", file.name)
        uv: list[str | Path] = [
            VENV / "bin/uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            venv / "bin/python",
        ]
        if subprocess.run([*uv, *options, *words], env=uv_variables(), check=False).returncode:
            print("uv failed; pip installs instead (a minute or two)", flush=True)
            pip(venv, *words)


def install_packages(venv: Path, packages: list[Path]) -> None:
    """Install distributions of this checkout as editable packages, without requirements."""
    editables = [word for package in packages for word in ("--editable", package)]
    pip(venv, "--no-deps", "--no-build-isolation", *editables)


def set_up_service() -> None:
    """Install the requirements of the demo and a service, and the distributions, into .venv."""
    print("2 of 2: installing what requirements.lock pins (once; seconds, and the download)")
    pins = lock_sections("service", "build")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned_blocks(pins)["uv"])
        file.flush()
        pip(VENV, "--require-hashes", "-r", file.name)
    install_pins(VENV, pins)
    install_packages(VENV, PACKAGES)


def set_up_dev() -> None:
    """Install every package of the lock into .venv."""
    print("Installing what requirements.lock adds for tests and development (once)", flush=True)
    install_pins(VENV, LOCK.read_text("utf-8"), "--compile-bytecode")


def set_up_flink() -> None:
    """Make .venv-flink: Flink pins older libraries than Wavebreak's own.

    Raises:
        SetupError: Flink does not support this Python or Java, or there is no Java.
    """
    version = describe_python(VENV / "bin/python").partition(" ")[0]
    if not version.startswith(("3.11.", "3.12.")):
        raise SetupError(
            f"Flink's Python packages need Python 3.11 or 3.12, and .venv has {version}.\n"
            "Fix: make scale PYTHON=/path/to/python3.11"
        )
    java = shutil.which("java") or "false"
    process = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    release = re.search(r'version "(\d+)', process.stderr)
    if release is None or int(release[1]) < 11:
        raise SetupError(
            "Flink needs Java 11 or newer, and there is no such java on the PATH.\n"
            "Fix: install one (Debian: apt-get install openjdk-17-jre-headless)"
        )
    print("Installing Apache Flink into .venv-flink (once; 300 MB)", flush=True)
    subprocess.run([VENV / "bin/python", "-m", "venv", "--clear", FLINK_VENV], check=True)
    install_pins(FLINK_VENV, FLINK_LOCK.read_text("utf-8"), "--compile-bytecode")
    install_packages(FLINK_VENV, [PACKAGES[0], PACKAGES[-1]])


def main() -> int:
    """Carry out one step; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("step", choices=["venv", "service", "dev", "flink"])
    parser.add_argument("--chosen", action="store_true", help="venv: of the Python that runs this")
    options = parser.parse_args()
    steps = {"service": set_up_service, "dev": set_up_dev, "flink": set_up_flink}
    try:
        if options.step == "venv":
            # Not the environment's own Python, where that one runs this file.
            python = Path(getattr(sys, "_base_executable", "") or sys.executable)
            make_venv(VENV, python, is_chosen=options.chosen)
        else:
            steps[options.step]()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
