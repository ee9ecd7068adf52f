"""Dry run: it predicts an event's result and leaves the state unchanged."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fake_model import Synthetic
from support.parity_streams import STEP, Row, Steps, log, rows, some_steps
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.features.facts import EPOCH_MS, NO_FACT
from wavebreak.features.layout import SHARD_BITS, SHARDS
from wavebreak.outcomes import OUTCOMES
from wavebreak.schema.events import TYPES, UNDETERMINED

POLICY = rules.load_policy()
MODEL = Synthetic({"challenge": -190_000, "limit": -150_000, "restrict": -90_000, "ban": 0})


def engine(**given: Any) -> Engine:
    return Engine(POLICY, accounts=64, secret=bytes(16), **given)


def state(of: Engine) -> dict[str, bytes]:
    """Everything that is kept, but for how much room there is for more."""
    arrays = of.dump()
    arrays["core.entities"] = arrays["core.entities"][: len(of.fanout.entities)]
    return {name: np.ascontiguousarray(array).tobytes() for name, array in arrays.items()}


def same(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return [name for name in a if a[name] != b[name]]


def standing(of: Engine, account: str) -> tuple[int, int]:
    slot = int(of.fanout.accounts.find(log([{"id": "x", "ts": 0, "type": 0, "account": account}])
                                       .column("account"))[0])  # fmt: skip
    row = of.core.rows[slot % SHARDS].records[slot >> SHARD_BITS]
    return int(row["enforcement"]), int(row["until"])


def strangers(many: int) -> list[Row]:
    """A new account that writes to strangers, one a second."""
    start = 1_772_366_400_000
    sent = TYPES.index("message.sent")
    joined: Row = {
        "id": "r",
        "ts": start,
        "type": TYPES.index("account.registered"),
        "account": "s",
    }
    return [joined] + [
        {"id": f"m{i}", "ts": start + 200 * i, "type": sent, "account": "s", "peer": f"p{i}",
         "in_contacts": False, "size": 90}
        for i in range(many)
    ]  # fmt: skip


@settings(max_examples=40)
@given(st.lists(STEP, min_size=1, max_size=25), st.booleans(), st.booleans())
def test_dry_run_leaves_state_unchanged(steps: Steps, enforce: bool, scored: bool) -> None:
    of = engine(enforce=enforce, model=MODEL if scored else None)
    events = rows(steps)
    of.take(log(events[: len(events) // 2]))
    before = state(of)
    for row in events[len(events) // 2 :][:40]:
        of.trial(log([row | {"id": "asked"}]))
        assert same(before, state(of)) == []


def test_dry_runs_between_events_change_no_decision() -> None:
    rng = random.Random(3)
    events = rows(some_steps(rng, 300))
    asked, plain = engine(model=MODEL), engine(model=MODEL)
    made, expected = [], []
    for at in range(0, len(events), 7):
        for row in events[at : at + 3]:
            asked.trial(log([row | {"account": rng.choice("abxyz")}]))
            asked.trial(log([row | {"id": "asked"}]))
        made += asked.take(log(events[at : at + 7]))
        expected += plain.take(log(events[at : at + 7]))
    assert len(expected) > 10
    assert made == expected
    assert same(state(asked), state(plain)) == []


def test_dry_run_predicts_the_outcome() -> None:
    """Within an epoch: one that the act itself closes is read as it stood."""
    of, foretold, moved = engine(model=MODEL), 0, 0
    for row in rows(some_steps(random.Random(5), 600)):
        batch = log([row])
        if of.core.epoch == of.fanout.dated(row["ts"]) // EPOCH_MS:
            told = of.trial(batch)
            before, repeated = (
                of.core.accounts and standing(of, row["account"]),
                of.fanout.duplicates,
            )
            of.take(batch)
            if of.fanout.duplicates > repeated:
                continue
            has_fact = of.core.kinds[row["type"], 0] != NO_FACT
            if has_fact and not told.late and row["account"] != row.get("peer"):
                assert (told.outcome, told.until) == standing(of, row["account"])
                foretold += 1
                moved += before != standing(of, row["account"])
        else:
            of.take(batch)
    assert foretold > 300
    assert moved > 5


def test_dry_run_refuses_the_event_that_exceeds_a_limit() -> None:
    of = engine()
    told = []
    for row in strangers(60):
        told.append(of.trial(log([row])))
        of.take(log([row]))
    outcomes = [OUTCOMES[t.outcome] for t in told]
    limited = outcomes.index("limit")
    assert told[limited].hits.size == 1
    first = next(i for i, t in enumerate(told) if t.refused)
    assert limited <= first <= limited + 2
    assert all(t.refused for t in told[first:])


def test_dry_run_of_unknown_account_is_answered() -> None:
    of = engine()
    told = of.trial(log(strangers(1)[1:]))
    assert OUTCOMES[told.outcome] == "allow"
    assert not told.refused
    assert len(of.fanout.accounts) == 0
    assert of.core.accounts == 0


INVITES = TYPES.index("contact.requested")
LIMIT_OF_THREE = {"label": UNDETERMINED, "source": 0, "outcome": OUTCOMES.index("limit")}


def limited_to(quota: int) -> Engine:
    """An engine in which a person has limited `s` to so many new chats a day."""
    of = engine()
    for worker in of.core.workers:
        worker.record["new_chats_1d"] = quota
    joined, *_ = strangers(0)
    label = {"id": "l", "ts": joined["ts"] + 1, "type": TYPES.index("label.assigned")}
    of.take(log([joined, label | {"account": "s"} | LIMIT_OF_THREE]))
    return of


def invitations(many: int, kind: int = INVITES) -> list[Row]:
    # Not in its first minute, in which a rule narrows the limit to two.
    start = strangers(0)[0]["ts"] + 200_000
    return [
        {"id": f"i{n}", "ts": start + 10 * n, "type": kind, "account": "s", "peer": f"p{n}"}
        for n in range(many)
    ]


@pytest.mark.parametrize("kind", ["contact.requested", "message.sent", "call.started"])
def test_trials_of_40_invitations_pass_three_under_a_limit(kind: str) -> None:
    of = limited_to(3)
    before = state(of)
    told = of.trials(log(invitations(40, TYPES.index(kind))))
    assert [each.refused for each in told] == [False] * 3 + [True] * 37
    assert {OUTCOMES[each.outcome] for each in told} == {"limit"}
    assert same(before, state(of)) == []
    assert len(of.fanout.accounts) == 1


def as_answered(of: Engine, batch: list[Row]) -> list[tuple[int, int, bool]]:
    """What the kernel does with events one after the other, each refused one as an attempt."""
    found = []
    for row in batch:
        told = of.trial(log([row]))
        of.take(log([row | {"attempted": True} if told.refused else row]))
        assert standing(of, row["account"]) == (told.outcome, told.until) or told.late
        found.append((told.outcome, told.until, told.refused))
    return found


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(1, 50), st.booleans())
def test_trials_leave_state_unchanged_and_equal_the_kernel(
    seed: int, many: int, enforce: bool
) -> None:
    rng = random.Random(seed)
    past = [row | {"account": rng.choice("ab")} for row in rows(some_steps(rng, 30))]
    of = engine(enforce=enforce, model=MODEL)
    of.take(log(past))
    at = int(of.fanout.clock[0]["newest"])
    left = EPOCH_MS - at % EPOCH_MS - 1
    named = ("contact.requested", "message.sent", "group.created", "call.started")
    kinds = [TYPES.index(kind) for kind in named]
    batch = [
        {"id": f"n{n}", "ts": at + min(n * 7, left), "type": rng.choice(kinds), "account": "a",
         "peer": rng.choice([f"x{n}", f"x{n // 2}", "b", "c"]), "size": 100}
        for n in range(many)
    ]  # fmt: skip
    batch = [
        row if row["type"] != kinds[2] else row | {"peer": None, "group": "g"} for row in batch
    ]
    before = state(of)
    told = [(each.outcome, each.until, each.refused) for each in of.trials(log(batch))]
    assert same(before, state(of)) == []
    if enforce:
        assert as_answered(of, batch) == told


def test_trials_of_two_accounts_or_51_events_are_an_error() -> None:
    of = engine()
    some = invitations(51)
    for batch in (some, [some[0], some[1] | {"account": "t"}]):
        with pytest.raises(UsageError, match="50 events at most"):
            of.trials(log(batch))


def test_second_try_of_a_refused_first_contact_is_refused() -> None:
    """An attempt leaves no chat: the same message two seconds later opens it again."""
    of = limited_to(0)
    first = strangers(1)[1]
    assert of.trial(log([first])).refused
    of.take(log([first | {"attempted": True}]))
    again = first | {"id": "again", "ts": first["ts"] + 2_000}
    assert of.trial(log([again])).refused
