"""Training data: scoring points of replayed runs, model inputs, and monotone constraints.

Our own decisions and labels are no inputs: a model that reads them learns its own decisions back,
and a label confirmed by our own action would be its own proof.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.engine import Engine
from wavebreak.errors import FileError, TrainingError
from wavebreak.evaluation.labels import Key, LabelVote
from wavebreak.features.catalog import FEATURES, INDEX, MODEL_INPUTS
from wavebreak.features.layout import RANK
from wavebreak.io import events_file, read
from wavebreak.outcomes import RESTRICT
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak.schema.events import LABELS, SOURCES, TYPES

NOT_INPUTS: dict[str, str] = {
    "label_abusive": "the label itself",
    "label_benign": "the label itself",
    "enforcement_level": "our own decision in force",
    "strikes": "our own answers so far",
    "refused": "what our own answers refused, or would have",
    "score": "what a model said before",
    "registration_score": "what a model said before",
}
"""Features that no model reads, and why: all of the families `enforcement`, `labels`, `score`."""

_REPLIES = "replies of recipients count for the account"
_STRANGERS = "more strangers written to is never a sign of innocence"
_BAD = "actions on accounts that share the resource are never a sign of innocence"
_REPLIES_TO_YOUNG = "young accounts beside it are answered by those they write to"
_DEAD_NUMBERS = "numbers that do not exist are in bought and made-up lists"

SIGNS: dict[str, tuple[int, str]] = {
    "first_contacts_1h": (1, _STRANGERS),
    "first_contacts_1d": (1, _STRANGERS),
    "first_contacts_7d": (1, _STRANGERS),
    "cold_share_32": (1, "recipients who do not have the sender in contacts"),
    "reply_share_7d": (-1, _REPLIES),
    "replied_7d": (-1, _REPLIES),
    "mutual_contacts": (-1, "chats that go both ways speak for the account"),
    "inbound_chats": (-1, "receiving never counts against the receiver"),
    "unanswered_7d": (1, "silence of those written to never speaks for the account"),
    "abuse_target_share_32": (1, "targets taken over from accounts that were acted on"),
    "network_bad": (1, _BAD),
    "block_bad": (1, _BAD),
    "device_bad": (1, _BAD),
    "client_bad": (1, _BAD),
    "network_answered": (-1, _REPLIES_TO_YOUNG),
    "block_answered": (-1, _REPLIES_TO_YOUNG),
    "device_answered": (-1, _REPLIES_TO_YOUNG),
    "attested": (-1, "a device that the platform vouches for"),
    "country_mismatch": (1, "a number of another country than its network"),
    "undeliverable_7d": (1, _DEAD_NUMBERS),
    "undeliverable_share_7d": (1, _DEAD_NUMBERS),
    "report_weight_7d": (1, "reports with proof, by reporters with a record"),
    "block_weight_7d": (1, "blocks with proof, by people with a record"),
    "reports_7d": (1, "being reported never speaks for the account"),
    "blocks_7d": (1, "being blocked never speaks for the account"),
    "reciprocity": (-1, "being written to speaks for the account"),
    "age_s": (-1, "to have been there for longer is never a sign of abuse"),
    "known_s": (-1, "the same"),
}
"""By feature: the sign in which it may move the score, all else equal, and why. Few and certain."""


def model_inputs(names: tuple[str, ...] = MODEL_INPUTS) -> tuple[str, ...]:
    """Names of the features that a model reads, in catalog order.

    Evidence is no input: the tests on recipients' reactions must stay independent of doubt.

    >>> "enforcement_level" in model_inputs(), "first_contacts_1h" in model_inputs()
    (False, True)
    >>> "unanswered_evidence" in model_inputs()
    False
    """
    return tuple(name for name in names if name not in NOT_INPUTS)


def monotone_signs(names: tuple[str, ...]) -> dict[str, int]:
    """Return the declared signs of `names`.

    >>> monotone_signs(("attested", "gap_sd"))
    {'attested': -1}
    """
    return {name: SIGNS[name][0] for name in names if name in SIGNS}


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Points:
    """Scoring points in log order, run after run.

    `values` (n, m) of the features `names`; `account` (n,) indexes `accounts`; `ts` event time in
    ms; `kind` the kind of fact; `enforcement` the enforcement state before; `run` which run.
    """

    names: tuple[str, ...]
    values: Floats
    account: Ints
    ts: Ints
    kind: NDArray[np.uint8]
    enforcement: NDArray[np.uint8]
    run: Ints
    accounts: tuple[Key, ...]

    def __len__(self) -> int:
        return len(self.ts)

    def select(self, rows: Bools | Ints) -> Points:
        """The points of some rows; `accounts` stay as they are."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        return replace(
            self,
            values=self.values[rows],
            account=self.account[rows],
            ts=self.ts[rows],
            kind=self.kind[rows],
            enforcement=self.enforcement[rows],
            run=self.run[rows],
        )

    def without(self, names: Sequence[str]) -> Points:
        """The same points without some features."""
        columns = [column for column, name in enumerate(self.names) if name not in names]
        return replace(
            self,
            names=tuple(self.names[column] for column in columns),
            values=np.ascontiguousarray(self.values[:, columns]),
        )

    def ordinals(self) -> Ints:
        """The number of each point among the points of the account, from 0; (n,)."""
        order = np.argsort(self.account, kind="stable")
        accounts = self.account[order]
        starts = np.flatnonzero(np.diff(accounts, prepend=-1))
        lengths = np.diff(starts, append=len(accounts))
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(accounts)) - np.repeat(starts, lengths)
        return place

    def after_action(self) -> Bools:
        """Points from the first on at which their account was restricted or worse; (n,).

        From there on rules have spoken: a reputation that our own action moved would only tell
        the model what the rules did.
        """
        first = np.full(len(self.accounts), len(self), np.int64)
        action_ts = np.flatnonzero(RANK[self.enforcement] >= RANK[RESTRICT])
        np.minimum.at(first, self.account[action_ts], action_ts)
        return np.asarray(np.arange(len(self)) >= first[self.account], np.bool_)


