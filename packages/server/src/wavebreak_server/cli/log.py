"""Commands of the service's log: repair, trim."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Annotated

import typer

from wavebreak.cli.app import command_group
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import err, out, print_json, print_next_steps
from wavebreak.cli.options import Json, Wide
from wavebreak.durations import duration_ms
from wavebreak.errors import UsageError
from wavebreak.ledger.checkpoints import load_or_create_signer
from wavebreak.reports.tables import Table, count_of, print_table, span, stamp
from wavebreak_server.cli.service_home import (
    BY,
    Home,
    Reason,
    bind_deployment_key,
    service_command,
)
from wavebreak_server.pipeline import log_repair
from wavebreak_server.pipeline.log_clock import allowed_ahead_ms
from wavebreak_server.slices.log import trim as log_trim
from wavebreak_server.storage import ownership
from wavebreak_server.storage.ledger_store import LedgerStore

logs = command_group("log", "Repair dates in the service's log, and remove old events from it.")

SHOWN_ROWS = 20
"""Rows of the log that are listed."""


@service_command(
    logs,
    "wavebreak log repair var",
    "wavebreak log repair var --yes",
    name="repair",
    reads="lateness key ledger_key database",
)
def repair(
    home: Annotated[Home, typer.Argument(help="Directory of the service, which must be stopped.")],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Repair the log; without it, events are only listed.")
    ] = False,
    reason: Reason = "repaired by command",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Find events dated ahead of their receipt, which make later events late; repair their dates.

    Each is given the time at which it was received. The next start replays the log from the first
    of them; decisions on record stay. Exits with 1 where events are found and not repaired.
    """
    home.connect()
    now_ms, allowed_ms = _now_ms(), allowed_ahead_ms(home.decisions.lateness)
    with ownership.owned(home.path):
        bind_deployment_key(home.options)
        found = log_repair.find_ahead(now_ms, allowed_ms)
        if as_json:
            print_json({"rows": [row._asdict() for row in found], "repaired": bool(found and yes)})
        elif found:
            _print_rows(found)
        else:
            out.print(f"no event is dated more than {span(allowed_ms)} after its receipt")
        if not found:
            return
        if not yes:
            err.print("nothing was changed; back up, then repeat with --yes to repair the log")
            raise typer.Exit(1)
        signer = load_or_create_signer(home.options.configuration.keys.ledger_key)
        store = LedgerStore(signer, lambda: time.time_ns() // 1_000_000)
        done = log_repair.repair(home.path, store, now_ms, allowed_ms, reason)
    if as_json:
        return
    out.print(
        f"{count_of(done.events, 'event')} in {count_of(done.rows, 'row')} of the log now have the "
        f"time of their receipt; the next start replays from position {done.position:,}"
    )
    for name in done.snapshots:
        out.print(f"set aside: {name}{log_repair.SET_ASIDE}")
    print_next_steps([command_line("wavebreak", "serve", home.path)])


def _print_rows(found: list[log_repair.AheadRow]) -> None:
    events = sum(row.events for row in found)
    title = f"{count_of(events, 'event')} dated ahead, in {count_of(len(found), 'row')} of the log"
    headings = ("position", "events", "received (UTC)", "dated from", "dated to", "gets the time")
    rows = [
        (
            f"{row.position:,}",
            f"{row.events:,}",
            *map(stamp, (row.received_ms, row.earliest_ms, row.newest_ms, row.bound_ms)),
        )
        for row in found[:SHOWN_ROWS]
    ]
    note = f"and {len(found) - SHOWN_ROWS:,} more rows" if len(found) > SHOWN_ROWS else ""
    print_table(Table(title, headings, rows, note=note), out)


@service_command(
    logs,
    "wavebreak log trim var --keep 90d --reason 'retention of 90 days'",
    reads="key ledger_key database",
)
def trim(
    home: Home,
    *,
    keep: Annotated[str, typer.Option(help="How much of the log stays, as 90d or 72h.")],
    reason: Annotated[str, typer.Option(help="Reason, for the audit log and the ledger.")],
    forget_idle: Annotated[
        str,
        typer.Option(
            "--forget-idle",
            metavar="DURATION",
            help="Also forget accounts that did and met nothing for so long, with nothing on "
            "record; then all of the log goes, whatever its age. The service must be stopped.",
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove old events from a service's log, as far as its snapshots allow; sealed and audited."""
    kept_ms = _duration_ms("--keep", keep)
    idle_ms = _duration_ms("--forget-idle", forget_idle) if forget_idle else 0
    home.connect()
    # A running service would go on with the accounts that an eviction forgets.
    with ownership.owned(home.path) if idle_ms else nullcontext():
        bind_deployment_key(home.options)
        now = _now_ms()
        if idle_ms:
            planned = log_trim.plan_eviction(home.path, idle_ms)
        else:
            planned = log_trim.plan(home.path, now - kept_ms)
        if not dry_run and (planned.rows or planned.evicted):
            store = LedgerStore(
                load_or_create_signer(home.options.configuration.keys.ledger_key), _now_ms
            )
            log_trim.trim(planned, store, now_ms=now, reason=reason, by=BY)
    if as_json:
        shown = {"first": planned.first, "end": planned.end, "rows": planned.rows,
                "evicted": planned.evicted,
                "snapshots": [path.name for path in planned.snapshots],
                "removed": not dry_run}  # fmt: skip
        print_json(shown)
        return
    _show(planned, dry_run=dry_run)


def _duration_ms(option: str, text: str) -> int:
    try:
        return duration_ms(text)
    except (KeyError, ValueError, IndexError):
        raise UsageError(f"{option} {text!r} is no duration", fix="write 90d, 72h or 30m") from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _show(planned: log_trim.TrimPlan, *, dry_run: bool) -> None:
    names = ", ".join(path.name for path in planned.snapshots)
    if not planned.rows and not planned.evicted:
        out.print(f"nothing to remove: no event is both old enough and behind {names}")
        return
    done = "would be removed" if dry_run else "removed"
    out.print(
        f"{planned.end - planned.first:,} events in {planned.rows:,} rows {done}: positions "
        f"{planned.first:,} to {planned.end - 1:,}, received until {stamp(planned.received_ms)}"
    )
    if planned.evicted:
        out.print(f"{planned.evicted:,} idle accounts forgotten" if not dry_run
                  else f"{planned.evicted:,} idle accounts would be forgotten")  # fmt: skip
    out.print(f"a start goes on from {names}")
    print_next_steps(
        [
            "no longer possible with these events: a replay under another policy, a recount of the "
            "evidence of decisions on them, a start with a policy, model or version that no "
            "snapshot is of (switch policies while the service runs)",
            "write a backup: earlier ones still hold what was removed",
        ]
    )
