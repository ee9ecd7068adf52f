"""Submitted jobs: given to a cluster, rescaled from a savepoint, and compared with the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from wavebreak.durable_files import replace_file
from wavebreak.engine import snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.engine.published import Kind, merged
from wavebreak.engine.switch_records import divided
from wavebreak.errors import FileError, UsageError
from wavebreak_flink import settings
from wavebreak_flink.dead_letters import around_lost
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.event_log import decode
from wavebreak_flink.logs import open_log
from wavebreak_flink.rest_api import Address, RestApi
from wavebreak_flink.settings import RESULTS, JobSettings
from wavebreak_flink.switches import Switches

FILE = "submission.json"
_CHECKPOINT_MS = "10000"
_EVER = (1 << 63) - 1


class Submission(msgspec.Struct, frozen=True):
    """Where a job runs: the cluster's address, its id there, its last savepoint.

    `stopped`: whether it was stopped with that savepoint. `options`: Flink's settings that were
    given for it, with which it goes on elsewhere.
    """

    flink: str
    job: str
    savepoint: str = ""
    stopped: bool = False
    options: dict[str, str] = {}

    @property
    def api(self) -> RestApi:
        """The REST API of its cluster."""
        return RestApi(Address.of(self.flink))

    def save(self, home: Path) -> None:
        """Write it into the job's directory."""
        replace_file(home / FILE, msgspec.json.encode(self), mode=0o600)


def load(home: Path) -> Submission:
    """Read where a job runs.

    Raises:
        FileError: None was submitted from that directory.
    """
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Submission)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        raise FileError(
            f"{home} is no directory of a job that was submitted",
            fix="name the directory that `wavebreak flink submit --home` wrote",
        ) from None


def submit(
    job: JobSettings, environment: FlinkEnvironment, flink: str, *, savepoint: str = "",
    options: Mapping[str, str] | None = None,
) -> Submission:  # fmt: skip
    """Give a job to a cluster, whose log lies cut in the job's directory.

    Args:
        job: Its settings, which are written into its directory.
        environment: With Flink's programs.
        flink: The URL of the cluster's REST API.
        savepoint: From which it goes on ("": from the beginning).
        options: Flink's settings, beside those that the job needs.
    """
    home = Path(job.home)
    flags = {
        "execution.checkpointing.interval": _CHECKPOINT_MS,
        "execution.checkpointing.dir": (home / "checkpoints").as_uri(),
        # A part that hangs while nobody waits for it is noticed by the checkpoint that it holds up.
        "execution.checkpointing.timeout": f"{job.patience_s} s",
        "execution.checkpointing.savepoint-dir": (home / "savepoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "parallelism.default": "1",
    } | dict(options or {})
    job.save()
    name = environment.submit(Address.of(flink), home, flags, savepoint)
    made = Submission(flink, name, savepoint, options=dict(options or {}))
    made.save(home)
    return made


def savepoint(home: Path, *, stop: bool = False) -> Submission:
    """Make a savepoint of a job, and stop it where it is to go on elsewhere."""
    known = load(home)
    if not known.api.is_running(known.job):
        raise UsageError(
            "the cluster does not run the job any more: it has ended, or the cluster lost it",
            fix="see `wavebreak flink status`; what was lost goes on by `flink rescale --lost`",
        )
    place = known.api.savepoint(known.job, (home / "savepoints").as_uri(), stop=stop)
    if stop:
        known.api.wait_for(known.job)
    made = msgspec.structs.replace(known, savepoint=place, stopped=stop)
    made.save(home)
    return made


def rescale(
    home: Path, groups: int, environment: FlinkEnvironment, flink: str = "", *, lost: bool = False,
    max_memory: str = "",
) -> Submission:  # fmt: skip
    """Let a job go on with a number of groups, from a savepoint.

    Args:
        home: The job's directory.
        groups: How many.
        environment: With Flink's programs.
        flink: The cluster on which it goes on ("": where it ran).
        lost: Whether no cluster has the job any more, or Flink restarts it in vain: what is left of
            it is cancelled, and it goes on from its newest checkpoint that Flink can read.
        max_memory: Memory that each of its processes may use ("": as before).

    Raises:
        UsageError: The cluster does not answer, or `max_memory` is no size.
        StateSizeError: So little leaves no room for a state.
    """
    job, known = settings.load(home / settings.FILE), load(home)
    job = msgspec.structs.replace(job, groups=groups, max_memory=max_memory or job.max_memory)
    job.ceiling()
    checkpoints = list[str]()
    if lost:
        if not flink and known.api.is_running(known.job):
            # Its checkpoints stay; it can begin nothing elsewhere while it runs here.
            known.api.cancel(known.job)
            known.api.wait_for(known.job)
        # Where the complete checkpoints of a job lie, the newest first.
        found = (home / "checkpoints" / known.job).glob("chk-*/_metadata")
        numbered = {int(path.parent.name.removeprefix("chk-")): path.parent for path in found}
        checkpoints = [numbered[number].as_uri() for number in sorted(numbered, reverse=True)]
    elif not known.stopped:
        known = savepoint(home, stop=True)
    to, options = flink or known.flink, known.options
    for place in checkpoints:
        # Flink refuses a damaged one: the one before it, at last what the job went on from.
        with suppress(UsageError):
            return submit(job, environment, to, savepoint=place, options=options)
    return submit(job, environment, to, savepoint=known.savepoint, options=options)


def rows_of(home: Path, kind: Kind) -> list[bytes]:
    """Return the JSON of the rows that a job has published, in the order of the log."""
    return merged(lines_of(home / RESULTS), kind)


def lines_of(directory: Path) -> Iterator[bytes]:
    """Return the lines that a file sink of a job has published."""
    for path in sorted(directory.rglob("part-*")):
        yield from path.read_bytes().splitlines()


class Comparison(NamedTuple):
    """A job's decisions beside the embedded engine's: how many are the same, and all of these.

    `other` is the first that the engine did not make (None: there is none).
    """

    same: int
    engine: int
    other: bytes | None


def compare(home: Path) -> Comparison:
    """Decide on a job's log with the embedded engine, and compare what the job has published.

    A job that goes on has published some of them, in the same order.

    Raises:
        UsageError: The job has published nothing yet.
    """
    published = rows_of(home, "decision")
    if not published and not (home / RESULTS).is_dir():
        raise UsageError("the job has published nothing", fix="wait for its first checkpoint")
    made = list(_engine_decisions(home))
    rest = iter(made)
    for number, row in enumerate(published):
        if row not in rest:
            return Comparison(number, len(made), row)
    return Comparison(len(published), len(made), None)


def _engine_decisions(home: Path) -> Iterator[bytes]:
    job = settings.load(home / settings.FILE)
    edge = job.edge()
    with closing(open_log(job)) as log, closing(Switches(job)) as switches:
        engine, switched = switches.deciding(0)
        for _, piece in log.between(0, _EVER):
            events = decode(piece, edge).log
            parts = around_lost(events, engine.fanout.position, log.lost)
            for number, stretch in divided(parts, switched, switches.after):
                while switched < number:
                    former, (engine, switched) = engine, switches.deciding(switched + 1)
                    snapshot.load(engine, carried_state(former, engine))
                for position, part in stretch:
                    engine.fanout.position = position
                    for made in engine.take(part):
                        yield msgspec.json.encode(made)
        # A log that grows has an open epoch, as it has in the job.
        for made in engine.finish() if log.last >= 0 else ():
            yield msgspec.json.encode(made)
