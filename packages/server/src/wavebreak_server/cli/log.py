"""Commands of the service's log: repair, trim."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from wavebreak.cli.app import command_group
from wavebreak.cli.commands import FAILED, Output
from wavebreak.cli.console import command
from wavebreak.durations import duration_ms
from wavebreak.errors import UsageError
from wavebreak.ledger import checkpoints
from wavebreak.reports.tables import Table, count_of, span, stamp
from wavebreak_server.cli.service_home import (
    BY,
    Home,
    Reason,
    bind_deployment_key,
    clock_ms,
    service_command,
)
from wavebreak_server.pipeline import log_clock, log_repair
from wavebreak_server.slices.log import trim as log_trim
from wavebreak_server.storage import ledger_store, ownership

logs = command_group("log", "Repair dates in the service's log, and remove old events from it.")

SHOWN_ROWS = 20
"""Rows of the log that are listed."""


@service_command(
    logs,
    "wavebreak log repair var",
    "wavebreak log repair var --yes",
    reads="lateness key ledger_key database",
)
def repair(
    home: Annotated[Home, "Directory of the service, which must be stopped."],
    *,
    yes: Annotated[bool, "Repair the log; without it, events are only listed."] = False,
    reason: Reason = "repaired by command",
) -> Output:
    """Find events dated ahead of their receipt, which make later events late; repair their dates.

    Each is given the time at which it was received. The next start replays the log from the first
    of them; decisions on record stay. Exits with 1 where events are found and not repaired.
    """
    home.connect()
    now_ms, allowed_ms = clock_ms(), log_clock.allowed_ahead_ms(home.decisions.lateness)
    with ownership.owned(home.path):
        bind_deployment_key(home.options)
        rows = log_repair.find_ahead(now_ms, allowed_ms)
        value = {"rows": [row._asdict() for row in rows], "repaired": bool(rows and yes)}
        if not rows:
            return Output(
                value, f"no event is dated more than {span(allowed_ms)} after its receipt"
            )
        if not yes:
            return Output(
                value,
                _rows_table(rows),
                note="nothing was changed; back up, then repeat with --yes to repair the log",
                code=FAILED,
            )
        repaired = log_repair.repair(home.path, _ledger_store(home), now_ms, allowed_ms, reason)
    return Output(
        value,
        _rows_table(rows),
        f"{count_of(repaired.events, 'event')} in {count_of(repaired.rows, 'row')} of the log now "
        "have the time of their receipt; the next start replays from position "
        f"{repaired.position:,}",
        *(f"set aside: {name}{log_repair.SET_ASIDE}" for name in repaired.snapshots),
        steps=[command("wavebreak", "serve", home.path)],
    )


def _ledger_store(home: Home) -> ledger_store.LedgerStore:
    ledger_key = home.options.configuration.keys.ledger_key
    return ledger_store.LedgerStore(checkpoints.load_or_create_signer(ledger_key), clock_ms)


def _rows_table(ahead: list[log_repair.AheadRow]) -> Table:
    events = sum(row.events for row in ahead)
    return Table(
        f"{count_of(events, 'event')} dated ahead, in {count_of(len(ahead), 'row')} of the log",
        ("position", "events", "received (UTC)", "dated from", "dated to", "gets the time"),
        [
            (
                f"{row.position:,}",
                f"{row.events:,}",
                *map(stamp, (row.received_ms, row.earliest_ms, row.newest_ms, row.bound_ms)),
            )
            for row in ahead[:SHOWN_ROWS]
        ],
        note=f"and {len(ahead) - SHOWN_ROWS:,} more rows" if len(ahead) > SHOWN_ROWS else "",
    )


@service_command(
    logs,
    "wavebreak log trim var --keep 90d --reason 'retention of 90 days'",
    reads="key ledger_key database",
)
def trim(
    home: Home,
    *,
    keep: Annotated[str, "How much of the log stays, as 90d or 72h."],
    reason: Annotated[str, "Reason, for the audit log and the ledger."],
    forget_idle: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Also forget accounts that did and met nothing for so long, with nothing on "
            "record; then all of the log goes, whatever its age. The service must be stopped.",
        ),
    ] = "",
    dry_run: Annotated[bool, "Only say what would be removed."] = False,
) -> Output:
    """Remove old events from a service's log, as far as its snapshots allow; sealed and audited."""
    kept_ms = _duration_ms("--keep", keep)
    idle_ms = _duration_ms("--forget-idle", forget_idle) if forget_idle else 0
    home.connect()
    # A running service would go on with the accounts that an eviction forgets.
    with ownership.owned(home.path) if idle_ms else nullcontext():
        bind_deployment_key(home.options)
        now_ms = clock_ms()
        if idle_ms:
            plan = log_trim.plan_eviction(home.path, idle_ms)
        else:
            plan = log_trim.plan(home.path, now_ms - kept_ms)
        if not dry_run and (plan.rows or plan.evicted):
            log_trim.trim(plan, _ledger_store(home), now_ms=now_ms, reason=reason, by=BY)
    names = [path.name for path in plan.snapshots]
    value = {
        "first": plan.first,
        "end": plan.end,
        "rows": plan.rows,
        "evicted": plan.evicted,
        "snapshots": names,
        "removed": not dry_run,
    }
    if not plan.rows and not plan.evicted:
        return Output(
            value, f"nothing to remove: no event is both old enough and behind {', '.join(names)}"
        )
    would_be = "would be " if dry_run else ""
    parts = [
        f"{plan.end - plan.first:,} events in {plan.rows:,} rows {would_be}removed: positions "
        f"{plan.first:,} to {plan.end - 1:,}, received until {stamp(plan.received_ms)}"
    ]
    if plan.evicted:
        parts.append(f"{plan.evicted:,} idle accounts {would_be}forgotten")
    return Output(
        value,
        *parts,
        f"a start goes on from {', '.join(names)}",
        steps=[
            "no longer possible with these events: a replay under another policy, a recount of the "
            "evidence of decisions on them, a start with a policy, model or version that no "
            "snapshot is of (switch policies while the service runs)",
            "write a backup: earlier ones still hold what was removed",
        ],
    )


def _duration_ms(option: str, text: str) -> int:
    try:
        return duration_ms(text)
    except (KeyError, ValueError, IndexError):
        raise UsageError(f"{option} {text!r} is no duration", fix="write 90d, 72h or 30m") from None
