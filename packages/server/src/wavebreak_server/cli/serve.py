"""Commands of the service: serve, backup, restore, and API keys: create, list, rotate, revoke."""

from __future__ import annotations

import os
import re
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

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
from wavebreak.cli.help_pages import CommandHelp
from wavebreak.cli.options import Json, OutFile, Wide
from wavebreak.durations import DAY_S
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, print_table, stamp
from wavebreak_server.app import Application, Reports, build
from wavebreak_server.cli.service_home import BY, Home, Reason, connect, in_database, opens_home
from wavebreak_server.config import DeclaredOption, declared_options, groups
from wavebreak_server.config_sources import FILE_VARIABLE, Effective, check_combinations
from wavebreak_server.console import assets
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.server import serve as serving
from wavebreak_server.settings import is_loopback
from wavebreak_server.slices.backup import service as backups
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.storage import ownership, private_files, row_macs
from wavebreak_server.storage.models import ApiKey

keys = command_group("key", "Create, list, rotate and revoke API keys of the service.")

_FURTHER = "Further options (`wavebreak serve --help-all` explains them)"
_GROUP_WIDTH = 15
"""Columns of a group's name in the list of further options."""


class ServeHelp(CommandHelp):
    """Help of `serve`: the options that most people need; all others by name, or all in full."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the argument, the options of most people, and the names of the others."""
        self._write_arguments(formatter)
        with formatter.section("Options"):
            common = [_brief(each) for each in declared_options() if each.about.common]
            formatter.write_dl([*self._own_rows(), *common])
        with formatter.section(_FURTHER):
            for group, options in groups().items():
                for line in _name_lines(group, options, formatter.width - 2):
                    formatter.write(f"  {line}\n")

    def format_all(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page with every option in full, by group."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self._write_arguments(formatter)
        with formatter.section("Options"):
            formatter.write_dl(self._own_rows())
        for group, options in groups().items():
            with formatter.section(group.capitalize()):
                formatter.write_dl([(_names(each), _full(each)) for each in options])
        self.format_epilog(ctx, formatter)

    def _write_arguments(self, formatter: Any) -> None:
        rows = [
            (str(each.name).upper(), str(getattr(each, "help", "")))
            for each in self.params
            if each.param_type_name == "argument"
        ]
        with formatter.section("Arguments"):
            formatter.write_dl(rows)

    def _own_rows(self) -> list[tuple[str, str]]:
        """Return the options that are of the command and not of the service."""
        declared = {each.name for each in declared_options()}
        own: list[Any] = [
            each
            for each in self.params
            if each.param_type_name == "option" and each.name not in declared
        ]
        rows = [(" ".join([*each.opts, each.metavar or ""]).rstrip(), each.help) for each in own]
        return [*rows, ("-h, --help", "Show this message and exit.")]


def _names(declared: DeclaredOption) -> str:
    """Return all names of an option with what stands for its value."""
    off = f" / {declared.about.off}" if declared.about.off else ""
    return f"{', '.join(declared.flags)}{off}{_value(declared)}"


def _value(declared: DeclaredOption) -> str:
    if declared.kind is bool:
        return ""
    kinds = {int: "N", float: "N", Path: "PATH"}
    return f" {declared.about.metavar or kinds.get(declared.kind, 'TEXT')}"


def _brief(declared: DeclaredOption) -> tuple[str, str]:
    """Return an option's first name and what it does, in one line."""
    off = f" / {declared.about.off}" if declared.about.off else ""
    first = declared.about.help.partition(". ")[0].rstrip(".")
    return f"{declared.flags[0]}{off}{_value(declared)}", f"{first}."


def _full(declared: DeclaredOption) -> str:
    return f"{declared.about.help} [default: {declared.default_words}]"


def _name_lines(group: str, options: tuple[DeclaredOption, ...], width: int) -> list[str]:
    """Return a group with the names that the short help does not explain, in whole names."""
    names = [
        name
        for each in options
        for name in (*each.flags, *([each.about.off] if each.about.off else []))
        if not each.about.common or name in each.flags[1:]
    ]
    wrapped = textwrap.wrap(", ".join(names), width - _GROUP_WIDTH, break_on_hyphens=False)
    heads = [group.capitalize(), *[""] * len(wrapped)]
    return [f"{head:{_GROUP_WIDTH}}{line}" for head, line in zip(heads, wrapped, strict=False)]


def print_all(ctx: typer.Context, asked: bool) -> None:
    """Print every option in full, and end: the callback of `--help-all`."""
    command: Any = ctx.command
    if not asked or ctx.resilient_parsing or not isinstance(command, ServeHelp):
        return
    formatter = ctx.make_formatter()
    command.format_all(ctx, formatter)
    typer.echo(formatter.getvalue().rstrip("\n"))
    raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=print_all, help="Show every option in full."
    ),
]


