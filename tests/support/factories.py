"""Small builders of run directories, labels and decisions, for tests.

Everything has a plain default, so a test names only what it is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NOON = 1_772_366_400_000  # 1 March 2026, 12:00:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

ACCOUNTS_SCHEMA = pa.schema(
    [
        ("account", pa.string()),
        ("channel", pa.string()),
        ("first_seen_ms", pa.int64()),
        ("registered_ms", pa.int64()),
        ("last_seen_ms", pa.int64()),
        ("sends", pa.int64()),
        ("first_contacts", pa.int64()),
        ("replied_contacts", pa.int64()),
        ("received", pa.int64()),
        ("groups_created", pa.int64()),
        ("members_added", pa.int64()),
        ("reports", pa.int64()),
        ("strangers_before_action", pa.int64()),
        ("unwanted", pa.int64()),
        ("refused", pa.int64()),
        ("worst", pa.string()),
        ("outcome", pa.string()),
        ("until_ms", pa.int64()),
        ("challenged", pa.bool_()),
        ("limited", pa.bool_()),
        ("first_action_ms", pa.int64()),
        ("first_action_stage", pa.string()),
        ("first_action_position", pa.int64()),
        ("reports_before_action", pa.int64()),
        ("last_report_before_action_ms", pa.int64()),
        ("first_contacts_attempted", pa.int64()),
        ("first_contacts_refused", pa.int64()),
    ]
)


def account_row(account: str, **values: Any) -> dict[str, Any]:
    """Build one row of accounts.parquet: registered at noon, idle, allowed, unless said otherwise.

    `current` sets the outcome in force; without it the worst outcome is in force.
    """
    row: dict[str, Any] = {
        "account": account,
        "channel": "personal",
        "first_seen_ms": NOON,
        "registered_ms": NOON,
        "last_seen_ms": NOON,
        "until_ms": None,
        "challenged": False,
        "limited": False,
        "worst": "allow",
        "first_action_ms": None,
        "first_action_stage": None,
        "first_action_position": None,
        "last_report_before_action_ms": None,
    }
    unknown = set(values) - set(ACCOUNTS_SCHEMA.names)
    assert not unknown, f"no such columns: {unknown}"
    row.update(values)
    row.setdefault("outcome", row["worst"])
    for field in ACCOUNTS_SCHEMA:
        row.setdefault(field.name, 0)
    return row


def decision(account: str, ts: int, outcome: str, **values: Any) -> dict[str, Any]:
    """Build one decision, as a line of decisions.jsonl holds it."""
    return {
        "id": f"d-{account}-{ts}",
        "ts": ts,
        "account": account,
        "stage": "messaging",
        "outcome": outcome,
        "action": outcome,
        "until": None,
        "score": None,
        "rules": [],
        "reasons": [],
        "trigger": "e-1",
        "policy": "shipped-0123456789ab",
        "model": "",
        "features": "catalog-0123456789ab",
    } | values


def reason(feature: str, value: float | None, contribution: float = 1.0) -> dict[str, Any]:
    """Build one reason of a decision."""
    return {"feature": feature, "value": value, "contribution": contribution}


def run_directory(
    path: Path,
    accounts: Iterable[Mapping[str, Any]],
    decisions: Iterable[Mapping[str, Any]] = (),
    **summary: Any,
) -> Path:
    """Write a run directory: accounts.parquet, decisions.jsonl and summary.json."""
    path.mkdir(parents=True, exist_ok=True)
    rows = [dict(row) for row in accounts]
    pq.write_table(pa.Table.from_pylist(rows, schema=ACCOUNTS_SCHEMA), path / "accounts.parquet")
    lines = [json.dumps(dict(d), separators=(",", ":")) for d in decisions]
    (path / "decisions.jsonl").write_text("".join(line + "\n" for line in lines))
    (path / "summary.json").write_text(json.dumps({"mode": "shadow", "rules": {}} | summary))
    return path


def labels_file(path: Path, *lines: str, header: str = "account,label,family,operator") -> Path:
    """Write a labels file of the given lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def events_file(path: Path, events: Iterable[Mapping[str, Any]]) -> Path:
    """Write events as JSON Lines; an event without an id is numbered by its line."""
    lines = [json.dumps({"id": f"e-{n}", **event}) for n, event in enumerate(events, 1)]
    path.write_text("".join(line + "\n" for line in lines))
    return path
