"""Questions about accounts: who answers, what several groups' answers become, and what fails."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from wavebreak.engine import Engine
from wavebreak.engine.account_queries import (
    Holders,
    RuleCounts,
    ShadowCount,
    account_states,
    challenged_accounts,
    holders,
    known_accounts,
    operators,
    rule_counts,
)
from wavebreak.engine.exchange import group_of
from wavebreak.engine.owner_answers import Asked
from wavebreak.engine.queries import QUERIES, Held, Query
from wavebreak.features.layout import SHARDS
from wavebreak.rules import load_policy

NOTHING = msgspec.msgpack.encode({})


def asked(query: str, *slots: int) -> Asked:
    return Asked("q", query, NOTHING, [f"a{slot}" for slot in slots], list(slots), 1)


def test_accounts_are_answered_for_by_the_groups_that_hold_them() -> None:
    slots = [0, 1, SHARDS + 1, 7]
    owners = group_of(np.array(slots), 3).tolist()
    question = asked("account_states", *slots)
    assert question.owners(3) == owners
    assert question.answering(3) == sorted(set(owners))


def test_an_unknown_account_is_answered_for_by_the_first_group() -> None:
    assert asked("known_accounts", -1).answering(4) == [0]
    assert asked("account_states").answering(4) == [0]


def test_questions_of_all_accounts_go_to_every_group() -> None:
    assert asked("holders").answering(3) == [0, 1, 2]
    assert asked("operators").answering(3) == [0]


@pytest.mark.parametrize("query", QUERIES.values(), ids=list(QUERIES))
def test_every_question_has_a_result_that_can_be_sent(query: Query[object]) -> None:
    with pytest.raises(msgspec.DecodeError):
        query.merged([b""])


def test_parts_of_groups_are_added() -> None:
    assert holders.merge([Holders(2, 1, [5, 9]), Holders(1, 0, [7])]) == Holders(3, 1, [5, 7, 9])
    part = RuleCounts({"wave": 2}, {"tried": ShadowCount(3, 1, 0)})
    assert rule_counts.merge([part, part]) == RuleCounts(
        {"wave": 4}, {"tried": ShadowCount(6, 2, 0)}
    )


def test_an_engine_that_has_read_nothing_answers() -> None:
    held = Held.by(Engine(load_policy(), accounts=16), ["ann"])
    assert account_states.read(held) == {}
    assert known_accounts.read(held) == {"ann": False}
    assert challenged_accounts.read(held) == {"ann": True}
    assert operators.read(held) == []
