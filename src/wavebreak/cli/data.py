"""Verbs that make event files: import, simulate, profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.table import Table

from wavebreak import simulation
from wavebreak.cli.app import app, imports
from wavebreak.cli.console import bar, nexts, out
from wavebreak.errors import UsageError
from wavebreak.io import csv_import, events_file, read
from wavebreak.privacy.pseudonymizer import Edge, load_key
from wavebreak.reports.tables import count_of
from wavebreak.schema import coverage

Out = Annotated[Path, typer.Option("--out", "-o", help="File or directory to write.")]


def _pairs(text: str, option: str) -> dict[str, str]:
    """Read `a=b,c=d`."""
    found = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not (equals and name and value):
            raise UsageError(f"{option} is not well formed", fix="write it as name=name,name=name")
        found[name.strip()] = value.strip()
    return found


@imports.command(
    "csv", epilog="Example: `wavebreak import csv chats.csv --preset collegemsg -o in`"
)
def import_csv(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header (.csv or .csv.gz).")],
    out_path: Out,
    preset: Annotated[
        str, typer.Option(help=f"A known trace: {', '.join(csv_import.PRESETS)}.")
    ] = "",
    columns: Annotated[
        str, typer.Option(help="Our fields and the file's headings: ts=time,account=from,peer=to.")
    ] = "",
    unit: Annotated[str, typer.Option(help="Unit of times: s or ms.")] = "s",
    types: Annotated[
        str, typer.Option(help="The file's types and ours: message=message.sent,join=group.joined.")
    ] = "",
) -> None:
    """Turn a CSV trace into events, with a profile of what it carries beside them."""
    if preset and (columns or types):
        raise UsageError("--preset already says columns and types", fix="leave out one of them")
    if preset:
        if preset not in csv_import.PRESETS:
            raise UsageError(
                "that preset is not known", fix=f"choose from {', '.join(csv_import.PRESETS)}"
            )
        known = csv_import.PRESETS[preset]
        counts = csv_import.convert(
            file, out_path, types=known.types, unit=known.unit, several=known.several
        )
    else:
        if not types:
            raise UsageError(
                "what the rows are is not said",
                fix="give --types such as message=message.sent, or --preset",
            )
        chosen = _pairs(columns, "--columns") or None
        counts = csv_import.convert(
            file, out_path, types=_pairs(types, "--types"), columns=chosen, unit=unit
        )
    out.print(f"{counts.rows:,} rows read, {counts.events:,} events written to {out_path}")
    for cause, rows in counts.dropped.items():
        out.print(f"  left out, {cause.replace('_', ' ')}: {count_of(rows, 'row')}", style="yellow")
    nexts([f"wavebreak run {out_path} -o out"])


@app.command("profile", epilog="Example: `wavebreak profile events.jsonl`")
def learn_profile(
    events: Annotated[Path, typer.Argument(help="A file of events, or a directory with one.")],
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write it (default: beside EVENTS).")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key file of the privacy edge.")] = None,
) -> None:
    """Learn once what a stream carries, so that what is absent is missing and never zero."""
    path = events_file(events)
    with bar("profile") as show:

        def logs() -> Iterator[pa.RecordBatch]:
            for batch in read(path, Edge(load_key(key))):
                show(batch.progress, "")
                yield batch.log

        learned = coverage.learn(logs())
    where = out_path or coverage.beside(path)
    coverage.save(learned, where)
    table = Table("type", "share", "fields carried", title=f"{learned.events:,} events")
    for name, share in sorted(learned.types.items(), key=lambda item: -item[1]):
        fields = [f.removeprefix(f"{name}.") for f in learned.fields if f.startswith(f"{name}.")]
        table.add_row(name, f"{share:.2%}", ", ".join(f for f in fields if f != "id"))
    out.print(table)
    out.print(f"times come in steps of {learned.resolution_ms:,} ms; written to {where}")


def _campaigns(given: list[str]) -> list[tuple[str, int | None]]:
    chosen: list[tuple[str, int | None]] = []
    for text in given:
        name, colon, count = text.partition(":")
        if colon and not count.isdigit():
            raise UsageError("--campaign takes NAME or NAME:ACCOUNTS", fix="write blast:20")
        if name == "all":
            chosen += [(each, int(count) if colon else None) for each in simulation.CAMPAIGNS]
        else:
            chosen.append((name, int(count) if colon else None))
    return chosen


@app.command(
    epilog="Example: `wavebreak simulate --people 2000 --days 1 --campaign blast:20 "
    "--campaign jitter --innocents all -o world`"
)
def simulate(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    people: Annotated[int, typer.Option(help="Ordinary people.")] = 1000,
    days: Annotated[float, typer.Option(help="Length in days.")] = 1.0,
    campaign: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME or NAME:ACCOUNTS, again for more; all, or of "
                          f"{', '.join(simulation.CAMPAIGNS)}."),
    ] = None,
    innocents: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME, again for more; all, or of {', '.join(simulation.PERSONAS)}."),
    ] = None,
    background: Annotated[
        Path | None, typer.Option(help="Plant the campaigns into these events of real people.")
    ] = None,
    drawn: Annotated[
        bool, typer.Option("--drawn", help="Draw people, habits, innocents, operators and "
                                           "coverage from wide priors: the seed decides all.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    form: Annotated[str, typer.Option("--format", help="parquet, jsonl or arrow.")] = "parquet",
) -> None:  # fmt: skip
    """Make a world of people, campaigns and innocents: events, labels, profile."""
    if drawn and (campaign or innocents or background):
        raise UsageError("--drawn decides all", fix="leave out what else is asked for")
    with bar("simulate") as show:
        if drawn:
            world = simulation.random_platform(seed, progress=lambda share: show(share, ""))
        else:
            world = simulation.simulate(
                people=people, days=days, campaigns=_campaigns(campaign or []),
                personas=innocents or [], background=background, seed=seed,
                progress=lambda share: show(share, ""),
            )  # fmt: skip
        events = simulation.write(world, out_path, form=form)
    _told(world, out_path, events)


def _told(world: simulation.World, out_path: Path, events: int) -> None:
    abusive = sum(label == "abusive" for _, label, _, _ in world.labels)
    out.print(
        f"{events:,} events of {len(world.labels):,} accounts, {abusive:,} of them abusive "
        f"(injected by this command), in {out_path}/"
    )
    nexts([
        f"wavebreak run {out_path} --labels {out_path}/labels.csv -o out",
        f"wavebreak evaluate out --labels {out_path}/labels.csv",
    ])  # fmt: skip
