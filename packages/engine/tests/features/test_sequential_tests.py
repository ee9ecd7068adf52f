"""Sequential tests: the bound itself, parity with the oracle over long lives, and restarts."""

from __future__ import annotations

import random
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from support.parity_streams import DAY, HOUR, MINUTE, Both, Row, log
from wavebreak.features import sequential_tests as tests
from wavebreak.features.layout import ROW
from wavebreak.schema.events import TYPES

START = 20_000 * DAY
TERMS = tests.pack_terms()


def _times(bits: int) -> Decimal:
    with localcontext() as context:
        context.prec = 40
        return Decimal(2) ** (Decimal(int(bits)) / 65_536)


@pytest.mark.parametrize("floor", [0.03, 0.09, 0.2, 0.5, 0.9])
def test_reply_bets_never_gain_at_the_floor(floor: float) -> None:
    terms, p = tests.pack_terms(early_reply=floor, reply=floor), Decimal(str(floor))
    for at in range(4):
        answer = _times(terms[tests.REPLY_ANSWER + at])
        none = _times(terms[tests.REPLY_NONE + at])
        assert p * answer + (1 - p) * none <= 1
        assert none > 1 > answer, "above the floor the bet loses"


@pytest.mark.parametrize("ceiling", [0.001, 0.03, 0.2, 0.48])
def test_complaint_bets_never_gain_at_the_ceiling(ceiling: float) -> None:
    terms = tests.pack_terms(
        complaint=ceiling, complaint_of_reactions=ceiling, complaint_after_answer=ceiling
    )
    rate = Decimal(str(ceiling))
    for at in (tests.ALL, tests.FIRST, tests.LATER):
        for j in range(3):
            trial = _times(terms[at + j])
            gains = [
                _times(terms[at + 3 + (tests.WEIGHTS + 1) * j + weight])
                for weight in range(tests.WEIGHTS + 1)
            ]
            for weight, gain in enumerate(gains):
                # Complaints of this weight, so many that their mean weight is the ceiling.
                often = min(rate * tests.WEIGHTS / max(weight, 1), Decimal(1))
                assert trial * ((1 - often) + often * gain) <= 1
            assert trial < 1 < trial * gains[-1]


@pytest.mark.parametrize("ceiling", [0.001, 0.012, 0.12, 0.159])
def test_bets_on_leaves_and_failures_never_gain_at_the_ceiling(ceiling: float) -> None:
    terms, rate = tests.pack_terms(leave=ceiling, undeliverable=ceiling), Decimal(str(ceiling))
    for at, once in ((tests.LEAVE_TRIAL, tests.LEAVE_AT), (tests.FAILURE_TRIAL, tests.FAILURE_AT)):
        for j in range(3):
            gain = _times(terms[once + j])
            assert _times(terms[at + j]) * ((1 - rate) + rate * gain) <= 1


def test_restarts_and_the_start_stake_one_in_all() -> None:
    restarts = sum(Decimal(2) ** -tests.restart_bits(k) for k in range(1, 256))
    assert _times(tests.START) + restarts <= 1


def _reply_table(n: int) -> Any:
    """Value of the reply test by early and day answers, both horizons of `n` contacts matured."""
    rows = np.zeros(1, ROW)
    table = np.zeros((n + 1, n + 1))
    for contacts in range(n + 1):
        for answers in range(contacts + 1):
            row = rows[0]
            row["matured"], row["answered"] = (0, contacts), (0, answers)
            table[contacts, answers] = tests.reply_value(TERMS, rows[0])
    return table


@pytest.mark.parametrize("mix", ["floor", "lucky first", "stops when ahead", "half above"])
def test_at_most_one_honest_account_in_x_ever_reaches_x(mix: str) -> None:
    """Whatever the mix of people, whenever one looks: the greatest value over a life is bounded."""
    accounts, contacts = 20_000, 150
    rng, table = np.random.default_rng(7), _reply_table(contacts)
    answers = np.zeros(accounts, np.int64)
    sent = np.zeros(accounts, np.int64)
    greatest = np.zeros(accounts)
    for n in range(contacts):
        p = np.full(accounts, 0.2)
        if mix == "lucky first":
            p[:] = 0.9 if n < 5 else 0.2
        elif mix == "half above":
            p[::2] = 0.6
        goes_on = np.full(accounts, True)
        if mix == "stops when ahead":
            # Who is answered stops, who is not goes on: the worst that a chooser of times can do.
            goes_on = answers * 10 <= sent
        answers += goes_on & (rng.random(accounts) < p)
        sent += goes_on
        greatest = np.maximum(greatest, table[sent, answers])
    for x in (5, 20, 100):
        share = float((greatest >= x).mean())
        assert share <= 1 / x, (mix, x, share)
    assert float((greatest >= 5).mean()) > 0 or mix == "half above"


