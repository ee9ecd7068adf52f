"""Commands that open the directory of a service: the options that they share, and its database."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from wavebreak.cli.options import refuse_visible_password
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.reports.tables import count_of
from wavebreak_server.config import Decisions, DeclaredOption, declared_options, option
from wavebreak_server.config_sources import Effective, resolve

if TYPE_CHECKING:
    from wavebreak.engine import Engine
    from wavebreak.model import Model
    from wavebreak.rules import Policy

T = TypeVar("T")

Home = Annotated[Path, typer.Argument(help="Directory of the service.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="File of options (default: HOME/wavebreak.toml)."
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, for the audit log.")]
OPTIONS = "options"
"""The parameter of a command that `opens_home` fills."""
BY = "command line"
"""Who acts, in the audit log."""


def opens_home(*names: str, home: str = "home") -> Callable[..., Callable[..., None]]:
    """Give a command, which opens the directory of a service, the options that it has of `serve`.

    It gets `--config` and the flag of each option. Its parameter `options` gets the options in
    effect: of flags, environment, file and defaults, as `serve` reads them.

    Args:
        names: Names of options that the command reads; "*" stands for all.
        home: The command's parameter for the directory.
    """
    known = declared_options() if names == ("*",) else tuple(option(name) for name in names)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        kept = [each for each in signature.parameters.values() if each.name != OPTIONS]
        config = inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigFile
        )
        flags = [config, *map(_parameter, known)]

        @wraps(command)
        def run(*, config: Path | None = None, **given: Any) -> None:
            values = {each.name: given.pop(each.name, None) for each in known}
            for each in map(option, ("database", "log")):
                refuse_visible_password(values.get(each.name) or "", each.flags[-1], each.variable)
            options = resolve(given[home], values, os.environ, config)
            try:
                command(**given, **{OPTIONS: options})
            except WavebreakError as error:
                error.what = options.in_given_form(error.what)
                raise

        run.__signature__ = signature.replace(parameters=[*kept, *flags])  # type: ignore[attr-defined]
        run.__annotations__ = {}
        run.option_names = tuple(each.name for each in known)  # type: ignore[attr-defined]
        return run

    return decorate


def _parameter(declared: DeclaredOption) -> inspect.Parameter:
    about = declared.about
    names = list(declared.flags)
    if about.off:
        names[0] += f"/{about.off}"
    flag = typer.Option(
        *names,
        help=about.help,
        metavar=about.metavar or None,
        show_default=declared.default_words,
        min=declared.meta.ge if declared.meta is not None else None,
        max=declared.meta.le if declared.meta is not None else None,
    )
    return inspect.Parameter(
        declared.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[declared.kind | None, flag],
    )


# What follows is imported when a command runs: engines, and what Django needs for the database.


def service_engine(
    asked: Decisions, policy: Path | None, loaded: Model | None, *, record: bool = False
) -> Engine:
    """Return an engine as a service has it, without state.

    Args:
        asked: The service's options: coverage, mode, lateness.
        policy: The policy's directory; None for the shipped one.
        loaded: The model; None for none.
        record: Whether it records its scoring points.
    """
    from wavebreak import rules

    return engine_of_policy(asked, rules.load_policy(policy), loaded, record=record)


def engine_of_policy(
    asked: Decisions, policy: Policy, loaded: Model | None, *, record: bool = False
) -> Engine:
    """Return an engine as `service_engine` does, of a policy that is loaded."""
    from wavebreak import engine
    from wavebreak.schema import coverage

    return engine.Engine(
        policy,
        coverage.load(asked.profile) if asked.profile else None,
        enforce=asked.enforce,
        lateness_s=asked.lateness,
        model=loaded,
        record=record,
    )


def holds_service(home: Path, options: Effective) -> bool:
    """Whether a directory is that of a service: its database is in it, or is another one's."""
    from wavebreak_server.storage import database

    if options.configuration.storage.database_url():
        return True
    return (home / database.FILE).exists()


