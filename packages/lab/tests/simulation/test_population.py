"""People without campaigns lie within the envelope of real traces (reference: data/README.md)."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import simulate

DAYS, PEOPLE = 5, 800
DAY = 86_400_000


@pytest.fixture(scope="module")
def events() -> pa.Table:
    world = simulate(people=PEOPLE, days=DAYS, seed=11)
    return pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


@pytest.fixture(scope="module")
def sent(events: pa.Table) -> pa.Table:
    return events.filter(pc.equal(events["type"], "message.sent"))


@pytest.fixture(scope="module")
def direct(sent: pa.Table) -> pa.Table:
    return sent.filter(pc.is_valid(sent["peer"]))


def _days(table: pa.Table) -> np.ndarray:
    ts = table["ts"].to_numpy()
    return np.asarray((ts - ts.min()) // DAY)


def test_daily_messages_have_plausible_median_and_tail(sent: pa.Table) -> None:
    accounts = sent["account"].combine_chunks().dictionary_encode().indices.to_numpy()
    counts = np.bincount(accounts * DAYS + _days(sent), minlength=PEOPLE * DAYS)
    median, high = np.percentile(counts, [50, 99])
    assert 10 <= median <= 20
    assert 50 <= high <= 120


def test_nearly_all_pairs_reply_to_each_other(direct: pa.Table) -> None:
    pairs = set(zip(direct["account"].to_pylist(), direct["peer"].to_pylist(), strict=True))
    answered = sum((peer, account) in pairs for account, peer in pairs) / len(pairs)
    assert 0.90 <= answered <= 0.97
    received = direct["peer"].value_counts().to_pylist()
    written = {v["values"]: v["counts"] for v in direct["account"].value_counts().to_pylist()}
    ratio = [v["counts"] / written.get(v["values"], 1) for v in received if v["counts"] > 20]
    assert 0.9 <= np.median(ratio) <= 1.1


def test_new_peers_become_rare_after_some_days(direct: pa.Table) -> None:
    first: dict[tuple[str, str], int] = {}
    days = _days(direct).tolist()
    for account, peer, day in zip(
        direct["account"].to_pylist(), direct["peer"].to_pylist(), days, strict=True
    ):
        first.setdefault((account, peer), day)
    later = [(account, day) for (account, _), day in first.items() if day > 0]
    counts = np.sort(list(Counter(later).values()))
    quiet = PEOPLE * (DAYS - 1) - len(counts)
    padded = np.concatenate([np.zeros(quiet, int), counts])
    assert 2 <= np.percentile(padded, 99) <= 5
    assert np.median(padded) <= 1


def test_gaps_inside_conversations_are_heavy_tailed(direct: pa.Table) -> None:
    order = direct.sort_by([("account", "ascending"), ("ts", "ascending")])
    gaps = np.diff(order["ts"].to_numpy())
    accounts = order["account"].combine_chunks().dictionary_encode().indices.to_numpy()
    gaps = gaps[(np.diff(accounts) == 0) & (gaps > 0) & (gaps < 3_600_000)]
    assert np.log2(gaps).std() > 1.5


def test_most_texts_are_typed_and_no_other_media_are(events: pa.Table, direct: pa.Table) -> None:
    typed = events.filter(
        pc.and_(pc.equal(events["type"], "typing.started"), pc.is_valid(events["peer"]))
    )
    texts = direct.filter(pc.equal(direct["media"], "none"))
    assert 0.86 <= len(typed) / len(texts) <= 0.96


def test_most_recipients_have_the_sender_in_contacts(direct: pa.Table) -> None:
    assert pc.mean(direct["in_contacts"].cast(pa.int8())).as_py() > 0.9


def test_most_groups_have_fewer_than_ten_members(sent: pa.Table) -> None:
    group = sent.filter(pc.is_valid(sent["group"]))
    sizes = group.group_by("group").aggregate([("recipients", "max")])["recipients_max"].to_numpy()
    assert np.mean(sizes + 1 < 10) > 0.75


def test_every_everyday_event_type_occurs(events: pa.Table) -> None:
    kinds = set(events["type"].unique().to_pylist())
    assert kinds >= {
        "account.registered",
        "session.started",
        "typing.started",
        "message.sent",
        "message.delivered",
        "message.read",
        "message.undeliverable",
        "contact.looked_up",
        "contact.added",
        "contact.removed",
        "group.created",
        "group.member_added",
        "group.joined",
        "group.left",
        "user.blocked",
    }
