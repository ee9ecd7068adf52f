"""Commands of the service: serve, backup, restore, and API keys: create, list, rotate, revoke."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from wavebreak.cli import console
from wavebreak.cli.app import app, command_group
from wavebreak.cli.commands import Output
from wavebreak.cli.console import styled
from wavebreak.cli.help_pages import CommandHelp
from wavebreak.cli.options import OutFile
from wavebreak.durations import DAY_S
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, stamp
from wavebreak_server.app import Application, Reports, build
from wavebreak_server.cli.service_home import Home, Reason, service_command
from wavebreak_server.config import DeclaredOption, declared_options, groups
from wavebreak_server.config_sources import FILE_VARIABLE, Effective, check_combinations
from wavebreak_server.console import assets
from wavebreak_server.console.server import use_port
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.server import serve as serving
from wavebreak_server.settings import is_loopback
from wavebreak_server.slices.backup import service as backups
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.keys.api import Key
from wavebreak_server.storage import ownership, private_files, row_macs

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


@service_command(
    app,
    "wavebreak serve var",
    "wavebreak serve var --profile events.profile.json",
    reads="*",
    cls=ServeHelp,
)
def serve(home: Home, *, help_all: HelpAll = False) -> None:
    """Serve decisions over HTTP, and the console; acknowledged events are durable."""
    run(home.path, home.options)


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
        console.err.print(f"options from {given.file}", soft_wrap=True)
    if asked.start.no_keys:
        _check_keyless(asked.listening.host)
    check_combinations(asked)
    if asked.console.console is not False:
        assets.check_built()
    built = build(home, asked, Reports(partial(_print, console.out), partial(_print, console.err)))
    # Commands that the service starts get from it what decides, whatever the file says by then.
    os.environ[FILE_VARIABLE] = os.devnull
    serving(
        built.service,
        built.authorize,
        ready=partial(_show_addresses, built, asked.console.console_url),
        pages=built.pages.wrap,
        middleware=built.middleware,
    )


def _print(terminal: console.TerminalConsole, template: str, *values: object) -> None:
    terminal.print(styled(template, *values), soft_wrap=True)


def _check_keyless(host: str) -> None:
    """Warn that no key is needed; raises UsageError where others can reach the service."""
    if not is_loopback(host):
        raise UsageError(
            "--no-keys lets everybody who reaches the service ban and unban accounts",
            fix="listen on this machine only (--host 127.0.0.1), or leave --no-keys out",
        )
    console.err.print(
        styled(
            "[yellow]--no-keys:[/] every program on this machine may send events, ban and unban; "
            "for tests only"
        )
    )


def _show_addresses(built: Application, url: str, port: int) -> None:
    """Print the service's URLs, and how to sign in where that is not known yet."""
    settings, pages = built.settings, built.pages
    use_port(built.context, url, port)
    at = f"http://{settings.host}:{port}"
    console.out.print(styled("wavebreak serves [bold]{}[/] from {}", at, settings.home))
    steps = [f"events:  POST {at}/v1/events", f"API:     {at}/api/docs", "stop:    Ctrl-C"]
    if pages.shown:
        steps.insert(0, f"console: {url or f'http://localhost:{port}'}/console/")
    if pages.shown == "empty":
        sign_in = console.command("wavebreak", "user", "create", settings.home, "NAME")
        steps.insert(1, f"sign in: {sign_in} --role lead")
    console.print_next_steps(steps)
    if pages.demo_people:
        named = ", ".join(pages.demo_people)
        console.out.print(f"Sign in as {named}; the password of each (shown only now):")
        typer.echo(pages.password)
    elif pages.signed_in_before:
        console.out.print(f"Sign in as before (for new passwords: rm -r {settings.home})")


@service_command(app, "wavebreak backup var -o monday.wavebreak", reads="key database")
def backup(home: Home, *, out: OutFile) -> None:
    """Write database, newest snapshot and files of the service to one file; the service may run."""
    private_files.use_private_umask()
    home.connect(reading=True)
    saved = backups.save(home.path, out, load_key(home.key, create=False))
    rows = saved.rows
    console.out.print(
        f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions: {out}"
    )
    if saved.left_out:
        names = ", ".join(saved.left_out[:3])
        console.err.print(
            f"not in the backup, {len(saved.left_out)} links or unusual names: {names}"
        )
    console.print_next_steps(
        [
            console.command("wavebreak", "restore", out, "EMPTY-DIRECTORY"),
            "store the pseudonym key separately from the backup",
            f"keep a copy of {home.path / erasure.LIST_FILE}: a restore erases again by it",
        ]
    )


