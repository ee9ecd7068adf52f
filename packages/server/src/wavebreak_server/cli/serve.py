"""Commands of the service: serve, backup, restore, and API keys: create, list, rotate, revoke."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from wavebreak.cli.app import app, command_group
from wavebreak.cli.console import (
    TerminalConsole,
    command,
    err,
    out,
    print_json,
    print_next_steps,
    styled,
)
from wavebreak.cli.options import (
    DatabaseUrl,
    Json,
    Key,
    OutFile,
    Wide,
    refuse_visible_password,
)
from wavebreak.durations import DAY_S
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, print_table, stamp
from wavebreak_server.app import Application, Reports, build
from wavebreak_server.cli.serve_flags import ServeHelp, print_all, with_flags
from wavebreak_server.config_sources import Effective, check_combinations, resolve
from wavebreak_server.errors import ApiError
from wavebreak_server.http import app_context
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.server import serve as serving
from wavebreak_server.settings import is_loopback
from wavebreak_server.slices.backup import service as backups
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.storage import database, ownership, private_files, row_macs
from wavebreak_server.storage.ledger_store import sealed_key_id
from wavebreak_server.storage.models import ApiKey

keys = command_group("key", "Create, list, rotate and revoke API keys of the service.")

Home = Annotated[Path, typer.Argument(help="Directory of the service: its database and snapshots.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="File of options (default: HOME/wavebreak.toml).",
    ),
]
HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=print_all, help="Show every option in full."
    ),
]


@app.command(
    cls=ServeHelp,
    epilog="Examples: `wavebreak serve var --profile world/profile.json`; "
    "`wavebreak serve var --config /etc/wavebreak.toml`",
)
@with_flags
def serve(home: Home, config: ConfigFile = None, help_all: HelpAll = False, **flags: Any) -> None:
    """Serve decisions over HTTP, and the console; acknowledged events are durable."""
    refuse_visible_password(flags["database"] or "")
    run(home, resolve(home, flags, os.environ, config))


def run(home: Path, given: Effective) -> None:
    """Serve until a signal ends the process.

    Args:
        home: Directory of the service.
        given: The options, and where they come from.

    Raises:
        WavebreakError: Options contradict each other, or one has no meaning here.
    """
    asked = given.configuration
    if given.file is not None:
        err.print(f"options from {given.file}", soft_wrap=True)
    if asked.start.no_keys:
        _check_keyless(asked.listening.host)
    check_combinations(asked)
    built = build(home, asked, Reports(partial(_print, out), partial(_print, err)))
    serving(
        built.service,
        built.authorize,
        ready=partial(_show_addresses, built, asked.console.console_url),
        pages=built.pages.wrap,
        middleware=built.middleware,
    )


def _print(console: TerminalConsole, template: str, *values: object) -> None:
    console.print(styled(template, *values), soft_wrap=True)


def _check_keyless(host: str) -> None:
    """Warn that no key is needed; raises UsageError where others can reach the service."""
    if not is_loopback(host):
        raise UsageError(
            "--no-keys lets everybody who reaches the service ban and unban accounts",
            fix="listen on this machine only (--host 127.0.0.1), or leave --no-keys out",
        )
    err.print(
        styled(
            "[yellow]--no-keys:[/] every program on this machine may send events, ban and unban; "
            "for tests only"
        )
    )


def _show_addresses(built: Application, url: str, port: int) -> None:
    """Print the service's URLs, and how to sign in where that is not known yet."""
    from wavebreak_server.console.startup import use_port

    settings, pages = built.settings, built.pages
    use_port(built.context, url, port)
    at = f"http://{settings.host}:{port}"
    out.print(styled("wavebreak serves [bold]{}[/] from {}", at, settings.home))
    steps = [f"events:  POST {at}/v1/events", f"API:     {at}/api/docs", "stop:    Ctrl-C"]
    if pages.shown:
        steps.insert(0, f"console: {url or f'http://localhost:{port}'}/console/")
    if pages.shown == "empty":
        steps.insert(
            1,
            f"sign in: {command('wavebreak', 'user', 'create', settings.home, 'NAME')} --role lead",
        )
    print_next_steps(steps)
    if pages.demo_people:
        named = ", ".join(pages.demo_people)
        out.print(f"Sign in as {named}; the password of each (shown only now):")
        typer.echo(pages.password)
    elif pages.signed_in_before:
        out.print(f"Sign in as before (for new passwords: rm -r {settings.home})")


