"""Commands on a service: by the directory of the service, or by the URL of its API."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import typer
from asgiref.sync import async_to_sync, sync_to_async

from wavebreak import engine, rules
from wavebreak.cli.commands import command
from wavebreak.cli.options import refuse_visible_password
from wavebreak.errors import ServiceError, UsageError, WavebreakError
from wavebreak.model import Model
from wavebreak.privacy import secret_key
from wavebreak.reports.tables import count_of
from wavebreak.schema import coverage
from wavebreak_server.config import Decisions, DeclaredOption, declared_options, option, parse_lists
from wavebreak_server.config_sources import Effective, resolve
from wavebreak_server.errors import ApiError
from wavebreak_server.http import app_context
from wavebreak_server.http.operations import Operation, describe_invalid
from wavebreak_server.pipeline.live_policy import live_directory
from wavebreak_server.settings import is_loopback
from wavebreak_server.slices import routes
from wavebreak_server.slices.lists.service import stored_lists
from wavebreak_server.slices.sources.coverage import measure_begin
from wavebreak_server.storage import database, ledger_store, ownership, private_files, row_macs
from wavebreak_server.storage.kafka_topic import open_log

T = TypeVar("T")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
_make_annotated: Any = Annotated

Reason = Annotated[str, "Reason, for the audit log."]
BY = "command line"
"""The key of a command in the audit log."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Home:
    """A service as a command names it.

    Attributes:
        path: Directory of the service.
        options: The options in effect.
        url: URL of its API; "" for the directory.
        key_file: File of the API key for the URL.
    """

    path: Path
    options: Effective
    url: str = ""
    key_file: Path | None = None

    @property
    def decisions(self) -> Decisions:
        """The options that say how the service decides."""
        return self.options.configuration.decisions

    @property
    def key(self) -> Path | None:
        """The file of the deployment's key."""
        return self.options.configuration.keys.key

    def connect(self, *, reading: bool = False, create: bool = False) -> None:
        """Bind the process to the database; raises UsageError where there is none."""
        connect(self.options, self.path, reading=reading, create=create)

    def in_database(self, work: Callable[[int], T], **settings: bool) -> T:
        """Run `work` in a transaction on the database; see `in_database`."""
        return in_database(self.options, self.path, work, **settings)

    def call(self, name: str, /, *, authenticated: bool = True, **values: Any) -> Any:
        """Call an operation of the API, by HTTP or on the database of the directory.

        Args:
            name: The operation's name.
            authenticated: Whether the operation reads or writes rows that need the deployment's
                key.
            values: Parameters of its path, and `query` and `body` as plain values.

        Raises:
            UsageError: The service refused the call, or a value is not allowed.
            ServiceError: The service did not respond.
        """
        operation = next(each for each in routes.OPERATIONS if each.name == name)
        if self.url:
            return _call_http(self.url, self.key_file, operation, values)
        for source, kind in (("query", operation.query), ("body", operation.body)):
            if kind is not None:
                try:
                    values[source] = msgspec.convert(values.get(source, {}), kind)
                except msgspec.ValidationError as error:
                    problem = describe_invalid(source, str(error))
                    raise UsageError(problem, fix="see the command's --help") from None
        answer: Any = operation.answer
        return self.in_database(
            lambda now_ms: async_to_sync(answer)(_StoredContext(self, now_ms), **values),
            authenticated=authenticated,
        )


class _StoredContext:
    """An operation's `RequestContext` without a running service: from its files and database."""

    key = BY

    def __init__(self, home: Home, now_ms: int) -> None:
        self._home, self.now_ms = home, now_ms
        self.service = self.responder = self.app = self.coverage = self

    @cached_property
    def policy(self) -> rules.Policy:
        """The policy that the service decides by."""
        return rules.load_policy(live_directory(self._home.path) or self._home.decisions.policy)

    @cached_property
    def lists(self) -> Any:
        """The options of external lists."""
        return parse_lists(self._home.options.configuration.lists.lists)

    @property
    def measured(self) -> Any:
        """The coverage that the first hour of the log shows."""
        return measure_begin()

    async def ask(self, question: Callable[[Any], T]) -> T:
        """Ask the engine, as of the newest snapshot."""
        lists = await sync_to_async(stored_lists)(self._home.path)
        return question(SimpleNamespace(lists=lists))

    async def refresh(self) -> None:
        """Do nothing: a running service reads changes by itself."""


