"""The guard of the rules rules out nothing that hits: on random rows, rules, and a whole stream."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.rule_factories import policy, rule
from wavebreak import rules
from wavebreak.compiled.numba_runtime import call_int64, callback, compiled
from wavebreak.engine import Engine
from wavebreak.features import row_values
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import RARE, ROW
from wavebreak.features.shards import ShardedKernel, policy_without_rules
from wavebreak.outcomes import OUTCOMES
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import own_features
from wavebreak.rules.expressions import parse
from wavebreak.rules.prefilter import RARE as HAS_RARE
from wavebreak.rules.prefilter import necessary_conditions, prefilter_source
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak_lab import simulation

NAN = math.nan
CLOCK = 1_767_225_600
FEATURES_HERE = ("sends_1d", "cold_share_32", "age_s", "lookups_1d", "lookup_hit_share_1d",
                 "gap_sd", "network_bad")  # fmt: skip


@compiled()
def guarded(address: int, row: int, rare: int, kind_bit: int) -> int:
    return call_int64(address, row, rare, kind_bit)


@compiled()
def ruled(address: int, values: int, kind_bit: int) -> int:
    return call_int64(address, values, kind_bit)


def _all(_row: int, _rare: int, _kind: int) -> int:
    return -1


def _random(dtype: Any, rng: np.random.Generator, n: int) -> Any:
    """Records whose numbers are small, large or zero, but of this clock."""
    records = np.zeros(n, dtype)
    for name in dtype.names:
        shape, kind = records[name].shape, records[name].dtype
        large = rng.integers(0, min(np.iinfo(kind).max, 2**31), shape)
        records[name] = np.where(rng.random(shape) < 0.7, rng.integers(0, 40, shape), large)
        records[name][rng.random(shape) < 0.2] = 0
    records["clock"] = CLOCK
    return records


def _random_rows(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    rows, rares = _random(ROW, rng, n), _random(RARE, rng, n)
    rows["hopped"] = CLOCK
    rows["channel"] = rng.integers(0, 3, n)
    rows["enforcement"] = rng.integers(0, len(OUTCOMES), n)
    rows["rare"] = np.where(rng.random(n) < 0.5, np.arange(n) + 1, 0)
    for name in ("network", "block", "device", "client"):
        rows[name] = 0
    for name in ("registered", "first_seen", "device_changed", "linked"):
        ago = rng.integers(0, 40 * 86_400, n)
        rows[name] = np.where(rows[name] > 0, CLOCK + 1 - ago, 0)
    rares["clock"] = CLOCK - rng.choice([0, 100, 10_000, 200_000], n)
    return rows, rares


@rules.feature(unit="messages", about="Rises and falls with two counts.", bounds=(-1e6, 1e6))
def distance(sends_1d: float, lookups_1d: float) -> float:
    return abs(sends_1d - lookups_1d)


@rules.feature(unit="ratio", about="Grows as a count falls.", bounds=(0, 1))
def quietness(first_contacts_1d: float, age_s: float) -> float | None:
    return 1 / (1 + first_contacts_1d) if age_s > 3_600 else None


OWN = tuple(own_features._declared.pop(name)[1] for name in ("distance", "quietness"))


def own_policy() -> rules.Policy:
    """A policy whose rules read features of one's own, of a row and of a rare row."""
    conditions = ("distance <= 3", "distance > 20 and quietness < 0.2", "quietness >= 0.5")
    made = [
        rule(when, id=f"own_{k}", on=KINDS, own=OWN, mode="enforce")
        for k, when in enumerate(conditions)
    ]
    return replace(policy(made), features=NAMES, kinds=KINDS)


@pytest.mark.parametrize("load", [rules.load_policy, own_policy])
def test_matching_rule_passes_the_prefilter(load: Callable[[], rules.Policy]) -> None:
    program = rules.compile_rules(load())
    guard = rules.compile_prefilter(program.policy)
    core = ShardedKernel(policy_without_rules(), np.zeros(len(NAMES)), enforce=False, accounts=64)
    n = 4_000
    rows, rares = _random_rows(n)
    core.rows[0].hold(rows)
    core.rares[0].hold(rares)
    core.start(CLOCK // 60)
    core._point()
    hits = ruled_out = 0
    for local in range(n):
        may = [
            guarded(guard.address, rows.ctypes.data + local * ROW.itemsize,
                    rares.ctypes.data + (int(rows["rare"][local]) - 1) * RARE.itemsize, 1 << k)
            for k in range(len(KINDS))
        ]  # fmt: skip
        values = core.values_of(local * 64)
        for k in range(len(KINDS)):
            hit = ruled(program.address, values.ctypes.data, 1 << k)
            assert hit & ~may[k] == 0, (local, KINDS[k], program.ids)
            hits += int(hit).bit_count()
            ruled_out += may[k] == 0
    assert hits > 1_000
    assert ruled_out > n


def test_row_values_equal_feature_values() -> None:
    rows, _ = _random_rows(500)
    core = ShardedKernel(policy_without_rules(), np.zeros(len(NAMES)), enforce=False, accounts=64)
    rows["rare"] = 0
    core.rows[0].hold(rows)
    core._point()
    there = [
        name
        for name in NAMES
        if hasattr(row_values, name) and name not in row_values.RARE_ROW_FEATURES
    ]
    assert len(there) > 35
    for local in range(rows.size):
        values = dict(zip(NAMES, core.values_of(local * 64), strict=True))
        assert all(values[name] == 0 for name in row_values.RARE_ROW_FEATURES)
        for name in there:
            here = float(getattr(row_values, name)(rows[local]))
            assert here == values[name] or (math.isnan(here) and math.isnan(values[name]))


numbers = st.sampled_from(["0", "0.5", "2", "-1", "3 * 4", *FEATURES_HERE])
sums = st.one_of(
    numbers,
    st.builds("({} {} {})".format, numbers, st.sampled_from("+-*/"), numbers),
    st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), numbers, numbers),
)
truths = st.recursive(
    st.builds("{} {} {}".format, sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), sums),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
    max_leaves=8,
)
value = st.sampled_from([NAN, -1.0, 0.0, 0.5, 1.0, 2.0, 12.0])


