"""The ceiling of the state: sizes in words, shares of a process's memory, and an engine beyond."""

from __future__ import annotations

import random

import pytest

from support.parity_streams import crowded, log
from wavebreak.engine import Engine
from wavebreak.engine.state_ceiling import (
    FIXED_BYTES,
    LEAST_BYTES,
    StateCeiling,
    available_memory,
    parse_size,
)
from wavebreak.engine.state_size import check_size, state_bytes
from wavebreak.errors import StateSizeError, UsageError
from wavebreak.rules import load_policy


@pytest.mark.parametrize("text", ["", "four", "4GG", "-1", "4 gibibytes", "1e9"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no size of memory"):
        parse_size(text)


def test_process_with_copies_leaves_less_for_the_state() -> None:
    once = StateCeiling.of_process(8 << 30, copies=False)
    twice = StateCeiling.of_process(8 << 30, copies=True)
    assert once.bytes == (8 << 30) - FIXED_BYTES
    assert twice.bytes == int(once.bytes / 2.2)
    assert twice.accounts < twice.entities < twice.bytes < twice.overshoot


def test_memory_without_room_for_a_state_names_the_least() -> None:
    with pytest.raises(StateSizeError, match="leaves no room") as caught:
        StateCeiling.of_process(700 << 20, copies=True, besides=100 << 20)
    least = parse_size(caught.value.fix.split()[-1])
    assert StateCeiling.of_process(least, copies=True, besides=100 << 20).bytes >= LEAST_BYTES


def test_default_is_a_part_of_what_the_machine_has() -> None:
    assert LEAST_BYTES <= StateCeiling.of_process(None, copies=True).bytes < available_memory()


def test_engine_beyond_its_ceiling_is_an_error_with_a_fix() -> None:
    engine = Engine(load_policy(), accounts=1024)
    before = state_bytes(engine)
    engine.take(log(crowded(random.Random(7))))
    held = state_bytes(engine)
    assert held > before
    check_size(engine, StateCeiling(held))
    check_size(engine, None)
    with pytest.raises(StateSizeError, match="state of 42 accounts") as caught:
        check_size(engine, StateCeiling(held // 2))
    assert "--max-memory" in caught.value.fix
