"""Far dates: one event dated far ahead does not move a log's time (ADR 8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.parity_streams import DAY, HOUR, START, Both, Row, log
from wavebreak.features.facts import (
    BUSY,
    EPOCH_MS,
    FAR_AHEAD_ACCEPTED_AFTER,
    FAR_AHEAD_ACCEPTED_MAX,
    LEAP_MS,
    Fanout,
)
from wavebreak.schema.events import TYPES

FAR = START + 9_000 * DAY


def sent(ts: int, number: int, account: str = "a", peer: str = "b") -> Row:
    kind = TYPES.index("message.sent")
    return {"id": f"e{number}", "ts": ts, "type": kind, "account": account, "peer": peer}


def stream(dates: list[int]) -> list[Row]:
    return [sent(ts, number) for number, ts in enumerate(dates)]


def taken(events: list[Row], batch: int = 10_000) -> tuple[Fanout, list[tuple[int, int, int]]]:
    """The fan-out after a log, and of each event the epoch, the date, and whether it is dropped."""
    fanout, told = Fanout(), []
    for begin in range(0, len(events), batch):
        for segment in fanout.segments(log(events[begin : begin + batch])):
            told += [(segment.epoch, int(e["ts"]), int(e["drop"])) for e in segment.events]
    return fanout, told


def busy(minutes: int, a_minute: int) -> list[int]:
    step = EPOCH_MS // a_minute
    return [START + n * step for n in range(minutes * a_minute)]


def test_far_date_single_is_taken_at_log_time() -> None:
    dates = [START, START + 10, FAR, *range(START + 20, START + 70)]
    fanout, told = taken(stream(dates))
    assert (fanout.late, fanout.ahead) == (0, 1)
    assert told[2] == (START // EPOCH_MS, START + 10, 0)
    assert [date for _, date, _ in told[3:]] == dates[3:]


def test_account_with_far_date_keeps_later_events() -> None:
    calm = [sent(START + n * 1_000, n, peer=f"p{n % 5}") for n in range(40)]
    wild = sent(FAR, 100, account="c", peer="a")
    plain, far = Both(), Both()
    plain.take(log([*calm[:20], wild | {"ts": calm[19]["ts"]}, *calm[20:]]))
    far.take(log([*calm[:20], wild, *calm[20:]]))
    assert far.differences() == []
    assert str(list(far.compared())) == str(list(plain.compared()))


def test_far_date_is_accepted_when_the_log_follows() -> None:
    fanout, told = taken(stream([START, START + LEAP_MS]))
    assert (fanout.ahead, told[1][1]) == (0, START + LEAP_MS)
    after = [START + 3 * DAY + n * HOUR for n in range(FAR_AHEAD_ACCEPTED_AFTER + 3)]
    fanout, told = taken(stream([START, *after]))
    assert [date for _, date, _ in told] == [START] * FAR_AHEAD_ACCEPTED_AFTER + after[
        FAR_AHEAD_ACCEPTED_AFTER - 1 :
    ]
    assert (fanout.late, fanout.ahead) == (0, FAR_AHEAD_ACCEPTED_AFTER - 1)


def test_far_dates_several_move_time_to_the_earliest() -> None:
    after = [START + 2 * DAY + n for n in range(FAR_AHEAD_ACCEPTED_AFTER)]
    fanout, told = taken(stream([START, FAR, *after]))
    assert fanout.late == 0
    assert [date for _, date, _ in told][-2:] == after[-2:]


def test_wrong_clock_does_not_move_time_of_busy_log() -> None:
    right = busy(12, 2_000)
    for at in (23_000, 22_000, 20_003):
        right[at:at] = [FAR + n for n in range(250)]
    fanout, told = taken(stream(right))
    assert (fanout.late, fanout.ahead) == (0, 750)
    assert max(date for _, date, _ in told) < START + 12 * EPOCH_MS


@pytest.mark.parametrize("ahead", [28_000, 30_001, 10 * EPOCH_MS, 23 * HOUR, 9_000 * DAY])
def test_far_date_in_busy_log_makes_no_event_late(ahead: int) -> None:
    right = [ts - 30_000 * (n % 2) for n, ts in enumerate(busy(12, 100))]
    false = set(range(2 * BUSY + 6, len(right), 38))
    fanout, told = taken(stream([ts + ahead * (n in false) for n, ts in enumerate(right)]))
    assert (fanout.late, fanout.ahead) == (0, len(false) * (ahead > 30_000))
    assert all(date == ts for n, ((_, date, _), ts) in enumerate(zip(told, right, strict=True))
               if n not in false)  # fmt: skip


def test_log_with_minute_resolution_is_accepted() -> None:
    dates = [START + n // 500 * EPOCH_MS for n in range(20_000)]
    fanout, told = taken(stream(dates))
    assert (fanout.late, fanout.ahead) == (0, 0)
    assert [date for _, date, _ in told] == dates


def test_busy_log_after_silence_is_followed_after_a_batch() -> None:
    before = busy(1, 20_000)
    for silence in (2 * EPOCH_MS, 5 * DAY):
        after = [START + silence + n for n in range(FAR_AHEAD_ACCEPTED_MAX + 500)]
        fanout, told = taken(stream(before + after))
        needed = FAR_AHEAD_ACCEPTED_AFTER + (len(before) - 1) // 80
        assert (fanout.late, fanout.ahead) == (0, needed - 1)
        assert told[-1][1] == after[-1]


DATES = st.lists(
    st.sampled_from(
        [
            *range(40),
            90_000,
            HOUR,
            DAY,
            DAY + 1,
            3 * DAY,
            3 * DAY + 1,
            9_000 * DAY,
            9_000 * DAY + 5,
            -HOUR,
        ]
    ),
    min_size=1,
    max_size=400,
)


@given(DATES, st.integers(1, 9))
def test_epochs_do_not_depend_on_batches_or_restarts(offsets: list[int], batch: int) -> None:
    events = stream([START + DAY + offset for offset in offsets])
    whole, told = taken(events)
    assert taken(events, batch)[1] == told
    fanout, again = Fanout(), []
    for begin in range(0, len(events), batch):
        arrays: dict[str, Any] = {name: np.copy(a) for name, a in fanout.dump().items()}
        fanout = Fanout()
        fanout.load(arrays)
        for segment in fanout.segments(log(events[begin : begin + batch])):
            again += [(segment.epoch, int(e["ts"]), int(e["drop"])) for e in segment.events]
    assert again == told
    assert (fanout.late, fanout.ahead) == (whole.late, whole.ahead)
    epochs = [epoch for epoch, _, _ in told]
    assert epochs == sorted(epochs)
    latest = [START + DAY + offset for offset in offsets]
    assert all(date <= ts for (_, date, _), ts in zip(told, latest, strict=True))


def label(ts: int, number: int) -> Row:
    kind = TYPES.index("label.assigned")
    return {"id": f"l{number}", "ts": ts, "type": kind, "account": "a", "label": 1}


@pytest.mark.parametrize("dates", [busy(6, 60), [START, START + 10]])
def test_labels_far_ahead_keep_dates_and_move_nothing(dates: list[int]) -> None:
    said = dates[-1] + 10 * HOUR if len(dates) > BUSY else FAR
    labels = [label(said + n, n) for n in range(FAR_AHEAD_ACCEPTED_MAX)]
    after = [sent(dates[-1] + 10, 100_000)]
    fanout, told = taken([*stream(dates), *labels, *after])
    assert (fanout.late, fanout.ahead) == (0, 0)
    assert int(fanout.clock[0]["newest"]) == dates[-1] + 10
    assert [date for _, date, _ in told[len(dates) : -1]] == [row["ts"] for row in labels]
    assert {epoch for epoch, _, _ in told[len(dates) : -1]} == {dates[-1] // EPOCH_MS}


def test_late_label_changes_nothing() -> None:
    fanout, told = taken([*stream(busy(6, 60)), label(START, 1)])
    assert (fanout.late, told[-1][2]) == (1, 2)
    earliest = fanout.earliest_in_time()
    fanout, told = taken([*stream(busy(6, 60)), label(earliest, 1), label(earliest - 1, 2)])
    assert [drop for *_, drop in told[-2:]] == [0, 2]
