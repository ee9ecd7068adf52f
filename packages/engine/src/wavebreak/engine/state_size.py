"""Size of an engine's state in memory, which a ceiling bounds (`state_ceiling`).

A state grows with the names in the log, with the pairs of accounts that met, and within an epoch
with its events. What a process needs besides is bounded: the libraries, the queues, and a copy of
the state while a snapshot is written. In a job on Flink the fan-out and the groups of shards are
processes of their own, each with its part (`fan_out_bytes`, `shard_bytes`).
"""

from __future__ import annotations

from typing import Final

from wavebreak.engine.engine import Engine
from wavebreak.engine.state_ceiling import StateCeiling
from wavebreak.errors import StateSizeError
from wavebreak.features.facts import Fanout
from wavebreak.features.layout import ENTITY, NEWCOMERS, PERSON, RARE, ROW
from wavebreak.linking.sightings import VISITORS

_SLOT: Final = 24
"""Bytes to find a name by: its place, and its share of a hash table."""
NAME_BYTES: Final = 40
"""A name's usual length: what a messenger calls an account, or a pseudonym."""
ACCOUNT_BYTES: Final = (
    ROW.itemsize + RARE.itemsize + PERSON.itemsize + VISITORS.itemsize + _SLOT + NAME_BYTES
)
"""Bytes that a new account may need before long, besides its pairs."""
ENTITY_BYTES: Final = ENTITY.itemsize + NEWCOMERS.itemsize + VISITORS.itemsize + _SLOT + NAME_BYTES
"""Bytes of a new network, number block, device or client."""
EVENT_BYTES: Final = 320
"""Bytes that an event of known names may need: two pairs, its id twice, its contributions."""


def state_bytes(engine: Engine) -> int:
    """Return the bytes of an engine's state, the open epoch included."""
    return fan_out_bytes(engine.fanout) + shard_bytes(engine, len(engine.fanout.entities))


def fan_out_bytes(fanout: Fanout) -> int:
    """Return the bytes of the names in the log, and of the ids that find duplicates."""
    return int(fanout.accounts.nbytes() + fanout.entities.nbytes() + fanout.seen.nbytes())


def shard_bytes(engine: Engine, entities: int) -> int:
    """Return the bytes of an engine's shards and of what all shards share, the open epoch included.

    Args:
        engine: The engine.
        entities: Networks, devices and clients that the log has named.
    """
    core = engine.core.nbytes()
    held = sum(core.values()) - core["pairs_known"]
    held += entities * (ENTITY.itemsize + NEWCOMERS.itemsize)
    return int(held + engine.linker.nbytes() + engine.open_epoch_bytes())


def check_size(engine: Engine, ceiling: StateCeiling | None) -> None:
    """Raise StateSizeError where an engine's state is beyond its ceiling."""
    if ceiling is not None and (held := state_bytes(engine)) > ceiling.overshoot:
        raise StateSizeError(
            f"the state of {engine.core.accounts:,} accounts needs {held >> 20:,} MiB at position "
            f"{engine.fanout.position:,}; the ceiling leaves it {ceiling.bytes >> 20:,} MiB",
            fix="give more with --max-memory, or evict idle accounts: wavebreak log trim --help",
        )
