"""The service's pipeline: recovery, then the threads between the event loop and the webhooks.

`start_pipeline` connects the stages in the order of the flow; see the diagram in `service.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.errors import ServiceError
from wavebreak_server.pipeline.admission import Mask
from wavebreak_server.pipeline.decoder_pool import DecoderPool, DecoderProcess
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.engine_thread import ENGINE_BUSY, EngineThread
from wavebreak_server.pipeline.log_clock import in_time, late_events, out_of_time
from wavebreak_server.pipeline.log_writer import LogWriter
from wavebreak_server.pipeline.new_names import NewNames
from wavebreak_server.pipeline.pending_requests import DecidedBatch, LoggedBatch
from wavebreak_server.pipeline.recovery import (
    BackgroundWork,
    SnapshotScheduler,
    recover,
    start_thread,
)
from wavebreak_server.pipeline.start_checks import check_database
from wavebreak_server.settings import Settings
from wavebreak_server.storage import database
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AppliedPosition

START_S = 30.0
"""How long a start waits for programs that read the database."""


class Stages(NamedTuple):
    """The stages behind the decoder pool, at the end of the log."""

    log_writer: LogWriter
    engine_thread: EngineThread
    snapshots: SnapshotScheduler
    new_names: NewNames


@dataclass(frozen=True)
class Pipeline:
    """The running stages."""

    decoder_pool: DecoderPool
    log_writer: LogWriter
    engine_thread: EngineThread
    snapshots: SnapshotScheduler
    new_names: NewNames

    @property
    def lag(self) -> int:
        """Events in the log that the engine has not decided."""
        return self.log_writer.end - self.engine_thread.position

    def stop(self, *, snapshot: bool = True) -> None:
        """Finish what was accepted, stage by stage, and write a snapshot."""
        self.decoder_pool.stop()
        # The writer hands its last batch to the engine, then stores the engine's last decisions.
        self.log_writer.flush()
        self.engine_thread.stop()
        self.log_writer.stop()
        engine_thread = self.engine_thread
        decided = self.log_writer.applied == engine_thread.position
        if not decided:
            self.snapshots.abandon()
        elif snapshot and not engine_thread.broken:
            self.snapshots.take(engine_thread.engine, engine_thread.decisions)
        self.snapshots.wait()


def recover_stages(
    settings: Settings,
    make_engine: Callable[[], Engine],
    ledger_store: LedgerStore,
    *,
    lateness_s: int,
    clock: Callable[[], int],
    on_stored: Callable[[int], None],
    report: Callable[[str], None],
    progress: Callable[[int, int], None],
    states: EnforcementCache | None = None,
    start_work: Callable[[Callable[[], None]], BackgroundWork] = start_thread,
    monotonic: Callable[[], float] = time.monotonic,
) -> Stages:
    """Recover the engine from disk, and connect the stages; none of them runs yet.

    Args:
        settings: The service's settings.
        make_engine: Returns an engine without state.
        ledger_store: Seals what the log writer commits.
        lateness_s: Allowed lateness of events, which is part of the engine's version.
        clock: Returns milliseconds.
        on_stored: Called with the number of the newest decision that is stored and sealed.
        report: Called with messages for the operator.
        progress: Called with the position that recovery has reached and the log's end.
        states: The enforcement states that are known while the engine does not answer (None: of
            its own).
        start_work: Runs the work of snapshots beside the engine.
        monotonic: Returns seconds.

    Raises:
        ServiceError: The log is damaged, or a stored decision is not reproduced.
    """
    states = EnforcementCache(clock) if states is None else states
    # Nothing is written after what a power cut might still take: see `truncate_wal`.
    if not database.truncate_wal(START_S):
        raise ServiceError(
            "the database's write-ahead log cannot be emptied",
            fix=f"end what has {database.FILE} open, and check the disk",
        )
    # 0. The database is as it was sealed, as far as a quick check shows.
    check_database(ledger_store, report, accept_loss=settings.accept_loss)

    # 1. Recovery: newest snapshot, then the rest of the log.
    unstored: list[DecidedBatch] = []
    engine, recovered = recover(
        make_engine,
        settings.home,
        lateness_s,
        accept_loss=settings.accept_loss,
        write=unstored.append,
        progress=progress,
        states=states,
        ceiling=settings.ceiling,
    )
    engine.core.touch()
    ledger_store.versions(engine, recovered.made_by, recovered.earlier, recovered.differ)
    for message in recovered.messages:
        report(message)

    # 2. Log: a batch is committed, then handed to the engine, without names that have no room.
    new_names = NewNames(
        settings.ceiling,
        settings.new_names_per_hour,
        clock,
        lambda ask: engine_thread.ask_between_turns(ask),
        report,
    )
    new_names.begin(engine)
    engine.watch = new_names.read

    def on_logged(logged: LoggedBatch) -> None:
        new_names.logged(logged)
        engine_thread.put(logged)

    stored = AppliedPosition.objects.get(id=1)
    log_writer = LogWriter(
        end=max(recovered.end, engine.fanout.position),
        applied=stored.position,
        decisions=stored.decisions,
        made_by=recovered.made_by,
        on_logged=on_logged,
        on_stored=on_stored,
        clock=clock,
        retry_after_s=settings.limits.retry_after_s,
        keep_s=settings.limits.idempotency_s,
        ledger_store=ledger_store,
        states=states,
        admit=new_names.admit,
        out_of_time=lambda log: _out_of_time(engine_thread, log),
    )

    # 3. Decision: what the engine decides goes back to the log writer, which stores and seals it.
    snapshots = SnapshotScheduler(
        settings.home,
        seconds=settings.snapshot_s,
        events=settings.snapshot_events,
        keep=settings.snapshots,
        applied=lambda: log_writer.applied,
        position=stored.position,
        report=report,
        start=start_work,
        monotonic=monotonic,
    )

    def on_decided(decided: DecidedBatch) -> None:
        new_names.measure(engine, decided.reached)
        log_writer.put_decided(decided)

    engine_thread = EngineThread(
        engine, recovered.decisions, on_decided, snapshots.between_batches, monotonic
    )
    for decided in unstored:
        log_writer.put_decided(decided)
    return Stages(log_writer, engine_thread, snapshots, new_names)


def _out_of_time(engine_thread: EngineThread, log: pa.RecordBatch) -> tuple[Mask, Mask]:
    """Return which events are late, and which are duplicates where the engine is idle.

    A writer that waited for a busy engine would hold up every sender.
    """
    found = engine_thread.try_ask_now(lambda engine: out_of_time(engine.fanout, log))
    if found is ENGINE_BUSY:
        return late_events(engine_thread.engine.fanout, log), in_time(log)[1]
    known: tuple[Mask, Mask] = found
    return known


def start_pipeline(
    settings: Settings,
    make_engine: Callable[[], Engine],
    decoders: Sequence[DecoderProcess],
    ledger_store: LedgerStore,
    *,
    lateness_s: int,
    clock: Callable[[], int],
    on_stored: Callable[[int], None],
    pause_decoding: Callable[[], bool],
    report: Callable[[str], None],
    progress: Callable[[int, int], None],
    states: EnforcementCache,
    new_decoder: Callable[[], DecoderProcess] | None = None,
) -> Pipeline:
    """Recover the stages, then start them: the log first, requests last.

    Args:
        settings: As of `recover_stages`.
        make_engine: As of `recover_stages`.
        decoders: The decoder processes, one for each decoding thread.
        ledger_store: As of `recover_stages`.
        lateness_s: As of `recover_stages`.
        clock: Returns milliseconds.
        on_stored: As of `recover_stages`.
        pause_decoding: Whether decoding should wait for the engine.
        report: Called with messages for the operator.
        progress: As of `recover_stages`.
        states: As of `recover_stages`.
        new_decoder: Starts a decoder process for large bodies.

    Raises:
        ServiceError: The log is damaged, or a stored decision is not reproduced.
    """
    log_writer, engine_thread, snapshots, new_names = recover_stages(
        settings,
        make_engine,
        ledger_store,
        lateness_s=lateness_s,
        clock=clock,
        on_stored=on_stored,
        report=report,
        progress=progress,
        states=states,
    )
    log_writer.start()
    # Decisions from before the restart are stored and sealed before any request is answered.
    log_writer.flush()
    states.read_engine(engine_thread.engine)
    ledger_store.commit_log()
    engine_thread.start()

    # 4. Requests: decoded in processes, then handed to the log writer.
    decoder_pool = DecoderPool(
        decoders,
        log_writer.put_decoded,
        retry_after_s=settings.limits.retry_after_s,
        on_unreadable=log_writer.check_database,
        pause=pause_decoding,
        new_decoder=new_decoder,
    )
    return Pipeline(decoder_pool, log_writer, engine_thread, snapshots, new_names)
