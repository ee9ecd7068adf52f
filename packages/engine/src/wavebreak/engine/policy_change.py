"""Change of an engine's policy or model, at one position of its log.

What an engine has counted does not depend on its policy, and neither does what is in force: both go
over to the engine of the other policy. Nobody is acted on, or freed, without a new decision. Only
the note of which rules have fired for an account is by index, and is moved by the rules' ids.

An account keeps its last score until its next scoring point, where the other model scores it. What
a score has led to is noted until that ends; where nothing is in force, the other model may ask.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from wavebreak.engine import snapshot
from wavebreak.engine.engine import Engine
from wavebreak.engine.mode_switch import switch_mode
from wavebreak.features.layout import SCORED, SCORED_AT, SHARDS
from wavebreak.rules import Policy, Rule
from wavebreak.rules.model import MAX_RULES

_TEXTS = ("about", "source", "false_actions", "review_by", "needs_split", "aliases", "abuse")
"""Fields of a rule that decide nothing."""


def carried_state(
    old: Engine, new: Engine, copied: snapshot.EngineState | None = None
) -> snapshot.EngineState:
    """Return the state of an engine as one of another policy goes on from it.

    A rule that decides as before stays fired where it had fired. One that was changed may fire
    again, but not for an account under an outcome or in a period of grace: there it waits until
    that has ended. Rules at registration and labels fire once an account, changed or not. A label
    `benign` holds against new rules too.

    Args:
        old: The engine up to now, between two batches.
        new: An engine of the other policy or model, without state. Where its mode is another one,
            the state is still that of the old mode: `snapshot.restore` switches it.
        copied: A copy of the old engine's state, where that answers queries meanwhile.
    """
    arrays = _with_carried_rows(old, new, dict(copied.arrays if copied else old.dump()))
    arrays["fired"] = _carried_hits(old, new)
    return snapshot.EngineState(snapshot.manifest_of(new) | {"enforce": old.enforce}, arrays)


def carry_group(old: Engine, new: Engine) -> None:
    """Let the engine of a group of shards go on from that of another policy, model or mode.

    All groups do so at one position of the log. Names and ids are where the fan-out is.

    Args:
        old: The group's engine up to now, between two messages.
        new: An engine of the same shards and exchange, without state.
    """
    new.go_on_with_sources(old.fanout.sources)
    new.fired = _carried_hits(old, new)
    if old.shards.epoch < 0:
        return
    enforce = new.enforce
    new.shards.load(_with_carried_rows(old, new, dict(old.shards.dump())))
    new.set_mode(enforce=old.enforce)
    switch_mode(new, enforce=enforce)


def _carried_hits(old: Engine, new: Engine) -> Any:
    """Return how often each rule of the new policy has fired under the old one (int64[rules])."""
    hits = old.rule_hits()
    return np.array([hits.get(rule.id, 0) for rule in new.policy.rules], np.int64)


def _with_carried_rows(old: Engine, new: Engine, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return arrays of a dump with the rows of those shards that it holds as they go over."""
    moves = _moves(old.policy, new.policy)
    grace = [~np.int64(engine.core.policy.registration) for engine in (old, new)]
    for s in range(SHARDS):
        if f"core.rows{s}" not in arrays:
            continue
        rows = arrays[f"core.rows{s}"].copy()
        if model_version(old) != model_version(new):
            free = (rows["until"] == 0) & (rows["enforcement"] == 0)
            rows["flags"][free] &= np.uint16(0xFFFF & ~(SCORED << SCORED_AT))
        rows["fired"] = _moved(rows["fired"], rows["until"] > 0, rows["enforcement"], moves, grace)
        arrays[f"core.rows{s}"] = rows
    return arrays


def model_version(engine: Engine) -> str:
    """Return the version of an engine's model; "" without one."""
    return engine.model.version if engine.model else ""


def _moves(old: Policy, new: Policy) -> list[tuple[int | None, bool]]:
    """Return by bit of the new policy the bit of the old one, and whether it always goes over."""
    at = {rule.id: k for k, rule in enumerate(old.rules)}
    moves: list[tuple[int | None, bool]] = []
    for rule in new.rules:
        k = next((at[name] for name in (rule.id, *rule.aliases) if name in at), None)
        once = rule.stage == "registration" or rule.label is not None
        moves.append((k, k is not None and (once or same_effect(old.rules[k], rule))))
    return moves + [(None, False)] * (MAX_RULES - len(moves))


def same_effect(before: Rule, after: Rule) -> bool:
    """Whether two rules decide alike, however they are described.

    >>> from wavebreak.rules import load_policy
    >>> rule = load_policy().rules[0]
    >>> same_effect(rule, msgspec.structs.replace(rule, about="Said in other words."))
    True
    """
    return _effect(before) == _effect(after)


def _effect(rule: Rule) -> tuple[Any, ...]:
    fields = msgspec.structs.asdict(rule)
    left_out = {*_TEXTS, "id", "when", "fires_on", "stays_quiet_on", "on_failure"}
    return (rule.expression, *(value for name, value in fields.items() if name not in left_out))


def _moved(
    fired: Any, timed: Any, enforcement: Any, moves: list[tuple[int | None, bool]], grace: list[Any]
) -> Any:
    """Return the bits of rules that have fired in their new places."""
    held = timed | (enforcement > 0)
    # In the period of grace of a label `benign`, every rule but those at registration has fired.
    spared = (fired & grace[0]) == grace[0]
    moved = np.zeros_like(fired)
    for k, (before, always) in enumerate(moves):
        bit = np.int64(1) << np.int64(k)
        if before is not None:
            had = (fired >> np.int64(before)) & 1 > 0
            moved[had & (held | always)] |= bit
    return np.where(spared, moved | grace[1], moved)