def _reaction(row: Any, complains: bool, weight: int) -> None:
    if complains:
        tests.count_complaint(TERMS, row, weight, False)
    else:
        tests.count_reaction(row)


@pytest.mark.parametrize("mix", ["ceiling", "half below", "stops when ahead", "light and heavy"])
def test_complaints_of_reactions_rarely_convict_at_the_ceiling(mix: str) -> None:
    """Whoever complains, with whatever weight, and whenever the account stops."""
    accounts, reactions, rng = 2_000, 120, np.random.default_rng(11)
    rows, greatest = np.zeros(accounts, ROW), np.zeros(accounts)
    for i in range(accounts):
        for n in range(reactions):
            rate, weight = 0.2, tests.USUAL_WEIGHT
            if mix == "half below" and i % 2:
                rate = 0.05
            elif mix == "light and heavy" and n % 2:
                # A quarter of the usual weight, four times as often: at the ceiling as well.
                rate, weight = 0.8, tests.USUAL_WEIGHT // 4
            _reaction(rows[i], bool(rng.random() < rate), weight)
            greatest[i] = max(greatest[i], tests.reaction_value(TERMS, rows[i]))
            if mix == "stops when ahead" and rows[i]["complaints"] < 0.1 * n:
                break
    for x in (5, 20, 100):
        share = float((greatest >= x).mean())
        assert share <= 1 / x + 3 * (1 / x / accounts) ** 0.5, (mix, x, share)


def test_senders_with_many_complaints_among_reactions_are_found() -> None:
    rng, needed = np.random.default_rng(12), []
    for _ in range(200):
        row = np.zeros(1, ROW)[0]
        for n in range(1, 201):
            _reaction(row, bool(rng.random() < 0.6), 256)
            if tests.reaction_value(TERMS, row) >= 100:
                needed.append(n)
                break
    assert len(needed) == 200
    assert 5 <= float(np.median(needed)) <= 20


def test_silence_moves_no_test_of_complaints_up() -> None:
    values = _of_a([*_first_messages(60, START), *_two_later()])
    assert max(values["reaction_evidence"], values["later_complaint_evidence"]) < 1
    assert values["complaint_evidence"] < 1


def test_complaint_after_an_answer_counts_as_later_not_as_first_reaction() -> None:
    events = _first_messages(6, START)
    for n in range(6):
        for step, kind in enumerate(("message.sent", "user.blocked")):
            events.append({"id": f"{kind}{n}", "ts": START + HOUR + (2 * n + step) * MINUTE,
                           "type": TYPES.index(kind), "account": f"p{n}", "peer": "a"})  # fmt: skip
    values = _of_a(events)
    assert values["reaction_evidence"] < 1
    assert values["later_complaint_evidence"] > 100


@pytest.mark.parametrize(("rate", "least", "most"), [(0.02, 15, 80), (0.05, 25, 150)])
def test_senders_below_the_floor_are_found(rate: float, least: int, most: int) -> None:
    rng, table = np.random.default_rng(8), _reply_table(150)
    found = []
    for _ in range(300):
        answers = np.cumsum(rng.random(150) < rate)
        values = table[np.arange(1, 151), answers]
        found.append(int(np.argmax(values >= 100)) + 1 if (values >= 100).any() else 151)
    assert least <= float(np.median(found)) <= most


KINDS = (
    ("message.sent",) * 8 + ("reply",) * 3 + ("user.blocked",) * 2 + ("user.reported",)
    + ("message.undeliverable",) * 2 + ("group.member_added",) * 2 + ("group.left",) * 2
    + ("label.assigned", "session.started", "account.registered")
)  # fmt: skip
GAPS = (0, 1_000, MINUTE, 30 * MINUTE, 2 * HOUR, 7 * HOUR, DAY, 9 * DAY, 40 * DAY, 190 * DAY)