def to_catalog_columns(points: Points) -> Floats:
    """Return values in the catalog's columns, float64 (n, catalog); NaN for other features."""
    values = np.full((len(points), len(FEATURES)), np.nan)
    values[:, [INDEX[name] for name in points.names]] = points.values
    return values


def concat_points(parts: Sequence[Points]) -> Points:
    """Points of several runs as one; an account that several runs saw is one account."""
    index: dict[Key, int] = {}
    accounts = []
    for part in parts:
        indexes = [index.setdefault(key, len(index)) for key in part.accounts]
        accounts.append(np.array(indexes, np.int64)[part.account])
    return Points(
        parts[0].names,
        np.concatenate([p.values for p in parts]),
        np.concatenate(accounts),
        np.concatenate([p.ts for p in parts]),
        np.concatenate([p.kind for p in parts]),
        np.concatenate([p.enforcement for p in parts]),
        np.concatenate([np.full(len(p), r, np.int64) for r, p in enumerate(parts)]),
        tuple(index),
    )


KEY = b"wavebreak training: nothing pseudonymous is kept"
"""The edge's key of a replay: a point holds no pseudonym, so the key is in no byte of a model."""
LABELLED = TYPES.index("label.assigned")


@dataclass(frozen=True)
class Run:
    """A log to learn from.

    `events` the file and `digest` its SHA-256; `world` names a simulated world ("" for the real
    one), since two worlds may use one name for two accounts; `labels` is the labels file beside
    it, `decisions` the directory of `wavebreak run` that named the log.
    """

    name: str
    events: Path
    digest: str
    world: str = ""
    labels: Path | None = None
    decisions: Path | None = None


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay: points, labels in the log, the last time (ms), number of events."""

    points: Points
    votes: tuple[LabelVote, ...]
    end: int
    events: int


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex; raises `FileError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}", fix="give a file of events"
        ) from None


def open_run(path: Path) -> Run:
    """Find the log of a run: the output of `simulate` or `run -o`, or a file of events.

    Raises `FileError` where there is none, or where the log that a run decided on is gone or has
    changed since.
    """
    if (path / "summary.json").is_file():
        return _open_decided_run(path)
    events = events_file(path)
    digest, labels_file = file_digest(events), events.parent
    labels = labels_file / "labels.csv"
    return Run(
        path.name,
        events,
        digest,
        digest[:16] if (labels_file / "world.json").is_file() else "",
        labels if labels.is_file() else None,
    )


def _open_decided_run(path: Path) -> Run:
    check = f"run `wavebreak run EVENTS -o {path}` again, or give the events themselves"
    try:
        source = json.loads((path / "summary.json").read_text("utf-8"))["source"]
        events, recorded = Path(source["path"]), source["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise FileError(f"{path}/summary.json does not say which log it is of", fix=check) from None
    if recorded is None:
        raise FileError(f"{path} is of standard input, which nobody kept", fix=check)
    if not events.is_file():
        raise FileError(f"{path} is of a log that is no longer there", fix=check)
    log_run = open_run(events)
    if log_run.digest != recorded:
        raise FileError(f"{path} is of a log that has changed since", fix=check)
    return Run(path.name, events, recorded, log_run.world, log_run.labels, path)


def replay(
    run: Run,
    policy: Policy,
    *,
    enforce: bool = False,
    model: Any = None,
    stop: int | None = None,
    progress: Callable[[float, int], None] = lambda _, __: None,
) -> ReplayResult:
    """Replay a log and record the scoring points.

    With `stop` only so many events are taken, and the open epoch stays open.
    Raises `TrainingError` where the log has no scoring point.
    """
    edge = Pseudonymizer(KEY)
    profile = _whole_profile(run.events, run.digest)
    engine = Engine(policy, profile, enforce=enforce, model=model, record=True)

    def batches() -> Iterator[Any]:
        event_count = 0
        for log, share in _read_logs(run.events, edge, stop):
            yield log
            event_count += log.num_rows
            progress(share, event_count)

    return record_points(engine, batches(), run.world, closed=stop is None)


@lru_cache(maxsize=8)
def _whole_profile(events: Path, digest: str) -> coverage.Profile:
    """Field coverage of a whole log: the beginning may be a backlog of registrations alone.

    `digest` tells logs of one path apart.
    """
    sidecar = coverage.sidecar_path(events)
    if sidecar.exists():
        return coverage.load(sidecar)
    return coverage.measure(batch.log for batch in read(events, Pseudonymizer(KEY)))


def record_points(
    engine: Engine,
    logs: Iterable[Any],
    world: str,
    *,
    closed: bool = True,
    names: tuple[str, ...] | None = None,
) -> ReplayResult:
    """Let a recording engine take batches of the log; `closed`: the last epoch too.

    The points hold the features `names` (None: the inputs of a model).
    """
    recorder = PointRecorder(world, names or model_inputs())
    for log in logs:
        engine.take(log)
        recorder.add(engine, log)
    if closed:
        engine.finish()
        recorder.add_points(engine)
    return recorder.result(engine)


class PointRecorder:
    """Collects the points and labels of a recording engine, batch by batch.

    Args:
        world: The log's name.
        names: Features that the points hold.
    """

    def __init__(self, world: str, names: tuple[str, ...]) -> None:
        self._world, self._names = world, names
        self._columns = np.array([INDEX[name] for name in names], np.int64)
        self._parts: list[Any] = []
        self._votes: list[LabelVote] = []
        self._end = self._events = 0

    def add(self, engine: Engine, log: Any) -> None:
        """Add a batch of the log that the engine has taken."""
        self._votes += _log_votes(log, self._world)
        self.add_points(engine)
        self._end = max(self._end, pc.max(log.column("ts")).as_py() or 0)
        self._events += log.num_rows

    def add_points(self, engine: Engine) -> None:
        """Add the points since the last call."""
        self._parts.append(_copy_points(engine.points(), self._columns))

    def result(self, engine: Engine) -> ReplayResult:
        """Return and release the collected points.

        Raises:
            TrainingError: The log has no scoring point.
        """
        points = _concat_parts(self._parts, self._names, engine, self._world)
        return ReplayResult(points, tuple(self._votes), self._end, self._events)


def _read_logs(events: Path, edge: Pseudonymizer, stop: int | None) -> Iterator[tuple[Any, float]]:
    remaining = stop
    for batch in read(events, edge):
        log = batch.log if remaining is None else batch.log.slice(0, remaining)
        if log.num_rows:
            yield log, batch.progress
        if remaining is not None:
            remaining -= log.num_rows
            if remaining <= 0:
                return


def _copy_points(points: Any, columns: Any) -> tuple[Any, ...]:
    values = np.ascontiguousarray(points["values"][:, columns])
    return (
        values, points["account"].astype(np.int64), points["ts"].copy(), points["kind"].copy(),
        points["enforcement"].copy(),
    )  # fmt: skip


def _concat_parts(parts: list[Any], names: tuple[str, ...], engine: Engine, world: str) -> Points:
    if not sum(len(part[2]) for part in parts):
        raise TrainingError(
            "the log has no scoring point",
            fix="give a log with registrations, sends, reports or blocks",
        )
    _, slots, ts, kind, enforcement = (np.concatenate(column) for column in zip(*parts))  # noqa: B905
    # The values are most of the memory: no part is kept beside its copy.
    values = np.empty((len(ts), len(names)))
    end = len(ts)
    while parts:
        (part, *_) = parts.pop()
        values[end - len(part) : end] = part
        end -= len(part)
    slot_numbers, account = np.unique(slots, return_inverse=True)
    accounts = engine.fanout.accounts.texts(slot_numbers).to_pylist()
    return Points(
        names,
        values,
        account.astype(np.int64),
        ts,
        kind,
        enforcement,
        np.zeros(len(ts), np.int64),
        tuple((world, name) for name in accounts),
    )


def _log_votes(log: Any, world: str) -> Iterator[LabelVote]:
    """Return the labels in the log. Batches may lack empty columns."""
    mine = log.filter(pc.equal(log.column("type"), LABELLED))
    columns = {"account", "ts", "label", "source"} & set(mine.schema.names)
    for row in mine.select(sorted(columns)).to_pylist():
        if row.get("label") is not None:
            source = "analyst" if row.get("source") is None else SOURCES[row["source"]]
            yield LabelVote(world, row["account"], LABELS[row["label"]], "", "", source, row["ts"])