def _least(a: float, b: float) -> float:
    return a + b if a != a or b != b else min(a, b)


def _greatest(a: float, b: float) -> float:
    return a + b if a != a or b != b else max(a, b)


def _differs(a: float, b: float) -> bool:
    return a < b or a > b


def _value_of(code: str, names: dict[str, Any]) -> bool:
    # Numbers of NumPy: they divide by zero, as compiled code does.
    code = re.sub(r"\d+\.\d+", r"whole(\g<0>)", code)
    known = {
        "whole": np.float64,
        "least": _least,
        "greatest": _greatest,
        "differs": lambda a, b: a < b or a > b,
    }
    with np.errstate(all="ignore"):
        return bool(eval(code, known | names))


@settings(max_examples=500)
@given(truths, st.lists(value, min_size=7, max_size=7), st.booleans(), st.integers(0, 3))
def test_necessary_conditions_hold_where_the_rule_does(
    when: str, values: list[float], rare: bool, stale: int
) -> None:
    given_values = dict(zip(FEATURES_HERE, map(np.float64, values), strict=True))
    if not rare:
        given_values |= {"lookups_1d": np.float64(0), "lookup_hit_share_1d": np.float64(NAN)}
    result = given_values | {HAS_RARE: float(rare)}
    # A rare row that has not been moved on holds as much or more; it never lacks a number.
    result["lookups_1d"] = np.nan_to_num(result["lookups_1d"]) + stale * rare
    if math.isnan(given_values["lookups_1d"]) or given_values["lookups_1d"] < 0:
        given_values["lookups_1d"] = np.float64(0)
        result["lookups_1d"] = np.float64(stale * rare)
    code = parse(when, FEATURES_HERE).code
    parts = necessary_conditions(code, FEATURES_HERE)
    holds = _value_of(code, {"f": list(given_values.values())})
    if holds:
        assert all(_value_of(part.code, result) for part in parts)
    read = {name for part in parts for name in part.reads}
    assert not read & {"gap_sd", "network_bad", "lookup_hit_share_1d"}


def test_rules_of_one_bound_share_the_weakest() -> None:
    asked = [rule(f"sends_1d >= {n} and gap_sd < 1", id=f"rule_{n}") for n in (30, 10, 20)]
    source = prefilter_source(replace(policy(asked), features=NAMES))
    assert source.count("sends_1d(row)") == 1
    assert "if sends_1d >= 10.0:\n" in source
    assert source.index(">= 10.0") < source.index(">= 30.0")


def test_stream_is_decided_alike_without_prefilter() -> None:
    world = simulation.simulate(
        people=30, days=1, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher", "courier"], seed=101,
    )  # fmt: skip
    edge = Pseudonymizer(b"a key for tests only")
    batches = [edge.apply(batch).cast(LOG_SCHEMA) for batch in world.batches()]
    always = callback(_all, 3)
    found = []
    for guarded_too in (True, False):
        to = Engine(rules.load_policy(), accounts=4096)
        if not guarded_too:
            to.core.policy = replace(to.core.policy, guard=always.address)
            to.core.policy.into(to.core.workers[0].record)
        found.append([hit for batch in batches for hit in _hits(to, batch)])
    assert len(found[0]) > 20
    assert found[0] == found[1]


def _hits(to: Engine, batch: Any) -> list[bytes]:
    hits = []
    for segment in to.fanout.segments(batch):
        if to.core.epoch < 0:
            to.core.start(segment.epoch)
        if segment.epoch != to.core.epoch:
            hits += [hit.tobytes() for hit in to.core.open(segment.epoch, [to.core.close()])]
        hits += [hit.tobytes() for hit in to.core.advance(segment)]
    return hits