def _lives(seed: int) -> list[Row]:
    """Long lives of three senders among sixty people, some of them newcomers."""
    chance = random.Random(seed)
    at, events = START, list[Row]()
    for number in range(900):
        at += chance.choice(GAPS[: chance.choice((3, 6, 6, 8, 10))])
        kind, sender = chance.choice(KINDS), chance.choice("abc")
        peer = f"p{chance.randrange(60)}"
        row: Row = {"id": f"e{number}", "ts": at}
        if kind == "message.sent":
            row |= {"account": sender, "peer": peer,
                    "in_contacts": chance.choice((None, None, None, True))}  # fmt: skip
        elif kind in ("reply", "user.blocked", "user.reported"):
            row |= {"account": peer, "peer": sender}
        elif kind == "group.left":
            row |= {"account": peer, "peer": sender, "group": "g"}
        elif kind == "group.member_added":
            row |= {"account": sender, "peer": peer, "group": "g"}
        elif kind == "message.undeliverable":
            row |= {"account": sender, "peer": peer}
        elif kind == "label.assigned":
            row |= {"account": sender, "label": chance.choice((0, 0, 1, 2)), "source": 0}
        elif kind == "session.started":
            row |= {"account": sender, "device": chance.choice(("d1", "d2")),
                    "linked": chance.choice((None, True))}  # fmt: skip
        else:
            row |= {"account": chance.choice((sender, peer)), "network": "n", "device": "d1"}
        row["type"] = TYPES.index("message.sent" if kind == "reply" else kind)
        events.append(row)
    return events


@pytest.mark.parametrize("seed", range(6))
def test_kernel_equals_oracle_on_long_lives(seed: int) -> None:
    events, both = _lives(seed), Both(accounts=256)
    for part in range(3):
        both.take(log(events[300 * part : 300 * (part + 1)]))
        assert both.differences() == []
    values = {(a, name): v for a, name, v, _ in both.compared(["a", "b", "c"])}
    assert any(values[a, "unanswered_evidence"] != values["b", "unanswered_evidence"] for a in "ac")


def _of_a(events: list[Row]) -> dict[str, float]:
    both = Both(accounts=1024)
    both.take(log(events))
    assert both.differences() == []
    return {name: value for _, name, value, _ in both.compared(["a"])}


def _first_messages(many: int, at: int, begin: int = 0) -> list[Row]:
    return [
        {"id": f"s{at}-{begin + i}", "ts": at + i * 1_000, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{begin + i}"}
        for i in range(many)
    ]  # fmt: skip


def test_pending_answers_are_not_silence() -> None:
    at_once = _of_a(_first_messages(60, START))
    assert at_once["unanswered_evidence"] < 1
    assert at_once["unanswered_strangers_1d"] == 60
    assert _of_a([*_first_messages(60, START), *_two_later()])["unanswered_evidence"] > 100


def _two_later() -> list[Row]:
    """Two more, in steps of less than the day that a quiet log follows at once."""
    return [*_first_messages(1, START + 20 * HOUR, 60), *_first_messages(1, START + 40 * HOUR, 61)]


def test_answer_frees_a_place_of_the_allowance() -> None:
    events = _first_messages(5, START)
    events.append({"id": "r", "ts": START + HOUR, "type": TYPES.index("message.sent"),
                   "account": "p1", "peer": "a"})  # fmt: skip
    assert _of_a(events)["unanswered_strangers_1d"] == 4


def test_newcomers_are_no_trials_and_take_places() -> None:
    born = [
        {"id": f"b{i}", "ts": START - HOUR + i, "type": TYPES.index("account.registered"),
         "account": f"p{i}"}
        for i in range(5)
    ]  # fmt: skip
    values = _of_a([*born, *_first_messages(5, START)])
    assert (values["stranger_contacts"], values["unanswered_strangers_1d"]) == (0, 5)


def test_account_turned_bad_after_a_year_is_found_in_the_next_fortnight() -> None:
    events: list[Row] = []
    for day in range(360):
        peer = f"friend{day}"
        for n, (who, whom) in enumerate((("a", peer), (peer, "a"))):
            events.append({"id": f"h{day}-{n}", "ts": START + day * DAY + n * HOUR,
                           "type": TYPES.index("message.sent"), "account": who,
                           "peer": whom})  # fmt: skip
    honest = _of_a(events)
    for day in range(12):
        events += _first_messages(40, START + (360 + day) * DAY, 40 * day)
    turned = _of_a(events)
    assert honest["unanswered_evidence"] < 0.1
    assert turned["unanswered_evidence"] > 100


def test_benign_label_forgets_evidence() -> None:
    events = [*_first_messages(60, START), *_two_later()]
    events.append({"id": "l", "ts": START + 41 * HOUR, "type": TYPES.index("label.assigned"),
                   "account": "a", "label": 1, "source": 0})  # fmt: skip
    values = _of_a(events)
    assert values["unanswered_evidence"] < 1
    assert values["stranger_contacts"] == 0
