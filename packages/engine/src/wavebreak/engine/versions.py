"""Versions of what decides: decisions of equal versions on one log are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from wavebreak.engine.engine import Engine
from wavebreak.engine.policy_change import model_version
from wavebreak.features.facts import DATING
from wavebreak.rules import Policy, Program


class Terms(NamedTuple):
    """What decides, beside the state of accounts.

    Attributes:
        program: Its compiled rules.
        model: The model's version ("": none).
        enforce: Whether the events that decisions refuse are dropped.
        off: The rules that are evaluated for no account.
        rules_off: The rules that cannot hold for any account, by what the stream is to carry.
        rules_off_by_source: Those that cannot hold for the accounts of each source.
        challenges: Whether some account can be asked for a challenge.
    """

    policy: Policy
    program: Program
    model: str
    enforce: bool
    off: frozenset[str]
    rules_off: tuple[str, ...]
    rules_off_by_source: Mapping[str, tuple[str, ...]]
    challenges: bool


def terms_of(engine: Engine) -> Terms:
    """Return what an engine decides by."""
    return Terms(
        engine.policy,
        engine.program,
        model_version(engine),
        engine.enforce,
        engine.off,
        engine.rules_off,
        engine.rules_off_by_source,
        engine.challenges_anyone,
    )


def engine_versions(engine: Engine, lateness_s: int, *, enforce: bool | None = None) -> str:
    """Return the versions of policy, model and features; a change replays the whole log.

    `enforce` names another mode than the engine's.
    """
    model = engine.model.version if engine.model else "none"
    mode = engine.enforce if enforce is None else enforce
    stream = stream_version(engine, lateness_s, enforce=mode)
    return f"{engine.policy.version} {model} {engine.version} {stream}"


def stream_version(engine: Engine, lateness_s: int, *, enforce: bool) -> str:
    """Return the version of what a stream carries and how it is read, in a mode."""
    parts = [sorted(engine.covered), enforce, lateness_s, DATING]
    parts += [] if engine.challenges else ["no challenges"]
    if engine.by_source:
        parts.append(
            {name: [sorted(one.covered), one.challenges] for name, one in engine.by_source.items()}
        )
    options = json.dumps(parts, sort_keys=True)
    return f"stream-{hashlib.sha256(options.encode()).hexdigest()[:12]}"
