"""The command `sources`: what feeds a service, and which rules lack what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import command, out, print_json
from wavebreak.cli.options import Json, Wide
from wavebreak.reports.tables import Table, print_lines, print_table, span, stamp
from wavebreak.rules import load_policy
from wavebreak_server.cli.service_home import BY, Home, Reason, in_database, opens_home
from wavebreak_server.config_sources import Effective
from wavebreak_server.pipeline.live_policy import live_directory
from wavebreak_server.slices.sources.coverage import measure_begin
from wavebreak_server.slices.sources.overview import SourcesOverview, SourceView, sources_overview
from wavebreak_server.slices.sources.service import approve as approve_source

Approve = Annotated[
    str,
    typer.Option(
        "--approve",
        metavar="NAME",
        help="Let the declaration decide that this source has asked for.",
    ),
]

_BASIS = {
    "declared": "by what the sources have declared",
    "measured": "by the first hour of the log, since no source is declared",
    "unknown": "nobody has declared a source, and the log has no hour of events yet: everything is "
    "taken as carried",
}


@app.command(epilog="Example: `wavebreak sources var`")
@opens_home("policy", "key", "database")
def sources(
    home: Home,
    options: Effective,
    approve: Approve = "",
    reason: Reason = "approved by command",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Show what feeds a service: what each source carries and can, and when it was last seen.

    Types and fields that are not carried are listed, with the rules that lack what they read: these
    cannot hold. A source declares itself (`PUT /v1/sources/self`), or an administrator does. What
    a source declares that is less than the service decides by waits until it is approved.
    """
    decides = load_policy(live_directory(home) or options.configuration.decisions.policy)
    if approve:
        in_database(options, home, lambda now: approve_source(approve, now, BY, reason))
    found = in_database(options, home, lambda _: sources_overview(decides, measure_begin()))
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    _print_sources(found)
    _print_asked(found, home)
    _print_lacking(found)


def _print_sources(found: SourcesOverview) -> None:
    if not found.sources:
        out.print("no source is declared; see docs/how-to/feed-events.md")
        return
    columns = ("source", "event types", "fields", "can", "keys", "last events (UTC)", "behind")
    rows = [_row(source) for source in found.sources]
    note = (
        ""
        if found.challenges
        else "A source cannot ask for a challenge: for its accounts a limit is decided."
    )
    print_table(Table("Sources", columns, rows, note, frozenset({0, 3, 4, 5})), out)


def _print_asked(found: SourcesOverview, home: Path) -> None:
    for source in found.sources:
        if source.asked is None:
            continue
        off = ", ".join(source.asked.rules_off) or "none more"
        print_lines(
            [
                f"Waits for you: {source.name} declares {len(source.asked.carries)} types and "
                f"fields, and can {', '.join(source.asked.can) or 'nothing'}.",
                f"Rules that could not hold for its accounts then: {off}.",
                f"Approve it: {command('wavebreak', 'sources', home, '--approve', source.name)}",
            ],
            out,
        )


def _row(source: SourceView) -> tuple[str, ...]:
    fields = sum(name.count(".") > 1 for name in source.carries)
    late = "–" if source.behind_ms is None else span(max(0, source.behind_ms))
    return (
        source.name,
        str(len(source.carries) - fields),
        str(fields),
        ", ".join(source.can) or "–",
        ", ".join(source.keys) or "–",
        stamp(source.seen_ms),
        late,
    )


def _print_lacking(found: SourcesOverview) -> None:
    if found.basis == "unknown":
        print_lines([f"Coverage: {_BASIS[found.basis]}."], out)
        return
    for source in found.sources:
        if own := [rule for rule in source.rules_off if rule not in found.rules_off]:
            print_lines([f"Off for the accounts of {source.name}: {', '.join(own)}."], out)
    if not found.rules_off:
        print_lines(
            [f"Coverage, {_BASIS[found.basis]}: every rule has what it reads."],
            out,
        )
        return
    lines = [
        f"Not carried, {_BASIS[found.basis]}: {', '.join(found.lacks)}.",
        f"Rules that therefore cannot hold: {', '.join(found.rules_off)}.",
    ]
    print_lines(lines, out)
