"""Entries: canonical JSON against an independent encoder, kinds, commitments, erasure."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from support.ledger_fixtures import SIGNER, a_decision
from wavebreak.errors import EvidenceError
from wavebreak.ledger import Ledger, LedgerRecorder, MemoryStorage, OpeningFile, read_entry
from wavebreak.ledger.entries import KINDS, LabelEntry, make_entry
from wavebreak.ledger.recorder import decision_entry
from wavebreak.ledger.verifier import VerifierError, canonical, commitment, read_json

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
NUMBERS = st.floats(-(2.0**53) + 1, 2.0**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(max_codepoint=127))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5),
)


@given(VALUES)
def test_canonical_json_equals_independent_encoder(value: Any) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)
    assert read_json(canonical(value).encode(), "it") == json.loads(canonical(value))


@given(NUMBERS)
def test_numbers_come_back_as_they_were(value: float) -> None:
    assert float(canonical(value)) == value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**53, 1e21, {"é": 1}, {1: 2}, {1, 2}, b"bytes"]
)
def test_value_without_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises((VerifierError, TypeError)):
        canonical(value)


def test_decision_entry_hides_account() -> None:
    made, openings = decision_entry(a_decision("+972501234567"), at_ms=5, salts=_salts)
    line = made.line()
    assert b"972501234567" not in line
    assert b"event-9" not in line
    assert b"d" * 32 not in line
    assert sorted(made.commits) == sorted(openings) == ["account", "id", "trigger"]
    assert read_entry(line).body == made.body
    assert read_entry(line).line() == line


def _salts(count: int) -> bytes:
    return bytes(k % 251 for k in range(count))


def test_commitment_binds_kind_field_salt_and_value() -> None:
    told = commitment("label", "account", bytes(32), "a1")
    others = [
        commitment("decision", "account", bytes(32), "a1"),
        commitment("label", "by", bytes(32), "a1"),
        commitment("label", "account", b"\1" * 32, "a1"),
        commitment("label", "account", bytes(32), "a2"),
        commitment("label", "account", bytes(32), ["a1"]),
    ]
    assert len({told, *others}) == 6


def test_entries_of_one_account_are_unlinkable() -> None:
    ledger = Ledger(MemoryStorage(), SIGNER)
    store = OpeningFile(":memory:")
    recorder = LedgerRecorder(ledger, store, clock=lambda: 1, salts=_counted())
    recorder.decisions([a_decision(), a_decision()])
    first, second = ledger.entry(0), ledger.entry(1)
    assert not set(first.commits.values()) & set(second.commits.values())


def _counted() -> Any:
    drawn = iter(range(1000))
    return lambda count: b"".join(next(drawn).to_bytes(32) for _ in range(count // 32))


def test_every_kind_hides_fields_that_identify_persons() -> None:
    assert len(KINDS) == 26
    personal = {"account", "by", "number", "party", "person", "record", "url"}
    for kind, body in KINDS.items():
        # The number of a change is one of the audit log.
        counted = {"number"} if kind == "change" else set()
        assert not (personal - counted) & set(body.__struct_fields__), kind
        assert not set(body.hidden_fields) & set(body.__struct_fields__), kind


def test_entry_with_wrong_body_or_hidden_field_is_refused() -> None:
    body = LabelEntry("abusive", "analyst")
    with pytest.raises(EvidenceError, match="entry_kind"):
        make_entry("decision", body, {}, at=0, salts=bytes)
    with pytest.raises(EvidenceError, match="entry_hidden"):
        make_entry("label", body, {"url": "x"}, at=0, salts=bytes)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"kind": "gossip"}, "entry_kind"),
        ({"body": {"label": "abusive"}}, "entry_body"),
        ({"body": {"label": "abusive", "source": "analyst", "phone": "1"}}, "entry_body"),
        ({"body": {"label": 1, "source": "analyst"}}, "entry_body"),
        ({"commits": {"url": "0" * 64}}, "entry_hidden"),
        ({"v": 2}, "entry_version"),
    ],
)
def test_malformed_entry_is_refused_with_error_name(change: dict[str, Any], name: str) -> None:
    made, _ = make_entry("label", LabelEntry("abusive", "analyst"), {}, at=0, salts=bytes)
    told = json.loads(made.line()) | change
    with pytest.raises(EvidenceError, match=name) as refused:
        read_entry(canonical(told).encode())
    assert refused.value.name == name
