"""Names that a service without an engine remembers: of the newest events, and no more."""

from __future__ import annotations

import pyarrow as pa

from wavebreak.io.arrow_columns import wire_batch_of_one
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import MessageSent
from wavebreak_server.pipeline.new_names import RecentNames


def log(account: str, peer: str) -> pa.RecordBatch:
    event = MessageSent(id="m", ts=1_767_222_000_000, account=account, peer=peer)
    return Pseudonymizer(b"a key for tests only").apply(wire_batch_of_one(event))


def counts(names: RecentNames, account: str, peer: str) -> tuple[list[int], list[int]]:
    accounts, entities = names.new(log(account, peer))
    return accounts.tolist(), entities.tolist()


def test_names_are_new_until_they_are_noted() -> None:
    names = RecentNames()
    assert counts(names, "ann", "ben") == ([2], [0])
    names.note(log("ann", "ben"))
    assert counts(names, "ann", "ben") == ([0], [0])
    assert counts(names, "ann", "cat") == ([1], [0])


def test_of_names_two_generations_are_remembered() -> None:
    names = RecentNames(2)
    for account, peer in (("a", "b"), ("c", "d")):
        names.note(log(account, peer))
    assert counts(names, "a", "d") == ([1], [0])
    assert counts(names, "c", "d") == ([0], [0])
