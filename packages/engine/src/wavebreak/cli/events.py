"""Commands that write event files and their coverage profiles: import, profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer

from wavebreak.cli.app import app, imports
from wavebreak.cli.console import command, out, print_json, print_next_steps, progress_bar
from wavebreak.cli.options import Json, Key, Wide
from wavebreak.errors import UsageError
from wavebreak.io import csv_import, events_file, read
from wavebreak.reports.tables import Table, count_of, print_table
from wavebreak.schema import coverage

if TYPE_CHECKING:
    from wavebreak.schema.coverage import Profile

EventsOut = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Events file to write (.parquet, .jsonl, .arrow), or a directory."
    ),
]


Preset = Annotated[str, typer.Option(help=f"A known trace: {', '.join(csv_import.PRESETS)}.")]
Columns = Annotated[
    str, typer.Option(help="Event fields and the file's headings: ts=time,account=from,peer=to.")
]
Unit = Annotated[str, typer.Option(help="Unit of the times: s or ms.")]
Types = Annotated[
    str,
    typer.Option(help="The file's types and event types: message=message.sent,join=group.joined."),
]


def read_pairs(text: str, option: str) -> dict[str, str]:
    """Parse `a=b,c=d`.

    >>> read_pairs("ts=time,account=from", "--columns")
    {'ts': 'time', 'account': 'from'}
    """
    pairs = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not (equals and name and value):
            raise UsageError(f"{option} is not well formed", fix="write it as name=name,name=name")
        pairs[name.strip()] = value.strip()
    return pairs


@imports.command(
    "csv",
    epilog="Examples: `wavebreak import csv chats.csv --preset collegemsg -o in`; `wavebreak "
    "import csv log.csv --columns ts=time,account=from,peer=to --types m=message.sent -o in`",
)
def import_csv(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header (.csv or .csv.gz).")],
    out_path: EventsOut,
    preset: Preset = "",
    columns: Columns = "",
    unit: Unit = "s",
    types: Types = "",
) -> None:
    """Convert a CSV trace into events, and write a profile of its fields beside them."""
    if preset and (columns or types):
        raise UsageError(
            "--preset cannot be combined with --columns or --types",
            fix="drop --preset, or the other two",
        )
    if preset:
        known = csv_import.preset(preset)
        counts = csv_import.convert(
            file, out_path, types=known.types, unit=known.unit, several=known.several
        )
    else:
        if not types:
            raise UsageError(
                "--types is missing, so the event type of the rows is unknown",
                fix="give --types such as message=message.sent, or --preset",
            )
        counts = csv_import.convert(
            file,
            out_path,
            types=read_pairs(types, "--types"),
            columns=read_pairs(columns, "--columns") or None,
            unit=unit,
        )
    out.print(f"{counts.rows:,} rows read, {counts.events:,} events written to {out_path}")
    for cause, rows in counts.dropped.items():
        out.print(f"  dropped, {cause.replace('_', ' ')}: {count_of(rows, 'row')}", style="yellow")
    print_next_steps([command("wavebreak", "run", out_path, "-o", "out")])


@app.command("profile", epilog="Example: `wavebreak profile events.jsonl`")
def profile_coverage(
    events: Annotated[Path, typer.Argument(help="A file of events, or a directory with one.")],
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (default: beside EVENTS).")
    ] = None,
    key: Key = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Record which event types and fields a stream has; fields that it lacks count as missing."""
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key

    path = events_file(events)
    with progress_bar("profile") as show:

        def logs() -> Iterator[pa.RecordBatch]:
            for batch in read(path, Pseudonymizer(load_key(key))):
                show(batch.progress, "")
                yield batch.log

        profile = coverage.measure(logs())
    target = out_path or coverage.sidecar_path(path)
    coverage.save(profile, target)
    if as_json:
        print_json(asdict(profile))
        return
    print_table(_coverage_table(profile), out)
    out.print(f"Time resolution: {profile.resolution_ms:,} ms. Written to {target}")


def _coverage_table(profile: Profile) -> Table:
    """Return the table of event types, their shares and their fields."""
    rows = []
    for name, share in sorted(profile.types.items(), key=lambda item: -item[1]):
        fields = [f.removeprefix(f"{name}.") for f in profile.fields if f.startswith(f"{name}.")]
        rows.append((name, f"{share:.2%}", ", ".join(f for f in fields if f != "id")))
    return Table(
        f"{profile.events:,} events",
        ("event type", "share", "fields present"),
        rows,
        words=frozenset({0, 2}),
    )
