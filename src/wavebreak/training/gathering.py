"""From a run to its scoring points and claims: the log is replayed through the same engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from wavebreak.edge import Edge
from wavebreak.errors import FileError, TrainingError
from wavebreak.events import LABELS, SOURCES, TYPES
from wavebreak.features.catalog import INDEX
from wavebreak.formats import events_file, read
from wavebreak.pipeline import Engine
from wavebreak.pipeline.running import profile_of
from wavebreak.rules import Policy
from wavebreak.training.inputs import inputs
from wavebreak.training.labelling import Claim
from wavebreak.training.points import Points

KEY = b"wavebreak training: nothing pseudonymous is kept"
"""The edge's key of a replay: a point holds no pseudonym, so the key is in no byte of a model."""
LABELLED = TYPES.index("label.assigned")


@dataclass(frozen=True)
class Run:
    """A log to learn from.

    `events` the file and `digest` its SHA-256; `world` names a simulated world ("" for the real
    one), since two worlds may use one name for two accounts; `labels` is the labels file beside
    it, `decided` the directory of `wavebreak run` that named the log.
    """

    name: str
    events: Path
    digest: str
    world: str = ""
    labels: Path | None = None
    decided: Path | None = None


@dataclass(frozen=True)
class Gathered:
    """What a replay gave: points, labels that stand in the log, when it ended (ms), events."""

    points: Points
    claims: tuple[Claim, ...]
    end: int
    events: int


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex; raises `FileError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}", fix="give a file of events"
        ) from None


def open_run(path: Path) -> Run:
    """Find the log of a run: what `simulate` wrote, what `run -o` wrote, or a file of events.

    Raises `FileError` where there is none, or where the log that a run decided on is gone or has
    changed since.
    """
    if (path / "summary.json").is_file():
        return _decided(path)
    events = events_file(path)
    digest, beside = digest_of(events), events.parent
    labels = beside / "labels.csv"
    return Run(
        path.name, events, digest, digest[:16] if (beside / "world.json").is_file() else "",
        labels if labels.is_file() else None,
    )  # fmt: skip


def world_of(path: Path) -> str:
    """The world of a run's accounts, as in `Run`; raises `FileError` as `open_run` does."""
    return open_run(path).world


def _decided(path: Path) -> Run:
    again = f"run `wavebreak run EVENTS -o {path}` again, or give the events themselves"
    try:
        source = json.loads((path / "summary.json").read_text("utf-8"))["source"]
        events, told = Path(source["path"]), source["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise FileError(f"{path}/summary.json does not say which log it is of", fix=again) from None
    if told is None:
        raise FileError(f"{path} is of standard input, which nobody kept", fix=again)
    if not events.is_file():
        raise FileError(f"{path} is of a log that is no longer there", fix=again)
    run = open_run(events)
    if run.digest != told:
        raise FileError(f"{path} is of a log that has changed since", fix=again)
    return Run(path.name, events, told, run.world, run.labels, path)


def replay(
    run: Run, policy: Policy, *, enforce: bool = False, model: Any = None, stop: int | None = None,
    progress: Callable[[float, int], None] = lambda _, __: None,
) -> Gathered:  # fmt: skip
    """Replay a log and record its scoring points.

    With `stop` only so many events are taken and the open epoch stays open: what is known then.
    Raises `TrainingError` where the log has no scoring point.
    """
    edge = Edge(KEY)
    profile, _ = profile_of(run.events, None, edge)
    engine = Engine(policy, profile, enforce=enforce, model=model, record=True)

    def told() -> Iterator[Any]:
        seen = 0
        for log, share in _logs(run.events, edge, stop):
            yield log
            seen += log.num_rows
            progress(share, seen)

    return recorded(engine, told(), run.world, closed=stop is None)


def recorded(engine: Engine, logs: Iterable[Any], world: str, *, closed: bool = True) -> Gathered:
    """Let a recording engine take batches of the log; `closed`: the last epoch too."""
    columns = np.array([INDEX[name] for name in inputs()], np.int64)
    parts: list[Any] = []
    claims: list[Claim] = []
    end = seen = 0
    for log in logs:
        claims += _claims(log, world)
        engine.take(log)
        parts.append(_kept(engine.points(), columns))
        end = max(end, pc.max(log.column("ts")).as_py() or 0)
        seen += log.num_rows
    if closed:
        engine.finish()
        parts.append(_kept(engine.points(), columns))
    return Gathered(_points(parts, engine, world), tuple(claims), end, seen)


def _logs(events: Path, edge: Edge, stop: int | None) -> Iterator[tuple[Any, float]]:
    left = stop
    for batch in read(events, edge):
        log = batch.log if left is None else batch.log.slice(0, left)
        if log.num_rows:
            yield log, batch.progress
        if left is not None:
            left -= log.num_rows
            if left <= 0:
                return


def _kept(points: Any, columns: Any) -> tuple[Any, ...]:
    whole = np.ascontiguousarray(points["values"][:, columns])
    return (
        whole, points["account"].astype(np.int64), points["ts"].copy(), points["kind"].copy(),
        points["standing"].copy(),
    )  # fmt: skip


def _points(parts: list[Any], engine: Engine, world: str) -> Points:
    if not sum(len(part[2]) for part in parts):
        raise TrainingError(
            "the log has no scoring point",
            fix="give a log with registrations, sends, reports or blocks",
        )
    values, slots, ts, kind, standing = (np.concatenate(column) for column in zip(*parts))  # noqa: B905
    known, account = np.unique(slots, return_inverse=True)
    names = engine.fanout.accounts.texts(known).to_pylist()
    return Points(
        inputs(), values, account.astype(np.int64), ts, kind, standing,
        np.zeros(len(ts), np.int64), tuple((world, name) for name in names),
    )  # fmt: skip


def _claims(log: Any, world: str) -> Iterator[Claim]:
    """Labels that stand in the log."""
    mine = log.filter(pc.equal(log.column("type"), LABELLED))
    for row in mine.select(["account", "ts", "label", "source"]).to_pylist():
        if row["label"] is not None:
            source = "analyst" if row["source"] is None else SOURCES[row["source"]]
            yield Claim(world, row["account"], LABELS[row["label"]], "", "", source, row["ts"])