@service_command(app, "wavebreak restore monday.wavebreak var2", reads="key database")
def restore(
    file: Annotated[Path, "File that `wavebreak backup` wrote."],
    home: Home,
    *,
    accept_unproven: Annotated[
        bool, "Restore a backup that the deployment's key does not prove, such as one of 0.2."
    ] = False,
    erasures: Annotated[
        Path | None, "List of erasures to apply again (default: HOME/erasures.jsonl)."
    ] = None,
) -> None:
    """Restore a backup into an empty directory or database, and erase again who was erased."""
    private_files.use_private_umask()
    private_files.make_private(home.path)
    try:
        secret = load_key(home.key, create=False)
    except FileError:
        if not accept_unproven:
            raise
        secret = None
    row_macs.bind(secret)
    home.connect(create=True)
    with ownership.owned(home.path):
        restored = backups.restore(
            file,
            home.path,
            secret,
            time.time_ns() // 1_000_000,
            accept_unproven=accept_unproven,
            erasures=erasures,
        )
    rows = restored.rows
    console.out.print(
        f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions in {home.path}"
    )
    console.out.print(f"erased again, from the list of erasures: {restored.erasures} accounts")
    if restored.unproven:
        _print(console.err, "[yellow]not proven:[/] {}", restored.unproven)
    steps = [console.command("wavebreak", "serve", home.path)]
    if erasures is None and not restored.listed:
        steps.insert(
            0, f"before: copy the list of erasures since the backup to {home.path}, if any"
        )
    console.print_next_steps(steps)


Prefix = Annotated[str, "The key's prefix, as `key list` shows it."]


def _print_new_key(key: Key) -> None:
    console.out.print(f"API key for {', '.join(key.scopes)} (shown only now):")
    typer.echo(key.text)


@service_command(
    keys,
    "wavebreak key create var gateway --scope ingest",
    "wavebreak key create https://abuse.example gateway --scope ingest --key-file admin.key",
    reads="key database",
    remote=True,
)
def create(
    home: Home,
    name: Annotated[str, "The key's owner."],
    *,
    scope: Annotated[list[str], f"A scope: {', '.join(SCOPES)}; repeat for more."],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests per second.")] = 1000.0,
    burst: Annotated[float, typer.Option(min=1, help="Requests in one burst.")] = 2000.0,
    source: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The source that the key belongs to; with it an adapter declares what it carries.",
        ),
    ] = "",
    allow_identifiers: Annotated[
        bool, "Ids that this key sends may look like personal data, such as JIDs (ann@example.org)."
    ] = False,
    reason: Reason = "created by command",
) -> None:
    """Create an API key; its secret is printed only once."""
    if unknown := set(scope) - set(SCOPES):
        raise UsageError(f"--scope {min(unknown)} is unknown", fix=f"use {', '.join(SCOPES)}")
    body = {
        "name": name,
        "scopes": scope,
        "rate": rate,
        "burst": burst,
        "source": source or None,
        "identifiers": allow_identifiers,
        "reason": reason,
    }
    _print_new_key(home.call("add_key", body=body))


@service_command(keys, "wavebreak key list var", reads="database", remote=True)
def list_(home: Home) -> Output:
    """List API keys: prefix, name, scopes, rate, creation, expiry."""
    listed: Sequence[Key] = home.call("keys", authenticated=False).keys
    headings = ("prefix", "name", "scopes", "per second", "created (UTC)", "expires (UTC)")
    rows = [
        (
            key.prefix,
            key.name,
            " ".join(key.scopes),
            f"{key.rate:g}",
            stamp(key.created_ms),
            stamp(key.ends_ms),
        )
        for key in listed
    ]
    table = Table("API keys", headings, rows, words=frozenset({0, 1, 2, 4, 5}))
    return Output(msgspec.to_builtins(listed), table)


@service_command(
    keys, "wavebreak key rotate var 1a2b3c4d --grace 3600", reads="key database", remote=True
)
def rotate(
    home: Home,
    prefix: Prefix,
    *,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds that the old key stays valid.")
    ] = DAY_S,
    reason: Reason = "rotated by command",
) -> None:
    """Create a key's successor; the old key stays valid for a grace period."""
    body = {"grace_s": grace, "reason": reason}
    _print_new_key(home.call("rotate_key", prefix=prefix, body=body))


@service_command(keys, "wavebreak key revoke var 1a2b3c4d", reads="key database", remote=True)
def revoke(home: Home, prefix: Prefix, *, reason: Reason = "revoked by command") -> None:
    """Revoke a key; a running service refuses it within two seconds."""
    home.call("revoke_key", prefix=prefix, query={"reason": reason})
    console.out.print(f"{prefix} is revoked")
