"""Command `upgrade`: migrate the database of a service to this version, or list the migrations."""

from __future__ import annotations

from typing import Annotated

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import command, err, out, print_json, print_next_steps
from wavebreak.cli.options import Json
from wavebreak.reports.tables import count_of
from wavebreak_server.cli.service_home import Home, connect, opens_home
from wavebreak_server.config_sources import Effective
from wavebreak_server.storage import database, ownership, private_files


@app.command(
    epilog="Examples: `wavebreak upgrade var --check` while the service runs; "
    "`wavebreak upgrade var` while it is stopped"
)
@opens_home("database")
def upgrade(
    home: Home,
    options: Effective,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only list the migrations; exits with 1 if any is pending."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Migrate the database of a stopped service to this version; `serve` does so at its start."""
    private_files.use_private_umask()
    connect(options, home, reading=check, any_earlier=True)
    pending = database.schema_state().pending
    if pending and not check:
        with ownership.owned(home):
            pass
    if as_json:
        print_json({"migrations": list(pending), "applied": bool(pending) and not check})
    else:
        state = "pending" if check else "applied"
        out.print(f"{count_of(len(pending), 'migration')} {state}")
        for name in pending:
            out.print(f"  {name}")
    if check and pending:
        err.print("nothing was changed; stop the service and repeat without --check to migrate")
        raise typer.Exit(1)
    if not as_json:
        print_next_steps([command("wavebreak", "serve", home)])
