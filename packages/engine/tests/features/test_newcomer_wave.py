"""Waves of newcomers: what is counted over all accounts, and the two rules that read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.parity_streams import DAY, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.state_check import check_state
from wavebreak.features.catalog import INDEX
from wavebreak.features.layout import BARRED, WAVE
from wavebreak.features.newcomer_wave import MOST, NewcomerWave
from wavebreak.features.values import ONE
from wavebreak.schema.events import TYPES

REGISTERED, SENT, REQUESTED, ADDED, ACCEPTED = (
    TYPES.index(name)
    for name in (
        "account.registered", "message.sent", "contact.requested", "group.member_added",
        "contact.accepted",
    )
)  # fmt: skip


def event(number: int, ts: int, kind: int, who: str, peer: str | None = None) -> Row:
    row: Row = {"id": f"e{number}", "ts": ts, "type": kind, "account": who}
    return row | ({"peer": peer, "size": 9} if peer else {})


class Stream:
    """A log of a platform, in which an old one writes at first."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.at(START, SENT, "old", "older")

    def at(self, ts: int, kind: int, who: str, peer: str | None = None) -> None:
        self.rows.append(event(len(self.rows), ts, kind, who, peer))

    def arrive(self, ts: int, names: list[str]) -> None:
        for n, name in enumerate(names):
            self.at(ts + n, REGISTERED, name)


def engine(*, enforce: bool = True, workers: int = 1) -> Engine:
    return Engine(rules.load_policy(), accounts=1024, enforce=enforce, workers=workers)


def reached(of: Engine, rows: list[Row]) -> list[tuple[str, str]]:
    """Who reached whom with a first message."""
    found: list[tuple[str, str]] = []
    seen: set[tuple[str, str]] = set()
    at = 0
    for segment in of.fanout.segments(log(rows)):
        list(of.advance(segment))
        for result in segment.results.tolist():
            row = rows[at]
            at += 1
            pair = (row["account"], row.get("peer") or "")
            if row["type"] == SENT and not result & BARRED and pair not in seen:
                seen.add(pair)
                found.append(pair)
    return found


def wave(accounts: int, strangers: int, *, begin: int, gap_ms: int, aged_ms: int = 0) -> list[Row]:
    """Accounts that register together and each write to strangers of their own, in turns."""
    made = Stream()
    names = [f"w{n}" for n in range(accounts)]
    made.arrive(begin - aged_ms, names)
    start = begin + accounts
    for turn in range(strangers):
        for n, name in enumerate(names):
            made.at(start + (turn * accounts + n) * gap_ms, SENT, name, f"{name}s{turn}")
    return made.rows


def of_wave(pairs: list[tuple[str, str]]) -> int:
    return sum(who.startswith("w") for who, _ in pairs)


@pytest.mark.parametrize("gap_ms", [250, 3_000, 20_000])
def test_fifteen_accounts_reach_few_strangers(gap_ms: int) -> None:
    rows = wave(15, 7, begin=START + DAY, gap_ms=gap_ms)
    assert of_wave(reached(engine(), rows)) <= 30
    assert of_wave(reached(engine(enforce=False), rows)) == 105


def test_a_wave_that_waited_for_days_is_seen_by_whom_it_writes_to() -> None:
    rows = wave(15, 7, begin=START + 5 * DAY, gap_ms=3_000, aged_ms=3 * DAY)
    assert of_wave(reached(engine(), rows)) <= 55


def test_newcomers_who_are_answered_write_on() -> None:
    """A club of sixty moves over; each writes to five members of a year, who answer."""
    made = Stream()
    names = [f"w{n}" for n in range(60)]
    begin = START + DAY
    made.arrive(begin, names)
    for turn in range(5):
        for n, name in enumerate(names):
            ts = begin + (5 + turn * 5) * MINUTE + n * 100
            made.at(ts, SENT, name, f"m{turn}{n}")
            made.at(ts + 50, SENT, f"m{turn}{n}", name)
    made.rows.sort(key=lambda row: row["ts"])
    assert of_wave(reached(engine(), made.rows)) == 300


def test_a_ring_that_answers_itself_gains_nothing() -> None:
    begin, made = START + DAY, Stream()
    names = [f"w{n}" for n in range(15)]
    made.arrive(begin, names)
    for n, name in enumerate(names):
        for m in range(1, 8):
            other = names[(n + m) % 15]
            made.at(begin + 5 * MINUTE + n * 700 + m, SENT, name, other)
            made.at(begin + 6 * MINUTE + n * 700 + m, SENT, other, name)
    for turn in range(7):
        for n, name in enumerate(names):
            made.at(begin + (10 + turn) * MINUTE + n, SENT, name, f"{name}s{turn}")
    made.rows.sort(key=lambda row: row["ts"])
    strangers = [
        pair for pair in reached(engine(), made.rows) if pair[1].startswith("w") and "s" in pair[1]
    ]
    assert len(strangers) <= 30


def test_a_new_teacher_reaches_a_class_that_answers() -> None:
    begin, made = START + DAY, Stream()
    made.arrive(begin, ["wt", *(f"p{n}" for n in range(25))])
    for n in range(25):
        made.at(begin + MINUTE + n * 10_000, SENT, "wt", f"p{n}")
        made.at(begin + MINUTE + n * 10_000 + 5_000, SENT, f"p{n}", "wt")
    assert of_wave(reached(engine(), made.rows)) == 25


