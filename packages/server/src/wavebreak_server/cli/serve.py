"""Commands of the service: serve, backup, restore, and API keys: create, list, rotate, revoke."""

from __future__ import annotations

import atexit
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from wavebreak import engine, model, rules
from wavebreak.cli.app import app, keys
from wavebreak.cli.console import command, err, out, print_json, print_next_steps, styled
from wavebreak.cli.options import (
    DatabaseUrl,
    Json,
    Key,
    OutFile,
    Wide,
    refuse_visible_password,
)
from wavebreak.durations import DAY_S, duration_seconds
from wavebreak.engine.state_ceiling import StateCeiling, parse_ceiling
from wavebreak.errors import FileError, UsageError
from wavebreak.extras import LAB, load_plugin
from wavebreak.io.readers import events_file
from wavebreak.ledger.checkpoints import encode_verifier_key, load_or_create_signer
from wavebreak.model import baseline
from wavebreak.model.storage import SHIPPED
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key, load_webhook_key, read_secret_file
from wavebreak.reports.tables import Table, print_table, stamp
from wavebreak.schema import coverage
from wavebreak_server.cli.serve_flags import ServeHelp, print_all, with_flags
from wavebreak_server.config import MEBIBYTE
from wavebreak_server.config_sources import Effective, check_combinations, resolve
from wavebreak_server.service import (
    api_keys,
    app_context,
    bootstrap,
    brokers,
    database,
    decide,
    django_settings,
    erasure,
    live_policy,
    observability,
    ownership,
    policy_switch,
    private_files,
    row_macs,
    sources,
    start_checks,
)
from wavebreak_server.service import backfill as backfilling
from wavebreak_server.service import backup as backups
from wavebreak_server.service import calibration_schedule as schedule
from wavebreak_server.service.auth import SCOPES, allow_all
from wavebreak_server.service.errors import ApiError
from wavebreak_server.service.holder_notices import HolderNotices
from wavebreak_server.service.ingest_app import App
from wavebreak_server.service.ledger_store import LEDGER_KEY, LedgerStore, sealed_key_id
from wavebreak_server.service.models import ApiKey
from wavebreak_server.service.server import serve as serving
from wavebreak_server.service.service import Background, Service
from wavebreak_server.service.settings import Limits, Settings, is_loopback

DECODER_BYTES = 192 << 20
"""Memory of a decoder process, besides the bodies that it holds."""

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

DEMO_HOME = "service"
"""Directory of the demo's service below the demo's own."""
DEMO_WORLD = "world"
"""Directory of the demo's simulated day, beside its service."""
DEMO_STREAMS = "wavebreak.demo_streams"
"""The group of entry points whose `day` sends simulated events to a service, in the background."""

