"""Command `upgrade`: migrate the database of a service to this version, or list the migrations."""

from __future__ import annotations

from typing import Annotated

from wavebreak.cli import console
from wavebreak.cli.app import app
from wavebreak.cli.commands import FAILED, Output
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import count_of
from wavebreak_server.cli.service_home import Home, connect, service_command
from wavebreak_server.storage import database, ownership, private_files, row_macs


@service_command(
    app, "wavebreak upgrade var --check", "wavebreak upgrade var", reads="key database"
)
def upgrade(
    home: Home,
    *,
    check: Annotated[bool, "Only list the migrations; exits with 1 if any is pending."] = False,
) -> Output:
    """Migrate the database of a stopped service to this version; `serve` does so at its start."""
    private_files.use_private_umask()
    connect(home.options, home.path, reading=check, any_earlier=True)
    pending = database.schema_state().pending
    if pending and not check:
        row_macs.bind(load_key(home.key, create=False))
        with ownership.owned(home.path):
            pass
    state = "pending" if check else "applied"
    lines = [f"{count_of(len(pending), 'migration')} {state}", *(f"  {name}" for name in pending)]
    value = {"migrations": list(pending), "applied": bool(pending) and not check}
    if check and pending:
        note = "nothing was changed; stop the service and repeat without --check to migrate"
        return Output(value, *lines, note=note, code=FAILED)
    return Output(value, *lines, steps=[console.command("wavebreak", "serve", home.path)])