def added(*, accept: bool) -> int:
    """How many of five strangers a newcomer of some seconds adds, each asked for contact by it.

    Accepted are all but the first.
    """
    begin, made = START + DAY, Stream()
    made.arrive(begin, ["host"])
    for n in range(5):
        made.at(begin + 1_000 + n * 100, REQUESTED, "host", f"p{n}")
        made.at(begin + 1_001 + n * 100, ADDED, "host", f"p{n}")
        made.rows[-1] |= {"group": "club"}
        if accept and n:
            made.at(begin + 1_050 + n * 100, ACCEPTED, f"p{n}", "host")
    of, at, found = engine(), 0, 0
    for segment in of.fanout.segments(log(made.rows)):
        list(of.advance(segment))
        for result in segment.results.tolist():
            found += made.rows[at]["type"] == ADDED and not result & BARRED
            at += 1
    return found


def test_an_invitation_into_a_group_takes_one_place() -> None:
    assert added(accept=False) == 2


def test_an_accepted_invitation_gives_its_place_back() -> None:
    assert added(accept=True) == 5


def test_who_writes_to_few_is_not_limited_in_a_wave() -> None:
    rows = wave(15, 7, begin=START + DAY, gap_ms=3_000)
    begin = START + DAY + 2 * MINUTE
    made = Stream()
    made.rows = rows
    for n in range(12):
        made.at(begin + n, REGISTERED, f"a{n}")
    for n in range(12):
        made.at(begin + 2 * MINUTE + n, SENT, f"a{n}", f"b{n}")
        made.at(begin + 3 * MINUTE + n, SENT, f"a{n}", f"c{n}")
    made.rows.sort(key=lambda row: row["ts"])
    pairs = reached(engine(), made.rows)
    assert sum(who.startswith("a") for who, _ in pairs) == 24


def test_sums_halve_in_an_hour_and_in_a_week() -> None:
    counted = NewcomerWave()
    counted.open(0)
    counted.add(0, (8, 4, 2))
    assert counted.values(1)[::2] == pytest.approx([8 * ONE, 4 * ONE, 2 * ONE], rel=0.02)
    assert counted.values(61)[::2] == pytest.approx([4 * ONE, 2 * ONE, ONE], rel=0.02)
    # 87 minutes of what a log has had, as if it were twelve hours old at least.
    assert counted.values(1)[1] == pytest.approx(8 * ONE * 87 / 720, rel=0.01)
    assert counted.values(10_081)[1] == pytest.approx(4 * ONE * 87 / 7_271, rel=0.01)


def test_a_steady_stream_is_its_own_rule() -> None:
    counted = NewcomerWave()
    counted.open(0)
    for epoch in range(0, 5 * 10_080, 3):
        counted.add(epoch, (1, 3, 1))
    now, usual, contacts, contacts_usual, answers, answers_usual = counted.values(5 * 10_080)
    assert now == pytest.approx(usual, rel=0.03)
    assert contacts == pytest.approx(contacts_usual, rel=0.03)
    assert (answers, answers_usual) == (now, usual)


def test_workers_and_a_restart_change_nothing(tmp_path: Path) -> None:
    rows = wave(15, 7, begin=START + DAY, gap_ms=2_000)
    whole, shared, begun, resumed = engine(), engine(workers=3), engine(), engine()
    made = whole.take(log(rows))
    assert made
    assert shared.take(log(rows)) == made
    cut = len(rows) - 50
    first = begun.take(log(rows[:cut]))
    snapshot.save(begun, tmp_path / "s")
    snapshot.restore(resumed, tmp_path / "s")
    assert first + resumed.take(log(rows[cut:])) == made
    state = whole.core.newcomer_wave.dump()
    assert state[2] > 0
    for other in (shared, resumed):
        assert np.array_equal(other.core.newcomer_wave.dump(), state)


def test_a_state_of_before_counts_from_now_on_and_a_false_one_is_refused() -> None:
    begun = engine()
    begun.take(log(wave(15, 7, begin=START + DAY, gap_ms=2_000)))
    arrays = begun.dump()
    check_state(arrays, len(rules.load_policy().rules))
    with pytest.raises(ValueError, match="newcomer_wave is out of bounds"):
        check_state(arrays | {"core.newcomer_wave": np.full(8, MOST + 1)},
                    len(rules.load_policy().rules))  # fmt: skip
    del arrays["core.newcomer_wave"]
    check_state(arrays, len(rules.load_policy().rules))
    begun.core.newcomer_wave.load(None)
    assert begun.core.newcomer_wave.dump().tolist() == [0] * 8


def test_every_account_reads_the_same() -> None:
    of = engine(enforce=False)
    of.take(log(wave(15, 7, begin=START + DAY, gap_ms=3_000)))
    at = [INDEX[name] for name in WAVE]
    values = {tuple(of.core.values_of(slot)[at].tolist()) for slot in range(20)}
    [(newcomers, usual, contacts, contacts_usual, *answers)] = values
    assert newcomers > 10 > usual > 0
    assert contacts > 60 > contacts_usual > 0
    assert answers == [0, 0]