RECOVERY_NOTE_S = 5
"""Seconds between two progress lines while the log is replayed."""


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
        UsageError: Options contradict each other, or one has no meaning here.
    """
    asked = given.configuration
    listening, deciding_by, limits = asked.listening, asked.decisions, asked.limits
    if given.file is not None:
        err.print(f"options from {given.file}", soft_wrap=True)
    if asked.start.no_keys:
        _check_keyless(listening.host)
    check_combinations(asked)
    traffic = demo_streams() if asked.start.demo else []
    database_url = _database_url(asked.storage.database)
    chosen = _choose_policy(
        home, deciding_by.policy, deciding_by.calibrate_after, enforce=deciding_by.enforce
    )
    settings = Settings(
        home,
        database_url,
        listening.host,
        listening.port,
        decoders=deciding_by.decoders,
        workers=deciding_by.shards,
        enforce=chosen.enforce,
        accept_loss=asked.start.accept_loss,
        snapshot_s=asked.storage.snapshot_seconds,
        limits=Limits(
            header_s=limits.header_timeout,
            body_s=limits.body_timeout,
            connections=limits.connections,
            key_events=limits.key_events,
            key_bytes=limits.key_megabytes * MEBIBYTE,
            # Behind a proxy, everybody has its address.
            peer_connections=0 if listening.trusted_proxies else limits.peer_connections,
        ),
        allow_identifiers=deciding_by.allow_identifiers,
        ceiling=_ceiling(limits.max_memory, deciding_by.decoders),
        new_names_per_hour=limits.new_names_per_hour,
    )
    consumed = asked.brokers
    streams = brokers.configured_sources(
        consumed.nats,
        consumed.redis,
        consumed.stream,
        consumed.durable,
        consumed.group,
        labels=consumed.stream_labels,
    )
    secret = load_key(asked.keys.key)
    row_macs.bind(secret)
    _prepare(settings)
    deciding = rules.load_policy(chosen.directory)
    used_model = _live_model(home, deciding_by.model)
    loaded = model.load_selected(used_model)
    options = bootstrap.ServeOptions(
        asked.observability.traces,
        asked.webhooks.private_webhooks,
        streams,
        _with_baseline(used_model) if loaded else None,
        allow_insecure_webhooks=asked.webhooks.insecure_webhooks,
        webhook_key=load_webhook_key(asked.keys.webhook_key, home),
        profiled=deciding_by.profile is not None,
    )
    parts = _Parts(
        settings,
        _load_profile(deciding_by.profile),
        deciding_by.lateness,
        Pseudonymizer(secret, deciding_by.ip_database),
        bootstrap.create_context(deciding, chosen.directory, secret, options),
    )
    named = {"--profile": deciding_by.profile}
    if database_url:
        # For commands that this process starts: their arguments are in the list of processes.
        os.environ["WAVEBREAK_DATABASE"] = database_url
    pages = _Pages()
    shown = asked.console
    if shown.console is not False:
        pages = _open_console(
            parts,
            chosen,
            _ConsoleOptions(
                shown.console_url,
                shown.second_factor,
                shown.oidc,
                listening.trusted_proxies,
                shown.cases,
                asked.start.demo or is_demo_home(home),
            ),
            secret,
            asked.keys.ledger_key,
        )
    else:
        django_settings.without_console()
    service = Service(
        settings,
        partial(parts.engine, deciding, loaded, chosen.enforce, profile=parts.live_profile()),
        parts.pseudonymizer,
        lateness_s=deciding_by.lateness,
        responder=parts.responder(deciding, chosen.directory),
        clock=_now_ms,
        report=partial(err.print, soft_wrap=True),
        progress=_recovery_progress(),
        recovered=parts.context.load_keys,
        ledger_store=_ledger_store(home, asked.keys.ledger_key),
        background=[
            *bootstrap.background_tasks(parts.context, options),
            *traffic,
            *_backfill_of(asked.start.backfill),
            *_calibration_of(
                home, deciding_by.calibrate_after, chosen, {**named, "--model": used_model}
            ),
            *pages.tasks,
        ],
    )
    service.switch = _policy_switch(parts, chosen, deciding_by.model, named)
    serving(
        service,
        allow_all if asked.start.no_keys else parts.context.key_ring.authorize,
        ready=partial(_show_addresses, settings, pages, shown.console_url),
        pages=pages.wrap,
        middleware=bootstrap.request_middleware(service, parts.context, options),
    )


def _database_url(value: str) -> str:
    """Return the URL of the database; a value that is no URL names the file that holds it."""
    if not value or "://" in value:
        return value
    return read_secret_file(Path(value), "file of the database URL")


def _ceiling(max_memory: str, decoders: int) -> StateCeiling:
    """Return what the state of accounts may have of the memory that the service may use."""
    besides = Limits().queue_bytes + decoders * DECODER_BYTES
    return parse_ceiling(max_memory, copies=True, besides=besides)


@dataclass(frozen=True)
class _Chosen:
    """Which policy a start decides by.

    `base` is the directory that `serve` was started with, `directory` that of the policy that
    decides: another one where a version went live, or where a calibration was approved. `asked` is
    whether --enforce was given, `enforce` whether outcomes are enforced.
    """

    base: Path | None
    directory: Path | None
    enforce: bool
    calibrated: bool
    asked: bool


def _choose_policy(
    home: Path, policy: Path | None, calibrate_after: str, *, enforce: bool
) -> _Chosen:
    """Choose the policy: the one that went live last, an approved calibration, or the given one."""
    approved = _approved_policy(home, calibrate_after)
    base = approved or policy
    directory = _live_policy(home, base, approved)
    live = live_policy.live_policy(home)
    calibrated = live is not None and live.enforce and directory != base
    return _Chosen(
        base,
        directory,
        enforce or approved is not None or calibrated,
        approved is not None,
        enforce,
    )


def _load_profile(file: Path | None) -> coverage.Profile | None:
    if file is None:
        err.print(
            styled("[yellow]no --profile:[/] assuming that the stream has every event and field")
        )
        return None
    return coverage.load(file)


@dataclass(frozen=True)
class _Parts:
    """What the engines of a service, and its answers to `decide`, are made of."""

    settings: Settings
    profile: coverage.Profile | None
    lateness: int
    pseudonymizer: Pseudonymizer
    context: app_context.AppContext

    def live_coverage(self) -> sources.Coverage | None:
        """Return what the declared sources carry that decide; None where none is declared."""
        live = live_policy.live_policy(self.settings.home)
        if live is None or live.carries is None:
            return None
        return sources.Coverage(live.carries, live.challenges, live.sources)

    def live_profile(self) -> coverage.Profile | None:
        """Return the coverage of the stream at the start."""
        declared = self.live_coverage()
        return declared.profile() if declared is not None else self.profile

    def engine(
        self,
        policy: rules.Policy,
        loaded: model.Model | None,
        enforce: bool,
        profile: coverage.Profile | None = None,
    ) -> engine.Engine:
        """Return an engine of a policy and a model, without state."""
        return engine.Engine(
            policy,
            profile or self.profile,
            enforce=enforce,
            workers=self.settings.workers,
            lateness_s=self.lateness,
            model=loaded,
        )

    def responder(self, policy: rules.Policy, directory: Path | None) -> decide.DecideResponder:
        """Return what answers `decide` under a policy of a directory."""
        terms = decide.load_decide_policy(directory)
        declared = self.live_coverage()
        return decide.DecideResponder(
            policy,
            terms,
            self.pseudonymizer,
            self.context.quota_extension,
            challenges=declared is None or declared.challenges_anyone,
        )

    def switched(self, directory: Path | None, model_dir: str | None) -> None:
        """Take the sheets of the policy, and the baseline of the model, that decide from now on."""
        self.context.quota_config = decide.load_quota_config(directory)
        self.context.holder_notices = HolderNotices.load(rules.load_policy(directory), directory)
        self.context.metrics.model = _with_baseline(model_dir)


def _with_baseline(model_dir: str | None) -> Path | None:
    """Return a model's directory, if it has the baseline that drift is measured against."""
    directory = Path(model_dir or SHIPPED)
    return directory if (directory / baseline.FILE).is_file() else None


