"""The machine of a measurement: processor, memory, versions, and its load."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("wavebreak", "numba", "llvmlite", "numpy", "pyarrow", "msgspec", "river")


def compiler() -> str | None:
    """Path of a C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def _first(path: str, prefix: str) -> str | None:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((x.partition(":")[2].strip() for x in lines if x.startswith(prefix)), None)


def available_bytes() -> int | None:
    """Memory that may be used without swapping, where the system tells."""
    found = _first("/proc/meminfo", "MemAvailable")
    return int(found.split()[0]) * 1024 if found else None


def resident_bytes() -> int | None:
    """Memory of this process that is in use now, where the system tells."""
    found = _first("/proc/self/status", "VmRSS")
    return int(found.split()[0]) * 1024 if found else None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _compiler_version() -> str:
    path = compiler()
    if not path:
        return "none"
    found = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (found.stdout.splitlines() or [path])[0]


def children_busy_s() -> float:
    """Seconds of processor of the processes that this one has waited for, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def described() -> dict[str, str]:
    """The machine, the versions, and the load at this moment."""
    memory = _first("/proc/meminfo", "MemTotal")
    free = available_bytes()
    load = os.getloadavg()
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory.split()[0]) / 2**20:.1f} GB" if memory else "unknown",
        "available": f"{free / 2**30:.1f} GB" if free else "unknown",
        "load": f"{load[0]:.2f} over a minute, {load[1]:.2f} over five (idle is near 0)",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "compiler": _compiler_version(),
        **{name: _version(name) for name in PACKAGES},
    }
