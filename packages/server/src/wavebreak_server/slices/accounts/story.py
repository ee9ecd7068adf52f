"""The story of an account, as `wavebreak explain` tells it, from the engine and the log.

A page tells it at once from the account's totals and its decisions; the log adds when what was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import account_row
from wavebreak.explain.collect import Explanation, Timeline, timeline_of_events
from wavebreak.explain.narrative import status_sentence, story_paragraphs
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts.service import events_from_the_end, newest_decisions
from wavebreak_server.slices.users.acting_user import ActingUser

_FIELDS = ("id", "ts", "type", "account", "peer", "group", "count", "attempted", "seconds")
_BY_PEOPLE = ("person", "challenge")
GAP = "Only the newest part of the log was read: it does not reach back to the account's begin."


def story(acting: ActingUser, account: str, *, whole: bool, blind: bool = False) -> list[str]:
    """Return paragraphs: what is in force, then what the account did and what was decided.

    Args:
        acting: Who asks.
        account: The account.
        whole: Whether the log is read, up to the bounds of a timeline: its times, replies, and what
            followed a decision. Otherwise its totals stand for them.
        blind: Leave out what people decided, and what is in force.

    Raises:
        ApiError: The log has no such account (404).

    """
    told = acting.ask(lambda engine: _read(engine, account))
    if told is None:
        raise ApiError(404, "the log has no such account", fix="search for it")
    row, rules, enforce = told
    decisions = newest_decisions(account)
    if blind:
        decisions = [d for d in decisions if d.get("basis") not in _BY_PEOPLE]
    timeline, gap = _timeline(account) if whole else (None, "")
    explanation = Explanation(
        run_dir=Path(), account=account, row=row, decisions=decisions, rules=rules, actions={},
        mode="enforce" if enforce else "shadow", timeline=timeline, gap=gap,
    )  # fmt: skip
    paragraphs = story_paragraphs(explanation)
    return paragraphs if blind else [status_sentence(explanation), *paragraphs]


def _read(
    engine: Engine, account: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], bool] | None:
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    if not 0 <= slot < engine.core.accounts or not engine.core.row_of(slot)["first_seen"]:
        return None
    rules = {rule.id: {"about": rule.about} for rule in engine.policy.rules}
    return account_row(engine, slot), rules, engine.enforce


def _timeline(account: str) -> tuple[Timeline | None, str]:
    """Read the account's acts from the log; None, and why, where not all of it was read."""
    newest_first: list[list[dict[str, Any]]] = []
    for batch in events_from_the_end():
        if batch is None:
            return None, GAP
        newest_first.append(list(_events_of(batch, account)))
    events = (event for part in reversed(newest_first) for event in part)
    return timeline_of_events(events, account), ""


def _events_of(batch: pa.RecordBatch, account: str) -> Iterator[dict[str, Any]]:
    chosen = pc.equal(batch.column("account"), account)
    if "peer" in batch.schema.names:
        chosen = pc.or_(chosen, pc.fill_null(pc.equal(batch.column("peer"), account), False))
    present = [name for name in _FIELDS if name in batch.schema.names]
    missing = dict.fromkeys(set(_FIELDS) - set(present))
    for event in batch.select(present).filter(chosen).to_pylist():
        yield missing | event