def _policy_switch(
    parts: _Parts, chosen: _Chosen, model_dir: str | None, named: Mapping[str, object]
) -> policy_switch.PolicySwitch:
    """Return what switches the service to another policy, model or mode.

    Args:
        parts: What engines are made of.
        chosen: Which policy decides at the start.
        model_dir: The model that `serve` was started with.
        named: Other options of `serve` that a replay repeats.

    """
    home = parts.settings.home
    live = live_policy.live_policy(home)
    version = live.version if live and chosen.directory != chosen.base else ""
    digest = live.digest if live and version else ""
    return policy_switch.PolicySwitch(
        home,
        chosen.base,
        parts.engine,
        parts.responder,
        parts.switched,
        (*_options(named), "--lateness", str(parts.lateness)),
        model_dir,
        chosen.asked,
        policy_switch.Deciding(
            version, live.model if live else "", chosen.enforce, parts.live_coverage(), digest
        ),
    )


def _calibration_of(
    home: Path, calibrate_after: str, chosen: _Chosen, named: Mapping[str, object]
) -> list[Background]:
    """Return the task that proposes and enforces a calibration; none without --calibrate-after."""
    if not calibrate_after:
        return []
    command = _calibrate_command(home, {"--policy": chosen.directory, **named})
    enforced_ms = schedule.approved_ms(home) if chosen.calibrated else 0
    after_s = duration_seconds(calibrate_after)
    return [schedule.CalibrationSchedule(home, after_s, command, enforced_ms)]


