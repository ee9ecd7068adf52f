"""The command `lists`: the mode, the record and the pauses of each external block list."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wavebreak.cli.app import app
from wavebreak.cli.commands import Output
from wavebreak.reports.tables import Table, stamp
from wavebreak_server.cli.service_home import Home, service_command
from wavebreak_server.slices.lists.service import OutsideList


@service_command(app, "wavebreak lists var", reads="lists key database", remote=True)
def lists(home: Home) -> Output:
    """Show outside lists: the mode of each, whom it names here, its record, and its pauses.

    As of the newest snapshot of the state, at most a few minutes ago; by the URL of a service, as
    of now. A list without a line in the file of options only observes. A paused list observes
    until its line says since when it may act again: `resumed = "2026-12-01T09:00:00Z"`.
    """
    listed: Sequence[OutsideList] = home.call("outside_lists").lists
    value = msgspec.to_builtins(listed)
    if not listed:
        return Output(
            value,
            "no list is configured or has told anything; see docs/how-to/use-outside-lists.md",
        )
    columns = ("list", "mode", "accounts", "servers", "right", "wrong", "weight", "told (UTC)",
               "paused")  # fmt: skip
    note = "Right: convicted by reactions here after it was named. Wrong: answered instead."
    rows = [
        (
            entry.name,
            entry.mode,
            f"{entry.accounts:,}",
            f"{entry.servers:,}",
            str(entry.convicted),
            str(entry.answered),
            "none yet" if entry.weight is None else f"{entry.weight:.2f}",
            stamp(entry.told_ms) if entry.told_ms else "never",
            entry.paused or (f"copy of {entry.copy_of}" if entry.copy_of else ""),
        )
        for entry in listed
    ]
    return Output(value, Table("Outside lists", columns, rows, note, frozenset({0, 1, 7, 8})))
