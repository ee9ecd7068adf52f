"""The command `lists`: the mode and the size of each external block list."""

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
    """Show outside lists: the mode of each, the accounts and servers it names, its newest event.

    As of the newest snapshot of the state, at most a few minutes ago; by the URL of a service, as
    of now. A list without a line in the file of options only observes.
    """
    overviews: Sequence[OutsideList] = home.call("outside_lists").lists
    value = msgspec.to_builtins(overviews)
    if not overviews:
        return Output(
            value, "no list is configured or has sent events; see docs/how-to/use-outside-lists.md"
        )
    columns = ("list", "mode", "accounts", "servers", "newest event (UTC)")
    rows = [
        (
            overview.name,
            overview.mode,
            f"{overview.accounts:,}",
            f"{overview.servers:,}",
            stamp(overview.last_event_ms) if overview.last_event_ms else "never",
        )
        for overview in overviews
    ]
    return Output(value, Table("Outside lists", columns, rows, words=frozenset({0, 1, 4})))
