"""An account's own events, read again from the log: instants of each kind of thing it did.

Everything a run knows of one account: its row, its decisions, its rules, its events.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import TYPES

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
_FIELDS = ("id", "ts", "type", "account", "peer", "group", "count")
_PLAIN = {
    "contact.looked_up": "lookups",
    "group.created": "groups_created",
    "group.member_added": "members_added",
    "session.started": "sessions",
    "account.registered": "registered",
    "message.undeliverable": "undeliverable",
    "challenge.passed": "challenges",
    "challenge.failed": "challenges",
}
_SUFFERED = {"user.reported": "reports", "user.blocked": "blocks"}

# Account ids are not pseudonymised, so any key finds the account; nothing keyed is shown.
_KEY = b"explain" * 4


@dataclass(frozen=True)
class Timeline:
    """Instants (milliseconds, UTC, rising) of every kind in `KINDS`, recounted from the log.

    A first contact is a message to someone with whom no message was exchanged before, either
    way; a stranger send goes to someone who has not written to the account so far; a reply is
    the first answer of someone it wrote to first. Events are counted once by id, in log order,
    whether or not the platform would have refused them. `looked_up` are numbers looked up.
    """

    times: dict[str, Times]
    looked_up: int = 0

    def __getitem__(self, kind: str) -> Times:
        return self.times[kind]

    def between(self, kind: str, start: int | None, end: int | None) -> Times:
        """Give the instants of a kind from `start` to `end`, both included."""
        times = self.times[kind]
        low = 0 if start is None else int(np.searchsorted(times, start, side="left"))
        high = len(times) if end is None else int(np.searchsorted(times, end, side="right"))
        return times[low:high]

    @property
    def window(self) -> tuple[int, int] | None:
        """First and last instant of any event, or none."""
        some = [times for times in self.times.values() if len(times)]
        if not some:
            return None
        return min(int(t[0]) for t in some), max(int(t[-1]) for t in some)


def read_timeline(source: Path, account: str) -> Timeline:
    """Read the events in which an account acts or is acted on; memory holds those alone."""
    return timeline_of_events(_own(source, account), account)


def _own(source: Path, account: str) -> Iterator[dict[str, Any]]:
    for batch in read(source, Pseudonymizer(_KEY, None)):
        log = batch.log
        mine = pc.equal(log.column("account"), account)
        theirs = pc.fill_null(pc.equal(log.column("peer"), account), False)
        yield from log.filter(pc.or_(mine, theirs)).select(list(_FIELDS)).to_pylist()


def timeline_of_events(events: Iterable[dict[str, Any]], account: str) -> Timeline:
    """Sort events (columns of the log, `type` a code) into the instants of each kind."""
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    seen: set[str] = set()
    wrote_to: set[str] = set()
    wrote_back: set[str] = set()
    looked_up = 0
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        kind, ts = TYPES[event["type"]], event["ts"]
        if event["account"] != account:
            peer = event["account"]
            if kind == "message.sent":
                found["received"].append(ts)
                if peer in wrote_to and peer not in wrote_back:
                    found["replies"].append(ts)
                wrote_back.add(peer)
            elif kind in _SUFFERED:
                found[_SUFFERED[kind]].append(ts)
        elif kind == "message.sent":
            found["sends"].append(ts)
            peer = event["peer"]
            if peer is None:
                found["group_sends"].append(ts)
                continue
            if peer not in wrote_back:
                found["stranger_sends"].append(ts)
                if peer not in wrote_to:
                    found["first_contacts"].append(ts)
            wrote_to.add(peer)
        elif kind in _PLAIN:
            found[_PLAIN[kind]].append(ts)
            looked_up += (event["count"] or 1) if kind == "contact.looked_up" else 0
    times = {kind: np.sort(np.array(at, dtype=np.int64)) for kind, at in found.items()}
    return Timeline(times, looked_up)


SEVERE_OUTCOMES = ("restrict", "suspend", "ban")
_NEAR = 20_000  # names compared for a close match; more would take seconds


@dataclass(frozen=True)
class Explanation:
    """What is known of one account.

    `row` is its line of accounts.parquet; `decisions` its lines of decisions.jsonl in order;
    `rules` are those of the policy by id (about, stage, outcome, source); `actions` say by id
    what is refused and how it is undone; `timeline` are its events, absent where the log
    cannot be read any more, in which case `gap` says why.
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

    @property
    def start_ms(self) -> int:
        """When it registered, else when it was first seen."""
        registered = self.row.get("registered_ms")
        return int(self.row["first_seen_ms"] if registered is None else registered)

    @property
    def action_ms(self) -> int | None:
        """When it was first restricted, suspended or banned."""
        at = self.row.get("first_action_ms")
        return None if at is None else int(at)

    @property
    def shadow(self) -> bool:
        """Whether the run only wrote its decisions down."""
        return self.mode != "enforce"


