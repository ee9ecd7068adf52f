"""The command `lists`: what each outside list does here, and what its word has been worth."""

from __future__ import annotations

import msgspec

from wavebreak.cli.app import app
from wavebreak.cli.console import out, print_json
from wavebreak.cli.options import Json, Wide
from wavebreak.reports.tables import Table, print_table, stamp
from wavebreak_server.cli.service_home import Home, in_database, opens_home
from wavebreak_server.config import parse_lists
from wavebreak_server.config_sources import Effective
from wavebreak_server.slices.lists.service import OutsideList, overview, stored_records


@app.command(epilog="Example: `wavebreak lists var`")
@opens_home("lists", "key", "database")
def lists(home: Home, options: Effective, as_json: Json = False, wide: Wide = False) -> None:
    """Show outside lists: the mode of each, whom it names here, its record, and its pauses.

    As of the newest snapshot of the state, at most a few minutes ago; `GET /v1/lists` says it as
    of now. A list without a line in the file of options only observes. A paused list observes
    until its line says since when it may act again: `resumed = "2026-12-01T09:00:00Z"`.
    """
    terms = parse_lists(options.configuration.lists.lists)
    found = in_database(options, home, lambda _: overview(stored_records(home), terms))
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif found:
        columns = ("list", "mode", "accounts", "servers", "right", "wrong", "weight", "told (UTC)",
                   "paused")  # fmt: skip
        note = "Right: convicted by reactions here after it was named. Wrong: answered instead."
        rows = [_row(each) for each in found]
        print_table(Table("Outside lists", columns, rows, note, frozenset({0, 1, 7, 8})), out)
    else:
        out.print(
            "no list is configured or has told anything; see docs/how-to/use-outside-lists.md"
        )


def _row(each: OutsideList) -> tuple[str, ...]:
    why = each.paused or (f"copy of {each.copy_of}" if each.copy_of else "")
    return (
        each.name,
        each.mode,
        f"{each.accounts:,}",
        f"{each.servers:,}",
        str(each.convicted),
        str(each.answered),
        "none yet" if each.weight is None else f"{each.weight:.2f}",
        stamp(each.told_ms) if each.told_ms else "never",
        why,
    )
