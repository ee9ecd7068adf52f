"""Jars of a committed list, pinned by SHA-256, fetched by Maven's own client and kept in a cache.

A list has a line `SHA-256  group:artifact:version` a jar, and names all of them: what a jar depends
on is not looked up. They lie below the user's cache directory (`WAVEBREAK_JARS`, else
`~/.cache/wavebreak-jars`); which repository they come from is for the client's settings to say.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wavebreak.errors import ServiceError

CACHE = Path(
    os.environ.get("WAVEBREAK_JARS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavebreak-jars"
)
FIX = "install a Java runtime of version 17 or newer and Maven (Debian: apt-get install maven)"
FETCH_S = 600


class Jar(NamedTuple):
    """A jar of a list."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies in the cache."""
        return CACHE / f"{self.artifact}-{self.version}.jar"

    @property
    def is_cached(self) -> bool:
        """Whether the cache has it as the list names it."""
        return self.path.exists() and _digest(self.path) == self.sha256


def listed_jars(path: Path) -> list[Jar]:
    """Return the jars that a list names; raises ServiceError for a line that is none."""
    return list(_listed(path))


def _listed(path: Path) -> Iterator[Jar]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        sha256, _, name = line.partition("  ")
        parts = name.split(":")
        if len(sha256) != 64 or len(parts) != 3:
            raise ServiceError(
                f"line {number} of {path.name} names no jar",
                fix="write SHA-256, two blanks, and group:artifact:version",
            )
        group, artifact, version = parts
        yield Jar(group, artifact, version, sha256)


def class_path(path: Path) -> str:
    """Return the class path of a list's jars, fetched first where the cache lacks one.

    Raises ServiceError, with what to install, where they cannot be had or are others.
    """
    jars = listed_jars(path)
    if missing := [jar for jar in jars if not jar.is_cached]:
        _fetch(missing)
    return os.pathsep.join(str(jar.path) for jar in jars)


def program(name: str) -> str:
    """Return the path of a program of Java's; raises ServiceError where the machine has none."""
    there = shutil.which(name)
    if there is None:
        raise ServiceError(f"this machine has no program {name}", fix=FIX)
    return there


def _fetch(jars: list[Jar]) -> None:
    client = program("mvn")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        (Path(folder) / "pom.xml").write_text(_project(jars), encoding="utf-8")
        done = subprocess.run(
            [client, "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_S,
        )  # fmt: skip
        if done.returncode:
            reason = next((x for x in done.stdout.splitlines() if "ERROR" in x), "no reason given")
            raise ServiceError(
                f"Maven could not fetch {len(jars)} jars: {reason}",
                fix="let Maven reach its repository, or set WAVEBREAK_JARS to where the jars are",
            )
        for jar in jars:
            copy = Path(folder) / "jars" / jar.path.name
            if _digest(copy) != jar.sha256:
                raise ServiceError(
                    f"{jar.path.name} is not the jar that the list pins (its SHA-256 differs)",
                    fix="ask who serves it; never change the list to fit",
                )
            copy.replace(jar.path)


def _project(jars: list[Jar]) -> str:
    """Return a project that depends on these jars, and on nothing that they name."""
    dependencies = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId>"
        f"<version>{jar.version}</version><exclusions><exclusion><groupId>*</groupId>"
        "<artifactId>*</artifactId></exclusion></exclusions></dependency>"
        for jar in jars
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>wavebreak</groupId>"
        "<artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
