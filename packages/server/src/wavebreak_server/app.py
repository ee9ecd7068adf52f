"""Composition root: one function builds the service of a configuration, stage by stage."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from wavebreak import engine, model, rules
from wavebreak.engine.state_ceiling import StateCeiling, parse_ceiling
from wavebreak.extras import LAB, load_plugin
from wavebreak.io.readers import events_file
from wavebreak.ledger.checkpoints import encode_verifier_key, load_or_create_signer
from wavebreak.privacy import traps
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key, load_webhook_key
from wavebreak.schema import coverage
from wavebreak_server import bootstrap, policy_choice
from wavebreak_server.config import MEBIBYTE, Configuration, parse_lists
from wavebreak_server.console import plugins
from wavebreak_server.console import server as console_server
from wavebreak_server.console.demo_story import STREAM_LABELS, demo_story
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import Authorize, allow_all
from wavebreak_server.http.middleware import Operations
from wavebreak_server.http.responses import App
from wavebreak_server.pipeline import backfill as backfilling
from wavebreak_server.pipeline import observability, start_checks
from wavebreak_server.pipeline.engine_switch import Observer
from wavebreak_server.pipeline.service import Background, EngineSetup, Service
from wavebreak_server.service_plugins import warm_plugins
from wavebreak_server.settings import Limits, Settings, is_loopback
from wavebreak_server.slices import routes
from wavebreak_server.slices.appeals.service import AppealUpkeep
from wavebreak_server.slices.config import use_settings
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.queue.contact_warnings import ContactWarner
from wavebreak_server.slices.queue.indexer import Indexer
from wavebreak_server.storage import (
    database,
    ownership,
    private_files,
    row_macs,
    transaction_guard,
)
from wavebreak_server.storage.kafka_topic import open_log
from wavebreak_server.storage.ledger_store import LEDGER_KEY, LedgerStore

DECODER_BYTES = 192 << 20
"""Memory of a decoder process, besides the bodies that it holds."""
DEMO_HOME = "service"
"""Directory of the demo's service below the demo's own."""
DEMO_WORLD, DEMO_LABELS = "world", "labels.csv"
"""Directory of the demo's simulated day, beside its service."""
DEMO_STREAMS = "wavebreak.demo_streams"
"""The group of entry points whose `day` sends simulated events to a service, in the background."""
RECOVERY_NOTE_S = 5
"""Seconds between two progress lines while the log is replayed."""


@dataclass(frozen=True)
class Reports:
    """Where a start reports.

    Attributes:
        say: Takes what whoever starts the service keeps: keys, and what decides.
        note: Takes progress and warnings.
    """

    say: policy_choice.Say
    note: policy_choice.Say


@dataclass(frozen=True)
class Pages:
    """The pages of a service.

    Attributes:
        wrap: Wraps the API's app.
        shown: "" without a console, "empty" where nobody can sign in yet, else "served".
        demo_people: Who was created for a demonstration.
        signed_in_before: Whether the people of a demonstration were there already.
    """

    wrap: Callable[[App], App]
    tasks: Sequence[Background]
    shown: str = ""
    demo_people: tuple[str, ...] = ()
    password: str = ""
    signed_in_before: bool = False


@dataclass(frozen=True)
class Application:
    """A service that is built and not yet started.

    Attributes:
        context: What its operations share.
        authorize: Checks the key of a request.
        pages: What is served beside the API.
        middleware: What wraps the whole app.
    """

    service: Service
    settings: Settings
    context: AppContext
    authorize: Authorize
    pages: Pages
    middleware: Callable[[Any], Any]


