"""What a platform's log does not carry: event types, fields, the fine part of times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which event types and fields ("message.sent.size") are left out; times in steps of `step_ms`.

    A field without a dot is left out of every type.
    """

    without_types: frozenset[str] = frozenset()
    without_fields: frozenset[str] = frozenset()
    step_ms: int = 1

    def cover(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass events on as far as such a log carries them, in the order in which they came."""
        for batch in batches:
            left = self._fields(self._types(batch))
            if left.num_rows:
                yield left

    def _types(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.without_types:
            return batch
        gone = pc.is_in(batch.column("type"), pa.array(sorted(self.without_types)))
        return batch.filter(pc.invert(gone))

    def _fields(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = {name: batch.column(name) for name in batch.schema.names}
        if self.step_ms > 1:
            arrays["ts"] = pc.multiply(pc.divide(arrays["ts"], self.step_ms), self.step_ms)
        for field in sorted(self.without_fields):
            kind, _, name = field.rpartition(".")
            column = arrays[name]
            none = pa.scalar(None, column.type)
            if kind:
                arrays[name] = pc.if_else(pc.equal(batch.column("type"), kind), none, column)
            else:
                arrays[name] = pa.nulls(batch.num_rows, column.type)
        return pa.RecordBatch.from_pydict(arrays, schema=batch.schema)


EVERYTHING = Coverage()
