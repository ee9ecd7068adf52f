"""Install what the tests of the integrations need: chat servers from Debian, slixmpp from PyPI.

    python integrations/setup.py [prosody] [ejabberd]

As root the servers are installed with apt-get. Anybody else gets them unpacked below the user's
cache directory (`WAVEBREAK_INTEGRATIONS`, else `~/.cache/wavebreak-integrations`): nothing else
changes on the machine. Where neither works, it says why and fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(
    os.environ.get("WAVEBREAK_INTEGRATIONS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavebreak-integrations"
)
ROOT = CACHE / "root"
PYTHON = CACHE / "python"
SLIXMPP = "slixmpp==1.17.0"
SERVERS = {
    "prosody": ("prosody", "prosody-modules"),
    "ejabberd": ("ejabberd",),
}
OLDEST = {"prosody": (13, 0), "ejabberd": (24, 12)}
"""What the tests run on: Debian 13 has both. Debian 12 has Prosody 0.12 and ejabberd 23.01."""
PROGRAMS = {"prosody": "usr/bin/prosody", "ejabberd": "usr/sbin/ejabberdctl"}


class SetupError(Exception):
    """What this machine lacks, as a sentence with the fix."""


def found(server: str) -> Path | None:
    """Return the root below which a server lies: the machine's, or the unpacked one."""
    for root in (Path("/"), ROOT):
        if (root / PROGRAMS[server]).exists():
            return root
    return None


def version(server: str, root: Path) -> str:
    """Return which version of a server lies below a root; empty where that cannot be seen."""
    if server == "prosody":
        file = root / "usr/lib/prosody/prosody.version"
        return file.read_text(encoding="utf-8").strip() if file.exists() else ""
    names = [path.name for path in root.glob("usr/lib/*/ejabberd-*")]
    return max((name.partition("-")[2] for name in names), default="")


def check_version(server: str, root: Path) -> None:
    """Raise SetupError where a server is older than what the tests run on."""
    is_there = version(server, root)
    numbers = tuple(map(int, re.findall(r"\d+", is_there)[:2]))
    if numbers and numbers < OLDEST[server]:
        oldest = ".".join(map(str, OLDEST[server]))
        raise SetupError(
            f"{server} is {is_there}, the tests need {oldest} or newer; use Debian 13. "
            "Synapse alone: integrations/synapse/install_synapse.py, pytest integrations/synapse"
        )


def _run(command: list[str], **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SetupError(
            f"{' '.join(command[:3])} failed: {' / '.join(tail)}; is the list of packages old?"
        )
    return str(done.stdout)


def install(packages: tuple[str, ...]) -> None:
    """Install packages of Debian on this machine, as root."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update"], env=quiet)
    _run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], env=quiet)


def _missing(packages: tuple[str, ...]) -> list[str]:
    """Return the packages and what they depend on, less what the machine has."""
    planned = _run(["apt-get", "install", "--simulate", "--no-install-recommends", *packages])
    return re.findall(r"^Inst (\S+) ", planned, re.MULTILINE)


def unpack(packages: tuple[str, ...]) -> None:
    """Download packages of Debian and unpack them below the cache, as an ordinary user."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise SetupError("this machine has no apt-get and dpkg; use Debian 13, or install by hand")
    archives = CACHE / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    ROOT.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", *_missing(packages)], cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(ROOT)])


def client() -> None:
    """Install slixmpp, which drives the servers, below the cache."""
    if (PYTHON / "slixmpp").exists():
        return
    PYTHON.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PYTHON), SLIXMPP])


def main(servers: list[str]) -> None:
    """Install what is not there."""
    for server in servers:
        if not found(server):
            (install if os.geteuid() == 0 else unpack)(SERVERS[server])
        where = found(server)
        if where is None:
            raise SetupError(f"{server} is not there after its installation")
        check_version(server, where)
        print(f"{server}: {where / PROGRAMS[server]}")
    client()
    print(f"slixmpp: {PYTHON}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or list(SERVERS))
    except SetupError as error:
        print(f"The tests of the integrations cannot run here: {error}", file=sys.stderr)
        sys.exit(1)
