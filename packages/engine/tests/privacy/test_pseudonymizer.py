from __future__ import annotations

from pathlib import Path
from typing import Any

import maxminddb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import IPS, KEY, NOON, PHONES, UNKNOWN_PHONE, Item, edge, sent, valid
from wavebreak.errors import EventError, FileError, UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer, network_prefix, number_block
from wavebreak.schema.events import LOG_SCHEMA, TYPES, WIRE_SCHEMA

REGISTERED: Item = {"type": "account.registered", "ts": NOON, "account": "ann"}


def wire(*items: Item) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(items), WIRE_SCHEMA)


def log(*items: Item) -> list[Item]:
    return [dict(row) for row in edge().apply(wire(*items)).to_pylist()]


def test_a_phone_number_becomes_a_pseudonym_a_block_and_a_country() -> None:
    (row,) = log({**REGISTERED, "phone": "+972541234567"})
    assert (row["block"], row["number_country"]) == ("+972-5412", "IL")
    assert len(row["number"]) == 32
    assert int(row["number"], 16) >= 0


def test_neighbouring_numbers_share_a_block_and_no_pseudonym() -> None:
    a, b = log(*({**REGISTERED, "phone": p} for p in ("+972541234567", "+972541299999")))
    assert a["block"] == b["block"]
    assert a["number"] != b["number"]


@pytest.mark.parametrize("phone", ["+999123456789", "+12", "+000000000", "+"])
def test_a_number_of_no_country_has_no_block(phone: str) -> None:
    assert number_block(phone) is None


def test_an_address_becomes_a_pseudonym_and_a_network() -> None:
    rows = log(*({**REGISTERED, "ip": ip} for ip in ("203.0.113.77", "2001:DB8:1:2::3")))
    assert [r["network"] for r in rows] == ["203.0.113.0/24", "2001:db8:1::/48"]


def test_one_address_in_two_spellings_has_one_pseudonym() -> None:
    rows = log(*({**REGISTERED, "ip": ip} for ip in ("203.0.113.77", "::ffff:203.0.113.77")))
    assert rows[0]["address"] == rows[1]["address"]
    assert rows[0]["network"] == rows[1]["network"]


@pytest.mark.parametrize("ip", ["1.2.3", "fe80::1%eth0", "1.2.3.4/24", "01.2.3.4", "", ":::"])
def test_what_is_no_address_has_no_network(ip: str) -> None:
    assert network_prefix(ip) is None


def test_equal_texts_of_two_kinds_have_different_pseudonyms() -> None:
    (row,) = log({**REGISTERED, "device": "203.0.113.77", "ip": "203.0.113.77"})
    assert row["device"] != row["address"]


def test_another_key_gives_other_pseudonyms() -> None:
    batch = wire({**REGISTERED, "phone": PHONES[0], "ip": IPS[0], "device": "d"})
    ours, theirs = edge().apply(batch), Pseudonymizer(b"x" * 16).apply(batch)
    for name in ("number", "address", "device"):
        assert ours.column(name) != theirs.column(name)
    assert ours.column("block") == theirs.column("block")


@given(valid())
def test_no_raw_phone_address_or_device_is_left_in_the_log(item: Item) -> None:
    planted = {"phone": "+972541234567", "ip": "203.0.113.77", "device": "planted-device"}
    item = {**item, **{name: planted[name] for name in planted if name in item}}
    text = str(log(item))
    assert not any(value in text for name, value in planted.items() if name in item)


def test_origin_becomes_a_pseudonym_of_its_own_key() -> None:
    far, near, device = log(
        {**REGISTERED, "origin": "far.example"},
        {**REGISTERED, "origin": "near.example"},
        {**REGISTERED, "device": "far.example"},
    )
    assert len(far["origin"]) == 32
    assert len({far["origin"], near["origin"], device["device"], "far.example"}) == 4


def test_derived_id_differs_by_origin_and_names_none() -> None:
    rows = log(sent(), sent(origin="far.example"), sent(origin="near.example"), sent(via="invite"))
    assert len({row["id"] for row in rows}) == 4
    assert rows[0]["id"] == "sha256:d09e7318d3250d41ec89dce8f3e1a528"