@dataclass(frozen=True)
class _ConsoleOptions:
    """Options of `serve` that the console alone reads; `demo`: it shows a case."""

    url: str
    second_factor: bool | None
    oidc: Path | None
    trusted_proxies: int
    cases: Path | None
    demo: bool


def is_demo_home(home: Path) -> bool:
    """Return whether a service's directory lies beside the simulated day of `wavebreak demo`."""
    return home.name == DEMO_HOME and (home.parent / DEMO_WORLD).is_dir()


def _api_alone(api: App) -> App:
    return api


@dataclass(frozen=True)
class _Pages:
    """The pages of a service.

    Attributes:
        wrap: Wraps the API's app.
        tasks: Background tasks.
        shown: "" without a console, "empty" where nobody can sign in yet, else "served".
        demo_people: Who was created for a demonstration.
        password: The one password of these.
        signed_in_before: Whether the people of a demonstration were there already.
    """

    wrap: Callable[[App], App] = _api_alone
    tasks: Sequence[Background] = ()
    shown: str = ""
    demo_people: tuple[str, ...] = ()
    password: str = ""
    signed_in_before: bool = False


def _open_console(
    parts: _Parts, chosen: _Chosen, asked: _ConsoleOptions, secret: bytes, seal_key: Path | None
) -> _Pages:
    """Configure the console, its pages for account holders, and its plug-ins."""
    from wavebreak_server.console import holder_pages, plugins, startup

    home, port = parts.settings.home, parts.settings.port
    names, password = startup.create_demo_people() if asked.demo else ((), "")
    shown = "served" if startup.people() else "empty"
    url = asked.url or f"http://localhost:{port}"
    options = startup.options(url, asked.second_factor, asked.oidc, asked.trusted_proxies)
    wrap, tasks = startup.start(options, secret, chosen.directory, home)
    tasks += holder_pages.open_holder_pages(parts.context, chosen.directory)
    # Whoever has the link reads the code: not where others can reach the service.
    parts.context.shows_codes = asked.demo and is_loopback(parts.settings.host)
    plugins.open_plugins({"cases": asked.cases}, home, seal_key, secret, chosen.directory)
    if asked.demo:
        tasks += [*plugins.demo_tasks(), startup.demo_notice(parts.context)]
    return _Pages(wrap, tasks, shown, names, password, asked.demo and not names)


def _backfill_of(path: Path | None) -> list[Background]:
    """Return the task that reads a file's events; raises FileError where there is no such file."""
    if path is None:
        return []
    file = events_file(path)

    async def run(service: Service) -> None:
        await backfilling.backfill(service, file)

    return [run]


def _approved_policy(home: Path, calibrate_after: str) -> Path | None:
    """Return the directory of the approved policy, if the service is calibrated and has one."""
    if not calibrate_after:
        return None
    approved = schedule.approved_policy(home)
    if approved is None:
        out.print(f"in shadow; a policy is proposed {calibrate_after} after the first event")
        return None
    out.print(f"enforcing the approved policy {approved[0].version}")
    return approved[1]


def _live_policy(home: Path, policy: Path | None, approved: Path | None) -> Path | None:
    """Return the directory of the policy that went live last; else the given one.

    A calibration that was approved after it counts as the later one.
    """
    live = live_policy.live_policy(home)
    directory = live_policy.live_directory(home)
    later = approved is not None and live is not None and schedule.approved_ms(home) > live.at_ms
    if directory is None or later:
        return policy
    out.print(f"deciding by {directory.name}, which went live in the console, not by --policy")
    return directory


