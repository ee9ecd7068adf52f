"""Worlds where chats open by a request: who asks, who may write, and what people answer."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.errors import UsageError
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import World, simulate
from wavebreak_lab.simulation.contact_requests import RequestHabits, RequestReception

Pair = tuple[str, str]
ASKED, ACCEPTED, REFUSED, SENT = (
    "contact.requested",
    "contact.accepted",
    "contact.refused",
    "message.sent",
)


def world_of(habits: RequestHabits | None, seed: int = 4) -> World:
    """One day of people, some personas and some campaigns."""
    return simulate(
        people=300,
        days=1.0,
        campaigns=[
            (name, 5) for name in ("blast", "typing", "romance", "sharding", "mass-reports")
        ],
        personas=["new-number", "recruiter", "shop", "bare-newcomer", "campus"],
        seed=seed,
        requests=habits or False,
    )


def rows_of(world: World) -> pa.Table:
    return pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def first_times(events: pa.Table, kind: str) -> dict[Pair, int]:
    """When each account first did that to each other."""
    some = events.filter(pc.and_(pc.equal(events["type"], kind), pc.is_valid(events["peer"])))
    found: dict[Pair, int] = {}
    columns = (some[name].to_pylist() for name in ("account", "peer", "ts"))
    for account, peer, ts in zip(*columns, strict=True):
        found.setdefault((account, peer), ts)
    return found


@pytest.fixture(scope="module")
def plain() -> pa.Table:
    return rows_of(world_of(None))


@pytest.fixture(scope="module", params=[False, True], ids=["free", "held"])
def events(request: pytest.FixtureRequest) -> pa.Table:
    return rows_of(world_of(RequestHabits(held=request.param)))


def test_requests_leave_a_log_sorted_unique_and_repeatable(events: pa.Table) -> None:
    order = pc.sort_indices(events, [("ts", "ascending"), ("id", "ascending")])
    assert order.equals(pa.array(np.arange(len(events)), pa.uint64()))
    assert pc.count_distinct(events["id"]).as_py() == len(events)
    world = world_of(RequestHabits(held=True))
    assert rows_of(world).equals(rows_of(world))


def test_each_chat_is_asked_for_once_and_before_its_messages(events: pa.Table) -> None:
    asked, sent = first_times(events, ASKED), first_times(events, SENT)
    assert len(asked) == pc.sum(pc.equal(events["type"], ASKED)).as_py() > 300
    assert not any((peer, account) in asked for account, peer in asked)
    later = [sent[pair] - ts for pair, ts in asked.items() if pair in sent]
    assert len(later) > 300
    assert min(later) >= 0


def test_who_answers_has_accepted_before(events: pa.Table) -> None:
    asked, accepted = first_times(events, ASKED), first_times(events, ACCEPTED)
    sent, refused = first_times(events, SENT), first_times(events, REFUSED)
    answered = {(peer, account): ts for (account, peer), ts in sent.items()}
    both = [(accepted[pair[::-1]], answered[pair]) for pair in asked if pair in answered]
    assert len(both) > 100
    assert all(before <= after for before, after in both)
    assert not accepted.keys() & refused.keys()
    assert all(ts >= asked[pair[::-1]] for pair, ts in (accepted | refused).items())


def test_nobody_writes_before_acceptance_where_requests_hold() -> None:
    events = rows_of(world_of(RequestHabits(held=True)))
    asked, accepted = first_times(events, ASKED), first_times(events, ACCEPTED)
    for kind in (SENT, "typing.started", "message.read"):
        for pair, ts in first_times(events, kind).items():
            for asker, peer in (pair, pair[::-1]):
                if (asker, peer) in asked:
                    assert accepted[peer, asker] <= ts
    reports = events.filter(pc.equal(events["type"], "user.reported"))
    named = set(reports["message"].drop_null().to_pylist())
    assert named
    assert named <= set(events["id"].to_pylist())


def test_requests_change_no_message_where_they_do_not_hold(plain: pa.Table) -> None:
    events = rows_of(world_of(RequestHabits()))
    contact = pa.array([ASKED, ACCEPTED, REFUSED])
    assert events.filter(pc.invert(pc.is_in(events["type"], contact))).equals(plain)


def test_people_who_know_each_other_do_not_ask(plain: pa.Table) -> None:
    events = rows_of(world_of(RequestHabits()))
    asked, opened = first_times(events, ASKED), first_times(plain, SENT)
    registered = {account for account, _ in first_times(events, SENT)} & set(
        events.filter(pc.equal(events["type"], "account.registered"))["account"].to_pylist()
    )
    by: dict[bool, list[bool]] = defaultdict(list)
    for account, peer in opened:
        by[account in registered].append((account, peer) in asked or (peer, account) in asked)
    assert all(by[True])
    assert 0.02 < np.mean(by[False]) < 0.9


def test_reception_decides_what_silent_people_do() -> None:
    nobody, everybody = RequestReception(0.0, 0.0), RequestReception(0.0, 1.0)
    world = world_of(RequestHabits(honest=nobody, unwanted=everybody))
    events = rows_of(world)
    abusive = {account for account, label, _, _ in world.labels if label == "abusive"}
    refused = {peer for _, peer in first_times(events, REFUSED)}
    assert refused
    assert refused <= abusive
    answered = {(peer, account) for account, peer in first_times(events, SENT)}
    accepted = {(peer, account) for account, peer in first_times(events, ACCEPTED)}
    assert accepted <= answered


def test_simulate_with_requests_and_a_background_is_refused(tmp_path: object) -> None:
    with pytest.raises(UsageError, match="requests need simulated people"):
        simulate(people=50, days=0.1, background=tmp_path, requests=True)  # type: ignore[arg-type]
