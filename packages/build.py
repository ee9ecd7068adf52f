"""Build every package of Wavebreak into `dist/`, all of one version.

    python packages/build.py                     # into dist/
    python packages/build.py --out DIR           # elsewhere

Wheels and source archives of the six distributions, of the Python client and of the Synapse
module; the npm package of the TypeScript client; a rock of the Prosody module, for LuaRocks and
`prosodyctl install`; an archive of the ejabberd module, for `ejabberdctl module_install`. The same
commit makes the same bytes where `SOURCE_DATE_EPOCH` is set.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import yaml

ROOT = Path(__file__).resolve().parents[1]
PYTHON = (
    *sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")),
    ROOT / "clients" / "python",
    ROOT / "integrations" / "synapse",
)
NPM = ROOT / "clients" / "typescript"
PROSODY = ROOT / "integrations" / "prosody" / "mod_wavebreak"
EJABBERD = ROOT / "integrations" / "ejabberd" / "mod_wavebreak"
ROCK_REVISION = 1
"""Revision of the rockspec, which LuaRocks puts behind the version."""


class BuildError(Exception):
    """A package cannot be built; the message says why."""


def version() -> str:
    """Return the version of this checkout, which the engine's project declares."""
    file = ROOT / "packages" / "engine" / "pyproject.toml"
    return str(tomllib.loads(file.read_text("utf-8"))["project"]["version"])


def npm_version(python_version: str) -> str:
    """Return a Python version as npm writes it.

    >>> npm_version("0.3.0"), npm_version("0.3.0.dev0"), npm_version("0.3.0rc2")
    ('0.3.0', '0.3.0-dev.0', '0.3.0-rc.2')
    """
    found = re.fullmatch(r"(\d+\.\d+\.\d+)(?:\.?(dev|a|b|rc)(\d+))?", python_version)
    if found is None:
        raise BuildError(f"{python_version} is no version such as 0.3.0, 0.3.0.dev0 or 0.3.0rc1")
    return f"{found[1]}-{found[2]}.{found[3]}" if found[2] else found[1]


def python_package(folder: Path, out: Path, *targets: str) -> None:
    """Build a Python distribution without a network: the builder is a development package.

    Args:
        folder: Where its `pyproject.toml` is.
        out: Where the archives go.
        *targets: `wheel`, `sdist`; the wheel alone by default.

    Raises:
        BuildError: Where the builder fails.

    """
    chosen = [word for target in targets or ("wheel",) for word in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{folder.relative_to(ROOT)}: {done.stderr.strip()[-2000:]}")


def npm_package(out: Path) -> Path:
    """Build the TypeScript client's package with the Node of the console's build.

    Args:
        out: Where the archive goes.

    Returns:
        The archive.

    """
    console = _frontend()
    console.install_packages(lambda line: print(line, file=sys.stderr), tests=True)
    node, npm = console.node_commands()
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", os.defpath)])
    tsc = str(console.MODULES / "typescript" / "bin" / "tsc")
    packed = ""
    for command in (
        [tsc, "-p", str(NPM)],
        [npm, "pack", "--json", "--ignore-scripts", "--pack-destination", str(out.resolve())],
    ):
        done = subprocess.run(
            [node, *command], cwd=NPM, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BuildError(f"clients/typescript: {(done.stdout + done.stderr).strip()[-2000:]}")
        packed = done.stdout
    (made,) = json.loads(packed)
    return out / str(made["filename"])


def rockspec(of_version: str) -> str:
    """Return the rockspec of the Prosody module; its README names the modules beside the first."""
    head = (PROSODY / "README.md").read_text("utf-8").split("---\n")[1].removesuffix("...\n")
    about = yaml.safe_load(head.partition("\n...")[0])
    named = {"mod_wavebreak.mod_wavebreak": "mod_wavebreak.lua"}
    named |= about["rockspec"]["build"]["modules"]
    modules = "\n".join(f'    ["{name}"] = "{file}",' for name, file in named.items())
    return f"""\
package = "mod_wavebreak"
version = "{of_version}-{ROCK_REVISION}"
source = {{ url = "file://mod_wavebreak-{of_version}.tar.gz" }}
description = {{ summary = "{about["summary"]}", license = "MIT" }}
dependencies = {{ "lua >= 5.2" }}
build = {{
  type = "builtin",
  modules = {{
{modules}
  }},
}}
"""


def rock(out: Path) -> Path:
    """Build the Prosody module as a rock that carries its sources.

    Args:
        out: Where the rock goes.

    Returns:
        The rock: `luarocks install FILE`, or `prosodyctl install --server=DIR mod_wavebreak`.

    """
    of_version = version()
    made = out / f"mod_wavebreak-{of_version}-{ROCK_REVISION}.src.rock"
    members = {
        f"mod_wavebreak-{of_version}-{ROCK_REVISION}.rockspec": rockspec(of_version).encode(),
        f"mod_wavebreak-{of_version}.tar.gz": _archive(PROSODY, f"mod_wavebreak-{of_version}"),
    }
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return made


def ejabberd_module(out: Path) -> Path:
    """Build the archive of the ejabberd module, with the layout of contributed modules.

    Args:
        out: Where the archive goes.

    Returns:
        The archive, to be unpacked in `~/.ejabberd-modules/sources`.

    """
    made = out / f"ejabberd-mod_wavebreak-{version()}.tar.gz"
    made.write_bytes(_archive(EJABBERD, "mod_wavebreak"))
    return made


def _archive(folder: Path, name: str) -> bytes:
    """Return a folder's tracked files as a compressed archive whose bytes depend on them alone."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(folder):
            member = tarfile.TarInfo(f"{name}/{path.relative_to(folder).as_posix()}")
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
    return gzip.compress(plain.getvalue(), mtime=0)


def _files(folder: Path) -> Iterable[Path]:
    kept = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in kept if not re.search(r"/(tests|__pycache__|ebin)/", str(path)))


def _frontend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frontend_build", ROOT / "frontend" / "build.py")
    if spec is None or spec.loader is None:
        raise BuildError("frontend/build.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main(words: list[str] | None = None) -> int:
    """Build everything; print what was made."""
    parser = argparse.ArgumentParser(
        description="Build every package of Wavebreak, all of one version.",
        epilog="example: python packages/build.py --out dist",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="directory (dist)")
    out: Path = parser.parse_args(words).out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        for number, folder in enumerate(PYTHON, start=1):
            print(f"{number} of {len(PYTHON) + 3}: {folder.relative_to(ROOT)}", file=sys.stderr)
            python_package(folder, out, "sdist", "wheel")
        for number, make in enumerate((npm_package, rock, ejabberd_module), len(PYTHON) + 1):
            print(f"{number} of {len(PYTHON) + 3}: {make.__name__}", file=sys.stderr)
            make(out)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(sorted(path.name for path in out.iterdir())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