@app.command(epilog="Example: `wavebreak backup var -o monday.wavebreak`")
def backup(
    home: Home,
    file: OutFile,
    database_url: DatabaseUrl = "",
    key: Key = None,
) -> None:
    """Write database, newest snapshot and files of the service to one file; the service may run."""
    private_files.use_private_umask()
    database.connect(database_url, home, reading=True)
    saved = backups.save(home, file, load_key(key, create=False))
    rows = saved.rows
    out.print(f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions: {file}")
    if saved.left_out:
        some = ", ".join(saved.left_out[:3])
        err.print(f"not in the backup, {len(saved.left_out)} links or unusual names: {some}")
    print_next_steps(
        [
            command("wavebreak", "restore", file, "EMPTY-DIRECTORY"),
            "store the pseudonym key separately from the backup",
            f"keep a copy of {home / erasure.LIST_FILE}: a restore erases again by it",
        ]
    )


Unproven = Annotated[
    bool,
    typer.Option(
        "--accept-unproven",
        help="Restore a backup that the deployment's key does not prove, such as one of 0.2.",
    ),
]
Erasures = Annotated[
    Path | None,
    typer.Option(help="List of erasures to apply again (default: HOME/erasures.jsonl)."),
]


@app.command(epilog="Example: `wavebreak restore monday.wavebreak var2`")
def restore(
    file: Annotated[Path, typer.Argument(help="File that `wavebreak backup` wrote.")],
    home: Home,
    database_url: DatabaseUrl = "",
    key: Key = None,
    accept_unproven: Unproven = False,
    erasures: Erasures = None,
) -> None:
    """Restore a backup into an empty directory or database, and erase again who was erased."""
    private_files.use_private_umask()
    private_files.make_private(home)
    secret = _known_key(key) if accept_unproven else load_key(key, create=False)
    row_macs.bind(secret)
    database.connect(database_url, home)
    with ownership.owned(home):
        now_ms = time.time_ns() // 1_000_000
        restored = backups.restore(
            file, home, secret, now_ms, accept_unproven=accept_unproven, erasures=erasures
        )
    rows = restored.rows
    out.print(f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions in {home}")
    out.print(f"erased again, from the list of erasures: {restored.erasures} accounts")
    if restored.unproven:
        err.print(styled("[yellow]not proven:[/] {}", restored.unproven), soft_wrap=True)
    steps = [command("wavebreak", "serve", home)]
    if erasures is None and not restored.listed:
        steps.insert(0, f"before: copy the list of erasures since the backup to {home}, if any")
    print_next_steps(steps)


def _known_key(key: Path | None) -> bytes | None:
    try:
        return load_key(key, create=False)
    except FileError:
        return None


T = TypeVar("T")

KeysHome = Annotated[Path, typer.Argument(help="Directory of the service.")]
Prefix = Annotated[str, typer.Argument(help="The key's prefix, as `key list` shows it.")]
Reason = Annotated[str, typer.Option(help="Reason, for the audit log.")]
KeySource = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="NAME",
        help="The source that the key belongs to; with it an adapter declares what it carries.",
    ),
]
KeyIdentifiers = Annotated[
    bool,
    typer.Option(
        "--allow-identifiers",
        help="Ids that this key sends may look like personal data, such as JIDs (ann@example.org).",
    ),
]
DeploymentKey = Annotated[
    Path | None,
    typer.Option("--key", help="The deployment's key file, which `serve` has, for the rows' MACs."),
]
BY = "command line"


def in_database(
    url: str,
    home: Path,
    work: Callable[[int], T],
    *,
    create: bool = False,
    key: Path | None = None,
    authenticated: bool = True,
) -> T:
    """Run `work` in a transaction on the service's database, with the time in milliseconds.

    With `create`, a database that is not there yet is made. Rows that are `authenticated` need the
    deployment's key, from the file `key`; raises UsageError for another one than the database's.
    """
    private_files.use_private_umask()
    if create:
        home.mkdir(mode=private_files.DIRECTORY_MODE, parents=True, exist_ok=True)
    elif not url and not (home / database.FILE).exists():
        raise UsageError(
            f"{home} holds no service database", fix="give the directory that `serve` uses"
        )
    database.connect(url, home)
    ownership.migrate_beside(home)
    if authenticated:
        bind_deployment_key(key)
    now = time.time_ns() // 1_000_000
    try:
        return app_context.run_in_transaction(lambda: work(now))
    except ApiError as error:
        raise UsageError(error.what, fix=error.fix or "see `wavebreak key list`") from None


