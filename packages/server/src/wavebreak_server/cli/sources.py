"""The command `sources`: what feeds a service, and which rules lack what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from wavebreak.cli.app import app
from wavebreak.cli.commands import Output
from wavebreak.cli.console import command
from wavebreak.errors import UsageError
from wavebreak.reports.tables import Table, span, stamp
from wavebreak_server.cli.service_home import BY, Home, Reason, service_command
from wavebreak_server.slices.sources import service as declared_sources
from wavebreak_server.slices.sources.overview import SourcesOverview, SourceView

_BASIS = {
    "declared": "by what the sources have declared",
    "measured": "by the first hour of the log, since no source is declared",
    "unknown": "nobody has declared a source, and the log has no hour of events yet: everything is "
    "taken as carried",
}


@service_command(app, "wavebreak sources var", reads="policy key database", remote=True)
def sources(
    home: Home,
    *,
    approve: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Let the declaration decide that this source has asked for."
        ),
    ] = "",
    reason: Reason = "approved by command",
) -> Output:
    """Show what feeds a service: what each source carries and can, and when it was last seen.

    Types and fields that are not carried are listed, with the rules that lack what they read: these
    cannot hold. A source declares itself (`PUT /v1/sources/self`), or an administrator does. What
    a source declares that is less than the service decides by waits until it is approved.
    """
    if approve and home.url:
        requests = {s.name: s.asked for s in home.call("sources").sources if s.asked is not None}
        if approve not in requests:
            raise UsageError(f"{approve} has asked for nothing", fix="see `wavebreak sources`")
        body = {"reason": reason, "at_ms": requests[approve].at_ms}
        home.call("approve_source", name=approve, body=body)
    elif approve:
        home.in_database(lambda now_ms: declared_sources.approve(approve, now_ms, BY, reason))
    overview: SourcesOverview = home.call("sources")
    parts = [_sources_table(overview), *_requests(overview, home.path), *_missing(overview)]
    return Output(msgspec.to_builtins(overview), *parts)


def _sources_table(overview: SourcesOverview) -> Table | str:
    if not overview.sources:
        return "no source is declared; see docs/how-to/feed-events.md"
    columns = ("source", "event types", "fields", "can", "keys", "last events (UTC)", "behind")
    note = "A source cannot ask for a challenge: for its accounts a limit is decided."
    return Table(
        "Sources",
        columns,
        [_row(source) for source in overview.sources],
        "" if overview.challenges else note,
        frozenset({0, 3, 4, 5}),
    )


def _requests(overview: SourcesOverview, home: Path) -> list[str]:
    """Describe the declarations that wait for an administrator."""
    lines = []
    for source in overview.sources:
        if source.asked is not None:
            off = ", ".join(source.asked.rules_off) or "none more"
            approval = command("wavebreak", "sources", home, "--approve", source.name)
            lines += [
                f"Waits for you: {source.name} declares {len(source.asked.carries)} types and "
                f"fields, and can {', '.join(source.asked.can) or 'nothing'}.",
                f"Rules that could not hold for its accounts then: {off}.",
                f"Approve it: {approval}",
            ]
    return lines


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


def _missing(overview: SourcesOverview) -> list[str]:
    """Describe what no source carries, and the rules that are off therefore."""
    if overview.basis == "unknown":
        return [f"Coverage: {_BASIS[overview.basis]}."]
    lines = []
    for source in overview.sources:
        if own := [rule for rule in source.rules_off if rule not in overview.rules_off]:
            lines.append(f"Off for the accounts of {source.name}: {', '.join(own)}.")
    if not overview.rules_off:
        return [*lines, f"Coverage, {_BASIS[overview.basis]}: every rule has what it reads."]
    return [
        *lines,
        f"Not carried, {_BASIS[overview.basis]}: {', '.join(overview.lacks)}.",
        f"Rules that therefore cannot hold: {', '.join(overview.rules_off)}.",
    ]
