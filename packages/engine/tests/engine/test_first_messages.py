"""First messages that were refused: each person once, whatever was tried again."""

from __future__ import annotations

from typing import Any

import pytest

from support.parity_streams import DAY, HOUR, START, log
from support.rule_factories import rule
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.engine.enforcement import FirstMessages
from wavebreak.features.catalog import NAMES
from wavebreak.rules import Policy
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import TYPES

SHIPPED = rules.load_policy()
POLICY = Policy(
    "tested",
    (rule(("started_chats >= 2",), outcome="limit", hold="1h", new_chats_1d=0, mode="enforce"),),
    SHIPPED.actions,
    SHIPPED.enforcement,
    NAMES,
    KINDS,
)


def sent(number: int, at: int, peer: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"e{number}", "ts": START + at, "type": TYPES.index("message.sent"),
        "account": "a", "peer": peer,
    } | fields  # fmt: skip


EVENTS = [
    sent(0, 0, "p1"),
    sent(1, 1_000, "p2"),
    # From here on new chats are refused.
    sent(2, 2_000, "p3"),
    sent(3, 3_000, "p3"),
    sent(4, 4_000, "p4"),
    sent(5, 5_000, "p4", type=TYPES.index("contact.requested")),
    sent(6, 6_000, "p1"),
    sent(7, 7_000, "friend", in_contacts=True),
    # The limit has ended.
    sent(8, 2 * HOUR, "p3"),
    sent(9, DAY, "z") | {"account": "p1", "peer": "a"},
]


def counted(*, enforce: bool, batch: int) -> dict[str, int]:
    engine = Engine(POLICY, accounts=64, enforce=enforce)
    engine.first_messages = FirstMessages()
    for begin in range(0, len(EVENTS), batch):
        engine.take(log(EVENTS[begin : begin + batch]))
    (row,) = (r for r in accounts_table(engine).to_pylist() if r["account"] == "a")
    return {name: row[name] for name in row if name.startswith("first_contacts")}


@pytest.mark.parametrize("batch", [1, len(EVENTS)])
def test_first_message_refused_counts_once_a_person(batch: int) -> None:
    assert counted(enforce=True, batch=batch) == {
        "first_contacts": 4,  # p1, p2, the friend, and p3 at last
        "first_contacts_attempted": 5,  # and p4, who was never reached
        "first_contacts_refused": 2,
    }


@pytest.mark.parametrize("batch", [1, len(EVENTS)])
def test_first_message_that_would_be_refused_counts(batch: int) -> None:
    assert counted(enforce=False, batch=batch) == {
        "first_contacts": 5,
        "first_contacts_attempted": 5,
        "first_contacts_refused": 2,
    }


def test_first_messages_without_a_counter_are_those_that_passed() -> None:
    engine = Engine(POLICY, accounts=64, enforce=True)
    engine.take(log(EVENTS))
    (row,) = (r for r in accounts_table(engine).to_pylist() if r["account"] == "a")
    assert row["first_contacts_attempted"] == row["first_contacts"] == 4
    assert row["first_contacts_refused"] == 0
