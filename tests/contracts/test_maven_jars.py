"""Jars are those that the list pins, or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support import kafka_broker, maven_jars
from wavebreak.errors import ServiceError

JAR = b"a jar"
CLIENT = """#!/bin/sh
mkdir -p jars
printf '%s' '{content}' >jars/thing-1.0.jar
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of one jar, and an empty cache."""
    monkeypatch.setattr(maven_jars, "CACHE", tmp_path / "cache")
    path = tmp_path / "jars.txt"
    path.write_text(f"{hashlib.sha256(JAR).hexdigest()}  org.example:thing:1.0\n")
    return path


def install_client(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Put a client before others that serves a jar of this content."""
    (folder / "mvn").write_text(CLIENT.format(content=content))
    (folder / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_jars_pinned_are_fetched_once(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_client(tmp_path, monkeypatch, JAR.decode())
    first = maven_jars.class_path(listed)
    (tmp_path / "mvn").write_text("#!/bin/sh\nexit 1\n")
    assert (Path(first).read_bytes(), maven_jars.class_path(listed)) == (JAR, first)


def test_jars_other_than_pinned_are_refused(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_client(tmp_path, monkeypatch, "another jar")
    with pytest.raises(ServiceError, match="not the jar that the list pins"):
        maven_jars.class_path(listed)


def test_jars_without_client_say_what_to_install(
    listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError) as error:
        maven_jars.class_path(listed)
    assert "apt-get install maven" in error.value.fix


def test_jars_of_the_broker_are_of_one_version() -> None:
    jars = maven_jars.listed_jars(kafka_broker.JARS)
    assert len({jar.version for jar in jars if jar.group == "org.apache.kafka"}) == 1
