"""Commands of the console's people: user create, list, reset."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.app import command_group
from wavebreak.cli.console import out, print_json
from wavebreak.cli.options import Json, Wide
from wavebreak.errors import UsageError
from wavebreak.reports.tables import Table, print_table
from wavebreak_server.cli.service_home import (
    BY,
    Home,
    holds_service,
    in_database,
    opens_home,
)
from wavebreak_server.config_sources import Effective

users = command_group("user", "Create and list the people who may sign in to the console.")

Name = Annotated[str, typer.Argument(help="User name: a-z, 0-9, dot, dash.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the password (default: one is made, and shown only now)."),
]


@users.command(
    "create",
    epilog="Examples: `wavebreak user create var dana --role lead`; "
    "`wavebreak user create var dana --role admin --new` before the first start; "
    "`wavebreak user create var omer --role analyst --password-file pw.txt`",
)
@opens_home("key", "database")
def create(
    home: Home,
    name: Name,
    options: Effective,
    role: Annotated[
        str,
        typer.Option(
            help="analyst, lead, policy_owner, data_scientist, counsel, auditor or admin."
        ),
    ] = "analyst",
    password_file: PasswordFile = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make a service in a directory that holds none.")
    ] = False,
) -> None:
    """Create a person who may sign in to the console."""
    if not new:
        _ask_for_new_service(home, options)
    from django.core.exceptions import ValidationError

    from wavebreak_server.http.app_context import write_audit_entry
    from wavebreak_server.slices.users.service import create_user, new_password

    password = new_password()
    if password_file is not None:
        try:
            password = password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise UsageError(
                f"{password_file} cannot be read", fix="give a file with the password"
            ) from None

    def work(now_ms: int) -> None:
        create_user(name, role, password)
        write_audit_entry(now_ms, BY, "add_user", name, f"created by command as {role}")

    try:
        in_database(options, home, work, create=True)
    except ValidationError as error:
        raise UsageError(
            "; ".join(error.messages), fix="choose another name, role or password"
        ) from None
    out.print(f"{name} may sign in as {role}. The password (shown only now):")
    if password_file is None:
        typer.echo(password)


def _ask_for_new_service(home: Path, options: Effective) -> None:
    """Ask before a service is made where none is: a directory's name is soon mistyped."""
    if holds_service(home, options):
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{home} holds no service database",
            fix="give the directory that `serve` uses, or --new to make a service there",
        )
    typer.confirm(f"{home} holds no service. Make one there?", abort=True)


@users.command("list", epilog="Example: `wavebreak user list var`")
@opens_home("database")
def list_(home: Home, options: Effective, as_json: Json = False, wide: Wide = False) -> None:
    """List who may sign in to the console: name, role, second factor, last sign-in."""
    from wavebreak_server.slices.users.service import people

    def work(_now_ms: int) -> list[dict[str, object]]:
        return [
            {
                "name": user.username,
                "role": user.role,
                "active": user.is_active,
                "second_factor": secured,
                "last_sign_in": user.last_login.isoformat(timespec="minutes")
                if user.last_login
                else None,
            }
            for user, secured in people()
        ]

    found = in_database(options, home, work, authenticated=False)
    if as_json:
        print_json(found)
        return
    headings = ("name", "role", "may sign in", "second factor", "last sign-in (UTC)")
    rows = [
        (
            str(one["name"]),
            str(one["role"]),
            "yes" if one["active"] else "no",
            "yes" if one["second_factor"] else "no",
            str(one["last_sign_in"] or "never"),
        )
        for one in found
    ]
    print_table(Table("People", headings, rows), out)
