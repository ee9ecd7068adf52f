"""Commands that write event files and their coverage profiles: import, profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak import io
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.errors import UsageError
from wavebreak.example import NAME
from wavebreak.privacy import pseudonymizer, secret_key
from wavebreak.reports.tables import Table, count_of
from wavebreak.schema import coverage

if TYPE_CHECKING:
    import pyarrow as pa

MAX_SHOWN = 5
"""Refused rows that are printed."""


@command(
    app,
    "wavebreak import chats.csv -o events.parquet",
    "wavebreak import log.parquet --columns ts=sent,account=from,peer=to --time s -o in",
    name="import",
)
def import_table(
    file: Annotated[str, "A table: CSV, JSON Lines, Parquet, Arrow, or a chat server's database."],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Events file to write (.parquet, .jsonl, .arrow).")
    ],
    table: options.TableOptions,
    key: options.Key = None,
) -> Output:
    """Convert a table into events, and write a profile of its fields beside them."""
    source = table.open(file)
    if not isinstance(source, io.Table):
        raise UsageError(f"{file} holds events already", fix=f"wavebreak run {file} -o out")
    with console.progress_bar("import") as show:
        conversion = source.load(lambda share: show(share, "reading"))
        events = io.write_table(source, out, secret_key.load_key(key))
    causes = {cause.replace("_", " "): rows for cause, rows in conversion.causes.items()}
    lines = [f"{conversion.rows:,} rows read, {events:,} events written to {out}"]
    lines += [f"  refused, {cause}: {count_of(rows, 'row')}" for cause, rows in causes.items()]
    lines += [f"  {refusal.message}" for refusal in conversion.refused[:MAX_SHOWN]]
    return Output(
        {"rows": conversion.rows, "events": events, "refused": dict(conversion.causes),
         "notes": conversion.notes},
        "\n".join([*lines, *conversion.notes]),
        steps=[console.command("wavebreak", "run", out, "-o", "out")],
    )  # fmt: skip


@command(app, "wavebreak profile events.jsonl", name="profile")
def profile_coverage(
    events: Annotated[Path, "A file of events, or a directory with one."],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (default: beside EVENTS).")
    ] = None,
    key: options.Key = None,
) -> Output:
    """Record which event types and fields a stream has; fields that it lacks count as missing."""
    path = io.events_file(events)
    with console.progress_bar("profile") as show:

        def logs() -> Iterator[pa.RecordBatch]:
            for batch in io.read(path, pseudonymizer.Pseudonymizer(secret_key.load_key(key))):
                show(batch.progress, "")
                yield batch.log

        profile = coverage.measure(logs())
    # The example lies in the installed package, which is not written to.
    sidecar = Path("example.profile.json") if str(events) == NAME else coverage.sidecar_path(path)
    target = out or sidecar
    coverage.save(profile, target)
    rows = []
    for name, share in sorted(profile.types.items(), key=lambda item: -item[1]):
        fields = [f.removeprefix(f"{name}.") for f in profile.fields if f.startswith(f"{name}.")]
        rows.append((name, f"{share:.2%}", ", ".join(f for f in fields if f != "id")))
    headings = ("event type", "share", "fields present")
    return Output(
        asdict(profile),
        Table(f"{profile.events:,} events", headings, rows, words=frozenset({0, 2})),
        f"Time resolution: {profile.resolution_ms:,} ms. Written to {target}",
    )
