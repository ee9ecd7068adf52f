"""The simulator: the same seed, the same bytes; sorted; labelled; people like people."""

import json
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak import io
from wavebreak.durations import DAY_MS
from wavebreak.errors import UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import TS_END, WIRE_SCHEMA
from wavebreak_lab.simulation import CAMPAIGNS, START_MS, World, simulate, write
from wavebreak_lab.simulation.geography import COUNTRIES, VIRTUAL, draw_phone_numbers

EDGE = Pseudonymizer(b"k" * 32)
EVERY = [(name, 4) for name in CAMPAIGNS]


def small(seed: int = 5) -> World:
    return simulate(people=300, days=0.5, campaigns=EVERY, personas=["all"], seed=seed)


def table(world: World, size: int = 65_536) -> pa.Table:
    return pa.Table.from_batches(world.batches(size), schema=WIRE_SCHEMA)


@pytest.fixture(scope="module")
def world() -> World:
    return small()


@pytest.fixture(scope="module")
def events(world: World) -> pa.Table:
    return table(world)


def test_world_events_are_determined_by_the_seed(world: World, events: pa.Table) -> None:
    again = small()
    assert table(again).equals(events)
    assert again.labels == world.labels
    assert not table(small(seed=6)).equals(events)


def test_world_events_do_not_depend_on_batch_size(world: World, events: pa.Table) -> None:
    assert table(world, size=777).equals(events)
    assert max(batch.num_rows for batch in world.batches(777)) <= 777


def test_events_are_sorted_and_ids_are_unique(events: pa.Table) -> None:
    order = pc.sort_indices(events, [("ts", "ascending"), ("id", "ascending")])
    assert order.equals(pa.array(np.arange(len(events)), pa.uint64()))
    assert pc.count_distinct(events["id"]).as_py() == len(events)
    assert pc.min(events["ts"]).as_py() >= START_MS
    assert pc.max(events["ts"]).as_py() < START_MS + DAY_MS // 2 < TS_END


def test_every_simulated_event_is_valid(tmp_path: Path, world: World) -> None:
    for form in ("parquet", "jsonl"):
        written = write(world, tmp_path / form, form=form)
        read = list(io.read(tmp_path / form, EDGE))
        assert sum(batch.read for batch in read) == written
        assert sum(len(batch.refused) for batch in read) == 0


def test_written_sidecar_files_match_the_events(tmp_path: Path, world: World) -> None:
    written = write(world, tmp_path)
    learned = coverage.measure(batch.log for batch in io.read(tmp_path, EDGE))
    kept = coverage.load(tmp_path / "events.profile.json")
    assert (kept.events, kept.resolution_ms) == (learned.events, learned.resolution_ms)
    assert kept.types == pytest.approx(learned.types)
    assert kept.fields == pytest.approx(learned.fields)
    assert (tmp_path / "labels.csv").read_text().startswith("account,label,family,operator\n")
    about = json.loads((tmp_path / "world.json").read_text())
    assert (about["events"], about["people"]) == (written, 300)


def test_every_acting_account_has_one_label(world: World, events: pa.Table) -> None:
    named = [account for account, _, _, _ in world.labels]
    assert len(named) == len(set(named))
    assert set(events["account"].unique().to_pylist()) <= set(named)
    assert {label for _, label, _, _ in world.labels} == {"abusive", "benign"}
    assert all(operator for _, label, _, operator in world.labels if label == "abusive")


def test_accounts_register_once_and_before_they_act(events: pa.Table) -> None:
    registered_at = events.filter(pc.equal(events["type"], "account.registered"))
    assert pc.count_distinct(registered_at["account"]).as_py() == len(registered_at)
    when = dict(
        zip(registered_at["account"].to_pylist(), registered_at["ts"].to_pylist(), strict=True)
    )
    acted = events.filter(pc.is_in(events["account"], registered_at["account"].combine_chunks()))
    pairs = zip(acted["account"].to_pylist(), acted["ts"].to_pylist(), strict=True)
    assert all(ts >= when[account] for account, ts in pairs)


def test_receipts_reference_a_message_to_their_account(events: pa.Table) -> None:
    sent = events.filter(pc.equal(events["type"], "message.sent")).select(["id", "account", "peer"])
    kinds = pa.array(["message.delivered", "message.read"])
    got = events.filter(pc.is_in(events["type"], kinds)).select(["message", "account", "peer"])
    joined = got.join(sent, keys="message", right_keys="id", right_suffix="_sent")
    assert joined["account"].equals(joined["peer_sent"])
    assert joined["peer"].equals(joined["account_sent"])


def test_phone_numbers_are_valid_for_their_range() -> None:
    rng = np.random.default_rng(1)
    for place in COUNTRIES:
        drawn = [
            phonenumbers.parse(number) for number in draw_phone_numbers(rng, place.mobile, 200)
        ]
        valid = [n for n in drawn if phonenumbers.is_valid_number(n)]
        assert len(valid) > 150, place.name
        assert phonenumbers.region_code_for_number(valid[0]) == place.name
    for number in draw_phone_numbers(rng, VIRTUAL, 200):
        kind = phonenumbers.number_type(phonenumbers.parse(number))
        assert kind == phonenumbers.PhoneNumberType.VOIP


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 0},
        {"days": 0.0},
        {"campaigns": [("nonsense", None)]},
        {"campaigns": [("blast", 0)]},
        {"campaigns": [("hijack", 20)]},
        {"personas": ["nonsense"]},
        {"personas": ["all"], "background": Path("trace.parquet")},
    ],
)
def test_simulate_invalid_arguments_raise_with_fix(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"people": 10, "days": 0.1} | wrong
    with pytest.raises(UsageError, match="fix: "):
        simulate(**given)  # type: ignore[arg-type]
