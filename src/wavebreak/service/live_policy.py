"""What decides in a service: versions in `HOME/policies`, models in `HOME/models`, and which do.

The file `HOME/policies/live` names the version of the policy, the model, and the position of the
log from which they decide. While it is missing, those that `serve` was started with decide.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from wavebreak.durable_files import sync_directory
from wavebreak.errors import UsageError

_LIVE = "live"


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
        earlier_models: The same of models.
        enforce: Whether outcomes are enforced since a calibration, whatever `serve` is started
            with.
        carries: Types and fields that every declared source carries (None: no source is declared,
            and the coverage is that which `serve` is started with).
        challenges: Whether every declared source can ask for a challenge.
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
    found = hashlib.sha256()
    for name, text in policy_files(directory).items():
        found.update(f"{name}\0{len(text)}\0{text}\0".encode())
    return found.hexdigest()


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
    directory = policies_directory(home) / live.version
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
    fresh = directory / f"{_LIVE}.{os.getpid()}.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(live))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / _LIVE)
    sync_directory(directory)
