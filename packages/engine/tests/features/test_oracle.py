"""Parity of kernel and oracle, to the last bit, over random streams and hard cases."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.parity_streams import DAY, HOUR, STEP, Both, Row, Steps, crowded, log, rows, some_steps
from wavebreak.outcomes import LIMIT
from wavebreak.schema.events import TYPES, UNDETERMINED

BUCKET = 40_320_000
"""Length in ms of a bucket of the seven-day windows, in which pairs are forgotten."""
WEEK_100 = 100 * BUCKET * 15


def event(kind: str, number: int, ts: int, account: str, **fields: object) -> Row:
    return {"id": f"e{number}", "ts": ts, "type": TYPES.index(kind), "account": account} | fields


def sends(begin: int, ts: int, peers: list[str]) -> list[Row]:
    """Sends of `a`, a millisecond apart, one to each peer."""
    return [
        event("message.sent", begin + i, ts + i, "a", peer=peer) for i, peer in enumerate(peers)
    ]


def values_after(events: list[Row], account: str = "a") -> dict[str, float]:
    """Features on which kernel and oracle agree."""
    both = Both(accounts=4096)
    both.take(log(events))
    assert both.differences() == []
    return {name: value for _, name, value, _ in both.compared([account])}


def agree_at_cuts(steps: Steps, cuts: int) -> None:
    events, both = rows(steps), Both()
    for part in range(cuts):
        begin, end = len(events) * part // cuts, len(events) * (part + 1) // cuts
        both.take(log(events[begin:end]))
        assert both.differences() == []
    assert both.fanout.late == both.naive.late
    assert both.fanout.ahead == both.naive.ahead
    assert both.fanout.duplicates == both.naive.duplicates


@given(st.lists(STEP, min_size=1, max_size=40), st.integers(1, 4))
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_kernel_equals_oracle_on_small_random_streams(steps: Steps, cuts: int) -> None:
    agree_at_cuts(steps, cuts)


@pytest.mark.parametrize("seed", range(16))
def test_kernel_equals_oracle_on_long_streams(seed: int) -> None:
    agree_at_cuts(some_steps(random.Random(seed), 100), 3)


@pytest.mark.parametrize("seed", range(4))
def test_kernel_equals_oracle_on_young_crowds(seed: int) -> None:
    events, both = crowded(random.Random(seed)), Both(accounts=128)
    for part in range(5):
        both.take(log(events[len(events) * part // 5 : len(events) * (part + 1) // 5]))
        assert both.differences() == []


def test_blind_reports_of_one_are_counted_by_later_reporters() -> None:
    events = [event("user.reported", i, WEEK_100 + i * 60_000, f"r{i}", peer="v") for i in range(8)]
    seen = [values_after(events, f"r{i}") for i in range(8)]
    assert [values["accused_last"] for values in seen] == list(range(8))
    assert {values["blind_reports"] for values in seen} == {1}


@pytest.mark.parametrize(
    "before",
    [
        event("group.member_added", 0, WEEK_100, "v", peer="r", group="g"),
        event("group.joined", 0, WEEK_100, "r", group="g"),
        event("message.sent", 0, WEEK_100, "r", group="g"),
        event("message.sent", 0, WEEK_100, "v", peer="r"),
    ],
)
def test_blind_reports_after_chat_or_group_are_not_counted(
    before: dict[str, object],
) -> None:
    events = [before, event("user.reported", 1, WEEK_100 + 1, "r", peer="v")]
    assert values_after(events, "r")["blind_reports"] == 0


def test_blind_reports_of_who_is_enforced_are_not_counted() -> None:
    """A log may hold reports of who could not write; once its limit has ended they are blind."""
    limit = event(
        "label.assigned", 0, WEEK_100, "v", label=UNDETERMINED, outcome=LIMIT, hold_s=3_600
    )
    reports = [
        event("user.reported", i, WEEK_100 + i * 1_800_000, f"r{i}", peer="v") for i in (1, 2, 3)
    ]
    found = [values_after([limit, *reports], f"r{i}")["blind_reports"] for i in (1, 2, 3)]
    assert found == [0, 1, 1]


def test_blind_reports_consecutive_of_one_account_count_once() -> None:
    events = [
        event("user.reported", i, WEEK_100 + i * 60_000, "r", peer=peer)
        for i, peer in enumerate(("v", "v", "v", "w"))
    ]
    values = values_after(events, "r")
    assert (values["blind_reports"], values["accused_last"]) == (2, 0)


def test_device_cluster_features_sum_over_young_accounts() -> None:
    events = [
        event("account.registered", i, WEEK_100, f"y{i}", device="d", network=f"n{i}")
        for i in range(4)
    ]
    events += [
        event("message.sent", 10 + i, WEEK_100 + 60_000, f"y{i % 4}", peer=f"p{i}")
        for i in range(12)
    ]
    events += [event("message.sent", 30, WEEK_100 + 60_001, "p0", peer="y0")]
    events += [event("message.sent", 31, WEEK_100 + 120_000, "y3", peer="p3")]
    values = values_after(events, "y3")
    assert 11.9 < values["device_cold"] <= 12
    assert 3.9 < values["device_young"] <= 4
    assert 2.99 / 16 < values["device_answered"] <= 3 / 15.99
    assert 2.9 < values["network_cold"] <= 3


def test_hours_of_first_week_of_1970_are_halved() -> None:
    week = 7 * DAY
    events = sends(0, HOUR, ["b"] * 40) + sends(40, week + HOUR, ["b"] * 40)
    events += sends(80, week + 3 * HOUR, ["b"] * 40)
    later = [row | {"ts": row["ts"] + 100 * week} for row in events]
    assert values_after(events)["hour_entropy"] == values_after(later)["hour_entropy"]


def test_far_date_of_duplicate_expires_no_pair() -> None:
    ours, more = [f"p{i}" for i in range(40)], [f"q{i}" for i in range(40)]
    events = sends(0, WEEK_100, ours)
    events += [events[-1] | {"ts": WEEK_100 + 200 * DAY}]
    events += sends(40, WEEK_100 + 1000, more) + sends(80, WEEK_100 + 2000, ours)
    assert values_after(events)["started_chats"] == 80


def test_pair_late_event_after_180_days_is_found() -> None:
    ours, more = [f"p{i}" for i in range(45)], [f"q{i}" for i in range(20)]
    end = WEEK_100 + 387 * BUCKET
    events = sends(0, WEEK_100, ours)
    events += [event("message.sent", 999, end + 5, "z", peer="y")]
    events += sends(45, end - 1000, more) + sends(65, end - 900, ours)
    assert values_after(events)["started_chats"] == 65


@pytest.mark.parametrize(("days", "chats"), [(1, 1), (179, 1), (182, 2)])
def test_pair_expires_after_180_days_without_touch(days: int, chats: int) -> None:
    later = WEEK_100 + days * DAY
    others = [event("challenge.passed", 9 + i, later, "c") for i in range(8)]
    events = sends(0, WEEK_100, ["b"]) + others + sends(1, later, ["b"])
    assert values_after(events)["started_chats"] == chats


def test_bucket_overflow_saturates() -> None:
    events = sends(0, WEEK_100, ["b"] * 700)
    values = values_after(events)
    assert (values["sends_15s"], values["sends_5m"], values["sends_1h"]) == (255, 255, 700)


def test_broadcast_is_one_send_and_a_contact_per_recipient() -> None:
    events = [row | {"ts": WEEK_100, "broadcast": True} for row in sends(0, 0, ["b", "c", "d"])]
    values = values_after(events)
    assert (values["sends_1d"], values["first_contacts_1d"], values["one_way_run"]) == (1, 3, 1)


def test_label_benign_restores_entities_that_were_blamed() -> None:
    def at(hour: int, account: str, kind: str, **fields: object) -> Row:
        return event(kind, len(events), WEEK_100 + hour * HOUR, account, **fields)

    events: list[Row] = []
    events += [at(0, "a", "account.registered", network="n1")]
    events += [at(0, "b", "account.registered", network="n2")]
    events += [at(1, "a", "label.assigned", label=0)]
    events += [at(2, "c", "account.registered", network="n1")]
    blamed = values_after(events, "c")["network_bad"]
    events += [at(3, "a", "session.started", network="n2")]
    events += [at(4, "b", "label.assigned", label=0)]
    events += [at(5, "a", "label.assigned", label=1)]
    events += [at(6, "c", "session.started", network="n1")]
    events += [at(6, "d", "account.registered", network="n2")]
    first, own, second = (values_after(events, account)["network_bad"] for account in "cbd")
    assert 1.39 / 21 < blamed <= 1.4 / 21
    assert first == 0.02
    assert own == 0.02, "an account is not its own bad neighbour"
    assert 1.39 / 21 < second <= 1.4 / 21


def _blame(*judged: tuple[str, int]) -> float:
    """`network_bad` as a neighbour sees it after labels and complaints about `a`, in turn."""
    events = [event("account.registered", 0, WEEK_100, "a", network="n1")]
    events += sends(1, WEEK_100 + 1, [f"p{i}" for i in range(12)])
    for kind, label in judged:
        at = WEEK_100 + len(events) * 60_000
        if kind == "complaints":
            events += [
                event("user.blocked", len(events) + i, at + i, f"p{i}", peer="a")
                for i in range(label)
            ]
        else:
            events += [event("label.assigned", len(events), at, "a", label=label)]
    at = WEEK_100 + len(events) * 60_000
    events += [event("account.registered", len(events), at, "c", network="n1")]
    return round(values_after(events, "c")["network_bad"], 3)


def test_undetermined_withdraws_the_blame_of_a_label() -> None:
    clean, blamed = _blame(), _blame(("label", 0))
    assert blamed > clean
    assert _blame(("label", 0), ("label", 2)) == clean
    assert _blame(("label", 0), ("label", 2), ("label", 0)) == blamed
    assert _blame(("label", 0), ("label", 2), ("label", 2)) == clean


@pytest.mark.parametrize("first", [("complaints", 9), ("label", 0)])
def test_undetermined_keeps_the_blame_of_complaints(first: tuple[str, int]) -> None:
    then = ("label", 0) if first[0] == "complaints" else ("complaints", 9)
    blamed = _blame(("complaints", 9))
    assert blamed > _blame()
    assert _blame(first, then, ("label", 2)) == blamed
    assert _blame(first, then, ("label", 1)) == _blame()


def test_receiving_raises_no_count_against_the_receiver() -> None:
    events = sends(0, WEEK_100, ["b"] * 30)
    values = values_after(events, "b")
    assert (values["inbound_chats"], values["one_way_run"]) == (1, 0)
    assert (values["sends_7d"], values["first_contacts_7d"], values["started_chats"]) == (0, 0, 0)


def test_report_weight_without_proof_is_near_zero() -> None:
    events = [event("user.reported", 0, WEEK_100, "r", peer="v")]
    events += sends(1, WEEK_100 + HOUR, ["r"])
    events += [event("user.reported", 2, WEEK_100 + 2 * HOUR, "r", peer="a")]
    events += sends(3, WEEK_100 + 2 * HOUR, ["s"])
    events += [event("user.reported", 4, WEEK_100 + 3 * HOUR, "s", peer="a")]
    values = values_after(events)
    assert values_after(events, "v")["report_weight_7d"] == 3 / 256
    assert values_after(events, "v")["unproven_reports_7d"] == 1
    assert values["report_weight_7d"] == 112 / 256 + 192 / 256


def test_report_weight_reporters_registered_together_is_reduced() -> None:
    events = [
        event("account.registered", 0, WEEK_100, "r"),
        event("account.registered", 1, WEEK_100 + 600, "s"),
        event("account.registered", 2, WEEK_100 + 3 * HOUR, "t"),
    ]
    events += sends(3, WEEK_100 + 4 * HOUR, ["r", "s", "t"])
    events += [
        event("user.reported", 6 + i, WEEK_100 + 5 * HOUR + 60 * i, who, peer="a")
        for i, who in enumerate("rst")
    ]
    assert values_after(events)["report_weight_7d"] == (192 + 192 // 4 + 192) / 256


def _opponents(*chats: tuple[str, str], devices: dict[str, str] | None = None) -> list[Row]:
    """Three strangers to whom an account wrote block it; before, some wrote to each other."""
    events: list[Row] = []
    for who, device in (devices or {}).items():
        number = len(events)
        events.append(event("session.started", number, DAY, who, device=device))
    for one, other in chats:
        number = len(events)
        events += [
            event("message.sent", number, DAY + number, one, peer=other),
            event("message.sent", number + 1, DAY + number + 1, other, peer=one),
        ]
    number = len(events)
    events += sends(number, DAY + HOUR, ["x", "y", "z"])
    events += [
        event("user.blocked", number + 3 + k, DAY + 2 * HOUR + 60 * k, who, peer="a")
        for k, who in enumerate("xyz")
    ]
    return events


def test_complaints_of_people_who_know_each_other_are_one_voice() -> None:
    apart = values_after(_opponents())
    assert apart["stranger_complaints"] == 3
    pair = values_after(_opponents(("x", "y")))
    assert pair["stranger_complaints"] == 2
    friends = values_after(_opponents(("x", "y"), ("y", "z")))
    assert friends["stranger_complaints"] == 1
    assert friends["unwanted_evidence"] < pair["unwanted_evidence"] < apart["unwanted_evidence"]
    household = values_after(_opponents(devices={"x": "d", "z": "d"}))
    assert household["stranger_complaints"] == 2


PLATFORM = {"channel": 2, "business": "b1"}


def test_channel_template_send_leaves_a_person() -> None:
    letter = event("message.sent", 1, DAY, "a", peer="b", template="t1")
    assert values_after([letter])["channel"] == 0
    assert values_after([letter | {"peer": None, "group": "g"}])["channel"] == 0
    shop = event("account.registered", 0, DAY - HOUR, "a", channel=1)
    assert values_after([shop, letter])["channel"] == 1


def test_channel_platform_needs_a_registered_business() -> None:
    named = event("account.registered", 0, DAY, "a", **PLATFORM)
    nameless = {name: value for name, value in named.items() if name != "business"}
    assert values_after([named])["channel"] == 2
    assert values_after([nameless])["channel"] == 0
    assert values_after([named | {"attempted": True}])["channel"] == 0


@pytest.mark.parametrize(
    "before",
    [
        event("message.sent", 0, DAY, "a", peer="b"),
        event("message.sent", 0, DAY, "a", group="g"),
        event("contact.requested", 0, DAY, "a", peer="b"),
        event("group.member_added", 0, DAY, "a", peer="b", group="g"),
        event("group.created", 0, DAY, "a", group="g"),
        event("account.registered", 0, DAY, "a", channel=0),
        event("account.registered", 0, DAY, "a"),
    ],
)
def test_channel_known_sender_does_not_become_platform(before: Row) -> None:
    later = event("account.registered", 1, DAY + HOUR, "a", **PLATFORM)
    assert values_after([before, later])["channel"] == 0


def test_channel_later_registration_may_take_platform_away() -> None:
    first = event("account.registered", 0, DAY, "a", **PLATFORM)
    again = event("account.registered", 1, DAY + HOUR, "a", channel=1)
    assert values_after([first, again])["channel"] == 1
    assert values_after([first, again | PLATFORM])["channel"] == 2
    back = again | PLATFORM | {"id": "e2", "ts": DAY + 2 * HOUR}
    assert values_after([first, again, back])["channel"] == 1
