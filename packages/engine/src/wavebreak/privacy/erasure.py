"""Erasure of people's pseudonyms from events: of a service's log, and of a log in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.durable_files import replacing
from wavebreak.errors import FileError

ERASED_COLUMNS = ("number", "address")
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


def erase_from_batch(
    events: pa.RecordBatch, accounts: Collection[str]
) -> tuple[pa.RecordBatch, Counter[str]]:
    """Return a batch without accounts' pseudonyms, and how many events of each had one."""
    named = pa.array(sorted(accounts), pa.string())
    own = pc.is_in(events.column("account"), value_set=named)
    masks = [pc.and_(own, events.column(name).is_valid()) for name in ERASED_COLUMNS]
    found = events.column("account").filter(pc.or_(*masks))
    if not len(found):
        return events, Counter()
    for name in ERASED_COLUMNS:
        at = events.schema.get_field_index(name)
        column = pc.if_else(own, pa.scalar(None, pa.string()), events.column(at))
        events = events.set_column(at, events.schema.field(at), column)
    return events, Counter(found.to_pylist())


def erase_from_file(path: Path, accounts: Collection[str]) -> Counter[str]:
    """Erase accounts' pseudonyms from a log in an Arrow file; return events of each that had one.

    The file is written anew, also where none has any.

    Raises:
        FileError: The file is no log in the Arrow format.
    """
    found = Counter[str]()
    try:
        with pa.memory_map(str(path)) as source, replacing(path, synced=True) as file:
            reader = pa.ipc.open_file(source)
            with pa.ipc.new_file(file, reader.schema, options=_COMPRESSED) as writer:
                for n in range(reader.num_record_batches):
                    events, counts = erase_from_batch(reader.get_batch(n), accounts)
                    found.update(counts)
                    writer.write_batch(events)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise FileError(
            f"{path} is no log in the Arrow format", fix="give the log that a replay wrote"
        ) from error
    return found