def build(home: Path, asked: Configuration, reports: Reports) -> Application:
    """Build the service of a configuration.

    Raises:
        WavebreakError: An option has no meaning here, or what it names cannot be used.
    """
    deciding_by = asked.decisions
    traffic = demo_streams() if asked.start.demo else []
    choice = policy_choice.choose_policy(home, deciding_by, reports.say)
    settings = service_settings(home, asked, choice)

    secret, owner = _open_storage(settings, asked, reports)
    trap_pseudonyms = traps.all_pseudonyms(traps.load(home / traps.FILE, secret))
    if trap_pseudonyms:
        reports.note("traps: {:,}", len(trap_pseudonyms))

    policy = rules.load_policy(choice.directory)
    used_model = policy_choice.choose_model(home, deciding_by.model, reports.say)
    loaded = model.load_selected(used_model)

    # API keys, webhooks, and notices to account holders.
    options = replace(_delivery_options(home, asked), policy=choice.directory)
    lists = parse_lists(asked.lists.lists)
    context = bootstrap.create_context(policy, choice.directory, secret, options)
    context.holder_notices = replace(
        context.holder_notices,
        keepers={name: terms.keeper for name, terms in lists.items()},
        is_enforced=choice.enforce,
    )
    parts = policy_choice.EngineParts(
        settings,
        _load_profile(deciding_by.profile, reports.note),
        deciding_by.lateness,
        Pseudonymizer(secret, deciding_by.ip_database, trap_pseudonyms),
        context,
        lists,
    )
    pages = _open_pages(asked, parts, choice, secret)
    service = Service(
        settings,
        EngineSetup(
            partial(parts.engine, policy, loaded, choice.enforce, profile=parts.live_profile()),
            parts.responder(policy, choice.directory),
            parts.lateness,
        ),
        parts.pseudonymizer,
        clock=_now_ms,
        ledger_store=_open_ledger(home, asked.keys.ledger_key, reports.say),
        background=bootstrap.background_tasks(
            context,
            options,
            (
                *traffic,
                *_backfill(asked.start.backfill),
                *policy_choice.learning_tasks(home, choice, context),
                *pages.tasks,
            ),
        ),
        observer=Observer(
            report=partial(reports.note, "{}"),
            progress=_recovery_progress(reports.note),
            recovered=context.load_keys,
            settled=_freeze,
        ),
        switch=policy_choice.make_policy_switch(parts, choice, deciding_by),
        lost=lambda: owner.lost,
    )
    return Application(
        service,
        settings,
        context,
        allow_all if asked.start.no_keys else context.key_ring.authorize,
        pages,
        bootstrap.request_middleware(service, context, options, Operations(routes.OPERATIONS)),
    )


# Options


def service_settings(
    home: Path, asked: Configuration, choice: policy_choice.PolicyChoice
) -> Settings:
    """Return the settings and limits that the options give a service."""
    limits = Limits(
        header_s=asked.limits.header_timeout,
        body_s=asked.limits.body_timeout,
        connections=asked.limits.connections,
        max_age_s=asked.limits.max_age,
        key_events=asked.limits.key_events,
        key_bytes=asked.limits.key_megabytes * MEBIBYTE,
        # Behind a proxy, everybody has its address.
        peer_connections=0 if asked.listening.trusted_proxies else asked.limits.peer_connections,
    )
    return Settings(
        home,
        asked.storage.database_url(),
        asked.storage.log_url(),
        asked.listening.host,
        asked.listening.port,
        decoders=asked.decisions.decoders,
        workers=asked.decisions.shards,
        enforce=choice.enforce,
        accept_loss=asked.start.accept_loss,
        snapshot_s=asked.storage.snapshot_seconds,
        limits=limits,
        allow_identifiers=asked.decisions.allow_identifiers,
        ceiling=_ceiling(asked.limits.max_memory, asked.decisions.decoders),
        flink_job=asked.decisions.flink_job,
        new_names_per_hour=asked.limits.new_names_per_hour,
    )


def _delivery_options(home: Path, asked: Configuration) -> bootstrap.ServeOptions:
    """Return the options of webhooks, traces and background tasks."""
    return bootstrap.ServeOptions(
        asked.observability.traces,
        asked.webhooks.private_webhooks,
        allow_insecure_webhooks=asked.webhooks.insecure_webhooks,
        webhook_key=load_webhook_key(asked.keys.webhook_key, home),
        profiled=asked.decisions.profile is not None,
    )


def _ceiling(max_memory: str, decoders: int) -> StateCeiling:
    """Return what the state of accounts may have of the memory that the service may use."""
    besides = Limits().queue_bytes + decoders * DECODER_BYTES
    return parse_ceiling(max_memory, copies=True, besides=besides)


def _load_profile(file: Path | None, note: policy_choice.Say) -> coverage.Profile | None:
    if file is None:
        note("[yellow]no --profile:[/] assuming that the stream has every event and field")
        return None
    return coverage.load(file)


# Events


def demo_streams() -> list[Background]:
    """Return the task that sends a simulated day, which the distribution of simulations brings."""
    return [load_plugin(DEMO_STREAMS, "day", LAB, "the simulation, which --demo sends,")]


def _backfill(path: Path | None) -> list[Background]:
    """Return the task that reads a file's events; raises FileError where there is no such file."""
    if path is None:
        return []
    file = events_file(path)

    begun = False

    async def run(service: Service) -> None:
        nonlocal begun
        resumed, begun = begun, True
        await backfilling.backfill(service, file, resumed=resumed)

    return [run]


# Storage


