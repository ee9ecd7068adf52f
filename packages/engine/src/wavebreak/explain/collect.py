"""Data of an explanation: an account's row, decisions, rules and events of a run."""

from __future__ import annotations

import difflib
import json
import shlex
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavebreak.errors import FileError, UsageError, WavebreakError
from wavebreak.io import read
from wavebreak.languages import ENGLISH, Language
from wavebreak.linking import Edge, storage
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.event_kinds import EVENT_KINDS
from wavebreak.schema.events import SHORT_CALL_S, TYPES

Times = NDArray[np.int64]

KINDS = (
    "sends",
    "group_sends",
    "first_contacts",
    "stranger_sends",
    "replies",
    "received",
    "reports",
    "blocks",
    "undeliverable",
    "lookups",
    "groups_created",
    "members_added",
    "sessions",
    "registered",
    "challenges",
)
_FIELDS = ("id", "ts", "type", "account", "peer", "group", "count", "attempted", "seconds")

_CALL_ENDED = TYPES.index("call.ended")

# Account ids are not pseudonymised, so any key finds the account; nothing keyed is shown.
_KEY = b"explain" * 4


@dataclass(frozen=True)
class Timeline:
    """Times (milliseconds, UTC, ascending) of every kind of act in `KINDS`, from the log.

    A first contact is a message, a request for contact or a call to an account with which nothing
    was exchanged before; a stranger send goes to an account that has not written to this one; a
    reply is the first answer from an account that this one contacted first, or the first call to
    it that it took. Each event id counts once, in
    log order, whether or not the platform would have refused it. `looked_up` counts numbers looked
    up.
    """

    times: dict[str, Times]
    looked_up: int = 0

    def __getitem__(self, kind: str) -> Times:
        return self.times[kind]

    def between(self, kind: str, start: int | None, end: int | None) -> Times:
        """Return the times of a kind from `start` to `end`, both included."""
        times = self.times[kind]
        low = 0 if start is None else int(np.searchsorted(times, start, side="left"))
        high = len(times) if end is None else int(np.searchsorted(times, end, side="right"))
        return times[low:high]

    @property
    def window(self) -> tuple[int, int] | None:
        """First and last time of any event, or None."""
        nonempty = [times for times in self.times.values() if len(times)]
        if not nonempty:
            return None
        return min(int(t[0]) for t in nonempty), max(int(t[-1]) for t in nonempty)


def was_carried(event: Mapping[str, Any], refused: Collection[str] = ()) -> bool:
    """Return whether neither the platform nor enforcement refused an act.

    Args:
        event: The act, with the log's columns.
        refused: Ids of the acts that enforcement refused in the repeated run.

    >>> was_carried({"id": "e-1"}), was_carried({"id": "e-1", "attempted": True})
    (True, False)
    """
    return not event.get("attempted") and event["id"] not in refused


def read_timeline(source: Path, account: str) -> Timeline:
    """Read the events in which an account acts or is the peer."""
    return timeline_of_events(read_events(source, account), account)


def read_events(source: Path, account: str) -> Iterator[dict[str, Any]]:
    """Read the events of an account, as actor or peer, for `timeline_of_events`.

    Args:
        source: The log.
        account: The account.
    """
    for batch in read(source, Pseudonymizer(_KEY, None)):
        log = batch.log
        mine = pc.equal(log.column("account"), account)
        theirs = pc.fill_null(pc.equal(log.column("peer"), account), False)
        yield from log.filter(pc.or_(mine, theirs)).select(list(_FIELDS)).to_pylist()


def timeline_of_events(events: Iterable[dict[str, Any]], account: str) -> Timeline:
    """Return the times of each kind of act; `events` have the log's columns, `type` as a code."""
    builder = _TimelineBuilder()
    ids: set[str] = set()
    for event in events:
        if event["id"] in ids:
            continue
        ids.add(event["id"])
        if event["account"] == account:
            builder.add_own(event)
        elif was_carried(event):
            builder.add_other(event)
    return builder.timeline()