def connect(
    options: Effective,
    home: Path,
    *,
    reading: bool = False,
    create: bool = False,
    any_earlier: bool = False,
) -> None:
    """Bind the process to the database of a service, whose tables must be those of this version.

    Args:
        options: The options in effect.
        home: Directory of the service.
        reading: Whether the database is only read.
        create: Whether the database may be missing, or have no tables.
        any_earlier: Whether the tables may be those of an earlier version.

    Raises:
        UsageError: There is no database, or its tables are those of another version.
    """
    from wavebreak_server.storage import database, private_files
    from wavebreak_server.storage.kafka_topic import open_log

    url = options.configuration.storage.database_url()
    if create:
        home.mkdir(mode=private_files.DIRECTORY_MODE, parents=True, exist_ok=True)
    elif not holds_service(home, options):
        raise UsageError(
            f"{home} holds no service database", fix="give the directory that `serve` uses"
        )
    # What is restored is in the rows; a service goes on in the topic.
    bodies = None if create else open_log(options.configuration.storage.log_url())
    database.connect(url, home, reading=reading, bodies=bodies)
    _check_schema(home, create=create, any_earlier=any_earlier)


def _check_schema(home: Path, *, create: bool, any_earlier: bool) -> None:
    """Refuse to work on tables of another version: only `serve` and `upgrade` migrate.

    Args:
        home: Directory of the service, whose database is bound.
        create: Whether the database may have no tables.
        any_earlier: Whether migrations may be pending.

    Raises:
        UsageError: Migrations are pending, or a later version has migrated the database.
    """
    from wavebreak_server.storage import database, ownership

    state = database.schema_state()
    if state.unknown:
        raise UsageError(
            f"the database of {home} is of a later version of Wavebreak ({state.unknown[-1]})",
            fix="use the version that `wavebreak serve` has there",
        )
    if any_earlier or not state.pending or (create and state.is_empty):
        return
    if state.is_empty:
        raise UsageError(
            f"the database of {home} has no tables yet",
            fix=f"start `wavebreak serve {home}`, or run `wavebreak upgrade {home}`",
        )
    count = count_of(len(state.pending), "migration")
    owner = ownership.running_owner(home)
    if owner:
        raise UsageError(
            f"the service that runs in {home} ({owner}) is of an earlier version of Wavebreak: "
            f"its database lacks {count}",
            fix="use the version that runs; or stop it and start this version, which migrates",
        )
    raise UsageError(
        f"the database of {home} is of an earlier version of Wavebreak: it lacks {count}",
        fix=f"stop the service, and run `wavebreak upgrade {home}` (--check lists the migrations)",
    )


def in_database(
    options: Effective,
    home: Path,
    work: Callable[[int], T],
    *,
    create: bool = False,
    authenticated: bool = True,
) -> T:
    """Run `work` in a transaction on the service's database, with the time in milliseconds.

    Args:
        options: The options in effect.
        home: Directory of the service.
        work: What is done.
        create: Whether a database that is not there yet is made.
        authenticated: Whether rows are read or written that need the deployment's key.

    Raises:
        UsageError: There is no database, it was written under another key, or `work` raised an
            ApiError.
    """
    from wavebreak_server.errors import ApiError
    from wavebreak_server.http import app_context
    from wavebreak_server.storage import database, ownership, private_files

    private_files.use_private_umask()
    connect(options, home, create=create)
    if create and database.schema_state().is_empty:
        with ownership.owned(home):
            pass
    if authenticated:
        bind_deployment_key(options)
    now = time.time_ns() // 1_000_000
    try:
        return app_context.run_in_transaction(lambda: work(now))
    except ApiError as error:
        raise UsageError(error.what, fix=error.fix or "see `wavebreak key list`") from None


def bind_deployment_key(options: Effective) -> None:
    """Bind the deployment's key; raises UsageError if the bound database is of another one."""
    from wavebreak.privacy.secret_key import load_key
    from wavebreak_server.storage import row_macs
    from wavebreak_server.storage.ledger_store import sealed_key_id

    row_macs.bind(load_key(options.configuration.keys.key))
    if sealed_key_id() not in ("", row_macs.key_id()):
        raise UsageError(
            "the service's database was written under another deployment's key",
            fix="give --key FILE, or WAVEBREAK_KEY, as `wavebreak serve` has it",
        )