def bind_deployment_key(path: Path | None) -> None:
    """Bind the deployment's key; raises UsageError if the bound database is of another one."""
    row_macs.bind(load_key(path))
    if sealed_key_id() not in ("", row_macs.key_id()):
        raise UsageError(
            "the service's database was written under another deployment's key",
            fix="give --key FILE, or WAVEBREAK_KEY, as `wavebreak serve` has it",
        )


def _show_new_key(created: tuple[ApiKey, str]) -> None:
    key, text = created
    out.print(f"API key for {', '.join(key.scopes.split())} (shown only now):")
    typer.echo(text)


@keys.command("create", epilog="Example: `wavebreak key create var gateway --scope ingest`")
def create(
    home: KeysHome,
    name: Annotated[str, typer.Argument(help="The key's owner.")],
    scope: Annotated[
        list[str], typer.Option(help=f"A scope: {', '.join(SCOPES)}; repeat for more.")
    ],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests per second.")] = 1000.0,
    burst: Annotated[float, typer.Option(min=1, help="Requests in one burst.")] = 2000.0,
    source: KeySource = "",
    identifiers: KeyIdentifiers = False,
    reason: Reason = "created by command",
    deployment_key: DeploymentKey = None,
    database_url: DatabaseUrl = "",
) -> None:
    """Create an API key; its secret is printed only once."""
    if wrong := set(scope) - set(SCOPES):
        raise UsageError(f"--scope {sorted(wrong)[0]} is unknown", fix=f"use {', '.join(SCOPES)}")
    if not 0 < len(name) <= 100:
        raise UsageError("the key's name must have 1 to 100 characters", fix="give such a name")
    if source and not re.fullmatch(r"(?!self$)[a-z0-9][a-z0-9._-]{0,63}", source):
        raise UsageError(
            "--source is no name of a source",
            fix="write lower-case letters, digits, dots and hyphens, at most 64, and not `self`",
        )
    _show_new_key(
        in_database(
            database_url,
            home,
            lambda now: api_keys.create_key(
                name,
                scope,
                now,
                BY,
                reason,
                api_keys.KeyTerms(rate, burst, source, identifiers),
            ),
            key=deployment_key,
        )
    )


@keys.command("list", epilog="Example: `wavebreak key list var`")
def list_(
    home: KeysHome, database_url: DatabaseUrl = "", as_json: Json = False, wide: Wide = False
) -> None:
    """List API keys: prefix, name, scopes, rate, creation, expiry."""
    listed = in_database(database_url, home, lambda _: api_keys.list_keys(), authenticated=False)
    if as_json:
        names = (
            "prefix",
            "name",
            "scopes",
            "rate",
            "burst",
            "created_ms",
            "ends_ms",
            "source",
            "identifiers",
        )
        rows_by_name = [{name: getattr(key, name) for name in names} for key in listed]
        print_json([row | {"scopes": row["scopes"].split()} for row in rows_by_name])
        return
    headings = ("prefix", "name", "scopes", "per second", "created (UTC)", "expires (UTC)")
    rows = [
        (
            key.prefix,
            key.name,
            key.scopes,
            f"{key.rate:g}",
            stamp(key.created_ms),
            stamp(key.ends_ms),
        )
        for key in listed
    ]
    print_table(Table("API keys", headings, rows, words=frozenset({0, 1, 2, 4, 5})), out)


@keys.command("rotate", epilog="Example: `wavebreak key rotate var 1a2b3c4d --grace 3600`")
def rotate(
    home: KeysHome,
    prefix: Prefix,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds that the old key stays valid.")
    ] = DAY_S,
    reason: Reason = "rotated by command",
    deployment_key: DeploymentKey = None,
    database_url: DatabaseUrl = "",
) -> None:
    """Create a key's successor; the old key stays valid for a grace period."""
    created = in_database(
        database_url,
        home,
        lambda now: api_keys.rotate_key(prefix, grace, now, BY, reason),
        key=deployment_key,
    )
    _show_new_key(created)


@keys.command("revoke", epilog="Example: `wavebreak key revoke var 1a2b3c4d`")
def revoke(
    home: KeysHome,
    prefix: Prefix,
    reason: Reason = "revoked by command",
    deployment_key: DeploymentKey = None,
    database_url: DatabaseUrl = "",
) -> None:
    """Revoke a key; a running service refuses it within two seconds."""
    in_database(
        database_url,
        home,
        lambda now: api_keys.revoke_key(prefix, now, BY, reason),
        key=deployment_key,
    )
    out.print(f"{prefix} is revoked")
