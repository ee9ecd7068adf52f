"""Verbs for keys of the service: create, list, rotate, revoke."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from wavebreak.cli.apps import keys
from wavebreak.cli.showing import out
from wavebreak.errors import UsageError
from wavebreak.pages import stamp
from wavebreak.service import database, desk, keeping, shapes
from wavebreak.service.keys import SCOPES
from wavebreak.service.problems import RefusedError

T = TypeVar("T")

Home = Annotated[Path, typer.Argument(help="Directory of the service.")]
Prefix = Annotated[str, typer.Argument(help="The key's prefix, as `key list` shows it.")]
DatabaseUrl = Annotated[
    str, typer.Option("--database", metavar="URL",
                      help="postgresql://USER@HOST/NAME (default: SQLite in HOME)."),
]  # fmt: skip
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]
BY = "command line"


def _bound(url: str, home: Path, work: Callable[[int], T]) -> T:
    """Work on the service's database; it is given the time in milliseconds."""
    if not url and not (home / database.FILE).exists():
        raise UsageError(f"no service lives in {home}", fix="give the directory of `serve`")
    database.connect(url, home)
    database.migrate()
    now = time.time_ns() // 1_000_000
    try:
        return desk.alone(lambda: work(now))
    except RefusedError as error:
        raise UsageError(error.what, fix=error.fix or "see `wavebreak key list`") from None


def _told(key: shapes.Key) -> None:
    out.print(f"key for {', '.join(key.scopes)}; it is told this once:")
    typer.echo(key.text)


@keys.command("create", epilog="Example: `wavebreak key create var gateway --scope ingest`")
def create(
    home: Home,
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}; again for more.")
    ],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 1000.0,
    burst: Annotated[float, typer.Option(min=1, help="Requests at once.")] = 2000.0,
    reason: Reason = "made by command", database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """Make a key. Its text is told once."""
    if wrong := set(scope) - set(SCOPES):
        raise UsageError(f"no scope {sorted(wrong)[0]}", fix=f"give some of {', '.join(SCOPES)}")
    if not 0 < len(name) <= 100:
        raise UsageError("the name has no or over 100 characters", fix="give a shorter one")
    _told(_bound(
        database_url, home,
        lambda now: keeping.add(name, scope, now, BY, reason, rate=rate, burst=burst),
    ))  # fmt: skip


@keys.command("list", epilog="Example: `wavebreak key list var`")
def list_(home: Home, database_url: DatabaseUrl = "") -> None:
    """List keys: prefix, name, scopes, rate, when they end."""
    table = Table("prefix", "name", "scopes", "a second", "made", "ends", box=None)
    for key in _bound(database_url, home, lambda _: keeping.listed()):
        table.add_row(
            key.prefix, key.name, " ".join(key.scopes), f"{key.rate:g}", stamp(key.created_ms),
            stamp(key.ends_ms),
        )  # fmt: skip
    out.print(table)


@keys.command("rotate", epilog="Example: `wavebreak key rotate var 1a2b3c4d --grace 3600`")
def rotate(
    home: Home, prefix: Prefix,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds in which the former key goes on.")
    ] = 86_400,
    reason: Reason = "rotated by command", database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """Make a key's successor; the former goes on for a time."""
    made = _bound(database_url, home, lambda now: keeping.rotate(prefix, grace, now, BY, reason))
    _told(made)


@keys.command("revoke", epilog="Example: `wavebreak key revoke var 1a2b3c4d`")
def revoke(
    home: Home, prefix: Prefix, reason: Reason = "ended by command",
    database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """End a key at once (within two seconds, where the service runs)."""
    _bound(database_url, home, lambda now: keeping.revoke(prefix, now, BY, reason))
    out.print(f"{prefix} has ended")