def test_codes_are_places_in_the_enumeration_of_the_type() -> None:
    undeliverable: Item = {"type": "message.undeliverable", "ts": 1, "account": "a", "peer": "b"}
    reported: Item = {"type": "user.reported", "ts": 1, "account": "a", "peer": "b"}
    rows = log(
        sent(media="video", category="utility"),
        {**undeliverable, "reason": "expired"},
        {**reported, "reason": "scam"},
        undeliverable,
    )
    assert [r["type"] for r in rows] == [
        TYPES.index(t)
        for t in ("message.sent", "message.undeliverable", "user.reported", "message.undeliverable")
    ]
    assert (rows[0]["media"], rows[0]["category"]) == (2, 1)
    assert [r["reason"] for r in rows[1:]] == [2, 1, None]


def test_the_log_has_the_log_schema_whatever_columns_come_in() -> None:
    few = pa.RecordBatch.from_pylist([{"ts": 1, "type": "account.deleted", "account": "a"}])
    assert edge().apply(few).schema.equals(LOG_SCHEMA, check_metadata=True)
    coded = wire(sent()).set_column(2, "type", wire(sent()).column("type").dictionary_encode())
    assert edge().apply(coded) == edge().apply(wire(sent()))


def test_an_absent_id_is_derived_and_a_given_one_kept() -> None:
    first, again, other, given_ = log(sent(), sent(), sent(size=5), sent(id="mine"))
    assert first["id"] == again["id"] != other["id"]
    assert first["id"].startswith("sha256:")
    assert len(first["id"]) == len("sha256:") + 32
    assert given_["id"] == "mine"


def test_derived_id_depends_on_its_row_alone() -> None:
    item: Item = {**REGISTERED, "phone": PHONES[0], "ip": IPS[0]}
    alone, among = log(item)[0], log(sent(broadcast=True), item)[1]
    assert alone["id"] == among["id"]
    assert Pseudonymizer(b"y" * 32).apply(wire(item)).column("id")[0].as_py() != alone["id"]


def test_invalid_number_is_refused_without_quoting_it() -> None:
    log_, refused = edge().split(wire(sent(), {**REGISTERED, "phone": UNKNOWN_PHONE}, sent()))
    assert log_.num_rows == 2
    (only,) = refused
    assert (only.line, only.cause, only.field) == (2, "bad_value", "phone")
    assert UNKNOWN_PHONE[1:] not in only.message
    with pytest.raises(EventError, match="line 2: field `phone`"):
        edge().apply(wire(sent(), {**REGISTERED, "phone": UNKNOWN_PHONE}))


@given(st.text(alphabet="0123456789", min_size=1, max_size=15))
def test_no_run_of_digits_crashes_the_pseudonymizer(digits: str) -> None:
    log_, refused = edge().split(wire({**REGISTERED, "phone": "+" + digits}))
    assert log_.num_rows + len(refused) == 1


class _Places:
    """Stands in for a local IP database."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get(self, _: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "asn", "country"),
    [
        ({"autonomous_system_number": 64500}, 64500, None),
        ({"country": {"iso_code": "IL"}, "asn": "AS64501"}, 64501, "IL"),
        ({"country": "BR", "asn": "none"}, None, "BR"),
        ({"autonomous_system_number": 2**40}, None, None),
        (None, None, None),
        (ValueError("an IPv6 address in a database of IPv4"), None, None),
    ],
)
def test_a_local_database_gives_network_and_country(
    answer: Any, asn: int | None, country: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maxminddb, "open_database", lambda _: _Places(answer))
    row = (
        Pseudonymizer(KEY, Path("places.mmdb"))
        .apply(wire({**REGISTERED, "ip": IPS[0]}))
        .to_pylist()[0]
    )
    assert (row["asn"], row["network_country"]) == (asn, country)


def test_a_database_that_is_none_is_a_file_error(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match=r"x\.mmdb"):
        Pseudonymizer(KEY, tmp_path / "x.mmdb")


def test_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="too short"):
        Pseudonymizer(b"short")