class _TimelineBuilder:
    """Counts an account's events in log order."""

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = {kind: [] for kind in KINDS}
        self._contacted: set[str] = set()
        self._senders: set[str] = set()
        self._looked_up = 0

    def add_other(self, event: dict[str, Any]) -> None:
        """Add an event of another account towards this one."""
        row, ts, other = EVENT_KINDS[event["type"]], event["ts"], event["account"]
        if row.counted_at in ("received", "replies"):
            if row.counted_at == "received":
                self._times["received"].append(ts)
            self._add_answer(ts, other)
        elif row.counted_at:
            self._times[row.counted_at].append(ts)

    def add_own(self, event: dict[str, Any]) -> None:
        """Add an event of this account."""
        row, ts = EVENT_KINDS[event["type"]], event["ts"]
        if row.counts == "sends":
            self._add_send(ts, event["peer"])
        elif row.counts == "first_contacts":
            if event["peer"] not in self._senders | self._contacted:
                self._times["first_contacts"].append(ts)
            self._contacted.add(event["peer"])
        elif event["type"] == _CALL_ENDED:
            is_long_call = was_carried(event) and (event["seconds"] or 0) > SHORT_CALL_S
            if is_long_call and event["peer"] in self._contacted:
                self._add_answer(ts, event["peer"])
        elif row.counts:
            self._times[row.counts].append(ts)
            self._looked_up += (event["count"] or 1) if row.counts == "lookups" else 0

    def _add_answer(self, ts: int, other: str) -> None:
        """Add an act of another account that answers a chat."""
        if other in self._contacted and other not in self._senders:
            self._times["replies"].append(ts)
        self._senders.add(other)

    def _add_send(self, ts: int, peer: str | None) -> None:
        self._times["sends"].append(ts)
        if peer is None:
            self._times["group_sends"].append(ts)
            return
        if peer not in self._senders:
            self._times["stranger_sends"].append(ts)
            if peer not in self._contacted:
                self._times["first_contacts"].append(ts)
        self._contacted.add(peer)

    def timeline(self) -> Timeline:
        """Return the counted times."""
        times = {
            kind: np.sort(np.array(values, dtype=np.int64)) for kind, values in self._times.items()
        }
        return Timeline(times, self._looked_up)


_MAX_COMPARED = 20_000  # names compared for a close match; more would take seconds


@dataclass(frozen=True)
class Explanation:
    """Data of one account in a run.

    Attributes:
        run_dir: Directory of the run.
        account: The account's id.
        row: The account's row of accounts.parquet.
        decisions: The account's lines of decisions.jsonl, in order.
        rules: The policy's rules by id (about, stage, outcome, source).
        actions: The policy's actions by id, with description and reversal.
        mode: Mode of the run, enforce or shadow.
        timeline: The account's events; None for an unreadable log.
        gap: Why there is no timeline.
        ties: Edges to accounts that seem to be of the same operator at the run's end.
        language: The language of paragraphs; tables and pages of a run are English.
        own_features: Unit and meaning of the user's own features that rules read, by name.
    """

    run_dir: Path
    account: str
    row: dict[str, Any]
    decisions: list[dict[str, Any]]
    rules: dict[str, dict[str, Any]]
    actions: dict[str, dict[str, Any]]
    mode: str
    timeline: Timeline | None
    gap: str = ""
    ties: tuple[Edge, ...] = ()
    language: Language = ENGLISH
    own_features: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def start_ms(self) -> int:
        """Time of registration, else of the first event."""
        registered = self.row.get("registered_ms")
        return int(self.row["first_seen_ms"] if registered is None else registered)

    @property
    def action_ms(self) -> int | None:
        """Time of the first restriction, suspension or ban."""
        time_ms = self.row.get("first_action_ms")
        return None if time_ms is None else int(time_ms)

    @property
    def shadow(self) -> bool:
        """Whether the run was in shadow."""
        return self.mode != "enforce"


def _file(run_dir: Path, name: str) -> Path:
    path = run_dir / name
    if not path.is_file():
        raise FileError(
            f"{run_dir} has no {name}",
            fix="give the directory that `wavebreak run … -o DIR` wrote",
        )
    return path