def _call_http(
    url: str, key_file: Path | None, operation: Operation, values: Mapping[str, Any]
) -> Any:
    """Call an operation of a running service."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise UsageError("the key would cross the network in plain text", fix="give an https URL")
    if key_file is None:
        raise UsageError("a URL needs an API key", fix="give --key-file FILE (mode 0600)")
    key = secret_key.read_secret_file(key_file, "file of the API key").strip()
    path = operation.route.format(
        **{name: quote(str(values[name]), safe="") for name in operation.parameters}
    )
    try:
        response = httpx.request(
            operation.method,
            url.rstrip("/") + path,
            headers={"authorization": f"Bearer {key}"},
            params=values.get("query"),
            json=values.get("body"),
            timeout=TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(f"{url} did not respond: {error}", fix="check that it runs") from None
    if response.is_success:
        kind = operation.response
        return msgspec.json.decode(response.content, type=kind) if response.content else None
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    text = problem.get("detail") or problem.get("title") or f"status {response.status_code}"
    raise UsageError(f"{url} refused the call: {text}", fix=problem.get("fix") or "see /api/docs")


def service_command(
    group: typer.Typer,
    *examples: str,
    reads: str,
    name: str = "",
    remote: bool = False,
    cls: Any = None,
) -> Callable[[FunctionT], FunctionT]:
    """Return a decorator that adds a command on a service; a parameter of it is the `Home`.

    The command gets `--config` and a flag for each option of the service that it reads. Flags,
    environment, file and defaults give their values, as for `serve`.

    Args:
        group: The group of the command.
        examples: Command lines for its help page.
        reads: Names of the options, separated by blanks; "*" for all.
        name: The name of the command (default: the function's).
        remote: Whether HOME may be the URL of a running service.
        cls: The class of its help page.
    """
    declared = declared_options() if reads == "*" else tuple(map(option, reads.split()))

    def decorate(function: FunctionT) -> FunctionT:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        at, home = next(
            (n, p)
            for n, p in enumerate(parameters)
            if Home in (p.annotation, *get_args(p.annotation))
        )
        about = (
            "Directory of the service."
            if not remote
            else ("Directory of the service, or the URL of its API.")
        )
        kind = str if remote else Path
        info = get_args(home.annotation)[1] if get_args(home.annotation) else about
        parameters[at] = home.replace(annotation=_make_annotated[kind, info])

        @wraps(function)
        def run(*arguments: Any, config: Path | None = None, **given: Any) -> Any:
            values = {each.name: given.pop(each.name, None) for each in declared}
            for each in map(option, ("database", "log")):
                refuse_visible_password(values.get(each.name) or "", each.flags[-1], each.variable)
            place, key_file = str(arguments[at]), given.pop("key_file", None)
            url = place if remote and "://" in place else ""
            options = resolve(None if url else Path(place), values, os.environ, config)
            opened = Home(Path(place), options, url, key_file)
            try:
                return function(*arguments[:at], opened, *arguments[at + 1 :], **given)
            except WavebreakError as error:
                error.what = options.in_given_form(error.what)
                raise

        signature = inspect.signature(function, eval_str=True)
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.option_names = tuple(each.name for each in declared)  # type: ignore[attr-defined]
        more = [*_FLAGS[: 2 if remote else 1], *map(_flag, declared)]
        command(group, *examples, name=name, parameters=more, cls=cls)(run)
        return function

    return decorate


_FLAGS = tuple(
    inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=_make_annotated[Path | None, typer.Option(metavar="FILE", help=help)],
    )
    for name, help in (
        ("config", "File of options (default: HOME/wavebreak.toml)."),
        ("key_file", "File (mode 0600) of an API key, for a URL."),
    )
)


def _flag(declared: DeclaredOption) -> inspect.Parameter:
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
        annotation=_make_annotated[declared.kind | None, flag],
    )


def service_engine(
    asked: Decisions, policy: Path | None, loaded: Model | None, *, record: bool = False
) -> engine.Engine:
    """Return an engine as a service has it, without state.

    Args:
        asked: The service's options: coverage, mode, lateness.
        policy: The policy's directory; None for the shipped one.
        loaded: The model; None for none.
        record: Whether it records its scoring points.
    """
    return engine.Engine(
        rules.load_policy(policy),
        coverage.load(asked.profile) if asked.profile else None,
        enforce=asked.enforce,
        lateness_s=asked.lateness,
        model=loaded,
        record=record,
    )


def holds_service(home: Path, options: Effective) -> bool:
    """Whether a directory is that of a service: its database is in it, or is another one's."""
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
    private_files.use_private_umask()
    connect(options, home, create=create)
    if create and database.schema_state().is_empty:
        with ownership.owned(home):
            pass
    if authenticated:
        bind_deployment_key(options)
    now = clock_ms()
    try:
        return app_context.run_in_transaction(lambda: work(now))
    except ApiError as error:
        raise UsageError(error.what, fix=error.fix or "see `wavebreak key list`") from None


def clock_ms() -> int:
    """Return the time in milliseconds."""
    return time.time_ns() // 1_000_000


def bind_deployment_key(options: Effective) -> None:
    """Bind the deployment's key; raises UsageError if the bound database is of another one."""
    row_macs.bind(secret_key.load_key(options.configuration.keys.key))
    if ledger_store.sealed_key_id() not in ("", row_macs.key_id()):
        raise UsageError(
            "the service's database was written under another deployment's key",
            fix="give --key FILE, or WAVEBREAK_KEY, as `wavebreak serve` has it",
        )
