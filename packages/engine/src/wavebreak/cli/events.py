"""Commands that write event files and their coverage profiles: import, profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak import io
from wavebreak.cli import console, options
from wavebreak.cli.app import app, imports
from wavebreak.cli.commands import Output, command
from wavebreak.errors import UsageError
from wavebreak.io import csv_import
from wavebreak.privacy import pseudonymizer, secret_key
from wavebreak.reports.tables import Table, count_of
from wavebreak.schema import coverage

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CsvOptions:
    """The options that say how a CSV file is read."""

    preset: Annotated[str, f"A known trace: {', '.join(csv_import.PRESETS)}."] = ""
    columns: Annotated[
        str,
        "Event fields and the file's headings: ts=time,account=from,peer=to.",
    ] = ""
    unit: Annotated[str, "Unit of the times: s or ms."] = "s"
    types: Annotated[
        str,
        "The file's types and event types: message=message.sent,join=group.joined.",
    ] = ""

    def __post_init__(self) -> None:
        """Raise UsageError for options that contradict each other."""
        if self.preset and (self.columns or self.types):
            raise UsageError(
                "--preset cannot be combined with --columns or --types",
                fix="drop --preset, or the other two",
            )


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


@command(
    imports,
    "wavebreak import csv chats.csv --preset collegemsg -o in",
    "wavebreak import csv log.csv --columns ts=time,account=from,peer=to "
    "--types m=message.sent -o in",
    name="csv",
)
def import_csv(
    file: Annotated[Path, "A CSV file with a header (.csv or .csv.gz)."],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Events file to write (.parquet, .jsonl, .arrow), or a directory."
        ),
    ],
    csv: CsvOptions,
) -> None:
    """Convert a CSV trace into events, and write a profile of its fields beside them."""
    if csv.preset:
        known = csv_import.preset(csv.preset)
        counts = csv_import.convert(
            file, out, types=known.types, unit=known.unit, several=known.several
        )
    elif csv.types:
        types = read_pairs(csv.types, "--types")
        columns = read_pairs(csv.columns, "--columns") or None
        counts = csv_import.convert(file, out, types=types, columns=columns, unit=csv.unit)
    else:
        raise UsageError(
            "--types is missing, so the event type of the rows is unknown",
            fix="give --types such as message=message.sent, or --preset",
        )
    console.out.print(f"{counts.rows:,} rows read, {counts.events:,} events written to {out}")
    for cause, rows in counts.dropped.items():
        line = f"  dropped, {cause.replace('_', ' ')}: {count_of(rows, 'row')}"
        console.out.print(line, style="yellow")
    console.print_next_steps([console.command("wavebreak", "run", out, "-o", "out")])


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
    target = out or coverage.sidecar_path(path)
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
