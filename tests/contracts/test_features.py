"""Every feature, by discovery: declared in full, with an oracle, and not vacuous."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import oracle
from support.parity_streams import Both, crowded, log, rows, same, some_steps
from wavebreak.features.catalog import FEATURES, INDEX, NAMES
from wavebreak.features.descriptions import Feature
from wavebreak.schema.events import EVENTS, TYPES

WINDOWS = ("15s", "5m", "1h", "1d", "7d", "28d", "all", "now")
OF_ANSWERS = {
    "strikes", "refused", "attempts_after_notice",
}  # fmt: skip
"""Features of our own answers: zero in streams without rules, where people alone set outcomes."""
OF_LINKING = {
    "operator_accounts": 0.0, "operator_abusive_accounts": 0.0,
    "operator_unanswered_evidence": 1.0, "operator_complaint_evidence": 1.0,
}  # fmt: skip
"""Features that the engine writes, and their value in a kernel alone."""
FIELDS = {name: set(kind.__struct_fields__) for name, kind in zip(TYPES, EVENTS, strict=True)}


def is_real(source: str) -> bool:
    """Whether a source is an event type, or a field of one."""
    kind, _, field = source.rpartition(".")
    return source in TYPES or field in FIELDS.get(kind, set())


def test_features_are_108_each_with_index_and_oracle_formula() -> None:
    assert len(FEATURES) == 108
    assert len(set(NAMES)) == len(FEATURES) >= 60
    assert [INDEX[name] for name in NAMES] == list(range(len(FEATURES)))
    assert set(oracle.FORMULAS) == set(NAMES)


def test_feature_declarations_are_complete() -> None:
    for feature in FEATURES:
        assert all(text.strip() == text != "" for text in feature if isinstance(text, str))
        assert feature.name.isidentifier()
        assert feature.name == feature.name.lower()
        assert feature.meaning.endswith("."), feature.name
        assert feature.version >= 1
        assert 1 <= feature.resolution_ms <= 86_400_000


def test_feature_name_window_equals_declared_window() -> None:
    for feature in FEATURES:
        end = feature.name.rpartition("_")[2]
        if end in WINDOWS:
            assert feature.window == end, feature.name
        if end == "32":
            assert feature.window.startswith("last 32"), feature.name


def test_feature_sources_are_types_or_fields_of_the_schema() -> None:
    assert not is_real("message.sent.text")
    for feature in FEATURES:
        assert feature.sources, feature.name
        for source in feature.sources:
            assert all(map(is_real, source.split("|"))), (feature.name, source)


def test_feature_families_are_complete() -> None:
    families: dict[str, list[Feature]] = defaultdict(list)
    for feature in FEATURES:
        families[feature.family].append(feature)
    assert set(families) >= {
        "volume", "first contacts", "replies", "reciprocity", "gap regularity", "typing",
        "size repetition", "day curve", "growth", "groups", "lookups", "reads",
        "in contacts", "changes", "account age", "registration", "reputation", "reports",
        "successors", "rings", "clusters", "scores",
    }  # fmt: skip


def test_features_vary_in_streams_and_equal_the_oracle() -> None:
    values: dict[str, set[float]] = defaultdict(set)
    for seed in range(20):
        rng = random.Random(seed)
        both, events = Both(), rows(some_steps(rng, 120)) if seed % 5 else crowded(rng)
        cut = len(events) // 6 + 1
        for begin in range(0, len(events), cut):
            both.take(log(events[begin : begin + cut]))
            for account, name, fast, slow in both.compared():
                assert same(fast, slow), (seed, account, name)
                values[name] |= set() if math.isnan(fast) else {fast}
    fixed = {name for name in NAMES if len(values[name]) < 2}
    assert fixed == OF_ANSWERS | OF_LINKING.keys() | {"score", "registration_score"}
    assert all(values[name] == {0.0} for name in OF_ANSWERS)
    assert all(values[name] == {value} for name, value in OF_LINKING.items())
