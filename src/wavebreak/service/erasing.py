"""Erasure: the pseudonyms of a person's number and addresses are cut out of the log.

No feature reads them, so the log decides as before, and counts that others rely on remain: those of
networks, number blocks and devices. (A device's keyed pseudonym stays, since the reputation that
others have from it is counted by it.) What a database keeps of old pages goes with its next vacuum.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.service import log
from wavebreak.service.models import Batch

CUT = ("number", "address")


class Cut(NamedTuple):
    """How many events lost a pseudonym, in how many rows of the log."""

    events: int
    batches: int


def without(events: pa.RecordBatch, account: str) -> tuple[pa.RecordBatch, int]:
    """A batch of the log without the account's pseudonyms, and how many events had one."""
    own = pc.equal(events.column("account"), account)
    held = [pc.and_(own, events.column(name).is_valid()) for name in CUT]
    count = pc.sum(pc.or_(*held)).as_py() or 0
    if not count:
        return events, 0
    for name in CUT:
        at = events.schema.get_field_index(name)
        column = pc.if_else(own, pa.scalar(None, pa.string()), events.column(at))
        events = events.set_column(at, events.schema.field(at), column)
    return events, count


def erase(account: str) -> Cut:
    """Cut an account's pseudonyms out of the whole log; each row is rewritten by itself.

    A row that is damaged is left as it is.
    """
    cut, batches, at = 0, 0, -1
    while True:
        found = (
            Batch.objects.filter(first__gt=at).order_by("first")
            .values_list("first", "count", "sha256", "blob").first()
        )  # fmt: skip
        if found is None:
            return Cut(cut, batches)
        at, blob = found[0], bytes(found[3])
        if log.digest(blob) != bytes(found[2]):
            continue
        events, count = without(log.unpacked(blob), account)
        if count:
            fresh = bytes(log.packed(events))
            Batch.objects.filter(first=at).update(blob=fresh, sha256=log.digest(fresh))
            cut, batches = cut + count, batches + 1
