"""What decides in a service: versions in `HOME/policies`, models in `HOME/models`, and which do.

A version's files lie in a directory that their digest names, `HOME/policies/DIGEST/VERSION`, and
are never changed there: an edit writes another one. Wavebreak 0.2 and earlier kept those of a
version in `HOME/policies/VERSION`.

The file `HOME/policies/live` names the version of the policy, the model, and the position of the
log from which they decide. While it is missing, those that `serve` was started with decide.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wavebreak.durable_files import create_file, replace_file, sync_directory
from wavebreak.errors import UsageError

_LIVE = "live"


class LiveSource(msgspec.Struct, frozen=True):
    """A declared source: its name, what it carries, and whether it can ask for a challenge."""

    name: str
    carries: tuple[str, ...]
    challenges: bool = True


class LivePolicy(msgspec.Struct, frozen=True):
    """Which version of the policy decides, and which model, since when.

    Attributes:
        version: The version's directory in `HOME/policies` (empty: the policy that `serve` was
            started with).
        policy: The version that decisions and the ledger name.
        digest: Of the version's files.
        position: The position of the log from which it decides.
        decisions: Decisions before it.
        at_ms: When it went live.
        model: The model's directory in `HOME/models` (empty: the model that `serve` was started
            with).
        model_version: The model's version, as decisions name it.
        earlier: Versions of the policy that decided before, in order: a rollback takes the last.
        digests: Digests of the files of earlier versions, by version.
        enforce: Whether outcomes are enforced since a calibration, whatever `serve` is started
            with.
        carries: Types and fields that every declared source carries (None: no source is declared,
            and the coverage is that which `serve` is started with).
        challenges: Whether every declared source can ask for a challenge.
        sources: What each of them carries and can, by name.
    """

    version: str
    policy: str
    digest: str
    position: int
    decisions: int
    at_ms: int
    model: str = ""
    model_version: str = ""
    earlier: tuple[str, ...] | None = None
    earlier_models: tuple[str, ...] = ()
    enforce: bool = False
    carries: tuple[str, ...] | None = None
    challenges: bool = True
    digests: dict[str, str] = {}
    sources: tuple[LiveSource, ...] = ()


def policies_directory(home: Path) -> Path:
    """Return where a service's policy versions lie.

    >>> policies_directory(Path("var")).as_posix()
    'var/policies'
    """
    return home / "policies"


def models_directory(home: Path) -> Path:
    """Return where a service's models lie.

    >>> models_directory(Path("var")).as_posix()
    'var/models'
    """
    return home / "models"


def policy_files(directory: Path) -> dict[str, str]:
    """Return a policy's files by their name in its directory, in order."""
    paths = sorted(p for p in directory.rglob("*.toml") if p.is_file())
    return {p.relative_to(directory).as_posix(): p.read_text("utf-8") for p in paths}


def files_digest(directory: Path) -> str:
    """Return the SHA-256 of a policy's files and their names."""
    return digest_of(policy_files(directory))


def digest_of(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of a policy's files, given by their names.

    >>> digest_of({"b": "", "a": "x"}) == digest_of({"a": "x", "b": ""})
    True
    """
    found = hashlib.sha256()
    for name, text in sorted(files.items()):
        found.update(f"{name}\0{len(text)}\0{text}\0".encode())
    return found.hexdigest()


def version_directory(home: Path, version: str, digest: str) -> Path:
    """Return where the files of a version lie that have a digest ("": not known)."""
    policies = policies_directory(home)
    named = policies / digest / version
    return named if digest and named.is_dir() else policies / version


def store_files(home: Path, version: str, files: Mapping[str, str]) -> Path:
    """Write a version's files to the directory that their digest names, and return it."""
    digest = digest_of(files)
    target = policies_directory(home) / digest / version
    if target.is_dir():
        if files_digest(target) == digest:
            return target
        shutil.rmtree(target)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f"{version}.{secrets.token_hex(4)}.new")
    fresh.mkdir(mode=0o700)
    write_files(fresh, files)
    try:
        fresh.rename(target)
    except OSError:
        # Somebody else has written the same files meanwhile.
        shutil.rmtree(fresh)
    sync_directory(target.parent)
    return target


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write a policy's files, none of which may be there, to a directory that only we read."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_file(path, text.encode(), mode=0o600)


def remove_files(home: Path, version: str, digest: str) -> None:
    """Remove a version's files that have a digest; those of others stay."""
    directory = version_directory(home, version, digest)
    shutil.rmtree(directory, ignore_errors=True)
    if directory.parent.name == digest and not any(directory.parent.iterdir()):
        shutil.rmtree(directory.parent, ignore_errors=True)


def live_policy(home: Path) -> LivePolicy | None:
    """Return which version decides; None where none ever went live.

    Raises:
        UsageError: The file cannot be read.
    """
    path = policies_directory(home) / _LIVE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LivePolicy)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise UsageError(
            f"{path} cannot be read", fix="remove it to decide by the policy of --policy again"
        ) from None


def live_directory(home: Path) -> Path | None:
    """Return the directory of the version that decides; None: the policy `serve` was started with.

    Raises:
        UsageError: Its files are gone, or were changed after it went live.
    """
    live = live_policy(home)
    if live is None or not live.version:
        return None
    directory = version_directory(home, live.version, live.digest)
    if not directory.is_dir() or files_digest(directory) != live.digest:
        raise UsageError(
            f"{directory} was changed after it went live",
            fix=f"restore its files, or remove {policies_directory(home) / _LIVE} to decide by "
            "the policy of --policy again",
        )
    return directory


def live_model(home: Path) -> tuple[Path, str] | None:
    """Return the directory of the model that went live, and its version; None: that of `serve`."""
    live = live_policy(home)
    if live is None or not live.model:
        return None
    return models_directory(home) / live.model, live.model_version


def set_live_policy(home: Path, live: LivePolicy) -> None:
    """Name the version that decides; the file changes at once or not at all."""
    directory = policies_directory(home)
    directory.mkdir(mode=0o700, exist_ok=True)
    replace_file(directory / _LIVE, msgspec.json.encode(live), mode=0o600)