@app.command(
    cls=ServeHelp,
    epilog="Examples: `wavebreak serve var`; `wavebreak serve var --profile events.profile.json`",
)
@opens_home("*")
def serve(home: Home, options: Effective, help_all: HelpAll = False) -> None:
    """Serve decisions over HTTP, and the console; acknowledged events are durable."""
    run(home, options)


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
    if asked.console.console is not False:
        assets.check_built()
    built = build(home, asked, Reports(partial(_print, out), partial(_print, err)))
    # Commands that the service starts get from it what decides, whatever the file says by then.
    os.environ[FILE_VARIABLE] = os.devnull
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
    from wavebreak_server.console.server import use_port

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
@opens_home("key", "database")
def backup(home: Home, file: OutFile, options: Effective) -> None:
    """Write database, newest snapshot and files of the service to one file; the service may run."""
    private_files.use_private_umask()
    connect(options, home, reading=True)
    saved = backups.save(home, file, load_key(options.configuration.keys.key, create=False))
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
@opens_home("key", "database")
def restore(
    file: Annotated[Path, typer.Argument(help="File that `wavebreak backup` wrote.")],
    home: Home,
    options: Effective,
    accept_unproven: Unproven = False,
    erasures: Erasures = None,
) -> None:
    """Restore a backup into an empty directory or database, and erase again who was erased."""
    private_files.use_private_umask()
    private_files.make_private(home)
    secret = _deployment_key(options.configuration.keys.key, optional=accept_unproven)
    row_macs.bind(secret)
    connect(options, home, create=True)
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


def _deployment_key(path: Path | None, *, optional: bool) -> bytes | None:
    try:
        return load_key(path, create=False)
    except FileError:
        if optional:
            return None
        raise


Prefix = Annotated[str, typer.Argument(help="The key's prefix, as `key list` shows it.")]
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


def _show_new_key(created: tuple[ApiKey, str]) -> None:
    key, text = created
    out.print(f"API key for {', '.join(key.scopes.split())} (shown only now):")
    typer.echo(text)


@keys.command("create", epilog="Example: `wavebreak key create var gateway --scope ingest`")
@opens_home("key", "database")
def create(
    home: Home,
    name: Annotated[str, typer.Argument(help="The key's owner.")],
    scope: Annotated[
        list[str], typer.Option(help=f"A scope: {', '.join(SCOPES)}; repeat for more.")
    ],
    options: Effective,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests per second.")] = 1000.0,
    burst: Annotated[float, typer.Option(min=1, help="Requests in one burst.")] = 2000.0,
    source: KeySource = "",
    identifiers: KeyIdentifiers = False,
    reason: Reason = "created by command",
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
            options,
            home,
            lambda now: api_keys.create_key(
                name,
                scope,
                now,
                BY,
                reason,
                api_keys.KeyTerms(rate, burst, source, identifiers),
            ),
        )
    )


@keys.command("list", epilog="Example: `wavebreak key list var`")
@opens_home("database")
def list_(home: Home, options: Effective, as_json: Json = False, wide: Wide = False) -> None:
    """List API keys: prefix, name, scopes, rate, creation, expiry."""
    listed = in_database(options, home, lambda _: api_keys.list_keys(), authenticated=False)
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
@opens_home("key", "database")
def rotate(
    home: Home,
    prefix: Prefix,
    options: Effective,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds that the old key stays valid.")
    ] = DAY_S,
    reason: Reason = "rotated by command",
) -> None:
    """Create a key's successor; the old key stays valid for a grace period."""
    created = in_database(
        options, home, lambda now: api_keys.rotate_key(prefix, grace, now, BY, reason)
    )
    _show_new_key(created)


@keys.command("revoke", epilog="Example: `wavebreak key revoke var 1a2b3c4d`")
@opens_home("key", "database")
def revoke(
    home: Home,
    prefix: Prefix,
    options: Effective,
    reason: Reason = "revoked by command",
) -> None:
    """Revoke a key; a running service refuses it within two seconds."""
    in_database(options, home, lambda now: api_keys.revoke_key(prefix, now, BY, reason))
    out.print(f"{prefix} is revoked")
