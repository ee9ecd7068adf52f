"""Pseudonyms of a case: a log and its decisions under names that only this case has.

Accounts, groups, devices, numbers, addresses and ids of events are replaced by HMAC-SHA-256 under a
key of the case alone, so that two cases cannot be correlated. Networks (/24, /48), number blocks,
countries, clients and times stay: features read them, and a reader has to see them. Decisions do
not depend on names, but for their ids, which contain them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from wavebreak.engine.decision_record import Decision
from wavebreak.extras import LazyModule

if TYPE_CHECKING:
    import pyarrow as pa

    from wavebreak.schema import events
else:  # not needed to rename one account, and slow to import
    pa = LazyModule("pyarrow")
    events = LazyModule("wavebreak.schema.events")

PREFIXES = {
    "account": "a", "peer": "a", "group": "g", "id": "e", "message": "e", "business": "b",
    "number": "n", "address": "i", "device": "d", "origin": "o",
}  # fmt: skip
"""Columns of the log that are renamed, with the letter that their pseudonyms begin with."""
_DIGITS = 24

Renamer = Callable[[str, str], str]
"""From a letter and a name to the pseudonym."""


def case_key(key: bytes, case: str) -> bytes:
    """Derive a case's key from the deployment's: who holds the one can make the other."""
    return hmac.digest(key, f"wavebreak case v1\0{case}".encode(), hashlib.sha256)


def make_renamer(key: bytes) -> Renamer:
    """Give the renaming of a case's key.

    >>> make_renamer(bytes(32))("a", "alice")
    'a-6fc4da49d9686e1c4bbea168'
    """

    def rename(letter: str, name: str) -> str:
        digest = hmac.digest(key, f"{letter}\0{name}".encode(), hashlib.sha256)
        return f"{letter}-{digest.hex()[:_DIGITS]}"

    return rename


def rename_log(log: pa.RecordBatch, rename: Renamer) -> pa.RecordBatch:
    """Rename a batch of the log; nulls stay nulls."""
    columns = []
    for field, column in zip(events.LOG_SCHEMA, log.columns, strict=True):
        letter = PREFIXES.get(field.name)
        if letter and column.null_count < len(column):
            coded = column.dictionary_encode()
            names = pa.array([rename(letter, n) for n in coded.dictionary.to_pylist()], pa.string())
            column = names.take(coded.indices)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=events.LOG_SCHEMA)


def rename_decision(decision: Decision, rename: Renamer, identity: str) -> Decision:
    """Rename what a decision names; its id, which is drawn from names, becomes `identity`."""
    return msgspec.structs.replace(
        decision,
        id=identity,
        account=rename("a", decision.account),
        trigger=rename("e", decision.trigger),
    )