def _similar_names(names: list[str], account: str) -> list[str]:
    """Return up to three similar account names, best first."""
    if len(names) > _MAX_COMPARED:
        half = account[: max(1, len(account) // 2)]
        names = [name for name in names if name.startswith(half)][:_MAX_COMPARED]
    return difflib.get_close_matches(account, names, 3)


def _row(run_dir: Path, account: str) -> dict[str, Any]:
    """Return the account's row; raises UsageError that suggests similar names."""
    path = _file(run_dir, "accounts.parquet")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        fault = FileError(f"{path} cannot be read ({error})", fix="run `wavebreak run` again")
        raise fault from error
    rows = table.filter(pc.equal(table["account"], account)).to_pylist()
    if rows:
        return dict(rows[0])
    similar = _similar_names(table["account"].to_pylist(), account)
    suggestion = f"did you mean {', '.join(similar)}? " if similar else ""
    raise UsageError(
        f"the run has no account of that name among its {table.num_rows:,}",
        fix=f"{suggestion}{_listing(run_dir, set(table['worst'].to_pylist()))}",
    )


def _listing(run_dir: Path, outcomes: Collection[str]) -> str:
    """Say how the accounts of the most severe outcomes that a run has are listed."""
    silencing = [name for name in SILENCING if name in outcomes]
    slowed = [name for name in REFUSING if name in outcomes]
    listing = "|".join(silencing or slowed)
    if not listing:
        return "give an account's id as the events have it; this run slowed and refused nobody"
    adjective = "actioned" if silencing else "slowed"
    decisions = shlex.quote(str(run_dir / "decisions.jsonl"))
    return f'list {adjective} accounts with: grep -E \'"outcome": ?"({listing})"\' {decisions}'


def _decisions(run_dir: Path, account: str) -> list[dict[str, Any]]:
    """Read the account's decisions; only lines that contain the name are parsed."""
    encoded_account = json.dumps(account, ensure_ascii=False)[1:-1].encode()
    escaped = json.dumps(account)[1:-1].encode()
    decisions = []
    with _file(run_dir, "decisions.jsonl").open("rb") as lines:
        for line in lines:
            if encoded_account in line or escaped in line:
                decision = json.loads(line)
                if decision["account"] == account:
                    decisions.append(decision)
    return decisions


def _ties(run_dir: Path, account: str) -> tuple[Edge, ...]:
    """Return the account's edges; none in a run of a version that did not link accounts."""
    if not (run_dir / storage.FILE).is_file():
        return ()
    return tuple(
        edge
        for operator in storage.load(run_dir)
        if account in operator.accounts
        for edge in operator.edges
        if account in edge.accounts
    )


def _summary(run_dir: Path) -> dict[str, Any]:
    try:
        summary = json.loads(_file(run_dir, "summary.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(
            f"{run_dir / 'summary.json'} is not JSON", fix="run `wavebreak run` again"
        ) from error
    return summary if isinstance(summary, dict) else {}


def _shipped_actions() -> dict[str, dict[str, Any]]:
    text = (files("wavebreak") / "policy" / "actions.toml").read_text(encoding="utf-8")
    return {action["id"]: action for action in tomllib.loads(text)["action"]}


def _events(run_dir: Path, source: str, account: str) -> tuple[Timeline | None, str]:
    """Read the account's events from the run's log; else return why that is not possible."""
    if source in ("", "-"):
        return None, "The run read its events from a pipe, so they cannot be read again."
    for path in (Path(source), run_dir / source):
        if path.exists():
            try:
                return read_timeline(path, account), ""
            except WavebreakError as error:
                return None, f"The log {path} cannot be read: {error.what}."
    return None, f"The log {source} does not exist any more."


def explain(run_dir: Path, account: str) -> Explanation:
    """Collect the data of an account in a run.

    Raises:
        UsageError: The run has no such account; suggests similar names.
        FileError: The directory is not the output of a run.
    """
    row = _row(run_dir, account)
    summary = _summary(run_dir)
    source = summary.get("source") or ""
    log_path = source.get("path") if isinstance(source, dict) else source
    timeline, gap = _events(run_dir, str(log_path or ""), account)
    return Explanation(
        run_dir=run_dir,
        account=account,
        row=row,
        decisions=_decisions(run_dir, account),
        rules=summary.get("rules") or {},
        actions=_shipped_actions() | (summary.get("actions") or {}),
        mode=str(summary.get("mode") or "shadow"),
        timeline=timeline,
        gap=gap,
        ties=_ties(run_dir, account),
        own_features=summary.get("own_features") or {},
    )
