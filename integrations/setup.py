"""Install what the tests of the integrations need: chat servers from Debian, slixmpp from PyPI.

    python integrations/setup.py [prosody] [ejabberd] [luarocks]

As root the servers are installed with apt-get. Anybody else gets them unpacked below the user's
cache directory (`WAVEBREAK_INTEGRATIONS`, else `~/.cache/wavebreak-integrations`): nothing else
changes on the machine. Where a release of Debian has servers that are too old, its backports are
read, from the mirror that the machine uses; the machine's own list of sources stays as it is. Where
nothing works, it says why and fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
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
    "luarocks": ("luarocks", "liblua5.4-dev"),
}
"""What is installed, with its packages; LuaRocks installs the rock of Prosody's module."""
OLDEST = {"prosody": (13, 0), "ejabberd": (24, 12), "luarocks": (3, 0)}
"""What the tests run on: Debian 13 has them, and so have Debian 12's backports."""
SOURCES = Path("/etc/apt")
_SOURCE = re.compile(
    r"^(?:deb (?:\[[^\]]*\] )?|URIs: *)(?P<uri>\S+/debian/?)(?:\s|$)", re.MULTILINE
)
_SIGNED = re.compile(r"signed-by[=:] *(?P<key>/[^\s\]]+)", re.IGNORECASE)
_LOCK = re.compile(r"^E: (?:Could not get lock|Unable to (?:lock|acquire)).*$", re.MULTILINE)
MAX_WAIT_S = 600
"""How long the lock of the package manager is waited for."""
POLL_S = 3
PROGRAMS = {
    "prosody": "usr/bin/prosody",
    "ejabberd": "usr/sbin/ejabberdctl",
    "luarocks": "usr/bin/luarocks",
}


class SetupError(Exception):
    """What this machine lacks, as a sentence with the fix."""


def found(server: str) -> Path | None:
    """Return the root below which a server lies that is new enough: the machine's, or ours."""
    for root in (Path("/"), ROOT):
        if (root / PROGRAMS[server]).exists() and is_new_enough(server, version(server, root)):
            return root
    return None


def is_new_enough(server: str, there: str) -> bool:
    """Return whether a version is one that the tests run on; one that cannot be seen is.

    >>> is_new_enough("prosody", "0.12.3"), is_new_enough("prosody", "1:13.0.1-1~bpo12+1")
    (False, True)
    """
    numbers = tuple(map(int, re.findall(r"\d+", there.rpartition(":")[2])[:2]))
    return not numbers or numbers >= OLDEST[server]


def version(server: str, root: Path) -> str:
    """Return which version of a server lies below a root; empty where that cannot be seen."""
    if server == "prosody":
        file = root / "usr/lib/prosody/prosody.version"
        return file.read_text(encoding="utf-8").strip() if file.exists() else ""
    names = [path.name for path in root.glob(f"usr/lib/*/{server}-*")]
    return max((name.partition("-")[2] for name in names), default="")


def mirror(sources: Path = SOURCES) -> tuple[str, str]:
    """Return the mirror of Debian that a machine uses, and the file of its key (or nothing).

    Raises SetupError where no source of Debian is there.
    """
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    for file in files:
        text = file.read_text("utf-8", "replace") if file.is_file() else ""
        if named := _SOURCE.search(text):
            signed = _SIGNED.search(text)
            return named["uri"], signed["key"] if signed else ""
    raise SetupError(f"{sources} names no mirror of Debian; install the servers by hand")


def with_backports(release: str, sources: Path = SOURCES, place: Path = CACHE) -> list[str]:
    """Return options by which apt-get reads a release and its backports, from lists of our own."""
    uri, key = mirror(sources)
    own = place / "apt"
    for directory in ("lists/partial", "archives/partial"):
        (own / directory).mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={key}] " if key else ""
    lines = [f"deb {signed}{uri} {suite} main" for suite in (release, f"{release}-backports")]
    (own / "sources.list").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "Dir::Etc::SourceList": own / "sources.list", "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": own / "lists", "Dir::Cache": own, "Debug::NoLocking": "true",
        "APT::Default-Release": f"{release}-backports",
    }  # fmt: skip
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _options(server: str) -> list[str]:
    """Return options of apt-get: none where the machine's own sources have a server new enough."""
    policy = run(["apt-cache", "policy", server])
    candidate = re.search(r"Candidate: (\S+)", policy)
    if candidate and candidate[1] != "(none)" and is_new_enough(server, candidate[1]):
        return []
    release = re.search(
        r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text("utf-8"), re.M
    )
    if not release:
        raise SetupError("this machine's release has no name; use Debian 12 or 13")
    options = with_backports(release[1])
    run(["apt-get", *options, "update"])
    return options


def run(command: list[str], cwd: Path | None = None) -> str:
    """Return the output of a command; while another program has the package manager, wait."""
    variables = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    deadline = time.monotonic() + MAX_WAIT_S
    is_waiting = False
    while True:
        done = subprocess.run(
            command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
        lock = _LOCK.search(done.stderr)
        if not done.returncode or not lock or time.monotonic() > deadline:
            break
        if not is_waiting:
            print(f"Waiting for the package manager's lock: {lock[0]}", flush=True)
        is_waiting = True
        time.sleep(POLL_S)
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SetupError(
            f"{' '.join(command[:3])} failed: {' / '.join(tail)}; is the list of packages old?"
        )
    return str(done.stdout)


def install(server: str) -> None:
    """Install a server's packages on this machine, as root."""
    run(["apt-get", "update"])
    plain = ["--yes", "--no-install-recommends", *SERVERS[server]]
    run(["apt-get", *_options(server), "install", *plain])


def _missing(packages: tuple[str, ...], options: list[str]) -> list[str]:
    """Return the packages and what they depend on, less what the machine has."""
    simulated = ["install", "--simulate", "--no-install-recommends", *packages]
    planned = run(["apt-get", *options, *simulated])
    return re.findall(r"^Inst (\S+) ", planned, re.MULTILINE)


def unpack(server: str) -> None:
    """Download a server's packages and unpack them below the cache, as an ordinary user."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise SetupError("this machine has no apt-get and dpkg; use Debian 13, or install by hand")
    archives = CACHE / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    ROOT.mkdir(parents=True, exist_ok=True)
    options = _options(server)
    run(["apt-get", *options, "download", *_missing(SERVERS[server], options)], cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", str(archive), str(ROOT)])


def client() -> None:
    """Install slixmpp, which drives the servers, below the cache."""
    if (PYTHON / "slixmpp").exists():
        return
    PYTHON.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PYTHON), SLIXMPP])


def main(servers: list[str]) -> None:
    """Install what is not there."""
    for server in servers:
        if not found(server):
            (install if os.geteuid() == 0 else unpack)(server)
        where = found(server)
        if where is None:
            oldest = ".".join(map(str, OLDEST[server]))
            raise SetupError(
                f"{server} {oldest} or newer is not to be had here; use Debian 12 or 13. Synapse "
                "alone: integrations/synapse/install_synapse.py, pytest integrations/synapse"
            )
        print(f"{server}: {where / PROGRAMS[server]}")
    client()
    print(f"slixmpp: {PYTHON}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or list(SERVERS))
    except SetupError as error:
        print(f"The tests of the integrations cannot run here: {error}", file=sys.stderr)
        sys.exit(1)
