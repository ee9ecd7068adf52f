"""The service's pipeline: recovery, then the stages between the event loop and the webhooks.

In the order of the flow: bodies are decoded, appended to the log, decided, sealed and stored. Each
stage has `start`, `put` and `stop`; what a stage is done with it puts into the next. See the
diagram in `service.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa
from django.db import transaction

from wavebreak.engine import Engine
from wavebreak.engine.switch_records import SwitchTerms
from wavebreak.engine.versions import engine_versions, terms_of
from wavebreak.errors import ServiceError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_server.pipeline import job_switches, recovery
from wavebreak_server.pipeline.admission import Mask
from wavebreak_server.pipeline.decider import Decider, NoEngineError
from wavebreak_server.pipeline.decoder_pool import DecoderPool, DecoderProcess
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.engine_thread import ENGINE_BUSY, EngineThread
from wavebreak_server.pipeline.job_view import JobTerms, JobView, Reached
from wavebreak_server.pipeline.log_clock import in_time, late_events, out_of_time
from wavebreak_server.pipeline.log_writer import LogEnd, LogHooks, LogWriter
from wavebreak_server.pipeline.new_names import NewNames, RecentNames
from wavebreak_server.pipeline.new_names import new_names as names_without_slots
from wavebreak_server.pipeline.pending_requests import DecidedBatch, LoggedBatch
from wavebreak_server.pipeline.start_checks import check_database
from wavebreak_server.settings import Settings
from wavebreak_server.storage import database, event_log, state_changes
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AppliedPosition

START_S = 30.0
"""How long a start waits for programs that read the database."""


class Listener(NamedTuple):
    """Whom the stages tell what they have done.

    Attributes:
        on_stored: Called with the number of the newest decision that is stored and sealed.
        report: Called with messages for the operator.
        progress: Called with the position that recovery has reached and the log's end.
    """

    on_stored: Callable[[int], None]
    report: Callable[[str], None]
    progress: Callable[[int, int], None]


class Runtime(NamedTuple):
    """Time and threads.

    Attributes:
        clock: Returns milliseconds.
        monotonic: Returns seconds.
        start_work: Runs the work of snapshots beside the engine.
        lost: Returns why this process no longer owns the log; empty while it does.
    """

    clock: Callable[[], int]
    monotonic: Callable[[], float] = time.monotonic
    start_work: Callable[[Callable[[], None]], recovery.BackgroundWork] = recovery.start_thread
    lost: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Host:
    """What the stages have of the service that they run in.

    Attributes:
        settings: The service's settings.
        make_engine: Returns an engine without state.
        ledger_store: Seals what the log writer commits.
        lateness_s: Allowed lateness of events, which is part of the engine's version.
        states: The enforcement states that are known while the engine does not answer.
        runtime: Time and threads.
        listener: Whom the stages tell what they have done.
        switch_terms: Returns what a job needs to decide as an engine of some versions (None: a
            start switches nothing).
    """

    settings: Settings
    make_engine: Callable[[], Engine]
    ledger_store: LedgerStore
    lateness_s: int
    states: EnforcementCache
    runtime: Runtime
    listener: Listener
    switch_terms: Callable[[Engine, str], SwitchTerms] | None = None


@dataclass(frozen=True)
class Stages:
    """The stages behind the decoder pool, at the end of the log.

    The log writer seals and stores what is decided, in one transaction.
    """

    log_writer: LogWriter
    decider: Decider
    snapshots: recovery.SnapshotScheduler
    new_names: NewNames

    @property
    def engine_thread(self) -> EngineThread:
        """The engine of this process.

        Raises:
            NoEngineError: A job on Flink decides.
        """
        if isinstance(self.decider, JobView):
            raise NoEngineError(self.decider.terms.job)
        assert isinstance(self.decider, EngineThread)  # noqa: S101 - there is no third one
        return self.decider


@dataclass(frozen=True)
class Pipeline(Stages):
    """All stages."""

    decoder_pool: DecoderPool

    @property
    def lag(self) -> int:
        """Events of the log that wait in this process for the engine."""
        return self.decider.waiting(self.log_writer.end)

    def start(self, host: Host) -> None:
        """Start the stages: the log first, requests last."""
        self.log_writer.start()
        # Decisions from before the restart are stored and sealed before any request is answered.
        self.log_writer.flush()
        self.decider.fill(host.states)
        host.ledger_store.commit_log()
        self.decider.start()
        self.decoder_pool.start()

    def stop(self, *, switching: bool = False) -> None:
        """Finish what was accepted, stage by stage, and write a snapshot.

        Args:
            switching: Another pipeline goes on with what is decided to the log's end; it needs no
                snapshot.
        """
        self.decoder_pool.stop()
        # The writer hands its last batch to the engine, then stores the engine's last decisions.
        self.log_writer.flush()
        if switching:
            self.decider.catch_up(self.log_writer.end)
        self.decider.stop()
        self.log_writer.stop()
        if self.log_writer.applied != self.decider.position:
            self.snapshots.abandon()
        elif not switching:
            self.decider.keep(self.snapshots)
        self.snapshots.wait()


def recover_stages(host: Host) -> Stages:
    """Connect the stages, with what the disk has; none of them runs yet.

    Raises:
        ServiceError: The log is damaged, or a stored decision is not reproduced.
    """
    settings, listener = host.settings, host.listener
    # Nothing is written after what a power cut might still take: see `truncate_wal`.
    if not database.truncate_wal(START_S):
        raise ServiceError(
            "the database's write-ahead log cannot be emptied",
            fix=f"end what has {database.FILE} open, and check the disk",
        )
    # 0. The database is as it was sealed, as far as a quick check shows.
    check_database(host.ledger_store, listener.report, accept_loss=settings.accept_loss)
    return _stages_of_job(host) if settings.flink_job else _stages_of_engine(host)


def _stages_of_job(host: Host) -> Stages:
    """Connect the stages of a service that answers from what a job publishes."""
    settings, engine = host.settings, host.make_engine()
    versions = engine_versions(engine, host.lateness_s)
    job_switches.reconcile(event_log.log_end(), versions)
    terms = JobTerms(settings.flink_job, versions, settings.limits.max_age_s, terms_of(engine))
    if host.switch_terms is not None:
        _switch_at_start(host, terms, engine, host.switch_terms)
    host.ledger_store.versions(engine, versions, 0, 0)
    return _stages_over(host, terms)


def _switch_at_start(
    host: Host, terms: JobTerms, engine: Engine, target: Callable[[Engine, str], SwitchTerms]
) -> None:
    """Let the job go over where a service starts with another policy, model or mode than it had.

    Another profile or lateness is not switched: the job has its own, and is not followed then.
    """
    applied, _ = AppliedPosition.objects.get_or_create(id=1)
    last = job_switches.newest()
    former = last.terms.versions if last else applied.made_by
    enforced = job_switches.former_mode(former, terms.versions, engine, host.lateness_s)
    if enforced is None:
        return
    end = event_log.log_end()
    if applied.position < end:
        stages = _stages_over(host, terms._replace(versions=former))
        stages.log_writer.start()
        stages.decider.start()
        stages.decider.catch_up(end)
        stages.decider.stop()
        stages.log_writer.stop()
        if stages.log_writer.applied < end:
            raise ServiceError(
                f"the job {terms.job} has not decided to the log's end: nothing can be switched",
                fix="see whether it runs; start with the former policy, model and mode till then",
            )
    with transaction.atomic():
        job_switches.record(end, target(engine, terms.versions))
        job_switches.settle()
        AppliedPosition.objects.filter(id=1).update(made_by=terms.versions)
        if engine.enforce and not enforced:
            state_changes.lift_all()
    host.listener.report(f"the job {terms.job} goes over at position {end:,}: {terms.versions}")


def _stages_over(host: Host, terms: JobTerms) -> Stages:
    """Connect the stages of a service that follows a job by some terms."""
    settings = host.settings
    applied, _ = AppliedPosition.objects.get_or_create(id=1)
    # The ceiling is the job's, which has the state.
    recent = RecentNames()
    new_names = NewNames(None, settings.new_names_per_hour, host.runtime.clock, recent.new)

    def on_logged(logged: LoggedBatch) -> None:
        recent.note(logged.events)
        new_names.logged(logged)
        decider.put(logged)

    log_writer = _log_writer(
        host,
        LogEnd(event_log.log_end(), applied.position, applied.decisions, terms.versions),
        on_logged,
        new_names,
        in_time,
    )
    decider = JobView(
        terms,
        Reached(applied.position, applied.decisions),
        log_writer.put,
        lambda: log_writer.applied,
        host.runtime.clock,
        host.listener.report,
        new_names.count,
    )
    return Stages(log_writer, decider, _snapshots(host, log_writer, applied.position), new_names)


def _log_writer(
    host: Host,
    log: LogEnd,
    on_logged: Callable[[LoggedBatch], None],
    new_names: NewNames,
    out_of_time: Callable[[pa.RecordBatch], tuple[Mask, Mask]],
) -> LogWriter:
    """Return the log writer, which commits a batch before it hands it on."""
    listener, runtime = host.listener, host.runtime
    return LogWriter(
        log,
        LogHooks(on_logged, listener.on_stored, new_names.admit, out_of_time, runtime.lost),
        clock=runtime.clock,
        limits=host.settings.limits,
        ledger_store=host.ledger_store,
        states=host.states,
    )


def _snapshots(host: Host, log_writer: LogWriter, position: int) -> recovery.SnapshotScheduler:
    """Return what takes snapshots of an engine whose decisions are stored up to a position."""
    return recovery.SnapshotScheduler(
        host.settings,
        applied=lambda: log_writer.applied,
        position=position,
        report=host.listener.report,
        start=host.runtime.start_work,
        monotonic=host.runtime.monotonic,
    )


def _stages_of_engine(host: Host) -> Stages:
    """Recover the engine from disk, and connect the stages."""
    settings, ledger_store, states = host.settings, host.ledger_store, host.states
    runtime, listener = host.runtime, host.listener

    # 1. Recovery: newest snapshot, then the rest of the log.
    unstored: list[DecidedBatch] = []
    engine, recovered = recovery.recover(
        host.make_engine,
        settings,
        host.lateness_s,
        write=unstored.append,
        progress=listener.progress,
        states=states,
    )
    engine.core.touch()
    ledger_store.versions(engine, recovered.made_by, recovered.earlier, recovered.differ)
    for message in recovered.messages:
        listener.report(message)

    # 2. Log: a batch is committed, then handed to the engine, without names that have no room.
    new_names = NewNames(
        settings.ceiling,
        settings.new_names_per_hour,
        runtime.clock,
        lambda log: engine_thread.ask_between_turns(
            lambda engine: names_without_slots(engine, log)
        ),
        listener.report,
    )
    new_names.begin(engine)
    engine.watch = new_names.read

    def on_logged(logged: LoggedBatch) -> None:
        new_names.logged(logged)
        engine_thread.put(logged)

    stored = AppliedPosition.objects.get(id=1)
    end = max(recovered.end, engine.fanout.position)
    log_writer = _log_writer(
        host,
        LogEnd(end, stored.position, stored.decisions, recovered.made_by),
        on_logged,
        new_names,
        lambda log: _out_of_time(engine_thread, log),
    )

    # 3. Decision: what the engine decides goes back to the log writer, which stores and seals it.
    snapshots = _snapshots(host, log_writer, stored.position)

    def on_decided(decided: DecidedBatch) -> None:
        new_names.measure(engine, decided.reached)
        log_writer.put(decided)

    engine_thread = EngineThread(
        engine, recovered.decisions, on_decided, snapshots.between_batches, runtime.monotonic
    )
    for decided in unstored:
        log_writer.put(decided)
    return Stages(log_writer, engine_thread, snapshots, new_names)


def _out_of_time(engine_thread: EngineThread, log: pa.RecordBatch) -> tuple[Mask, Mask]:
    """Return which events are late, and which are duplicates where the engine is idle.

    A writer that waited for a busy engine would hold up every sender.
    """
    answer = engine_thread.try_ask_now(lambda engine: out_of_time(engine.fanout, log))
    if answer is ENGINE_BUSY:
        return late_events(engine_thread.engine.fanout, log), in_time(log)[1]
    masks: tuple[Mask, Mask] = answer
    return masks


@dataclass(frozen=True)
class Launcher:
    """Starts the pipeline of a service, at its start and at each switch.

    Attributes:
        host: What the stages have of the service.
        pseudonymizer: Pseudonymizes the events.
        pause_decoding: Whether decoding should wait for the engine.
    """

    host: Host
    pseudonymizer: Pseudonymizer
    pause_decoding: Callable[[], bool]

    def new_decoder(self) -> DecoderProcess:
        """Start a decoder process."""
        return DecoderProcess(self.pseudonymizer, self.host.settings.limits)

    def new_decoders(self) -> list[DecoderProcess]:
        """Start the decoder processes, one for each decoding thread."""
        return [self.new_decoder() for _ in range(self.host.settings.decoders)]

    def start(self, make_engine: Callable[[], Engine], decoders: list[DecoderProcess]) -> Pipeline:
        """Recover the stages, and start them; closes the decoders if that fails.

        Args:
            make_engine: Returns an engine without state.
            decoders: The decoder processes.

        Raises:
            ServiceError: The log is damaged, or a stored decision is not reproduced.
        """
        host = replace(self.host, make_engine=make_engine)
        try:
            stages = recover_stages(host)
            log_writer = stages.log_writer
            # Requests: decoded in processes, then handed to the log writer.
            decoder_pool = DecoderPool(
                decoders,
                lambda waiting, decoded: log_writer.put((waiting, decoded)),
                retry_after_s=host.settings.limits.retry_after_s,
                on_unreadable=log_writer.check_database,
                pause=self.pause_decoding,
                new_decoder=self.new_decoder,
            )
            pipeline = Pipeline(**vars(stages), decoder_pool=decoder_pool)
            pipeline.start(host)
        except BaseException:
            for decoder in decoders:
                decoder.close()
            raise
        return pipeline
