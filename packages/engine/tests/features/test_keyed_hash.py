"""Keyed hashes: as published, and names chosen by a sender fall like random ones."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from support.crafted_names import (
    former_hash,
    one_place,
    same_under_half_the_seeds,
)
from support.parity_streams import START, log
from wavebreak.features.facts import Fanout
from wavebreak.features.interner import Interner, name_spans
from wavebreak.features.keyed_hash import hash_all, hash_bytes_128, pair_salts, table_key
from wavebreak.features.layout import PAIR
from wavebreak.features.pair_table import load_table
from wavebreak.schema.events import TYPES

CRAFTED = 20_000


def test_hash_is_siphash_1_3() -> None:
    # Python's own hash of bytes under PYTHONHASHSEED=0, whose key is zero.
    expected = {
        1: 7541581120933061747, 7: 3389392686435873370, 8: 16921169381604339434,
        9: 8471974163824919394, 15: 17514137373579004394, 16: 9904005486622393783,
        40: 10789553897545236998,
    }  # fmt: skip
    texts = np.array([bytes(range(n)).ljust(64, b"\xff") for n in expected], "S64")
    at = texts.ctypes.data + 64 * np.arange(texts.size)
    out, zero = np.zeros(texts.size, np.uint64), np.uint64(0)
    hash_all(at, np.array(list(expected)), zero, zero, out)
    assert out.tolist() == list(expected.values())


def _names(count: int, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    return [f"{rng.randrange(1 << 32):08x}" for _ in range(count)]


def _longest_search(names: list[str]) -> int:
    interner = Interner()
    slots = interner.slots(pa.array(names))
    assert slots.tolist() == list(range(len(names)))
    return interner.longest_search()


def test_names_of_one_former_hash_are_found_like_random_ones() -> None:
    crafted = one_place(CRAFTED)
    assert len(set(crafted)) == CRAFTED
    assert len({former_hash(name) >> 34 for name in crafted[:50]}) == 1
    assert _longest_search(crafted) < 10 * _longest_search(list(dict.fromkeys(_names(CRAFTED))))


def test_names_of_colliding_pieces_are_found_like_random_ones() -> None:
    # The attack that needs no seed: 2^7 names, of which the former hash made a handful.
    found = [
        name
        for stem in "abcdefghijklmnopqrstuvwx"
        for name in same_under_half_the_seeds(stem, pieces=7)
    ]
    random_names = list(dict.fromkeys(_names(len(found))))
    assert _longest_search(found) < 10 * _longest_search(random_names)


def test_ids_that_collided_before_count_as_two_events() -> None:
    stems = [f"{k:04d}{'abcdefghijkl'}" for k in range(200)]
    ids = [name for stem in stems for name in same_under_half_the_seeds(stem)]
    kind = TYPES.index("message.sent")
    events = [
        {"id": name, "ts": START + k, "type": kind, "account": "a", "peer": "b"}
        for k, name in enumerate(ids)
    ]
    fanout = Fanout()
    dropped = [n for part in fanout.segments(log(events)) for n in part.events["drop"].tolist()]
    assert dropped == [0] * len(ids)


def test_keys_differ_by_table_and_secret() -> None:
    keys = {
        tuple(map(int, table_key(secret, table)))
        for secret in (bytes(16), bytes(range(16)))
        for table in ("accounts", "entities", "ids", "pairs")
    }
    assert len(keys) == 8


def test_both_words_of_a_long_hash_depend_on_the_key() -> None:
    text = np.frombuffer(b"some id of an event", np.uint8)
    found = [
        hash_bytes_128(text.ctypes.data, text.size, *table_key(bytes([k]) * 16, "ids"))
        for k in range(4)
    ]
    assert len({int(word) for words in found for word in words}) == 8


def _former_home(key: int, capacity: int) -> int:
    mixed = key * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    mixed ^= mixed >> 29
    mixed = mixed * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    return (mixed >> 32) * capacity >> 32


@pytest.mark.parametrize("table", [4_001])
def test_pairs_of_one_former_place_are_spread_over_the_table(table: int) -> None:
    # Who knows his accounts' slots chooses who writes to whom: 64 accounts, 4,096 pairs each.
    keys = [(owner << 32) + peer + 1 for owner in range(64) for peer in range(1_000)]
    crafted = [key for key in keys if _former_home(key, table) < table // 30][:1_500]
    dumped = np.zeros(table, PAIR)
    dumped["key"][: len(crafted)] = crafted
    held, count = load_table(dumped, pair_salts(bytes(16)), 64, 1_000)
    free = np.flatnonzero(held["key"] == 0)
    assert count == 1_500
    assert np.diff(free, prepend=-1).max() < 100


@pytest.mark.parametrize(
    ("owner_step", "peer_step"), [(0, 1), (1, 0), (1, 1), (0, 1 << 16), (3, 5), (1 << 10, 7)]
)
def test_regular_pairs_are_spread_like_random_ones(owner_step: int, peer_step: int) -> None:
    most, at = 1 << 31, np.arange(20_000, dtype=np.uint64)
    pairs = (at * np.uint64(owner_step) << np.uint64(32)) + at * np.uint64(peer_step)
    rng = np.random.default_rng(5)
    for secret in range(30):
        longest = []
        for keys in (pairs, rng.integers(0, most, at.size) << 32 | rng.integers(0, most, at.size)):
            dumped = np.zeros(30_000, PAIR)
            dumped["key"][: at.size] = keys.astype(np.uint64) + np.uint64(1)
            held, count = load_table(dumped, pair_salts(bytes([secret] * 16)), most, most)
            assert count == at.size
            longest.append(np.diff(np.flatnonzero(held["key"] == 0), prepend=-1).max())
        assert longest[0] < 6 * longest[1]


def test_salts_of_pairs_depend_on_the_secret() -> None:
    salts = [pair_salts(bytes([k] * 16)) for k in range(50)]
    assert len({int(word) for words in salts for word in words}) == 150
    assert all(int(words[2]) % 2 for words in salts)


@pytest.mark.parametrize("entry", [(64 << 32) + 1, 1_001, None])
def test_table_with_what_is_no_pair_is_refused(entry: int | None) -> None:
    dumped = np.zeros(100, PAIR)
    dumped["key"][:2] = 5, entry or 5
    with pytest.raises(ValueError, match="no pair"):
        load_table(dumped, pair_salts(bytes(16)), 64, 1_000)


def test_names_of_a_dump_go_over_to_another_key() -> None:
    one, other = Interner(table_key(bytes(16), "x")), Interner(table_key(bytes([1]) * 16, "x"))
    names = pa.array([*_names(3_000), "", "é" * 60])
    slots = one.slots(names).tolist()
    other.load({name: array.copy() for name, array in one.dump().items()})
    assert other.find_of(name_spans(names)).tolist() == slots
    assert other.texts(range(len(one))).equals(one.texts(range(len(one))))