def _file(run_dir: Path, name: str) -> Path:
    path = run_dir / name
    if not path.is_file():
        raise FileError(
            f"{run_dir} holds no {name}",
            fix="give the directory that `wavebreak run … -o DIR` wrote",
        )
    return path


def _near(names: list[str], account: str) -> list[str]:
    """Give up to three names that look like the wanted one, best first."""
    if len(names) > _NEAR:
        half = account[: max(1, len(account) // 2)]
        names = [name for name in names if name.startswith(half)][:_NEAR]
    return difflib.get_close_matches(account, names, 3)


def _row(run_dir: Path, account: str) -> dict[str, Any]:
    """Find the account's row, or refuse with the nearest names."""
    path = _file(run_dir, "accounts.parquet")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        fault = FileError(f"{path} cannot be read ({error})", fix="run `wavebreak run` again")
        raise fault from error
    rows = table.filter(pc.equal(table["account"], account)).to_pylist()
    if rows:
        return dict(rows[0])
    near = _near(table["account"].to_pylist(), account)
    meant = f"did you mean {', '.join(near)}? " if near else ""
    listing = "|".join(SEVERE_OUTCOMES)
    raise UsageError(
        f"the run saw no account of that name among {table.num_rows:,}",
        fix=f"{meant}accounts that were actioned: "
        f'grep -E \'"outcome": ?"({listing})"\' {run_dir / "decisions.jsonl"}',
    )


def _decisions(run_dir: Path, account: str) -> list[dict[str, Any]]:
    """Read the account's decisions; a line is parsed only if it can be about the account."""
    wanted = json.dumps(account, ensure_ascii=False)[1:-1].encode()
    escaped = json.dumps(account)[1:-1].encode()
    found = []
    with _file(run_dir, "decisions.jsonl").open("rb") as lines:
        for line in lines:
            if wanted in line or escaped in line:
                decision = json.loads(line)
                if decision["account"] == account:
                    found.append(decision)
    return found


def _summary(run_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads(_file(run_dir, "summary.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(
            f"{run_dir / 'summary.json'} is not JSON", fix="run `wavebreak run` again"
        ) from error
    return found if isinstance(found, dict) else {}


def _shipped_actions() -> dict[str, dict[str, Any]]:
    text = (files("wavebreak") / "policy" / "actions.toml").read_text(encoding="utf-8")
    return {action["id"]: action for action in tomllib.loads(text)["action"]}


def _events(run_dir: Path, source: str, account: str) -> tuple[Timeline | None, str]:
    """Read the account's events from the run's log, or say why that cannot be done."""
    if source in ("", "-"):
        return None, "The run read its events from a pipe, so they cannot be read again."
    for path in (Path(source), run_dir / source):
        if path.exists():
            try:
                return read_timeline(path, account), ""
            except WavebreakError as error:
                return None, f"The log {path} cannot be read any more: {error.what}."
    return None, f"The log {source} is no longer there."


def explain(run_dir: Path, account: str) -> Explanation:
    """Gather what a run knows of an account.

    Raises `UsageError` for an account the run never saw, naming close matches.
    """
    row = _row(run_dir, account)
    summary = _summary(run_dir)
    source = summary.get("source") or ""
    named = source.get("path") if isinstance(source, dict) else source
    timeline, gap = _events(run_dir, str(named or ""), account)
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
    )
