"""Field coverage: features whose sources a stream lacks are missing, never zero."""

from __future__ import annotations

import random

import numpy as np

from support.parity_streams import Both, log, rows, some_steps
from wavebreak.features.catalog import FEATURES, INDEX, NAMES, coverage_mask, covered_features
from wavebreak.features.shards import ShardedKernel, policy_without_rules
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import EVENTS, TYPES

EVERY_FIELD = {
    f"{name}.{field}": 1.0
    for name, kind in zip(TYPES, EVENTS, strict=True)
    for field in kind.__struct_fields__
}


def profile(*types: str, resolution_ms: int = 1, fields: tuple[str, ...] = ()) -> Profile:
    return Profile(dict.fromkeys(types, 1.0), dict.fromkeys(fields, 1.0), resolution_ms, 100)


def test_coverage_of_full_stream_is_every_feature() -> None:
    everything = Profile(dict.fromkeys(TYPES, 1.0), EVERY_FIELD, 1, 100)
    assert covered_features(everything) == frozenset(NAMES)


def test_coverage_of_empty_stream_is_what_people_say() -> None:
    assert covered_features(profile()) == {"label_abusive", "label_benign", "label_unconfirmed"}


def test_coverage_of_messages_alone_is_volume() -> None:
    names = covered_features(profile("message.sent"))
    assert {"sends_1d", "first_contacts_7d", "gap_sd", "known_s"} <= names
    assert not names & {"typed_share_32", "groups_created_1d", "age_s", "cold_share_32"}


def test_coverage_requires_fields_named_by_sources() -> None:
    assert "size_repeat_share_32" not in covered_features(profile("message.sent"))
    assert "size_repeat_share_32" in covered_features(
        profile("message.sent", fields=("message.sent.size",))
    )


def test_coverage_with_either_source() -> None:
    by_session = profile("session.started", fields=("session.started.ip",))
    by_registration = profile("account.registered", fields=("account.registered.ip",))
    assert "network_bad" in covered_features(by_session) & covered_features(by_registration)
    assert "network_bad" not in covered_features(profile("session.started", "account.registered"))


def test_coverage_with_minute_clock_excludes_gaps() -> None:
    assert "gap_sd" in covered_features(profile("message.sent", resolution_ms=1000))
    minutes = covered_features(profile("message.sent", resolution_ms=60_000))
    assert "gap_sd" not in minutes
    assert "sends_1d" in minutes


def test_coverage_mask_is_nan_where_not_covered() -> None:
    made = coverage_mask(frozenset({"sends_1d"}))
    assert (made.dtype, made.shape) == (np.float64, (len(FEATURES),))
    assert made[INDEX["sends_1d"]] == 0
    assert np.isnan(np.delete(made, INDEX["sends_1d"])).all()


def test_values_not_covered_are_missing() -> None:
    both = Both()
    both.core = ShardedKernel(
        policy_without_rules(), coverage_mask(frozenset({"sends_1d"})), enforce=False, accounts=64
    )
    both.take(log(rows(some_steps(random.Random(1), 20))))
    given = {name for _, name, value, _ in both.compared() if not np.isnan(value)}
    assert given == {"sends_1d"}
