"""Commands of the console's people: user create, list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from django.core.exceptions import ValidationError

from wavebreak.cli import console
from wavebreak.cli.app import command_group
from wavebreak.cli.commands import Output
from wavebreak.errors import UsageError
from wavebreak.reports.tables import Table
from wavebreak_server.cli.service_home import BY, Home, holds_service, service_command
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.users import service as accounts

users = command_group("user", "Create and list the people who may sign in to the console.")


@service_command(
    users,
    "wavebreak user create var dana --role lead",
    "wavebreak user create var dana --role admin --new",
    "wavebreak user create var omer --role analyst --password-file pw.txt",
    reads="key database",
)
def create(
    home: Home,
    name: Annotated[str, "User name: a-z, 0-9, dot, dash."],
    *,
    role: Annotated[
        str, "analyst, lead, policy_owner, data_scientist, counsel, auditor or admin."
    ] = "analyst",
    password_file: Annotated[
        Path | None, "File with the password (default: one is made, and shown only now)."
    ] = None,
    new: Annotated[bool, "Make a service in a directory that holds none."] = False,
) -> None:
    """Create a person who may sign in to the console."""
    # A directory's name is soon mistyped.
    if not new and not holds_service(home.path, home.options):
        if not sys.stdin.isatty():
            raise UsageError(
                f"{home.path} holds no service database",
                fix="give the directory that `serve` uses, or --new to make a service there",
            )
        typer.confirm(f"{home.path} holds no service. Make one there?", abort=True)
    password = accounts.new_password()
    if password_file is not None:
        try:
            password = password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise UsageError(
                f"{password_file} cannot be read", fix="give a file with the password"
            ) from None

    def create_user(now_ms: int) -> None:
        accounts.create_user(name, role, password)
        write_audit_entry(now_ms, BY, "add_user", name, f"created by command as {role}")

    try:
        home.in_database(create_user, create=True)
    except ValidationError as error:
        raise UsageError(
            "; ".join(error.messages), fix="choose another name, role or password"
        ) from None
    console.out.print(f"{name} may sign in as {role}. The password (shown only now):")
    if password_file is None:
        typer.echo(password)


@service_command(users, "wavebreak user list var", reads="database")
def list_(home: Home) -> Output:
    """List who may sign in to the console: name, role, second factor, last sign-in."""
    people = home.in_database(
        lambda _: [
            {
                "name": user.username,
                "role": user.role,
                "active": user.is_active,
                "second_factor": has_second_factor,
                "last_sign_in": user.last_login and user.last_login.isoformat(timespec="minutes"),
            }
            for user, has_second_factor in accounts.people()
        ],
        authenticated=False,
    )
    rows = [
        (
            user["name"],
            user["role"],
            "yes" if user["active"] else "no",
            "yes" if user["second_factor"] else "no",
            user["last_sign_in"] or "never",
        )
        for user in people
    ]
    headings = ("name", "role", "may sign in", "second factor", "last sign-in (UTC)")
    return Output(people, Table("People", headings, rows))