def _live_model(home: Path, model_dir: str | None) -> str | None:
    """Return the model that went live last, or else the given one.

    Raises:
        UsageError: Its files are gone, or were changed after it went live.

    """
    live = live_policy.live_model(home)
    if live is None:
        return model_dir
    directory, version = live
    found = model.load(directory).version if directory.is_dir() else "gone"
    if found != version:
        raise UsageError(
            f"{directory} is not the model that went live: it is {found}, not {version}",
            fix="restore its files from a backup",
        )
    out.print(f"scoring by {directory.name} ({version}), which went live in the console")
    return str(directory)


def _calibrate_command(home: Path, options: Mapping[str, object]) -> list[str]:
    """Return the command that writes the service's proposal."""
    target = str(schedule.proposal_directory(home))
    command = [sys.executable, "-m", "wavebreak", "calibrate", str(home), "-o", target]
    return command + _options(options)


def _options(given: Mapping[str, object]) -> list[str]:
    """Return options of a command: those that have a value."""
    return [str(part) for option in given.items() if option[1] is not None for part in option]


def demo_streams() -> list[Background]:
    """Return the task that sends a simulated day, which the distribution of simulations brings."""
    return [load_plugin(DEMO_STREAMS, "day", LAB, "the simulation, which --demo sends,")]


def _ledger_store(home: Path, key: Path | None) -> LedgerStore:
    """Return the service's signer; print its verifier key and store it in the service directory."""
    signer = load_or_create_signer(key)
    public = encode_verifier_key(signer.key)
    (home / LEDGER_KEY).write_text(f"{public}\n", "utf-8")
    out.print(styled("verifier key of the ledger: [bold]{}[/]", public), soft_wrap=True)
    store = LedgerStore(signer, _now_ms)
    erasure.seal_pending(store, _now_ms())
    return store


def _recovery_progress() -> Callable[[int, int], None]:
    """Return a callback that prints the progress of a long replay of the log."""
    printed = time.monotonic()

    def show(position: int, end: int) -> None:
        nonlocal printed
        if time.monotonic() - printed >= RECOVERY_NOTE_S:
            printed = time.monotonic()
            err.print(f"replaying the log: {position:,} of {end:,} events")

    return show


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _prepare(settings: Settings) -> None:
    """Set up directory, tables, logs and machine code; print the first API key."""
    observability.configure_logging(sys.stderr)
    if outdated := start_checks.outdated_python(sys.version_info[:3]):
        err.print(styled("[yellow]warning:[/] {} (a distribution may have fixed them)", outdated))
    private_files.use_private_umask()
    if opened := private_files.make_private(settings.home):
        err.print(f"{opened} files and directories of {settings.home} were open to others: closed")
    database.connect(settings.database, settings.home)
    # Until the process ends.
    owning = ExitStack()
    owning.enter_context(ownership.owned(settings.home))
    atexit.register(owning.close)
    listed = erasure.read_list(settings.home / erasure.LIST_FILE)
    erasure.apply_again(settings.home, listed, _now_ms(), _report_erasures)
    if first := bootstrap.create_first_key(_now_ms()):
        said = "the first API key, with every scope (shown only now): [bold]{}[/]"
        out.print(styled(said, first))
    # The first body must not wait for a compiler.
    err.print("starting (up to two minutes more when the engine is not compiled yet)")
    engine.warm()


def _report_erasures(count: int) -> None:
    err.print(f"erasing again what {count:,} listed erasures cover: one pass over the log")


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


def _show_addresses(settings: Settings, pages: _Pages, url: str, port: int) -> None:
    """Print the service's URLs, and how to sign in where that is not known yet."""
    at = f"http://{settings.host}:{port}"
    out.print(styled("wavebreak serves [bold]{}[/] from {}", at, settings.home))
    steps = [f"events:  POST {at}/v1/events", f"API:     {at}/api/docs", "stop:    Ctrl-C"]
    if pages.shown:
        from wavebreak_server.console.startup import use_port

        use_port(url, port)
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
        restored = backups.restore(
            file, home, secret, _now_ms(), accept_unproven=accept_unproven, erasures=erasures
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
                rate=rate,
                burst=burst,
                source=source,
                identifiers=identifiers,
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
