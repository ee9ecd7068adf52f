"""Backfill: the events of a file read into an empty log when a service starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from wavebreak.io import Table, open_source, readers
from wavebreak_server.pipeline.pending_requests import BusyError, Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.pipeline.service import Service

ROWS = 20_000
"""Events of one body."""


class Part(NamedTuple):
    """A body of events, and the share of the file that has been read."""

    body: Body
    progress: float


def bodies(path: Path) -> Iterator[Part]:
    """Yield the events of a file, of a directory's one `events.*`, or of a table, as bodies.

    Raises FileError where the file cannot be read, UsageError where a table's mapping is not sure.
    """
    source = open_source(path)
    if isinstance(source, Table):
        total = max(source.load().rows, 1)
        for number, (wire, _) in enumerate(source.wire_batches(ROWS), start=1):
            yield Part(Body(_stream(wire), "arrow"), min(1.0, number * ROWS / total))
        return
    file = readers.events_file(path)
    kind = readers.file_format(file)
    if kind.format in ("lines", "json"):
        opened = readers.InputFile(file, kind.codec)
        stream = readers.json_items(opened) if kind.format == "json" else opened
        for block in readers.line_blocks(stream, ROWS):
            yield Part(Body(bytes(block.text), "lines"), opened.progress())
        return
    for batch, progress in readers.columnar_batches(file, kind, ROWS):
        yield Part(Body(_stream(batch), "arrow"), progress)


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


async def backfill(service: Service, path: Path, *, resumed: bool = False) -> None:
    """Read a file into the log, if the log is empty; with `path` bound, a background task.

    `resumed`: after a failure, again from the first event; the log has each event once.
    """
    if service.progress().logged and not resumed:
        return
    accepted = refused = 0
    parts = bodies(path)
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        taken = await _accept(service, part.body, f"{path.name}-{accepted}-{refused}")
        accepted, refused = accepted + taken[0], refused + taken[1]
    service.report(f"backfill: {accepted:,} events read, {refused:,} refused")


async def _accept(service: Service, body: Body, key: str) -> tuple[int, int]:
    while True:
        try:
            answer = await service.accept(
                body,
                Sender("backfill", labels=True, lists=True, declares=True),
                key=key,
                audit="serve --backfill",
            )
            return int(answer.count), int(answer.refused_total)
        except BusyError as busy:
            await asyncio.sleep(busy.retry_after_s)
