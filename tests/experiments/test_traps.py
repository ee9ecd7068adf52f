"""A world in which first contacts go to traps: which are marked, and what goes with them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from experiments.worlds.headline import World
from experiments.worlds.traps import with_traps
from wavebreak.schema.events import LOG_SCHEMA, TYPES

EVENTS = (
    ("first", "a", "b", "message.sent"),
    ("answer", "b", "a", "message.sent"),
    ("again", "a", "b", "message.sent"),
    ("block", "c", "a", "user.blocked"),
    ("other", "c", "b", "message.sent"),
    ("login", "a", None, "session.started"),
)


def a_world() -> World:
    rows = [
        {"id": name, "ts": n, "account": account, "peer": peer, "type": TYPES.index(kind)}
        for n, (name, account, peer, kind) in enumerate(EVENTS)
    ]
    labels = {"a": ("abusive", "bulk", ""), "b": ("benign", "person", "")}
    return World("world", pa.Table.from_pylist(rows, schema=LOG_SCHEMA), labels)


def test_contacts_of_a_range_go_to_traps_and_are_answered_by_nobody() -> None:
    made, counts = with_traps(a_world(), "number ranges", share=2.0, seed=1)
    rows = made.log.select(["id", "peer", "trap"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("first", "trap-0", True),
        ("again", "trap-0", True),
        ("block", "a", None),
        ("other", "b", None),
        ("login", None, None),
    ]
    assert counts == (0, 1)


@pytest.mark.parametrize(("source", "share"), [("own address book", 1.0), ("number ranges", 0.0)])
def test_own_address_book_meets_no_trap(source: str, share: float) -> None:
    world = a_world()
    made, (_, abusive) = with_traps(world, source, share, seed=1)
    assert abusive == 0
    assert made.log.column("peer").to_pylist() == world.log.column("peer").to_pylist()
