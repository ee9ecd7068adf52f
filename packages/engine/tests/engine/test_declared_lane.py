"""A declared lane: what it spares, up to which floor, and when it spares nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.parity_streams import HOUR, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.features.catalog import INDEX
from wavebreak.schema.events import LANES, TYPES

FLOORS = {"courier": 60, "clinic": 120, "code_sender": 300, "school": 200}
NEWCOMER = rules.load_policy(compiled=False).allowances.personal.newcomers
"""Unanswered strangers an hour of an undeclared account in its first week."""


class Firm:
    """An account `ann` that registers and writes to strangers."""

    def __init__(self, *lanes: str) -> None:
        self.engine = Engine(rules.load_policy(), accounts=4096)
        self.now, self.number = START, 0
        self.take("account.registered", "ann", channel=0)
        for lane in lanes:
            self.declare(lane)
        self.now += HOUR

    def take(self, kind: str, account: str, **fields: object) -> list[str]:
        self.number += 1
        named = {"id": f"e{self.number}", "ts": self.now, "type": TYPES.index(kind)}
        row: Row = named | {"account": account} | fields
        return [rule for made in self.engine.take(log([row])) for rule in made.rules]

    def declare(self, lane: str, **fields: object) -> None:
        self.take("account.declared", "ann", lane=LANES.index(lane), **fields)

    def write(self, many: int, every_ms: int = 5_000) -> list[str]:
        found = list[str]()
        for _ in range(many):
            self.now += every_ms
            found += self.take("message.sent", "ann", peer=f"s{self.number}", size=90)
        return found

    def value(self, name: str) -> float:
        return float(self.engine.core.values_of(0)[INDEX[name]])


@pytest.mark.parametrize("lane", FLOORS)
def test_a_declared_account_is_spared_up_to_its_floor_exactly(lane: str) -> None:
    firm = Firm(lane)
    floor = FLOORS[lane]
    assert firm.write(floor - 1) == []
    assert firm.write(1) == ["first_contact_allowance"]
    row = firm.engine.core.row_of(0)
    assert (row["quota"], row["until"] - firm.now // 1000) == (0, 3_600)


def test_an_undeclared_account_waits_at_its_allowance() -> None:
    assert Firm().write(NEWCOMER) == ["first_contact_allowance"]


def test_a_withdrawn_lane_binds_from_the_next_message() -> None:
    firm = Firm("clinic")
    assert firm.write(NEWCOMER) == []
    firm.declare("none")
    assert firm.value("lane") == 0
    assert firm.write(1) == ["first_contact_allowance"]


def test_a_lane_given_later_spares_from_the_next_message() -> None:
    firm = Firm()
    assert firm.write(NEWCOMER - 1) == []
    firm.declare("clinic")
    assert firm.write(30) == []


def test_an_attempted_declaration_is_none() -> None:
    firm = Firm()
    firm.declare("clinic", attempted=True)
    assert firm.value("lane") == 0
    assert firm.write(NEWCOMER) == ["first_contact_allowance"]


def test_complaints_beyond_the_bar_give_peoples_allowance_back() -> None:
    firm = Firm("code_sender")
    assert firm.write(NEWCOMER) == []
    for stranger in ("s3", "s4", "s5"):
        firm.now += MINUTE
        firm.take("user.blocked", stranger, peer="ann")
    assert firm.value("stranger_complaints") == 3
    assert "first_contact_allowance" in firm.write(1)


def test_a_registration_does_not_end_a_declaration() -> None:
    firm = Firm("school")
    firm.take("account.registered", "ann", channel=1)
    assert firm.value("lane") == LANES.index("school")
    assert firm.write(100) == []


def test_a_lane_survives_a_snapshot(tmp_path: Path) -> None:
    firm, later = Firm("courier"), Firm()
    snapshot.save(firm.engine, tmp_path / "state")
    snapshot.restore(later.engine, tmp_path / "state")
    assert later.engine.core.lane_of(0) == LANES.index("courier")
