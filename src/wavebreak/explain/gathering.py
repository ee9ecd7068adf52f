"""Everything a run knows of one account: its row, its decisions, its rules, its events."""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavebreak.errors import FileError, UsageError, WavebreakError
from wavebreak.explain.timeline import Timeline, read_timeline

ACTIONS = ("restrict", "suspend", "ban")
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
    listing = "|".join(ACTIONS)
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
