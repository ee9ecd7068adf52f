"""Storage of gathered platforms: replaying them takes minutes, and every fit needs the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from wavebreak import __version__, rules
from wavebreak.engine.engine import features_version
from wavebreak.evaluation.label_votes import Key, Labels, ResolvedLabel
from wavebreak.evaluation.scoring_points import Points, file_digest
from wavebreak_lab.training.config import Settings
from wavebreak_lab.training.default_model import GatheredPlatforms, PlatformSource

PLATFORMS = "platforms.npz"
"""File of a directory that holds gathered platforms."""

_ARRAYS = ("values", "account", "ts", "kind", "enforcement", "run")


class _About(msgspec.Struct):
    """What a file of platforms holds beside arrays."""

    key: str
    names: tuple[str, ...]
    accounts: tuple[Key, ...]
    labels: tuple[tuple[Key, ResolvedLabel], ...]
    calibrates: tuple[int, ...]
    events: int


def save_platforms(gathered: GatheredPlatforms, path: Path, key: str) -> None:
    """Write gathered platforms as an npz file, under a key that says what they were made from."""
    points = gathered.points
    arrays = {name: getattr(points, name) for name in _ARRAYS}
    about = {
        "key": key,
        "names": points.names,
        "accounts": points.accounts,
        "labels": [(k, v) for k, v in gathered.labels.resolved.items()],
        "calibrates": sorted(gathered.calibrates),
        "events": gathered.events,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = np.frombuffer(msgspec.json.encode(about), np.uint8)
    with path.open("wb") as file:
        np.savez(file, about=text, **arrays)


def load_platforms(path: Path, key: str) -> GatheredPlatforms | None:
    """Read what `save_platforms` wrote under the same key; None where there is no such file."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        about = msgspec.json.decode(stored["about"].tobytes(), type=_About)
        if about.key != key:
            return None
        arrays = {name: stored[name] for name in _ARRAYS}
    points = Points(names=about.names, accounts=about.accounts, **arrays)
    return GatheredPlatforms(
        points, Labels(dict(about.labels)), frozenset(about.calibrates), about.events
    )


def platforms_key(named: Sequence[PlatformSource], policy: Path | None, settings: Settings) -> str:
    """Digest of all that gathered platforms follow from."""
    parts = (
        __version__,
        features_version(),
        rules.load_policy(policy).version,
        [(s.seed, s.held, file_digest(s.trace) if s.trace else "", s.requests) for s in named],
        settings.weights,
        settings.default.persons,
        settings.sources,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
