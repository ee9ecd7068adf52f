"""Check of an engine's dumped state: every number that the kernel uses as an index lies in bounds.

Compiled code checks no bounds: a snapshot that was damaged or written by somebody else must not
reach it. Names, ids and pairs are not checked here, since loading builds their tables anew and
checks each entry.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.features import layout
from wavebreak.features.facts import CLOCK
from wavebreak.features.reputation import MOST_MINUTES
from wavebreak.linking.edges import EDGE, ends
from wavebreak.linking.linker import HIJACKED, STATE
from wavebreak.linking.sightings import REGISTRATION, SIGHTING, VISITORS
from wavebreak.outcomes import OUTCOMES
from wavebreak.schema.events import LANES

_INT64: Final = np.dtype(np.int64)
_UINT8: Final = np.dtype(np.uint8)
_CHANNELS: Final = 64
"""A channel is a bit of a mask of 64."""
_BLOCK_ITEMS: Final = 16
"""Gaps of a block (`ROW.gap_n`)."""

Arrays = dict[str, Any]


def check_state(arrays: Arrays, rules: int) -> None:
    """Check a dump of an engine (`Engine.dump`) for a policy with so many rules.

    Raises:
        ValueError: An array has another type or size than the engine's, or a number in it would
            lead out of another array. KeyError: An array is missing.
    """
    accounts, entities = _counts(arrays)
    _check_core(arrays, accounts, entities)
    for name in ("linker.facts", *(f"core.deltas{s}" for s in range(layout.SHARDS))):
        _check_contributions(_records(arrays, name, layout.DELTA), accounts, entities)
    _check_linker(arrays, accounts)
    _records(arrays, "fanout.clock", CLOCK, 1)
    if "fanout.sources" in arrays:
        _records(arrays, "fanout.sources", _UINT8)
    if "lists" in arrays:
        _records(arrays, "lists", _UINT8)
    _records(arrays, "fired", _INT64, rules)
    if _records(arrays, "asked", _INT64).size > len(OUTCOMES):
        raise ValueError("asked has another size")
    _check_ids(arrays)


def _records(arrays: Arrays, name: str, dtype: np.dtype[Any], size: int | None = None) -> Any:
    """Return an array that has this dtype, one dimension, and this size."""
    array = arrays[name]
    if array.dtype != dtype or array.ndim != 1 or (size is not None and array.size != size):
        raise ValueError(f"{name} has another type or size")
    return array


def _check_below(values: Any, end: int, what: str) -> None:
    """Check that whole numbers are at least 0 and below `end`."""
    if values.size and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ValueError(f"{what} is out of bounds")


def _counts(arrays: Arrays) -> tuple[int, int]:
    """Return the numbers of accounts and entities."""
    counts = _records(arrays, "fanout.counts", _INT64, 4)
    if counts.min() < 0:
        raise ValueError("fanout.counts is negative")
    accounts = int(_records(arrays, "core.numbers", _INT64, 4)[1])
    if not 0 <= accounts <= arrays["fanout.accounts.where"].size:
        raise ValueError("core.numbers counts accounts without names")
    return accounts, int(arrays["fanout.entities.where"].size)


def _check_core(arrays: Arrays, accounts: int, entities: int) -> None:
    people = _records(arrays, "core.people", layout.PERSON, accounts)
    _check_below(people["friends"], accounts + 1, "a friend of core.people")
    _check_below(people["groups"] >> 1, entities + 1, "a group of core.people")
    _check_below(people["organisation"], entities + 1, "an organisation of core.people")
    _check_below(people["enforcement"], len(OUTCOMES), "an outcome of core.people")
    # Room beyond the entities with names is part of the dump.
    room = _records(arrays, "core.entities", layout.ENTITY).size
    newcomers = _records(arrays, "core.newcomers", layout.NEWCOMERS)
    if min(room, newcomers.size) < entities:
        raise ValueError("core.entities has another size")
    _check_below(newcomers["slots"], accounts + 1, "a slot of core.newcomers")
    if "core.newcomer_share" in arrays:
        share = _records(arrays, "core.newcomer_share", _INT64, 4)
        _check_below(share, MOST_MINUTES + 1, "core.newcomer_share")
    for s in range(layout.SHARDS):
        used = len(range(s, accounts, layout.SHARDS))
        if (_records(arrays, f"core.deltas{s}", layout.DELTA)["shard"] != s).any():
            raise ValueError(f"core.deltas{s} holds what another shard contributed")
        if f"core.sources{s}" in arrays:
            _records(arrays, f"core.sources{s}", layout.SOURCE, used)
        touched = _records(arrays, f"core.touched{s}", layout.TOUCH)
        _check_below(touched, accounts, f"a slot of core.touched{s}")
        if (touched % layout.SHARDS != s).any():
            raise ValueError(f"core.touched{s} names an account of another shard")
        rares = _records(arrays, f"core.rares{s}", layout.RARE)
        rows = _records(arrays, f"core.rows{s}", layout.ROW, used)
        _check_rows(rows, accounts, entities, rares.size)
        for field, end in (
            ("reporters", accounts),
            ("complainers", accounts),
            ("blamed", entities),
        ):
            _check_below(rares[field], end + 1, f"{field} of core.rares{s}")
        _check_below(rares["lane"], len(LANES), f"lane of core.rares{s}")


def _check_rows(rows: Any, accounts: int, entities: int, rares: int) -> None:
    for field in ("network", "block", "device", "client", "origin"):
        _check_below(rows[field], entities + 1, f"{field} of a row")
    _check_below(rows["targets"], accounts + 1, "a target of a row")
    _check_below(rows["rare"], rares + 1, "the rare row of a row")
    for field in ("enforcement", "worst"):
        _check_below(rows[field], len(OUTCOMES), f"{field} of a row")
    _check_below(rows["gap_n"], _BLOCK_ITEMS, "gap_n of a row")
    channel = rows["channel"]
    _check_below(channel[channel != layout.UNKNOWN], _CHANNELS, "the channel of a row")


def _check_contributions(deltas: Any, accounts: int, entities: int) -> None:
    table, key, amount = deltas["table"], deltas["key"], deltas["amount"]
    _check_below(table, layout.REACHED + 1, "the table of a contribution")
    about_entity = table <= layout.LAST_OF_ENTITY
    _check_below(key[about_entity], entities, "the entity of a contribution")
    _check_below(key[~about_entity], accounts, "the account of a contribution")
    _check_below(amount[table == layout.JOINED] - 1, accounts, "the newcomer of a contribution")
    for fact in (layout.FRIEND, layout.MET, layout.MET_CONTACT):
        _check_below(amount[table == fact], accounts, "the other account of a contribution")
    _check_below(amount[table == layout.VISITED], entities, "the network of a contribution")
    _check_below(amount[table == layout.IN_GROUP] >> 1, entities + 1, "the group of a contribution")
    for fact in (layout.LEFT_GROUP, layout.IN_ORGANISATION):
        _check_below(amount[table == fact], entities + 1, "the group of a contribution")
    _check_below(
        amount[table == layout.ENFORCEMENT], len(OUTCOMES), "the outcome of a contribution"
    )


def _check_linker(arrays: Arrays, accounts: int) -> None:
    _records(arrays, "linker.epoch", _INT64, 1)
    low, high = ends(_records(arrays, "linker.edges", EDGE))
    _check_below(high, accounts, "an end of linker.edges")
    _check_below(high - low, accounts, "an end of linker.edges")
    for name in ("marked", "reached"):
        slots = _records(arrays, f"linker.{name}", _INT64)
        _check_below(slots, accounts, f"a slot of linker.{name}")
    for name, dtype in (("hijacked", HIJACKED), ("waiting", REGISTRATION)):
        slots = _records(arrays, f"linker.{name}", dtype)["slot"]
        _check_below(slots, accounts, f"a slot of linker.{name}")
    room = arrays["core.entities"].size
    for name, end in (("networks", room), ("addresses", 1 << 31), ("chats", accounts)):
        key = _records(arrays, f"linker.{name}", SIGHTING)["key"]
        if (key[1:] <= key[:-1]).any():
            raise ValueError(f"linker.{name} is out of order")
        _check_below(key >> np.uint64(32), end, f"a place of linker.{name}")
        _check_below(key & np.uint64(0xFFFFFFFF), accounts, f"a slot of linker.{name}")
    places = {"states": accounts, "devices": room}
    for name, end in places.items():
        at = _records(arrays, f"linker.{name}.at", _INT64)
        _check_below(at, end, f"a place of linker.{name}")
        if (np.diff(at) <= 0).any():
            raise ValueError(f"linker.{name} names a place twice")
        _records(arrays, f"linker.{name}", STATE if name == "states" else VISITORS, at.size)
        if name != "states":
            _check_below(arrays[f"linker.{name}"]["slot"], accounts + 1, f"a slot of linker.{name}")


def _check_ids(arrays: Arrays) -> None:
    """Check the ids of the open epoch's events; loading checks that they are text."""
    bases = _records(arrays, "ids.bases", _INT64)
    lengths = _records(arrays, "ids.lengths", _INT64, bases.size)
    sizes, text = _records(arrays, "ids.sizes", _INT64), _records(arrays, "ids.text", _UINT8)
    for values, what, whole in (
        (lengths, "ids.lengths", sizes.size),
        (sizes, "ids.sizes", text.size),
    ):
        _check_below(values, 1 << 31, what)
        if int(values.sum()) != whole:
            raise ValueError(f"{what} has another sum")
    _check_below(np.array([text.size]), 1 << 31, "ids.text")