def _open_storage(
    settings: Settings, asked: Configuration, reports: Reports
) -> tuple[bytes, ownership.Owner]:
    """Set up directory, tables, logs and machine code; return the deployment's key, and the owner.

    The first API key is said, where there was none.
    """
    secret = load_key(asked.keys.key)
    row_macs.bind(secret)
    if sys.flags.dev_mode:
        transaction_guard.install()
    observability.configure_logging(sys.stderr)
    if outdated := start_checks.outdated_python(sys.version_info[:3]):
        reports.note("[yellow]warning:[/] {} (a distribution may have fixed them)", outdated)
    private_files.use_private_umask()
    if opened := private_files.make_private(settings.home):
        text = "{} files and directories of {} were open to others: closed"
        reports.note(text, opened, settings.home)
    bodies = open_log(settings.log)
    database.connect(settings.database, settings.home, bodies=bodies)
    # Until the process ends.
    owning = ExitStack()
    owner = owning.enter_context(ownership.owned(settings.home))
    atexit.register(owning.close)
    if bodies is not None:
        bodies.check_start()
    if settings.database:
        # For commands that this process starts: their arguments are in the list of processes.
        os.environ["WAVEBREAK_DATABASE"] = settings.database
    if settings.log:
        os.environ["WAVEBREAK_LOG"] = settings.log
    listed = erasure.read_list(settings.home / erasure.LIST_FILE)
    again = "erasing again what {:,} listed erasures cover: one pass over the log"
    erasure.apply_again(settings.home, listed, _now_ms(), partial(reports.note, again))
    if first := bootstrap.create_first_key(_now_ms()):
        said = "the first API key, with every scope (shown only now): [bold]{}[/]"
        reports.say(said, first)
    # The first body must not wait for a compiler, nor a transaction.
    reports.note("starting (up to two minutes more when the engine is not compiled yet)")
    engine.warm()
    warm_plugins()
    return secret, owner


# Ledger


def _open_ledger(home: Path, key: Path | None, say: policy_choice.Say) -> LedgerStore:
    """Return the service's signer; say its verifier key and store it in the service directory."""
    signer = load_or_create_signer(key)
    public = encode_verifier_key(signer.key)
    (home / LEDGER_KEY).write_text(f"{public}\n", "utf-8")
    say("verifier key of the ledger: [bold]{}[/]", public)
    store = LedgerStore(signer, _now_ms)
    erasure.seal_pending(store, _now_ms())
    return store


def _recovery_progress(note: policy_choice.Say) -> Callable[[int, int], None]:
    """Return a callback that reports the progress of a long replay of the log."""
    reported = time.monotonic()

    def show(position: int, end: int) -> None:
        nonlocal reported
        if time.monotonic() - reported >= RECOVERY_NOTE_S:
            reported = time.monotonic()
            note("replaying the log: {:,} of {:,} events", position, end)

    return show


def _freeze() -> None:
    # The engine's objects stay: each collection would spend a tenth of a second on them.
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# Console


def is_demo_home(home: Path) -> bool:
    """Return whether a service's directory lies beside the simulated day of `wavebreak demo`."""
    return home.name == DEMO_HOME and (home.parent / DEMO_WORLD).is_dir()


def _open_pages(
    asked: Configuration,
    parts: policy_choice.EngineParts,
    choice: policy_choice.PolicyChoice,
    secret: bytes,
) -> Pages:
    """Configure the pages for account holders, and the console with its plug-ins.

    Due process needs no console: without it appeals are taken, and notices are shown.
    """
    shown, settings, proxies = asked.console, parts.settings, asked.listening.trusted_proxies
    url = shown.console_url or f"http://localhost:{settings.port}"
    # Links of notices begin with it, too.
    parts.context.set_public_url(url)
    used = use_settings(parts.context, choice.directory)
    tasks: list[Background] = [
        Indexer(used.queue),
        AppealUpkeep(used.appeals),
        ContactWarner(parts.context),
    ]
    if shown.console is False:
        options = console_server.options(url, None, None, proxies)
        return Pages(console_server.start_without_console(options, secret, parts.context), tasks)

    demo = asked.start.demo or is_demo_home(settings.home)
    names, password = console_server.create_demo_people() if demo else ((), "")
    people = "served" if console_server.people() else "empty"
    options = console_server.options(url, shown.second_factor, shown.oidc, proxies)
    wrap = console_server.start(options, secret, settings.home, parts.context)
    # Whoever has the link reads the code: not where others can reach the service.
    parts.context.shows_codes = demo and is_loopback(settings.host)
    plugins.open_plugins(
        {"cases": shown.cases}, settings.home, asked.keys.ledger_key, secret, choice.directory
    )
    if demo:
        labels = settings.home.parent / DEMO_WORLD / DEMO_LABELS
        if asked.start.demo:
            labels = settings.home / STREAM_LABELS
        story = demo_story(parts.context, labels)
        tasks += [*plugins.demo_tasks(), story]
    return Pages(wrap, tasks, people, names, password, demo and not names)
