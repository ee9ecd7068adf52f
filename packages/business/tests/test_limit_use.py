"""The limit and the windows on random messages, beside a plain count of each instant."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from support.business_logs import HOUR, NOON, check, inbound, person, status
from wavebreak_business.limit_use import count_distinct
from wavebreak_business.messages import last_before

SPAN = 10
TIMES = st.integers(0, 60)
SENDS = st.lists(st.tuples(st.integers(0, 4), TIMES), max_size=40)


@settings(max_examples=300, deadline=None)
@given(SENDS)
def test_use_of_the_limit_is_the_count_of_people_in_each_span(sends: list[tuple[int, int]]) -> None:
    people, times = (np.array([send[n] for send in sends], np.int64) for n in (0, 1))
    steps = count_distinct(people, times, SPAN)
    counts = [len({p for p, at in sends if at <= now < at + SPAN}) for now in range(90)]
    assert [steps.at(now) for now in range(90)] == counts
    assert steps.peak(20, 50) == max(counts[20:50])


@settings(max_examples=300, deadline=None)
@given(SENDS, SENDS)
def test_last_event_before_each_row_is_found(
    rows: list[tuple[int, int]], events: list[tuple[int, int]]
) -> None:
    def column(of: list[tuple[int, int]], n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([each[n] for each in of], np.int64)

    found = last_before(column(rows, 0), column(rows, 1), column(events, 0), column(events, 1))
    for (group, at), place in zip(rows, found.tolist(), strict=True):
        earlier = [when for who, when in events if who == group and when <= at]
        assert (place >= 0) == bool(earlier)
        if earlier:
            assert events[place] == (group, max(earlier))


HOURS = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 80)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(HOURS, st.randoms(use_true_random=False))
def test_windows_agree_with_a_plain_count_in_any_order_of_the_log(
    acts: list[tuple[bool, int, int]], order: object
) -> None:
    wrote = [(who, at) for is_inbound, who, at in acts if is_inbound]
    sent = [(who, at) for is_inbound, who, at in acts if not is_inbound]
    outside = [
        (who, at) for who, at in sent
        if not any(each == who and 0 <= at - when < 24 for each, when in wrote)
    ]  # fmt: skip
    payloads = [
        inbound(f"i{n}", person(who), NOON + at * HOUR) if is_inbound
        else status(f"m{n}", person(who), "delivered", NOON + at * HOUR)
        for n, (is_inbound, who, at) in enumerate(acts)
    ]  # fmt: skip
    order.shuffle(payloads)  # type: ignore[attr-defined]
    use = check(*payloads).limit
    instants = [at for _, at in outside]
    peaks = [len({w for w, at in outside if at <= now < at + 24}) for now in instants]
    assert use.inside == len(sent) - len(outside)
    assert use.peak == max(peaks, default=0)
