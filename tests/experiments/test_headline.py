"""The causal replay of worlds: what was refused has no consequences, what waits comes later."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from experiments.worlds.headline import hours_to_conviction
from wavebreak.features.layout import BARRED
from wavebreak.schema.events import LOG_SCHEMA, TYPES
from wavebreak_lab.causal_replay import Behaviour, CausalReplay

MINUTE = 60_000


class Gate:
    """In place of an engine: refuses events by id, and decides as it is told."""

    def __init__(self, refused: set[str], decisions: dict[str, Any]) -> None:
        self.refused, self.decisions = refused, decisions
        self.seen = list[tuple[str, int]]()
        self.fanout = self

    def segments(self, batch: pa.RecordBatch) -> Iterator[Any]:
        ids, times = batch.column("id").to_pylist(), batch.column("ts").to_pylist()
        self.seen += zip(ids, times, strict=True)
        results = np.array([BARRED if name in self.refused else 0 for name in ids], np.uint8)
        yield SimpleNamespace(ids=ids, results=results)

    def advance(self, segment: Any) -> list[Any]:
        return [self.decisions[name] for name in segment.ids if name in self.decisions]

    def finish(self) -> list[Any]:
        return []


def replayed(
    gate: Gate, *events: tuple[str, int, str, str, str], behaviour: Behaviour | None = None
) -> CausalReplay:
    rows = [
        {"id": name, "ts": minute * MINUTE, "account": account, "peer": peer,
         "type": TYPES.index(kind)}
        for name, minute, account, peer, kind in events
    ]  # fmt: skip
    log = pa.Table.from_pylist(rows, schema=LOG_SCHEMA)
    labels = {"a": "abusive", "b": "benign", "c": "benign"}
    replay = CausalReplay(log, labels, gate, behaviour=behaviour)  # type: ignore[arg-type]
    replay.run()
    return replay


CHAT = (
    ("first", 0, "a", "b", "message.sent"),
    ("other", 1, "a", "c", "message.sent"),
    ("answer", 20, "b", "a", "message.sent"),
    ("block", 30, "b", "a", "user.blocked"),
    ("again", 40, "a", "b", "message.sent"),
)


def test_nothing_answers_what_was_refused() -> None:
    gate = Gate({"first"}, {})
    replay = replayed(gate, *CHAT)
    assert [name for name, _ in gate.seen] == ["first", "other"]
    assert replay.first_contacts() == [("a", "b", True), ("a", "c", False)]


def test_everything_happens_where_nothing_is_refused() -> None:
    gate = Gate(set(), {})
    replay = replayed(gate, *CHAT)
    assert [name for name, _ in gate.seen] == [name for name, *_ in CHAT]
    assert replay.first_contacts() == [("a", "b", False), ("a", "c", False)]


def test_brief_limit_delays_the_chat_and_what_follows() -> None:
    limit = SimpleNamespace(account="a", ts=0, outcome="limit", until=30 * MINUTE, rules=())
    gate = Gate({"first"}, {"first": limit})
    replay = replayed(gate, *CHAT, ("end", 90, "c", "b", "message.sent"))
    seen = dict(gate.seen)
    assert seen["first-late1"] > 30 * MINUTE
    assert seen["first-late1"] < seen["answer-late1"] < seen["block-late1"]
    assert ("a", "b") in replay.delayed
    assert replay.first_contacts()[0] == ("a", "b", False)


def brief(minute: int) -> SimpleNamespace:
    until = minute * MINUTE
    return SimpleNamespace(
        account="a", ts=until - 55 * MINUTE, outcome="limit", until=until, rules=()
    )


def test_what_is_refused_again_by_the_hour_waits_again() -> None:
    gate = Gate({"first", "first-late1"}, {"first": brief(30), "first-late1": brief(90)})
    replay = replayed(gate, *CHAT, ("end", 200, "c", "b", "message.sent"))
    seen = dict(gate.seen)
    assert 30 * MINUTE < seen["first-late1"] < 90 * MINUTE < seen["first-late2"]
    assert replay.first_contacts()[0] == ("a", "b", False)


def test_what_waits_longer_than_a_day_is_refused() -> None:
    names = {"first", *(f"first-late{n}" for n in range(1, 60))}
    limits = {"first": brief(55)} | {f"first-late{n}": brief(55 + 55 * n) for n in range(1, 60)}
    replay = replayed(Gate(names, limits), *CHAT, ("end", 3_000, "c", "b", "message.sent"))
    assert replay.first_contacts()[0] == ("a", "b", True)
    assert 20 <= replay.tries.most_common(1)[0][1] <= 28


EARLY = ("early", 0, "a", "c", "contact.added")
LATER = tuple((name, at + 20, a, b, kind) for name, at, a, b, kind in CHAT)
REQUEST = SimpleNamespace(account="a", ts=0, outcome="request", until=None, rules=())


@pytest.mark.parametrize("looked_at", [0.0, 1.0])
def test_nobody_answers_a_request_that_is_not_looked_at(looked_at: float) -> None:
    people = Behaviour(looked_at=looked_at, reactions={"abusive": (0.0, 0.0)})
    gate = Gate(set(), {"early": REQUEST})
    replay = replayed(gate, EARLY, *LATER, behaviour=people)
    arrived = ["early", *(name for name, *_ in LATER)]
    lost = {"answer", "block", "again"} if not looked_at else set()
    assert [name for name, _ in gate.seen] == [name for name in arrived if name not in lost]
    assert len(replay.quiet) == 2
    assert len(replay.unseen) == (0 if looked_at else 2)
    assert replay.first_contacts() == [("a", "b", False), ("a", "c", False)]


def test_some_decline_a_request_that_they_looked_at() -> None:
    people = Behaviour(looked_at=1.0, reactions={"abusive": (1.0, 0.0)})
    gate = Gate(set(), {"early": REQUEST})
    replayed(gate, EARLY, *LATER, ("end", 9_000, "c", "b", "message.sent"), behaviour=people)
    reactions = [name for name, _ in gate.seen if name.endswith("-reaction")]
    assert reactions == ["other-reaction"], "who answers does not decline"


def test_hours_run_from_the_first_complaint_to_the_restriction() -> None:
    made = SimpleNamespace(account="a", ts=90 * MINUTE, outcome="restrict", until=None, rules=())
    replay = replayed(Gate(set(), {"again": made}), *CHAT)
    world: Any = SimpleNamespace(labels={"a": ("abusive", "bulk", "")})
    assert hours_to_conviction(replay, world) == 1.0
    world.labels["a"] = ("benign", "people", "")
    assert hours_to_conviction(replay, world) is None
