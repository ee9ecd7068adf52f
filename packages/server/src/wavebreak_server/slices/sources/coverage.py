"""Coverage that nobody declared: what the log lacks in its first hour, and which rules that stops.

Where neither a profile nor a source says what the stream carries, everything is taken as carried. A
field that never comes then looks like an act that nobody does. This task measures the begin of the
log once it is long enough, and reports what it has not seen; it changes no decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.durations import HOUR_MS
from wavebreak.features.catalog import covered_features
from wavebreak.rules import Policy, compile_rules
from wavebreak.schema.coverage import Profile, known_names, measure
from wavebreak.schema.events import TYPES
from wavebreak_server.http.app_context import run_background_query
from wavebreak_server.pipeline.service import Service
from wavebreak_server.storage import event_log

MEASURED_MS = HOUR_MS
"""Log time that is measured."""
MAX_EVENTS = 1_000_000
MIN_EVENTS = 100
CHECK_S = 30.0
_MENTIONED = 8


class Unseen(NamedTuple):
    """Types and fields that the begin of the log lacks, and the rules that lack what they read."""

    names: tuple[str, ...]
    rules: tuple[str, ...]

    def sentence(self) -> str:
        """Return it in words.

        >>> Unseen(("typing.started",), ("never_typed",)).sentence()
        'the log lacks typing.started, so these rules cannot hold: never_typed'
        """
        lacks, off = (_listed(names) for names in (self.names, self.rules))
        return f"the log lacks {lacks}, so these rules cannot hold: {off}"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _MENTIONED
    return ", ".join(names[:_MENTIONED]) + (f" and {more} more" if more > 0 else "")


def unseen(profile: Profile, policy: Policy) -> Unseen | None:
    """Return what a measured stream lacks of that which the rules of a policy read.

    None where every rule can hold.
    """
    off = compile_rules(policy, covered_features(profile, scored=True)).not_covered
    if not off:
        return None
    lacking = [name for name in sorted(known_names()) if not profile.covers(name)]
    types = [name for name in lacking if name in TYPES]
    # Of a type that never comes, the fields go without saying.
    fields = [name for name in lacking if name.rpartition(".")[0] not in (*types, "")]
    fields = [name for name in fields if name not in TYPES]
    return Unseen((*types, *fields), off)


def measure_begin(span_ms: int = MEASURED_MS) -> Profile | None:
    """Measure the begin of the bound log; None while it is shorter, or has too few events."""
    measured, whole = list[pa.RecordBatch](), False
    for batch, beyond in _begin(span_ms):
        measured.append(batch)
        whole = beyond
    profile = measure(measured)
    return profile if whole and profile.events >= MIN_EVENTS else None


def _begin(span_ms: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Yield the events of a span from the first event on, and whether the log goes on beyond it.

    A log that is too short yet is asked about again and again: of it, two rows are read.
    """
    end_ms, events = -1, 0
    for segment in event_log.read_log(0, rows=1):
        if segment.events is None or not segment.events.num_rows:
            continue
        times = segment.events.column("ts")
        if end_ms < 0:
            end_ms = times[0].as_py() + span_ms
            if not _reaches(end_ms, segment.first):
                return
        events += segment.events.num_rows
        beyond = pc.max(times).as_py() >= end_ms or events >= MAX_EVENTS
        yield segment.events.filter(pc.less(times, end_ms)), beyond
        if beyond:
            return


def _reaches(end_ms: int, first: int) -> bool:
    """Whether the newest row has an event of a time or later, or the log from `first` is large."""
    end = event_log.log_end()
    if end - first >= MAX_EVENTS:
        return True
    newest = next(event_log.read_log(end - 1), None)
    if newest is None or newest.events is None:
        return False
    return bool(pc.max(newest.events.column("ts")).as_py() >= end_ms)


class CoverageReport:
    """A background task: reports once what the log's begin lacks, where nobody has declared it.

    Args:
        span_ms: Log time that is measured.
    """

    def __init__(self, span_ms: int = MEASURED_MS) -> None:
        self.span_ms = span_ms

    async def __call__(self, service: Service) -> None:
        """Wait until the log is long enough, measure it, and report."""
        profile: Profile | None = None
        reported = ""
        while True:
            declared = service.switch is not None and service.switch.deciding.coverage is not None
            if profile is None and service.progress().ready:
                begin = partial(measure_begin, self.span_ms)
                profile = service.coverage.measured = await run_background_query(begin)
            found = unseen(profile, service.responder.policy) if profile and not declared else None
            service.coverage.lacking = found.sentence() if found else ""
            if service.coverage.lacking not in ("", reported):
                reported = service.coverage.lacking
                service.report(f"{reported}; declare a source, or start with --profile")
            await asyncio.sleep(CHECK_S)
